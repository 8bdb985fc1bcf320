package replay

import (
	"slices"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
)

// A Kind is what is taken away.
type Kind string

// The kinds.
const (
	Suspension   Kind = "suspension"
	Leave        Kind = "leave"
	Leak         Kind = "leak"
	Factor       Kind = "factor"
	Token        Kind = "token"
	Terminal     Kind = "terminal"
	Permit       Kind = "permit"
	LockDown     Kind = "lockdown"
	Ratification Kind = "ratification"
	SigningKey   Kind = "signing_key"
)

// Words are what a kind is called.
func (k Kind) Words() policy.Words {
	return map[Kind]policy.Words{
		Suspension:   {JA: "利用停止", EN: "suspension"},
		Leave:        {JA: "休業・休職", EN: "leave"},
		Leak:         {JA: "漏れたパスワード", EN: "leaked password"},
		Factor:       {JA: "認証の手段の取消し", EN: "factor withdrawn"},
		Token:        {JA: "トークンの紛失・回収", EN: "token lost or taken back"},
		Terminal:     {JA: "端末の紛失・除却", EN: "terminal lost or removed"},
		Permit:       {JA: "許可の取消し・終了", EN: "permit revoked or ended"},
		LockDown:     {JA: "緊急停止", EN: "lock-down"},
		Ratification: {JA: "緊急停止の追認", EN: "lock-down ratified"},
		SigningKey:   {JA: "署名鍵の無効化", EN: "signing key distrusted"},
	}[k]
}

// An Act is one taking-away that a restore has undone: what a lost entry says was done.
type Act struct {
	audit.Record
	Kind   Kind
	Person directory.PersonID // whose; "" where it is nobody's or the entry does not say
	Login  string             // as it was then; "" likewise
	What   string             // factor, serial, terminal, permit, lock-down or key
	From   time.Time          // of Leave: when it begins
	Until  time.Time          // when it ends by itself; zero: never
	scope  authz.LockDown     // of LockDown
}

// About is whom or what an act concerns, for a list.
func (a Act) About() string {
	if a.Kind == LockDown {
		return strings.TrimSpace(string(a.scope.Scope) + " " + a.scope.Target)
	}
	if a.Login != "" {
		return a.Login
	}
	if a.Person != "" {
		return string(a.Person)
	}
	return a.What
}

// A Left is an act that is not done again, and why.
type Left struct {
	Act
	Why policy.Words
}

// A Plan is what to make of the entries that a restore has lost, each list in their
// order.
type Plan struct {
	Again  []Act
	Over   []Left         // undone again before the loss, or over by now
	Dark   []Left         // the entry does not say enough
	ByHand []audit.Record // what gave somebody something, or no machine can repeat
	Ended  int            // how many the restore itself has ended: sessions, leases, requests
	Past   int            // how many left nothing behind
}

