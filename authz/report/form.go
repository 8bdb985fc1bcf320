package report

import (
	"fmt"
	"time"

	"sekisho/policy/store"
)

// A cell is written as an object whose one key says what it is, but for texts.
type cellForm struct {
	N     *int     `json:"n,omitempty"`
	F     *float64 `json:"f,omitempty"`
	T     *int64   `json:"t,omitempty"` // microseconds
	Code  *string  `json:"c,omitempty"`
	Of    *Filter  `json:"of,omitempty"`
	To    Place    `json:"to,omitempty"`
	ID    string   `json:"id,omitempty"`
	Says  string   `json:"s,omitempty"`
	Count int      `json:"k,omitempty"`
	// Of a Lead, and of a Sought.
	Sheet  string      `json:"sheet,omitempty"`
	In     *periodForm `json:"in,omitempty"`
	Sought *Sought     `json:"sought,omitempty"`
}

// periodForm is a stretch of time in microseconds.
type periodForm struct{ From, To int64 }

func periodOf(p Period) *periodForm {
	if p.IsZero() {
		return nil
	}
	return &periodForm{store.Micros(p.From), store.Micros(p.To)}
}

func (f *periodForm) period() Period {
	if f == nil {
		return Period{}
	}
	return Period{store.FromMicros(f.From), store.FromMicros(f.To)}
}

func formOf(v any) (cellForm, error) {
	switch v := v.(type) {
	case string:
		return cellForm{Says: v}, nil
	case int:
		return cellForm{N: &v}, nil
	case float64:
		return cellForm{F: &v}, nil
	case time.Time:
		at := store.Micros(v)
		return cellForm{T: &at}, nil
	case Coded:
		return cellForm{Code: &v.Code, Says: v.Says}, nil
	case Figure:
		of := v.Of
		if of == nil {
			of = Filter{}
		}
		return cellForm{Of: &of, Count: v.N}, nil
	case Lead:
		out, err := formOf(v.Figure)
		out.Sheet, out.In = v.Sheet, periodOf(v.In)
		return out, err
	case Sought:
		return cellForm{Sought: &v, Count: v.N}, nil
	case Ref:
		return cellForm{To: v.To, ID: v.ID, Says: v.Says}, nil
	}
	return cellForm{}, fmt.Errorf("a cell of a report cannot be %T", v)
}

func (c cellForm) cell() any {
	switch {
	case c.N != nil:
		return *c.N
	case c.F != nil:
		return *c.F
	case c.T != nil:
		return store.FromMicros(*c.T)
	case c.Code != nil:
		return Coded{c.Says, *c.Code}
	case c.Sought != nil:
		return *c.Sought
	case c.Of != nil && (c.Sheet != "" || c.In != nil):
		return Lead{Figure{c.Count, *c.Of}, c.Sheet, c.In.period()}
	case c.Of != nil:
		return Figure{c.Count, *c.Of}
	case c.To != "":
		return Ref{c.Says, c.To, c.ID}
	}
	return c.Says
}

// sheetForm is a sheet as it is kept.
type sheetForm struct {
	Sheet
	Rows [][]cellForm
}

type reportForm struct {
	Report
	Sheets []sheetForm
}

func keepForm(r Report) (reportForm, error) {
	out := reportForm{Report: r}
	out.Report.Sheets = nil
	for _, s := range r.Sheets {
		f := sheetForm{Sheet: s}
		f.Sheet.Rows = nil
		for _, row := range s.Rows {
			cells := make([]cellForm, len(row))
			for i, v := range row {
				var err error
				if cells[i], err = formOf(v); err != nil {
					return reportForm{}, err
				}
			}
			f.Rows = append(f.Rows, cells)
		}
		out.Sheets = append(out.Sheets, f)
	}
	return out, nil
}

func (f reportForm) report() Report {
	r := f.Report
	for _, s := range f.Sheets {
		out := s.Sheet
		for _, row := range s.Rows {
			cells := make([]any, len(row))
			for i, c := range row {
				cells[i] = c.cell()
			}
			out.Rows = append(out.Rows, cells)
		}
		r.Sheets = append(r.Sheets, out)
	}
	return r
}
