package test

import (
	"database/sql"
	"encoding/json"
	"maps"
	"testing"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// books is what the store and its trail say, read in one moment.
type books struct {
	acts     []act
	sessions map[string]string // id → login
	factors  map[string]int    // person → confirmed devices
	read     map[string]int    // person → acknowledgements
	versions map[string]string // policy/N → digest
	spent    int               // proposals approved
}

// verifiedTrail opens the store beside the running process, and reads it without it.
func verifiedTrail(t *testing.T, d *harness.Dev) books {
	t.Helper()
	return booksOf(t, folder.Folder(d.Folder).Store())
}

func booksOf(t *testing.T, path string) books {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	var whole string
	if err := tx.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&whole); err != nil || whole != "ok" {
		t.Fatalf("integrity_check: %q, %v", whole, err)
	}
	b := books{sessions: map[string]string{}, factors: map[string]int{}, read: map[string]int{}, versions: map[string]string{}}
	rows := func(q string, row func(scan func(...any) error) error) {
		t.Helper()
		r, err := tx.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for r.Next() {
			if err := row(r.Scan); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
	}
	rows(`SELECT data FROM (SELECT data, idx AS n, 0 AS late FROM trail_leaf UNION ALL SELECT data, seq, 1 FROM trail_pending) ORDER BY late, n`, func(scan func(...any) error) error {
		var (
			data []byte
			a    act
		)
		if err := scan(&data); err != nil {
			return err
		}
		b.acts = append(b.acts, a)
		return json.Unmarshal(data, &b.acts[len(b.acts)-1])
	})
	pair := func(into map[string]string) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var k, v string
			err := scan(&k, &v)
			into[k] = v
			return err
		}
	}
	count := func(into map[string]int) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var (
				k string
				n int
			)
			err := scan(&k, &n)
			into[k] = n
			return err
		}
	}
	rows(`SELECT id, login FROM session WHERE app = ''`, pair(b.sessions))
	rows(`SELECT person, COUNT(*) FROM totp_device WHERE confirmed_at > 0 GROUP BY person`, count(b.factors))
	rows(`SELECT person_id, COUNT(*) FROM acknowledgement GROUP BY person_id`, count(b.read))
	rows(`SELECT 'policy/' || number, digest FROM charter_version`, pair(b.versions))
	if err := tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM charter_proposal WHERE approved_at > 0`).Scan(&b.spent); err != nil {
		t.Fatal(err)
	}
	return b
}

// balance compares what is there with what the trail says was done.
func (b books) balance(t *testing.T, before books) {
	t.Helper()
	onTrail := map[string]string{}
	added, read := map[string]int{}, map[string]int{}
	versions := map[string]string{}
	approved := 0
	for _, a := range b.acts {
		if a.Outcome != "ok" {
			continue
		}
		switch a.Action {
		case "sign_in":
			if _, twice := onTrail[a.Detail["session"]]; twice {
				t.Errorf("session %s is on the trail twice", a.Detail["session"])
			}
			onTrail[a.Detail["session"]] = a.Actor
		case "factor.added":
			added[a.Object]++
		case "rules.acknowledged":
			read[a.Object]++
		case "policy.installed", "policy.approved":
			if _, twice := versions[a.Object]; twice {
				t.Errorf("%s is on the trail twice", a.Object)
			}
			versions[a.Object] = a.Detail["sha256"]
			if a.Action == "policy.approved" {
				approved++
			}
		}
	}
	if !maps.Equal(onTrail, b.sessions) {
		t.Errorf("%d sessions, and on the trail %d sign-ins:\n%v\n%v", len(b.sessions), len(onTrail), b.sessions, onTrail)
	}
	for person, n := range b.factors {
		if n != before.factors[person]+added[person] {
			t.Errorf("%s has %d factors, had %d, and the trail says %d were added", person, n, before.factors[person], added[person])
		}
	}
	for person, n := range added {
		if b.factors[person] < n {
			t.Errorf("the trail says that %s added %d factors; there are %d", person, n, b.factors[person])
		}
	}
	if !maps.Equal(read, b.read) {
		t.Errorf("acknowledged %v, and on the trail %v", b.read, read)
	}
	if !maps.Equal(versions, b.versions) {
		t.Errorf("policy versions %v, and on the trail %v", b.versions, versions)
	}
	if approved != b.spent {
		t.Errorf("%d proposals were approved, and on the trail %d", b.spent, approved)
	}
}
