package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sekisho/authz/elevate"
	"sekisho/authz/lifecycle"
	"sekisho/authz/sealed"
	"sekisho/policy"
)

// A Mismatch is where the books and the directory do not agree, or where nobody answers
// for something.
type Mismatch struct {
	Kind      MismatchKind
	Login     string // "" where it is not known
	Subject   string // DN or ID of what it is about
	Section   string // "" where it is not known
	Place     string // DN of the group, or what system
	Privilege string // id
	Detail    string
	FoundAt   time.Time
	SeenAt    time.Time
	DueAt     time.Time // of what is owed about an emergency ID
	ClosedAt  time.Time // zero: it is still so
	ClosedBy  string
	TakenBy   string // who looks into it
}

// ID is what the mismatch is known by in the report.
func (m Mismatch) ID() string {
	return string(m.Kind) + ":" + m.Place + ":" + m.Subject + ":" + m.FoundAt.UTC().Format(time.RFC3339Nano)
}

// MismatchKind is what does not agree: a kind of elevate's findings, of lifecycle's, or
// a debt of an emergency ID with "sealed_" before it.
type MismatchKind string

const sealedDebt = "sealed_"

var mismatchWords = func() map[MismatchKind]policy.Words {
	out := map[MismatchKind]policy.Words{
		MismatchKind(elevate.Membership): {JA: "貸出しのない所属", EN: "privileged member without a lease"}, MismatchKind(elevate.Enabled): {JA: "貸出しのない有効なID", EN: "open ID without a lease"},
		MismatchKind(elevate.Leftover): {JA: "貸出しの終わったID", EN: "ID of a lease that is over"}, MismatchKind(elevate.Missing): {JA: "貸出し中なのに失われた権限", EN: "taken away during a lease"},
		MismatchKind(elevate.Undo): {JA: "取り戻せない権限", EN: "cannot be taken back"},

		sealedDebt + MismatchKind(sealed.OwesConfirm): {JA: "緊急用ID：確認の未了", EN: "emergency ID: to be confirmed"}, sealedDebt + MismatchKind(sealed.OwesTest): {JA: "緊急用ID：試験の期限", EN: "emergency ID: to be tested"},
		sealedDebt + MismatchKind(sealed.OwesRotation): {JA: "緊急用ID：変更の期限", EN: "emergency ID: to be changed"}, sealedDebt + MismatchKind(sealed.OwesReport): {JA: "緊急用ID：報告の未了", EN: "emergency ID: report owed"},
		sealedDebt + MismatchKind(sealed.OwesSeal): {JA: "緊急用ID：再封印の未了", EN: "emergency ID: to be sealed again"}, sealedDebt + MismatchKind(sealed.OwesReconcile): {JA: "緊急用ID：照合の未了", EN: "emergency ID: to be reconciled"},
	}
	for _, k := range lifecycle.FindingKinds() {
		out[MismatchKind(k)] = FindingWords[k]
	}
	return out
}()

// MismatchKinds are all kinds, in the order in which they are shown.
func MismatchKinds() []MismatchKind {
	out := []MismatchKind{MismatchKind(elevate.Membership), MismatchKind(elevate.Enabled), MismatchKind(elevate.Leftover), MismatchKind(elevate.Missing), MismatchKind(elevate.Undo)}
	for _, k := range lifecycle.FindingKinds() {
		out = append(out, MismatchKind(k))
	}
	for _, d := range []sealed.Debt{sealed.OwesConfirm, sealed.OwesTest, sealed.OwesRotation, sealed.OwesReport, sealed.OwesSeal, sealed.OwesReconcile} {
		out = append(out, sealedDebt+MismatchKind(d))
	}
	return out
}

// Reconcile is where the books and the directory do not agree at present, and what was
// found or mended of that in a period (articles 62-3 and 62-6).
type Reconcile struct {
	Period     Period
	AsOf       time.Time
	Mismatches []Mismatch // the open ones first, the newest first
	Sealed     int        // emergency IDs on the register
	Cut        bool       // there are more findings

	policy *policy.Policy
}

