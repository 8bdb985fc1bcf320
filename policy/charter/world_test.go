package charter

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const first = `prefecture: {name: {ja: 関所県}}
zones: [{id: lgwan}]
lockout: {hard_limit: 50}
`

// text is first with another limit.
func text(limit int) []byte {
	return []byte(strings.Replace(first, "50", fmt.Sprint(limit), 1))
}

var (
	t0      = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	mira    = Approver{ID: "id-mira", Login: "mira", Posts: []policy.PostID{policy.Staff, policy.CIO}}
	officer = Approver{ID: "id-sato", Login: "sato", Posts: []policy.PostID{policy.SecurityOfficer}}
)

type world struct {
	*testing.T
	db    *store.DB
	path  string
	now   *clock.Fake
	trail *audit.Trail
	c     *Charter
	fault func(stage string) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, path: filepath.Join(t.TempDir(), "sekisho.db"), now: clock.NewFake(t0)}
	w.db = storetest.OpenWith(t, store.Config{Path: w.path, Fault: func(stage string) error {
		if w.fault != nil {
			return w.fault(stage)
		}
		return nil
	}})
	w.trail = audit.New(w.db, w.now.Now)
	w.c = w.another()
	return w
}

// another is the charter of a second process on the same store.
func (w *world) another() *Charter {
	w.Helper()
	c := New(w.db, w.trail, w.now.Now)
	w.must(c.Load(w.Context()))
	return c
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) install(source []byte) int64 {
	w.Helper()
	n, err := w.c.Install(w.Context(), "system", source)
	w.must(err)
	return n
}

func (w *world) propose(actor string, source []byte) Proposal {
	w.Helper()
	p, err := w.c.Propose(w.Context(), actor, source)
	w.must(err)
	return p
}

func (w *world) count(table string) (n int) {
	w.Helper()
	w.must(w.db.QueryRow(w.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}

type line struct {
	Actor, Action, Object, Outcome, Reason string
	Articles                               []policy.Article
	Detail                                 map[string]string
}

// entries are what is on the trail, in order, sealed or not.
func (w *world) entries(action string) (found []line) {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT data FROM trail_pending ORDER BY seq`)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var data []byte
		w.must(rows.Scan(&data))
		var l line
		w.must(json.Unmarshal(data, &l))
		if l.Action == action {
			found = append(found, l)
		}
	}
	w.must(rows.Err())
	return found
}
