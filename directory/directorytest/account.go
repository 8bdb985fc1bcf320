package directorytest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
)

func (w *world) change() {
	p := w.create()
	for _, tt := range []struct {
		what         string
		current, new string
		want         directory.Reason
	}{
		{"a wrong current password", "not-the-password", "second-password", directory.ReasonWrongCurrent},
		{"one that is too short", "first-password", "short", directory.ReasonTooShort},
		{"the same again", "first-password", "first-password", directory.ReasonHistory},
	} {
		err := w.d.ChangePassword(w.Context(), p, text(tt.current), text(tt.new))
		w.refused(tt.what, err, tt.want)
	}
	w.says(p, "first-password", directory.OutcomeRight)
	w.yes("ChangePassword", w.d.ChangePassword(w.Context(), p, text("first-password"), text("second-password")))
	w.says(p, "second-password", directory.OutcomeRight)
	w.says(p, "first-password", directory.OutcomeWrong)
	err := w.d.ChangePassword(w.Context(), p, text("second-password"), text("first-password"))
	w.refused("one used before", err, directory.ReasonHistory)
	// The former password is no password to change by either.
	err = w.d.ChangePassword(w.Context(), p, text("first-password"), text("third-password"))
	w.refused("by the former one", err, directory.ReasonWrongCurrent)
}

func (w *world) refused(what string, err error, want directory.Reason) {
	w.Helper()
	if w.s.Kind.Rules != "" && want != directory.ReasonWrongCurrent {
		want = w.s.Kind.Rules
	}
	var refused *directory.Refused
	if !errors.As(err, &refused) || refused.Reason != want {
		w.Errorf("%s: %v, want %s", what, err, want)
	}
}

func (w *world) reset() {
	p := w.create()
	w.yes("ResetPassword", w.d.ResetPassword(w.Context(), p, text("temporary-word"), true))
	if !w.fresh(p).Account.MustChange {
		w.Error("a temporary password is not marked as one")
	}
	w.says(p, "first-password", directory.OutcomeWrong)
	w.says(p, "temporary-word", directory.OutcomeMustChange)
	w.yes("ResetPassword", w.d.ResetPassword(w.Context(), p, text("lasting-word-2"), false))
	if w.fresh(p).Account.MustChange {
		w.Error("a lasting password is marked as temporary")
	}
	w.says(p, "lasting-word-2", directory.OutcomeRight)

	// A reset ends a lock and never a closure.
	for range w.s.MaxFailures {
		w.guess(p)
	}
	w.says(p, "lasting-word-2", directory.OutcomeLocked)
	w.yes("ResetPassword", w.d.ResetPassword(w.Context(), p, text("lasting-word-3"), false))
	w.says(p, "lasting-word-3", directory.OutcomeRight)
	w.yes("Disable", w.d.Disable(w.Context(), p))
	for _, mustChange := range []bool{true, false} {
		w.yes("ResetPassword", w.d.ResetPassword(w.Context(), p, text("lasting-word-4"), mustChange))
		if a := w.fresh(p).Account; !a.Disabled || a.MustChange != mustChange {
			w.Errorf("a reset of a disabled account left it %+v", a)
		}
	}
}

func (w *world) disable() {
	p := w.create()
	w.yes("Disable", w.d.Disable(w.Context(), p))
	w.yes("Disable again", w.d.Disable(w.Context(), p))
	closed := w.fresh(p)
	if !closed.Account.Disabled || closed.Account.Usable(w.s.Now()) || closed.Account.PasswordLocked {
		w.Errorf("after Disable the account is %+v", closed.Account)
	}
	w.says(p, "first-password", directory.OutcomeDisabled)
	w.says(p, "not-the-password", directory.OutcomeDisabled)
	err := w.d.ChangePassword(w.Context(), closed, text("first-password"), text("second-password"))
	var refused *directory.Refused
	if !errors.As(err, &refused) {
		w.Errorf("ChangePassword of a disabled account: %v", err)
	}
	w.yes("Enable", w.d.Enable(w.Context(), p))
	w.yes("Enable again", w.d.Enable(w.Context(), p))
	if a := w.fresh(p).Account; a.Disabled || !a.Usable(w.s.Now()) {
		w.Errorf("after Enable the account is %+v", a)
	}
	w.says(p, "first-password", directory.OutcomeRight)
}

