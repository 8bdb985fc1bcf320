package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	// pollEvery is how often the Sealer looks: an entry is sealed well within
	// the second that security.md section 4 asks for.
	pollEvery = 200 * time.Millisecond
	// batchSize bounds one sealing transaction. Everybody who commits at that
	// moment waits for it: a thousand entries take some milliseconds.
	batchSize = 1024
	// anchorEvery is after how many batches of a backlog the anchor follows.
	anchorEvery = 16
	// lastSeal is how long Run may take to seal what is left when it ends.
	lastSeal = 5 * time.Second
)

// sealing is the lock under which one sealer at a time works. Appenders do not
// know it: they neither wait for a sealer nor make one begin again.
const sealing = "trail.seal"

// A Sealer turns committed entries into the signed trail. Several of them, in
// one process or in many, may work on one store: everything is decided inside a
// transaction that one at a time is in, so the second finds the work of the
// first done.
type Sealer struct {
	db     *store.DB
	now    clock.Now
	key    *Key
	anchor anchor
	poke   chan struct{}

	mu       sync.Mutex
	due      bool      // the anchor file is older than the store
	err      error     // what the last attempt came to
	sealed   time.Time // when nothing was left waiting for the last time
	failures int64
}

// NewSealer checks what is sealed so far before adding to it: the newest
// checkpoint must be key's (ErrOtherKey), the stored tree must hash to it
// (ErrRewritten), and the checkpoint in the anchor file, which lies outside the
// database, must be a prefix of it (*RolledBack, ErrForked). A new store gets a
// checkpoint of size 0.
//
// anchor is the path of the anchor file, "" for none: it holds the newest
// checkpoint, fit for trailcheck --checkpoint, and is best copied to another
// machine. When it is missing although entries are sealed, it is written again
// and the trail says so.
func NewSealer(db *store.DB, now clock.Now, key *Key, anchorPath string) (*Sealer, error) {
	if key == nil {
		return nil, errors.New("opening the trail: there is no key to sign it with")
	}
	s := &Sealer{db: db, now: now, key: key, poke: make(chan struct{}, 1), anchor: anchor{path: anchorPath, key: key}, sealed: now()}
	ctx := context.Background()
	// Read before the store: the anchor is written after the commit, so read in
	// this order it can never be ahead of an honest store.
	if err := s.anchor.learn(ctx, db); err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	kept, err := s.anchor.read()
	if err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	var h head
	err = db.WithLock(ctx, sealing, func(tx *store.Tx) error {
		h, err = s.begin(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.anchor.compare(ctx, tx, kept, h); err != nil {
			return err
		}
		if s.anchor.path == "" || kept.note != nil || h.Size == 0 {
			return nil
		}
		return New(db, now).Append(ctx, tx, Entry{
			Actor: "system", Action: "trail.anchored_anew", Object: s.anchor.path,
			Reason: fmt.Sprintf("no anchor was found beside a trail of %d entries", h.Size),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	if err := s.anchor.write(h); err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	return s, nil
}

// begin reads the head, and signs the empty tree in a store that has none.
func (s *Sealer) begin(ctx context.Context, tx *store.Tx) (head, error) {
	h, err := s.readHead(ctx, tx)
	if err != nil || h.note != nil {
		return h, err
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return head{}, err
	}
	return s.checkpoint(ctx, tx, 0, root)
}

// checkpoint signs a tree and stores the note.
func (s *Sealer) checkpoint(ctx context.Context, tx *store.Tx, size int64, root tlog.Hash, by ...note.Signer) (head, error) {
	h, err := s.sign(size, root, by...)
	if err != nil {
		return head{}, err
	}
	err = tx.ExecOne(ctx, `INSERT INTO trail_checkpoint (size, note, signed_at) VALUES ($1, $2, $3)`,
		size, string(h.note), store.Micros(s.now()))
	if err != nil {
		return head{}, fmt.Errorf("storing the checkpoint of %d entries: %w", size, err)
	}
	return h, nil
}

// Run seals until ctx ends, within a second of the first entry that waits, and
// then once more. What fails is logged once, told by Err, and tried again: the
// entries stay where they are, so nothing is lost and no number is skipped.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, end := context.WithTimeout(context.WithoutCancel(ctx), lastSeal)
			defer end()
			s.attempt(last)
			return
		case <-tick.C:
		case <-s.poke:
		}
		s.attempt(ctx)
	}
}

// Poke asks a running Sealer to look at once. It never waits.
func (s *Sealer) Poke() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Err is what stands in the way of sealing, nil while nothing does.
func (s *Sealer) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Lag is how long entries may have been waiting to be sealed: the time since
// nothing was left waiting. failures counts the attempts of this process that
// failed.
func (s *Sealer) Lag() (lag time.Duration, failures int64) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, now.Sub(s.sealed)), s.failures
}

