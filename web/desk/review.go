package desk

import (
	"context"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
)

// Reviews are the acting decisions that wait for the reader (後閲), and the last of
// all for who sees what others do.
func (d *Desk) Reviews(ctx context.Context, o signin.Origin, cookie string) (Reviews, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Reviews{}, err
	}
	owed, err := d.Approvals.Owed(ctx, r.By)
	if err != nil {
		return Reviews{}, err
	}
	var out Reviews
	theirs := map[string]bool{}
	for _, a := range owed[:min(len(owed), mostCards)] {
		one, err := d.acting(ctx, r, a)
		if err != nil {
			return Reviews{}, err
		}
		one.Theirs, one.NeedsSign = true, r.toOversee()
		theirs[one.Key] = true
		out.Owed = append(out.Owed, one)
	}
	if !r.sees() {
		return out, nil
	}
	all, err := d.Approvals.Acted(ctx, mostCards)
	if err != nil {
		return Reviews{}, err
	}
	for _, a := range all {
		if theirs[a.Decision.ID] {
			continue
		}
		one, err := d.acting(ctx, r, a)
		if err != nil {
			return Reviews{}, err
		}
		out.Past = append(out.Past, one)
	}
	return out, nil
}

// Owes counts the acting decisions that wait for the reader.
func (d *Desk) Owes(ctx context.Context, o signin.Origin, cookie string) (int, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return 0, err
	}
	owed, err := d.Approvals.Owed(ctx, r.By)
	return len(owed), err
}

func (d *Desk) acting(ctx context.Context, r reader, a approval.Acting) (Acting, error) {
	c, err := d.card(ctx, r, a.ID)
	if err != nil {
		return Acting{}, err
	}
	c.Refused, c.StepUp = Answer{}, nil // it has its outcome; what is asked for is another thing
	one := a.Decision
	return Acting{
		Card: c, Key: one.ID, Post: one.Post, Duty: one.How == approval.ByDuty, Sealed: one.How == approval.BySealed,
		Decision: Decision{By: who(one.By), Yes: one.Yes, At: one.At, Comment: one.Comment, Acting: true},
		Due:      one.ReviewDue, Reviewer: who(one.Review.By), ReviewAt: one.Review.At, Comment: one.Review.Comment, Objects: one.Review.Objects,
	}, nil
}

// Review writes down that the reader has looked at an acting decision, in order or
// with an objection.
func (d *Desk) Review(ctx context.Context, o signin.Origin, cookie, decision string, objects bool, comment string) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	_, err = d.Approvals.Review(ctx, r.By, decision, objects, comment)
	return said(err)
}
