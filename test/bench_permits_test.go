package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/store"
)

// BenchmarkAuthCheckPermits: 10,000 permits that live, half of them of remote access and
// half of crossings, against the few that those who ask rest on. Target: they do not
// slow a check, a ratio ≥ 0.91, whether it takes no permit, one's own or one of many to
// the same application.
func BenchmarkAuthCheckPermits(b *testing.B) {
	const apps, hot, many = 100, 100, 10_000
	for _, tt := range []struct{ name, from string }{
		{"inside", "10.2.0.9"}, {"remote", "203.0.113.9"}, {"crossing", "10.3.0.9"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			onlyAsked(b)
			side := func(permits int) func() int {
				c := newCheckpoint(b, apps, hot, 0)
				c.permit(b, permits, time.Now())
				if tt.name == "remote" {
					c.begunOutside(b, tt.from)
				}
				living(b, c.sessions.Run)
				if err := c.sessions.Poll(b.Context()); err != nil {
					b.Fatal(err)
				}
				asks := c.requests(hot, hot)
				for i := range asks {
					asks[i] = bytes.ReplaceAll(asks[i], []byte("10.2.0.9"), []byte(tt.from))
				}
				g := newGenerator(b, listen(b, c.srv.HTTPServer()), asks)
				return func() int { return g.run(b, turn) }
			}
			alternate(b, rounds, side(many), side(2*apps))
		})
	}
}

// permit stores n permits that live: of remote access, one for each person in turn, and
// of crossings to each application in turn, path by path.
func (c *checkpoint) permit(b *testing.B, n int, now time.Time) {
	b.Helper()
	all := make([]string, c.apps)
	for i := range all {
		all[i] = fmt.Sprint("app", i)
	}
	starts, ends := store.Micros(now.Add(-time.Minute)), store.Micros(now.Add(8*time.Hour))
	err := c.db.WithTx(b.Context(), func(tx *store.Tx) error {
		for i := range n {
			who, kind, app := fmt.Sprint("person-", i/2), policy.PermitRemote, ""
			stated := map[string][]string{"applications": all}
			if i%2 == 1 {
				kind, app = policy.PermitCrossing, all[i/2%c.apps]
				path := "/work"
				if i/2 >= c.apps {
					path = fmt.Sprint("/other/", i)
				}
				stated = map[string][]string{"application": {app}, "from_zone": {"internet"}, "path": {path}}
			}
			ref := map[string]string{"id": who, "login": "login-" + who, "name": "例 花子", "section": "soumu"}
			body, err := json.Marshal(map[string]any{"person": ref, "requester": ref, "reason": "夜間の保守", "stated": stated, "decided_at": starts})
			if err != nil {
				return err
			}
			_, err = tx.Exec(b.Context(), `
				INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body)
				VALUES ($1, $2, $3, $3, $4, '', 1, 'approved', 1, $5, $5, $6, $6, '', $5, $7)`,
				fmt.Sprint("permit-", i), kind, who, app, starts, ends, string(body))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// begunOutside has every session begun at an address outside.
func (c *checkpoint) begunOutside(b *testing.B, from string) {
	b.Helper()
	err := c.db.WithTx(b.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(b.Context(), `UPDATE session SET outside = 1, zone = 'internet', source = $1`, from)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
