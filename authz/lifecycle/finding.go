package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Finding is what a sweep noticed beside: it is open as long as it is so.
type Finding struct {
	Kind     FindingKind
	Subject  string // the ID of the person
	Login    string // "" where it is not known any more
	Section  string
	Detail   string
	FoundAt  time.Time
	SeenAt   time.Time
	ClosedAt time.Time // zero: it is still so
}

// FindingKind is what was noticed.
type FindingKind string

// The kinds.
const (
	NoOwner   FindingKind = "no_owner"           // a program's or shared ID without anybody's number
	Temporary FindingKind = "temporary_password" // never used, and void
	Orphan    FindingKind = "orphan_factor"      // a factor of an ID that is no more
	Unbounded FindingKind = "unknown_use"        // nothing says when it was last used
	NotClosed FindingKind = "not_confirmed"      // the directory does not do what was intended
	// LastHolder: an ID that nobody uses is open, for too few would be left of its post.
	LastHolder FindingKind = "last_of_post"
	// NobodyTold: an ID of a program or of several people, of which nobody could be told.
	NobodyTold FindingKind = "nobody_told"
	// NotDealt: an ID that a sweep could not deal with.
	NotDealt FindingKind = "not_dealt_with"
	// Reused: the login of an ID that was deleted is somebody's again.
	Reused FindingKind = "reused_login"
)

// FindingKinds are all of them.
func FindingKinds() []FindingKind {
	return []FindingKind{NotClosed, NotDealt, NobodyTold, LastHolder, Reused, NoOwner, Orphan, Temporary, Unbounded}
}

// mostFindings bounds what one sweep holds and stores.
const mostFindings = 5000

func (t *tally) find(f Finding) {
	if len(t.found) < mostFindings {
		t.found = append(t.found, f)
	}
}

// odd notes what is odd about somebody by the directory alone.
func (t *tally) odd(p *policy.Policy, who directory.Person, now time.Time) {
	f := Finding{Subject: string(who.ID), Login: who.Login, Section: who.Section}
	a := who.Account
	if whose, ok := t.buried[directory.Canonical(who.Login)]; ok && whose != who.ID {
		f.Kind = Reused
		t.find(f)
	}
	switch {
	case !owned(who):
	case who.Number == "":
		f.Kind, f.Detail = NoOwner, string(who.Kind)
		t.find(f)
	case len(t.owned) < mostFindings:
		t.owned = append(t.owned, who)
	}
	if since := latest(a.PasswordChangedAt); a.MustChange && a.Usable(now) && !since.IsZero() && now.Sub(since) > p.Password.TemporaryEnd {
		f.Kind, f.Detail = Temporary, since.UTC().Format(time.RFC3339)
		t.find(f)
	}
}

// note notes what is odd about somebody who was judged.
func (t *tally) note(who directory.Person, e Entry, r row) {
	if r.stage == rowDeleted { // put back, or never gone where the answer came from
		t.find(Finding{Kind: Reused, Subject: string(who.ID), Login: who.Login, Section: who.Section, Detail: "deleted " + r.deletedAt.UTC().Format(time.RFC3339)})
	}
	if e.Hold == Unknown && who.Account.Usable(time.Time{}.Add(1)) {
		t.find(Finding{Kind: Unbounded, Subject: string(who.ID), Login: who.Login, Section: who.Section})
	}
}

// mostOrphans bounds how many are asked about, one by one.
const mostOrphans = 1000

// orphans looks for those who have a factor and were not met: a few may have come
// since, so each is asked about.
func (w *work) orphans(ctx context.Context, t *tally) error {
	for i, id := range slices.Sorted(maps.Keys(t.factors)) {
		if i == mostOrphans {
			break
		}
		if err := w.alive(ctx); err != nil {
			return err
		}
		_, err := w.Directory.ByID(ctx, id)
		switch {
		case errors.Is(err, directory.ErrNotFound):
			t.find(Finding{Kind: Orphan, Subject: string(id)})
		case err != nil:
			return fmt.Errorf("looking for whom a factor belongs to: %w", err)
		}
	}
	return nil
}

