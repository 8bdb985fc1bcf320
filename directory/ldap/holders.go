package ldap

import (
	"context"
	"errors"
	"fmt"

	"sekisho/directory"
)

// Holders are the members of a group who are people, each read afresh. What else
// is a member, and who is gone, is left out; whoever is a member by way of another
// group is not among them, but has the group in Person.Groups where the directory
// nests groups.
func (d *Directory) Holders(ctx context.Context, groupDN string) ([]directory.Person, error) {
	names, err := d.Members(ctx, groupDN)
	if err != nil {
		return nil, err
	}
	people := make([]directory.Person, 0, len(names))
	for _, dn := range names {
		p, err := d.byDN(ctx, dn)
		if errors.Is(err, directory.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the people of %s: %w", groupDN, err)
		}
		people = append(people, p)
	}
	return people, nil
}
