package store

import "time"

// Micros is how a time is stored: microseconds since 1970 UTC in a BIGINT. The
// zero time is 0, so "never" needs no NULL. What is finer than a microsecond is
// cut off, towards the past: nothing lasts longer than was promised.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is Micros read back, in UTC; 0 is the zero time.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
