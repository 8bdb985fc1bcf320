package directorytest

import (
	"errors"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/policy/secret"
)

func (w *world) everyName() {
	p := w.create()
	for _, typed := range []string{
		p.Login, upper(p.Login), wide(p.Login), wide(upper(p.Login)),
		" " + p.Login + " ", p.Login[:2] + " " + p.Login[2:], "\u3000" + p.Login, p.Login + "\u200b", p.Login + "\n",
		p.Mail, upper(p.Mail), wide(p.Mail), " " + p.Mail,
		p.DN, upper(p.DN), wide(p.DN), strings.ReplaceAll(p.DN, ",", " , "), " " + p.DN + " ",
	} {
		got, err := w.d.Find(w.Context(), typed)
		if err != nil || got.ID != p.ID {
			w.Errorf("Find(%q) = %q, %v, want %q", typed, got.ID, err, p.ID)
		}
	}
	got, err := w.d.ByID(w.Context(), directory.PersonID(upper(string(p.ID))))
	if err != nil || got.ID != p.ID || got.Login != p.Login {
		w.Errorf("ByID = %+v, %v", got, err)
	}
	_, err = w.d.ByID(w.Context(), "00000000-0000-0000-0000-000000000000")
	w.no("ByID of nobody", err, directory.ErrNotFound)
	_, err = w.d.Find(w.Context(), w.login())
	w.no("Find of nobody", err, directory.ErrNotFound)
}

// injection: security.md row 17. Each of these would match somebody, were it
// not taken as a name.
func (w *world) injection() {
	p := w.create()
	for _, typed := range []string{
		"", " ", "*", p.Login + "*", p.Login[:3] + "*", "*)(uid=*", p.Login + ")(|(uid=*", `\2a`, `\` + p.Login,
		p.Login + "\x00", "\x00", p.Login + "\x00x", p.Login + "\x1f", "\xff", p.Login + "\xc3",
		"(uid=" + p.Login + ")", p.Login + `,ou=people,` + w.s.Config.BaseDN, "*@pref.example",
		"uid=*,ou=people," + w.s.Config.BaseDN,
		`uid=` + p.Login + `\00,ou=people,` + w.s.Config.BaseDN,
		"uid=" + p.Login + ",ou=groups," + w.s.Config.BaseDN,
		"ou=people," + w.s.Config.BaseDN, w.s.Config.BindDN, w.s.AdminDN, w.s.Config.BaseDN,
		strings.Repeat("x", 100_000),
	} {
		got, err := w.d.Find(w.Context(), typed)
		if !errors.Is(err, directory.ErrNotFound) {
			w.Errorf("Find(%.80q) = %q, %v, want nobody", typed, got.Login, err)
		}
	}
	for _, id := range []string{"", "*", string(p.ID) + "*", string(p.ID) + ")(uid=*", "\x00"} {
		_, err := w.d.ByID(w.Context(), directory.PersonID(id))
		w.no("ByID("+id+")", err, directory.ErrNotFound)
	}
	// Outside the people base no DN is written to or bound as.
	stranger := p
	stranger.DN = w.s.AdminDN
	if got, err := w.d.Authenticate(w.Context(), stranger, text(w.s.AdminPassword)); err == nil || got != directory.OutcomeWrong {
		w.Errorf("Authenticate as the administrator = %v, %v", got, err)
	}
	w.no("Disable", w.d.Disable(w.Context(), stranger), directory.ErrMalformed)
	w.no("Delete", w.d.Delete(w.Context(), stranger), directory.ErrMalformed)
	w.no("ResetPassword", w.d.ResetPassword(w.Context(), stranger, text("another-password"), false), directory.ErrMalformed)
	w.no("AddMember", w.d.AddMember(w.Context(), "ou=people,"+w.s.Config.BaseDN, p.DN), directory.ErrMalformed)
	w.no("AddMember", w.d.AddMember(w.Context(), w.group(p.DN), w.s.AdminDN), directory.ErrMalformed)
}

func (w *world) emptyPassword() {
	p := w.create()
	without := w.create(func(n *directory.NewPerson) { n.Password = secret.Text{} })
	for _, q := range []directory.Person{p, without} {
		w.says(q, "", directory.OutcomeWrong)
	}
	w.says(without, "x", directory.OutcomeWrong)
	w.says(p, "\x00", directory.OutcomeWrong)
	for _, err := range []error{
		w.d.ChangePassword(w.Context(), p, text(""), text("second-password")),
		w.d.ChangePassword(w.Context(), p, text("first-password"), text("")),
		w.d.ResetPassword(w.Context(), p, text(""), false),
	} {
		var refused *directory.Refused
		if !errors.As(err, &refused) {
			w.Errorf("%v, want a refusal", err)
		}
	}
	w.says(p, "first-password", directory.OutcomeRight)
}

func (w *world) ambiguous() {
	shared := w.login() + "@pref.example"
	for range 3 {
		p := w.create(func(n *directory.NewPerson) { n.Mail = shared })
		if got := w.fresh(p); got.Mail != shared {
			w.Errorf("mail = %q", got.Mail)
		}
	}
	_, err := w.d.Find(w.Context(), shared)
	w.no("Find of a shared address", err, directory.ErrAmbiguous)
}

func (w *world) exists() {
	p := w.create()
	for _, login := range []string{p.Login, p.Mail} {
		want := directory.ErrExists
		if strings.ContainsAny(login, w.s.Kind.LoginForbids) {
			want = directory.ErrMalformed
		}
		_, err := w.d.Create(w.Context(), directory.NewPerson{Login: login, Name: "もう一人", Kind: directory.KindStaff})
		w.no("Create("+login+") again", err, want)
	}
	// The same login under another DN, put there behind our back.
	other := w.login()
	add := goldap.NewAddRequest("cn="+other+","+w.s.Config.PeopleDN, nil)
	for attribute, values := range w.s.Kind.Person(other) {
		add.Attribute(attribute, values)
	}
	w.yes("adding", w.admin().Add(add))
	_, err := w.d.Create(w.Context(), directory.NewPerson{Login: other, Name: "もう一人", Kind: directory.KindStaff})
	w.no("Create of a login held under another DN", err, directory.ErrExists)
}

func (w *world) malformed() {
	for name, n := range map[string]directory.NewPerson{
		"no login":       {Name: "太郎", Kind: directory.KindStaff},
		"no name":        {Login: w.login(), Kind: directory.KindStaff},
		"no kind":        {Login: w.login(), Name: "太郎"},
		"another kind":   {Login: w.login(), Name: "太郎", Kind: "root"},
		"capitals":       {Login: upper(w.login()), Name: "太郎", Kind: directory.KindStaff},
		"a space":        {Login: "a " + w.login(), Name: "太郎", Kind: directory.KindStaff},
		"full width":     {Login: wide(w.login()), Name: "太郎", Kind: directory.KindStaff},
		"NUL in a login": {Login: w.login() + "\x00", Name: "太郎", Kind: directory.KindStaff},
		"NUL in a name":  {Login: w.login(), Name: "太\x00郎", Kind: directory.KindStaff},
		"a DN":           {Login: "uid=x", Name: "太郎", Kind: directory.KindStaff},
	} {
		_, err := w.d.Create(w.Context(), n)
		w.no(name, err, directory.ErrMalformed)
	}
	// Metacharacters of DNs and filters are letters like any others.
	for _, odd := range []string{`a,b+c`, `a"b`, `a\b`, `a*b(c)`, `a<b>;c`, `#a`, `ａ関所`[3:], `ou,dc`} {
		login := directory.Canonical(w.login() + odd)
		if strings.HasPrefix(odd, "#") {
			login = odd + w.login()
		}
		if strings.ContainsAny(login, w.s.Kind.LoginForbids) {
			_, err := w.d.Create(w.Context(), directory.NewPerson{Login: login, Name: "太郎", Kind: directory.KindStaff})
			w.no(login, err, directory.ErrMalformed)
			continue
		}
		p := w.create(func(n *directory.NewPerson) { n.Login = login; n.Mail = "" })
		if got, err := w.d.Find(w.Context(), login); err != nil || got.ID != p.ID || got.Login != login {
			w.Errorf("Find(%q) = %+v, %v", login, got, err)
		}
		w.says(p, "first-password", directory.OutcomeRight)
		group := w.group(w.nobody())
		w.yes("AddMember", w.d.AddMember(w.Context(), group, p.DN))
		w.inGroups(p, group)
		w.yes("Delete", w.d.Delete(w.Context(), p))
	}
}