func (w *world) guess(p directory.Person) {
	w.Helper()
	got, err := w.d.Authenticate(w.Context(), p, text("not-the-password"))
	if err != nil || got != directory.OutcomeWrong {
		w.Fatalf("a wrong password: %v, %v", got, err)
	}
}

func (w *world) lock() {
	p := w.create()
	for range w.s.MaxFailures - 1 {
		w.guess(p)
	}
	w.says(p, "first-password", directory.OutcomeRight) // and the count begins anew
	for range w.s.MaxFailures {
		w.guess(p)
	}
	w.says(p, "first-password", directory.OutcomeLocked)
	a := w.fresh(p).Account
	if !a.PasswordLocked || a.Disabled || !a.Usable(w.s.Now()) {
		w.Errorf("a locked password makes the account %+v", a)
	}
	if left := a.PasswordLockedUntil.Sub(w.s.Now()); left <= 0 || left > w.s.Duration+2*time.Second {
		w.Errorf("locked for another %v, want up to %v", left, w.s.Duration)
	}
	// One that began long enough ago has ended.
	w.write(p.DN, w.s.Kind.LockedSince(w.s.Now().Add(-w.s.Duration-time.Minute)))
	if w.fresh(p).Account.PasswordLocked {
		w.Error("a lock outlives its time")
	}
	w.says(p, "first-password", directory.OutcomeRight)
	w.write(p.DN, w.s.Kind.LockedSince(w.s.Now()))
	w.yes("Enable", w.d.Enable(w.Context(), p))
	w.says(p, "first-password", directory.OutcomeRight)
}

// state: what other tools write is read for what it is.
func (w *world) state() {
	p := w.create()
	now := w.s.Now()
	for _, end := range w.s.Kind.Ends(now) {
		w.write(p.DN, end.Change)
		if got := w.fresh(p).Account; got.Usable(now) != end.Usable {
			w.Errorf("%s: %+v is usable: %v", end.What, got, !end.Usable)
		}
	}
	if first := w.fresh(p).Account.LastUsedAt; !first.IsZero() {
		w.Errorf("never used, but at %v", first)
	}
	w.says(p, "first-password", directory.OutcomeRight)
	if used := w.fresh(p).Account.LastUsedAt; used.IsZero() || used.Sub(now) > time.Minute || now.Sub(used) > time.Minute {
		w.Errorf("used just now, but at %v", used)
	}
	w.write(p.DN, w.s.Kind.Temporary)
	w.says(p, "first-password", directory.OutcomeMustChange)
	w.write(p.DN, one("employeeType", "shared"))
	if got := w.fresh(p).Kind; got != directory.KindShared {
		w.Errorf("kind = %q", got)
	}
	w.write(p.DN, one("employeeNumber", "K-0042"))
	if got := w.fresh(p).Number; got != "K-0042" {
		w.Errorf("number = %q", got)
	}
	// What answers for an ID of a program is found by it, on every server.
	other := w.create()
	w.write(other.DN, one("employeeNumber", "k-0042"))
	for number, want := range map[string]int{"K-0042": 2, "K-00*": 0, "": 0, "K-0043": 0} {
		got, err := w.d.Numbered(w.Context(), number)
		w.yes("Numbered", err)
		if len(got) != want || want > 0 && !slices.ContainsFunc(got, func(o directory.Person) bool { return o.ID == p.ID && o.Login == p.Login }) {
			w.Errorf("%d IDs of number %q, want %d: %+v", len(got), number, want, got)
		}
	}
	// Several are read at once as each is alone, and who is gone is not among them.
	gone := w.create()
	w.yes("Delete", w.d.Delete(w.Context(), gone))
	got, err := w.d.Several(w.Context(), []directory.PersonID{p.ID, gone.ID, other.ID})
	w.yes("Several", err)
	for _, want := range []directory.Person{w.fresh(p), w.fresh(other)} {
		if len(got) != 2 || !slices.ContainsFunc(got, func(o directory.Person) bool {
			return o.ID == want.ID && o.DN == want.DN && o.Number == want.Number && o.Kind == want.Kind && o.Account.Disabled == want.Account.Disabled
		}) {
			w.Errorf("several are %+v, among them is not %+v", got, want)
		}
	}
	if none, err := w.d.Several(w.Context(), nil); err != nil || len(none) != 0 {
		w.Errorf("none of them: %+v, %v", none, err)
	}
}

