package oidc

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/policy"
	"sekisho/policy/store"
)

// How many requests one client may push, and one source may have kept, in a
// minute: each takes room.
const (
	pushedMost = 600
	keptMost   = 60
	// keptLongest bounds what is kept for a browser, in bytes.
	keptLongest = 8 << 10
)

// Push keeps an authorization request that its client sent directly, and returns
// the name for it (RFC 9126). It is checked as a whole first.
func (p *Provider) Push(ctx context.Context, call Call, form url.Values) (uri string, ends time.Duration, err error) {
	if form.Has("request_uri") {
		return "", 0, invalid("request_uri may not be pushed")
	}
	if !form.Has("client_id") {
		form.Set("client_id", call.Client.ID)
	}
	r, e := Address(p.Policy(), form)
	if e == nil && r.Client.ID != call.Client.ID {
		e = invalid("client_id is another client's")
	}
	if e == nil {
		r, e = r.Fill()
	}
	if e != nil {
		e.Status = 400
		return "", 0, e
	}
	// Counted before a proof is spent: that writes a row.
	times, err := p.Requests.Count(ctx, "oidc:pushed:"+call.Client.ID, time.Minute)
	if err != nil {
		return "", 0, err
	}
	if times > pushedMost {
		return "", 0, &Error{Code: "temporarily_unavailable", Description: "too many requests at once", Status: 429}
	}
	// A proof that comes with the push binds the code to its key, as dpop_jkt does
	// (RFC 9449 section 10.1).
	if binds(call.Client) && len(call.Shown.Proofs) > 0 {
		jkt, err := p.prove(ctx, call.Shown, "")
		if err != nil {
			return "", 0, err
		}
		if r.JKT != "" && r.JKT != jkt {
			return "", 0, badProof("dpop_jkt is another key's")
		}
		form.Set("dpop_jkt", jkt)
		r.raw, r.JKT = form, jkt
	}
	handle, _, mac, err := p.Sessions.New(session.KindRequest)
	if err != nil {
		return "", 0, err
	}
	ends = p.Policy().OpenID.RequestEnd
	return RequestURIPrefix + handle, ends, p.Requests.Put(ctx, "oidc:request:"+mac, []byte(r.Encode().Encode()), ends)
}

// Read finds whom an authorization request comes from and reads it, pushed or
// not. Where Page is true the error is for a page of ours; otherwise r says
// where it goes.
func (p *Provider) Read(ctx context.Context, q url.Values) (r Request, page bool, err error) {
	pushed := ""
	if uri := q.Get("request_uri"); strings.HasPrefix(uri, RequestURIPrefix) && len(q["request_uri"]) == 1 {
		pushed = strings.TrimPrefix(uri, RequestURIPrefix)
		if q, err = p.pushedRequest(ctx, q.Get("client_id"), pushed); err != nil {
			return Request{}, true, err
		}
	}
	r, e := Address(p.Policy(), q)
	if e != nil {
		return r, true, e
	}
	if r.Client.RequirePAR && pushed == "" {
		return r, false, invalid("this client must push its requests")
	}
	if r, e = r.Fill(); e != nil {
		return r, false, e
	}
	r.Pushed = pushed
	return r, false, nil
}

// pushedRequest is a request that the same client pushed (RFC 9126 section 4).
// Whatever else came with its name is not looked at.
func (p *Provider) pushedRequest(ctx context.Context, client, handle string) (url.Values, error) {
	gone := pageError("the pushed request is not known or too old", policy.Words{
		JA: "この求めは、使われたか、時間が過ぎました。使おうとしたシステムの画面から、もう一度始めてください。",
		EN: "This request has been used or is too old. Start again from the application's own page."})
	mac, ok := p.Sessions.MAC(session.KindRequest, handle)
	if !ok {
		return nil, gone
	}
	b, ok, err := p.Requests.Get(ctx, "oidc:request:"+mac)
	if err != nil {
		return nil, err
	}
	q, err := url.ParseQuery(string(b))
	if !ok || err != nil || q.Get("client_id") != client {
		return nil, gone
	}
	return q, nil
}

