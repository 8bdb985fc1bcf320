package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A House is what the desk is built on.
type House struct {
	DB      *store.DB
	Policy  func() *policy.Policy
	Book    *approval.Book
	People  Holders
	Notices *notice.Queue
	Now     clock.Now
}

// Holders reads who is told of a restore.
type Holders interface {
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// A Desk puts proposed restores before those who decide, and tells those concerned
// of what was done at a console.
type Desk struct {
	House
	sealed   atomic.Int64    // see SealedLately
	hopeless map[string]bool // proposals that cannot be asked for, complained of once; Run's alone
}

// Open opens the desk at the book.
func Open(h House) *Desk {
	d := &Desk{House: h, hopeless: map[string]bool{}}
	h.Book.Open(approval.Restoration, approval.Desk{Name: policy.Words{JA: "控えからの復元", EN: "Restore of a backup"}, Card: d.card})
	return d
}

// rule is who decides: the CIO or a security officer, in person, with a
// phishing-resistant factor that has rested.
func rule() approval.Rule {
	return approval.Rule{Strict: true, Steps: []approval.Step{{
		Posts: []policy.PostID{policy.CIO, policy.SecurityOfficer}, Quorum: 1, Where: approval.Anywhere,
	}}}
}

// ask asks for every proposal that nobody was asked about. The matter has the
// proposal's id, so that of several gateways that find it one asks.
func (d *Desk) ask(ctx context.Context) error {
	within := d.Policy().Approval.LapseAfter
	all, err := store.All(ctx, d.DB, "proposed restores", scan, `
		SELECT `+columns+` FROM restore_proposal p
		WHERE  proposed_at > $1 AND NOT EXISTS (SELECT 1 FROM approval_matter m WHERE m.id = p.id)
		ORDER  BY proposed_at, id LIMIT 20`, store.Micros(d.Now().Add(-within)))
	if err != nil {
		return err
	}
	for _, p := range all {
		who, posts, err := d.Book.Terminal(ctx, p.Login)
		if err != nil {
			return err
		}
		c, err := d.Book.Consider(ctx, approval.Matter{
			ID: p.ID, Kind: approval.Restoration, Subject: p.ID, Requester: who, RequesterPosts: posts, Nobody: true, Zone: d.Book.Everywhere(),
			Reason: p.MadeAt.UTC().Format("2006-01-02 15:04 UTC") + " の控えへ戻す提案", Rule: rule(), LapsesAt: p.At.Add(within),
			Articles: articles, Detail: p.Backup.detail(),
		})
		if refused := (*approval.Refused)(nil); errors.As(err, &refused) {
			// An auditor proposed it, or nobody is left who could decide: it lapses.
			if !d.hopeless[p.ID] {
				d.hopeless[p.ID] = true
				slog.WarnContext(ctx, "a proposed restore cannot be asked for", "proposal", p.ID, "error", err)
			}
			continue
		}
		if err == nil {
			err = d.Book.Keep(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("asking for a restore: %w", err)
		}
	}
	return nil
}

// takenBack are the entries of a trail whose acts a restore undoes silently, and
// that have to be done again by hand.
var takenBack = []struct {
	actions []string
	words   policy.Words
}{
	{[]string{"person.suspended", "lockdown.ordered"}, policy.Words{JA: "利用停止・緊急停止", EN: "Suspensions and lock-downs"}},
	{[]string{"password.leak_reported", "factor.removed", "terminal.lost", "token.lost"}, policy.Words{JA: "漏えいの報告、認証手段・端末の取消し", EN: "Leaks reported, factors and terminals withdrawn"}},
	{[]string{"policy.approved"}, policy.Words{JA: "方針の変更", EN: "Changes of the policy"}},
}

// card says what a yes does, with what would be lost by it now.
func (d *Desk) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	p, err := byID(ctx, d.DB, m.Subject)
	if errors.Is(err, ErrNoProposal) {
		return nil // it was decided in a store that this one has replaced
	}
	if err != nil {
		return err
	}
	made := p.MadeAt.UTC().Format("2006-01-02 15:04:05 UTC")
	c.Yes = policy.Words{
		JA: made + " より後にこの関所に記録されたことが、すべて失われます。全員のセッションと、貸し出し中の特権がすべて終わります。" +
			"承認の後、" + p.Login + " さんがすべての関所を止めて、この控えで一度だけ置き換えられます。いまのデータベースは別に残ります。",
		EN: "Everything that this gate has recorded since " + made + " is lost. Everybody's session and every lease ends. " +
			"After your yes, " + p.Login + " may stop all gates and put this backup in the store's place, once. The store of now is kept aside.",
	}
	c.Until = policy.Words{
		JA: "承認から" + policy.ShowDuration(d.Policy().Approval.LapseAfter) + "以内に行わなければ、承認は失効します。",
		EN: "The yes lapses unless it is carried out within " + policy.ShowDuration(d.Policy().Approval.LapseAfter) + ".",
	}
	fact := func(ja, en, value string) {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: ja, EN: en}, Value: value})
	}
	fact("控えのファイル", "File", p.File)
	fact("控えの時点", "Made at", made)
	fact("SHA-256", "SHA-256", p.Digest)
	// Of what this store says, not of what whoever proposed has written down.
	known, ok, err := Known(ctx, d.DB, p.Digest)
	at := known.At.UTC().Format("2006-01-02 15:04:05 UTC") + ", " + known.By
	switch {
	case err != nil:
		return err
	case !ok:
		fact("【注意】この関所の証跡にないファイル", "CAUTION: this store's trail does not know this file", p.File)
	case known.Made:
		fact("この関所で作った（証跡）", "Made here, says the trail", at)
	default:
		fact("この関所で復元に使った（証跡）", "Restored here before, says the trail", at)
	}
	if !m.Requester.Known() {
		fact("【注意】職員名簿にない提案者（承認する人と同じ人でも分からない）", "CAUTION: the directory does not know who proposed; it may be whoever approves", p.Login)
	}
	var size, version, sessions, leases int64
	err = d.DB.QueryRow(ctx, `
		SELECT (SELECT COALESCE(MAX(size), 0) FROM trail_checkpoint), (SELECT COALESCE(MAX(number), 0) FROM charter_version),
		       (SELECT COUNT(*) FROM session WHERE ended_at = 0 AND expires_at > $1), (SELECT COUNT(*) FROM lease WHERE state = 'active')`,
		store.Micros(d.Now())).Scan(&size, &version, &sessions, &leases)
	if err != nil {
		return fmt.Errorf("counting what a restore would lose: %w", err)
	}
	fact("失われる証跡", "Entries of the trail lost", strconv.FormatInt(max(0, size-p.Trail), 10))
	if version != p.Policy {
		fact("方針", "Policy", fmt.Sprintf("%d → %d", version, p.Policy))
	}
	fact("終わるセッション", "Sessions that end", strconv.FormatInt(sessions, 10))
	fact("終わる特権", "Leases that end", strconv.FormatInt(leases, 10))
	for _, t := range takenBack {
		args := []any{p.Trail}
		marks := make([]string, len(t.actions))
		for i, a := range t.actions {
			args, marks[i] = append(args, a), "$"+strconv.Itoa(i+2)
		}
		var n int64
		err := d.DB.QueryRow(ctx, `SELECT COUNT(*) FROM trail_leaf WHERE idx >= $1 AND outcome = 'ok' AND action IN (`+strings.Join(marks, ", ")+`)`, args...).Scan(&n)
		if err != nil {
			return fmt.Errorf("counting what a restore would undo: %w", err)
		}
		if n > 0 {
			fact("取り消される"+t.words.JA, "Undone: "+t.words.EN, strconv.FormatInt(n, 10))
		}
	}
	return nil
}

