package oidc

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/standing"
	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestAllOrNothing breaks each step in turn. Whatever broke, a code or refresh
// token that gave nothing is still good afterwards, and one that was used has
// its entry on the trail.
func TestAllOrNothing(t *testing.T) {
	for _, table := range []string{"oidc_session", "oidc_grant", "oidc_refresh", "trail_pending"} {
		t.Run(table, func(t *testing.T) {
			w := newWorld(t)
			r := w.request()
			entries := w.count(`SELECT COUNT(*) FROM trail_pending`)
			back := w.lose(table)
			if a, err := w.Authorize(ctx, r, w.visit()); table != "oidc_refresh" && (err == nil || a.Code != "" || code(err) != "") {
				t.Errorf("authorized on a broken store: %+v, %v", a, err)
			}
			back()
			if table != "oidc_refresh" {
				if n := w.count(`SELECT COUNT(*) FROM oidc_grant`); n != 0 {
					t.Errorf("%d grants came of it", n)
				}
				if n := w.count(`SELECT COUNT(*) FROM trail_pending`); n != entries {
					t.Errorf("%d entries came of it", n-entries)
				}
			}

			given := w.code()
			back = w.lose(table)
			if tok, err := w.redeem(given); err == nil || tok.AccessToken != "" || code(err) != "" {
				t.Errorf("redeemed on a broken store: %v", err)
			}
			back()
			tok, err := w.redeem(given)
			if err != nil {
				t.Fatal("once it is mended:", err)
			}

			back = w.lose(table)
			if next, err := w.refreshed(tok.RefreshToken); err == nil || next.AccessToken != "" || code(err) != "" {
				t.Errorf("refreshed on a broken store: %v", err)
			}
			if err := w.Revoke(ctx, w.call(), url.Values{"token": {tok.RefreshToken}}); err == nil || code(err) != "" {
				t.Errorf("a false success of a revocation: %v (security.md section 2, row 19)", err)
			}
			back()
			if !w.active(tok.RefreshToken) {
				t.Error("a revocation that failed has ended it")
			}
			next, err := w.refreshed(tok.RefreshToken)
			if err != nil {
				t.Fatal("once it is mended:", err)
			}

			back = w.lose(table)
			if said, err := w.Introspect(ctx, w.call(), url.Values{"token": {next.RefreshToken}}); table != "trail_pending" && err == nil {
				t.Errorf("introspection on a broken store: %v", said)
			}
			back()
		})
	}
	t.Run("an access token that cannot be revoked", func(t *testing.T) {
		w := newWorld(t)
		tok := w.tokens()
		for _, table := range []string{"oidc_revoked", "trail_pending"} {
			back := w.lose(table)
			if err := w.Revoke(ctx, w.call(), url.Values{"token": {tok.AccessToken}}); err == nil || code(err) != "" {
				t.Errorf("%s is lost: %v", table, err)
			}
			back()
		}
		if !w.active(tok.AccessToken) {
			t.Error("a revocation that failed has ended it")
		}
		if err := w.Revoke(ctx, w.call(), url.Values{"token": {tok.AccessToken}}); err != nil || w.active(tok.AccessToken) {
			t.Error("revoked, and still good:", err)
		}
	})
}

