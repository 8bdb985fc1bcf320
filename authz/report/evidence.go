package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
)

// samplesEach is how many entries of each article an auditor is given to look at.
const samplesEach = 5

// An ArticleEvidence is what there is for one article (or paragraph): settings in force,
// what the trail holds, deviations.
type ArticleEvidence struct {
	Article    policy.Article
	Entries    int
	Refused    int
	Failed     int
	First      int64 // the numbers of the first and last entry; -1 where there is none
	Last       int64
	Tallies    []audit.Tally
	Samples    []audit.Record
	Settings   []policy.Value
	Deviations []policy.Deviation
}

// Evidence is what an inspection is answered with: for each article what the trail holds
// in a period, samples of it that nobody has chosen, the settings in force, and what was
// decided to be otherwise (articles 51-3, 80, 82, 83).
type Evidence struct {
	Period   Period
	AsOf     time.Time
	Version  int64 // of the policy
	Profile  string
	Articles []ArticleEvidence // in the guideline's order
	Holding  audit.Holding

	policy *policy.Policy
}

func (r *Reader) evidence(ctx context.Context, at Period) (Document, error) {
	h, err := audit.Hold(ctx, r.DB, at.From, at.To, samplesEach)
	if err != nil {
		return nil, err
	}
	d := Evidence{Period: at, AsOf: r.Now(), policy: r.Policy(), Holding: h}
	d.Profile = d.policy.Profile
	if r.Version != nil {
		d.Version = r.Version()
	}
	d.Articles = gather(d.policy, h)
	return d, nil
}

// gather puts together what there is, by article.
func gather(p *policy.Policy, h audit.Holding) []ArticleEvidence {
	by := map[policy.Article]*ArticleEvidence{}
	of := func(a policy.Article) *ArticleEvidence {
		if by[a] == nil {
			by[a] = &ArticleEvidence{Article: a, First: -1, Last: -1}
		}
		return by[a]
	}
	for _, t := range h.Tallies {
		e := of(t.Article)
		e.Entries += t.N
		switch t.Outcome {
		case audit.Refused:
			e.Refused += t.N
		case audit.Failed:
			e.Failed += t.N
		}
		if e.First < 0 || t.First < e.First {
			e.First = t.First
		}
		e.Last = max(e.Last, t.Last)
		e.Tallies = append(e.Tallies, t)
	}
	for a, some := range h.Samples {
		of(a).Samples = some
	}
	for _, v := range p.Values() {
		if v.Setting.Article != "" {
			e := of(v.Setting.Article)
			e.Settings = append(e.Settings, v)
		}
	}
	rules := map[string]policy.Article{}
	for _, rule := range policy.DeviationRules() {
		rules[rule.ID] = rule.Article
	}
	for _, v := range p.Deviations {
		e := of(rules[v.Rule])
		e.Deviations = append(e.Deviations, v)
	}
	out := make([]ArticleEvidence, 0, len(by))
	for _, e := range by {
		out = append(out, *e)
	}
	order := orderOfArticles()
	slices.SortFunc(out, func(a, b ArticleEvidence) int {
		return cmp.Or(cmp.Compare(order(a.Article), order(b.Article)), cmp.Compare(len(a.Article), len(b.Article)), cmp.Compare(a.Article, b.Article))
	})
	return out
}

// orderOfArticles says where in the guideline an article stands; what is none of it
// comes last.
func orderOfArticles() func(policy.Article) int {
	place := map[string]int{}
	for i, a := range policy.Articles() {
		place[string(a.ID)] = i
	}
	return func(a policy.Article) int {
		number, _, _ := strings.Cut(string(a), "-")
		number, _, _ = strings.Cut(number, "(")
		if i, ok := place[number]; ok {
			return i
		}
		return len(place)
	}
}

