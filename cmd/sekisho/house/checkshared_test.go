package house

import (
	"strings"
	"testing"

	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestSharedAndSealed: an ID of the register of emergency IDs is found among those that
// the policy shares, by what the directory calls it, or by its DN where that is not known.
func TestSharedAndSealed(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		return tx.ExecOne(t.Context(), `INSERT INTO emergency_id (id, name, account, body, registered_at) VALUES ('e', 'n', 'fw-admin', '{"system":"Firewall"}', 1)`)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dn, login string
		want            bool
	}{
		{"by its DN", "uid=fw-admin,ou=admins,dc=pref", "", true},
		{"by its login", "cn=Firewall,ou=admins,dc=pref", "FW-Admin", true},
		{"its login is another", "cn=fw-admin,ou=admins,dc=pref", "hoso", false},
		{"another", "uid=hoso,ou=admins,dc=pref", "hoso", false},
	} {
		rules := policy.Standard()
		rules.SharedIDs = []policy.SharedID{{ID: "s", Account: tt.dn}}
		found := sharedAndSealed(t.Context(), db, rules, func(string) string { return tt.login })
		if len(found) > 1 || len(found) == 1 != tt.want || tt.want && (!strings.Contains(found[0].Error(), tt.dn) || !strings.Contains(found[0].Error(), "Firewall")) {
			t.Errorf("%s: %v, want a fault: %t", tt.name, found, tt.want)
		}
	}
}
