package house

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"filippo.io/age"

	"sekisho/authz/restore"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
	"sekisho/policy/backup"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Restore is an old copy on its way into a store's place.
type Restore struct {
	Config Config
	Base   clock.Now
	Actor  string
	File   string
	Open   []age.Identity
	// Replace puts a store aside that is not empty: in a folder of dev, where
	// nobody is real. Elsewhere whoever restores would decide alone what was
	// never done (article 16-1), so it takes a second person's approval, or a
	// sealed key.
	Replace bool
	// Proposal is whose approval to go by; empty: the newest for the file.
	Proposal string
	// SealedKey stands in for the second person.
	SealedKey ed25519.PrivateKey

	header  backup.Header
	digest  string // of the file as it was read
	before  earlier
	over    *Ground          // of the store in use that goes, while it is needed
	warrant *restore.Warrant // why it may go
	spent   bool             // and that is used up: the store that goes is set aside
	anchor  *[]byte          // the checkpoint outside every store, as it was found; nil until it is read
}

// earlier is what the store that goes still tells.
type earlier struct {
	there, inUse bool
	mark         time.Time
	epoch        int64
	note         []byte // its newest checkpoint, where it was in use
}

// A Restored is what came of it.
type Restored struct {
	backup.Counts
	MadeAt       time.Time
	Epoch        int64
	Kept, LostTo int64  // of the trail: entries Kept ≤ i < LostTo are gone; equal where none are known of
	Aside        string // where the store before lies; "" for none
	// Waits is a proposal that nobody has approved yet: nothing was restored.
	// Proposed: it was made just now.
	Waits    *restore.Standing
	Proposed bool
}

// Run restores. The order of its steps is what makes it safe: everything is
// built and proved beside the store, and put in place when nothing
// can fail any more but a rename.
func (r *Restore) Run(ctx context.Context) (out Restored, err error) {
	if err := r.look(ctx); err != nil {
		return out, err
	}
	if r.before.inUse && !r.Replace {
		defer r.leave()
		if err := r.mayReplace(ctx, &out); err != nil || out.Waits != nil {
			return out, err
		}
	}
	f, a, err := r.open()
	if err != nil {
		return out, err
	}
	defer f.Close()
	site, err := r.site(ctx)
	if err != nil {
		return out, fmt.Errorf("restoring: %w", err)
	}
	defer site.leave(ctx)
	defer func() {
		if err != nil && r.spent {
			r.giveBack(ctx)
		}
	}()
	if err := r.load(ctx, f, a, site.at(), &out); err != nil {
		return out, err
	}
	now, err := r.begin(ctx, site.at(), &out)
	if err != nil {
		return out, err
	}
	if out.Aside, err = site.take(ctx, now.UTC()); err != nil {
		return out, err
	}
	r.spent = false // the store that is aside stays so
	return out, r.settle(ctx, now.UTC(), &out)
}

// site is where the new store is built, beside the place that it will take.
func (r *Restore) site(ctx context.Context) (site, error) {
	if r.Config.Store.Driver == "postgres" {
		return newSchemaSite(ctx, r)
	}
	return newFileSite(r)
}

