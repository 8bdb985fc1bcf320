package house

import (
	"strings"
	"testing"
	"time"

	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// TestCheckLending: what the policy lends is looked for before it is asked for.
func TestCheckLending(t *testing.T) {
	t.Parallel()
	const base = "dc=pref,dc=example"
	word := secret.NewText([]byte("admin-of-this-test"))
	srv, err := embedded.Start(t.Context(), embedded.Config{
		Dir: t.TempDir(), BaseDN: base, AdminPassword: word, Now: clock.System(),
		Hasher: secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 64),
		Seed: func(add func(string, map[string][]string) error) error {
			if err := add("cn=lent,ou=groups,"+base, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"lent"}, "member": {"cn=nobody," + base}}); err != nil {
				return err
			}
			return add("uid=adm,ou=admins,"+base, map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {"adm"}, "cn": {"adm"}, "sn": {"adm"}})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	dir, err := ldap.Open(t.Context(), ldap.Config{
		Servers: []string{srv.URL()}, BindDN: "cn=admin," + base, BindPassword: word, BaseDN: base, Schema: "embedded", OpTimeout: 10 * time.Second,
	}, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	group := func(dn string) policy.Gift { return policy.Gift{Kind: policy.GiftGroup, Group: dn} }
	account := func(dn string) policy.Gift { return policy.Gift{Kind: policy.GiftAccount, Account: dn} }
	for _, tt := range []struct {
		gift policy.Gift
		says string // "" for nothing
	}{
		{group("cn=lent,ou=groups," + base), ""},
		{account("uid=adm,ou=admins," + base), ""},
		{policy.Gift{Kind: policy.GiftEphemeral, Under: "ou=admins," + base, Groups: []string{"cn=lent,ou=groups," + base}}, ""},
		{group("cn=none,ou=groups," + base), "has no cn=none"},
		{policy.Gift{Kind: policy.GiftEphemeral, Groups: []string{"cn=none,ou=groups," + base}}, "has no cn=none"},
		{group("cn=lent," + base), "lies outside"},
		{account("uid=none,ou=admins," + base), "has no uid=none"},
		{account("uid=adm,ou=people," + base), "has no uid=adm,ou=people"},
	} {
		rules := policy.Standard()
		rules.Privileges = []policy.Privilege{{ID: "v", Gives: []policy.Gift{tt.gift}}}
		found := checkLending(t.Context(), dir, rules)
		switch {
		case tt.says == "" && len(found) == 0:
		case tt.says == "" || len(found) != 1 || !strings.Contains(found[0].Error(), tt.says) && !strings.Contains(found[0].Error(), strings.TrimPrefix(tt.says, "has no ")):
			t.Errorf("%+v: %v, want %q", tt.gift, found, tt.says)
		}
	}
}
