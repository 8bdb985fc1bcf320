package report

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"sekisho/authz/lifecycle"
	"sekisho/policy"
)

// ErrNothingYet: no sweep has come to its end.
var ErrNothingYet = errors.New("no sweep has come to its end yet")

// A Section is what of one section's IDs is not used.
type Section struct {
	ID                                          string
	Name                                        policy.Words
	All                                         int // IDs
	Ages                                        map[lifecycle.Age]int
	Warned, Disabled, Deleting, OnLeave, Exempt int
}

// Unused are those that nobody has used for a month or longer.
func (s Section) Unused() int { return s.All - s.Ages[lifecycle.Age30] }

// Dormant is the report of article 62-5: what the last sweep found.
type Dormant struct {
	Period   Period // the zero Period: all entries
	Sweep    lifecycle.Summary
	Sections []Section // the most unused first
	Classes  map[policy.DormancyClass]map[lifecycle.Age]int
	Ages     map[lifecycle.Age]int
	Entries  []lifecycle.Entry
	Findings []lifecycle.Finding
	Cut      bool // there are more findings
}

// Dormant reads what the last sweep found, as far as a scope sees it. With a period,
// the entries are those of IDs whose days without use began in it; the figures are of
// the sweep all the same. ErrNothingYet: there was none.
func (r *Reader) Dormant(ctx context.Context, at Period, scope Scope) (Dormant, error) {
	last, ok, err := r.Lifecycle.Last(ctx)
	if err != nil {
		return Dormant{}, err
	}
	if !ok {
		return Dormant{}, ErrNothingYet
	}
	counts, err := r.Lifecycle.Counts(ctx, last.ID)
	if err != nil {
		return Dormant{}, err
	}
	var entries []lifecycle.Entry
	if err := r.Lifecycle.Each(ctx, last.ID, func(e lifecycle.Entry) error { entries = append(entries, e); return nil }); err != nil {
		return Dormant{}, err
	}
	return r.made(ctx, last, counts, entries, at, scope)
}

// Look is Dormant of this moment, by reading the directory: for a terminal, where no
// sweep has been.
func (r *Reader) Look(ctx context.Context, asOf time.Time) (Dormant, error) {
	var (
		entries []lifecycle.Entry
		stopped *lifecycle.Stopped
	)
	s, counts, err := r.Lifecycle.Look(ctx, asOf, nil, func(e lifecycle.Entry) error { entries = append(entries, e); return nil })
	if err != nil && !errors.As(err, &stopped) {
		return Dormant{}, err
	}
	return r.made(ctx, s, counts, entries, Period{}, Everything)
}

