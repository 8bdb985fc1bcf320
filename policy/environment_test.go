package policy

import (
	"slices"
	"testing"
)

func TestEnvironmentOpens(t *testing.T) {
	for _, tt := range []struct {
		of, to Environment
		want   bool
	}{
		{"", "", true},
		{"", Production, true},
		{Production, "", true},
		{Production, Development, false},
		{"", Development, false},
		{Development, Development, true},
		{Development, Production, false},
		{Development, "", false},
		{EitherEnvironment, Production, true},
		{EitherEnvironment, Development, true},
		{EitherEnvironment, "staging", false},
		{"staging", "staging", false}, // what is not known opens to nobody
		{Production, EitherEnvironment, false},
		{Development, EitherEnvironment, false},
	} {
		if got := tt.of.Opens(tt.to); got != tt.want {
			t.Errorf("%q opens to an ID of %q: %v, want %v", tt.of, tt.to, got, tt.want)
		}
	}
}

func TestEnvironmentCovers(t *testing.T) {
	for _, tt := range []struct {
		of, other Environment
		want      bool
	}{
		{"", Production, true},
		{Production, "", true},
		{Production, Development, false},
		{Production, EitherEnvironment, false}, // those of development stay outside
		{Development, Development, true},
		{Development, Production, false},
		{Development, EitherEnvironment, false},
		{EitherEnvironment, Production, true},
		{EitherEnvironment, Development, true},
		{EitherEnvironment, EitherEnvironment, true},
	} {
		if got := tt.of.Covers(tt.other); got != tt.want {
			t.Errorf("%q covers %q: %v, want %v", tt.of, tt.other, got, tt.want)
		}
	}
}

