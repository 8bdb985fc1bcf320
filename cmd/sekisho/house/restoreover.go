package house

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sekisho/authz/approval"
	"sekisho/authz/restore"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/audit"
	"sekisho/policy/backup"
	"sekisho/policy/custody"
	"sekisho/policy/store"
)

// A store in use goes only by a warrant (design rule 7): a second person has
// approved this very file, or there is a sealed key. And no gate may be on it.

// mayReplace finds the warrant, or proposes: then out.Waits says for what.
func (r *Restore) mayReplace(ctx context.Context, out *Restored) error {
	cfg := r.Config
	cfg.MayBeEmpty = true
	g, err := OpenGround(ctx, cfg, r.Base)
	if err != nil {
		return err
	}
	r.over = g
	if err := r.takeBack(ctx, g); err != nil {
		return err
	}
	file, err := r.examine(ctx, g)
	if err != nil {
		return err
	}
	w, err := r.findWarrant(ctx, g, file, out)
	if err != nil || out.Waits != nil {
		return err
	}
	r.warrant = &w
	return r.stopped(ctx, g)
}

func (r *Restore) findWarrant(ctx context.Context, g *Ground, file restore.Backup, out *Restored) (restore.Warrant, error) {
	now, rules := g.Clock.Now(), g.Charter.Current()
	if r.SealedKey != nil {
		w, err := restore.BySealedKey(rules, r.SealedKey, file, r.Actor, now)
		if errors.Is(err, restore.ErrUnknownKey) {
			err = say.Errorf("この鍵は、いまの方針の lockdown.sealed_keys にありません。", "the rules in force do not name this key in lockdown.sealed_keys")
		}
		return w, err
	}
	within := rules.Approval.LapseAfter
	s, ok, err := restore.Find(ctx, g.DB, file.Digest, r.Proposal, now, within)
	switch {
	case errors.Is(err, restore.ErrNoProposal):
		return restore.Warrant{}, say.Errorf("提案 %[1]s はありません。`sekisho restore FILE` で提案してください。", "there is no proposal %[1]s; propose with `sekisho restore FILE`", r.Proposal)
	case errors.Is(err, restore.ErrOtherFile):
		return restore.Warrant{}, say.Errorf("提案 %[1]s は別のファイルについてのものです。提案したときと同じ控えを指定してください。", "proposal %[1]s is about another file; name the backup that was proposed", r.Proposal)
	case err != nil:
		return restore.Warrant{}, err
	case !ok:
		p, err := restore.Propose(ctx, g.DB, g.Trail, r.Actor, file, now)
		if errors.Is(err, audit.ErrNoRoom) || errors.Is(err, audit.ErrNoSeal) {
			err = say.Errorf("証跡に書けないため、提案できません（%[1]v）。空き容量と `/readyz` の trail を直してから、もう一度実行してください。",
				"nothing can be proposed that the trail may not hold (%[1]v); make room, mend what /readyz says of trail, and run this again", err)
		}
		if err != nil {
			return restore.Warrant{}, err
		}
		out.Waits, out.Proposed = &restore.Standing{Proposal: p}, true
		return restore.Warrant{}, g.Seal.Seal(ctx)
	case !s.Good.IsZero():
		return restore.Approved(s, within)
	case s.State() == approval.Pending:
		out.Waits = &s
		return restore.Warrant{}, nil
	}
	// Named, and over: approved too long ago or used up, denied, taken back, lapsed.
	return restore.Warrant{}, say.Errorf("提案 %[1]s の承認は使えません（%[2]s。期限切れか、使用済みかもしれません）。`sekisho restore FILE` でもう一度提案してください。",
		"the approval of proposal %[1]s cannot be used (%[2]s; lapsed or used, perhaps); propose again with `sekisho restore FILE`", s.ID, string(s.State()))
}

// nowhere takes what is in a backup and keeps nothing.
type nowhere struct{}

func (nowhere) Table(string, []string) error { return nil }
func (nowhere) Row([]any) error              { return nil }