// What becomes of entries by their action, the whole of it or its beginning with the dot;
// what is named whole goes before a beginning. An action that is in none of these is for a
// person to look at, like those of hand: a test has every action of the house in one.
var (
	takes = map[string]func(audit.Record) (Act, string){
		"person.suspended":       readSuspension,
		"leave.recorded":         readLeave,
		"person.on_leave":        readLeave,
		"password.leak_reported": readLeak,
		"factor.removed":         readFactor,
		"factor.ended":           readFactor,
		"token.lost":             readToken,
		"token.unassigned":       readToken,
		"terminal.lost":          readTerminal,
		"terminal.removed":       readTerminal,
		"permit.revoked":         readPermit,
		"permit.ended":           readPermit,
		"lockdown.ordered":       readLockDown,
		"lockdown.ratified":      readRatification,
		"key.distrusted":         readKey,
	}
	// undoes says which act an entry undoes, named as undone names it.
	undoes = map[string]func(audit.Record) []string{
		"person.restored":               func(r audit.Record) []string { _, id := named(r.Object); return []string{"person " + string(id)} },
		"leave.ended":                   leaveOver,
		"person.returned":               leaveOver,
		"person.undone":                 func(r audit.Record) []string { return []string{lineOf(r)} },
		"password.changed":              func(r audit.Record) []string { return []string{"leak " + r.Object} },
		"lockdown.lifted":               func(r audit.Record) []string { return []string{"lockdown " + r.Object} },
		"lockdown.lifted_by_sealed_key": func(r audit.Record) []string { return []string{"lockdown " + r.Object} },
	}
	// ended is what a restore ends with its epoch, or lapses.
	ended = []string{
		"session.", "application.", "openid.", "tokens.issued", "tokens.refreshed", "remote.", "lease.", "approval.", "elevation.", "recovery.",
		"shared.checked_in", "shared.expired", "shared.revoked",
	}
	// past is what leaves nothing behind that somebody would miss.
	past = []string{
		"sign_in", "sign_in.", "trail.", "notice.", "people.", "terminals.", "tokens.read", "applications.", "access.", "client.", "store.", "restore.",
		"sweep.", "report.", "leave.began", "factor.orphan_removed", "shared.checking_out",
		// Of an import the directory has what it did, and a person proposes the file again.
		"import.viewed", "import.done", "import.undone", "import.dropped", "import.line_failed", "import.returned", "import.return_withdrawn",
		"person.joined", "person.moved", "person.renewed", "person.returned", "person.changed", "person.left", "person.end_set", "person.handover_ended", "person.undone",
		"rules.acknowledged", "terminal.confirmed", "terminal.taken_over", "token.revoked", "token.resynced", "factor.renamed", "lockdown.read",
		"password.changing", "password.changed", "password.replacing", "password.recheck", "password.killed", "person.unlocking", "person.rights_told",
		"dormancy.warned", "dormancy.held", "dormancy.confirmed", "dormancy.unconfirmed", "permit.cancelled", "permit.denied",
		"permit.expired", "permit.lapsed",
		"recertify.opened", "recertify.reminded", "recertify.confirmed", "recertify.asked", "recertify.agreed", "recertify.returned", "recertify.void", "recertify.held", "recertify.halted", "recertify.decided", "recertify.closed",
		"recertify.effect_confirmed", "recertify.effect_unconfirmed", "recertify.read", "recertify.refused",
		"project.refused", "project.ended", "project.id_held", "project.end_set", "project.end_failed", "project.void", "project.warned",
		"key.created", "key.in_use", "key.resealed", "key.dropped", "policy.exported", "policy.approval_refused", "policy.dispatch_refused", "policy.difference", "sample.",
	}
	// hand is what a person looks at: it gave somebody something, or what it changed lies
	// outside the store.
	hand = []string{
		"factor.added", "token.assigned", "tokens.imported", "terminal.enrolled", "password.temporary", "notice_address.changed",
		"import.proposed", "import.approved", "import.undo_approved", "person.restored", "person.unlocked", "leave.ended", "lockdown.lifted", "lockdown.lifted_by_sealed_key",
		"permit.asked", "permit.approved", "permit.done", "permit.reviewed", "permit.refused",
		"dormancy.disabled", "dormancy.kept", "dormancy.failed", "dormancy.deletion_approved", "dormancy.uses_told",
		"recertify.ended", "recertify.owed",
		"project.registered", "project.bound", "project.released", "project.shortened", "project.extended", "project.completed", "project.id_closed",
		"shared.checked_out", "shared.failed", "shared.refused", "sealed.", "policy.installed", "policy.proposed", "policy.approved",
	}
)

// Judge says what to make of the entries that are lost, at now. It is told all of them,
// oldest first.
func Judge(lost []audit.Record, now time.Time) Plan {
	lifted := map[string]int64{} // the newest entry that undoes, ratifies, orders or replaces something
	for _, r := range lost {
		switch {
		case r.Outcome != audit.OK:
		case r.Action == "lockdown.ratified":
			lifted["ratify "+r.Object] = r.Index
		case r.Action == "lockdown.ordered":
			lifted["order "+r.Object] = r.Index
		case r.Action == "person.suspended":
			if a, missing := readSuspension(r); missing == "" {
				lifted["suspend "+string(a.Person)] = r.Index
			}
		}
		if undo := undoes[r.Action]; undo != nil && r.Outcome == audit.OK {
			for _, name := range undo(r) {
				lifted[name] = r.Index
			}
		}
	}
	var p Plan
	for _, r := range lost {
		p.put(r, lifted, now)
	}
	return p
}

