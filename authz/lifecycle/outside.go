package lifecycle

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Fault is a line of a file that cannot be taken.
type Fault struct {
	Line  int
	Field string
	Says  policy.Words
}

// Faults are all of a file's. Nothing of it was taken.
type Faults []Fault

func (f Faults) Error() string { return strconv.Itoa(len(f)) + " lines cannot be taken" }

// Text is one line for each, in a language.
func (f Faults) Text(lang string) string {
	var b strings.Builder
	for _, one := range f {
		fmt.Fprintf(&b, "%d: %s: %s\n", one.Line, one.Field, one.Says.In(lang))
	}
	return b.String()
}

const (
	mostOutside = 1_000_000
	maxOutside  = 200 // characters of a field
)

// A Use is what a system out of our reach told of.
type Use struct {
	Login, System string
	At            time.Time
}

// ReadUses reads a file of uses: login, system, last_used (a date of Japan's calendar,
// or RFC 3339), under a line that names them, as Excel writes it or not. Faults name
// every line that cannot be taken.
func ReadUses(file io.Reader, now time.Time) ([]Use, error) {
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil, Faults{{1, "login", policy.Words{JA: "項目の名前の行がありません。login,system,last_used と書いてください。", EN: "There is no line of names: login,system,last_used."}}}
	}
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	at := map[string]int{}
	for _, name := range []string{"login", "system", "last_used"} {
		i := slices.Index(head, name)
		if i < 0 {
			return nil, Faults{{1, name, policy.Words{JA: "この項目がありません。", EN: "This column is missing."}}}
		}
		at[name] = i
	}
	var (
		uses   []Use
		faults Faults
	)
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line := 1
		if err == nil {
			line, _ = r.FieldPos(0)
		}
		wrong := func(field, ja, en string) {
			faults = append(faults, Fault{line, field, policy.Words{JA: ja, EN: en}})
		}
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				line = parse.Line
			}
			wrong("login", "CSVとして読めません。", "This is not CSV.")
			break
		}
		field := func(name string) string {
			if i := at[name]; i < len(rec) {
				return strings.TrimSpace(rec[i])
			}
			return ""
		}
		u := Use{Login: directory.Canonical(field("login")), System: field("system")}
		for name, v := range map[string]string{"login": u.Login, "system": u.System} {
			if !directory.Wellformed(v) || len([]rune(v)) > maxOutside {
				wrong(name, "空か、長すぎるか、使えない文字があります。", "It is empty, too long, or holds what cannot be used.")
			}
		}
		if u.At, err = time.Parse(time.RFC3339, field("last_used")); err != nil {
			u.At, err = time.ParseInLocation(time.DateOnly, strings.ReplaceAll(field("last_used"), "/", "-"), japan)
		}
		switch {
		case err != nil:
			wrong("last_used", "日付を 2026-04-01 のように書いてください。", "Write a date such as 2026-04-01.")
		case u.At.After(now):
			wrong("last_used", "まだ来ていない日時です。", "This is still to come.")
		}
		uses = append(uses, u)
		if len(uses) > mostOutside || len(faults) >= 100 {
			break
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return uses, nil
}

// latestOf is the latest use of each login; nil for none.
func latestOf(uses []Use) map[string]time.Time {
	if len(uses) == 0 {
		return nil
	}
	out := make(map[string]time.Time, len(uses))
	for _, u := range uses {
		out[u.Login] = latest(out[u.Login], u.At)
	}
	return out
}

// Tell stores uses that systems out of reach told of. What is known to be later stays.
func (b *Book) Tell(ctx context.Context, by string, uses []Use) error {
	now := b.Now()
	for part := range slices.Chunk(uses, 500) {
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			for _, u := range part {
				if _, err := tx.Exec(ctx, `
					INSERT INTO outside_use (login, system, used_at, told_at, told_by) VALUES ($1, $2, $3, $4, $5)
					ON CONFLICT (login, system) DO UPDATE SET used_at = excluded.used_at, told_at = excluded.told_at, told_by = excluded.told_by
					WHERE outside_use.used_at < excluded.used_at`, u.Login, u.System, store.Micros(u.At), store.Micros(now), by); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("storing what other systems told of: %w", err)
		}
	}
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return b.Trail.Append(ctx, tx, audit.Entry{
			Actor: by, Action: "dormancy.uses_told", Object: "outside_use", Outcome: audit.OK, Articles: articles, Detail: map[string]string{"lines": strconv.Itoa(len(uses))},
		})
	})
}
