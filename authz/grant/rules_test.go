package grant

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

var (
	t0    = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	sato  = Ref{ID: "p-sato", Number: "0001", Login: "sato", Name: "佐藤 健"}
	ito   = Ref{ID: "p-ito", Number: "0002", Login: "ito", Name: "伊藤 翔"}
	cio   = Ref{ID: "p-cio", Number: "0003", Login: "yoshida", Name: "吉田 隆"}
	plain = policy.Privilege{
		ID: "db-admin", Gives: []policy.Gift{{Kind: policy.GiftGroup, Group: "cn=db-admins,ou=groups,dc=pref,dc=example"}},
		Eligible: policy.Eligible{Posts: []policy.PostID{policy.SystemAdministrator}},
		Usual:    15 * time.Minute, Longest: time.Hour, AskEnd: 24 * time.Hour, ActivateEnd: 4 * time.Hour,
		ACR: policy.AAL2, FreshFor: 8 * time.Hour, Emergency: true, EmergencyLongest: 30 * time.Minute, WorkRecord: true, RecordEnd: 24 * time.Hour,
	}
)

func borrower() Borrower {
	return Borrower{
		Person: directory.Person{ID: sato.ID, Number: sato.Number, Login: sato.Login, Name: sato.Name, Kind: directory.KindStaff, Section: "joho"},
		Posts:  []policy.PostID{policy.Staff, policy.SystemAdministrator},
		Tied:   authz.Untied,
	}
}

func changed(v policy.Privilege, change func(*policy.Privilege)) policy.Privilege {
	change(&v)
	return v
}

// asked is a lease that waits, approved and active ones that have gone on.
func asked(v policy.Privilege) Lease {
	return ask("l1", v, borrower(), Wish{Reason: "work", For: v.Usual}, 3, t0)
}

func must(l Lease, err error) Lease {
	if err != nil {
		panic(err)
	}
	return l
}

func approved(v policy.Privilege) Lease { return must(asked(v).settle(Approved, v, t0)) }

func active(v policy.Privilege) Lease {
	l := approved(v)
	if v.TwoPerson {
		l = must(must(l.ready("s1", t0)).witnessed(ito, t0))
	}
	l = must(l.begin("t", v, Caps{Longest: v.Longest}, t0))
	return must(l.start("t", v, Caps{Longest: v.Longest}, t0))
}

func why(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// TestStateAt: what a lease is at a time does not wait for anybody to write it down.
func TestStateAt(t *testing.T) {
	two := changed(plain, func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery = true, 5*time.Minute })
	given := must(active(plain).over(Ended, sato, "", t0.Add(time.Minute)))
	for _, tt := range []struct {
		name string
		l    Lease
		at   time.Duration
		want State
		live time.Duration // until; 0: not at all
	}{
		{"the zero lease", Lease{}, 0, "", 0},
		{"asked for", asked(plain), 0, Pending, 0},
		{"a moment before it lapses", asked(plain), 24*time.Hour - time.Microsecond, Pending, 0},
		{"lapses undecided", asked(plain), 24 * time.Hour, Lapsed, 0},
		{"approved", approved(plain), 0, Approved, 0},
		{"lapses unused", approved(plain), 4 * time.Hour, Lapsed, 0},
		{"active", active(plain), 0, Active, 15 * time.Minute},
		{"a moment before its end", active(plain), 15*time.Minute - time.Microsecond, Active, 15 * time.Minute},
		{"its end", active(plain), 15 * time.Minute, Expired, 0},
		{"long after it", active(plain), 1000 * time.Hour, Expired, 0},
		{"given back", given, time.Minute, Ended, 0},
		{"given back stays given back", given, time.Hour, Ended, 0},
		{"given back is over also before", given, 0, Ended, 0}, // a clock set back
		{"two persons", active(two), 0, Active, 5 * time.Minute},
		{"unconfirmed, it pauses", active(two), 5 * time.Minute, Active, 0},
		{"confirmed, it goes on", must(active(two).witnessed(ito, t0.Add(6*time.Minute))), 7 * time.Minute, Active, 11 * time.Minute},
		{"confirmed near its end", must(active(two).witnessed(ito, t0.Add(14*time.Minute))), 14 * time.Minute, Active, 15 * time.Minute},
		{"paused until its end", active(two), 15 * time.Minute, Expired, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := t0.Add(tt.at)
			until, ok := tt.l.Live(now)
			if got := tt.l.State(now); got != tt.want || ok != (tt.live > 0) || ok && !until.Equal(t0.Add(tt.live)) {
				t.Errorf("%s, live %t until %v; want %s, until %v", got, ok, until, tt.want, t0.Add(tt.live))
			}
		})
	}
}

