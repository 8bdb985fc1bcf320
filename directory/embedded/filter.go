package embedded

import (
	"errors"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

type filterKind int

// The choices of RFC 4511 section 4.5.1.7, by their tags.
const (
	filterAnd filterKind = iota
	filterOr
	filterNot
	filterEqual
	filterSubstrings
	filterGreater
	filterLess
	filterPresent
	filterApprox
	filterExtensible
)

// A match is three-valued: what a filter says about an attribute that an entry
// does not have, or that nobody may ask about, is neither true nor false.
type match int

const (
	matchUndefined match = iota
	matchFalse
	matchTrue
)

type filterNode struct {
	kind      filterKind
	parts     []*filterNode
	attribute string // its key
	value     string
	key       string // of the value
	initial   string // substrings, folded
	any       []string
	final     string
	dnToo     bool // extensible: also the values inside the DN
}

var errFilter = errors.New("malformed filter")

// parseFilter reads a filter that checkShape has already bounded.
func parseFilter(p *ber.Packet) (*filterNode, error) {
	if p == nil || p.ClassType != ber.ClassContext || p.Tag > ber.Tag(filterExtensible) {
		return nil, errFilter
	}
	f := &filterNode{kind: filterKind(p.Tag)}
	switch f.kind {
	case filterAnd, filterOr, filterNot:
		if p.TagType != ber.TypeConstructed || f.kind == filterNot && len(p.Children) != 1 {
			return nil, errFilter
		}
		for _, c := range p.Children {
			part, err := parseFilter(c)
			if err != nil {
				return nil, err
			}
			f.parts = append(f.parts, part)
		}
		return f, nil
	case filterPresent:
		if p.TagType != ber.TypePrimitive || content(p) == "" {
			return nil, errFilter
		}
		f.attribute = attributeKey(content(p))
		return f, nil
	case filterSubstrings:
		return f, f.parseSubstrings(p)
	case filterExtensible:
		return f, f.parseExtensible(p)
	}
	if p.TagType != ber.TypeConstructed || len(p.Children) != 2 || !isString(p.Children[0]) || !isString(p.Children[1]) {
		return nil, errFilter
	}
	if f.attribute = attributeKey(content(p.Children[0])); f.attribute == "" {
		return nil, errFilter
	}
	f.value = content(p.Children[1])
	f.key = valueKey(f.attribute, f.value)
	return f, nil
}

func (f *filterNode) parseSubstrings(p *ber.Packet) error {
	if p.TagType != ber.TypeConstructed || len(p.Children) != 2 || !isString(p.Children[0]) ||
		p.Children[1].TagType != ber.TypeConstructed || len(p.Children[1].Children) == 0 {
		return errFilter
	}
	if f.attribute = attributeKey(content(p.Children[0])); f.attribute == "" {
		return errFilter
	}
	pieces := p.Children[1].Children
	for i, c := range pieces {
		if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive {
			return errFilter
		}
		piece := foldPiece(content(c))
		switch {
		case c.Tag == 0 && i == 0:
			f.initial = piece
		case c.Tag == 1:
			f.any = append(f.any, piece)
		case c.Tag == 2 && i == len(pieces)-1:
			f.final = piece
		default:
			return errFilter
		}
	}
	return nil
}

func (f *filterNode) parseExtensible(p *ber.Packet) error {
	if p.TagType != ber.TypeConstructed {
		return errFilter
	}
	var given bool
	for _, c := range p.Children {
		if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive {
			return errFilter
		}
		switch c.Tag {
		case 1: // a matching rule: equality is the only one there is here
		case 2:
			f.attribute = attributeKey(content(c))
		case 3:
			f.value, given = content(c), true
		case 4:
			f.dnToo = content(c) != "" && content(c) != "\x00"
		default:
			return errFilter
		}
	}
	if !given {
		return errFilter
	}
	f.key = valueKey(f.attribute, f.value)
	return nil
}

// foldPiece folds as foldValue does but keeps space at the ends, which in a
// piece of a value is inner space.
func foldPiece(v string) string {
	folded := foldValue(v)
	if strings.HasPrefix(v, " ") {
		folded = " " + folded
	}
	if strings.HasSuffix(v, " ") && folded != " " {
		folded += " "
	}
	return folded
}

func (f *filterNode) matches(e view) match {
	switch f.kind {
	case filterAnd:
		result := matchTrue
		for _, part := range f.parts {
			switch part.matches(e) {
			case matchFalse:
				return matchFalse
			case matchUndefined:
				result = matchUndefined
			}
		}
		return result
	case filterOr:
		result := matchFalse
		for _, part := range f.parts {
			switch part.matches(e) {
			case matchTrue:
				return matchTrue
			case matchUndefined:
				result = matchUndefined
			}
		}
		return result
	case filterNot:
		switch f.parts[0].matches(e) {
		case matchTrue:
			return matchFalse
		case matchFalse:
			return matchTrue
		}
		return matchUndefined
	}
	// Nobody may find out a password by asking what it begins with.
	if holdsBytes[f.attribute] && f.attribute != "jpegphoto" {
		return matchUndefined
	}
	return f.compare(e)
}

func (f *filterNode) compare(e view) match {
	values := e.get(f.attribute)
	if f.kind == filterExtensible {
		return f.extensible(e)
	}
	if len(values) == 0 {
		return matchFalse
	}
	if f.kind == filterPresent {
		return matchTrue
	}
	for _, v := range values {
		k := valueKey(f.attribute, v)
		var yes bool
		switch f.kind {
		case filterEqual, filterApprox:
			yes = k == f.key
		case filterSubstrings:
			yes = f.substrings(k)
		case filterGreater:
			yes = order(k, f.key) >= 0
		case filterLess:
			yes = order(k, f.key) <= 0
		}
		if yes {
			return matchTrue
		}
	}
	return matchFalse
}

func (f *filterNode) extensible(e view) match {
	for _, a := range e.attributes {
		if (f.attribute == "" || a.key == f.attribute) && !holdsBytes[a.key] && e.has(a.key, f.value) {
			return matchTrue
		}
	}
	if f.dnToo {
		for piece := range strings.SplitSeq(strings.ReplaceAll(e.key, "+", ","), ",") {
			attribute, value, _ := strings.Cut(piece, "=")
			if (f.attribute == "" || attribute == f.attribute) && value == foldValue(f.value) {
				return matchTrue
			}
		}
	}
	return matchFalse
}

func (f *filterNode) substrings(v string) bool {
	rest, ok := strings.CutPrefix(v, f.initial)
	if !ok {
		return false
	}
	for _, piece := range f.any {
		_, after, found := strings.Cut(rest, piece)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, f.final)
}

// order compares numbers as numbers and everything else, generalized times
// among it, as text.
func order(a, b string) int {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX == nil && errY == nil {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return strings.Compare(a, b)
}
