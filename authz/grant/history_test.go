package grant

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/elevate"
	"sekisho/policy/clock"
)

// histories says how many random histories are played: few each time, many in a
// soak. A failure prints the seed that plays it again.
func histories(t *testing.T, usual, soak int) {
	t.Helper()
	n := usual
	if os.Getenv("SEKISHO_SOAK") == "1" {
		n = soak
	}
	if flag.Set("rapid.checks", strconv.Itoa(n)) != nil || flag.Set("rapid.steps", "50") != nil || flag.Set("rapid.nofailfile", "true") != nil {
		t.Fatal("the number of histories cannot be said")
	}
}

// A model of one lease, kept by whoever plays: it knows what was said and done,
// and computes the end for itself.
type model struct {
	id       string
	unused   time.Time // not begun until then, it lapses
	yes      bool      // somebody other than the borrower said so, in time
	glass    bool      // or it was taken in an emergency
	begun    time.Time
	end      time.Time
	most     time.Time
	over     time.Time // by an act; zero: not
	pausable bool
	confirm  time.Time // two persons: until then
}

// may reports whether the lease may be live at a time: the widest that anything
// said or done allows.
func (m *model) may(now time.Time) bool {
	return (m.yes || m.glass) && !m.begun.IsZero() && m.over.IsZero() && now.Before(m.end) && !m.end.After(m.most) && (!m.pausable || now.Before(m.confirm))
}

// TestRulesHoldInEveryHistory plays the pure rules against the model: whatever is
// asked for, decided and done in whatever order, and however the clock steps, no
// lease lives that nobody approved (I1) or whose end has come (I2).
func TestRulesHoldInEveryHistory(t *testing.T) {
	histories(t, 400, 20_000)
	rapid.Check(t, func(t *rapid.T) {
		v := plain
		v.TwoPerson = rapid.Bool().Draw(t, "two persons")
		v.WitnessEvery, v.EmergencyLongest = 7*time.Minute, 20*time.Minute
		now := t0
		var (
			l     Lease
			m     *model
			token string
			since time.Time // of the activation under way
		)
		span := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(1, 90).Draw(t, "n")) * rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Minute, time.Hour}).Draw(t, "unit")
		})
		caps := func() Caps {
			c := Caps{Longest: l.most(v)}
			if rapid.Bool().Draw(t, "hours") {
				c.Hours = now.Add(span.Draw(t, "hours end"))
			}
			if rapid.Bool().Draw(t, "validity") {
				c.Validity = now.Add(span.Draw(t, "account ends"))
			}
			return c
		}
		step := func(next Lease, err error, then func()) {
			if err == nil {
				l = next
				if then != nil {
					then()
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				until, live := l.Live(now)
				if live && (m == nil || !m.may(now)) {
					t.Fatalf("lives at %v until %v, but the model says %+v", now, until, m)
				}
				if live && (until.After(m.end) || !now.Before(until)) {
					t.Fatalf("lives until %v, the model until %v", until, m.end)
				}
				if end := l.EndsAt(); m != nil && !m.begun.IsZero() && (end.After(m.begun.Add(l.most(v))) || l.Limit().Before(end)) {
					t.Fatalf("ends %v, begun %v", end, m.begun)
				}
				if _, over := l.Over(now); over && live {
					t.Fatal("over and alive")
				}
			},
			"ask": func(t *rapid.T) {
				if m != nil && l.State(now).Open() {
					t.Skip("one at a time")
				}
				w := Wish{Reason: "x", For: time.Duration(rapid.IntRange(1, 60).Draw(t, "minutes")) * time.Minute}
				l, m, token = ask("l", v, borrower(), w, 1, now), &model{}, ""
			},
			"take": func(t *rapid.T) {
				if v.TwoPerson || m != nil && l.State(now).Open() {
					t.Skip("not now")
				}
				l, m, token = takeAtOnce("l", v, borrower(), Wish{Reason: "x", For: 20 * time.Minute}, 1, "", 1, now), &model{glass: true}, ""
			},
			"decide": func(t *rapid.T) {
				yes := rapid.Bool().Draw(t, "yes")
				to := map[bool]State{true: Approved, false: Denied}[yes]
				next, err := l.settle(to, v, now)
				step(next, err, func() { m.yes, m.unused = yes, now.Add(v.ActivateEnd) })
			},
			"ready":  func(*rapid.T) { next, err := l.ready("s", now); step(next, err, nil) },
			"cancel": func(*rapid.T) { next, err := l.cancel(sato, "", now); step(next, err, func() { m.over = now }) },
			"begin": func(t *rapid.T) {
				next, err := l.begin(fmt.Sprint("t", now.UnixNano()), v, caps(), now)
				step(next, err, func() {
					if token, since = l.activation, now; !m.glass && !now.Before(m.unused) {
						t.Fatal("an approval that had lapsed was used")
					}
				})
			},
			"start": func(t *rapid.T) {
				with := token
				if rapid.IntRange(0, 9).Draw(t, "another's") == 0 {
					with = "other"
				}
				c := caps()
				next, err := l.start(with, v, c, now)
				if err == nil && (with != token || !now.Before(since.Add(applyWithin))) {
					t.Fatal("started by another try, or by an answer that came too late")
				}
				step(next, err, func() {
					m.begun, m.most = now, now.Add(l.most(v))
					m.end = now.Add(min(l.Asked, l.most(v)))
					for _, cap := range []time.Time{c.Hours, c.Validity} {
						if !cap.IsZero() && cap.Before(m.end) {
							m.end = cap
						}
					}
					m.pausable, m.confirm = l.TwoPerson, now.Add(v.WitnessEvery)
				})
			},
			"abandon": func(*rapid.T) { next, err := l.abandon("", "", now); step(next, err, nil) },
			"witness": func(*rapid.T) {
				next, err := l.witnessed(ito, now)
				step(next, err, func() { m.confirm = now.Add(v.WitnessEvery) })
			},
			"ask for more": func(t *rapid.T) {
				next, err := l.askMore("m", time.Duration(rapid.IntRange(1, 90).Draw(t, "more"))*time.Minute, now.Add(time.Hour), now)
				step(next, err, nil)
			},
			"more": func(t *rapid.T) {
				yes, d := rapid.Bool().Draw(t, "yes"), l.Extension.For
				next, err := l.more(yes, caps(), now)
				step(next, err, func() {
					if yes {
						m.end = earliest(m.end.Add(d), m.most)
					}
				})
			},
			"give back": func(*rapid.T) { next, err := l.over(Ended, sato, "", now); step(next, err, func() { m.over = now }) },
			"revoke":    func(*rapid.T) { next, err := l.over(Revoked, cio, "", now); step(next, err, func() { m.over = now }) },
			"tidy": func(*rapid.T) {
				was := l.State(now)
				if next, did := l.tidied(now); did {
					l = next
				}
				if l.State(now) != was {
					t.Fatalf("tidying made %s of %s", l.State(now), was)
				}
			},
			"time goes": func(t *rapid.T) { now = now.Add(span.Draw(t, "by")) },
			"a moment":  func(*rapid.T) { now = now.Add(time.Microsecond) },
		})
	})
}

