package personnel

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/sys/unix"

	"sekisho/authz/authztest"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store/storetest"
	"sekisho/test/slapd"
)

// twoOffices is slapd with so many people in each of two offices, a and b, who differ in
// their names alone. Everybody is in a group of a hundred, as memberOf tells.
func twoOffices(b *testing.B, n int, synced bool) *slapd.Server {
	b.Helper()
	var ldif strings.Builder
	for _, office := range []string{"a", "b"} {
		for i := range n {
			fmt.Fprintf(&ldif, "dn: %s\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: %s%06d\ncn: 関所 %d\nsn: 関所\nmail: %[2]s%06[3]d@pref.example\n"+
				"departmentNumber: s%02[5]d\nemployeeType: staff\nemployeeNumber: %[2]s%[3]d\nmemberOf: cn=room-%[2]s%03[6]d,ou=groups,%[7]s\n\n",
				embeddedtest.PersonDN(fmt.Sprintf("%s%06d", office, i)), office, i, i, i%100, i/100, embeddedtest.Base)
		}
		for room := range n / 100 {
			fmt.Fprintf(&ldif, "dn: cn=room-%s%03d,ou=groups,%s\nobjectClass: groupOfNames\ncn: room-%[1]s%03[2]d\n", office, room, embeddedtest.Base)
			for i := range 100 {
				fmt.Fprintf(&ldif, "member: %s\n", embeddedtest.PersonDN(fmt.Sprintf("%s%06d", office, room*100+i)))
			}
			ldif.WriteString("\n")
		}
	}
	for _, post := range []policy.PostID{policy.SystemOperator, policy.CSIRT} {
		fmt.Fprintf(&ldif, "dn: %s\nobjectClass: groupOfNames\ncn: %s\nmember: cn=nobody,%s\n\n", embeddedtest.PostGroup(post), strings.ReplaceAll(string(post), "_", "-"), embeddedtest.Base)
	}
	return slapd.Start(b, slapd.Options{LDIF: ldif.String(), Synced: synced})
}

// shuffle is the file of 1 April of an office: of twenty people fourteen move, one is
// renewed, one gains or loses a post, one has another name, one leaves or comes back, and
// two join. Each turn's changes everybody again.
func shuffle(office string, post policy.PostID, n, turn int) string {
	var file strings.Builder
	file.WriteString("number,name,login,section,posts,change,ends,mail\n")
	odd := turn%2 == 1
	for i := range n {
		person := fmt.Sprintf("%s%d,関所 %d", office, i, i)
		switch sort := i % 20; {
		case sort < 14:
			fmt.Fprintf(&file, "%s,,s%02d,,異動,,\n", person, (i+turn+1)%100)
		case sort == 14:
			fmt.Fprintf(&file, "%s,,,,更新,%d-03-31,\n", person, 2030+turn)
		case sort == 15 && odd:
			fmt.Fprintf(&file, "%s,,,なし,,,\n", person)
		case sort == 15:
			fmt.Fprintf(&file, "%s,,,%s,,,\n", person, post)
		case sort == 16:
			fmt.Fprintf(&file, "%s%d,関所 %d,,,,,,\n", office, i, i*100+turn)
		case sort == 17 && odd:
			fmt.Fprintf(&file, "%s,,,,再任用,なし,\n", person)
		case sort == 17:
			fmt.Fprintf(&file, "%s,,,,退職,,\n", person)
		default:
			fmt.Fprintf(&file, "n%s%d-%d,新人 %d,n%[1]s%[2]d-%[3]d,s%02[5]d,,採用,,n%[1]s%[2]d-%[3]d@pref.example\n", office, turn, i, i, i%100)
		}
	}
	return file.String()
}

// modify writes what a plan changes, with go-ldap alone and one after the other.
func modify(b *testing.B, c *goldap.Conn, s *schema.Schema, p *policy.Policy, changes []Change) {
	b.Helper()
	try := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	groups := func(dn string, lost, gained []string) {
		for _, group := range lost {
			m := goldap.NewModifyRequest(group, nil)
			m.Delete("member", []string{dn})
			try(c.Modify(m))
		}
		for _, group := range gained {
			m := goldap.NewModifyRequest(group, nil)
			m.Add("member", []string{dn})
			try(c.Modify(m))
		}
	}
	for _, ch := range changes {
		dn := embeddedtest.PersonDN(ch.Login)
		if ch.Person == "" {
			add := goldap.NewAddRequest(dn, nil)
			for name, v := range map[string]string{s.Login: ch.Login, s.DisplayName: ch.After.Name, s.Surname: ch.After.Name, s.Kind: string(ch.After.Kind), s.Mail: ch.After.Mail, s.Section: ch.After.Section, s.Number: ch.After.Number} {
				add.Attribute(name, []string{v})
			}
			add.Attribute("objectClass", s.PersonClasses)
			try(c.Add(add))
			groups(dn, nil, ch.After.Groups)
			continue
		}
		want, gained, lost := ch.target(directory.Person{}, p)
		m := goldap.NewModifyRequest(dn, nil)
		for name, v := range map[string]*string{s.DisplayName: want.Name, s.Section: want.Section} {
			if v != nil {
				m.Replace(name, []string{*v})
			}
		}
		var more []schema.Change
		if want.ExpiresAt != nil {
			more = append(more, s.End(*want.ExpiresAt)...)
		}
		if want.Disabled != nil {
			change := s.Enable
			if *want.Disabled {
				change = s.Disable
			}
			of, err := change(nil)
			try(err)
			more = append(more, of...)
		}
		for _, one := range more {
			m.Replace(one.Attribute, one.Values)
		}
		if len(m.Changes) > 0 {
			try(c.Modify(m))
		}
		groups(dn, lost, gained)
	}
}

