package grant

import (
	"context"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
)

// Open gives this room's matters to its desk.
func (b *Book) Open(book *approval.Book) {
	desk := approval.Desk{
		Settle:  b.Settle,
		Settled: func(ctx context.Context, _ approval.Matter, _ approval.State) { b.changed(ctx) },
		Card:    b.card, Notice: b.Notice,
	}
	desk.Name = policy.Words{JA: "特権の貸出し", EN: "Lending of a privilege"}
	book.Open(KindElevation, desk)
	desk.Name = policy.Words{JA: "貸出しの延長", EN: "More time for a lease"}
	book.Open(KindExtension, desk)
}

// card fills what this room knows of a matter: what a yes does, and how long it
// would last.
func (b *Book) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	v, known := b.Policy().Privilege(m.Subject)
	if known {
		c.Title = v.Name
	}
	l, err := read(ctx, b.DB, m.Detail["lease"])
	if err != nil {
		return err
	}
	lasts := m.Detail["minutes"]
	c.Until = policy.Words{JA: "開始から" + lasts + "分", EN: lasts + " minutes from activation"}
	c.Yes = policy.Words{
		JA: l.By.Name + "さんが、" + ends(v.ActivateEnd) + "以内に開始すると、" + lasts + "分だけこの特権を使えます。",
		EN: l.By.Name + " may activate it within " + policy.ShowDuration(v.ActivateEnd) + " and then has it for " + lasts + " minutes.",
	}
	if m.Kind == KindExtension {
		c.Until = policy.Words{JA: "あと" + lasts + "分", EN: lasts + " minutes more"}
		c.Yes = policy.Words{
			JA: "いまの貸出しが" + lasts + "分延びます。最長の時間は超えません。", EN: "The present lease lasts " + lasts + " minutes more, and never beyond its longest time.",
		}
	}
	if l.Ticket != "" {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "票", EN: "Ticket"}, Value: l.Ticket})
	}
	for _, g := range v.Gives {
		c.Facts = append(c.Facts, approval.Fact{Label: Says(g), Value: g.Group + g.Account + g.Under + g.Application})
	}
	return nil
}

// Says is what a gift is, in words.
func Says(g policy.Gift) policy.Words {
	switch g.Kind {
	case policy.GiftGroup:
		return policy.Words{JA: "グループの一員になる", EN: "Membership of a group"}
	case policy.GiftAccount:
		return policy.Words{JA: "管理用のIDが使えるようになる", EN: "A named administrator's ID is opened"}
	case policy.GiftEphemeral:
		return policy.Words{JA: "この貸出しのためのIDが作られる", EN: "An ID is made for this lease"}
	case policy.GiftApplication:
		return policy.Words{JA: "システムに役割が伝えられる", EN: "An application is told of a role"}
	}
	return policy.Words{}
}

func ends(d time.Duration) string { return policy.ShowDuration(d) }
