package project

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authz"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestState(t *testing.T) {
	t.Parallel()
	until := after("2026-03-31")
	for _, tt := range []struct {
		name      string
		completed time.Time
		now       time.Time
		want      State
	}{
		{"before its end", time.Time{}, until.Add(-time.Microsecond), Running},
		{"31 March, 23:59 in Japan", time.Time{}, time.Date(2026, 3, 31, 14, 59, 59, 0, time.UTC), Running},
		{"1 April, 00:00 in Japan", time.Time{}, time.Date(2026, 3, 31, 15, 0, 0, 0, time.UTC), Over},
		{"long after", time.Time{}, until.AddDate(5, 0, 0), Over},
		{"completed", until.AddDate(0, -1, 0), until.AddDate(0, 0, -1), Completed},
		{"completed, its day passed", until.AddDate(0, -1, 0), until.AddDate(0, 1, 0), Completed},
		{"completed by a gate whose clock is ahead", until.Add(-time.Hour), until.Add(-2 * time.Hour), Completed},
	} {
		p := Project{Environment: policy.Development, Until: until, CompletedAt: tt.completed}
		if got := p.State(tt.now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if _, good := authz.EnvironmentOf([]authz.Tie{p.tie()}, tt.now); good != (tt.want == Running) {
			t.Errorf("%s: an ID that is bound to it is good: %t", tt.name, good)
		}
	}
	if (Project{}).State(t0) == Running {
		t.Error("the zero project runs")
	}
	if got := (Project{Until: until}).LastDay(); got != "2026-03-31" {
		t.Error("its last day is", got)
	}
}

