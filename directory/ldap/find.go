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
		if _, err := d.person(dn); err != nil {
			return directory.Person{}, fmt.Errorf("finding a person: %w: %w", directory.ErrNotFound, err)
		}
		return d.byDN(ctx, dn)
	}
	person, err := d.one(ctx, named(&d.schema, d.domain, canonical), func(e *goldap.Entry) bool { return d.answersTo(e, canonical) })
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person: %w", err)
	}
	return person, nil
}

// answersTo reports whether a name is canonically an entry's. A directory may
// match more loosely than we count (accents, say), and who is found by a name
// that is not theirs would have two counters of failures.
func (d *Directory) answersTo(e *goldap.Entry, canonical string) bool {
	for _, attribute := range append([]string{d.schema.Login}, d.schema.Aliases()...) {
		for _, v := range e.GetEqualFoldAttributeValues(attribute) {
			if directory.Canonical(v) == canonical {
				return true
			}
		}
	}
	login := directory.Canonical(e.GetEqualFoldAttributeValue(d.schema.Login))
	return d.schema.Principal != "" && login != "" && login+"@"+d.domain == canonical
}

// ByID reads a person afresh. The errors are those of Find.
func (d *Directory) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	value, err := d.schema.IDValue(id)
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person by ID: %w: %w", directory.ErrNotFound, directory.ErrMalformed)
	}
	person, err := d.one(ctx, equalsBytes(d.schema.ID, value), func(*goldap.Entry) bool { return true })
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
		case d.isLent(dn): // nobody's
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
		Attributes: append(d.schema.Attributes(), d.schema.Mark.Attribute),
	})
	if err != nil {
		return directory.Person{}, fmt.Errorf("finding a person by DN: %w", err)
	}
	// A base search that succeeds without its entry is a contradiction; slapd
	// answers noSuchObject for what is not there.
	if len(result.Entries) != 1 {
		return directory.Person{}, fmt.Errorf("finding a person by DN: %w", directory.ErrTruncated)
	}
	if e := result.Entries[0]; d.schema.Mark.On(values(e)) {
		return d.read(ctx, e)
	}
	return directory.Person{}, fmt.Errorf("finding a person by DN: %w: the entry is no person", directory.ErrNotFound)
}

// read turns an entry into a person, under the policy that governs it.
func (d *Directory) read(ctx context.Context, e *goldap.Entry) (directory.Person, error) {
	person, err := d.readAlone(ctx, e, d.search)
	if err != nil || len(person.Groups) > 0 || d.schema.Token != "" {
		return person, err
	}
	// No back links: none kept, or none to keep.
	person.Groups, err = d.groupsOf(ctx, person.DN)
	return person, err
}

func (d *Directory) readAlone(ctx context.Context, e *goldap.Entry, ask asker) (directory.Person, error) {
	own := ""
	if d.schema.OwnPolicy != "" {
		own = e.GetEqualFoldAttributeValue(d.schema.OwnPolicy)
	}
	policy, err := d.policyOf(ctx, own, ask)
	if err != nil {
		return directory.Person{}, err
	}
	person, err := d.schema.Person(e.DN, values(e), policy, d.now())
	if err != nil || d.schema.Token == "" {
		return person, err
	}
	person.Groups, err = d.token(ctx, person, ask)
	return person, err
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
