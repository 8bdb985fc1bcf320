package recertify

import (
	"testing"
	"time"

	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/policy"
)

func jst(text string) time.Time {
	at, err := time.ParseInLocation("2006-01-02 15:04", text, time.FixedZone("JST", 9*60*60))
	if err != nil {
		panic(err)
	}
	return at.UTC()
}

// TestNext: what is due by Japan's calendar, each step at a day's distance from the one
// before.
func TestNext(t *testing.T) {
	t.Parallel()
	deadline := jst("2026-04-15 00:00")
	for _, tt := range []struct {
		name string
		c    Course
		now  string
		want Step
		ends string
	}{
		{"the day it begins", Course{RemindDays: 5}, "2026-04-01 06:00", Wait, "2026-04-15 00:00"},
		{"the last minute before the first reminder", Course{RemindDays: 5}, "2026-04-09 23:59", Wait, "2026-04-15 00:00"},
		{"five days before", Course{RemindDays: 5}, "2026-04-10 00:00", Remind, "2026-04-15 00:00"},
		{"reminded", Course{RemindDays: 5, RemindedAt: jst("2026-04-10 00:00")}, "2026-04-13 23:59", Wait, "2026-04-15 00:00"},
		{"the last day", Course{RemindDays: 5, RemindedAt: jst("2026-04-10 00:00")}, "2026-04-14 00:00", RemindLast, "2026-04-15 00:00"},
		{"reminded for the last time", Course{5, jst("2026-04-10 00:00"), jst("2026-04-14 00:00")}, "2026-04-14 23:59", Wait, "2026-04-15 00:00"},
		{"its deadline", Course{5, jst("2026-04-10 00:00"), jst("2026-04-14 00:00")}, "2026-04-15 00:00", End, "2026-04-15 00:00"},
		{"a clock that jumped reminds, and ends nothing", Course{RemindDays: 5}, "2026-06-01 12:00", Remind, "2026-06-03 00:00"},
		{"not twice on one day", Course{RemindDays: 5, RemindedAt: jst("2026-06-01 12:00")}, "2026-06-01 23:59", Wait, "2026-06-03 00:00"},
		{"the day after the late reminder", Course{RemindDays: 5, RemindedAt: jst("2026-06-01 12:00")}, "2026-06-02 00:00", RemindLast, "2026-06-03 00:00"},
		{"late, and told for the last time today", Course{5, jst("2026-06-01 12:00"), jst("2026-06-02 00:00")}, "2026-06-02 23:59", Wait, "2026-06-03 00:00"},
		{"the day after that", Course{5, jst("2026-06-01 12:00"), jst("2026-06-02 00:00")}, "2026-06-03 00:00", End, "2026-06-03 00:00"},
		{"one reminder alone, on the last day", Course{RemindDays: 1}, "2026-04-14 00:00", RemindLast, "2026-04-15 00:00"},
		{"and not before", Course{RemindDays: 1}, "2026-04-13 23:59", Wait, "2026-04-15 00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.c.Next(deadline, jst(tt.now)); got != tt.want {
				t.Errorf("Next = %q, want %q", got, tt.want)
			}
			if got := tt.c.EndsAt(deadline, jst(tt.now)); !got.Equal(jst(tt.ends)) {
				t.Errorf("EndsAt = %v, want %s", got, tt.ends)
			}
		})
	}
}

