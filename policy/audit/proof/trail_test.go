package proof_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

// A forger makes trails: the genuine ones, and, holding or lacking the key,
// the others.
type forger struct {
	signer note.Signer
	public string
}

func newForger(t testing.TB) *forger {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "trail.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &forger{signer, public}
}

// sign signs a checkpoint of the tree these entries make. It computes the tree
// with tlog and not with the code under test.
func (f *forger) sign(t testing.TB, entries []string) []byte {
	t.Helper()
	return f.signTree(t, int64(len(entries)), rootOf(t, entries))
}

func (f *forger) signTree(t testing.TB, size int64, root tlog.Hash) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", f.signer.Name(), size, root)}, f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func rootOf(t testing.TB, entries []string) tlog.Hash {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, p := range at {
			out[i] = stored[p]
		}
		return out, nil
	})
	for i, e := range entries {
		hashes, err := tlog.StoredHashes(int64(i), []byte(e), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// entries makes n entries, one second apart from 2026-03-01 09:00.
func entries(n int) []string {
	out := make([]string, n)
	for i := range out {
		at := time.Date(2026, 3, 1, 9, 0, i, 0, time.UTC).Format(time.RFC3339)
		out[i] = fmt.Sprintf(`{"time":%q,"actor":"tanaka","action":"session.started","object":"s%d","outcome":"ok","articles":["62-1"]}`, at, i)
	}
	return out
}

func entryLine(i int, e string) string {
	return string(proof.AppendEntry(nil, int64(i), tlog.RecordHash([]byte(e)), []byte(e)))
}

func noteLine(signed []byte) string { return string(proof.AppendCheckpoint(nil, signed)) }

// trail writes the lines of these entries with genuine checkpoints at sizes,
// which ascend.
func (f *forger) trail(t testing.TB, es []string, sizes ...int) []string {
	t.Helper()
	var lines []string
	for i := 0; i <= len(es); i++ {
		for _, s := range sizes {
			if s == i {
				lines = append(lines, noteLine(f.sign(t, es[:i])))
			}
		}
		if i < len(es) {
			lines = append(lines, entryLine(i, es[i]))
		}
	}
	return lines
}

func (f *forger) verify(lines []string, old []byte) (proof.Report, error) {
	return proof.Verify(strings.NewReader(strings.Join(lines, "")), f.public, old)
}

func TestWholeTrails(t *testing.T) {
	f := newForger(t)
	for n := range 70 {
		es := entries(n)
		var sizes []int
		for s := 0; s < n; s += 1 + s/3 {
			sizes = append(sizes, s)
		}
		lines := f.trail(t, es, append(sizes, n)...)
		got, err := f.verify(lines, nil)
		if err != nil {
			t.Fatalf("%d entries: %v", n, err)
		}
		if got.Entries != int64(n) || got.Size != int64(n) || got.Root != rootOf(t, es) || got.Checkpoints != int64(len(sizes)+1) {
			t.Fatalf("%d entries: reported %+v", n, got)
		}
		if n > 0 {
			first := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
			if !got.First.Equal(first) || !got.Last.Equal(first.Add(time.Duration(n-1)*time.Second)) {
				t.Fatalf("%d entries: from %v to %v", n, got.First, got.Last)
			}
		}
		// Every earlier checkpoint, and the last one itself, is a prefix.
		for s := range n + 1 {
			if _, err := f.verify(lines, f.sign(t, es[:s])); err != nil {
				t.Fatalf("%d entries, older checkpoint of %d: %v", n, s, err)
			}
		}
	}
}

// TestFaultsAreNamed does each harm once and asks for the exact place. The
// trail is ten entries with checkpoints of size 0, 4, 8 and 10, so the lines
// are c0 0 1 2 3 c4 4 5 6 7 c8 8 9 c10.
func TestFaultsAreNamed(t *testing.T) {
	f, stranger := newForger(t), newForger(t)
	es := entries(10)
	whole := f.trail(t, es, 0, 4, 8, 10)
	const evil = `{"time":"2026-03-01T09:00:00Z","actor":"nobody"}`
	// rewritten holds a forged history of the same length, hashed throughout.
	rewritten := append([]string{}, es...)
	rewritten[6] = evil

	edit := func(change func(l []string) []string) []string {
		return change(append([]string{}, whole...))
	}
	with := func(at int, line string) []string {
		return edit(func(l []string) []string { l[at] = line; return l })
	}
	for _, tt := range []struct {
		name     string
		lines    []string
		old      []byte
		kind     proof.Kind
		index    int64
		from, to int64
	}{
		{"a byte of an entry", with(7, strings.Replace(whole[7], "tanaka", "tanaku", 1)), nil, proof.KindHash, 5, 4, 6},
		{"a hash of another entry", with(7, strings.Replace(whole[7], hashOf(es[5]), hashOf(es[6]), 1)), nil, proof.KindHash, 5, 4, 6},
		{"the index", with(7, strings.Replace(whole[7], `"index": 5`, `"index": 7`, 1)), nil, proof.KindIndex, 5, 4, 6},
		{"space put into an entry", with(7, strings.Replace(whole[7], `"actor":`, `"actor": `, 1)), nil, proof.KindHash, 5, 4, 6},
		{"an entry deleted", edit(func(l []string) []string { return append(l[:7], l[8:]...) }), nil, proof.KindIndex, 5, 4, 6},
		{"the entry before a checkpoint deleted", edit(func(l []string) []string { return append(l[:9], l[10:]...) }), nil, proof.KindPlace, 7, 4, 8},
		{"the first entry deleted", edit(func(l []string) []string { return append(l[:1], l[2:]...) }), nil, proof.KindIndex, 0, 0, 1},
		{"an entry twice", edit(func(l []string) []string { return append(l[:8], l[7:]...) }), nil, proof.KindIndex, 5, 4, 6},
		{"a foreign entry inserted", edit(func(l []string) []string { return append(l[:7], append([]string{entryLine(5, evil)}, whole[7:]...)...) }), nil, proof.KindIndex, 5, 4, 6},
		{"a foreign entry before a checkpoint", edit(func(l []string) []string {
			return append(l[:10], append([]string{entryLine(8, evil)}, whole[10:]...)...)
		}), nil, proof.KindPlace, 8, 4, 9},
		{"two entries swapped", edit(func(l []string) []string { l[6], l[8] = l[8], l[6]; return l }), nil, proof.KindIndex, 4, 4, 5},
		{"two entries swapped across a checkpoint", edit(func(l []string) []string { l[9], l[11] = l[11], l[9]; return l }), nil, proof.KindIndex, 7, 4, 8},
		{"an entry replaced with its hash", with(8, entryLine(6, evil)), nil, proof.KindTree, -1, 4, 8},
		{"an entry deleted and the rest renumbered", f.renumbered(t, es, 5), nil, proof.KindPlace, 7, 4, 8},
		{"cut after an entry", whole[:len(whole)-1], nil, proof.KindCut, 8, 8, 10},
		{"cut inside a line", with(13, strings.TrimSuffix(whole[13], "\n")), nil, proof.KindCut, 10, 8, 11},
		{"an entry after the last checkpoint", append(append([]string{}, whole...), entryLine(10, evil)), nil, proof.KindCut, 10, 10, 11},
		{"nothing at all", nil, nil, proof.KindCut, -1, 0, 0},
		{"no checkpoint at all", f.trail(t, es), nil, proof.KindCut, -1, 0, 10},
		{"checkpoint twice", with(10, whole[10]+whole[10]), nil, proof.KindPlace, -1, 8, 8},
		{"checkpoint early", edit(func(l []string) []string { l[9], l[10] = l[10], l[9]; return l }), nil, proof.KindPlace, 7, 4, 8},
		{"checkpoint late", edit(func(l []string) []string { l[10], l[11] = l[11], l[10]; return l }), nil, proof.KindPlace, 8, 4, 9},
		{"checkpoint by a stranger of the same name", with(10, noteLine(stranger.sign(t, es[:8]))), nil, proof.KindCheckpoint, -1, 4, 8},
		{"every checkpoint by a stranger", stranger.trail(t, es, 0, 10), nil, proof.KindKey, -1, 0, 0},
		{"checkpoint of another root, signature kept", with(10, strings.Replace(whole[10], rootOf(t, es[:8]).String(), rootOf(t, rewritten[:8]).String(), 1)), nil, proof.KindCheckpoint, -1, 4, 8},
		{"a blank line", with(7, "\n"+whole[7]), nil, proof.KindLine, 5, 4, 6},
		{"something after the value", with(7, strings.TrimSuffix(whole[7], "\n")+" \n"), nil, proof.KindLine, 5, 4, 6},
		{"one line without its spaces", with(7, strings.NewReplacer(`": `, `":`, `, "`, `,"`).Replace(whole[7])), nil, proof.KindLine, 5, 4, 6},
		{"a line too long", with(7, strings.Replace(whole[7], "tanaka", strings.Repeat("a", proof.MaxLine), 1)), nil, proof.KindLine, 5, 4, 6},

		{"cut at a checkpoint", whole[:11], f.sign(t, es), proof.KindRollback, 8, 8, 10},
		{"cut to nothing", whole[:1], f.sign(t, es[:4]), proof.KindRollback, 0, 0, 4},
		{"forked after the older checkpoint's prefix", f.trail(t, rewritten, 0, 4, 8, 10), f.sign(t, es[:8]), proof.KindFork, -1, 0, 8},
		{"older checkpoint by a stranger", whole, stranger.sign(t, es[:8]), proof.KindOld, -1, -1, -1},
		{"older checkpoint is no note", whole, []byte("hello\n"), proof.KindOld, -1, -1, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.verify(tt.lines, tt.old)
			var fault *proof.Fault
			if !errors.As(err, &fault) {
				t.Fatalf("Verify = %v, want a fault", err)
			}
			if fault.Kind != tt.kind || fault.Index != tt.index || fault.From != tt.from || fault.To != tt.to {
				t.Errorf("fault %s at %d, range %d to %d; want %s at %d, range %d to %d\n%s",
					fault.Kind, fault.Index, fault.From, fault.To, tt.kind, tt.index, tt.from, tt.to, fault)
			}
			if fault.Index >= 0 && !strings.Contains(fault.Says, fmt.Sprint(fault.Index)) {
				t.Errorf("%q does not name index %d", fault.Says, fault.Index)
			}
			if fault.Kind == proof.KindTree && (!strings.Contains(fault.Says, "size 4") || !strings.Contains(fault.Says, "size 8")) {
				t.Errorf("%q does not name both checkpoints", fault.Says)
			}
		})
	}
}

// The older checkpoint still fits when only what came after it was forked.
func TestForkAfterOlderCheckpointIsAPrefix(t *testing.T) {
	f := newForger(t)
	es := entries(10)
	other := append(append([]string{}, es[:6]...), `{"actor":"nobody"}`)
	if _, err := f.verify(f.trail(t, other, 0, 7), f.sign(t, es[:6])); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredIsSaid: an older checkpoint of what a restore lost is a fault, and
// the fault names the entry that says who restored. Outside of what the entry
// claims, and with another root than it names, it is a fork or a cut as ever.
func TestRestoredIsSaid(t *testing.T) {
	f := newForger(t)
	lost := entries(9)
	told := func(root tlog.Hash) []string {
		return append(entries(5), fmt.Sprintf(`{"time":"2026-03-02T09:00:00Z","actor":"operator","action":"store.restored","object":"b.age","outcome":"ok","articles":[],"detail":{"trail_kept":"5","trail_lost_root":%q,"trail_lost_to":"9"}}`, root.String()))
	}
	for _, c := range []struct {
		name string
		here []string
		old  []byte
		want proof.Kind
	}{
		{"the last one lost", told(rootOf(t, lost)), f.sign(t, lost), proof.KindRestored},
		{"one in the middle", told(rootOf(t, lost)), f.sign(t, lost[:7]), proof.KindRestored},
		{"another of the same size", told(rootOf(t, lost)), f.sign(t, append(entries(8), `{"actor":"nobody"}`)), proof.KindRollback},
		{"beyond", told(rootOf(t, lost)), f.sign(t, entries(10)), proof.KindRollback},
		{"before", told(rootOf(t, lost)), f.sign(t, append(entries(3), `{"actor":"nobody"}`)), proof.KindFork},
		{"nobody said so", entries(6), f.sign(t, lost), proof.KindRollback},
		{"what was kept", told(rootOf(t, lost)), f.sign(t, lost[:5]), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.verify(f.trail(t, c.here, 0, 5, len(c.here)), c.old)
			var fault *proof.Fault
			switch errors.As(err, &fault); {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "":
			case fault == nil || fault.Kind != c.want:
				t.Fatalf("%v, want %s", err, c.want)
			case c.want == proof.KindRestored && !strings.Contains(fault.Says, "by operator"):
				t.Errorf("%q does not say who", fault.Says)
			}
		})
	}
}

// TestTightSpacing: the same trail without spaces around the values is read.
func TestTightSpacing(t *testing.T) {
	f := newForger(t)
	lines := f.trail(t, entries(5), 0, 5)
	for i := range lines {
		lines[i] = strings.NewReplacer(`{"checkpoint": `, `{"checkpoint":`, `"index": `, `"index":`, `, "hash": `, `,"hash":`, `, "entry": `, `,"entry":`).Replace(lines[i])
	}
	if _, err := f.verify(lines, nil); err != nil {
		t.Fatal(err)
	}
}

// TestSignatureHasOneSpelling: the last character of the signature carries bits
// that base64 ignores; changing them must not go unseen.
func TestSignatureHasOneSpelling(t *testing.T) {
	f := newForger(t)
	signed := f.sign(t, nil)
	at := bytes.LastIndexByte(signed, '=') - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	twin := bytes.Clone(signed)
	twin[at] = alphabet[strings.IndexByte(alphabet, signed[at])^1]
	if _, err := note.Open(twin, note.VerifierList(mustVerifier(t, f.public))); err != nil {
		t.Fatal("the twin is not even a note, so this test shows nothing:", err)
	}
	if _, err := proof.OpenCheckpoint(twin, f.public); err == nil {
		t.Error("a checkpoint was taken in a second spelling")
	}
	if _, err := proof.OpenCheckpoint(append(signed, "— else AAAAAAAA\n"...), f.public); err == nil {
		t.Error("a checkpoint was taken with a second signature")
	}
}

func TestUnusableKey(t *testing.T) {
	f := newForger(t)
	for _, key := range []string{"", "trail.example", f.public + "x", "PRIVATE+KEY+" + f.public} {
		if _, err := proof.Verify(strings.NewReader(""), key, nil); !errors.Is(err, proof.ErrKey) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// A reader that breaks is not a fault of the trail.
func TestReadingFails(t *testing.T) {
	f := newForger(t)
	broken := errors.New("disk away")
	_, err := proof.Verify(brokenReader{broken}, f.public, nil)
	var fault *proof.Fault
	if !errors.Is(err, broken) || errors.As(err, &fault) {
		t.Errorf("Verify = %v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func mustVerifier(t testing.TB, public string) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func hashOf(e string) string { return tlog.RecordHash([]byte(e)).String() }

// renumbered deletes entry k and gives those after it new indexes, as someone
// without the key would; the checkpoint lines stay after as many lines.
func (f *forger) renumbered(t testing.TB, es []string, k int) []string {
	t.Helper()
	left := append(append([]string{}, es[:k]...), es[k+1:]...)
	var lines []string
	for i := range es {
		for _, s := range []int{0, 4, 8} {
			if s == i {
				lines = append(lines, noteLine(f.sign(t, es[:s])))
			}
		}
		switch {
		case i < k:
			lines = append(lines, entryLine(i, left[i]))
		case i > k:
			lines = append(lines, entryLine(i-1, left[i-1]))
		}
	}
	return append(lines, noteLine(f.sign(t, es)))
}
