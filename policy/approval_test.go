package policy

import (
	"slices"
	"testing"
	"time"
)

func TestApprovalRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, old, new, field string
		article               Article
		near                  string
	}{
		{"a reminder after the end", "remind_after: 1h", "remind_after: 24h", "approval.remind_after", "16-1", "12h"},
		{"a way up after the end", "escalate_after: 4h", "escalate_after: 30h", "approval.escalate_after", "16-1", "12h"},
		{"a factor that rests for an hour", "factor_rest: 24h", "factor_rest: 1h", "approval.factor_rest", "16-1", "24h"},
		{"a holiday that is none", `"2026-04-29", "2026-05-04"`, `"29 April", "2026-05-04"`, "approval.holidays[0]", "80-1", ""},
		{"a deputy for nobody", "login: ando", `login: ""`, "approval.deputies[0].login", "16-1", ""},
		{"a deputy of who decides nothing", "      post: security_officer\n", "      post: system_administrator\n", "approval.deputies[0].post", "16-1", ""},
		{"a deputy of an officer of nowhere", "      section: fukushi\n      from", "      from", "approval.deputies[0].section", "12-1", ""},
		{"a deputy in a section nobody knows", "      section: fukushi\n      from", "      section: fukushy\n      from", "approval.deputies[0].section", "12-2", "fukushi"},
		{"a deputy for ever", `until: "2026-04-30"`, `until: "2036-04-30"`, "approval.deputies[0].until", "16-1", "2027-04-02"},
		{"a deputy without an end", "      until: \"2026-04-30\"\n", "", "approval.deputies[0].until", "16-1", ""},
		{"a deputy until yesterday", `until: "2026-04-30"`, `until: "2026-03-01"`, "approval.deputies[0].until", "16-1", "2026-04-01"},
		{"a deputy without a reason", "      reason: {ja: 部長の入院, en: the head is in hospital}\n", "", "approval.deputies[0].reason.ja", "", ""},
		{"nobody on duty", "logins: [kondo]", "logins: []", "approval.duty[0].logins", "11-6", ""},
		{"on duty for who asks", "posts: [security_manager, security_officer]\n      sections: [soumu]", "posts: [csirt]\n      sections: [soumu]", "approval.duty[0].posts[0]", "16-1", ""},
		{"a turn backwards", `until: "2026-05-07T08:30:00+09:00"`, `until: "2026-05-01T08:30:00+09:00"`, "approval.duty[0].until", "11-6", ""},
		{"a turn of two months", `until: "2026-05-07T08:30:00+09:00"`, `until: "2026-07-07T08:30:00+09:00"`, "approval.duty[0].until", "11-6", "2026-06-02T17:15:00+09:00"},
		{"a turn by the day", `from: "2026-05-02T17:15:00+09:00"`, `from: "2026-05-02"`, "approval.duty[0].from", "11-6", ""},
		{"a standing decision about credentials", "kinds: [elevation]", "kinds: [credential]", "approval.standing[0].kinds[0]", "", ""},
		{"a standing decision about everything", "subjects: [batch-restart]", "subjects: []", "approval.standing[0].subjects", "16-1", ""},
		{"a standing decision nobody made", "      decision: 情企第130号\n", "", "approval.standing[0].decision", "16-1", ""},
		{"a standing decision without a reason", "      reason: {ja: 夜間バッチの再起動は毎週ある, en: the nightly batch is restarted every week}\n", "", "approval.standing[0].reason.ja", "", ""},
		{"a standing decision by no clock", `- {days: [holiday], from: "00:00", until: "24:00"}`, `- {days: [holiday], from: "0:00", until: "24:00"}`, "approval.standing[0].hours[2].from", "65", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("policy.yaml", []byte(changed(t, tt.old, tt.new)))
			i := slices.IndexFunc(problems, func(p Problem) bool { return p.Field == tt.field })
			if i < 0 {
				t.Fatalf("%s is not refused: %v", tt.field, problems)
			}
			if p := problems[i]; p.Article != tt.article || p.Nearest != tt.near && tt.near != "" || p.Rule.JA == "" || p.Rule.EN == "" {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestStandingFor(t *testing.T) {
	p := mustParse(t, string(example(t)))
	at := func(text string) time.Time {
		parsed, err := time.ParseInLocation("2006-01-02 15:04", text, japan)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, tt := range []struct {
		name, kind, subject, section, at string
		want                             bool
	}{
		{"on a Thursday night", "elevation", "batch-restart", "johosys", "2026-04-02 17:15", true},
		{"the last minute of the day's work", "elevation", "batch-restart", "johosys", "2026-04-02 17:14", false},
		{"before work", "elevation", "batch-restart", "johosys", "2026-04-02 08:29", true},
		{"when work begins", "elevation", "batch-restart", "johosys", "2026-04-02 08:30", false},
		{"at noon on a Sunday", "elevation", "batch-restart", "johosys", "2026-04-05 12:00", true},
		{"at noon on a holiday", "elevation", "batch-restart", "johosys", "2026-04-29 12:00", true},
		{"the department itself", "elevation", "batch-restart", "soumu", "2026-04-05 12:00", true},
		{"another department", "elevation", "batch-restart", "shien", "2026-04-05 12:00", false},
		{"a section nobody knows", "elevation", "batch-restart", "nowhere", "2026-04-05 12:00", false},
		{"another subject", "elevation", "db-admin", "johosys", "2026-04-05 12:00", false},
		{"another kind", "credential", "batch-restart", "johosys", "2026-04-05 12:00", false},
		{"the night before it begins", "elevation", "batch-restart", "johosys", "2026-03-31 23:59", false},
		{"its last night", "elevation", "batch-restart", "johosys", "2027-03-30 23:59", true},
		{"the night after", "elevation", "batch-restart", "johosys", "2027-03-31 00:00", false},
	} {
		if s, ok := p.StandingFor(tt.kind, tt.subject, tt.section, at(tt.at)); ok != tt.want || ok && s.ID != "night-batch" {
			t.Errorf("%s: %t", tt.name, ok)
		}
	}
	p.Approval.Standing[0].Hours = nil
	if _, ok := p.StandingFor("elevation", "batch-restart", "johosys", at("2026-04-02 12:00")); ok {
		t.Error("without hours it holds by day")
	}
	if _, ok := p.StandingFor("elevation", "batch-restart", "johosys", at("2026-04-02 20:00")); !ok {
		t.Error("without hours it does not hold by night")
	}
}

func TestWhoStandsIn(t *testing.T) {
	p := mustParse(t, string(example(t)))
	day := func(text string) time.Time { d, _ := time.Parse(time.RFC3339, text); return d }
	for _, tt := range []struct {
		name, login, at string
		want            []PostID
	}{
		{"a deputy", "ando", "2026-04-10T00:00:00Z", []PostID{SecurityOfficer}},
		{"before their time, too: it is to come", "ＡＮＤＯ ", "2026-01-10T00:00:00Z", []PostID{SecurityOfficer}},
		{"their last moment", "ando", "2026-04-30T14:59:59Z", []PostID{SecurityOfficer}},
		{"over", "ando", "2026-04-30T15:00:00Z", nil},
		{"on duty", "kondo", "2026-05-03T00:00:00Z", []PostID{SecurityManager, SecurityOfficer}},
		{"nobody in particular", "tanaka", "2026-04-10T00:00:00Z", nil},
	} {
		if got := p.StandsInFor(tt.login, day(tt.at)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if d := p.Approval.Deputies[0]; d.InForce(day("2026-03-31T14:59:59Z")) || !d.InForce(day("2026-03-31T15:00:00Z")) || d.InForce(day("2026-04-30T15:00:00Z")) || (Deputy{}).InForce(day("2026-04-10T00:00:00Z")) {
		t.Error("a deputy stands in at the wrong time")
	}
	if d := p.Approval.Duty[0]; d.InForce(day("2026-05-02T08:14:59Z")) || !d.InForce(day("2026-05-02T08:15:00Z")) || d.InForce(day("2026-05-06T23:30:00Z")) || (Duty{}).InForce(day("2026-05-03T00:00:00Z")) {
		t.Error("a turn of duty goes on at the wrong time")
	}
}

func TestDepartment(t *testing.T) {
	p := Standard()
	p.Sections = []Section{{ID: "soumu"}, {ID: "jinji", Parent: "soumu"}, {ID: "ring", Parent: "gnir"}, {ID: "gnir", Parent: "ring"}, {ID: "lost", Parent: "gone"}}
	for section, want := range map[string]string{"soumu": "soumu", "jinji": "soumu", "ring": "", "lost": "", "nowhere": "", "": ""} {
		if got := p.Department(section); got != want {
			t.Errorf("above %q: %q, want %q", section, got, want)
		}
	}
}
