package desk_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz/approval"
	"sekisho/authz/approval/approvaltest"
	"sekisho/authz/permit"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/web/desk"
)

// TestRenewAll: whoever has more to renew than fits into one go comes to the end of it.
// What was renewed is in force until its own end, and does not hide what was not.
func TestRenewAll(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, p, db := clock.NewFake(time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)), policy.Standard(), storetest.Open(t)
	p.Applications = []policy.Application{{ID: "bunsho", Zone: policy.LGWAN}}
	p.Sections = []policy.Section{{ID: "soumu"}, {ID: "jinji", Parent: "soumu"}}
	for i := range p.Posts {
		p.Posts[i].Group = "cn=" + string(p.Posts[i].ID) + ",ou=groups"
	}
	p.Terminals = []policy.Terminal{{ID: "own", Zone: policy.LGWAN, Class: policy.TerminalDedicated}}
	pol, version, trail := func() *policy.Policy { return p }, func() int64 { return 1 }, audit.New(db, c.Now)
	office := approvaltest.Open(t, db, trail, pol, c, map[string]policy.PostID{"tanaka": policy.Staff, "cho": policy.CIO, "choei": policy.CIO})
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	must(err)
	notices := notice.New(db, c.Now, pol)
	matters := approval.New(approval.House{DB: db, Trail: trail, Policy: pol, Version: version, People: office, Facts: office, Presence: office, Notices: notices, Now: c.Now})
	book := permit.New(permit.House{
		DB: db, Trail: trail, Policy: pol, Version: version, Matters: matters, People: office, Facts: office, Terminals: terminal.New(db, nil, "", c.Now, pol),
		Sessions: session.New(db, ring, trail, nil, pol, c.Now), Notices: notices, Now: c.Now,
	})
	book.Open(matters)
	d := desk.New(desk.House{Approvals: matters, Permits: book, DB: db, Policy: pol, Now: c.Now})
	at := signin.Origin{Zone: policy.LGWAN}
	enter := func(login string) string { return office.SignIn(t, login, policy.PHR, c.Now().AddDate(-1, 0, 0)) }

	asked, err := d.AskPermit(t.Context(), at, enter("tanaka"), desk.PermitWish{
		Kind: desk.RemoteAccess, Reason: "在宅", From: c.Now(), Until: time.Date(2027, 3, 31, 15, 0, 0, 0, time.UTC), Stated: map[string][]string{"terminal": {"own"}, "applications": {"bunsho"}},
	})
	must(err)
	by, err := book.Signed(t.Context(), at, enter("cho"))
	must(err)
	if _, err := book.Decide(t.Context(), by, asked.ID, true, "", nil); err != nil {
		t.Fatal(err)
	}
	// copied is the permit once more, asked for so much later, with so many microseconds
	// more to go, and other words in its body.
	copied := func(id string, later, longer int64, from, to string) {
		t.Helper()
		must(db.WithTx(t.Context(), func(tx *store.Tx) error {
			return tx.ExecOne(t.Context(), `
				INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body,
				                    section, applications, words, lapses_at, decided_at, looked_at, done_at)
				SELECT $1, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at + $2, starts_at, ends_at + $3, due_at, matter, changed_at, REPLACE(body, $4, $5),
				       section, applications, words, lapses_at, decided_at, looked_at, done_at
				FROM   permit WHERE id = $6`, id, later, longer, from, to, asked.ID)
		}))
	}
	const held, renewed = 129, 100 // beside the first
	for i := range held {
		copied(fmt.Sprintf("old-%03d", i), int64(1+i), 0, "-", "-")
	}
	for i := range renewed { // the newest, which a list begins with
		old := fmt.Sprintf("old-%03d", held-1-i)
		copied("new-"+old, int64(1000+i), (365 * 24 * time.Hour).Microseconds(), `"policy_version"`, `"renews":"`+old+`","policy_version"`)
	}
	c.Advance(115 * 24 * time.Hour) // to March
	list, err := d.ListPermits(t.Context(), at, enter("tanaka"), desk.PermitFilter{Which: desk.WhichRenew, Limit: 100})
	must(err)
	if got := len(list.Permits); got != 1+held-renewed {
		t.Errorf("%d are to be renewed, want %d", got, 1+held-renewed)
	}
	for _, one := range list.Permits {
		if one.Renewed != "" || !one.May[desk.PermitRenew].OK || one.ID != asked.ID && one.ID > "old-028" {
			t.Errorf("%s is to be renewed, and by %q", one.ID, one.Renewed)
		}
	}
	if list, err = d.ListPermits(t.Context(), at, enter("tanaka"), desk.PermitFilter{Which: desk.WhichRenew, Limit: 10}); err != nil || len(list.Permits) != 10 {
		t.Errorf("in one go: %d, %v", len(list.Permits), err)
	}
}