func (p *Plan) put(r audit.Record, lifted map[string]int64, now time.Time) {
	take := takes[r.Action]
	switch {
	case r.Outcome != audit.OK:
		p.Past++
		return
	case take == nil && (among(past, r.Action) || liftedToo(r, lifted)):
		p.Past++
		return
	case take == nil && among(ended, r.Action):
		p.Ended++
		return
	case take == nil:
		p.ByHand = append(p.ByHand, r)
		return
	}
	a, missing := take(r)
	a.Record = r
	switch {
	case missing == byHand:
		p.ByHand = append(p.ByHand, r)
	case missing != "":
		p.Dark = append(p.Dark, Left{a, policy.Words{
			JA: "記録に" + missing + "がないため、行えません。", EN: "The entry does not say: " + missing + ".",
		}})
	case slices.ContainsFunc(a.undone(), func(name string) bool { return lifted[name] > r.Index }):
		p.Over = append(p.Over, Left{a, policy.Words{
			JA: "失われた範囲の中で、後に解かれています。", EN: "It was undone later, before the loss.",
		}})
	case a.Kind == Suspension && lifted["suspend "+string(a.Person)] > r.Index:
		p.Over = append(p.Over, Left{a, policy.Words{
			JA: "失われた範囲の中で、後の利用停止に置き換わっています。", EN: "Another suspension took its place later, before the loss.",
		}})
	case over(a, lifted, now):
		p.Over = append(p.Over, Left{a, policy.Words{JA: "期限を過ぎています。", EN: "It is over by now."}})
	default:
		p.Again = append(p.Again, a)
	}
}

// liftedToo reports whether an entry lifts a lock-down that is lost with it: there is
// nothing to lift any more.
func liftedToo(r audit.Record, lifted map[string]int64) bool {
	_, ordered := lifted["order "+r.Object]
	return ordered && strings.HasPrefix(r.Action, "lockdown.lifted")
}

// over reports whether an act has come to its end by itself.
func over(a Act, lifted map[string]int64, now time.Time) bool {
	l := a.scope
	if _, ratified := lifted["ratify "+a.What]; a.Kind == LockDown && ratified {
		l.RatifyBy = time.Time{}
	}
	return !a.Until.IsZero() && !now.Before(a.Until) || !l.RatifyBy.IsZero() && !now.Before(l.RatifyBy)
}

// undone are the names under which an act is undone.
func (a Act) undone() []string {
	switch a.Kind {
	case Suspension:
		return []string{"person " + string(a.Person)}
	case Leave:
		return []string{"leave " + string(a.Person), lineOf(a.Record)}
	case Leak:
		return []string{"leak " + string(a.Person)}
	case LockDown, Ratification:
		return []string{"lockdown " + a.What}
	}
	return nil
}

func leaveOver(r audit.Record) []string {
	_, id := named(r.Object)
	return []string{"leave " + string(id)}
}

// lineOf is the line of an import that an entry is about; one that is about none has a
// name that nothing undoes.
func lineOf(r audit.Record) string {
	if r.Detail["import"] == "" {
		return ""
	}
	return "line " + r.Detail["import"] + "/" + r.Detail["line"]
}

func among(list []string, action string) bool {
	for _, known := range list {
		if action == known || strings.HasSuffix(known, ".") && strings.HasPrefix(action, known) {
			return true
		}
	}
	return false
}

// byHand, for what is missing, says that a person does it.
const byHand = "-"

// named takes apart how the trail names a person: "login (id)", or the id alone.
func named(object string) (login string, id directory.PersonID) {
	login, rest, both := strings.Cut(object, " (")
	if !both {
		return "", directory.PersonID(object)
	}
	return login, directory.PersonID(strings.TrimSuffix(rest, ")"))
}

