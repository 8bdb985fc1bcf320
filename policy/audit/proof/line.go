package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxLine bounds a line of a trail, in bytes with its newline. The largest
// entry that is ever written is a quarter of it.
const MaxLine = 64 << 10

// maxDepth bounds how deep the value of an entry may nest. Ours are two deep.
const maxDepth = 16

// A Line is one line of a trail: an entry, or, when Checkpoint is not nil, a
// checkpoint's signed note. Entry shares the memory of what was parsed.
type Line struct {
	Index      int64
	Hash       tlog.Hash
	Entry      []byte
	Checkpoint []byte

	spacing spacing
}

// spacing is whether a space follows the colons and commas around the values.
type spacing int8

const (
	unknown spacing = iota
	spaced          // {"index": 1, …}, as the contract writes it
	tight           // {"index":1,…}
)

var errNeither = errors.New("neither an entry nor a checkpoint")

// ParseLine reads one line without its newline. It takes one order of keys and
// one spacing throughout the line rather than JSON at large: a doubled or
// unknown key, or anything after the value, is then not a special case but
// simply not the line, and two readers cannot see two different entries in it.
func ParseLine(line []byte) (Line, error) {
	if !utf8.Valid(line) {
		return Line{}, errors.New("not UTF-8")
	}
	p := parser{rest: line}
	if p.key(`{"checkpoint":`) {
		return p.checkpoint()
	}
	if p.key(`{"index":`) {
		return p.entry()
	}
	return Line{}, errNeither
}

type parser struct {
	rest    []byte
	spacing spacing
}

// key takes a key with its colon, and the space after it where the line has
// spaces; the first key decides which.
func (p *parser) key(k string) bool {
	rest, ok := bytes.CutPrefix(p.rest, []byte(k))
	if !ok {
		return false
	}
	after, space := bytes.CutPrefix(rest, []byte(" "))
	if p.spacing == unknown {
		p.spacing = tight
		if space {
			p.spacing = spaced
		}
	}
	if p.spacing == tight {
		p.rest = rest
		return !space
	}
	p.rest = after
	return space
}

// comma takes the comma before a key, and its space.
func (p *parser) comma() bool {
	sep := ","
	if p.spacing == spaced {
		sep = ", "
	}
	var ok bool
	p.rest, ok = bytes.CutPrefix(p.rest, []byte(sep))
	return ok
}

func (p *parser) entry() (Line, error) {
	end := bytes.IndexByte(p.rest, ',')
	if end < 0 {
		return Line{}, errNeither
	}
	digits := string(p.rest[:end])
	p.rest = p.rest[end:]
	index, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || index < 0 || strconv.FormatInt(index, 10) != digits {
		return Line{}, errors.New("the index is not a plain number")
	}
	if !p.comma() || !p.key(`"hash":`) {
		return Line{}, errors.New("no hash after the index")
	}
	const hashLen = 46 // 44 characters of base64 and the quotes
	if len(p.rest) < hashLen {
		return Line{}, errors.New("the hash is cut off")
	}
	hash, ok := parseHash(p.rest[:hashLen])
	if !ok {
		return Line{}, errors.New("the hash is not base64 of 32 bytes")
	}
	p.rest = p.rest[hashLen:]
	if !p.comma() || !p.key(`"entry":`) {
		return Line{}, errors.New("no entry after the hash")
	}
	value, ok := bytes.CutSuffix(p.rest, []byte("}"))
	if !ok || len(value) == 0 || value[0] != '{' || value[len(value)-1] != '}' || !json.Valid(value) {
		return Line{}, errors.New("the entry is not one JSON object")
	}
	if err := singular(value); err != nil {
		return Line{}, err
	}
	return Line{Index: index, Hash: hash, Entry: value, spacing: p.spacing}, nil
}

func (p *parser) checkpoint() (Line, error) {
	value, ok := bytes.CutSuffix(p.rest, []byte("}"))
	if !ok || len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return Line{}, errors.New("the checkpoint is not one JSON string")
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return Line{}, errors.New("the checkpoint is not one JSON string")
	}
	return Line{Checkpoint: []byte(text), spacing: p.spacing}, nil
}

// parseHash reads a quoted base64 hash. Strict, because the last character of
// 44 carries two bits that a lax reader ignores: the same hash would have four
// spellings, and a changed byte would go unseen.
func parseHash(quoted []byte) (h tlog.Hash, ok bool) {
	if quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return h, false
	}
	return decodeHash(quoted[1 : len(quoted)-1])
}

func decodeHash(text []byte) (h tlog.Hash, ok bool) {
	var buf [36]byte // DecodedLen of 44
	if len(text) != 44 {
		return h, false
	}
	n, err := base64.StdEncoding.Strict().Decode(buf[:], text)
	if err != nil || n != len(h) {
		return h, false
	}
	copy(h[:], buf[:])
	return h, true
}

// singular refuses a valid JSON object in which a key stands twice, at any
// depth: readers disagree which of the two counts, and one of them is what the
// auditor would be shown.
func singular(object []byte) error {
	type level struct {
		keys   map[string]struct{} // nil in an array
		expect bool                // the next string is a key
	}
	var stack []level
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			if len(stack) == maxDepth {
				return errors.New("the entry nests too deep")
			}
			l := level{}
			if object[i] == '{' {
				l = level{keys: map[string]struct{}{}, expect: true}
			}
			stack = append(stack, l)
		case '}', ']':
			stack = stack[:len(stack)-1]
		case ',':
			top := &stack[len(stack)-1]
			top.expect = top.keys != nil
		case '"':
			start := i
			for i++; object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
			top := &stack[len(stack)-1]
			if !top.expect {
				continue
			}
			top.expect = false
			key := object[start+1 : i]
			if bytes.IndexByte(key, '\\') >= 0 {
				var plain string
				if err := json.Unmarshal(object[start:i+1], &plain); err != nil {
					return errors.New("the entry is not one JSON object")
				}
				key = []byte(plain)
			}
			if _, twice := top.keys[string(key)]; twice {
				return errors.New("a key stands twice in the entry")
			}
			top.keys[string(key)] = struct{}{}
		}
	}
	return nil
}

// AppendEntry appends the line of an entry, newline and all, to dst. The bytes
// of data go out as they are.
func AppendEntry(dst []byte, index int64, hash tlog.Hash, data []byte) []byte {
	dst = append(dst, `{"index": `...)
	dst = strconv.AppendInt(dst, index, 10)
	dst = append(dst, `, "hash": "`...)
	dst = base64.StdEncoding.AppendEncode(dst, hash[:])
	dst = append(dst, `", "entry": `...)
	dst = append(dst, data...)
	return append(dst, '}', '\n')
}

// AppendCheckpoint appends the line of a checkpoint's signed note to dst.
func AppendCheckpoint(dst, signed []byte) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(signed)) // a string always encodes
	dst = append(dst, `{"checkpoint": `...)
	dst = append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
	return append(dst, '}', '\n')
}
