package personnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// effective is 1 April 2026 in Japan, planned a week before.
var (
	effective = day("2026-04-01")
	planned   = effective.AddDate(0, 0, -7)
)

func one(login, number, section string, posts ...policy.PostID) directory.Person {
	p := directory.Person{
		ID: directory.PersonID("id-" + login), DN: embeddedtest.PersonDN(login), Login: login, Name: "例 " + login, Number: number, Section: section,
		Mail: login + "@pref.example", Kind: directory.KindStaff,
	}
	for _, id := range append(posts, policy.Staff) {
		p.Groups = append(p.Groups, embeddedtest.PostGroup(id))
	}
	return p
}

func ending(p directory.Person, at time.Time) directory.Person {
	p.Account.ExpiresAt = at
	return p
}

func closed(p directory.Person) directory.Person {
	p.Account.Disabled = true
	return p
}

func contracted(p directory.Person) directory.Person {
	p.Kind, p.Company, p.Groups = directory.KindContractor, "例電算", []string{embeddedtest.PostGroup(policy.Contractor)}
	return p
}

func known(people ...directory.Person) Known {
	return Known{People: people, Holdings: map[directory.PersonID][]Holding{}, OnLeave: map[directory.PersonID]time.Time{}, Former: map[string]bool{}, Places: map[directory.PersonID][]string{}}
}

// plan reads a file of such lines, and says what it would do.
func plan(t testing.TB, p *policy.Policy, k Known, lines ...string) (Plan, error) {
	t.Helper()
	read, err := Read(strings.NewReader(strings.Join(lines, "\n")), p)
	if err != nil {
		t.Fatal(err)
	}
	return Make(p, read, k, effective, planned)
}

// told is a change in short.
func told(c Change) string {
	s := fmt.Sprintf("%s %s", c.Login, c.Act)
	if c.moved() {
		s += " to " + c.After.Section
	}
	if len(c.Gained) > 0 {
		s += fmt.Sprintf(" +%v", c.Gained)
	}
	if len(c.Lost) > 0 {
		s += fmt.Sprintf(" -%v", c.Lost)
	}
	if !c.After.Expires.Equal(c.Before.Expires) {
		s += " until never"
		if !c.After.Expires.IsZero() {
			s = strings.TrimSuffix(s, "never") + c.After.Expires.In(japan).Format("2006-01-02 15:04")
		}
		if c.EndsAhead {
			s += " ahead"
		}
	}
	if !c.Due.Equal(effective) {
		s += " on " + c.Due.In(japan).Format(time.DateOnly)
	}
	if c.SaysConcurrent {
		s += fmt.Sprintf(" beside %v", c.Concurrent)
	}
	if !c.Handover.IsZero() {
		s += " handover " + c.Handover.In(japan).Format(time.DateOnly)
	}
	if !c.LeaveFrom.IsZero() {
		s += " leave " + c.LeaveFrom.In(japan).Format(time.DateOnly)
		if !c.LeaveUntil.IsZero() {
			s += " to " + c.LeaveUntil.In(japan).Format(time.DateOnly)
		}
	}
	if c.LeaveOver {
		s += " leave over"
	}
	if c.SaysProjects {
		s += fmt.Sprintf(" projects [%s] -[%s]", idsOf(c.Projects), idsOf(c.Released))
	}
	if c.Turns != "" {
		s += " turns " + string(c.Turns)
	}
	if c.SaysOwn {
		s += " own never"
		if !c.Own.IsZero() {
			s = strings.TrimSuffix(s, "never") + c.Own.In(japan).Format("2006-01-02")
		}
	}
	for _, h := range c.Holdings {
		s += " ends " + h.Kind
	}
	for _, w := range c.Warnings {
		s += " !" + string(w)
	}
	return s
}

