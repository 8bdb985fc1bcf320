package embedded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Operations of RFC 4511 section 4.2 and following, by their tags.
const (
	opBind       = 0
	opUnbind     = 2
	opSearch     = 3
	opModify     = 6
	opAdd        = 8
	opDelete     = 10
	opModifyDN   = 12
	opCompare    = 14
	opAbandon    = 16
	opExtended   = 23
	scopeBase    = 0
	scopeOne     = 1
	scopeSubtree = 2
)

// A message is a request whose envelope was understood.
type message struct {
	id       int64
	op       *ber.Packet
	controls map[string]control
}

type control struct {
	critical bool
	value    string
}

var errMessage = errors.New("malformed message")

// readMessage reads one message. Its length is known before a byte of it is
// kept, and its shape before any of it is given to the decoder.
func readMessage(r *bufio.Reader) (*message, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != 0x30 {
		return nil, fmt.Errorf("%w: it begins with %#x", errMessage, head[0])
	}
	extra := 0
	if head[1] >= 0x80 {
		if extra = int(head[1] & 0x7f); extra == 0 || extra > 4 {
			return nil, fmt.Errorf("%w: a length of %d bytes", errMessage, extra)
		}
	}
	if head, err = r.Peek(2 + extra); err != nil {
		return nil, err
	}
	length := uint64(head[1])
	if extra > 0 {
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | uint64(b)
		}
	}
	if length > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", errMessage, length)
	}
	whole := make([]byte, 2+extra+int(length))
	if _, err := io.ReadFull(r, whole); err != nil {
		return nil, err
	}
	return parseMessage(whole)
}

func parseMessage(whole []byte) (*message, error) {
	budget := maxElements
	if rest, err := checkShape(whole, maxDepth, &budget); err != nil || len(rest) != 0 {
		return nil, errors.Join(errMessage, err)
	}
	p, err := ber.DecodePacketErr(whole)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	if p.Tag != ber.TagSequence || len(p.Children) < 2 || len(p.Children) > 3 {
		return nil, errMessage
	}
	id, ok := number(p.Children[0], ber.TagInteger)
	if !ok || id < 1 || id > 1<<31-1 || p.Children[1].ClassType != ber.ClassApplication {
		return nil, errMessage
	}
	m := &message{id: id, op: p.Children[1]}
	if len(p.Children) == 3 {
		if m.controls, err = parseControls(p.Children[2]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func parseControls(p *ber.Packet) (map[string]control, error) {
	if p.ClassType != ber.ClassContext || p.Tag != 0 || p.TagType != ber.TypeConstructed {
		return nil, errMessage
	}
	controls := make(map[string]control, len(p.Children))
	for _, c := range p.Children {
		if c.ClassType != ber.ClassUniversal || c.Tag != ber.TagSequence || len(c.Children) == 0 || len(c.Children) > 3 || !isString(c.Children[0]) {
			return nil, errMessage
		}
		var read control
		for _, part := range c.Children[1:] {
			switch {
			case part.ClassType == ber.ClassUniversal && part.Tag == ber.TagBoolean && part.TagType == ber.TypePrimitive:
				read.critical = content(part) != "" && content(part) != "\x00"
			case isString(part):
				read.value = content(part)
			default:
				return nil, errMessage
			}
		}
		controls[content(c.Children[0])] = read
	}
	return controls, nil
}

// checkShape walks the elements of an encoding without keeping any: their
// depth, their number, and that each ends within the one around it. The decoder
// would find these out by allocating. Only the definite lengths that RFC 4511
// section 5.1 allows pass.
func checkShape(data []byte, depth int, budget *int) (rest []byte, err error) {
	if *budget--; *budget < 0 || depth < 0 {
		return nil, errors.New("too many or too deep elements")
	}
	if len(data) < 2 || data[0]&0x1f == 0x1f {
		return nil, errors.New("an element has no head")
	}
	constructed := data[0]&0x20 != 0
	length, skip := uint64(data[1]), 2
	if data[1] >= 0x80 {
		n := int(data[1] & 0x7f)
		if n == 0 || n > 4 || len(data) < 2+n {
			return nil, errors.New("an element has no length")
		}
		var wide [8]byte
		copy(wide[8-n:], data[2:2+n])
		length, skip = binary.BigEndian.Uint64(wide[:]), 2+n
	}
	if length > uint64(len(data)-skip) {
		return nil, errors.New("an element reaches beyond its frame")
	}
	inner, rest := data[skip:skip+int(length)], data[skip+int(length):]
	for constructed && len(inner) > 0 {
		if inner, err = checkShape(inner, depth-1, budget); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// content is what a primitive element holds.
func content(p *ber.Packet) string {
	if p == nil || p.Data == nil || p.TagType != ber.TypePrimitive {
		return ""
	}
	return p.Data.String()
}

func isString(p *ber.Packet) bool {
	return p != nil && p.ClassType == ber.ClassUniversal && p.Tag == ber.TagOctetString && p.TagType == ber.TypePrimitive
}

func number(p *ber.Packet, tag ber.Tag) (int64, bool) {
	if p == nil || p.ClassType != ber.ClassUniversal || p.Tag != tag || p.TagType != ber.TypePrimitive {
		return 0, false
	}
	b := p.Data.Bytes()
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	n := int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n, true
}

func flag(p *ber.Packet) (set, ok bool) {
	if p == nil || p.ClassType != ber.ClassUniversal || p.Tag != ber.TagBoolean || p.TagType != ber.TypePrimitive {
		return false, false
	}
	b := p.Data.Bytes()
	return len(b) > 0 && b[0] != 0, len(b) == 1
}

// stringsIn reads a sequence or set of octet strings.
func stringsIn(p *ber.Packet) ([]string, bool) {
	if p == nil || p.ClassType != ber.ClassUniversal || p.TagType != ber.TypeConstructed {
		return nil, false
	}
	values := make([]string, 0, len(p.Children))
	for _, c := range p.Children {
		if !isString(c) {
			return nil, false
		}
		values = append(values, content(c))
	}
	return values, true
}

// attributeIn reads one attribute with its values.
func attributeIn(p *ber.Packet) (description string, values []string, ok bool) {
	if p == nil || p.ClassType != ber.ClassUniversal || p.Tag != ber.TagSequence || len(p.Children) != 2 || !isString(p.Children[0]) {
		return "", nil, false
	}
	values, ok = stringsIn(p.Children[1])
	return content(p.Children[0]), values, ok && isDescription(content(p.Children[0]))
}