func (w *world) inGroups(p directory.Person, want ...string) {
	w.Helper()
	got := w.fresh(p).Groups
	slices.Sort(got)
	slices.Sort(want)
	if !slices.EqualFunc(got, want, strings.EqualFold) {
		w.Errorf("%s is in %v, want %v", p.Login, got, want)
	}
}

func (w *world) groups() {
	p, q := w.create(), w.create()
	one, two := w.group(q.DN), w.group(q.DN)
	w.inGroups(p)
	w.yes("AddMember", w.d.AddMember(w.Context(), one, p.DN))
	holders, err := w.d.Holders(w.Context(), one)
	w.yes("Holders", err)
	if len(holders) != 2 || !slices.ContainsFunc(holders, func(h directory.Person) bool { return h.ID == p.ID && h.Login == p.Login && len(h.Groups) == 1 }) {
		w.Errorf("holders of %s: %+v", one, holders)
	}
	w.yes("AddMember again", w.d.AddMember(w.Context(), one, upper(p.DN)))
	w.yes("AddMember", w.d.AddMember(w.Context(), two, p.DN))
	w.inGroups(p, one, two)
	w.inGroups(q, one, two)
	w.yes("RemoveMember", w.d.RemoveMember(w.Context(), one, p.DN))
	w.yes("RemoveMember again", w.d.RemoveMember(w.Context(), one, p.DN))
	w.inGroups(p, two)
	w.inGroups(q, one, two)
	none := "cn=none," + "ou=groups," + w.s.Config.BaseDN
	w.no("AddMember to no group", w.d.AddMember(w.Context(), none, p.DN), directory.ErrNotFound)
	w.yes("RemoveMember from no group", w.d.RemoveMember(w.Context(), none, p.DN))
}

func (w *world) lastMember() {
	p, q := w.create(), w.create()
	group := w.group(p.DN)
	w.inGroups(p, group)
	w.yes("RemoveMember", w.d.RemoveMember(w.Context(), group, p.DN))
	w.inGroups(p)
	w.yes("AddMember", w.d.AddMember(w.Context(), group, q.DN))
	w.yes("AddMember", w.d.AddMember(w.Context(), group, p.DN))
	w.inGroups(p, group)
	w.yes("RemoveMember", w.d.RemoveMember(w.Context(), group, q.DN))
	w.yes("RemoveMember", w.d.RemoveMember(w.Context(), group, p.DN))
	w.yes("RemoveMember again", w.d.RemoveMember(w.Context(), group, p.DN))
	w.inGroups(p)
	w.inGroups(q)
}

func (w *world) deletion() {
	p, q := w.create(), w.create()
	alone, shared := w.group(p.DN), w.group(p.DN, q.DN)
	w.yes("Delete", w.d.Delete(w.Context(), p))
	w.inGroups(q, shared)
	again := w.create(func(n *directory.NewPerson) { n.Login = p.Login })
	w.inGroups(again)
	w.yes("AddMember", w.d.AddMember(w.Context(), alone, again.DN))
	w.inGroups(again, alone)
}

// expired: the directory lets nobody in with a password that is too old, and
// still says whether it was the right one.
func (w *world) expired() {
	p := w.create()
	a := p.Account
	if !a.PasswordExpiresAt.Equal(a.PasswordChangedAt.Add(MaxAge)) || w.s.Now().Sub(a.PasswordChangedAt) > time.Minute {
		w.Errorf("a password changed at %v expires at %v", a.PasswordChangedAt, a.PasswordExpiresAt)
	}
	w.write(p.DN, w.s.Kind.PasswordSince(w.s.Now().Add(-MaxAge-time.Hour)))
	if a := w.fresh(p).Account; a.PasswordExpiresAt.After(w.s.Now()) || !a.Usable(w.s.Now()) {
		w.Errorf("an old password expires at %v", a.PasswordExpiresAt)
	}
	w.says(p, "not-the-password", directory.OutcomeWrong)
	w.says(p, "first-password", directory.OutcomeExpired)
	w.yes("ResetPassword", w.d.ResetPassword(w.Context(), p, text("second-password"), true))
	w.says(p, "second-password", directory.OutcomeMustChange)
}
