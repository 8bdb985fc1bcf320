package test

import (
	"fmt"
	"strings"
	"testing"

	"sekisho/policy/store"
	"sekisho/test/harness"
)

// TestOlderBesideNewer is F24 at the doors: the schema of the next version, which only
// adds to this one's, comes under gates that people use. They decide as before, 1,000
// requests over, without an answer of status 500 and above; so does one of this version
// that is started anew beside them, for 1,000 more. When the schema says that this version cannot live with it any more,
// the gate is not ready, and none starts.
func TestOlderBesideNewer(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	site.Serve(t)
	tanaka := site.Behind("10.2.0.1")
	site.Members["tanaka"].SignIn(t, tanaka)
	app, other := appCookie(t, site, tanaka, "app"), appCookie(t, site, tanaka, "other")
	asked := []struct{ app, cookie string }{{"app", app}, {"other", other}, {"app", other}, {"closed", ""}, {"nowhere", app}}
	decided := func(c *harness.Client, times int) (all string) {
		t.Helper()
		for range times {
			for _, q := range asked {
				got := allowed(t, c, q.app, q.cookie)
				all += fmt.Sprint(got, " ")
				if got >= 500 {
					t.Fatalf("%s: %d", q.app, got)
				}
			}
		}
		return all
	}
	before := decided(tanaka, 200)
	if !strings.HasPrefix(before, "200 200 401 403 403 ") {
		t.Fatalf("before anything happened: %.40s", before)
	}

	inStore(t, site, func(tx *store.Tx) error {
		for _, q := range []string{
			`CREATE TABLE of_the_next (id TEXT NOT NULL PRIMARY KEY)`,
			`ALTER TABLE session ADD COLUMN of_the_next TEXT NOT NULL DEFAULT ''`,
			`ALTER TABLE lease ADD COLUMN of_the_next BIGINT NOT NULL DEFAULT 0`,
			`INSERT INTO goose_db_version (version_id, is_applied) SELECT MAX(version_id) + 1, TRUE FROM goose_db_version`,
		} {
			if _, err := tx.Exec(t.Context(), q); err != nil {
				return err
			}
		}
		return nil
	})
	if decided(tanaka, 200) != before {
		t.Error("under the next schema it decides otherwise")
	}
	beside := site.Beside(t)
	second := beside.Serve(t)
	next := beside.Behind("10.2.0.1")
	next.Cookies = tanaka.Cookies
	if decided(next, 200) != before {
		t.Error("started anew, it decides otherwise")
	}
	site.Members["suzuki"].SignIn(t, beside.Behind("10.2.0.2"))
	if a := tanaka.Do(t, "GET", "/readyz", nil); a.Status != 200 {
		t.Errorf("readyz beside it: %d %s", a.Status, a.Body)
	}
	second.Stop(t)

	inStore(t, site, func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE schema_floor SET oldest = (SELECT MAX(version_id) FROM goose_db_version)`)
		return err
	})
	harness.Until(t, "the gate to say that it is too old", func() bool {
		a := tanaka.Do(t, "GET", "/readyz", nil)
		return a.Status == 503 && strings.Contains(string(a.Body), `"store"`)
	})
	if _, errs, status := harness.Run(t, "sekisho", "serve", "--config", beside.Config); status != 1 || !strings.Contains(errs, "start the newer sekisho") {
		t.Errorf("one that is too old starts: %d %s", status, errs)
	}
}
