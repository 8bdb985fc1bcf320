package oath

import (
	"bytes"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// columns are the names a header may give to what we read, in small letters and
// without spaces, low lines and hyphens. Several makers write the one that a
// large identity service asks for: upn, serial number, secret key, time
// interval, manufacturer, model.
var columns = map[string]string{
	"serial": "serial", "serialnumber": "serial", "serialno": "serial",
	"seed": "seed", "secret": "seed", "key": "seed", "secretkey": "seed",
	"seedhex": "seed_hex", "secrethex": "seed_hex", "keyhex": "seed_hex", "secretkeyhex": "seed_hex",
	"seedbase32": "seed_base32", "secretbase32": "seed_base32", "keybase32": "seed_base32", "secretkeybase32": "seed_base32",
	"manufacturer": "manufacturer", "maker": "manufacturer",
	"algorithm": "algorithm",
	"digits":    "digits",
	"period":    "period", "timeinterval": "period", "timestep": "period",
	"type": "type",
	// Known, and not needed: a token is given to a person one by one, in person.
	"upn": "", "model": "",
}

// ParseCSV reads tokens from comma-separated values (RFC 4180) in UTF-8, with
// or without a byte order mark.
//
// The first line names the columns, in any order: serial and seed are needed,
// manufacturer, algorithm (SHA1), digits (6), period (30) and type (totp) may
// follow; an empty cell means the default in brackets. An unknown column is a
// fault, because a misspelt "algorithm" would make every token of the box
// useless.
//
// A column called seed_hex or seed_base32 says how its seeds are spelt. One
// called seed, secret or key is read as hexadecimal if some seed in it has a
// digit that base32 lacks (0, 1, 8, 9), as base32 if some has a letter after F
// or padding, and refused if both or neither is there: it looks at the whole
// column, because by itself about one seed of 20 bytes in a hundred thousand
// could be either.
//
// The error is *Faults.
func ParseCSV(data []byte) ([]Seed, error) {
	r := newReading()
	if !r.fits(data) {
		return r.done()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !r.readable(data) {
		return r.done()
	}
	rows := r.rows(data)
	if len(rows) == 0 {
		return r.done()
	}
	if !r.header(rows[0]) {
		return r.done()
	}
	at := places(rows[0])
	decode := r.spelling(rows, at)
	for _, row := range rows[1:] {
		r.row(row, len(rows[0].cells), at, decode)
	}
	return r.done()
}

// readable names the lines that are not UTF-8.
func (r *reading) readable(data []byte) bool {
	line, ok := 0, true
	for text := range bytes.Lines(data) {
		line++
		if !utf8.Valid(text) {
			ok = false
			r.fault(line, "file", "encoding",
				"UTF-8ではない文字があります。UTF-8で保存し直してください。",
				"There are characters that are not UTF-8. Save the file as UTF-8.")
		}
	}
	return ok
}

type row struct {
	line  int
	cells []string // without the spaces around them
}

func (w row) blank() bool {
	for _, cell := range w.cells {
		if cell != "" {
			return false
		}
	}
	return true
}

// rows divides the file into its records. Lines without anything, and those of
// commas alone that spreadsheets leave at the end, are no records.
func (r *reading) rows(data []byte) []row {
	lines := csv.NewReader(bytes.NewReader(data))
	lines.FieldsPerRecord = -1 // counted by row, which knows the line
	lines.TrimLeadingSpace = true
	var rows []row
	for {
		cells, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			r.fault(bad.StartLine, "file", "syntax",
				"引用符の使い方が正しくありません。", "The quotation marks are not right.")
			continue
		}
		if err != nil { // a reader of bytes has no other
			r.fault(0, "file", "syntax", "ファイルを読み取れません。", "The file cannot be read.")
			return nil
		}
		one := row{cells: cells}
		one.line, _ = lines.FieldPos(0)
		for i, cell := range cells {
			one.cells[i] = strings.TrimSpace(cell)
		}
		if one.blank() {
			continue
		}
		if len(rows) > MaxSeeds {
			r.tooMany(one.line)
			return nil
		}
		rows = append(rows, one)
	}
}

// column is what a cell of the header means, and whether it means anything.
func column(cell string) (string, bool) {
	name, known := columns[strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(norm.NFKC.String(cell)))]
	return name, known
}

// header says whether the names of the columns are in order. It counts columns
// instead of repeating them: where the header is missing, the first line holds a
// seed.
func (r *reading) header(head row) bool {
	seen := map[string]bool{}
	before := len(r.faults)
	for i, cell := range head.cells {
		n := strconv.Itoa(i + 1)
		name, known := column(cell)
		what, _, _ := strings.Cut(name, "_")
		switch {
		case !known:
			r.fault(head.line, "header", "unknown",
				n+"列目の見出しが分かりません。serial、seed（又は seed_hex、seed_base32）、manufacturer、algorithm、digits、period、type を使えます。",
				"The heading of column "+n+" is not known. There are serial, seed (or seed_hex, seed_base32), manufacturer, algorithm, digits, period and type.")
		case seen[what] && what != "":
			r.fault(head.line, "header", "duplicate",
				n+"列目の見出しが、前の列と重なっています。", "The heading of column "+n+" means what an earlier one means.")
		}
		seen[what] = true
	}
	if !seen["serial"] {
		r.fault(head.line, "header", "missing",
			"1行目に見出し serial（製造番号）がありません。", "The first line has no heading serial.")
	}
	if !seen["seed"] {
		r.fault(head.line, "header", "missing",
			"1行目に見出し seed（シード）がありません。", "The first line has no heading seed.")
	}
	return len(r.faults) == before
}