// Report is the report in sheets, in a language.
func (d Evidence) Report(lang string) Report {
	label := func(a policy.Article) string { return a.Label(lang) }
	title := func(a policy.Article) string {
		info, _ := a.Info()
		return info.Title.In(lang)
	}
	articles := Sheet{ID: "articles", Name: policy.Words{JA: "条別", EN: "By article"}, Bar: 2, Columns: []Column{
		column("article", "条", "article"), column("title", "見出し", "heading"), column("entries", "証跡", "entries"), column("refused", "拒否", "refused"), column("failed", "失敗", "failed"),
		column("first", "最初の番号", "first number"), column("last", "最後の番号", "last number"), column("settings", "設定", "settings"), column("deviations", "逸脱", "deviations"),
	}}
	settings := Sheet{ID: "settings", Name: policy.Words{JA: "有効な設定", EN: "Settings in force"}, Bar: -1, Columns: []Column{
		column("article", "条", "article"), column("setting", "設定", "setting"), column("value", "値", "value"), column("says", "意味", "meaning"), column("source", "根拠", "source"),
	}}
	deviations := Sheet{ID: "deviations", Name: policy.Words{JA: "逸脱と決定", EN: "Deviations and decisions"}, Bar: -1, Columns: []Column{
		column("article", "条", "article"), column("rule", "規則", "rule"), column("reason", "理由", "reason"), column("decision", "決定", "decision"), column("decided", "決定日", "decided"), column("until", "期限", "until"),
	}}
	samples := Sheet{ID: "samples", Name: policy.Words{JA: "証跡の抽出", EN: "Samples of the trail"}, Bar: -1, Columns: []Column{
		column("article", "条", "article"), column("index", "番号", "number"), column("at", "日時", "time"), column("actor", "行為者", "actor"), column("action", "行為", "action"), column("object", "対象", "object"),
		column("outcome", "結果", "outcome"), column("reason", "理由", "reason"), column("hash", "ハッシュ", "hash"),
	}}
	entries := Sheet{ID: "entries", Name: policy.Words{JA: "行為別", EN: "By act"}, Bar: -1, Columns: []Column{
		column("article", "条", "article"), column("action", "行為", "action"), column("outcome", "結果", "outcome"), column("entries", "証跡", "entries"), column("first", "最初の番号", "first number"), column("last", "最後の番号", "last number"),
	}}
	number := func(n int64) any {
		if n < 0 {
			return ""
		}
		return Ref{strconv.FormatInt(n, 10), ToEntry, strconv.FormatInt(n, 10)}
	}
	for _, e := range d.Articles {
		at, of := Ref{label(e.Article), ToArticle, string(e.Article)}, Filter{"article": string(e.Article)}
		articles.Rows = append(articles.Rows, []any{
			at, title(e.Article), Figure{e.Entries, of}, Figure{e.Refused, Filter{"article": string(e.Article), "outcome": audit.Refused}}, Figure{e.Failed, Filter{"article": string(e.Article), "outcome": audit.Failed}},
			number(e.First), number(e.Last), len(e.Settings), len(e.Deviations),
		})
		for _, v := range e.Settings {
			settings.Rows = append(settings.Rows, []any{label(e.Article), v.Path, v.Value, v.Setting.Says.In(lang), v.Setting.Source})
		}
		for _, v := range e.Deviations {
			deviations.Rows = append(deviations.Rows, []any{label(e.Article), v.Rule, v.Reason.In(lang), v.Decision, v.Decided, v.Until})
		}
		for _, s := range e.Samples {
			samples.Rows = append(samples.Rows, []any{label(e.Article), Ref{strconv.FormatInt(s.Index, 10), ToEntry, strconv.FormatInt(s.Index, 10)}, s.Time, s.Actor, s.Action, s.Object, s.Outcome, s.Entry.Reason, s.Hash.String()})
		}
		for _, t := range e.Tallies {
			entries.Rows = append(entries.Rows, []any{at, t.Action, Coded{outcomeWords[t.Outcome].In(lang), t.Outcome}, Sought{t.N, d.Period, t.Action, string(e.Article), t.Outcome}, number(t.First), number(t.Last)})
		}
	}
	return Report{
		Name: OfEvidence, Title: Titles[OfEvidence], AsOf: d.AsOf, Period: d.Period, Articles: articlesOf[OfEvidence],
		Notes: []policy.Words{
			{JA: fmt.Sprintf("方針は第%d版（%s）です。", d.Version, d.Profile), EN: fmt.Sprintf("The policy is version %d (%s).", d.Version, d.Profile)},
			{
				JA: "証跡は封印されたものだけを数えます。一つの証跡は、関わる条のすべてに現れます。抽出する場所はチェックポイントから決まり、だれも選べません。番号は `sekisho audit export` の index です。",
				EN: "Only sealed entries are counted. An entry appears under every article that it serves. Where samples lie follows from the checkpoint: nobody chooses them. Numbers are the index of `sekisho audit export`.",
			},
			{JA: "木の先頭（署名付きチェックポイント）：\n" + d.Holding.Checkpoint, EN: "Tree head, a signed checkpoint:\n" + d.Holding.Checkpoint},
		},
		Sheets: []Sheet{articles, settings, deviations, samples, entries},
	}
}

var outcomeWords = map[string]policy.Words{
	audit.OK: {JA: "済み", EN: "ok"}, audit.Refused: {JA: "拒否", EN: "refused"}, audit.Failed: {JA: "失敗", EN: "failed"},
}

