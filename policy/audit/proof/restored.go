package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// A gap is what an entry store.restored says of itself: the store was put back
// to an old copy, and entries from kept on were signed once and are not here.
// From then on the key has signed two histories, and says so.
type gap struct {
	at         int64 // index of the entry
	kept, lost int64 // entries kept ≤ i < lost are gone
	root       string
	when       time.Time
	by         string
}

// noteGap remembers the entry at index if it tells of one.
func (v *verifier) noteGap(index int64, entry []byte) {
	if !bytes.Contains(entry, []byte(`"action":"store.restored"`)) {
		return
	}
	var e struct {
		Time   time.Time `json:"time"`
		Actor  string    `json:"actor"`
		Action string    `json:"action"`
		Detail struct {
			Kept string `json:"trail_kept"`
			Lost string `json:"trail_lost_to"`
			Root string `json:"trail_lost_root"`
		} `json:"detail"`
	}
	if json.Unmarshal(entry, &e) != nil || e.Action != "store.restored" {
		return
	}
	kept, err1 := strconv.ParseInt(e.Detail.Kept, 10, 64)
	lost, err2 := strconv.ParseInt(e.Detail.Lost, 10, 64)
	if err1 != nil || err2 != nil || kept < 0 || lost <= kept || index < kept {
		return
	}
	v.gaps = append(v.gaps, gap{index, kept, lost, e.Detail.Root, e.Time, e.Actor})
}

// restored is the fault of an older checkpoint that lies in a recorded gap, nil
// where none does. It is a fault all the same: what the checkpoint covers is not
// here, and whoever kept it should hear who decided that. A checkpoint of the
// gap's very end must be the one that the entry names.
func (v *verifier) restored() error {
	for _, g := range v.gaps {
		if v.old.Size <= g.kept || v.old.Size > g.lost || v.old.Size == g.lost && g.root != "" && g.root != v.old.Root.String() {
			continue
		}
		f := &Fault{Kind: KindRestored, Index: g.at, From: g.kept, To: g.lost}
		f.Says = fmt.Sprintf("the store was restored from a backup at %s (entry %d, by %s): entries %d to %d, among which the older checkpoint of size %d ends, were lost and others stand in their place",
			g.when.UTC().Format(time.RFC3339), g.at, g.by, g.kept, g.lost-1, v.old.Size)
		return f
	}
	return nil
}