// TestMayBind: each reason against binding an ID.
func TestMayBind(t *testing.T) {
	t.Parallel()
	now := t0
	p := Project{ID: "a", Environment: policy.Development, Until: after("2026-09-30")}
	running := func(id string, env policy.Environment, until string) bound {
		return bound{Member{Project: id}, Project{ID: id, Environment: env, Until: after(until)}}
	}
	fine := candidate{who: directory.Person{Kind: directory.KindContractor}, within: true}
	with := func(change func(c *candidate)) candidate {
		c := fine
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name string
		p    Project
		c    candidate
		want string
	}{
		{"nothing stands against it", p, fine, ""},
		{"a program", p, with(func(c *candidate) { c.who.Kind = directory.KindService }), ""},
		{"own", p, with(func(c *candidate) { c.own = true }), "own"},
		{"shared", p, with(func(c *candidate) { c.who.Kind = directory.KindShared }), "shared"},
		{"lent", p, with(func(c *candidate) { c.who.Kind = directory.KindLent }), "lent"},
		{"closed or gone", p, with(func(c *candidate) { c.shut = true }), "closed"},
		{"in an envelope", p, with(func(c *candidate) { c.kept = lifecycle.Sealed }), "kept"},
		{"powerful", p, with(func(c *candidate) { c.powerful = true }), "powerful"},
		{"of another section", p, with(func(c *candidate) { c.within = false }), "other_section"},
		{"of another section, of which no more is said", p, with(func(c *candidate) {
			c.within, c.shut, c.powerful, c.who.Kind = false, true, true, directory.KindShared
		}), "other_section"},
		{"to one whose day has passed", Project{Until: now}, fine, "over"},
		{"to one that is completed", Project{Until: p.Until, CompletedAt: now}, fine, "completed"},
		{"twice", p, with(func(c *candidate) { c.bound = []bound{running("a", policy.Development, "2026-09-30")} }), "bound"},
		{"a second of the same environment", p, with(func(c *candidate) { c.bound = []bound{running("b", policy.Development, "2026-09-30")} }), ""},
		{"one of the other environment runs", p, with(func(c *candidate) { c.bound = []bound{running("b", policy.Production, "2026-09-30")} }), "other_environment"},
		{"one of the other environment is over, another runs", p, with(func(c *candidate) {
			c.bound = []bound{running("b", policy.Production, "2026-02-01"), running("c", policy.Development, "2026-09-30")}
		}), ""},
		{"all are over", p, with(func(c *candidate) { c.bound = []bound{running("b", policy.Development, "2026-02-01")} }), "projects_over"},
	} {
		got := ""
		if why := mayBind(tt.p, tt.c, now); why != nil {
			got = why.Reason
			if why.Says.JA == "" || why.Says.EN == "" {
				t.Errorf("%s: nothing is said", tt.name)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestAimed: what is to stand in the directory.
func TestAimed(t *testing.T) {
	t.Parallel()
	none := time.Time{}
	march, april, june := after("2026-03-31"), after("2026-04-30"), after("2026-06-30")
	tied := func(until ...time.Time) (all []bound) {
		for _, u := range until {
			all = append(all, bound{Member{}, Project{Until: u}})
		}
		return all
	}
	completed := []bound{{Member{}, Project{Until: june, CompletedAt: t0}}}
	for _, tt := range []struct {
		name   string
		e      end
		stands time.Time
		all    []bound
		aim    time.Time
		own    time.Time
		write  bool
	}{
		{"a first end", end{}, none, tied(april), april, none, true},
		{"an own end that is later", end{}, june, tied(april), april, june, true},
		{"an own end that is earlier stays", end{}, march, tied(april), march, march, false},
		{"of two the last counts", end{}, none, tied(april, june), june, none, true},
		{"it stands already", end{aim: april, wrote: april}, april, tied(april), april, none, false},
		{"extended", end{aim: april, wrote: april}, april, tied(june), june, none, true},
		{"extended beyond the own end", end{own: june, aim: april, wrote: april}, april, tied(after("2026-12-31")), june, june, true},
		{"shortened", end{aim: june, wrote: june}, june, tied(april), april, none, true},
		{"somebody else made it earlier", end{aim: june, wrote: june}, march, tied(after("2026-12-31")), march, march, false},
		{"somebody else made it later", end{aim: april, wrote: april}, june, tied(april), april, june, true},
		{"released", end{own: june, aim: april, wrote: april}, april, nil, june, june, true},
		{"released, there was none", end{aim: april, wrote: april}, april, nil, none, none, true},
		{"released, and somebody else has changed it", end{aim: april, wrote: april}, march, nil, march, march, false},
		{"died after it was written", end{own: june, aim: april}, april, tied(april), april, june, false},
		{"died before it was written", end{own: june, aim: april}, june, tied(april), april, june, true},
		{"a directory that keeps days", end{aim: april, wrote: april.Add(-15 * time.Hour)}, april.Add(-15 * time.Hour), tied(april), april, none, false},
		{"completed: it ended then", end{aim: june, wrote: june}, june, completed, t0, none, true},
		{"completed, and it says so", end{aim: t0, wrote: t0}, t0, completed, t0, none, false},
		{"completed, with an own end before that", end{own: march, aim: march, wrote: march}, march, []bound{{Member{}, Project{Until: june, CompletedAt: april}}}, march, march, false},
		{"one is completed, another runs", end{aim: june, wrote: june}, june, append(tied(april), completed...), april, none, true},
	} {
		next, write := tt.e.aimed(t0, tt.stands, tt.all)
		if !next.aim.Equal(tt.aim) || !next.own.Equal(tt.own) || write != tt.write {
			t.Errorf("%s: aim %v, own %v, write %t; want %v, %v, %t", tt.name, next.aim, next.own, write, tt.aim, tt.own, tt.write)
		}
	}
}

// TestFirstProjectEndsOlderGates: a gate that knows no projects works beside this one while
// there are none, and no longer.
func TestFirstProjectEndsOlderGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	older := func() int { return w.count(`SELECT COUNT(*) FROM schema_floor WHERE oldest < 125`) }
	if older() != 1 {
		t.Fatal("shut out before there is a project")
	}
	w.register("dev", policy.Development, "2026-09-30")
	if older() != 0 {
		t.Error("a gate that knows no projects goes on where there is one")
	}

	// A store that was restored says nothing of it until a gate begins to work on it.
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return tx.ExecOne(t.Context(), `UPDATE schema_floor SET oldest = 17 WHERE id = 1`)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.Run(ctx) }()
	for late := time.After(10 * time.Second); older() != 0; {
		select {
		case <-late:
			t.Fatal("nor does a gate that starts say so")
		default:
		}
	}
	cancel()
	<-stopped
}

// TestRegister: who registers what; an id is given once for ever.
func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	good := plan("zaimu-r8", policy.Development, "2027-03-31")
	for name, tt := range map[string]struct {
		change func(n *New)
		reason string
	}{
		"no id":               {func(n *New) { n.ID = " " }, "required"},
		"an id of other form": {func(n *New) { n.ID = "Zaimu_1" }, "form"},
		"no name":             {func(n *New) { n.Name = "" }, "required"},
		"an odd name":         {func(n *New) { n.Name = "a\u202eb" }, "unusable"},
		"no such section":     {func(n *New) { n.Section = "nai" }, "unknown"},
		"either environment":  {func(n *New) { n.Environment = policy.EitherEnvironment }, "unknown"},
		"no end":              {func(n *New) { n.Until = time.Time{} }, "required"},
		"an end that passed":  {func(n *New) { n.Until = t0 }, "past"},
		"too far":             {func(n *New) { n.Until = policy.AfterDays(t0, 1097) }, "too_far"},
		"from after its end":  {func(n *New) { n.From = after("2027-04-30") }, "after_until"},
		"other section":       {func(n *New) { n.Section = "zaisei" }, "not_theirs"},
	} {
		n := good
		tt.change(&n)
		_, err := w.RegisterAs(ctx, w.as("sato"), n)
		w.refused(name, err, tt.reason)
	}
	for login, reason := range map[string]string{"tanaka": "not_theirs", "yamamoto": "not_theirs", "zai": "not_theirs", "kansa": "reads_only", "sasaki": "not_theirs"} {
		_, err := w.RegisterAs(ctx, w.as(login), good)
		w.refused(login, err, reason)
	}
	stale := w.as("sato")
	stale.AuthAt = stale.AuthAt.Add(-2 * time.Hour)
	if _, err := w.RegisterAs(ctx, stale, good); !errors.As(err, new(*account.StepUp)) {
		t.Errorf("without a fresh sign-in: %v", err)
	}
	if n := w.count(`SELECT COUNT(*) FROM project`) + w.entries("project.registered"); n != 0 {
		t.Fatalf("%d rows of what was refused", n)
	}
	p, err := w.RegisterAs(ctx, w.as("sato"), good)
	w.must(err)
	if got := w.project(p.ID); got.Name != good.Name || !got.Until.Equal(good.Until) || got.RegisteredBy.Login != "sato" || got.LastDay() != "2027-03-31" || w.entries("project.registered", "67-1") != 1 {
		t.Errorf("registered: %+v", got)
	}
	_, err = w.RegisterAs(ctx, w.as("kato"), good)
	w.refused("the id again", err, "taken")
	farthest := plan("far", policy.Production, "")
	farthest.Until = policy.AfterDays(t0, 1096)
	if _, err := w.RegisterAs(ctx, w.as("kobayashi"), farthest); err != nil {
		t.Errorf("by who stands above, as far as may be: %v", err)
	}
}

// TestListAndShow: who sees which projects.
func TestListAndShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("a", policy.Development, "2026-09-30")
	w.register("b", policy.Production, "2026-04-30")
	w.bind("a", "dev1", "dev2")
	z := plan("z", policy.Development, "2026-09-30")
	z.Section = "zaisei"
	_, err := w.RegisterAs(ctx, w.as("zai"), z)
	w.must(err)
	ids := func(login string, q Query) (out string) {
		t.Helper()
		all, _, err := w.ListAs(ctx, w.as(login), q)
		w.must(err)
		for _, one := range all {
			out += one.ID
		}
		return out
	}
	for login, want := range map[string]string{"sato": "ab", "yamamoto": "ab", "zai": "z", "kobayashi": "abz", "yoshida": "abz", "sasaki": "abz", "kansa": "abz"} {
		if got := ids(login, Query{}); got != want {
			t.Errorf("%s sees %q, want %q", login, got, want)
		}
	}
	for _, tt := range []struct {
		q    Query
		want string
	}{{Query{Section: "zaisei"}, "z"}, {Query{Text: "例ソフト"}, "abz"}, {Query{Text: "%"}, ""}, {Query{After: "a"}, "bz"}, {Query{State: Over}, ""}, {Query{State: Running}, "abz"}} {
		if got := ids("yoshida", tt.q); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.q, got, tt.want)
		}
	}
	_, _, err = w.ListAs(ctx, w.as("tanaka"), Query{})
	w.refused("who has no post", err, "no_post")
	all, next, err := w.ListAs(ctx, w.as("sato"), Query{Limit: 1})
	w.must(err)
	if len(all) != 1 || next != "a" || all[0].Counts.Workers != 2 || !all[0].MayAct {
		t.Errorf("the first page: %+v, next %q", all, next)
	}
	s, err := w.ShowAs(ctx, w.as("kansa"), "a")
	w.must(err)
	if len(s.Members) != 2 || s.MayAct || s.LastUse == nil {
		t.Errorf("shown to an auditor: %+v", s)
	}
	if _, err := w.ShowAs(ctx, w.as("zai"), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another section's: %v", err)
	}
	w.at(after("2026-04-30"))
	if got := ids("yoshida", Query{State: Over}); got != "b" {
		t.Errorf("over: %q", got)
	}
}
