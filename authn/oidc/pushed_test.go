package oidc

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"sekisho/policy/ephemeral"
)

// forgetful is an ephemeral store that gives out again what was taken, as a
// replica does that lagged and was promoted.
type forgetful struct{ ephemeral.Store }

func (f forgetful) Take(ctx context.Context, key string) ([]byte, bool, error) {
	return f.Get(ctx, key)
}

// TestPushedOnce: a pushed request gives one code, whoever races and whatever the
// store says that keeps its copy (RFC 9126 section 4, security.md F10).
func TestPushedOnce(t *testing.T) {
	w := newWorld(t)
	w.Requests = forgetful{w.Requests}
	push := func() url.Values {
		t.Helper()
		uri, _, err := w.Push(ctx, w.call(), asked("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"))
		if err != nil {
			t.Fatal(err)
		}
		return url.Values{"client_id": {"web"}, "request_uri": {uri}}
	}
	read := func(q url.Values) Request {
		t.Helper()
		r, _, err := w.Read(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	uri := push()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		codes = map[string]int{}
	)
	for range 20 {
		r := read(uri)
		wg.Go(func() {
			a, err := w.Authorize(ctx, r, w.visit())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.Code != "":
				codes["given"]++
			default:
				codes[code(err)]++
			}
		})
	}
	wg.Wait()
	if codes["given"] != 1 || codes["invalid_request_uri"] != 19 {
		t.Errorf("of 20: %v", codes)
	}
	if a, err := w.Authorize(ctx, read(uri), w.visit()); a.Code != "" || code(err) != "invalid_request_uri" {
		t.Errorf("its copy came back: %+v, %v", a, err)
	}

	// What gives no code uses nothing up.
	other := read(push())
	back := w.lose("oidc_grant")
	if a, err := w.Authorize(ctx, other, w.visit()); err == nil || a.Code != "" || code(err) != "" {
		t.Errorf("on a broken store: %+v, %v", a, err)
	}
	back()
	if a, err := w.Authorize(ctx, other, w.visit()); err != nil || a.Code == "" {
		t.Errorf("it was used up although nothing was given: %v", err)
	}
	if n := w.count(`SELECT COUNT(*) FROM oidc_spent`); n != 2 {
		t.Errorf("%d rows of two requests", n)
	}
	w.forward(24 * time.Hour)
	if err := w.Tidy(ctx); err != nil || w.count(`SELECT COUNT(*) FROM oidc_spent`) != 0 {
		t.Errorf("rows stay that decide nothing: %v", err)
	}
}
