package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxFileBytes is the size beyond which a policy file is refused unread.
const MaxFileBytes = 1 << 20

// The YAML parser recurses, and its memory grows with the square of the depth.
// policy.yaml has five levels: maxNesting is for brackets, maxIndent for what
// stands in blocks, where each level takes a column at least. Its time grows
// with the square of the keys of one map, of which the largest has two dozen.
const (
	maxNesting = 16
	maxIndent  = 80
	maxKeys    = 200
)

// maxProblems keeps the answer to a hostile file shorter than the file.
const maxProblems = 1000

type form int

const (
	formMap form = iota
	formList
	formText   // a string, quoted or not
	formNumber // an integer or a float as written
	formFlag
	formNull
)

// A node is a piece of the file with its place. Only plain maps, lists and
// scalars become nodes.
type node struct {
	form         form
	line, column int
	text         string
	items        []*node
	entries      []entry
}

type entry struct {
	key          string
	line, column int
	value        *node
}

func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// A document reads one file and notes what is wrong with it.
type document struct {
	file     string
	problems Problems
	places   map[string]place // of each field that the file has
	refused  map[string]bool  // the fields that have a problem
}

type place struct{ line, column int }

func (d *document) problem(p Problem) {
	d.refused[p.Field] = true
	if len(d.problems) > maxProblems {
		return
	}
	if len(d.problems) == maxProblems {
		p = Problem{Line: p.Line, Column: p.Column, Rule: Words{
			"誤りが多すぎるため、ここから先は数えていません。",
			"There are too many problems; the rest is not listed."}}
	}
	p.File = d.file
	p.Line, p.Column = max(p.Line, 1), max(p.Column, 1)
	d.problems = append(d.problems, p)
}

func (d *document) at(line, column int, field string, ja, en string) {
	d.problem(Problem{Line: line, Column: column, Field: field, Rule: Words{ja, en}})
}

// read turns the bytes into nodes. It answers nil when there is nothing that
// could be checked further; then there is at least one problem.
func (d *document) read(data []byte) (root *node) {
	if len(data) > MaxFileBytes {
		d.at(1, 1, "", fmt.Sprintf("ファイルが大きすぎます。%d バイトまでです。", MaxFileBytes), fmt.Sprintf("The file is too large; at most %d bytes are read.", MaxFileBytes))
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !d.plainText(data) {
		return nil
	}
	// The lexer and the parser are not ours and this file may be a stranger's:
	// whatever makes them panic is a file that cannot be read, not a gate that
	// stops.
	defer func() {
		if recover() != nil {
			root = nil
			d.at(1, 1, "", "YAMLとして読めません。", "This cannot be read as YAML.")
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if !d.plainTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	return d.body(file)
}

func (d *document) body(file *ast.File) *node {
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			line, column := start(doc.Body)
			d.at(line, column, "", "一つのファイルに書ける文書は一つだけです。", "A file holds one document only.")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.at(1, 1, "", "ファイルに何も書かれていません。", "The file says nothing.")
		return nil
	}
	root := d.convert(body, "")
	if root != nil && root.form != formMap {
		d.at(root.line, root.column, "", "一番上は「項目: 値」の形でなければなりません。", "The top of the file must be keys with values.")
		return nil
	}
	return root
}

// plainText refuses what is not text before any parser sees it.
func (d *document) plainText(data []byte) bool {
	line, column := 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			d.at(line, column, "", "UTF-8の文字ではありません。", "This is not UTF-8 text.")
			return false
		}
		if (r < ' ' && r != '\n' && r != '\r' && r != '\t') || r == 0x7f {
			d.at(line, column, "", "制御文字は書けません。", "Control characters are not allowed.")
			return false
		}
		data = data[size:]
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return true
}

// plainTokens refuses the parts of YAML in which a text means something else
// than what a second person reads before approving it: anchors and aliases
// (which also make a small file grow without end), merges, tags, directives,
// complex keys; and nesting deeper than any policy has.
func (d *document) plainTokens(tokens token.Tokens) bool {
	before := len(d.problems)
	depth := 0
	var keys keyCount
	for _, t := range tokens {
		line, column := t.Position.Line, t.Position.Column
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			d.at(line, column, "", "YAMLの参照（&、*、<<）は使えません。値をそのまま書いてください。", "YAML anchors, aliases and merges are not allowed; write the value itself.")
		case token.TagType, token.DirectiveType:
			d.at(line, column, "", "YAMLのタグや指示（!、%）は使えません。", "YAML tags and directives are not allowed.")
		case token.MappingKeyType:
			d.at(line, column, "", "「?」で始まる項目は使えません。", "Keys that begin with ? are not allowed.")
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(depth-1, 0) // one too many is the parser's to refuse
		}
		if depth > maxNesting || (depth == 0 && indent(t) > maxIndent) {
			d.at(line, column, "", "入れ子が深すぎます。", "The nesting is too deep.")
			return false
		}
		if keys.add(t, depth) > maxKeys {
			d.at(line, column, "", "一か所に書ける項目が多すぎます。", "There are too many keys in one place.")
			return false
		}
	}
	return len(d.problems) == before
}

