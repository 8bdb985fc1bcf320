package test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// comes opens a window in which somebody signs in with the passkey that they have
// had since yesterday.
func (l *lending) comes(t *testing.T, browser context.Context, login string) *tab {
	t.Helper()
	k := l.keys[login]
	private, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return comes(t, browser, l.PublicURL, folder.Person{Login: login, Passkey: &folder.Passkey{
		CredentialID: base64.RawURLEncoding.EncodeToString(k.CredentialID), UserHandle: base64.RawURLEncoding.EncodeToString(k.UserHandle),
		PrivateKey: base64.StdEncoding.EncodeToString(private),
	}})
}

// TestLeasesOnSlapdInTheBrowser is the whole story at `sekisho serve` with a real
// OpenLDAP: two people and their passkeys in Chromium, and ldapsearch, which sees
// the membership come and go, and an ID that binds and then does not.
func TestLeasesOnSlapdInTheBrowser(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	l := newLending(t, harness.SiteOptions{}, "tanaka", "kobayashi")
	outside := newOutsider(t, l.Slapd.URL, l.Slapd.BaseDN, l.Slapd.AdminDN, l.Slapd.AdminPassword)
	serves(t, l.Site)
	asker, approver := l.comes(t, browser, "tanaka"), l.comes(t, browser, "kobayashi")
	dn := l.Members["tanaka"].DN
	borrows := func(privilege, reason, then string) {
		t.Helper()
		asker.open(l.PublicURL + "/leases")
		asker.clicksTo(`a[href="/leases/ask?privilege=`+privilege+`"]`, "#reason")
		asker.types("#reason", reason)
		asker.confirms(".note.good")
		asker.says("申請しました", "判断待ち")
		page := evaluate[string](asker, `location.pathname`)
		approver.open(l.PublicURL + "/approvals")
		approver.says(reason, "承認すると")
		approver.clicksTo(`.decide button[value="yes"]`, ".note.good")
		if outside.member(t, l.group, dn) {
			t.Error("a member before it was started")
		}
		asker.open(l.PublicURL + page)
		asker.clicksTo(`form[action$="/activate"] button`, then)
	}
	returns := func() {
		t.Helper()
		asker.open(l.PublicURL + "/leases")
		asker.clicksTo(`form[action$="/end"] button`, ".note.good")
		asker.says("返しました")
	}

	borrows("db-admin", "索引を作り直す", ".clock")
	asker.ticks()
	if !outside.member(t, l.group, dn) {
		t.Error("active, and slapd does not know")
	}
	approver.open(l.PublicURL + "/live")
	approver.sees(".lane svg")
	approver.says("索引を作り直す", "終わらせる")
	returns()
	harness.Until(t, "slapd to be clean", func() bool { return !outside.member(t, l.group, dn) })

	borrows("server-admin", "更新の適用", ".slip")
	lent := evaluate[[]string](asker, `[...document.querySelectorAll('.slip .secret')].map((e) => e.textContent.trim())`)
	if len(lent) != 2 || !outside.binds(t, lent[0], lent[1]) {
		t.Fatalf("the ID that is shown does not bind: %d values", len(lent))
	}
	servers, id := "cn=server-admins,ou=groups,"+l.Slapd.BaseDN, "uid="+lent[0]+",ou=admins,"+l.Slapd.BaseDN
	if !outside.member(t, servers, id) || outside.binds(t, lent[0], "not-the-password") {
		t.Error("the ID is in no group, or any password binds")
	}
	asker.clicksTo(".acts a.button", ".clock")
	returns()
	harness.Until(t, "the ID to bind no more", func() bool { return !outside.binds(t, lent[0], lent[1]) })
	harness.Until(t, "the group to be clean", func() bool { return !outside.member(t, servers, id) })
}
