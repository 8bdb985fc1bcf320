package personnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	lookEvery = 2 * time.Second
	// batch is how many steps one transaction intends, and one confirms.
	batch = 50
	// hands are how many of them are in the directory at a time.
	hands = 4
	// workLasts is for how long a step is in one gateway's hands: who died at it is
	// waited for so long.
	workLasts = 10 * time.Second
	// stubborn is after how many tries a step that fails is told of.
	stubborn = 3
)

// rests are how long a step that failed rests; the last repeats, for ever.
var rests = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Run carries out what is due, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.Tick(ctx); err != nil && ctx.Err() == nil {
			b.Log.WarnContext(ctx, "carrying out personnel changes failed; it is tried again", "error", err)
		}
		waiting, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case <-b.wake:
		case <-waiting.Done():
		}
		stop()
	}
}

// A job is one step in hand.
type job struct {
	importID string
	n        int
	step     string
	due      int64 // as it was read
	tries    int
	by       string // login of who proposed the import
	state    State
	change   Change
	found    *found // nil: not written to yet

	until   int64            // when others take it for left: what this gateway intended
	who     directory.Person // as the directory has them now
	problem error
}

// found is what was so of somebody before an import first wrote to them.
type found struct {
	Record
	New bool `json:"new,omitempty"` // they were not there
	// Applied: it was read right before the change itself, and not only before its end
	// was written ahead, which may be weeks earlier.
	Applied bool     `json:"applied,omitempty"`
	Places  []string `json:"places,omitempty"`
}

// Tick carries out all that is due now, at a bounded rate.
func (b *Book) Tick(ctx context.Context) error {
	streak := 0
	for ctx.Err() == nil {
		room, err := b.room(ctx)
		if err != nil {
			return err
		}
		if room == 0 {
			if err := clock.Wait(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		jobs, err := b.due(ctx, min(batch, room))
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return b.finish(ctx)
		}
		failed, err := b.carry(ctx, jobs)
		if err != nil {
			return err
		}
		// Where the directory is away, two rounds of time-outs are enough.
		if failed == len(jobs) {
			if streak++; streak == 2 {
				return nil
			}
		} else {
			streak = 0
		}
	}
	return ctx.Err()
}

// room is how many steps may be begun now: what the rate leaves of this second, over all
// gateways.
func (b *Book) room(ctx context.Context) (int, error) {
	var n int
	now := b.Now()
	err := b.DB.QueryRow(ctx, `SELECT COUNT(*) FROM personnel_step WHERE done_at > $1 AND done_at <= $2`, store.Micros(now.Add(-time.Second)), store.Micros(now)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what was carried out lately: %w", err)
	}
	return max(0, b.Policy().Personnel.PerSecond-n), nil
}

// due are steps whose time has come, in the order in which they became due.
func (b *Book) due(ctx context.Context, most int) ([]*job, error) {
	return store.All(ctx, b.DB, "what is due of personnel changes", func(r store.Row) (*job, error) {
		var (
			j                = &job{}
			body, was, whoID string
		)
		if err := r.Scan(&j.importID, &j.n, &j.step, &j.due, &j.tries, &j.by, &j.state, &body, &was, &whoID); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &j.change); err != nil {
			return nil, err
		}
		if j.change.Person = directory.PersonID(whoID); was != "" {
			j.found = &found{}
			return j, json.Unmarshal([]byte(was), j.found)
		}
		return j, nil
	}, `
		SELECT s.import, s.n, s.step, s.due_at, s.tries, i.by_login, i.state, l.body, l.found, l.person_id
		FROM   personnel_step s JOIN personnel_import i ON i.id = s.import JOIN personnel_line l ON l.import = s.import AND l.n = s.n
		WHERE  s.state IN ('waiting', 'intended') AND s.due_at <= $1 AND (i.state = 'approved' AND s.step <> 'undo' OR i.state = 'undoing' AND s.step = 'undo')
		AND    (s.step <> 'apply' OR i.effective_at <= $1)
		ORDER  BY s.due_at, s.import, s.n, s.step LIMIT $2`, store.Micros(b.Now()), most)
}

// each does something with all jobs, some at a time.
func each(jobs []*job, do func(*job)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, hands)
	for _, j := range jobs {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			do(j)
		})
	}
	wg.Wait()
}

