package test

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// refusesSeal has the database refuse what the sealer writes; slowsSeal has it
// take its time with it.
const (
	refusesSeal = `CREATE OR REPLACE FUNCTION sealing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no seal, says the test'; END $$`
	slowsSeal   = `CREATE OR REPLACE FUNCTION sealing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$`
	hinders     = `CREATE TRIGGER sealing BEFORE INSERT ON trail_checkpoint FOR EACH ROW EXECUTE FUNCTION sealing()`
	lets        = `DROP TRIGGER sealing ON trail_checkpoint`
)

// TestNoSealNoPrivilege is F21: while the trail cannot be sealed nothing is asked
// for, approved or activated, and in the directory nothing changes; giving back and
// everything that gives nobody more go on, and what they write waits. Afterwards
// it is all there, in order. A sealer that is slow holds nobody up.
func TestNoSealNoPrivilege(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{})
	section := harness.OnPostgres(t, server, "")
	database := regexp.MustCompile(`@[^/]+/(\w+)`).FindStringSubmatch(section)[1]
	admin := func(statements ...string) {
		t.Helper()
		if err := server.Admin(t.Context(), database, statements...); err != nil {
			t.Fatal(err)
		}
	}
	l := newLending(t, harness.SiteOptions{Store: section}, "tanaka", "suzuki", "kobayashi")
	g := serves(t, l.Site)
	tanaka, suzuki, officer := l.in(t, g, "tanaka"), l.in(t, g, "suzuki"), l.in(t, g, "kobayashi")
	held := l.borrows(t, suzuki, officer)
	cookie := appCookie(t, g.Site, suzuki.Client, "other")
	approved := l.asks(t, tanaka, officer)
	asked := officer.does("", saying{"privilege": "server-admin", "reason": "更新の適用", "minutes": 10}, http.StatusCreated)

	admin(refusesSeal, hinders)
	officer.does("/"+asked.ID+"/cancel", nil, http.StatusOK) // something that waits to be sealed
	harness.Until(t, "the gate to know that nothing is sealed", func() bool {
		status, missing := ready(t, g.Site)
		return status == http.StatusServiceUnavailable && missing == "trail"
	})
	for _, tt := range []struct {
		what, path string
		by         borrower
		body       any
	}{
		{"asking", "", tanaka, saying{"privilege": "server-admin", "reason": "更新の適用", "minutes": 10}},
		{"activating", "/" + approved.ID + "/activate", tanaka, nil},
		{"more time", "/" + held.ID + "/extend", suzuki, saying{"minutes": 5}},
	} {
		if a := tt.by.Do(t, "POST", "/api/v1/elevations"+tt.path, tt.body); a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s without a seal: %d %s", tt.what, a.Status, a.Body)
		}
	}
	l.has(t, "tanaka", false, "without a seal")
	tanaka.sees(approved.ID).is(t, "approved")
	if got := opens(t, g, cookie); got != http.StatusOK {
		t.Errorf("what is lent does not open any more: %d", got)
	}
	later := l.in(t, g, "tanaka") // a sign-in gives nobody more
	suzuki.does("/"+held.ID+"/end", nil, http.StatusOK).is(t, "ended")
	if got := opens(t, g, cookie); got != http.StatusForbidden {
		t.Errorf("given back without a seal, it opens: %d", got)
	}
	l.clean(t, "given back without a seal")

	admin(slowsSeal)
	harness.Until(t, "the gate to be ready again", func() bool { status, _ := ready(t, g.Site); return status == http.StatusOK })
	begun := time.Now()
	later.does("/"+approved.ID+"/activate", nil, http.StatusOK).is(t, "active")
	l.has(t, "tanaka", true, "activated while the sealer is slow")
	later.does("/"+approved.ID+"/end", nil, http.StatusOK)
	t.Logf("activated and given back in %v while each seal takes 3 s", time.Since(begun).Round(time.Millisecond))
	admin(lets)
	l.clean(t, "at the end")
	for _, args := range [][]string{{"audit", "verify", "--config", l.Config}, {"audit", "export", "--config", l.Config}} {
		out, errs, status := harness.Run(t, "sekisho", args...)
		if status != 0 {
			t.Fatalf("%v: %d %s", args, status, errs)
		}
		if args[1] != "export" {
			continue
		}
		for _, id := range []string{held.ID, approved.ID} {
			for _, action := range []string{"lease.activated", "lease.ended"} {
				if !regexp.MustCompile(`"action":"` + action + `"[^\n]*` + regexp.QuoteMeta(id)).MatchString(out) {
					t.Errorf("%s of %s is not on the trail", action, id)
				}
			}
		}
	}
	l.accounts(t)
}
