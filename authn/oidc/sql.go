package oidc

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A grant is one authorization and the family of tokens that came of it.
type grant struct {
	ID        string
	Client    string
	SID       string
	Person    directory.PersonID
	Login     string
	Scope     []string
	ACR       policy.ACR // what the person had proved then
	AMR       []string
	AuthAt    time.Time
	BeganAt   time.Time
	ExpiresAt time.Time
	Nonce     string
	EndedAt   time.Time // zero while it lives

	claims, redirectURI, challenge string
	// jkt is the thumbprint of the key that the authorization is bound to; "" for
	// none.
	jkt                string
	codeEnds, codeUsed time.Time
	session            string // that the application's share hangs on now
	shareEnded         time.Time
}

var errNone = errors.New("no such grant")

const grantColumns = `g.id, g.client_id, g.sid, g.person_id, g.login, g.scope, g.claims, g.acr, g.amr, g.auth_at, g.began_at,
	g.expires_at, g.redirect_uri, g.challenge, g.jkt, g.nonce, g.code_expires_at, g.code_used_at, g.ended_at, s.session_id, s.ended_at`

// readGrant finds one grant by a condition over g.
func readGrant(ctx context.Context, in store.Reader, where string, args ...any) (grant, error) {
	var (
		g                                                               grant
		person, scope, acr, amr                                         string
		auth, began, expires, codeEnds, codeUsed, endedAt, shareEndedAt int64
	)
	err := in.QueryRow(ctx, `
		SELECT `+grantColumns+` FROM oidc_grant g JOIN oidc_session s ON s.sid = g.sid
		WHERE  `+where, args...).Scan(
		&g.ID, &g.Client, &g.SID, &person, &g.Login, &scope, &g.claims, &acr, &amr, &auth, &began,
		&expires, &g.redirectURI, &g.challenge, &g.jkt, &g.Nonce, &codeEnds, &codeUsed, &endedAt, &g.session, &shareEndedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return grant{}, errNone
	}
	if err != nil {
		return grant{}, fmt.Errorf("reading a grant: %w", err)
	}
	g.Person, g.Scope, g.ACR, g.AMR = directory.PersonID(person), strings.Fields(scope), policy.ACR(acr), strings.Fields(amr)
	g.AuthAt, g.BeganAt, g.ExpiresAt = store.FromMicros(auth), store.FromMicros(began), store.FromMicros(expires)
	g.codeEnds, g.codeUsed, g.EndedAt = store.FromMicros(codeEnds), store.FromMicros(codeUsed), store.FromMicros(endedAt)
	g.shareEnded = store.FromMicros(shareEndedAt)
	return g, nil
}

func (g grant) insert(ctx context.Context, tx *store.Tx, codeMAC string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO oidc_grant (id, client_id, sid, person_id, login, scope, claims, acr, amr, auth_at, began_at,
		       expires_at, code_mac, redirect_uri, challenge, nonce, code_expires_at, jkt)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		g.ID, g.Client, g.SID, string(g.Person), g.Login, strings.Join(g.Scope, " "), g.claims, string(g.ACR), strings.Join(g.AMR, " "),
		store.Micros(g.AuthAt), store.Micros(g.BeganAt), store.Micros(g.ExpiresAt), codeMAC, g.redirectURI, g.challenge, g.Nonce,
		store.Micros(g.codeEnds), g.jkt)
	return err
}

// asked is the claims request that the grant began with.
func (g grant) asked() ClaimsRequest {
	var c ClaimsRequest
	if json.Unmarshal([]byte(g.claims), &c) != nil {
		return ClaimsRequest{} // less is told, never more
	}
	return c
}

func (g grant) open(now time.Time) bool {
	return g.ID != "" && g.EndedAt.IsZero() && g.shareEnded.IsZero() && now.Before(g.ExpiresAt)
}

// endGrant ends a family; false: it had ended before.
func endGrant(ctx context.Context, tx *store.Tx, id, why string, now time.Time) (bool, error) {
	err := tx.ExecOne(ctx, `UPDATE oidc_grant SET ended_at = $1, ended_why = $2 WHERE id = $3 AND ended_at = 0`, store.Micros(now), why, id)
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	return err == nil, err
}

type shareRow struct{ sid, consented string }

// shareOf is an application's share of a session; zero for none.
func shareOf(ctx context.Context, in store.Reader, sessionID, client string) (shareRow, error) {
	var s shareRow
	err := in.QueryRow(ctx, `SELECT sid, consented FROM oidc_session WHERE session_id = $1 AND client_id = $2 AND ended_at = 0`,
		sessionID, client).Scan(&s.sid, &s.consented)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return shareRow{}, fmt.Errorf("reading an application's share of a session: %w", err)
	}
	return s, nil
}

// share finds or begins an application's share of a session, and adds what its
// person has just agreed to.
func share(ctx context.Context, tx *store.Tx, sessionID, client string, person directory.Person, consented string, now time.Time) (sid string, err error) {
	s, err := shareOf(ctx, tx, sessionID, client)
	if err != nil {
		return "", err
	}
	if s.sid == "" {
		_, err := tx.Exec(ctx, `
			INSERT INTO oidc_session (sid, client_id, session_id, person_id, login, consented, began_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (session_id, client_id) DO NOTHING`,
			secret.Token(16), client, sessionID, string(person.ID), person.Login, consented, store.Micros(now))
		if err != nil {
			return "", fmt.Errorf("beginning an application's share of a session: %w", err)
		}
		if s, err = shareOf(ctx, tx, sessionID, client); err != nil {
			return "", err
		}
		if s.sid == "" { // it was told that this session is over
			return "", session.ErrNone
		}
		return s.sid, nil
	}
	if consented != "" {
		_, err = tx.Exec(ctx, `UPDATE oidc_session SET consented = $1 WHERE sid = $2`, consented, s.sid)
	}
	return s.sid, err
}