// carry intends some steps, does them, and confirms those that were done.
func (b *Book) carry(ctx context.Context, jobs []*job) (failed int, err error) {
	each(jobs, func(j *job) { j.problem = b.look(ctx, j) })
	jobs, err = b.intend(ctx, jobs)
	if err != nil || len(jobs) == 0 {
		return 0, err
	}
	if err := b.at("intended"); err != nil {
		return 0, err
	}
	working, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	died := make(chan error, len(jobs))
	each(jobs, func(j *job) {
		if j.problem == nil {
			j.problem = b.bring(working, j)
		}
		if err := b.at("line"); err != nil {
			died <- err
		}
	})
	select {
	case err := <-died:
		return 0, err
	default:
	}
	for _, j := range jobs {
		if b.Forget != nil && j.who.ID != "" {
			b.Forget.Forget(j.who.ID)
		}
		if j.problem != nil {
			failed++
		}
	}
	if err := b.confirm(context.WithoutCancel(ctx), jobs); err != nil {
		return failed, err
	}
	if err := b.at("confirmed"); err != nil {
		return failed, err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of != nil {
			of.Changed(ctx)
		}
	}
	if err := b.Sessions.Poll(ctx); err != nil {
		b.Log.WarnContext(ctx, "noting sessions that ended by personnel changes; memory is not used until it is noted", "error", err)
	}
	return failed, nil
}

var (
	// errTaken: somebody else has the login by now.
	errTaken = errors.New("the login is somebody else's by now")
	// errGone: the person is in the directory no more.
	errGone = errors.New("the person is not in the directory any more")
)

// hopeless reports whether a problem stays however often it is tried.
func hopeless(problem error) bool {
	var refused *directory.Refused
	return errors.Is(problem, errTaken) || errors.Is(problem, errGone) || errors.Is(problem, directory.ErrMalformed) || errors.Is(problem, directory.ErrProtected) ||
		errors.Is(problem, directory.ErrAmbiguous) || errors.Is(problem, lifecycle.ErrLeaveApart) || errors.Is(problem, lifecycle.ErrDeleting) || errors.As(problem, &refused)
}

// look finds whom a step is about.
func (b *Book) look(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	if j.change.Person != "" {
		who, err := b.Directory.ByID(ctx, j.change.Person)
		if errors.Is(err, directory.ErrNotFound) {
			return errGone
		}
		j.who = who
		return err
	}
	who, err := b.Directory.Find(ctx, j.change.Login)
	switch {
	case errors.Is(err, directory.ErrNotFound) && j.step == stepApply:
		// Somebody may have had the login, and been deleted, since it was planned.
		var n int64
		err := b.DB.QueryRow(ctx, `SELECT COUNT(*) FROM tombstone WHERE login = $1`, directory.Canonical(j.change.Login)).Scan(&n)
		if err == nil && n > 0 {
			err = errTaken
		}
		return err
	case errors.Is(err, directory.ErrNotFound):
		return nil // never made
	case err != nil:
		return err
	case directory.Canonical(who.Login) != directory.Canonical(j.change.Login) || directory.Canonical(who.Number) != directory.Canonical(j.change.After.Number) || j.found == nil:
		// Nothing was written to them yet, or by somebody else.
		return errTaken
	}
	j.who = who // a gateway made them, and died before it said so
	return nil
}

// intend writes down that steps are in hand, and what was so before. Those that another
// gateway has are left out.
func (b *Book) intend(ctx context.Context, jobs []*job) (ours []*job, err error) {
	until := store.Micros(b.Now().Add(workLasts))
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		ours = nil
		for _, j := range jobs {
			err := tx.ExecOne(ctx, `UPDATE personnel_step SET state = 'intended', due_at = $1, tries = tries + 1 WHERE import = $2 AND n = $3 AND step = $4 AND due_at = $5 AND state IN ('waiting', 'intended')`,
				until, j.importID, j.n, j.step, j.due)
			if errors.Is(err, store.ErrUntouched) {
				continue
			}
			if err != nil {
				return err
			}
			if j.problem == nil && (j.found == nil || j.step == stepApply && !j.found.Applied) {
				was := found{Record: recordOf(b.Policy(), j.who), New: j.who.ID == "", Applied: j.step == stepApply}
				if j.found != nil { // of what the import has written ahead, what was so before
					was.Expires = j.found.Expires
				}
				if was.Places, err = placesOf(ctx, tx, j.who.ID, b.Now()); err != nil {
					return err
				}
				text, err := json.Marshal(was)
				if err != nil {
					return err
				}
				if err := tx.ExecOne(ctx, `UPDATE personnel_line SET found = $1 WHERE import = $2 AND n = $3`, string(text), j.importID, j.n); err != nil {
					return err
				}
			}
			j.until, ours = until, append(ours, j)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("intending personnel changes: %w", err)
	}
	return ours, nil
}

