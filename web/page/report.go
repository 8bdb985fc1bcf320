package page

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/inquiry"
	"sekisho/authz/report"
	"sekisho/policy"
	"sekisho/web"
)

// withoutCode stands in an address for the code of a cell that has none.
const withoutCode = "~"

const (
	// rowsShown is how many entries are on a page, and figuresShown how many rows of
	// another table are: the rest is in the file.
	rowsShown    = 50
	figuresShown = 60
	// mostChoices is of how many values somebody chooses one: a prefecture has some
	// hundred sections.
	mostChoices = 1000
)

type reportPage struct {
	Rooms    []room
	Path     string
	Title    string
	When     string
	Nothing  bool // there is none yet
	Period   bool // it is of a stretch of time
	Kept     bool // it was made by itself, and is as it was then
	Searches bool // the reader may open the entries of the trail that it names
	From, To string
	Choices  []reportChoice
	Narrowed bool
	Notes    []string
	Sheets   []reportSheet
	Files    []reportFile
	First    string
	Next     string
	Articles []policy.Article
}

type reportChoice struct {
	Key, Label string
	Options    []option
}

type reportFile struct{ Path, Name string }

type reportSheet struct {
	ID, Name string
	Entries  bool // it is a list, of which is said how long it is
	Count    int  // rows, also those that are not shown
	Left     int  // rows that are not shown
	Columns  []string
	Rows     [][]reportCell
	Axis     []string // of stretches of time
	Now      int
}

type reportCell struct {
	Label, Text string
	Path        string // where it leads
	Number      bool
	Bar         int // thousandths; -1 for none
	Line        *reportStretch
}

// A reportStretch is a stretch of time, in thousandths of the line.
type reportStretch struct{ From, Width, Now int }

// wished reads what is asked for from the address: of which report, from when to when,
// and which of its entries.
func wished(r *web.Request, format string) (report.Wish, report.Filter) {
	q, f := r.URL.Query(), report.Filter{}
	for key, values := range q {
		switch {
		case slices.Contains([]string{"from", "to", "format", "after", "lang"}, key), len(values) == 0, values[0] == "":
		case values[0] == withoutCode:
			f[key] = ""
		default:
			f[key] = values[0]
		}
	}
	return report.Wish{Name: report.Name(r.PathValue("name")), From: q.Get("from"), To: q.Get("to"), Format: format}, f
}

// report shows one: its figures, drawn and in numbers, and the entries that they come of.
func (h *house) report(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := known(r.PathValue("name")); err != nil {
		return err
	}
	wish, filter := wished(r, "page")
	path := "/reports/" + string(wish.Name)
	p := reportPage{Rooms: h.counters(r, step, "reports"), Path: path, Searches: searches(r, step), Title: r.Say(report.Titles[wish.Name]), From: wish.From, To: wish.To, Articles: report.ArticlesOf(wish.Name)}
	d, err := h.Reports.For(r.Context(), r.Origin, r.Cookie, wish)
	if no := (*report.Refusal)(nil); errors.As(err, &no) && no.Field != "" {
		v := h.view(r, step, p)
		v.Wide, v.Faults = true, []Fault{{no.Field, r.Say(no.Says)}}
		return h.show(w, r, http.StatusUnprocessableEntity, "report", v)
	}
	if err != nil && !errors.Is(err, report.ErrNothingYet) {
		return h.turned(w, r, err, path)
	}
	if p.Nothing = err != nil; !p.Nothing {
		h.fillReport(r, &p, d.Report(h.tongue(r).lang), filter)
	}
	v := h.view(r, step, p)
	v.Wide = true
	if q := r.URL.Query(); len(q) > 0 {
		q.Del("lang")
		v.Switch += "&" + q.Encode()
	}
	return h.show(w, r, http.StatusOK, "report", v)
}

// address is the report's with some of what is asked for changed.
func address(path string, q url.Values, change ...string) string {
	out := url.Values{}
	for key, values := range q {
		if key != "lang" && key != "after" {
			out[key] = values
		}
	}
	for i := 0; i+1 < len(change); i += 2 {
		if out.Del(change[i]); change[i+1] != "" {
			out.Set(change[i], change[i+1])
		}
	}
	if len(out) == 0 {
		return path
	}
	return path + "?" + out.Encode()
}

