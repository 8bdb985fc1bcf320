package project

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Widening is the kind of matter that it asks for: something by which IDs are good for
// longer, or for more.
const Widening approval.Kind = "project"

// What a matter is about: Detail what.
const (
	Extend  = "extend"
	Bind    = "bind"
	Release = "release"
)

var whatWords = map[string]policy.Words{
	Extend:  {JA: "案件の終わりの延長", EN: "A project goes on for longer"},
	Bind:    {JA: "今の終わりより長い案件にIDを加える", EN: "An ID is bound to a project that lasts longer than its own"},
	Release: {JA: "最後の案件からのIDの解除", EN: "An ID is released from its last project"},
}

func (b *Book) desk() approval.Desk {
	return approval.Desk{
		Name:   policy.Words{JA: "案件とそのIDの延長・解除", EN: "A project goes on, or an ID is released from it"},
		Settle: b.settle, Card: b.card, Against: b.against,
		Settled: func(ctx context.Context, m approval.Matter, to approval.State) {
			if to == approval.Approved {
				b.seen(ctx, m.Beneficiary.ID)
			}
		},
	}
}

// waiting is what waits for a second person about a project.
func (b *Book) waiting(ctx context.Context, in store.Reader, project string) ([]Wait, error) {
	all, err := approval.WaitingOn(ctx, in, Widening, project, b.Now())
	var out []Wait
	for _, m := range all {
		until, _ := time.Parse(time.RFC3339, m.Detail["until"]) // none: the zero time
		out = append(out, Wait{
			Matter: m.ID, What: m.Detail["what"], Person: m.Beneficiary, Role: Role(m.Detail["role"]), Until: until, Requester: m.Requester, Reason: m.Reason,
			AskedAt: m.AskedAt, LapsesAt: m.LapsesAt,
		})
	}
	return out, err
}

// ask asks a second person: who holds 情報セキュリティ管理者 in the project's section, or
// stands above. who is the zero Ref where it is about all of a project's IDs.
func (b *Book) ask(ctx context.Context, by approval.Approver, p Project, what string, who Ref, reason string, detail map[string]string) (Outcome, error) {
	detail["what"], detail["name"], detail["environment"], detail["before"] = what, p.Name, string(p.Environment), p.Until.Format(time.RFC3339)
	c, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: Widening, Subject: p.ID, Requester: approval.Ref(by.Person), RequesterPosts: by.Posts, Beneficiary: who, Nobody: who.ID == "", Section: p.Section,
		Zone: by.Zone, Reason: reason, Rule: approval.Rule{Steps: []approval.Step{overseeing}}, Articles: articles, Detail: detail, Unheard: true,
	})
	if err != nil {
		return Outcome{}, err
	}
	var m approval.Matter
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		if p, err = hold(ctx, tx, p.ID, now); err != nil { // two who ask at once come one after the other
			return err
		}
		if p.State(now) != Running {
			return overRefusal(p, now)
		}
		all, err := b.waiting(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(w Wait) bool { return w.What == what && w.Person.ID == who.ID }) {
			return no(Conflict, "waits", "同じことが、もう一人の決定を待っています。", "The same waits for a second person already.")
		}
		m, err = b.Matters.Ask(ctx, tx, c)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Matter: m.ID, LapsesAt: m.LapsesAt}, nil
}

// Reschedule moves a project's end: to an earlier time at once, to a later one by a second
// person.
func (b *Book) Reschedule(ctx context.Context, o signin.Origin, cookie, id string, until time.Time, reason string) (Outcome, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Outcome{}, err
	}
	return b.RescheduleAs(ctx, by, id, until, reason)
}

// RescheduleAs is Reschedule for somebody who is known already.
func (b *Book) RescheduleAs(ctx context.Context, by approval.Approver, id string, until time.Time, reason string) (Outcome, error) {
	p, reason, err := b.begin(ctx, by, id, reason)
	if err != nil {
		return Outcome{}, err
	}
	until = until.UTC().Truncate(time.Microsecond)
	now := b.Now().UTC().Truncate(time.Microsecond)
	switch {
	case p.State(now) != Running:
		return Outcome{}, b.refuse(ctx, by, p, overRefusal(p, now))
	case until.IsZero():
		return Outcome{}, wrong("until", "required", "案件の終わりの日を書いてください。", "Give its last day.", "67-2(1)")
	case until.Equal(p.Until):
		return Outcome{}, wrong("until", "same", "終わりの日が今と同じです。", "That is its last day already.")
	case !now.Before(until):
		return Outcome{}, wrong("until", "past", "終わりの日は、今日以後にしてください。今すぐ終えるときは、完了にしてください。", "The last day is today or later. To end it now, complete it.")
	case tooFar(b.Policy(), until, now):
		return Outcome{}, farOff(b.Policy())
	case until.After(p.Until):
		return b.ask(ctx, by, p, Extend, Ref{}, reason, map[string]string{"until": until.Format(time.RFC3339)})
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		p, err := hold(ctx, tx, id, now)
		if err != nil {
			return err
		}
		if p.State(now) != Running {
			return overRefusal(p, now)
		}
		if !until.Before(p.Until) {
			return no(Conflict, "moved", "終わりの日が、この間に変えられています。もう一度見てください。", "Its end was moved meanwhile. Please look again.")
		}
		return b.moveEnd(ctx, tx, p, until, "project.shortened", by, by.Person.Login, reason, "")
	})
	if err != nil {
		if why := (*Refusal)(nil); asRefusal(err, &why) {
			err = b.refuse(ctx, by, p, why)
		}
		return Outcome{}, err
	}
	b.seen(ctx)
	return Outcome{}, nil
}

