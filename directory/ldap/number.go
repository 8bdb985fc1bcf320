package ldap

import (
	"context"
	"fmt"

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
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree, SizeLimit: mostOfOne + 1,
		Filter: among(&d.schema, d.PeopleDN, equals(d.schema.Number, number)), Attributes: d.schema.Attributes(),
	})
	if err != nil {
		return nil, fmt.Errorf("reading the IDs of a number: %w", d.notTheBase(err))
	}
	var (
		out     []directory.Person
		witness bool
	)
	for _, e := range result.Entries {
		dn, err := goldap.ParseDN(e.DN)
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading the IDs of a number: %w: an entry's name cannot be read: %w", directory.ErrTruncated, err)
		case d.people.EqualFold(dn):
			witness = true
			continue
		case d.isLent(dn):
			continue
		}
		p, err := d.read(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("reading the IDs of a number: %w", err)
		}
		out = append(out, p)
	}
	if !witness {
		return nil, fmt.Errorf("reading the IDs of a number: %w: %s is missing from it", directory.ErrTruncated, d.PeopleDN)
	}
	return out, nil
}
