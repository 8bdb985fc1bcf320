package permit

import (
	"context"
	"strings"

	"sekisho/authz/approval"
	"sekisho/policy"
)

// card fills what this room knows of a matter: what a yes does, until when, and
// everything that was stated.
func (b *Book) card(ctx context.Context, a approval.Matter, c *approval.Card) error {
	m, err := read(ctx, b.DB, a.Detail["permit"])
	if err != nil {
		return err
	}
	k, known := b.Policy().Permit(m.Kind)
	if known {
		c.Title = k.Name
	}
	first, last := policy.DayInJapan(m.From), policy.DayInJapan(m.Until.Add(-1))
	c.Until = policy.Words{JA: first + "から" + last + "まで", EN: first + " to " + last}
	c.Yes = policy.Words{
		JA: m.Person.Name + "さんに「" + k.Name.JA + "」を許可します。" + first + "から" + last + "まで有効です。",
		EN: m.Person.Name + " gets the permit “" + k.Name.In("en") + "” from " + first + " to " + last + ".",
	}
	for _, f := range k.Fields {
		if v := m.Stated[f.ID]; len(v) > 0 {
			c.Facts = append(c.Facts, approval.Fact{Label: f.Name, Value: strings.Join(v, ", ")})
		}
	}
	for _, confirm := range b.Confirmations(m) {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "確認すること", EN: "To be confirmed"}, Value: confirm.Says.JA + " / " + confirm.Says.EN})
	}
	return nil
}