func TestMake(t *testing.T) {
	t.Parallel()
	aprilFirst := effective
	leases := []Holding{{"lease", "db-admin", "l1"}, {"permit", "remote_access", "p1"}}
	for _, tt := range []struct {
		name string
		k    Known
		edit func(k *Known)
		file []string
		want string
	}{
		{"somebody joins under their number", known(), nil,
			[]string{"number,name,section,mail", "A100,新田,人事課,n@pref.example"}, "a100 joins +[staff]"},
		{"with a login, posts and an end", known(), nil,
			[]string{"number,name,login,section,posts,kind,ends,mail", "1,新田,nitta,jinji,情報システム担当者,会計年度任用職員,2027-03-31,n@pref.example"},
			"nitta joins +[staff system_operator] until 2027-04-01 00:00 !powerful"},
		{"later than the file's day", known(), nil,
			[]string{"number,name,section,starts,mail", "1,新田,jinji,2026-05-01,n@pref.example"}, "1 joins +[staff] on 2026-05-01"},
		{"who joins and gets power is marked", known(), nil,
			[]string{"number,name,section,posts", "1,新田,jinji,cio"}, "1 joins +[staff cio] !powerful !no_mail"},
		{"a mover gains and loses groups", known(one("tanaka", "1", "jinji", policy.SystemOperator)), nil,
			[]string{"number,name,section,posts", "1,例 tanaka,財政課,security_manager"}, "tanaka moves to zaisei +[security_manager] -[system_operator] !powerful"},
		{"a mover whose posts the file does not speak of keeps them, marked", known(one("tanaka", "1", "jinji", policy.SystemAdministrator)), nil,
			[]string{"number,name,section", "1,例 tanaka,zaisei"}, "tanaka moves to zaisei !keeps_posts"},
		{"what a mover holds ends", known(one("tanaka", "1", "jinji")), func(k *Known) { k.Holdings["id-tanaka"] = leases },
			[]string{"number,name,section", "1,例 tanaka,zaisei"}, "tanaka moves to zaisei ends lease ends permit"},
		{"but for permits in a handover", known(one("tanaka", "1", "jinji")), func(k *Known) { k.Holdings["id-tanaka"] = leases },
			[]string{"number,name,section,handover", "1,例 tanaka,zaisei,2026-04-10"}, "tanaka moves to zaisei handover 2026-04-11 ends lease"},
		{"who loses a post loses what was lent", known(one("tanaka", "1", "jinji", policy.SystemOperator)), func(k *Known) { k.Holdings["id-tanaka"] = leases },
			[]string{"number,name,posts", "1,例 tanaka,なし"}, "tanaka changes -[system_operator] ends lease"},
		{"concurrent posts", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,concurrent", "1,例 tanaka,財政課、情報システム課"}, "tanaka changes beside [joho zaisei]"},
		{"concurrent posts that end", known(one("tanaka", "1", "jinji")), func(k *Known) { k.Places["id-tanaka"] = []string{"zaisei"} },
			[]string{"number,name,concurrent", "1,例 tanaka,なし"}, "tanaka changes beside []"},
		{"concurrent posts as they are", known(one("tanaka", "1", "jinji")), func(k *Known) { k.Places["id-tanaka"] = []string{"zaisei"} },
			[]string{"number,name,concurrent", "1,例 tanaka,財政課"}, "unchanged 1"},
		{"a leaver's end is at midnight, and written ahead", known(one("tanaka", "1", "jinji", policy.CIO), one("sato", "2", "jinji", policy.CIO)), func(k *Known) { k.Holdings["id-tanaka"] = leases },
			[]string{"number,name,change,ends", "1,例 tanaka,退職,2026-03-31"}, "tanaka leaves -[staff cio] until 2026-04-01 00:00 ahead ends lease ends permit"},
		{"a leaver without a day leaves on the file's", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,change", "1,例 tanaka,退職"}, "tanaka leaves -[staff] until 2026-04-01 00:00 ahead"},
		{"one who leaves later", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,change,ends", "1,例 tanaka,退職,2026-06-30"}, "tanaka leaves -[staff] until 2026-07-01 00:00 ahead on 2026-07-01"},
		{"an end that has come is a leaving", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,ends", "1,例 tanaka,2026-03-31"}, "tanaka leaves -[staff] until 2026-04-01 00:00 ahead"},
		{"who has left", known(func() directory.Person { p := closed(one("tanaka", "1", "jinji")); p.Groups = nil; return p }()), nil,
			[]string{"number,name,change", "1,例 tanaka,退職"}, "unchanged 1"},
		{"re-appointed across the end of March without a gap", known(ending(one("tanaka", "1", "jinji"), aprilFirst)), nil,
			[]string{"number,name,kind,starts,ends", "1,例 tanaka,会計年度任用職員,2026-04-01,2027-03-31"}, "tanaka renewed until 2027-04-01 00:00 ahead"},
		{"re-appointed after a month", known(ending(one("tanaka", "1", "jinji"), aprilFirst)), nil,
			[]string{"number,name,kind,starts,ends", "1,例 tanaka,会計年度任用職員,2026-05-01,2027-03-31"}, "tanaka renewed until 2027-04-01 00:00 on 2026-05-01"},
		{"made permanent", known(ending(one("tanaka", "1", "jinji"), aprilFirst)), nil,
			[]string{"number,name,ends", "1,例 tanaka,なし"}, "tanaka renewed until never ahead"},
		{"a contract that ends sooner", known(contracted(ending(one("hayashi", "9", "joho"), aprilFirst.AddDate(1, 0, 0)))), nil,
			[]string{"number,name,kind,company,ends", "9,例 hayashi,事業者,例電算,2026-09-30"}, "hayashi renewed until 2026-10-01 00:00 ahead"},
		{"who comes back keeps the ID", known(closed(one("tanaka", "1", "jinji"))), nil,
			[]string{"number,name,change", "1,例 tanaka,再任用"}, "tanaka returns"},
		{"who comes back for good", known(closed(ending(one("tanaka", "1", "jinji"), aprilFirst.AddDate(-1, 0, 0)))), nil,
			[]string{"number,name,change,ends", "1,例 tanaka,再任用,なし"}, "tanaka returns until never"},
		{"leave", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,leave_from,leave_until", "1,例 tanaka,2026-04-15,2027-03-31"}, "tanaka on_leave leave 2026-04-15 to 2027-04-01"},
		{"leave that is recorded", known(one("tanaka", "1", "jinji")), func(k *Known) { k.OnLeave["id-tanaka"] = day("2027-04-01") },
			[]string{"number,name,leave_from,leave_until", "1,例 tanaka,2026-03-15,2027-03-31"}, "unchanged 1"},
		{"leave that is lengthened", known(one("tanaka", "1", "jinji")), func(k *Known) { k.OnLeave["id-tanaka"] = day("2026-10-01") },
			[]string{"number,name,leave_from,leave_until", "1,例 tanaka,2026-03-15,2027-03-31"}, "tanaka on_leave leave 2026-04-01 to 2027-04-01"},
		{"back from leave", known(one("tanaka", "1", "jinji")), func(k *Known) { k.OnLeave["id-tanaka"] = time.Time{} },
			[]string{"number,name,change", "1,例 tanaka,復職"}, "tanaka returns leave over"},
		{"a name", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name", "1,田中 改"}, "tanaka changes"},
		{"nothing", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,section,kind", "1,例 tanaka,人事課,職員"}, "unchanged 1"},
		{"who comes back under another name, by their login", known(closed(one("tanaka", "1", "jinji"))), nil,
			[]string{"number,name,login", "1,佐藤 美咲,tanaka"}, "tanaka returns"},
		{"a name with a blank more", known(closed(one("tanaka", "1", "jinji"))), nil,
			[]string{"number,name", "1,例　tanaka"}, "tanaka returns"},
		{"an ID without a number is adopted by its login", known(one("tanaka", "", "jinji")), nil,
			[]string{"number,name,login", "1,例 tanaka,tanaka"}, "tanaka changes"},
		{"of two IDs of one human being, that of the kind", known(one("tanaka", "1", "jinji"), contracted(one("tanaka-g", "1", "joho"))), nil,
			[]string{"number,name,section", "1,例 tanaka,zaisei"}, "tanaka moves to zaisei"},
		{"staff who come back by contract", known(closed(one("tanaka", "1", "jinji"))), nil,
			[]string{"number,name,kind,company,ends", "1,例 tanaka,事業者,例電算,2027-03-31"}, "tanaka returns +[contractor] -[staff] until 2027-04-01 00:00"},
		{"a program whose owner leaves", known(one("tanaka", "1", "jinji")), nil,
			[]string{"number,name,login,section,kind,owner,change", "1,例 tanaka,,,,,退職", ",夜間処理,yakan,joho,プログラム,1,"}, "tanaka leaves -[staff] until 2026-04-01 00:00 ahead; yakan joins !owner_leaves"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit != nil {
				tt.edit(&tt.k)
			}
			got, err := plan(t, rules(), tt.k, tt.file...)
			if err != nil {
				t.Fatal(err, tt.file)
			}
			var all []string
			for _, c := range got.Changes {
				all = append(all, told(c))
				if got.Counts[c.Act] == 0 {
					t.Errorf("%s is not counted", c.Act)
				}
			}
			if got.Unchanged > 0 {
				all = append(all, fmt.Sprint("unchanged ", got.Unchanged))
			}
			want := tt.want
			if s := strings.Join(all, "; "); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
		})
	}
}

// TestCannotBePlanned: what the directory says against a line is named as what the line
// itself says.
func TestCannotBePlanned(t *testing.T) {
	t.Parallel()
	guarded := one("admin", "5", "joho")
	guarded.Protected = true
	shared := one("mado", "1", "jinji")
	shared.Kind = directory.KindShared
	everybody := known(one("tanaka", "1", "jinji"), one("tanaka2", "3", "jinji"), one("suzuki", "3", "jinji"), guarded, shared, one("sekisho", "6", "joho"),
		closed(one("old", "8", "jinji")), contracted(one("gaibu", "10", "joho")), closed(ending(one("mukashi", "11", "jinji"), day("2026-04-01"))))
	everybody.Former["yamada"] = true
	everybody.Own = "uid=sekisho,ou=people," + embeddedtest.Base
	for _, tt := range []struct {
		name string
		file []string
		want string
	}{
		{"a login that somebody has", []string{"number,name,login,section", "9,新田,tanaka,jinji"}, "2 login taken"},
		{"a login of somebody who is deleted", []string{"number,name,login,section", "9,新田,Ｙamada,jinji"}, "2 login used_before"},
		{"a number that is somebody's login", []string{"number,name,section", "SUZUKI,新田,jinji"}, "2 login taken"},
		{"another login for somebody", []string{"number,name,login", "1,例 tanaka,misaki"}, "2 login fixed"},
		{"two IDs of one number", []string{"number,name,section", "3,例,zaisei"}, "2 login ambiguous"},
		{"one of them by its login", []string{"number,name,login,section", "3,例,suzuki,zaisei", "3,例,tanaka2,zaisei"}, "3 number twice"},
		{"somebody else's address", []string{"number,name,section,mail", "9,新田,jinji,tanaka@pref.example"}, "2 mail taken"},
		{"nobody leaves", []string{"number,name,change", "9,新田,退職"}, "2 number nobody"},
		{"nobody's end has come", []string{"number,name,section,ends", "9,新田,jinji,2026-03-31"}, "2 number nobody"},
		{"contrary words", []string{"number,name,change,ends", "1,例 tanaka,退職,なし"}, "2 ends contrary"},
		{"who comes back after their end", []string{"number,name,change", "11,例 mukashi,再任用"}, "2 ends over"},
		{"nowhere", []string{"number,name", "9,新田"}, "2 section required"},
		{"an ID that the directory guards", []string{"number,name,section", "5,例,zaisei"}, "2 number protected"},
		{"Sekisho's own", []string{"number,name,section", "6,例,zaisei"}, "2 number own"},
		{"a shared ID that is taken for somebody", []string{"number,name,login,section", "1,例,mado,zaisei"}, "2 kind other"},
		{"somebody who is taken for a shared ID", []string{"number,name,login,kind,owner,section", ",例,tanaka,共用,1,zaisei"}, "2 login other"},
		{"a number of somebody who has left, given again", []string{"number,name,section", "8,新田 葵,jinji"}, "2 number other_person"},
		{"a contractor's number, given to staff", []string{"number,name,section", "10,新田 葵,jinji"}, "2 number other_person"},
		{"two who would have one login", []string{"number,name,login,section", "77,甲,,jinji", "88,乙,77,jinji"}, "3 login twice"},
		{"a number that makes no login", []string{"number,name,section", "7=7,新田,jinji"}, "2 login characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := rules()
			lines, err := Read(strings.NewReader(strings.Join(tt.file, "\n")), p)
			if err == nil {
				_, err = Make(p, lines, everybody, effective, planned)
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("planned: %v", err)
			}
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Field, f.Rule))
				if f.Says.JA == "" || f.Says.EN == "" {
					t.Errorf("%+v says nothing", f)
				}
			}
			if s := strings.Join(got, ","); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
}

// TestGains: who gains by a change, or by its undoing, under whichever ID.
func TestGains(t *testing.T) {
	t.Parallel()
	cio := []policy.PostID{policy.CIO}
	soon, late := planned.AddDate(0, 1, 0), planned.AddDate(1, 0, 0)
	for _, tt := range []struct {
		name         string
		c            Change
		gives, takes bool
	}{
		{"nothing", Change{}, false, false},
		{"a name", Change{Act: Changes, Person: "a"}, false, false},
		{"joins", Change{Act: Joins}, true, false},
		{"a post", Change{Act: Changes, Gained: cio}, true, false},
		{"a post less", Change{Act: Changes, Lost: cio}, false, true},
		{"a section", Change{Act: Moves}, true, true},
		{"another section beside", Change{Act: Changes, Concurrent: []string{"joho"}}, true, false},
		{"longer", Change{Act: Renewed, Before: Record{Expires: soon}, After: Record{Expires: late}}, true, false},
		{"without an end", Change{Act: Renewed, Before: Record{Expires: soon}}, true, false},
		{"shorter", Change{Act: Renewed, After: Record{Expires: soon}}, false, true},
		{"let in again", Change{Act: Returns}, true, false},
		{"a number", Change{Act: Changes, After: Record{Number: "9"}}, true, false},
		{"leaves", Change{Act: Leaves, Lost: cio, After: Record{Expires: soon}}, false, true},
		{"leave", Change{Act: OnLeave}, false, false},
		{"a project", Change{Act: Changes, SaysProjects: true}, true, true},
		{"a contract that outlasts the project", Change{Act: Renewed, SaysOwn: true, Own: late, Before: Record{Expires: soon}, After: Record{Expires: soon}}, true, false},
	} {
		if tt.c.gives() != tt.gives || tt.c.takes() != tt.takes {
			t.Errorf("%s: gives %t, takes %t", tt.name, tt.c.gives(), tt.c.takes())
		}
	}
	who := approval.Ref(one("tanaka", "1", "jinji"))
	for _, tt := range []struct {
		name string
		c    Change
		is   bool
	}{
		{"the ID", Change{Person: who.ID}, true},
		{"the login", Change{Login: "Ｔanaka"}, true},
		{"another ID of theirs", Change{Person: "id-x", Login: "x", After: Record{Number: "１"}}, true},
		{"one that was theirs", Change{Person: "id-x", Login: "x", Before: Record{Number: "1"}, After: Record{Number: "2"}}, true},
		{"their address, without a number", Change{Login: "x", After: Record{Mail: who.Mail}}, true},
		{"somebody else", Change{Person: "id-x", Login: "x", Before: Record{Number: "2"}, After: Record{Number: "2", Mail: who.Mail}}, false},
		{"of whom nothing is known", Change{Person: "id-x", Login: "x"}, false},
	} {
		if tt.c.about(who) != tt.is {
			t.Errorf("%s: %t", tt.name, tt.c.about(who))
		}
	}
}

// TestRoster: a file that names all staff has the others leave, and nobody else.
func TestRoster(t *testing.T) {
	t.Parallel()
	p := rules()
	p.Personnel.Roster = true
	guarded := one("admin", "5", "joho")
	guarded.Protected = true
	got, err := plan(t, p, known(one("tanaka", "1", "jinji"), one("suzuki", "2", "jinji"), closed(one("sato", "3", "jinji")), contracted(one("hayashi", "4", "joho")), guarded, one("svc", "", "joho")),
		"number,name,section", "1,例 tanaka,jinji")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Changes) != 1 || told(got.Changes[0]) != "suzuki leaves -[staff] until 2026-04-01 00:00 ahead" || got.Changes[0].Line != 0 {
		t.Errorf("%+v", got.Changes)
	}
}

// TestVacant: posts that nobody would hold are named, in their section and in the whole.
func TestVacant(t *testing.T) {
	t.Parallel()
	k := known(one("tanaka", "1", "jinji", policy.SecurityManager), one("suzuki", "2", "zaisei", policy.SecurityManager), one("yoshida", "3", "soumu", policy.CIO), closed(one("old", "4", "joho", policy.CSIRT)))
	got, err := plan(t, rules(), k, "number,name,section,change,posts", "1,例 tanaka,zaisei,,security_manager", "3,例 yoshida,,退職,")
	if err != nil {
		t.Fatal(err)
	}
	want := []Vacancy{{policy.SecurityManager, "jinji"}, {policy.CIO, ""}, {policy.CIO, "soumu"}}
	if !slices.Equal(got.Vacant, want) {
		t.Errorf("got %v, want %v", got.Vacant, want)
	}
	got, err = plan(t, rules(), k, "number,name,section,change,posts,login,mail", "1,例 tanaka,zaisei,,security_manager,,", "3,例 yoshida,,退職,,,", "8,後任,soumu,,cio,kounin,k@pref.example", "9,後任,jinji,,security_manager,kounin2,l@pref.example")
	if err != nil || len(got.Vacant) != 0 {
		t.Errorf("successors do not count: %v %v", got.Vacant, err)
	}
}

// TestTooManyLeave: a file that has more leave than the policy says stops, but for a few.
func TestTooManyLeave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		people, leave int
		stops         bool
	}{{10, 5, false}, {10, 6, true}, {100, 20, false}, {100, 21, true}} {
		var (
			all  []directory.Person
			file = []string{"number,name,change"}
		)
		for i := range tt.people {
			all = append(all, one(fmt.Sprint("p", i), fmt.Sprint(i), "jinji"))
			if i < tt.leave {
				file = append(file, fmt.Sprintf("%d,例 p%d,退職", i, i))
			}
		}
		got, err := plan(t, rules(), known(all...), file...)
		if err != nil || (got.Stop != nil) != tt.stops || got.Counts[Leaves] != tt.leave {
			t.Errorf("%d of %d: stopped %v, %v", tt.leave, tt.people, got.Stop, err)
		}
		if got.Stop != nil && !strings.Contains(got.Stop.EN, "stop_share") {
			t.Errorf("%s", got.Stop.EN)
		}
	}
}

// TestEveryWord: each act, kind and warning is called something in both languages.
func TestEveryWord(t *testing.T) {
	t.Parallel()
	for _, a := range append(Acts(), "") {
		if w := a.Words(); w.JA == "" || w.EN == "" {
			t.Errorf("act %q", a)
		}
	}
	for _, k := range Kinds() {
		if w := k.Words(); w.JA == "" || w.EN == "" {
			t.Errorf("kind %q", k)
		}
	}
	for _, w := range []Warning{KeepsPosts, StandsIn, Powerful, NoMail, OwnerLeaves} {
		if s := w.Words(); s.JA == "" || s.EN == "" {
			t.Errorf("warning %q", w)
		}
	}
}

// A slow directory takes its time to be read.
type slow struct {
	*ldap.Directory
	clock *clock.Fake
}

func (d slow) Stream(ctx context.Context, each func(directory.Person) error) error {
	d.clock.Advance(3 * time.Second)
	return d.Directory.Stream(ctx, each)
}

// TestFileForNow: what is to be so now has one step, however long the directory is read.
func TestFileForNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Directory = slow{w.dir, w.clock}
	p, err := w.Look(t.Context(), "oda", file("number,name,change\nK-suzuki,例 suzuki,退職\n"), time.Time{})
	w.must(err)
	if c := p.Changes[0]; c.EndsAhead || !c.Due.Equal(planned) {
		t.Errorf("%+v", c)
	}
}
