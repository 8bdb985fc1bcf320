package personnel

import (
	"os"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store/storetest"
	"sekisho/test/samba"
	"sekisho/test/slapd"
)

func TestMain(m *testing.M) {
	status := m.Run()
	samba.Stop()
	os.Exit(status)
}

func typed(s string) secret.Text { return secret.NewText([]byte(s)) }

// onServer is a book on a real server, with the members of the test's prefecture: groups
// are made by its administrator, people by the gate itself.
func onServer(t *testing.T, c ldap.Config, admin *goldap.Conn, groups string, attributes map[string][]string) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(planned), policy: rules()}
	w.policy.Personnel.PerSecond = 10_000
	w.dir, w.db, w.ring = embeddedtest.Dial(t, c, w.clock.Now), storetest.Open(t), authztest.Ring(t)
	w.Book = w.gateway(w.dir)
	for i := range w.policy.Posts {
		name := strings.ReplaceAll(string(w.policy.Posts[i].ID), "_", "-")
		add := goldap.NewAddRequest("cn="+name+","+groups, nil)
		for k, v := range attributes {
			add.Attribute(k, v)
		}
		w.must(admin.Add(add))
		w.policy.Posts[i].Group = add.DN
	}
	for _, m := range members {
		p, err := w.dir.Create(t.Context(), directory.NewPerson{
			Login: m.login, Name: "例 " + m.login, Mail: m.login + "@pref.example", Section: m.section, Number: "K-" + m.login, Kind: directory.KindStaff, Password: typed(word(m.login)),
		})
		w.must(err)
		for _, id := range m.posts {
			post, _ := w.policy.Post(id)
			w.must(w.dir.AddMember(t.Context(), post.Group, p.DN))
		}
		for attribute := range m.more {
			yes, a := true, directory.Amendment{ExpiresAt: &effective}
			if attribute == "pwdAccountLockedTime" {
				a = directory.Amendment{Disabled: &yes}
			}
			w.must(w.dir.Amend(t.Context(), p, a))
		}
	}
	return w
}

func word(login string) string { return "Kasumi-" + login + "-1234" }

// lets are those of some whom the server itself lets in.
func (w *world) lets(logins ...string) string {
	w.Helper()
	var in []string
	for _, login := range logins {
		said, err := w.dir.Authenticate(w.Context(), w.person(login), typed(word(login)))
		w.must(err)
		if said == directory.OutcomeRight {
			in = append(in, login)
		}
	}
	return strings.Join(in, " ")
}

// whole is an import from its file to its undoing, as two persons have it done; the
// server is asked at each turn whom it lets in.
func (w *world) whole() {
	w.Helper()
	ctx := w.Context()
	w.want("seeded", before)
	i := w.propose(changes)
	w.must(w.Tick(ctx))
	w.want("proposed", before)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(ctx))
	w.want("approved", ahead)
	w.at(effective)
	w.must(w.Tick(ctx))
	w.want("on the day", after)
	if in := w.lets("tanaka", "suzuki", "kinnen", "modori"); in != "tanaka kinnen modori" {
		w.Errorf("on the day the server lets in %s", in)
	}
	if again, err := w.Look(ctx, "oda", file(changes), time.Time{}); err != nil || again.Unchanged != 7 {
		w.Errorf("the same file once more: %+v, %v", again.Counts, err)
	}
	asked, err := w.AskUndo(ctx, approval.Ref(w.person("kobayashi")), []policy.PostID{policy.SecurityOfficer}, i.ID, "ファイルの取違え")
	w.must(err)
	w.decide("yoshida", asked.UndoMatter, true)
	w.must(w.Tick(ctx))
	w.want("undone", undone)
	if in := w.lets("tanaka", "suzuki", "modori"); in != "tanaka suzuki" {
		w.Errorf("undone, the server lets in %s", in)
	}
	if w.state(i.ID) != Undone {
		w.Error("it is", w.state(i.ID))
	}
}

// asAdmin is the server's administrator.
func asAdmin(t *testing.T, url, ca, dn, password string) *goldap.Conn {
	t.Helper()
	c, err := embeddedtest.DialTLS(url, ca)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		err = c.Bind(dn, password)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWholeOnSlapd(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "openldap", BindDN: s.ServiceDN, BindPassword: typed(s.ServicePassword), BaseDN: s.BaseDN, OpTimeout: 20 * time.Second,
	}, asAdmin(t, s.LDAPSURL, s.CAFile, s.AdminDN, s.AdminPassword), "ou=groups,"+s.BaseDN, map[string][]string{"objectClass": {"groupOfNames"}, "member": {"cn=nobody," + s.BaseDN}}).whole()
}

func TestWholeOnActiveDirectory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one after another: nothing for the race detector")
	}
	s := samba.Shared(t)
	onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "active_directory", BindDN: s.ServiceDN, BindPassword: typed(s.ServicePassword),
		BaseDN: s.BaseDN, PeopleDN: "OU=people," + s.BaseDN, GroupsDN: "OU=groups," + s.BaseDN, OpTimeout: 20 * time.Second,
	}, asAdmin(t, s.LDAPSURL, s.CAFile, s.AdminDN, s.AdminPassword), "OU=groups,"+s.BaseDN, map[string][]string{"objectClass": {"group"}}).whole()
}
