package personnel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// The kinds of matters that it asks for.
const (
	Carry approval.Kind = "personnel"      // an import is carried out
	Undo  approval.Kind = "personnel_undo" // one that was is undone
)

// rule is who decides an import: as of a policy, in person (design rule 7).
func rule() approval.Rule {
	return approval.Rule{Strict: true, Steps: []approval.Step{{Posts: policy.PersonnelDeciders(), Quorum: 1, Where: approval.Anywhere}}}
}

// articlesOf are those of the matters.
var articlesOf = []policy.Article{"16-1", "62-3", "62-4"}

// Open takes the matters' desks.
func (b *Book) open() {
	b.Matters.Open(Carry, approval.Desk{
		Name: policy.Words{JA: "人事異動の反映", EN: "Personnel changes are carried out"}, Settle: b.settle, Card: b.card, Against: b.against,
		Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
	})
	b.Matters.Open(Undo, approval.Desk{
		Name: policy.Words{JA: "人事異動の取消し", EN: "Personnel changes are undone"}, Settle: b.settleUndo, Card: b.cardOfUndo, Against: b.against,
		Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
	})
}

// settle is what follows from a decision on an import.
func (b *Book) settle(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	state, at, action := Dropped, int64(0), "import.dropped"
	if to == approval.Approved {
		state, at, action = Approved, store.Micros(b.Now()), "import.approved"
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = $1, approved_at = $2 WHERE id = $3 AND state = 'proposed'`, string(state), at, m.Subject)
	if errors.Is(err, store.ErrUntouched) {
		return nil // of a store that this one has replaced
	}
	if err != nil {
		return err
	}
	if state == Dropped {
		if _, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'dropped' WHERE import = $1`, m.Subject); err != nil {
			return err
		}
	}
	return b.Trail.Append(ctx, tx, b.entry("system", action, "import/"+m.Subject, string(to)))
}

func (b *Book) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	i, err := b.Get(ctx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	day := i.Effective.In(japan).Format("2006-01-02 15:04")
	c.Yes = policy.Words{
		JA: day + " から、下の数の人のIDが作られ、変わり、閉じられます。内容は「人事異動」のページで確かめてください。",
		EN: "From " + day + " (Japan) on, the IDs of so many people are made, changed and closed. Look at who, on the page of personnel changes.",
	}
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "ファイル", EN: "File"}, Value: i.File}, approval.Fact{Label: policy.Words{JA: "SHA-256", EN: "SHA-256"}, Value: i.Digest})
	if !m.Requester.Known() {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{
			JA: "【注意】職員名簿にない提案者（承認する人と同じ人でも分からない）", EN: "CAUTION: the directory does not know who proposed; it may be whoever approves"}, Value: m.Requester.Login})
	}
	c.Facts = append(c.Facts, i.facts(b.Policy())...)
	return nil
}

// against keeps from deciding who gains by a yes: by an import what it gives them, by its
// undoing what it took (article 16-1, design rule 7). Human beings are compared, not IDs.
func (b *Book) against(ctx context.Context, m approval.Matter, by approval.PersonRef) (policy.Words, error) {
	lines, err := b.Lines(ctx, m.Subject, "", 0, MostLines)
	if err != nil {
		return policy.Words{}, err
	}
	gains, what := Change.gives, policy.Words{JA: "この取込みで", EN: "by this import"}
	if m.Kind == Undo {
		gains, what = Change.takes, policy.Words{JA: "この取消しで", EN: "by this undoing"}
	}
	for _, l := range lines {
		if gains(l.Change) && l.about(by) {
			return policy.Words{
				JA: what.JA + "自分の役割、所属又は期限が増えるか変わるため、自分では承認できません（別のIDでも同じです）。ほかの承認者が決めます。",
				EN: "You gain a post, a section or time " + what.EN + ", under one of your IDs, so another approver decides it.",
			}, nil
		}
	}
	return policy.Words{}, nil
}

func (i Import) facts(p *policy.Policy) []approval.Fact {
	var out []approval.Fact
	for _, a := range Acts() {
		if n := i.Counts[a]; n > 0 {
			out = append(out, approval.Fact{Label: a.Words(), Value: strconv.Itoa(n)})
		}
	}
	for _, n := range i.Projects {
		says := n.Tied.Words()
		count := func(lang string) string {
			return fmt.Sprintf(policy.Words{JA: "%s：加わる %d、外れる %d", EN: "%s: %d bound, %d released"}.In(lang), says.In(lang), n.Bound, n.Released)
		}
		out = append(out, approval.Fact{Label: policy.Words{JA: "案件", EN: "Project"}, Value: count("ja"), Says: policy.Words{JA: count("ja"), EN: count("en")}})
	}
	for _, v := range i.Vacant {
		post, _ := p.Post(v.Post)
		where := policy.Words{JA: v.Section, EN: v.Section}
		if s, ok := p.Section(v.Section); ok {
			where = s.Name
		}
		held := func(lang string) string { return strings.TrimSpace(post.Name.In(lang) + " " + where.In(lang)) }
		out = append(out, approval.Fact{Label: policy.Words{JA: "【注意】いなくなる役割", EN: "CAUTION: nobody will hold"}, Value: held("ja"), Says: policy.Words{JA: held("ja"), EN: held("en")}})
	}
	return out
}