// look finds out what is there. An empty store, in which nobody is governed yet,
// may go at once.
func (r *Restore) look(ctx context.Context) error {
	view, err := store.Look(ctx, r.Config.Store)
	if err != nil {
		return openFault(r.Config.Store, err)
	}
	if !view.Made {
		return nil
	}
	path := r.Config.Store.Place()
	db, err := store.Open(ctx, r.Config.Store)
	if err != nil && r.Config.Store.Driver == "postgres" {
		return openFault(r.Config.Store, err)
	}
	if err != nil {
		return say.Errorf("いまのデータベースを開けません（%[1]v）。壊れているなら %[2]s* を別の場所に移し、監査のために保管してから、もう一度実行してください。",
			"the store that is there cannot be opened (%[1]v); if it is broken, move %[2]s* elsewhere, keep them for the auditors, and run this again", err, path)
	}
	defer func() { _ = db.Close() }() // nothing was written but its own mark
	r.before.there = true
	var versions int64
	if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM charter_version`).Scan(&versions); err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	r.before.inUse = versions > 0
	if r.before.epoch, err = db.Epoch(ctx); err != nil {
		return err
	}
	r.before.mark, err = db.Mark(ctx, time.Time{})
	return err
}

// A hashed file is read with a sum kept of all its bytes.
type hashed struct {
	io.Reader
	io.Closer
	sum hash.Hash
}

// rest reads what is left, and answers the digest of the whole.
func (h hashed) rest() (string, error) {
	if _, err := io.Copy(io.Discard, h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.sum.Sum(nil)), nil
}

// open reads the header, and refuses the backup of another gate.
func (r *Restore) open() (hashed, *backup.Archive, error) {
	f, err := os.Open(r.File)
	if err != nil {
		return hashed{}, nil, say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", r.File, err)
	}
	sum := sha256.New()
	h := hashed{io.TeeReader(f, sum), f, sum}
	a, err := backup.Open(bufio.NewReaderSize(h, 1<<20), r.Open...)
	if err == nil {
		if r.header = a.Header; r.header.Origin == r.Config.Origin {
			return h, a, nil
		}
		err = say.Errorf("%[1]s は %[2]s の控えですが、この関所は %[3]s です。設定の trail.origin を確かめてください。",
			"%[1]s is a backup of %[2]s, but this gate is %[3]s; check trail.origin", r.File, r.header.Origin, r.Config.Origin)
	}
	_ = f.Close()
	return hashed{}, nil, archiveFault(r.File, err)
}

func archiveFault(path string, err error) error {
	switch {
	case errors.Is(err, backup.ErrNotForUs):
		return say.Errorf("%[1]s はこの鍵では開けません。控えを作ったときの backup.recipients に合う鍵を --identity で指定してください。",
			"%[1]s is not encrypted to this identity; give --identity the secret half of a recipient it was made for", path)
	case errors.Is(err, backup.ErrForm):
		return say.Errorf("%[1]s はこの版の sekisho では読めません（%[2]v）。控えを作った版で復元し、その後で更新してください。",
			"%[1]s cannot be read by this version (%[2]v); restore with the version that made it, then upgrade", path, err)
	case errors.Is(err, backup.ErrDamaged):
		return say.Errorf("%[1]s は途中で切れているか、変えられているか、控えではありません（%[2]v）。別の控えを使ってください。", "%[1]s is cut off, was changed, or is no backup (%[2]v); use another", path, err)
	}
	return err
}

// load makes a new store at a place and puts the copy's rows into it.
func (r *Restore) load(ctx context.Context, f hashed, a *backup.Archive, at store.Config, out *Restored) error {
	db, err := store.Open(ctx, at)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	out.MadeAt = r.header.MadeAt
	out.Counts, err = backup.Load(ctx, a, db)
	if err := errors.Join(err, db.Close()); err != nil {
		return archiveFault(r.File, err)
	}
	if r.digest, err = f.rest(); err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	if r.warrant != nil && r.digest != r.warrant.Digest { // another file was put under the name
		return archiveFault(r.File, backup.ErrDamaged)
	}
	return nil
}

// begin proves the new store, with the keys of this gate, and makes a
// store of today of it: what must not come back ends, and the trail says so.
func (r *Restore) begin(ctx context.Context, built store.Config, out *Restored) (at time.Time, err error) {
	cfg := r.Config
	cfg.Store, cfg.Anchor, cfg.MayBeEmpty = built, "", true
	cfg.Bootstrap, cfg.BootstrapText = "", nil
	g, err := OpenGround(ctx, cfg, r.Base) // the keys are held against the copy's book
	if err != nil {
		return at, err
	}
	defer g.Close()
	if g.Charter.Version() != r.header.Policy {
		return at, archiveFault(r.File, backup.ErrDamaged)
	}
	g.Clock.Raise(r.before.mark)
	if err := g.Seal.Seal(ctx); err != nil {
		return at, sealFault(err)
	}
	// Every entry is hashed again, against the copy's checkpoints and the header's.
	report, err := audit.Verify(ctx, g.DB, g.Key.PublicKey(), []byte(r.header.Checkpoint))
	if err != nil {
		return at, sealFault(err)
	}
	if err := r.foresee(ctx, g, report.Size); err != nil {
		return at, err
	}
	if err := r.setAside(ctx); err != nil {
		return at, err
	}
	e := audit.Entry{
		Actor: r.Actor, Action: "store.restored", Object: filepath.Base(r.File), Articles: []policy.Article{"16-1", "51-1"},
		Detail: map[string]string{
			"made_at": r.header.MadeAt.UTC().Format(time.RFC3339), "rows": strconv.FormatInt(out.Rows, 10),
			"policy": strconv.FormatInt(r.header.Policy, 10), "sha256": r.digest,
		},
	}
	if r.warrant != nil {
		maps.Copy(e.Detail, r.warrant.Detail())
	}
	if err := r.gap(ctx, g, report.Size, e.Detail, out); err != nil {
		return at, err
	}
	at = g.Clock.Now()
	done := restore.Done{
		Backup: restore.Backup{File: filepath.Base(r.File), Digest: r.digest, MadeAt: r.header.MadeAt, Policy: r.header.Policy, Trail: report.Size},
		By:     r.Actor, Kept: out.Kept, LostTo: out.LostTo, At: at,
	}
	err = g.DB.WithTx(ctx, func(tx *store.Tx) error {
		if out.Epoch, err = restore.Begin(ctx, tx, r.before.epoch, at); err != nil {
			return err
		}
		if !r.Replace {
			if err := restore.Note(ctx, tx, done, r.warrant); err != nil {
				return err
			}
		}
		return g.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return at, fmt.Errorf("restoring: %w", err)
	}
	if err := g.Seal.Seal(ctx); err != nil {
		return at, sealFault(err)
	}
	return at, nil
}

// gap holds the copy's trail against the anchor, which lies outside every store,
// and against the store that goes. Where they prove that more was signed than the
// copy holds, that much is lost, and the entry says how much and under which root.
func (r *Restore) gap(ctx context.Context, g *Ground, size int64, detail map[string]string, out *Restored) error {
	out.Kept, out.LostTo = size, size
	if r.anchor == nil {
		kept, err := (&Ground{cfg: r.Config}).Anchored()
		if err != nil {
			return err
		}
		r.anchor = &kept
	}
	var newest proof.Checkpoint
	var signed []byte
	for _, known := range [][]byte{*r.anchor, r.before.note} {
		if len(known) == 0 {
			continue
		}
		c, err := g.checkpoint(known)
		if err != nil {
			return sealFault(fmt.Errorf("%s: %w", r.Config.Anchor, err))
		}
		if signed == nil || c.Size > newest.Size {
			newest, signed = c, known
		}
	}
	if signed == nil {
		return nil
	}
	if newest.Size > size {
		out.LostTo = newest.Size
		detail["trail_kept"], detail["trail_lost_to"] = strconv.FormatInt(size, 10), strconv.FormatInt(newest.Size, 10)
		detail["trail_lost_root"] = newest.Root.String()
		return nil
	}
	if _, err := audit.Verify(ctx, g.DB, g.Key.PublicKey(), signed); err != nil {
		return sealFault(err)
	}
	return nil
}

// checkpoint opens a note that any key of this gate's trail has signed.
func (g *Ground) checkpoint(signed []byte) (c proof.Checkpoint, err error) {
	_, public := g.Key.Held()
	err = errors.New("no key of this trail has signed it")
	for _, p := range public {
		if c, err = proof.OpenLastSigned(signed, p); err == nil {
			return c, nil
		}
	}
	return c, err
}

// settle follows the new store with the anchor. The one that proves what was lost
// stays beside.
func (r *Restore) settle(ctx context.Context, now time.Time, out *Restored) error {
	if out.LostTo > out.Kept && r.Config.Anchor != "" {
		if err := os.Rename(r.Config.Anchor, r.Config.Anchor+setAside(now)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("putting the anchor aside: %w", err)
		}
	}
	if r.Config.Anchor != "" {
		if err := os.MkdirAll(filepath.Dir(r.Config.Anchor), 0o700); err != nil {
			return err
		}
	}
	cfg := r.Config
	cfg.MayBeEmpty = true
	g, err := OpenGround(ctx, cfg, r.Base) // as the gate will, and the anchor follows
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Seal.Seal(ctx)
}
