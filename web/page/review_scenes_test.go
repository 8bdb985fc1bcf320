package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// toReview is an officer with acting decisions of each sort.
func toReview(w *world) *world {
	asApprover(w)
	w.signedIn("security_officer")
	w.now.Session.ACR = policy.PHR
	acting := func(key string, change func(*desk.Acting)) desk.Acting {
		a := desk.Acting{
			Card: matter("m-" + key), Key: key, Post: policy.SecurityManager, Due: t0.Add(48 * time.Hour), Theirs: true,
			Decision: desk.Decision{By: desk.Who{Login: "ogawa", Name: "小川 <i>"}, Yes: true, At: t0.Add(-3 * time.Hour), Comment: "夜間の障害のため", Acting: true},
		}
		change(&a)
		return a
	}
	w.desk.reviews = desk.Reviews{
		Owed: []desk.Acting{
			acting("d1", func(*desk.Acting) {}),
			acting("d2", func(a *desk.Acting) { a.Duty, a.Due, a.Decision.Yes = true, t0.Add(-time.Hour), false }),
			acting("d3", func(a *desk.Acting) {
				a.Sealed, a.Post, a.Lease, a.Decision.By, a.Decision.Comment = true, "", "", desk.Who{Login: "root"}, ""
				a.Kind, a.What, a.Lasts, a.Uses = "policy_change", policy.Words{JA: "方針の変更", EN: "A change of the policy"}, 0, nil
			}),
		},
		Past: []desk.Acting{
			acting("d4", func(a *desk.Acting) { a.Reviewer, a.ReviewAt, a.Comment = yamada, t0.Add(-time.Hour), "確認した" }),
			acting("d5", func(a *desk.Acting) {
				a.Reviewer, a.ReviewAt, a.Comment, a.Objects = yamada, t0.AddDate(0, 0, -2), "待てたはずである", true
			}),
			acting("d6", func(*desk.Acting) {}),
		},
	}
	return w
}

func init() {
	for _, name := range []string{"reviews-none", "reviews-over", "findings-taken", "me-reviews"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"reviews", 200, func(w *world) *answer { return toReview(w).get("/reviews?done=seen") }},
		{"reviews-none", 200, func(w *world) *answer {
			toReview(w).desk.reviews = desk.Reviews{}
			return w.get("/reviews?done=objection")
		}},
		{"reviews-stale", 200, func(w *world) *answer {
			toReview(w).desk.reviews.Owed[0].NeedsSign = freshly
			return w.get("/reviews")
		}},
		{"reviews-wrong", 422, func(w *world) *answer { return toReview(w).post("/reviews/d1", "answer", "objection") }},
		{"reviews-over", 409, func(w *world) *answer {
			toReview(w).desk.actErr = web.Say(web.CodeState, policy.Words{JA: "この決定に後閲は残っていません。", EN: "No review of this decision is owed."})
			return w.post("/reviews/d1", "answer", "seen")
		}},
		{"findings-taken", 200, func(w *world) *answer { return withLive(w).get("/findings?done=taken") }},
		{"findings-wrong", 422, func(w *world) *answer { return withLive(w).post("/findings/f1/take", "note", " ") }},
		{"me-reviews", 200, func(w *world) *answer {
			toReview(w).desk.waiting.Review = 3
			return w.get("/me")
		}},
	}...)
}

func TestReviewForms(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		did    string
	}{
		{[]string{"answer", "seen"}, "review d1 false"}, {[]string{"answer", "seen", "comment", " 了解 "}, "review d1 false 了解"},
		{[]string{"answer", "objection", "comment", "待てた"}, "review d1 true 待てた"}, {[]string{"answer", "objection"}, ""}, {nil, ""},
		{[]string{"answer", "objection", "comment", strings.Repeat("あ", 501)}, ""},
	} {
		w := toReview(newWorld(t))
		if a := w.post("/reviews/d1", tt.fields...); tt.did == "" {
			a.is(http.StatusUnprocessableEntity)
		} else {
			a.leadsTo("/reviews?done=" + tt.fields[1])
		}
		if got := strings.Join(w.desk.did, ";"); got != tt.did {
			t.Errorf("%q: did %q, want %q", tt.fields, got, tt.did)
		}
	}
	w := toReview(newWorld(t))
	w.desk.actErr = &approval.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
	w.post("/reviews/d1", "answer", "seen").leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/reviews"}}.Encode())
	w.get("/approvals").says("後閲（3件）")
	w.desk.reviews.Owed[0].NeedsSign = freshly
	w.get("/reviews").keepsSilentOn(`action="/reviews/d1"`).says(`action="/reviews/d2"`)
}

func TestTakeUpForms(t *testing.T) {
	w := withLive(newWorld(t))
	w.post("/findings/f1/take", "note", " 確認中 ").leadsTo("/findings?done=taken")
	w.post("/findings/f1/take", "note", "").is(http.StatusUnprocessableEntity).says(`id="note-f1-wrong-0"`)
	if got := strings.Join(w.desk.did, ";"); got != "take up f1 確認中" {
		t.Errorf("did %q", got)
	}
	w.desk.actErr = web.ErrNoPage
	w.post("/findings/f1/take", "note", "x").is(404)
}
