package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/claim"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const (
	// lookEvery is how often it is looked whether a report is due, and afterFailure how
	// long is waited where one could not be made: all of it is read anew.
	lookEvery    = 2 * time.Second
	afterFailure = 30 * time.Second
	// settles is for how long after a time something of before it may still be written to
	// the trail.
	settles = 10 * time.Second
)

// A Directory finds who holds a post.
type Directory interface {
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// A Keeper makes the reports that the policy asks for on their day, once however many
// gateways there are, keeps them for a while, and tells those whom they are for. What a
// gateway that died had begun is made anew; what was missed is made once.
type Keeper struct {
	*Reader
	Directory Directory
	Notices   *notice.Queue
	Log       *slog.Logger
	// Stop is called at named points; an error ends what is under way there, as a crash
	// would. Tests alone set it.
	Stop func(point string) error
}

// Run makes what is due until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := lookEvery
		if err := k.Tick(ctx); err != nil && ctx.Err() == nil {
			k.Log.WarnContext(ctx, "making a scheduled report failed; it is tried again", "error", err)
			pause = afterFailure
		}
		if clock.Wait(ctx, pause) != nil {
			return
		}
	}
}

// slotForm writes a due time so that a later one compares as greater.
const slotForm = "2006-01-02T15"

// Tick makes each report that is due and that nobody has made, and removes those whose
// end has come.
func (k *Keeper) Tick(ctx context.Context) error {
	p, now := k.Policy(), k.Now()
	var problems []error
	for _, s := range p.Reports.Schedule {
		if err := k.tick(ctx, p, s, now); err != nil {
			problems = append(problems, fmt.Errorf("report %s: %w", s.ID, err))
		}
	}
	var n int
	if err := k.DB.QueryRow(ctx, `SELECT COUNT(*) FROM report_kept WHERE ends_at <= $1`, store.Micros(now)).Scan(&n); err != nil {
		return errors.Join(append(problems, fmt.Errorf("looking for reports that are over: %w", err))...)
	}
	if n > 0 {
		problems = append(problems, k.DB.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM report_kept WHERE ends_at <= $1`, store.Micros(now))
			return err
		}))
	}
	return errors.Join(problems...)
}

func (k *Keeper) tick(ctx context.Context, p *policy.Policy, s policy.ReportSchedule, now time.Time) error {
	due := s.Due(now)
	if due.IsZero() {
		return nil
	}
	slot := due.Format(slotForm)
	last, err := k.last(ctx, s.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		// What is new begins with the next time.
		return k.DB.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO report_schedule (id, last_slot, ran_at) VALUES ($1, $2, 0) ON CONFLICT (id) DO NOTHING`, s.ID, slot)
			return err
		})
	case err != nil || last >= slot:
		return err
	}
	// All of it is read for a report: one gateway does that, and the others look again
	// later. Who is alone is decided where it is kept.
	leave, err := claim.New(k.DB, k.Now).Try(ctx, "report:"+s.ID)
	if errors.Is(err, claim.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer leave()
	if last, err = k.last(ctx, s.ID); err != nil || last >= slot {
		return err // made by who held the claim before
	}
	return k.make(ctx, p, s, due, slot)
}

// last is the slot that was made last; sql.ErrNoRows where the schedule is new.
func (k *Keeper) last(ctx context.Context, id string) (slot string, err error) {
	err = k.DB.QueryRow(ctx, `SELECT last_slot FROM report_schedule WHERE id = $1`, id).Scan(&slot)
	return slot, err
}

// addressees are those whom a report is for, by what of it they read.
func (k *Keeper) addressees(ctx context.Context, p *policy.Policy, s policy.ReportSchedule) (map[string][]directory.Person, error) {
	holds, who := map[directory.PersonID][]policy.PostID{}, map[directory.PersonID]directory.Person{}
	for _, id := range s.Posts {
		post, ok := p.Post(id)
		if !ok || post.Group == "" {
			continue
		}
		holders, err := k.Directory.Holders(ctx, post.Group)
		if err != nil {
			return nil, fmt.Errorf("finding who holds %s: %w", id, err)
		}
		for _, h := range holders {
			holds[h.ID], who[h.ID] = append(holds[h.ID], id), h
		}
	}
	out := map[string][]directory.Person{}
	for id, posts := range holds {
		if !who[id].MaySignIn(k.Now()) {
			continue
		}
		scope, no := MayRead(p, Name(s.Report), posts, who[id].Section)
		if no != nil {
			continue
		}
		section := ""
		if !scope.All {
			section = scope.Sections[0]
		}
		out[section] = append(out[section], who[id])
	}
	return out, nil
}

