package desk

import (
	"context"
	"io"
	"strings"

	"sekisho/authn/signin"
	"sekisho/authz/permit"
	"sekisho/web"
)

// ImportPermits asks for what a file lists. The whole file is looked through first,
// and where a line is wrong nothing is asked for.
func (d *Desk) ImportPermits(ctx context.Context, o signin.Origin, cookie, kind string, data []byte) (Imported, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Imported{}, err
	}
	if need := r.toOversee(); need != nil {
		return Imported{}, need
	}
	lines, err := d.Permits.Import(ctx, r.By, kind, strings.NewReader(string(data)))
	if err != nil {
		return Imported{}, said(err)
	}
	var out Imported
	for _, l := range lines {
		switch {
		case l.Err != nil:
			out.Bad = append(out.Bad, badLines(l)...)
		case l.Known:
			out.Known++
		case l.Permit.ID != "":
			out.Added++
		}
	}
	return out, nil
}

// badLines says what is wrong with a line.
func badLines(l permit.Line) []BadLine {
	p := web.ProblemOf(l.Err)
	if len(p.Errors) == 0 {
		return []BadLine{{Line: l.Line, Says: p.Detail}}
	}
	var out []BadLine
	for _, e := range p.Errors {
		out = append(out, BadLine{l.Line, e.Field, e.Detail})
	}
	return out
}

// ExportPermits writes what a filter lists as a file.
func (d *Desk) ExportPermits(ctx context.Context, o signin.Origin, cookie string, f PermitFilter, w io.Writer) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	return d.Permits.Export(ctx, r.By, d.filter(f), w)
}