// SealedLately is how many times within the last day a sealed key put a backup in
// this store's place, as Run has seen.
func (d *Desk) SealedLately() int64 { return d.sealed.Load() }

func (d *Desk) count(ctx context.Context) error {
	var n int64
	err := d.DB.QueryRow(ctx, `SELECT COUNT(*) FROM restore_done WHERE sealed = 1 AND done_at > $1`, store.Micros(d.Now().Add(-24*time.Hour))).Scan(&n)
	if err != nil {
		return fmt.Errorf("counting restores by a sealed key: %w", err)
	}
	d.sealed.Store(n)
	return nil
}

func scanDone(row store.Row) (Done, error) {
	var (
		d      Done
		body   string
		sealed int64
	)
	if err := row.Scan(&d.id, &body, &sealed); err != nil {
		return Done{}, err
	}
	d.Sealed = sealed == 1
	return d, json.Unmarshal([]byte(body), &d)
}

// tell tells those concerned of what was restored: at the console where that was
// done, nobody could be asked who they are. Of several gateways one does.
func (d *Desk) tell(ctx context.Context) error {
	untold, err := store.All(ctx, d.DB, "restores", scanDone, `SELECT id, body, sealed FROM restore_done WHERE told_at = 0 ORDER BY done_at, id`)
	if err != nil || len(untold) == 0 {
		return err
	}
	people, err := d.concerned(ctx)
	if err != nil {
		return err
	}
	for _, done := range untold {
		slog.WarnContext(ctx, "this store was restored from a backup", "operator", done.By, "sealed_key", done.Sealed)
		err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `UPDATE restore_done SET told_at = $1 WHERE id = $2 AND told_at = 0`, store.Micros(d.Now()), done.id)
			if errors.Is(err, store.ErrUntouched) {
				return nil // another gateway has
			}
			if err != nil {
				return err
			}
			for _, p := range people {
				err := d.Notices.Add(ctx, tx, notice.Notice{Person: p.ID, Kind: notice.StoreRestored, Zone: d.Book.Everywhere(), At: done.At, Detail: done.told()})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("telling of a restore: %w", err)
		}
	}
	return nil
}

