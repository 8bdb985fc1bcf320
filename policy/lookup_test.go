package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestACRAtLeast(t *testing.T) {
	for _, tt := range []struct {
		a, b ACR
		want bool
	}{
		{AAL1, AAL1, true}, {AAL2, AAL1, true}, {PHR, AAL2, true}, {PHR, PHR, true},
		{AAL1, AAL2, false}, {AAL2, PHR, false},
		{"", AAL1, false}, {AAL1, "", false}, {"", "", false}, {"AAL2", AAL1, false}, {PHR, "aal3", false},
	} {
		if got := tt.a.AtLeast(tt.b); got != tt.want {
			t.Errorf("%q.AtLeast(%q) = %v", tt.a, tt.b, got)
		}
	}
}

func TestWordsIn(t *testing.T) {
	both := Words{"関所", "barrier"}
	for _, tt := range []struct {
		w          Words
		lang, want string
	}{
		{both, "ja", "関所"}, {both, "en", "barrier"}, {both, "fr", "関所"},
		{Words{JA: "関所"}, "en", "関所"}, {Words{EN: "barrier"}, "ja", "barrier"}, {Words{}, "ja", ""},
	} {
		if got := tt.w.In(tt.lang); got != tt.want {
			t.Errorf("%+v.In(%s) = %q", tt.w, tt.lang, got)
		}
	}
}

func TestZoneOf(t *testing.T) {
	p := Standard()
	for prefix, n := range map[string]Network{
		"10.0.0.0/8": {Zone: LGWAN}, "10.1.0.0/16": {Zone: MyNumber}, "10.1.9.0/24": {Zone: Internet, Outside: true}, "fd00:2::/32": {Zone: LGWAN},
	} {
		n.Prefix = netip.MustParsePrefix(prefix)
		p.Networks = append(p.Networks, n)
	}
	one := Standard()
	one.Zones = one.Zones[:2]
	for _, tt := range []struct {
		p       *Policy
		addr    string
		zone    ZoneID
		outside bool
	}{
		{p, "10.200.0.1", LGWAN, false},
		{p, "10.1.2.3", MyNumber, false},
		{p, "10.1.9.3", Internet, true},
		{p, "::ffff:10.1.2.3", MyNumber, false},
		{p, "fd00:2::1", LGWAN, false},
		{p, "fd00:2::1%eth0", LGWAN, false},
		{p, "192.0.2.1", Internet, true},
		{p, "2001:db8::1", Internet, true},
		{one, "192.0.2.1", "", true},
	} {
		if zone, outside := tt.p.ZoneOf(netip.MustParseAddr(tt.addr)); zone != tt.zone || outside != tt.outside {
			t.Errorf("ZoneOf(%s) = %q, %v", tt.addr, zone, outside)
		}
	}
	if zone, outside := p.ZoneOf(netip.Addr{}); zone != Internet || !outside {
		t.Errorf("no address at all: %q, %v", zone, outside)
	}
}

