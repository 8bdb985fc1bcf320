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

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	// pollEvery is how often the Sealer looks: an entry is sealed well within
	// the second that security.md section 4 asks for.
	pollEvery = 200 * time.Millisecond
	// batchSize bounds one sealing transaction. Everybody who commits at that
	// moment waits for it: a few hundred entries take some milliseconds.
	batchSize = 512
	// lastSeal is how long Run may take to seal what is left when it ends.
	lastSeal = 5 * time.Second
)

// A Sealer turns committed entries into the signed trail. Several of them, in
// one process or in many, may work on one store: everything is read and decided
// inside the write transaction, so the second finds the work of the first done.
type Sealer struct {
	db     *store.DB
	now    clock.Now
	key    *Key
	anchor anchor
	poke   chan struct{}

	mu  sync.Mutex
	due bool  // the anchor file is older than the store
	err error // what the last attempt came to
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
	s := &Sealer{db: db, now: now, key: key, poke: make(chan struct{}, 1), anchor: anchor{path: anchorPath, key: key.PublicKey()}}
	ctx := context.Background()
	// Read before the store: the anchor is written after the commit, so read in
	// this order it can never be ahead of an honest store.
	kept, err := s.anchor.read()
	if err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	var h head
	err = db.WithTx(ctx, func(tx *store.Tx) error {
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
func (s *Sealer) checkpoint(ctx context.Context, tx *store.Tx, size int64, root tlog.Hash) (head, error) {
	h, err := s.sign(size, root)
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

func (s *Sealer) attempt(ctx context.Context) {
	err := s.sealIfDue(ctx)
	s.mu.Lock()
	before := s.err
	s.err = err
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
	for {
		kept, err := s.anchor.read()
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		var (
			h head
			n int
		)
		err = s.db.WithTx(ctx, func(tx *store.Tx) error {
			if h, err = s.begin(ctx, tx); err != nil {
				return err
			}
			if err = s.anchor.compare(ctx, tx, kept, h); err != nil {
				return err
			}
			h, n, err = s.batch(ctx, tx, h)
			return err
		})
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		err = s.anchor.write(h)
		s.mu.Lock()
		s.due = err != nil
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		if n < batchSize {
			return nil
		}
	}
}

// A leaf is one entry on its way from pending to sealed.
type leaf struct {
	seq   int64
	data  []byte
	hash  tlog.Hash
	entry Entry
}

// batch seals the oldest pending entries and returns the new head and how many
// there were. Without any, nothing is written.
func (s *Sealer) batch(ctx context.Context, tx *store.Tx, h head) (head, int, error) {
	leaves, err := pending(ctx, tx)
	if err != nil || len(leaves) == 0 {
		return h, 0, err
	}
	var (
		tree  = nodes{ctx: ctx, from: tx, fresh: make(map[int64]tlog.Hash, 2*len(leaves))}
		rows  = make([]any, 0, 8*len(leaves))
		inner = make([]any, 0, 2*len(leaves))
		arts  []any
	)
	for i := range leaves {
		l, idx := &leaves[i], h.Size+int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(idx, l.hash, tree)
		if err != nil {
			return head{}, 0, fmt.Errorf("adding entry %d to the tree: %w", idx, err)
		}
		position := tlog.StoredHashIndex(0, idx)
		for k, hash := range hashes {
			tree.fresh[position+int64(k)] = hash
			if k > 0 { // the leaf's own hash stands in its row
				inner = append(inner, position+int64(k), hash[:])
			}
		}
		e := l.entry
		rows = append(rows, idx, l.hash[:], l.data, store.Micros(e.Time), e.Actor, e.Action, e.Outcome, e.Case)
		slices.Sort(e.Articles)
		for _, a := range slices.Compact(e.Articles) {
			arts = append(arts, string(a), idx)
		}
	}
	for _, t := range []struct {
		table string
		width int
		rows  []any
	}{
		{"trail_leaf (idx, hash, data, at, actor, action, outcome, case_id)", 8, rows},
		{"trail_article (article, idx)", 2, arts},
		{"trail_node (position, hash)", 2, inner},
	} {
		if err := insertAll(ctx, tx, t.table, t.width, t.rows); err != nil {
			return head{}, 0, fmt.Errorf("storing entries %d to %d: %w", h.Size, h.Size+int64(len(leaves))-1, err)
		}
	}
	// All that stands before the last row taken was taken: this transaction is
	// the only one that writes.
	if _, err := tx.Exec(ctx, `DELETE FROM trail_pending WHERE seq <= $1`, leaves[len(leaves)-1].seq); err != nil {
		return head{}, 0, fmt.Errorf("clearing what was sealed: %w", err)
	}
	size := h.Size + int64(len(leaves))
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return head{}, 0, fmt.Errorf("hashing the tree of %d entries: %w", size, err)
	}
	h, err = s.checkpoint(ctx, tx, size, root)
	return h, len(leaves), err
}

func pending(ctx context.Context, tx *store.Tx) ([]leaf, error) {
	rows, err := tx.Query(ctx, `SELECT seq, data FROM trail_pending ORDER BY seq LIMIT $1`, batchSize)
	if err != nil {
		return nil, fmt.Errorf("reading what waits to be sealed: %w", err)
	}
	defer rows.Close()
	var leaves []leaf
	for rows.Next() {
		var l leaf
		if err := rows.Scan(&l.seq, &l.data); err != nil {
			return nil, fmt.Errorf("reading what waits to be sealed: %w", err)
		}
		// Append wrote nothing that does not read back. Signing what another
		// hand put there would vouch for it.
		if l.entry, err = decode(l.data); err != nil {
			return nil, fmt.Errorf("pending row %d was not written by sekisho: %w", l.seq, err)
		}
		l.hash = tlog.RecordHash(l.data)
		leaves = append(leaves, l)
	}
	return leaves, rows.Err()
}

// insertAll inserts rows of width values, many to a statement: with one each,
// the calls would cost more than the inserts. Two statement texts per table, so
// that both stay prepared.
func insertAll(ctx context.Context, tx *store.Tx, table string, width int, values []any) error {
	const many = 32
	for len(values) > 0 {
		n := 1
		if len(values) >= many*width {
			n = many
		}
		if _, err := tx.Exec(ctx, insertion(table, width, n), values[:n*width]...); err != nil {
			return err
		}
		values = values[n*width:]
	}
	return nil
}

func insertion(table string, width, n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " VALUES ")
	for row := range n {
		for col := range width {
			sep := ", "
			switch {
			case col == 0 && row == 0:
				sep = "("
			case col == 0:
				sep = "), ("
			}
			fmt.Fprintf(&b, "%s$%d", sep, row*width+col+1)
		}
	}
	b.WriteString(")")
	return b.String()
}
