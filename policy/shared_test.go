package policy

import (
	"slices"
	"testing"
	"time"
)

// TestSharedIDRefusals holds every rule of shared IDs: the field that is named, the
// article, the nearest choice.
func TestSharedIDRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		old, new string // in the example
		field    string
		article  Article
		near     string
	}{
		{"id twice", "- id: hoso", "- id: yoyaku", "shared_ids[1].id", "46-1", ""},
		{"id that is none", "- id: hoso", "- id: Hoso", "shared_ids[1].id", "", "hoso"},
		{"without a Japanese name", "name: {ja: 庁内放送, en", "name: {en", "shared_ids[1].name.ja", "", ""},
		{"no account", `account: "uid=hoso,ou=admins,dc=pref,dc=example"`, `account: ""`, "shared_ids[1].account", "62-6", ""},
		{"an account that is no DN", `account: "uid=hoso,ou=admins,dc=pref,dc=example"`, "account: hoso", "shared_ids[1].account", "62-6", ""},
		{"the same ID twice", `"uid=hoso,ou=admins,dc=pref,dc=example"`, `"UID=yoyaku, ou=admins,dc=pref,dc=example"`, "shared_ids[1].account", "46-1", ""},
		{"an ID that is lent as a privilege", `"uid=hoso,ou=admins,dc=pref,dc=example"`, `"uid=adm-switch, OU=admins,dc=pref,dc=example"`, "shared_ids[1].account", "46-1", ""},
		{"for nobody", "eligible: {posts: [contractor]}", "eligible: {}", "shared_ids[1].eligible", "62-6", ""},
		{"for those who audit", "eligible: {posts: [contractor]}", "eligible: {posts: [auditor]}", "shared_ids[1].eligible.posts[0]", "16-2", ""},
		{"for a post there is not", "eligible: {posts: [contractor]}", "eligible: {posts: [contractors]}", "shared_ids[1].eligible.posts[0]", "", "contractor"},
		{"in no zone", "    eligible: {posts: [contractor]}\n    zone: lgwan\n", "    eligible: {posts: [contractor]}\n", "shared_ids[1].zone", "46-1", ""},
		{"in a zone there is not", "eligible: {posts: [contractor]}\n    zone: lgwan", "eligible: {posts: [contractor]}\n    zone: lgwn", "shared_ids[1].zone", "", "lgwan"},
		{"for nobody at once", "holders: 3", "holders: 0", "shared_ids[0].holders", "46-1", "1"},
		{"usual beyond the longest", "longest: 4h", "longest: 30m", "shared_ids[0].usual", "65", "30m"},
		{"longer than a shift", "longest: 4h", "longest: 13h", "shared_ids[0].longest", "46-1", "12h"},
		{"one factor", "longest: 4h\n    acr: aal2", "longest: 4h\n    acr: aal1", "shared_ids[0].acr", "", "aal2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, problems := Parse("policy.yaml", []byte(changed(t, tt.old, tt.new)))
			if p != nil {
				t.Error("a policy came out all the same")
			}
			i := slices.IndexFunc(problems, func(p Problem) bool { return p.Field == tt.field })
			if i < 0 {
				t.Fatalf("no problem at %s, but:\n%v", tt.field, problems)
			}
			if got := problems[i]; got.Article != tt.article || got.Nearest != tt.near || got.Rule.JA == "" || got.Rule.EN == "" {
				t.Errorf("got %+v\nwant article %q, nearest %q", got, tt.article, tt.near)
			}
		})
	}
}

func TestPowerIn(t *testing.T) {
	t.Parallel()
	p := &Policy{
		Posts: []Post{{ID: CIO, Group: "cn=cio,ou=groups,dc=x"}, {ID: Staff}},
		Privileges: []Privilege{
			{Gives: []Gift{{Kind: GiftAccount, Account: "uid=a,dc=x"}, {Kind: GiftGroup, Group: "cn=dba,dc=x"}}},
			{Gives: []Gift{{Kind: GiftEphemeral, Groups: []string{"cn=root,dc=x"}}}},
		},
	}
	for _, tt := range []struct {
		groups []string
		want   string
	}{
		{nil, ""}, {[]string{"", "cn=users,dc=x", "uid=a,dc=x"}, ""},
		{[]string{"cn=users,dc=x", "CN=CIO, ou=groups,dc=x"}, "CN=CIO, ou=groups,dc=x"},
		{[]string{"cn=dba,DC=x"}, "cn=dba,DC=x"}, {[]string{"cn=root,dc=x"}, "cn=root,dc=x"},
	} {
		if got := p.PowerIn(tt.groups); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.groups, got, tt.want)
		}
	}
}

func TestSharedIDsBeginAtTheirDefaults(t *testing.T) {
	t.Parallel()
	p := mustParse(t, string(example(t)))
	s, ok := p.SharedID("hoso")
	if !ok || s.Holders != 1 || s.Usual != 30*time.Minute || s.Longest != 2*time.Hour || s.ACR != AAL2 || s.FreshFor != 15*time.Minute || s.OutlivesSession {
		t.Errorf("%+v", s)
	}
	if _, ok := p.SharedID(""); ok {
		t.Error("a shared ID without a name was found")
	}
	if !p.MayShare(s, "yamada", []PostID{Contractor}, nil, "jinji") || p.MayShare(s, "yamada", []PostID{Staff}, nil, "jinji") || p.MayShare(s, "inoue", []PostID{Contractor, Auditor}, nil, "jinji") {
		t.Error("it is for others than contractors who do not audit")
	}
}
