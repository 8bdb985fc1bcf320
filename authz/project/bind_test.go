package project

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestBindRefuses: each reason, with the directory and the store as they are; nothing is
// written of any.
func TestBindRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-09-30")
	w.register("ops", policy.Production, "2026-09-30")
	w.register("short", policy.Development, "2026-03-20")
	w.bind("ops", "hara")
	w.bind("short", "dev3")
	w.at(after("2026-03-20"))
	before := w.count(`SELECT COUNT(*) FROM project_member`)
	w.sealed = register{"mori"}
	for _, tt := range []struct{ by, project, login, reason string }{
		{"sato", "dev", "nobody", "unknown"},
		{"sato", "dev", "", "required"},
		{"sato", "dev", "例 dev1", "unknown"},
		{"sato", "dev", "shut", "closed"},
		{"sato", "dev", "kyoyo", "shared"},
		{"sato", "dev", "yamamoto", "powerful"},
		{"sato", "dev", "kansa", "powerful"},
		{"sato", "dev", "mori", "kept"},
		{"sato", "dev", "soto", "other_section"},
		{"sato", "dev", "bu", "other_section"},
		{"sato", "dev", "sato", "own"},
		{"sato", "dev", "sato-dev", "own"},
		{"sato", "dev", "hara", "other_environment"},
		{"sato", "dev", "dev3", "projects_over"},
		{"sato", "short", "dev1", "over"},
		{"yamamoto", "dev", "dev1", "not_theirs"},
		{"kansa", "dev", "dev1", "reads_only"},
	} {
		_, err := w.BindAs(ctx, w.as(tt.by), tt.project, tt.login, Worker, "作業")
		w.refused(tt.by+" binds "+tt.login+" to "+tt.project, err, tt.reason)
	}
	_, err := w.BindAs(ctx, w.as("sato"), "dev", "dev1", Worker, " ")
	w.refused("without a reason", err, "required")
	_, err = w.BindAs(ctx, w.as("sato"), "dev", "dev1", "boss", "作業")
	w.refused("in no role", err, "unknown")
	if _, err = w.BindAs(ctx, w.as("zai"), "dev", "soto", Worker, "作業"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another section's administrator: %v", err)
	}
	stale := w.as("sato")
	stale.AuthAt = stale.AuthAt.Add(-2 * time.Hour)
	if _, err := w.BindAs(ctx, stale, "dev", "dev1", Worker, "作業"); !errors.As(err, new(*account.StepUp)) {
		t.Errorf("without a fresh sign-in: %v", err)
	}
	gone := w.as("sato")
	w.must(w.db.WithTx(ctx, func(tx *store.Tx) error {
		return w.gate.Sessions.EndAll(ctx, tx, gone.Person.ID, "sato", "", "signed out")
	}))
	if _, err := w.BindAs(ctx, gone, "dev", "dev1", Worker, "作業"); !errors.Is(err, session.ErrNone) {
		t.Errorf("signed out since: %v", err)
	}
	if n := w.count(`SELECT COUNT(*) FROM project_member`); n != before {
		t.Errorf("%d were bound", n-before)
	}
	if w.entries("project.refused", "other_environment") == 0 || w.entries("project.refused", "powerful") == 0 || w.entries("project.refused", "unknown") != 0 {
		t.Error("what a rule has refused is not on the trail, or what was mistyped is")
	}
}

// TestBindNarrows: a first project is an end that the ID did not have; what it had open in
// the other environment ends, and what it has open in the same goes on.
func TestBindNarrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-09-30")
	w.register("ops", policy.Production, "2026-09-30")
	open := func(login string) int {
		return w.count(`SELECT COUNT(*) FROM session WHERE login = $1 AND ended_at = 0`, login)
	}
	w.as("dev1")
	w.as("hara")
	w.bind("dev", "dev1")
	w.bind("ops", "hara")
	if open("dev1") != 0 || open("hara") != 1 {
		t.Errorf("sessions: of the development project %d, of the production one %d", open("dev1"), open("hara"))
	}
	if n := w.entries("project.bound", "dev1"); n != 1 {
		t.Errorf("%d entries", n)
	}
	w.tick()
	for _, login := range []string{"dev1", "hara"} {
		if end := w.person(login).Account.ExpiresAt; !end.Equal(after("2026-09-30")) {
			t.Errorf("the account of %s ends at %v", login, end)
		}
	}
	if w.entries("project.end_set") != 2 {
		t.Error("the directory was told, and the trail does not say so")
	}
	// A second one that ends no later is bound at once.
	w.register("dev-b", policy.Development, "2026-05-31")
	w.bind("dev-b", "dev1")
}

