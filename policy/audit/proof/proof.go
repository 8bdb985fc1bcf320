// Package proof checks an exported trail against the signatures in it.
//
// It trusts one thing, the public key it is given. It knows neither the
// database the trail came from nor what the entries mean, holds one line and
// the right edge of the tree in memory whatever the length of the trail, and
// imports nothing else of this module, so that an auditor can read all of it.
//
//	{"index": N, "hash": "base64", "entry": {…}}     a leaf, SHA-256(0x00 ‖ entry)
//	{"checkpoint": "C2SP signed note"}               the tree of all leaves above it
//
// The tree is RFC 6962's (section 2.1); a checkpoint is C2SP tlog-checkpoint
// without extension lines, in a C2SP signed note with one Ed25519 signature.
//
// A trail may change its key: see Succession. Then the key that is given must be
// one of those that signed, and each of the others is believed because it and
// its neighbour signed for one another.
//
// What it cannot see: a checkpoint line taken out between two others (no entry
// is lost by that: the next checkpoint covers them), and a trail cut back
// exactly to an earlier checkpoint. The second is what an older checkpoint,
// kept elsewhere, is for.
package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrKey means that the text given as public key is not a note verifier key.
var ErrKey = errors.New("not a public key of a trail (NAME+HASH+BASE64)")

// A Kind says in which way a trail is not whole.
type Kind string

const (
	KindLine       Kind = "line"       // a line is neither an entry nor a checkpoint
	KindIndex      Kind = "index"      // an entry out of its place: deleted, inserted, doubled, swapped
	KindHash       Kind = "hash"       // an entry's bytes do not hash to the hash beside it
	KindCheckpoint Kind = "checkpoint" // a checkpoint is malformed or its signature is wrong
	KindKey        Kind = "key"        // a checkpoint is signed with another key than the one given
	KindPlace      Kind = "place"      // a genuine checkpoint stands after more or fewer entries than it covers
	KindTree       Kind = "tree"       // the hashes agree with the entries, but not with the signed tree
	KindCut        Kind = "cut"        // the trail does not end with a checkpoint
	KindOld        Kind = "old"        // the older checkpoint is itself not genuine
	KindRollback   Kind = "rollback"   // the trail is shorter than the older checkpoint
	KindFork       Kind = "fork"       // the older checkpoint covers other entries than this trail holds
	KindRestored   Kind = "restored"   // likewise, and the trail itself says that a restore lost them
)

// A Fault is the first thing found wrong with a trail. Index is the first wrong
// entry, or -1 where only a range can be known; From and To are that range,
// the entries From ≤ i < To between the last good checkpoint and the first bad
// one. Line counts from 1; it is 0 when no line is to blame.
type Fault struct {
	Kind     Kind
	Index    int64
	From, To int64
	Line     int64
	Says     string
}

func (f *Fault) Error() string { return f.Says }

// A Report is what a whole trail amounts to. First and Last are the times the
// first and last entry say they were made at; zero in an empty trail.
type Report struct {
	Entries     int64
	Checkpoints int64
	Size        int64 // of the last checkpoint; equal to Entries
	Root        tlog.Hash
	First, Last time.Time
	Checkpoint  []byte   // the last signed note, fit to be kept as the next OLD
	Keys        []string // all keys of the trail, in their order; one, unless it changed
}

// Verify reads an exported trail to its end. It returns a *Fault for anything
// wrong with the trail, ErrKey for an unusable verifierKey, and r's own error
// when reading fails. A non-empty old is a signed note kept from earlier: the
// tree it covers must be a prefix of this one.
func Verify(r io.Reader, verifierKey string, old []byte) (Report, error) {
	key, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Report{}, ErrKey
	}
	begin, looked, err := firstKey(r)
	if err != nil {
		return Report{}, err
	}
	if looked && begin == "" {
		begin = verifierKey
	}
	return verify(r, key, verifierKey, begin, old)
}

// VerifySince is Verify for who knows already with which key the trail began. A
// wrong answer proves nothing: it only refuses.
func VerifySince(r io.Reader, verifierKey, begin string, old []byte) (Report, error) {
	key, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Report{}, ErrKey
	}
	return verify(r, key, verifierKey, begin, old)
}

