package policy

import (
	"slices"
	"testing"
	"time"
)

// TestPrivilegeRefusals holds every rule of what is lent: the field that is
// named, the article, the nearest choice.
func TestPrivilegeRefusals(t *testing.T) {
	t.Parallel()
	const batchGroup = `{kind: group, group: "cn=juki-batch,ou=groups,dc=pref,dc=example"}`
	for _, tt := range []struct {
		name     string
		old, new string // in the example
		field    string
		article  Article
		near     string
	}{
		{"id twice", "- id: server-admin", "- id: juki-batch", "privileges[1].id", "62-6", ""},
		{"id that is none", "- id: server-admin", "- id: Server Admin", "privileges[1].id", "", "server-admin"},
		{"without a Japanese name", "name: {ja: サーバー管理, en", "name: {en", "privileges[1].name.ja", "", ""},
		{"gives nothing", "      - {kind: account, account: \"uid=adm-switch,ou=admins,dc=pref,dc=example\"}\n", "      []\n", "privileges[2].gives", "62-6", ""},
		{"gives what there is not", "{kind: account, account:", "{kind: acount, account:", "privileges[2].gives[0].kind", "", "account"},
		{"a gift without a kind", "{kind: account, account:", "{account:", "privileges[2].gives[0].kind", "62-6", ""},
		{"gives one thing twice", "    gives:\n      - " + batchGroup, "    gives:\n      - " + batchGroup + "\n      - " + batchGroup, "privileges[0].gives[1]", "62-6", ""},
		{"a key of another kind", "{kind: account, account:", "{kind: account, roles: [x], account:", "privileges[2].gives[0].roles", "62-6", ""},
		{"a group that carries a post", "cn=juki-batch,ou=groups", "CN=cio, ou=groups", "privileges[0].gives[0].group", "16-1", ""},
		{"an ephemeral ID in such a group", `groups: ["cn=server-admins,`, `groups: ["cn=auditors,`, "privileges[1].gives[0].groups[0]", "16-1", ""},
		{"a group that leads to the next lease", "cn=juki-batch,ou=groups", "cn=server-team,ou=groups", "privileges[0].gives[0].group", "16-1", ""},
		{"a group that is no DN", `group: "cn=juki-batch,ou=groups,dc=pref,dc=example"`, "group: batch", "privileges[0].gives[0].group", "62-6", ""},
		{"no group", `group: "cn=juki-batch,ou=groups,dc=pref,dc=example"`, `group: ""`, "privileges[0].gives[0].group", "62-6", ""},
		{"an account that is no DN", `account: "uid=adm-switch,ou=admins,dc=pref,dc=example"`, "account: adm-switch", "privileges[2].gives[0].account", "62-6", ""},
		{"nowhere to make it", `under: "ou=admins,dc=pref,dc=example", `, "", "privileges[1].gives[0].under", "62-6", ""},
		{"a login that begins with a digit", "prefix: tmp-", "prefix: 1tmp", "privileges[1].gives[0].prefix", "62-3", ""},
		{"two passwords at once", `groups: ["cn=server-admins,ou=groups,dc=pref,dc=example"]}`, `groups: []}
      - {kind: account, account: "uid=x,dc=pref"}`, "privileges[1].gives", "62-6", ""},
		{"an application nobody knows", "application: juki, roles", "application: jukl, roles", "privileges[0].gives[1].application", "62-6", "juki"},
		{"a role with a space", "roles: [batch]", "roles: [batch work]", "privileges[0].gives[1].roles[0]", "62-6", ""},
		{"a role twice", "roles: [batch]", "roles: [batch, batch]", "privileges[0].gives[1].roles[1]", "62-6", ""},
		{"lent to nobody", "eligible: {posts: [system_administrator]}", "eligible: {}", "privileges[2].eligible", "62-6", ""},
		{"lent to those who audit", "eligible: {posts: [system_administrator]}", "eligible: {posts: [auditor]}", "privileges[2].eligible.posts[0]", "16-2", ""},
		{"lent to a post there is not", "eligible: {posts: [system_administrator]}", "eligible: {posts: [administrator]}", "privileges[2].eligible.posts[0]", "", "contractor"},
		{"lent to a section there is not", "sections: [johosys]", "sections: [johosy]", "privileges[0].eligible.sections[0]", "62-6", "johosys"},
		{"lent to a group that is no DN", `{groups: ["cn=server-team,ou=groups,dc=pref,dc=example"], persons`, "{groups: [team], persons", "privileges[1].eligible.groups[0]", "62-6", ""},
		{"lent to a nameless person", "persons: [sato]", `persons: [" "]`, "privileges[1].eligible.persons[0]", "62-6", ""},
		{"approved by nobody", "approvers: {posts: [security_manager]}", "approvers: {posts: []}", "privileges[2].approvers.posts", "16-1", "security_manager"},
		{"approved by those who ask", "approvers: {posts: [security_manager]}", "approvers: {posts: [system_administrator]}", "privileges[2].approvers.posts[0]", "16-1", "security_manager"},
		{"approved by a post twice", "approvers: {posts: [security_manager]}", "approvers: {posts: [cio, cio]}", "privileges[2].approvers.posts[1]", "16-1", ""},
		{"all posts by too few persons", "quorum: 2, all: true", "quorum: 1, all: true", "privileges[0].approvers.quorum", "16-1", "2"},
		{"a quorum of none", "quorum: 2, all: true", "quorum: 0", "privileges[0].approvers.quorum", "16-1", "1"},
		{"approvers somewhere", "where: upward", "where: downward", "privileges[0].approvers.where", "", "upward"},
		{"usual beyond the longest", "usual: 20m", "usual: 3h", "privileges[0].usual", "65", "2h"},
		{"longer than a working day", "longest: 2h", "longest: 9h", "privileges[0].longest", "65", "8h"},
		{"an emergency longer than the rest", "    approvers: {posts: [security_manager], where: anywhere}\n    emergency: true", "    approvers: {posts: [security_manager]}\n    longest: 30m\n    emergency: true\n    emergency_longest: 1h", "privileges[1].emergency_longest", "80-2", "30m"},
		{"two persons in an emergency", "emergency: false", "emergency: true", "privileges[0].emergency", "49-3", "false"},
		{"a witness who never comes back", "longest: 2h", "longest: 15m\n    xx: 1", "privileges[0].witness_every", "49-3", "7m30s"},
		{"one factor", "    acr: phr\n    fresh_for: 5m", "    acr: aal1\n    fresh_for: 5m", "privileges[0].acr", "", "aal2"},
		{"hours that are none", `from: "08:30"`, `from: "8:30"`, "privileges[0].hours[0].from", "65", ""},
		{"hours beyond the day", `until: "20:00"`, `until: "24:30"`, "privileges[0].hours[0].until", "65", ""},
		{"hours that end before they begin", `until: "20:00"`, `until: "06:00"`, "privileges[0].hours[0].until", "65", "24:00"},
		{"a day there is not", "days: [mon,", "days: [moon,", "privileges[0].hours[0].days[0]", "", "mon"},
		{"a day twice", "days: [mon, tue,", "days: [mon, mon,", "privileges[0].hours[0].days[1]", "65", ""},
		{"a pattern that is none", `"CHG-[0-9]{4,6}"`, `"CHG-["`, "privileges[0].ticket", "62-6", ""},
		{"a pattern that no ticket fits too", `"CHG-[0-9]{4,6}"`, `".*"`, "privileges[0].ticket", "62-6", ""},
		{"a record of half an hour", "record_end: 48h", "record_end: 30m", "privileges[0].record_end", "49-1", "1h"},
		{"a rule for what stands that is none", "standing: report", "standing: ignore", "privileges[0].standing", "", "remove"},
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

func TestPrivilegesBeginAtTheirDefaults(t *testing.T) {
	t.Parallel()
	p := mustParse(t, string(example(t)))
	v, ok := p.Privilege("switch-admin")
	if !ok || v.Usual != 30*time.Minute || v.Longest != time.Hour || v.ACR != PHR || !v.WorkRecord || v.Emergency || v.TwoPerson ||
		v.Approvers.Quorum != 1 || v.Approvers.Where != ApproversUpward || v.Standing != StandingRemove {
		t.Errorf("%+v", v)
	}
	if _, ok := p.Privilege(""); ok {
		t.Error("a privilege without a name was found")
	}
}

func TestMayBorrow(t *testing.T) {
	t.Parallel()
	p := mustParse(t, string(example(t)))
	batch, _ := p.Privilege("juki-batch")
	server, _ := p.Privilege("server-admin")
	team := []string{"CN=server-team, OU=groups,dc=pref,dc=example"}
	for _, tt := range []struct {
		name    string
		v       Privilege
		login   string
		posts   []PostID
		groups  []string
		section string
		want    bool
	}{
		{"post and section", batch, "sato", []PostID{Staff, SystemOperator}, nil, "johosys", true},
		{"post, another section", batch, "sato", []PostID{SystemOperator}, nil, "jinji", false},
		{"section without the post", batch, "sato", []PostID{Staff}, nil, "johosys", false},
		{"whoever audits beside it", batch, "sato", []PostID{SystemOperator, Auditor}, nil, "johosys", false},
		{"group", server, "ito", []PostID{Staff}, team, "", true},
		{"named", server, "Sato", []PostID{Staff}, nil, "", true},
		{"named, and audits", server, "sato", []PostID{Auditor}, nil, "", false},
		{"neither", server, "ito", []PostID{SystemAdministrator}, nil, "johosys", false},
		{"no name at all", server, "", nil, nil, "", false},
		{"the zero value", Privilege{}, "sato", []PostID{SystemAdministrator}, team, "johosys", false},
	} {
		if got := p.MayBorrow(tt.v, tt.login, tt.posts, tt.groups, tt.section); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestOpenUntil(t *testing.T) {
	t.Parallel()
	jst := func(day, hour, minute int) time.Time { // June 2026; the first is a Monday
		return time.Date(2026, 6, day, hour, minute, 0, 0, time.FixedZone("JST", 9*60*60)).UTC()
	}
	work := []Hours{{Days: []string{"mon", "fri"}, From: "08:30", Until: "17:15"}}
	night := []Hours{{Days: []string{"sat"}, From: "22:00", Until: "24:00"}, {Days: []string{"sun"}, From: "00:00", Until: "05:00"}}
	for _, tt := range []struct {
		name  string
		hours []Hours
		at    time.Time
		until time.Time
		open  bool
	}{
		{"no hours: always", nil, jst(1, 3, 0), time.Time{}, true},
		{"within", work, jst(1, 9, 0), jst(1, 17, 15), true},
		{"at their beginning", work, jst(1, 8, 30), jst(1, 17, 15), true},
		{"a moment before", work, jst(1, 8, 30).Add(-time.Microsecond), time.Time{}, false},
		{"at their end", work, jst(1, 17, 15), time.Time{}, false},
		{"another day", work, jst(2, 9, 0), time.Time{}, false},
		{"the day is Japan's", work, jst(5, 8, 45), jst(5, 17, 15), true},
		{"a night is one", night, jst(6, 23, 0), jst(7, 5, 0), true},
		{"after midnight", night, jst(7, 0, 0), jst(7, 5, 0), true},
		{"always, written as hours", []Hours{{From: "00:00", Until: "24:00"}}, jst(3, 12, 0), time.Time{}, true},
	} {
		v := Privilege{Hours: tt.hours}
		until, open := v.OpenUntil(tt.at)
		if open != tt.open || open && !until.Equal(tt.until) {
			t.Errorf("%s: until %v, %t; want %v, %t", tt.name, until, open, tt.until, tt.open)
		}
	}
}

func TestTicketFits(t *testing.T) {
	t.Parallel()
	v := Privilege{Ticket: "CHG-[0-9]{4}|INC-[0-9]+"}
	for ticket, want := range map[string]bool{
		"CHG-1234": true, "INC-1": true, "": false, "CHG-12345": false, "XCHG-1234": false, "INC-1 and more": false, "CHG-1234\n": false,
	} {
		if got := v.TicketFits(ticket); got != want {
			t.Errorf("%q: %t, want %t", ticket, got, want)
		}
	}
	if !(Privilege{}).TicketFits("") {
		t.Error("a ticket is asked for where none is named")
	}
	if (Privilege{Ticket: "["}).TicketFits("[") {
		t.Error("a pattern that cannot be read lets a ticket through")
	}
}

func TestCarriesPost(t *testing.T) {
	t.Parallel()
	p := mustParse(t, string(example(t)))
	for dn, want := range map[string]bool{
		"cn=cio,ou=groups,dc=pref,dc=example": true, "CN=CIO, OU=groups, dc=pref, dc=example": true,
		"cn=juki-batch,ou=groups,dc=pref,dc=example": false, "": false,
	} {
		if got := p.CarriesPost(dn); got != want {
			t.Errorf("%q: %t, want %t", dn, got, want)
		}
	}
}
