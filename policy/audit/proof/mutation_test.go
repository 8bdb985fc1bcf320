package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

// SEKISHO_SEED repeats a run that failed.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	s := rand.Uint64()
	if env := os.Getenv("SEKISHO_SEED"); env != "" {
		var err error
		if s, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEKISHO_SEED=%d", s)
	return rand.New(rand.NewPCG(s, s))
}

// A scene is a genuine trail, for a mutation to spoil.
type scene struct {
	f       *forger
	r       *rand.Rand
	entries []string
	sizes   []int // of the checkpoints: 0 first, len(entries) last
	lines   []string
	at      []int // at[i] is the line of entry i
	marks   []int // lines of the checkpoints, as sizes
}

// A harm is what a mutation left behind and where it must be found: at index,
// or, where index is -1, at the checkpoint that first covers touched.
type harm struct {
	lines   []string
	old     []byte
	index   int64
	touched int64
}

// mutations are the harms of security.md F19 and F20, and those of someone who
// recomputes every hash but cannot sign.
var mutations = map[string]func(*testing.T, *scene) harm{
	"flip a byte of an entry": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		line := s.lines[s.at[i]]
		from := strings.Index(line, `"entry": `) + len(`"entry": `)
		return s.flip(s.at[i], from, len(line)-2, int64(i))
	},
	"flip a byte of a hash": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		line := s.lines[s.at[i]]
		from := strings.Index(line, `"hash": "`) + len(`"hash": "`)
		return s.flip(s.at[i], from, from+44, int64(i))
	},
	"flip any byte of an entry's line": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		for {
			h := s.flip(s.at[i], 0, len(s.lines[s.at[i]])-1, int64(i))
			// 12 made 11 looks like a foreign entry 11 put before the true one,
			// and is named so.
			if !strings.HasPrefix(h.lines[s.at[i]], fmt.Sprintf(`{"index": %d,`, i-1)) {
				return h
			}
		}
	},
	"flip a byte of a checkpoint": func(_ *testing.T, s *scene) harm {
		m := s.r.IntN(len(s.marks))
		h := s.flip(s.marks[m], 0, len(s.lines[s.marks[m]]), -1)
		h.touched = anywhere
		return h
	},
	"take out a byte": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		l := s.copy()
		line := l[s.at[i]]
		k := s.r.IntN(len(line))
		l[s.at[i]] = line[:k] + line[k+1:]
		return harm{lines: l, index: int64(i)}
	},
	"delete": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		return harm{lines: s.without(s.at[i]), index: int64(i)}
	},
	"insert": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		return harm{lines: s.insert(s.at[i], entryLine(i, `{"actor":"nobody"}`)), index: int64(i)}
	},
	"duplicate": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		return harm{lines: s.insert(s.at[i], s.lines[s.at[i]]), index: int64(i)}
	},
	"swap": func(_ *testing.T, s *scene) harm {
		i, j := s.r.IntN(len(s.entries)), s.r.IntN(len(s.entries)-1)
		if j >= i {
			j++
		}
		l := s.copy()
		l[s.at[i]], l[s.at[j]] = l[s.at[j]], l[s.at[i]]
		return harm{lines: l, index: int64(min(i, j))}
	},
	"cut the tail inside a batch": func(_ *testing.T, s *scene) harm {
		m := 1 + s.r.IntN(len(s.marks)-1)
		first, past := s.sizes[m-1], s.sizes[m] // entries of the batch
		keep := first + 1 + s.r.IntN(past-first)
		return harm{lines: s.lines[:s.at[keep-1]+1], index: int64(first)}
	},
	"rewrite an entry and its hash": func(_ *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		l := s.copy()
		l[s.at[i]] = entryLine(i, `{"actor":"nobody"}`)
		return harm{lines: l, index: -1, touched: int64(i)}
	},
	"rewrite everything from an entry on, with roots": func(t *testing.T, s *scene) harm {
		// The signatures stay the old ones: this attacker holds no key.
		i := s.r.IntN(len(s.entries))
		es := append([]string{}, s.entries...)
		for k := i; k < len(es); k++ {
			es[k] = strings.Replace(es[k], "tanaka", "suzuki", 1)
		}
		l := s.copy()
		for k := i; k < len(es); k++ {
			l[s.at[k]] = entryLine(k, es[k])
		}
		for m, at := range s.marks {
			if size := s.sizes[m]; size > i {
				l[at] = strings.Replace(l[at], rootOf(t, s.entries[:size]).String(), rootOf(t, es[:size]).String(), 1)
			}
		}
		return harm{lines: l, index: -1, touched: int64(i)}
	},
	"cut back to an earlier checkpoint": func(t *testing.T, s *scene) harm {
		m := s.r.IntN(len(s.marks) - 1)
		return harm{lines: s.lines[:s.marks[m]+1], old: s.f.sign(t, s.entries), index: int64(s.sizes[m])}
	},
	"fork, signed with the true key": func(t *testing.T, s *scene) harm {
		i := s.r.IntN(len(s.entries))
		es := append([]string{}, s.entries...)
		es[i] = `{"actor":"nobody"}`
		return harm{lines: s.f.trail(t, es, s.sizes...), old: s.f.sign(t, s.entries[:i+1+s.r.IntN(len(es)-i)]), index: -1, touched: anywhere}
	},
}

