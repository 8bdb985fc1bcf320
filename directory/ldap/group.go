package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// AddMember puts a person into a group. One who is in it already stays in it.
func (d *Directory) AddMember(ctx context.Context, groupDN, personDN string) error {
	if err := d.groupAndPerson(groupDN, personDN); err != nil {
		return fmt.Errorf("adding a member: %w", err)
	}
	err := d.member(ctx, groupDN, func(m *goldap.ModifyRequest) {
		m.Add(d.schema.Member, []string{personDN})
	})
	// Active Directory has a member twice no more than an entry.
	if err == nil || coded(err, goldap.LDAPResultAttributeOrValueExists) || errors.Is(err, directory.ErrExists) {
		return nil
	}
	return fmt.Errorf("adding a member to %s: %w", groupDN, err)
}

// RemoveMember takes a person out of a group. One who is not in it, or a group
// that is gone, is nothing left to do. Where a group may not be empty (RFC 4519
// section 3.5, groupOfNames) its last member is exchanged for
// Config.PlaceholderMember.
func (d *Directory) RemoveMember(ctx context.Context, groupDN, personDN string) error {
	if err := d.groupAndPerson(groupDN, personDN); err != nil {
		return fmt.Errorf("removing a member: %w", err)
	}
	return d.Expel(ctx, groupDN, personDN)
}

// Expel is RemoveMember for whatever a group names: a group inside it, an ID that
// is nobody's, a name that leads nowhere. It writes to the group alone.
func (d *Directory) Expel(ctx context.Context, groupDN, personDN string) error {
	if _, err := within(d.groups, groupDN); err != nil {
		return fmt.Errorf("removing a member: %w", err)
	}
	if _, err := goldap.ParseDN(personDN); err != nil || personDN == "" {
		return fmt.Errorf("removing a member: %w", directory.ErrMalformed)
	}
	// Twice: between the first answer and the exchange somebody may have joined,
	// or the placeholder have been put in by another gateway.
	var err error
	for range 2 {
		err = d.member(ctx, groupDN, func(m *goldap.ModifyRequest) {
			m.Delete(d.schema.Member, []string{personDN})
		})
		if !coded(err, goldap.LDAPResultObjectClassViolation) {
			break
		}
		err = d.member(ctx, groupDN, func(m *goldap.ModifyRequest) {
			m.Add(d.schema.Member, []string{d.PlaceholderMember})
			m.Delete(d.schema.Member, []string{personDN})
		})
		if !coded(err, goldap.LDAPResultAttributeOrValueExists) {
			break
		}
	}
	if coded(err, goldap.LDAPResultUnwillingToPerform) {
		// Active Directory says this of whoever is no member, and of much else.
		if groups, found := d.groupsOf(ctx, personDN); found == nil && !slices.ContainsFunc(groups, same(groupDN)) {
			return nil
		}
	}
	if err == nil || coded(err, goldap.LDAPResultNoSuchAttribute) || errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("removing a member from %s: %w", groupDN, err)
}

// same compares DNs with one.
func same(dn string) func(string) bool {
	want, err := goldap.ParseDN(dn)
	return func(other string) bool {
		got, bad := goldap.ParseDN(other)
		return err == nil && bad == nil && want.EqualFold(got)
	}
}

// Members are the DNs of everybody and everything that a group names as a
// member, the placeholder not among them. A server that tells members by parts
// is asked until it says that one was the last ([MS-ADTS] section
// 3.1.1.3.1.3.3); whatever ends before that is directory.ErrTruncated.
func (d *Directory) Members(ctx context.Context, groupDN string) ([]string, error) {
	if _, err := within(d.groups, groupDN); err != nil {
		return nil, fmt.Errorf("reading members: %w", err)
	}
	var members []string
	for {
		part, last, err := d.membersFrom(ctx, groupDN, len(members))
		if err != nil {
			return nil, fmt.Errorf("reading the members of %s: %w", groupDN, err)
		}
		if members = append(members, part...); last {
			return slices.DeleteFunc(members, same(d.PlaceholderMember)), nil
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("reading the members of %s: %w", groupDN, directory.ErrTruncated)
		}
	}
}

// membersFrom reads what one answer tells, beginning with the n-th.
func (d *Directory) membersFrom(ctx context.Context, groupDN string, n int) (part []string, last bool, err error) {
	attribute := d.schema.Member
	if d.schema.MemberRange > 0 {
		attribute += fmt.Sprintf(";range=%d-%d", n, n+d.schema.MemberRange-1)
	}
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: groupDN, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: equals("objectClass", d.schema.GroupClass), Attributes: []string{attribute},
	})
	if err != nil {
		return nil, false, err
	}
	if len(result.Entries) != 1 {
		return nil, false, directory.ErrTruncated
	}
	for _, a := range result.Entries[0].Attributes {
		name, options, ranged := strings.Cut(strings.ToLower(a.Name), ";range=")
		if name != strings.ToLower(d.schema.Member) {
			continue
		}
		if !ranged { // all of them
			return a.Values, true, nil
		}
		if !strings.HasPrefix(options, strconv.Itoa(n)+"-") {
			return nil, false, fmt.Errorf("%w: asked from %d, answered %s", directory.ErrTruncated, n, a.Name)
		}
		return a.Values, strings.HasSuffix(options, "-*"), nil
	}
	return nil, n == 0, nil // an empty group shows no attribute
}

func (d *Directory) member(ctx context.Context, groupDN string, change func(*goldap.ModifyRequest)) error {
	m := goldap.NewModifyRequest(groupDN, nil)
	change(m)
	return d.write(ctx, func(l *link) error { return l.Modify(m) })
}

// groupAndPerson keeps the service account's pen inside the two subtrees that
// are ours.
func (d *Directory) groupAndPerson(groupDN, personDN string) error {
	if _, err := within(d.groups, groupDN); err != nil {
		return err
	}
	_, err := d.person(personDN)
	return err
}