// bring has the directory be as a step says, and reads back that it is.
func (b *Book) bring(ctx context.Context, j *job) (err error) {
	c := j.change
	want, gained, lost := c.target(j.who, b.Policy())
	switch j.step {
	case stepHandover:
		return nil
	case stepEnd:
		want = directory.Amendment{ExpiresAt: &c.After.Expires}
		gained, lost = nil, nil
	case stepUndo:
		if j.who.ID == "" {
			return nil // never made
		}
		want, gained, lost = c.back(j.found, j.who, b.Policy())
	case stepApply:
		if j.who.ID == "" {
			if j.who, err = b.Directory.Create(ctx, c.person()); errors.Is(err, directory.ErrExists) {
				return errTaken
			} else if err != nil {
				return err
			}
		}
	}
	if is := j.who.Account.ExpiresAt; c.Person != "" && j.step != stepUndo && want.ExpiresAt != nil && !is.Equal(c.Before.Expires) && later(*want.ExpiresAt, is) {
		want.ExpiresAt = nil // somebody has ended it sooner since it was planned
	}
	if err := b.Directory.Amend(ctx, j.who, want); err != nil {
		return err
	}
	for _, group := range lost {
		if err := b.Directory.RemoveMember(ctx, group, j.who.DN); err != nil {
			return err
		}
	}
	for _, group := range gained {
		if err := b.Directory.AddMember(ctx, group, j.who.DN); err != nil {
			return err
		}
	}
	now, err := b.Directory.ByID(ctx, j.who.ID)
	if err != nil {
		return err
	}
	j.who = now
	if what := unlike(now, want, gained, lost); what != "" {
		return fmt.Errorf("the directory took the change and does not show it: %s", what)
	}
	return nil
}

// person is whom a change creates.
func (c Change) person() directory.NewPerson {
	return directory.NewPerson{
		Login: c.Login, Name: c.After.Name, Mail: c.After.Mail, Section: c.After.Section, Company: c.After.Company, Number: c.After.Number, Kind: c.After.Kind,
		ExpiresAt: c.After.Expires,
	}
}

// target is what a change has the directory say of somebody: what it changes, and nothing
// that somebody else has changed meanwhile.
func (c Change) target(who directory.Person, p *policy.Policy) (a directory.Amendment, gained, lost []string) {
	b, n := c.Before, c.After
	text := func(before, after string) *string {
		if before == after && c.Person != "" {
			return nil
		}
		return &after
	}
	a = directory.Amendment{Name: text(b.Name, n.Name), Mail: text(b.Mail, n.Mail), Section: text(b.Section, n.Section), Company: text(b.Company, n.Company), Number: text(b.Number, n.Number)}
	if b.Kind != n.Kind || c.Person == "" {
		a.Kind = &n.Kind
	}
	if !b.Expires.Equal(n.Expires) {
		a.ExpiresAt = &n.Expires
	}
	if b.Disabled != n.Disabled {
		a.Disabled = &n.Disabled
	}
	return a, without(n.Groups, b.Groups), without(b.Groups, n.Groups)
}

// without are those of one list that are not in another.
func without(all, but []string) []string {
	var out []string
	for _, v := range all {
		if !policy.InGroup(but, []string{v}) {
			out = append(out, v)
		}
	}
	return out
}

// wholeDays is how finely a directory keeps an end that knows no time of the day
// (shadowExpire, UTC).
const wholeDays = 24 * time.Hour