// TestWideningTakesTwo: a later end, a project that lasts longer, and release from the
// last one wait for somebody else, who is neither who asked nor whose ID it is.
func TestWideningTakesTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, person{login: "yama-dev", more: map[string][]string{"employeeNumber": {"N0002"}}}) // yamamoto's second ID
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-04-30")
	w.register("long", policy.Development, "2026-12-31")
	w.bind("dev", "dev1", "yama-dev", "dev2")
	w.tick()
	end := func(login string) string {
		return policy.DayInJapan(w.person(login).Account.ExpiresAt.Add(-time.Second))
	}

	// Extending.
	out, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after("2026-06-30"), "工期の延長")
	w.must(err)
	if !out.Waits() || w.project("dev").LastDay() != "2026-04-30" {
		t.Fatalf("it is %+v, until %s", out, w.project("dev").LastDay())
	}
	_, err = w.RescheduleAs(ctx, w.as("kato"), "dev", after("2026-07-31"), "工期の延長")
	w.refused("a second one", err, "waits")
	no := func(login string, matter string) {
		t.Helper()
		if _, err := w.Matters.Decide(ctx, w.as(login), matter, true, "よい"); !errors.As(err, new(*approval.Refused)) {
			t.Errorf("%s says yes: %v", login, err)
		}
	}
	no("sato", out.Matter)     // who asked
	no("kato", out.Matter)     // no security manager
	no("yamamoto", out.Matter) // an ID of theirs is bound to it
	no("kansa", out.Matter)
	card, err := w.Matters.Card(ctx, out.Matter)
	w.must(err)
	for _, lang := range []string{"ja", "en"} {
		if says := card.Title.In(lang) + card.Yes.In(lang) + card.Until.In(lang); !strings.Contains(says, "2026-06-30") || strings.Contains(says, "%!") {
			t.Errorf("the card says %s", says)
		}
	}
	w.gate.Decide(t, w.as("nakamura"), out.Matter, true)
	w.tick()
	if got := w.project("dev").LastDay(); got != "2026-06-30" || end("dev1") != "2026-06-30" || w.entries("project.extended") != 1 {
		t.Errorf("extended: until %s, the account until %s", got, end("dev1"))
	}

	// One that lasts longer.
	out, err = w.BindAs(ctx, w.as("sato"), "long", "dev1", Responsible, "次の工程")
	w.must(err)
	if !out.Waits() {
		t.Fatal("an ID is good for longer by one person's word")
	}
	s, err := w.ShowAs(ctx, w.as("sato"), "long")
	w.must(err)
	if len(s.Waiting) != 1 || s.Waiting[0].What != Bind || s.Waiting[0].Person.Login != "dev1" || s.Waiting[0].Role != Responsible {
		t.Errorf("what waits: %+v", s.Waiting)
	}
	w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
	w.tick()
	if end("dev1") != "2026-12-31" || w.entries("project.bound", "long") != 1 {
		t.Errorf("the account ends on %s", end("dev1"))
	}
	if s, err = w.ShowAs(ctx, w.as("sato"), "long"); err != nil || len(s.Members) != 1 || s.Members[0].Role != Responsible {
		t.Errorf("bound: %+v, %v", s.Members, err)
	}

	// Release: out of one of two at once, out of the last by two.
	if out, err = w.ReleaseAs(ctx, w.as("sato"), "long", "dev1", "担当替え"); err != nil || out.Waits() {
		t.Fatalf("out of one of two: %+v, %v", out, err)
	}
	w.tick()
	if end("dev1") != "2026-06-30" {
		t.Errorf("released from the longer one, the account ends on %s", end("dev1"))
	}
	out, err = w.ReleaseAs(ctx, w.as("sato"), "dev", "dev1", "職員になった")
	w.must(err)
	if !out.Waits() {
		t.Fatal("an ID of development has become one of production by one person's word")
	}
	w.as("dev1")
	w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
	w.tick()
	if !w.person("dev1").Account.ExpiresAt.IsZero() || w.count(`SELECT COUNT(*) FROM session WHERE login = 'dev1' AND ended_at = 0`) != 0 {
		t.Errorf("released: the account ends at %v", w.person("dev1").Account.ExpiresAt)
	}
	_, err = w.ReleaseAs(ctx, w.as("sato"), "dev", "dev1", "もう一度")
	w.refused("again", err, "not_bound")

	// Denied, and left until it lapses: nothing changes.
	for name, decide := range map[string]func(matter string){
		"denied": func(m string) { w.gate.Decide(t, w.as("yamamoto"), m, false) },
		"lapsed": func(string) { w.clock.Advance(25 * time.Hour); w.must(w.Matters.Lapse(ctx)) },
	} {
		out, err := w.ReleaseAs(ctx, w.as("sato"), "dev", "dev2", "職員になった")
		w.must(err)
		decide(out.Matter)
		if s, err := w.ShowAs(ctx, w.as("sato"), "dev"); err != nil || len(s.Waiting) != 0 || w.closed("dev", "dev2") != NotDealt || s.Counts.Workers != 2 {
			t.Errorf("%s: %+v, %v", name, s.Members, err)
		}
	}
}