// EvidenceAnswer is the report for programs.
type EvidenceAnswer struct {
	AsOf       *time.Time              `json:"as_of"`
	From       *time.Time              `json:"from"`
	To         *time.Time              `json:"to"`
	Policy     int64                   `json:"policy_version"`
	Profile    string                  `json:"profile"`
	Checkpoint string                  `json:"checkpoint"` // the signed note; "" where nothing is sealed
	Size       int64                   `json:"size"`       // entries that it covers
	SignedAt   *time.Time              `json:"signed_at"`
	Items      []ArticleEvidenceAnswer `json:"items"` // in the guideline's order
	Next       *string                 `json:"next"`  // give it as after= for the rest; null at the end
}

// An ArticleEvidenceAnswer is one article's.
type ArticleEvidenceAnswer struct {
	Article    string            `json:"article"`
	Title      string            `json:"title"`
	Entries    int               `json:"entries"`
	Refused    int               `json:"refused"`
	Failed     int               `json:"failed"`
	First      *int64            `json:"first"` // null where there is no entry
	Last       *int64            `json:"last"`
	Actions    []TallyAnswer     `json:"actions"`
	Samples    []SampleAnswer    `json:"samples"`
	Settings   []SettingAnswer   `json:"settings"`
	Deviations []DeviationAnswer `json:"deviations"`
}

// A TallyAnswer is one action with one outcome.
type TallyAnswer struct {
	Action  string `json:"action"`
	Outcome string `json:"outcome"`
	Entries int    `json:"entries"`
	First   int64  `json:"first"`
	Last    int64  `json:"last"`
}

// A SampleAnswer is one entry of the trail.
type SampleAnswer struct {
	Index   int64      `json:"index"`
	Hash    string     `json:"hash"`
	At      *time.Time `json:"time"`
	Actor   string     `json:"actor"`
	Action  string     `json:"action"`
	Object  string     `json:"object"`
	Outcome string     `json:"outcome"`
	Reason  string     `json:"reason"`
}

// A SettingAnswer is one setting in force.
type SettingAnswer struct {
	Path   string `json:"path"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// A DeviationAnswer is one deviation and its decision.
type DeviationAnswer struct {
	ID       string `json:"id"`
	Rule     string `json:"rule"`
	Reason   string `json:"reason"`
	Decision string `json:"decision"`
	Decided  string `json:"decided"`
	Until    string `json:"until"` // "" until the policy changes
}

// Answer is the report for programs.
func (d Evidence) Answer(after string, most int) any {
	out := EvidenceAnswer{
		AsOf: stamp(d.AsOf), From: stamp(d.Period.From), To: stamp(d.Period.To), Policy: d.Version, Profile: d.Profile,
		Checkpoint: d.Holding.Checkpoint, Size: d.Holding.Size, SignedAt: stamp(d.Holding.SignedAt), Items: []ArticleEvidenceAnswer{},
	}
	some, next := page(d.Articles, after, most, func(e ArticleEvidence) string { return string(e.Article) })
	out.Next = next
	for _, e := range some {
		info, _ := e.Article.Info()
		item := ArticleEvidenceAnswer{
			Article: string(e.Article), Title: info.Title.JA, Entries: e.Entries, Refused: e.Refused, Failed: e.Failed,
			Actions: []TallyAnswer{}, Samples: []SampleAnswer{}, Settings: []SettingAnswer{}, Deviations: []DeviationAnswer{},
		}
		if e.First >= 0 {
			first, last := e.First, e.Last
			item.First, item.Last = &first, &last
		}
		for _, t := range e.Tallies {
			item.Actions = append(item.Actions, TallyAnswer{t.Action, t.Outcome, t.N, t.First, t.Last})
		}
		for _, s := range e.Samples {
			item.Samples = append(item.Samples, SampleAnswer{s.Index, s.Hash.String(), stamp(s.Time), s.Actor, s.Action, s.Object, s.Outcome, s.Entry.Reason})
		}
		for _, v := range e.Settings {
			item.Settings = append(item.Settings, SettingAnswer{v.Path, v.Value, v.Setting.Source})
		}
		for _, v := range e.Deviations {
			item.Deviations = append(item.Deviations, DeviationAnswer{v.ID, v.Rule, v.Reason.JA, v.Decision, v.Decided, v.Until})
		}
		out.Items = append(out.Items, item)
	}
	return out
}

// Has reports whether an entry is in it.
func (d Evidence) Has(id string) bool {
	return has(d.Articles, id, func(e ArticleEvidence) string { return string(e.Article) })
}
