package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Presence knows who is behind a cookie, read afresh; approval.Book is one.
type Presence interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
}

// House is what reports are made of. A terminal needs neither Presence nor SectionOf.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Version   func() int64 // of the policy
	Lifecycle *lifecycle.Book
	Presence  Presence
	// SectionOf is the section of a login, "" where there is no such person. nil: nobody
	// is asked.
	SectionOf func(ctx context.Context, login string) (string, error)
	Now       clock.Now
}

// Reader makes reports. It is safe for concurrent use.
type Reader struct {
	House
	refused approval.Refusals // by person, report and reason
	most    int               // findings that a report reads
}

// New builds it.
func New(h House) *Reader { return &Reader{House: h, most: mostFindings} }

// A Wish is what is asked for.
type Wish struct {
	Name   Name
	From   string // as it was written; ParsePeriod reads it
	To     string
	Format string // json, csv, xlsx, html or page; for the trail
}

// A Document is a report that was made.
type Document interface {
	// Report is it in sheets, in a language.
	Report(lang string) Report
	// Answer is it for programs, with the entries after one (its id), at most so many; 0:
	// all of them.
	Answer(after string, most int) any
	// Has reports whether it has an entry of this id. One that Answer was given may have
	// gone since: what comes after it is then not known.
	Has(id string) bool
}

// reader is who is behind a cookie.
func (r *Reader) reader(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := r.Presence.Signed(ctx, o, cookie)
	if err == nil && !by.Usable {
		err = session.ErrNone
	}
	return by, err
}

// proved asks for two factors, proved within the absolute end of administrators' pages.
func (r *Reader) proved(by approval.Approver) error {
	need := &account.StepUp{Required: policy.AAL2, MaxAge: r.Policy().Session.ElevatedAbsoluteEnd}
	if !by.ACR.AtLeast(need.Required) || r.Now().Sub(by.AuthAt) > need.MaxAge {
		return need
	}
	return nil
}

// entryOf begins the entry of somebody's reading.
func (r *Reader) entryOf(by approval.Approver, what Name) audit.Entry {
	return audit.Entry{
		Actor: by.Person.Login, Action: "report.read", Object: string(what), Outcome: audit.OK, Articles: articlesOf[what],
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
	}
}