// TestPlainDN tries every name of up to six characters that matter: one that is taken
// as it stands is what it would be respelt to.
func TestPlainDN(t *testing.T) {
	t.Parallel()
	plain := 0
	var try func(dn string, left int)
	try = func(dn string, left int) {
		if plainDN(dn) {
			if plain++; respelt(dn) != dn {
				t.Errorf("%q is taken for plain, and is respelt %q", dn, respelt(dn))
			}
		}
		if left == 0 {
			return
		}
		for _, c := range []string{"a", "=", "A", " ", ",", `\`, "É"} {
			try(dn+c, left-1)
		}
	}
	try("", 6)
	if !plainDN("cn=staff of ours,ou=groups,dc=pref,dc=example") || plain < 1000 {
		t.Errorf("%d names are plain: the ordinary ones are respelt each time", plain)
	}
}

func TestPostsOf(t *testing.T) {
	p := Standard()
	p.Posts[0].Group = "cn=staff,ou=groups,dc=pref,dc=example"
	p.Posts[6].Group = `cn=c\,io,ou=groups,dc=pref,dc=example`
	for _, tt := range []struct {
		groups []string
		want   []PostID
	}{
		{[]string{"CN=Staff, OU=Groups ,DC=pref,dc=EXAMPLE"}, []PostID{Staff}},
		{[]string{`cn=C\,IO, ou=groups,dc=pref,dc=example`, "cn=staff,ou=groups,dc=pref,dc=example"}, []PostID{Staff, CIO}},
		{[]string{"cn=staff,ou=other,dc=pref,dc=example"}, nil},
		{[]string{`cn=c,io,ou=groups,dc=pref,dc=example`}, nil},
		{[]string{""}, nil}, // a post without a group is held by nobody
		{nil, nil},
	} {
		if got := p.PostsOf(tt.groups); !slices.Equal(got, tt.want) {
			t.Errorf("PostsOf(%q) = %v, want %v", tt.groups, got, tt.want)
		}
	}
}

func TestApplicationByHost(t *testing.T) {
	p, problems := Parse("example.yaml", example(t))
	if problems != nil {
		t.Fatal(problems)
	}
	for host, want := range map[string]string{
		"juki.pref.example": "juki", "JUKI.pref.example": "juki", "juki.pref.example:8443": "juki", "juki.pref.example.": "juki", "juki.pref.example.:443": "juki",
		"": "", ":80": "", "pref.example": "", "xjuki.pref.example": "", "juki.pref.example.evil.example": "",
	} {
		if a, ok := p.ApplicationByHost(host); a.ID != want || ok != (want != "") {
			t.Errorf("ApplicationByHost(%q) = %q, %v", host, a.ID, ok)
		}
	}
	// A policy changed by hand is found in all the same.
	changed := *p
	changed.Applications = []Application{{ID: "new", Host: "new.example"}, p.Applications[0]}
	if a, ok := changed.ApplicationByHost("new.example"); !ok || a.ID != "new" {
		t.Error("an application added by hand is not found by host")
	}
	if a, ok := changed.Application("juki"); !ok || a.Host != "juki.pref.example" {
		t.Error("an application that moved is not found by id")
	}
	if _, ok := changed.Application("bunsho"); ok {
		t.Error("an application that is gone is found")
	}
	if s, ok := p.Section("jinji"); !ok || s.Parent != "soumu" {
		t.Errorf("Section(jinji) = %+v", s)
	}
	if term, ok := p.Terminal("lent-12"); !ok || term.Class != TerminalLent {
		t.Errorf("Terminal(lent-12) = %+v", term)
	}
}

func TestInSection(t *testing.T) {
	p := &Policy{Sections: []Section{{ID: "bu"}, {ID: "ka", Parent: "bu"}, {ID: "other"}, {ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}}}
	for _, tt := range []struct {
		section string
		wanted  []string
		want    bool
	}{
		{"ka", []string{"ka"}, true}, {"ka", []string{"bu"}, true}, {"ka", nil, true}, {"", nil, true},
		{"bu", []string{"ka"}, false}, {"other", []string{"bu"}, false}, {"", []string{"ka"}, false}, {"unknown", []string{"unknown"}, false},
		{"a", []string{"ka"}, false}, // a ring, which Parse refuses, ends
	} {
		if got := p.InSection(tt.section, tt.wanted); got != tt.want {
			t.Errorf("InSection(%q, %v) = %v", tt.section, tt.wanted, got)
		}
	}
}

func TestRequiredACR(t *testing.T) {
	p := Standard()
	for _, tt := range []struct {
		app  Application
		want ACR
	}{
		{Application{Zone: LGWAN, Class: 1}, AAL2},
		{Application{Zone: LGWAN, Class: 4}, AAL1},
		{Application{Zone: MyNumber, Class: 4}, AAL2},
		{Application{Zone: LGWAN, Class: 4, ACR: PHR}, PHR},
		{Application{Zone: LGWAN, Class: 1, ACR: AAL1}, AAL2}, // it can only ask for more
		{Application{Zone: LGWAN, Class: 0}, PHR},
		{Application{Zone: "moon", Class: 1}, PHR},
		{Application{Zone: LGWAN, Class: 4, ACR: "strong"}, PHR},
		{Application{}, PHR},
	} {
		if got := p.RequiredACR(tt.app); got != tt.want {
			t.Errorf("RequiredACR(%+v) = %s, want %s", tt.app, got, tt.want)
		}
	}
	if got := (&Policy{}).RequiredACR(Application{Zone: LGWAN, Class: 4}); got != PHR {
		t.Errorf("an empty policy asks for %s", got)
	}
}

func TestZoneMatrix(t *testing.T) {
	for _, model := range ZoneModels() {
		m := ZoneMatrix{Model: model.ID}
		for _, from := range ZoneIDs() {
			for _, to := range ZoneIDs() {
				c := m.Between(from, to)
				direct := (from == MyNumber && to == Internet) || (from == Internet && to == MyNumber)
				if want := map[bool]string{true: CrossingRefused, false: CrossingPermit}[direct || from == to]; c.Rule != want {
					t.Errorf("%s: %s to %s is %q, want %q", model.ID, from, to, c.Rule, want)
				}
				if !ValidArticle(c.Article) {
					t.Errorf("%s: %s to %s: article %q", model.ID, from, to, c.Article)
				}
				if c.Rule == CrossingPermit && len(c.Methods) == 0 {
					t.Errorf("%s: %s to %s by any method", model.ID, from, to)
				}
			}
		}
		if model.Name.IsEmpty() || model.Summary.IsEmpty() || model.ExternalAudit != (model.Desks == Internet) {
			t.Errorf("%+v", model)
		}
	}
	own := ZoneMatrix{Model: ModelAlpha, Crossings: []Crossing{{From: LGWAN, To: Internet, Rule: CrossingRefused}}}
	if c := own.Between(LGWAN, Internet); c.Rule != CrossingRefused {
		t.Error("the file's own crossing does not come first")
	}
	if c := (ZoneMatrix{}).Between(LGWAN, Internet); c.Rule != CrossingRefused {
		t.Error("no model at all lets something cross")
	}
}

func TestDeviationInForce(t *testing.T) {
	last := time.Date(2027, 3, 31, 23, 59, 59, 0, japan)
	for _, tt := range []struct {
		until string
		at    time.Time
		want  bool
	}{
		{"2027-03-31", last, true},
		{"2027-03-31", last.Add(time.Second), false},
		{"2027-03-31", time.Date(2027, 3, 31, 15, 0, 0, 0, time.UTC), false}, // 1 April in Japan
		{"", last.AddDate(100, 0, 0), true},
		{"soon", last, false},
	} {
		if got := (Deviation{Until: tt.until}).InForce(tt.at); got != tt.want {
			t.Errorf("until %q at %v: %v", tt.until, tt.at, got)
		}
	}
}

func TestNearest(t *testing.T) {
	choices := []string{"idle_end", "absolute_end", "counter_idle_end", "id", "name"}
	for typed, want := range map[string]string{
		"idle_edn": "idle_end", "idleend": "idle_end", "nmae": "name", "absolut_end": "absolute_end", "zzzzzz": "", "": "", "idle_end": "idle_end",
	} {
		if got := Nearest(typed, choices); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", typed, got, want)
		}
	}
}

func BenchmarkApplicationByHost(b *testing.B) {
	for _, n := range []int{100, 10000} {
		p := Standard()
		for i := range n {
			p.Applications = append(p.Applications, Application{ID: fmt.Sprintf("app-%d", i), Host: fmt.Sprintf("app-%d.pref.example", i)})
		}
		p.index = indexOf(p)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				p.ApplicationByHost("app-99.pref.example")
			}
		})
	}
}
