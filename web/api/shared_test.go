package api

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/shared"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// closet is who has which shared ID in a world.
type closet struct{ *world }

func sharedOut() shared.Checkout {
	return shared.Checkout{ID: "c1", Shared: "hoso", By: shared.Ref{ID: "p2", Login: "suzuki", Name: "鈴木"}, Account: "hoso", AskedAt: t0, EndsAt: t0.Add(time.Hour), EndedAt: t0}
}

func (w closet) List(_ context.Context, _ signin.Origin, cookie string) ([]shared.Shown, error) {
	if cookie == "" {
		return nil, signin.ErrNone
	}
	one := shared.Shown{
		SharedID: policy.SharedID{ID: "hoso", Name: policy.Words{JA: "庁内放送", EN: "Public address"}, Holders: 2, Usual: 30 * time.Minute, Longest: time.Hour},
		Held:     []shared.Checkout{sharedOut()}, Mine: sharedOut(), StepUp: &account.StepUp{Required: policy.AAL2, MaxAge: time.Minute},
		Refused: &shared.Refusal{Reason: "has_it", Is: shared.Conflict, Says: policy.Words{JA: "もう受け取っています。", EN: "You have it."}},
	}
	return []shared.Shown{one, {SharedID: policy.SharedID{ID: "yoyaku"}}}, w.act()
}

func (w closet) CheckOut(_ context.Context, _ signin.Origin, _, id, reason string, minutes int) (shared.Given, error) {
	w.heard.data = fmt.Sprint(id, " ", reason, " ", minutes)
	return shared.Given{Checkout: sharedOut(), Password: secret.NewText([]byte("CANARY-shared"))}, w.act()
}

func (w closet) CheckIn(_ context.Context, _ signin.Origin, _, id string) (shared.Checkout, error) {
	w.heard.data = "in " + id
	return sharedOut(), w.act()
}

func init() {
	const at = "/api/v1/shared-ids"
	examples["GET "+at] = example{at, "k.live", ""}
	examples["POST "+at+"/{id}/checkout"] = example{at + "/hoso/checkout", "k.live", `{"reason":"放送","minutes":30}`}
	examples["POST "+at+"/{id}/checkin"] = example{at + "/hoso/checkin", "k.live", ""}
}

func TestSharedIDs(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/shared-ids", "k.live", "")
	items := body["items"].([]any)
	one := items[0].(map[string]any)
	if len(items) != 2 || one["available"] != false || one["mine"] != "2026-04-01T10:00:00Z" || one["max_minutes"] != 60.0 || one["required_acr"] != "aal2" ||
		fmt.Sprint(one["held"]) != "[map[by:suzuki ends_at:2026-04-01T10:00:00Z]]" || one["why"] == nil {
		t.Errorf("%v", one)
	}
	const path = "/api/v1/shared-ids/hoso/checkout"
	resp, body := call(t, srv, "POST", path, "k.live", `{"reason":"放送","minutes":30}`, "Idempotency-Key: k")
	if resp.StatusCode != 201 || body["login"] != "hoso" || body["password"] != "CANARY-shared" || body["ends_at"] != "2026-04-01T10:00:00Z" || w.heard.data != "hoso 放送 30" {
		t.Errorf("%d %v, heard %q", resp.StatusCode, body, w.heard.data)
	}
	if w.lasts != secretKeptFor {
		t.Errorf("an answer with a password is kept for %v", w.lasts)
	}
	for in, field := range map[string]string{`{"minutes":30}`: "reason", `{"reason":"x","minutes":-1}`: "minutes"} {
		resp, body := call(t, srv, "POST", path, "k.live", in)
		if resp.StatusCode != 422 || body["errors"].([]any)[0].(map[string]any)["field"] != field {
			t.Errorf("%s: %d %v", in, resp.StatusCode, body)
		}
	}
	for code, err := range map[int]error{
		403: &shared.Refusal{Reason: "not_eligible", Is: shared.Forbidden}, 409: &shared.Refusal{Reason: "taken", Is: shared.Conflict},
		422: &shared.Refusal{Reason: "required", Is: shared.Invalid, Field: "reason"}, 503: &shared.Refusal{Reason: "away", Is: shared.Away},
		404: &shared.Refusal{Reason: "unknown", Is: shared.Forbidden},
	} {
		w.next = fmt.Errorf("checking out: %w", err)
		if resp, _ := call(t, srv, "POST", path, "k.live", `{"reason":"x"}`); resp.StatusCode != code {
			t.Errorf("%v is answered %d, want %d", err, resp.StatusCode, code)
		}
	}
	resp, body = call(t, srv, "POST", "/api/v1/shared-ids/hoso/checkin", "k.live", "")
	if resp.StatusCode != 200 || body["ended_at"] != "2026-04-01T09:00:00Z" || w.heard.data != "in hoso" {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
	w.next = shared.ErrNotFound
	if resp, _ := call(t, srv, "POST", "/api/v1/shared-ids/none/checkin", "k.live", ""); resp.StatusCode != 404 {
		t.Errorf("giving back what one never had: %d", resp.StatusCode)
	}
}
