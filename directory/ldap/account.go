package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
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

// errNotTheirs: the entry of that name is somebody else's by now.
var errNotTheirs = fmt.Errorf("%w: the entry is not this person's any more", directory.ErrNotFound)

// A pen is how an entry is written to so that it is the person's who was read: a
// DN may have been given to somebody else since, an ID never is.
type pen struct {
	name     string           // what addresses the entry
	controls []goldap.Control // what the server asserts
	entry    schema.Entry     // as it is now; nil where nothing was read
}

// theirs finds the pen for a person. also is asserted too, where the server can.
func (d *Directory) theirs(ctx context.Context, p directory.Person, also string) (pen, error) {
	value, err := d.schema.IDValue(p.ID)
	if err != nil {
		return pen{}, fmt.Errorf("%w: a person without an ID", directory.ErrMalformed)
	}
	if _, err := d.person(p.DN); err != nil {
		return pen{}, err
	}
	if d.schema.Guard == schema.GuardAssertion {
		control, err := assert("(&" + equalsBytes(d.schema.ID, value) + also + ")")
		return pen{name: p.DN, controls: []goldap.Control{control}}, err
	}
	name := p.DN
	if d.schema.Guard == schema.GuardID {
		name = byID(p.ID)
	}
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: name, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: "(objectClass=*)", Attributes: append(d.schema.Attributes(), d.schema.Mark.Attribute),
	})
	if err != nil {
		return pen{}, err
	}
	if len(result.Entries) != 1 {
		return pen{}, directory.ErrTruncated
	}
	// An ID leads anywhere in the directory; our pen stays below the people.
	e := result.Entries[0]
	if _, err := d.person(e.DN); err != nil {
		return pen{}, err
	}
	if !d.schema.Mark.On(values(e)) || e.GetEqualFoldAttributeValue(d.schema.ID) != value {
		return pen{}, errNotTheirs
	}
	return pen{name: name, entry: values(e)}, nil
}

// alter changes a person's entry while it is theirs and the filter holds. Where
// the entry changed between our look and our word, both are repeated.
func (d *Directory) alter(ctx context.Context, p directory.Person, also string, plan func(schema.Entry) ([]schema.Change, error)) error {
	for left := 3; ; left-- {
		pen, err := d.theirs(ctx, p, also)
		if err != nil {
			return err
		}
		changes, err := plan(pen.entry)
		if err != nil || len(changes) == 0 {
			return err
		}
		m := modification(pen.name, pen.controls, changes)
		err = d.write(ctx, func(l *link) error { return l.Modify(m) })
		if coded(err, goldap.LDAPResultNoSuchAttribute) && pen.entry != nil && left > 1 {
			continue
		}
		return err
	}
}

func modification(name string, controls []goldap.Control, changes []schema.Change) *goldap.ModifyRequest {
	m := goldap.NewModifyRequest(name, controls)
	for _, c := range changes {
		switch c.Op {
		case schema.Add:
			m.Add(c.Attribute, c.Values)
		case schema.Delete:
			m.Delete(c.Attribute, c.Values)
		default:
			m.Replace(c.Attribute, c.Values)
		}
	}
	return m
}

func done(doing string, err error) error {
	if coded(err, goldap.LDAPResultAssertionFailed) {
		return fmt.Errorf("%s: %w", doing, errNotTheirs)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Disable closes an account until Enable. The password stays as it is.
func (d *Directory) Disable(ctx context.Context, p directory.Person) error {
	return done("disabling an account", d.alter(ctx, p, "", d.schema.Disable))
}

// Enable opens an account again with the password it had. A lock after too many
// failures ends with it.
func (d *Directory) Enable(ctx context.Context, p directory.Person) error {
	return done("enabling an account", d.alter(ctx, p, "", d.schema.Enable))
}

var errClosedAccount = fmt.Errorf("%w: it is disabled, or not this person's any more", directory.ErrNotFound)

// Unlock ends a lock after too many failures and leaves everything else as it
// is; where there is none it does nothing. An account that was disabled stays
// so: where the two live in one attribute, that is asserted inside the
// modification (RFC 4528).
//
// The failures themselves are the server's to keep. Until it forgets them, or
// hears the right password, one more wrong one may lock again.
func (d *Directory) Unlock(ctx context.Context, p directory.Person) error {
	closed := d.schema.Closed()
	err := d.alter(ctx, p, "(!"+equals(closed.Attribute, closed.Value)+")", func(e schema.Entry) ([]schema.Change, error) {
		if e != nil && d.schema.IsDisabled(e) {
			return nil, errClosedAccount
		}
		return d.schema.Unlock(e)
	})
	if coded(err, goldap.LDAPResultAssertionFailed) {
		err = errClosedAccount
	}
	return done("unlocking an account", err)
}

// Create adds a person and answers them as the directory has them. The entry,
// its password and the mark that it must be changed appear together; where the
// server cannot do that, the entry is closed until it has its password.
//
// Errors: directory.ErrExists; directory.ErrMalformed for a login that is not
// its own canonical spelling, or for a value with control characters;
// *directory.Refused for a password the directory does not take.
func (d *Directory) Create(ctx context.Context, n directory.NewPerson) (directory.Person, error) {
	return d.create(ctx, d.PeopleDN, n)
}

// create is Create below a place of one's own, and with further object classes.
func (d *Directory) create(ctx context.Context, under string, n directory.NewPerson, classes ...string) (directory.Person, error) {
	if err := d.creatable(n); err != nil {
		return directory.Person{}, fmt.Errorf("creating a person: %w", err)
	}
	// Not only the DN must be free: the name must not lead to somebody already,
	// wherever below the people base, nor be their address.
	names := []string{n.Login}
	if d.schema.Principal != "" {
		names = append(names, n.Login+"@"+d.domain)
	}
	for _, name := range names {
		if _, err := d.Find(ctx, name); err == nil || errors.Is(err, directory.ErrAmbiguous) {
			return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, directory.ErrExists)
		} else if !errors.Is(err, directory.ErrNotFound) {
			return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, err)
		}
	}
	dn := personDN(&d.schema, under, n.Login)
	err := d.write(ctx, func(l *link) error { return l.Add(d.entry(dn, n, classes)) })
	if err != nil {
		return directory.Person{}, d.notCreated(ctx, n, err)
	}
	if d.schema.Born() != nil {
		err = d.open(ctx, dn, n)
	} else if password := n.Password.Reveal(); len(password) > 0 {
		err = d.hashed(ctx, dn, password)
	}
	if err != nil {
		return directory.Person{}, wrapRefusal("creating "+n.Login, err)
	}
	return d.byDN(ctx, dn)
}

