package page

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
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
	{"totp", 200, func(w *world) *answer { return w.at(authn.SecondFactor).get("/signin/totp?rd=/me") }},
	{"totp-refused", 401, func(w *world) *answer {
		w.at(authn.SecondFactor).err = signin.ErrRefused
		return w.post("/signin/totp", "code", "123456")
	}},
	{"password-forced", 200, func(w *world) *answer { return w.at(authn.PasswordChange).get("/signin/password") }},
	{"password-rejected", 422, func(w *world) *answer {
		w.at(authn.PasswordChange).err = rejected
		return w.post("/signin/password", "new_password", "Reiwa8", "again", "Reiwa8")
	}},
	{"enrol-start", 200, func(w *world) *answer { return w.at(authn.Enrol).get("/signin/enrol") }},
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
	{"me-first", 200, func(w *world) *answer {
		w.signedIn().factors = nil
		w.now.Session.Previous.At = time.Time{}
		w.now.Session.ACR = policy.AAL1
		return w.get("/me")
	}},
	{"me-password", 200, func(w *world) *answer { return w.signedIn().get("/me/password") }},
	{"me-password-wrong", 422, func(w *world) *answer {
		w.signedIn().err = account.ErrWrongPassword
		return w.post("/me/password", "current", "a", "new_password", "b", "again", "b")
	}},
	{"me-totp", 200, func(w *world) *answer { return w.signedIn().get("/me/factors/totp") }},
	{"me-totp-begun", 200, func(w *world) *answer { return w.signedIn().post("/me/factors/totp/begin") }},
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
		w.signedIn("cio").proposals = []charter.Proposal{proposal("P1", "suzuki"), proposal("P2", "tanaka")}
		return w.get("/policy")
	}},
	{"policy-none", 200, func(w *world) *answer { return w.signedIn("security_officer").get("/policy?done=approved") }},
	{"policy-forbidden", 403, func(w *world) *answer { return w.signedIn().get("/policy") }},
	{"malformed", 400, func(w *world) *answer {
		return w.send(http.MethodPost, "/signin", map[string][]string{"%": {strings.Repeat("x", 3)}}).or(w, 400)
	}},
	{"csrf", 403, func(w *world) *answer { return w.signedIn().post("/signout", "csrf_token", "wrong") }},
	{"not-found", 404, func(w *world) *answer { return w.get("/nowhere") }},
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

// or stands in for a request that no client library will make malformed: the
// error page is asked for directly.
func (a *answer) or(w *world, _ int) *answer { return w.rendered(errMalformed) }

var errMalformed = errors.New("unreadable")

var rejected = &password.Rejected{Failures: []password.Failure{
	{Code: "too_short", Says: policy.Words{JA: "短すぎます。", EN: "Too short."}, Article: "46-2(3)"},
	{Code: "date", Says: policy.Words{JA: "年号が大部分を占めています。", EN: "Most of it is an era."}, Article: "46-2(3)"},
}}
