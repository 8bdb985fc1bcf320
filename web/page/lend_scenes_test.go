package page

import (
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// The pages of lent privilege are held to what all pages are held to.
func init() {
	get := func(path string) func(*world) *answer { return func(w *world) *answer { return atDesk(w).get(path) } }
	shown := func(change func(*desk.Lease)) func(*world) *answer {
		return func(w *world) *answer {
			l := borrowed("l0", desk.Active, desk.End)
			change(&l)
			asApprover(w).desk.leases = []desk.Lease{l}
			return w.get("/leases/l0")
		}
	}
	scenes = append(scenes, []scene{
		{"leases", 200, get("/leases")},
		{"leases-none", 200, func(w *world) *answer {
			atDesk(w, "staff").desk.lent = nil
			w.desk.leases, w.desk.waiting = nil, desk.Waiting{}
			return w.get("/leases")
		}},
		{"leases-more", 200, func(w *world) *answer {
			atDesk(w).desk.next = "l9"
			return w.get("/leases?done=end")
		}},
		{"ask", 200, get("/leases/ask?privilege=db-admin")},
		{"ask-two", 200, get("/leases/ask?privilege=core")},
		{"ask-decided", 200, func(w *world) *answer {
			free := night
			free.Refused = desk.Answer{}
			atDesk(w).desk.lent = []desk.Privilege{free}
			return w.get("/leases/ask?privilege=night")
		}},
		{"ask-not-now", 409, get("/leases/ask?privilege=night")},
		{"ask-wrong", 422, func(w *world) *answer {
			return atDesk(w).post("/leases/ask", "privilege", "core", "minutes", "１２１", "reason", "")
		}},
		{"ask-refused", 409, func(w *world) *answer {
			atDesk(w).desk.actErr = &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: policy.Words{JA: "同じ特権を既に申請しています。", EN: "You have asked for this already."}, Articles: []policy.Article{"62-7"}}}
			return w.post("/leases/ask", "privilege", "db-admin", "minutes", "30", "reason", "調査")
		}},
		{"ask-emergency", 200, get("/leases/emergency?privilege=db-admin")},
		{"lease-pending", 200, get("/leases/l2?done=asked")},
		{"lease-approved", 200, get("/leases/l3")},
		{"lease-active", 200, get("/leases/l1?done=activate")},
		{"lease-owed", 200, get("/leases/l5")},
		{"lease-denied", 200, get("/leases/l6")},
		{"lease-revoked", 200, shown(func(l *desk.Lease) {
			*l = borrowed("l0", desk.Revoked)
			l.EndedBy, l.EndReason, l.Cleanup, l.Account.Login = yamada, "不審な操作があった", "pending", "net-admin"
			l.Record = desk.Record{Text: "調べた。", WrittenAt: t0, By: yamada, At: t0, Comment: "確認した"}
		})},
		{"lease-paused", 200, shown(func(l *desk.Lease) {
			l.Privilege, l.Paused, l.Witness, l.WitnessDue, l.Extending = core, true, yamada, t0, true
			l.May = map[desk.Act]desk.Answer{desk.Witness: {OK: true}, desk.Revoke: {OK: true}}
		})},
		{"lease-shut", 200, shown(func(l *desk.Lease) { l.Shut, l.Resume = true, freshly })},
		{"lease-two", 200, shown(func(l *desk.Lease) {
			*l = borrowed("l0", desk.Approved, desk.Activate, desk.Cancel)
			l.Privilege = core
		})},
		{"lease-emergency", 200, shown(func(l *desk.Lease) {
			*l = borrowed("l0", desk.Expired, desk.Judge, desk.Countersign)
			l.Emergency, l.Times, l.Decisions, l.Mine = true, 2, nil, false
			l.Record = desk.Record{Text: "住民票の交付が止まったため、\n待たずに復旧した。", WrittenAt: t0}
		})},
		{"lease-judged", 200, shown(func(l *desk.Lease) {
			*l = borrowed("l0", desk.Expired)
			l.Emergency, l.Times, l.Decisions = true, 1, nil
			l.Judgement = desk.Judgement{By: yamada, At: t0, Comment: "やむを得なかったと認める。"}
		})},
		{"lease-stale", 200, shown(func(l *desk.Lease) {
			l.Uses = nil
			l.May = map[desk.Act]desk.Answer{desk.Revoke: {OK: true, StepUp: freshly}, desk.Countersign: {Why: policy.Words{JA: "自分が使った特権の記録は確認できません。", EN: "Nobody confirms their own record."}, Articles: []policy.Article{"16-1"}}}
		})},
		{"lease-approver", 200, shown(func(l *desk.Lease) {
			*l = borrowed("l0", desk.Pending, desk.Approve, desk.Deny)
			l.Mine = false
		})},
		{"lease-faults", 422, func(w *world) *answer { return atDesk(w).post("/leases/l1/extend", "minutes", "x", "comment", "") }},
		{"lease-away", 503, func(w *world) *answer {
			atDesk(w).desk.actErr = &signin.Away{What: "directory", Err: errStore}
			return w.post("/leases/l3/activate")
		}},
		{"lease-gone", 409, func(w *world) *answer {
			atDesk(w).desk.actErr = web.Say(web.CodeState, policy.Words{})
			return w.post("/leases/l6/report", "report", "書いた")
		}},
		{"lease-secret", 200, func(w *world) *answer {
			atDesk(w).desk.answer = lent(borrowed("l3", desk.Active), "kamg-7fxw-2mqp-h9rt-w3ze")
			return w.post("/leases/l3/activate")
		}},
		{"lease-none", 404, get("/leases/l99")},
		{"approvals", 200, func(w *world) *answer { return asApprover(w).get("/approvals?done=approve") }},
		{"approvals-none", 200, func(w *world) *answer {
			asApprover(w).desk.waiting = desk.Waiting{}
			return w.get("/approvals")
		}},
		{"approval", 200, func(w *world) *answer { return asApprover(w).get("/approvals/m1") }},
		{"approval-stale", 200, func(w *world) *answer { return asApprover(w).get("/approvals/m2") }},
		{"approval-refused", 409, func(w *world) *answer {
			asApprover(w).desk.actErr = web.Say(web.CodeState, policy.Words{JA: "ほかの方が先に判断しました。", EN: "Somebody else was first."})
			return w.post("/approvals/m1", "answer", "yes", "comment", "確認した")
		}},
		{"approval-empty", 422, func(w *world) *answer { return asApprover(w).post("/approvals/m1") }},
		{"live", 200, func(w *world) *answer { return withLive(w).get("/live") }},
		{"live-none", 200, func(w *world) *answer { return asApprover(w).get("/live?done=revoke") }},
		{"findings", 200, func(w *world) *answer { return withLive(w).get("/findings") }},
		{"findings-none", 200, func(w *world) *answer { return asApprover(w).get("/findings") }},
		{"live-forbidden", 403, func(w *world) *answer {
			atDesk(w, "staff").desk.lookErr = web.Say(web.CodeForbidden, policy.Words{})
			return w.get("/live")
		}},
		{"me-waiting", 200, func(w *world) *answer {
			atDesk(w)
			two := w.desk.waiting
			asApprover(w)
			w.desk.waiting.Own, w.desk.waiting.Owed = two.Own, two.Owed
			return w.get("/me")
		}},
		{"me-unknown", 200, func(w *world) *answer {
			atDesk(w).desk.lookErr = errStore
			return w.get("/me")
		}},
	}...)
}
