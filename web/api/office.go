package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sekisho/authz/inquiry"
	"sekisho/policy"
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
	Hash  []byte          `json:"hash"`  // base64
	Entry json.RawMessage `json:"entry"` // null: it cannot be read, for somebody changed the store
}

// auditQuery are the filters of a search of the trail.
var auditQuery = []string{"from", "to", "actor", "action", "article", "outcome", "case", "limit", "after"}

// pageOf is how many entries a search gives at once when not told.
const pageOf = 100

// longestText is how long each filter of a search may be, in bytes.
const longestText = 256

// audit searches the trail, as the page does: authz/inquiry is where both ask.
func (v *service) audit(w http.ResponseWriter, r *web.Request) error {
	found, err := v.Trail.Search(r.Context(), r.Origin, r.Cookie, questionOf(r.URL.Query()))
	if err != nil {
		return err
	}
	items := make([]auditItem, 0, len(found.Records))
	for _, e := range found.Records {
		item := auditItem{e.Index, e.Hash[:], json.RawMessage(e.Data)}
		if e.Broken {
			item.Entry = json.RawMessage("null")
		}
		items = append(items, item)
	}
	out := listOf(items)
	if found.Next > 0 {
		at := strconv.FormatInt(found.Next, 10)
		out.Next = &at
	}
	return write(w, http.StatusOK, out)
}

// questionOf reads the query. What is wrong with it goes along: whether the asker may ask
// at all comes first.
func questionOf(q url.Values) inquiry.Question {
	in := filtersOf(q, auditQuery, longestText)
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
	out := inquiry.Question{
		From: moment("from"), To: moment("to"), Actor: in.Get("actor"), Action: in.Get("action"), Article: in.Get("article"),
		Outcome: in.Get("outcome"), Case: in.Get("case"), Limit: max(1, int(number("limit", pageOf, 500))), After: number("after", 0, 1<<62),
	}
	for _, f := range in.wrong {
		out.Wrong = append(out.Wrong, inquiry.Fault{Field: f.Field, Rule: f.Rule, Says: f.Detail})
	}
	return out
}