// moveEnd has a project end at another time, in the caller's transaction.
func (b *Book) moveEnd(ctx context.Context, tx *store.Tx, p Project, until time.Time, action string, by approval.Approver, actor, reason, matter string) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	err := tx.ExecOne(ctx, `UPDATE project SET until_at = $1, warned_for = 0, changed_at = $2 WHERE id = $3 AND completed_at = 0 AND until_at = $4`,
		store.Micros(until), store.Micros(now), p.ID, store.Micros(p.Until))
	if err != nil {
		return err
	}
	if err := intendEnds(ctx, tx, p.ID, now); err != nil {
		return err
	}
	e := p.entry(action, by, reason)
	e.Actor, e.Detail["before"], e.Detail["until"] = actor, p.Until.Format(time.RFC3339), until.Format(time.RFC3339)
	if matter != "" {
		e.Detail["matter"] = matter
	}
	return b.Trail.Append(ctx, tx, e)
}

// settle does what was approved, if it still can be: the directory was asked right before
// (against), and what is stored is asked here.
func (b *Book) settle(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	if to != approval.Approved {
		return nil
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	p, err := hold(ctx, tx, m.Subject, now)
	if err != nil {
		return err
	}
	if p.State(now) != Running {
		return b.void(ctx, tx, p, m, overRefusal(p, now))
	}
	if why := moved(p, m); why != nil {
		return b.void(ctx, tx, p, m, why)
	}
	actor := m.Requester.Login
	if m.Detail["what"] == Extend {
		until, err := time.Parse(time.RFC3339, m.Detail["until"])
		if err != nil {
			return fmt.Errorf("extending a project: %w", err)
		}
		if !until.After(p.Until) {
			return b.void(ctx, tx, p, m, no(Conflict, "not_later", "案件は、もうその日より後まで続きます。", "The project lasts longer than that by now."))
		}
		return b.moveEnd(ctx, tx, p, until, "project.extended", approval.Approver{}, actor, m.Reason, m.ID)
	}
	who := m.Beneficiary
	if err := intendEnd(ctx, tx, who, now); err != nil {
		return err
	}
	all, err := bindings(ctx, tx, who.ID)
	if err != nil {
		return err
	}
	if m.Detail["what"] == Release {
		if why := mayRelease(p, all, now); why != nil {
			return b.void(ctx, tx, p, m, why)
		}
		return b.release(ctx, tx, p, all, approval.Approver{}, actor, m.Reason, m.ID)
	}
	closed, err := standing.Among(ctx, tx, []directory.PersonID{who.ID}, now)
	if err != nil {
		return err
	}
	why := mayTie(p, all, now)
	if slices.ContainsFunc(closed[who.ID], func(k standing.Kind) bool { return k != standing.OnLeave }) {
		why = mayBind(p, candidate{within: true, shut: true}, now)
	}
	if why != nil {
		return b.void(ctx, tx, p, m, why)
	}
	return b.bound(ctx, tx, p, Member{Project: p.ID, Person: who, Role: Role(m.Detail["role"]), BoundBy: actor}, tiesOf(all), approval.Approver{}, m.Reason)
}

// moved refuses to widen by what was asked before the project's end was moved: what
// somebody has shortened since stays so, and nobody is bound for longer than was said.
func moved(p Project, m approval.Matter) *Refusal {
	if m.Detail["what"] == Release || m.Detail["before"] == p.Until.Format(time.RFC3339) {
		return nil
	}
	return no(Conflict, "moved", "申請の後に、案件の終わりの日が変えられています。必要なら、もう一度申請してもらってください。",
		"The project's end was moved after this was asked for. If it is still needed, have it asked for again.")
}

// void writes down that what was approved is not done any more.
func (b *Book) void(ctx context.Context, tx *store.Tx, p Project, m approval.Matter, why *Refusal) error {
	e := p.entry("project.void", approval.Approver{}, why.Reason)
	e.Outcome, e.Detail["matter"], e.Detail["what"] = audit.Refused, m.ID, m.Detail["what"]
	if m.Beneficiary.ID != "" {
		e.Object = object(m.Beneficiary.Login, m.Beneficiary.ID)
	}
	return b.Trail.Append(ctx, tx, e)
}

// against refuses a yes of who gains by it, and to what cannot be done any more.
func (b *Book) against(ctx context.Context, m approval.Matter, by Ref) (policy.Words, error) {
	now := b.Now()
	p, err := projectOf(ctx, b.DB, m.Subject)
	if err != nil {
		return policy.Words{}, err
	}
	if p.State(now) != Running {
		return overRefusal(p, now).Says, nil
	}
	if says := saying(moved(p, m)); says != (policy.Words{}) {
		return says, nil
	}
	switch m.Detail["what"] {
	case Extend:
		all, err := members(ctx, b.DB, `m.project = $1 AND m.unbound_at = 0`, p.ID)
		if err != nil {
			return policy.Words{}, err
		}
		if slices.ContainsFunc(all, func(one Member) bool {
			return one.Person.Same(by) && (one.Person.ID == by.ID || one.Person.Number != "" || one.Person.Mail != "")
		}) {
			return policy.Words{
				JA: "あなたのIDがこの案件に入っているため、あなたは延長を承認できません（別のIDでも同じです）。ほかの承認者が決めます。",
				EN: "An ID of yours is bound to this project, so you do not extend it. Another approver decides it.",
			}, nil
		}
	case Bind:
		who, err := b.Directory.ByID(ctx, m.Beneficiary.ID)
		if err != nil {
			return policy.Words{}, err
		}
		c, err := b.candidate(ctx, b.DB, p, who, directory.Person{})
		if err != nil {
			return policy.Words{}, err
		}
		return saying(mayBind(p, c, now)), nil
	case Release:
		all, err := bindings(ctx, b.DB, m.Beneficiary.ID)
		if err != nil {
			return policy.Words{}, err
		}
		return saying(mayRelease(p, all, now)), nil
	}
	return policy.Words{}, nil
}

// saying is what a refusal says; nothing where there is none.
func saying(why *Refusal) policy.Words {
	if why == nil {
		return policy.Words{}
	}
	return why.Says
}

// card says who, what, until when, and what happens.
func (b *Book) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	p, err := projectOf(ctx, b.DB, m.Subject)
	if err != nil {
		return err
	}
	what := m.Detail["what"]
	c.Title = whatWords[what]
	lastDay := func(text string) string {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return ""
		}
		return Project{Until: at}.LastDay()
	}
	fact := func(ja, en, value string, says policy.Words) {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: ja, EN: en}, Value: value, Says: says})
	}
	name := m.Beneficiary.Name + " (" + m.Beneficiary.Login + ")"
	env := environmentWords[p.Environment]
	fact("案件", "Project", p.Name+" ("+p.ID+")", policy.Words{})
	if p.Company != "" {
		fact("会社", "Company", p.Company, policy.Words{})
	}
	fact("環境", "Environment", env.JA, env)
	fact("今の終わりの日", "Last day now", p.LastDay(), policy.Words{})
	if p.State(b.Now()) != Running {
		says := overRefusal(p, b.Now()).Says
		fact("案件の状態", "State of the project", says.JA, says)
	}
	switch what {
	case Extend:
		day := lastDay(m.Detail["until"])
		all, err := members(ctx, b.DB, `m.project = $1 AND m.unbound_at = 0 ORDER BY m.login`, p.ID)
		if err != nil {
			return err
		}
		fact("この案件のIDの数", "IDs that are bound to it", count(len(all)), policy.Words{})
		if len(all) > 0 {
			fact("この案件のID", "Those IDs", some(all), policy.Words{})
		}
		c.Until = policy.Words{JA: day + " まで", EN: "until " + day}
		c.Yes = policy.Words{
			JA: "案件は " + day + " まで続き、この案件のIDもその日まで使えます（IDに別の終わりがあれば、早いほうまで）。",
			EN: "The project goes on until " + day + ", and so do the IDs that are bound to it, unless they have an earlier end of their own.",
		}
	case Bind:
		day := lastDay(m.Detail["until"])
		all, err := bindings(ctx, b.DB, m.Beneficiary.ID)
		if err != nil {
			return err
		}
		now := latest(tiesOf(all), b.Now())
		fact("ID", "ID", name, policy.Words{})
		if !now.IsZero() {
			fact("このIDの今の終わりの日", "Last day of this ID now", Project{Until: now}.LastDay(), policy.Words{})
		}
		c.Until = policy.Words{JA: day + " まで", EN: "until " + day}
		c.Yes = policy.Words{
			JA: name + " は、この案件にも加わり、" + day + " まで使えるようになります。",
			EN: name + " is bound to this project too, and can be used until " + day + ".",
		}
	case Release:
		fact("ID", "ID", name, policy.Words{})
		c.Yes = policy.Words{
			JA: name + " は案件から外れ、案件の終わりがなくなり、運用のIDになります（" + env.JA + "のIDではなくなります）。開いているセッションなどは、環境が変わるとき終わります。",
			EN: name + " is released: it has no project's end any more, and becomes an ID of production. What it has open ends where that changes its environment.",
		}
	}
	return nil
}

var environmentWords = map[policy.Environment]policy.Words{
	policy.Production:  {JA: "運用・保守", EN: "production"},
	policy.Development: {JA: "開発・テスト", EN: "development"},
}

// some are the first of many logins.
func some(all []Member) string {
	const most = 20
	var out []string
	for i, m := range all {
		if i == most {
			out = append(out, "… +"+count(len(all)-most))
			break
		}
		out = append(out, m.Person.Login)
	}
	return strings.Join(out, ", ")
}
