package oath

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// What a document may be at most. A key package of RFC 6030 is 8 deep; a
// megabyte of it has about 40,000 elements.
const (
	maxDepth      = 32
	maxElements   = 100_000
	maxAttributes = 32
)

// An element is one of a document that has been read whole.
type element struct {
	xml.Name
	attributes []xml.Attr
	line       int
	text       string // beside its children
	children   []*element
}

// tree reads a document. It is nil when there is a fault.
//
// encoding/xml is strict about what it looks at (nesting, entities, UTF-8), but
// it reads a stream and so leaves what concerns the whole document to us: one
// root with nothing behind it, no attribute twice, and no document type. It
// would not expand what a DTD declares, yet a file that brings one was written
// for a reader that does.
func (r *reading) tree(data []byte) *element {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	decoder := xml.NewDecoder(bytes.NewReader(data))
	var (
		root  *element
		open  []*element
		texts []*strings.Builder
		count int
	)
	for first := true; ; first = false {
		line, _ := decoder.InputPos()
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			at, _ := decoder.InputPos()
			r.malformed(at)
			return nil
		}
		switch t := token.(type) {
		case xml.StartElement:
			count++
			if count > maxElements || len(open) == maxDepth || len(t.Attr) > maxAttributes {
				r.fault(line, "file", "too_large",
					"XMLの要素が多すぎるか、深すぎます。", "The XML has too many elements, or too deep ones.")
				return nil
			}
			if len(open) == 0 && root != nil || repeated(t.Attr) {
				r.malformed(line)
				return nil
			}
			e := &element{Name: t.Name, attributes: t.Copy().Attr, line: line}
			if len(open) == 0 {
				root = e
			} else {
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			}
			open, texts = append(open, e), append(texts, &strings.Builder{})
		case xml.EndElement:
			e := open[len(open)-1]
			e.text = strings.TrimSpace(texts[len(texts)-1].String())
			open, texts = open[:len(open)-1], texts[:len(texts)-1]
			if e.text != "" && len(e.children) > 0 {
				r.malformed(e.line)
				return nil
			}
		case xml.CharData:
			// A comment inside a value divides it in two; it is one value still.
			if len(texts) > 0 {
				texts[len(texts)-1].Write(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				r.malformed(line)
				return nil
			}
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				r.malformed(line)
				return nil
			}
		case xml.Directive:
			r.fault(line, "file", "dtd",
				"文書型宣言（DOCTYPE）のあるXMLは受け付けません。", "XML with a document type declaration is not taken.")
			return nil
		}
	}
	if root == nil {
		r.malformed(1)
	}
	return root
}

func (r *reading) malformed(line int) {
	r.fault(line, "file", "syntax",
		"正しいXML（UTF-8）ではありません。", "This is not well-formed XML in UTF-8.")
}

func repeated(attributes []xml.Attr) bool {
	for i, a := range attributes {
		for _, b := range attributes[:i] {
			if a.Name == b.Name {
				return true
			}
		}
	}
	return false
}

// attribute is the value of an attribute without a namespace, "" where there is
// none.
func (e *element) attribute(name string) string {
	for _, a := range e.attributes {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// all are the children of a name.
func (e *element) all(name xml.Name) []*element {
	var found []*element
	for _, c := range e.children {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// one is the child of a name, nil where there is none. Two are a fault: another
// reader of the same file might take the other. In a nil element there is
// nothing.
func (r *reading) one(e *element, name xml.Name) *element {
	if e == nil {
		return nil
	}
	found := e.all(name)
	if len(found) > 1 {
		r.fault(found[1].line, name.Local, "duplicate",
			"この要素が二つあります。", "This element is there twice.")
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// value is the text of the child of a name, "" where there is none. A child with
// children of its own has no text.
func (r *reading) value(e *element, name xml.Name) string {
	child := r.one(e, name)
	if child == nil {
		return ""
	}
	return child.text
}