// processorTime is what this process and a server have taken of the machine.
func processorTime(b *testing.B, s *slapd.Server) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc_pid_stat(5): utime and stime are 14 and 15, in hundredths
	var ticks int
	for _, field := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(u.Utime.Nano()+u.Stime.Nano()) + time.Duration(ticks)*10*time.Millisecond
}

// BenchmarkImport compares the carrying out of an import, at no bounded rate, with a bare
// loop of the same modifications by go-ldap on one connection, in turns: 20,000 lines
// each, 2,000 with -short. The design asks for at most 1.2 times the time. What both have
// written is compared with the file. Synced, slapd answers when a write is on its disk, as
// it does by itself and as the store does; otherwise it costs next to nothing, which is the
// harder limit.
func BenchmarkImport(b *testing.B) {
	for _, synced := range []bool{true, false} {
		b.Run(map[bool]string{true: "synced", false: "unsynced"}[synced], func(b *testing.B) { imported(b, synced) })
	}
}

func imported(b *testing.B, synced bool) {
	b.Helper()
	if os.Getenv("SEKISHO_BENCH") != "1" {
		b.Skip("set SEKISHO_BENCH=1, or run test/run bench")
	}
	n, turns := 20_000, 5
	if testing.Short() {
		n = 2_000
	}
	s := twoOffices(b, n, synced)
	now := clock.System()
	w := &world{TB: b, policy: rules()}
	for i := range 100 {
		w.policy.Sections = append(w.policy.Sections, policy.Section{ID: fmt.Sprintf("s%02d", i)})
	}
	for i := range w.policy.Posts { // 20,000 members of one group would be all that is measured
		if id := w.policy.Posts[i].ID; id != policy.SystemOperator && id != policy.CSIRT {
			w.policy.Posts[i].Group = ""
		}
	}
	w.policy.Personnel.PerSecond, w.policy.Personnel.StopShare = 1<<30, 100
	var err error
	w.dir, err = ldap.Open(b.Context(), ldap.Config{
		Servers: []string{s.URL}, Schema: "openldap", BindDN: s.ServiceDN, BindPassword: typed(s.ServicePassword), BaseDN: s.BaseDN, OpTimeout: time.Minute, PlaintextAllowed: true,
	}, now)
	w.must(err)
	defer w.dir.Close()
	w.db, w.ring = storetest.Open(b), authztest.Ring(b)
	g := authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(now)
	life := lifecycle.New(lifecycle.House{DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, Sessions: g.Sessions, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Now: now})
	w.Book = New(House{DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, Sessions: g.Sessions, Life: life, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Fresh: func() bool { return false }, Now: now})

	names, _ := schema.Named("openldap")
	bare, err := goldap.DialURL(s.URL)
	w.must(err)
	defer bare.Close()
	w.must(bare.Bind(s.ServiceDN, s.ServicePassword))
	var ours, theirs, plans, ourCPU, theirCPU []time.Duration
	var ratios []float64
	for turn := range turns {
		mine, other := shuffle("a", policy.SystemOperator, n, turn), shuffle("b", policy.CSIRT, n, turn)
		p, err := w.plan(b.Context(), file(other), time.Time{})
		w.must(err)
		byHand := func() {
			took, spent := clock.Stopwatch(), processorTime(b, s)
			modify(b, bare, &names, w.policy, p.Changes)
			theirs, theirCPU = append(theirs, took()), append(theirCPU, processorTime(b, s)-spent)
		}
		if turn%2 == 0 {
			byHand()
		}
		took := clock.Stopwatch()
		i, _, err := w.Propose(b.Context(), "oda", File{Name: "f.csv", Digest: fmt.Sprint(turn), From: strings.NewReader(mine)}, time.Time{}, true)
		w.must(err)
		plans = append(plans, took())
		took = clock.Stopwatch()
		spent := processorTime(b, s)
		w.must(w.Tick(b.Context()))
		ours, ourCPU = append(ours, took()), append(ourCPU, processorTime(b, s)-spent)
		if turn%2 == 1 {
			byHand()
		}
		ratios = append(ratios, float64(ours[turn])/float64(theirs[turn]))
		if so, err := w.Progress(b.Context(), i.ID); err != nil || so.Done != n || so.Failed != 0 || w.state(i.ID) != Done {
			b.Fatalf("turn %d: %+v, %v", turn, so, err)
		}
		for _, text := range []string{mine, other} {
			if again, err := w.plan(b.Context(), file(text), time.Time{}); err != nil || again.Unchanged != n {
				b.Fatalf("turn %d: the directory differs from the file in %d lines, %v", turn, len(again.Changes), err)
			}
		}
	}
	middle := func(of []time.Duration) float64 {
		slices.Sort(of)
		return of[len(of)/2].Seconds()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "times-bare")
	b.ReportMetric(ratios[0], "times-bare-least")
	b.ReportMetric(ratios[len(ratios)-1], "times-bare-most")
	b.ReportMetric(middle(ours), "import-s")
	b.ReportMetric(middle(theirs), "bare-s")
	b.ReportMetric(middle(plans), "plan-s")
	b.ReportMetric(middle(ourCPU), "import-cpu-s")
	b.ReportMetric(middle(theirCPU), "bare-cpu-s")
	b.ReportMetric(0, "ns/op")
}
