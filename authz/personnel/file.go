package personnel

import (
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
	"sekisho/policy/sheet"
)

const (
	// MostLines are how many a file has, and MostFaults how many of one are told.
	MostLines  = 100_000
	MostFaults = 500

	mostBytes = 64 << 20
	longest   = 200 // characters of a field
)

// A Kind is what sort of ID a line is about.
type Kind string

// The kinds.
const (
	Staff         Kind = "staff"         // 職員
	Appointed     Kind = "appointed"     // 会計年度任用職員
	Contractor    Kind = "contractor"    // 事業者
	Subcontractor Kind = "subcontractor" // 再委託先
	Shared        Kind = "shared"        // 共用ID, article 46
	Service       Kind = "service"       // a program
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Staff, Appointed, Contractor, Subcontractor, Shared, Service} }

var kindWords = map[Kind]policy.Words{
	Staff: {JA: "職員", EN: "staff"}, Appointed: {JA: "会計年度任用職員", EN: "appointed for a fiscal year"}, Contractor: {JA: "事業者", EN: "contractor"},
	Subcontractor: {JA: "再委託先", EN: "subcontractor"}, Shared: {JA: "共用", EN: "shared ID"}, Service: {JA: "プログラム", EN: "program"},
}

// Words are what a kind is called.
func (k Kind) Words() policy.Words { return kindWords[k] }

// directory is what the directory calls a kind.
func (k Kind) directory() directory.Kind {
	switch k {
	case Contractor, Subcontractor:
		return directory.KindContractor
	case Shared:
		return directory.KindShared
	case Service:
		return directory.KindService
	}
	return directory.KindStaff
}

// A Line is what a file says of one person. A field that it does not speak of has no
// place in said, and stays as it is.
type Line struct {
	N          int // of the file, the first being 1
	Number     string
	Name       string
	Kana       string
	Login      string // "": the file leaves it to us
	Section    string
	Posts      []policy.PostID
	Concurrent []string // sections beside the own
	Kind       Kind
	Leaves     bool
	Returns    bool // from leave
	Company    string
	Prime      string // whom a subcontractor works for
	Project    string // the projects that the ID is for, as the file names them
	NoProject  bool   // it is for none, from then on
	Owner      string // the number of whoever answers for a shared ID or a program
	Mail       string
	// Days of Japan's calendar, as the instant at which they begin. Those that end
	// something are the last on which it is so.
	Starts, Ends          time.Time
	LeaveFrom, LeaveUntil time.Time
	Handover              time.Time
	EndsNever             bool // the end that was written before is none any more

	said map[string]bool
}

// ofNobody reports whether no one person uses the ID.
func (l Line) ofNobody() bool { return l.Kind == Shared || l.Kind == Service }

// Says reports whether the line speaks of a field.
func (l Line) Says(field string) bool { return l.said[field] }

// A Fault is what is wrong with one line of a file.
type Fault struct {
	Line  int
	Field string // of policy.PersonnelFields; "file" for the file as a whole
	Rule  string
	Says  policy.Words
}

// Faults are all of a file's. Nothing of it was done.
type Faults []Fault

func (f Faults) Error() string { return strconv.Itoa(len(f)) + " lines cannot be taken" }

// Text is one line for each, in a language, with the columns as the file calls them.
func (f Faults) Text(r policy.PersonnelRules, lang string) string {
	var b strings.Builder
	for _, one := range f {
		fmt.Fprintf(&b, "%s\n", one.Text(r, lang))
	}
	return b.String()
}

// Text is the fault in a language.
func (f Fault) Text(r policy.PersonnelRules, lang string) string {
	at := policy.Words{JA: "%d行目 %s: %s", EN: "line %d, %s: %s"}.In(lang)
	field := r.HeaderOf(f.Field, lang)
	if f.Field == "file" {
		field = policy.Words{JA: "ファイル", EN: "file"}.In(lang)
	}
	return fmt.Sprintf(at, f.Line, field, f.Says.In(lang))
}

// Read reads a file of personnel changes as Excel writes it: CSV in UTF-8, with or
// without a byte order mark, or in Shift_JIS. Where a line cannot be taken the error is
// Faults, which names all of them.
func Read(file io.Reader, p *policy.Policy) ([]Line, error) {
	text, err := decoded(file)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	t := taker{p: p, words: vocabularyOf(p), numbers: map[string]int{}, mails: map[string]int{}, logins: map[string]int{}}
	head, err := r.Read()
	if err != nil {
		return nil, Faults{{1, "file", "header", policy.Words{JA: "項目の名前の行がありません。", EN: "There is no line of names."}}}
	}
	if !t.header(head) {
		return nil, t.faults
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			at := 1
			if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
				at = parse.Line
			}
			t.fault(at, "file", "csv", "CSVとして読めません。引用符の対応を確かめてください。", "This is not CSV. See whether the quotation marks match.")
			break
		}
		n, _ := r.FieldPos(0)
		if blank(record) {
			continue
		}
		if len(t.lines) == MostLines {
			t.fault(n, "file", "too_many", fmt.Sprintf("一度に%d行までです。ファイルを分けてください。", MostLines), fmt.Sprintf("At most %d lines at once. Split the file.", MostLines))
			break
		}
		t.take(n, record)
		if len(t.faults) >= MostFaults {
			break
		}
	}
	if len(t.lines) == 0 && len(t.faults) == 0 {
		t.fault(1, "file", "empty", "人の行がありません。", "There is nobody in it.")
	}
	if len(t.faults) > 0 {
		return nil, t.faults
	}
	return t.lines, nil
}

func blank(record []string) bool {
	return !slices.ContainsFunc(record, func(v string) bool { return strings.TrimSpace(v) != "" })
}

// decoded is the text of the file.
func decoded(file io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading a file of personnel changes: %w", err)
	}
	if len(text) > mostBytes {
		return "", Faults{{1, "file", "too_large", policy.Words{JA: "ファイルが大きすぎます。", EN: "The file is too large."}}}
	}
	out, err := sheet.Text(text)
	if err != nil {
		return "", Faults{{1, "file", "encoding", policy.Words{JA: "文字コードが分かりません。ExcelでCSV（UTF-8）として保存してください。", EN: "The characters cannot be read. Save it as CSV (UTF-8) in Excel."}}}
	}
	return out, nil
}