// TestAnswerBy: a second person is waited for until before the last reminder, which tells
// those who review of what waits for them again.
func TestAnswerBy(t *testing.T) {
	t.Parallel()
	deadline := jst("2026-04-15 00:00")
	reminded := Course{RemindDays: 5, RemindedAt: jst("2026-04-10 00:00")}
	for _, tt := range []struct {
		name, now, want string
		c               Course
	}{
		{"the day it begins", "2026-04-01 06:00", "2026-04-13 23:00", Course{RemindDays: 5}},
		{"reminded", "2026-04-13 22:59", "2026-04-13 23:00", reminded},
		{"too late for that", "2026-04-13 23:00", "2026-04-15 00:00", reminded},
		{"the last day", "2026-04-14 12:00", "2026-04-15 00:00", Course{5, jst("2026-04-10 00:00"), jst("2026-04-14 00:00")}},
		{"a clock that jumped", "2026-06-01 12:00", "2026-06-01 23:00", Course{RemindDays: 5}},
	} {
		if got := tt.c.AnswerBy(deadline, jst(tt.now)); !got.Equal(jst(tt.want)) {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}

// TestHalt: what ends without a question, and what does not.
func TestHalt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                 string
		open, missing, lines int
		want                 Stop
	}{
		{"nothing", 0, 0, 0, ""}, {"all of a few", 10, 0, 10, ""}, {"one more than a few", 11, 0, 11, TooMany},
		{"the last of the share", 50, 0, 1000, ""}, {"beyond the share", 51, 0, 1000, TooMany},
		{"very many are gone", 50, 11, 1000, Missing}, {"some are gone", 50, 10, 1000, ""}, {"gone and many", 60, 60, 1000, Missing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Halt(tt.open, tt.missing, tt.lines, 5, 10); got != tt.want {
				t.Errorf("Halt = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMayDecide: along the organisation tree, by deputies too, and nobody their own.
func TestMayDecide(t *testing.T) {
	t.Parallel()
	p := authztest.Rules()
	p.Sections = append(p.Sections, policy.Section{ID: "soumu"}, policy.Section{ID: "jinji", Parent: "soumu"})
	now := jst("2026-04-02 12:00")
	p.Approval.Deputies = []policy.Deputy{{ID: "d1", Login: "stand-in", Post: policy.SecurityManager, Section: "joho", From: "2026-04-01", Until: "2026-04-02"}}
	who := func(login, section string, posts ...policy.PostID) approval.Holder {
		return approval.Holder{Person: directory.Person{ID: directory.PersonID("id-" + login), Login: login, Number: "n-" + login, Section: section}, Posts: posts}
	}
	of := func(login, section string) Line {
		return Line{Person: Ref{ID: directory.PersonID("id-" + login), Login: login, Number: "n-" + login, Section: section}}
	}
	second := who("adm-tanaka", "joho", policy.SecurityManager)
	second.Person.Number = "n-tanaka"
	cio := of("chief", "soumu")
	cio.Apex = true
	for _, tt := range []struct {
		name   string
		l      Line
		by     approval.Holder
		now    time.Time
		reason string
		height int
	}{
		{"the section's manager", of("tanaka", "joho"), who("mori", "joho", policy.SecurityManager), now, "", 0},
		{"another section's", of("tanaka", "joho"), who("ueda", "jinji", policy.SecurityManager), now, "not_theirs", 0},
		{"the department's officer", of("tanaka", "joho"), who("kobayashi", "dejitaru", policy.SecurityOfficer), now, "", 1},
		{"another department's", of("tanaka", "joho"), who("ito", "soumu", policy.SecurityOfficer), now, "not_theirs", 0},
		{"the CIO", of("tanaka", "joho"), who("chief", "soumu", policy.CIO), now, "", 2},
		{"the CIO, of a section that nobody knows", of("tanaka", "gone"), who("chief", "soumu", policy.CIO), now, "", 2},
		{"a manager of that one", of("tanaka", "gone"), who("mori", "gone", policy.SecurityManager), now, "not_theirs", 0},
		{"staff", of("tanaka", "joho"), who("sato", "joho", policy.Staff), now, "not_theirs", 0},
		{"the CSIRT", of("tanaka", "joho"), who("csirt", "joho", policy.CSIRT), now, "not_theirs", 0},
		{"a deputy", of("tanaka", "joho"), who("stand-in", "jinji"), now, "", 0},
		{"a deputy, the day after", of("tanaka", "joho"), who("stand-in", "jinji"), now.AddDate(0, 0, 1), "not_theirs", 0},
		{"their own", of("mori", "joho"), who("mori", "joho", policy.SecurityManager), now, "own", 0},
		{"their own, by another of their IDs", of("tanaka", "joho"), second, now, "own", 0},
		{"an auditor who manages", of("tanaka", "joho"), who("audit", "joho", policy.SecurityManager, policy.Auditor), now, "reads_only", 0},
		{"the CIO's, by themselves", cio, who("chief", "soumu", policy.CIO), now, "own", 0},
		{"the CIO's, by another CIO", cio, who("vice", "soumu", policy.CIO), now, "not_theirs", 0},
		{"the CIO's, by their section's manager", cio, who("ueda", "soumu", policy.SecurityManager), now, "not_theirs", 0},
		{"the CIO's, by an officer of any department", cio, who("kobayashi", "dejitaru", policy.SecurityOfficer), now, "", besideTop},
		{"a program's, of which nothing is known", Line{Person: Ref{ID: "id-batch", Login: "batch", Section: "joho"}}, who("mori", "joho", policy.SecurityManager), now, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			why := MayDecide(p, tt.l, tt.by, tt.now)
			switch {
			case tt.reason != "" && (why == nil || why.Reason != tt.reason || why.Says.JA == "" || why.Says.EN == "" || len(why.Articles) == 0):
				t.Errorf("MayDecide = %+v, want %q in words, with articles", why, tt.reason)
			case tt.reason == "" && why != nil:
				t.Errorf("refused: %+v", why)
			}
			if h, ok := tt.l.Over(p, tt.by, tt.now); tt.reason == "" && (!ok || h != tt.height) {
				t.Errorf("Over = %d, %t; want %d", h, ok, tt.height)
			}
		})
	}
}

// TestRaise: each line is put before the nearest who may decide it.
func TestRaise(t *testing.T) {
	t.Parallel()
	p, now := authztest.Rules(), jst("2026-04-02 12:00")
	who := func(login, section string, posts ...policy.PostID) approval.Holder {
		return approval.Holder{Person: directory.Person{ID: directory.PersonID("id-" + login), Login: login, Number: "n-" + login, Section: section}, Posts: posts}
	}
	mori, abe := who("mori", "joho", policy.SecurityManager), who("abe", "joho", policy.SecurityManager)
	kobayashi, chief := who("kobayashi", "dejitaru", policy.SecurityOfficer), who("chief", "dejitaru", policy.CIO)
	of := func(h approval.Holder) Line { return lineOf(p, h.Person) }
	apex := of(chief)
	apex.Apex = true
	for _, tt := range []struct {
		name string
		l    Line
		by   []approval.Holder
		want int
	}{
		{"its manager", of(who("tanaka", "joho")), []approval.Holder{chief, kobayashi, mori}, 0},
		{"the only manager's own", of(mori), []approval.Holder{mori, kobayashi, chief}, 1},
		{"one of two managers' own", of(mori), []approval.Holder{mori, abe, kobayashi}, 0},
		{"no manager", of(who("tanaka", "joho")), []approval.Holder{kobayashi, chief}, 1},
		{"nobody but the CIO", of(kobayashi), []approval.Holder{kobayashi, chief}, 2},
		{"nobody", of(who("tanaka", "joho")), nil, 2},
		{"the CIO's own", apex, []approval.Holder{chief, kobayashi}, besideTop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.l.raise(p, tt.by, now); got != tt.want {
				t.Errorf("raise = %d, want %d", got, tt.want)
			}
		})
	}
}

// TestWays: what makes somebody eligible, and what of it could be taken from them.
func TestWays(t *testing.T) {
	t.Parallel()
	p := authztest.Rules()
	const dba, ops = "cn=dba,ou=groups,dc=pref,dc=example", "cn=ops,ou=groups,dc=pref,dc=example"
	admins := p.Posts[indexOfPost(p, policy.SystemAdministrator)].Group
	p.Privileges = []policy.Privilege{
		{ID: "a", Eligible: policy.Eligible{Groups: []string{dba}}}, {ID: "b", Eligible: policy.Eligible{Groups: []string{"CN=dba, ou=groups,dc=pref,dc=example", ops}}},
		{ID: "c", Eligible: policy.Eligible{Posts: []policy.PostID{policy.SystemAdministrator}}}, {ID: "d", Eligible: policy.Eligible{Groups: []string{ops}, Persons: []string{"named"}}},
		{ID: "e", Eligible: policy.Eligible{Groups: []string{admins}}}, {ID: "f", Eligible: policy.Eligible{Sections: []string{"joho"}}},
	}
	for _, tt := range []struct {
		name string
		who  directory.Person
		want map[string]string
	}{
		{"nobody", directory.Person{Login: "x"}, map[string]string{}},
		{"a group of two privileges", directory.Person{Login: "x", Groups: []string{dba}}, map[string]string{dba: "a b"}},
		{"two groups", directory.Person{Login: "x", Groups: []string{ops}}, map[string]string{ops: "b d"}},
		{"a post", directory.Person{Login: "x", Groups: []string{admins}}, map[string]string{"rule:c": "c", "rule:e": "e"}},
		{"a name beside a group", directory.Person{Login: "named", Groups: []string{ops}}, map[string]string{ops: "b", "rule:d": "d"}},
		{"a section", directory.Person{Login: "x", Section: "joho"}, map[string]string{"rule:f": "f"}},
		{"a program", directory.Person{Login: "x", Kind: directory.KindService, Groups: []string{dba}}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for _, w := range ways(p, tt.who) {
				for i, v := range w.privileges {
					if i > 0 {
						got[w.object] += " "
					}
					got[w.object] += v
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("ways = %v, want %v", got, tt.want)
			}
			for k, v := range tt.want {
				if got[k] != v {
					t.Errorf("ways = %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func indexOfPost(p *policy.Policy, id policy.PostID) int {
	for i, post := range p.Posts {
		if post.ID == id {
			return i
		}
	}
	return -1
}