// A keyCount counts the keys of each map that is open: of blocks by their
// column, of brackets by their depth.
type keyCount struct {
	column [maxIndent + 1]int
	depth  [maxNesting + 1]int
}

func (k *keyCount) add(t *token.Token, depth int) int {
	if depth > 0 {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			k.depth[depth] = 0
		case token.MappingValueType:
			k.depth[depth]++
		}
		return k.depth[depth]
	}
	at := indent(t)
	if at <= 0 {
		return 0
	}
	clear(k.column[at+1:])
	if t.Type == token.MappingValueType {
		k.column[at]++
	}
	return k.column[at]
}

// indent is how far from the margin a list entry or a key stands; 0 for other
// tokens, whose place nests nothing.
func indent(t *token.Token) int {
	switch {
	case t.Type == token.SequenceEntryType:
		return t.Position.Column
	case t.Type == token.MappingValueType && t.Prev != nil:
		return t.Prev.Position.Column
	}
	return 0
}

// syntax notes what the YAML parser says, with its place.
func (d *document) syntax(err error) {
	message, line, column := err.Error(), 1, 1
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		message = syntax.Message
		if syntax.Token != nil && syntax.Token.Position != nil {
			line, column = syntax.Token.Position.Line, syntax.Token.Position.Column
		}
	}
	message, _, _ = strings.Cut(message, "\n")
	d.at(line, column, "", "YAMLとして読めません: "+message, "This cannot be read as YAML: "+message)
}

func start(n ast.Node) (line, column int) {
	t := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return start(m.Values[0])
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		t = m.Key.GetToken() // the node's own token is its colon
	}
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, t.Position.Column
}

// convert makes nodes and notes each field's place.
func (d *document) convert(n ast.Node, path string) *node {
	line, column := start(n)
	out := &node{line: line, column: column}
	switch n := n.(type) {
	case *ast.MappingNode:
		d.convertMap(out, n.Values, path)
	case *ast.MappingValueNode:
		d.convertMap(out, []*ast.MappingValueNode{n}, path)
	case *ast.SequenceNode:
		out.form = formList
		for i, v := range n.Values {
			if item := d.convert(v, fmt.Sprintf("%s[%d]", path, i)); item != nil {
				d.places[fmt.Sprintf("%s[%d]", path, i)] = place{item.line, item.column}
				out.items = append(out.items, item)
			}
		}
	case *ast.StringNode:
		out.form, out.text = formText, n.Value
	case *ast.LiteralNode:
		out.form, out.text = formText, n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		out.form, out.text = formNumber, n.GetToken().Value
	case *ast.BoolNode:
		out.form, out.text = formFlag, fmt.Sprint(n.Value)
	case *ast.NullNode:
		out.form = formNull
	default:
		d.at(line, column, path, "ここに書けない値です。", "This kind of value is not allowed here.")
		return nil
	}
	return out
}

func (d *document) convertMap(out *node, values []*ast.MappingValueNode, path string) {
	out.form = formMap
	first := make(map[string]int, len(values))
	for _, v := range values {
		line, column := start(v)
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			if num, isInt := v.Key.(*ast.IntegerNode); isInt {
				d.at(line, column, join(path, num.GetToken().Value), "項目の名前は文字で書いてください。", "The name of a key must be text.")
			} else {
				d.at(line, column, path, "項目の名前は文字で書いてください。", "The name of a key must be text.")
			}
			continue
		}
		at := join(path, key.Value)
		if earlier, twice := first[key.Value]; twice {
			d.at(line, column, at, fmt.Sprintf("同じ項目が%d行目にもあります。", earlier), fmt.Sprintf("The same key is on line %d already.", earlier))
			continue
		}
		first[key.Value] = line
		value := d.convert(v.Value, at)
		if value == nil {
			continue
		}
		if value.form == formNull {
			value.line, value.column = line, column
		}
		d.places[at] = place{value.line, value.column}
		if value.form == formMap || value.form == formList {
			d.places[at] = place{line, column} // of a block, its key says more than its first entry
		}
		out.entries = append(out.entries, entry{key.Value, line, column, value})
	}
}

// place is where a field is written, or else the nearest thing around it that
// is.
func (d *document) place(field string) (line, column int) {
	for ; field != ""; field = around(field) {
		if p, ok := d.places[field]; ok {
			return p.line, p.column
		}
	}
	return 1, 1
}

// around is the field that holds this one: a of a.b, a of a[0].
func around(field string) string {
	return field[:max(strings.LastIndexAny(field, ".["), 0)]
}