func readSuspension(r audit.Record) (Act, string) {
	a := Act{Kind: Suspension}
	a.Login, a.Person = named(r.Object)
	missing := ""
	if a.Person == "" {
		missing = "person"
	}
	missing = until(&a, r, "until", missing)
	return a, missing
}

func until(a *Act, r audit.Record, key, missing string) string {
	text := r.Detail[key]
	if text == "" {
		return missing
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return key
	}
	a.Until = at
	return missing
}

func readLeave(r audit.Record) (Act, string) {
	a := Act{Kind: Leave}
	a.Login, a.Person = named(r.Object)
	from, err := time.Parse(time.RFC3339, r.Detail["leave_from"])
	a.From = from
	switch {
	case a.Person == "":
		return a, "person"
	case err != nil:
		return a, "leave_from"
	}
	end := "until"
	if r.Action == "person.on_leave" { // there it is the end of their ID
		end = "leave_until"
	}
	missing := until(&a, r, end, "")
	return a, missing
}

func readLeak(r audit.Record) (Act, string) {
	a := Act{Kind: Leak, Login: r.Actor, Person: directory.PersonID(r.Object)}
	if login, id := named(r.Object); login != "" { // done again once already
		a.Login, a.Person = login, id
	}
	if a.Person == "" {
		return a, "person"
	}
	return a, ""
}

func readFactor(r audit.Record) (Act, string) {
	a := Act{Kind: Factor, What: r.Detail["factor"]}
	if a.Login, a.Person = named(r.Object); a.Login == "" {
		a.Login = r.Actor // their own
	}
	switch {
	case a.Person == "":
		return a, "person"
	case a.What == "":
		return a, "factor"
	}
	return a, ""
}

func readToken(r audit.Record) (Act, string) {
	a := Act{Kind: Token, What: r.Detail["serial"]}
	a.Login, a.Person = named(r.Object)
	if a.What == "" {
		return a, "serial"
	}
	return a, ""
}

func readTerminal(r audit.Record) (Act, string) {
	a := Act{Kind: Terminal, What: r.Object}
	if a.What == "" {
		return a, "terminal"
	}
	return a, ""
}

func readPermit(r audit.Record) (Act, string) {
	a := Act{Kind: Permit, What: r.Detail["permit"], Login: r.Detail["person"]}
	if a.What == "" {
		return a, "permit"
	}
	return a, ""
}

func readLockDown(r audit.Record) (Act, string) {
	a := Act{Kind: LockDown, What: r.Object}
	a.scope = authz.LockDown{
		ID: r.Object, Scope: authz.Scope(r.Detail["scope"]), Target: r.Detail["target"], Reason: r.Reason, By: r.Actor, OrderedAt: r.Time,
	}
	if by := r.Detail[againBy]; by != "" { // done again once already
		a.scope.By = by
	}
	missing := until(&a, r, "until", "")
	switch {
	case a.Until.IsZero():
		missing = "until"
	case a.What == "":
		missing = "object"
	case a.scope.Scope == "" || a.scope.Scope.Aimed() && a.scope.Target == "":
		missing = "scope"
	}
	a.scope.EndsAt = a.Until
	if text := r.Detail["ratify_by"]; text != "" && missing == "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return a, "ratify_by"
		}
		a.scope.RatifyBy = at
	}
	return a, missing
}

func readRatification(r audit.Record) (Act, string) {
	a := Act{Kind: Ratification, What: r.Object}
	missing := until(&a, r, "until", "")
	if a.What == "" {
		missing = "object"
	}
	return a, missing
}

// readKey takes signing keys, which are rows. The others are files, and what became of them
// is in the files.
func readKey(r audit.Record) (Act, string) {
	ring, kid, _ := strings.Cut(r.Object, "/")
	if ring != "signing" {
		return Act{}, byHand
	}
	if kid == "" {
		return Act{Kind: SigningKey}, "key"
	}
	return Act{Kind: SigningKey, What: kid}, ""
}

// Lean is a record without the bytes that were hashed, of which a plan has no need: an
// hour of a busy gate fits in memory.
func Lean(r audit.Record) audit.Record {
	r.Data = nil
	return r
}
