package policy

import "slices"

// A Caution is something that a policy may say, and that whoever brings it should have
// meant: it is no problem, and is told where the policy is checked.
type Caution struct {
	Field   string // as a difference names it
	Says    Words
	Article Article
}

// Text says the caution on one line.
func (c Caution) Text(lang string) string {
	if lang == "en" {
		return c.Field + ": " + c.Says.EN + " (" + c.Article.Label(lang) + ")"
	}
	return c.Field + ": " + c.Says.JA + "（" + c.Article.Label(lang) + "）"
}

// Cautions are the ways in which contractors would come to privilege of production without
// anybody who permits it at that time: without one, the posts that approve are that
// permission (article 68-1), and the file cannot leave them out.
func (p *Policy) Cautions() []Caution {
	var out []Caution
	for _, v := range p.Privileges {
		if !slices.Contains(v.Eligible.Posts, Contractor) || !v.Environment.Opens(Production) {
			continue
		}
		if v.Emergency {
			out = append(out, Caution{"privileges[" + v.ID + "].emergency", Words{
				"事業者も、この運用の特権を承認なしで使えます（緊急時の利用）。事業者が許可なく運用のシステムを操作しないよう、事業者のいない緊急用の特権を別に定めることを検討してください。",
				"Contractors may take this privilege of production without approval, too (in an emergency). They do not operate what is in production without permission: consider a privilege of its own for emergencies, without them."}, "68-1"})
		}
		for _, s := range p.Approval.Standing {
			if slices.Contains(s.Kinds, "elevation") && slices.Contains(s.Subjects, v.ID) {
				out = append(out, Caution{"approval.standing[" + s.ID + "].subjects", Words{
					"事業者による運用の特権 " + v.ID + " の申請も、この専決で前もって承認されます。そのつもりでなければ、sections で室課を限るか、subjects から外してください。",
					"This decides requests of contractors for the privilege " + v.ID + " of production beforehand. If that is not meant, restrict it by sections, or take it out of subjects."}, "68-1"})
			}
		}
	}
	return out
}