// anywhere: the harm is in no entry, so that no range need hold one.
const anywhere = -1

func TestThousandMutations(t *testing.T) {
	r := seed(t)
	f := newForger(t)
	names := make([]string, 0, len(mutations))
	for name := range mutations {
		names = append(names, name)
	}
	var scenes []*scene
	for range 10 {
		scenes = append(scenes, newScene(t, f, r))
	}
	for n := range 1000 {
		name := names[n%len(names)]
		s := scenes[r.IntN(len(scenes))]
		h := mutations[name](t, s)
		_, err := f.verify(h.lines, h.old)
		var fault *proof.Fault
		if !errors.As(err, &fault) {
			t.Fatalf("mutation %d, %s: undetected (%v)", n, name, err)
		}
		switch {
		case h.index >= 0 && fault.Index != h.index:
			t.Errorf("mutation %d, %s: entry %d was harmed, %d named: %v", n, name, h.index, fault.Index, fault)
		case h.index < 0 && h.touched != anywhere && (fault.From > h.touched || fault.To <= h.touched):
			t.Errorf("mutation %d, %s: entry %d was harmed, %d to %d named: %v", n, name, h.touched, fault.From, fault.To, fault)
		}
	}
}

func newScene(t *testing.T, f *forger, r *rand.Rand) *scene {
	n := 20 + r.IntN(60)
	s := &scene{f: f, r: r, entries: entries(n), sizes: []int{0}}
	for size := 1 + r.IntN(9); size < n; size += 1 + r.IntN(9) {
		s.sizes = append(s.sizes, size)
	}
	s.sizes = append(s.sizes, n)
	s.lines = f.trail(t, s.entries, s.sizes...)
	for i, l := range s.lines {
		if strings.HasPrefix(l, `{"checkpoint"`) {
			s.marks = append(s.marks, i)
		} else {
			s.at = append(s.at, i)
		}
	}
	return s
}

func (s *scene) copy() []string { return append([]string{}, s.lines...) }

func (s *scene) without(line int) []string {
	return append(s.copy()[:line], s.lines[line+1:]...)
}

func (s *scene) insert(before int, line string) []string {
	return append(append(s.copy()[:before], line), s.lines[before:]...)
}

// flip changes one byte of a line, from ≤ k < to, to another value.
func (s *scene) flip(line, from, to int, index int64) harm {
	l := s.copy()
	b := []byte(l[line])
	b[from+s.r.IntN(to-from)] ^= byte(1 + s.r.IntN(255))
	l[line] = string(b)
	return harm{lines: l, index: index}
}