func (h *house) fillReport(r *web.Request, p *reportPage, rep report.Report, filter report.Filter) {
	q := r.URL.Query()
	p.When, p.Narrowed = rep.When(), len(filter) > 0
	if p.Period = !rep.Period.IsZero(); p.Period && p.From == "" {
		p.From = rep.Period.From.In(japan).Format(time.DateOnly)
	}
	if p.Period && p.To == "" {
		p.To = rep.Period.To.Add(-time.Microsecond).In(japan).Format(time.DateOnly)
	}
	// A link may name a moment, which a field for days does not show.
	p.From, _, _ = typedMoment(p.From, "")
	p.To, _, _ = typedMoment(p.To, "")
	for _, n := range rep.Notes {
		p.Notes = append(p.Notes, r.Say(n))
	}
	for _, format := range []string{"csv", "xlsx", "html"} {
		p.Files = append(p.Files, reportFile{address(p.Path+"/file", q, "format", format), strings.ToUpper(format)})
	}
	p.Choices = choicesOf(r, rep.Entries(), filter)
	from, _ := strconv.Atoi(q.Get("after"))
	for i, s := range rep.Sheets {
		if s.Lists && s.Has(filter) {
			s = s.Where(filter)
		}
		if len(s.Rows) == 0 && i < len(rep.Sheets)-1 {
			continue
		}
		one := reportSheet{ID: s.ID, Name: r.Say(s.Name), Entries: i == len(rep.Sheets)-1}
		if one.Entries {
			s = s.Where(filter)
			one.Count = len(s.Rows)
			from = max(0, min(from, len(s.Rows)))
			rest := len(s.Rows) - from - rowsShown
			s.Rows = s.Rows[from:min(len(s.Rows), from+rowsShown)]
			if from > 0 {
				p.First = address(p.Path, q) + "#" + s.ID
			}
			if rest > 0 {
				p.Next = address(p.Path, q, "after", strconv.Itoa(from+rowsShown)) + "#" + s.ID
			}
		} else {
			one.Count, one.Left = len(s.Rows), max(0, len(s.Rows)-figuresShown)
			s.Rows = s.Rows[:len(s.Rows)-one.Left]
		}
		one.Entries = one.Entries || s.Lists
		h.fillSheet(r, p, &one, s)
		p.Sheets = append(p.Sheets, one)
	}
}

// choicesOf are the columns of the entries by which somebody finds some of them.
func choicesOf(r *web.Request, s report.Sheet, chosen report.Filter) []reportChoice {
	var out []reportChoice
	for i, c := range s.Columns {
		says := map[string]string{}
		for _, row := range s.Rows {
			if v, ok := row[i].(report.Coded); ok {
				says[v.Code] = v.Says
			}
		}
		if len(says) < 2 && chosen[c.Key] == "" || len(says) > mostChoices {
			continue
		}
		choice := reportChoice{Key: c.Key, Label: r.Say(c.Says)}
		for code, text := range says {
			is, narrowed := chosen[c.Key]
			o := option{Value: code, Says: text, Chosen: narrowed && is == code}
			if code == "" {
				o.Value = withoutCode
			}
			if o.Says == "" {
				o.Says = "–"
			}
			choice.Options = append(choice.Options, o)
		}
		slices.SortFunc(choice.Options, func(a, b option) int { return strings.Compare(a.Says+a.Value, b.Says+b.Value) })
		out = append(out, choice)
	}
	return out
}

