package directorytest

import (
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
)

// found is the logins that a search answers.
func (w *world) found(d *ldap.Directory, query, after string, limit int) (logins []string, next string) {
	w.Helper()
	people, next, err := d.Search(w.Context(), query, after, limit)
	w.yes("Search("+query+")", err)
	for _, p := range people {
		if p.ID == "" || p.DN == "" || p.Kind == "" || p.Account.CreatedAt.IsZero() {
			w.Errorf("half a person: %+v", p)
		}
		logins = append(logins, p.Login)
	}
	return logins, next
}

// search: by part of a login, name or address, in any case and width.
func (w *world) search() {
	mark := "Mark" + w.login()
	p := w.create(func(n *directory.NewPerson) { n.Name, n.Mail = "関所 花子 "+mark, "hanako."+mark+"@pref.example" })
	q := w.create(func(n *directory.NewPerson) { n.Name, n.Mail = "関所 次郎 "+mark, "" })
	group := w.group(p.DN)
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{mark, []string{p.Login, q.Login}},
		{strings.ToLower(mark), []string{p.Login, q.Login}},
		{wide(upper(mark)), []string{p.Login, q.Login}},
		{mark[2 : len(mark)-1], []string{p.Login, q.Login}},
		{mark + " 花子", []string{p.Login}},
		{"  花子　" + mark + " ", []string{p.Login}},
		{"関所 太郎 " + mark, nil},
		{"hanako." + mark, []string{p.Login}},
		{mark + "@pref", []string{p.Login}},
		{p.Login, []string{p.Login}},
		{p.Login + " 次郎", nil},
		{mark + mark, nil},
	} {
		if got, next := w.found(w.d, tt.query, "", 10); next != "" || !slices.Equal(got, tt.want) {
			w.Errorf("Search(%q) = %v, then %q; want %v", tt.query, got, next, tt.want)
		}
	}
	people, _, err := w.d.Search(w.Context(), mark+" 花子", "", 10)
	w.yes("Search", err)
	if len(people) != 1 || people[0].ID != p.ID || !slices.ContainsFunc(people[0].Groups, func(dn string) bool { return strings.EqualFold(dn, group) }) {
		w.Errorf("found %+v", people)
	}

	// Narrowed to a section and a kind, with how many there are.
	section, other := "sec"+w.login(), "sec"+w.login()
	a := w.create(func(n *directory.NewPerson) { n.Section, n.Kind = section, directory.KindStaff })
	b := w.create(func(n *directory.NewPerson) { n.Section, n.Kind = section, directory.KindContractor })
	w.create(func(n *directory.NewPerson) { n.Section, n.Kind = other, directory.KindStaff })
	for _, tt := range []struct {
		wanted directory.Wanted
		want   []string
	}{
		{directory.Wanted{Section: section}, []string{a.Login, b.Login}},
		{directory.Wanted{Section: section, Kind: directory.KindStaff}, []string{a.Login}},
		{directory.Wanted{Section: section, Kind: directory.KindContractor}, []string{b.Login}},
		{directory.Wanted{Section: section, Words: b.Login}, []string{b.Login}},
		{directory.Wanted{Section: section, Kind: directory.KindService}, nil},
		{directory.Wanted{Section: section + ")(uid=*"}, nil},
	} {
		found, err := w.d.Look(w.Context(), tt.wanted, "", 10)
		w.yes("Look", err)
		var got []string
		for _, p := range found.People {
			got = append(got, p.Login)
		}
		if !slices.Equal(got, tt.want) || found.Total != len(tt.want) || found.Next != "" {
			w.Errorf("Look(%+v) = %v of %d, then %q; want %v", tt.wanted, got, found.Total, found.Next, tt.want)
		}
	}
	if found, err := w.d.Look(w.Context(), directory.Wanted{Section: section}, "", 1); err != nil || found.Total != 2 || found.Next == "" || len(found.People) != 1 {
		w.Errorf("one of two: %+v, %v", found, err)
	}
}

