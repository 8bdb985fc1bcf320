package test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/oidc"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	trails "sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

func (r registry) Find(ctx context.Context, login string) (directory.Person, error) {
	return r.ByID(ctx, directory.PersonID(login))
}

// everybody is admitted: what a decision costs is measured with /auth/check.
type everybody struct{}

func (everybody) Admit(context.Context, oidc.Facts) error { return nil }

// BenchmarkCodeToTokens is the token endpoint's work for a code, with refresh
// token, access token and ID token, against two ES256 signatures and the same
// committed transaction: the code spent, the refresh token kept, the entry on the
// trail. Target: at most 1.5 times the time, so a ratio of at least 0.67.
func BenchmarkCodeToTokens(b *testing.B) {
	onlyAsked(b)
	const (
		turns, each, at = 15, 400, 16
		verifier        = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
		challenge       = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
		back            = "https://app.example/callback"
	)
	dir, now, ctx := b.TempDir(), clock.System(), b.Context()
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		b.Fatal(err)
	}
	rules, problems := policy.Parse("policy.yaml", append(rulesFor(1), fmt.Appendf(nil,
		"clients:\n  - {client_id: bench, name: {ja: 計測}, application: app0, auth_method: client_secret_basic, secret_hashes: [%q], redirect_uris: [%q], scopes: [profile], refresh: true}\n",
		hashed("bench"), back)...))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	current := func() *policy.Policy { return rules }
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, "sekisho.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	trail := trails.New(db, now)
	watch := standing.NewWatch(db, registry{}, now)
	sessions := session.New(db, ring, trail, watch, current, now)
	living(b, sessions.Run)
	if err := sessions.Poll(ctx); err != nil {
		b.Fatal(err)
	}
	keys, err := token.Open(ctx, db, ring, trail, now)
	if err != nil {
		b.Fatal(err)
	}
	p := oidc.New(oidc.House{
		DB: db, Trail: trail, Policy: current, Sessions: sessions, People: watch, Finder: registry{}, Keys: keys,
		Requests: ephemeral.NewMemory(now, 1000), Admit: everybody{}, Issuer: "https://sekisho.example", TokenURL: "https://sekisho.example/oauth2/token", Now: now,
	})
	person, err := registry{}.ByID(ctx, "p1")
	if err != nil {
		b.Fatal(err)
	}
	var (
		n      session.Session
		cookie string
	)
	err = db.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		n, cookie, err = sessions.Begin(ctx, tx, session.Session{Person: person.ID, Login: person.Login, Zone: policy.LGWAN, ACR: policy.AAL2, AuthAt: now()})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	if n, err = sessions.Load(ctx, cookie); err != nil { // as the authorization endpoint does
		b.Fatal(err)
	}
	req, _, err := p.Read(ctx, url.Values{
		"client_id": {"bench"}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	})
	if err != nil {
		b.Fatal(err)
	}
	client, _ := rules.Client("bench")
	// Codes live for a minute, so they are made just before they are used, and
	// not measured.
	codes := make([]string, (turns+1)*each)
	inTurn(b, at, len(codes), func(_, i int) error {
		a, err := p.Authorize(ctx, req, oidc.Visit{Origin: signin.Origin{Source: netip.MustParseAddr("10.2.0.1"), Zone: policy.LGWAN}, Session: &n, Person: person})
		codes[i] = a.Code
		return err
	})
	var ids []string // of grants that the limit's transactions may write to
	rows, err := db.Query(ctx, `SELECT id FROM oidc_grant`)
	if err != nil {
		b.Fatal(err)
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		b.Fatal(err)
	}
	var used, written atomic.Int64
	call := oidc.Call{Client: client, From: "10.2.0.9"}
	alternate(b, turns, func() int {
		return inTurn(b, at, each, func(_, _ int) error {
			_, err := p.Token(ctx, call, url.Values{
				"grant_type": {oidc.GrantCode}, "code": {codes[used.Add(1)-1]}, "redirect_uri": {back}, "code_verifier": {verifier},
			})
			return err
		})
	}, func() int {
		return inTurn(b, at, each, func(_, _ int) error {
			at := now()
			err := db.WithTx(ctx, func(tx *store.Tx) error {
				err := tx.ExecOne(ctx, `UPDATE oidc_grant SET nonce = 'x' WHERE id = $1 AND code_expires_at > 0 AND ended_at = 0`, ids[int(written.Add(1)-1)%len(ids)])
				if err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `INSERT INTO oidc_refresh (mac, grant_id, expires_at) VALUES ($1, $2, $3)`, secret.Token(32), "none", store.Micros(at)); err != nil {
					return err
				}
				return trail.Append(ctx, tx, trails.Entry{Actor: "p1", Action: "tokens.issued", Object: "bench", Articles: []policy.Article{"62-1", "62-2"}, From: "10.2.0.9"})
			})
			if err != nil {
				return err
			}
			for _, typ := range []string{token.TypeAccess, token.TypeID} {
				if _, err := keys.Sign(typ, jwt.MapClaims{"iss": "https://sekisho.example", "sub": "p1", "aud": "bench", "exp": at.Add(time.Minute).Unix(), "jti": secret.Token(16)}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
