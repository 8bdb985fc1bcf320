package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sekisho/test/harness"
	"sekisho/test/redis"
)

// A meterLine is a row of docs/metrics.md.
type meterLine struct {
	kind   string
	labels []string
}

// metersDocumented are the rows of docs/metrics.md, by name.
func metersDocumented(t *testing.T) map[string]meterLine {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]meterLine{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(sekisho_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		line := meterLine{kind: m[2]}
		for label := range strings.SplitSeq(m[3], ",") {
			if label = strings.Trim(label, " `"); label != "" {
				line.labels = append(line.labels, label)
			}
		}
		if !japanese.MatchString(m[4]) || !english.MatchString(m[4]) {
			t.Errorf("docs/metrics.md says %s in one language only", m[1])
		}
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/metrics.md names %s twice", m[1])
		}
		rows[m[1]] = line
	}
	return rows
}

var (
	japanese = regexp.MustCompile(`[\p{Hiragana}\p{Katakana}\p{Han}]`)
	english  = regexp.MustCompile(`[A-Za-z]{3,} [a-z]+`)
)

// metersTold is what /metrics shows, by name: the type, and the labels of those
// that have a line.
func metersTold(text string) map[string]meterLine {
	told := map[string]meterLine{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (sekisho_[a-z_]+) ([a-z]+)$`).FindAllStringSubmatch(text, -1) {
		line := meterLine{kind: m[2]}
		if one := regexp.MustCompile(`(?m)^` + m[1] + `(?:_bucket|_count)?\{([^}]*)\}`).FindStringSubmatch(text); one != nil {
			for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(one[1], -1) {
				if l[1] != "le" {
					line.labels = append(line.labels, l[1])
				}
			}
		}
		told[m[1]] = line
	}
	return told
}

// meters reads /metrics.
func meters(t *testing.T, s *harness.Site) string {
	t.Helper()
	res, err := http.Get("http://" + s.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("/metrics: %d %v", res.StatusCode, err)
	}
	return string(text)
}

// TestMetersAreDocumented compares what a gate that has done a little of
// everything shows with docs/metrics.md, both ways.
func TestMetersAreDocumented(t *testing.T) {
	t.Parallel()
	r := redis.Start(t, redis.Options{})
	site := harness.NewSite(t, harness.SiteOptions{
		Settings: redisSettings(r) + "\nmail: {server: '127.0.0.1:1', tls: none}\n" + gearSettings(harness.FreePort(t), "none"),
		Rules:    "mail: {from: sekisho@pref.example}",
	})
	writeGearSecrets(t, site)
	site.Serve(t)
	c := site.Behind("10.2.0.1")
	site.Members["tanaka"].SignIn(t, c)
	allowed(t, c, "app", appCookie(t, site, c, "app"))
	c.Password(t, "suzuki", "wrong")
	c.Do(t, "GET", "/oauth2/authorize", nil)
	c.Do(t, "GET", "/readyz", nil)
	text := meters(t, site)
	told, known := metersTold(text), metersDocumented(t)
	for name, line := range told {
		switch want, ok := known[name]; {
		case !ok:
			t.Errorf("docs/metrics.md does not name %s (%s, %v)", name, line.kind, line.labels)
		case want.kind != line.kind:
			t.Errorf("%s is a %s, docs/metrics.md says %s", name, line.kind, want.kind)
		case line.labels != nil && !slices.Equal(slices.Sorted(slices.Values(want.labels)), slices.Sorted(slices.Values(line.labels))):
			t.Errorf("%s has the labels %v, docs/metrics.md says %v", name, line.labels, want.labels)
		}
	}
	// What this gate had no occasion to tell: no card, no mail, no new password.
	silent := []string{
		"sekisho_card_revocation_list_expiry_timestamp_seconds", "sekisho_openid_logouts_total", "sekisho_notices_total",
		"sekisho_report_last_run_timestamp_seconds", "sekisho_background_failures_total", "sekisho_hash_duration_seconds", "sekisho_mail_delivery_duration_seconds",
	}
	for _, name := range silent {
		if !named(t, name) {
			t.Errorf("nothing in the rooms is called %s", name)
		}
	}
	for name := range known {
		if _, ok := told[name]; !ok && !slices.Contains(silent, name) {
			t.Errorf("docs/metrics.md names %s, which is not told", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sekisho_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// named reports whether a file of the rooms that count says a name.
func named(t *testing.T, name string) bool {
	t.Helper()
	for _, pattern := range []string{"../web/*.go", "../web/*/*.go", "../cmd/sekisho/house/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(`"`+name+`"`)) {
				return true
			}
		}
	}
	return false
}

// The rules of docs/monitoring/alerts.yaml, as far as they are held to anything.
type alertRules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// unknownMeters are names in an expression that docs/metrics.md does not know.
func unknownMeters(known map[string]meterLine, expr string) (unknown []string) {
	for _, name := range regexp.MustCompile(`sekisho_[a-z_]+`).FindAllString(expr, -1) {
		line, ok := known[name]
		if !ok {
			for _, end := range []string{"_bucket", "_count", "_sum"} {
				if base, cut := strings.CutSuffix(name, end); cut {
					line, ok = known[base]
					ok = ok && line.kind == "histogram"
				}
				if ok {
					break
				}
			}
		}
		if !ok {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// TestAlertsLeadSomewhere: each alert asks for what is measured, says it in both
// languages, and leads to a section of the runbooks that is its own.
func TestAlertsLeadSomewhere(t *testing.T) {
	t.Parallel()
	known := metersDocumented(t)
	text, err := os.ReadFile("../docs/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules alertRules
	if err := yaml.UnmarshalWithOptions(text, &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	books, err := os.ReadFile("../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	parts := bytes.Split(books, []byte("\n## "))
	for _, part := range parts[1:] {
		title, body, _ := strings.Cut(string(part), "\n")
		sections[title] = body
	}
	seen := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s stands there twice", r.Alert)
			}
			seen[r.Alert] = true
			for _, name := range unknownMeters(known, r.Expr) {
				t.Errorf("%s asks for %s, which nothing tells", r.Alert, name)
			}
			a := r.Annotations
			switch {
			case !regexp.MustCompile(`^Sekisho[A-Z][A-Za-z]+$`).MatchString(r.Alert):
				t.Errorf("%q is no name for an alert of ours", r.Alert)
			case r.For == "":
				t.Errorf("%s does not wait", r.Alert)
			case !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]):
				t.Errorf("%s is of severity %q", r.Alert, r.Labels["severity"])
			case !japanese.MatchString(a["summary"]) || a["summary_en"] == "" || japanese.MatchString(a["summary_en"]):
				t.Errorf("%s is not said in both languages: %v", r.Alert, a)
			case a["runbook_url"] != "docs/runbooks.md#"+strings.ToLower(r.Alert):
				t.Errorf("%s leads to %q", r.Alert, a["runbook_url"])
			}
			body, ok := sections[r.Alert]
			if !ok || !japanese.MatchString(body) || !english.MatchString(body) {
				t.Errorf("docs/runbooks.md has no section for %s in both languages", r.Alert)
			}
			for _, word := range []string{"意味", "見る", "する"} {
				if ok && !strings.Contains(body, "**"+word) {
					t.Errorf("the runbook of %s has no **%s…**", r.Alert, word)
				}
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("%d alerts only", len(seen))
	}
	for title := range sections {
		if !seen[title] {
			t.Errorf("docs/runbooks.md has a section %q, which no alert leads to", title)
		}
	}
	if got := unknownMeters(known, "rate(sekisho_http_request_duration_seconds_count[5m]) > sekisho_sessions_sum + sekisho_colour"); fmt.Sprint(got) != "[sekisho_sessions_sum sekisho_colour]" {
		t.Errorf("names that nothing tells are not found: %v", got)
	}
}

// TestDashboardShowsWhatIsMeasured: every panel asks for what is there, and no
// two lie on each other.
func TestDashboardShowsWhatIsMeasured(t *testing.T) {
	t.Parallel()
	known := metersDocumented(t)
	text, err := os.ReadFile("../docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID string
		Panels     []struct {
			ID          int
			Title       string
			Type        string
			Description string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || len(p.Targets) == 0 || !japanese.MatchString(p.Title) || !english.MatchString(p.Description) {
			t.Errorf("panel %d %q: its number twice, no question, or one language only", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			if names := unknownMeters(known, q.Expr); len(names) > 0 || !strings.Contains(q.Expr, "sekisho_") {
				t.Errorf("%q asks for %v: %s", p.Title, names, q.Expr)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if there := places[[2]int{x, y}]; there != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beyond the edge", p.Title, there)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
	}
	if len(board.Panels) < 10 || board.UID == "" {
		t.Errorf("%d panels only", len(board.Panels))
	}
}
