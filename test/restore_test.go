package test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/policy/backup"
	"sekisho/policy/store"
	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// TestRestore is F23: the disk with the store is lost under a gate that people
// use, and the newest backup is older than what they did. Whoever was signed in
// is signed out, what was used once is not good again, and the trail and the
// anchor say what is missing. Then people work on.
func TestRestore(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testRestore(t, "", func(site *harness.Site) {
			if err := os.RemoveAll(filepath.Join(site.Dir, "data")); err != nil {
				t.Fatal(err)
			}
		}, func(site *harness.Site) {
			left, err := os.ReadDir(filepath.Join(site.Dir, "data"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if !strings.HasPrefix(f.Name(), "sekisho.db") || strings.Contains(f.Name(), "restoring") {
					t.Errorf("%s is left behind", f.Name())
				}
			}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := postgres.Start(t, postgres.Options{})
		at := harness.OnPostgres(t, server, "")
		name := regexp.MustCompile(`/(t[a-z0-9]+),`).FindStringSubmatch(at)[1]
		testRestore(t, at, func(*harness.Site) {
			err := errors.Join(server.Drop(t.Context(), name), server.Admin(t.Context(), "postgres", `CREATE DATABASE `+name+` OWNER `+postgres.Owner))
			if err != nil {
				t.Fatal(err)
			}
		}, func(*harness.Site) {
			err := server.Admin(t.Context(), name, `
				DO $$ BEGIN
					IF (SELECT COUNT(*) FROM pg_namespace WHERE nspname LIKE 'sekisho%') > 0 THEN RAISE 'a schema is left behind'; END IF;
				END $$`)
			if err != nil {
				t.Error(err)
			}
		})
	})
}

func testRestore(t *testing.T, at string, lose, left func(*harness.Site)) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	site := harness.NewSite(t, harness.SiteOptions{Settings: "backup: {recipients: [" + id.Recipient().String() + "]}", Store: at})
	identity := site.Write(t, "identity", []byte(id.String()+"\n"))
	file := filepath.Join(site.Dir, "one.age")
	sekisho := func(args ...string) (out, errs string, status int) {
		return harness.Run(t, "sekisho", append(args, "--config", site.Config)...)
	}
	serve := site.Serve(t)
	tanaka, suzuki := site.Behind("10.2.0.1"), site.Behind("10.2.0.2")
	site.Members["tanaka"].SignIn(t, tanaka)
	app := appCookie(t, site, tanaka, "app")

	if out, errs, status := sekisho("backup", file); status != 0 {
		t.Fatalf("backup: %s%s", out, errs)
	}

	// What nobody will know of afterwards.
	site.Members["suzuki"].SignIn(t, suzuki)
	later := appCookie(t, site, suzuki, "other")
	again := site.Behind("10.2.0.3")
	code := site.Members["tanaka"].Code(t, again)
	if s, a := again.Password(t, "tanaka", site.Members["tanaka"].Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if s, a := again.TOTP(t, code); s.State != "signed_in" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	flow := site.Behind("10.2.0.4") // stands between the factors
	if s, a := flow.Password(t, "tanaka", site.Members["tanaka"].Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if got := allowed(t, suzuki, "other", later); got != 200 {
		t.Fatalf("before: %d", got)
	}

	// Beside the running gate the store is in its place, and stays.
	if out, errs, status := sekisho("restore", file, "--identity", identity); status != 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("restoring under a running gate: %d %s%s", status, out, errs)
	}
	serve.Stop(t)
	lose(site)
	out, errs, status := sekisho("restore", file, "--identity", identity)
	if status != 0 || !strings.Contains(out, "every session has ended") || !strings.Contains(out, "of the trail are not in this store") {
		t.Fatalf("restore: %d %s%s", status, out, errs)
	}
	left(site)
	aside, err := filepath.Glob(filepath.Join(site.Dir, "anchor", "checkpoint.before-*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("the anchor of before: %v %v", aside, err)
	}

	site.Serve(t)
	for name, c := range map[string]*harness.Client{"of the copy": tanaka, "from after it": suzuki, "the second": again} {
		if got := c.Do(t, "GET", "/api/v1/session", nil).Status; got != 401 {
			t.Errorf("a session %s: %d", name, got)
		}
	}
	if got := allowed(t, tanaka, "app", app); got != 401 {
		t.Errorf("an application's cookie of the copy: %d", got)
	}
	if got := allowed(t, suzuki, "other", later); got != 401 {
		t.Errorf("an application's cookie from after it: %d", got)
	}
	if s, a := flow.TOTP(t, code); a.Status < 400 {
		t.Errorf("a sign-in under way: %q %d", s.State, a.Status)
	}
	replay := site.Behind("10.2.0.5")
	if s, a := replay.Password(t, "tanaka", site.Members["tanaka"].Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if s, a := replay.TOTP(t, code); a.Status != 401 {
		t.Errorf("a code that was used since the copy: %q %d %s", s.State, a.Status, a.Body)
	}
	site.Members["kobayashi"].SignIn(t, site.Behind("10.2.0.6"))

	// The trail is whole, says what was lost, and owns up to whoever kept the
	// anchor of before.
	if out, errs, status := sekisho("audit", "verify"); status != 0 {
		t.Errorf("audit verify: %s%s", out, errs)
	}
	export := filepath.Join(site.Dir, "after.jsonl")
	if _, errs, status := sekisho("audit", "export", "--out", export); status != 0 {
		t.Fatal(errs)
	}
	text, err := os.ReadFile(export)
	if err != nil || !strings.Contains(string(text), `"action":"store.restored"`) || !strings.Contains(string(text), `"trail_lost_to":`) {
		t.Errorf("the trail does not say so (%v)", err)
	}
	public, _, _ := sekisho("audit", "key")
	key := site.Write(t, "trail.pub", []byte(public))
	if out, errs, status := harness.Run(t, "trailcheck", "--key", key, export); status != 0 {
		t.Errorf("trailcheck: %d %s%s", status, out, errs)
	}
	out, errs, status = harness.Run(t, "trailcheck", "--key", key, "--checkpoint", aside[0], export)
	if status != 1 || !strings.Contains(out+errs, "restored from a backup") {
		t.Errorf("trailcheck with the anchor of before: %d %s%s", status, out, errs)
	}
}

// TestRestoreTakesTwo: over a store in use a backup goes when a second person has
// approved that very file with a factor that has rested, all gates are stopped, and
// once. The same with a sealed key, which is told and reviewed (design rule 7).
func TestRestoreTakesTwo(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			at := ""
			if engine == "postgres" {
				at = harness.OnPostgres(t, postgres.Start(t, postgres.Options{}), "")
			}
			testRestoreTakesTwo(t, at)
		})
	}
}

