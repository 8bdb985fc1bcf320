package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"sekisho/policy"
	"sekisho/policy/store"
)

// A Tally is how many sealed entries that serve an article have an action and an
// outcome, and the numbers of the first and the last of them.
type Tally struct {
	Article     policy.Article
	Action      string
	Outcome     string
	N           int
	First, Last int64
}

// A Holding is what the trail holds of a time.
type Holding struct {
	Tallies []Tally // by article, action and outcome
	// Samples are some entries of each article, which nobody has chosen: where they lie
	// follows from the checkpoint. The same checkpoint gives the same ones.
	Samples map[policy.Article][]Record
	// Checkpoint is the newest signed note that covers all of it; "" where nothing is
	// sealed yet. Size is how many entries it covers.
	Checkpoint string
	Size       int64
	SignedAt   time.Time
}

// Hold reads what the sealed trail holds of a time (from ≤ t < to) for each article, with
// at most so many samples of each. It reads rows alone, so that it serves a terminal too.
func Hold(ctx context.Context, in store.Reader, from, to time.Time, samples int) (Holding, error) {
	var (
		h      = Holding{Samples: map[policy.Article][]Record{}}
		signed []byte
		at     int64
	)
	found, err := one(ctx, in, []any{&h.Size, &signed, &at}, `SELECT size, note, signed_at FROM trail_checkpoint ORDER BY size DESC LIMIT 1`)
	if err != nil {
		return Holding{}, fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	if !found {
		return h, nil
	}
	h.Checkpoint, h.SignedAt = string(signed), store.FromMicros(at)
	var first, last int64
	if _, err := one(ctx, in, []any{&first, &last}, `
		SELECT COALESCE(MIN(idx), 0), COALESCE(MAX(idx), -1) FROM trail_leaf WHERE at >= $1 AND at < $2 AND idx < $3`,
		store.Micros(from), store.Micros(to), h.Size); err != nil {
		return Holding{}, fmt.Errorf("finding the entries of a time: %w", err)
	}
	for article := ""; ; {
		// The next article, by the index: all entries need not be looked through for them.
		if _, err := one(ctx, in, []any{&article}, `SELECT COALESCE(MIN(article), '') FROM trail_article WHERE article > $1`, article); err != nil {
			return Holding{}, fmt.Errorf("finding the articles of the trail: %w", err)
		}
		if article == "" {
			return h, nil
		}
		some, err := store.All(ctx, in, "what the trail holds", func(r store.Row) (Tally, error) {
			t := Tally{Article: policy.Article(article)}
			err := r.Scan(&t.Action, &t.Outcome, &t.N, &t.First, &t.Last)
			return t, err
		}, `
			SELECT l.action, l.outcome, COUNT(*), MIN(l.idx), MAX(l.idx) FROM trail_article a JOIN trail_leaf l ON l.idx = a.idx
			WHERE  a.article = $1 AND a.idx >= $2 AND a.idx <= $3 AND l.at >= $4 AND l.at < $5
			GROUP  BY l.action, l.outcome ORDER BY l.action, l.outcome`, article, first, last, store.Micros(from), store.Micros(to))
		if err != nil {
			return Holding{}, err
		}
		h.Tallies = append(h.Tallies, some...)
		if len(some) == 0 {
			continue
		}
		if h.Samples[policy.Article(article)], err = h.sample(ctx, in, article, first, last, from, to, samples); err != nil {
			return Holding{}, err
		}
	}
}

// SealedBefore reports whether everything of before a time that waited to be sealed is.
// What waits is in the order in which it was written: its first entry tells.
func SealedBefore(ctx context.Context, in store.Reader, t time.Time) (bool, error) {
	var data []byte
	waits, err := one(ctx, in, []any{&data}, `SELECT data FROM trail_pending ORDER BY seq LIMIT 1`)
	if err != nil {
		return false, fmt.Errorf("looking for what waits to be sealed: %w", err)
	}
	if !waits {
		return true, nil
	}
	e, err := decode(data)
	if err != nil {
		return false, fmt.Errorf("reading what waits to be sealed: %w", err)
	}
	return !e.Time.Before(t), nil
}

// sample finds some entries of an article.
func (h Holding) sample(ctx context.Context, in store.Reader, article string, first, last int64, from, to time.Time, most int) ([]Record, error) {
	var out []Record
	for i := range most {
		d := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", h.Checkpoint, article, i))
		at := first + int64(binary.BigEndian.Uint64(d[:])%uint64(last-first+1))
		var r Record
		var hash []byte
		find := func(compare, order string) (bool, error) {
			return one(ctx, in, []any{&r.Index, &hash, &r.Data}, `
				SELECT l.idx, l.hash, l.data FROM trail_article a JOIN trail_leaf l ON l.idx = a.idx
				WHERE  a.article = $1 AND a.idx `+compare+` $2 AND a.idx >= $3 AND a.idx <= $4 AND l.at >= $5 AND l.at < $6 ORDER BY a.idx `+order+` LIMIT 1`,
				article, at, first, last, store.Micros(from), store.Micros(to))
		}
		found, err := find(">=", "ASC")
		if err == nil && !found {
			found, err = find("<", "DESC")
		}
		if err != nil {
			return nil, fmt.Errorf("taking a sample of the trail: %w", err)
		}
		if !found || slices.ContainsFunc(out, func(o Record) bool { return o.Index == r.Index }) {
			continue
		}
		copy(r.Hash[:], hash)
		if r.Entry, err = decode(r.Data); err != nil {
			return nil, fmt.Errorf("taking a sample of the trail: entry %d: %w", r.Index, err)
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int { return int(a.Index - b.Index) })
	return out, nil
}
