package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/web"
)

type zoneItem struct {
	ID              string `json:"id"`
	Name            string `json:"name"`
	SignInACR       string `json:"sign_in_acr"`
	IdleSeconds     int64  `json:"idle_end"`
	AbsoluteSeconds int64  `json:"absolute_end"`
}

type policyAnswer struct {
	Version         int64      `json:"version"`
	Profile         string     `json:"profile"`
	Prefecture      string     `json:"prefecture"`
	GuidelineURL    string     `json:"guideline_url"`
	Acknowledgement string     `json:"acknowledgement"` // version of the rules asked for, "" for none
	Zones           []zoneItem `json:"zones"`
	Summary         string     `json:"summary"`
}

func (v *service) policy(w http.ResponseWriter, r *web.Request) error {
	if _, err := v.someone(r); err != nil {
		return err
	}
	p := r.Policy()
	out := policyAnswer{
		Version: v.Charter.Version(), Profile: p.Profile, Prefecture: r.Say(p.Prefecture.Name), GuidelineURL: p.Prefecture.GuidelineURL,
		Acknowledgement: p.Acknowledgement.Version, Zones: make([]zoneItem, 0, len(p.Zones)),
	}
	for _, z := range p.Zones {
		out.Zones = append(out.Zones, zoneItem{string(z.ID), r.Say(z.Name), string(z.SignInACR),
			int64(z.IdleEnd / time.Second), int64(z.AbsoluteEnd / time.Second)})
	}
	out.Summary = r.Say(policy.Words{
		JA: fmt.Sprintf("プロファイル %s、領域 %d、アプリケーション %d、役割 %d。", p.Profile, len(p.Zones), len(p.Applications), len(p.Posts)),
		EN: fmt.Sprintf("Profile %s with %d zones, %d applications and %d posts.", p.Profile, len(p.Zones), len(p.Applications), len(p.Posts)),
	})
	return write(w, http.StatusOK, out)
}

type approved struct {
	Version int64 `json:"version"`
}

func (v *service) approve(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	s, err := v.someone(r)
	if err != nil {
		return err
	}
	if err := v.fresh(r, s); err != nil {
		return err
	}
	version, err := v.Charter.Approve(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, approved{version})
}

type auditItem struct {
	Index int64           `json:"index"`
	Hash  []byte          `json:"hash"` // base64
	Entry json.RawMessage `json:"entry"`
}

// auditQuery are the filters of a search of the trail.
var auditQuery = []string{"from", "to", "actor", "action", "article", "outcome", "case", "limit", "after"}

// pageOf is how many entries a search gives at once when not told.
const pageOf = 100

// audit searches the trail. The search itself goes on the trail before
// anything is shown, with the case it serves: to look through what one person
// did is an act of its own (article 78).
func (v *service) audit(w http.ResponseWriter, r *web.Request) error {
	s, err := v.someone(r)
	if err != nil {
		return err
	}
	p := r.Policy()
	auditor := slices.ContainsFunc(posts(p, s.Person), func(id policy.PostID) bool {
		post, ok := p.Post(id)
		return ok && post.Audits
	})
	if !auditor {
		return web.Say(web.CodeForbidden, policy.Words{
			JA: "記録を検索できるのは、監査を担当する方だけです。", EN: "Only auditors may search the trail."})
	}
	f, purpose, err := filterOf(r.URL.Query())
	if err != nil {
		return err
	}
	detail := map[string]string{}
	for k, vs := range r.URL.Query() {
		detail[k] = vs[0]
	}
	err = v.Note(r.Context(), audit.Entry{
		Actor: s.Person.Login, Action: "trail.searched", Object: f.Actor, Outcome: audit.OK, Articles: []policy.Article{"51-1", "82-1"},
		From: r.Origin.Source.String(), RequestID: r.ID, Zone: string(r.Origin.Zone), Case: purpose, Detail: detail,
	})
	if err != nil {
		return err
	}
	wanted := f.Limit
	f.Limit++ // one more tells whether there is a next page
	found, err := v.Trail.Search(r.Context(), f)
	if err != nil {
		return err
	}
	var next *string
	if len(found) > wanted {
		found = found[:wanted]
		at := strconv.FormatInt(found[wanted-1].Index, 10)
		next = &at
	}
	items := make([]auditItem, 0, len(found))
	for _, e := range found {
		items = append(items, auditItem{e.Index, e.Hash[:], json.RawMessage(e.Data)})
	}
	out := listOf(items)
	out.Next = next
	return write(w, http.StatusOK, out)
}

// filterOf reads the query. An actor without a case is refused. With an actor
// the case says what the search is for; without one it is a filter.
func filterOf(q url.Values) (f audit.Filter, purpose string, err error) {
	in := filtersOf(q, auditQuery, 256)
	moment := func(field string) time.Time {
		if !in.Has(field) {
			return time.Time{}
		}
		t, err := time.Parse(time.RFC3339, in.Get(field))
		if err != nil {
			in.refuse(field, "time", "RFC 3339 の時刻で指定してください。", "Give a time as RFC 3339 writes it.")
		}
		return t
	}
	number := func(field string, otherwise, most int64) int64 {
		if !in.Has(field) {
			return otherwise
		}
		n, err := strconv.ParseInt(in.Get(field), 10, 64)
		if err != nil || n < 0 || n > most {
			in.refuse(field, "number", "数の範囲が正しくありません。", "Not a number within bounds.")
		}
		return n
	}
	f = audit.Filter{
		From: moment("from"), To: moment("to"), Actor: in.Get("actor"), Action: in.Get("action"),
		Article: in.Get("article"), Outcome: in.Get("outcome"),
		Limit: max(1, int(number("limit", pageOf, 500))), After: number("after", 0, 1<<62),
	}
	purpose = in.Get("case")
	if f.Actor == "" {
		f.Case = purpose
	} else if purpose == "" {
		in.refuse("case", "required", "人を指定して検索するときは、事案の番号が必要です。", "A search by person names the case it serves.")
	}
	if err := in.err(); err != nil {
		return audit.Filter{}, "", err
	}
	return f, purpose, nil
}