// TestLendPassesNoCap is the one place where an end is computed.
func TestLendPassesNoCap(t *testing.T) {
	at := func(m int) time.Time { return t0.Add(time.Duration(m) * time.Minute) }
	begun := Lease{StartedAt: t0, endsAt: at(30), limit: at(60)}
	for _, tt := range []struct {
		name        string
		from        Lease
		d           time.Duration
		caps        Caps
		ends, limit time.Time
	}{
		{"as asked", Lease{}, 15 * time.Minute, Caps{Longest: time.Hour}, at(15), at(60)},
		{"the longest", Lease{}, 90 * time.Minute, Caps{Longest: time.Hour}, at(60), at(60)},
		{"hours end first", Lease{}, 45 * time.Minute, Caps{Longest: time.Hour, Hours: at(20)}, at(20), at(20)},
		{"the person's own end", Lease{}, 45 * time.Minute, Caps{Longest: time.Hour, Validity: at(10), Hours: at(20)}, at(10), at(10)},
		{"what the directory was told", Lease{}, 45 * time.Minute, Caps{Longest: time.Hour, NotAfter: at(40)}, at(40), at(60)},
		{"no cap at all gives nothing", Lease{}, 45 * time.Minute, Caps{}, t0, t0},
		{"more", begun, 15 * time.Minute, Caps{Longest: time.Hour}, at(45), at(60)},
		{"more than there is", begun, 45 * time.Minute, Caps{Longest: time.Hour}, at(60), at(60)},
		{"more under a longest that has shrunk", begun, 15 * time.Minute, Caps{Longest: 40 * time.Minute}, at(40), at(40)},
		{"a limit does not grow", begun, 90 * time.Minute, Caps{Longest: 3 * time.Hour}, at(60), at(60)},
	} {
		got := tt.from.lend(t0, tt.d, tt.caps)
		if !got.endsAt.Equal(tt.ends) || !got.limit.Equal(tt.limit) {
			t.Errorf("%s: ends %v, limit %v; want %v, %v", tt.name, got.endsAt, got.limit, tt.ends, tt.limit)
		}
	}
}

