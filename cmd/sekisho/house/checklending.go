package house

import (
	"context"
	"errors"

	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy"
)

// checkLending looks whether what the policy lends is there, not guarded by the
// directory itself, and closed.
func checkLending(ctx context.Context, dir *ldap.Directory, rules *policy.Policy) []error {
	var found []error
	for _, v := range rules.Privileges {
		for _, g := range v.Gives {
			for _, group := range g.GroupDNs() {
				if err := dir.Lendable(ctx, group); err != nil {
					found = append(found, notLendable(v.ID, group, err))
				}
			}
			if g.Kind != policy.GiftAccount {
				continue
			}
			switch p, err := dir.Lent(ctx, g.Account); {
			case err != nil:
				found = append(found, notLendable(v.ID, g.Account, err))
			case p.Protected:
				found = append(found, notLendable(v.ID, g.Account, directory.ErrProtected))
			}
		}
	}
	return found
}

func notLendable(privilege, dn string, err error) error {
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return say.Errorf("特権 %[1]s の %[2]s がディレクトリにありません。作るか、方針の名前を直してください。IDは lent_dn の下に、グループは groups_dn の下に置きます。",
			"privilege %[1]s: the directory has no %[2]s; make it, or mend its name in the policy (IDs lie below lent_dn, groups below groups_dn)", privilege, dn)
	case errors.Is(err, directory.ErrProtected):
		return say.Errorf("特権 %[1]s の %[2]s はディレクトリが守っているので（adminCount）、貸せません。権限を委任した別のグループかIDを貸してください。",
			"privilege %[1]s: the directory protects %[2]s (adminCount), so it cannot be lent; lend a group or an ID that has rights delegated to it", privilege, dn)
	case errors.Is(err, directory.ErrMalformed):
		return say.Errorf("特権 %[1]s の %[2]s は、貸すものの置き場（groups_dn、lent_dn）の外にあります。移すか、設定を直してください。",
			"privilege %[1]s: %[2]s lies outside groups_dn and lent_dn; move it, or mend the settings", privilege, dn)
	}
	return say.Errorf("特権 %[1]s の %[2]s を確かめられません（%[3]v）。閲覧の許可を確かめてください（docs/operations.md）。",
		"privilege %[1]s: %[2]s cannot be looked at (%[3]v); check that we may read it (docs/operations.md)", privilege, dn, err)
}