// open gives an entry that was added closed its password and opens it, in one
// modification. Without a password of its own it gets one that nobody knows:
// such a server has no open accounts without any, and one that was closed could
// not be entered by another factor either. What is refused leaves no entry
// behind; a crash leaves one that is closed.
func (d *Directory) open(ctx context.Context, dn string, n directory.NewPerson) error {
	p, err := d.byDN(ctx, dn)
	if err != nil {
		return err
	}
	password, mustChange := string(n.Password.Reveal()), n.MustChange
	if password == "" {
		password, mustChange = rand.Text()+rand.Text(), false
	}
	value, err := d.schema.PasswordValue(password)
	if err == nil {
		err = d.alter(ctx, p, "", func(e schema.Entry) ([]schema.Change, error) {
			return append(d.schema.Reset(e, value, mustChange), d.schema.Open()...), nil
		})
		err = refusal(err)
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, d.Delete(context.WithoutCancel(ctx), p))
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

func (d *Directory) creatable(n directory.NewPerson) error {
	if n.Login != directory.Canonical(n.Login) || strings.ContainsAny(n.Login, "="+d.schema.LoginForbids) || len(n.Login) > d.schema.LoginLength {
		return fmt.Errorf("%w: the login %.80q is not canonical, too long, or of characters that this directory does not take", directory.ErrMalformed, n.Login)
	}
	for name, v := range map[string]string{"login": n.Login, "name": n.Name} {
		if !directory.Wellformed(v) {
			return fmt.Errorf("%w: the %s is empty or holds control characters", directory.ErrMalformed, name)
		}
	}
	for name, v := range map[string]string{"surname": n.Surname, "mail": n.Mail, "section": n.Section, "company": n.Company, "number": n.Number, "note": n.Note} {
		if v != "" && !directory.Wellformed(v) {
			return fmt.Errorf("%w: the %s holds control characters", directory.ErrMalformed, name)
		}
	}
	switch n.Kind {
	case directory.KindStaff, directory.KindContractor, directory.KindService, directory.KindShared, directory.KindLent:
		return nil
	default:
		return fmt.Errorf("%w: unknown kind %q", directory.ErrMalformed, n.Kind)
	}
}

func (d *Directory) entry(dn string, n directory.NewPerson, classes []string) *goldap.AddRequest {
	s := &d.schema
	add := goldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", slices.Concat(s.PersonClasses, classes))
	principal, password := "", string(n.Password.Reveal())
	if s.Principal != "" {
		principal = n.Login + "@" + d.domain
	}
	if s.Born() != nil {
		password = ""
	}
	for _, a := range []struct{ name, value string }{
		{s.Login, n.Login},
		{s.Principal, principal},
		{s.DisplayName, n.Name},
		{s.Surname, orElse(n.Surname, n.Name)},
		{s.Kind, string(n.Kind)},
		{s.Mail, n.Mail},
		{s.Section, n.Section},
		{s.Company, n.Company},
		{s.Number, n.Number},
		{s.Note, n.Note},
		{s.Password, password},
	} {
		if a.value != "" && a.name != "" {
			add.Attribute(a.name, []string{a.value})
		}
	}
	more := s.Born()
	if n.MustChange && password != "" {
		more = append(more, s.Temporary())
	}
	if !n.ExpiresAt.IsZero() && s.Expires() {
		more = append(more, s.Expire(n.ExpiresAt))
	}
	for _, c := range more {
		add.Attribute(c.Attribute, c.Values)
	}
	return add
}

// Delete takes a person out of their groups and then away. Deleting one who is
// already gone succeeds, so that an interrupted deletion may be repeated.
func (d *Directory) Delete(ctx context.Context, p directory.Person) error {
	if _, err := d.person(p.DN); err != nil {
		return fmt.Errorf("deleting a person: %w", err)
	}
	if current, err := d.byDN(ctx, p.DN); err == nil && current.ID != p.ID {
		return fmt.Errorf("deleting a person: %w", errNotTheirs)
	} else if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("deleting a person: %w", err)
	}
	pen, err := d.theirs(ctx, p, "")
	gone := errors.Is(err, directory.ErrNotFound)
	if err != nil && !gone {
		return fmt.Errorf("deleting a person: %w", err)
	}
	// Groups first: what is left after a crash is a person with fewer rights,
	// and not a right waiting for the next person of that DN.
	groups, err := d.groupsOf(ctx, p.DN)
	if err != nil {
		return fmt.Errorf("deleting a person: %w", err)
	}
	for _, group := range groups {
		if err := d.RemoveMember(ctx, group, p.DN); err != nil {
			return fmt.Errorf("deleting a person: %w", err)
		}
	}
	if gone {
		return nil
	}
	err = d.write(ctx, func(l *link) error {
		return l.Del(goldap.NewDelRequest(pen.name, pen.controls))
	})
	if errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return done("deleting a person", err)
}
