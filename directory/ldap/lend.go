package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
	"sekisho/policy/secret"
)

// forLending is this client with another base: IDs that are lent are read and
// written like people and are found nowhere that people are looked for, so that
// nobody signs in here as one of them.
func (d *Directory) forLending() *Directory {
	p := *d.plan
	p.schema = d.schema.Lending()
	p.PeopleDN, p.people = p.LentDN, p.lent
	l := &Directory{plan: &p, now: d.now, service: d.service, binds: d.binds}
	l.policies.byDN = make(map[string]keptPolicy)
	l.named.byID = make(map[string]keptName)
	return l
}

// Residuals are what the end of a privilege in this kind of directory leaves open.
func (d *Directory) Residuals() []schema.Residual { return d.schema.Residuals }

// errMoved: the name was another's by the time that it was written.
var errMoved = fmt.Errorf("%w: the person moves about", directory.ErrAway)

// Join puts a person into a group and answers them as they were found. It is the
// person who is meant and not the name: if the name went to somebody else
// meanwhile, that one is taken out again. One who is in the group stays in it.
//
// Errors: directory.ErrNotFound, no such person or group; directory.ErrProtected;
// directory.ErrAway, and then the person may be in the group by now or later.
func (d *Directory) Join(ctx context.Context, groupDN string, id directory.PersonID) (directory.Person, error) {
	if err := d.lendable(ctx, groupDN); err != nil {
		return directory.Person{}, fmt.Errorf("adding a member to %s: %w", groupDN, err)
	}
	for range 3 {
		p, err := d.ByID(ctx, id)
		if err != nil {
			return directory.Person{}, err
		}
		if err := d.AddMember(ctx, groupDN, p.DN); err != nil {
			return p, err
		}
		now, err := d.ByID(ctx, id)
		if err == nil && same(p.DN)(now.DN) {
			return now, nil
		}
		if undo := d.RemoveMember(ctx, groupDN, p.DN); err != nil || undo != nil {
			return p, errors.Join(err, undo)
		}
	}
	return directory.Person{}, fmt.Errorf("adding a member to %s: %w", groupDN, errMoved)
}

// Leave takes a person out of a group, by their ID, and by the name that they had
// when they were put into it, which may still stand there after they are gone. It
// returns nil when the group names them no more.
func (d *Directory) Leave(ctx context.Context, groupDN string, id directory.PersonID, formerDN string) error {
	names := []string{}
	p, err := d.ByID(ctx, id)
	switch {
	case err == nil:
		names = append(names, p.DN)
	case !errors.Is(err, directory.ErrNotFound):
		return fmt.Errorf("removing a member from %s: %w", groupDN, err)
	}
	if formerDN != "" && !slices.ContainsFunc(names, same(formerDN)) {
		names = append(names, formerDN)
	}
	for _, name := range names {
		if err := d.RemoveMember(ctx, groupDN, name); err != nil {
			return err
		}
		switch there, err := d.Holds(ctx, groupDN, name); {
		case errors.Is(err, directory.ErrNotFound): // the group is gone
		case err != nil:
			return err
		case there:
			return fmt.Errorf("removing a member from %s: %w: the directory says that they are in it", groupDN, directory.ErrAway)
		}
	}
	return nil
}

// Holds reports whether a group names a member. It asks about that one alone, by
// a comparison, so that neither a large group nor one that we may not read gives
// a wrong no.
func (d *Directory) Holds(ctx context.Context, groupDN, memberDN string) (there bool, err error) {
	if _, err := within(d.groups, groupDN); err != nil {
		return false, fmt.Errorf("asking for a member: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	err = d.watched(ctx, d.service, opSearch, true, func(_ context.Context, l *link) error {
		there, err = l.Compare(groupDN, d.schema.Member, memberDN)
		return err
	})
	if coded(err, goldap.LDAPResultNoSuchAttribute) {
		return false, nil // nobody is in it
	}
	if err != nil {
		return false, fmt.Errorf("asking %s for a member: %w", groupDN, translate(err))
	}
	return there, nil
}

// Lendable says what stands in the way of lending a group: directory.ErrNotFound
// for one that is not there, directory.ErrProtected for one that the directory
// guards itself.
func (d *Directory) Lendable(ctx context.Context, groupDN string) error {
	if err := d.lendable(ctx, groupDN); err != nil {
		return err
	}
	_, err := d.Holds(ctx, groupDN, d.PlaceholderMember) // and we may ask for members
	return err
}

