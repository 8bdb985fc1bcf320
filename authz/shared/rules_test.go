package shared

import (
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

func reason(no *Refusal) string {
	if no == nil {
		return ""
	}
	if no.Says.JA == "" || no.Says.EN == "" || len(no.Articles) == 0 {
		return "a refusal without words or articles"
	}
	return no.Reason
}

func TestMay(t *testing.T) {
	t.Parallel()
	p := rules()
	s, _ := p.SharedID("one")
	made, both := s, s
	made.Environment, both.Environment = policy.Development, policy.EitherEnvironment
	good := approval.Holder{Person: directory.Person{ID: "1", Login: "tanaka", Kind: directory.KindStaff}, Posts: []policy.PostID{policy.Staff}, Tied: authz.Untied}
	for _, tt := range []struct {
		name   string
		s      policy.SharedID
		change func(*approval.Holder)
		want   string
	}{
		{"whom it is for", s, func(*approval.Holder) {}, ""},
		{"no such ID", policy.SharedID{}, func(*approval.Holder) {}, "unknown"},
		{"nobody", s, func(h *approval.Holder) { h.Person.ID = "" }, "account"},
		{"whose contract is over", s, func(h *approval.Holder) { h.Person.Account.ExpiresAt = t0 }, "account"},
		{"a program", s, func(h *approval.Holder) { h.Person.Kind = directory.KindService }, "no_person"},
		{"another shared ID", s, func(h *approval.Holder) { h.Person.Kind = directory.KindShared }, "no_person"},
		{"an ID of development", s, func(h *approval.Holder) { h.Tied.Of = policy.Development }, "wrong_environment"},
		{"an ID of production, at one of development", made, func(*approval.Holder) {}, "wrong_environment"},
		{"an ID of development, at its own", made, func(h *approval.Holder) { h.Tied.Of = policy.Development }, ""},
		{"an ID of development, at either", both, func(h *approval.Holder) { h.Tied.Of = policy.Development }, ""},
		{"whose project is over", s, func(h *approval.Holder) { h.Tied.Until = t0 }, "project_over"},
		{"of whom nobody asked", both, func(h *approval.Holder) { h.Tied = authz.Tied{} }, "project_over"},
		{"another post", s, func(h *approval.Holder) { h.Posts = []policy.PostID{policy.Contractor} }, "not_eligible"},
		{"who audits too", s, func(h *approval.Holder) { h.Posts = append(h.Posts, policy.Auditor) }, "not_eligible"},
	} {
		h := approval.Holder{Person: good.Person, Posts: append([]policy.PostID{}, good.Posts...), Tied: good.Tied}
		tt.change(&h)
		if got := reason(May(p, tt.s, h, t0)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for post, want := range map[policy.PostID][2]string{
		policy.Staff: {"no_post", "no_post"}, policy.SystemAdministrator: {"no_post", "no_post"}, policy.Auditor: {"", "reads_only"},
		policy.SecurityManager: {"", ""}, policy.CIO: {"", ""}, policy.CSIRT: {"", ""},
	} {
		posts := []policy.PostID{post}
		if see, end := reason(MaySee(p, posts)), reason(MayEnd(p, posts)); see != want[0] || end != want[1] {
			t.Errorf("%s sees: %q, ends: %q; want %q", post, see, end, want)
		}
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	has := func(id string, state State, ends time.Duration) Checkout {
		return Checkout{ID: "c" + id, By: Ref{ID: directory.PersonID(id), Name: "N" + id}, state: state, AskedAt: t0.Add(-time.Hour), EndsAt: t0.Add(ends)}
	}
	begun := has("2", Starting, time.Hour)
	begun.AskedAt = t0.Add(-startWithin + time.Second)
	stuck := has("2", Starting, time.Hour)
	stuck.AskedAt = t0.Add(-startWithin)
	for _, tt := range []struct {
		name    string
		holders int
		held    []Checkout
		want    string
	}{
		{"nobody has it", 1, nil, ""},
		{"somebody has it", 1, []Checkout{has("2", Active, time.Nanosecond)}, "taken"},
		{"their end has come", 1, []Checkout{has("2", Active, 0)}, ""},
		{"they gave it back", 1, []Checkout{has("2", Ended, time.Hour)}, ""},
		{"somebody is about to", 1, []Checkout{begun}, "taken"},
		{"whoever was about to is gone", 1, []Checkout{stuck}, ""},
		{"one of two places", 2, []Checkout{has("2", Active, time.Hour)}, ""},
		{"both places", 2, []Checkout{has("2", Active, time.Hour), has("3", Active, time.Hour)}, "taken"},
		{"a number that was never set counts as one", 0, []Checkout{has("2", Active, time.Hour)}, "taken"},
		{"one's own", 2, []Checkout{has("1", Active, time.Hour)}, "has_it"},
	} {
		if got := reason(room(policy.SharedID{ID: "one", Holders: tt.holders}, tt.held, "1", t0)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	both := room(policy.SharedID{Holders: 2}, []Checkout{has("3", Active, time.Hour), has("2", Active, time.Hour)}, "1", t0)
	if !strings.Contains(both.Says.JA, "N2さん、N3さん") || !strings.Contains(both.Says.EN, "N2, N3") {
		t.Errorf("it does not say who has it: %+v", both.Says)
	}
}

func TestWish(t *testing.T) {
	t.Parallel()
	s := policy.SharedID{Usual: 20 * time.Minute, Longest: time.Hour}
	for _, tt := range []struct {
		reason  string
		minutes int
		lasts   time.Duration
		field   string
	}{
		{" 放送 ", 30, 30 * time.Minute, ""}, {"放送", 0, 20 * time.Minute, ""}, {"放送", 60, time.Hour, ""},
		{"放送", 61, 0, "minutes"}, {"放送", -1, 0, "minutes"}, {"放送", 1 << 40, 0, "minutes"},
		{"  ", 30, 0, "reason"}, {strings.Repeat("あ", 501), 30, 0, "reason"}, {strings.Repeat("あ", 500), 30, 30 * time.Minute, ""},
		{"a\x00", 30, 0, "reason"}, {"a\u202e", 30, 0, "reason"}, {"\xff", 30, 0, "reason"},
	} {
		text, d, why := wish(s, tt.reason, tt.minutes)
		field := ""
		if why != nil {
			field = why.Field
		}
		if d != tt.lasts || field != tt.field || why == nil && text != strings.TrimSpace(tt.reason) || why != nil && why.Is != Invalid {
			t.Errorf("%q for %d: %q %v, refused at %q", tt.reason, tt.minutes, text, d, field)
		}
	}
}
