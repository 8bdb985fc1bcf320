package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
)

// succeed adds a key to the file, as the operator does, and lets it take over.
func (w *world) succeed(s *audit.Sealer) (public string) {
	w.t.Helper()
	if err := audit.AddKey(w.keyFile(), func(_, p string) error { public = p; return nil }); err != nil {
		w.t.Fatal(err)
	}
	if changed, err := w.key.Renew(w.keyFile()); !changed || err != nil {
		w.t.Fatalf("Renew = %v, %v", changed, err)
	}
	if err := s.Locked(w.t.Context(), func(tx *store.Tx) error { return s.Succeed(w.t.Context(), tx, public) }); err != nil {
		w.t.Fatal(err)
	}
	return public
}

func (w *world) keyFile() string { return filepath.Join(filepath.Dir(w.path), "trail.key") }

func (w *world) exported() []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := audit.Export(w.t.Context(), w.db, &b); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// TestSuccession lets two keys follow the first. Whoever holds any of the three
// verifies all of it, from a file and from a pipe, with any older checkpoint.
func TestSuccession(t *testing.T) {
	w := newWorld(t)
	first := w.key.PublicKey()
	s := w.sealer()
	w.acts(0, 5)
	w.seal(s)
	early := lastNote(t, w.exported())
	w.acts(5, 8) // waits to be sealed when the key changes
	second := w.succeed(s)
	between := lastNote(t, w.exported())
	w.acts(8, 11)
	w.seal(s)
	if w.key.PublicKey() != second {
		t.Errorf("%s is in use, want the second", w.key.PublicKey())
	}
	anchored, err := os.ReadFile(w.anchor)
	if err != nil || string(anchored) != lastNote(t, w.exported()) {
		t.Errorf("the anchor did not follow: %v", err)
	}
	third := w.succeed(s)
	w.acts(11, 14)
	w.seal(s)
	text := w.exported()

	stranger := newWorld(t).key.PublicKey()
	for _, from := range []struct {
		name string
		open func() io.Reader
	}{
		{"file", func() io.Reader { return bytes.NewReader(text) }},
		{"pipe", func() io.Reader { return io.MultiReader(bytes.NewReader(text)) }},
	} {
		for i, key := range []string{first, second, third} {
			for _, old := range []string{"", early, between, lastNote(t, text)} {
				r, err := proof.Verify(from.open(), key, []byte(old))
				if err != nil {
					t.Fatalf("%s, key %d, older checkpoint %q: %v", from.name, i+1, old, err)
				}
				if r.Entries != 16 || fmt.Sprint(r.Keys) != fmt.Sprint([]string{first, second, third}) {
					t.Errorf("%s, key %d: %d entries, keys %v", from.name, i+1, r.Entries, r.Keys)
				}
			}
		}
		var f *proof.Fault
		if _, err := proof.Verify(from.open(), stranger, nil); !errors.As(err, &f) {
			t.Errorf("%s: a stranger's key: %v", from.name, err)
		}
	}
	if r, err := audit.Verify(t.Context(), w.db, third, anchored); err != nil || r.Entries != 16 {
		t.Errorf("audit verify: %v", err)
	}

	// The former keys' lines may go from the file; the anchor may be an old one.
	old, err := audit.LoadKey(w.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := old.Held()
	if err := audit.RemoveKeys(w.keyFile(), ids[0], ids[1]); err != nil {
		t.Fatal(err)
	}
	if w.key, err = audit.LoadKey(w.keyFile()); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{early, between, string(anchored)} {
		if err := os.WriteFile(w.anchor, []byte(kept), 0o600); err != nil {
			t.Fatal(err)
		}
		w.acts(20, 20)
		w.seal(w.sealer())
	}
	if _, err := proof.Verify(bytes.NewReader(w.exported()), first, []byte(early)); err != nil {
		t.Error("the first key, long after:", err)
	}
}

func lastNote(t *testing.T, export []byte) string {
	t.Helper()
	r, err := lastLine(export)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Checkpoint)
}

func lastLine(export []byte) (proof.Line, error) {
	lines := bytes.Split(bytes.TrimSpace(export), []byte("\n"))
	return proof.ParseLine(lines[len(lines)-1])
}

