package approval

import (
	"slices"

	"sekisho/policy"
)

// A Confirmation is what whoever says yes confirms to have looked at.
type Confirmation = policy.PermitConfirmation

// Confirmations are what a yes to a matter must confirm.
func (b *Book) Confirmations(m Matter) []Confirmation {
	if ask := b.desks[m.Kind].Confirms; ask != nil {
		return ask(m)
	}
	return nil
}

// confirm holds what somebody has confirmed to what is asked. A confirmation is named
// by its id or by its article, an exception by its id alone: whoever names articles has
// looked at what they ask, and not at what excepts from it. An exception takes the place of what it excepts from.
// The answer is ids, in the order in which they are asked for.
func confirm(asked []Confirmation, said []string) ([]string, error) {
	var ids []string
	for _, s := range said {
		i := slices.IndexFunc(asked, func(c Confirmation) bool { return c.ID == s })
		if i < 0 {
			i = slices.IndexFunc(asked, func(c Confirmation) bool {
				return string(c.Article) == s && c.Instead == "" && c.ID != policy.ConfirmPublicBody
			})
		}
		if i < 0 {
			return nil, &Invalid{"confirmations", "unknown", policy.Words{
				JA: "「" + clip(s) + "」という確認の項目はありません。", EN: "There is no confirmation “" + clip(s) + "”."}}
		}
		ids = append(ids, asked[i].ID)
	}
	var out []string
	for _, c := range asked {
		confirmed := slices.Contains(ids, c.ID)
		excepted := slices.ContainsFunc(asked, func(o Confirmation) bool { return o.Instead == c.ID && slices.Contains(ids, o.ID) })
		switch {
		case confirmed:
			out = append(out, c.ID)
		case c.Instead == "" && !excepted:
			return nil, &Invalid{"confirmations", "required", policy.Words{
				JA: "許可するには、次のことの確認が必要です（" + c.ID + "）。" + c.Says.JA,
				EN: "A yes confirms this too (" + c.ID + "): " + c.Says.EN}}
		}
	}
	return out, nil
}

// clip keeps what somebody sent short enough to be said back.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40])
	}
	return s
}
