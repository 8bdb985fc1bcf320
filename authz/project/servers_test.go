package project

import (
	"os"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
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

func word(login string) string { return "Kasumi-" + login + "-1234" }

// onServer is a book on a real server, with some of the test's prefecture: groups are made
// by its administrator, people by the gate itself.
func onServer(t *testing.T, c ldap.Config, admin *goldap.Conn, groups string, attributes map[string][]string) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), policy: rules()}
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
	for _, m := range prefecture {
		if m.more != nil && !strings.HasPrefix(m.login, "dev") {
			continue
		}
		kind := directory.KindStaff
		if m.more != nil {
			kind = directory.KindContractor
		}
		p, err := w.dir.Create(t.Context(), directory.NewPerson{
			Login: m.login, Name: "例 " + m.login, Mail: m.login + "@pref.example", Section: "joho", Number: "K-" + m.login, Kind: kind, Password: typed(word(m.login)),
		})
		w.must(err)
		for _, id := range m.posts {
			post, _ := w.policy.Post(id)
			w.must(w.dir.AddMember(t.Context(), post.Group, p.DN))
		}
	}
	return w
}

// lets reports whether the server itself lets somebody in.
func (w *world) lets(login string) bool {
	w.Helper()
	said, err := w.dir.Authenticate(w.Context(), w.person(login), typed(word(login)))
	w.must(err)
	return said == directory.OutcomeRight
}

// completes has a project be completed that began a while ago, with the server asked whom
// it lets in.
func (w *world) completes() {
	w.Helper()
	w.register("last", "production", "2027-03-31")
	w.bind("last", "mori", "hara")
	w.tick()
	got, err := w.CompleteAs(w.Context(), w.as("sato"), "last", "済んだ")
	w.must(err)
	w.tick()
	w.must(w.life.Effects(w.Context()))
	if len(got.Closed) != 2 || w.lets("mori") || w.lets("hara") || !w.lets("tanaka") {
		w.Errorf("completed: %+v, and the server lets in mori %t, hara %t, tanaka %t", got, w.lets("mori"), w.lets("hara"), w.lets("tanaka"))
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

func TestEndsOnSlapd(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	w := onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "openldap", BindDN: s.ServiceDN, BindPassword: typed(s.ServicePassword), BaseDN: s.BaseDN, OpTimeout: 20 * time.Second,
	}, asAdmin(t, s.LDAPSURL, s.CAFile, s.AdminDN, s.AdminPassword), "ou=groups,"+s.BaseDN, map[string][]string{"objectClass": {"groupOfNames"}, "member": {"cn=nobody," + s.BaseDN}})
	w.completes()
	w.whole()
}

func TestEndsOnActiveDirectory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one after another: nothing for the race detector")
	}
	s := samba.Shared(t)
	w := onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "active_directory", BindDN: s.ServiceDN, BindPassword: typed(s.ServicePassword),
		BaseDN: s.BaseDN, PeopleDN: "OU=people," + s.BaseDN, GroupsDN: "OU=groups," + s.BaseDN, OpTimeout: 20 * time.Second,
	}, asAdmin(t, s.LDAPSURL, s.CAFile, s.AdminDN, s.AdminPassword), "OU=groups,"+s.BaseDN, map[string][]string{"objectClass": {"group"}})
	w.completes()
	w.whole()
}