// TestApprovedTooLate: what was approved is not done where it cannot be any more, and the
// trail says so; nobody approves what they could see is over.
func TestApprovedTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-04-30")
	w.bind("dev", "dev1")
	ask := func(last string) approval.Matter {
		t.Helper()
		out, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after(last), "延長")
		w.must(err)
		v, err := w.Matters.Get(ctx, out.Matter)
		w.must(err)
		return v.Matter
	}
	m := ask("2026-06-30")
	w.gate.Decide(t, w.as("yamamoto"), m.ID, true)
	if _, err := w.Matters.Decide(ctx, w.as("nakamura"), m.ID, true, "もう一度"); !errors.As(err, new(*approval.Refused)) {
		t.Errorf("a second yes: %v", err)
	}
	// Settled once more, as by a gate that was told twice: it is no later end.
	w.must(w.db.WithTx(ctx, func(tx *store.Tx) error { return w.settle(ctx, tx, m, approval.Approved) }))
	if w.project("dev").LastDay() != "2026-06-30" || w.entries("project.extended") != 1 || w.entries("project.void", "moved") != 1 {
		t.Error("an extension counts twice")
	}
	m = ask("2026-07-31")
	if _, err := w.CompleteAs(ctx, w.as("sato"), "dev", "済んだ"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Matters.Decide(ctx, w.as("nakamura"), m.ID, true, "よい"); !errors.As(err, new(*approval.Refused)) {
		t.Errorf("a yes to a project that is completed: %v", err)
	}
	w.must(w.db.WithTx(ctx, func(tx *store.Tx) error { return w.settle(ctx, tx, m, approval.Approved) }))
	if got := w.project("dev"); got.LastDay() != "2026-06-30" || got.State(t0) != Completed || w.entries("project.void", "completed") != 1 {
		t.Errorf("an extension has brought it back: %+v", got)
	}
	_, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after("2026-08-31"), "延長")
	w.refused("extending it", err, "completed")
	_, err = w.CompleteAs(ctx, w.as("sato"), "dev", "もう一度")
	w.refused("completing it again", err, "completed")
}

// TestMovedMeanwhile: what was asked before somebody moved the project's end is not done by
// a late yes: what they shortened stays so, and nobody is bound for longer than was said.
func TestMovedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("short", policy.Development, "2026-03-31")
	w.register("dev", policy.Development, "2026-06-30")
	w.bind("short", "dev1")
	asked := func(out Outcome, err error) approval.Matter {
		t.Helper()
		w.must(err)
		v, err := w.Matters.Get(ctx, out.Matter)
		w.must(err)
		return v.Matter
	}
	longer := asked(w.RescheduleAs(ctx, w.as("sato"), "dev", after("2026-12-31"), "延長"))
	bound := asked(w.BindAs(ctx, w.as("sato"), "dev", "dev1", Worker, "次の工程"))
	if out, err := w.RescheduleAs(ctx, w.as("kato"), "dev", after("2026-04-30"), "契約の解除"); err != nil || out.Waits() {
		t.Fatalf("shortened: %+v, %v", out, err)
	}
	for _, m := range []approval.Matter{longer, bound} {
		if _, err := w.Matters.Decide(ctx, w.as("yamamoto"), m.ID, true, "よい"); !errors.As(err, new(*approval.Refused)) {
			t.Errorf("%s: a late yes: %v", m.Detail["what"], err)
		}
		w.must(w.db.WithTx(ctx, func(tx *store.Tx) error { return w.settle(ctx, tx, m, approval.Approved) }))
	}
	if n := w.count(`SELECT COUNT(*) FROM project_member WHERE project = 'dev'`); w.project("dev").LastDay() != "2026-04-30" || n != 0 || w.entries("project.void", "moved") != 2 {
		t.Errorf("until %s, %d bound", w.project("dev").LastDay(), n)
	}
}

