package embedded

import (
	"context"
	"maps"
	"slices"
)

// seed fills an empty tree. All of it is one write: a process killed meanwhile
// begins again with nothing.
func (s *Server) seed(ctx context.Context, more func(add func(dn string, attributes map[string][]string) error) error) error {
	if len(s.tree.entries) > 0 {
		return nil
	}
	return s.tree.write(true, func(p *plan) error {
		add := func(dn string, attributes map[string][]string) error {
			n, err := parseName(dn)
			if err != nil {
				return err
			}
			e := &entry{name: n}
			for _, description := range slices.Sorted(maps.Keys(attributes)) {
				e.set(description, attributes[description]...)
			}
			if e.attributes, err = s.hashAttributes(ctx, e.attributes); err != nil {
				return err
			}
			return s.insert(p, e, s.admin)
		}
		if err := s.plant(add); err != nil {
			return err
		}
		if more == nil {
			return nil
		}
		return more(add)
	})
}

// plant makes what every directory here begins with. The policy's limit is the
// highest NIST SP 800-63B-4 section 3.2.2 allows: Sekisho's own holds before it.
func (s *Server) plant(add func(string, map[string][]string) error) error {
	base := s.base.dn
	root := map[string][]string{"objectClass": {"top", "organization", "dcObject"}, "o": {s.base.rdn[0].value}}
	if attributeKey(s.base.rdn[0].attribute) != "dc" {
		root["objectClass"] = []string{"top", "extensibleObject"}
	}
	if err := add(base, root); err != nil {
		return err
	}
	for _, ou := range []string{"people", "groups", "admins", "policies"} {
		if err := add("ou="+ou+","+base, map[string][]string{"objectClass": {"top", "organizationalUnit"}}); err != nil {
			return err
		}
	}
	return add("cn=default,ou=policies,"+base, map[string][]string{
		"objectClass":             {"top", "device", "pwdPolicy"},
		"pwdAttribute":            {"userPassword"},
		"pwdLockout":              {"TRUE"},
		"pwdMaxFailure":           {"100"},
		"pwdFailureCountInterval": {"900"},
		"pwdLockoutDuration":      {"900"},
		"pwdMustChange":           {"TRUE"},
		"pwdAllowUserChange":      {"TRUE"},
	})
}
