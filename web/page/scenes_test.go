package page

import (
	"errors"
	"net/http"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/password"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/policy"
	"sekisho/policy/charter"
)

// A scene is one thing a person may see.
type scene struct {
	name   string
	status int
	show   func(w *world) *answer
}

// alike are scenes that differ from another in their words alone: no browser is
// shown them again.
var alike = map[string]bool{}

// scenes are every page, in every shape that differs in its structure.
var scenes = []scene{
	{"signin", 200, func(w *world) *answer { return w.get("/signin?rd=/me&why=ended") }},
	{"signin-refused", 401, func(w *world) *answer {
		w.err = signin.ErrRefused
		return w.post("/signin", "login", "tanaka", "password", "x", "rd", "/me")
	}},
	{"signin-empty", 422, func(w *world) *answer { return w.post("/signin") }},
	{"signin-held", 429, func(w *world) *answer {
		w.err = &signin.Held{RetryAfter: 90 * time.Second}
		return w.post("/signin", "login", "tanaka", "password", "x")
	}},
	{"signin-away", 503, func(w *world) *answer {
		w.err = &signin.Away{What: "directory", Err: errStore}
		return w.post("/signin", "login", "tanaka", "password", "x")
	}},
	{"signin-stronger", 200, func(w *world) *answer {
		w.signedIn().now.Session.ACR = policy.AAL1
		return w.get("/signin?acr=aal2&rd=/me")
	}},
	{"signin-take-over", 200, func(w *world) *answer {
		w.signedIn().now.Session.Terminal, w.now.Session.TerminalClass = "madoguchi-01", policy.TerminalCounter
		return w.get("/signin")
	}},
	{"signin-without-passkeys", 200, func(w *world) *answer {
		w.askErr = &signin.Held{RetryAfter: time.Minute}
		return w.get("/signin")
	}},
	{"signin-card", 200, func(w *world) *answer {
		w.policy.Cards = []policy.CardAuthority{{ID: "jpki"}}
		return w.get("/signin?why=signed_out")
	}},
	{"signin-passkey-refused", 401, func(w *world) *answer {
		w.err = signin.ErrRefused
		return w.post("/signin/passkey", "credential", "{}", "rd", "/me")
	}},
	{"signin-passkey-not-accepted", 401, func(w *world) *answer {
		w.err = errors.Join(signin.ErrRefused, synced)
		return w.post("/signin/passkey", "credential", "{}")
	}},
	{"signin-without-script", 422, func(w *world) *answer { return w.post("/signin/passkey", "credential", "") }},
	{"second-code", 200, func(w *world) *answer { return w.at(authn.SecondFactor).get("/signin/totp?rd=/me") }},
	{"second-code-refused", 401, func(w *world) *answer {
		w.at(authn.SecondFactor).err = signin.ErrRefused
		return w.post("/signin/totp", "code", "123456")
	}},
	{"second-passkey", 200, func(w *world) *answer { return w.at(authn.SecondFactor, "passkey").get("/signin/totp") }},
	{"second-all", 200, func(w *world) *answer {
		return w.at(authn.SecondFactor, "passkey", "card", "totp").get("/signin/totp?rd=/me")
	}},
	{"second-all-refused", 401, func(w *world) *answer {
		w.at(authn.SecondFactor, "passkey", "card", "totp").err = signin.ErrRefused
		return w.post("/signin/totp", "code", "123456")
	}},
	{"second-passkey-refused", 401, func(w *world) *answer {
		w.at(authn.SecondFactor, "passkey", "totp").err = signin.ErrRefused
		return w.post("/signin/passkey", "credential", "{}")
	}},
	{"second-stuck", 200, func(w *world) *answer { return w.at(authn.SecondFactor, "recovery").get("/signin/totp?rd=/me") }},
	{"recovery", 200, func(w *world) *answer { return w.at(authn.SecondFactor).get("/signin/recovery?rd=/me") }},
	{"recovery-refused", 401, func(w *world) *answer {
		w.at(authn.SecondFactor).err = signin.ErrRefused
		return w.post("/signin/recovery", "recovery_code", "0000")
	}},
	{"password-forced", 200, func(w *world) *answer { return w.at(authn.PasswordChange).get("/signin/password") }},
	{"password-rejected", 422, func(w *world) *answer {
		w.at(authn.PasswordChange).err = rejected
		return w.post("/signin/password", "new_password", "Reiwa8", "again", "Reiwa8")
	}},
	{"enrol-start", 200, func(w *world) *answer { return w.at(authn.Enrol).get("/signin/enrol") }},
	{"enrol-recovered", 200, func(w *world) *answer { return w.at(authn.Enrol).get("/signin/enrol?why=recovered") }},
	{"enrol-passkey-alone", 200, func(w *world) *answer { return w.at(authn.Enrol, "passkey").get("/signin/enrol") }},
	{"enrol-app-alone", 200, func(w *world) *answer { return w.at(authn.Enrol, "totp").get("/signin/enrol") }},
	{"enrol-passkey-refused", 422, func(w *world) *answer {
		w.at(authn.Enrol).err = synced
		return w.post("/signin/enrol/passkey", "id", "k1", "name", "鍵", "credential", "{}")
	}},
	{"enrol-passkey-nameless", 422, func(w *world) *answer {
		return w.at(authn.Enrol).post("/signin/enrol/passkey", "id", "k1", "name", " ", "credential", "{}")
	}},
	{"enrol", 200, func(w *world) *answer { return w.at(authn.Enrol).post("/signin/enrol/begin") }},
	{"enrol-wrong", 422, func(w *world) *answer {
		w.at(authn.Enrol).err = totp.ErrWrong
		return w.post("/signin/enrol", "id", "e1", "code", "111111", "name", "スマホ")
	}},
	{"acknowledge", 200, func(w *world) *answer { return w.at(authn.Acknowledge).get("/signin/acknowledge") }},
	{"terminal", 200, func(w *world) *answer { return w.at(authn.TerminalCheck).get("/signin/terminal-check") }},
	{"welcome", 200, func(w *world) *answer {
		w.signedIn().now.Session.Previous.FailuresSince = 3
		return w.get("/signin/welcome?rd=http%3A%2F%2Fbunsho.localhost%3A8080%2F")
	}},
	{"me", 200, func(w *world) *answer { return w.signedIn("cio").get("/me?done=password") }},
	{"me-everything", 200, func(w *world) *answer { return w.withEverything().get("/me") }},
	{"me-counter", 200, func(w *world) *answer {
		w.signedIn().now.Session.Terminal, w.now.Session.TerminalClass = "madoguchi-01", policy.TerminalCounter
		return w.get("/me")
	}},
	{"me-first", 200, func(w *world) *answer {
		w.signedIn().factors = nil
		w.now.Session.Previous.At = time.Time{}
		w.now.Session.ACR = policy.AAL1
		return w.get("/me")
	}},
	{"me-password", 200, func(w *world) *answer { return w.signedIn().get("/me/password") }},
	{"me-password-wrong", 401, func(w *world) *answer {
		w.signedIn().err = signin.ErrRefused
		return w.post("/me/password", "current", "a", "new_password", "b", "again", "b")
	}},
	{"me-totp", 200, func(w *world) *answer { return w.signedIn().get("/me/factors/totp") }},
	{"me-totp-begun", 200, func(w *world) *answer { return w.signedIn().post("/me/factors/totp/begin") }},
	{"me-passkey", 200, func(w *world) *answer { return w.signedIn().get("/me/factors/passkey?why=stale") }},
	{"me-passkey-twice", 409, func(w *world) *answer {
		w.signedIn().err = passkey.ErrTwice
		return w.post("/me/factors/passkey", "id", "k1", "name", "鍵", "credential", "{}")
	}},
	{"me-passkey-full", 409, func(w *world) *answer {
		w.signedIn().askErr = passkey.ErrFull
		return w.get("/me/factors/passkey")
	}},
	{"me-rename", 200, func(w *world) *answer { return w.signedIn().get("/me/factors/f1/rename") }},
	{"me-rename-nameless", 422, func(w *world) *answer { return w.signedIn().post("/me/factors/f1/rename", "name", "") }},
	{"me-address", 200, func(w *world) *answer {
		w.signedIn().second = "ichiro@example.jp"
		return w.get("/me/address")
	}},
	{"me-address-wrong", 422, func(w *world) *answer { return w.signedIn().post("/me/address", "address", "ichiro") }},
	{"me-remove", 200, func(w *world) *answer { return w.signedIn().get("/me/factors/f1/remove") }},
	{"me-remove-last", 409, func(w *world) *answer {
		w.signedIn().err = account.ErrLastFactor
		return w.post("/me/factors/f1/remove")
	}},
	{"leak", 200, func(w *world) *answer { return w.signedIn().get("/me/leak") }},
	{"leak-empty", 422, func(w *world) *answer { return w.signedIn().post("/me/leak", "what", " ") }},
	{"leaked", 200, func(w *world) *answer { return w.get("/leak-reported") }},
	{"leaked-continue", 200, func(w *world) *answer { return w.at(authn.SecondFactor).get("/leak-reported") }},
	{"rules", 200, func(w *world) *answer { return w.get("/rules") }},
	{"policy", 200, func(w *world) *answer {
		w.signedIn("cio").proposals = []charter.Proposal{proposal("P1", "suzuki"), proposal("P2", "tanaka"), proposal("P3", "suzuki")}
		w.proposals[2].Base = 6
		return w.get("/policy")
	}},
	{"policy-none", 200, func(w *world) *answer { return w.signedIn("security_officer").get("/policy?done=approved") }},
	{"policy-forbidden", 403, func(w *world) *answer { return w.signedIn().get("/policy") }},
	{"malformed", 400, func(w *world) *answer {
		return w.sendTo("localhost:8080", http.MethodPost, "/signin", "login=%zz")
	}},
	{"other-host", 421, func(w *world) *answer { return w.sendTo("elsewhere.example", http.MethodGet, "/", "") }},
	{"csrf", 403, func(w *world) *answer { return w.signedIn().post("/signout", "csrf_token", "wrong") }},
	{"not-found", 404, func(w *world) *answer { return w.get("/nowhere") }},
	{"not-found-signed-in", 404, func(w *world) *answer { return w.signedIn().get("/me/factors/f9/remove") }},
	{"step", 409, func(w *world) *answer {
		w.at(authn.SecondFactor).err = signin.ErrStep
		return w.post("/signin/totp", "code", "123456")
	}},
	{"method", 405, func(w *world) *answer { return w.get("/signout") }},
	{"state", 409, func(w *world) *answer {
		w.signedIn("cio").err = charter.ErrStale
		return w.post("/policy/proposals/P1/approve")
	}},
	{"held", 429, func(w *world) *answer {
		w.signedIn().err = &signin.Held{RetryAfter: time.Minute}
		return w.post("/me/sessions/s2/end")
	}},
	{"broken", 500, func(w *world) *answer {
		w.signedIn().nowErr = errStore
		return w.get("/me")
	}},
	{"away", 503, func(w *world) *answer {
		w.signedIn().nowErr = &signin.Away{What: "directory", Err: errStore}
		return w.get("/me")
	}},
}

var synced = &passkey.NotAccepted{Reason: "synced", Articles: []policy.Article{"26no3-1"}, Says: policy.Words{
	JA: "このパスキーは、ほかの機器にも写される種類のものです。", EN: "This passkey is of the kind that is copied to other devices."}}

var rejected = &password.Rejected{Failures: []password.Failure{
	{Code: "too_short", Says: policy.Words{JA: "短すぎます。", EN: "Too short."}, Article: "46-2(3)"},
	{Code: "date", Says: policy.Words{JA: "年号が大部分を占めています。", EN: "Most of it is an era."}, Article: "46-2(3)"},
}}

func proposal(id, by string) charter.Proposal {
	return charter.Proposal{ID: id, Login: by, At: t0, Base: 7, Changes: []policy.Change{
		{Path: "zones[0].idle_end", Old: "30m0s", New: "15m0s"},
		{Path: "applications[2]", Old: "", New: "{id: kyuyo, host: kyuyo.example.lg.jp}"},
	}}
}
