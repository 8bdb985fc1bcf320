package personnel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

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
	switch {
	case errors.Is(j.problem, errLate):
		return giveBack(ctx, tx, j, now)
	case j.problem != nil:
		return b.failed(ctx, tx, j, e)
	}
	// One that is dropped is being undone, and has happened all the same.
	err := tx.ExecOne(ctx, `
		UPDATE personnel_step SET state = CASE WHEN state = 'dropped' THEN state ELSE 'done' END, due_at = $1, error = '', done_at = $1
		WHERE  import = $2 AND n = $3 AND step = $4 AND state <> 'done' AND (state <> 'dropped' OR done_at = 0)`, store.Micros(now), j.importID, j.n, j.step)
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway was quicker, or the answer to this commit was lost
	}
	if err != nil {
		return err
	}
	if j.who.ID != "" {
		if c.Person == "" {
			if _, err := tx.Exec(ctx, `UPDATE personnel_line SET person_id = $1 WHERE import = $2 AND n = $3 AND person_id = ''`, string(j.who.ID), j.importID, j.n); err != nil {
				return err
			}
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
		err = b.handedOver(ctx, tx, j)
	case stepUndo:
		e.Action = "person.undone"
		err = b.unfollows(ctx, tx, j)
	}
	if err == nil && (j.step == stepApply || j.step == stepUndo) {
		err = b.tell(ctx, tx, j)
	}
	if err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, e)
}

// giveBack puts a step down that nobody has tried, for whoever is next. It was no try: one
// that keeps failing is told of and rests, and this one has met no refusal.
func giveBack(ctx context.Context, tx *store.Tx, j *job, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'waiting', due_at = $1, tries = tries - 1 WHERE import = $2 AND n = $3 AND step = $4 AND state = 'intended' AND due_at = $5`,
		store.Micros(now), j.importID, j.n, j.step, j.until)
	return err
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

// detail is what the trail says of a change.
func (c Change) detail(into map[string]string) {
	words := func(ids []policy.PostID) string {
		var out []string
		for _, id := range ids {
			out = append(out, string(id))
		}
		return strings.Join(out, " ")
	}
	for key, v := range map[string]string{"section": c.After.Section, "gained": words(c.Gained), "lost": words(c.Lost), "kind": string(c.Kind), "concurrent": strings.Join(c.Concurrent, " "), "owner": c.Owner, "projects": idsOf(c.Projects), "released": idsOf(c.Released), "environment": string(c.Turns), "prime": c.Prime} {
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
