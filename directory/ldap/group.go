package ldap

import (
	"context"
	"errors"
	"fmt"

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
	if err == nil || coded(err, goldap.LDAPResultAttributeOrValueExists) {
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
	if err == nil || coded(err, goldap.LDAPResultNoSuchAttribute) || errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("removing a member from %s: %w", groupDN, err)
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
	_, err := within(d.people, personDN)
	return err
}
