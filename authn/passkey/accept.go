package passkey

import (
	"slices"
	"strings"

	"sekisho/policy"
)

// NotAccepted means that a key is right but not good enough for its owner's
// posts or for the zone. Unlike a wrong answer it may be told: only the key's
// holder gets this far.
type NotAccepted struct {
	Reason   string // "synced", "model", "attestation"
	Articles []policy.Article
	Says     policy.Words
}

func (n *NotAccepted) Error() string { return "passkey not accepted: " + n.Reason }

// Acceptable is nil, or why a key may not be used by the holder of these posts
// from this zone. An empty zone asks nothing. It must be asked at every use: the
// policy, the posts and the zone change, the key does not.
func Acceptable(pol *policy.Policy, posts []policy.PostID, zone policy.ZoneID, k Key) *NotAccepted {
	if k.Synced && zone == policy.MyNumber {
		// A key that its maker copies proves an account with the maker, not
		// something held (NIST SP 800-63B-4 section 3.1.7).
		return &NotAccepted{"synced", []policy.Article{"26no3-1"}, policy.Words{
			JA: "このパスキーは、ほかの機器にも写される種類のものです。個人番号利用事務系では、一つの機器から外に出ないパスキーを使ってください。",
			EN: "This passkey is of the kind that is copied to other devices. In the Individual Number systems, use one that never leaves its device.",
		}}
	}
	if k.Synced && pol.Powerful(posts) {
		// Our own rule: what opens privilege is guarded as privilege is.
		return &NotAccepted{"synced", []policy.Article{"62-7"}, policy.Words{
			JA: "このパスキーは、ほかの機器にも写される種類のものです。承認や管理を行う役割の方は、一つの機器から外に出ないパスキーを使ってください。",
			EN: "This passkey is of the kind that is copied to other devices. Whoever approves or administers uses one that never leaves its device.",
		}}
	}
	for d := range demands(pol, posts) {
		if len(d.AAGUIDs) > 0 && !slices.ContainsFunc(d.AAGUIDs, func(a string) bool { return strings.EqualFold(a, k.AAGUID) }) {
			return &NotAccepted{"model", []policy.Article{"64-1"}, policy.Words{
				JA: "このパスキーは、使えることになっている機種ではありません。使える機種を情報システム管理者に確かめてください。",
				EN: "This passkey is not of a model that may be used. Ask your system administrator which models are.",
			}}
		}
		if d.Attestation && !k.Attested {
			return &NotAccepted{"attestation", []policy.Article{"64-1"}, policy.Words{
				JA: "このパスキーの製造者を確かめられませんでした。登録のときに製造者と機種を知らせることを許可するか、県が信頼する製造者のものを使ってください。",
				EN: "The maker of this passkey could not be confirmed. When you add it, allow its make and model to be seen, or use one whose maker the prefecture trusts.",
			}}
		}
	}
	return nil
}

// demands are those of the policy's that hold for somebody with these posts.
func demands(pol *policy.Policy, posts []policy.PostID) func(yield func(policy.PasskeyDemand) bool) {
	return func(yield func(policy.PasskeyDemand) bool) {
		for _, d := range pol.Passkey.Demands {
			named := func(p policy.PostID) bool { return slices.Contains(d.Posts, p) }
			if (len(d.Posts) == 0 || slices.ContainsFunc(posts, named)) && !yield(d) {
				return
			}
		}
	}
}

// asksMaker reports whether browsers are to be asked what the key is, and who
// says so, which they show to the person.
func asksMaker(pol *policy.Policy, posts []policy.PostID) bool {
	for d := range demands(pol, posts) {
		if d.Attestation || len(d.AAGUIDs) > 0 {
			return true
		}
	}
	return false
}