func verify(r io.Reader, key note.Verifier, given, begin string, old []byte) (Report, error) {
	v := verifier{key: key, given: given, in: newLines(r), oldNote: old}
	if begin != "" {
		if first, err := note.NewVerifier(begin); err == nil {
			v.begins(first, begin)
		}
	}
	if err := v.readOld(); err != nil {
		return Report{}, err
	}
	if err := v.run(); err != nil {
		return Report{}, err
	}
	return v.report()
}

func newLines(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, MaxLine) }

// readOld reads the older checkpoint. Whose it must be is known at the end, when
// all keys of the trail are.
func (v *verifier) readOld() error {
	if len(v.oldNote) == 0 {
		return nil
	}
	c, err := openCheckpoint(v.oldNote, v.key)
	if errors.Is(err, errOtherKey) {
		text, _, _ := bytes.Cut(v.oldNote, []byte("\n\n"))
		var ok bool
		if c, ok = parseCheckpoint(string(text) + "\n"); !ok {
			err = errMalformed
		} else {
			err = nil
		}
	}
	if err != nil && !v.bothSigned(&c) {
		return oldFault(err)
	}
	v.old = &c
	return nil
}

// bothSigned takes for an older checkpoint one that two keys signed, as far as
// its text; genuineOld checks the signatures.
func (v *verifier) bothSigned(c *Checkpoint) bool {
	text, sigs, _ := bytes.Cut(v.oldNote, []byte("\n\n"))
	parsed, ok := parseCheckpoint(string(text) + "\n")
	if ok = ok && bytes.Count(sigs, []byte("\n")) == 2; ok {
		*c = parsed
	}
	return ok
}

func oldFault(err error) *Fault {
	return &Fault{Kind: KindOld, Index: -1, From: -1, To: -1, Says: fmt.Sprintf("the older checkpoint: %v", err)}
}

// genuineOld reports whether a key of the trail signed the older checkpoint, or
// two that followed one another.
func (v *verifier) genuineOld() error {
	var before note.Verifier
	err := errOtherKey
	for _, text := range v.keys {
		key, bad := note.NewVerifier(text)
		if bad != nil {
			return bad
		}
		_, alone := openCheckpoint(v.oldNote, key)
		if alone == nil {
			return nil
		}
		if !errors.Is(alone, errOtherKey) {
			err = alone
		}
		if before != nil {
			if _, both := openCheckpoint(v.oldNote, before, key); both == nil {
				return nil
			}
		}
		before = key
	}
	return err
}

// A verifier is one reading of one trail.
type verifier struct {
	key   note.Verifier // the one given
	given string        // its text
	in    *bufio.Reader

	signer    note.Verifier // who signs here; nil until somebody is known
	signs     string        // the text of that key
	heir      note.Verifier // who signs too, once, and alone from then on
	believed  bool          // the given key is one of the trail's
	keys      []string      // of the trail, in order
	unsettled []signing

	line int64 // of the line being read, from 1

	tree    frontier
	good    int64       // size of the last checkpoint that held; 0 before the first
	last    *Checkpoint // the same, nil before the first
	lastRaw []byte
	ended   bool // the line read last was a checkpoint
	spacing spacing
	count   int64 // checkpoints

	first, final time.Time
	finalEntry   []byte

	old     *Checkpoint
	oldNote []byte
	oldHeld bool
	gaps    []gap
}

