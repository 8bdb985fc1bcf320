package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// mostOfOne bounds the IDs of one number that are read: those of a human being, and of
// the programs that they answer for. It stays below what servers give by themselves (500
// of OpenLDAP, which refuses whoever asks for more).
const mostOfOne = 200

// Numbered are the IDs that carry a number: those of one human being, and those that
// they answer for. A schema that keeps no numbers has none.
func (d *Directory) Numbered(ctx context.Context, number string) ([]directory.Person, error) {
	if number == "" || d.schema.Number == "" {
		return nil, nil
	}
	people, err := d.matching(ctx, equals(d.schema.Number, number), mostOfOne+1)
	if err != nil {
		return nil, fmt.Errorf("reading the IDs of a number: %w", err)
	}
	return people, nil
}

// Several reads people afresh in one go, as ByID reads one, in no order. Who is not there
// any more is left out.
func (d *Directory) Several(ctx context.Context, ids []directory.PersonID) ([]directory.Person, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var match strings.Builder
	asked := map[string]bool{}
	for _, id := range ids {
		value, err := d.schema.IDValue(id)
		if err != nil {
			return nil, fmt.Errorf("reading several people: %w: %w", directory.ErrNotFound, directory.ErrMalformed)
		}
		match.WriteString(equalsBytes(d.schema.ID, value))
		asked[strings.ToLower(string(id))] = true
	}
	people, err := d.matching(ctx, "(|"+match.String()+")", 0)
	if err == nil && slices.ContainsFunc(people, func(p directory.Person) bool { return !asked[strings.ToLower(string(p.ID))] }) {
		err = fmt.Errorf("%w: it is about somebody else", directory.ErrTruncated)
	}
	if err != nil {
		return nil, fmt.Errorf("reading several people: %w", err)
	}
	return people, nil
}

// matching are the people who match a filter, at most limit entries with the witness; 0:
// as many as the server gives.
func (d *Directory) matching(ctx context.Context, match string, limit int) ([]directory.Person, error) {
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree, SizeLimit: limit,
		Filter: among(&d.schema, d.PeopleDN, match), Attributes: d.schema.Attributes(),
	})
	if err != nil {
		return nil, d.notTheBase(err)
	}
	var (
		out     []directory.Person
		witness bool
	)
	for _, e := range result.Entries {
		dn, err := goldap.ParseDN(e.DN)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: an entry's name cannot be read: %w", directory.ErrTruncated, err)
		case d.people.EqualFold(dn):
			witness = true
			continue
		case d.isLent(dn):
			continue
		}
		p, err := d.read(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if !witness {
		return nil, fmt.Errorf("%w: %s is missing from it", directory.ErrTruncated, d.PeopleDN)
	}
	return out, nil
}
