package api

import (
	"context"
	"encoding/json"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// heard is what the last act was asked to do.
type heard struct {
	login, reason, key, data string
	until                    time.Time
	query, after             string
	limit                    int
	terminal                 terminal.Terminal
}

func (w *world) BeginPasskey(_ context.Context, _ signin.Origin, _ string) (passkey.Enrolment, error) {
	return passkey.Enrolment{ID: "e2", PublicKey: json.RawMessage(`{"challenge":"x"}`)}, w.act()
}

func (w *world) FinishPasskey(_ context.Context, _ signin.Origin, _, _, _ string, credential []byte) (signin.Step, error) {
	w.heard.data = string(credential)
	return w.step("signed_in"), w.act()
}
func (w *world) RenameFactor(context.Context, signin.Origin, string, string, string) error {
	return w.act()
}

func (w *world) Second(context.Context, signin.Origin, string) (string, error) {
	return "second@pref.example", w.act()
}

func (w *world) SetSecond(context.Context, signin.Origin, string, string) (signin.Step, error) {
	return signin.Step{CSRF: "t-k.live"}, w.act()
}

// keys is a world at the sign-in, where a passkey is begun otherwise than at its
// enrolment.
type keys struct{ *world }

func (w keys) BeginPasskey(_ context.Context, _ signin.Origin, cookie, login string) (signin.Ceremony, error) {
	w.heard.login = login
	c := signin.Ceremony{PublicKey: json.RawMessage(`{"challenge":"x"}`), CSRF: "t-" + cookie}
	if cookie == "" {
		c.Cookie, c.CSRF = "k.flow", "t-k.flow"
	}
	return c, w.act()
}

func (w *world) Passkey(_ context.Context, _ signin.Origin, _ string, credential []byte) (signin.Step, error) {
	w.heard.data = string(credential)
	return w.step("signed_in"), w.act()
}

func (w *world) Card(context.Context, signin.Origin, string) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) RecoveryCode(_ context.Context, _ signin.Origin, _ string, code secret.Text) (signin.Step, error) {
	w.heard.data = string(code.Reveal())
	return w.step("enrol"), w.act()
}
func (w *world) Nonce() (string, time.Time) { return "nonce", t0.Add(time.Minute) }

// office is what administrators do in a world.
type office struct{ *world }

func (w office) Find(_ context.Context, _ signin.Origin, _, query, after string, limit int) ([]people.Listed, string, error) {
	w.heard.query, w.heard.after, w.heard.limit = query, after, limit
	return []people.Listed{{Login: "suzuki", Name: "鈴木", Section: "jumin", Kind: directory.KindStaff, State: people.Active}}, "suzuki", w.act()
}

func (w office) Show(_ context.Context, _ signin.Origin, _, login string) (people.Detail, error) {
	pol := policy.Standard()
	return people.Detail{
		Person: directory.Person{ID: "p2", Login: login, Name: "鈴木", Kind: directory.KindStaff, Account: directory.Account{LastUsedAt: t0}},
		State:  people.Suspended, Posts: []policy.PostID{"staff"},
		Closed:  []standing.Record{{Kind: standing.Suspended, Since: t0, Reason: "調査", By: "tanaka"}},
		Factors: []account.Factor{{ID: "f2", Kind: "token", Serial: "T1", AddedAt: t0}}, Sessions: 2,
		Attempts: []people.Attempt{{Kind: "password", Failures: 5, HeldUntil: t0}, {Kind: "code"}},
		May: map[authz.Act]authz.Permission{
			authz.Suspend:           authz.May(pol, authz.Suspend, []policy.PostID{policy.CIO}, nil, false),
			authz.TemporaryPassword: authz.May(pol, authz.TemporaryPassword, []policy.PostID{policy.CIO}, nil, false),
		},
	}, w.act()
}

func (w office) Suspend(_ context.Context, _ signin.Origin, _, login, reason string, until time.Time) error {
	w.heard.login, w.heard.reason, w.heard.until = login, reason, until
	return w.act()
}

func (w office) Restore(_ context.Context, _ signin.Origin, _, login, reason string) error {
	w.heard.login, w.heard.reason = login, reason
	return w.act()
}

func (w office) RecordLeave(_ context.Context, _ signin.Origin, _, login string, days people.LeaveDays) error {
	w.heard.login, w.heard.reason, w.heard.data = login, days.Reason, days.From+" "+days.Until
	return w.act()
}

func (w office) EndLeave(_ context.Context, _ signin.Origin, _, login, reason string) error {
	w.heard.login, w.heard.reason = login, reason
	return w.act()
}

func (w office) Unlock(context.Context, signin.Origin, string, string) error { return w.act() }

func (w office) TemporaryPassword(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	return people.Slip{Login: login, Secret: secret.NewText([]byte("CANARY-word")), EndsAt: t0.Add(time.Hour)}, w.act()
}

func (w office) RecoveryCode(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	return people.Slip{Login: login, Secret: secret.NewText([]byte("CANARY-code")), EndsAt: t0.Add(time.Hour)}, w.act()
}

func (w office) RemoveFactor(context.Context, signin.Origin, string, string, string) error {
	return w.act()
}

func (w office) Terminals(context.Context, signin.Origin, string) ([]people.TerminalSeen, error) {
	return []people.TerminalSeen{{Terminal: terminal.Terminal{
		ID: "c1", Zone: "lgwan", Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口一", EN: "Counter 1"}, AddedAt: t0, AddedBy: "tanaka",
	}, Who: "suzuki", WhoName: "鈴木"}, {Terminal: terminal.Terminal{ID: "d1", Declared: true}}}, w.act()
}

func (w office) EnrolTerminal(_ context.Context, _ signin.Origin, _ string, t terminal.Terminal, key string) error {
	w.heard.terminal, w.heard.key = t, key
	return w.act()
}
func (w office) LoseTerminal(context.Context, signin.Origin, string, string) error   { return w.act() }
func (w office) RemoveTerminal(context.Context, signin.Origin, string, string) error { return w.act() }

func (w office) Tokens(_ context.Context, _ signin.Origin, _, query, after string, limit int) ([]totp.Token, string, error) {
	w.heard.query, w.heard.after, w.heard.limit = query, after, limit
	return []totp.Token{{Serial: "T1", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, State: totp.StateStock, ImportedAt: t0}}, "", w.act()
}

func (w office) ImportTokens(_ context.Context, _ signin.Origin, _, format string, data []byte, key secret.Text) (totp.Imported, error) {
	w.heard.reason, w.heard.data, w.heard.key = format, string(data), string(key.Reveal())
	return totp.Imported{Added: 2}, w.act()
}

func (w office) AssignToken(_ context.Context, _ signin.Origin, _, serial, login string) error {
	w.heard.data, w.heard.login = serial, login
	return w.act()
}
func (w office) UnassignToken(context.Context, signin.Origin, string, string) error { return w.act() }

func (w office) ResyncToken(_ context.Context, _ signin.Origin, _, _, first, second string) error {
	w.heard.data = first + " " + second
	return w.act()
}
func (w office) LoseToken(context.Context, signin.Origin, string, string) error { return w.act() }
