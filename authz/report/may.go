package report

import (
	"slices"

	"sekisho/policy"
)

// A Name is which report.
type Name string

// The reports.
const (
	OfDormant   Name = "dormant"   // IDs that nobody uses, article 62-5
	OfPrivilege Name = "privilege" // who borrowed what, articles 62-6 and 49
	OfRemote    Name = "remote"    // who comes from outside, article 63
	OfReconcile Name = "reconcile" // where directory and books do not agree
	OfEvidence  Name = "evidence"  // what the trail holds for each article, article 82
)

// Names are all reports there are.
func Names() []Name { return []Name{OfDormant, OfPrivilege, OfRemote, OfReconcile, OfEvidence} }

// articlesOf are those that each report serves.
var articlesOf = map[Name][]policy.Article{
	OfDormant:   {"62-5"},
	OfPrivilege: {"49-1", "62-6", "65", "80-2"},
	OfRemote:    {"63-1", "63-2(1)"},
	OfReconcile: {"62-3", "62-6"},
	OfEvidence:  {"51-3", "82", "83"},
}

// ArticlesOf are those that a report serves.
func ArticlesOf(what Name) []policy.Article { return articlesOf[what] }

// Titles are what the reports are called.
var Titles = map[Name]policy.Words{
	OfDormant:   {JA: "使われていないID", EN: "IDs that nobody uses"},
	OfPrivilege: {JA: "特権の貸出し", EN: "Privilege that was lent"},
	OfRemote:    {JA: "外部からの接続", EN: "Access from outside"},
	OfReconcile: {JA: "台帳とディレクトリの突合", EN: "Books against the directory"},
	OfEvidence:  {JA: "条ごとの証拠", EN: "Evidence for each article"},
}

// A Refusal says why a report is not shown.
type Refusal struct {
	Reason   string // for machines and auditors
	Field    string // "" where it is not about something that was entered
	Says     policy.Words
	Articles []policy.Article
}

func (r *Refusal) Error() string { return "report: " + r.Reason }

// A Scope is what of a report somebody sees. Its zero value is nothing.
type Scope struct {
	All      bool
	Sections []string // and what lies below them
}

// Everything is the scope of whoever sees all.
var Everything = Scope{All: true}

// Sees reports whether what belongs to a section is in it.
func (s Scope) Sees(p *policy.Policy, section string) bool {
	return s.All || len(s.Sections) > 0 && p.InSection(section, s.Sections)
}

// MayRead says what of a report whoever holds these posts in this section reads: whoever
// audits, the CIO and the CSIRT everything; a security officer their department, a
// security manager their section; those who administer what is about IDs and ways in.
// Evidence is the auditors' and the CIO's.
func MayRead(p *policy.Policy, what Name, posts []policy.PostID, section string) (Scope, *Refusal) {
	if !slices.Contains(Names(), what) {
		return Scope{}, &Refusal{Reason: "unknown_report", Field: "report", Says: policy.Words{JA: "そのような報告はありません。", EN: "There is no such report."}}
	}
	audits := slices.ContainsFunc(posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits })
	has := func(id policy.PostID) bool { return slices.Contains(posts, id) }
	switch {
	case audits, has(policy.CIO):
		return Everything, nil
	case what == OfEvidence:
		return Scope{}, &Refusal{Reason: "no_post", Articles: articlesOf[what], Says: policy.Words{
			JA: "条ごとの証拠は、監査の役割の方とCIOが見ます。必要なときは監査の担当者に依頼してください。",
			EN: "Evidence for each article is for auditors and the CIO. Please ask an auditor.",
		}}
	case has(policy.CSIRT), what != OfPrivilege && (has(policy.SystemAdministrator) || has(policy.SystemOperator)):
		return Everything, nil
	case has(policy.SecurityOfficer) || has(policy.SecurityManager):
		own := section
		if has(policy.SecurityOfficer) {
			own = p.Department(section)
		}
		if _, known := p.Section(own); !known {
			return Scope{}, &Refusal{Reason: "no_section", Articles: articlesOf[what], Says: policy.Words{
				JA: "あなたの所属が方針にないため、どの室課の報告か決まりません。情報システム管理者に所属の登録を依頼してください。",
				EN: "The policy does not know your section, so it is not known whose report you may read. Please ask the system administrator to enter it.",
			}}
		}
		return Scope{Sections: []string{own}}, nil
	}
	return Scope{}, &Refusal{Reason: "no_post", Articles: articlesOf[what], Says: policy.Words{
		JA: "この報告は、あなたの役割では見られません。所属の情報セキュリティ管理者に依頼してください。",
		EN: "Your post does not include this report. Please ask your section's security manager.",
	}}
}
