package personnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
)

// aProject runs from last year to a day, that being its last.
func aProject(id, name, section string, of policy.Environment, last string) project.Project {
	return project.Project{ID: id, Name: name, Section: section, Environment: of, From: planned.AddDate(-1, 0, 0), Until: After(day(last))}
}

// theProjects: one of each sort, and people who are bound to some.
func theProjects(k Known) Known {
	done := aProject("done", "済んだ案件", "joho", policy.Development, "2027-03-31")
	done.CompletedAt = planned.Add(-time.Hour)
	k.Projects = []project.Project{
		aProject("zei", "税務システム刷新", "joho", policy.Development, "2026-11-30"), aProject("juki", "住基システム、改修", "joho", policy.Development, "2027-03-31"),
		aProject("unyo", "運用・保守 令和8年度", "joho", policy.Production, "2027-03-31"), aProject("march", "三月まで", "joho", policy.Development, "2026-03-31"),
		aProject("soumu-kyotsu", "共通基盤", "soumu", policy.Development, "2026-12-31"), aProject("zaisei-x", "財政の案件", "zaisei", policy.Development, "2026-12-31"),
		aProject("same-1", "同名", "joho", policy.Development, "2026-12-31"), aProject("same-2", "同名", "joho", policy.Development, "2026-12-31"), done,
	}
	k.Bound, k.Ends = map[directory.PersonID][]project.Member{}, map[directory.PersonID]project.End{}
	bind := func(login string, ids ...string) {
		for _, id := range ids {
			who := directory.PersonID("id-" + login)
			k.Bound[who] = append(k.Bound[who], project.Member{Project: id, Role: project.Worker})
		}
	}
	bind("kaihatsu", "zei")
	bind("owari", "done")
	bind("nagai", "zei")
	k.Ends["id-nagai"] = project.End{Own: day("2027-04-01"), Wrote: day("2026-12-01")}
	return k
}

// inProjects are people of joho: who is bound to what, theProjects says.
func inProjects() Known {
	end := func(p directory.Person, last string) directory.Person { return ending(p, After(day(last))) }
	chief := one("chief", "20", "joho", policy.SystemAdministrator)
	return theProjects(known(one("tanaka", "1", "joho"), end(contracted(one("kaihatsu", "2", "joho")), "2026-11-30"), closed(end(contracted(one("owari", "3", "joho")), "2026-03-20")),
		end(contracted(one("nagai", "4", "joho")), "2026-11-30"), chief, one("hito", "5", "jinji")))
}

