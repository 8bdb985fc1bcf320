package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sekisho/policy/store"
)

// A Mention is where a store's own trail speaks of a backup.
type Mention struct {
	Made bool // it was made here; else it was put in a store's place here
	By   string
	At   time.Time
}

// Known finds the newest mention of a file in the trail of a store: age does not say
// who wrote a backup, and the trail does. ok is false where it says nothing. What was
// written after the copy that a store was made of, that store does not know.
func Known(ctx context.Context, in store.Reader, digest string) (m Mention, ok bool, err error) {
	type line struct {
		Mention
		data []byte
	}
	all, err := store.All(ctx, in, "what the trail says of backups", func(row store.Row) (l line, err error) {
		var at int64
		err = row.Scan(&l.data, &l.By, &l.Made, &at)
		l.At = store.FromMicros(at)
		return l, err
	}, `
		SELECT data, actor, CASE WHEN action = 'store.backed_up' THEN 1 ELSE 0 END, at FROM trail_leaf
		WHERE  action IN ('store.backed_up', 'store.restored') ORDER BY idx DESC`)
	if err != nil || digest == "" {
		return m, false, err
	}
	for _, l := range all {
		if !bytes.Contains(l.data, []byte(digest)) {
			continue
		}
		var e struct {
			Detail struct {
				Digest string `json:"sha256"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(l.data, &e); err != nil {
			return m, false, fmt.Errorf("reading what the trail says of backups: %w", err)
		}
		if e.Detail.Digest == digest && (!ok || l.Made && !m.Made) {
			m, ok = l.Mention, true
		}
	}
	return m, ok, nil
}
