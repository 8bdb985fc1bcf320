package test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/sample"
	"sekisho/directory/embedded"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/test/harness"
	"sekisho/test/powercut"
)

// An acknowledged thing is one that somebody was told of.
type acknowledged struct {
	at       int64 // microsecond, when the answer had come
	login    string
	password string // in force since; "" where they signed in
	cookies  map[string]string
}

// TestPowerCut is F14: the power fails under a gate that people use, at many
// moments of its life, and what was not synced is lost: all of it, or some. What
// was answered is there, the database and the directory's journal are whole, the
// trail and its anchor agree, and the gate starts.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	strace := harness.Need(t, "strace", "strace")
	if os.Getuid() != 0 {
		t.Skip("the gate lets nobody look into it but root, and so not this test's strace")
	}
	rng := rand.New(rand.NewPCG(seedOf(t), 14))
	data := harness.SampleFolder(t)
	before, record := filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "record")
	if err := os.CopyFS(before, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	old := booksOf(t, folder.Folder(before).Store())
	d := harness.StartDevUnder(t, append([]string{strace}, powercut.Strace(record)...), data)
	answered := busyDay(t, d, short(2, 12))
	d.Stop(t) // takes the log into the database: a cut may fall there too
	end := []byte(fmt.Sprintf("%d ", d.Process.PID()))
	harness.Until(t, "the record's end", func() bool {
		b, err := os.ReadFile(record)
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		last := lines[len(lines)-1]
		return err == nil && bytes.HasPrefix(last, end) && bytes.Contains(last, []byte("+++ exited with 0 +++"))
	})

	disk, err := powercut.Replay(record, data, before)
	if err != nil {
		t.Fatal(err)
	}
	points, at := disk.Points()
	t.Logf("%d answers, %d points at which a cut is worth trying", len(answered), len(points))
	if len(answered) < 20 || len(points) < 100 {
		t.Fatal("hardly anything happened: nothing is tried")
	}
	tried := rng.Perm(len(points))[:min(len(points), short(40, 1000))]
	slices.Sort(tried)
	for n, i := range tried {
		if err := disk.Follow(points[i]); err != nil {
			t.Fatal(err)
		}
		now := at(points[i])
		for _, luck := range []int{powercut.Worst, powercut.Chance} {
			image := folder.Folder(t.TempDir())
			if err := disk.At(string(image), luck, rng); err != nil {
				t.Fatal(err)
			}
			intact(t, image, d, old, answered, now)
			if luck == powercut.Worst && (n+1)%short(20, 50) == 0 {
				restarts(t, image, answered, now)
			}
			if t.Failed() {
				t.Fatalf("after a cut before call %d of the record, luck %d", points[i], luck)
			}
			if err := os.RemoveAll(string(image)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// busyDay has people sign in and change their passwords, and strangers try theirs.
func busyDay(t *testing.T, d *harness.Dev, rounds int) (answered []acknowledged) {
	t.Helper()
	people := active(d)[:8]
	var mu sync.Mutex
	say := func(a acknowledged) {
		mu.Lock()
		defer mu.Unlock()
		a.at = time.Now().UnixMicro()
		answered = append(answered, a)
	}
	for round := range rounds {
		d.Advance(t, 61*time.Second)
		now := from(d, 0).Now(t)
		var wg sync.WaitGroup
		for i := range people {
			p, code := &people[i], harness.Code(t, *people[i].TOTPSecret, now)
			wg.Go(func() {
				c := from(d, i)
				if !steps(c, *p, code) {
					t.Errorf("%s did not get in", p.Login)
					return
				}
				say(acknowledged{login: p.Login, cookies: maps.Clone(c.Cookies)})
				next := fmt.Sprintf("%s-%d-kaki-no-tane", p.Login, round)
				a := c.Do(t, "POST", "/api/v1/password", map[string]string{"current": p.Password, "new": next})
				if a.Status/100 != 2 {
					t.Errorf("%s's password: %d %s", p.Login, a.Status, a.Body)
					return
				}
				p.Password = next
				say(acknowledged{login: p.Login, password: next})
			})
			wg.Go(func() {
				c := from(d, 100+i)
				for n := range 3 {
					c.Do(t, "POST", "/api/v1/signin", credentials("nobody-"+strconv.Itoa(n), "wrong"))
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	return answered
}

// intact opens what a cut left, as a start of the gate would, and looks for what
// had been answered by then.
func intact(t *testing.T, image folder.Folder, d *harness.Dev, old books, answered []acknowledged, now int64) {
	t.Helper()
	key, err := audit.LoadKey(image.TrailKey())
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: image.Store()})
	if err != nil {
		t.Errorf("opening the store: %v", err)
		return
	}
	anchor, _ := os.ReadFile(image.Anchor())
	seal, err := audit.NewSealer(db, time.Now, key, image.Anchor()) // holds the anchor against the trail
	if err == nil {
		err = seal.Seal(t.Context())
	}
	if err == nil {
		_, err = audit.Verify(t.Context(), db, key.PublicKey(), anchor)
	}
	if err != nil {
		t.Errorf("the trail: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	b := booksOf(t, image.Store())
	b.balance(t, old)

	sessions, promised := map[string]int{}, map[string]int{}
	for _, login := range b.sessions {
		sessions[login]++
	}
	passwords := map[string][]string{} // that may be in force, the answered one first
	for _, a := range answered {
		switch {
		case a.password == "" && a.at < now:
			promised[a.login]++
		case a.password != "" && a.at < now:
			passwords[a.login] = []string{a.password}
		case a.password != "" && len(passwords[a.login]) > 0:
			passwords[a.login] = append(passwords[a.login], a.password)
		}
	}
	for login, n := range promised {
		if sessions[login] < n {
			t.Errorf("%s was told of %d sign-ins, and %d are there", login, n, sessions[login])
		}
	}
	people, err := embedded.Start(t.Context(), embedded.Config{
		Dir: image.Directory(), BaseDN: sample.BaseDN, AdminDN: sample.AdminDN, AdminPassword: secret.NewText([]byte("x")),
		Hasher: secret.NewHasher(secret.Params{MemoryKiB: 8192, Time: 1, Threads: 1}, nil, 64), Now: time.Now,
	})
	if err != nil {
		t.Errorf("the directory: %v", err)
		return
	}
	defer people.Close()
	for login, these := range passwords {
		if !slices.ContainsFunc(these, func(p string) bool { return binds(t, people.URL(), d.Person(t, login).DN, p) }) {
			t.Errorf("%s was told of a new password, and it is not in force", login)
		}
	}
}

func binds(t *testing.T, url, dn, password string) bool {
	t.Helper()
	c, err := goldap.DialURL(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Bind(dn, password) == nil
}

// restarts has the gate itself start on what a cut left.
func restarts(t *testing.T, image folder.Folder, answered []acknowledged, now int64) {
	t.Helper()
	d := harness.StartDev(t, string(image))
	defer d.Stop(t)
	for i, a := range answered {
		if a.at >= now || a.cookies == nil || slices.ContainsFunc(answered[i+1:], func(b acknowledged) bool { return b.login == a.login }) {
			continue // a changed password ends the sessions before it
		}
		c := from(d, 50)
		c.Cookies = maps.Clone(a.cookies)
		if got := c.Do(t, "GET", "/api/v1/session", nil); got.Status != 200 {
			t.Errorf("%s's session after the start: %d %s", a.login, got.Status, got.Body)
		}
	}
	if out, errs, status := harness.Run(t, "sekisho", "audit", "verify", "--data", d.Folder); status != 0 {
		t.Errorf("audit verify after the start: %s%s", out, errs)
	}
}