// TestSuccessionRefuses: who holds the old key alone signs no more, a key nobody
// holds takes over nothing, and a statement smuggled in is not sealed.
func TestSuccessionRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 3)
	w.seal(s)
	behind, err := audit.LoadKey(w.keyFile()) // a gateway that has not read the file again
	if err != nil {
		t.Fatal(err)
	}
	late, err := audit.NewSealer(w.db, w.clock.Now, behind, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Locked(t.Context(), func(tx *store.Tx) error { return s.Succeed(t.Context(), tx, newWorld(t).key.PublicKey()) }); err == nil {
		t.Error("a key that we do not hold took over")
	}
	w.succeed(s)
	w.acts(3, 5)
	if err := late.Seal(t.Context()); !errors.Is(err, audit.ErrOtherKey) {
		t.Errorf("sealing with a key that was succeeded: %v", err)
	}
	if _, err := behind.Renew(w.keyFile()); err != nil {
		t.Fatal(err)
	}
	if err := late.Seal(t.Context()); err != nil {
		t.Error("with the new key:", err)
	}
	if err := audit.New(w.db, w.clock.Now).AppendIn(t.Context(), w.db, audit.Entry{
		Actor: "mallory", Action: proof.Action, Object: "trail/mine", Outcome: audit.OK,
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(t.Context()); err == nil || !strings.Contains(err.Error(), "not written by sekisho") {
		t.Errorf("a succession that was smuggled in: %v", err)
	}
}

// TestForgedSuccession plays a thief who holds one key of two and the export.
func TestForgedSuccession(t *testing.T) {
	w := newWorld(t)
	first := w.key.PublicKey()
	s := w.sealer()
	w.acts(0, 6)
	w.seal(s)
	kept := lastNote(t, w.exported())
	second := w.succeed(s)
	w.acts(6, 9)
	w.seal(s)
	text := string(w.exported())
	lines := strings.SplitAfter(text, "\n")
	both := -1
	for i, l := range lines {
		if strings.Contains(l, proof.Action) {
			both = i + 1
		}
	}
	verify := func(key, old string, lines ...string) error {
		_, err := proof.Verify(strings.NewReader(strings.Join(lines, "")), key, []byte(old))
		return err
	}
	for name, cut := range map[string][]string{
		"the checkpoint of both taken out": append(append([]string{}, lines[:both]...), lines[both+1:]...),
		"one signature taken out":          replaced(lines, both, cutLast(lines[both])),
		"the statement changed":            replaced(lines, both-1, strings.Replace(lines[both-1], `"statement":"`, `"statement":"AAAA`, 1)),
	} {
		for _, key := range []string{first, second} {
			if verify(key, "", cut...) == nil {
				t.Errorf("%s: taken under %s", name, key)
			}
		}
	}
	// A trail made up under two keys of the thief's own, with our entries: who
	// holds a genuine key, or a genuine checkpoint, is not taken in.
	thief := newWorld(t)
	ts := thief.sealer()
	thief.acts(0, 6)
	thief.seal(ts)
	theirs := thief.succeed(ts)
	thief.acts(6, 9)
	thief.seal(ts)
	made := string(thief.exported())
	if err := verify(theirs, "", made); err != nil {
		t.Fatal("the thief's own trail:", err)
	}
	for name, err := range map[string]error{
		"under the first key":           verify(first, "", made),
		"under the second":              verify(second, "", made),
		"against a checkpoint of ours":  verify(theirs, kept, made),
		"their past before our present": verify(second, "", strings.Split(made, `{"index": 6,`)[0]+`{"index": 6,`+strings.Join(strings.SplitN(text, `{"index": 6,`, 2)[1:], "")),
	} {
		if err == nil {
			t.Errorf("%s: a made-up trail was taken", name)
		}
	}
}

func replaced(lines []string, i int, by string) []string {
	out := append([]string{}, lines...)
	out[i] = by
	return out
}

// cutLast takes the last signature off a checkpoint's line.
func cutLast(line string) string {
	i := strings.LastIndex(line, `— `)
	return line[:i] + "\"}\n"
}