// TestActsAndStates tries every act on a lease in every state, and says which of
// them are taken.
func TestActsAndStates(t *testing.T) {
	now := t0.Add(time.Minute)
	extending := must(active(plain).askMore("m", 10*time.Minute, t0.Add(time.Hour), now))
	leases := map[string]Lease{
		"pending": asked(plain), "approved": approved(plain), "active": active(plain),
		"ended": must(active(plain).over(Ended, sato, "", now)), "revoked": must(active(plain).over(Revoked, cio, "", now)),
		"denied": must(asked(plain).settle(Denied, plain, now)), "cancelled": must(asked(plain).cancel(sato, "", now)),
		"extending": extending,
	}
	expired := active(plain)
	expired.endsAt = now
	leases["expired"] = expired
	lapsed := asked(plain)
	lapsed.LapsesAt = now
	leases["lapsed"] = lapsed
	caps := Caps{Longest: plain.Longest}
	for _, tt := range []struct {
		act   string
		do    func(Lease) (Lease, error)
		taken string
	}{
		{"approve", func(l Lease) (Lease, error) { return l.settle(Approved, plain, now) }, "pending"},
		{"deny", func(l Lease) (Lease, error) { return l.settle(Denied, plain, now) }, "pending lapsed"},
		{"settle as nothing", func(l Lease) (Lease, error) { return l.settle(Active, plain, now) }, ""},
		{"cancel", func(l Lease) (Lease, error) { return l.cancel(sato, "", now) }, "pending approved"},
		{"begin", func(l Lease) (Lease, error) { return l.begin("t", plain, caps, now) }, "approved"},
		{"start without having begun", func(l Lease) (Lease, error) { return l.start("", plain, caps, now) }, ""},
		{"ask for more", func(l Lease) (Lease, error) { return l.askMore("m", time.Minute, now.Add(time.Hour), now) }, "active"},
		{"more", func(l Lease) (Lease, error) { return l.more(true, caps, now) }, "extending"},
		{"give back", func(l Lease) (Lease, error) { return l.over(Ended, sato, "", now) }, "active extending"},
		{"take away", func(l Lease) (Lease, error) { return l.over(Revoked, cio, "", now) }, "active extending"},
		{"write", func(l Lease) (Lease, error) { return l.write("done", now) }, "ended revoked expired"},
		{"countersign", func(l Lease) (Lease, error) { return l.countersign(ito, "", now) }, ""},
		{"judge", func(l Lease) (Lease, error) { return l.judge(cio, "", now) }, ""},
		{"witness", func(l Lease) (Lease, error) { return l.witnessed(ito, now) }, ""},
		{"be ready", func(l Lease) (Lease, error) { return l.ready("s", now) }, ""},
	} {
		for state, l := range leases {
			_, err := tt.do(l)
			if taken := strings.Contains(" "+tt.taken+" ", " "+state+" "); taken != (err == nil) {
				t.Errorf("%s when %s: %v, want taken %t", tt.act, state, err, taken)
			}
			if err != nil && why(err) == "" {
				t.Errorf("%s when %s: %v does not say why", tt.act, state, err)
			}
		}
	}
}