// TestEachUseAsks closes what a token hangs on, one by one. What could not be
// found out refuses too, without using anything up.
func TestEachUseAsks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(w *world)
		away  bool // nobody can say
	}{
		{"the session ended", func(w *world) { w.end() }, false},
		{"idle", func(w *world) { w.forward(31 * time.Minute) }, false},
		{"disabled", func(w *world) { w.forward(time.Minute); w.set(func() { w.who.Account.Disabled = true }) }, false},
		{"deleted", func(w *world) { w.forward(time.Minute); w.set(func() { w.who = directory.Person{} }) }, false},
		{"suspended, and the session left", func(w *world) {
			err := w.db.WithTx(ctx, func(tx *store.Tx) error {
				return standing.Set(ctx, tx, w.who.ID, standing.Suspended, w.Now(), time.Time{}, "", "")
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}, false},
		{"not admitted", func(w *world) { w.set(func() { w.no = &Refused{Reason: "not_yours"} }) }, false},
		{"nobody knows whether admitted", func(w *world) { w.set(func() { w.no = errors.New("away") }) }, true},
		{"the directory is away", func(w *world) {
			w.forward(50 * time.Second)
			w.set(func() { w.away = directory.ErrAway; w.rules = stale(w.rules) })
		}, true},
		{"the client is gone", func(w *world) { w.set(func() { w.rules = rules(); w.rules.Clients = w.rules.Clients[1:] }) }, false},
		{"the zone is gone", func(w *world) { w.set(func() { w.rules = rules(); w.rules.Zones = w.rules.Zones[:1] }) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tok, given, call := w.tokens(), w.code(), w.call()
			if !w.active(tok.AccessToken) || !w.active(tok.RefreshToken) {
				t.Fatal("not good to begin with")
			}
			tt.close(w)
			form := url.Values{"grant_type": {GrantCode}, "code": {given}, "redirect_uri": {"https://web.example/cb"}, "code_verifier": {verifier}}
			for name, err := range map[string]error{
				"the code":   second(w.Token(ctx, call, form)),
				"refreshing": second(w.Token(ctx, call, url.Values{"grant_type": {GrantRefresh}, "refresh_token": {tok.RefreshToken}})),
				"userinfo":   second(w.UserInfo(ctx, Presented{Token: tok.AccessToken})),
			} {
				want := "invalid_grant"
				if name == "userinfo" {
					want = "invalid_token"
				}
				if tt.away {
					want = ""
				}
				if err == nil || code(err) != want {
					t.Errorf("%s: %v, want %q", name, err, want)
				}
			}
			for name, value := range map[string]string{"access": tok.AccessToken, "refresh": tok.RefreshToken} {
				said, err := w.Introspect(ctx, call, url.Values{"token": {value}})
				if tt.away && err == nil || !tt.away && (err != nil || said["active"] != false || len(said) != 1) {
					t.Errorf("introspection of %s: %v, %v", name, said, err)
				}
			}
			if tt.away {
				w.set(func() { w.no, w.away = nil, nil })
				if _, err := w.refreshed(tok.RefreshToken); err != nil {
					t.Error("it was used up although nobody could say:", err)
				}
			}
		})
	}
}

// TestKeyNobodyCanRead: a token by a key that another gateway made a moment ago, while
// the store does not answer. To call it nobody's would be a false success of a revocation
// (security.md section 2, row 19), and the end of a token that is good.
func TestKeyNobodyCanRead(t *testing.T) {
	w := newWorld(t)
	there, err := token.Open(ctx, w.db, w.ring, w.trail, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.Rotate(ctx, "tanaka", token.Distrusted); err != nil {
		t.Fatal(err)
	}
	signed := func(typ string) string {
		s, err := there.Sign(typ, jwt.MapClaims{
			"iss": issuer, "sub": Subject(w.who.ID), "aud": []string{issuer}, "client_id": "web", "exp": w.Now().Add(time.Minute).Unix(), "jti": "x",
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	access, r, v := signed(token.TypeAccess), w.request("id_token_hint", signed(token.TypeID)), w.visit()
	back := w.lose("signing_key")
	for name, err := range map[string]error{
		"revoking":         w.Revoke(ctx, w.call(), url.Values{"token": {access}}),
		"introspection":    second(w.Introspect(ctx, w.call(), url.Values{"token": {access}})),
		"userinfo":         second(w.UserInfo(ctx, Presented{Token: access})),
		"an id_token_hint": second(w.Authorize(ctx, r, v)),
		"signing out":      second(w.Farewell(ctx, r.IDTokenHint, "", "", "", w.session.ID)),
	} {
		if err == nil || code(err) != "" {
			t.Errorf("%s: %v, want that nobody could say", name, err)
		}
	}
	back()
	if err := w.Revoke(ctx, w.call(), url.Values{"token": {access}}); err != nil || w.count(`SELECT COUNT(*) FROM oidc_revoked`) != 1 {
		t.Error("not revoked once it is mended:", err)
	}
}

// TestServiceWhoseOwnerCannotBeAsked: that nobody knows whether the owner of a service
// may go on is not said as that they may not.
func TestServiceWhoseOwnerCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	w.rules.Clients[0].Service = policy.Service{Owner: "tanaka", Scopes: []string{"read"}}
	tok, err := w.Token(ctx, w.call(), url.Values{"grant_type": {GrantClient}})
	if err != nil || !w.active(tok.AccessToken) {
		t.Fatal("not good to begin with:", err)
	}
	w.set(func() { w.away = directory.ErrAway })
	if said, err := w.Introspect(ctx, w.call(), url.Values{"token": {tok.AccessToken}}); err == nil || code(err) != "" {
		t.Errorf("the directory is away: %v, %v", said, err)
	}
	w.set(func() { w.away, w.who.Account.Disabled = nil, true })
	if w.active(tok.AccessToken) {
		t.Error("the owner is disabled, and it is good")
	}
}

// TestServiceOfTheOtherEnvironment: a program that acts by itself does so while whoever
// answers for it may (article 68-1): no token is given, and those that
// were given are good no more. That nobody could say is not said as a no.
func TestServiceOfTheOtherEnvironment(t *testing.T) {
	w := newWorld(t)
	w.rules.Clients[0].Service = policy.Service{Owner: "tanaka", Scopes: []string{"read"}}
	w.rules.Clients[0].Environment = policy.Development
	var (
		may = true
		bad error
	)
	w.Answers = func(_ context.Context, owner directory.Person, app policy.Application) (bool, error) {
		if owner.Login != "tanaka" || app.Environment != policy.Development {
			t.Errorf("asked about %s at %+v", owner.Login, app)
		}
		return may, bad
	}
	ask := func() (Tokens, error) { return w.Token(ctx, w.call(), url.Values{"grant_type": {GrantClient}}) }
	tok, err := ask()
	if err != nil || !w.active(tok.AccessToken) {
		t.Fatal("not good to begin with:", err)
	}
	may = false
	if _, err := ask(); code(err) != "unauthorized_client" {
		t.Errorf("of the other environment: %v", err)
	}
	if w.active(tok.AccessToken) {
		t.Error("what was given before is good still")
	}
	bad = errors.New("the store is away")
	if _, err := ask(); err == nil || code(err) != "" {
		t.Errorf("nobody could say: %v", err)
	}
}

// stale is a policy that uses no old facts.
func stale(p *policy.Policy) *policy.Policy {
	n := *p
	n.Zones = append([]policy.Zone(nil), p.Zones...)
	for i := range n.Zones {
		n.Zones[i].DirectoryStale = 0
	}
	return &n
}

func second[T any](_ T, err error) error { return err }

// TestQueue: each application is told once of each session that is over, however
// it ended and however many gateways look.
func TestQueue(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(w *world)
	}{
		{"ended", func(w *world) { w.forward(time.Second); w.end() }},
		{"idle", func(w *world) { w.forward(32 * time.Minute) }},
		{"run out", func(w *world) { w.forward(10 * time.Hour) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tok := w.tokens()
			var one, two Since
			for _, s := range []*Since{&one, &two, &one} {
				if err := w.Queue(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			if words, err := w.Claim(ctx, ten); err != nil || len(words) != 0 {
				t.Fatalf("told while it goes on: %v, %v", words, err)
			}
			tt.end(w)
			for _, s := range []*Since{&one, &two, &one} {
				if err := w.Queue(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			words, err := w.Claim(ctx, ten)
			if err != nil || len(words) != 1 || words[0].URI != "https://web.example/logout" {
				t.Fatalf("%v, %v", words, err)
			}
			if again, err := w.Claim(ctx, ten); err != nil || len(again) != 0 {
				t.Errorf("claimed twice: %v, %v", again, err)
			}
			if n, err := w.Waiting(ctx); n != 1 || err != nil {
				t.Errorf("%d wait, %v", n, err)
			}
			if w.active(tok.AccessToken) || w.active(tok.RefreshToken) {
				t.Error("its tokens are good")
			}
			for i, wait := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
				if outcome, err := w.Settle(ctx, words[0], errors.New("away")); outcome != "retry" || err != nil {
					t.Fatalf("%s, %v", outcome, err)
				}
				w.forward(wait - time.Millisecond)
				if early, err := w.Claim(ctx, ten); err != nil || len(early) != 0 {
					t.Errorf("try %d came early: %v", i, err)
				}
				w.forward(time.Millisecond)
				if words, err = w.Claim(ctx, ten); err != nil || len(words) != 1 {
					t.Fatalf("try %d: %v, %v", i, words, err)
				}
			}
			if outcome, err := w.Settle(ctx, words[0], nil); outcome != "told" || err != nil {
				t.Errorf("%s, %v", outcome, err)
			}
			if n, err := w.Waiting(ctx); n != 0 || err != nil {
				t.Errorf("%d wait, %v", n, err)
			}
		})
	}
	t.Run("given up in the end", func(t *testing.T) {
		w := newWorld(t)
		w.tokens()
		w.end()
		var s Since
		if err := w.Queue(ctx, &s); err != nil {
			t.Fatal(err)
		}
		w.forward(24 * time.Hour)
		words, err := w.Claim(ctx, ten)
		if err != nil || len(words) != 1 {
			t.Fatal(words, err)
		}
		if outcome, err := w.Settle(ctx, words[0], errors.New("away")); outcome != "given_up" || err != nil {
			t.Errorf("%s, %v", outcome, err)
		}
	})
	t.Run("a gateway that died while it told", func(t *testing.T) {
		w := newWorld(t)
		w.tokens()
		w.end()
		var s Since
		if err := w.Queue(ctx, &s); err != nil {
			t.Fatal(err)
		}
		if words, err := w.Claim(ctx, ten); err != nil || len(words) != 1 {
			t.Fatal(words, err)
		}
		w.forward(claimFor)
		if words, err := w.Claim(ctx, ten); err != nil || len(words) != 1 {
			t.Errorf("nobody tells after it: %v, %v", words, err)
		}
	})
}

// TestNothingSecretIsKept looks for codes and tokens in every table and entry.
func TestNothingSecretIsKept(t *testing.T) {
	w := newWorld(t)
	given := w.code()
	tok, err := w.redeem(given)
	if err != nil {
		t.Fatal(err)
	}
	next, err := w.refreshed(tok.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Revoke(ctx, w.call(), url.Values{"token": {next.AccessToken}}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.refreshed(tok.RefreshToken) // a replay, which is entered
	for _, column := range []struct{ table, columns string }{
		{"oidc_grant", "id || sid || claims || code_mac || nonce || challenge"}, {"oidc_refresh", "mac || grant_id"}, {"oidc_session", "sid || session_id"}, {"oidc_revoked", "jti"},
	} {
		rows, err := w.db.Query(ctx, `SELECT `+column.columns+` FROM `+column.table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{given, tok.RefreshToken, next.RefreshToken, tok.AccessToken, verifier} {
				if _, handle, two := strings.Cut(s, "."); strings.Contains(text, s) || two && strings.Contains(text, handle) {
					t.Errorf("%s holds a secret", column.table)
				}
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if shown := strings.Join([]string{tok.String(), tok.GoString()}, ""); strings.Contains(shown, tok.AccessToken) {
		t.Error("tokens print")
	}
}

func TestTidy(t *testing.T) {
	w := newWorld(t)
	w.tokens()
	w.end()
	var s Since
	if err := w.Queue(ctx, &s); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{29 * 24 * time.Hour, 1}, {2 * 24 * time.Hour, 0}} {
		w.forward(tt.after)
		if err := w.Tidy(ctx); err != nil {
			t.Fatal(err)
		}
		if n := w.count(`SELECT COUNT(*) FROM oidc_grant`); n != tt.want {
			t.Errorf("%d grants after %v more, want %d", n, tt.after, tt.want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM oidc_session`) + w.count(`SELECT COUNT(*) FROM oidc_refresh`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