// places is where each column stands in a line.
func places(head row) map[string]int {
	at := map[string]int{}
	for i, cell := range head.cells {
		if name, _ := column(cell); name != "" {
			at[name] = i
		}
	}
	return at
}

// spelling decides how the seeds of the file are written. It is nil where that
// cannot be told; then there is a fault.
func (r *reading) spelling(rows []row, at map[string]int) func(string) ([]byte, bool) {
	if _, ok := at["seed_hex"]; ok {
		return fromHex
	}
	if _, ok := at["seed_base32"]; ok {
		return fromBase32
	}
	hexLine, base32Line := 0, 0
	for _, row := range rows[1:] {
		if at["seed"] >= len(row.cells) {
			continue // row says so
		}
		cell := strings.ToUpper(row.cells[at["seed"]])
		if hexLine == 0 && strings.ContainsAny(cell, "0189") {
			hexLine = row.line
		}
		if base32Line == 0 && strings.ContainsAny(cell, "GHIJKLMNOPQRSTUVWXYZ=") {
			base32Line = row.line
		}
	}
	const (
		name = "見出しを seed_hex（16進数）か seed_base32（base32）にしてください。"
		call = " Call the column seed_hex or seed_base32."
	)
	switch {
	case hexLine > 0 && base32Line > 0:
		r.fault(rows[0].line, "header", "mixed",
			strconv.Itoa(hexLine)+"行目は16進数、"+strconv.Itoa(base32Line)+"行目はbase32のようです。"+name,
			"Line "+strconv.Itoa(hexLine)+" looks like hexadecimal, line "+strconv.Itoa(base32Line)+" like base32."+call)
	case hexLine > 0:
		return fromHex
	case base32Line > 0:
		return fromBase32
	case len(rows) > 1:
		r.fault(rows[0].line, "header", "ambiguous",
			"シードが16進数かbase32か、区別できません。"+name,
			"Whether the seeds are hexadecimal or base32 cannot be told."+call)
	}
	return nil
}

func fromHex(s string) ([]byte, bool) {
	key, err := hex.DecodeString(s)
	return key, err == nil
}

// fromBase32 takes RFC 4648 section 6, with its padding or without. What it
// reads must be written the same again, or two texts would be one seed.
func fromBase32(s string) ([]byte, bool) {
	s = strings.ToUpper(s)
	encoding := base32.StdEncoding
	if !strings.Contains(s, "=") {
		encoding = encoding.WithPadding(base32.NoPadding)
	}
	key, err := encoding.DecodeString(s)
	return key, err == nil && encoding.EncodeToString(key) == s
}

// row reads one token. decode is nil where the header has said what is wrong
// with the seeds.
func (r *reading) row(row row, width int, at map[string]int, decode func(string) ([]byte, bool)) {
	if len(row.cells) != width {
		r.fault(row.line, "file", "columns",
			"列の数が見出しと違います。", "The line has not as many columns as the header.")
		return
	}
	cell := func(name string) string {
		if i, ok := at[name]; ok {
			return row.cells[i]
		}
		return ""
	}
	s := Seed{Digits: 6, Period: 30 * time.Second}
	s.Serial = r.serialOf(row.line, cell("serial"))
	s.Maker = r.makerOf(row.line, cell("manufacturer"))
	s.Algorithm = r.algorithmOf(row.line, cell("algorithm"))
	if text := cell("digits"); text != "" {
		s.Digits = r.digitsOf(row.line, text)
	}
	if text := cell("period"); text != "" {
		s.Period = r.periodOf(row.line, text)
	}
	if text := cell("type"); text != "" && !strings.EqualFold(text, "totp") {
		r.notTimeBased(row.line, "type", strings.EqualFold(text, "hotp"))
	}
	text := cell("seed") + cell("seed_hex") + cell("seed_base32") // one of them is there
	if text == "" {
		r.missing(row.line, "seed", "シード（秘密鍵）", "seed")
	} else if decode != nil {
		if key, ok := decode(text); ok {
			s.Key = r.keyOf(row.line, key)
		} else {
			r.fault(row.line, "seed", "invalid",
				"シード（秘密鍵）を読み取れません。書き方は列の全ての行で同じ（16進数か base32）です。",
				"The seed cannot be read. All seeds of the column are hexadecimal, or all are base32.")
		}
	}
	r.add(row.line, s)
}

// notTimeBased refuses a token that does not count time. HOTP is not taken
// because a counter-based code stays good until it is used: one read off a token
// today opens the door next month.
func (r *reading) notTimeBased(line int, field string, hotp bool) {
	if hotp {
		r.fault(line, field, "hotp",
			"回数式（HOTP）のトークンは使えません。時刻式（TOTP）のトークンを用意してください。",
			"Counter-based tokens (HOTP) cannot be used. Time-based ones (TOTP) can.")
		return
	}
	r.fault(line, field, "unsupported",
		"時刻式（TOTP）ではないトークンは使えません。", "Only time-based tokens (TOTP) can be used.")
}