// A player drives two gateways on one store and one directory.
type player struct {
	*world
	floor  *clock.Floor
	gates  [2]*Book
	undo   [2]*elevate.Book
	decide [2]*approval.Book
	models map[string]*model
	isAway bool
}

func newPlayer(t testing.TB) *player {
	p := &player{world: newWorld(t), models: map[string]*model{}}
	p.floor = clock.NewFloor(p.clock.Now)
	for i := range p.gates {
		p.open(i)
	}
	return p
}

func (p *player) open(i int) {
	var rooms *authztest.Gate
	p.gates[i], p.undo[i], rooms = p.gateway(p.floor.Now)
	p.decide[i], p.Book = rooms.Matters, p.gates[0]
}

// by is somebody signed in, in the way they did once. The directory need not
// answer.
func (p *player) by(login string) By {
	by, ok := p.signed[login]
	if !ok {
		by = p.signIn(login)
		p.signed[login] = by
	}
	by.AuthAt = p.floor.Now()
	return by
}

// all are the leases as their rows say.
func (p *player) all() []Lease {
	out, err := list(p.Context(), p.db, `1 = 1 ORDER BY asked_at, id`)
	p.must(err)
	return out
}

func (p *player) newest(of func(Lease) bool) (Lease, bool) {
	all := p.all()
	slices.Reverse(all)
	i := slices.IndexFunc(all, of)
	if i < 0 {
		return Lease{}, false
	}
	return all[i], true
}

