package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func withPermits(t testing.TB, text string) (*Policy, Problems) {
	t.Helper()
	return Parse("policy.yaml", []byte(string(example(t))+"\npermits:\n"+text))
}

// TestPermitsOfAFile: a file changes the house's kinds item by item and adds its own;
// what is enforced stays enforced.
func TestPermitsOfAFile(t *testing.T) {
	t.Parallel()
	p, bad := withPermits(t, `
  - id: remote_access
    steps:
      - {posts: [security_manager]}
      - {posts: [cio], where: anywhere}
    renew_days: 45
    tell_start: true
  - id: drone
    name: {ja: 無人航空機の使用, en: Drone}
    articles: ["38-3"]
    steps: [{posts: [security_manager]}]
    fields:
      - {id: place, name: {ja: 場所, en: Place}, required: true}
`)
	if bad != nil {
		t.Fatal(bad)
	}
	k, _ := p.Permit(PermitRemote)
	if len(k.Steps) != 2 || k.Steps[0].Quorum != 1 || k.RenewDays != 45 || !k.TellStart || k.Enforces != EnforcesRemote || len(k.Fields) < 5 {
		t.Errorf("remote access: %+v", k)
	}
	if own, ok := p.Permit("drone"); !ok || own.Enforces != EnforcesNothing || own.Fields[0].Type != FieldText || own.Fields[0].Max != fieldMax || own.AheadDays != 120 {
		t.Errorf("a kind of its own: %+v", own)
	}
	if k, _ := p.Permit(PermitCrossing); len(k.Confirm) != 4 || !slices.Equal(k.Askers, []PostID{SystemAdministrator}) {
		t.Errorf("a crossing: %+v", k)
	}
	if len(p.Permits) != len(standardPermits())+1 {
		t.Errorf("%d kinds", len(p.Permits))
	}
	const own = "  - {id: own, name: {ja: あ, en: a}, articles: [\"38-3\"], steps: [{posts: [cio]}]"
	for _, tt := range []struct{ name, text, field string }{
		{"remote access that opens nothing", "  - {id: remote_access, enforces: nothing}", "enforces"},
		{"a kind of one's own that opens something", own + ", enforces: remote}", "enforces"},
		{"nobody decides", "  - {id: own, name: {ja: あ, en: a}, articles: [\"38-3\"]}", "steps"},
		{"decided by who permits nothing", "  - {id: own, name: {ja: あ, en: a}, articles: [\"38-3\"], steps: [{posts: [staff]}]}", "steps[0].posts[0]"},
		{"no articles", "  - {id: own, name: {ja: あ, en: a}, steps: [{posts: [cio]}]}", "articles"},
		{"an article that is none", "  - {id: own, name: {ja: あ, en: a}, articles: [\"99\"], steps: [{posts: [cio]}]}", "articles[0]"},
		{"a field that every permit has", own + ", fields: [{id: reason, name: {ja: あ, en: a}}]}", "fields[0].id"},
		{"a choice of nothing", own + ", fields: [{id: x, name: {ja: あ, en: a}, type: choice}]}", "fields[0].choices"},
		{"a crossing without its path", "  - {id: zone_crossing, fields: [{id: application, name: {ja: あ, en: a}, type: application, required: true}]}", "fields"},
		{"other confirmations", "  - {id: zone_crossing, confirm: [{id: x, article: \"26no2-3(1)\", says: {ja: あ, en: a}}]}", "confirm"},
		{"too long", own + ", longest_days: 400}", "longest_days"},
	} {
		_, bad := withPermits(t, tt.text+"\n")
		if !slices.ContainsFunc(bad, func(p Problem) bool { return strings.HasPrefix(p.Field, "permits[0]."+tt.field) }) {
			t.Errorf("%s: %v", tt.name, bad)
		}
	}
}

// TestFiscalYearEnd: the year ends with 31 March in Japan, whatever the hour here.
func TestFiscalYearEnd(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2026-11-26T00:00:00Z": "2027-03-31T15:00:00Z", "2027-03-31T14:59:59Z": "2027-03-31T15:00:00Z", "2027-03-31T15:00:00Z": "2028-03-31T15:00:00Z", "2027-01-01T00:00:00Z": "2027-03-31T15:00:00Z",
	} {
		when, _ := time.Parse(time.RFC3339, at)
		if got := FiscalYearEnd(when).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// TestRulesOf: who comes from a zone that is not served is treated by the strictest of
// those that are, and a zone that nobody knows has no rules.
func TestRulesOf(t *testing.T) {
	t.Parallel()
	p := mustParse(t, string(example(t)))
	lgwan := p.Serving([]ZoneID{LGWAN})
	if z, ok := lgwan.RulesOf(LGWAN); !ok || z.ID != LGWAN {
		t.Errorf("its own: %+v", z)
	}
	if z, ok := lgwan.RulesOf(MyNumber); !ok || z.ID != MyNumber || z.MailNotices || z.SignInACR == "" || z.IdleEnd <= 0 {
		t.Errorf("another: %+v, %t", z, ok)
	}
	if _, ok := lgwan.RulesOf(""); !ok {
		t.Error("who comes from no network has no rules")
	}
	if _, ok := lgwan.RulesOf("moon"); ok {
		t.Error("a zone that nobody knows has rules")
	}
	if _, ok := (&Policy{}).RulesOf(""); ok {
		t.Error("without zones there are rules")
	}
}
