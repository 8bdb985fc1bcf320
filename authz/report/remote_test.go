package report

import (
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authz/permit"
)

// TestVisitOf: a session that nobody ended was over when the first of its ends came.
func TestVisitOf(t *testing.T) {
	idle, absolute := at(3, 10), at(3, 18)
	for _, tt := range []struct {
		name       string
		ended, now time.Time
		want       time.Time
	}{
		{"it goes on", time.Time{}, at(3, 9), time.Time{}},
		{"left idle", time.Time{}, at(3, 12), idle},
		{"left idle, days ago", time.Time{}, at(9, 0), idle},
		{"signed out", at(3, 9), at(9, 0), at(3, 9)},
		{"ended by a sweep, later", at(3, 11), at(9, 0), idle},
	} {
		n := session.Session{StartedAt: at(3, 8), ExpiresAt: absolute, IdleExpiresAt: idle, EndedAt: tt.ended}
		if got := visitOf(n, "joho", tt.now).Until; !got.Equal(tt.want) {
			t.Errorf("%s: until %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := visitOf(session.Session{ExpiresAt: absolute}, "", at(9, 0)).Until; !got.Equal(absolute) {
		t.Errorf("without an idle end: until %v", got)
	}
}

func TestNeverUsed(t *testing.T) {
	for _, tt := range []struct {
		name                string
		decided, ended, use time.Time
		want                bool
	}{
		{"in force, and nobody came", at(1, 0), time.Time{}, time.Time{}, true},
		{"somebody came", at(1, 0), time.Time{}, at(4, 0), false},
		{"given back unused", at(1, 0), at(5, 0), time.Time{}, true},
		{"revoked before it began", at(1, 0), at(2, 0), time.Time{}, false},
		{"nobody decided", time.Time{}, time.Time{}, time.Time{}, false},
	} {
		m := Permission{Permit: permit.Permit{From: at(3, 0), Until: at(20, 0), DecidedAt: tt.decided, EndedAt: tt.ended, UsedAt: tt.use}}
		if got := m.NeverUsed(at(10, 0)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if m.NeverUsed(at(2, 12)) {
			t.Errorf("%s: before it begins", tt.name)
		}
	}
}