func (w *world) life() {
	end := w.s.Now().Add(72 * time.Hour)
	p := w.create(func(n *directory.NewPerson) {
		n.Surname, n.Section, n.Company, n.Kind = "関所", "zaisei", "関所建設", directory.KindContractor
		n.MustChange, n.ExpiresAt = true, end
	})
	if p.Name != "関所 太郎" || p.Section != "zaisei" || p.Company != "関所建設" || p.Kind != directory.KindContractor || len(p.Groups) != 0 {
		w.Errorf("created %+v", p)
	}
	a := p.Account
	if a.Disabled || !a.MustChange || a.PasswordLocked || !a.LastUsedAt.IsZero() || a.CreatedAt.IsZero() || a.PasswordChangedAt.IsZero() {
		w.Errorf("its account is %+v", a)
	}
	if day := end.Truncate(w.s.Kind.EndStep); !a.ExpiresAt.Equal(day) || !a.Usable(w.s.Now()) || a.Usable(day) {
		w.Errorf("it ends at %v, want %v", a.ExpiresAt, day)
	}
	w.says(p, "first-password", directory.OutcomeMustChange)
	w.yes("ChangePassword", w.d.ChangePassword(w.Context(), p, text("first-password"), text("second-password")))
	w.says(p, "first-password", directory.OutcomeWrong)
	w.says(p, "second-password", directory.OutcomeRight)
	used := w.fresh(p).Account
	if used.MustChange || used.LastUsedAt.IsZero() || used.LastUsedAt.Before(used.CreatedAt) {
		w.Errorf("after use its account is %+v", used)
	}
	w.yes("Delete", w.d.Delete(w.Context(), p))
	_, err := w.d.ByID(w.Context(), p.ID)
	w.no("ByID after Delete", err, directory.ErrNotFound)
	w.yes("Delete again", w.d.Delete(w.Context(), p))
	w.no("Disable after Delete", w.d.Disable(w.Context(), p), directory.ErrNotFound)
	w.no("Enable after Delete", w.d.Enable(w.Context(), p), directory.ErrNotFound)
	w.no("ResetPassword after Delete", w.d.ResetPassword(w.Context(), p, text("third-password"), true), directory.ErrNotFound)
	if got, err := w.d.Authenticate(w.Context(), p, text("second-password")); err != nil || got != directory.OutcomeWrong {
		w.Errorf("Authenticate after Delete = %v, %v", got, err)
	}
}