// examine reads a backup from end to end before anybody is asked about it: a second
// person must not approve a file that cannot be restored.
func (r *Restore) examine(ctx context.Context, g *Ground) (restore.Backup, error) {
	f, a, err := r.open()
	if err != nil {
		return restore.Backup{}, err
	}
	defer f.Close()
	schema, err := g.DB.Schema(ctx)
	if err != nil {
		return restore.Backup{}, err
	}
	if schema != r.header.Schema {
		return restore.Backup{}, archiveFault(r.File, fmt.Errorf("%w: it has schema version %d, this sekisho makes %d", backup.ErrForm, r.header.Schema, schema))
	}
	if _, err := a.Read(ctx, nowhere{}); err != nil {
		return restore.Backup{}, archiveFault(r.File, err)
	}
	b := restore.Backup{File: filepath.Base(r.File), MadeAt: r.header.MadeAt.UTC(), Policy: r.header.Policy}
	if b.Digest, err = f.rest(); err != nil {
		return b, fmt.Errorf("restoring: %w", err)
	}
	if r.header.Checkpoint != "" {
		c, err := g.checkpoint([]byte(r.header.Checkpoint))
		if err != nil {
			return b, sealFault(fmt.Errorf("%s: %w", r.File, err))
		}
		b.Trail = c.Size
		// Of a history that this store has left, a restore would lose what nobody counts.
		if same, err := audit.Continues(ctx, g.DB, c); r.SealedKey == nil && err != nil {
			return b, sealFault(err)
		} else if r.SealedKey == nil && !same {
			return b, otherHistory(r.File)
		}
	}
	// age does not say who wrote a file. One that this store's own trail does not know,
	// a second person could not tell from a forged one.
	if _, ok, err := restore.Known(ctx, g.DB, b.Digest); err != nil {
		return b, err
	} else if !ok && r.SealedKey == nil {
		return b, say.Errorf("このデータベースの証跡は、%[1]s を知りません（SHA-256 %[2]s の store.backed_up がない）。この関所の `sekisho backup` で作った控えを使ってください。証跡からその記録が失われているときは、封印した鍵（--sealed-key）が要ります。",
			"the trail of this store does not know %[1]s (no store.backed_up with SHA-256 %[2]s); use a backup that `sekisho backup` made here. Where the trail has lost that entry, it takes a sealed key (--sealed-key)", r.File, b.Digest)
	}
	return b, nil
}

func otherHistory(file string) error {
	return say.Errorf("%[1]s は、いまのデータベースが復元で離れた、別の履歴の控えです。置き換えれば、何が失われるかを数えられません。いまの履歴の控えを使ってください。",
		"%[1]s is of a history that the store in use has left, so nobody could say what is lost by it; use a backup of the history that is there", file)
}

// stopped refuses while a gate is on the store: what it lets people do until it
// notices would be lost, suspensions too.
func (r *Restore) stopped(ctx context.Context, g *Ground) error {
	live, err := g.Book.Holders(ctx)
	if err != nil {
		return err
	}
	return running(live)
}

