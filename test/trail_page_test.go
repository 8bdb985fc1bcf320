package test

import (
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sekisho/authz/inquiry"
	"sekisho/test/harness"
)

// TestTrailPage: an auditor of a running dev searches the trail on its page, for a case,
// and opens an entry, whose number, hash and bytes are those of the export; a stranger's
// text is no markup; that all this was done is on the trail; and nobody else gets in, nor
// does the auditor once suspended.
func TestTrailPage(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	const strange = `<script>alert(1)</script>`
	if s, a := from(d.Dev, 7).Password(t, strange, "x"); a.Status != http.StatusUnauthorized {
		t.Fatalf("a stranger: %+v %d", s, a.Status)
	}
	auditor := d.in(t, d.withPost(t, "auditor", ""))
	get := func(path string, status int) string {
		t.Helper()
		a := auditor.Do(t, "GET", path, nil)
		if a.Status != status {
			t.Fatalf("%s answers %d, want %d: %s", path, a.Status, status, a.Body)
		}
		return string(a.Body)
	}
	get("/trail", 200)
	if body := get("/trail?actor=tanaka", 422); !strings.Contains(body, `id="case-wrong-0"`) {
		t.Error("a search by person names no case, and is not told so")
	}
	d.in(t, "tanaka")
	var found string
	harness.Until(t, "the sign-in is sealed", func() bool {
		found = get("/trail?actor=tanaka&case=2026-7&action=sign_in", 200)
		return strings.Contains(found, "?case=2026-7")
	})
	if all := get("/trail?from=&action=sign_in.password&outcome=refused", 200); strings.Contains(all, strange) {
		t.Error("what a stranger typed is markup")
	}
	path := html.UnescapeString(regexp.MustCompile(`href="(/trail/\d+\?case=2026-7)"`).FindStringSubmatch(found)[1])
	shown := get(path, 200)
	number, _, _ := strings.Cut(strings.TrimPrefix(path, "/trail/"), "?")

	acts, text := trail(t, d.Dev)
	line := lineOf(t, text, number)
	texts := codes(shown)
	entry := line[strings.Index(line, `"entry": `)+len(`"entry": `) : len(line)-1]
	hash := regexp.MustCompile(`"hash": "([^"]+)"`).FindStringSubmatch(line)[1]
	if !slices.Contains(texts, entry) || !slices.Contains(texts, hash) {
		t.Errorf("the page shows %q, the export has %s", texts, line)
	}
	// What the page tells to find the line with does.
	i := slices.IndexFunc(texts, func(s string) bool { return strings.HasPrefix(s, "grep '^") })
	if begin, _, _ := strings.Cut(strings.TrimPrefix(texts[i], "grep '^"), "'"); !strings.HasPrefix(line, begin) {
		t.Errorf("%s does not find %s", texts[i], line)
	}
	for _, want := range []string{`"action":"trail.searched","object":"tanaka"`, `"action":"trail.read","object":"` + number + `"`, `"case":"2026-7"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not on the trail", want)
		}
	}
	for _, a := range acts {
		if w := inquiry.Words(a.Action); w.IsEmpty() {
			t.Errorf("%s has no words", a.Action)
		}
	}

	for _, post := range []string{"staff", "system_administrator", "security_manager", "cio", "csirt"} {
		c := d.in(t, d.withPost(t, post, auditor.login))
		for _, path := range []string{"/trail", "/trail?from=", "/trail/" + number} {
			if a := c.Do(t, "GET", path, nil); a.Status != http.StatusForbidden || strings.Contains(string(a.Body), hash) {
				t.Errorf("%s at %s: %d", post, path, a.Status)
			}
		}
	}
	admin := d.in(t, "sato")
	if a := admin.Do(t, "POST", "/api/v1/people/"+auditor.login+"/suspend", map[string]string{"reason": "調査"}); a.Status != http.StatusOK {
		t.Fatalf("suspending the auditor: %d %s", a.Status, a.Body)
	}
	harness.Until(t, "the suspended auditor is out", func() bool {
		return auditor.Do(t, "GET", "/trail/"+number, nil).Status == http.StatusSeeOther
	})
}

// lineOf is an entry's line of an export.
func lineOf(t *testing.T, export, number string) string {
	t.Helper()
	for line := range strings.Lines(export) {
		if strings.HasPrefix(line, `{"index": `+number+`,`) {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("the export has no entry %s", number)
	return ""
}

// codes are the texts of a page that are shown letter by letter.
func codes(page string) (out []string) {
	for _, m := range regexp.MustCompile(`(?s)<code[^>]*>(.*?)</code>`).FindAllStringSubmatch(page, -1) {
		out = append(out, html.UnescapeString(strings.ReplaceAll(m[1], "<wbr>", "")))
	}
	return out
}
