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
	Mine      bool            // the reader brought it
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
	case err == nil:
		return nil
	case errors.As(err, new(personnel.Faults)):
		return err
	case errors.Is(err, personnel.ErrNothing):
		return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: policy.Words{
			JA: "ディレクトリはすでにこのファイルのとおりです。変えるものはありません。", EN: "The directory is as this file says already; there is nothing to change."}}}
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
	out := Import{Import: i, Progress: p, Mine: i.ByID != "" && i.ByID == r.Person.ID}
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

// DecideImport is the second person's word on an import; or, where undo names the request
// for its undoing that they have read, on that. Which of the two is said by whoever decides
// and not by what has been asked for meanwhile.
func (d *Desk) DecideImport(ctx context.Context, o signin.Origin, cookie, id, undo string, yes bool, comment string) (Import, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Import{}, err
	}
	i, err := d.Personnel.Get(ctx, id)
	if err != nil {
		return Import{}, noImport(err)
	}
	matter, err := deciding(i, undo)
	if err != nil {
		return Import{}, err
	}
	if _, err := d.Approvals.Decide(ctx, r.By, matter, yes, comment); err != nil {
		return Import{}, said(err)
	}
	if i, err = d.Personnel.Get(ctx, id); err != nil {
		return Import{}, noImport(err)
	}
	return d.imported(ctx, r, i)
}

// MayBringImport is nil for who may bring a file of personnel changes.
func (d *Desk) MayBringImport(ctx context.Context, o signin.Origin, cookie string) error {
	_, err := d.importer(ctx, o, cookie)
	return err
}

// BringImport plans a file and keeps what it would do as the reader's draft. Where it
// cannot be taken the error is personnel.Faults, which names every line.
func (d *Desk) BringImport(ctx context.Context, o signin.Origin, cookie string, f personnel.File, effective time.Time) (Import, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return Import{}, err
	}
	i, plan, err := d.Personnel.Bring(ctx, approval.Ref(r.Person), o.Source.String(), f, effective)
	switch {
	case errors.Is(err, personnel.ErrStopped):
		return Import{}, &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: *plan.Stop, Articles: []policy.Article{"62-4"}}}
	case err != nil:
		return Import{}, noImport(err)
	}
	return d.imported(ctx, r, i)
}

// ProposeImport asks a second person for what the reader has brought.
func (d *Desk) ProposeImport(ctx context.Context, o signin.Origin, cookie, id string) (Import, error) {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return Import{}, err
	}
	i, err := d.Personnel.ProposeDraft(ctx, approval.Ref(r.Person), r.Posts, o.Source.String(), id)
	if err != nil {
		return Import{}, noDraft(err)
	}
	return d.imported(ctx, r, i)
}

// DiscardImport throws away what the reader has brought and not proposed.
func (d *Desk) DiscardImport(ctx context.Context, o signin.Origin, cookie, id string) error {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return err
	}
	return noDraft(d.Personnel.Discard(ctx, approval.Ref(r.Person), id))
}

// noDraft is noImport for what is done to a draft.
func noDraft(err error) error {
	if errors.Is(err, personnel.ErrState) {
		return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Articles: []policy.Article{"62-3"}, Detail: policy.Words{
			JA: "これはもう下書きではありません。一覧から、いまの状態を確かめてください。",
			EN: "This is not a draft any more; see in the list how far it has come."}}}
	}
	return noImport(err)
}

// deciding is the matter that a word on an import is about: itself, or the request for its
// undoing that undo names, as long as that is the one that waits.
func deciding(i personnel.Import, undo string) (matter string, err error) {
	switch undo {
	case "":
		return i.ID, nil
	case i.UndoMatter:
		return undo, nil
	}
	return "", &web.Refusal{Problem: web.Problem{Code: web.CodeState, Articles: []policy.Article{"16-1", "62-3"}, Detail: policy.Words{
		JA: "その取消しの申請は、もう待っていません。取込みを読み直し、undo_id を確かめてください。",
		EN: "That request for undoing waits no more. Read the import again, and see its undo_id."}}}
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

// Returns are what those who leave by an import give back, after a number.
func (d *Desk) Returns(ctx context.Context, o signin.Origin, cookie, id string, after, most int) (Import, []personnel.Return, error) {
	i, _, err := d.Import(ctx, o, cookie, id, "", 0, 1)
	if err != nil {
		return Import{}, nil, err
	}
	all, err := d.Personnel.Checklist(ctx, id, after, most)
	return i, all, err
}

// GiveBack writes down that things of that list were given back, or that it was a mistake.
func (d *Desk) GiveBack(ctx context.Context, o signin.Origin, cookie, id string, things []personnel.Ticked, back bool) error {
	r, err := d.importer(ctx, o, cookie)
	if err != nil {
		return err
	}
	return noImport(d.Personnel.GiveBack(ctx, approval.Ref(r.Person), o.Source.String(), id, things, back))
}
