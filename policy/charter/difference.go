package charter

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"unicode/utf8"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// The trail cuts a detail at 2,048 bytes, an entry at 32 details and 16 KiB. A
// difference must not be cut, so it is spread over as many entries as it needs,
// each half full at most: writing JSON can double a text.
const (
	maxPiece   = 1500
	maxPieces  = 24
	maxPerPage = 6000
)

// entries are what goes on the trail for one act: first its own entry with the
// digest of the text, then the difference, page by page.
func (c *Charter) entries(act audit.Entry, sum string, base int64, changes []policy.Change) []audit.Entry {
	act.Articles = []policy.Article{"16-1", "84"}
	pages := paginate(changes)
	detail := map[string]string{
		"sha256": sum, "base": strconv.FormatInt(base, 10),
		"changes": strconv.Itoa(len(changes)), "pages": strconv.Itoa(len(pages)),
	}
	maps.Copy(detail, act.Detail) // where a carried text came from
	act.Detail = detail
	out := []audit.Entry{act}
	for i, page := range pages {
		e := act
		e.Action, e.Reason = "policy.difference", fmt.Sprintf("%s, page %d of %d", act.Action, i+1, len(pages))
		e.Detail = page
		out = append(out, e)
	}
	return out
}

// paginate writes each change as "path: old → new" under its number, in pieces
// where it is long.
func paginate(changes []policy.Change) []map[string]string {
	var (
		pages []map[string]string
		size  int
	)
	put := func(key, text string) {
		if n := len(pages); n == 0 || len(pages[n-1]) == maxPieces || size+len(text) > maxPerPage {
			pages, size = append(pages, map[string]string{}), 0
		}
		pages[len(pages)-1][key] = text
		size += len(text)
	}
	for i, change := range changes {
		text := fmt.Sprintf("%s: %s → %s", change.Path, shown(change.Old), shown(change.New))
		for part := 1; text != ""; part++ {
			piece := text
			if len(piece) > maxPiece {
				cut := maxPiece
				for !utf8.RuneStart(piece[cut]) {
					cut--
				}
				piece = piece[:cut]
			}
			text = text[len(piece):]
			put(fmt.Sprintf("%05d.%02d", i+1, part), piece)
		}
	}
	return pages
}

func shown(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

func (c *Charter) append(ctx context.Context, tx *store.Tx, entries []audit.Entry) error {
	for _, e := range entries {
		if err := c.trail.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}