// back is target turned round: what was found comes back where it still is as the change
// left it. Who was not there before is closed.
func (c Change) back(was *found, who directory.Person, p *policy.Policy) (a directory.Amendment, gained, lost []string) {
	now := recordOf(p, who)
	if was.New {
		yes := true
		return directory.Amendment{Disabled: &yes}, nil, now.Groups
	}
	b, n := c.Before, c.After
	var end *time.Time
	if !b.Expires.Equal(n.Expires) && (now.Expires.Equal(n.Expires) || now.Expires.Equal(n.Expires.Truncate(wholeDays))) {
		end = &was.Expires
	}
	if !was.Applied { // its end is all that was written
		return directory.Amendment{ExpiresAt: end}, nil, nil
	}
	text := func(before, after, now, found string) *string {
		if before == after || now != after || now == found {
			return nil
		}
		return &found
	}
	a = directory.Amendment{
		ExpiresAt: end,
		Name:      text(b.Name, n.Name, now.Name, was.Name), Mail: text(b.Mail, n.Mail, now.Mail, was.Mail), Section: text(b.Section, n.Section, now.Section, was.Section),
		Company: text(b.Company, n.Company, now.Company, was.Company), Number: text(b.Number, n.Number, now.Number, was.Number),
	}
	if b.Kind != n.Kind && now.Kind == n.Kind {
		a.Kind = &was.Kind
	}
	if b.Disabled != n.Disabled && now.Disabled == n.Disabled {
		a.Disabled = &was.Disabled
	}
	for _, group := range without(b.Groups, n.Groups) { // taken away by it
		if policy.InGroup(was.Groups, []string{group}) {
			gained = append(gained, group)
		}
	}
	if now.Disabled && !was.Disabled && a.Disabled == nil {
		gained = nil // closed by somebody else since; they lose posts by that, and get none back
	}
	for _, group := range without(n.Groups, b.Groups) {
		if !policy.InGroup(was.Groups, []string{group}) {
			lost = append(lost, group)
		}
	}
	return a, gained, lost
}

// unlike names what of somebody is not as it was to be; "" for nothing. An end may be
// kept a little early.
func unlike(who directory.Person, a directory.Amendment, gained, lost []string) string {
	text := func(want *string, is string) bool { return want != nil && *want != is }
	switch {
	case text(a.Name, who.Name):
		return "name"
	case text(a.Mail, who.Mail):
		return "mail"
	case text(a.Section, who.Section):
		return "section"
	case text(a.Company, who.Company):
		return "company"
	case text(a.Number, who.Number):
		return "number"
	case a.Disabled != nil && *a.Disabled != who.Account.Disabled:
		return "disabled"
	case a.ExpiresAt != nil && (a.ExpiresAt.IsZero() != who.Account.ExpiresAt.IsZero() || who.Account.ExpiresAt.After(*a.ExpiresAt)):
		return "end"
	}
	for _, g := range gained {
		if !policy.InGroup(who.Groups, []string{g}) {
			return g
		}
	}
	for _, g := range lost {
		if policy.InGroup(who.Groups, []string{g}) {
			return g
		}
	}
	return ""
}

// actions name the acts on the trail.
var actions = map[Act]string{
	Joins: "person.joined", Moves: "person.moved", Renewed: "person.renewed", Returns: "person.returned", Changes: "person.changed", OnLeave: "person.on_leave", Leaves: "person.left",
}

// Actions are those that an import enters on the trail.
func Actions() map[Act]string { return actions }