func (s *Sealer) attempt(ctx context.Context) {
	at := s.now() // what is committed later is not looked for
	err := s.sealIfDue(ctx)
	s.mu.Lock()
	before := s.err
	s.err = err
	switch {
	case err == nil:
		s.sealed = at
	case ctx.Err() == nil:
		s.failures++
	}
	s.mu.Unlock()
	switch {
	case err != nil && ctx.Err() == nil && (before == nil || before.Error() != err.Error()):
		slog.Error("the trail is not being sealed", "error", err)
	case err == nil && before != nil:
		slog.Info("the trail is being sealed again")
	}
}

// sealIfDue looks from outside the write transaction first: an idle gateway
// writes nothing.
func (s *Sealer) sealIfDue(ctx context.Context) error {
	var seq int64
	waiting, err := one(ctx, s.db, []any{&seq}, `SELECT seq FROM trail_pending LIMIT 1`)
	if err != nil {
		return fmt.Errorf("looking for entries to seal: %w", err)
	}
	s.mu.Lock()
	due := waiting || s.due
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.Seal(ctx)
}

// Seal numbers, hashes and signs all that is committed when it is called, in
// batches of one checkpoint each. On an error what was sealed stays sealed and
// the rest waits.
func (s *Sealer) Seal(ctx context.Context) error {
	for round := 1; ; round++ {
		kept, err := s.anchor.read()
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		// Reading and hashing is done before the transaction, which on SQLite
		// holds everybody up. What is read still waits as long as nobody else
		// seals; what is committed after the reading waits for the next round.
		before, err := leafCount(ctx, s.db)
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		read, err := pending(ctx, s.db)
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		var (
			h head
			n int
		)
		err = s.db.WithLock(ctx, sealing, func(tx *store.Tx) error {
			if h, err = s.begin(ctx, tx); err != nil {
				return err
			}
			if err = s.anchor.compare(ctx, tx, kept, h); err != nil {
				return err
			}
			leaves := read
			if h.Size != before {
				if leaves, err = pending(ctx, tx); err != nil {
					return err
				}
			}
			h, err = s.batch(ctx, tx, h, leaves)
			n = len(leaves)
			return err
		})
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		// The anchor costs two fsyncs, so a backlog shares one.
		more := n == batchSize
		if more && round%anchorEvery != 0 {
			s.setDue(true)
			continue
		}
		err = s.anchor.write(h)
		s.setDue(err != nil)
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		if !more {
			return nil
		}
	}
}

func (s *Sealer) setDue(due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = due
}

// A leaf is one entry on its way from pending to sealed.
type leaf struct {
	seq   int64
	data  []byte
	hash  tlog.Hash
	entry Entry
}

// batch seals pending entries and returns the new head. Without any, nothing is
// written.
func (s *Sealer) batch(ctx context.Context, tx *store.Tx, h head, leaves []leaf) (head, error) {
	if len(leaves) == 0 {
		return h, nil
	}
	h, err := s.grow(ctx, tx, h, leaves)
	if err != nil {
		return head{}, err
	}
	if err := clearPending(ctx, tx, leaves); err != nil {
		return head{}, fmt.Errorf("clearing what was sealed: %w", err)
	}
	return h, nil
}

// grow adds leaves to the tree and signs it, by the key in use or by these.
func (s *Sealer) grow(ctx context.Context, tx *store.Tx, h head, leaves []leaf, by ...note.Signer) (head, error) {
	var (
		tree  = &nodes{ctx: ctx, from: tx, first: tlog.StoredHashIndex(0, h.Size), fresh: make([]tlog.Hash, 0, 2*len(leaves)+64)}
		rows  = make([]any, 0, 8*len(leaves))
		inner = make([]byte, 0, (len(leaves)+64)*tlog.HashSize)
		arts  []any
	)
	for i := range leaves {
		l, idx := &leaves[i], h.Size+int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(idx, l.hash, tree)
		if err != nil {
			return head{}, fmt.Errorf("adding entry %d to the tree: %w", idx, err)
		}
		tree.fresh = append(tree.fresh, hashes...)
		for _, hash := range hashes[1:] { // the leaf's own hash stands in its row
			inner = append(inner, hash[:]...)
		}
		e := &l.entry
		rows = append(rows, idx, l.hash[:], l.data, store.Micros(e.Time), e.Actor, e.Action, e.Outcome, e.Case)
		slices.Sort(e.Articles)
		for _, a := range slices.Compact(e.Articles) {
			arts = append(arts, string(a), idx)
		}
	}
	// Before leaf n there are n leaves and the inner nodes.
	runs := runsOf(inner, tree.first-h.Size)
	for _, t := range []struct {
		into insertion
		rows []any
	}{{intoLeaf, rows}, {intoArticle, arts}, {intoNode, runs}} {
		if err := t.into.all(ctx, tx, t.rows); err != nil {
			return head{}, fmt.Errorf("storing entries %d to %d: %w", h.Size, h.Size+int64(len(leaves))-1, err)
		}
	}
	size := h.Size + int64(len(leaves))
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return head{}, fmt.Errorf("hashing the tree of %d entries: %w", size, err)
	}
	return s.checkpoint(ctx, tx, size, root, by...)
}

