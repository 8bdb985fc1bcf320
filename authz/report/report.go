package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy"
)

// A Column is one of a sheet: its name for programs, and for people.
type Column struct {
	Key  string
	Says policy.Words
}

// A Coded is a text that stands for a code: people read one, and entries are found by
// the other.
type Coded struct{ Says, Code string }

// A Figure counts entries: those that Of finds among the report's.
type Figure struct {
	N  int
	Of Filter
}

// A Lead is a figure whose entries are elsewhere than among the last of the same report:
// on another sheet of it, by its id, or in the same report of another time.
type Lead struct {
	Figure
	Sheet string
	In    Period
}

// A Sought counts sealed entries of the trail: those that a search for this finds, which
// only grow where the time goes on.
type Sought struct {
	N                        int
	In                       Period
	Action, Article, Outcome string
}

// A Place is where something has a page of its own.
type Place string

// The places.
const (
	ToLease   Place = "lease"   // by its id
	ToPermit  Place = "permit"  // by its id
	ToPerson  Place = "person"  // by the login
	ToArticle Place = "article" // the entries of the trail that serve it
	ToEntry   Place = "entry"   // of the trail, by its number
)

// A Ref is a text about something that has a page of its own.
type Ref struct {
	Says string
	To   Place
	ID   string
}

// A Filter finds rows: each of its columns, by key, has the code that it says.
type Filter map[string]string

// A Sheet is a table. A cell is a string, an int, a float64, a Coded, a Figure, a Lead, a
// Sought, a Ref or a time.Time, whose zero is an empty cell.
type Sheet struct {
	ID      string
	Name    policy.Words
	Columns []Column
	Rows    [][]any
	// Lists says that its rows are a list too, and not figures: where entries are found
	// by something that it has a column for, it shows what that finds of it.
	Lists bool
	// Bar is the column whose numbers are drawn as bars; -1 for none.
	Bar int
	// From and Until are the columns of a stretch of time that is drawn; -1 for none.
	// Where both are 0 there are none either.
	From, Until int
}

// Stretches reports whether the rows are stretches of time.
func (s Sheet) Stretches() bool { return s.Until > s.From }

// Has reports whether a sheet has every column that a filter asks about.
func (s Sheet) Has(f Filter) bool {
	for key := range f {
		if !slices.ContainsFunc(s.Columns, func(c Column) bool { return c.Key == key }) {
			return false
		}
	}
	return true
}

// Where is the sheet with the rows that a filter finds. A column that it does not have
// finds none.
func (s Sheet) Where(f Filter) Sheet {
	if len(f) == 0 {
		return s
	}
	at := make(map[int]string, len(f))
	for key, code := range f {
		i := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Key == key })
		if i < 0 {
			s.Rows = nil
			return s
		}
		at[i] = code
	}
	var rows [][]any
	for _, row := range s.Rows {
		found := true
		for i, code := range at {
			found = found && codeOf(row[i]) == code
		}
		if found {
			rows = append(rows, row)
		}
	}
	s.Rows = rows
	return s
}

// codeOf is what a cell is found by.
func codeOf(v any) string {
	switch v := v.(type) {
	case Coded:
		return v.Code
	case Ref:
		return v.ID
	}
	return Text(v)
}

// A Report is what is read: sheets, the first of which are figures, and the last the
// entries that they come of.
type Report struct {
	Name     Name
	Title    policy.Words
	AsOf     time.Time
	Period   Period // the zero Period: it is of one moment
	Articles []policy.Article
	Notes    []policy.Words
	Sheets   []Sheet
}

// When is what time the report is of, as it stands under its title.
func (r Report) When() string {
	if r.Period.IsZero() {
		return r.AsOf.In(japan).Format("2006-01-02 15:04 JST")
	}
	return r.Period.String()
}

// Entries is the sheet that every figure leads to.
func (r Report) Entries() Sheet { return r.Sheets[len(r.Sheets)-1] }

// Narrow is the report with the entries that a filter finds, which it says among its
// notes: whoever is given it must not take some for all.
func (r Report) Narrow(f Filter) Report {
	if len(f) == 0 {
		return r
	}
	whole := r.Entries()
	var ja, en []string
	for _, key := range slices.Sorted(maps.Keys(f)) {
		says := whole.says(key, f[key])
		ja, en = append(ja, says.JA), append(en, says.EN)
	}
	r.Notes = append([]policy.Words{{
		JA: "「" + whole.Name.JA + "」は全部ではありません。絞り込み：" + strings.Join(ja, "、") + "。ほかの表は絞り込む前のものです。",
		EN: whole.Name.EN + " is not the whole list, but where " + strings.Join(en, ", ") + ". Other tables are of the whole.",
	}}, r.Notes...)
	r.Sheets = slices.Clone(r.Sheets)
	r.Sheets[len(r.Sheets)-1] = whole.Where(f)
	return r
}

