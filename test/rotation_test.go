package test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// A listedKey is one of `sekisho keys list --format json`.
type listedKey struct {
	ID, Use, State string
	Depends        []struct{ Count int64 }
}

func keysOf(t *testing.T, where ...string) (all []listedKey) {
	t.Helper()
	out, errs, status := harness.Run(t, "sekisho", append([]string{"keys", "list", "--format", "json"}, where...)...)
	if status != 0 {
		t.Fatalf("keys list: %d %s", status, errs)
	}
	var list struct{ Items []listedKey }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func keyIn(all []listedKey, use, state string) listedKey {
	i := slices.IndexFunc(all, func(k listedKey) bool { return k.Use == use && k.State == state })
	if i < 0 {
		return listedKey{}
	}
	return all[i]
}

// published are the key ids of the JWK Set.
func published(t *testing.T, c *harness.Client) (kids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	a := c.Do(t, "GET", "/.well-known/jwks.json", nil)
	if err := json.Unmarshal(a.Body, &set); err != nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// kidOf is the id of the key that signed a token.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Kid string }
	if err != nil || json.Unmarshal(b, &h) != nil || h.Kid == "" {
		t.Fatalf("no kid in %q", head)
	}
	return h.Kid
}

// TestRotateUnderLoad is F22: session, sealing, signing and trail keys change
// under people who sign in and work, at one gateway, and at two behind one address
// with PostgreSQL; the command and a gateway are killed while the store is being
// sealed anew. Nobody who is right is refused.
func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("one gate", func(t *testing.T) {
		t.Parallel()
		site := harness.NewSite(t, harness.SiteOptions{})
		first := site.Serve(t)
		rotateUnderLoad(t, site, store.Config{Path: filepath.Join(site.Dir, "data", "sekisho.db")}, func() { first.Kill(); site.Serve(t) })
	})
	t.Run("two gates on PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := postgres.Start(t, postgres.Options{})
		at := harness.OnPostgres(t, server, "")
		site := harness.NewSite(t, harness.SiteOptions{Store: at})
		first := site.Serve(t)
		beside := site.Beside(t)
		beside.Serve(t)
		gates := []string{site.Listen, beside.Listen}
		site.Listen = inFrontOf(t, gates)
		rotateUnderLoad(t, site, store.Config{Driver: "postgres", URL: regexp.MustCompile(`postgres://[^,]+`).FindString(at)}, first.Kill)
	})
}

