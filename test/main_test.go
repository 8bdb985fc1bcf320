// Package test tries Sekisho from outside, as its users and its enemies do: the
// real binaries, real servers, the contract's commands and addresses.
package test

import (
	"os"
	"testing"

	"sekisho/test/harness"
	"sekisho/test/samba"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == gateWord {
		os.Exit(playGate(os.Args[2]))
	}
	status := m.Run()
	samba.Stop()
	harness.Clean()
	os.Exit(status)
}
