package desk

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web"
)

// An Import is a file of personnel changes as a reader sees it.
type Import struct {
	personnel.Import
	personnel.Progress
	UndoUntil time.Time       // zero: it cannot be undone, or not by the reader
	Decides   bool            // the reader may decide it, as far as their posts say
	StepUp    *account.StepUp // the sign-in that a decision takes first; nil: the present one does
}

// importer is a reader who may see personnel changes before they are told. Who may not is
// not told whether there are any.
func (d *Desk) importer(ctx context.Context, o signin.Origin, cookie string) (reader, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return reader{}, err
	}
	if !r.Usable || !r.p.Personnel.MayView(r.Posts) {
		return reader{}, &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: []policy.Article{"47-3", "62-3"}, Detail: policy.Words{
			JA: "人事異動の内容を見られるのは、CIO、情報セキュリティ責任者と、方針で決めた役割の方だけです。",
			EN: "Personnel changes are seen by the CIO, security officers and the posts that the policy names alone."}}}
	}
	if up := r.toOversee(); up != nil {
		return reader{}, up
	}
	return r, nil
}

// noImport puts what is not there into the words of the web.
func noImport(err error) error {
	switch {
	case errors.Is(err, personnel.ErrNotFound):
		return &web.Refusal{Problem: web.Problem{Code: web.CodeNotFound, Detail: policy.Words{JA: "その取込みはありません。", EN: "There is no such import."}}}
	case errors.Is(err, personnel.ErrState):
		return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Articles: []policy.Article{"62-3"}, Detail: policy.Words{
			JA: "この取込みは、いまは元に戻せません。承認された取込みを、方針の日数（personnel.undo_days）の間だけ元に戻せます。",
			EN: "This import cannot be undone now: an approved one can be, for the days of the policy (personnel.undo_days)."}}}
	}
	return said(err)
}

// Imports are the latest files of personnel changes, the newest first.
func (d *Desk) Imports(ctx context.Context, o signin.Origin, cookie string) ([]Import, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	all, err := d.Personnel.Imports(ctx, mostCards)
	if err != nil {
		return nil, err
	}
	out := make([]Import, 0, len(all))
	for _, i := range all {
		one, err := d.imported(ctx, r, i)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func (d *Desk) imported(ctx context.Context, r reader, i personnel.Import) (Import, error) {
	p, err := d.Personnel.Progress(ctx, i.ID)
	if err != nil {
		return Import{}, err
	}
	out := Import{Import: i, Progress: p}
	if until := i.Undoable(r.p.Personnel); r.now.Before(until) {
		out.UndoUntil = until
	}
	if i.State == personnel.Proposed {
		v, err := d.Approvals.Get(ctx, i.ID)
		switch {
		case errors.Is(err, approval.ErrNotFound):
		case err != nil:
			return Import{}, err
		case v.At() == approval.Pending:
			out.Decides, out.StepUp = true, r.toDecide()
		}
	}
	return out, nil
}

// Import is one of them, with some of its lines: of an act or of all, after a number.
// That somebody looked is on the trail.
func (d *Desk) Import(ctx context.Context, o signin.Origin, cookie, id string, act personnel.Act, after, most int) (Import, []personnel.Standing, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return Import{}, nil, err
	}
	i, err := d.Personnel.Get(ctx, id)
	if err != nil {
		return Import{}, nil, noImport(err)
	}
	if err := d.Personnel.Viewed(ctx, r.Person.Login, o.Source.String(), i); err != nil {
		return Import{}, nil, err
	}
	out, err := d.imported(ctx, r, i)
	if err != nil {
		return Import{}, nil, err
	}
	lines, err := d.Personnel.Lines(ctx, id, act, after, most)
	return out, lines, err
}

// DecideImport is the second person's word on an import, or on its undoing where that is
// asked for.
func (d *Desk) DecideImport(ctx context.Context, o signin.Origin, cookie, id string, yes bool, comment string) (Import, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Import{}, err
	}
	i, err := d.Personnel.Get(ctx, id)
	if err != nil {
		return Import{}, noImport(err)
	}
	matter := i.ID
	if i.UndoMatter != "" {
		matter = i.UndoMatter
	}
	if _, err := d.Approvals.Decide(ctx, r.By, matter, yes, comment); err != nil {
		return Import{}, said(err)
	}
	if i, err = d.Personnel.Get(ctx, id); err != nil {
		return Import{}, noImport(err)
	}
	return d.imported(ctx, r, i)
}

// UndoImport asks a second person for an import to be undone.
func (d *Desk) UndoImport(ctx context.Context, o signin.Origin, cookie, id, reason string) (Import, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return Import{}, err
	}
	i, err := d.Personnel.AskUndo(ctx, approval.Ref(r.Person), r.Posts, id, reason)
	if err != nil {
		return Import{}, noImport(err)
	}
	return d.imported(ctx, r, i)
}

// Returns are what those who leave by an import give back.
func (d *Desk) Returns(ctx context.Context, o signin.Origin, cookie, id string) ([]personnel.Return, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	i, err := d.Personnel.Get(ctx, id)
	if err != nil {
		return nil, noImport(err)
	}
	if err := d.Personnel.Viewed(ctx, r.Person.Login, o.Source.String(), i); err != nil {
		return nil, err
	}
	return d.Personnel.Checklist(ctx, id)
}
