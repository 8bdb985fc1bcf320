// Package audittest finds in the source what the house enters on the trail, for tests of
// the tables that must know every act.
package audittest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Actions are what the house calls its acts on the trail, with where: texts that are an
// Action, a value of a table of actions, or are given for a parameter of that name. One
// that ends in a dot or an underscore is the beginning of several. top is where the module
// is, from the folder of the test.
func Actions(t testing.TB, top string) map[string]string {
	t.Helper()
	var (
		set    = token.NewFileSet()
		files  []*ast.File
		takers = map[string][]int{} // functions with a parameter that is an action, and which
		consts = map[string]string{}
		root   = os.DirFS(top)
	)
	for _, floor := range []string{"policy", "directory", "authn", "authz", "web", "cmd"} {
		err := fs.WalkDir(root, floor, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
			files = append(files, f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				at := 0
				for _, p := range d.Type.Params.List {
					for _, name := range p.Names {
						if name.Name == "action" {
							takers[d.Name.Name] = append(takers[d.Name.Name], at)
						}
						at++
					}
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.CONST && len(v.Values) == len(v.Names) {
						for i, name := range v.Names {
							if text, ok := literal(v.Values[i]); ok {
								consts[f.Name.Name+"."+name.Name] = text
							}
						}
					}
				}
			}
		}
	}
	found, form := map[string]string{}, regexp.MustCompile(`^(sign_in|[a-z_]+\.[a-z_]*)$`)
	for _, f := range files {
		take := func(e ast.Expr) {
			text, ok := literal(e)
			if id, is := e.(*ast.Ident); is {
				text, ok = consts[f.Name.Name+"."+id.Name]
			}
			if ok && form.MatchString(text) {
				found[text] = set.Position(e.Pos()).String()
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && id.Name == "Action" {
					take(n.Value)
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					name := ""
					switch to := to.(type) {
					case *ast.Ident:
						name = to.Name
					case *ast.SelectorExpr:
						name = to.Sel.Name
					}
					if strings.EqualFold(name, "action") && len(n.Rhs) == len(n.Lhs) {
						take(n.Rhs[i])
					}
				}
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if name.Name == "action" && len(n.Values) == len(n.Names) {
						take(n.Values[i])
					}
				}
				if len(n.Names) == 1 && n.Names[0].Name == "actions" && len(n.Values) == 1 {
					if table, ok := n.Values[0].(*ast.CompositeLit); ok {
						for _, one := range table.Elts {
							take(one.(*ast.KeyValueExpr).Value)
						}
					}
				}
			case *ast.CompositeLit:
				for _, one := range positional(n) {
					take(one)
				}
			case *ast.CallExpr:
				name := ""
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					name = fun.Name
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				}
				for _, at := range takers[name] {
					if at < len(n.Args) {
						take(n.Args[at])
					}
				}
			}
			return true
		})
	}
	return found
}

// positional are the actions in a table of structs without names that have a field for them.
func positional(n *ast.CompositeLit) (out []ast.Expr) {
	list, _ := n.Type.(*ast.ArrayType)
	if list == nil {
		return nil
	}
	of, _ := list.Elt.(*ast.StructType)
	if of == nil {
		return nil
	}
	at := 0
	for _, field := range of.Fields.List {
		for _, name := range field.Names {
			if name.Name == "action" {
				for _, row := range n.Elts {
					if row, ok := row.(*ast.CompositeLit); ok && at < len(row.Elts) {
						out = append(out, row.Elts[at])
					}
				}
			}
			at++
		}
	}
	return out
}

// literal is a text that stands in the source, or the beginning of one that grows.
func literal(e ast.Expr) (string, bool) {
	if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		return literal(sum.X)
	}
	b, ok := e.(*ast.BasicLit)
	if !ok || b.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(b.Value)
	return text, err == nil
}
