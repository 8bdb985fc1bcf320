package directorytest

import (
	"errors"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

const lentPassword = "Lent-word-2345-6789"

func (w *world) members(group string) []string {
	w.Helper()
	var all []string
	w.yes("EachMember", w.d.EachMember(w.Context(), group, func(dn string) error {
		all = append(all, strings.ToLower(dn))
		return nil
	}))
	slices.Sort(all)
	return all
}

func (w *world) holds(group, dn string, want bool) {
	w.Helper()
	if got, err := w.d.Holds(w.Context(), group, dn); err != nil || got != want {
		w.Errorf("Holds(%s) = %v, %v, want %v", dn, got, err, want)
	}
}

// lentGroup: a person is put in and taken out by their ID, as often as one likes,
// whatever they are called by then.
func (w *world) lentGroup() {
	p, q := w.create(), w.create()
	group := w.group(q.DN)
	for range 2 {
		got, err := w.d.Join(w.Context(), group, p.ID)
		w.yes("Join", err)
		if got.ID != p.ID {
			w.Errorf("Join found %s", got.ID)
		}
	}
	w.inGroups(p, group)
	w.holds(group, p.DN, true)
	w.holds(group, upper(p.DN), true)
	if got := w.members(group); len(got) != 2 {
		w.Errorf("members are %v", got)
	}
	for range 2 {
		w.yes("Leave", w.d.Leave(w.Context(), group, p.ID, p.DN))
	}
	w.inGroups(p)
	w.holds(group, p.DN, false)
	w.inGroups(q, group)

	// Renamed while in it.
	_, err := w.d.Join(w.Context(), group, p.ID)
	w.yes("Join", err)
	kind, _, _ := strings.Cut(p.DN, "=")
	renamed := w.login()
	w.yes("renaming", w.admin().ModifyDN(goldap.NewModifyDNRequest(p.DN, kind+"="+renamed, true, "")))
	w.yes("Leave of who was renamed", w.d.Leave(w.Context(), group, p.ID, p.DN))
	w.inGroups(p)
	w.inGroups(q, group)

	// Gone while in it.
	_, err = w.d.Join(w.Context(), group, p.ID)
	w.yes("Join", err)
	gone := w.fresh(p)
	w.yes("deleting", w.admin().Del(goldap.NewDelRequest(gone.DN, nil)))
	w.yes("Leave of who is gone", w.d.Leave(w.Context(), group, p.ID, gone.DN))
	if got := w.members(group); len(got) != 1 {
		w.Errorf("members are %v", got)
	}
	_, err = w.d.Join(w.Context(), group, p.ID)
	w.no("Join of who is gone", err, directory.ErrNotFound)
	w.yes("Leave of nobody", w.d.Leave(w.Context(), group, p.ID, ""))

	none := "cn=none,ou=groups," + w.s.Config.BaseDN
	_, err = w.d.Join(w.Context(), none, q.ID)
	w.no("Join of no group", err, directory.ErrNotFound)
	w.yes("Leave from no group", w.d.Leave(w.Context(), none, q.ID, q.DN))
	_, err = w.d.Join(w.Context(), "cn=x,"+w.s.Config.BaseDN, q.ID)
	w.no("Join of a group elsewhere", err, directory.ErrMalformed)
	_, err = w.d.Holds(w.Context(), none, q.DN)
	w.no("Holds of no group", err, directory.ErrNotFound)
	w.no("EachMember of no group", w.d.EachMember(w.Context(), none, func(string) error { return nil }), directory.ErrNotFound)
	stop := errors.New("enough")
	w.no("EachMember that is stopped", w.d.EachMember(w.Context(), group, func(string) error { return stop }), stop)
}

// noMembers: nobody is in the group, or nothing is shown of it: these are told
// apart, or not taken for an answer.
func (w *world) noMembers() {
	p := w.create()
	group := w.group(p.DN)
	w.yes("Leave", w.d.Leave(w.Context(), group, p.ID, p.DN))
	if got := w.members(group); len(got) != 0 {
		w.Errorf("members are %v", got)
	}
	w.holds(group, p.DN, false)
}

func (w *world) lentSays(p directory.Person, password string, in bool) {
	w.Helper()
	got, err := w.d.AuthenticateLent(w.Context(), p, text(password))
	if err != nil || (got == directory.OutcomeRight) != in {
		w.Errorf("as %s: %v, %v; let in: %v", p.Login, got, err, in)
	}
	// And by the server's own word.
	c := w.anybody()
	if err := c.Bind(p.DN, password); (err == nil) != in {
		w.Errorf("the server itself, as %s: %v; let in: %v", p.Login, err, in)
	}
}

// named makes a named ID as an administrator of the directory would: closed.
func (w *world) named() directory.Person {
	w.Helper()
	login := w.login()
	made, err := w.d.CreateLent(w.Context(), "", directory.NewPerson{Login: login, Name: "管理者 " + login, Password: text("Former-word-1234")})
	w.yes("CreateLent", err)
	w.yes("CloseLent", w.d.CloseLent(w.Context(), made, text("Nobody-knows-this-1")))
	p, err := w.d.Lent(w.Context(), login)
	w.yes("Lent", err)
	if p.ID != made.ID || !p.Account.Disabled {
		w.Errorf("closed, it is %+v", p)
	}
	return p
}

func (w *world) lentNamed() {
	p := w.named()
	w.lentSays(p, "Former-word-1234", false)
	end := w.s.Now().Add(30 * time.Minute).Truncate(time.Second)
	w.yes("OpenLent", w.d.OpenLent(w.Context(), p, text(lentPassword), end))
	open, err := w.d.LentByID(w.Context(), p.ID)
	if err != nil || open.Account.Disabled || open.Account.MustChange || !open.Account.ExpiresAt.Equal(end) {
		w.Errorf("opened until %v, it is %+v, %v", end, open.Account, err)
	}
	w.lentSays(open, lentPassword, true)
	w.lentSays(open, "Former-word-1234", false)
	w.yes("LendUntil", w.d.LendUntil(w.Context(), open, end.Add(time.Hour)))
	if longer, err := w.d.LentByID(w.Context(), p.ID); err != nil || !longer.Account.ExpiresAt.Equal(end.Add(time.Hour)) {
		w.Errorf("extended, it is %+v, %v", longer.Account, err)
	}
	for range 2 {
		w.yes("CloseLent", w.d.CloseLent(w.Context(), open, text("Nobody-knows-this-2")))
		closed, err := w.d.LentByID(w.Context(), p.ID)
		if err != nil || !closed.Account.Disabled {
			w.Errorf("closed, it is %+v, %v", closed.Account, err)
		}
		w.lentSays(closed, lentPassword, false)
		w.lentSays(closed, "Nobody-knows-this-2", false)
	}
	// What was lent is dead also when the ID is opened again.
	w.yes("OpenLent", w.d.OpenLent(w.Context(), p, text("Lent-word-9876-5432"), end.Add(2*time.Hour)))
	w.lentSays(open, lentPassword, false)
	w.lentSays(open, "Lent-word-9876-5432", true)
	// The server itself lets nobody in after the end.
	w.yes("LendUntil", w.d.LendUntil(w.Context(), p, w.s.Now().Add(-time.Minute)))
	w.lentSays(open, "Lent-word-9876-5432", false)
}

func (w *world) lentEphemeral() {
	login, group := w.login(), w.group(w.create().DN)
	n := directory.NewPerson{
		Login: login, Name: "関所 太郎（特権）", Note: "sekisho:lease1:taro", Password: text(lentPassword),
		ExpiresAt: w.s.Now().Add(time.Hour).Truncate(time.Second),
	}
	p, err := w.d.CreateLent(w.Context(), "", n)
	w.yes("CreateLent", err)
	if p.Kind != directory.KindLent || p.Note != n.Note || !p.Account.ExpiresAt.Equal(n.ExpiresAt) || p.Account.Disabled {
		w.Errorf("created %+v", p)
	}
	w.lentSays(p, lentPassword, true)
	_, err = w.d.CreateLent(w.Context(), "", n)
	w.no("CreateLent again", err, directory.ErrExists)
	w.yes("JoinLent", w.d.JoinLent(w.Context(), group, p))
	w.yes("JoinLent again", w.d.JoinLent(w.Context(), group, p))
	w.holds(group, p.DN, true)
	seen := false
	w.yes("EachLent", w.d.EachLent(w.Context(), func(q directory.Person) error {
		seen = seen || q.ID == p.ID && q.Note == n.Note && q.Kind == directory.KindLent
		return nil
	}))
	if !seen {
		w.Error("EachLent does not show it")
	}
	if again, err := w.d.Lent(w.Context(), login); err != nil || again.ID != p.ID || again.Note != n.Note {
		w.Errorf("Lent = %+v, %v", again, err)
	}
	for range 2 {
		w.yes("DeleteLent", w.d.DeleteLent(w.Context(), p))
	}
	w.lentSays(p, lentPassword, false)
	w.holds(group, p.DN, false)
	_, err = w.d.Lent(w.Context(), login)
	w.no("Lent of who is deleted", err, directory.ErrNotFound)

	// The same name again is another ID, and what was held of the first does not
	// reach it.
	_, err = w.d.CreateLent(w.Context(), w.s.Config.PeopleDN, n)
	w.no("CreateLent among the people", err, directory.ErrMalformed)
	second, err := w.d.CreateLent(w.Context(), "", n)
	w.yes("CreateLent", err)
	w.no("DeleteLent of the first", w.d.DeleteLent(w.Context(), p), directory.ErrNotFound)
	w.no("OpenLent of the first", w.d.OpenLent(w.Context(), p, text(lentPassword), n.ExpiresAt), directory.ErrNotFound)
	w.lentSays(second, lentPassword, true)
}

// lentApart: nobody signs in as an ID that is lent, and what is written to people
// does not reach one.
func (w *world) lentApart() {
	p := w.named()
	for _, typed := range []string{p.Login, p.DN} {
		_, err := w.d.Find(w.Context(), typed)
		w.no("Find", err, directory.ErrNotFound)
	}
	_, err := w.d.ByID(w.Context(), p.ID)
	w.no("ByID", err, directory.ErrNotFound)
	w.no("Enable", w.d.Enable(w.Context(), p), directory.ErrMalformed)
	_, err = w.d.Authenticate(w.Context(), p, text("Nobody-knows-this-1"))
	w.no("Authenticate", err, directory.ErrMalformed)
	someone := w.create()
	_, err = w.d.Lent(w.Context(), someone.Login)
	w.no("Lent of a person", err, directory.ErrNotFound)
	w.no("OpenLent of a person", w.d.OpenLent(w.Context(), someone, text(lentPassword), w.s.Now().Add(time.Hour)), directory.ErrMalformed)
	w.no("DeleteLent of a person", w.d.DeleteLent(w.Context(), someone), directory.ErrMalformed)
}
