package main

import (
	"os"
	"os/user"
	"testing"
)

// TestOperator: only root is believed about who it acts for.
func TestOperator(t *testing.T) {
	t.Setenv("SUDO_USER", "suzuki")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	want := me.Username
	if os.Geteuid() == 0 {
		want = "suzuki"
	}
	if got, err := operator(); err != nil || got != want {
		t.Errorf("operator = %q, %v; want %q", got, err, want)
	}
}