func TestMayAsk(t *testing.T) {
	p := policy.Standard()
	now := t0.Add(10 * time.Hour)
	cool := changed(plain, func(v *policy.Privilege) { v.CoolDown = time.Hour })
	trial := changed(plain, func(v *policy.Privilege) { v.Environment = policy.Development })
	both := changed(plain, func(v *policy.Privilege) { v.Environment = policy.EitherEnvironment })
	const wrong, over = Reason(authz.WrongEnvironment), Reason(authz.ProjectOver)
	overdue := active(plain) // ended at 9:15, due at 9:15 the next day
	other := func(l Lease) Lease { l.Privilege = "other"; return l }
	for _, tt := range []struct {
		name      string
		v         policy.Privilege
		who       func(*Borrower)
		theirs    []Lease
		emergency bool
		at        time.Time
		want      Reason
	}{
		{"may", plain, nil, nil, false, now, ""},
		{"nobody", plain, func(b *Borrower) { *b = Borrower{} }, nil, false, now, AccountEnds},
		{"no such privilege", policy.Privilege{}, nil, nil, false, now, UnknownPrivilege},
		{"without the post", plain, func(b *Borrower) { b.Posts = b.Posts[:1] }, nil, false, now, NotEligible},
		{"disabled", plain, func(b *Borrower) { b.Person.Account.Disabled = true }, nil, false, now, AccountEnds},
		{"ended", plain, func(b *Borrower) { b.Person.Account.ExpiresAt = now }, nil, false, now, AccountEnds},
		{"a program", plain, func(b *Borrower) { b.Person.Kind = directory.KindService }, nil, false, now, NotEligible},
		{"a shared ID", plain, func(b *Borrower) { b.Person.Kind = directory.KindShared }, nil, false, now, NotEligible},
		{"whoever audits too", plain, func(b *Borrower) { b.Posts = append(b.Posts, policy.Auditor) }, nil, false, now, NotEligible},
		{"of development, at production", plain, func(b *Borrower) { b.Tied.Of = policy.Development }, nil, false, now, wrong},
		{"of production, at development", trial, nil, nil, false, now, wrong},
		{"of development, at development", trial, func(b *Borrower) { b.Tied.Of = policy.Development }, nil, false, now, ""},
		{"of development, at either", both, func(b *Borrower) { b.Tied.Of = policy.Development }, nil, false, now, ""},
		{"of production, at either", both, nil, nil, false, now, ""},
		{"whose project has not ended", plain, func(b *Borrower) { b.Tied.Until = now.Add(1) }, nil, false, now, ""},
		{"whose project is over", plain, func(b *Borrower) { b.Tied.Until = now }, nil, false, now, over},
		{"of whom nobody asked", both, func(b *Borrower) { b.Tied = authz.Tied{} }, nil, false, now, over},
		{"emergency, of development at production", plain, func(b *Borrower) { b.Tied.Of = policy.Development }, nil, true, now, wrong},
		{"emergency, of production at development", trial, nil, nil, true, now, wrong},
		{"has asked", plain, nil, []Lease{asked(plain)}, false, now, HasOne},
		{"has one", plain, nil, []Lease{active(plain)}, false, t0, HasOne},
		{"had one", plain, nil, []Lease{active(plain)}, false, now, ""},
		{"has another privilege", plain, nil, []Lease{other(active(plain))}, false, t0, ""},
		{"too soon", cool, nil, []Lease{active(cool)}, false, t0.Add(time.Hour), CoolingDown},
		{"soon enough", cool, nil, []Lease{active(cool)}, false, t0.Add(time.Hour + 15*time.Minute), ""},
		{"never begun: nothing to cool down from", cool, nil, []Lease{must(approved(cool).cancel(sato, "", t0))}, false, t0, ""},
		{"a record that is not due yet", plain, nil, []Lease{overdue}, false, t0.Add(24 * time.Hour), ""},
		{"a record that is due", plain, nil, []Lease{other(overdue)}, false, t0.Add(24*time.Hour + 15*time.Minute), RecordDue},
		{"a record that was written", plain, nil, []Lease{must(overdue.write("done", now))}, false, t0.Add(48 * time.Hour), ""},
		{"emergency", plain, nil, nil, true, now, ""},
		{"not in an emergency", changed(plain, func(v *policy.Privilege) { v.Emergency = false }), nil, nil, true, now, NoEmergency},
		{"emergency, with a record due", plain, nil, []Lease{overdue}, true, t0.Add(72 * time.Hour), ""},
		{"emergency, too soon", cool, nil, []Lease{active(cool)}, true, t0.Add(20 * time.Minute), ""},
		{"emergency, while asking waits", plain, nil, []Lease{asked(plain)}, true, now, ""},
		{"emergency, and has it", plain, nil, []Lease{active(plain)}, true, t0, HasOne},
		{"emergency, without the post", plain, func(b *Borrower) { b.Posts = nil }, nil, true, now, NotEligible},
	} {
		b := borrower()
		if tt.who != nil {
			tt.who(&b)
		}
		err := MayAsk(p, tt.v, b, tt.theirs, tt.emergency, tt.at)
		if why(err) != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestWish(t *testing.T) {
	ticket := changed(plain, func(v *policy.Privilege) { v.Ticket = "CHG-[0-9]+" })
	for _, tt := range []struct {
		name  string
		v     policy.Privilege
		w     Wish
		d     time.Duration
		field string
	}{
		{"the usual time", plain, Wish{Reason: " work "}, 15 * time.Minute, ""},
		{"the longest", plain, Wish{Reason: "work", For: time.Hour}, time.Hour, ""},
		{"longer", plain, Wish{Reason: "work", For: 61 * time.Minute}, 0, "minutes"},
		{"seconds", plain, Wish{Reason: "work", For: 90 * time.Second}, 0, "minutes"},
		{"backwards", plain, Wish{Reason: "work", For: -time.Minute}, 0, "minutes"},
		{"without a reason", plain, Wish{Reason: " \n"}, 0, "reason"},
		{"with a long one", plain, Wish{Reason: strings.Repeat("あ", 501)}, 0, "reason"},
		{"with one that turns the text round", plain, Wish{Reason: "a\u202eb"}, 0, "reason"},
		{"without its ticket", ticket, Wish{Reason: "work"}, 0, "ticket"},
		{"with its ticket", ticket, Wish{Reason: "work", Ticket: "CHG-1"}, 15 * time.Minute, ""},
		{"with another", ticket, Wish{Reason: "work", Ticket: "CHG-1 or so"}, 0, "ticket"},
		{"in an emergency, the shortest time", plain, Wish{Reason: "fire", For: time.Hour, Emergency: true}, 30 * time.Minute, ""},
		{"in an emergency, without a ticket", ticket, Wish{Reason: "fire", Emergency: true}, 15 * time.Minute, ""},
	} {
		got, err := tt.w.plain(tt.v)
		var r *Refusal
		if errors.As(err, &r); tt.field != "" && (r == nil || r.Field != tt.field || r.Is != Invalid) || tt.field == "" && (err != nil || got.For != tt.d || strings.TrimSpace(got.Reason) != got.Reason) {
			t.Errorf("%s: %+v, %v; want %v, field %q", tt.name, got, err, tt.d, tt.field)
		}
	}
}

// TestTwoPersons: article 49-3.
func TestTwoPersons(t *testing.T) {
	two := changed(plain, func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery = true, 5*time.Minute })
	l := approved(two)
	if _, err := l.witnessed(ito, t0); why(err) != WrongState {
		t.Errorf("a second person before the first: %v", err)
	}
	l = must(l.ready("s1", t0))
	if !l.Waits(t0) || l.Waits(t0.Add(readyFor)) || l.State(t0) != Approved {
		t.Error("it does not wait, or for ever")
	}
	if _, err := l.witnessed(sato, t0); why(err) != OwnLease {
		t.Errorf("one's own second person: %v", err)
	}
	if _, err := l.witnessed(Ref{}, t0); why(err) != OwnLease {
		t.Errorf("nobody as a second person: %v", err)
	}
	if _, err := active(two).witnessed(sato, t0); why(err) != OwnLease {
		t.Errorf("confirming for oneself: %v", err)
	}
	other := must(active(two).witnessed(cio, t0.Add(8*time.Minute)))
	if other.Witness != cio || other.Paused(t0.Add(12*time.Minute)) || !other.Paused(t0.Add(13*time.Minute)) {
		t.Errorf("another takes over: %+v", other)
	}
	if _, err := active(plain).witnessed(ito, t0); why(err) != WrongState {
		t.Errorf("a second person where none is asked for: %v", err)
	}
}

func TestRecords(t *testing.T) {
	l := active(plain)
	if _, owed := l.Owed(t0); owed {
		t.Error("owed before the end")
	}
	end := t0.Add(15 * time.Minute)
	if due, owed := l.Owed(end); !owed || !due.Equal(end.Add(24*time.Hour)) {
		t.Errorf("due %v, %t", due, owed)
	}
	if l.Overdue(end.Add(24*time.Hour-1)) || !l.Overdue(end.Add(24*time.Hour)) {
		t.Error("overdue at another moment than its date")
	}
	if _, owed := active(changed(plain, func(v *policy.Privilege) { v.WorkRecord = false })).Owed(end); owed {
		t.Error("owed where none is asked for")
	}
	if _, owed := must(approved(plain).cancel(sato, "", t0)).Owed(end); owed {
		t.Error("owed for what never began")
	}
	l = must(l.write("done", end))
	if _, owed := l.Owed(end); owed {
		t.Error("owed although it was written")
	}
	if _, err := l.countersign(sato, "", end); why(err) != OwnLease {
		t.Errorf("countersigning one's own: %v", err)
	}
	l = must(must(l.write("done, and more", end)).countersign(ito, "ok", end))
	if _, err := l.write("nothing happened", end); why(err) != WrongState {
		t.Errorf("changing a record that was countersigned: %v", err)
	}
	if _, err := l.countersign(cio, "", end); why(err) != WrongState {
		t.Errorf("countersigning twice: %v", err)
	}
}

// TestEmergency: article 80-2.
func TestEmergency(t *testing.T) {
	l := takeAtOnce("l1", plain, borrower(), Wish{Reason: "fire", For: 30 * time.Minute}, 3, "", 1, t0)
	if l.State(t0) != Approved || l.State(t0.Add(applyWithin)) != Lapsed || l.Incident != "l1" {
		t.Errorf("%+v", l)
	}
	caps := Caps{Longest: plain.EmergencyLongest}
	gone := must(must(l.begin("t", plain, caps, t0)).abandon("t", "directory away", t0))
	if gone.State(t0) != Cancelled {
		t.Errorf("given up: %s", gone.State(t0))
	}
	l = must(must(l.begin("t", plain, caps, t0)).start("t", plain, caps, t0.Add(time.Second)))
	if until, ok := l.Live(t0.Add(time.Second)); !ok || until.Sub(t0) > 31*time.Minute {
		t.Errorf("live until %v", until)
	}
	if due, owed := l.Owed(t0.Add(time.Second)); !owed || !due.Equal(t0.Add(time.Second).Add(24*time.Hour)) {
		t.Errorf("its report is due %v, %t", due, owed)
	}
	if _, err := l.askMore("m", time.Minute, t0.Add(time.Hour), t0.Add(time.Minute)); why(err) != NoMore {
		t.Errorf("more of what nobody approved: %v", err)
	}
	if _, err := l.judge(sato, "", t0); why(err) != OwnLease {
		t.Errorf("judging oneself: %v", err)
	}
	l = must(l.judge(cio, "it was right", t0))
	if _, err := l.judge(ito, "it was not", t0); why(err) != WrongState {
		t.Errorf("judging twice: %v", err)
	}
	if _, err := active(plain).judge(cio, "", t0); why(err) != NotJudged {
		t.Errorf("judging what was approved: %v", err)
	}
}

// TestActivation: an answer that comes too late, or for another try, starts nothing.
func TestActivation(t *testing.T) {
	caps := Caps{Longest: plain.Longest}
	l := must(approved(plain).begin("one", plain, caps, t0))
	if _, err := l.begin("two", plain, caps, t0.Add(applyWithin-1)); why(err) != StillUnderWay {
		t.Errorf("two at once: %v", err)
	}
	if _, err := l.start("two", plain, caps, t0); err == nil {
		t.Error("another's activation started it")
	}
	if _, err := l.start("one", plain, caps, t0.Add(applyWithin)); err == nil {
		t.Error("an answer that came too late started it")
	}
	later := must(l.begin("two", plain, caps, t0.Add(applyWithin)))
	if _, err := later.start("one", plain, caps, t0.Add(applyWithin)); err == nil {
		t.Error("the first try started the second")
	}
	if _, err := later.abandon("one", "", t0); err == nil {
		t.Error("the first try gave up the second")
	}
	back := must(later.abandon("two", "", t0))
	if back.State(t0) != Approved || back.Activating() {
		t.Errorf("given up: %s", back.State(t0))
	}
	if _, err := approved(plain).begin("t", plain, Caps{Longest: plain.Longest, Hours: t0.Add(20 * time.Second)}, t0); why(err) != OutOfHours {
		t.Errorf("activated for less than it takes: %v", err)
	}
	// However long the directory took, what it was told is not passed.
	slow := must(l.start("one", plain, caps, t0.Add(applyWithin-1)))
	if until, _ := slow.Live(t0.Add(applyWithin)); until.After(l.notAfter) || until.Sub(t0.Add(applyWithin-1)) > plain.Usual {
		t.Errorf("until %v, the directory was told %v", until, l.notAfter)
	}
}
