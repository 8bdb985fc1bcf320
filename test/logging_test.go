package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/test/harness"
)

// logKeys are the keys of docs/logging.md.
func logKeys(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	text, _, _ = bytes.Cut(text, []byte("## Lines worth knowing"))
	for _, m := range regexp.MustCompile("(?m)^\\| (`[a-z_]+`(?:, `[a-z_]+`)*) \\|").FindAllStringSubmatch(string(text), -1) {
		for key := range strings.SplitSeq(m[1], ", ") {
			keys[strings.Trim(key, "`")] = true
		}
	}
	if len(keys) < 10 {
		t.Fatalf("docs/logging.md has %d keys only", len(keys))
	}
	return keys
}

// TestLogKeysAreDocumented reads every call of a logger: a key that the document
// does not name is one that nobody can search for.
func TestLogKeysAreDocumented(t *testing.T) {
	t.Parallel()
	known, used := logKeys(t), map[string]bool{"time": true, "level": true, "msg": true}
	for _, room := range []string{"policy", "directory", "authn", "authz", "web", "cmd"} {
		err := filepath.WalkDir("../"+room, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				for i, key := range loggedKeys(n) {
					if used[key] = true; !known[key] {
						t.Errorf("%s: key %q (argument %d) is not in docs/logging.md", fset.Position(n.Pos()), key, i)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := range known {
		if !used[key] {
			t.Errorf("docs/logging.md names %s, which nothing writes", key)
		}
	}
}

// loggedKeys are the literal keys of a call such as slog.Error("…", "key", value),
// and of the list that web's line for a request begins and goes on with.
func loggedKeys(n ast.Node) (keys []string) {
	if made, ok := n.(*ast.AssignStmt); ok && len(made.Lhs) == 1 && len(made.Rhs) == 1 {
		into, isName := made.Lhs[0].(*ast.Ident)
		if list, ok := made.Rhs[0].(*ast.CompositeLit); ok && isName && into.Name == "args" {
			return literals(list.Elts)
		}
	}
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil
	}
	if fun, ok := call.Fun.(*ast.Ident); ok && fun.Name == "append" && len(call.Args) > 2 {
		if into, ok := call.Args[0].(*ast.Ident); ok && into.Name == "args" {
			return literals(call.Args[1:])
		}
		return nil
	}
	fun, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	from := map[string]int{
		"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3,
		"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
	}[fun.Sel.Name]
	switch on := fun.X.(type) {
	case *ast.Ident:
		if on.Name != "slog" && on.Name != "log" {
			return nil
		}
	case *ast.SelectorExpr:
		if on.Sel.Name != "log" && on.Sel.Name != "Log" {
			return nil
		}
	case *ast.CallExpr:
		if name, ok := on.Fun.(*ast.SelectorExpr); !ok || name.Sel.Name != "Log" {
			return nil
		}
	default:
		return nil
	}
	if from == 0 || len(call.Args) < from {
		return nil
	}
	return literals(call.Args[from:])
}

func literals(pairs []ast.Expr) (keys []string) {
	for i := 0; i < len(pairs); i += 2 {
		if lit, ok := pairs[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if key, err := strconv.Unquote(lit.Value); err == nil {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// TestLogLines: what serve writes at its loudest is JSON, a line each, in UTC,
// with documented keys, and holds no secret, not even those that travel in
// queries; what breaks has a line with the number that the answer has.
func TestLogLines(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{Settings: "log: {level: debug}", OpTimeout: "1s"})
	p := site.Serve(t)
	k := canaries{}
	tanaka, c := site.Members["tanaka"], site.Behind("10.2.0.7")
	k.add("a password", tanaka.Password)
	c.Password(t, tanaka.Login, "wrong-canary-kingfisher")
	c.Password(t, "typed-as-a-name-heron", "wrong-canary-kingfisher")
	k.add("a wrong password", "wrong-canary-kingfisher")
	k.add("a password typed as a name", "typed-as-a-name-heron")
	tanaka.SignIn(t, c)
	k.add("a device's secret", tanaka.Secret)
	k.cookies(c, "tanaka")
	app := appCookie(t, site, c, "app")
	k.add("an application's cookie", strings.TrimPrefix(app, "__Host-sekisho-app="))
	if got := allowed(t, c, "app", app); got != 200 {
		t.Fatalf("the application: %d", got)
	}
	c.Do(t, "GET", "/signin?rd=%2Fme%3Fcode%3Dquery-canary-dunlin&code=query-canary-dunlin", nil)
	c.Do(t, "GET", "/nowhere/path-canary-plover?token=query-canary-dunlin", nil, "User-Agent", "agent canary-curlew", "Referer", "https://x.example/?canary-egret")
	for _, v := range []string{"query-canary-dunlin", "path-canary-plover", "canary-curlew", "canary-egret"} {
		k.add("what a request carried", v)
	}

	if err := site.Slapd.Kill(); err != nil {
		t.Fatal(err)
	}
	_, a := site.Behind("10.2.0.8").Password(t, tanaka.Login, tanaka.Password)
	id := a.Header.Get("X-Request-Id")
	if a.Status != 503 || id == "" || !strings.Contains(string(a.Body), id) {
		t.Fatalf("without a directory: %d %v %s", a.Status, a.Header, a.Body)
	}
	p.Stop(t)

	known, levels, broke := logKeys(t), []string{"debug", "info", "warn", "error"}, false
	lines := bufio.NewScanner(strings.NewReader(p.Log()))
	n := 0
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not JSON: %v: %q", err, lines.Text())
		}
		n++
		for key := range line {
			if !known[key] {
				t.Errorf("key %q is not in docs/logging.md: %s", key, lines.Text())
			}
		}
		at, err := time.Parse(time.RFC3339, line["time"].(string))
		if level, _ := line["level"].(string); err != nil || at.Location() != time.UTC || !slices.Contains(levels, level) || line["msg"] == "" {
			t.Errorf("time, level or msg: %s", lines.Text())
		}
		if line["request_id"] == id && line["level"] == "error" && line["status"] == 503.0 && line["route"] == "POST /api/v1/signin" && line["error"] != nil {
			broke = true
		}
	}
	if n < 14 { // as many requests were made
		t.Errorf("%d lines only:\n%s", n, p.Log())
	}
	if !broke {
		t.Errorf("no line says what broke in request %s:\n%s", id, p.Log())
	}
	for _, what := range k.in(p.Log()) {
		t.Errorf("the log holds %s", what)
	}
	if strings.ContainsAny(p.Log(), "\x07\x1b") {
		t.Error("a control character is in the log")
	}
}