// inFrontOf is one address for several gates: each connection goes to the next of
// them that takes it.
func inFrontOf(t *testing.T, gates []string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(harness.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for n := 0; ; n++ {
			in, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			go func() {
				defer in.Close()
				for i := range gates {
					out, err := net.Dial("tcp", gates[(n+i)%len(gates)])
					if err != nil {
						continue
					}
					defer out.Close()
					go func() { _, _ = io.Copy(out, in) }() // whoever closes first ends both
					_, _ = io.Copy(in, out)
					return
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// each has every request of a client go over a connection of its own.
func each(c *harness.Client) *harness.Client {
	c.HTTP.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// rotateUnderLoad is given a site whose gates run, and what kills one, after which
// another goes on.
func rotateUnderLoad(t *testing.T, site *harness.Site, place store.Config, kill func()) {
	tanaka := site.Members["tanaka"]
	c := site.Behind("10.2.0.9")
	tanaka.SignIn(t, c)
	cookie := appCookie(t, site, c, "app")
	out, _, _ := harness.Run(t, "sekisho", "audit", "key", "--config", site.Config)
	oldPublic := strings.TrimSpace(out)
	before := keysOf(t, "--config", site.Config)

	// Enough to be sealed anew that it can be broken off.
	const devices = 1500
	db, err := store.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sealing := filepath.Join(site.Dir, "keys", "sealing.key")
	ring, err := secret.LoadKeyRing(sealing)
	if err != nil {
		t.Fatal(err)
	}
	device := func(i int) secret.Place {
		return secret.Place{Table: "totp_device", Column: "seed", Row: fmt.Sprintf("load-%05d", i)}
	}
	err = db.WithTx(t.Context(), func(tx *store.Tx) error {
		for i := range devices {
			sealed, err := ring.Seal(device(i), []byte("01234567890123456789"))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(context.Background(), `INSERT INTO totp_device (id, person, seed, added_at) VALUES ($1, $2, $3, 0)`,
				device(i).Row, "nobody", sealed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	under := func(id string) (n int) {
		prefix := secret.SealedPrefix(id)
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM totp_device WHERE substr(seed, 1, 10) = $1`, prefix).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	// Load: checks of an application, and passwords.
	var (
		work          sync.WaitGroup
		checks, signs atomic.Int64
		refused       atomic.Pointer[string]
	)
	loading, stop := context.WithCancel(t.Context())
	defer stop()
	load := func(do func(c *harness.Client) (string, bool)) {
		one := each(site.Behind("10.2.0.7"))
		work.Go(func() {
			for loading.Err() == nil {
				if said, ok := do(one); !ok {
					refused.CompareAndSwap(nil, &said)
				}
			}
		})
	}
	load(func(c *harness.Client) (string, bool) {
		a, err := c.Try("GET", "/auth/check", nil, "X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", cookie)
		checks.Add(1)
		return fmt.Sprintf("check: %d, %v", a.Status, err), err == nil && a.Status == http.StatusOK
	})
	load(func(c *harness.Client) (string, bool) {
		one := each(site.Behind("10.2.0.8"))
		a, err := one.Try("POST", "/api/v1/signin", map[string]string{"login": "suzuki", "password": site.Members["suzuki"].Password})
		signs.Add(1)
		return fmt.Sprintf("sign-in: %d %s, %v", a.Status, a.Body, err), err == nil && a.Status == http.StatusOK
	})

	// All keys; the command dies while it seals anew.
	rotate := harness.Start(t, site.Dir, harness.Binary(t, "sekisho"), "keys", "rotate", "sealing", "--config", site.Config)
	var fresh string
	harness.Until(t, "some values under the new key", func() bool {
		if fresh == "" {
			fresh = keyIn(keysOf(t, "--config", site.Config), "sealing", "current").ID
			if fresh == keyIn(before, "sealing", "current").ID {
				fresh = ""
			}
			return false
		}
		return under(fresh) > 0
	})
	rotate.Kill()
	for _, which := range []string{"session", "trail", "signing"} {
		if out, errs, status := harness.Run(t, "sekisho", "keys", "rotate", which, "--config", site.Config); status != 0 {
			t.Fatalf("keys rotate %s: %d %s%s", which, status, out, errs)
		}
	}
	if n := checks.Load(); n == 0 || signs.Load() == 0 {
		t.Fatalf("%d checks and %d sign-ins: no load", n, signs.Load())
	}
	signedBefore := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", cookie).Header.Get("X-Sekisho-Assertion")
	if out, errs, status := harness.Run(t, "sekisho", "keys", "rotate", "signing", "--now", "--config", site.Config); status != 0 {
		t.Fatalf("keys rotate signing --now: %d %s%s", status, out, errs)
	}
	var now []listedKey
	harness.Until(t, "the new keys are in use", func() bool {
		now = keysOf(t, "--config", site.Config)
		for _, use := range []string{"session", "sealing", "trail", "signing"} {
			if was, is := keyIn(before, use, "current").ID, keyIn(now, use, "current").ID; is == "" || is == was {
				return false
			}
		}
		return true
	})
	if kids := published(t, c); !slices.Contains(kids, kidOf(t, signedBefore)) || !slices.Contains(kids, keyIn(now, "signing", "current").ID) {
		t.Errorf("%v are published: what was signed just before cannot be verified to its end", kids)
	}
	stop()
	work.Wait()
	if said := refused.Load(); said != nil {
		t.Errorf("of %d checks and %d sign-ins, one was refused: %s", checks.Load(), signs.Load(), *said)
	}
	t.Logf("%d checks and %d sign-ins while all keys changed", checks.Load(), signs.Load())

	// The gateway dies, too. What is left is sealed by the next one.
	kill()
	old := keyIn(now, "sealing", "retiring").ID
	harness.Until(t, "everything under the new key", func() bool { return under(old) == 0 })
	if n := under(fresh); n < devices {
		t.Errorf("%d values under the new key, want %d", n, devices)
	}
	if ring, err = secret.LoadKeyRing(sealing); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, devices / 2, devices - 1} {
		var sealed []byte
		if err := db.QueryRow(t.Context(), `SELECT seed FROM totp_device WHERE id = $1`, device(i).Row).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		if plain, err := ring.Open(device(i), sealed); err != nil || string(plain) != "01234567890123456789" {
			t.Errorf("device %d: %q, %v", i, plain, err)
		}
	}
	if a := site.Behind("10.2.0.9").Do(t, "GET", "/auth/check", nil, "X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", cookie); a.Status != 200 {
		t.Errorf("a session of before, after everything: %d", a.Status)
	}
	tanaka.SignIn(t, site.Behind("10.2.0.9")) // with the TOTP secret of before

	// The trail, under either key.
	out, _, _ = harness.Run(t, "sekisho", "audit", "key", "--config", site.Config)
	newPublic := strings.TrimSpace(out)
	trail := filepath.Join(site.Dir, "trail.jsonl")
	if _, errs, status := harness.Run(t, "sekisho", "audit", "export", "--config", site.Config, "--out", trail); status != 0 || newPublic == oldPublic {
		t.Fatalf("exporting: %d %s; %s before, %s now", status, errs, oldPublic, newPublic)
	}
	for _, key := range []string{oldPublic, newPublic} {
		if out, errs, status := harness.Run(t, "trailcheck", trail, "--key", key); status != 0 || !strings.Contains(out, "signed by 2 keys") {
			t.Errorf("trailcheck under %s: %d %s%s", key, status, out, errs)
		}
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"key.created", "key.in_use", "key.resealed", "trail.key_succeeded"} {
		if !strings.Contains(string(text), `"action":"`+action+`"`) {
			t.Errorf("the trail knows nothing of %s", action)
		}
	}
}

// TestSigningKeyEndsOnSchedule moves dev's clock: a new key is published a day
// before it signs, and the old one is gone when its last token has ended.
func TestSigningKeyEndsOnSchedule(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	c := harness.NewClient(d.URL)
	old := published(t, c)
	if len(old) != 1 {
		t.Fatalf("%v are published at first", old)
	}
	if _, errs, status := harness.Run(t, "sekisho", "keys", "rotate", "signing", "--data", d.Folder); status != 0 {
		t.Fatal(errs)
	}
	harness.Until(t, "the next key is published", func() bool { return len(published(t, c)) == 2 })
	d.Advance(t, 24*time.Hour)
	harness.Until(t, "the next key signs", func() bool {
		return keyIn(keysOf(t, "--data", d.Folder), "signing", "retiring").ID == old[0]
	})
	d.Advance(t, 4*time.Minute)
	if !slices.Contains(published(t, c), old[0]) {
		t.Error("the old key is gone before its last token has ended")
	}
	d.Advance(t, 2*time.Minute)
	harness.Until(t, "the old key is gone", func() bool { return !slices.Contains(published(t, c), old[0]) })
	d.Advance(t, 89*24*time.Hour)
	harness.Until(t, "a key is made by itself", func() bool { return len(published(t, c)) == 2 })
}