// ready reports whether everything that a report counts is there. Evidence counts sealed
// entries alone: what is sealed after it was made would be in neither this one nor the
// next, which begins where this one ends.
func (k *Keeper) ready(ctx context.Context, what Name, due time.Time) (bool, error) {
	if what != OfEvidence {
		return true, nil
	}
	if k.Now().Before(due.Add(settles)) {
		return false, nil
	}
	return audit.SealedBefore(ctx, k.DB, due)
}

// make makes a report for everybody whom it is for. All of it is one transaction: that it
// was made, the reports, the words to people and the entry on the trail. Whoever comes
// second writes nothing.
func (k *Keeper) make(ctx context.Context, p *policy.Policy, s policy.ReportSchedule, due time.Time, slot string) error {
	if ready, err := k.ready(ctx, Name(s.Report), due); err != nil || !ready {
		return err
	}
	to, err := k.addressees(ctx, p, s)
	if err != nil {
		return err
	}
	at := Period{s.Before(due), due}
	if Name(s.Report) == OfDormant {
		at = Period{}
	}
	type made struct {
		Kept
		body string
	}
	var all []made
	sections := make([]string, 0, len(to))
	for section := range to {
		sections = append(sections, section)
	}
	slices.Sort(sections)
	now := k.Now()
	for _, section := range sections {
		one := made{Kept: Kept{
			ID: secret.Token(12), Schedule: s.ID, Name: Name(s.Report), Section: section, Period: at, MadeAt: now, EndsAt: now.AddDate(0, 0, p.Reports.KeepDays),
		}}
		d, err := k.Make(ctx, one.Name, at, one.scope())
		if errors.Is(err, ErrNothingYet) {
			return nil // it is made when there is something
		}
		if err != nil {
			return err
		}
		forms := map[string]reportForm{}
		for _, lang := range []string{"ja", "en"} {
			r := d.Report(lang)
			one.Entries = len(r.Entries().Rows)
			if forms[lang], err = keepForm(r); err != nil {
				return err
			}
		}
		body, err := json.Marshal(forms)
		if err != nil {
			return fmt.Errorf("keeping a report: %w", err)
		}
		one.body = string(body)
		all = append(all, one)
	}
	if err := k.at("made"); err != nil {
		return err
	}
	err = k.DB.WithTx(ctx, func(tx *store.Tx) error {
		// The guard is in the WHERE clause: two gateways can come to a day together.
		if err := tx.ExecOne(ctx, `UPDATE report_schedule SET last_slot = $1, ran_at = $2 WHERE id = $3 AND last_slot < $1`, slot, store.Micros(now), s.ID); err != nil {
			return err
		}
		told := 0
		for _, one := range all {
			if _, err := tx.Exec(ctx, `
				INSERT INTO report_kept (id, schedule, slot, name, section, from_at, to_at, made_at, ends_at, entries, body)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
				one.ID, s.ID, slot, s.Report, one.Section, store.Micros(at.From), store.Micros(at.To), store.Micros(one.MadeAt), store.Micros(one.EndsAt), one.Entries, one.body); err != nil {
				return fmt.Errorf("keeping a report: %w", err)
			}
			for _, who := range to[one.Section] {
				told++
				if err := k.Notices.Add(ctx, tx, notice.Notice{
					Person: who.ID, Kind: notice.ReportReady, Zone: mailing(p), At: now,
					Detail: map[string]string{"report": s.Report, "id": one.ID, "until": one.EndsAt.UTC().Format(time.RFC3339)},
				}); err != nil {
					return err
				}
			}
		}
		return k.Trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "report.made", Object: s.Report, Outcome: audit.OK, Articles: articlesOf[Name(s.Report)],
			Detail: map[string]string{"schedule": s.ID, "slot": slot, "reports": strconv.Itoa(len(all)), "told": strconv.Itoa(told)},
		})
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has
	}
	return err
}

func (k *Keeper) at(point string) error {
	if k.Stop == nil {
		return nil
	}
	return k.Stop(point)
}

// mailing is the zone whose mail tells of what happens in none: the first that mails.
func mailing(p *policy.Policy) policy.ZoneID {
	for _, z := range p.Zones {
		if notice.Mails(p, z.ID) {
			return z.ID
		}
	}
	return ""
}
