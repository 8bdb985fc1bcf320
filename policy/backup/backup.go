// Package backup is a copy of a store in one file: all its rows at one moment,
// encrypted to those who may read it (age), fit for any
// database of this schema.
//
//	age( gzip( a line of JSON each:
//	    the header
//	    for each table: its columns, its rows, how many there were
//	    the end: SHA-256 of all lines before ) )
//
// It copies rows and not files, because a copy of SQLite's file could go back
// into SQLite alone, and would lie on the disk in clear while it is made.
//
// It refuses to know what a row means, what a copy brings back that must not
// come back (authz/restore) and who may restore. Memory does not grow with the
// store. A file that was cut off or changed is refused: age authenticates each
// piece and the last one, and the end line counts again.
package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"filippo.io/age"

	"sekisho/policy/store"
)

// Form is the version of the form of these files.
const Form = 1

// A Header says what a backup is of, before any row.
type Header struct {
	Form       int       `json:"sekisho_backup"`
	MadeAt     time.Time `json:"made_at"`
	Schema     int64     `json:"schema"`
	Epoch      int64     `json:"epoch"`
	Origin     string    `json:"origin"`
	Checkpoint string    `json:"checkpoint"` // the trail's newest signed note; "" for none
	Policy     int64     `json:"policy"`     // the version in force
}

type tableLine struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type tableEnd struct {
	End  string `json:"end"`
	Rows int64  `json:"rows"`
}

type endLine struct {
	Done   bool   `json:"done"`
	Tables int    `json:"tables"`
	Rows   int64  `json:"rows"`
	SHA256 []byte `json:"sha256"`
}

// Counts are what was copied.
type Counts struct {
	Tables int
	Rows   int64
}

// An out writes lines and counts them in.
type out struct {
	w   *bufio.Writer
	sum hash.Hash
}

func (o *out) line(b []byte) error {
	b = append(b, '\n')
	o.sum.Write(b)
	_, err := o.w.Write(b)
	return err
}

func (o *out) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.line(b)
}

// Write copies db to w, encrypted to all of to. fill completes the header, which
// has form, schema, epoch and checkpoint already, from the same moment.
func Write(ctx context.Context, w io.Writer, to []age.Recipient, db *store.DB, h Header) (Counts, error) {
	var n Counts
	if len(to) == 0 {
		return n, errors.New("writing a backup: nobody is named who may read it")
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return n, fmt.Errorf("writing a backup: %w", err)
	}
	packed, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return n, fmt.Errorf("writing a backup: %w", err)
	}
	o := &out{w: bufio.NewWriterSize(packed, 64<<10), sum: sha256.New()}
	if n, err = rows(ctx, o, db, h); err != nil {
		return n, fmt.Errorf("writing a backup: %w", err)
	}
	if err := errors.Join(o.w.Flush(), packed.Close(), sealed.Close()); err != nil {
		return n, fmt.Errorf("writing a backup: %w", err)
	}
	return n, nil
}

func rows(ctx context.Context, o *out, db *store.DB, h Header) (n Counts, err error) {
	tables, err := db.Tables(ctx)
	if err != nil {
		return n, err
	}
	if h.Schema, err = db.Schema(ctx); err != nil {
		return n, err
	}
	h.Form = Form
	err = db.Snapshot(ctx, func(s *store.Snapshot) error {
		if err := s.QueryRow(ctx, `SELECT epoch FROM store_epoch WHERE id = 1`).Scan(&h.Epoch); err != nil {
			return err
		}
		if err := s.QueryRow(ctx, `
			SELECT COALESCE((SELECT note FROM trail_checkpoint ORDER BY size DESC LIMIT 1), ''),
			       (SELECT COALESCE(MAX(number), 0) FROM charter_version)`).Scan(&h.Checkpoint, &h.Policy); err != nil {
			return err
		}
		if err := o.json(h); err != nil {
			return err
		}
		for _, t := range tables {
			rows, err := copyTable(ctx, o, s, t)
			if err != nil {
				return fmt.Errorf("copying %s: %w", t.Name, err)
			}
			n.Tables, n.Rows = n.Tables+1, n.Rows+rows
		}
		return nil
	})
	if err != nil {
		return n, err
	}
	return n, o.json(endLine{true, n.Tables, n.Rows, o.sum.Sum(nil)})
}

func copyTable(ctx context.Context, o *out, s *store.Snapshot, t store.Table) (n int64, err error) {
	l, q := tableLine{Table: t.Name}, `SELECT `
	for i, c := range t.Columns {
		if l.Columns = append(l.Columns, c.Name); i > 0 {
			q += `, `
		}
		q += strconv.Quote(c.Name)
	}
	q += ` FROM ` + strconv.Quote(t.Name)
	if t.Order != "" {
		q += ` ORDER BY ` + strconv.Quote(t.Order)
	}
	if err := o.json(l); err != nil {
		return 0, err
	}
	rows, err := s.Query(ctx, q)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values, into := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i := range values {
		into[i] = &values[i]
	}
	var line []byte
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if line, err = appendRow(line[:0], values); err != nil {
			return n, err
		}
		if err := o.line(line); err != nil {
			return n, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	return n, o.json(tableEnd{t.Name, n})
}

// appendRow writes a row as JSON: numbers as numbers, text as text, bytes as
// {"b": base64}.
func appendRow(b []byte, values []any) ([]byte, error) {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, "null"...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case string:
			if !utf8.ValidString(v) { // SQLite keeps it; JSON would not
				b = appendBytes(b, []byte(v))
				continue
			}
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
		case []byte:
			b = appendBytes(b, v)
		default:
			return nil, fmt.Errorf("a value of type %T", v)
		}
	}
	return append(b, ']'), nil
}

func appendBytes(b, v []byte) []byte {
	b = append(b, `{"b":"`...)
	b = base64.StdEncoding.AppendEncode(b, v)
	return append(b, `"}`...)
}

// WriteFile puts a backup in place whole or not at all, readable by its owner
// alone, and answers the SHA-256 of the file.
func WriteFile(path string, write func(w io.Writer) error) (digest []byte, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("writing a backup: %w", err)
	}
	defer os.Remove(f.Name()) // does nothing once renamed
	sum := sha256.New()
	for _, step := range []func() error{
		func() error { return write(io.MultiWriter(f, sum)) }, f.Sync, f.Close,
		func() error { return os.Rename(f.Name(), path) },
		func() error { return syncDir(filepath.Dir(path)) },
	} {
		if err := step(); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("writing a backup: %w", err)
		}
	}
	return sum.Sum(nil), nil
}

// syncDir makes a name last, not only what it names.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// maxLine bounds a line that is read: the largest row is a policy of 1 MiB.
const maxLine = 16 << 20