// told is what a notice says of it.
func (d Done) told() map[string]string {
	out := map[string]string{"by": d.By, "made": d.MadeAt.UTC().Format(time.RFC3339), "approved": strings.Join(d.Approvers, ", ")}
	if d.LostTo > d.Kept {
		out["lost"] = strconv.FormatInt(d.LostTo-d.Kept, 10)
	}
	if d.Sealed {
		out["sealed"] = "yes"
	}
	return out
}

// concerned are CIO, CSIRT, security officers and auditors.
func (d *Desk) concerned(ctx context.Context) ([]directory.Person, error) {
	var out []directory.Person
	for _, id := range []policy.PostID{policy.CIO, policy.CSIRT, policy.SecurityOfficer, policy.Auditor} {
		post, ok := d.Policy().Post(id)
		if !ok || post.Group == "" {
			continue
		}
		people, err := d.People.Holders(ctx, post.Group)
		if err != nil {
			return nil, fmt.Errorf("reading whom to tell of a restore: %w", err)
		}
		for _, p := range people {
			if !slices.ContainsFunc(out, func(q directory.Person) bool { return q.ID == p.ID }) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// lookEvery is how often Run looks.
const lookEvery = 2 * time.Second

// Run asks for what was proposed at a terminal and tells of what was done there,
// until ctx ends. What fails is tried again; complain hears of it.
func (d *Desk) Run(ctx context.Context, complain func(ctx context.Context, what string, err error)) {
	for {
		complain(ctx, "asking for proposed restores", d.ask(ctx))
		complain(ctx, "telling of a restore", errors.Join(d.count(ctx), d.tell(ctx)))
		if clock.Wait(ctx, lookEvery) != nil {
			return
		}
	}
}