func (r *Reader) reconcile(ctx context.Context, at Period, scope Scope) (Document, error) {
	now := r.Now()
	d := Reconcile{Period: at, AsOf: now, policy: r.Policy()}
	found, err := elevate.Since(ctx, r.DB, at.From, r.most)
	if err != nil {
		return nil, err
	}
	sectionOf := r.remembered()
	for _, f := range found {
		section, err := sectionOf(ctx, f.Login)
		if err != nil {
			return nil, err
		}
		d.Mismatches = append(d.Mismatches, Mismatch{
			Kind: MismatchKind(f.Kind), Login: f.Login, Subject: f.Subject, Section: section, Place: f.Place, Privilege: f.Privilege, Detail: f.Hindrance,
			FoundAt: f.FoundAt, SeenAt: f.SeenAt, ClosedAt: f.ClosedAt, ClosedBy: string(f.ClosedBy), TakenBy: f.Taken.By.Login,
		})
	}
	noticed, err := lifecycle.FindingsSince(ctx, r.DB, at.From, r.most)
	if err != nil {
		return nil, err
	}
	d.Cut = len(found) == r.most || len(noticed) == r.most
	for _, f := range noticed {
		m := Mismatch{Kind: MismatchKind(f.Kind), Login: f.Login, Subject: f.Subject, Section: f.Section, Detail: f.Detail, FoundAt: f.FoundAt, SeenAt: f.SeenAt, ClosedAt: f.ClosedAt}
		if !m.ClosedAt.IsZero() {
			m.ClosedBy = "sweep"
		}
		d.Mismatches = append(d.Mismatches, m)
	}
	envelopes, err := sealed.All(ctx, r.DB)
	if err != nil {
		return nil, err
	}
	for _, e := range envelopes {
		if e.Withdrawn.Done() || !scope.All {
			continue
		}
		d.Sealed++
		for _, o := range e.Debts(d.policy.SealedIDs, now) {
			d.Mismatches = append(d.Mismatches, Mismatch{Kind: sealedDebt + MismatchKind(o.What), Login: e.Account, Subject: e.ID, Place: e.System, FoundAt: e.Sealed.At, SeenAt: now, DueAt: o.Due})
		}
	}
	d.Mismatches = slices.DeleteFunc(d.Mismatches, func(m Mismatch) bool { return !scope.Sees(d.policy, m.Section) || !m.FoundAt.Before(at.To) })
	slices.SortStableFunc(d.Mismatches, func(a, b Mismatch) int {
		if open := a.ClosedAt.IsZero(); open != b.ClosedAt.IsZero() {
			if open {
				return -1
			}
			return 1
		}
		return cmp.Or(b.FoundAt.Compare(a.FoundAt), cmp.Compare(a.ID(), b.ID()))
	})
	return d, nil
}

// counts are how many are open, and how many were closed, by what key says.
func (d Reconcile) counts(key func(Mismatch) string) map[string][2]int {
	out := map[string][2]int{}
	for _, m := range d.Mismatches {
		n := out[key(m)]
		if m.ClosedAt.IsZero() {
			n[0]++
		} else {
			n[1]++
		}
		out[key(m)] = n
	}
	return out
}

var openWords = map[bool]policy.Words{true: {JA: "未解消", EN: "open"}, false: {JA: "解消", EN: "closed"}}

