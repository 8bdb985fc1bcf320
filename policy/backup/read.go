package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"sekisho/policy/store"
)

var (
	// ErrNotForUs says that none of the identities in hand opens the file.
	ErrNotForUs = errors.New("the backup is not encrypted to this identity")
	// ErrDamaged says that the file is cut off, was changed, or is no backup.
	ErrDamaged = errors.New("the backup is cut off or was changed")
	// ErrForm says that another Sekisho wrote it in a form that this one does
	// not know.
	ErrForm = errors.New("the backup has a form that this sekisho does not know")
)

// An Archive is a backup being read, from front to end.
type Archive struct {
	Header Header

	r   *bufio.Reader
	sum hash.Hash
}

// Open decrypts a backup with whichever of the identities opens it, and reads
// its header.
func Open(r io.Reader, with ...age.Identity) (*Archive, error) {
	plain, err := age.Decrypt(r, with...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, ErrNotForUs
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	a := &Archive{r: bufio.NewReaderSize(unpacked, 64<<10), sum: sha256.New()}
	line, err := a.line()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &a.Header); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrDamaged, err)
	}
	if a.Header.Form != Form {
		return nil, fmt.Errorf("%w: %d", ErrForm, a.Header.Form)
	}
	return a, nil
}

// line reads one and counts it in.
func (a *Archive) line() ([]byte, error) {
	line, err := a.uncounted()
	if err == nil {
		a.sum.Write(line)
	}
	return line, err
}

func (a *Archive) uncounted() ([]byte, error) {
	var line []byte
	for {
		part, err := a.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		case len(line) > maxLine:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrDamaged, maxLine)
		}
	}
}

// A Taker takes what is in a backup. Rows come table by table; an error ends
// the reading.
type Taker interface {
	Table(name string, columns []string) error
	Row(values []any) error // int64, string, []byte or nil; not kept by the reader
}

// Read hands everything over, and answers nil only when the end line says that
// this was all and unchanged. Until then what was taken is worth nothing.
func (a *Archive) Read(ctx context.Context, into Taker) (n Counts, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		so := a.sum.Sum(nil)
		line, err := a.line()
		if err != nil {
			return n, err
		}
		var l struct {
			tableLine
			endLine
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return n, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		switch {
		case l.Done:
			if !bytes.Equal(l.SHA256, so) || l.endLine.Tables != n.Tables || l.endLine.Rows != n.Rows {
				return n, fmt.Errorf("%w: its end does not fit what stands before", ErrDamaged)
			}
			if _, err := a.r.ReadByte(); !errors.Is(err, io.EOF) { // age and gzip check their own ends here
				return n, fmt.Errorf("%w: something follows its end (%w)", ErrDamaged, err)
			}
			return n, nil
		case l.Table != "":
			if err := into.Table(l.Table, l.Columns); err != nil {
				return n, err
			}
			rows, err := a.rows(ctx, l.tableLine, into)
			if err != nil {
				return n, err
			}
			n.Tables, n.Rows = n.Tables+1, n.Rows+rows
		default:
			return n, fmt.Errorf("%w: a line of no known kind", ErrDamaged)
		}
	}
}

func (a *Archive) rows(ctx context.Context, t tableLine, into Taker) (n int64, err error) {
	for {
		if n%1024 == 0 && ctx.Err() != nil {
			return n, ctx.Err()
		}
		line, err := a.line()
		if err != nil {
			return n, err
		}
		if line[0] != '[' {
			var end tableEnd
			if err := json.Unmarshal(line, &end); err != nil || end.End != t.Table || end.Rows != n {
				return n, fmt.Errorf("%w: the end of %s does not fit its rows", ErrDamaged, t.Table)
			}
			return n, nil
		}
		values, err := parseRow(line, len(t.Columns))
		if err != nil {
			return n, fmt.Errorf("%w: a row of %s: %w", ErrDamaged, t.Table, err)
		}
		if err := into.Row(values); err != nil {
			return n, err
		}
		n++
	}
}