func (r *Reader) made(ctx context.Context, last lifecycle.Summary, counts []lifecycle.Count, entries []lifecycle.Entry, at Period, scope Scope) (Dormant, error) {
	d := Dormant{Period: at, Sweep: last, Classes: map[policy.DormancyClass]map[lifecycle.Age]int{}, Ages: map[lifecycle.Age]int{}}
	if !scope.All {
		d.Sweep.People = 0
	}
	p, sections := r.Policy(), map[string]*Section{}
	of := func(id string) *Section {
		if sections[id] == nil {
			s := Section{ID: id, Ages: map[lifecycle.Age]int{}, Name: policy.Words{JA: id, EN: id}}
			if known, ok := p.Section(id); ok {
				s.Name = known.Name
			}
			sections[id] = &s
		}
		return sections[id]
	}
	for _, c := range counts {
		if !scope.Sees(p, c.Section) {
			continue
		}
		if !scope.All {
			d.Sweep.People += c.N
		}
		s := of(c.Section)
		s.All += c.N
		s.Ages[c.Age] += c.N
		d.Ages[c.Age] += c.N
		if d.Classes[c.Class] == nil {
			d.Classes[c.Class] = map[lifecycle.Age]int{}
		}
		d.Classes[c.Class][c.Age] += c.N
	}
	for _, e := range entries {
		if !scope.Sees(p, e.Section) {
			continue
		}
		if at.IsZero() || !e.Since.Before(at.From) && e.Since.Before(at.To) {
			d.Entries = append(d.Entries, e)
		}
		s := of(e.Section)
		switch e.Stage {
		case lifecycle.Warned:
			s.Warned++
		case lifecycle.Disabled:
			s.Disabled++
		case lifecycle.Deleted:
			s.Deleting++
		}
		switch e.Hold {
		case lifecycle.OnLeave:
			s.OnLeave++
		case lifecycle.Exempt:
			s.Exempt++
		}
	}
	for _, s := range sections {
		d.Sections = append(d.Sections, *s)
	}
	slices.SortFunc(d.Sections, func(a, b Section) int {
		return cmp.Or(cmp.Compare(b.Unused(), a.Unused()), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(d.Entries, func(a, b lifecycle.Entry) int {
		return cmp.Or(cmp.Compare(b.Unused, a.Unused), cmp.Compare(a.Login, b.Login))
	})
	var err error
	d.Findings, err = r.Lifecycle.Findings(ctx, r.most)
	d.Cut = len(d.Findings) == r.most
	d.Findings = slices.DeleteFunc(d.Findings, func(f lifecycle.Finding) bool { return !scope.Sees(p, f.Section) })
	return d, err
}

// AgeWords are what the ages are called.
var AgeWords = map[lifecycle.Age]policy.Words{
	lifecycle.Age30: {JA: "30日未満", EN: "under 30 days"}, lifecycle.Age60: {JA: "30〜59日", EN: "30–59 days"}, lifecycle.Age90: {JA: "60〜89日", EN: "60–89 days"},
	lifecycle.Age180: {JA: "90〜179日", EN: "90–179 days"}, lifecycle.Age365: {JA: "180〜364日", EN: "180–364 days"}, lifecycle.AgeOld: {JA: "365日以上", EN: "365 days and more"},
	lifecycle.Never: {JA: "一度も使われていない", EN: "never used"},
}

// StageWords are what the stages are called.
var StageWords = map[lifecycle.Stage]policy.Words{
	lifecycle.InUse: {JA: "使用中", EN: "in use"}, lifecycle.Warned: {JA: "通知", EN: "warned"}, lifecycle.Disabled: {JA: "無効", EN: "disabled"}, lifecycle.Deleted: {JA: "削除の提案", EN: "deletion proposed"},
}

// ClassWords are what the classes are called.
var ClassWords = map[policy.DormancyClass]policy.Words{
	policy.DormancyPrivileged: {JA: "承認・管理の職", EN: "approves or administers"}, policy.DormancyContractor: {JA: "事業者", EN: "contractor"},
	policy.DormancyService: {JA: "プログラム", EN: "program"}, policy.DormancyShared: {JA: "共用", EN: "shared"}, policy.DormancyStaff: {JA: "職員", EN: "staff"},
}

// HoldWords are why nothing follows.
var HoldWords = map[lifecycle.Hold]policy.Words{
	lifecycle.Exempt: {JA: "例外", EN: "exempt"}, lifecycle.OnLeave: {JA: "休業・休職中", EN: "on leave"}, lifecycle.Unknown: {JA: "最後の利用が不明", EN: "last use unknown"},
	lifecycle.Suspended: {JA: "利用停止中", EN: "suspended"}, lifecycle.Sealed: {JA: "封印した緊急用のID", EN: "sealed, for emergencies"},
	lifecycle.Guarded: {JA: "ディレクトリが守るID", EN: "guarded by the directory"}, lifecycle.NoOwnerTold: {JA: "知らせる相手がいない", EN: "nobody to be told"},
	lifecycle.Own: {JA: "関所自身のID", EN: "Sekisho's own ID"}, lifecycle.LastOfPost: {JA: "職に残る最後の人", EN: "the last of a post"},
}

// FindingWords are what the findings are called.
var FindingWords = map[lifecycle.FindingKind]policy.Words{
	lifecycle.NoOwner: {JA: "持ち主の番号がない", EN: "no owner's number"}, lifecycle.Temporary: {JA: "期限の切れた仮パスワード", EN: "temporary password, void"},
	lifecycle.Orphan: {JA: "持ち主のいない認証の手段", EN: "factor of nobody"}, lifecycle.Unbounded: {JA: "最後の利用が不明", EN: "last use unknown"},
	lifecycle.NotDealt: {JA: "点検で処理できなかった", EN: "could not be dealt with"}, lifecycle.NobodyTold: {JA: "使われないが、知らせる相手がいない", EN: "not used, and nobody to be told"},
	lifecycle.Reused:    {JA: "削除したログイン名が再び使われている", EN: "the login of a deleted ID, used again"},
	lifecycle.NotClosed: {JA: "ディレクトリが変わらない", EN: "the directory does not change"}, lifecycle.LastHolder: {JA: "使われないが、職に残る最後の人", EN: "not used, but the last of a post"},
}

// unusedFigure is how many IDs were last used so long ago: those of an ID in use are not
// among the entries.
func unusedFigure(a lifecycle.Age, n int, of Filter) any {
	if a == lifecycle.Age30 {
		return n
	}
	out := Filter{"age": string(a)}
	maps.Copy(out, of)
	return Figure{n, out}
}

func column(key, ja, en string) Column { return Column{key, policy.Words{JA: ja, EN: en}} }

// Report is the report in sheets, in a language.
func (d Dormant) Report(lang string) Report {
	ages := Sheet{ID: "ages", Name: policy.Words{JA: "最後の利用", EN: "Last use"}, Columns: []Column{column("age", "最後の利用から", "since last use"), column("ids", "ID", "IDs")}, Bar: 1}
	for _, a := range lifecycle.Ages() {
		ages.Rows = append(ages.Rows, []any{AgeWords[a].In(lang), unusedFigure(a, d.Ages[a], nil)})
	}
	sections := Sheet{ID: "sections", Name: policy.Words{JA: "室課別", EN: "By section"}, Bar: 2, Columns: []Column{
		column("section", "室課", "section"), column("ids", "ID", "IDs"), column("unused", "30日以上使われていない", "unused for 30 days"), column("warned", "通知", "warned"),
		column("disabled", "無効", "disabled"), column("deletion", "削除の提案", "deletion proposed"), column("on_leave", "休業・休職中", "on leave"), column("exempt", "例外", "exempt"),
	}}
	for _, s := range d.Sections {
		fig := func(n int, key, code string) Figure {
			of := Filter{"section": s.ID}
			if key != "" {
				of[key] = code
			}
			return Figure{n, of}
		}
		sections.Rows = append(sections.Rows, []any{
			Coded{s.Name.In(lang), s.ID}, s.All, fig(s.Unused(), "", ""), fig(s.Warned, "stage", string(lifecycle.Warned)), fig(s.Disabled, "stage", string(lifecycle.Disabled)),
			fig(s.Deleting, "stage", string(lifecycle.Deleted)), fig(s.OnLeave, "hold", string(lifecycle.OnLeave)), fig(s.Exempt, "hold", string(lifecycle.Exempt)),
		})
	}
	classes := Sheet{ID: "classes", Name: policy.Words{JA: "種類別", EN: "By kind"}, Bar: -1, Columns: []Column{column("class", "種類", "kind")}}
	for _, a := range lifecycle.Ages() {
		classes.Columns = append(classes.Columns, Column{string(a), AgeWords[a]})
	}
	for _, c := range policy.DormancyClasses() {
		row := []any{Coded{ClassWords[c].In(lang), string(c)}}
		for _, a := range lifecycle.Ages() {
			row = append(row, unusedFigure(a, d.Classes[c][a], Filter{"class": string(c)}))
		}
		classes.Rows = append(classes.Rows, row)
	}
	findings := Sheet{ID: "findings", Name: policy.Words{JA: "そのほか", EN: "Findings"}, Bar: -1, Columns: []Column{
		column("finding", "内容", "finding"), column("login", "ID", "login"), column("section", "室課", "section"), column("detail", "詳細", "detail"), column("found_at", "見つけた日時", "found"),
	}}
	for _, f := range d.Findings {
		findings.Rows = append(findings.Rows, []any{FindingWords[f.Kind].In(lang), cmp.Or(f.Login, f.Subject), f.Section, f.Detail, f.FoundAt})
	}
	entries := Sheet{ID: "entries", Name: policy.Words{JA: "ID一覧", EN: "IDs"}, Bar: -1, Columns: []Column{
		column("login", "ログイン名", "login"), column("name", "氏名", "name"), column("section", "室課", "section"), column("company", "会社", "company"), column("class", "種類", "kind"),
		column("last_used_at", "最後の利用", "last used"), column("unused_days", "使われない日数", "days unused"), column("age", "最後の利用から", "since last use"), column("stage", "段階", "stage"), column("hold", "備考", "note"), column("created_at", "作成", "created"),
	}}
	for _, e := range d.Entries {
		section := e.Section
		if i := slices.IndexFunc(d.Sections, func(s Section) bool { return s.ID == e.Section }); i >= 0 {
			section = d.Sections[i].Name.In(lang)
		}
		age := lifecycle.AgeOf(lifecycle.Judgement{LastUse: e.LastUse, Unused: e.Unused})
		entries.Rows = append(entries.Rows, []any{
			Ref{e.Login, ToPerson, e.Login}, e.Name, Coded{section, e.Section}, e.Company, Coded{ClassWords[e.Class].In(lang), string(e.Class)}, e.LastUse, e.Unused,
			Coded{AgeWords[age].In(lang), string(age)}, Coded{StageWords[e.Stage].In(lang), string(e.Stage)}, Coded{HoldWords[e.Hold].In(lang), string(e.Hold)}, e.CreatedAt,
		})
	}
	return Report{
		Name: OfDormant, Title: Titles[OfDormant], AsOf: d.Sweep.AsOf, Period: d.Period, Articles: articlesOf[OfDormant], Notes: cutNotes(d.Cut),
		Sheets: []Sheet{ages, sections, classes, findings, entries},
	}
}
