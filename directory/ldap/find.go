package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// Find looks a person up by what was typed: login, mail address or DN, in any
// case and width and with stray spaces. All of them lead to one PersonID. It is
// one round trip to the directory, two for a person in no group.
//
// Errors: directory.ErrNotFound, also for a name that cannot be one (then
// directory.ErrMalformed as well); directory.ErrAmbiguous; directory.ErrAway and
// directory.ErrTruncated, which mean that nobody knows.
func (d *Directory) Find(ctx context.Context, typed string) (directory.Person, error) {
	canonical := directory.Canonical(typed)
	if !directory.Wellformed(canonical) || strings.ContainsRune(typed, 0) {
		return directory.Person{}, fmt.Errorf("finding a person: %w: %w", directory.ErrNotFound, directory.ErrMalformed)
	}
	if dn, ok := typedDN(typed); ok {
		if _, err := within(d.people, dn); err != nil {
			return directory.Person{}, fmt.Errorf("finding a person: %w: %w", directory.ErrNotFound, err)
		}
		return d.byDN(ctx, dn)
	}
	person, err := d.one(ctx, named(&d.schema, canonical), func(e *goldap.Entry) bool {
		// A directory may match more loosely than we count (accents, say). Who
		// is found by a name that is not canonically theirs would have two
		// counters of failures.
		for _, attribute := range []string{d.schema.Login, d.schema.Mail} {
			for _, v := range e.GetEqualFoldAttributeValues(attribute) {
				if directory.Canonical(v) == canonical {
					return true
				}
			}
		}
		return false
	})
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person: %w", err)
	}
	return person, nil
}

// ByID reads a person afresh. The errors are those of Find.
func (d *Directory) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	if !entryUUID.MatchString(string(id)) {
		return directory.Person{}, fmt.Errorf("finding a person by ID: %w: %w", directory.ErrNotFound, directory.ErrMalformed)
	}
	person, err := d.one(ctx, equals(d.schema.ID, string(id)), func(*goldap.Entry) bool { return true })
	if err == nil && !strings.EqualFold(string(person.ID), string(id)) {
		err = fmt.Errorf("%w: it is about somebody else", directory.ErrTruncated)
	}
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person by ID: %w", err)
	}
	return person, nil
}

// one searches below the people base for exactly one person.
func (d *Directory) one(ctx context.Context, match string, theirs func(*goldap.Entry) bool) (directory.Person, error) {
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree,
		SizeLimit:  3, // the witness, and two to know that there is more than one
		Filter:     among(&d.schema, d.PeopleDN, match),
		Attributes: d.schema.Attributes(),
	})
	if err != nil && coded(err, goldap.LDAPResultSizeLimitExceeded) && result != nil && len(result.Entries) >= 2 {
		return directory.Person{}, directory.ErrAmbiguous
	}
	if errors.Is(err, directory.ErrNotFound) {
		// It is the base that was not found: a wrong setting, or rights taken
		// away. That says nothing about a person.
		return directory.Person{}, fmt.Errorf("%w: %s cannot be read", directory.ErrAway, d.PeopleDN)
	}
	if err != nil {
		return directory.Person{}, err
	}
	var (
		witness bool
		found   []*goldap.Entry
	)
	for _, e := range result.Entries {
		switch dn, err := goldap.ParseDN(e.DN); {
		case err != nil:
			return directory.Person{}, fmt.Errorf("%w: an entry's name cannot be read: %w", directory.ErrTruncated, err)
		case d.people.EqualFold(dn):
			witness = true
		case theirs(e):
			found = append(found, e)
		}
	}
	switch {
	case !witness:
		return directory.Person{}, fmt.Errorf("%w: %s is missing from it", directory.ErrTruncated, d.PeopleDN)
	case len(found) == 0:
		return directory.Person{}, directory.ErrNotFound
	case len(found) > 1:
		return directory.Person{}, directory.ErrAmbiguous
	}
	return d.read(ctx, found[0])
}

// byDN reads the entry of that name if it is a person.
func (d *Directory) byDN(ctx context.Context, dn string) (directory.Person, error) {
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: dn, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter:     "(objectClass=*)",
		Attributes: append(d.schema.Attributes(), "objectClass"),
	})
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person by DN: %w", err)
	}
	// A base search that succeeds without its entry is a contradiction; slapd
	// answers noSuchObject for what is not there.
	if len(result.Entries) != 1 {
		return directory.Person{}, fmt.Errorf("finding a person by DN: %w", directory.ErrTruncated)
	}
	e := result.Entries[0]
	for _, class := range e.GetEqualFoldAttributeValues("objectClass") {
		if strings.EqualFold(class, d.schema.PersonClass) {
			return d.read(ctx, e)
		}
	}
	return directory.Person{}, fmt.Errorf("finding a person by DN: %w: the entry is no person", directory.ErrNotFound)
}

// read turns an entry into a person, under the policy that governs it.
func (d *Directory) read(ctx context.Context, e *goldap.Entry) (directory.Person, error) {
	person, err := d.readAlone(ctx, e, d.search)
	if err != nil || len(person.Groups) > 0 {
		return person, err
	}
	// No back links: none kept, or none to keep.
	person.Groups, err = d.groupsOf(ctx, person.DN)
	return person, err
}

func (d *Directory) readAlone(ctx context.Context, e *goldap.Entry, ask asker) (directory.Person, error) {
	dn := d.PolicyDN
	if d.schema.OwnPolicy != "" {
		dn = orElse(e.GetEqualFoldAttributeValue(d.schema.OwnPolicy), dn)
	}
	policy, err := d.policyAt(ctx, dn, ask)
	if err != nil {
		return directory.Person{}, err
	}
	return d.schema.Person(e.DN, values(e), policy, d.now())
}

// groupsOf searches the groups that name a person as a member.
func (d *Directory) groupsOf(ctx context.Context, personDN string) ([]string, error) {
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.GroupsDN, Scope: goldap.ScopeWholeSubtree,
		Filter:     "(&" + equals("objectClass", d.schema.GroupClass) + equals(d.schema.Member, personDN) + ")",
		Attributes: []string{"1.1"},
	})
	if errors.Is(err, directory.ErrNotFound) {
		return nil, fmt.Errorf("searching groups: %w: %s cannot be read", directory.ErrAway, d.GroupsDN)
	}
	if err != nil {
		return nil, fmt.Errorf("searching groups: %w", err)
	}
	var groups []string
	for _, g := range result.Entries {
		groups = append(groups, g.DN)
	}
	return groups, nil
}
