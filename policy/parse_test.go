package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func example(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// changed is the example with pieces of its text replaced, old and new in
// turn. Every old must be there exactly once.
func changed(t testing.TB, pairs ...string) string {
	t.Helper()
	text := string(example(t))
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%q stands %d times in the example", pairs[i], n)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func lineOf(t testing.TB, text, piece string) int {
	t.Helper()
	before, _, found := strings.Cut(text, piece)
	if !found {
		t.Fatalf("%q is not in the text", piece)
	}
	return strings.Count(before, "\n") + 1
}

func TestExampleParsesClean(t *testing.T) {
	p, problems := Parse("example.yaml", example(t))
	if err := problems.Err(); err != nil {
		t.Fatal(problems.Text("ja") + "\n" + problems.Text("en"))
	}
	if len(p.Zones) != 3 || len(p.Applications) != 4 || len(p.Posts) != 9 || len(p.Classes) != 4 || len(p.Networks) != 5 {
		t.Errorf("%+v", p)
	}
	if z, _ := p.Zone(Internet); z.IdleEnd != 30*time.Minute || z.Name.JA == "" {
		t.Errorf("a zone that says nothing of its own is not the profile's: %+v", z)
	}
	if c := p.Classes[2]; c.ACR[LGWAN] != AAL2 || c.ACR[Internet] != AAL2 || c.Name.JA != "重要度3" {
		t.Errorf("class 3 is not the profile's with one change: %+v", c)
	}
	if post, _ := p.Post(CIO); !post.Approves || post.Group == "" || post.Name.EN == "" {
		t.Errorf("the CIO is not the profile's with a group: %+v", post)
	}
	if _, err := p.Terminals[0].Key(); err != nil {
		t.Error("the counter's key:", err)
	}
	if _, ok := p.Deviates(DeviationSeveralZones); !ok {
		t.Error("the deviation is not there")
	}
}

// least is the shortest file that is a policy.
const least = `prefecture: {name: {ja: 関所県}}
zones: [{id: lgwan}]
`

func TestLeastFile(t *testing.T) {
	for _, text := range []string{least, "\ufeff" + least, "---\n" + least + "...\n", strings.ReplaceAll(least, "\n", "\r\n"), "# only a comment before\n" + least} {
		p, problems := Parse("policy.yaml", []byte(text))
		if problems != nil {
			t.Fatalf("%q: %v", text, problems)
		}
		if changes := Diff(Standard(), p); len(changes) == 0 || p.Profile != ProfileStandard || p.Lockout.HardLimit != 50 {
			t.Errorf("%q: %+v", text, p)
		}
	}
}

// TestRefusals holds every rule of a file's content: the field that is named,
// the article, the nearest choice, and the line.
func TestRefusals(t *testing.T) {
	bunsho := "host: bunsho.pref.example\n    zone: lgwan\n    class: 2"
	tests := []struct {
		name     string
		old, new string // in the example
		field    string
		article  Article
		near     string
		marked   string // the text on the problem's line; empty: that of the change
	}{
		{"unknown key at the top", "banner:", "baner:", "baner", "", "banner", ""},
		{"unknown key below", "flow_end: 10m", "flow_edn: 10m", "sign_in.flow_edn", "", "flow_end", ""},
		{"unknown profile", "profile: standard", "profile: standart", "profile", "", "standard", ""},
		{"unknown zone id", "- id: internet", "- id: interent", "zones[2].id", "", "internet", ""},
		{"zone twice", "- id: internet", "- id: lgwan", "zones[2].id", "26no2-1", "", ""},
		{"duration below its bound", "idle_end: 15m\n    absolute", "idle_end: 5s\n    absolute", "zones[0].idle_end", "63-7", "1m", ""},
		{"duration above its bound", "absolute_end: 9h", "absolute_end: 48h", "zones[1].absolute_end", "63-7", "24h", ""},
		{"idle end beyond absolute end", "absolute_end: 9h", "absolute_end: 20m", "zones[1].idle_end", "63-7", "20m", "idle_end: 30m"},
		{"stale facts beyond absolute end", "absolute_end: 9h\n    counter_idle_end: 3m\n    directory_stale: 30m", "absolute_end: 1h\n    counter_idle_end: 3m\n    directory_stale: 2h", "zones[1].directory_stale", "62-2", "1h", "directory_stale: 2h"},
		{"key twice in one zone", "directory_stale: 30m", "directory_stale: 20m\n    absolute_end: 9h", "zones[1].absolute_end", "", "", "    absolute_end: 9h\n    mail"},
		{"no zone", "zones:\n", "zones: []\nx:\n", "zones", "26no2-1", "", "zones: []"},
		{"least above greatest", "max_length: 128", "max_length: 10", "password.min_length", "46-2(3)", "10", "min_length: 12"},
		{"least alone above greatest", "max_length: 128", "max_length: 10", "password.min_length_single", "46-2(3)", "10", "min_length_single: 15"},
		{"a hundred and one delays", "delays: [30s, 1m, 2m, 5m, 15m, 1h]", "delays: [" + strings.Repeat("30s, ", 100) + "30s]", "lockout.delays", "63-7", "", ""},
		{"id with spaces", "{id: shien,", "{id: shien ka,", "sections[4].id", "", "shien-ka", ""},
		{"id of another script", "{id: shien,", "{id: 支援,", "sections[4].id", "", "", ""},
		{"crossing from nowhere", "{from: internet, to: lgwan", "{to: lgwan", "zone_matrix.crossings[0].from", "26no4-1", "", ""},
		{"host longer than DNS has", "host: bunsho.pref.example", "host: " + strings.Repeat("a.", 130) + "example", "applications[1].host", "62-1", "", ""},
		{"assurances that are no map", "acr: {lgwan: aal2}", "acr: aal2", "classes[0].acr", "", "", ""},
		{"duration in words", "flow_end: 10m", "flow_end: ten minutes", "sign_in.flow_end", "", "", ""},
		{"counter idle beyond idle", "idle_end: 15m\n    absolute_end: 8h\n    counter_idle_end: 2m", "idle_end: 1m\n    absolute_end: 8h\n    counter_idle_end: 2m", "zones[0].counter_idle_end", "38-6", "1m", "counter_idle_end: 2m"},
		{"duration without unit", "flow_end: 10m", "flow_end: 10", "sign_in.flow_end", "", "10m", ""},
		{"duration in days", "known_browser_end: 2160h", "known_browser_end: 90d", "lockout.known_browser_end", "", "2160h", ""},
		{"number as text", "hard_limit: 50", `hard_limit: "50"`, "lockout.hard_limit", "", "", ""},
		{"number in octal", "hard_limit: 50", "hard_limit: 0o50", "lockout.hard_limit", "", "", ""},
		{"number with a fraction", "hard_limit: 50", "hard_limit: 50.5", "lockout.hard_limit", "", "", ""},
		{"number far too large", "hard_limit: 50", "hard_limit: 99999999999999999999", "lockout.hard_limit", "", "", ""},
		{"hard limit above NIST's", "hard_limit: 50", "hard_limit: 101", "lockout.hard_limit", "63-7", "100", ""},
		{"flag that is no flag", "autofill_discouraged: true", "autofill_discouraged: ja", "password.autofill_discouraged", "", "", ""},
		{"no value", "fresh_for: 10m", "fresh_for:", "sign_in.fresh_for", "", "", ""},
		{"text that is a flag", "version: \"2026-04\"", "version: true", "acknowledgement.version", "", "", ""},
		{"map where a list belongs", "words: [関所, せきしょ, sekisho, kencho, 県庁]", "words: {a: b}", "prefecture.words", "", "", ""},
		{"list where a map belongs", "banner:\n  ja: このシステムは職務のためだけに使えます。利用は記録されます。\n  en: For official use only. Use is recorded.", "banner: [a]", "banner", "", "", ""},
		{"text where a map belongs", "name: {ja: 関所県, en: Sekisho Prefecture}", "name: 関所県", "prefecture.name", "", "", ""},
		{"no Japanese", "name: {ja: 関所県, en: Sekisho Prefecture}", "name: {en: Sekisho Prefecture}", "prefecture.name.ja", "", "", ""},
		{"empty context word", "words: [関所,", "words: [\"\",", "prefecture.words[0]", "46-2(3)", "", ""},
		{"empty blocked word", "block_words: [ようこそ]", "block_words: [\" \"]", "password.block_words[0]", "46-2(3)", "", ""},
		{"guideline that is a script", "guideline_url: https://www.pref.example/security/guideline.html", "guideline_url: javascript:alert(1)", "prefecture.guideline_url", "40", "", ""},
		{"acknowledgement page with a user", "keep them.\n  url: https://www", "keep them.\n  url: https://user@www", "acknowledgement.url", "39", "", "  url: https://user@"},

		{"kinds of characters without a decision", "min_classes: 0", "min_classes: 3", "password.min_classes", "46-2(3)", "0", ""},
		{"five kinds of characters", "min_classes: 0", "min_classes: 5", "password.min_classes", "46-2(3)", "4", ""},
		{"an age without a decision", "max_age: 0s", "max_age: 2160h", "password.max_age", "62-7", "0", ""},
		{"a change each fiscal year without a decision", "fiscal_year_end: false", "fiscal_year_end: true", "password.fiscal_year_end", "62-7", "false", ""},
		{"decision without a number", "decision: 情企第123号", `decision: ""`, "deviations[0].decision", "80-1", "", ""},
		{"decision without a date", "    decided: \"2026-04-01\"\n", "", "deviations[0].decided", "80-1", "", "- id: one-process"},
		{"date that is none", `decided: "2026-04-01"`, `decided: "2026-04-31"`, "deviations[0].decided", "80-1", "", ""},
		{"deviation over before it began", `until: "2027-03-31"`, `until: "2025-03-31"`, "deviations[0].until", "80-1", "2026-04-01", ""},
		{"deviation from nothing we know", "rule: several_zones", "rule: severl_zones", "deviations[0].rule", "", "several_zones", ""},
		{"mynumber with one factor", "- id: mynumber\n", "- id: mynumber\n    sign_in_acr: aal1\n", "zones[0].sign_in_acr", "26no3-1", "aal2", "sign_in_acr: aal1"},
		{"unknown assurance", "sign_in_acr: aal2", "sign_in_acr: aal3", "zones[1].sign_in_acr", "", "aal1", ""},
		{"mail without a sender", "mail:\n  from: sekisho@pref.example\n", "", "zones[1].mail_notices", "", "false", "mail_notices: true"},
		{"sender that is no address", "from: sekisho@pref.example", "from: sekisho", "mail.from", "", "", ""},

		{"unknown model", "model: alpha", "model: aplha", "zone_matrix.model", "", "alpha", ""},
		{"mynumber straight to the Internet", "{from: internet, to: lgwan, rule: permit", "{from: mynumber, to: internet, rule: permit", "zone_matrix.crossings[0].rule", "26no2-3(3)", "refused", ""},
		{"Internet straight to mynumber", "{from: internet, to: lgwan, rule: permit", "{from: internet, to: mynumber, rule: permit", "zone_matrix.crossings[0].rule", "26no2-3(3)", "refused", ""},
		{"crossing within a zone", "{from: internet, to: lgwan", "{from: lgwan, to: lgwan", "zone_matrix.crossings[0].to", "26no4-1", "", ""},
		{"crossing by any method", "methods: [sanitised], ", "", "zone_matrix.crossings[0].methods", "26no2-3(2)", "limited_path", "{from: internet"},
		{"crossing by an unknown method", "methods: [sanitised]", "methods: [santised]", "zone_matrix.crossings[0].methods[0]", "", "sanitised", ""},
		{"crossing twice", "  crossings:\n", "  crossings:\n    - {from: internet, to: lgwan, rule: refused}\n", "zone_matrix.crossings[1]", "26no4-1", "", "rule: permit"},
		{"crossing without a rule", "rule: permit, ", "", "zone_matrix.crossings[0].rule", "26no4-1", "", "{from: internet"},
		{"article there is not", "article: 26no4-2(1)", "article: 26no4-2(3)", "zone_matrix.crossings[0].article", "", "26no4", ""},

		{"class there is not", "- class: 3", "- class: 5", "classes[0].class", "17(1)", "4", ""},
		{"class twice", "acr: {lgwan: aal2}", "acr: {lgwan: aal2}\n  - class: 3", "classes[1].class", "17", "", "  - class: 3\n\n"},
		{"mynumber class with one factor", "acr: {lgwan: aal2}", "acr: {mynumber: aal1}", "classes[0].acr.mynumber", "26no3-1", "aal2", ""},
		{"class of a zone there is not", "acr: {lgwan: aal2}", "acr: {lgwna: aal2}", "classes[0].acr.lgwna", "", "lgwan", ""},
		{"lesser class asks for more", "  - class: 3\n    acr: {lgwan: aal2}", "  - {class: 3, acr: {lgwan: aal1}}\n  - class: 4\n    acr: {lgwan: aal2}", "classes[1].acr.lgwan", "17", "aal1", "    acr: {lgwan: aal2}"},

		{"unknown post", "{id: csirt,", "{id: csrit,", "posts[7].id", "", "csirt", ""},
		{"post twice", "{id: csirt,", "{id: cio,", "posts[7].id", "16-1", "", ""},
		{"auditor approves", `{id: auditor,`, `{id: auditor, approves: true,`, "posts[8].audits", "16-2", "false", ""},
		{"administrator approves", `{id: system_administrator,`, `{id: system_administrator, approves: true,`, "posts[2].approves", "16-1", "false", ""},
		{"one group approves and audits", `{id: auditor, group: "cn=auditors,`, `{id: auditor, group: "CN=CIO, `, "posts[8].group", "16-2", "", ""},
		{"one group approves and asks", `{id: system_operator, group: "cn=system-operators,`, `{id: system_operator, group: "cn=System-Administrators,`, "", "", "", ""},
		{"one group asks and approves", `{id: security_manager, group: "cn=security-managers,`, `{id: security_manager, group: "cn=system-administrators,`, "posts[4].group", "16-1", "", ""},
		{"one group of staff and approvers", `{id: cio, group: "cn=cio,`, `{id: cio, group: "cn=staff,`, "posts[6].group", "16-1", "", ""},
		{"group that is no DN", `"cn=auditors,ou=groups,dc=pref,dc=example"`, "auditors", "posts[8].group", "16-1", "", ""},
		{"nobody may approve a policy", "  - {id: security_officer, group: \"cn=security-officers,ou=groups,dc=pref,dc=example\"}\n  - {id: cio, group: \"cn=cio,ou=groups,dc=pref,dc=example\"}\n", "", "posts", "16-1", "", "posts:\n"},

		{"section twice", "{id: jinji,", "{id: soumu,", "sections[1].id", "", "", ""},
		{"section under nothing", "parent: fukushi", "parent: fukusi", "sections[4].parent", "12-2", "fukushi", ""},
		{"section under a section", "parent: fukushi", "parent: jinji", "sections[4].parent", "12-2", "soumu", ""},
		{"section id with a capital", "{id: shien,", "{id: Shien,", "sections[4].id", "", "shien", ""},
		{"section without a name", "{id: shien, name: {ja: 支援課, en: Support}, ", "{id: shien, ", "sections[4].name.ja", "", "", ""},
		{"section without an id", "{id: shien, name", "{name", "sections[4].id", "", "", ""},

		{"network that is none", "cidr: 10.3.0.0/16", "cidr: 10.3.0.0", "networks[3].cidr", "", "10.3.0.0/32", ""},
		{"network with host bits", "cidr: 10.3.0.0/16", "cidr: 10.3.4.5/16", "networks[3].cidr", "", "10.3.0.0/16", ""},
		{"network in IPv6 clothes", "cidr: 10.3.0.0/16", `cidr: "::ffff:10.3.0.0/112"`, "networks[3].cidr", "", "", ""},
		{"one network in two zones", "cidr: 10.3.0.0/16", "cidr: 10.2.0.0/16", "networks[3].cidr", "26no4-1", "", ""},
		{"one network twice", "cidr: 10.3.0.0/16, zone: internet", "cidr: 10.2.0.0/16, zone: lgwan", "networks[3].cidr", "26no4-1", "", ""},
		{"the world inside", "cidr: 10.3.0.0/16", "cidr: 0.0.0.0/0", "networks[3].cidr", "26no4-1", "", ""},
		{"network without cidr", "cidr: 10.3.0.0/16, zone", "zone", "networks[3].cidr", "26no2-1", "", ""},
		{"network without zone", "{cidr: 10.3.0.0/16, zone: internet}", "{cidr: 10.3.0.0/16}", "networks[3].zone", "26no2-1", "", ""},
		{"mynumber outside", "zone: mynumber}", "zone: mynumber, outside: true}", "networks[0].outside", "26no2-3(3)", "false", ""},

		{"terminal twice", "- id: lent-12", "- id: madoguchi-1", "terminals[1].id", "60", "", ""},
		{"terminal of no class", "class: lent", "class: lend", "terminals[1].class", "", "lent", ""},
		{"terminal without class", "    class: lent\n", "", "terminals[1].class", "60", "", "- id: lent-12"},
		{"terminal with a key that is none", "class: lent", "class: lent\n    public_key: hello", "terminals[1].public_key", "60", "", "public_key: hello"},

		{"application twice", "- id: bunsho", "- id: juki", "applications[1].id", "62-1", "", ""},
		{"host twice", "host: bunsho.pref.example", "host: juki.pref.example", "applications[1].host", "62-1", "", ""},
		{"host with a port", "host: bunsho.pref.example", "host: bunsho.pref.example:8443", "applications[1].host", "62-1", "bunsho.pref.example", ""},
		{"host with capitals", "host: bunsho.pref.example", "host: Bunsho.pref.example", "applications[1].host", "62-1", "bunsho.pref.example", ""},
		{"host that is an address", "host: bunsho.pref.example", "host: 10.2.3.4", "applications[1].host", "62-1", "", ""},
		{"host that is a URL", "host: bunsho.pref.example", "host: https://bunsho.pref.example/", "applications[1].host", "62-1", "bunsho.pref.example", ""},
		{"host with a wildcard", "host: bunsho.pref.example", `host: "*.pref.example"`, "applications[1].host", "62-1", "", ""},
		{"host that is missing", "    host: bunsho.pref.example\n", "", "applications[1].host", "62-1", "", "- id: bunsho"},
		{"upstream with a path", "url: https://juki.internal:8443", "url: https://juki.internal:8443/app", "applications[0].url", "62-1", "https://juki.internal:8443", ""},
		{"upstream of another scheme", "url: https://juki.internal:8443", "url: file:///etc/passwd", "applications[0].url", "62-1", "", ""},
		{"mynumber application with one factor", "sections: [fukushi]", "acr: aal1", "applications[0].acr", "26no3-1", "aal2", ""},
		{"application below its class", bunsho, bunsho + "\n    acr: aal1", "applications[1].acr", "17", "aal2", "    acr: aal1"},
		{"application of no class", bunsho, "host: bunsho.pref.example\n    zone: lgwan", "applications[1].class", "17", "1", "- id: bunsho"},
		{"application for an unknown post", "posts: [staff, security_manager]", "posts: [staf, security_manager]", "applications[2].posts[0]", "", "staff", ""},
		{"application for a group that is no DN", `groups: ["cn=payroll-users,ou=groups,dc=pref,dc=example"]`, "groups: [payroll]", "applications[2].groups[0]", "47-2", "", ""},
		{"a path that is read in two ways", "path: /payment", "path: /pay%2fment", "applications[2].paths[0].path", "62-2", "", ""},
		{"a path with an escape it does not need", "path: /payment", "path: /pa%79ment", "applications[2].paths[0].path", "62-2", "/payment", ""},
		{"a path from nowhere", "path: /payment", "path: payment", "applications[2].paths[0].path", "62-2", "", ""},
		{"a path that is missing", "{path: /payment, fresh_for: 15m}", "{fresh_for: 15m}", "applications[2].paths[0].path", "62-2", "", ""},
		{"a path twice", "      - {path: /payment, fresh_for: 15m}\n", "      - {path: /payment, fresh_for: 15m}\n      - {path: /PAYMENT/, fresh_for: 5m}\n", "applications[2].paths[1].path", "62-2", "", "- {path: /PAYMENT/"},
		{"a path that asks for nothing", "{path: /payment, fresh_for: 15m}", "{path: /payment}", "applications[2].paths[0]", "62-2", "", "{path: /payment}"},
		{"a path that asks for less", "{path: /payment, fresh_for: 15m}", "{path: /payment, acr: aal2}", "applications[2].paths[0].acr", "17", "phr", ""},
		{"a path that takes an older sign-in", "fresh_for: 15m}", "fresh_for: 5h}", "applications[2].paths[0].fresh_for", "62-2", "4h", ""},
		{"an application that is fresh for too long", "fresh_for: 4h", "fresh_for: 25h", "applications[2].fresh_for", "62-2", "24h", ""},
		{"application for an unknown section", "sections: [jinji]\n", "sections: [jinij]\n", "applications[2].sections[0]", "47-2", "jinji", ""},

		{"client twice", "client_id: renkei", "client_id: kyuyo-web", "clients[1].client_id", "62-1", "", ""},
		{"client id of another script", "client_id: renkei", "client_id: 連携", "clients[1].client_id", "", "", ""},
		{"client id like a person's", "client_id: renkei", "client_id: a1b2c3d4-0000-4000-8000-000000000000", "clients[1].client_id", "62-1", "", ""},
		{"client without a name", "    name: {ja: データ連携, en: Data exchange}\n", "", "clients[1].name.ja", "", "", "- client_id: renkei"},
		{"client of an unknown application", "application: kyuyo", "application: kyuyoo", "clients[0].application", "62-1", "kyuyo", ""},
		{"client with an application and a zone", "    application: kyuyo\n", "    application: kyuyo\n    zone: lgwan\n", "clients[0].zone", "62-1", "", "    zone: lgwan\n    auth"},
		{"client in a zone there is not", "    zone: lgwan\n    class: 3\n    posts: [system_administrator]", "    zone: lgwn\n    class: 3\n    posts: [system_administrator]", "clients[1].zone", "", "lgwan", ""},
		{"client of no class", "    class: 3\n    posts: [system_administrator]", "    posts: [system_administrator]", "clients[1].class", "17", "1", "- client_id: renkei"},
		{"client below its class", "posts: [system_administrator]\n    acr: aal2", "posts: [system_administrator]\n    acr: aal1", "clients[1].acr", "17", "aal2", "    acr: aal1"},
		{"client for an unknown post", "posts: [system_administrator]\n", "posts: [system_administratr]\n", "clients[1].posts[0]", "", "system_administrator", ""},
		{"client for an unknown section", "posts: [system_administrator]\n", "sections: [jinij]\n", "clients[1].sections[0]", "47-2", "jinji", ""},
		{"client that proves itself by magic", "auth_method: private_key_jwt", "auth_method: private_key", "clients[1].auth_method", "", "private_key_jwt", ""},
		{"client without a secret", "    secret_hashes: [\"$sha256$4PyrmHI2ywK7pJGfnqgoDQ$lF-O1eZDK1eZe64UgL74DnIWz1v7XShdoWEhtyEbwBE\"]\n", "", "clients[0].secret_hashes", "64-1", "", "- client_id: kyuyo-web"},
		{"client with a secret in plain", "\"$sha256$4PyrmHI2ywK7pJGfnqgoDQ$lF-O1eZDK1eZe64UgL74DnIWz1v7XShdoWEhtyEbwBE\"", "hunter2hunter2", "clients[0].secret_hashes[0]", "64-1", "", ""},
		{"client with a short hash", "\"$sha256$4PyrmHI2ywK7pJGfnqgoDQ$lF-O1eZDK1eZe64UgL74DnIWz1v7XShdoWEhtyEbwBE\"", "\"$sha256$AAAA$AAAA\"", "clients[0].secret_hashes[0]", "64-1", "", ""},
		{"public client with a secret", "auth_method: client_secret_basic", "auth_method: none", "clients[0].secret_hashes", "64-1", "", "secret_hashes"},
		{"secret client with keys", "auth_method: private_key_jwt", "auth_method: client_secret_post", "clients[1].jwks", "64-1", "", "jwks: >-"},
		{"keys that are none", "    jwks: >-\n", "    jwks: '{}'\n    x: >-\n", "clients[1].jwks", "64-1", "", "jwks: '{}'"},
		{"keys that are private", `"use": "sig"`, `"use": "sig", "d": "AA"`, "clients[1].jwks", "64-1", "", "jwks: >-"},
		{"keys without a name", `"kid": "2026-04", `, ``, "clients[1].jwks", "64-1", "", "jwks: >-"},
		{"keys for encryption", `"use": "sig"`, `"use": "enc"`, "clients[1].jwks", "64-1", "", "jwks: >-"},
		{"redirect without TLS", "[\"https://renkei.pref.example/oidc\"]", "[\"http://renkei.pref.example/oidc\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect with a wildcard", "[\"https://renkei.pref.example/oidc\"]", "[\"https://renkei.pref.example/*\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect with a fragment", "[\"https://renkei.pref.example/oidc\"]", "[\"https://renkei.pref.example/#a\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect with a user", "[\"https://renkei.pref.example/oidc\"]", "[\"https://u@renkei.pref.example/oidc\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect to a script", "[\"https://renkei.pref.example/oidc\"]", "[\"javascript:alert(1)\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect in another script", "[\"https://renkei.pref.example/oidc\"]", "[\"https://連携.example/oidc\"]", "clients[1].redirect_uris[0]", "62-1", "", ""},
		{"redirect to the same machine", "[\"https://renkei.pref.example/oidc\"]", "[\"http://127.0.0.1:9999/oidc\"]", "", "", "", ""},
		{"redirect twice", "[\"https://renkei.pref.example/oidc\"]", "[\"https://renkei.pref.example/oidc\", \"https://renkei.pref.example/oidc\"]", "clients[1].redirect_uris[1]", "62-1", "", ""},
		{"goodbye without TLS", "https://kyuyo.pref.example/goodbye", "http://kyuyo.pref.example/goodbye", "clients[0].post_logout_redirect_uris[0]", "62-1", "", ""},
		{"told of sign-outs in the clear", "https://kyuyo.pref.example/backchannel-logout", "http://kyuyo.pref.example/backchannel-logout", "clients[0].backchannel_logout_uri", "62-1", "", ""},
		{"neither people nor service", "    redirect_uris: [\"https://renkei.pref.example/oidc\"]\n    consent: true\n    require_par: true\n    max_age: 1h", "    consent: true\n    require_par: true\n    max_age: 1h\n    service: {}\n    x: 1", "clients[1].x", "", "", "    x: 1"},
		{"unknown scope", "scopes: [profile, email]", "scopes: [profil, email]", "clients[0].scopes[0]", "", "profile", ""},
		{"scope twice", "scopes: [profile, email]", "scopes: [email, email]", "clients[0].scopes[1]", "47-3", "", ""},
		{"audience nobody knows", "audiences: [renkei]", "audiences: [renkai]", "clients[0].audiences[0]", "47-3", "renkei", ""},
		{"audience of oneself", "audiences: [renkei]", "audiences: [kyuyo-web]", "clients[0].audiences[0]", "47-3", "", ""},
		{"audience twice", "audiences: [renkei]", "audiences: [renkei, renkei]", "clients[0].audiences[1]", "47-3", "", ""},
		{"service without an owner", "{owner: sato, scopes", "{scopes", "clients[1].service.owner", "62-3", "", "service:"},
		{"service with a person's scope", "[renkei.read]", "[openid]", "clients[1].service.scopes[0]", "47-3", "", ""},
		{"service with a scope of two words", "[renkei.read]", "[\"renkei read\"]", "clients[1].service.scopes[0]", "47-3", "", ""},
		{"sign-in older than a day", "    max_age: 1h", "    max_age: 25h", "clients[1].max_age", "62-2", "24h", ""},
		{"code that lives too long", "code_end: 60s", "code_end: 61s", "openid.code_end", "62-1", "1m", ""},
		{"tokens that live too long", "token_end: 5m", "token_end: 6m", "openid.token_end", "62-7", "5m", ""},
		{"refresh idle beyond its end", "refresh_end: 9h", "refresh_end: 30m", "openid.refresh_idle_end", "62-1", "30m", "refresh_idle_end"},

		{"text without version", "  version: \"2026-04\"\n", "", "acknowledgement.version", "39", "", "acknowledgement:"},
		{"version without text", "  text:\n    ja: 情報セキュリティの定めを読み、守ることに同意します。\n    en: I have read the security rules and will keep them.\n", "", "acknowledgement.text.ja", "", "", "acknowledgement:"},
		{"banner without Japanese", "  ja: このシステムは職務のためだけに使えます。利用は記録されます。\n", "", "banner.ja", "", "", "banner:"},

		{"password below the schema", "min_length: 12", "min_length: 5", "password.min_length", "46-2(3)", "6", ""},
		{"password below NIST", "min_length: 12", "min_length: 7", "password.min_length", "46-2(3)", "8", ""},
		{"single password below NIST", "min_length_single: 15", "min_length_single: 14", "password.min_length_single", "46-2(3)", "15", ""},
		{"single shorter than beside a factor", "min_length: 12", "min_length: 16", "password.min_length_single", "46-2(3)", "16", "min_length_single: 15"},
		{"maximum below the bound", "max_length: 128", "max_length: 20", "password.max_length", "46-2(3)", "64", ""},
		{"passwords expire", "max_age: 0s", "max_age: 2160h", "password.max_age", "62-7", "0", ""},
		{"temporary for more than a week", "temporary_end: 24h", "temporary_end: 169h", "password.temporary_end", "64-2", "168h", ""},
		{"two TOTP steps", "skew: 1", "skew: 2", "totp.skew", "62-2", "1", ""},

		{"a challenge that lives too long", "ceremony_end: 5m", "ceremony_end: 1h", "passkey.ceremony_end", "62-2", "10m", ""},
		{"no passkey at all", "max_keys: 5", "max_keys: 0", "passkey.max_keys", "64-1", "1", ""},
		{"unknown key of a demand", "attestation: true", "attested: true", "passkey.demands[0].attested", "", "attestation", ""},
		{"demand of an unknown post", "posts: [cio]\n      attest", "posts: [coi]\n      attest", "passkey.demands[0].posts[0]", "", "cio", ""},
		{"demand of a post twice", "posts: [cio]\n      attest", "posts: [cio, cio]\n      attest", "passkey.demands[0].posts[1]", "64-1", "", ""},
		{"demand that asks nothing", "    - posts: [cio]\n      attestation: true\n", "    - posts: [cio]\n", "passkey.demands[0]", "64-1", "", ""},
		{"demand that says it asks nothing", "attestation: true", "attestation: false", "passkey.demands[0]", "64-1", "", "- posts: [cio]"},
		{"demand that asks for no model", "aaguids: [5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "aaguids: []", "passkey.demands[1]", "64-1", "", "- posts: [system_a"},
		{"two demands of the same posts", "- posts: [cio]\n", "- posts: [system_operator, system_administrator]\n", "passkey.demands[1]", "64-1", "", "- posts: [system_administrator, system_operator]"},
		{"attestation without a maker", "  roots:\n    - |", "  x:\n    - |", "passkey.demands[0].attestation", "64-1", "", "attestation: true"},
		{"models without a maker", "  roots:\n    - |", "  x:\n    - |", "passkey.demands[1].aaguids", "64-1", "", "aaguids:"},
		{"model in capitals", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "[5EC1571F-6F1B-4B9A-8D43-1F3A7C2E9B10]", "passkey.demands[1].aaguids[0]", "64-1", "5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10", ""},
		{"model without hyphens", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "[5ec1571f6f1b4b9a8d431f3a7c2e9b10]", "passkey.demands[1].aaguids[0]", "64-1", "5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10", ""},
		{"model by its trade name", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "[Key 5]", "passkey.demands[1].aaguids[0]", "64-1", "", ""},
		{"model that is none", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "[00000000-0000-0000-0000-000000000000]", "passkey.demands[1].aaguids[0]", "64-1", "", ""},
		{"model without letters", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", `[""]`, "passkey.demands[1].aaguids[0]", "64-1", "", ""},
		{"model twice", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10, 5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]", "passkey.demands[1].aaguids[1]", "64-1", "", ""},
		{"maker that is no certificate", "  roots:\n    - |\n", "  roots:\n    - maker\n    - |\n", "passkey.roots[0]", "64-1", "", "- maker"},
		{"maker without letters", "  roots:\n    - |\n", "  roots:\n    - \"\"\n    - |\n", "passkey.roots[0]", "64-1", "", "- \"\""},

		{"card authority twice", "  - id: shokuin\n", "  - {id: shokuin, name: {ja: 別}, ca: x, policy_oids: [2.5], subject: email}\n  - id: shokuin\n", "cards[1].id", "64-1", "", "  - id: shokuin\n"},
		{"card authority without an id", "  - id: shokuin\n    name", "  - name", "cards[0].id", "", "", "  - name: {ja: 職"},
		{"card authority with an odd id", "- id: shokuin", "- id: Shokuin", "cards[0].id", "", "shokuin", ""},
		{"card authority without a name", "    name: {ja: 職員証, en: Staff card}\n", "", "cards[0].name.ja", "", "", "- id: shokuin"},
		{"card authority without a certificate", "    ca: |\n", "    ca: \"\"\n    x: |\n", "cards[0].ca", "64-1", "", "ca: \"\""},
		{"card authority with a certificate that is none", "    ca: |\n", "    ca: hello\n    x: |\n", "cards[0].ca", "64-1", "", "ca: hello"},
		{"cards without a policy", "policy_oids: [2.999.1.1]", "policy_oids: []", "cards[0].policy_oids", "26no3-1", "", ""},
		{"cards whose policy is not named", "    policy_oids: [2.999.1.1]\n", "", "cards[0].policy_oids", "26no3-1", "", "- id: shokuin"},
		{"cards of any policy", "[2.999.1.1]", "[2.5.29.32.0]", "cards[0].policy_oids[0]", "26no3-1", "", ""},
		{"policy that is no OID", "[2.999.1.1]", "[pin]", "cards[0].policy_oids[0]", "26no3-1", "", ""},
		{"policy with its kind before it", "[2.999.1.1]", "[OID.2.999.1.1]", "cards[0].policy_oids[0]", "26no3-1", "2.999.1.1", ""},
		{"policy with leading zeros", "[2.999.1.1]", "[2.999.01.1]", "cards[0].policy_oids[0]", "26no3-1", "", ""},
		{"policy twice", "[2.999.1.1]", "[2.999.1.1, 2.999.1.1]", "cards[0].policy_oids[1]", "26no3-1", "", ""},
		{"unknown part of a certificate", "subject: common_name", "subject: commonname", "cards[0].subject", "", "common_name", ""},
		{"no part of a certificate", "    subject: common_name\n", "", "cards[0].subject", "62-1", "", "- id: shokuin"},
		{"cards compared with nothing we know", "match: login", "match: logn", "cards[0].match", "", "login", ""},
		{"cards in a zone there is not", "zones: [mynumber, lgwan]", "zones: [lgwn]", "cards[0].zones[0]", "", "lgwan", ""},
		{"cards in a zone twice", "zones: [mynumber, lgwan]", "zones: [lgwan, lgwan]", "cards[0].zones[1]", "26no2-1", "", ""},

		{"recovery code for two days", "code_end: 24h", "code_end: 48h", "recovery.code_end", "64-1", "24h", ""},
		{"administrators with one factor", "elevated_acr: phr", "elevated_acr: aal1", "session.elevated_acr", "", "aal2", ""},
		{"notice after nothing", "notice_after: 1", "notice_after: 0", "sign_in.notice_after", "63-7", "1", ""},

		{"hard limit at the free failures", "hard_limit: 50\n  known_browser_share: 10", "hard_limit: 4\n  known_browser_share: 1", "lockout.hard_limit", "63-7", "5", ""},
		{"all of the limit for known browsers", "known_browser_share: 10", "known_browser_share: 50", "lockout.known_browser_share", "63-7", "49", ""},
		{"no delay", "delays: [30s, 1m, 2m, 5m, 15m, 1h]", "delays: []", "lockout.delays", "63-7", "30s", ""},
		{"fewer failures than an ordinary morning has", "free_failures: 4\n  delays: [30s, 1m, 2m, 5m, 15m, 1h]\n  hard_limit: 50\n  known_browser_share: 10", "free_failures: 2\n  hard_limit: 4\n  known_browser_share: 0", "lockout.hard_limit", "63-7", "5", "hard_limit: 4"},
		{"one more", "free_failures: 4\n  delays: [30s, 1m, 2m, 5m, 15m, 1h]\n  hard_limit: 50\n  known_browser_share: 10", "free_failures: 4\n  hard_limit: 5\n  known_browser_share: 0", "", "", "", ""},
		{"delay that shrinks", "delays: [30s, 1m,", "delays: [2m, 1m,", "lockout.delays[1]", "63-7", "2m", ""},
		{"delay out of bounds", "delays: [30s,", "delays: [0s,", "lockout.delays[0]", "63-7", "1s", ""},

		{"elevated idle beyond its end", "elevated_absolute_end: 8h", "elevated_absolute_end: 14m", "session.elevated_absolute_end", "65", "15m", ""},
		{"poll slower than stale", "revocation_stale: 750ms", "revocation_stale: 250ms", "session.revocation_poll", "62-1", "83.333333ms", "revocation_poll"},
		{"poll too seldom", "revocation_poll: 250ms", "revocation_poll: 1s", "session.revocation_poll", "62-1", "250ms", ""},
		{"disabled before the warning", "warn_days: 60", "warn_days: 90", "dormancy.disable_days", "62-5", "91", "disable_days"},
		{"a contractor's disabled before the warning", "contractor: {warn_days: 30", "contractor: {warn_days: 60", "dormancy.contractor.disable_days", "62-5", "61", ""},
		{"an exemption without an end", "owner: sato, until: \"2028-03-31\",", "owner: sato,", "dormancy.exemptions[0].until", "62-5", "", ""},
		{"an exemption that nobody answers for", "login: batch-nenji, owner: sato,", "login: batch-nenji,", "dormancy.exemptions[0].owner", "62-5", "", ""},
		{"an exemption twice", "login: emergency-1", "login: Batch-Nenji", "dormancy.exemptions[1].login", "62-5", "", ""},
		{"deleted before disabled", "delete_days: 365", "delete_days: 90", "dormancy.delete_days", "62-5", "91", ""},
		{"kept for eleven years", "trail_years: 7", "trail_years: 11", "retention.trail_years", "51-2", "10", ""},
		{"lesser class kept longer", "class3_years: 3", "class3_years: 6", "retention.class3_years", "51-2", "5", ""},
		{"trail gone before the records", "trail_years: 7", "trail_years: 6", "retention.trail_years", "51-2", "7", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := changed(t, tt.old, tt.new)
			p, problems := Parse("policy.yaml", []byte(text))
			if tt.field == "" { // the neighbour of a refusal, which is allowed
				if problems != nil {
					t.Errorf("refused: %v", problems)
				}
				return
			}
			if p != nil {
				t.Error("a policy came out all the same")
			}
			i := slices.IndexFunc(problems, func(p Problem) bool { return p.Field == tt.field })
			if i < 0 {
				t.Fatalf("no problem at %s, but:\n%v", tt.field, problems)
			}
			got := problems[i]
			if got.Article != tt.article || got.Nearest != tt.near || got.Rule.JA == "" || got.Rule.EN == "" || got.File != "policy.yaml" || got.Column < 1 {
				t.Errorf("got %+v\nwant article %q, nearest %q", got, tt.article, tt.near)
			}
			want := lineOf(t, string(example(t)), tt.old)
			if tt.marked != "" {
				want = lineOf(t, text, tt.marked)
			}
			if got.Line != want {
				t.Errorf("line %d, want %d", got.Line, want)
			}
		})
	}
}

// TestDeviationsAllow shows that each refusal that a deviation lifts is lifted
// by it, and by nothing less.
func TestDeviationsAllow(t *testing.T) {
	for rule, change := range map[string][2]string{
		DeviationDedicatedTerminals: {"- id: mynumber\n", "- id: mynumber\n    sign_in_acr: aal1\n"},
		DeviationMyNumberInternet:   {"{from: internet, to: lgwan, rule", "{from: mynumber, to: internet, rule"},
		DeviationShortPasswords:     {"min_length: 12\n  min_length_single: 15", "min_length: 6\n  min_length_single: 8"},
		DeviationPasswordExpiry:     {"max_age: 0s\n  fiscal_year_end: false", "max_age: 2160h\n  fiscal_year_end: true"},
		DeviationPasswordClasses:    {"min_classes: 0", "min_classes: 4"},
		DeviationEarlyLockout:       {"free_failures: 4\n  delays: [30s, 1m, 2m, 5m, 15m, 1h]\n  hard_limit: 50\n  known_browser_share: 10", "free_failures: 2\n  hard_limit: 3\n  known_browser_share: 0"},
	} {
		t.Run(rule, func(t *testing.T) {
			deviation := "\n  - {id: own, rule: " + rule + ", reason: {ja: 決定}, decision: 第1号, decided: \"2026-04-01\"}\n\nbanner:"
			if _, problems := Parse("policy.yaml", []byte(changed(t, change[0], change[1]))); problems == nil {
				t.Error("allowed without the deviation")
			}
			if _, problems := Parse("policy.yaml", []byte(changed(t, change[0], change[1], "\nbanner:", deviation))); problems != nil {
				t.Error("refused with the deviation:", problems)
			}
			bare := strings.Replace(deviation, "第1号", `""`, 1)
			_, problems := Parse("policy.yaml", []byte(changed(t, change[0], change[1], "\nbanner:", bare)))
			if len(problems) < 2 {
				t.Error("a deviation without a decision allows:", problems)
			}
		})
	}
	// No deviation makes one factor enough for an application there.
	text := changed(t, "sections: [fukushi]", "acr: aal1", "\nbanner:", "\n  - {id: own, rule: mynumber_dedicated_terminals, reason: {ja: 決定}, decision: 第1号, decided: \"2026-04-01\"}\n\nbanner:")
	if _, problems := Parse("policy.yaml", []byte(text)); len(problems) != 1 {
		t.Error("an application of the mynumber zone takes one factor:", problems)
	}
}

func TestPasswordExpiryHasAFloor(t *testing.T) {
	deviation := "\n  - {id: own, rule: password_expiry, reason: {ja: 決定}, decision: 第1号, decided: \"2026-04-01\"}\n\nbanner:"
	_, problems := Parse("policy.yaml", []byte(changed(t, "max_age: 0s", "max_age: 23h", "\nbanner:", deviation)))
	want := map[string]string{"password.max_age": "720h", "password.temporary_end": "23h"}
	for _, p := range problems {
		if want[p.Field] == p.Nearest {
			delete(want, p.Field)
		}
	}
	if len(want) > 0 {
		t.Errorf("%v are missing from:\n%v", want, problems)
	}
}

func TestNoticeComesBeforeTheLimit(t *testing.T) {
	_, problems := Parse("policy.yaml", []byte(changed(t, "notice_after: 1\n", "notice_after: 21\n", "hard_limit: 50", "hard_limit: 20")))
	if len(problems) != 1 || problems[0].Field != "sign_in.notice_after" || problems[0].Nearest != "20" || problems[0].Article != "63-7" {
		t.Error(problems)
	}
	if _, problems := Parse("policy.yaml", []byte(changed(t, "notice_after: 1\n", "notice_after: 20\n", "hard_limit: 50", "hard_limit: 20"))); problems != nil {
		t.Error(problems)
	}
}

func TestReferencesToUnservedZones(t *testing.T) {
	text := least + `networks: [{cidr: 10.0.0.0/8, zone: internet}]
terminals: [{id: t1, class: lent, zone: mynumber}]
applications: [{id: a, name: {ja: あ}, host: a.example, zone: internet, class: 2}]
cards: [{id: c, name: {ja: あ}, zones: [internet]}]
`
	_, problems := Parse("policy.yaml", []byte(text))
	var fields []string
	for _, p := range problems {
		if strings.HasPrefix(p.Field, "cards[0].") && !strings.Contains(p.Field, "zones") {
			continue // it lacks more than its zone
		}
		fields = append(fields, p.Field)
		if p.Nearest != "lgwan" {
			t.Errorf("%s: nearest %q", p.Field, p.Nearest)
		}
	}
	if want := []string{"networks[0].zone", "terminals[0].zone", "applications[0].zone", "cards[0].zones[0]"}; !slices.Equal(fields, want) {
		t.Errorf("refused %v, want %v", fields, want)
	}
}

// TestAllProblemsAreSaidAtOnce breaks one file in many places.
func TestAllProblemsAreSaidAtOnce(t *testing.T) {
	text := changed(t,
		"idle_end: 15m\n    absolute", "idle_end: 5s\n    absolute",
		"flow_end: 10m", "flow_edn: 10m",
		"hard_limit: 50", "hard_limit: 500",
		"sections: [fukushi]", "acr: aal1",
		"parent: fukushi", "parent: nowhere",
		"skew: 1", "skew: one")
	_, problems := Parse("policy.yaml", []byte(text))
	var fields []string
	for i, p := range problems {
		fields = append(fields, p.Field)
		if i > 0 && p.Line < problems[i-1].Line {
			t.Error("not in the order of the lines")
		}
	}
	for _, want := range []string{"zones[0].idle_end", "sign_in.flow_edn", "lockout.hard_limit", "applications[0].acr", "sections[4].parent", "totp.skew"} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is not among %v", want, fields)
		}
	}
}

func TestProblemText(t *testing.T) {
	_, problems := Parse("policy.yaml", []byte(changed(t, "hard_limit: 50", "hard_limit: 500")))
	line := lineOf(t, changed(t, "hard_limit: 50", "hard_limit: 500"), "hard_limit: 500")
	en := fmt.Sprintf("policy.yaml:%d:15: lockout.hard_limit: The value must lie between 1 and 100. Consecutive failures after which the factor is dead until it is bound again. Nearest valid choice: 100. (Article 63(7))", line)
	ja := fmt.Sprintf("policy.yaml:%d:15: lockout.hard_limit: 1 から 100 までの値を書いてください。続けて失敗するとその認証手段が再登録まで使えなくなる回数。（最も近い値: 100）（第63条第7項）", line)
	if got := problems.Error(); got != en {
		t.Errorf("\n%s\n%s", got, en)
	}
	if got := problems.Text("ja"); got != ja {
		t.Errorf("\n%s\n%s", got, ja)
	}
	if err := (Problems)(nil).Err(); err != nil {
		t.Error("no problem is an error")
	}
}

func TestTerminalKeys(t *testing.T) {
	key := func(curve elliptic.Curve) (public, private string) {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pub, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
		priv, _ := x509.MarshalPKCS8PrivateKey(k)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv}))
	}
	file := func(keys ...string) string {
		text := least + "terminals:\n"
		for i, k := range keys {
			text += fmt.Sprintf("  - id: t%d\n    zone: lgwan\n    class: lent\n    public_key: |\n      %s\n", i, strings.ReplaceAll(strings.TrimSpace(k), "\n", "\n      "))
		}
		return text
	}
	good, private := key(elliptic.P256())
	large, _ := key(elliptic.P384())
	if _, problems := Parse("p", []byte(file(good))); problems != nil {
		t.Error(problems)
	}
	for name, text := range map[string]string{"P-384": file(large), "two in one": file(good + good), "one key twice": file(good, good), "not DER": file("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")} {
		if _, problems := Parse("p", []byte(text)); len(problems) != 1 || problems[0].Article != "60" {
			t.Errorf("%s: %v", name, problems)
		}
	}
	_, problems := Parse("p", []byte(file(private)))
	if len(problems) != 1 || problems[0].Article != "64-1" {
		t.Fatalf("a private key: %v", problems)
	}
	if said := problems.Text("ja") + problems.Text("en"); strings.Contains(said, private[30:60]) {
		t.Error("the private key is repeated")
	}
}