func parseRow(line []byte, width int) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, err
	}
	if len(raw) != width {
		return nil, fmt.Errorf("it has %d values where %d are meant", len(raw), width)
	}
	values := make([]any, width)
	for i, v := range raw {
		switch v[0] {
		case 'n':
		case '"':
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, err
			}
			values[i] = s
		case '{':
			var b struct{ B string }
			if err := json.Unmarshal(v, &b); err != nil {
				return nil, err
			}
			bytes, err := base64.StdEncoding.Strict().DecodeString(b.B)
			if err != nil {
				return nil, err
			}
			values[i] = bytes
		default:
			n, err := strconv.ParseInt(string(v), 10, 64)
			if err != nil {
				return nil, err
			}
			values[i] = n
		}
	}
	return values, nil
}

// A transaction inserts at most so many rows, and bytes of text and blobs.
const (
	loadRows  = 2000
	loadBytes = 4 << 20
)

// Load puts a backup into a store that was just made. It refuses a backup of
// another schema, and a table or column that the store does not have. An error
// leaves a store that is good for nothing.
func Load(ctx context.Context, a *Archive, db *store.DB) (Counts, error) {
	schema, err := db.Schema(ctx)
	if err != nil {
		return Counts{}, err
	}
	if schema != a.Header.Schema {
		return Counts{}, fmt.Errorf("%w: it has schema version %d, this sekisho makes %d", ErrForm, a.Header.Schema, schema)
	}
	tables, err := db.Tables(ctx)
	if err != nil {
		return Counts{}, err
	}
	l := &loader{ctx: ctx, db: db, tables: tables}
	n, err := a.Read(ctx, l)
	if err == nil {
		err = l.flush()
	}
	if err != nil {
		return n, fmt.Errorf("reading a backup: %w", err)
	}
	if n.Tables != len(tables) {
		return n, fmt.Errorf("reading a backup: %w: it has %d tables of %d", ErrDamaged, n.Tables, len(tables))
	}
	return n, nil
}

type loader struct {
	ctx    context.Context // of the one reading it lives in
	db     *store.DB
	tables []store.Table

	insert string
	kinds  []string
	rows   [][]any
	bytes  int
}

func (l *loader) Table(name string, columns []string) error {
	if err := l.flush(); err != nil {
		return err
	}
	at := slices.IndexFunc(l.tables, func(t store.Table) bool { return t.Name == name })
	if at < 0 {
		return fmt.Errorf("%w: table %q", ErrForm, name)
	}
	known, marks, names := l.tables[at].Columns, make([]string, len(columns)), make([]string, len(columns))
	l.kinds = l.kinds[:0]
	for i, c := range columns {
		k := slices.IndexFunc(known, func(k store.Column) bool { return k.Name == c })
		if k < 0 || slices.Contains(columns[:i], c) {
			return fmt.Errorf("%w: column %q of %s", ErrForm, c, name)
		}
		l.kinds = append(l.kinds, known[k].Kind)
		names[i], marks[i] = strconv.Quote(c), "$"+strconv.Itoa(i+1)
	}
	l.insert = `INSERT INTO ` + strconv.Quote(name) + ` (` + strings.Join(names, ", ") + `) VALUES (` + strings.Join(marks, ", ") + `)`
	// What a new store is made with, such as its clock, gives way to the copy's.
	// Where a trigger forbids it there is nothing to give way.
	var n int64
	if err := l.db.QueryRow(l.ctx, `SELECT COUNT(*) FROM `+strconv.Quote(name)).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	return l.db.WithTx(l.ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(l.ctx, `DELETE FROM `+strconv.Quote(name))
		return err
	})
}

func (l *loader) Row(values []any) error {
	for i, v := range values { // SQLite keeps text in a column of bytes, and the other way
		switch b := v.(type) {
		case []byte:
			l.bytes += len(b)
			if l.kinds[i] == store.Text {
				values[i] = string(b)
			}
		case string:
			l.bytes += len(b)
			if l.kinds[i] == store.Blob {
				values[i] = []byte(b)
			}
		}
	}
	if l.rows = append(l.rows, values); len(l.rows) < loadRows && l.bytes < loadBytes {
		return nil
	}
	return l.flush()
}

func (l *loader) flush() error {
	if len(l.rows) == 0 {
		return nil
	}
	rows := l.rows
	l.rows, l.bytes = nil, 0
	return l.db.WithTx(l.ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			if _, err := tx.Exec(l.ctx, l.insert, r...); err != nil {
				return err
			}
		}
		return nil
	})
}