// maxRun is how many hashes a row of inner nodes holds: what fits into a page.
const maxRun = 120

// runsOf makes rows of inner nodes, the first of which has the given place.
func runsOf(inner []byte, place int64) []any {
	var rows []any
	for run := range slices.Chunk(inner, maxRun*tlog.HashSize) {
		rows = append(rows, place, run)
		place += int64(len(run) / tlog.HashSize)
	}
	return rows
}

// clearPending deletes what was sealed and nothing else. On PostgreSQL an entry
// with a lower seq may be committed after one with a higher seq was read, so
// only a run of seqs without a gap is deleted as a whole: nothing can appear in it.
func clearPending(ctx context.Context, tx *store.Tx, leaves []leaf) error {
	deleted := int64(0)
	for from := 0; from < len(leaves); {
		to := from
		for to+1 < len(leaves) && leaves[to+1].seq == leaves[to].seq+1 {
			to++
		}
		res, err := tx.Exec(ctx, `DELETE FROM trail_pending WHERE seq BETWEEN $1 AND $2`, leaves[from].seq, leaves[to].seq)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		deleted += n
		from = to + 1
	}
	if deleted != int64(len(leaves)) {
		return fmt.Errorf("%d rows waited where %d had been read: somebody else deletes them", deleted, len(leaves))
	}
	return nil
}

// pending reads entries that wait, as many as make a batch.
func pending(ctx context.Context, from querier) ([]leaf, error) {
	rows, err := from.Query(ctx, `SELECT seq, data FROM trail_pending ORDER BY seq LIMIT $1`, batchSize)
	if err != nil {
		return nil, fmt.Errorf("reading what waits to be sealed: %w", err)
	}
	defer rows.Close()
	var leaves []leaf
	for rows.Next() {
		leaves = append(leaves, leaf{})
		l := &leaves[len(leaves)-1]
		if err := rows.Scan(&l.seq, &l.data); err != nil {
			return nil, fmt.Errorf("reading what waits to be sealed: %w", err)
		}
		// Append wrote nothing that does not read back. Signing what another
		// hand put there would vouch for it.
		l.hash = tlog.RecordHash(l.data)
		if l.entry, err = decode(l.data); err != nil {
			return nil, fmt.Errorf("pending row %d was not written by sekisho: %w", l.seq, err)
		}
		// A succession is sealed by Succeed, in one step, and never waits.
		if l.entry.Action == proof.Action {
			return nil, fmt.Errorf("pending row %d was not written by sekisho: nobody says by the way that another key signs", l.seq)
		}
	}
	return leaves, rows.Err()
}

// An insertion inserts rows of width values, many to a statement: with one each,
// the calls would cost more than the inserts. It has two statement texts, so
// that both stay prepared.
type insertion struct {
	width     int
	one, many string
}

const manyRows = 32

var (
	intoLeaf    = newInsertion("trail_leaf (idx, hash, data, at, actor, action, outcome, case_id)", 8)
	intoArticle = newInsertion("trail_article (article, idx)", 2)
	intoNode    = newInsertion("trail_node (position, hash)", 2)
)

func newInsertion(table string, width int) insertion {
	text := func(rows int) string {
		groups := make([]string, rows)
		for row := range rows {
			marks := make([]string, width)
			for col := range width {
				marks[col] = fmt.Sprintf("$%d", row*width+col+1)
			}
			groups[row] = "(" + strings.Join(marks, ", ") + ")"
		}
		return "INSERT INTO " + table + " VALUES " + strings.Join(groups, ", ")
	}
	return insertion{width, text(1), text(manyRows)}
}

func (i insertion) all(ctx context.Context, tx *store.Tx, values []any) error {
	for len(values) > 0 {
		text, n := i.one, i.width
		if len(values) >= manyRows*i.width {
			text, n = i.many, manyRows*i.width
		}
		if _, err := tx.Exec(ctx, text, values[:n]...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