// running refuses while there are such gates.
func running(live []custody.Holder) error {
	var names []string
	for _, h := range live {
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return say.Errorf("ゲートが動いています（%[1]s）。すべて止めてから、もう一度実行してください。落ちたゲートは、30秒で数えられなくなります。承認はそのまま使えます。",
		"gates are running on this store (%[1]s); stop them all and run this again. One that crashed is forgotten after 30 s. The approval stays good.", strings.Join(names, ", "))
}

// setAside uses the warrant up, in the store that goes, when nothing can fail any
// more but putting the new one in place.
func (r *Restore) setAside(ctx context.Context) error {
	if r.warrant == nil {
		return nil
	}
	g := r.over
	if err := r.stopped(ctx, g); err != nil {
		return err
	}
	if g.DB.Moved() {
		return restoredFirst()
	}
	epoch, err := r.warrant.SetAside(ctx, g.DB, g.Trail, r.Actor, r.before.epoch, g.Clock.Now())
	if errors.Is(err, store.ErrReplaced) {
		return restoredFirst()
	}
	if errors.Is(err, approval.ErrNotApproved) {
		return say.Errorf("承認は、ほかの人がすでに使いました。", "somebody else has used the approval already")
	}
	if err != nil {
		return err
	}
	r.before.epoch, r.spent = epoch, true
	if err := g.Seal.Seal(ctx); err != nil {
		return sealFault(err)
	}
	if r.before.note, err = g.newestNote(ctx); err != nil {
		return err
	}
	r.leave()
	return nil
}

func restoredFirst() error {
	return say.Errorf("ほかの人が先に復元しました。`sekisho policy show` などで確かめてください。", "somebody else has restored a backup first; look at what is there now")
}

// newestNote is the newest checkpoint in the store.
func (g *Ground) newestNote(ctx context.Context) ([]byte, error) {
	var note string
	if err := g.DB.QueryRow(ctx, `SELECT note FROM trail_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&note); err != nil {
		return nil, fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	return []byte(note), nil
}

// foresee does everything that can fail of what comes after the warrant is used up,
// while it is not: a second person's yes is not spent on a file that cannot go on.
func (r *Restore) foresee(ctx context.Context, g *Ground, size int64) error {
	if r.warrant == nil {
		return nil
	}
	if err := r.over.Seal.Seal(ctx); err != nil {
		return sealFault(err)
	}
	note, err := r.over.newestNote(ctx)
	if err != nil {
		return err
	}
	c, err := g.checkpoint(note)
	if err != nil {
		return sealFault(err)
	}
	if c.Size <= size { // that it was made here is an entry which the copy itself cannot have
		return otherHistory(r.File)
	}
	r.before.note = note
	return r.gap(ctx, g, size, map[string]string{}, &Restored{})
}

// fit looks at the store in the place once more, when nothing comes between but the
// exchange: it is still the one that was looked at, and no gate is on it.
func (r *Restore) fit(ctx context.Context, old store.Reader, now time.Time) error {
	var versions, epoch int64
	err := old.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM charter_version), (SELECT epoch FROM store_epoch WHERE id = 1)`).Scan(&versions, &epoch)
	switch {
	case err != nil:
		return fmt.Errorf("restoring: %w", err)
	case r.warrant == nil && versions > 0 && !r.Replace, r.warrant != nil && epoch != r.before.epoch:
		return otherStore(r.Config.Store.Place())
	case r.warrant == nil:
		return nil
	}
	live, err := custody.Living(ctx, old, now)
	if err != nil {
		return err
	}
	return running(live)
}

func otherStore(place string) error {
	return say.Errorf("データベース %[1]s が、途中で別のものに替わりました。何も置き換えていません。関所をすべて止めて、もう一度実行してください。",
		"the database %[1]s became another one meanwhile; nothing was put in its place: stop all gates and run this again", place)
}

// takeBack takes a store into use again that a restore, which was killed, has set
// aside.
func (r *Restore) takeBack(ctx context.Context, g *Ground) error {
	epoch, was, err := restore.Abandon(ctx, g.DB, g.Trail, r.Actor, g.Clock.Now())
	if err != nil || !was {
		return err
	}
	r.before.epoch = epoch
	if err := g.Seal.Seal(ctx); err != nil {
		return sealFault(err)
	}
	return nil
}

// giveBack is takeBack where this restore itself has failed, whatever it was told
// meanwhile. Where it fails too, the next one does it.
func (r *Restore) giveBack(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	r.leave()
	if view, err := store.Look(ctx, r.Config.Store); err != nil || !view.Made {
		return
	}
	cfg := r.Config
	cfg.MayBeEmpty = true
	g, err := OpenGround(ctx, cfg, r.Base)
	if err != nil {
		return
	}
	defer g.Close()
	_ = r.takeBack(ctx, g)
}

// inUse refuses to work on a store that a restore has set aside: what was done on it
// would be lost when the other comes.
func (g *Ground) inUse(ctx context.Context) error {
	since, aside, err := store.Aside(ctx, g.DB)
	if err != nil || !aside {
		return err
	}
	at := since.Format(time.RFC3339)
	return say.Errorf("データベース %[1]s は、%[2]s に復元のために退けられました。復元が終わるのを待ってください。復元が途中で止まったのなら、`sekisho restore` をもう一度実行すると、このデータベースが使える状態に戻ります。",
		"the store %[1]s was set aside by a restore at %[2]s: wait until that is done. If it was killed, run `sekisho restore` once more, which takes this store into use again", g.cfg.Store.Place(), at)
}

func (r *Restore) leave() {
	if r.over != nil {
		r.over.Close()
		r.over = nil
	}
}
