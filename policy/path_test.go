package policy

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestPlainPath: what is read in one way has one spelling; what servers read in
// several ways is no path (security.md section 2, row 14).
func TestPlainPath(t *testing.T) {
	for uri, want := range map[string]string{
		"/":                     "/",
		"/?":                    "/",
		"/a/b":                  "/a/b",
		"/a/b/":                 "/a/b/",
		"/a?x=%2f..;//":         "/a",
		"/%61dmin":              "/admin",
		"/%E4%BA%BA%e4%ba%8b":   "/人事",
		"/人事":                   "/人事",
		"/a%20b+c":              "/a b+c",
		"/.well-known/x":        "/.well-known/x",
		"/a..b/.c":              "/a..b/.c",
		"/a:b/$c:":              "/a:b/$c:",
		"":                      "",
		"a":                     "",
		"?x":                    "",
		"//":                    "",
		"//a":                   "",
		"/a//b":                 "",
		"/a//":                  "",
		"/.":                    "",
		"/..":                   "",
		"/./a":                  "",
		"/a/../b":               "",
		"/a/..":                 "",
		"/a/%2e%2e/b":           "",
		"/a/.%2E":               "",
		"/%2fadmin":             "",
		"/admin%2Fx":            "",
		"/a%5cb":                "",
		"/a\\b":                 "",
		"/a;jsessionid=1/b":     "",
		"/a%3bb":                "",
		"/a%3Fb":                "",
		"/a#b":                  "",
		"/a%23b":                "",
		"/a%252fb":              "",
		"/a%25":                 "",
		"/a.":                   "", // Windows: /a
		"/a./b":                 "",
		"/a/...":                "",
		"/a%20":                 "",
		"/a%20/b":               "",
		"/a/%20":                "",
		"/a::$DATA":             "", // NTFS: the file itself
		"/a:%24i30/b":           "",
		"/a%3A$i30:$X/b":        "",
		"/a%":                   "",
		"/a%4":                  "",
		"/a%zz":                 "",
		"/a%00":                 "",
		"/a%0a":                 "",
		"/a\x7f":                "",
		"/%ff":                  "",
		"/%c0%af":               "", // a slash, written too long
		"/\xe4\xba":             "",
		"/a%E4%BA":              "",
		"/" + "%2e" + "/secret": "",
	} {
		got, ok := PlainPath(uri)
		if got != want || ok != (want != "") {
			t.Errorf("PlainPath(%q) = %q, %t; want %q", uri, got, ok, want)
		}
	}
}

// FuzzPlainPath: whatever is accepted is a path that net/url reads to the same
// text, whose spelling is its own spelling, and that cannot be cleaned further.
func FuzzPlainPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?c", "/%61", "/%2e%2e/", "/a;b", "//a", "/人", "/%E4%BA%BA", "/a%", "/a%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, ok := PlainPath(uri)
		if !ok {
			if path != "" {
				t.Fatalf("a refused path is %q", path)
			}
			return
		}
		raw, _, _ := strings.Cut(uri, "?")
		if u, err := url.PathUnescape(raw); err != nil || u != path {
			t.Fatalf("%q is %q here and %q, %v, in net/url", uri, path, u, err)
		}
		for _, part := range strings.Split(path[1:], "/") {
			if part == "." || part == ".." {
				t.Fatalf("%q keeps %q", uri, part)
			}
		}
		if strings.Contains(path, "//") || strings.ContainsAny(path, "\\;") {
			t.Fatalf("%q became %q", uri, path)
		}
	})
}

func TestAsks(t *testing.T) {
	p := Standard()
	app := Application{
		ID: "a", Zone: LGWAN, Class: 3, FreshFor: 4 * time.Hour,
		Paths: []PathRule{
			{Path: "/admin", ACR: PHR},
			{Path: "/admin/keys", FreshFor: 5 * time.Minute},
			{Path: "/pay/", ACR: AAL2, FreshFor: time.Hour},
			{Path: "/pay/list", ACR: AAL1, FreshFor: 2 * time.Hour},
			{Path: "/人事", ACR: AAL2},
			{Path: "/kelvin", ACR: PHR},
		},
	}
	for _, tt := range []struct {
		name, uri string
		acr       ACR
		fresh     time.Duration
	}{
		{"the application as a whole", "", AAL1, 4 * time.Hour},
		{"beside every rule", "/", AAL1, 4 * time.Hour},
		{"a longer name is another place", "/administration", AAL1, 4 * time.Hour},
		{"the place itself", "/admin", PHR, 4 * time.Hour},
		{"with a slash", "/admin/", PHR, 4 * time.Hour},
		{"with a query", "/admin?x=/", PHR, 4 * time.Hour},
		{"below it", "/admin/users/1", PHR, 4 * time.Hour},
		{"in capitals", "/ADMIN/x", PHR, 4 * time.Hour},
		{"escaped", "/%61dmin", PHR, 4 * time.Hour},
		{"by a letter that folds to one of ours", "/\u212aelvin", PHR, 4 * time.Hour},
		{"two rules: the strictest of each", "/admin/keys/2", PHR, 5 * time.Minute},
		{"a rule that ends in a slash holds for the place too", "/pay", AAL2, time.Hour},
		{"a rule below cannot loosen the one above", "/pay/list", AAL2, time.Hour},
		{"in Japanese, escaped", "/%E4%BA%BA%E4%BA%8B/1", AAL2, 4 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acr, fresh, ok := p.Asks(app, tt.uri)
			if acr != tt.acr || fresh != tt.fresh || !ok {
				t.Errorf("Asks(%q) = %s, %v, %t; want %s, %v", tt.uri, acr, fresh, ok, tt.acr, tt.fresh)
			}
		})
	}
	if _, _, ok := p.Asks(app, "/x/%2e%2e/admin"); ok {
		t.Error("a path that is read in two ways got by")
	}
	app.Paths = nil
	if _, _, ok := p.Asks(app, "/x/%2e%2e/admin"); !ok {
		t.Error("an application without rules by path reads its paths itself")
	}
}

func TestInGroup(t *testing.T) {
	groups := []string{"cn=A,ou=groups,dc=pref", "cn=b, ou=groups, dc=pref"}
	for _, tt := range []struct {
		name   string
		wanted []string
		want   bool
	}{
		{"none is wanted", nil, true},
		{"one of them", []string{"cn=a,ou=groups,dc=pref"}, true},
		{"spelt with spaces", []string{"cn=x,dc=pref", "CN=B,OU=groups,DC=pref"}, true},
		{"another", []string{"cn=c,ou=groups,dc=pref"}, false},
		{"above them", []string{"ou=groups,dc=pref"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := InGroup(groups, tt.wanted); got != tt.want {
				t.Error(got)
			}
		})
	}
	if InGroup(nil, []string{"cn=a"}) {
		t.Error("a person of no group is in one")
	}
}
