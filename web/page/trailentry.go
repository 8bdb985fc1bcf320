package page

import (
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/policy"
	"sekisho/web"
)

type entryPage struct {
	Rooms      []room
	Number     string
	Readable   bool
	Fits       bool
	At         template.HTML
	Act        trailAct
	Outcome    tag
	Facts      []labelled
	Cites      []policy.Article
	Evidence   []link
	Detail     []labelled
	Bytes      string
	Hash       string
	Checkpoint string
	Covers     int64
	SignedAt   template.HTML
	Search     string
	Before     string
	After      string
	Articles   []policy.Article
}

// A labelled is one thing that an entry says.
type labelled struct{ Label, Says string }

// trailEntry is one entry of the trail, whole.
func (h *house) trailEntry(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	number := r.PathValue("index")
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != number {
		return web.ErrNoPage // one entry, one address
	}
	serves := strings.TrimSpace(r.URL.Query().Get("case"))
	s, err := h.Trail.Look(r.Context(), r.Origin, r.Cookie, index, serves)
	if err != nil {
		return h.turned(w, r, err, entryPath(index, serves))
	}
	g := h.tongue(r)
	// What the trail wrote has no sign in it that nobody sees: its bytes stay as they are.
	p := entryPage{
		Rooms: h.counters(r, step, "trail"), Number: number, Readable: s.Readable, Fits: s.Fits, Bytes: seen(string(s.Data)), Hash: s.Hash.String(),
		Checkpoint: s.Checkpoint, Covers: s.Covers, Search: "/trail", Articles: []policy.Article{"51-3", "82"},
	}
	if s.Checkpoint != "" {
		p.SignedAt = g.second(s.SignedAt)
	}
	if index > 0 {
		p.Before = entryPath(index-1, serves)
	}
	if index < s.Last {
		p.After = entryPath(index+1, serves)
	}
	if s.Readable {
		p.At, p.Act, p.Outcome = g.second(s.Time), trailActOf(r, s.Action), trailOutcome(g, s.Outcome)
		fact := func(label, says string) {
			if says != "" {
				p.Facts = append(p.Facts, labelled{label, seen(says)})
			}
		}
		zone := s.Zone
		if zone != "" {
			zone = zoneName(r, policy.ZoneID(s.Zone))
		}
		fact(g.say("trail.actor"), s.Actor)
		fact(g.say("trail.object"), s.Object)
		fact(g.say("trail.reason"), s.Reason)
		fact(g.say("trail.from_address"), s.From)
		fact(g.say("trail.zone"), zone)
		fact(g.say("trail.terminal"), s.Terminal)
		fact(g.say("trail.case"), s.Case)
		fact(g.say("trail.request"), s.RequestID)
		for _, key := range slices.Sorted(maps.Keys(s.Detail)) {
			p.Detail = append(p.Detail, labelled{seen(key), seen(s.Detail[key])})
		}
		for _, a := range s.Articles {
			if path := h.evidenceOf(a); path != "" {
				p.Cites = append(p.Cites, a)
				p.Evidence = append(p.Evidence, link{a.Label(g.lang), path})
			}
		}
	}
	v := h.view(r, step, p)
	v.Wide = true
	if serves != "" {
		v.Switch += "&" + url.Values{"case": {serves}}.Encode()
	}
	return h.show(w, r, http.StatusOK, "trailentry", v)
}
