package test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/directory/schema"
	"sekisho/test/harness"
)

// What a domain lends: a group, and a named administrator's ID that is closed but
// for the time.
const domainLends = `privileges:
  - id: db-admin
    name: {ja: データベース管理, en: Database administration}
    gives: [{kind: group, group: "GROUP"}]
    eligible: {posts: [staff]}
    approvers: {posts: [security_officer], quorum: 1, where: anywhere}
    acr: aal2
    fresh_for: 8h
    work_record: false
  - id: switch-admin
    name: {ja: 通信機器の管理, en: Network equipment}
    gives: [{kind: account, account: "ACCOUNT"}]
    eligible: {posts: [staff]}
    approvers: {posts: [security_officer], quorum: 1, where: anywhere}
    acr: aal2
    fresh_for: 8h
    work_record: false
`

// TestLeasesOnActiveDirectory: the story through the API against a real domain
// controller: a membership that comes and goes, and a named ID that opens with a
// password of this lease, and closes.
func TestLeasesOnActiveDirectory(t *testing.T) {
	t.Parallel()
	d := onDomain(t, "l-")
	tanaka, kobayashi := d.join("tanaka", false), d.join("kobayashi", false)
	d.group("staff", tanaka.DN, kobayashi.DN)
	d.group("officer", kobayashi.DN)
	group, id := d.group("dbadmins"), "CN="+d.prefix+"switch,OU=admins,"+d.s.BaseDN
	ad, _ := schema.Named("active_directory")
	nobodys, err := ad.PasswordValue("Nobody-knows-this-1")
	if err != nil {
		t.Fatal(err)
	}
	d.add(id, "user", map[string][]string{"sAMAccountName": {d.prefix + "switch"}, "unicodePwd": {nobodys}, "userAccountControl": {"514"}})
	d.Variant(t, d.Policy, "policy.yaml", "sign_in:", strings.NewReplacer("GROUP", group, "ACCOUNT", id).Replace(domainLends)+"sign_in:")

	clock := newStageClock(t, d.Dir, -25*time.Hour)
	yesterday := plays(t, d.Site, clock)
	keys := map[*harness.Member]*passkeytest.Key{}
	for i, m := range []*harness.Member{tanaka, kobayashi} {
		c := d.Behind("10.2.0." + strconv.Itoa(i+1))
		m.SignIn(t, c)
		k, a := c.EnrolPasskey(t, d.PublicURL)
		if a.Status != http.StatusCreated {
			t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
		}
		keys[m] = k
	}
	yesterday.Stop(t)
	serves(t, d.Site)
	in := func(m *harness.Member) borrower {
		t.Helper()
		c := d.Behind("10.2.0.9")
		if s, a := c.Passkey(t, keys[m]); s.State != "signed_in" {
			t.Fatalf("signing %s in by passkey: %d %s", m.Login, a.Status, a.Body)
		}
		return borrower{t, c, m.Login}
	}
	asker, officer := in(tanaka), in(kobayashi)
	borrows := func(privilege string) elevation {
		t.Helper()
		e := asker.does("", saying{"privilege": privilege, "reason": "更新の適用", "minutes": 10}, http.StatusCreated).is(t, "pending")
		officer.does("/"+e.ID+"/approve", nil, http.StatusOK).is(t, "approved")
		return asker.does("/"+e.ID+"/activate", nil, http.StatusOK).is(t, "active")
	}
	returns := func(e elevation) {
		t.Helper()
		asker.does("/"+e.ID+"/end", nil, http.StatusOK).is(t, "ended")
	}

	e := borrows("db-admin")
	if got := d.attribute(group, "member"); !strings.EqualFold(got, tanaka.DN) {
		t.Errorf("active, and the domain has %q in the group", got)
	}
	returns(e)
	harness.Until(t, "the group to be clean", func() bool { return d.attribute(group, "member") == "" })

	lets := func(password string) bool {
		c := d.s.Dial(t)
		defer c.Close()
		return c.Bind(id, password) == nil
	}
	closed := func() bool {
		flags, err := strconv.Atoi(d.attribute(id, "userAccountControl"))
		return err == nil && flags&2 != 0
	}
	e = borrows("switch-admin")
	if e.Account == nil || !strings.EqualFold(e.Account.Login, d.prefix+"switch") || !lets(e.Account.Password) || closed() {
		t.Fatalf("the named ID does not open with what was answered: closed: %t", closed())
	}
	if lets("Nobody-knows-this-1") {
		t.Error("its former password opens it")
	}
	returns(e)
	harness.Until(t, "the named ID to be closed", func() bool { return closed() && !lets(e.Account.Password) })
	harness.Until(t, "the cleanup to be confirmed", func() bool { return asker.sees(e.ID).Cleanup == "confirmed" })
}