// take uses up a pushed request, in the transaction that gives the code for it: of
// all who race, one does. The row decides and not the copy of the request, which
// a replica that lags could give twice.
func (p *Provider) take(ctx context.Context, tx *store.Tx, r Request, now time.Time) error {
	if r.Pushed == "" {
		return nil
	}
	mac, ok := p.Sessions.MAC(session.KindRequest, r.Pushed)
	if !ok {
		return errSpent
	}
	rules := p.Policy()
	return spend(ctx, tx, "request:"+mac, now.Add(max(rules.OpenID.RequestEnd, rules.SignIn.FlowEnd)))
}

// forget drops the copy of a request that was used. Should that fail, it is found
// and refused until its end.
func (p *Provider) forget(ctx context.Context, r Request) {
	if mac, ok := p.Sessions.MAC(session.KindRequest, r.Pushed); ok && r.Pushed != "" {
		_, _, _ = p.Requests.Take(ctx, "oidc:request:"+mac)
	}
}

// errSpent: what is good once has been used.
var errSpent = errors.New("used before")

// spend uses up something that is good once; errSpent: it was used before. ends
// is when it would be too old in any case.
func spend(ctx context.Context, tx *store.Tx, what string, ends time.Time) error {
	err := tx.ExecOne(ctx, `INSERT INTO oidc_spent (what, expires_at) VALUES ($1, $2) ON CONFLICT (what) DO NOTHING`, what, store.Micros(ends))
	if errors.Is(err, store.ErrUntouched) {
		return errSpent
	}
	if err != nil {
		return fmt.Errorf("using up what is good once: %w", err)
	}
	return nil
}

// mac guards what a browser carries while it is away to sign in because of a
// request: when it was sent.
func (p *Provider) mac(r Request, at int64) string {
	what := r.Pushed
	if what == "" {
		what = r.Encode().Encode()
	}
	sum := p.Sessions.Tag("openid-asked", strconv.FormatInt(at, 36)+" "+what)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Resume is the query by which a browser comes back to a request after signing
// in. One that is longer than a sign-in page carries along is kept here under a
// name, as if it had been pushed; a source may do that so often and no more.
func (p *Provider) Resume(ctx context.Context, r Request, source string, longest int) (url.Values, error) {
	at := store.Micros(p.Now())
	q := r.Encode()
	if r.Pushed == "" && len(q.Encode()) > keptLongest {
		return nil, invalid("the request is too long; push it instead")
	}
	if r.Pushed == "" && len(q.Encode()) > longest {
		times, err := p.Requests.Count(ctx, "oidc:kept:"+source, time.Minute)
		if err != nil {
			return nil, err
		}
		if times > keptMost {
			return nil, invalid("the request is too long; push it instead")
		}
		handle, _, mac, err := p.Sessions.New(session.KindRequest)
		if err != nil {
			return nil, err
		}
		if err := p.Requests.Put(ctx, "oidc:request:"+mac, []byte(q.Encode()), p.Policy().SignIn.FlowEnd); err != nil {
			return nil, err
		}
		r.Pushed = handle
	}
	if r.Pushed != "" {
		// The address only tells the sign-in pages where their forms may lead.
		q = url.Values{"client_id": {r.Client.ID}, "request_uri": {RequestURIPrefix + r.Pushed}, "redirect_uri": {r.RedirectURI}}
	}
	q.Set("asked", strconv.FormatInt(at, 36)+"."+p.mac(r, at))
	return q, nil
}

// Asked is when a browser that comes back was sent away to sign in because of
// this request; zero if it was not, or too long ago.
func (p *Provider) Asked(r Request, mark string) time.Time {
	text, mac, ok := strings.Cut(mark, ".")
	at, err := strconv.ParseInt(text, 36, 64)
	if !ok || err != nil || !hmac.Equal([]byte(mac), []byte(p.mac(r, at))) {
		return time.Time{}
	}
	asked := store.FromMicros(at)
	if age := p.Now().Sub(asked); age < 0 || age > p.Policy().SignIn.FlowEnd {
		return time.Time{}
	}
	return asked
}
