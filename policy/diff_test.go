package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) *Policy {
	t.Helper()
	p, problems := Parse("policy.yaml", []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	return p
}

func TestDiff(t *testing.T) {
	base := mustParse(t, string(example(t)))
	for _, tt := range []struct {
		name  string
		pairs []string
		want  []Change
	}{
		{"nothing", nil, nil},
		{"a comment", []string{"# 登録した端末機", "# 端末機"}, nil},
		{"a number", []string{"hard_limit: 50", "hard_limit: 60"}, []Change{{"lockout.hard_limit", "50", "60"}}},
		{"a default written out", []string{"  - id: internet\n", "  - id: internet\n    idle_end: 30m\n"}, nil},
		{"in a list, by id", []string{"idle_end: 15m\n    abs", "idle_end: 10m\n    abs"}, []Change{{"zones[mynumber].idle_end", "15m", "10m"}}},
		{"words", []string{"ja: 文書管理, en: Documents", "ja: 文書, en: Papers"}, []Change{
			{"applications[bunsho].name.en", "Documents", "Papers"}, {"applications[bunsho].name.ja", "文書管理", "文書"}}},
		{"an order that means nothing", []string{
			"  - {cidr: 10.1.0.0/16, zone: mynumber}\n", "", "zone: internet, outside: true}\n", "zone: internet, outside: true}\n  - {cidr: 10.1.0.0/16, zone: mynumber}\n"}, nil},
		{"an item taken out", []string{"  - {cidr: 10.3.0.0/16, zone: internet}\n", ""}, []Change{
			{"networks[10.3.0.0/16].cidr", "10.3.0.0/16", ""}, {"networks[10.3.0.0/16].outside", "false", ""}, {"networks[10.3.0.0/16].zone", "internet", ""}}},
		{"an item put in", []string{"  - {cidr: 10.3.0.0/16, zone: internet}\n", "  - {cidr: 10.3.0.0/16, zone: internet}\n  - {cidr: 10.4.0.0/16, zone: lgwan}\n"}, []Change{
			{"networks[10.4.0.0/16].cidr", "", "10.4.0.0/16"}, {"networks[10.4.0.0/16].outside", "", "false"}, {"networks[10.4.0.0/16].zone", "", "lgwan"}}},
		{"the assurance of a class", []string{"acr: {lgwan: aal2}", "acr: {lgwan: phr}"}, nil},
		{"delays", []string{"15m, 1h]", "15m]"}, []Change{{"lockout.delays", "[30s, 1m, 2m, 5m, 15m, 1h]", "[30s, 1m, 2m, 5m, 15m]"}}},
		{"a demand of other keys", []string{"      attestation: true\n", "      aaguids: [5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b11]\n"}, []Change{
			{"passkey.demands[cio].aaguids", "", "[5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b11]"}, {"passkey.demands[cio].attestation", "true", "false"}}},
		{"the posts of a demand in another order", []string{"[system_administrator, system_operator]", "[system_operator, system_administrator]"}, []Change{
			{"passkey.demands[system_administrator,system_operator].posts", "[system_administrator, system_operator]", "[system_operator, system_administrator]"}}},
		{"a demand of everybody", []string{"    - posts: [cio]\n      attestation: true\n", "    - attestation: true\n"}, []Change{
			{"passkey.demands[*].attestation", "", "true"}, {"passkey.demands[cio].attestation", "true", ""}, {"passkey.demands[cio].posts", "[cio]", ""}}},
		{"a default of cards written out", []string{"    match: login\n", ""}, nil},
		{"whom cards name", []string{"match: login", "match: mail"}, []Change{{"cards[shokuin].match", "login", "mail"}}},
		{"a text gone", []string{"  url: https://juki.internal:8443\n", "  url: https://other.internal\n"}, []Change{{"applications[juki].url", "https://juki.internal:8443", "https://other.internal"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "the assurance of a class" {
				next := *base
				next.Classes = slices.Clone(base.Classes)
				next.Classes[3].ACR = map[ZoneID]ACR{MyNumber: AAL2, LGWAN: PHR}
				want := []Change{{"classes[4].acr.internet", "aal1", ""}, {"classes[4].acr.lgwan", "aal1", "phr"}}
				if got := Diff(base, &next); !slices.Equal(got, want) {
					t.Errorf("%v", got)
				}
				return
			}
			next := mustParse(t, changed(t, tt.pairs...))
			if got := Diff(base, next); !slices.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
			back := Diff(next, base)
			for i := range back {
				back[i].Old, back[i].New = back[i].New, back[i].Old
			}
			if !slices.Equal(back, tt.want) {
				t.Errorf("the way back is another: %v", back)
			}
		})
	}
}

// TestDiffSeesEveryField changes each field of a policy in turn: one that the
// difference does not show could be changed without anybody reading it.
func TestDiffSeesEveryField(t *testing.T) {
	flat := flatten(mustParse(t, string(example(t))))
	for _, s := range Settings() {
		key := strings.NewReplacer("zones[]", "zones[lgwan]", "demands[]", "demands[cio]", "cards[]", "cards[shokuin]", "applications[]", "applications[kyuyo]", "paths[]", "paths[/payment]", "clients[]", "clients[renkei]", "privileges[]", "privileges[juki-batch]", "shared_ids[]", "shared_ids[yoyaku]", "permits[]", "permits[software]", "steps[]", "steps[security_manager,system_administrator]", "fields[]", "fields[software]", "schedule[]", "schedule[dormant-monthly]", "campaigns[]", "campaigns[ids-hankinen]", "[]", "").Replace(s.Path)
		if _, ok := flat[key]; !ok {
			t.Errorf("setting %s is not in a difference", s.Path)
		}
	}
	for _, path := range []string{
		"profile", "prefecture.name.ja", "prefecture.words", "prefecture.guideline_url", "zones[lgwan].sign_in_acr", "zone_matrix.model", "zone_matrix.crossings[internet>lgwan].methods",
		"posts[cio].group", "posts[cio].approves", "sections[jinji].parent", "networks[10.1.0.0/16].zone", "terminals[madoguchi-1].public_key", "applications[kyuyo].posts", "applications[kyuyo].groups", "applications[kyuyo].sections",
		"applications[kyuyo].acr", "applications[juki].class", "deviations[one-process].decision", "banner.ja", "acknowledgement.version", "password.block_words", "mail.from",
		"passkey.roots", "passkey.demands[cio].posts", "passkey.demands[system_administrator,system_operator].aaguids", "cards[shokuin].name.ja", "cards[shokuin].ca", "cards[shokuin].policy_oids",
		"cards[shokuin].subject", "cards[shokuin].zones",
		"clients[kyuyo-web].application", "clients[kyuyo-web].secret_hashes", "clients[kyuyo-web].redirect_uris", "clients[kyuyo-web].post_logout_redirect_uris",
		"clients[kyuyo-web].backchannel_logout_uri", "clients[kyuyo-web].scopes", "clients[kyuyo-web].audiences", "clients[renkei].zone", "clients[renkei].class",
		"privileges[juki-batch].name.ja", "privileges[juki-batch].gives[group cn=juki-batch,ou=groups,dc=pref,dc=example].group",
		"privileges[juki-batch].gives[application juki].roles", "privileges[juki-batch].eligible.posts", "privileges[juki-batch].eligible.sections",
		"privileges[juki-batch].approvers.posts", "privileges[juki-batch].approvers.all", "privileges[juki-batch].hours[mon tue wed thu fri 08:30].until",
		"privileges[juki-batch].ticket", "privileges[juki-batch].two_person", "privileges[server-admin].eligible.groups", "privileges[server-admin].eligible.persons",
		"privileges[server-admin].gives[ephemeral tmp-].under", "privileges[server-admin].gives[ephemeral tmp-].groups",
		"privileges[switch-admin].gives[account uid=adm-switch,ou=admins,dc=pref,dc=example].account",
		"shared_ids[yoyaku].name.ja", "shared_ids[yoyaku].account", "shared_ids[yoyaku].eligible.posts", "shared_ids[yoyaku].zone",
		"permits[zone_crossing].askers", "permits[remote_access].articles", "permits[remote_access].name.ja", "permits[exchange].steps[security_officer].posts",
		"clients[renkei].posts", "clients[renkei].acr", "clients[renkei].jwks", "clients[renkei].service.owner", "clients[renkei].service.scopes",
	} {
		if _, ok := flat[path]; !ok {
			t.Errorf("%s is not in a difference", path)
		}
	}
}

func TestDiffWithNothing(t *testing.T) {
	if got := Diff(nil, nil); got != nil {
		t.Error(got)
	}
	all := Diff(nil, Standard())
	if len(all) < 50 || all[0].Old != "" || !slices.IsSortedFunc(all, func(a, b Change) int { return strings.Compare(a.Path, b.Path) }) {
		t.Errorf("%v", all)
	}
	p := Standard()
	p.Session.HandoverEnd = 30 * time.Second
	if got := Diff(Standard(), p); len(got) != 1 || got[0] != (Change{"session.handover_end", "1m", "30s"}) {
		t.Error(got)
	}
}