// enter writes that a report is read. Where it cannot be written, nobody reads.
func (r *Reader) enter(ctx context.Context, e audit.Entry) error {
	if err := r.DB.WithTx(ctx, func(tx *store.Tx) error { return r.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("recording that a report is read: %w", err)
	}
	return nil
}

// For makes a report for whoever is behind a cookie, as far as they may read it, and
// enters on the trail that it was read: an error means that nobody sees it.
func (r *Reader) For(ctx context.Context, o signin.Origin, cookie string, w Wish) (Document, error) {
	by, err := r.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	e := r.entryOf(by, w.Name)
	scope, no := MayRead(r.Policy(), w.Name, by.Posts, by.Person.Section)
	if no != nil {
		e.Outcome, e.Reason = audit.Refused, no.Reason
		if err := r.refused.Enter(ctx, r.DB, r.Trail, string(by.Person.ID)+" "+string(w.Name)+" "+no.Reason, e, r.Now()); err != nil {
			return nil, fmt.Errorf("recording a refusal: %w", err)
		}
		return nil, no
	}
	if err := r.proved(by); err != nil {
		return nil, err
	}
	return r.read(ctx, w, scope, e)
}

// AtTerminal makes a report for an account of the machine.
func (r *Reader) AtTerminal(ctx context.Context, by string, w Wish) (Document, error) {
	if _, no := MayRead(r.Policy(), w.Name, []policy.PostID{policy.CIO}, ""); no != nil {
		return nil, no
	}
	return r.read(ctx, w, Everything, audit.Entry{Actor: by, Action: "report.read", Object: string(w.Name), Outcome: audit.OK, Articles: articlesOf[w.Name], Detail: map[string]string{"at": "terminal"}})
}

// read makes a report and enters that it was read.
func (r *Reader) read(ctx context.Context, w Wish, scope Scope, e audit.Entry) (Document, error) {
	at := Period{}
	if w.Name != OfDormant || w.From != "" || w.To != "" {
		var err error
		if at, err = ParsePeriod(w.From, w.To, r.Now()); err != nil {
			return nil, err
		}
	}
	d, err := r.Make(ctx, w.Name, at, scope)
	if err != nil && !errors.Is(err, ErrNothingYet) {
		return nil, err
	}
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	e.Detail["format"], e.Detail["scope"] = w.Format, "all"
	if !scope.All {
		e.Detail["scope"] = scope.Sections[0]
	}
	if !at.IsZero() {
		e.Detail["from"], e.Detail["to"] = at.From.UTC().Format(time.RFC3339), at.To.UTC().Format(time.RFC3339)
	}
	if d != nil && err == nil {
		e.Detail["entries"] = strconv.Itoa(len(d.Report("en").Entries().Rows))
	}
	if wrote := r.enter(ctx, e); wrote != nil {
		return nil, wrote
	}
	return d, err
}

// Make makes a report, whoever asks. ErrNothingYet: of unused IDs, where no sweep has
// come to its end.
func (r *Reader) Make(ctx context.Context, what Name, at Period, scope Scope) (Document, error) {
	switch what {
	case OfDormant:
		d, err := r.Dormant(ctx, at, scope)
		return d, err
	case OfPrivilege:
		return r.privilege(ctx, at, scope)
	case OfRemote:
		return r.remote(ctx, at, scope)
	case OfReconcile:
		return r.reconcile(ctx, at, scope)
	case OfEvidence:
		return r.evidence(ctx, at)
	}
	return nil, fmt.Errorf("there is no report %q", what)
}

// sectionName is what a section is called; its id where the policy does not know it.
func sectionName(p *policy.Policy, id, lang string) string {
	if s, ok := p.Section(id); ok {
		return s.Name.In(lang)
	}
	return id
}

// sectionOf is the section of a login, "" where nobody knows.
func (r *Reader) sectionOf(ctx context.Context, login string) (string, error) {
	if r.SectionOf == nil || login == "" {
		return "", nil
	}
	return r.SectionOf(ctx, login)
}

// remembered is sectionOf that asks once for each login.
func (r *Reader) remembered() func(ctx context.Context, login string) (string, error) {
	known := map[string]string{}
	return func(ctx context.Context, login string) (string, error) {
		if section, ok := known[login]; ok {
			return section, nil
		}
		section, err := r.sectionOf(ctx, login)
		if err == nil {
			known[login] = section
		}
		return section, err
	}
}

// mostFindings is how many findings of a kind of book a report reads: more than a
// prefecture has IDs, so that what is left out is the exception, and said.
const mostFindings = 50000

// cutNotes say that a report does not have all findings.
func cutNotes(cut bool) []policy.Words {
	if !cut {
		return nil
	}
	return []policy.Words{{
		JA: "見つかったものが多すぎるため、一部だけを数えています。未解消のものを減らすか、期間を短くしてください。", EN: "Too much was found, and only a part of it is counted. Please settle what is open, or choose a shorter period.",
	}}
}

// page is the part of a list after an entry, and the id of its last one where there are
// more; nil at the end.
func page[T any](all []T, after string, most int, id func(T) string) (items []T, next *string) {
	if after != "" {
		for i, one := range all {
			if id(one) == after {
				all = all[i+1:]
				break
			}
		}
	}
	if most > 0 && len(all) > most {
		all = all[:most]
		last := id(all[most-1])
		next = &last
	}
	if all == nil {
		all = []T{}
	}
	return all, next
}

// has reports whether one of them has an id.
func has[T any](all []T, wanted string, id func(T) string) bool {
	return slices.ContainsFunc(all, func(one T) bool { return id(one) == wanted })
}
