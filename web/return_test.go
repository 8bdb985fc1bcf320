package web

import (
	"net/url"
	"strings"
	"testing"

	"sekisho/policy"
)

var testPolicy = &policy.Policy{
	Zones: []policy.Zone{{ID: "lgwan"}},
	Applications: []policy.Application{
		{ID: "juki", Host: "juki.localhost", Zone: "lgwan", Class: 1, Name: policy.Words{JA: "住基", EN: "Residents"}},
		{ID: "bunsho", Host: "bunsho.localhost", Zone: "lgwan", Class: 2},
	},
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestSafeReturn(t *testing.T) {
	handover := func(rd string) string { return HandoverPath("juki", rd) }
	for _, tt := range []struct{ rd, want string }{
		{"/", "/"},
		{"/me?x=1", "/me?x=1"},
		{"/me#part", "/me"},
		{"/%E8%87%AA", "/%E8%87%AA"},
		{"http://localhost:8080/me", "/me"},
		{"http://localhost:8080", "/"},
		{"HTTP://LOCALHOST:8080/me", "/me"},
		{"http://juki.localhost:8080/a?b=c", handover("http://juki.localhost:8080/a?b=c")},
		{"http://JUKI.localhost:8080", handover("http://juki.localhost:8080/")},
		{"http://juki.localhost:8080/a#b", handover("http://juki.localhost:8080/a")},

		{"", ""},
		{"me", ""},
		{"//evil.example", ""},
		{"///evil.example", ""},
		{"/\\evil.example", ""},
		{"\\\\evil.example", ""},
		{"/%2F/evil.example", ""},
		{"/%5Cevil.example", ""},
		{"/%5cevil.example", ""},
		{"/\tevil", ""},
		{"/\n/evil.example", ""},
		{"/%0d%0aSet-Cookie:x", ""},
		{"/%00", ""},
		{" http://juki.localhost:8080/", ""},
		{"http:evil.example", ""},
		{"http:/evil.example", ""},
		{"http:///evil.example", ""},
		{"https://juki.localhost:8080/", ""}, // not our scheme
		{"javascript:alert(1)", ""},
		{"data:text/html,x", ""},
		{"http://juki.localhost/", ""},      // not our port
		{"http://juki.localhost:8081/", ""}, // nor this
		{"http://juki.localhost:8080@evil.example/", ""},
		{"http://evil@juki.localhost:8080/", ""},
		{"http://a:b@juki.localhost:8080/", ""},
		{"http://a@b@juki.localhost:8080/", ""},
		{"http://juki.localhost:8080.evil.example/", ""},
		{"http://juki.localhost.evil.example:8080/", ""},
		{"http://evil-juki.localhost:8080/", ""},
		{"http://xjuki.localhost:8080/", ""},
		{"http://juki.localhost.:8080/", ""},
		{"http://juki。localhost:8080/", ""},
		{"http://ｊｕｋｉ.localhost:8080/", ""},
		{"http://xn--juki-abc.localhost:8080/", ""},
		{"http://juki.localhost:8080\\@evil.example/", ""},
		{"http://juki.localhost%2eevil.example:8080/", ""},
		{"http://juki.localhost%00.evil.example:8080/", ""},
		{"http://[::1]:8080/", ""},
		{"http://localhost:8080@evil.example/", ""},
		{"http://localhost:8080//evil.example", ""},
		{"http://localhost.:8080/", ""},
		{"http://juki.localhost:8080//evil.example", ""},
		{"/" + strings.Repeat("a", 3000), ""},
	} {
		got, ok := SafeReturn(testPolicy, mustURL("http://localhost:8080"), tt.rd)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("SafeReturn(%q) = %q, %v, want %q", tt.rd, got, ok, tt.want)
		}
	}
}

func FuzzSafeReturn(f *testing.F) {
	for _, s := range []string{"/", "//a", "/\\a", "http://juki.localhost:8080/a", "http://localhost:8080/%2f/x", "http://a@juki.localhost:8080"} {
		f.Add(s)
	}
	public := mustURL("http://localhost:8080")
	f.Fuzz(func(t *testing.T, rd string) {
		to, ok := SafeReturn(testPolicy, public, rd)
		if !ok {
			if to != "" {
				t.Fatalf("refused, yet %q", to)
			}
			return
		}
		// Whatever is allowed is a path that stays on the gate's own host.
		at, err := public.Parse(to)
		if err != nil || at.Scheme != public.Scheme || at.Host != public.Host || at.User != nil || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t ") {
			t.Fatalf("SafeReturn(%q) = %q leads to %v", rd, to, at)
		}
		if rest, ok := strings.CutPrefix(to, "/handover?"); ok && !strings.HasPrefix(rd, "/") && !strings.Contains(rd, "/handover") {
			q, err := url.ParseQuery(rest)
			if err != nil || !strings.HasPrefix(q.Get("rd"), "http://juki.localhost:8080/") && !strings.HasPrefix(q.Get("rd"), "http://bunsho.localhost:8080/") {
				t.Fatalf("SafeReturn(%q) = %q", rd, to)
			}
		}
	})
}