// disowned looks for who answers for the IDs of programs and of several people. Who
// answers for many is asked about once; a number that has more IDs than are read is known
// to be somebody's, and stands in the way of no sweep.
func (w *work) disowned(ctx context.Context, t *tally) error {
	nobodys := map[string]bool{}
	for _, who := range t.owned {
		nobody, asked := nobodys[who.Number]
		if !asked {
			if err := w.alive(ctx); err != nil {
				return err
			}
			owners, err := w.ownersOf(ctx, who)
			if err != nil && !errors.Is(err, directory.ErrTruncated) {
				return fmt.Errorf("looking for who answers for %s: %w", who.Login, err)
			}
			nobody = err == nil && len(owners) == 0
			nobodys[who.Number] = nobody
		}
		if nobody {
			t.find(Finding{Kind: NoOwner, Subject: string(who.ID), Login: who.Login, Section: who.Section, Detail: string(who.Kind) + ", number " + who.Number})
		}
	}
	return nil
}

// findings stores what a sweep noticed.
func (w *work) findings(ctx context.Context, tx *store.Tx, all []Finding) error {
	for _, f := range all {
		if err := w.found(ctx, tx, f); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) found(ctx context.Context, tx *store.Tx, f Finding) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO lifecycle_finding (kind, subject, login, section, detail, found_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $6)
		ON CONFLICT (kind, subject) DO UPDATE SET
			login = excluded.login, section = excluded.section, detail = excluded.detail, seen_at = excluded.seen_at,
			found_at = CASE WHEN lifecycle_finding.closed_at = 0 THEN lifecycle_finding.found_at ELSE excluded.found_at END, closed_at = 0`,
		string(f.Kind), f.Subject, f.Login, f.Section, f.Detail, store.Micros(b.Now()))
	if err != nil {
		return fmt.Errorf("storing a finding: %w", err)
	}
	return nil
}

func (b *Book) closeFinding(ctx context.Context, tx *store.Tx, k FindingKind, subject string) error {
	_, err := tx.Exec(ctx, `UPDATE lifecycle_finding SET closed_at = $1 WHERE kind = $2 AND subject = $3 AND closed_at = 0`, store.Micros(b.Now()), string(k), subject)
	return err
}

// Findings are the open ones, by kind and login.
func (b *Book) Findings(ctx context.Context, most int) ([]Finding, error) {
	return findingsWhere(ctx, b.DB, `closed_at = 0 ORDER BY kind, login, subject LIMIT $1`, most)
}

// FindingsSince are those that are open, or were found or closed at a time or after it;
// the open ones first, at most so many. It reads rows alone, so that it serves a
// terminal too.
func FindingsSince(ctx context.Context, in store.Reader, from time.Time, most int) ([]Finding, error) {
	return findingsWhere(ctx, in, `closed_at = 0 OR found_at >= $1 OR closed_at >= $1 ORDER BY closed_at <> 0, kind, login, subject LIMIT $2`, store.Micros(from), most)
}

func findingsWhere(ctx context.Context, in store.Reader, where string, args ...any) ([]Finding, error) {
	return store.All(ctx, in, "findings", func(r store.Row) (f Finding, err error) {
		var found, seen, closed int64
		err = r.Scan(&f.Kind, &f.Subject, &f.Login, &f.Section, &f.Detail, &found, &seen, &closed)
		f.FoundAt, f.SeenAt, f.ClosedAt = store.FromMicros(found), store.FromMicros(seen), store.FromMicros(closed)
		return f, err
	}, `SELECT kind, subject, login, section, detail, found_at, seen_at, closed_at FROM lifecycle_finding WHERE `+where, args...)
}

// rule is who says that a stopped sweep goes on, or that IDs are deleted: who answers
// for the security of information (articles 11 to 13). The machine has asked, so that one
// of them is the second for what can be undone. A deletion cannot: it takes two people.
func rule(k approval.Kind) approval.Rule {
	quorum := 1
	if k == Deletion {
		quorum = 2
	}
	return approval.Rule{Steps: []approval.Step{{
		Posts: []policy.PostID{policy.SecurityManager, policy.SecurityOfficer, policy.CIO}, Quorum: quorum, Where: approval.Anywhere,
	}}}
}

// The times that a matter may wait.
const (
	goOnWaits     = 3 * 24 * time.Hour
	deletionWaits = 14 * 24 * time.Hour
	// inBatch is how many IDs one matter proposes to delete.
	inBatch = 100
)

// consider prepares a matter that the machine asks for; nil where nobody could decide
// it, which the trail then says.
func (w *work) consider(ctx context.Context, m approval.Matter) (*approval.Considered, error) {
	if w.Matters == nil {
		return nil, nil
	}
	m.Requester, m.Nobody, m.Zone, m.Rule, m.Articles = approval.AtTerminal("sekisho"), true, mailing(w.Policy()), rule(m.Kind), articles
	m.Requester.Name = "関所 Sekisho"
	c, err := w.Matters.Consider(ctx, m)
	if refused := (*approval.Refused)(nil); errors.As(err, &refused) {
		w.Log.ErrorContext(ctx, "nobody can decide what a sweep asks for", "kind", string(m.Kind), "reason", string(refused.Verdict.Reason))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// stopWords say why a sweep stopped.
var stopWords = map[Stop]policy.Words{
	Empty:   {JA: "ディレクトリに、IDが一つもありません。", EN: "The directory has no IDs at all."},
	Fewer:   {JA: "ディレクトリに最後に使われた日時が記録されているIDが、前回より大きく減りました。ディレクトリの設定（lastbind など）と、関所が読める範囲を確かめてください。", EN: "The directory writes down the last use of many fewer IDs than last time; see its settings (lastbind, say), and what the gate may read."},
	Undated: {JA: "ディレクトリに、最後に使われた日時が一つも記録されていません。記録する設定（lastbind など）を確かめてください。", EN: "The directory writes down nobody's last use; see whether it is set to (lastbind, say)."},
	Differs: {JA: "ディレクトリにあるIDの数が、前回と大きく違います。", EN: "The directory has many more, or fewer, IDs than last time."},
	TooMany: {JA: "一度に知らせる、又は無効にするIDが多すぎます。時計、休暇の登録、ディレクトリの記録を確かめてください。", EN: "Very many IDs would be warned or disabled at once; see whether clock, leave and the directory's records are right."},
}

// Words say why a sweep stopped.
func (s Stop) Words() policy.Words { return stopWords[s] }

func (w *work) askToGoOn(ctx context.Context, why Stop, before Answer) (*approval.Considered, error) {
	return w.consider(ctx, approval.Matter{
		Kind: GoOn, Subject: w.ID, LapsesAt: w.Now().Add(goOnWaits), Reason: why.Words().JA,
		Detail: map[string]string{
			"why": string(why), "before": fmt.Sprint(before.People), "dated": fmt.Sprint(w.Dated), "dated_before": fmt.Sprint(before.Dated), "people": fmt.Sprint(w.People), "to_warn": fmt.Sprint(w.ToWarn), "to_disable": fmt.Sprint(w.ToDisable), "slot": w.Slot,
		},
	})
}

// settleStop has a stopped sweep go on, or ends it.
func (b *Book) settleStop(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	now, state, ended := b.Now(), Acting, int64(0)
	if to != approval.Approved {
		state, ended = Dropped, store.Micros(now)
	}
	err := tx.ExecOne(ctx, `UPDATE sweep SET state = $1, ended_at = $2, claimed_until = 0, holder = '' WHERE id = $3 AND state = 'stopped'`, string(state), ended, m.Subject)
	if errors.Is(err, store.ErrUntouched) {
		return nil // superseded
	}
	if err != nil {
		return err
	}
	if state == Dropped {
		if err := b.forget(ctx, tx, m.Subject); err != nil {
			return err
		}
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: system, Action: "sweep.decided", Object: "sweep/" + m.Detail["slot"], Outcome: audit.OK, Reason: string(to), Articles: articles,
		Detail: map[string]string{"matter": m.ID, "why": m.Detail["why"]},
	})
}

func (b *Book) cardOfStop(_ context.Context, m approval.Matter, c *approval.Card) error {
	c.Yes = policy.Words{
		JA: "点検が続き、それぞれのIDをもう一度確かめてから、知らせ、又は無効にします。",
		EN: "The sweep goes on: each ID is looked at once more, and then warned or disabled.",
	}
	for _, f := range []struct{ key, ja, en string }{
		{"people", "今回のIDの数", "IDs this time"}, {"before", "前回のIDの数", "IDs last time"},
		{"dated", "最後の利用が記録されたID", "IDs with a last use"}, {"dated_before", "前回のその数", "as many last time"}, {"to_warn", "知らせるID", "to be warned"}, {"to_disable", "無効にするID", "to be disabled"},
	} {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: f.ja, EN: f.en}, Value: m.Detail[f.key]})
	}
	why := Stop(m.Detail["why"]).Words()
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "止まった理由", EN: "Why it stopped"}, Value: why.JA, Says: why})
	return nil
}

// propose asks somebody whether IDs that have been closed for long are deleted.
func (w *work) propose(ctx context.Context) error {
	for {
		some, err := entries(ctx, w.DB, w.ID, ` AND act = 'propose_deletion' AND outcome = ''`, "", inBatch)
		if err != nil || len(some) == 0 {
			return err
		}
		c, err := w.consider(ctx, approval.Matter{
			Kind: Deletion, Subject: w.ID, LapsesAt: w.Now().Add(deletionWaits),
			Reason: fmt.Sprintf("長い間使われていないID %d件の削除", len(some)), Detail: map[string]string{"ids": fmt.Sprint(len(some)), "slot": w.Slot},
		})
		if err != nil {
			return err
		}
		err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := w.beat(ctx, tx); err != nil {
				return err
			}
			matter, proposed := "", 0
			if c != nil {
				m, err := w.Matters.Ask(ctx, tx, *c)
				if err != nil {
					return err
				}
				matter = m.ID
			}
			for _, e := range some {
				outcome := Passed
				r, err := rowOf(ctx, tx, e.Person)
				if err != nil {
					return err
				}
				if matter == "" {
					outcome = Failed
				} else if r.stage == rowDisabled && r.effect == "" {
					r.stage, r.matter = rowDeleting, matter
					if err := put(ctx, tx, r); err != nil {
						return err
					}
					outcome, proposed = Done, proposed+1
				}
				if err := tx.ExecOne(ctx, `UPDATE sweep_entry SET outcome = $1 WHERE sweep = $2 AND person_id = $3`, string(outcome), w.ID, string(e.Person)); err != nil {
					return err
				}
			}
			return tx.ExecOne(ctx, `UPDATE sweep SET proposed = proposed + $1 WHERE id = $2`, proposed, w.ID)
		})
		if err != nil {
			return fmt.Errorf("proposing deletions: %w", err)
		}
	}
}

func proposedBy(ctx context.Context, in store.Reader, matter string) ([]row, error) {
	return store.All(ctx, in, "whose deletion is proposed", scanRow, `SELECT `+rowColumns+` FROM dormancy WHERE matter = $1 AND stage = 'deleting' ORDER BY login`, matter)
}

// settleDeletion intends the deletions that were approved, and keeps the IDs that were
// not. A login that is deleted is never given again.
func (b *Book) settleDeletion(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	rows, err := proposedBy(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	now := b.Now()
	for _, r := range rows {
		e := audit.Entry{
			Actor: system, Object: object(r.login, r.person), Outcome: audit.OK, Reason: string(to), Articles: articles, Detail: map[string]string{"matter": m.ID},
		}
		if to == approval.Approved {
			e.Action = "dormancy.deletion_approved"
			r = r.intend(toDelete, now)
			if _, err := tx.Exec(ctx, `
				INSERT INTO tombstone (login, person_id, at, matter) VALUES ($1, $2, $3, $4) ON CONFLICT (login) DO NOTHING`,
				directory.Canonical(r.login), string(r.person), store.Micros(now), m.ID); err != nil {
				return err
			}
		} else {
			e.Action = "dormancy.kept"
			r.stage, r.matter = rowDisabled, ""
			if to == approval.Denied {
				r.keptUntil = now.AddDate(0, 0, b.Policy().Dormancy.ReviewDays)
			}
		}
		if err := put(ctx, tx, r); err != nil {
			return err
		}
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) cardOfDeletion(ctx context.Context, m approval.Matter, c *approval.Card) error {
	c.Yes = policy.Words{
		JA: "これらのIDがディレクトリから削除されます。元には戻せません。同じログイン名は二度と使われません。",
		EN: "These IDs are deleted from the directory. It cannot be undone. Their logins are never given again.",
	}
	rows, err := proposedBy(ctx, b.DB, m.ID)
	if err != nil {
		return err
	}
	for _, r := range rows {
		section := policy.Words{JA: r.section, EN: r.section}
		if s, ok := b.Policy().Section(r.section); ok {
			section = s.Name
		}
		c.Facts = append(c.Facts, approval.Fact{Label: section, Value: r.name + " (" + r.login + ")"})
	}
	return nil
}