// lendable refuses a group that the directory guards itself.
func (d *Directory) lendable(ctx context.Context, groupDN string) error {
	if _, err := within(d.groups, groupDN); err != nil {
		return err
	}
	if len(d.schema.Protected) == 0 {
		return nil
	}
	var attributes []string
	for _, m := range d.schema.Protected {
		attributes = append(attributes, m.Attribute)
	}
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: groupDN, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: equals("objectClass", d.schema.GroupClass), Attributes: attributes,
	})
	switch {
	case err != nil:
		return err
	case len(result.Entries) != 1:
		return fmt.Errorf("%w: it is no group", directory.ErrNotFound)
	case d.guarded(values(result.Entries[0])):
		return directory.ErrProtected
	}
	return nil
}

func (d *Directory) guarded(e schema.Entry) bool {
	return slices.ContainsFunc(d.schema.Protected, func(m schema.Mark) bool { return m.On(e) })
}

// EachMember calls each for everybody and everything that a group names as a
// member, the placeholder not among them, without holding more than one answer
// of the server. A nil result is the only one after which that was all: a group
// that shows no member where none may be empty is directory.ErrTruncated. An
// error of each ends it.
func (d *Directory) EachMember(ctx context.Context, groupDN string, each func(memberDN string) error) error {
	if _, err := within(d.groups, groupDN); err != nil {
		return fmt.Errorf("reading members: %w", err)
	}
	for n := 0; ; {
		part, last, err := d.membersFrom(ctx, groupDN, n)
		if err != nil {
			return fmt.Errorf("reading the members of %s: %w", groupDN, err)
		}
		if len(part) == 0 && (!last || n == 0 && !d.schema.EmptyGroup) {
			return fmt.Errorf("reading the members of %s: %w: none is shown", groupDN, directory.ErrTruncated)
		}
		placeholder := same(d.PlaceholderMember)
		for _, dn := range part {
			if placeholder(dn) {
				continue
			}
			if err := each(dn); err != nil {
				return err
			}
		}
		if n += len(part); last {
			return nil
		}
	}
}

// Lent reads an ID that is lent by its login. The errors are those of Find.
func (d *Directory) Lent(ctx context.Context, login string) (directory.Person, error) {
	return d.lending.Find(ctx, login)
}

// LentByID reads one afresh.
func (d *Directory) LentByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	return d.lending.ByID(ctx, id)
}

// EachLent calls each for every ID in the part of the directory where they are
// lent, as Stream does for people.
func (d *Directory) EachLent(ctx context.Context, each func(directory.Person) error) error {
	return d.lending.Stream(ctx, each)
}

// AuthenticateLent binds as an ID that is lent.
func (d *Directory) AuthenticateLent(ctx context.Context, p directory.Person, pw secret.Text) (directory.Outcome, error) {
	return d.lending.Authenticate(ctx, p, pw)
}

// OpenLent opens a named ID for a time: a new password first, then its end, and
// what lets anybody in last, so that a crash leaves it closed.
//
// Where the server lets the password before in for a while, one that nobody knows
// comes between: whoever knew the ID's password before it was lent would be in.
func (d *Directory) OpenLent(ctx context.Context, p directory.Person, pw secret.Text, until time.Time) error {
	l := d.lending
	if p.Protected {
		return fmt.Errorf("opening %s: %w", p.Login, directory.ErrProtected)
	}
	if err := l.Disable(ctx, p); err != nil {
		return fmt.Errorf("opening %s: %w", p.Login, err)
	}
	if l.schema.FormerOpens > 0 {
		if err := l.ResetPassword(ctx, p, secret.NewText([]byte("Aa1-"+secret.Token(24))), false); err != nil {
			return fmt.Errorf("opening %s: %w", p.Login, err)
		}
	}
	if err := l.ResetPassword(ctx, p, pw, false); err != nil {
		return fmt.Errorf("opening %s: %w", p.Login, err)
	}
	if err := d.LendUntil(ctx, p, until); err != nil {
		return fmt.Errorf("opening %s: %w", p.Login, err)
	}
	return l.Enable(ctx, p)
}

// CloseLent closes a named ID and gives it a password that nobody knows: closed
// first, since that is what counts.
func (d *Directory) CloseLent(ctx context.Context, p directory.Person, pw secret.Text) error {
	if err := d.lending.Disable(ctx, p); err != nil {
		return fmt.Errorf("closing %s: %w", p.Login, err)
	}
	if err := d.lending.ResetPassword(ctx, p, pw, false); err != nil {
		return fmt.Errorf("closing %s: %w", p.Login, err)
	}
	return nil
}

