package people_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/people"
	"sekisho/policy"
)

// TestLeaveDays: what is typed becomes whole days of Japan's calendar, or is refused in
// both languages.
func TestLeaveDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // 2 March 2026, nine in the morning in Japan
	admin := w.session(t, "admin", policy.PHR)
	at := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		day, err := time.Parse(time.RFC3339, s+"T00:00:00+09:00")
		must(t, err)
		return day
	}
	for _, tt := range []struct {
		name, from, until, reason string
		since, end                string
		field, rule               string
	}{
		{"today, without an end", "", "", "育休", "2026-03-02", "", "", ""},
		{"from a day to a day", "2026-04-01", "2027-03-31", "育休", "2026-04-01", "2027-04-01", "", ""},
		{"one day", "2026-03-02", "2026-03-02", "休職", "2026-03-02", "2026-03-03", "", ""},
		{"written down late", " 2026-02-01 ", "", "休職", "2026-02-01", "", "", ""},
		{"no day", "2026-02-30", "", "休職", "", "", "from", "not_a_day"},
		{"no last day", "", "3月", "休職", "", "", "until", "not_a_day"},
		{"ends before it begins", "2026-04-02", "2026-04-01", "休職", "", "", "until", "before_from"},
		{"over", "2026-02-01", "2026-03-01", "休職", "", "", "until", "past"},
		{"more than a year ago", "2025-02-28", "", "休職", "", "", "from", "too_far"},
		{"more than a year ahead", "2027-03-04", "", "休職", "", "", "from", "too_far"},
		{"without a reason", "", "", " ", "", "", "reason", "required"},
		{"a long reason", "", "", strings.Repeat("あ", people.MaxReason+1), "", "", "reason", "too_long"},
	} {
		err := w.RecordLeave(ctx, w.origin, admin, "tanaka", people.LeaveDays{From: tt.from, Until: tt.until, Reason: tt.reason})
		var bad *people.Invalid
		if tt.field != "" {
			if !errors.As(err, &bad) || bad.Field != tt.field || bad.Rule != tt.rule || bad.Says.JA == "" || bad.Says.EN == "" {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		must(t, err)
		got, ok, err := standing.Leave(ctx, w.db, w.all["tanaka"].ID, w.clock.Now())
		if err != nil || !ok || !got.Since.Equal(at(tt.since)) || !got.Until.Equal(at(tt.end)) || got.By != "admin" || got.Reason != tt.reason {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		must(t, w.EndLeave(ctx, w.origin, admin, "tanaka", "書き直す"))
	}
	if err := w.EndLeave(ctx, w.origin, admin, "tanaka", "もう一度"); !errors.Is(err, people.ErrNoLeave) || !errors.Is(err, people.ErrState) {
		t.Errorf("ending none: %v", err)
	}
}

// TestLeaveShutsTheDoors: on its first day and not before, and until its end; one that is
// to come leaves what is open.
func TestLeaveShutsTheDoors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin, open := w.session(t, "admin", policy.PHR), w.session(t, "tanaka", policy.AAL2)
	must(t, w.RecordLeave(ctx, w.origin, admin, "tanaka", people.LeaveDays{From: "2026-03-03", Until: "2026-03-04", Reason: "育休"}))
	d, err := w.Show(ctx, w.origin, admin, "tanaka")
	if err != nil || d.State != people.Active || len(d.Closed) != 0 || d.Leave.Reason != "育休" || !w.alive(t, open) {
		t.Errorf("the day before: %s, %+v, %v", d.State, d.Leave, err)
	}
	in := func() error { _, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw)); return err }
	must(t, in())
	w.clock.Advance(15 * time.Hour) // midnight in Japan
	if err := in(); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("on the first day: %v", err)
	}
	w.clock.Advance(48 * time.Hour)
	if err := in(); err != nil {
		t.Errorf("after the last: %v", err)
	}
	if w.entries(t, `"action":"leave.recorded"`, `"reason":"育休"`, `"62-5"`, `"leave_from":"2026-03-02T15:00:00Z"`) != 1 {
		t.Error("the trail does not say from when")
	}
}

// TestLeaveOfThePowerful: one person records it, two end it.
func TestLeaveOfThePowerful(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	admin := w.session(t, "admin", policy.PHR, rested)
	if err := w.EndLeave(ctx, w.origin, admin, "officer", "復職"); !errors.Is(err, people.ErrNoLeave) {
		t.Errorf("nobody is asked to end what is not there: %v", err)
	}
	must(t, w.RecordLeave(ctx, w.origin, admin, "officer", people.LeaveDays{Reason: "育休"}))
	first := waits(t, w.EndLeave(ctx, w.origin, admin, "officer", "復職"))
	if !w.closed(t, "officer", standing.OnLeave) {
		t.Error("ended before anybody approved")
	}
	must(t, w.decide(t, "admin2", first.Matter, true))
	must(t, w.EndLeave(ctx, w.origin, admin, "officer", "復職"))
	if w.closed(t, "officer", standing.OnLeave) {
		t.Error("not ended after the second person")
	}
}

// TestReopeningTakesAReason: that an unused ID is opened again is a decision.
func TestReopeningTakesAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	w.record(t, "tanaka", standing.Dormant)
	var bad *people.Invalid
	if err := w.Restore(ctx, w.origin, admin, "tanaka", " "); !errors.As(err, &bad) || bad.Field != "reason" || !w.closed(t, "tanaka", standing.Dormant) {
		t.Errorf("without a reason: %v", err)
	}
	must(t, w.Restore(ctx, w.origin, admin, "tanaka", "異動先で使う"))
	w.record(t, "tanaka", standing.Suspended)
	must(t, w.Restore(ctx, w.origin, admin, "tanaka", "")) // a suspension's end speaks for itself
}

// TestLeaveIsNotShortened: of somebody who approves or administers, no single person has
// leave end earlier by recording another.
func TestLeaveIsNotShortened(t *testing.T) {
	t.Parallel()
	w := withSeconds(t) // 2 March 2026
	admin := w.session(t, "admin", policy.PHR, rested)
	record := func(login, from, until string) error {
		return w.RecordLeave(ctx, w.origin, admin, login, people.LeaveDays{From: from, Until: until, Reason: "育休"})
	}
	for _, tt := range []struct {
		name, from, until, field string
	}{
		{"to come", "2026-04-01", "2027-03-31", ""},
		{"to come, and later", "2026-04-02", "2027-03-31", "from"},
		{"to come, and shorter", "2026-04-01", "2027-03-30", "until"},
		{"to come, and longer", "2026-03-31", "2027-04-01", ""},
		{"begun", "", "", ""},
		{"begun, and over tonight", "", "2026-03-02", "until"},
		{"begun, once more", "2026-03-05", "", ""},
	} {
		err := record("officer", tt.from, tt.until)
		var bad *people.Invalid
		switch {
		case tt.field == "":
			must(t, err)
		case !errors.As(err, &bad), bad.Field != tt.field, bad.Rule != "less_leave", bad.Says.JA == "", bad.Says.EN == "":
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if got, ok, err := standing.Leave(ctx, w.db, w.all["officer"].ID, w.clock.Now()); err != nil || !ok || !got.Until.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, record("tanaka", "", ""))
	must(t, record("tanaka", "", "2026-03-02")) // one person ends it anyway
}