// TestEnvironmentRefusals: what is asked for, lent and told fits what it is asked for at
// (articles 68-1, 68-2). near is the nearest choice; no field: its neighbour, which is
// allowed.
func TestEnvironmentRefusals(t *testing.T) {
	t.Parallel()
	const (
		lends  = "  - id: switch-admin\n"
		shares = "  - id: hoso\n"
		beside = "    environment: development\n"
		either = "    environment: either\n"
		gives  = `- {kind: account, account: "uid=adm-switch,ou=admins,dc=pref,dc=example"}`
	)
	for _, tt := range []struct {
		name    string
		pairs   []string
		field   string
		article Article
		near    string
	}{
		{"an application of none there is", []string{beside, "    environment: developement\n"}, "applications[3].environment", "", "development"},
		{"of IDs' words", []string{beside, "    environment: 開発\n"}, "applications[3].environment", "", ""},
		{"a privilege of none there is", []string{lends, lends + "    environment: eihter\n"}, "privileges[2].environment", "", "either"},
		{"a shared ID of none there is", []string{shares, shares + "    environment: produktion\n"}, "shared_ids[1].environment", "", "production"},
		{"a client of none there is", []string{"  - client_id: renkei\n", "  - client_id: renkei\n    environment: test\n"}, "clients[1].environment", "", ""},
		{"a client that says other than its application", []string{"    application: kyuyo\n", "    application: kyuyo\n" + beside}, "clients[0].environment", "62-1", ""},
		{"a path, which has its application's", []string{"{path: /payment, fresh_for", "{path: /payment, environment: development, fresh_for"}, "applications[2].paths[0].environment", "", ""},
		{"a shared ID of development", []string{shares, shares + beside}, "", "", ""},

		{"production asked for at development", []string{beside, beside + "    requires_privilege: switch-admin\n"}, "applications[3].requires_privilege", "68-2", ""},
		{"development asked for at production", []string{lends, lends + beside, "    host: bunsho.pref.example\n", "    host: bunsho.pref.example\n    requires_privilege: switch-admin\n"}, "applications[1].requires_privilege", "68-2", ""},
		{"the same below a path", []string{lends, lends + beside, "fresh_for: 15m}\n  #", "requires_privilege: switch-admin}\n  #"}, "applications[2].paths[0].requires_privilege", "68-2", ""},
		{"production asked for at either", []string{beside, either + "    requires_privilege: switch-admin\n"}, "applications[3].requires_privilege", "68-2", ""},
		{"either asked for at development", []string{beside, beside + "    requires_privilege: switch-admin\n", lends, lends + either}, "", "", ""},
		{"development asked for at development", []string{beside, beside + "    requires_privilege: switch-admin\n", lends, lends + beside}, "", "", ""},

		{"production tells development", []string{"application: juki, roles", "application: jiki-bunsho, roles"}, "privileges[0].gives[1].application", "68-2", ""},
		{"development tells production", []string{"  - id: juki-batch\n", "  - id: juki-batch\n" + beside}, "privileges[0].gives[1].application", "68-2", ""},
		{"either tells production", []string{"  - id: juki-batch\n", "  - id: juki-batch\n" + either}, "privileges[0].gives[1].application", "68-2", ""},
		{"development tells a client of production", []string{"  - id: juki-batch\n", "  - id: juki-batch\n" + beside, "application: juki, roles", "application: kyuyo-web, roles"}, "privileges[0].gives[1].application", "68-2", ""},
		{"development tells development", []string{"  - id: juki-batch\n", "  - id: juki-batch\n" + beside, "application: juki, roles", "application: jiki-bunsho, roles"}, "", "", ""},
		{"production tells either", []string{beside, either, "application: juki, roles", "application: jiki-bunsho, roles"}, "", "", ""},

		{"one group for both", []string{lends, lends + beside, gives, `- {kind: group, group: "CN=juki-batch, ou=groups,dc=pref,dc=example"}`}, "privileges[2].gives[0]", "68-2", ""},
		{"one group for both, by an ID that is made", []string{lends, lends + beside, gives, `- {kind: group, group: "cn=server-admins,ou=groups,dc=pref,dc=example"}`}, "privileges[2].gives[0]", "68-2", ""},
		{"one group twice in one environment", []string{gives, `- {kind: group, group: "cn=juki-batch,ou=groups,dc=pref,dc=example"}`}, "", "", ""},
		{"groups of their own", []string{lends, lends + beside}, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, problems := Parse("policy.yaml", []byte(changed(t, tt.pairs...)))
			if tt.field == "" {
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
			if got := problems[i]; got.Article != tt.article || got.Nearest != tt.near || got.Rule.JA == "" || got.Rule.EN == "" {
				t.Errorf("got %+v\nwant article %q, nearest %q", got, tt.article, tt.near)
			}
		})
	}
}

// TestEnvironmentInADifference: whoever approves a version reads what opens to whom from
// now on, also where a line was only taken out, and of a client that of its application.
func TestEnvironmentInADifference(t *testing.T) {
	base := mustParse(t, string(example(t)))
	for _, tt := range []struct {
		name string
		to   string
		want []Change
	}{
		{"taken out", "", []Change{{"applications[jiki-bunsho].environment", "development", "production"}}},
		{"opened to both", "    environment: either\n", []Change{{"applications[jiki-bunsho].environment", "development", "either"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Diff(base, mustParse(t, changed(t, "    environment: development\n", tt.to))); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	next := mustParse(t, changed(t, "  - id: kyuyo\n", "  - id: kyuyo\n    environment: development\n"))
	want := []Change{{"applications[kyuyo].environment", "production", "development"}, {"clients[kyuyo-web].environment", "production", "development"}}
	if got := Diff(base, next); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if c, _ := next.Client("kyuyo-web"); c.Environment != Development {
		t.Errorf("a client is of %q, its application of development", c.Environment)
	}
	for _, s := range []Environment{base.Privileges[0].Environment, base.SharedIDs[0].Environment, base.Applications[0].Environment, base.Clients[1].Environment} {
		if s != Production {
			t.Errorf("what says nothing is of %q", s)
		}
	}
}
