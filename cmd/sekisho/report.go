package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sekisho/authz/lifecycle"
	"sekisho/authz/report"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
)

type reportDormantCmd struct {
	where
	Format string `help:"${report_format}" enum:"json,csv,xlsx,html" default:"json"`
	Out    string `help:"${out}" placeholder:"FILE" type:"path"`
}

// Run writes the report of the last sweep; where there was none, of this moment.
func (c reportDormantCmd) Run(ctx context.Context, t *terminal) error {
	if c.Format == "xlsx" && c.Out == "" {
		return misuse{say.Errorf("xlsx は画面に出せません。--out FILE.xlsx を付けてください。", "xlsx is nothing for a terminal: add --out FILE.xlsx")}
	}
	var d report.Dormant
	err := c.inGround(ctx, t, func(g *house.Ground) error {
		r := report.Reader{Policy: g.Charter.Current, Lifecycle: lifecycle.New(lifecycle.House{DB: g.DB, Policy: g.Charter.Current, Now: g.Clock.Now})}
		var err error
		d, err = r.Dormant(ctx)
		return err
	})
	if errors.Is(err, report.ErrNothingYet) {
		err = c.inHouse(ctx, t, func(h *house.House, _ bool) error {
			var err error
			d, err = h.Reports.Look(ctx, h.Clock.Now())
			return err
		})
	}
	if err != nil {
		return sweepFault(err)
	}
	write := func(w io.Writer) error {
		switch c.Format {
		case "csv":
			return d.Report(t.lang).WriteCSV(w)
		case "xlsx":
			return d.Report(t.lang).WriteXLSX(w, t.lang)
		case "html":
			return d.Report(t.lang).WriteHTML(w, t.lang)
		}
		b, err := json.MarshalIndent(d.Answer(), "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, string(b))
		return err
	}
	if c.Out == "" {
		return write(t.out)
	}
	return writeWhole(c.Out, write)
}
