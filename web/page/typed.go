package page

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/web"
)

// Drafts keep what somebody typed while they sign in anew; an ephemeral.Store is one.
// Losing them costs somebody a sentence.
type Drafts interface {
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Delete(ctx context.Context, key string) error
}

// typedFor is how long a sign-in may take that somebody comes back from.
const typedFor = 15 * time.Minute

// typedFields are what is kept of a form, beside what a kind of permit asks for
// (statedName). No password and no code is among them, nor a tick that confirms
// something: that is given again.
var typedFields = []string{
	"comment", "reason", "report", "note", "minutes", "scope", "id",
	"privilege", "ticket", "kind", "renew", "person", "from", "until",
	"system", "account", "place", "opener", "at", "result",
	"name", "section", "environment", "contract", "company", "login", "role",
}

// typed is a form that was sent when its sender's sign-in had grown too old for it.
type typed struct {
	At   string     `json:"at"` // the path that it was sent to
	Form url.Values `json:"form"`
}

// typedKey names what a person has typed on the way back to a page. They alone see it:
// whoever signs in there instead is another person.
func typedKey(step signin.Step, back string) string {
	page, _, _ := strings.Cut(back, "?")
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", step.Person.ID, page))
	return "typed:" + hex.EncodeToString(sum[:])
}

// keepTyped keeps what was sent, for the page that a sign-in leads back to. It stands
// in no address, which histories and logs keep.
func (h *house) keepTyped(r *web.Request, back string) {
	if h.Drafts == nil || r.Method != http.MethodPost {
		return
	}
	one := typed{At: r.URL.EscapedPath(), Form: url.Values{}}
	for name, sent := range r.PostForm {
		if slices.Contains(typedFields, name) || strings.HasPrefix(name, statedName("")) {
			one.Form[name] = sent
		}
	}
	if len(one.Form) == 0 {
		return
	}
	step, err := h.current(r)
	if err == nil && step.Session == nil {
		return
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(one)
	}
	if err == nil {
		err = h.Drafts.Put(r.Context(), typedKey(step, back), text, typedFor)
	}
	if err != nil {
		h.srv.Log().Warn("what somebody typed before a sign-in could not be kept", "request_id", r.ID, "error", err)
	}
}

// typedBefore is what the reader had typed on a page before they signed in anew; the
// zero typed for nothing.
func (h *house) typedBefore(r *web.Request, step signin.Step, back string) (one typed) {
	if h.Drafts == nil {
		return typed{}
	}
	text, ok, err := h.Drafts.Get(r.Context(), typedKey(step, back))
	if err == nil && ok {
		err = json.Unmarshal(text, &one)
	}
	if err != nil {
		h.srv.Log().Warn("what somebody typed before a sign-in could not be read", "request_id", r.ID, "error", err)
		return typed{}
	}
	return one
}

// dropTyped forgets what was typed on a page, when it was done.
func (h *house) dropTyped(r *web.Request, step signin.Step, back string) {
	if h.Drafts == nil {
		return
	}
	if err := h.Drafts.Delete(r.Context(), typedKey(step, back)); err != nil {
		h.srv.Log().Warn("what somebody typed before a sign-in could not be forgotten", "request_id", r.ID, "error", err)
	}
}

// of is what stands between two parts of the path that a form was sent to; "" where it
// was sent elsewhere.
func (t typed) of(before, after string) string {
	rest, here := strings.CutPrefix(t.At, before)
	rest, ends := strings.CutSuffix(rest, after)
	id, err := url.PathUnescape(rest)
	if !here || !ends || err != nil {
		return ""
	}
	return id
}

// fill puts what was typed into the form of the act that it was sent to.
func (t typed) fill(forms []leaseForm) {
	for i, f := range forms {
		if f.Action != t.At {
			continue
		}
		forms[i].Typed = t.Form.Get("comment")
		if f.Asks == "report" {
			forms[i].Typed = t.Form.Get("report")
		}
		if n, err := strconv.Atoi(narrowed(t.Form.Get("minutes"))); err == nil && f.AsksMinutes {
			forms[i].Minutes = n
		}
	}
}