func (v *verifier) run() error {
	v.compareOld()
	for {
		line, err := v.in.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			v.line++
			return v.fault(KindCut, v.tree.n, "line %d is cut off in the middle; entry %d or a checkpoint was expected", v.line, v.tree.n)
		case errors.Is(err, bufio.ErrBufferFull):
			v.line++
			return v.fault(KindLine, v.tree.n, "line %d is longer than %d bytes; entry %d or a checkpoint was expected", v.line, MaxLine, v.tree.n)
		case err != nil:
			return fmt.Errorf("reading line %d of the trail: %w", v.line+1, err)
		}
		v.line++
		if err := v.take(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

// take checks one line, without its newline.
func (v *verifier) take(line []byte) error {
	l, err := ParseLine(line)
	if err != nil {
		return v.fault(KindLine, v.tree.n, "line %d: %v; entry %d or a checkpoint was expected", v.line, err, v.tree.n)
	}
	// Two spellings are read, as the contract writes it and without spaces, but
	// not a mixture: a file edited in one place is an edited file.
	if v.spacing == unknown {
		v.spacing = l.spacing
	}
	if l.spacing != v.spacing {
		return v.fault(KindLine, v.tree.n, "line %d is spaced unlike the lines before it; entry %d or a checkpoint was expected", v.line, v.tree.n)
	}
	if l.Checkpoint != nil {
		return v.checkpoint(l.Checkpoint)
	}
	return v.entry(l)
}

func (v *verifier) entry(l Line) error {
	want := v.tree.n
	switch {
	case l.Index == want-1:
		// Either line may be the foreign one; both carry this index.
		return v.fault(KindIndex, l.Index, "line %d: index %d stands there a second time, where entry %d was expected", v.line, l.Index, want)
	case l.Index != want:
		return v.fault(KindIndex, want, "line %d: entry %d was expected, but index %d stands there", v.line, want, l.Index)
	}
	if got := tlog.RecordHash(l.Entry); got != l.Hash {
		return v.fault(KindHash, want, "entry %d (line %d) does not hash to the hash beside it", want, v.line)
	}
	if s, is, err := succession(l.Entry); is && err != nil {
		return v.fault(KindCheckpoint, want, "entry %d (line %d) says that another key signs from there on, but %v", want, v.line, err)
	} else if is {
		if err := v.succeed(s); err != nil {
			return err
		}
	} else if v.heir != nil {
		return v.fault(KindCheckpoint, want, "entry %d (line %d) stands where both keys had to sign", want, v.line)
	}
	v.tree.add(l.Hash)
	v.ended = false
	if want == 0 {
		v.first = timeOf(l.Entry)
	}
	v.finalEntry = append(v.finalEntry[:0], l.Entry...)
	v.noteGap(want, l.Entry)
	v.compareOld()
	return nil
}

func (v *verifier) checkpoint(raw []byte) error {
	n := v.tree.n
	c, err := v.openSigned(raw)
	var unsettled *Fault
	if errors.As(err, &unsettled) {
		return unsettled
	}
	if errors.Is(err, errOtherKey) && v.last == nil {
		return v.rangeFault(KindKey, n, "line %d: the first checkpoint, after %d entries: %v", v.line, n, err)
	}
	if err != nil {
		return v.rangeFault(KindCheckpoint, n, "line %d: the checkpoint after %d entries is not genuine: %v; the checkpoint of size %d is the last good one", v.line, n, err, v.good)
	}
	switch {
	case c.Size > n:
		f := v.rangeFault(KindPlace, c.Size, "line %d: entry %d is missing before the checkpoint of size %d; the checkpoint of size %d is the last good one", v.line, n, c.Size, v.good)
		f.Index = n
		return f
	case c.Size < n:
		f := v.rangeFault(KindPlace, n, "line %d: entry %d stands before the checkpoint that covers only %d; the checkpoint of size %d is the last good one", v.line, c.Size, c.Size, v.good)
		f.Index = c.Size
		return f
	case v.last != nil && c.Size == v.last.Size:
		return v.rangeFault(KindPlace, n, "line %d: the checkpoint of size %d stands there a second time", v.line, n)
	case c.Root != v.tree.root():
		return v.rangeFault(KindTree, n, "entries %d to %d were rewritten together with their hashes: the checkpoint of size %d is the last good one, the checkpoint of size %d (line %d) the first bad one", v.good, n-1, v.good, n, v.line)
	}
	v.good, v.last, v.ended = n, &c, true
	v.lastRaw = append(v.lastRaw[:0], raw...)
	v.count++
	return nil
}

// compareOld notes whether the tree is the older checkpoint's at the moment it
// has that many leaves; report judges it, so that a plainer fault comes first.
func (v *verifier) compareOld() {
	if v.old != nil && v.old.Size == v.tree.n {
		v.oldHeld = v.old.Root == v.tree.root()
	}
}

func (v *verifier) report() (Report, error) {
	n := v.tree.n
	if v.last != nil && !v.believed {
		return Report{}, v.rangeFault(KindKey, n, "the trail, %d entries: %v", n, errOtherKey)
	}
	if !v.ended {
		// A tail without a signature is whatever the last writer of the file
		// wanted it to be.
		if v.last == nil {
			return Report{}, v.rangeFault(KindCut, n, "the trail holds no checkpoint: nothing in it (%d entries) is proven", n)
		}
		f := v.rangeFault(KindCut, n, "the trail does not end with a checkpoint: it is cut off, or entry %d and those after it were added; the checkpoint of size %d is the last good one", v.good, v.good)
		f.Index = v.good
		return Report{}, f
	}
	if v.old != nil {
		if err := v.genuineOld(); err != nil {
			return Report{}, oldFault(err)
		}
	}
	if v.old != nil && (n < v.old.Size || !v.oldHeld) {
		if err := v.restored(); err != nil {
			return Report{}, err
		}
	}
	if v.old != nil && n < v.old.Size {
		f := &Fault{Kind: KindRollback, Index: n, From: n, To: v.old.Size}
		f.Says = fmt.Sprintf("the trail holds %d entries, but the older checkpoint covers %d: entries %d to %d were cut off", n, v.old.Size, n, v.old.Size-1)
		return Report{}, f
	}
	if v.old != nil && !v.oldHeld {
		f := &Fault{Kind: KindFork, Index: -1, From: 0, To: v.old.Size}
		f.Says = fmt.Sprintf("two histories were signed with this key: the older checkpoint of size %d does not cover entries 0 to %d of this trail", v.old.Size, v.old.Size-1)
		return Report{}, f
	}
	if n > 0 {
		v.final = timeOf(v.finalEntry)
	}
	return Report{
		Entries: n, Checkpoints: v.count, Size: v.last.Size, Root: v.last.Root,
		First: v.first, Last: v.final, Checkpoint: bytes.Clone(v.lastRaw), Keys: v.keys,
	}, nil
}

// fault blames one entry.
func (v *verifier) fault(k Kind, index int64, format string, args ...any) *Fault {
	return &Fault{Kind: k, Index: index, From: v.good, To: index + 1, Line: v.line, Says: fmt.Sprintf(format, args...)}
}

// rangeFault blames what lies between the last good checkpoint and size to.
func (v *verifier) rangeFault(k Kind, to int64, format string, args ...any) *Fault {
	return &Fault{Kind: k, Index: -1, From: v.good, To: to, Line: v.line, Says: fmt.Sprintf(format, args...)}
}

// timeOf reads when an entry says it was made. An entry without a time is still
// proven, so that is not a fault.
func timeOf(entry []byte) time.Time {
	var e struct {
		Time time.Time `json:"time"`
	}
	if err := json.Unmarshal(entry, &e); err != nil {
		return time.Time{}
	}
	return e.Time
}

// A frontier is the right edge of a Merkle tree: the roots of the complete
// subtrees of n leaves, largest first. There is one for each 1 in n's binary
// form, so it never holds more than 63.
type frontier struct {
	n     int64
	roots []tlog.Hash
}

func (f *frontier) add(leaf tlog.Hash) {
	f.roots = append(f.roots, leaf)
	for n := f.n; n&1 == 1; n >>= 1 { // each trailing 1 is a pair completed by this leaf
		last := len(f.roots) - 1
		f.roots[last-1] = tlog.NodeHash(f.roots[last-1], f.roots[last])
		f.roots = f.roots[:last]
	}
	f.n++
}

func (f *frontier) root() tlog.Hash {
	if f.n == 0 {
		empty, _ := tlog.TreeHash(0, nil) // the empty tree reads nothing and cannot fail
		return empty
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}
