package page

import (
	"time"

	"sekisho/authn/session"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// The pages of permits are held to what all pages are held to.
func init() {
	get := func(path string) func(*world) *answer {
		return func(w *world) *answer { return atTollbooth(w).get(path) }
	}
	kept := func(path string) func(*world) *answer {
		return func(w *world) *answer { return keepsRegisters(w).get(path) }
	}
	shown := func(change func(*desk.Permit)) func(*world) *answer {
		return func(w *world) *answer {
			p := granted("p0", desk.Approved)
			change(&p)
			keepsRegisters(w).permits.permits = []desk.Permit{p}
			return w.get("/permits/p0")
		}
	}
	scenes = append(scenes, []scene{
		{"permits", 200, get("/permits")},
		{"permits-none", 200, func(w *world) *answer {
			atTollbooth(w, "staff").permits.kinds = nil
			w.permits.permits = nil
			return w.get("/permits?done=renewed&n=3")
		}},
		{"permits-more", 200, func(w *world) *answer {
			atTollbooth(w).permits.next = "p9"
			return w.get("/permits")
		}},
		{"permit-kinds", 200, get("/permits/new")},
		{"permit-ask", 200, get("/permits/new?kind=remote_access&application=bunsho")},
		{"permit-ask-own", 200, func(w *world) *answer {
			atTollbooth(w).permits.kinds[0].Others = false
			return w.get("/permits/new?kind=remote_access")
		}},
		{"permit-ask-outside", 200, func(w *world) *answer {
			atTollbooth(w).from = "198.51.100.7"
			return w.get("/permits/new?kind=remote_access&application=bunsho")
		}},
		{"permit-ask-crossing", 200, get("/permits/new?kind=zone_crossing&application=juki")},
		{"permit-ask-register", 200, get("/permits/new?kind=dispose")},
		{"permit-ask-renew", 200, get("/permits/new?renew=p1")},
		{"permit-ask-not", 409, get("/permits/new?kind=wireless")},
		{"permit-ask-wrong", 422, func(w *world) *answer {
			return atTollbooth(w).post("/permits/new", "kind", "remote_access", "reason", "", "stated-terminal", "", "stated-hours", "8時から", "from", "2026-13-01", "until", "2026-03-31")
		}},
		{"permit-ask-refused", 422, func(w *world) *answer {
			atTollbooth(w).permits.actErr = web.Invalid(
				web.FieldError{Field: "from_zone", Rule: "walled", Detail: policy.Words{JA: "この二つの領域の間は、許可があっても通れません。", EN: "Between these zones nothing passes."}},
				web.FieldError{Field: "zone", Rule: "other", Detail: policy.Words{JA: "ここからは申請できません。", EN: "Not from here."}})
			return w.post("/permits/new", "kind", "zone_crossing", "reason", "連携", "stated-application", "juki", "stated-from_zone", "internet", "stated-path", "/api", "stated-protocol", "https", "from", "2026-04-01", "until", "2027-03-31")
		}},
		{"permit-ask-state", 409, func(w *world) *answer {
			atTollbooth(w).permits.actErr = web.Say(web.CodeState, policy.Words{JA: "同じ申請が判断を待っています。", EN: "The same request waits already."})
			return w.post("/permits/new", "kind", "dispose", "reason", "期限", "stated-asset", "調査票", "stated-class", "2", "from", "2026-04-01", "until", "2027-03-31")
		}},
		{"permit-live", 200, get("/permits/p1?done=granted")},
		{"permit-pending", 200, get("/permits/p4?done=asked")},
		{"permit-denied", 200, get("/permits/p6")},
		{"permit-revoked", 200, get("/permits/p7")},
		{"permit-owed", 200, get("/permits/p3")},
		{"permit-renewed", 200, shown(func(p *desk.Permit) { p.Renewed, p.Soon, p.By = "p9", true, yamada })},
		{"permit-review", 200, shown(func(p *desk.Permit) {
			p.Review = t0.AddDate(0, 0, -1)
			p.May = map[desk.PermitAct]desk.Answer{desk.PermitReview: ok, desk.PermitRevoke: {OK: true, StepUp: freshly}, desk.PermitRenew: {Why: policy.Words{JA: "本人が申請します。", EN: "Whose it is asks."}}}
		})},
		{"permit-used", 200, shown(func(p *desk.Permit) {
			for d := range 3 {
				at := t0.AddDate(0, 0, -d)
				p.Uses = append(p.Uses, desk.PermitUse{First: at.Add(-time.Duration(d) * time.Hour), Last: at, From: "198.51.100.7"})
			}
		})},
		{"permit-done", 200, shown(func(p *desk.Permit) {
			p.Kind, p.DoneAt, p.DoneBy, p.DoneHow, p.State = "dispose", t0, yamada, "記録媒体3枚を裁断した。\n立会い：鈴木", desk.Expired
		})},
		{"permit-faults", 422, func(w *world) *answer {
			return atTollbooth(w).post("/permits/p3/done", "at", "昨日", "by", "", "comment", "")
		}},
		{"permit-gone", 409, func(w *world) *answer {
			atTollbooth(w).permits.actErr = web.Say(web.CodeState, policy.Words{})
			return w.post("/permits/p7/revoke", "comment", "不要")
		}},
		{"permit-none", 404, get("/permits/p99")},
		{"renewals", 200, get("/permits/renew")},
		{"renewals-none", 200, func(w *world) *answer {
			atTollbooth(w).permits.permits = nil
			return w.get("/permits/renew")
		}},
		{"renewals-wrong", 422, func(w *world) *answer { return atTollbooth(w).post("/permits/renew", "until", "", "reason", "継続") }},
		{"renewals-refused", 422, func(w *world) *answer {
			atTollbooth(w).permits.actErr = web.Invalid(web.FieldError{Field: "until", Rule: "too_late", Detail: policy.Words{JA: "2028年3月31日までとしてください。", EN: "It ends on 31 March 2028 at the latest."}})
			return w.post("/permits/renew", "until", "2029-03-31", "id", "p1")
		}},
		{"registers", 200, kept("/registers")},
		{"registers-forbidden", 403, get("/registers")},
		{"register-remote", 200, kept("/registers/remote_access")},
		{"register-remote-narrow", 200, kept("/registers/remote_access?which=unused&section=joho&q=佐々木")},
		{"register-remote-none", 200, func(w *world) *answer {
			keepsRegisters(w).permits.permits = nil
			return w.get("/registers/remote_access?application=bunsho&done=revoke")
		}},
		{"register-done", 200, kept("/registers/dispose")},
		{"register-review", 200, kept("/registers/wireless?which=due&after=x")},
		{"register-none", 200, func(w *world) *answer {
			keepsRegisters(w).permits.permits = nil
			return w.get("/registers/dispose?done=imported&n=12")
		}},
		{"register-import", 200, func(w *world) *answer { return keepsRegisters(w).get("/registers/remote_access/import") }},
		{"register-import-empty", 422, func(w *world) *answer { return keepsRegisters(w).post("/registers/dispose/import") }},
		{"register-import-bad", 422, func(w *world) *answer {
			keepsRegisters(w).permits.taken = desk.Imported{Bad: []desk.BadLine{
				{Line: 3, Field: "until", Says: policy.Words{JA: "終わりが過去です。", EN: "The end lies in the past."}},
				{Line: 7, Says: policy.Words{JA: "列が足りません。", EN: "Columns are missing."}},
			}}
			return w.post("/registers/dispose/import", "data", "person,reason\nsasaki,<b>期限\n")
		}},
		{"register-import-forbidden", 403, func(w *world) *answer {
			keepsRegisters(w).permits.kinds[0].Brings = false
			return w.get("/registers/remote_access/import")
		}},
		{"approvals-permits", 200, func(w *world) *answer { return withRequests(w).get("/approvals?done=approved_all&n=2") }},
		{"approvals-permits-none", 422, func(w *world) *answer { return withRequests(w).post("/approvals", "answer", "no") }},
		{"approvals-permits-failed", 422, func(w *world) *answer {
			withRequests(w).permits.became = []desk.Decided{{ID: "m10", Name: remoteKind.Name, For: sasaki}, {ID: "m11", Name: crossingKind.Name, For: yamada, Err: web.Say(web.CodeState, policy.Words{JA: "この申請はすでに却下されています。", EN: "This request is denied already."})}}
			return w.post("/approvals", "answer", "yes", "id", "m11")
		}},
		{"approvals-permits-old", 422, func(w *world) *answer {
			withRequests(w).permits.became = []desk.Decided{{ID: "m10", Name: remoteKind.Name, For: sasaki}, {ID: "m11", Name: crossingKind.Name, For: yamada, Err: freshly}}
			return w.post("/approvals", "answer", "yes", "id", "m11")
		}},
		{"approvals-permits-gone", 422, func(w *world) *answer {
			withRequests(w).permits.became = []desk.Decided{{ID: "m10", Name: remoteKind.Name, For: sasaki}, {ID: "m11", Name: crossingKind.Name, For: yamada, Err: session.ErrNone}}
			w.desk.lookErr = session.ErrNone
			return w.post("/approvals", "answer", "yes", "id", "m11")
		}},
		{"approval-crossing", 422, func(w *world) *answer {
			withRequests(w).permits.actErr = web.Invalid(web.FieldError{Field: "confirmations", Rule: "required", Detail: policy.Words{JA: "通信経路とプロトコルを限っていることの確認が必要です。", EN: "Confirm that path and protocol are limited."}})
			return w.post("/approvals/m12", "answer", "yes", "confirm", "reason")
		}},
		{"live-remote", 200, func(w *world) *answer {
			withLive(keepsRegisters(w)).permits.remote = []desk.RemoteSession{
				{ID: "s1", Person: sasaki, Since: t0.Add(-time.Hour), SeenAt: t0, From: "198.51.100.7", Door: policy.Words{JA: "ウェブ", EN: "Web"}, Permit: "r1", Until: yearsEnd},
				{ID: "s2", Person: desk.Who{Login: "y-maint"}, Since: t0.Add(-30 * time.Minute), From: "203.0.113.7", Door: policy.Words{JA: "VPN装置1", EN: "VPN 1"}, End: desk.Answer{OK: true}},
				{ID: "s3", Person: desk.Who{Login: "y-maint"}, Since: t0.Add(-40 * time.Minute), From: "203.0.113.7", Door: policy.Words{JA: "VPN装置1", EN: "VPN 1"}, End: desk.Answer{OK: true}, Ending: true},
			}
			return w.get("/live?done=remote_end")
		}},
		{"me-permits", 200, get("/me")},
		{"permit-away", 503, func(w *world) *answer {
			atTollbooth(w).permits.lookErr = web.Say(web.CodeAway, policy.Words{})
			return w.get("/permits")
		}},
	}...)
	for _, name := range []string{
		"permits-more", "permit-ask-own", "permit-ask-state", "permit-ask-not", "permit-denied", "permit-gone", "permit-none", "permit-away",
		"renewals-none", "registers-forbidden", "register-none", "register-import", "register-import-empty", "register-import-forbidden", "approvals-permits-none",
	} {
		alike[name] = true
	}
}
