package test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// TestImportIsKilled: kill -9 inside an import of personnel changes, first of the command
// that carries it out, and then twice of the gate that goes on with it. Every line is
// done once in the end, and whole: the same file has nothing left to do.
func TestImportIsKilled(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	db, err := sql.Open("sqlite", "file:"+folder.Folder(d.Folder).Store()+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ask := func(q string) (n int) {
		if err := db.QueryRowContext(t.Context(), q).Scan(&n); err != nil && !strings.Contains(err.Error(), "locked") {
			t.Fatal(err)
		}
		return n
	}
	const allDone = `SELECT COUNT(*) FROM personnel_step WHERE state = 'done'`
	const joiners = 798 // who dies leaves up to two batches of 100 in hand
	var text strings.Builder
	text.WriteString("number,name,login,section,change,mail\nK-tanaka,田中 美咲,,zaisei,異動,\n")
	for i := range joiners {
		fmt.Fprintf(&text, "KX-%03d,新人 %03d,shinjin%03d,jinji,採用,shinjin%03d@pref.example.jp\n", i, i, i, i)
	}
	text.WriteString("K-takahashi,高橋 由美,,,退職,\n")
	file := filepath.Join(t.TempDir(), "jinji.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	made := func() (n int) { // of those who join, how many the directory has
		directoryDo(t, d, func(c *goldap.Conn) error {
			r, err := c.Search(goldap.NewSearchRequest(d.LDAP.BaseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(employeeNumber=KX-*)", []string{"1.1"}, nil))
			if err == nil {
				n = len(r.Entries)
			}
			return err
		})
		return n
	}
	command := harness.Start(t, filepath.Dir(file), harness.Binary(t, "sekisho"), "people", "import", "--data", d.Folder, file)
	for i := range 3 {
		before, begun := made(), time.Now()
		for made() == before { // as close as it can be watched: a batch takes a part of a second
			if time.Since(begun) > time.Minute {
				t.Fatalf("kill %d: nobody goes on\n%s\n%s", i, command.Output(), d.Log())
			}
		}
		if i == 0 {
			command.Kill()
		} else {
			d.Kill()
		}
		inHand, waiting := ask(`SELECT COUNT(*) FROM personnel_step WHERE state = 'intended'`), ask(`SELECT COUNT(*) FROM personnel_step WHERE state = 'waiting'`)
		t.Logf("kill %d: %d in hand, %d waiting", i, inHand, waiting)
		if waiting == 0 {
			t.Fatalf("kill %d came when nothing was left to do", i)
		}
		if i > 0 {
			d = harness.StartDev(t, d.Folder)
		}
	}
	d.Advance(t, 15*time.Second) // nobody waits longer for one who died
	over := func() bool { return ask(`SELECT COUNT(*) FROM personnel_import WHERE state = 'done'`) == 1 }
	for done := ask(allDone); !over(); done = ask(allDone) { // however slow the machine is
		harness.Until(t, "the import to go on", func() bool { return over() || ask(allDone) > done })
	}

	if n := ask(`SELECT COUNT(*) FROM personnel_step WHERE state <> 'done'`); n != 0 {
		t.Errorf("%d steps are not done", n)
	}
	if n := ask(`SELECT COUNT(DISTINCT person_id) FROM personnel_line WHERE person_id <> ''`); n != joiners+2 {
		t.Errorf("lines about %d people, want %d", n, joiners+2)
	}
	acts, _ := trail(t, d)
	entered := map[string]int{}
	for _, a := range acts {
		if a.Detail["import"] != "" && a.Action != "import.line_failed" { // a slow machine may have failed thrice
			entered[a.Action+" "+a.Detail["line"]]++
		}
	}
	if len(entered) != joiners+2 {
		t.Errorf("%d lines are on the trail, want %d", len(entered), joiners+2)
	}
	for line, n := range entered {
		if n != 1 || !strings.HasPrefix(line, "person.") {
			t.Errorf("%s is there %d times", line, n)
		}
	}
	if n := made(); n != joiners {
		t.Errorf("%d joined, want %d", n, joiners)
	}
	out, errs, status := harness.Run(t, "sekisho", "people", "import", "--data", d.Folder, "--dry-run", "--format", "json", file)
	var again struct{ Unchanged int }
	if err := json.Unmarshal([]byte(out), &again); status != 0 || err != nil || again.Unchanged != joiners+2 {
		t.Errorf("the same file once more: %d, %v, %d lines have nothing left to do, want %d\n%s", status, err, again.Unchanged, joiners+2, errs)
	}
}