// confirm writes down, in one transaction, what became of steps, with what follows from
// each in the store and its entry on the trail. A line whose following cannot be written
// has failed at this try, and is written down alone, so that it keeps back no other.
func (b *Book) confirm(ctx context.Context, jobs []*job) error {
	write := func(jobs ...*job) error {
		return b.DB.WithTx(ctx, func(tx *store.Tx) error {
			for _, j := range jobs {
				if err := b.became(ctx, tx, j); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if write(jobs...) == nil {
		return nil
	}
	for _, j := range jobs {
		err := write(j)
		if err != nil {
			j.problem = err
			err = write(j)
		}
		if err != nil {
			return err // of the store: each step is done again where it is not done
		}
	}
	return nil
}

func (b *Book) became(ctx context.Context, tx *store.Tx, j *job) error {
	now := b.Now()
	c := j.change
	e := b.entry(j.by, "", object(c.Login, j.who.ID), j.importID)
	e.Detail["import"], e.Detail["line"], e.Detail["step"] = j.importID, strconv.Itoa(c.Line), j.step
	if j.problem != nil {
		return b.failed(ctx, tx, j, e)
	}
	var (
		state  string
		doneAt int64
	)
	if err := tx.QueryRow(ctx, `SELECT state, done_at FROM personnel_step WHERE import = $1 AND n = $2 AND step = $3`, j.importID, j.n, j.step).Scan(&state, &doneAt); err != nil {
		return err
	}
	if state == "done" || state == "dropped" && doneAt != 0 {
		return nil // another gateway was quicker, or the answer to this commit was lost
	}
	if state != "dropped" { // one that is dropped is being undone, and has happened
		state = "done"
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_step SET state = $1, due_at = $2, error = '', done_at = $2 WHERE import = $3 AND n = $4 AND step = $5`, state, store.Micros(now), j.importID, j.n, j.step)
	if err != nil {
		return err
	}
	if j.who.ID != "" {
		if _, err := tx.Exec(ctx, `UPDATE personnel_line SET person_id = $1 WHERE import = $2 AND n = $3 AND person_id = ''`, string(j.who.ID), j.importID, j.n); err != nil {
			return err
		}
		if err := standing.Changed(ctx, tx, j.who.ID, now); err != nil {
			return err
		}
	}
	switch j.step {
	case stepEnd:
		e.Action, e.Detail["until"] = "person.end_set", ""
		if end := j.who.Account.ExpiresAt; !end.IsZero() { // as it is: a sooner one is kept
			e.Detail["until"] = end.UTC().Format(time.RFC3339)
		}
	case stepApply:
		e.Action = actions[c.Act]
		c.detail(e.Detail)
		if end := j.who.Account.ExpiresAt; !end.IsZero() {
			e.Detail["until"] = end.UTC().Format(time.RFC3339)
		}
		err = b.follows(ctx, tx, j)
	case stepHandover:
		e.Action = "person.handover_ended"
		err = b.ends(ctx, tx, j, false, true, "handover over")
	case stepUndo:
		e.Action = "person.undone"
		err = b.unfollows(ctx, tx, j)
	}
	if err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, e)
}

// failed writes down that a try has failed, and when the next one is, if one is. It is
// once for each try: where the answer to the commit was lost, or another gateway has the
// step by now, nothing is left to say.
func (b *Book) failed(ctx context.Context, tx *store.Tx, j *job, e audit.Entry) error {
	now, tries := b.Now(), j.tries+1
	state, due, done := "intended", now.Add(rests[min(tries-1, len(rests)-1)]), time.Time{}
	if hopeless(j.problem) {
		state, due, done = "failed", now, now
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_step SET state = $1, due_at = $2, error = $3, done_at = $4 WHERE import = $5 AND n = $6 AND step = $7 AND state = 'intended' AND due_at = $8`,
		state, store.Micros(due), brief(j.problem), micros(done), j.importID, j.n, j.step, j.until)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil || state == "intended" && tries != stubborn {
		return err
	}
	e.Action, e.Outcome, e.Reason = "import.line_failed", audit.Failed, brief(j.problem)
	return b.Trail.Append(ctx, tx, e)
}

// brief is a problem in a few words.
func brief(err error) string {
	s := err.Error()
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300])
	}
	return s
}

// detail is what the trail says of a change.
func (c Change) detail(into map[string]string) {
	words := func(ids []policy.PostID) string {
		var out []string
		for _, id := range ids {
			out = append(out, string(id))
		}
		return strings.Join(out, " ")
	}
	for key, v := range map[string]string{"section": c.After.Section, "gained": words(c.Gained), "lost": words(c.Lost), "kind": string(c.Kind), "concurrent": strings.Join(c.Concurrent, " "), "owner": c.Owner, "project": c.Project, "prime": c.Prime} {
		if v != "" {
			into[key] = v
		}
	}
	if c.moved() {
		into["section_before"] = c.Before.Section
	}
	for key, at := range map[string]time.Time{"until": c.After.Expires, "handover": c.Handover, "leave_from": c.LeaveFrom, "leave_until": c.LeaveUntil} {
		if !at.IsZero() {
			into[key] = at.UTC().Format(time.RFC3339)
		}
	}
}

// follows is what follows in the store from a change that the directory has.
func (b *Book) follows(ctx context.Context, tx *store.Tx, j *job) error {
	c, now := j.change, b.Now()
	if c.Act == Leaves {
		if err := b.Sessions.EndAll(ctx, tx, j.who.ID, j.who.Login, "", "left"); err != nil {
			return err
		}
		if err := endPlaces(ctx, tx, j.who.ID, nil, now); err != nil {
			return err
		}
	}
	if err := b.ends(ctx, tx, j, c.EndsLeases(), c.EndsPermits(), string(c.Act)); err != nil {
		return err
	}
	if c.SaysConcurrent {
		if err := endPlaces(ctx, tx, j.who.ID, c.Concurrent, now); err != nil {
			return err
		}
		for _, section := range c.Concurrent {
			if err := putPlace(ctx, tx, j.who.ID, section, concurrent, now, c.After.Expires, j.importID); err != nil {
				return err
			}
		}
	}
	if !c.Handover.IsZero() {
		if err := putPlace(ctx, tx, j.who.ID, c.Before.Section, handover, now, c.Handover, j.importID); err != nil {
			return err
		}
	}
	if b.Life == nil {
		return nil
	}
	if c.Before.Disabled && !c.After.Disabled {
		kinds, err := standing.Records(ctx, tx, j.who.ID, now)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(kinds, func(r standing.Record) bool { return r.Kind == standing.Dormant }) {
			if err := b.Life.Reopen(ctx, tx, j.who); err != nil {
				return err
			}
			if err := standing.Lift(ctx, tx, j.who.ID, standing.Dormant, now); err != nil && !errors.Is(err, store.ErrUntouched) {
				return err
			}
		}
	}
	if c.LeaveOver {
		if err := b.Life.EndLeave(ctx, tx, j.who, j.by); err != nil && !errors.Is(err, lifecycle.ErrNoLeave) {
			return err
		}
	}
	if !c.LeaveFrom.IsZero() {
		return b.Life.Leave(ctx, tx, lifecycle.Leave{Who: j.who, From: c.LeaveFrom, Until: c.LeaveUntil, Reason: j.importID, By: j.by})
	}
	return nil
}

// ends ends what is lent and permitted to somebody.
func (b *Book) ends(ctx context.Context, tx *store.Tx, j *job, leases, permits bool, why string) error {
	for _, of := range []struct {
		Leases
		ends bool
	}{{b.Leases, leases}, {b.Permits, permits}} {
		if of.Leases == nil || !of.ends || j.who.ID == "" {
			continue
		}
		if _, err := of.EndOf(ctx, tx, j.who.ID, j.by, why); err != nil {
			return err
		}
	}
	return nil
}

// unfollows turns round what follows turned.
func (b *Book) unfollows(ctx context.Context, tx *store.Tx, j *job) error {
	c, now := j.change, b.Now()
	if j.who.ID == "" || !j.found.Applied {
		return nil
	}
	if j.found.New {
		return b.Sessions.EndAll(ctx, tx, j.who.ID, j.who.Login, "", "undone")
	}
	if c.SaysConcurrent || c.Act == Leaves || !c.Handover.IsZero() {
		if err := endPlaces(ctx, tx, j.who.ID, j.found.Places, now); err != nil {
			return err
		}
		for _, section := range j.found.Places {
			if err := putPlace(ctx, tx, j.who.ID, section, concurrent, now, j.found.Expires, j.importID); err != nil {
				return err
			}
		}
	}
	if !c.LeaveFrom.IsZero() && b.Life != nil {
		if err := b.Life.EndLeave(ctx, tx, j.who, j.by); err != nil && !errors.Is(err, lifecycle.ErrNoLeave) {
			return err
		}
	}
	return nil
}

func object(login string, id directory.PersonID) string {
	if id == "" {
		return login
	}
	return login + " (" + string(id) + ")"
}

// finish ends imports of which nothing is left to do.
func (b *Book) finish(ctx context.Context) error {
	for _, to := range []struct {
		from, into State
		action     string
	}{{Approved, Done, "import.done"}, {Undoing, Undone, "import.undone"}} {
		over, err := imports(ctx, b.DB, `state = $1 AND effective_at <= $2 AND NOT EXISTS (SELECT 1 FROM personnel_step s WHERE s.import = personnel_import.id AND s.state IN ('waiting', 'intended'))`,
			string(to.from), store.Micros(b.Now()))
		if to.from == Undoing && err == nil {
			over, err = imports(ctx, b.DB, `state = 'undoing' AND NOT EXISTS (SELECT 1 FROM personnel_step s WHERE s.import = personnel_import.id AND s.state IN ('waiting', 'intended'))`)
		}
		if err != nil {
			return err
		}
		for _, i := range over {
			if err := b.over(ctx, i, to.from, to.into, to.action); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Book) over(ctx context.Context, i Import, from, into State, action string) error {
	p, err := b.Progress(ctx, i.ID)
	if err != nil {
		return err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = $1, ended_at = $2 WHERE id = $3 AND state = $4`, string(into), store.Micros(b.Now()), i.ID, string(from))
		if err != nil {
			return err
		}
		e := b.entry("system", action, "import/"+i.ID, "")
		e.Detail["lines"], e.Detail["done"], e.Detail["failed"] = strconv.Itoa(p.Lines), strconv.Itoa(p.Done), strconv.Itoa(p.Failed)
		return b.Trail.Append(ctx, tx, e)
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ending an import: %w", err)
	}
	if p.Failed > 0 {
		b.Log.ErrorContext(ctx, "some lines of a personnel import could not be carried out", "import", i.ID, "failed", p.Failed)
	}
	return nil
}