// fillSheet makes a table, with what is drawn in it.
func (h *house) fillSheet(r *web.Request, p *reportPage, out *reportSheet, s report.Sheet) {
	for _, c := range s.Columns {
		out.Columns = append(out.Columns, r.Say(c.Says))
	}
	most := 0.0
	var first, last time.Time
	for _, row := range s.Rows {
		if s.Bar >= 0 {
			most = max(most, report.Number(row[s.Bar]))
		}
		if s.Stretches() {
			from, until := row[s.From].(time.Time), row[s.Until].(time.Time)
			if first.IsZero() || from.Before(first) {
				first = from
			}
			if until.After(last) {
				last = until
			}
		}
	}
	line := newTimeline(first, last)
	if now := h.srv.Now(); s.Stretches() {
		out.Axis, out.Now = line.marks(), line.at(now)
	}
	for _, row := range s.Rows {
		cells := make([]reportCell, len(row))
		for i, v := range row {
			cells[i] = reportCell{Label: out.Columns[i], Text: report.Text(v), Bar: -1}
			switch v := v.(type) {
			case report.Figure:
				cells[i].Number = true
				if v.N > 0 {
					cells[i].Path = leadsTo(p.Path, r.URL.Query(), v.Of)
				}
			case report.Lead:
				cells[i].Number = true
				// What another time's report says now is not what a kept one said then.
				if v.N > 0 && (v.In.IsZero() || !p.Kept) {
					cells[i].Path = leadsElsewhere(p.Path, r.URL.Query(), v)
				}
			case report.Sought:
				cells[i].Number = true
				if v.N > 0 && p.Searches {
					cells[i].Path = soughtAt(v)
				}
			case int, float64:
				cells[i].Number = true
			case report.Ref:
				if v.To != report.ToEntry || p.Searches {
					cells[i].Path = placeOf(v, p.Path, r.URL.Query())
				}
			}
			if i == s.Bar && most > 0 {
				cells[i].Bar = int(report.Number(v) / most * 1000)
			}
			if s.Stretches() && i == s.Until {
				from, until := line.at(row[s.From].(time.Time)), line.at(row[s.Until].(time.Time))
				cells[i].Line = &reportStretch{from, max(4, until-from), out.Now}
			}
		}
		out.Rows = append(out.Rows, cells)
	}
}

// leadsTo is where the entries of a figure are: this report, for the same time.
func leadsTo(path string, q url.Values, of report.Filter) string {
	out := url.Values{}
	for _, key := range []string{"from", "to"} {
		if v := q.Get(key); v != "" {
			out.Set(key, v)
		}
	}
	for key, code := range of {
		if code == "" {
			code = withoutCode
		}
		out.Set(key, code)
	}
	return path + "?" + out.Encode() + "#entries"
}

// leadsElsewhere is where the entries of a figure are that are on another sheet, or in the
// report of another time.
func leadsElsewhere(path string, q url.Values, v report.Lead) string {
	if !v.In.IsZero() {
		from, to := v.In.Query()
		q = url.Values{"from": {from}, "to": {to}}
	}
	path = leadsTo(path, q, v.Of)
	if v.Sheet != "" {
		path = strings.TrimSuffix(path, "#entries") + "#" + v.Sheet
	}
	return path
}

// soughtAt is where the entries of the trail are found that a figure counts.
func soughtAt(v report.Sought) string {
	from, to := v.In.Query()
	return "/trail?" + url.Values{"from": {from}, "to": {to}, "action": {v.Action}, "article": {v.Article}, "outcome": {v.Outcome}}.Encode()
}

// searches reports whether the reader may search the trail. It chooses doors, and the
// door asks again.
func searches(r *web.Request, step signin.Step) bool {
	return inquiry.May(r.Policy(), r.Policy().PostsOf(step.Person.Groups)) == nil
}

// placeOf is the page of something that a report, at a path, names.
func placeOf(v report.Ref, path string, q url.Values) string {
	switch v.To {
	case report.ToLease:
		return "/leases/" + url.PathEscape(v.ID)
	case report.ToPermit:
		return "/permits/" + url.PathEscape(v.ID)
	case report.ToPerson:
		return "/people/" + url.PathEscape(v.ID)
	case report.ToArticle:
		return leadsTo(path, q, report.Filter{"article": v.ID})
	case report.ToEntry:
		return "/trail/" + url.PathEscape(v.ID)
	}
	return ""
}
