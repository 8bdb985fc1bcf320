package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor is systemd, where it started us with Type=notify: it is told
// when the gate is ready, reloads and stops (sd_notify(3)). The zero value tells
// nobody.
type supervisor struct{ socket string }

// theSupervisor reads the environment and takes it away, so that nothing we
// might start speaks in our name.
func theSupervisor() supervisor {
	s := supervisor{socket: os.Getenv("NOTIFY_SOCKET")}
	_ = os.Unsetenv("NOTIFY_SOCKET") // fails on no name that exists
	return s
}

// tell sends one state. What does not arrive does no harm: systemd then waits,
// and says so itself.
func (s supervisor) tell(state string) {
	if s.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"}) // a first @ is the abstract name's NUL
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }() // the word was sent or was not
	_, _ = conn.Write([]byte(state))    // see above
}

func (s supervisor) ready()    { s.tell("READY=1") }
func (s supervisor) stopping() { s.tell("STOPPING=1") }

// reloading must carry the time at which it began, by the clock that systemd
// compares with, so that an old message is not taken for an answer.
func (s supervisor) reloading() {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		return
	}
	s.tell("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(at.Nano()/1000, 10))
}

// watchdog tells systemd, twice as often as it asks for (WatchdogSec=), that
// alive answers. A process that has come to a standstill is then restarted; one
// whose dependencies are away is not, since that would help nobody.
func (s supervisor) watchdog(ctx context.Context, alive func() bool) {
	every, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || every <= 0 || s.socket == "" {
		return
	}
	tick := time.NewTicker(time.Duration(every) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		if alive() {
			s.tell("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
