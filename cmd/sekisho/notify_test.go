package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSupervisor: systemd hears each state in its own words, also at an
// abstract address, and nothing is sent where nobody listens.
func TestSupervisor(t *testing.T) {
	for name, socket := range map[string]string{
		"a path": filepath.Join(t.TempDir(), "notify"), "an abstract name": "@sekisho-" + filepath.Base(t.TempDir()) + t.Name(),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			heard := func() string {
				b := make([]byte, 256)
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, err := conn.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				return string(b[:n])
			}
			t.Setenv("NOTIFY_SOCKET", socket)
			s := theSupervisor()
			if theSupervisor().socket != "" {
				t.Error("the address is left for whatever we start")
			}
			s.ready()
			if got := heard(); got != "READY=1" {
				t.Error(got)
			}
			s.reloading()
			if got := heard(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=") {
				t.Error(got)
			}
			s.stopping()
			if got := heard(); got != "STOPPING=1" {
				t.Error(got)
			}
			t.Setenv("WATCHDOG_USEC", "2000")
			ctx, cancel := context.WithCancel(t.Context())
			asked := make(chan struct{}, 100)
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.watchdog(ctx, func() bool { asked <- struct{}{}; return len(asked) > 1 })
			}()
			if got := heard(); got != "WATCHDOG=1" || len(asked) < 2 {
				t.Error(got)
			}
			cancel()
			<-done
		})
	}
	supervisor{}.ready()
	supervisor{socket: filepath.Join(t.TempDir(), "gone")}.stopping()
}