// TestEveryHistoryComesRight drives the book itself: random asks, decisions,
// activations that die at random points, ends, a directory that goes away, clock
// steps forward and back, and restarts, at two gateways. At each moment no gateway
// goes by a lease that the model does not allow (I1, I2, I5), and what was done is
// done once with one entry each (I3, I4). When it has come to rest, the directory
// has what the store says and nothing else.
func TestEveryHistoryComesRight(t *testing.T) {
	histories(t, 10, 300)
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlayer(t)
		ctx := t.Context()
		for _, login := range []string{"sato", "takahashi", "yamamoto", "sasaki"} {
			p.by(login)
		}
		borrowers := rapid.SampledFrom([]string{"sato", "takahashi"})
		lent := rapid.SampledFrom([]string{"db-admin", "db-admin", "claims"})
		gate := func(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "gateway") }
		activated := func(l Lease) {
			m, begun := p.models[l.ID], p.floor.Now()
			m.begun, m.most, m.end = begun, begun.Add(l.most(plain)), begun.Add(min(l.Asked, l.most(plain)))
		}
		point := func(t *rapid.T) {
			p.death.At(rapid.SampledFrom([]string{"", "", "", PointAsked, PointIntended, PointApplied, PointStarted, PointOver}).Draw(t, "dies at"))
		}
		// looked takes over what a call that died had done already: its row says so,
		// in the same transaction as its entry.
		looked := func(l Lease) {
			now := p.get(l)
			m := p.models[now.ID]
			if m.begun.IsZero() && now.state == Active {
				activated(now)
			}
			if m.over.IsZero() && !now.EndedAt.IsZero() {
				m.over = now.EndedAt
			}
		}
		activate := func(t *rapid.T) {
			l, ok := p.newest(func(l Lease) bool { return l.state == Approved })
			if !ok {
				t.Skip("nothing is approved")
			}
			point(t)
			_, _, err := p.gates[gate(t)].Activate(ctx, p.by(l.By.Login), l.ID)
			p.death.At("")
			if err == nil || errors.Is(err, authztest.ErrDied) {
				looked(l)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				now := p.floor.Now()
				for i, g := range p.gates {
					for _, login := range []string{"sato", "takahashi"} {
						given, err := g.Live(ctx, p.signed[login].Person)
						if err != nil {
							t.Fatal(err)
						}
						for _, one := range given {
							// A gateway may go by an end of elsewhere for less than a second: the
							// clock of this test stands still, so it polls.
							if m := p.models[one.Lease]; m == nil || !m.may(now) {
								p.must(g.poll(ctx))
								again, err := g.Live(ctx, p.signed[login].Person)
								if err != nil {
									t.Fatal(err)
								}
								if slices.ContainsFunc(again, func(o Given) bool { return o.Lease == one.Lease }) {
									t.Fatalf("gateway %d goes by %+v at %v; the model says %+v", i, one, now, m)
								}
							}
						}
					}
				}
			},
			"ask": func(t *rapid.T) {
				login := borrowers.Draw(t, "who")
				point(t)
				w := p.wish(lent.Draw(t, "what"), rapid.IntRange(1, 60).Draw(t, "minutes"))
				w.Key = fmt.Sprint("k", rapid.IntRange(0, 5).Draw(t, "key"), w.Privilege, w.For)
				for range rapid.IntRange(1, 3).Draw(t, "times") {
					l, err := p.gates[gate(t)].Ask(ctx, p.by(login), w)
					if errors.Is(err, authztest.ErrDied) || err == nil {
						id := idOf(p.by(login).Person.ID, w.Key)
						if p.models[id] == nil {
							p.models[id] = &model{id: id}
						}
						if err == nil && l.ID != id {
							t.Fatalf("one key, two leases: %s and %s", l.ID, id)
						}
					}
				}
				p.death.At("")
			},
			"decide": func(t *rapid.T) {
				l, ok := p.newest(func(l Lease) bool { return l.state == Pending || l.Extension.Matter != "" })
				if !ok {
					t.Skip("nothing waits")
				}
				matter, yes := l.Matter, rapid.IntRange(0, 3).Draw(t, "yes") > 0
				if l.Extension.Matter != "" {
					matter = l.Extension.Matter
				}
				if _, err := p.decide[gate(t)].Decide(ctx, p.by("yamamoto"), matter, yes, "x"); err != nil {
					t.Skip("not decided") // lapsed, or the directory is away
				}
				m, after := p.models[l.ID], p.get(l)
				switch {
				case l.Extension.Matter == "":
					m.yes = yes && after.state == Approved
				case yes && after.endsAt.After(l.endsAt):
					m.end = earliest(m.end.Add(l.Extension.For), m.most)
				}
			},
			"activate": activate, "activate again": activate,
			"take": func(t *rapid.T) {
				login := borrowers.Draw(t, "who")
				point(t)
				l, _, err := p.gates[gate(t)].Emergency(ctx, p.by(login), p.wish(lent.Draw(t, "what"), 20))
				p.death.At("")
				for _, row := range p.all() {
					if p.models[row.ID] == nil {
						p.models[row.ID] = &model{id: row.ID, glass: true}
					}
					looked(row)
				}
				if err == nil && p.models[l.ID].begun.IsZero() {
					t.Fatalf("answered as active, and its row is %s", p.get(l).state)
				}
			},
			"end": func(t *rapid.T) {
				l, ok := p.newest(func(l Lease) bool { return l.state == Active })
				if !ok {
					t.Skip("nothing lives")
				}
				point(t)
				g := p.gates[gate(t)]
				var err error
				if rapid.Bool().Draw(t, "revoked") {
					_, err = g.Revoke(ctx, p.by("sasaki"), l.ID, "x")
				} else {
					_, err = g.End(ctx, p.by(l.By.Login), l.ID, "")
				}
				p.death.At("")
				if err == nil || errors.Is(err, authztest.ErrDied) {
					looked(l)
					if p.models[l.ID].over.IsZero() {
						t.Fatalf("acknowledged as over, and its row is %+v", p.get(l))
					}
				}
			},
			"more": func(t *rapid.T) {
				l, ok := p.newest(func(l Lease) bool { return l.state == Active && !l.Emergency })
				if !ok {
					t.Skip("nothing lives")
				}
				_, _ = p.gates[gate(t)].Extend(ctx, p.by(l.By.Login), l.ID, time.Duration(rapid.IntRange(1, 60).Draw(t, "more"))*time.Minute, "")
			},
			"time goes": func(t *rapid.T) {
				p.clock.Advance(time.Duration(rapid.IntRange(1, 50).Draw(t, "n")) * rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Minute, time.Hour}).Draw(t, "unit"))
			},
			"the clock is set back": func(t *rapid.T) { // F15
				p.clock.Advance(-rapid.SampledFrom([]time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "by"))
			},
			"a restart": func(t *rapid.T) { p.open(gate(t)) },
			"the background": func(t *rapid.T) {
				i := gate(t)
				p.must(p.gates[i].Tidy(ctx))
				if !p.isAway {
					p.must(p.undo[i].Undo(ctx))
				}
			},
			"the directory": func(*rapid.T) {
				if p.isAway = !p.isAway; p.isAway {
					p.server.Away()
				} else {
					p.server.Back()
				}
			},
		})
		p.rest(rt)
	})
}