// TestBindsAlone: whoever binds a section's IDs one after the other is stopped, and told how
// many are bound at once; the next day they go on.
func TestBindsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Projects.BindsAlone = 2
	w.register("dev", policy.Development, "2026-09-30")
	w.bind("dev", "dev1", "dev2")
	_, err := w.BindAs(t.Context(), w.as("sato"), "dev", "dev3", Worker, "作業")
	w.refused("a third one", err, "too_many")
	if _, err := w.BindAs(t.Context(), w.as("kato"), "dev", "dev3", Worker, "作業"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	if w.entries("project.refused", "too_many") != 1 {
		t.Error("the trail does not say so")
	}
	w.clock.Advance(24*time.Hour + time.Second)
	w.bind("dev", "mori")
}

// TestShorten: an earlier end is set at once.
func TestShorten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-04-30")
	w.bind("dev", "dev1")
	w.tick()
	for name, tt := range map[string]struct {
		until  time.Time
		reason string
	}{"to what has passed": {t0, "past"}, "to the same": {after("2026-04-30"), "same"}, "to none": {time.Time{}, "required"}, "too far": {policy.AfterDays(t0, 1097), "too_far"}} {
		_, err := w.RescheduleAs(ctx, w.as("sato"), "dev", tt.until, "変更")
		w.refused(name, err, tt.reason)
	}
	if out, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after("2026-03-15"), "早く済む"); err != nil || out.Waits() {
		t.Fatalf("shortening: %+v, %v", out, err)
	}
	w.tick()
	if got := w.person("dev1").Account.ExpiresAt; !got.Equal(after("2026-03-15")) || w.entries("project.shortened") != 1 {
		t.Errorf("the account ends at %v", got)
	}
	w.at(after("2026-03-15"))
	if got := w.enters("dev1"); got != authz.ProjectOver {
		t.Errorf("at its new end: %s", got)
	}
}

// TestImported: what a file that two have decided says is done as it says, once.
func TestImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-03-20")
	w.register("next", policy.Development, "2026-12-31")
	w.register("ops", policy.Production, "2026-12-31")
	tie := func(project, login string, role Role) error {
		return w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Tie(ctx, tx, project, w.person(login), role, "oda", "import-1") })
	}
	w.sealed = register{"mori"}
	w.must(tie("dev", "dev1", Worker))
	w.must(tie("dev", "dev1", Worker))
	w.must(tie("dev", "dev1", Responsible))
	if n := w.count(`SELECT COUNT(*) FROM project_member WHERE unbound_at = 0`); n != 1 || w.entries("project.bound", "import-1") != 2 {
		t.Errorf("%d bindings", n)
	}
	for _, tt := range []struct {
		project, login string
		want           error
	}{{"ops", "dev1", ErrOtherOf}, {"dev", "kyoyo", ErrKind}, {"dev", "yamamoto", ErrPowerful}, {"dev", "kansa", ErrPowerful}, {"dev", "mori", ErrKept}, {"dev", "soto", ErrOutOfReach}, {"nai", "dev2", ErrNotFound}} {
		if err := tie(tt.project, tt.login, Worker); !errors.Is(err, tt.want) {
			t.Errorf("%s to %s: %v, want %v", tt.login, tt.project, err, tt.want)
		}
	}
	w.at(after("2026-03-20"))
	if err := tie("dev", "dev2", Worker); !errors.Is(err, ErrOver) {
		t.Errorf("to one that is over: %v", err)
	}
	if w.enters("dev1") != authz.ProjectOver {
		t.Error("its project is over, and it comes in")
	}
	// It comes back by a file.
	w.must(tie("next", "dev1", Worker))
	if got := w.enters("dev1"); got != authz.Allowed {
		t.Errorf("bound to the next one: %s", got)
	}
	untie := func(project string) error {
		return w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Untie(ctx, tx, project, w.person("dev1").ID, "oda", "import-2") })
	}
	w.must(untie("next"))
	w.must(untie("next"))
	if got := w.enters("dev1"); got != authz.ProjectOver || w.entries("project.released") != 1 {
		t.Errorf("released from it: %s", got)
	}
	w.must(untie("dev"))
	if got := w.enters("dev1"); got != authz.Allowed {
		t.Errorf("released from all: %s", got)
	}
	if all, err := w.Known(ctx, w.db); err != nil || len(all) != 3 {
		t.Errorf("known: %v, %v", all, err)
	}
}