// says is a column with what its code stands for.
func (s Sheet) says(key, code string) policy.Words {
	i := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Key == key })
	if i < 0 {
		return policy.Words{JA: key + "＝" + code, EN: key + " = " + code}
	}
	text := code
	for _, row := range s.Rows {
		if codeOf(row[i]) == code {
			text = Text(row[i])
			break
		}
	}
	column := s.Columns[i].Says
	return policy.Words{JA: column.JA + "＝" + cmp.Or(text, "（なし）"), EN: column.EN + " = " + cmp.Or(text, "(none)")}
}

// japan is the time of everything that people read.
var japan = time.FixedZone("JST", 9*60*60)

// WriteCSV writes the entries as Excel opens them: UTF-8 with a byte order mark. No
// cell is a formula.
func (r Report) WriteCSV(to io.Writer) error {
	if _, err := io.WriteString(to, "\ufeff"); err != nil {
		return err
	}
	w := csv.NewWriter(to)
	w.UseCRLF = true
	s := r.Entries()
	var head []string
	for _, c := range s.Columns {
		head = append(head, c.Key)
	}
	if err := w.Write(head); err != nil {
		return err
	}
	for _, row := range s.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = Plain(Text(v))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// Text is a cell as it is written.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Coded:
		return v.Says
	case Ref:
		return v.Says
	case Figure:
		return strconv.Itoa(v.N)
	case Lead:
		return strconv.Itoa(v.N)
	case Sought:
		return strconv.Itoa(v.N)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.In(japan).Format("2006-01-02 15:04")
	}
	return fmt.Sprint(v)
}

var printed = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><title>{{.Title}}</title>
<style>
body{font:14px/1.6 "Noto Sans JP","IPAGothic",sans-serif;color:#1a1a1c;margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #949494;padding:.25rem .5rem;text-align:left;vertical-align:top}
.note{white-space:pre-wrap;overflow-wrap:anywhere}td.n{text-align:right}.bar{display:inline-block;height:.8rem;background:#0017c1;vertical-align:middle}
@media print{body{margin:0;max-width:none}tr{break-inside:avoid}thead{display:table-header-group}}
</style></head><body><h1>{{.Title}}</h1><p>{{.When}}{{range .Articles}}　{{.}}{{end}}</p>
{{range .Notes}}<p class="note">{{.}}</p>{{end}}
{{range .Sheets}}<h2>{{.Name}}</h2><table><thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td{{if .Number}} class="n"{{end}}>{{if .Bar}}<span class="bar" style="width:{{.Bar}}px"></span> {{end}}{{.Text}}</td>{{end}}</tr>
{{end}}</tbody></table>{{end}}</body></html>
`))

type printedCell struct {
	Text   string
	Number bool
	Bar    int
}

type printedSheet struct {
	Name string
	Head []string
	Rows [][]printedCell
}

// longestBar is in pixels.
const longestBar = 160

// WriteHTML writes one page that stands alone and is printed as it is.
func (r Report) WriteHTML(to io.Writer, lang string) error {
	page := struct {
		Lang, Title, When string
		Articles, Notes   []string
		Sheets            []printedSheet
	}{Lang: lang, Title: r.Title.In(lang), When: r.When()}
	for _, a := range r.Articles {
		page.Articles = append(page.Articles, a.Label(lang))
	}
	for _, n := range r.Notes {
		page.Notes = append(page.Notes, n.In(lang))
	}
	for _, s := range r.Sheets {
		out := printedSheet{Name: s.Name.In(lang)}
		for _, c := range s.Columns {
			out.Head = append(out.Head, c.Says.In(lang))
		}
		most := 1.0
		for _, row := range s.Rows {
			if s.Bar >= 0 {
				most = max(most, Number(row[s.Bar]))
			}
		}
		for _, row := range s.Rows {
			cells := make([]printedCell, len(row))
			for i, v := range row {
				cells[i].Text = Text(v)
				switch v.(type) {
				case int, float64, Figure, Lead, Sought:
					cells[i].Number = true
				}
				if i == s.Bar {
					cells[i].Bar = int(Number(v) / most * longestBar)
				}
			}
			out.Rows = append(out.Rows, cells)
		}
		page.Sheets = append(page.Sheets, out)
	}
	return printed.Execute(to, page)
}

// Number is a cell as a number; 0 where it is none.
func Number(v any) float64 {
	switch v := v.(type) {
	case Figure:
		return float64(v.N)
	case Lead:
		return float64(v.N)
	case Sought:
		return float64(v.N)
	case int:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