func testRestoreTakesTwo(t *testing.T, at string) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	envelopes := t.TempDir()
	key, other := filepath.Join(envelopes, "key"), filepath.Join(envelopes, "other")
	public, _, _ := harness.Run(t, "sekisho", "lockdown", "key", "--out", key)
	harness.Run(t, "sekisho", "lockdown", "key", "--out", other)
	public = regexp.MustCompile(`(?m)^ed25519:\S+$`).FindString(public)
	site := harness.NewSite(t, harness.SiteOptions{
		Settings: "backup: {recipients: [" + id.Recipient().String() + "]}", Store: at, Rules: "lockdown: {sealed_keys: [\"" + public + "\"]}",
	})
	identity := site.Write(t, "identity", []byte(id.String()+"\n"))
	file := filepath.Join(site.Dir, "one.age")
	run := func(want int, says string, args ...string) (first string) {
		t.Helper()
		out, errs, status := harness.Run(t, "sekisho", append(args, "--config", site.Config)...)
		if status != want || !strings.Contains(out+errs, says) {
			t.Fatalf("%v: %d, want %d and %q: %s%s", args, status, want, says, out, errs)
		}
		first, _, _ = strings.Cut(out, "\n")
		return first
	}
	restored := func(want int, says string, args ...string) string {
		t.Helper()
		return run(want, says, append([]string{"restore", file, "--identity", identity}, args...)...)
	}
	gate := site.Serve(t)
	tanaka := site.Behind("10.2.0.1")
	site.Members["tanaka"].SignIn(t, tanaka)
	officer := approver(t, site, "kobayashi", "10.2.0.2")
	run(0, "", "backup", file)
	suzuki := site.Behind("10.2.0.3")
	site.Members["suzuki"].SignIn(t, suzuki)

	// What cannot be restored is not asked for.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	half := site.Write(t, "half.age", whole[:len(whole)-1])
	run(1, "is cut off, was changed, or is no backup", "restore", half, "--identity", identity)
	forged := filepath.Join(site.Dir, "forged.age")
	forge(t, site, id.Recipient(), forged)
	run(1, "the trail of this store does not know", "restore", forged, "--identity", identity)
	proposal := restored(0, "was proposed by")
	if again := restored(0, "it waits for a second person"); again != proposal {
		t.Errorf("proposed twice: %s, %s", proposal, again)
	}

	// The card says what a yes does; nobody but a second person with a post and a
	// factor of their own says it.
	card := "/approvals/" + proposal
	harness.Until(t, "a gate to ask", func() bool { return officer.Do(t, "GET", card, nil).Status == 200 })
	said := string(officer.Do(t, "GET", card, nil).Body)
	sum := sha256.Sum256(whole)
	for _, want := range []string{"is lost", "Everybody&#39;s session and every lease ends", hex.EncodeToString(sum[:]), "Sessions that end", "Made here, says the trail"} {
		if !strings.Contains(said, want) {
			t.Errorf("the card does not say %q", want)
		}
	}
	yes := url.Values{"answer": {"yes"}}
	if a := tanaka.Form(t, card, yes); a.Status != 404 {
		t.Errorf("approved by staff: %d", a.Status)
	}
	weak := site.Behind("10.2.0.4")
	site.Members["yoshida"].SignIn(t, weak) // the CIO, with a password and a code
	if a := weak.Form(t, card, yes); a.Status == 303 && strings.Contains(a.Header.Get("Location"), "done=approve") {
		t.Errorf("approved with a code: %d %s", a.Status, a.Header.Get("Location"))
	}
	restored(0, "it waits for a second person")
	harness.Until(t, "an officer's yes", func() bool {
		a := officer.Form(t, card, yes)
		return a.Status == 303 && strings.Contains(a.Header.Get("Location"), "done=approve")
	})

	// Not beside a running gate, not another file, not under another id.
	restored(1, "gates are running on this store")
	restored(1, "there is no proposal", "--proposal", "restore-none")
	gate.Stop(t)
	later := filepath.Join(site.Dir, "two.age")
	run(0, "", "backup", later)
	run(1, "is about another file", "restore", later, "--identity", identity, "--proposal", proposal)
	aside := restored(0, "every session has ended", "--proposal", proposal)
	if !strings.Contains(aside, "the store before is") {
		t.Errorf("the store before: %q", aside)
	}

	// One of the history that is gone: it is not asked for, and no key is used up on it
	// (see below for how many were).
	run(1, "of a history that the store in use has left", "restore", later, "--identity", identity)
	run(1, "of a history that the store in use has left", "restore", later, "--identity", identity, "--sealed-key", key)

	gate = site.Serve(t)
	for name, c := range map[string]*harness.Client{"of the copy": tanaka, "from after it": suzuki, "of who approved": officer} {
		if got := c.Do(t, "GET", "/api/v1/session", nil).Status; got != 401 {
			t.Errorf("a session %s: %d", name, got)
		}
	}
	run(0, "", "audit", "verify")
	export := filepath.Join(site.Dir, "after.jsonl")
	run(0, "", "audit", "export", "--out", export)
	text, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"action":"store.restored"`, `"approved_by":"kobayashi"`, `"proposal":"` + proposal + `"`, hex.EncodeToString(sum[:]), `"trail_lost_to":`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the trail does not say %s", want)
		}
	}

	// The yes was good once.
	restored(1, "", "--proposal", proposal)
	if next := restored(0, "was proposed by"); next == proposal {
		t.Error("the approval was used twice")
	}

	// A gate that the restore could not see notices by itself, and stops.
	inStore(t, site, func(tx *store.Tx) error {
		_, err := store.NextEpoch(t.Context(), tx, 0, time.Now())
		return err
	})
	harness.Until(t, "the gate to stop", gate.Ended)
	if gate.Exit() != 1 || !strings.Contains(gate.Log()+gate.Output(), "another store was put in the place") {
		t.Errorf("it ended with %d: %s", gate.Exit(), gate.Log())
	}

	// A restore was killed between the yes and the exchange: nobody works on what it has
	// set aside, until the next one takes that back.
	inStore(t, site, func(tx *store.Tx) error { return store.SetAside(t.Context(), tx, time.Now()) })
	run(1, "was set aside by a restore", "serve")
	restored(1, "there is no proposal", "--proposal", "restore-none")
	inStore(t, site, func(tx *store.Tx) error {
		if _, aside, err := store.Aside(t.Context(), tx); err != nil || aside {
			t.Errorf("it is still aside (%v)", err)
		}
		return nil
	})

	// The sealed key, and no other, does without a second person.
	restored(1, "do not name this key", "--sealed-key", other)
	restored(1, "is no sealed key", "--sealed-key", identity)
	restored(0, "every session has ended", "--sealed-key", key)
	run(0, "", "audit", "export", "--out", export)
	if text, err = os.ReadFile(export); err != nil || !strings.Contains(string(text), `"sealed_key":"`+public+`"`) {
		t.Errorf("the trail does not name the key (%v)", err)
	}
	var owed, untold int
	inStore(t, site, func(tx *store.Tx) error {
		return tx.QueryRow(t.Context(), `
			SELECT (SELECT COUNT(*) FROM approval_decision WHERE review_due > 0 AND reviewed_at = 0),
			       (SELECT COUNT(*) FROM restore_done WHERE sealed = 1 AND told_at = 0)`).Scan(&owed, &untold)
	})
	if owed != 1 || untold != 1 {
		t.Errorf("%d reviews owed, %d restores to be told of; want one of each", owed, untold)
	}
	run(0, "", "audit", "verify")
}

// forge makes a backup that is whole and says nothing to the trail.
func forge(t *testing.T, s *harness.Site, to age.Recipient, path string) {
	t.Helper()
	file, err := config.Read(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := house.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), cfg.Store)
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.WriteFile(path, func(w io.Writer) error {
		_, err := backup.Write(t.Context(), w, []age.Recipient{to}, db, backup.Header{MadeAt: time.Now().UTC(), Origin: cfg.Origin})
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMoveToPostgres: a backup of a store in SQLite goes into an empty database on
// PostgreSQL, and people work on there.
func TestMoveToPostgres(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{})
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	site := harness.NewSite(t, harness.SiteOptions{Settings: "backup: {recipients: [" + id.Recipient().String() + "]}"})
	gate := site.Serve(t)
	tanaka := site.Behind("10.2.0.1")
	site.Members["tanaka"].SignIn(t, tanaka)
	gate.Stop(t)
	run := func(args ...string) {
		t.Helper()
		if out, errs, status := harness.Run(t, "sekisho", append(args, "--config", site.Config)...); status != 0 {
			t.Fatalf("%v: %s%s", args, out, errs)
		}
	}
	file := filepath.Join(site.Dir, "moving.age")
	run("backup", file)
	site.Config = site.Variant(t, site.Config, "moved.yaml", "store: {path: data/sekisho.db}", "store: "+harness.OnPostgres(t, server, ""))
	run("restore", file, "--identity", site.Write(t, "identity", []byte(id.String()+"\n")))
	run("audit", "verify")
	site.Serve(t)
	if got := tanaka.Do(t, "GET", "/api/v1/session", nil).Status; got != 401 {
		t.Errorf("a session from before the move: %d", got)
	}
	// The device of before is there, and takes no code for a while: some may have
	// been used since the copy.
	if s, a := site.Behind("10.2.0.2").Password(t, "tanaka", site.Members["tanaka"].Password); s.State != "second_factor" {
		t.Errorf("somebody with a device from before the move: %q %d %s", s.State, a.Status, a.Body)
	}
	site.Members["suzuki"].SignIn(t, site.Behind("10.2.0.3"))
	if out, errs, status := harness.Run(t, "sekisho", "restore", file, "--identity", filepath.Join(site.Dir, "identity"), "--config", site.Config); status != 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("restoring once more: %d %s%s", status, out, errs)
	}
}
