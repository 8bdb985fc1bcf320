package lockdown

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// A Refusal says why somebody may not order, ratify or lift, or what of an order
// cannot be taken.
type Refusal struct {
	Reason   string // for machines and auditors
	Field    string // "" where it is not about something that was entered
	Says     policy.Words
	Articles []policy.Article
}

func (r *Refusal) Error() string { return "lock-down: " + r.Reason }

// articles are those that every act of this room serves.
var articles = []policy.Article{"11-4", "54-3", "75-2"}

func no(reason, ja, en string) *Refusal {
	return &Refusal{Reason: reason, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

func bad(field, reason, ja, en string) *Refusal {
	r := no(reason, ja, en)
	r.Field = field
	return r
}

// An Authority is by what right somebody orders. Its zero value is none.
type Authority string

// The authorities.
const (
	Own       Authority = "cio"
	Delegated Authority = "delegated" // CSIRT, until the CIO ratifies
)

// MayOrder says by what right whoever holds these posts orders a lock-down (article
// 11-4: it is the CIO's, who may delegate it to CSIRT on record).
func MayOrder(p *policy.Policy, posts []policy.PostID, now time.Time) (Authority, *Refusal) {
	switch {
	case audits(p, posts):
		// Also beside another post: who changed it could not audit it.
		return "", no("reads_only", "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.")
	case slices.Contains(posts, policy.CIO):
		return Own, nil
	case slices.Contains(posts, policy.CSIRT) && p.LockDown.Delegation.InForce(now):
		return Delegated, nil
	case slices.Contains(posts, policy.CSIRT):
		return "", no("not_delegated", "緊急停止の権限は、CSIRTに委任されていません。ＣＩＯに連絡してください。",
			"Lock-down is not delegated to CSIRT. Please call the CIO.")
	}
	return "", no("no_post", "緊急停止を命じられるのは、ＣＩＯと、委任を受けたCSIRTです。", "A lock-down is ordered by the CIO, or by CSIRT under delegation.")
}

func audits(p *policy.Policy, posts []policy.PostID) bool {
	return slices.ContainsFunc(posts, func(id policy.PostID) bool {
		post, ok := p.Post(id)
		return ok && post.Audits
	})
}

// MayRatify says whether these posts ratify what was ordered under delegation.
func MayRatify(p *policy.Policy, posts []policy.PostID) *Refusal {
	if right, why := MayOrder(p, posts, time.Time{}); why != nil || right != Own {
		return no("no_post", "追認できるのはＣＩＯです。", "Only the CIO ratifies it.")
	}
	return nil
}

// MayLift says whether these posts lift a lock-down. CSIRT lifts what it ordered
// itself and the CIO has not made their own.
func MayLift(p *policy.Policy, posts []policy.PostID, l authz.LockDown, now time.Time) *Refusal {
	right, why := MayOrder(p, posts, now)
	if why != nil {
		return why
	}
	if right == Delegated && (l.RatifyBy.IsZero() || !l.RatifiedAt.IsZero()) {
		return no("the_cios", "ＣＩＯが命じた、又は追認した緊急停止を解除できるのは、ＣＩＯです。", "What the CIO ordered or ratified is lifted by the CIO.")
	}
	return nil
}

// MaySee says whether these posts see what is in force and was.
func MaySee(p *policy.Policy, posts []policy.PostID) *Refusal {
	for _, id := range posts {
		if post, ok := p.Post(id); ok && (post.Approves || post.Administers || post.Audits) || id == policy.CSIRT || id == policy.CIO {
			return nil
		}
	}
	return no("no_post", "あなたの役割では見られません。", "Your post does not include this.")
}

// An Order is what somebody asks to be stopped.
type Order struct {
	Scope   authz.Scope
	Target  string
	Reason  string
	Minutes int
	// ID is the lock-down's, as a Picture named it: sent twice, it is ordered once.
	// Empty for a new one.
	ID string
}

// MaxReason bounds a reason, in characters.
const MaxReason = 500

// tidy takes away what makes no difference.
func (r Order) tidy() Order {
	r.Target, r.Reason = strings.TrimSpace(r.Target), strings.TrimSpace(r.Reason)
	return r
}

// check refuses an order that says too little, or names nothing.
func (r Order) check(p *policy.Policy) *Refusal {
	longest := int(p.LockDown.Longest / time.Minute)
	switch {
	case !slices.Contains(authz.Scopes(), r.Scope):
		return bad("scope", "unknown", "停止する範囲を選んでください。", "Choose what is to be stopped.")
	case r.Scope.Aimed() && r.Target == "":
		return bad("target", "required", "停止する相手を指定してください。", "Say what or whom it is aimed at.")
	case !r.Scope.Aimed() && r.Target != "":
		return bad("target", "not_needed", "この範囲には相手を指定しません。", "This scope is aimed at nothing in particular; leave it out.")
	case utf8.RuneCountInString(r.Target) > 200:
		return bad("target", "too_long", "長すぎます。", "This is too long.")
	case !knows(p, r):
		return bad("target", "unknown", "policyにないものは指定できません。綴りを確かめてください。", "The policy knows nothing of that name. Check how it is spelt.")
	case r.Minutes < 1 || r.Minutes > longest:
		return bad("minutes", "bounds", "1分から、定めた最長の時間までで指定してください。", "Give minutes from 1 to the longest that the policy allows.")
	}
	if r.ID != "" && !anID(r.ID) {
		return bad("id", "malformed", "この画面をもう一度開いて、やり直してください。", "Please open this page again and begin anew.")
	}
	return reason("reason", r.Reason)
}

// anID reports whether a text could be the id of a lock-down.
func anID(s string) bool {
	return len(s) == len(secret.Token(idBytes)) && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	})
}

// idBytes is how long an id is, in random bytes.
const idBytes = 16

func reason(field, text string) *Refusal {
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || unicode.In(r, unicode.Bidi_Control)
	}
	switch {
	case text == "":
		return bad(field, "required", "理由を入力してください。", "Please give a reason.")
	case utf8.RuneCountInString(text) > MaxReason:
		return bad(field, "too_long", "理由は500字までです。", "A reason has 500 characters at most.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		return bad(field, "unusable", "理由に使えない文字があります。", "The reason holds characters that cannot be used.")
	}
	return nil
}

// knows reports whether the policy has what an order is aimed at. People and
// companies are the directory's, and terminals also the register's.
func knows(p *policy.Policy, r Order) bool {
	ok := true
	switch r.Scope {
	case authz.LockSection:
		_, ok = p.Section(r.Target)
	case authz.LockApplication:
		_, ok = p.Application(r.Target)
		ok = ok || slices.ContainsFunc(p.Clients, func(c policy.Client) bool { return c.Application == "" && c.ID == r.Target })
	case authz.LockZone:
		_, ok = p.Zone(policy.ZoneID(r.Target))
	}
	return ok
}