// Report is the report in sheets, in a language.
func (d Reconcile) Report(lang string) Report {
	kinds := Sheet{ID: "kinds", Name: policy.Words{JA: "種類別", EN: "By kind"}, Bar: 1, Columns: []Column{column("kind", "種類", "kind"), column("open", "未解消", "open"), column("closed", "解消", "closed")}}
	byKind := d.counts(func(m Mismatch) string { return string(m.Kind) })
	for _, k := range MismatchKinds() {
		n := byKind[string(k)]
		of := func(state string) Filter { return Filter{"kind": string(k), "state": state} }
		kinds.Rows = append(kinds.Rows, []any{Coded{mismatchWords[k].In(lang), string(k)}, Figure{n[0], of("open")}, Figure{n[1], of("closed")}})
	}
	sections := Sheet{ID: "sections", Name: policy.Words{JA: "室課別", EN: "By section"}, Bar: 1, Columns: []Column{column("section", "室課", "section"), column("open", "未解消", "open"), column("closed", "解消", "closed")}}
	bySection := d.counts(func(m Mismatch) string { return m.Section })
	ids := make([]string, 0, len(bySection))
	for id := range bySection {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(bySection[b][0], bySection[a][0]), cmp.Compare(a, b))
	})
	for _, id := range ids {
		of := func(state string) Filter { return Filter{"section": id, "state": state} }
		name := sectionName(d.policy, id, lang)
		if id == "" {
			name = policy.Words{JA: "所属が不明", EN: "section not known"}.In(lang)
		}
		sections.Rows = append(sections.Rows, []any{Coded{name, id}, Figure{bySection[id][0], of("open")}, Figure{bySection[id][1], of("closed")}})
	}
	entries := Sheet{ID: "entries", Name: policy.Words{JA: "一覧", EN: "Mismatches"}, Bar: -1, Columns: []Column{
		column("kind", "種類", "kind"), column("state", "状態", "state"), column("login", "ID", "login"), column("section", "室課", "section"), column("subject", "対象", "subject"), column("place", "場所", "place"),
		column("privilege", "特権", "privilege"), column("detail", "詳細", "detail"), column("found_at", "見つけた日時", "found"), column("seen_at", "最後に見た日時", "last seen"), column("due_at", "期限", "due"),
		column("closed_at", "解消した日時", "closed"), column("closed_by", "解消したもの", "closed by"), column("taken_by", "調べている人", "taken up by"),
	}}
	for _, m := range d.Mismatches {
		state := Coded{openWords[m.ClosedAt.IsZero()].In(lang), "open"}
		if !m.ClosedAt.IsZero() {
			state.Code = "closed"
		}
		entries.Rows = append(entries.Rows, []any{
			Coded{mismatchWords[m.Kind].In(lang), string(m.Kind)}, state, m.Login, Coded{sectionName(d.policy, m.Section, lang), m.Section}, m.Subject, m.Place, m.Privilege, m.Detail,
			m.FoundAt, m.SeenAt, m.DueAt, m.ClosedAt, m.ClosedBy, m.TakenBy,
		})
	}
	return Report{
		Name: OfReconcile, Title: Titles[OfReconcile], AsOf: d.AsOf, Period: d.Period, Articles: articlesOf[OfReconcile],
		Notes: append([]policy.Words{{
			JA: "未解消のものは期間によらずすべてを、解消したものは期間内に見つけた又は解消したものを示します。", EN: "What is open is shown whenever it was found; what is closed, where it was found or closed within the period.",
		}}, cutNotes(d.Cut)...),
		Sheets: []Sheet{kinds, sections, entries},
	}
}

// ReconcileAnswer is the report for programs.
type ReconcileAnswer struct {
	AsOf   *time.Time       `json:"as_of"`
	From   *time.Time       `json:"from"`
	To     *time.Time       `json:"to"`
	Sealed int              `json:"emergency_ids"` // on the register
	Cut    bool             `json:"findings_cut"`  // there are more findings
	Kinds  []MismatchCount  `json:"kinds"`
	Items  []MismatchAnswer `json:"items"` // the open ones first
	Next   *string          `json:"next"`  // give it as after= for the rest; null at the end
}

// A MismatchCount is how many of a kind are open, and how many were closed.
type MismatchCount struct {
	Kind   string `json:"kind"`
	Open   int    `json:"open"`
	Closed int    `json:"closed"`
}

// A MismatchAnswer is one of them.
type MismatchAnswer struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Login     string     `json:"login"`
	Section   string     `json:"section"`
	Subject   string     `json:"subject"`
	Place     string     `json:"place"`
	Privilege string     `json:"privilege"`
	Detail    string     `json:"detail"`
	FoundAt   *time.Time `json:"found_at"`
	SeenAt    *time.Time `json:"seen_at"`
	DueAt     *time.Time `json:"due_at"`
	ClosedAt  *time.Time `json:"closed_at"` // null: it is still so
	ClosedBy  string     `json:"closed_by"`
	TakenBy   string     `json:"taken_by"`
}

// Answer is the report for programs.
func (d Reconcile) Answer(after string, most int) any {
	out := ReconcileAnswer{AsOf: stamp(d.AsOf), From: stamp(d.Period.From), To: stamp(d.Period.To), Sealed: d.Sealed, Cut: d.Cut, Kinds: []MismatchCount{}, Items: []MismatchAnswer{}}
	counts := d.counts(func(m Mismatch) string { return string(m.Kind) })
	for _, k := range MismatchKinds() {
		out.Kinds = append(out.Kinds, MismatchCount{string(k), counts[string(k)][0], counts[string(k)][1]})
	}
	some, next := page(d.Mismatches, after, most, Mismatch.ID)
	out.Next = next
	for _, m := range some {
		out.Items = append(out.Items, MismatchAnswer{
			m.ID(), string(m.Kind), m.Login, m.Section, m.Subject, m.Place, m.Privilege, m.Detail, stamp(m.FoundAt), stamp(m.SeenAt), stamp(m.DueAt), stamp(m.ClosedAt), m.ClosedBy, m.TakenBy,
		})
	}
	return out
}

// Has reports whether an entry is in it.
func (d Reconcile) Has(id string) bool {
	return has(d.Mismatches, id, Mismatch.ID)
}
