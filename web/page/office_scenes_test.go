package page

import (
	"net/url"

	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
)

// The office's pages are held to what all pages are held to.
func init() {
	get := func(path string) func(*world) *answer { return func(w *world) *answer { return inOffice(w).get(path) } }
	scenes = append(scenes, []scene{
		{"people", 200, get("/people?q=su")},
		{"people-pages", 200, func(w *world) *answer {
			o := inOffice(w)
			o.next = "kato"
			return o.get("/people?after=a")
		}},
		{"people-none", 200, func(w *world) *answer {
			o := inOffice(w)
			o.found = nil
			return o.get("/people?q=" + url.QueryEscape(`<b>"だれか`))
		}},
		{"people-odd", 422, func(w *world) *answer {
			o := inOffice(w)
			o.lookErr = oddQuery
			return o.get("/people?q=%2A")
		}},
		{"people-forbidden", 403, func(w *world) *answer {
			o := inOffice(w, "staff")
			o.lookErr = o.denied(authz.ViewPeople)
			return o.get("/people")
		}},
		{"person", 200, get("/people/suzuki")},
		{"person-suspended", 200, func(w *world) *answer {
			o := inOffice(w)
			o.subject = o.suspended()
			return o.get("/people/suzuki?done=suspended")
		}},
		{"person-powerful", 200, func(w *world) *answer {
			o := inOffice(w)
			o.subject.Posts = []policy.PostID{policy.CIO}
			o.subject = o.seenBy(o.subject, policy.SystemAdministrator)
			return o.get("/people/suzuki")
		}},
		{"person-bare", 200, func(w *world) *answer {
			o := inOffice(w)
			d := people.Detail{State: people.Disabled}
			d.Person.Login = "suzuki"
			o.subject = o.seenBy(d, policy.Auditor)
			return o.get("/people/suzuki")
		}},
		{"person-none", 404, get("/people/nobody")},
		{"suspend", 200, get("/people/suzuki/suspend")},
		{"suspend-empty", 422, func(w *world) *answer {
			return inOffice(w).post("/people/suzuki/suspend", "reason", " ", "until", "2026-03-31")
		}},
		{"suspend-state", 409, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = people.ErrState
			return o.post("/people/suzuki/suspend", "reason", "a")
		}},
		{"drop", 200, get("/people/suzuki/factors/f2/remove")},
		{"slip-password", 200, func(w *world) *answer { return inOffice(w).post("/people/suzuki/temporary-password") }},
		{"slip-shown", 409, func(w *world) *answer {
			inOffice(w).post("/people/suzuki/temporary-password", "form", "f1")
			return w.post("/people/suzuki/temporary-password", "form", "f1")
		}},
		{"slip-code", 200, func(w *world) *answer { return inOffice(w).post("/people/suzuki/recovery-code") }},
		{"terminals", 200, get("/terminals?done=terminal_lost")},
		{"terminals-read", 200, func(w *world) *answer { return inOffice(w, "auditor").get("/terminals") }},
		{"terminal-enrol", 200, get("/terminals/enrol")},
		{"terminal-empty", 422, func(w *world) *answer { return inOffice(w).post("/terminals/enrol") }},
		{"terminal-refused", 422, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = &terminal.Invalid{Field: "public_key", Rule: "malformed", Says: policy.Words{JA: "鍵ではありません。", EN: "Not a key."}}
			return o.post("/terminals/enrol", "id", "a", "name", "あ", "class", "lent", "zone", "lgwan", "public_key", "x")
		}},
		{"tokens", 200, get("/tokens?q=A&done=imported&added=2&known=1")},
		{"tokens-none", 200, func(w *world) *answer {
			o := inOffice(w)
			o.office.tokens = nil
			return o.get("/tokens?q=Z")
		}},
		{"token", 200, get("/tokens/A0002")},
		{"token-lost", 200, get("/tokens/A0003?done=token_lost")},
		{"token-assign-nobody", 422, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = people.ErrNotFound
			return o.post("/tokens/A0001/assign", "login", "nobody")
		}},
		{"token-assign-powerful", 403, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = &people.Denied{Permission: authz.May(o.policy, authz.AssignToken, []policy.PostID{policy.SystemAdministrator}, []policy.PostID{policy.CIO}, false)}
			return o.post("/tokens/A0001/assign", "login", "yamada")
		}},
		{"token-resync-wrong", 422, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = totp.ErrWrong
			return o.post("/tokens/A0002/resync", "first", "111111", "second", "222222")
		}},
		{"import", 200, get("/tokens/import")},
		{"import-faults", 422, func(w *world) *answer {
			o := inOffice(w)
			o.actErr = fileFaults
			return o.post("/tokens/import", "format", "csv", "data", "A;;", "key", "hunter2")
		}},
	}...)
}

var oddQuery = &people.Invalid{Field: "q", Rule: "unusable", Says: policy.Words{JA: "名前に使えない文字があります。", EN: "No name has these characters."}}

var fileFaults = &oath.Faults{List: []oath.Fault{
	{Line: 2, Field: "seed", Rule: "malformed", Detail: policy.Words{JA: "種を読み取れません。", EN: "The seed cannot be read."}},
	{Line: 5, Field: "serial", Rule: "twice", Detail: policy.Words{JA: "番号が二度出てきます。", EN: "The serial stands twice."}},
	{Field: "key", Rule: "wrong", Detail: policy.Words{JA: "鍵が違います。", EN: "The key is wrong."}},
}}
