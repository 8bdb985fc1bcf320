package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepMemory sees to it that what is in memory does not get onto a disk or into
// another process: no core is written, whatever the machine's settings, and
// nobody of the same account can attach or read /proc/PID/mem.
func keepMemory() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing our memory to others: %w", err)
	}
	return nil
}
