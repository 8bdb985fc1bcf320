package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
)

// assertionControl is RFC 4528: do this only where the filter matches.
const assertionControl = "1.3.6.1.1.12"

func assert(filter string) (goldap.Control, error) {
	packet, err := goldap.CompileFilter(filter)
	if err != nil {
		return nil, fmt.Errorf("asserting %s: %w", filter, err)
	}
	return goldap.NewControlString(assertionControl, true, string(packet.Bytes())), nil
}

// theirs asserts that an entry is still the person who was read: a DN may have
// been given to somebody else since, an ID never is.
func (d *Directory) theirs(p directory.Person, also string) (goldap.Control, error) {
	if !entryUUID.MatchString(string(p.ID)) {
		return nil, fmt.Errorf("%w: a person without an ID", directory.ErrMalformed)
	}
	if _, err := within(d.people, p.DN); err != nil {
		return nil, err
	}
	return assert("(&" + equals(d.schema.ID, string(p.ID)) + also + ")")
}

// modify changes a person's entry while it is theirs and the filter holds.
func (d *Directory) modify(ctx context.Context, p directory.Person, m *goldap.ModifyRequest, when string) error {
	control, err := d.theirs(p, when)
	if err != nil {
		return err
	}
	m.Controls = append(m.Controls, control)
	return d.write(ctx, func(l *link) error { return l.Modify(m) })
}

func gone(doing string, err error) error {
	if coded(err, goldap.LDAPResultAssertionFailed) {
		return fmt.Errorf("%s: %w: the entry is not this person's any more", doing, directory.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Disable closes an account until Enable. The password stays as it is.
func (d *Directory) Disable(ctx context.Context, p directory.Person) error {
	m := goldap.NewModifyRequest(p.DN, nil)
	m.Replace(d.schema.Locked, []string{d.schema.Disabled})
	return gone("disabling an account", d.modify(ctx, p, m, ""))
}

// Enable opens an account again with the password it had. A lock after too many
// failures ends with it.
func (d *Directory) Enable(ctx context.Context, p directory.Person) error {
	m := goldap.NewModifyRequest(p.DN, nil)
	m.Replace(d.schema.Locked, nil)
	return gone("enabling an account", d.modify(ctx, p, m, ""))
}

// Unlock ends a lock after too many failures and leaves everything else as it
// is; where there is none it does nothing. An account that was disabled stays
// so, which is asserted inside the modification (RFC 4528): the two live in one
// attribute.
//
// The failures themselves are the server's to keep. Until it forgets them, or
// hears the right password, one more wrong one locks again.
func (d *Directory) Unlock(ctx context.Context, p directory.Person) error {
	s := &d.schema
	m := goldap.NewModifyRequest(p.DN, nil)
	m.Replace(s.Locked, nil)
	err := d.modify(ctx, p, m, "(!"+equals(s.Locked, s.Disabled)+")")
	if coded(err, goldap.LDAPResultAssertionFailed) {
		return fmt.Errorf("unlocking an account: %w: it is disabled, or not this person's any more", directory.ErrNotFound)
	}
	return gone("unlocking an account", err)
}

// Create adds a person and answers them as the directory has them. The entry,
// its password and the mark that it must be changed appear together.
//
// Errors: directory.ErrExists; directory.ErrMalformed for a login that is not
// its own canonical spelling, or for a value with control characters;
// *directory.Refused for a password the directory does not take.
func (d *Directory) Create(ctx context.Context, n directory.NewPerson) (directory.Person, error) {
	if err := creatable(n); err != nil {
		return directory.Person{}, fmt.Errorf("creating a person: %w", err)
	}
	// Not only the DN must be free: the name must not lead to somebody already,
	// wherever below the people base, nor be their address.
	if _, err := d.Find(ctx, n.Login); err == nil || errors.Is(err, directory.ErrAmbiguous) {
		return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, directory.ErrExists)
	} else if !errors.Is(err, directory.ErrNotFound) {
		return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, err)
	}
	dn := personDN(&d.schema, d.PeopleDN, n.Login)
	err := d.write(ctx, func(l *link) error { return l.Add(d.entry(dn, n)) })
	if err != nil {
		return directory.Person{}, d.notCreated(ctx, n, err)
	}
	if password := n.Password.Reveal(); len(password) > 0 {
		if err := d.hashed(ctx, dn, password); err != nil {
			return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, err)
		}
	}
	return d.byDN(ctx, dn)
}

