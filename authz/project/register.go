package project

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A New is a project that is to be registered.
type New struct {
	ID, Name, Section, Contract, Company string
	Environment                          policy.Environment
	From                                 time.Time // zero: today
	Until                                time.Time // the instant after its last day
}

const (
	mostName   = 100 // characters
	mostReason = 500
)

// sinceSchema is the schema from which on a gate knows projects.
const sinceSchema = 125

// idForm is what an id looks like: people write it into files.
var idForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Check says what of a project cannot be taken; nil: all can.
func (n New) Check(p *policy.Policy, now time.Time) *Refusal {
	_, section := p.Section(n.Section)
	switch {
	case n.ID == "":
		return wrong("id", "required", "案件の番号を書いてください。", "Give the project an id.")
	case !idForm.MatchString(n.ID):
		return wrong("id", "form", "案件の番号は、英小文字、数字及びハイフンで40文字までです（例 zaimu-r9）。", "An id is lower-case letters, digits and hyphens, 40 at most (such as zaimu-r9).")
	case n.Name == "":
		return wrong("name", "required", "案件の名前を書いてください。", "Give the project a name.")
	case !section:
		return wrong("section", "unknown", "その室課は方針にありません。", "The policy has no such section.")
	case !knownEnvironment(n.Environment):
		return wrong("environment", "unknown", "環境は、運用（production）又は開発（development）です。", "The environment is production or development.", "68-2")
	case n.Until.IsZero():
		return wrong("until", "required", "案件の終わりの日を書いてください。終わりのない案件はありません。", "Give its last day: every project has one.", "67-2(1)")
	case !now.Before(n.Until):
		return wrong("until", "past", "案件の終わりの日は、今日以後にしてください。", "The last day is today or later.", "67-2(1)")
	case tooFar(p, n.Until, now):
		return farOff(p)
	case !n.From.Before(n.Until):
		return wrong("from", "after_until", "案件の始まりの日は、終わりの日以前にしてください。", "The first day is not after the last.")
	}
	for _, f := range []struct{ field, text string }{{"name", n.Name}, {"contract", n.Contract}, {"company", n.Company}} {
		if why := line(f.field, f.text); why != nil {
			return why
		}
	}
	return nil
}

func tooFar(p *policy.Policy, until, now time.Time) bool {
	return until.After(policy.AfterDays(now, p.Projects.LongestDays))
}

func farOff(p *policy.Policy) *Refusal {
	days := p.Projects.LongestDays
	return wrong("until", "too_far", "案件の終わりの日は、今日から"+count(days)+"日以内にしてください。続くときは、終わる前に延長します。",
		"The last day lies within "+count(days)+" days. A project that goes on is extended before it ends.", "67-2(1)")
}

// line refuses what is no single line of text.
func line(field, text string) *Refusal {
	odd := func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) }
	switch {
	case utf8.RuneCountInString(text) > mostName:
		return wrong(field, "too_long", "100文字までで書いてください。", "100 characters at most, please.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		return wrong(field, "unusable", "使えない文字があります。", "It holds characters that cannot be used.")
	}
	return nil
}

// reasoned refuses what is no reason.
func reasoned(text string) *Refusal {
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' || unicode.In(r, unicode.Bidi_Control)
	}
	switch {
	case text == "":
		return wrong("reason", "required", "理由を書いてください。", "Please give a reason.")
	case utf8.RuneCountInString(text) > mostReason:
		return wrong("reason", "too_long", "500文字までで書いてください。", "500 characters at most, please.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		return wrong("reason", "unusable", "使えない文字があります。", "It holds characters that cannot be used.")
	}
	return nil
}

// endOlder has no gate of before projects go on beside this one where there is one: it would
// let in whose projects are over.
func endOlder(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE schema_floor SET oldest = $1 WHERE id = 1 AND oldest < $1 AND EXISTS (SELECT 1 FROM project)`, sinceSchema)
	return err
}

// Register registers a project, for who administers its section and has just signed in.
func (b *Book) Register(ctx context.Context, o signin.Origin, cookie string, n New) (Project, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Project{}, err
	}
	return b.RegisterAs(ctx, by, n)
}

// RegisterAs is Register for somebody who is known already.
func (b *Book) RegisterAs(ctx context.Context, by approval.Approver, n New) (Project, error) {
	now := b.Now().UTC().Truncate(time.Microsecond)
	n.ID, n.Name, n.Contract, n.Company = strings.TrimSpace(n.ID), strings.TrimSpace(n.Name), strings.TrimSpace(n.Contract), strings.TrimSpace(n.Company)
	if n.From.IsZero() {
		n.From, _ = policy.JapanDay(policy.DayInJapan(now))
	}
	p := Project{
		ID: n.ID, Name: n.Name, Section: n.Section, Environment: n.Environment, Contract: n.Contract, Company: n.Company,
		From: n.From.UTC().Truncate(time.Microsecond), Until: n.Until.UTC().Truncate(time.Microsecond), RegisteredBy: approval.Ref(by.Person), RegisteredAt: now, Version: 1,
	}
	if v := b.seeing(by); len(v.acts) == 0 {
		return Project{}, b.acting(ctx, by, Project{Section: n.Section})
	}
	if why := n.Check(b.Policy(), now); why != nil {
		return Project{}, why
	}
	if err := b.acting(ctx, by, p); err != nil {
		return Project{}, err
	}
	text, err := p.body()
	if err != nil {
		return Project{}, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		err := tx.ExecOne(ctx, `
			INSERT INTO project (id, section, environment, until_at, changed_at, body) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`,
			p.ID, p.Section, string(p.Environment), store.Micros(p.Until), store.Micros(now), text)
		if errors.Is(err, store.ErrUntouched) {
			return wrong("id", "taken", "この番号の案件は、すでにあります。番号は、二度使えません。", "There is a project of this id already; none is used twice.")
		}
		if err != nil {
			return err
		}
		if err := endOlder(ctx, tx); err != nil {
			return err
		}
		e := p.entry("project.registered", by, "")
		e.Detail["name"], e.Detail["until"], e.Detail["from"] = p.Name, p.Until.Format(time.RFC3339), p.From.Format(time.RFC3339)
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Project{}, err
	}
	return p, nil
}
