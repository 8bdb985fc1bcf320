package passkey_test

import (
	"errors"
	"slices"
	"testing"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestAcceptable(t *testing.T) {
	t.Parallel()
	const one, two = "11111111-2222-3333-4444-aaaaaaaaaaaa", "11111111-2222-3333-4444-bbbbbbbbbbbb"
	var (
		pol = func(d ...policy.PasskeyDemand) *policy.Policy {
			return &policy.Policy{
				Posts: []policy.Post{
					{ID: policy.Staff}, {ID: policy.CIO, Approves: true}, {ID: policy.SystemOperator, Administers: true},
					{ID: policy.Auditor, Audits: true},
				},
				Passkey: policy.PasskeyRules{Demands: d},
			}
		}
		staff    = []policy.PostID{policy.Staff}
		cio      = []policy.PostID{policy.Staff, policy.CIO}
		operator = []policy.PostID{policy.SystemOperator}
		auditor  = []policy.PostID{policy.Auditor}
		bound    = passkey.Key{AAGUID: one}
		attested = passkey.Key{AAGUID: one, Attested: true}
		synced   = passkey.Key{AAGUID: one, Synced: true, Attested: true}

		makers  = policy.PasskeyDemand{Attestation: true}
		ofCIO   = policy.PasskeyDemand{Posts: []policy.PostID{policy.CIO, policy.CSIRT}, Attestation: true}
		models  = policy.PasskeyDemand{AAGUIDs: []string{two, "11111111-2222-3333-4444-AAAAAAAAAAAA"}}
		another = policy.PasskeyDemand{AAGUIDs: []string{two}}
	)
	for _, tt := range []struct {
		name    string
		pol     *policy.Policy
		posts   []policy.PostID
		zone    policy.ZoneID
		key     passkey.Key
		reason  string // "": acceptable
		article policy.Article
	}{
		{"nothing asked", pol(), staff, policy.LGWAN, bound, "", ""},
		{"no posts, no zone", pol(), nil, "", bound, "", ""},
		{"synced at the Internet", pol(), staff, policy.Internet, synced, "", ""},
		{"synced, no zone", pol(), staff, "", synced, "", ""},
		{"synced at the Individual Number systems", pol(), staff, policy.MyNumber, synced, "synced", "26no3-1"},
		{"bound there", pol(), staff, policy.MyNumber, bound, "", ""},
		{"synced for who approves", pol(), cio, policy.LGWAN, synced, "synced", "62-7"},
		{"synced for who administers", pol(), operator, "", synced, "synced", "62-7"},
		{"synced for who audits", pol(), auditor, policy.LGWAN, synced, "", ""},
		{"bound for who approves", pol(), cio, policy.MyNumber, bound, "", ""},
		{"no maker", pol(makers), staff, policy.LGWAN, bound, "attestation", "64-1"},
		{"a maker", pol(makers), staff, policy.LGWAN, attested, "", ""},
		{"a maker asked of another post", pol(ofCIO), staff, policy.LGWAN, bound, "", ""},
		{"a maker asked of nobody's post", pol(ofCIO), nil, policy.LGWAN, bound, "", ""},
		{"a maker asked of this post", pol(ofCIO), cio, policy.LGWAN, bound, "attestation", "64-1"},
		{"a listed model, in capitals", pol(models), staff, policy.LGWAN, bound, "", ""},
		{"another model", pol(another), staff, policy.LGWAN, attested, "model", "64-1"},
		{"no model", pol(another), staff, policy.LGWAN, passkey.Key{}, "model", "64-1"},
		{"each demand holds, the first broken", pol(another, makers), staff, "", attested, "model", "64-1"},
		{"each demand holds, the last broken", pol(models, makers), staff, "", bound, "attestation", "64-1"},
		{"each demand holds", pol(models, makers, ofCIO), cio, "", attested, "", ""},
		{"a vouched copy is a copy", pol(makers), cio, "", synced, "synced", "62-7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			no := passkey.Acceptable(tt.pol, tt.posts, tt.zone, tt.key)
			if (no == nil) != (tt.reason == "") {
				t.Fatalf("Acceptable = %v, want %q", no, tt.reason)
			}
			if no == nil {
				return
			}
			if no.Reason != tt.reason || !slices.Equal(no.Articles, []policy.Article{tt.article}) || !policy.ValidArticle(tt.article) {
				t.Errorf("Acceptable = %s %v, want %s %s", no.Reason, no.Articles, tt.reason, tt.article)
			}
			if no.Says.JA == "" || no.Says.EN == "" {
				t.Errorf("it says %+v", no.Says)
			}
		})
	}
}

// TestEnrolNotAccepted: a key that would not do is not bound, and the enrolment
// stands for another.
func TestEnrolNotAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.begin(mira)
	authenticator := passkeytest.New(rpID, origin)
	authenticator.Synced = true
	answer, _ := create(t, authenticator, e)
	finish := func(posts []policy.PostID, zone policy.ZoneID) error {
		return b.tx(func(tx *store.Tx) error {
			_, err := b.FinishEnrol(t.Context(), tx, mira, posts, zone, cookie, e.ID, "key", answer)
			return err
		})
	}
	for name, err := range map[string]error{
		"the zone": finish(nil, policy.MyNumber),
		"the post": finish([]policy.PostID{policy.CIO}, policy.LGWAN),
	} {
		var no *passkey.NotAccepted
		if !errors.As(err, &no) || no.Reason != "synced" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := b.names(mira); len(names) != 0 {
		t.Errorf("the person has %v", names)
	}
	if err := finish([]policy.PostID{policy.Staff}, policy.LGWAN); err != nil {
		t.Errorf("where it will do: %v", err)
	}
}