// notCreated tells a login that another entry holds from a password that was
// not taken: servers answer both with constraintViolation.
func (d *Directory) notCreated(ctx context.Context, n directory.NewPerson, err error) error {
	if coded(err, goldap.LDAPResultConstraintViolation) {
		if _, found := d.Find(ctx, n.Login); found == nil || errors.Is(found, directory.ErrAmbiguous) {
			return fmt.Errorf("creating %s: %w", n.Login, directory.ErrExists)
		}
	}
	return wrapRefusal("creating "+n.Login, refusal(err))
}

// maxLogin is the upper bound of uid in RFC 4524 section 2 and RFC 1274: 256,
// in bytes.
const maxLogin = 256

func creatable(n directory.NewPerson) error {
	if n.Login != directory.Canonical(n.Login) || strings.ContainsRune(n.Login, '=') || len(n.Login) > maxLogin {
		return fmt.Errorf("%w: the login %.80q is not canonical or too long", directory.ErrMalformed, n.Login)
	}
	for name, v := range map[string]string{"login": n.Login, "name": n.Name} {
		if !directory.Wellformed(v) {
			return fmt.Errorf("%w: the %s is empty or holds control characters", directory.ErrMalformed, name)
		}
	}
	for name, v := range map[string]string{"surname": n.Surname, "mail": n.Mail, "section": n.Section, "company": n.Company} {
		if v != "" && !directory.Wellformed(v) {
			return fmt.Errorf("%w: the %s holds control characters", directory.ErrMalformed, name)
		}
	}
	switch n.Kind {
	case directory.KindStaff, directory.KindContractor, directory.KindService, directory.KindShared:
		return nil
	default:
		return fmt.Errorf("%w: unknown kind %q", directory.ErrMalformed, n.Kind)
	}
}

func (d *Directory) entry(dn string, n directory.NewPerson) *goldap.AddRequest {
	s := &d.schema
	add := goldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", s.PersonClasses)
	for _, a := range []struct{ name, value string }{
		{s.Login, n.Login},
		{s.DisplayName, n.Name},
		{s.Surname, orElse(n.Surname, n.Name)},
		{s.Kind, string(n.Kind)},
		{s.Mail, n.Mail},
		{s.Section, n.Section},
		{s.Company, n.Company},
		{s.Password, string(n.Password.Reveal())},
	} {
		if a.value != "" {
			add.Attribute(a.name, []string{a.value})
		}
	}
	if n.MustChange && !n.Password.IsEmpty() {
		add.Attribute(s.MustChange, []string{"TRUE"})
	}
	if !n.ExpiresAt.IsZero() {
		add.Attribute(s.ExpiryDay, []string{schema.Day(n.ExpiresAt)})
	}
	return add
}

// Delete takes a person out of their groups and then away. Deleting one who is
// already gone succeeds, so that an interrupted deletion may be repeated.
func (d *Directory) Delete(ctx context.Context, p directory.Person) error {
	control, err := d.theirs(p, "")
	if err != nil {
		return fmt.Errorf("deleting a person: %w", err)
	}
	// Groups first: what is left after a crash is a person with fewer rights,
	// and not a right waiting for the next person of that DN.
	groups, err := d.groupsOf(ctx, p.DN)
	if err != nil {
		return fmt.Errorf("deleting a person: %w", err)
	}
	if current, err := d.byDN(ctx, p.DN); err == nil && current.ID != p.ID {
		return fmt.Errorf("deleting a person: %w: the entry is not this person's any more", directory.ErrNotFound)
	} else if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("deleting a person: %w", err)
	}
	for _, group := range groups {
		if err := d.RemoveMember(ctx, group, p.DN); err != nil {
			return fmt.Errorf("deleting a person: %w", err)
		}
	}
	err = d.write(ctx, func(l *link) error {
		return l.Del(goldap.NewDelRequest(p.DN, []goldap.Control{control}))
	})
	if errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return gone("deleting a person", err)
}
