package authz

import (
	"fmt"
	"slices"
	"testing"

	"sekisho/policy"
)

// TestMay is the whole table: each act by the holder of each post on a member
// of the staff. A post that is missing from a row is refused.
func TestMay(t *testing.T) {
	var (
		administers = []policy.PostID{policy.SystemAdministrator, policy.SystemOperator, policy.CSIRT}
		approves    = []policy.PostID{policy.SecurityManager, policy.SecurityOfficer, policy.CIO}
		either      = slices.Concat(administers, approves)
		auditor     = []policy.PostID{policy.Auditor}
	)
	table := map[Act][]policy.PostID{
		ViewPeople:        slices.Concat(either, auditor),
		Suspend:           either,
		Restore:           either,
		RecordLeave:       either,
		EndLeave:          either,
		Unlock:            administers,
		TemporaryPassword: administers,
		RecoveryCode:      administers,
		RemoveFactor:      administers,
		ViewTerminals:     slices.Concat(either, auditor),
		EnrolTerminal:     administers,
		LoseTerminal:      either,
		RemoveTerminal:    administers,
		ViewTokens:        slices.Concat(administers, auditor),
		ImportTokens:      administers,
		AssignToken:       administers,
		ResyncToken:       administers,
		LoseToken:         administers,
		ViewApplications:  slices.Concat(either, auditor),
		TryAccess:         slices.Concat(either, auditor),
		EndInside:         either,
	}
	if len(table) != len(Acts()) || len(duties) != len(Acts()) {
		t.Errorf("%d acts, %d in the table, %d with a duty", len(Acts()), len(table), len(duties))
	}
	for _, act := range Acts() {
		for _, post := range policy.PostIDs() {
			want := slices.Contains(table[act], post)
			got := May(prefecture(), act, []policy.PostID{policy.Staff, post}, []policy.PostID{policy.Staff}, false)
			if got.OK() != want {
				t.Errorf("%s by %s: %t (%s), want %t", act, post, got.OK(), got.Reason, want)
			}
			speaks(t, fmt.Sprintf("%s by %s", act, post), got)
		}
	}
}

// speaks holds an answer to what every answer must say.
func speaks(t *testing.T, of string, p Permission) {
	t.Helper()
	if p.OK() != (p.Reason == Allowed) {
		t.Errorf("%s: OK %t with reason %q", of, p.OK(), p.Reason)
	}
	if !p.OK() && (p.Says.JA == "" || p.Says.EN == "") {
		t.Errorf("%s: a refusal without words", of)
	}
	if len(p.Articles) == 0 {
		t.Errorf("%s: no article", of)
	}
	for _, a := range p.Articles {
		if !policy.ValidArticle(a) {
			t.Errorf("%s: there is no article %s", of, a)
		}
	}
}

func TestMayNot(t *testing.T) {
	var (
		admin    = []policy.PostID{policy.Staff, policy.SystemAdministrator}
		staff    = []policy.PostID{policy.Staff}
		officer  = []policy.PostID{policy.Staff, policy.SecurityOfficer}
		operator = []policy.PostID{policy.SystemOperator}
	)
	for _, tt := range []struct {
		name    string
		act     Act
		by, on  []policy.PostID
		self    bool
		want    Reason
		article policy.Article
	}{
		{"an act nobody knows", "make_coffee", admin, staff, false, UnknownAct, "62-1"},
		{"no act", "", admin, staff, false, UnknownAct, "62-1"},
		{"holds no post", Suspend, nil, staff, false, NoPost, "78-3"},
		{"a post that the policy does not have", Suspend, []policy.PostID{"emperor"}, staff, false, NoPost, "78-3"},
		{"who approves lends no credential", TemporaryPassword, officer, staff, false, NoPost, "64-2"},
		{"an auditor changes nothing", Suspend, []policy.PostID{policy.Auditor}, staff, false, ReadsOnly, "82-2"},
		{"nor with another post beside", Suspend, []policy.PostID{policy.Auditor, policy.SystemAdministrator}, staff, false, ReadsOnly, "16-2"},
		{"who may not audits nothing either", ViewPeople, staff, staff, false, NoPost, "47-3"},
		{"oneself", Restore, admin, admin, true, OwnAccount, "16-1"},
		{"one's own password, though powerful", TemporaryPassword, admin, admin, true, OwnAccount, "16-1"},
		{"one's own token", LoseToken, admin, admin, true, OwnAccount, "16-1"},
		{"a temporary password for who approves", TemporaryPassword, admin, officer, false, TwoPersons, "62-7"},
		{"a recovery code for who administers", RecoveryCode, admin, operator, false, TwoPersons, "62-7"},
		{"a factor of who approves", RemoveFactor, admin, officer, false, TwoPersons, "16-1"},
		{"a token of who administers", AssignToken, admin, operator, false, TwoPersons, "62-7"},
		{"looking at oneself", ViewPeople, admin, admin, true, Allowed, "62-3"},
		{"suspending who approves", Suspend, admin, officer, false, Allowed, "75-2"},
		{"suspending who administers, by who approves", Suspend, officer, admin, false, Allowed, "78-3"},
		{"unlocking who approves", Unlock, admin, officer, false, Allowed, "63-7"},
		{"a lost token of who approves", LoseToken, admin, officer, false, Allowed, "43-1"},
		{"an act on nobody", ImportTokens, admin, nil, false, Allowed, "64-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := May(prefecture(), tt.act, tt.by, tt.on, tt.self)
			if got.Reason != tt.want || got.OK() != (tt.want == Allowed) {
				t.Errorf("May = %t, %q; want %q", got.OK(), got.Reason, tt.want)
			}
			if !slices.Contains(got.Articles, tt.article) {
				t.Errorf("articles %v do not name %s", got.Articles, tt.article)
			}
			speaks(t, tt.name, got)
		})
	}
}

func TestZeroPermissionRefuses(t *testing.T) {
	if (Permission{}).OK() {
		t.Error("the zero permission lets through")
	}
}
