package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// The stages of a row of dormancy. Open: it was opened again.
const (
	rowOpen     = "open"
	rowWarned   = "warned"
	rowDisabled = "disabled"
	rowDeleting = "deleting" // somebody is asked, or has said yes
	rowDeleted  = "deleted"
)

// What the directory is to be brought to.
const (
	toDisable = "disable"
	toEnable  = "enable"
	toDelete  = "delete"
)

// A row is what was done about one ID.
type row struct {
	person                                                 directory.PersonID
	login, name, section                                   string
	kind                                                   directory.Kind
	class                                                  policy.DormancyClass
	stage                                                  string
	warnedAt, disabledAt, deletedAt, reopenedAt, keptUntil time.Time
	matter                                                 string
	ours                                                   bool
	effect                                                 string
	effectDue, effectSince                                 time.Time
	tries                                                  int64
	effectError                                            string
	version                                                int64
}

const rowColumns = `person_id, login, name, section, kind, class, stage, warned_at, disabled_at, deleted_at, reopened_at, kept_until,
	matter, ours, effect, effect_due, effect_since, effect_tries, effect_error, version`

func scanRow(r store.Row) (row, error) {
	var (
		one                                                         row
		warned, disabled, deleted, reopened, kept, ours, due, since int64
	)
	err := r.Scan(&one.person, &one.login, &one.name, &one.section, &one.kind, &one.class, &one.stage, &warned, &disabled, &deleted, &reopened, &kept,
		&one.matter, &ours, &one.effect, &due, &since, &one.tries, &one.effectError, &one.version)
	one.warnedAt, one.disabledAt, one.deletedAt, one.reopenedAt, one.keptUntil = store.FromMicros(warned), store.FromMicros(disabled), store.FromMicros(deleted), store.FromMicros(reopened), store.FromMicros(kept)
	one.ours, one.effectDue, one.effectSince = ours != 0, store.FromMicros(due), store.FromMicros(since)
	return one, err
}

// rowOf is somebody's row; the zero row where nothing was done yet.
func rowOf(ctx context.Context, in store.Reader, id directory.PersonID) (row, error) {
	rows, err := store.All(ctx, in, "what was done about an ID", scanRow, `SELECT `+rowColumns+` FROM dormancy WHERE person_id = $1`, string(id))
	if err != nil || len(rows) == 0 {
		return row{}, err
	}
	return rows[0], nil
}

