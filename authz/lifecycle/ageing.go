package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/password"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Ageing tells people that their passwords must be changed soon, where the policy has
// passwords grow old (profile jp-legacy; article 62-7). It changes nothing: that a
// password is too old is asked at the sign-in.
type Ageing struct {
	*Book
	looked string // the day in Japan on which this gateway has told everybody
}

const (
	// ageingEvery is how often it is looked whether it is another day.
	ageingEvery = 10 * time.Minute
	// ageingAtOnce is how many people are told in one transaction.
	ageingAtOnce = 100
)

// Run looks once a day, until ctx ends.
func (a *Ageing) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := a.Tick(ctx); err != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "telling whose password grows old failed; it is tried again", "error", err)
		}
		if clock.Wait(ctx, ageingEvery) != nil {
			return
		}
	}
}

// Tick tells those who are to know today. Of several gateways each looks, and one tells
// each person.
func (a *Ageing) Tick(ctx context.Context) error {
	p, now := a.Policy(), a.Now()
	day := policy.DayInJapan(now)
	if a.looked == day || p.Password.MaxAge == 0 && !p.Password.FiscalYearEnd {
		return nil
	}
	zone := mailing(p)
	if !notice.Mails(p, zone) {
		return nil // their own page says it
	}
	told, err := a.told(ctx, a.DB, now, nil)
	if err != nil {
		return err
	}
	var due []ageing
	err = a.Directory.Stream(ctx, func(who directory.Person) error {
		if one, ok := ageingOf(p, who, now); ok && told[who.ID].Before(one.since) {
			due = append(due, one)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(due, ageingAtOnce) {
		if err := a.write(ctx, some, zone, now); err != nil {
			return err
		}
	}
	a.looked = day
	return nil
}

// An ageing is somebody whose password is about to be too old.
type ageing struct {
	who          directory.PersonID
	since, until time.Time
}

// ageingOf says whether somebody is to have heard, and since when. Of IDs that nobody signs
// in with, and of temporary passwords, nobody is told.
func ageingOf(p *policy.Policy, who directory.Person, now time.Time) (ageing, bool) {
	a := who.Account
	if who.Kind == directory.KindService || who.Kind == directory.KindShared || a.MustChange || !a.Usable(now) {
		return ageing{}, false
	}
	since := password.WarnedSince(p.Password, a.PasswordChangedAt, now)
	return ageing{who.ID, since, password.ExpiresAt(p.Password, a.PasswordChangedAt)}, !since.IsZero()
}

// write tells some people, each once: one gateway at a time does, and sees what the others
// have queued. Nobody else queues notices of this kind, and they are kept for longer than
// anybody is warned beforehand.
func (a *Ageing) write(ctx context.Context, some []ageing, zone policy.ZoneID, now time.Time) error {
	return a.DB.WithLock(ctx, "password ageing", func(tx *store.Tx) error {
		told, err := a.told(ctx, tx, now, some)
		if err != nil {
			return err
		}
		for _, one := range some {
			if !told[one.who].Before(one.since) {
				continue
			}
			n := notice.Notice{Person: one.who, Kind: notice.PasswordAgeing, Zone: zone, At: now, Detail: map[string]string{"until": one.until.Format(time.RFC3339)}}
			if err := a.Notices.Add(ctx, tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// told is when people were told last, all of them or some.
func (a *Ageing) told(ctx context.Context, in store.Reader, now time.Time, some []ageing) (map[directory.PersonID]time.Time, error) {
	args := []any{string(notice.PasswordAgeing), store.Micros(now.Add(-notice.Kept))}
	where := ""
	if len(some) > 0 {
		marks := make([]string, len(some))
		for i, one := range some {
			args = append(args, string(one.who))
			marks[i] = "$" + strconv.Itoa(len(args))
		}
		where = ` AND person_id IN (` + strings.Join(marks, ", ") + `)`
	}
	out := map[directory.PersonID]time.Time{}
	_, err := store.All(ctx, in, "who was told that a password grows old", func(r store.Row) (struct{}, error) {
		var (
			id directory.PersonID
			at int64
		)
		err := r.Scan(&id, &at)
		out[id] = store.FromMicros(at)
		return struct{}{}, err
	}, `SELECT person_id, MAX(at) FROM notice WHERE kind = $1 AND at >= $2`+where+` GROUP BY person_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("telling whose password grows old: %w", err)
	}
	return out, nil
}
