package sample

import (
	"slices"
	"strconv"
	"time"

	"sekisho/policy"
)

// Entries gives the sample's people and groups to a new directory, as entries
// with the state that OpenLDAP's ppolicy would have left on them.
func Entries(now time.Time, s *Secrets, add func(dn string, attributes map[string][]string) error) error {
	err := add("ou=services,"+BaseDN, map[string][]string{"objectClass": {"top", "organizationalUnit"}})
	if err != nil {
		return err
	}
	members := map[policy.PostID][]string{}
	for _, p := range People() {
		if err := add(p.DN(), p.entry(now, s.Of(p.Login).Password)); err != nil {
			return err
		}
		for _, post := range p.Posts {
			members[post] = append(members[post], p.DN())
		}
	}
	for _, post := range policy.PostIDs() {
		group := map[string][]string{
			"objectClass": {"top", "groupOfNames"}, "cn": {string(post)}, "member": members[post],
		}
		if err := add(GroupDN(post), group); err != nil {
			return err
		}
	}
	return Lendable(add)
}

// AdminsDN is where the IDs stand that are lent, apart from people. A new
// directory has it.
const AdminsDN = "ou=admins," + BaseDN

// Placeholder stands for nobody in a group that may not be empty.
const Placeholder = "cn=nobody," + BaseDN

// Lendable are the groups and IDs that the sample lends and shares. Nobody is a
// member of a group but Placeholder; the IDs are closed and have no password that anybody knows.
func Lendable(add func(dn string, attributes map[string][]string) error) error {
	for _, cn := range []string{"db-admins", "juki-batch", "server-admins"} {
		err := add("cn="+cn+",ou=groups,"+BaseDN, map[string][]string{
			"objectClass": {"top", "groupOfNames"}, "cn": {cn}, "member": {Placeholder},
		})
		if err != nil {
			return err
		}
	}
	for _, id := range []struct{ login, name, kind string }{
		{"adm-switch", "通信機器管理", "service"}, {"hoso", "庁内放送", "shared"}, {"yoyaku", "会議室の予約", "shared"},
	} {
		err := add("uid="+id.login+","+AdminsDN, map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"},
			"uid":         {id.login}, "cn": {id.name}, "sn": {id.login}, "employeeType": {id.kind},
			"pwdAccountLockedTime": {"000001010000Z"}, // until it is lent
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p Person) entry(now time.Time, password string) map[string][]string {
	var (
		made     = now.Add(-2 * 365 * 24 * time.Hour)
		changed  = made
		lastUsed = now.Add(-24 * time.Hour)
		kind     = "staff"
	)
	if slices.Contains(p.Posts, policy.Contractor) {
		kind = "contractor"
	}
	attrs := map[string][]string{
		"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"},
		"uid":         {p.Login}, "cn": {p.Name}, "sn": {p.Surname}, "mail": {p.Mail()},
		"employeeNumber": {"K-" + p.Login}, "departmentNumber": {p.Section}, "employeeType": {kind}, "userPassword": {password},
	}
	if p.Company != "" {
		attrs["o"] = []string{p.Company}
	}
	switch p.State {
	case MustChange:
		made, changed, lastUsed = now, now, time.Time{}
		attrs["pwdReset"] = []string{"TRUE"}
	case Dormant:
		lastUsed = now.Add(-UnusedFor)
	case Left:
		attrs["pwdAccountLockedTime"] = []string{"000001010000Z"} // until an administrator, slapo-ppolicy(5)
	case Ended:
		attrs["shadowExpire"] = []string{strconv.FormatInt(now.Add(-EndedFor).Unix()/86400, 10)} // days since 1970
	}
	attrs["createTimestamp"] = []string{generalized(made)}
	attrs["pwdChangedTime"] = []string{generalized(changed)}
	if !lastUsed.IsZero() {
		attrs["pwdLastSuccess"] = []string{generalized(lastUsed)}
	}
	return attrs
}

// generalized is RFC 4517, section 3.3.13.
func generalized(t time.Time) string { return t.UTC().Format("20060102150405Z") }