// put writes a row as it is, over the version that was read.
func put(ctx context.Context, tx *store.Tx, r row) error {
	values := []any{
		string(r.person), r.login, r.name, r.section, string(r.kind), string(r.class), r.stage, store.Micros(r.warnedAt), store.Micros(r.disabledAt), store.Micros(r.deletedAt),
		store.Micros(r.reopenedAt), store.Micros(r.keptUntil), r.matter, r.ours, r.effect, store.Micros(r.effectDue), store.Micros(r.effectSince), r.tries, r.effectError, r.version + 1,
	}
	err := tx.ExecOne(ctx, `
		INSERT INTO dormancy (`+rowColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
		ON CONFLICT (person_id) DO UPDATE SET
			login = excluded.login, name = excluded.name, section = excluded.section, kind = excluded.kind, class = excluded.class,
			stage = excluded.stage, warned_at = excluded.warned_at, disabled_at = excluded.disabled_at, deleted_at = excluded.deleted_at,
			reopened_at = excluded.reopened_at, kept_until = excluded.kept_until, matter = excluded.matter, ours = excluded.ours,
			effect = excluded.effect, effect_due = excluded.effect_due, effect_since = excluded.effect_since,
			effect_tries = excluded.effect_tries, effect_error = excluded.effect_error, version = excluded.version
		WHERE dormancy.version = excluded.version - 1`, values...)
	if err != nil {
		return fmt.Errorf("writing what was done about %s: %w", r.login, err)
	}
	return nil
}

const summaryColumns = `id, slot, as_of, began_at, ended_at, by_login, state, why, people, dated, to_warn, to_disable, to_delete,
	warned, disabled, proposed, passed_over, failed, done_to, matter, tries`

func scanSummary(r store.Row) (Summary, error) {
	var (
		s                  Summary
		asOf, began, ended int64
	)
	err := r.Scan(&s.ID, &s.Slot, &asOf, &began, &ended, &s.By, &s.State, &s.Why, &s.People, &s.Dated, &s.ToWarn, &s.ToDisable, &s.ToDelete,
		&s.Warned, &s.Disabled, &s.Proposed, &s.PassedOver, &s.Failed, &s.DoneTo, &s.Matter, &s.tries)
	s.AsOf, s.BeganAt, s.EndedAt = store.FromMicros(asOf), store.FromMicros(began), store.FromMicros(ended)
	s.Acts = s.ToWarn + s.ToDisable
	return s, err
}

func summaries(ctx context.Context, in store.Reader, where string, args ...any) ([]Summary, error) {
	return store.All(ctx, in, "sweeps", scanSummary, `SELECT `+summaryColumns+` FROM sweep WHERE `+where, args...)
}

// Sweep is one sweep.
func (b *Book) Sweep(ctx context.Context, id string) (Summary, error) {
	return sweepOf(ctx, b.DB, id)
}

func sweepOf(ctx context.Context, in store.Reader, id string) (Summary, error) {
	all, err := summaries(ctx, in, `id = $1`, id)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("reading a sweep: %w", sql.ErrNoRows)
	}
	if err != nil {
		return Summary{}, err
	}
	return all[0], nil
}

// Sweeps are the latest, the newest first.
func (b *Book) Sweeps(ctx context.Context, most int) ([]Summary, error) {
	return summaries(ctx, b.DB, `1 = 1 ORDER BY began_at DESC, id LIMIT $1`, most)
}

// Last is the last sweep that came to its end; false where there was none.
func (b *Book) Last(ctx context.Context) (Summary, bool, error) {
	all, err := summaries(ctx, b.DB, `state = 'done' ORDER BY began_at DESC, id LIMIT 1`)
	if err != nil || len(all) == 0 {
		return Summary{}, false, err
	}
	return all[0], true, nil
}

// Levels are what is told of the sweeps as a whole.
type Levels struct {
	Last     Summary // that came to its end; the zero Summary for none
	Halted   int     // wait for somebody's decision
	Findings map[FindingKind]int
}

// Levels reads them.
func (b *Book) Levels(ctx context.Context) (Levels, error) {
	var (
		l   = Levels{Findings: map[FindingKind]int{}}
		err error
	)
	if l.Last, _, err = b.Last(ctx); err != nil {
		return Levels{}, err
	}
	if err := b.DB.QueryRow(ctx, `SELECT COUNT(*) FROM sweep WHERE state = 'stopped'`).Scan(&l.Halted); err != nil {
		return Levels{}, fmt.Errorf("counting stopped sweeps: %w", err)
	}
	_, err = store.All(ctx, b.DB, "how many findings are open", func(r store.Row) (struct{}, error) {
		var (
			kind FindingKind
			n    int
		)
		err := r.Scan(&kind, &n)
		l.Findings[kind] = n
		return struct{}{}, err
	}, `SELECT kind, COUNT(*) FROM lifecycle_finding WHERE closed_at = 0 GROUP BY kind`)
	return l, err
}

const entryColumns = `person_id, login, name, section, company, kind, class, created_at, last_use_at, since_at, unused, stage, hold, act, outcome`

func scanEntry(r store.Row) (Entry, error) {
	var (
		e                 Entry
		made, used, since int64
	)
	err := r.Scan(&e.Person, &e.Login, &e.Name, &e.Section, &e.Company, &e.Kind, &e.Class, &made, &used, &since, &e.Unused, &e.Stage, &e.Hold, &e.Act, &e.Outcome)
	e.CreatedAt, e.LastUse, e.Since = store.FromMicros(made), store.FromMicros(used), store.FromMicros(since)
	return e, err
}

// entries are those of a sweep after a person, in the order of their IDs.
func entries(ctx context.Context, in store.Reader, sweep, where string, after directory.PersonID, most int, more ...any) ([]Entry, error) {
	return store.All(ctx, in, "who is not used", scanEntry, `
		SELECT `+entryColumns+` FROM sweep_entry WHERE sweep = $1 AND person_id > $2`+where+` ORDER BY person_id LIMIT $3`, append([]any{sweep, string(after), most}, more...)...)
}

// Each calls each for every entry of a sweep, holding some of them at a time.
func (b *Book) Each(ctx context.Context, sweep string, each func(Entry) error) error {
	for after := directory.PersonID(""); ; {
		some, err := entries(ctx, b.DB, sweep, "", after, 500)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, e := range some {
			if err := each(e); err != nil {
				return err
			}
		}
		after = some[len(some)-1].Person
	}
}

// entriesAtOnce is how many entries one statement stores.
const entriesAtOnce = 25

// keep stores entries, whole statements at a time.
func keepEntries(ctx context.Context, tx *store.Tx, sweep string, all []Entry) error {
	for len(all) > 0 {
		part := all[:min(entriesAtOnce, len(all))]
		all = all[len(part):]
		var (
			q    strings.Builder
			args = []any{sweep}
		)
		q.WriteString(`INSERT INTO sweep_entry (sweep, ` + entryColumns + `) VALUES `)
		for i, e := range part {
			if i > 0 {
				q.WriteString(", ")
			}
			q.WriteString("($1")
			for _, v := range []any{
				string(e.Person), e.Login, e.Name, e.Section, e.Company, string(e.Kind), string(e.Class), store.Micros(e.CreatedAt), store.Micros(e.LastUse), store.Micros(e.Since),
				e.Unused, string(e.Stage), string(e.Hold), string(e.Act), string(e.Outcome),
			} {
				args = append(args, v)
				fmt.Fprintf(&q, ", $%d", len(args))
			}
			q.WriteString(")")
		}
		if _, err := tx.Exec(ctx, q.String(), args...); err != nil {
			return fmt.Errorf("storing who is not used: %w", err)
		}
	}
	return nil
}

// A Count is how many IDs of a section and class were last used so long ago.
type Count struct {
	Section string
	Class   policy.DormancyClass
	Age     Age
	N       int
}

// Counts are those of a sweep.
func (b *Book) Counts(ctx context.Context, sweep string) ([]Count, error) {
	return store.All(ctx, b.DB, "how many are not used", func(r store.Row) (c Count, err error) {
		err = r.Scan(&c.Section, &c.Class, &c.Age, &c.N)
		return c, err
	}, `SELECT section, class, age, n FROM sweep_count WHERE sweep = $1 ORDER BY section, class, age`, sweep)
}

// Taken reports whether a login was somebody's who is deleted: it is never given
// again.
func Taken(ctx context.Context, in store.Reader, login string) (bool, error) {
	var at int64
	err := in.QueryRow(ctx, `SELECT at FROM tombstone WHERE login = $1`, directory.Canonical(login)).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading whether a login was given before: %w", err)
	}
	return true, nil
}

// TakenAmong answers which of some logins are Taken, in their canonical form: for who
// makes many IDs at once.
func TakenAmong(ctx context.Context, in store.Reader, logins []string) (map[string]bool, error) {
	out := map[string]bool{}
	for part := range slices.Chunk(logins, atOnce) {
		canonical := make([]string, len(part))
		for i, l := range part {
			canonical[i] = directory.Canonical(l)
		}
		_, err := store.All(ctx, in, "which logins were given before", func(r store.Row) (struct{}, error) {
			var login string
			err := r.Scan(&login)
			out[login] = true
			return struct{}{}, err
		}, takenQuery, padded(canonical)...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

var takenQuery = `SELECT login FROM tombstone WHERE login IN (` + marks(1) + `)`

// buried are the logins of all IDs that were deleted: as many as people have left.
func (b *Book) buried(ctx context.Context) (map[string]directory.PersonID, error) {
	out := map[string]directory.PersonID{}
	_, err := store.All(ctx, b.DB, "which logins were given before", func(r store.Row) (struct{}, error) {
		var (
			login string
			whose directory.PersonID
		)
		err := r.Scan(&login, &whose)
		out[login] = whose
		return struct{}{}, err
	}, `SELECT login, person_id FROM tombstone`)
	return out, err
}