func FuzzTrailLine(f *testing.F) {
	fo := newForger(f)
	es := entries(2)
	for _, l := range fo.trail(f, es, 0, 2) {
		f.Add([]byte(strings.TrimSuffix(l, "\n")))
	}
	for _, l := range []string{
		``, `{}`, `{"index": 0}`, `{"checkpoint": "a\u2014"}`, `{"checkpoint":"\ud800"}`, `{"index":0,"hash":"` + hashOf("{}") + `","entry":{}}`,
		`{"index": 0, "hash": "` + hashOf("{}") + `", "entry": {"a": {"b": [{"c": "\\\""}]}}}`,
		`{"index": 00, "hash": "` + hashOf("{}") + `", "entry": {}}`, `{"index": 1, "index": 2, "hash": "", "entry": {}}`,
		`{"index": 1, "hash": "` + hashOf("{}") + `", "entry": {"a":1,"\u0061":2}}`,
	} {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := proof.ParseLine(line)
		if err != nil {
			return
		}
		// Whatever parses is spelt the one way it can be: no byte of a line is
		// without meaning.
		if l.Checkpoint != nil {
			again, err := proof.ParseLine(bytes.TrimSuffix(proof.AppendCheckpoint(nil, l.Checkpoint), []byte("\n")))
			if err != nil || !bytes.Equal(again.Checkpoint, l.Checkpoint) {
				t.Fatalf("%q became %q (%v)", l.Checkpoint, again.Checkpoint, err)
			}
			return
		}
		want := string(proof.AppendEntry(nil, l.Index, l.Hash, l.Entry))
		tight := strings.Replace(strings.Replace(strings.Replace(want, `{"index": `, `{"index":`, 1), `, "hash": `, `,"hash":`, 1), `, "entry": `, `,"entry":`, 1)
		if got := string(line) + "\n"; got != want && got != tight {
			t.Fatalf("%q parses, but is written %q", got, want)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	fo := newForger(f)
	f.Add(fo.sign(f, nil), byte(1), uint16(3))
	f.Add(fo.sign(f, entries(3)), byte(0x20), uint16(100))
	f.Fuzz(func(t *testing.T, signed []byte, with byte, at uint16) {
		if len(signed) > 0 && with != 0 {
			signed = bytes.Clone(signed)
			signed[int(at)%len(signed)] ^= with
		}
		// The fuzzer does not hold the key of this run, so nothing it changed
		// may open.
		if c, err := proof.OpenCheckpoint(signed, fo.public); err == nil {
			genuine := fo.signTree(t, c.Size, c.Root)
			if !bytes.Equal(genuine, signed) {
				t.Fatalf("opened %q, genuine is %q", signed, genuine)
			}
		}
	})
}

func TestLinesRefused(t *testing.T) {
	h := hashOf("{}")
	for name, line := range map[string]string{
		"key doubled":                `{"index": 1, "index": 1, "hash": "` + h + `", "entry": {}}`,
		"unknown key":                `{"index": 1, "hash": "` + h + `", "entry": {}, "note": 1}`,
		"unknown key first":          `{"note": 1, "index": 1, "hash": "` + h + `", "entry": {}}`,
		"other order":                `{"hash": "` + h + `", "index": 1, "entry": {}}`,
		"trailing garbage":           `{"index": 1, "hash": "` + h + `", "entry": {}} {}`,
		"trailing carriage return":   `{"index": 1, "hash": "` + h + `", "entry": {}}` + "\r",
		"negative index":             `{"index": -1, "hash": "` + h + `", "entry": {}}`,
		"index with a zero before":   `{"index": 01, "hash": "` + h + `", "entry": {}}`,
		"index as a float":           `{"index": 1.0, "hash": "` + h + `", "entry": {}}`,
		"index past 63 bits":         `{"index": 9223372036854775808, "hash": "` + h + `", "entry": {}}`,
		"hash in another spelling":   `{"index": 1, "hash": "` + h[:42] + string(h[42]+1) + `=", "entry": {}}`,
		"hash too short":             `{"index": 1, "hash": "AAAA", "entry": {}}`,
		"entry is an array":          `{"index": 1, "hash": "` + h + `", "entry": []}`,
		"entry is no JSON":           `{"index": 1, "hash": "` + h + `", "entry": {"a"}}`,
		"entry is two objects":       `{"index": 1, "hash": "` + h + `", "entry": {},{}}`,
		"space around the entry":     `{"index": 1, "hash": "` + h + `", "entry":  {}}`,
		"space after the entry":      `{"index": 1, "hash": "` + h + `", "entry": {} }`,
		"key twice in the entry":     `{"index": 1, "hash": "` + h + `", "entry": {"actor":"a","actor":"b"}}`,
		"key twice, once escaped":    `{"index": 1, "hash": "` + h + `", "entry": {"actor":"a","\u0061ctor":"b"}}`,
		"key twice, deeper":          `{"index": 1, "hash": "` + h + `", "entry": {"detail":{"a":"1","a":"2"}}}`,
		"nested too deep":            `{"index": 1, "hash": "` + h + `", "entry": {"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}}`,
		"not UTF-8":                  `{"index": 1, "hash": "` + h + `", "entry": {"a":"` + "\xff" + `"}}`,
		"mixed spacing":              `{"index": 1,"hash": "` + h + `", "entry": {}}`,
		"checkpoint of two strings":  `{"checkpoint": "a","b"}`,
		"checkpoint is a number":     `{"checkpoint": 1}`,
		"checkpoint with more after": `{"checkpoint": "a", "size": 1}`,
		"neither":                    `{}`,
	} {
		if _, err := proof.ParseLine([]byte(line)); err == nil {
			t.Errorf("%s: %s was read", name, line)
		}
	}
	// The same, sound, is read; and a key in two objects is not a key twice.
	sound := `{"index": 1, "hash": "` + h + `", "entry": {"a":{"b":"\"}{"},"c":[{"b":1},{"b":2}]}}`
	l, err := proof.ParseLine([]byte(sound))
	if err != nil || l.Index != 1 || l.Hash != tlog.RecordHash([]byte("{}")) || string(l.Entry) != `{"a":{"b":"\"}{"},"c":[{"b":1},{"b":2}]}` {
		t.Errorf("%s: %+v, %v", sound, l, err)
	}
}