// searchPages: everybody comes once, in order, however small the pages of answer
// and server are.
func (w *world) searchPages() {
	small := w.s.Config
	small.PageSize = 3
	d, err := ldap.Open(w.Context(), small, w.s.Now)
	w.yes("opening", err)
	defer d.Close()
	mark := w.login() + "of-the-pages"
	var want []string
	for range 7 {
		want = append(want, w.create(func(n *directory.NewPerson) { n.Name, n.Password = mark, text("") }).Login)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 2, 3, 7, 8, 100_000} {
		var got []string
		after := ""
		for range 10 {
			part, next := w.found(d, mark, after, limit)
			if len(part) > limit {
				w.Fatalf("%d people of at most %d", len(part), limit)
			}
			got = append(got, part...)
			if after = next; after == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			w.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
	if got, next := w.found(d, mark, upper(want[6]), 3); got != nil || next != "" {
		w.Errorf("after the last: %v, then %q", got, next)
	}
	if got, _ := w.found(d, mark, "", -1); !slices.Equal(got, want[:1]) {
		w.Errorf("at most -1: %v", got)
	}
}

// searchInjection: what is searched for is a text, whatever it looks like.
func (w *world) searchInjection() {
	mark := w.login() + "x"
	p := w.create(func(n *directory.NewPerson) { n.Name = mark + ` *)(uid=* \2a` })
	for query, want := range map[string][]string{
		mark + " *)(uid=*":             {p.Login},
		mark + ` \2a`:                  {p.Login},
		mark + "*uid":                  nil,
		mark + " ***":                  nil,
		mark + ")(objectClass=*":       nil,
		mark + "))(|(uid=*":            nil,
		mark + " (objectClass=*)":      nil,
		w.s.Config.PeopleDN + mark:     nil,
		mark[:len(mark)-1] + "\u200bx": {p.Login},
	} {
		if got, _ := w.found(w.d, query, "", 10); !slices.Equal(got, want) {
			w.Errorf("Search(%q) = %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"\x00", "a\x00b", "\x1f", "a\xff", strings.Repeat("x", 101), strings.Repeat("x ", 9)} {
		_, _, err := w.d.Search(w.Context(), query, "", 10)
		w.no("Search", err, directory.ErrMalformed)
	}
	elsewhere := w.s.Config
	elsewhere.PeopleDN = "ou=nowhere," + w.s.Config.BaseDN
	d, err := ldap.Open(w.Context(), elsewhere, w.s.Now)
	w.yes("opening", err)
	defer d.Close()
	_, _, err = d.Search(w.Context(), mark, "", 10)
	w.no("below a base that is not there", err, directory.ErrAway)
}

// searchesOthers: entries that are no people are not found.
func (w *world) searchesOthers() {
	mark := w.login() + "thing"
	add := goldap.NewAddRequest("cn="+mark+","+w.s.Config.PeopleDN, nil)
	add.Attribute("objectClass", []string{"organizationalRole"})
	add.Attribute("cn", []string{mark})
	w.yes("adding", w.admin().Add(add))
	if got, _ := w.found(w.d, mark, "", 10); got != nil {
		w.Errorf("found %v", got)
	}
}

// unlock ends a lock and opens nothing that was closed.
func (w *world) unlock() {
	p := w.create()
	w.yes("Unlock with no lock", w.d.Unlock(w.Context(), p))
	for range w.s.MaxFailures {
		w.guess(p)
	}
	w.says(p, "first-password", directory.OutcomeLocked)
	w.yes("Unlock", w.d.Unlock(w.Context(), p))
	if w.fresh(p).Account.PasswordLocked {
		w.Error("still locked")
	}
	w.says(p, "first-password", directory.OutcomeRight)
	w.yes("Disable", w.d.Disable(w.Context(), p))
	w.no("Unlock of a disabled account", w.d.Unlock(w.Context(), p), directory.ErrNotFound)
	w.says(p, "first-password", directory.OutcomeDisabled)
	w.yes("Delete", w.d.Delete(w.Context(), p))
	w.no("Unlock after Delete", w.d.Unlock(w.Context(), p), directory.ErrNotFound)
}
