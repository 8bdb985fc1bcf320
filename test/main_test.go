// Package test tries Sekisho from outside, as its users and its enemies do: the
// real binaries, real servers, the contract's commands and addresses.
package test

import (
	"os"
	"testing"

	"sekisho/test/harness"
)

func TestMain(m *testing.M) {
	status := m.Run()
	harness.Clean()
	os.Exit(status)
}
