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

// reportFlags are those of every report.
type reportFlags struct {
	where
	From   string `help:"${report_from}" placeholder:"DATE"`
	To     string `help:"${report_to}" placeholder:"DATE"`
	Format string `help:"${report_format}" enum:"json,csv,xlsx,html" default:"json"`
	Out    string `help:"${out}" placeholder:"FILE" type:"path"`
}

type (
	reportDormantCmd   struct{ reportFlags }
	reportPrivilegeCmd struct{ reportFlags }
	reportRemoteCmd    struct{ reportFlags }
	reportReconcileCmd struct{ reportFlags }
	reportEvidenceCmd  struct{ reportFlags }
)

// Run writes the report of the last sweep; where there was none, of this moment.
func (c reportDormantCmd) Run(ctx context.Context, t *terminal) error {
	return c.make(ctx, t, report.OfDormant)
}

// Run writes who borrowed what.
func (c reportPrivilegeCmd) Run(ctx context.Context, t *terminal) error {
	return c.make(ctx, t, report.OfPrivilege)
}

// Run writes who may come from outside, and who came.
func (c reportRemoteCmd) Run(ctx context.Context, t *terminal) error {
	return c.make(ctx, t, report.OfRemote)
}

// Run writes where books and directory do not agree.
func (c reportReconcileCmd) Run(ctx context.Context, t *terminal) error {
	return c.make(ctx, t, report.OfReconcile)
}

// Run writes what there is for each article.
func (c reportEvidenceCmd) Run(ctx context.Context, t *terminal) error {
	return c.make(ctx, t, report.OfEvidence)
}

func (c reportFlags) make(ctx context.Context, t *terminal, what report.Name) error {
	if c.Format == "xlsx" && c.Out == "" {
		return misuse{say.Errorf("xlsx は画面に出せません。--out FILE.xlsx を付けてください。", "xlsx is nothing for a terminal: add --out FILE.xlsx")}
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	var d report.Document
	err = c.inGround(ctx, t, func(g *house.Ground) error {
		// What was done before is counted, also where no gate has sealed it yet.
		if err := g.Seal.Seal(ctx); err != nil {
			return err
		}
		r := report.New(report.House{
			DB: g.DB, Trail: g.Trail, Policy: g.Charter.Current, Version: g.Charter.Version, Now: g.Clock.Now,
			Lifecycle: lifecycle.New(lifecycle.House{DB: g.DB, Policy: g.Charter.Current, Now: g.Clock.Now}),
		})
		var err error
		if d, err = r.AtTerminal(ctx, actor, report.Wish{Name: what, From: c.From, To: c.To, Format: c.Format}); err != nil && !errors.Is(err, report.ErrNothingYet) {
			return err
		}
		return errors.Join(err, g.Seal.Seal(ctx))
	})
	if errors.Is(err, report.ErrNothingYet) {
		err = c.inHouse(ctx, t, func(h *house.House, _ bool) error {
			var err error
			d, err = h.Reports.Look(ctx, h.Clock.Now())
			return err
		})
	}
	if no := (*report.Refusal)(nil); errors.As(err, &no) {
		return misuse{say.Errorf("%[1]s", "%[2]s", no.Says.JA, no.Says.EN)}
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
		b, err := json.MarshalIndent(d.Answer("", 0), "", "  ")
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