// amended: what is to be of a person is so afterwards, whatever was so before and
// however often it is said; what is not spoken of stays.
func (w *world) amended() {
	p := w.create(func(n *directory.NewPerson) { n.Section, n.Company, n.Number = "zaisei", "関所建設", "K-"+n.Login })
	if p.Number != "K-"+p.Login {
		w.Errorf("created with the number %q", p.Number)
	}
	say := func(v string) *string { return &v }
	is := func(what string, want func(directory.Person) bool) {
		w.Helper()
		if got := w.fresh(p); !want(got) || got.ID != p.ID || got.Login != p.Login {
			w.Errorf("%s: %+v", what, got)
		}
	}
	kind, yes, no := directory.KindContractor, true, false
	// The minute at which March ends in Japan, and not the day of UTC that it is in.
	end := w.s.Now().Add(72 * time.Hour).Truncate(time.Hour).Add(15 * time.Minute)
	all := directory.Amendment{Name: say("関所 花子"), Mail: say("h." + p.Mail), Section: say("jinji"), Company: say(""), Number: say("N-" + p.Login), Kind: &kind, ExpiresAt: &end, Disabled: &yes}
	for range 2 {
		w.yes("Amend", w.d.Amend(w.Context(), p, all))
		is("amended", func(g directory.Person) bool {
			return g.Name == "関所 花子" && g.Mail == "h."+p.Mail && g.Section == "jinji" && g.Company == "" && g.Number == "N-"+p.Login && g.Kind == kind &&
				g.Account.Disabled && g.Account.ExpiresAt.Equal(end)
		})
	}
	w.yes("Amend", w.d.Amend(w.Context(), p, directory.Amendment{Disabled: &no}))
	is("enabled", func(g directory.Person) bool {
		return !g.Account.Disabled && g.Account.Usable(end.Add(-time.Second)) && !g.Account.Usable(end) && g.Section == "jinji"
	})
	w.says(p, "first-password", directory.OutcomeRight)
	w.yes("Amend", w.d.Amend(w.Context(), p, directory.Amendment{ExpiresAt: &time.Time{}}))
	is("without an end", func(g directory.Person) bool { return g.Account.ExpiresAt.IsZero() && g.Name == "関所 花子" })
	w.yes("Amend to nothing", w.d.Amend(w.Context(), p, directory.Amendment{}))
	w.no("Amend without a name", w.d.Amend(w.Context(), p, directory.Amendment{Name: say("")}), directory.ErrMalformed)
	w.no("Amend by a NUL", w.d.Amend(w.Context(), p, directory.Amendment{Section: say("a\x00b")}), directory.ErrMalformed)
	guarded := p
	guarded.Protected = true
	w.no("Amend of a guarded entry", w.d.Amend(w.Context(), guarded, all), directory.ErrProtected)
	w.yes("Delete", w.d.Delete(w.Context(), p))
	second := w.create(func(n *directory.NewPerson) { n.Login = p.Login })
	w.no("Amend after Delete", w.d.Amend(w.Context(), p, all), directory.ErrNotFound)
	if got := w.fresh(second); got.Section == "jinji" {
		w.Errorf("%+v was amended in the place of another", got)
	}
}

// reusedName: a DN can be given again, an ID cannot. Nothing that was meant for
// the first may happen to the second.
func (w *world) reusedName() {
	first := w.create()
	group := w.group(first.DN)
	w.yes("Delete", w.d.Delete(w.Context(), first))
	second := w.create(func(n *directory.NewPerson) { n.Login = first.Login })
	if second.DN != first.DN || second.ID == first.ID {
		w.Fatalf("created %+v after %+v", second, first)
	}
	w.no("Disable", w.d.Disable(w.Context(), first), directory.ErrNotFound)
	w.no("ResetPassword", w.d.ResetPassword(w.Context(), first, text("another-password"), false), directory.ErrNotFound)
	w.no("Delete", w.d.Delete(w.Context(), first), directory.ErrNotFound)
	if got := w.fresh(second); got.Account.Disabled || len(got.Groups) != 0 {
		w.Errorf("%+v inherited from %s", got, group)
	}
	w.says(second, "first-password", directory.OutcomeRight)
}