// rest lets everything come to rest, and compares the directory and the trail
// with the store.
func (p *player) rest(t *rapid.T) {
	if p.isAway {
		p.server.Back()
	}
	p.clock.Advance(p.floor.Behind()) // makes up for steps back
	for range 5 {
		p.clock.Advance(20 * time.Second)
		for i := range p.gates {
			p.must(p.gates[i].Tidy(p.Context()))
			p.must(p.undo[i].Undo(p.Context()))
		}
	}
	now := p.floor.Now()
	var want []string
	for _, l := range p.all() {
		if _, live := l.Live(now); live && l.Outside() {
			want = append(want, l.By.Login)
		}
		if l.Activating() {
			t.Fatalf("an activation is under way for ever: %+v", l)
		}
		m := p.models[l.ID]
		for action, done := range map[string]bool{"lease.activated": !m.begun.IsZero(), "lease.asked": !l.Emergency, "lease.emergency": l.Emergency} {
			n := p.entries(`"action":"`+action+`"`, `"lease":"`+l.ID+`"`)
			if done && n != 1 || !done && n != 0 {
				t.Fatalf("%d entries of %s for %+v", n, action, l)
			}
		}
	}
	slices.Sort(want)
	if got := p.members(dbAdmins); !slices.Equal(got, want) {
		t.Fatalf("the directory has %v, the store %v", got, want)
	}
}

// TestClockSteps: F15, one by one. Backwards nothing is lengthened, forwards what
// is to last lasts.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t)
			l := p.active("sato", "claims", 60)
			ends := l.EndsAt()
			p.clock.Advance(50 * time.Minute)
			p.floor.Now()
			p.clock.Advance(-step)
			if got := p.get(l); !got.EndsAt().Equal(ends) || !p.lives("sato") {
				t.Errorf("set back by %v: ends %v, want %v", step, got.EndsAt(), ends)
			}
			p.clock.Advance(step + 10*time.Minute)
			if p.lives("sato") {
				t.Errorf("lives at its end, after a step of %v", step)
			}
			// A machine that was ahead: what ended stays over when it is set right.
			p.clock.Advance(-step)
			if p.lives("sato") {
				t.Error("came back to life with the clock")
			}
		})
	}
	t.Run("over the year's end", func(t *testing.T) {
		t.Parallel()
		p := newPlayer(t)
		p.clock.Advance(time.Date(2027, 3, 31, 14, 50, 0, 0, time.UTC).Sub(t0)) // 23:50 on 31 March in Japan
		l := p.active("sato", "claims", 30)
		p.clock.Advance(20 * time.Minute)
		if !p.lives("sato") || l.EndsAt().Sub(l.StartedAt) != 30*time.Minute {
			t.Error("the new year took it away")
		}
	})
}
