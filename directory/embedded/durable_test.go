package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/embedded"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// childDir, when set, makes the test binary a server that runs until killed.
const childDir = "SEKISHO_EMBEDDED_CHILD"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	c := config(dir, clock.System())
	s, err := embedded.Start(context.Background(), c)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.URL())
	select {}
}

// child runs a server in a process of its own.
func child(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed: there is no other ending to see
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ldap://") {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return strings.TrimSpace(line), kill
}

func addPerson(c *goldap.Conn, login string) error {
	add := goldap.NewAddRequest("uid="+login+",ou=people,"+base, nil)
	add.Attribute("objectClass", []string{"inetOrgPerson"})
	add.Attribute("cn", []string{login})
	add.Attribute("sn", []string{login})
	return c.Add(add)
}

func dialAdmin(t *testing.T, url string) *goldap.Conn {
	t.Helper()
	c, err := goldap.DialURL(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(admin, adminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

func logins(t *testing.T, c *goldap.Conn) map[string]bool {
	t.Helper()
	r, err := c.Search(goldap.NewSearchRequest("ou=people,"+base, goldap.ScopeSingleLevel, 0, 0, 0, false, "(objectClass=inetOrgPerson)", []string{"uid"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, e := range r.Entries {
		found[e.GetAttributeValue("uid")] = true
	}
	return found
}

// TestKilled: a server is killed in the middle of writing, again and again.
// What it acknowledged is there afterwards, and what it had not is there whole
// or not at all.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make(map[string]bool)
	for round := range 6 {
		url, kill := child(t, dir)
		c := dialAdmin(t, url)
		for login := range acknowledged {
			if !logins(t, c)[login] {
				t.Fatalf("round %d: %s was acknowledged and is gone", round, login)
			}
			break // all of them at the end; one a round is quick
		}
		done := make(chan []string)
		go func() {
			var said []string
			for i := 0; ; i++ {
				login := fmt.Sprintf("r%dn%d", round, i)
				if addPerson(c, login) != nil {
					done <- said
					return
				}
				if said = append(said, login); i == 20+7*round {
					go kill()
				}
			}
		}()
		for _, login := range <-done {
			acknowledged[login] = true
		}
		kill()
	}
	url, kill := child(t, dir)
	defer kill()
	found := logins(t, dialAdmin(t, url))
	for login := range acknowledged {
		if !found[login] {
			t.Errorf("%s was acknowledged and is gone", login)
		}
	}
	if len(found) > len(acknowledged)+6 {
		t.Errorf("%d people, %d acknowledged", len(found), len(acknowledged))
	}
}

func journalIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("journals: %v, %v", files, err)
	}
	return files[0]
}

// TestTornJournal cuts the journal at every byte of its last line: that write
// was never acknowledged, everything before it was.
func TestTornJournal(t *testing.T) {
	dir, now := t.TempDir(), clock.System()
	s, err := embedded.Start(t.Context(), config(dir, now))
	if err != nil {
		t.Fatal(err)
	}
	c := dialAdmin(t, s.URL())
	if err := errors.Join(addPerson(c, "first"), addPerson(c, "last"), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(journalIn(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	// With the word that the last line was acknowledged, its loss is damage.
	for name, lost := range map[string][]byte{"cut": whole[:len(whole)-1], "gone": whole[:begin], "changed": flipped(whole, len(whole)-9)} {
		if err := os.WriteFile(journalIn(t, dir), lost, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := embedded.Start(t.Context(), config(dir, now)); err == nil {
			_ = s.Close()
			t.Fatalf("started although what was acknowledged is %s", name)
		}
	}
	word := filepath.Join(dir, "acknowledged")
	for cut := begin; cut <= len(whole); cut += 1 + (len(whole)-begin)/20 {
		// Nobody was told of it: the machine stopped before.
		if err := errors.Join(os.WriteFile(journalIn(t, dir), whole[:cut], 0o600), os.Remove(word)); err != nil {
			t.Fatal(err)
		}
		s, err := embedded.Start(t.Context(), config(dir, now))
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
		c := dialAdmin(t, s.URL())
		if found := logins(t, c); !found["first"] || found["last"] != (cut == len(whole)) {
			t.Errorf("cut at %d of %d: %v", cut, len(whole), found)
		}
		// And the journal goes on after the cut.
		if err := addPerson(c, "next"); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s, err = embedded.Start(t.Context(), config(dir, now)); err != nil {
			t.Fatal(err)
		}
		if found := logins(t, dialAdmin(t, s.URL())); !found["first"] || !found["next"] {
			t.Errorf("cut at %d, then written to: %v", cut, found)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	// A byte changed before the last line is damage, and no reason to forget.
	if err := errors.Join(os.WriteFile(journalIn(t, dir), flipped(whole, begin/2), 0o600), os.Remove(word)); err != nil {
		t.Fatal(err)
	}
	if s, err := embedded.Start(t.Context(), config(dir, now)); err == nil {
		_ = s.Close()
		t.Error("started on a damaged journal")
	}
}

func flipped(text []byte, at int) []byte {
	text = bytes.Clone(text)
	text[at] ^= 1
	return text
}

// TestTornWord: a word that cannot be read, or is of another journal, says nothing.
func TestTornWord(t *testing.T) {
	dir, now := t.TempDir(), clock.System()
	s, err := embedded.Start(t.Context(), config(dir, now))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(addPerson(dialAdmin(t, s.URL()), "taro"), s.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "acknowledged")
	word, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := fmt.Appendf(nil, `{"generation":"%020d","size":"%020d"}`, 7, 1<<40)
	other = fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(other), other)
	for name, text := range map[string][]byte{"empty": nil, "cut": word[:len(word)/2], "changed": flipped(word, len(word)-9), "of another journal": other} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := embedded.Start(t.Context(), config(dir, now))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !logins(t, dialAdmin(t, s.URL()))["taro"] {
			t.Errorf("%s: what was acknowledged is not there", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHoleInTheJournal: of what was not synced a power cut may take an earlier line
// and leave a later one. That is no damage, unless a later line says that the
// earlier one had been synced.
func TestHoleInTheJournal(t *testing.T) {
	dir, now := t.TempDir(), clock.System()
	s, err := embedded.Start(t.Context(), config(dir, now))
	if err != nil {
		t.Fatal(err)
	}
	if err := addPerson(dialAdmin(t, s.URL()), "taro"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := journalIn(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := func(synced int) []byte {
		body := fmt.Sprintf(`{"del":["uid=taro,ou=people,%s"],"synced":%d}`, base, synced)
		return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE([]byte(body)), body)
	}
	hole := append(bytes.Repeat([]byte{0}, 300), '\n')
	if err := os.WriteFile(path, slices.Concat(whole, hole, later(len(whole)+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := embedded.Start(t.Context(), config(dir, now)); err == nil {
		_ = s.Close()
		t.Error("it starts although what was synced is gone")
	}
	if err := os.WriteFile(path, slices.Concat(whole, hole, later(len(whole))), 0o600); err != nil {
		t.Fatal(err)
	}
	if !logins(t, dialAdmin(t, start(t, dir, now).URL()))["taro"] {
		t.Error("what was synced is not there")
	}
}

// TestCompaction writes until a snapshot has taken the journal's place, and
// reads both back.
func TestCompaction(t *testing.T) {
	dir, now := t.TempDir(), clock.System()
	s, err := embedded.Start(t.Context(), config(dir, now))
	if err != nil {
		t.Fatal(err)
	}
	c := dialAdmin(t, s.URL())
	if err := addPerson(c, "taro"); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("関", 200_000)
	for i := range 24 {
		m := goldap.NewModifyRequest("uid=taro,ou=people,"+base, nil)
		m.Replace("description", []string{text + strconv.Itoa(i)})
		if err := c.Modify(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "snapshot")); err != nil {
		t.Fatal(err)
	}
	// As after a death between the snapshot and the removal of its journal.
	stale := filepath.Join(dir, "journal-0")
	if err := os.WriteFile(stale, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir, now)
	r, err := dialAdmin(t, s.URL()).Search(goldap.NewSearchRequest("uid=taro,ou=people,"+base, 0, 0, 0, 0, false, "(uid=TARO)", nil, nil))
	if err != nil || len(r.Entries) != 1 || r.Entries[0].GetAttributeValue("description") != text+"23" {
		t.Errorf("after compaction: %v", err)
	}
	journalIn(t, dir)
}

func TestOneServerAFolder(t *testing.T) {
	dir, now := t.TempDir(), clock.System()
	start(t, dir, now)
	if s, err := embedded.Start(t.Context(), config(dir, now)); err == nil {
		_ = s.Close()
		t.Error("a second server runs in the same folder")
	}
}

func TestStartRefused(t *testing.T) {
	for name, change := range map[string]func(*embedded.Config){
		"every address":     func(c *embedded.Config) { c.Listen = "0.0.0.0:0" },
		"no address":        func(c *embedded.Config) { c.Listen = ":0" },
		"another machine":   func(c *embedded.Config) { c.Listen = "192.0.2.1:0" },
		"a name":            func(c *embedded.Config) { c.Listen = "localhost:0" },
		"no password":       func(c *embedded.Config) { c.AdminPassword = secret.Text{} },
		"no base":           func(c *embedded.Config) { c.BaseDN = "" },
		"a base that isn't": func(c *embedded.Config) { c.BaseDN = "pref" },
		"no hasher":         func(c *embedded.Config) { c.Hasher = nil },
		"a failing seed": func(c *embedded.Config) {
			c.Seed = func(func(string, map[string][]string) error) error { return errors.New("no") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t.TempDir(), clock.System())
			change(&c)
			if s, err := embedded.Start(t.Context(), c); err == nil {
				_ = s.Close()
				t.Error("it started")
			}
		})
	}
}