// LendUntil writes the end of an ID into the directory, which then lets nobody in
// whether or not we are there to close it. Where the directory keeps to no such
// end it does nothing.
func (d *Directory) LendUntil(ctx context.Context, p directory.Person, until time.Time) error {
	l := d.lending
	if l.schema.Expires() {
		err := l.alter(ctx, p, "", func(schema.Entry) ([]schema.Change, error) {
			return []schema.Change{l.schema.Expire(until)}, nil
		})
		if err != nil {
			return done("dating the end of an ID", err)
		}
	}
	if p.Kind == directory.KindLent {
		return d.refresh(ctx, p, until)
	}
	return nil
}

// CreateLent makes an ID for one lease, open and with its password, below a place
// where IDs are lent ("" for the place itself). Where the server ends entries by
// itself (RFC 2589), this one is such.
func (d *Directory) CreateLent(ctx context.Context, under string, n directory.NewPerson) (directory.Person, error) {
	n.Kind = directory.KindLent
	if under = orElse(under, d.LentDN); !same(d.LentDN)(under) {
		if _, err := within(d.lent, under); err != nil {
			return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, err)
		}
	}
	var classes []string
	offered, err := d.endsEntries(ctx)
	if err != nil {
		return directory.Person{}, fmt.Errorf("creating %s: %w", n.Login, err)
	}
	if offered {
		classes = []string{d.schema.Dynamic}
	}
	p, err := d.lending.create(ctx, under, n, classes...)
	if err != nil {
		return p, err
	}
	return p, d.refresh(ctx, p, n.ExpiresAt)
}

// DeleteLent takes one out of its groups and away. One who is gone is gone.
func (d *Directory) DeleteLent(ctx context.Context, p directory.Person) error {
	return d.lending.Delete(ctx, p)
}

// JoinLent puts an ID that is lent into a group.
func (d *Directory) JoinLent(ctx context.Context, groupDN string, p directory.Person) error {
	if err := d.lendable(ctx, groupDN); err != nil {
		return fmt.Errorf("adding %s to %s: %w", p.Login, groupDN, err)
	}
	return d.lending.AddMember(ctx, groupDN, p.DN)
}

// refreshOID is the operation of RFC 2589 section 4, which says how much longer a
// dynamic entry lives.
const (
	refreshOID      = "1.3.6.1.4.1.1466.101.119.1"
	dynamicSubtrees = "dynamicSubtrees"
)

// offerKept is how long the server's word on dynamic entries is believed.
const offerKept = time.Minute

// endsEntries reports whether the server says that it ends dynamic entries where
// IDs are lent. OpenLDAP names the subtrees alone, in dynamicSubtrees; others name
// the operation (RFC 2589 section 6).
func (d *Directory) endsEntries(ctx context.Context) (bool, error) {
	if d.schema.Dynamic == "" {
		return false, nil
	}
	now := d.now()
	d.dynamic.Lock()
	read, offered := d.dynamic.read, d.dynamic.offered
	d.dynamic.Unlock()
	if age := now.Sub(read); age >= 0 && age < offerKept {
		return offered, nil
	}
	result, err := d.search(ctx, &goldap.SearchRequest{
		Scope: goldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"supportedExtension", dynamicSubtrees},
	})
	if err != nil {
		return false, fmt.Errorf("asking what the server can do: %w", err)
	}
	if len(result.Entries) != 1 {
		return false, fmt.Errorf("asking what the server can do: %w", directory.ErrTruncated)
	}
	if trees := result.Entries[0].GetEqualFoldAttributeValues(dynamicSubtrees); len(trees) > 0 {
		offered = slices.ContainsFunc(trees, func(dn string) bool {
			tree, err := goldap.ParseDN(dn)
			return err == nil && (tree.EqualFold(d.lent) || tree.AncestorOfFold(d.lent))
		})
	} else {
		offered = slices.Contains(result.Entries[0].GetEqualFoldAttributeValues("supportedExtension"), refreshOID)
	}
	d.dynamic.Lock()
	d.dynamic.read, d.dynamic.offered = now, offered
	d.dynamic.Unlock()
	return offered, nil
}

// refresh tells the server how long a dynamic entry is to live. An entry that is
// none, and a length that the server does not grant, are nothing to fail for: it
// then ends when the server's own default says, and we end it in any case.
func (d *Directory) refresh(ctx context.Context, p directory.Person, until time.Time) error {
	offered, err := d.endsEntries(ctx)
	if err != nil || !offered || until.IsZero() {
		return err
	}
	value := ber.NewSequence("RefreshRequest")
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, p.DN, "entryName"))
	left := max(1, int64(until.Sub(d.now())/time.Second))
	value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, min(left, 31_557_600), "requestTtl"))
	err = d.write(ctx, func(l *link) error {
		_, err := l.Extended(goldap.NewExtendedRequest(refreshOID, value))
		return err
	})
	if _, said := code(err); said && !errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return err
}
