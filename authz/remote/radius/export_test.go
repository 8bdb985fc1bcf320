package radius

import "time"

// Hasten has silent gear given up after a moment.
func (d *Door) Hasten(pauses ...time.Duration) { d.pauses = pauses }

// CallingFrom reads a Calling-Station-Id.
var CallingFrom = callingFrom
