package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// act does what follows for one ID, if it still follows: the directory and the store
// are read afresh, the store in the transaction that acts.
func (w *work) act(ctx context.Context, e Entry) error {
	who, err := w.Directory.ByID(ctx, e.Person)
	gone := errors.Is(err, directory.ErrNotFound)
	if err != nil && !gone {
		return fmt.Errorf("reading %s again: %w", e.Login, err)
	}
	var posts []holders
	if !gone && e.Act == Disable {
		if posts, err = w.holdersBeside(ctx, who); err != nil {
			return fmt.Errorf("reading who else holds the posts of %s: %w", e.Login, err)
		}
	}
	if err := w.at("act"); err != nil {
		return err
	}
	var (
		done  Act
		hold  Hold
		ended int
	)
	owners, err := w.ownersOf(ctx, who)
	if err != nil {
		return fmt.Errorf("reading who answers for %s: %w", e.Login, err)
	}
	err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
		done, hold, ended = "", e.Hold, 0
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		if !gone {
			k, err := w.knows(ctx, tx, []directory.Person{who})
			if err != nil {
				return err
			}
			// What is done is done now, and judged by what is so now, however long ago the
			// directory was read. A day that has not come is acted upon in dev alone.
			now, j := w.judge(w.Policy(), who, k[who.ID], latest(w.Now(), w.AsOf))
			if now.Act == Disable && e.Act != Disable {
				now.Act = "" // who else holds their posts was not read: the next sweep sees to it
			}
			if now.Act != "" && unheard(who, owners) {
				now.Act, hold = "", NoOwnerTold
				if err := w.nobodyTold(ctx, tx, now); err != nil {
					return err
				}
			}
			if now.Act == Disable {
				few, err := w.wouldEmpty(ctx, tx, posts)
				if err != nil {
					return err
				}
				if few != "" {
					now.Act, hold = "", LastOfPost
					if err := w.heldBack(ctx, tx, now, few); err != nil {
						return err
					}
				}
			}
			switch now.Act {
			case Warn:
				done, err = Warn, w.warn(ctx, tx, who, owners, now, j, k[who.ID].row)
			case Disable:
				done = Disable
				ended, err = w.disable(ctx, tx, who, owners, now, k[who.ID].row)
			}
			if err != nil {
				return err
			}
		}
		outcome, counter := Passed, "passed_over"
		switch done {
		case Warn:
			outcome, counter = Done, "warned"
		case Disable:
			outcome, counter = Done, "disabled"
		}
		if err := w.closeFinding(ctx, tx, NotDealt, string(e.Person)); err != nil {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep_entry SET outcome = $1, hold = $2 WHERE sweep = $3 AND person_id = $4 AND outcome = ''`,
			string(outcome), string(hold), w.ID, string(e.Person)); err != nil {
			return err
		}
		return tx.ExecOne(ctx, `UPDATE sweep SET `+counter+` = `+counter+` + 1, done_to = $1 WHERE id = $2`, string(e.Person), w.ID)
	})
	if err != nil {
		return fmt.Errorf("dealing with %s: %w", e.Login, err)
	}
	if err := w.at("acted"); err != nil {
		return err
	}
	if done == Disable {
		if w.Forget != nil {
			w.Forget.Forget(e.Person)
		}
		for _, of := range []Leases{w.Leases, w.Permits} {
			if ended > 0 && of != nil {
				of.Changed(ctx)
			}
		}
		// What fails here is tried again by Effects.
		w.complain(ctx, "closing an unused ID in the directory", w.Bring(ctx, e.Person))
	}
	return nil
}

// filled is a row with what it says of somebody.
func (r row) filled(e Entry) row {
	r.person, r.login, r.name, r.section, r.kind, r.class = e.Person, e.Login, e.Name, e.Section, e.Kind, e.Class
	return r
}

func (w *work) warn(ctx context.Context, tx *store.Tx, who directory.Person, owners []directory.Person, e Entry, j Judgement, r row) error {
	r = r.filled(e)
	r.stage, r.warnedAt = rowWarned, w.Now()
	if err := put(ctx, tx, r); err != nil {
		return err
	}
	detail := map[string]string{"account": who.Login, "days": strconv.Itoa(e.Unused), "until": j.DisableOn.Format(time.RFC3339)}
	if err := w.tell(ctx, tx, who.ID, notice.DormancyWarned, detail); err != nil {
		return err
	}
	for _, o := range owners {
		if err := w.tell(ctx, tx, o.ID, notice.OwnedWarned, detail); err != nil {
			return err
		}
	}
	entry := w.about("dormancy.warned", e)
	entry.Detail["disable_on"] = j.DisableOn.Format(time.RFC3339)
	return w.Trail.Append(ctx, tx, entry)
}

func (w *work) disable(ctx context.Context, tx *store.Tx, who directory.Person, owners []directory.Person, e Entry, r row) (ended int, err error) {
	if ended, err = w.shut(ctx, tx, who, r.filled(e), w.By, fmt.Sprintf("unused for %d days", e.Unused), "dormant"); err != nil {
		return 0, err
	}
	detail := map[string]string{"account": who.Login, "days": strconv.Itoa(e.Unused)}
	if err := w.tell(ctx, tx, who.ID, notice.DormancyClosed, detail); err != nil {
		return 0, err
	}
	for _, o := range owners {
		if err := w.tell(ctx, tx, o.ID, notice.OwnedClosed, detail); err != nil {
			return 0, err
		}
	}
	return ended, w.Trail.Append(ctx, tx, w.about("dormancy.disabled", e))
}

// shut closes an ID in the caller's transaction: at every door from its commit on, and
// in the directory as soon as that can be (Bring). ended is how much that was lent or
// permitted ended with it.
func (b *Book) shut(ctx context.Context, tx *store.Tx, who directory.Person, r row, by, reason, why string) (ended int, err error) {
	now := b.Now()
	if err := standing.Set(ctx, tx, who.ID, standing.Dormant, now, time.Time{}, reason, by); err != nil {
		return 0, err
	}
	if err := b.Sessions.EndAll(ctx, tx, who.ID, who.Login, "", why); err != nil {
		return 0, err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of == nil {
			continue
		}
		n, err := of.EndOf(ctx, tx, who.ID, by, why)
		if err != nil {
			return 0, err
		}
		ended += n
	}
	if err := standing.Changed(ctx, tx, who.ID, now); err != nil {
		return 0, err
	}
	r.stage, r.disabledAt, r.matter = rowDisabled, now, ""
	return ended, put(ctx, tx, r.intend(toDisable, now))
}

// intend is a row with what the directory is to be brought to.
func (r row) intend(effect string, now time.Time) row {
	r.effect, r.effectDue, r.effectSince, r.tries, r.effectError = effect, now, now, 0, ""
	return r
}

// about begins an entry about one ID on the trail.
func (w *work) about(action string, e Entry) audit.Entry {
	detail := map[string]string{
		"sweep": w.Slot, "unused_days": strconv.Itoa(e.Unused), "class": string(e.Class), "kind": string(e.Kind), "section": e.Section,
	}
	if !e.LastUse.IsZero() {
		detail["last_use"] = e.LastUse.UTC().Format(time.RFC3339)
	}
	return audit.Entry{Actor: w.By, Action: action, Object: object(e.Login, e.Person), Outcome: audit.OK, Articles: articles, Detail: detail}
}

func object(login string, id directory.PersonID) string { return login + " (" + string(id) + ")" }

// tell queues a notice in the first zone that sends mail: an ID that is not used is
// in none.
func (b *Book) tell(ctx context.Context, tx *store.Tx, to directory.PersonID, k notice.Kind, detail map[string]string) error {
	return b.Notices.Add(ctx, tx, notice.Notice{Person: to, Kind: k, Zone: mailing(b.Policy()), At: b.Now(), Detail: detail})
}

func mailing(p *policy.Policy) policy.ZoneID {
	for _, z := range p.Zones {
		if notice.Mails(p, z.ID) {
			return z.ID
		}
	}
	if len(p.Zones) > 0 {
		return p.Zones[0].ID
	}
	return ""
}

// Reopen writes down, in the transaction of the decision, that a closed ID is used
// again: the count begins anew, and what we closed in the directory is to be opened.
// ErrDeleting: its deletion has been decided. The caller calls Bring after the commit.
func (b *Book) Reopen(ctx context.Context, tx *store.Tx, who directory.Person) error {
	r, err := rowOf(ctx, tx, who.ID)
	if err != nil {
		return err
	}
	if r.effect == toDelete || r.stage == rowDeleted {
		return ErrDeleting
	}
	now := b.Now()
	r = r.filled(Entry{Person: who.ID, Login: who.Login, Name: who.Name, Section: who.Section, Kind: who.Kind, Class: ClassOf(b.Policy(), who)})
	r.stage, r.warnedAt, r.disabledAt, r.reopenedAt, r.matter = rowOpen, time.Time{}, time.Time{}, now, ""
	if err := b.closeFinding(ctx, tx, NotClosed, string(who.ID)); err != nil {
		return err
	}
	if r.ours || r.effect == toDisable {
		r = r.intend(toEnable, now)
	}
	if err := standing.Changed(ctx, tx, who.ID, now); err != nil {
		return err
	}
	return put(ctx, tx, r)
}

// ErrDeleting: that an ID is deleted has been decided.
var ErrDeleting = errors.New("the deletion of this ID has been decided")