// TestMakeWithProjects: what the column of projects makes of an ID. The account ends with
// its own end or with its last project, whichever is sooner.
func TestMakeWithProjects(t *testing.T) {
	t.Parallel()
	const head = "number,name,login,section,kind,company,change,starts,ends,mail,project"
	held := []Holding{{"lease", "db-admin", "l1"}, {"permit", "remote_access", "p1"}}
	for _, tt := range []struct {
		name string
		line string
		want string
	}{
		{"who joins for a project ends with it", "9,新田,nitta,joho,事業者,例電算,,,2027-03-31,n@x.example,zei", "nitta joins +[contractor] until 2026-12-01 00:00 projects [zei] -[] own 2027-04-01 !project_ends"},
		{"or with the contract, if that is sooner", "9,新田,nitta,joho,事業者,例電算,,,2026-09-30,n@x.example,税務システム刷新", "nitta joins +[contractor] until 2026-10-01 00:00 projects [zei] -[] own 2026-10-01"},
		{"or with the last of several", "9,新田,nitta,joho,事業者,例電算,,,2027-06-30,n@x.example,zei、JUKI", "nitta joins +[contractor] until 2027-04-01 00:00 projects [zei juki] -[] own 2027-07-01 !project_ends"},
		{"a name with a comma in it is one", "9,新田,nitta,joho,,,,,,n@x.example,住基システム、改修", "nitta joins +[staff] until 2027-04-01 00:00 projects [juki] -[] own never"},
		{"a project of the section above", "9,新田,nitta,jinji,,,,,,n@x.example,共通基盤", "nitta joins +[staff] until 2027-01-01 00:00 projects [soumu-kyotsu] -[] own never"},
		{"staff who turn to development lose what was lent to them", "1,例 tanaka,,,,,,,,,zei",
			"tanaka renewed until 2026-12-01 00:00 projects [zei] -[] turns development own never ends lease ends permit !turns"},
		{"staff for a project of production turn to nothing", "1,例 tanaka,,,,,,,,,unyo", "tanaka renewed until 2027-04-01 00:00 projects [unyo] -[] own never"},
		{"one more", "2,例 kaihatsu,,,事業者,例電算,,,2027-03-31,,zei／juki", "kaihatsu renewed until 2027-04-01 00:00 projects [zei juki] -[] own 2027-04-01"},
		{"another instead", "2,例 kaihatsu,,,事業者,例電算,,,2027-03-31,,juki", "kaihatsu renewed until 2027-04-01 00:00 projects [juki] -[zei] own 2027-04-01"},
		{"none any more: it is wider, and says so", "2,例 kaihatsu,,,事業者,例電算,,,2027-03-31,,なし",
			"kaihatsu renewed until 2027-04-01 00:00 projects [] -[zei] turns production own 2027-04-01 !turns !released"},
		{"another of the other environment", "2,例 kaihatsu,,,事業者,例電算,,,2027-03-31,,unyo",
			"kaihatsu renewed until 2027-04-01 00:00 projects [unyo] -[zei] turns production own 2027-04-01 !turns"},
		{"the same", "2,例 kaihatsu,,,事業者,例電算,,,2026-11-30,,zei", "unchanged 1"},
		{"a contract that outlasts the project, as it is", "4,例 nagai,,,事業者,例電算,,,2027-03-31,,zei", "unchanged 1"},
		{"one that is renewed, of which the directory sees nothing", "4,例 nagai,,,事業者,例電算,,,2028-03-31,,zei", "nagai renewed own 2028-04-01 !project_ends"},
		{"its own end comes back without the project", "4,例 nagai,,,事業者,例電算,,,2027-03-31,,-", "nagai renewed until 2027-04-01 00:00 projects [] -[zei] turns production own 2027-04-01 !turns !released"},
		{"a column that says nothing leaves all as it is", "2,例 kaihatsu,,,,,,,,,", "unchanged 1"},
		{"who moves away from a project is marked", "2,例 kaihatsu,,zaisei,,,,,,,", "kaihatsu moves to zaisei !keeps_project"},
		{"a contract that is shortened too is so beforehand", "4,例 nagai,,,事業者,例電算,,,2026-08-31,,juki", "nagai renewed until 2026-09-01 00:00 ahead projects [juki] -[zei] own 2026-09-01"},
		{"who leaves needs none", "2,例 kaihatsu,,,,,退職,,,,なし", "kaihatsu leaves -[contractor] until 2026-04-01 00:00 ahead"},
		{"who comes back for another", "3,例 owari,,,事業者,例電算,,,2026-10-31,,zei", "owari returns until 2026-11-01 00:00 projects [zei done] -[] own 2026-11-01"},
		{"who comes back for none", "3,例 owari,,,事業者,例電算,,,2026-10-31,,なし", "owari returns until 2026-11-01 00:00 projects [] -[done] own 2026-11-01 !released"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := inProjects()
			k.Holdings["id-tanaka"] = held
			got, err := plan(t, rules(), k, head, tt.line)
			if err != nil {
				t.Fatal(err)
			}
			s := fmt.Sprint("unchanged ", got.Unchanged)
			for _, c := range got.Changes {
				s = told(c)
			}
			if s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
	got, err := plan(t, rules(), inProjects(), head, "9,新田,nitta,joho,,,,,,n@x.example,juki", "8,新井,arai,joho,,,,,,a@x.example,juki", "2,例 kaihatsu,,,,,,,,,juki")
	if err != nil {
		t.Fatal(err)
	}
	var counts []string
	for _, n := range got.Projects {
		counts = append(counts, fmt.Sprintf("%s +%d -%d", n.ID, n.Bound, n.Released))
		if says := n.Words(); !strings.Contains(says.JA, "開発") || !strings.Contains(says.EN, "development, until 20") {
			t.Errorf("%+v", says)
		}
	}
	if s := strings.Join(counts, ", "); s != "juki +3 -0, zei +0 -1" {
		t.Error("by project:", s)
	}
}

// TestCannotBeBound: what is wrong with a project on a line, by the column and the rule.
func TestCannotBeBound(t *testing.T) {
	t.Parallel()
	const head = "number,name,login,section,posts,kind,owner,starts,project"
	for _, tt := range []struct {
		name, line, want, says string
	}{
		{"one that nobody registered", "9,新田,nitta,joho,,,,,税務システム改修", "2 project unknown", "税務システム刷新"},
		{"one of several", "9,新田,nitta,joho,,,,,zei、nizei", "2 project unknown", "zei"},
		{"one that is completed", "9,新田,nitta,joho,,,,,done", "2 project completed", ""},
		{"one that is over", "9,新田,nitta,joho,,,,,march", "2 project over", "2026-03-31"},
		{"one that is over when the line's day comes", "9,新田,nitta,joho,,,,2026-12-01,zei", "2 project over", "2026-11-30"},
		{"two of one name", "9,新田,nitta,joho,,,,,同名", "2 project ambiguous", "same-2"},
		{"another section's", "9,新田,nitta,joho,,,,,財政の案件", "2 project section", ""},
		{"of both environments", "9,新田,nitta,joho,,,,,zei、unyo", "2 project environment", ""},
		{"a shared ID", ",窓口,mado,joho,,共用,1,,zei", "2 project kind", ""},
		{"who administers", "9,新田,nitta,joho,情報システム管理者,,,,zei", "2 project powerful", ""},
		{"who does so already", "20,例 chief,,,,,,,zei", "2 project powerful", ""},
		{"who is bound, and is to administer", "4,例 nagai,,,security_manager,,,,", "2 posts project", "税務システム刷新"},
		{"whose projects are over, opened for nothing", "3,例 owari,,,,,,2026-04-01,", "2 project over", "済んだ案件"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := rules()
			lines, err := Read(strings.NewReader(head+"\n"+tt.line), p)
			if err == nil {
				_, err = Make(p, lines, inProjects(), effective, planned)
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("planned: %v", err)
			}
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Field, f.Rule))
			}
			if s := strings.Join(got, ","); s != tt.want || !strings.Contains(faults[0].Says.JA, tt.says) || !strings.Contains(faults[0].Says.EN, tt.says) {
				t.Errorf("got %s, want %s: %+v", s, tt.want, faults[0].Says)
			}
		})
	}
}
