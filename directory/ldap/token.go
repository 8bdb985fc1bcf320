package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// nameKept is how long the DN of a group is believed. It is part of the 30 s in
// which a change made in the directory must count.
const nameKept = 10 * time.Second

type keptName struct {
	dn   string // "" for a group that is not below the groups base
	read time.Time
}

// token reads a person's groups from the server's own answer about them, as it
// would be used to let them in: nested groups are in it, and the primary group,
// which no list of members names. It comes from a base search alone.
//
// Everybody is in some group, so an answer without one was kept from us.
func (d *Directory) token(ctx context.Context, p directory.Person, ask asker) ([]string, error) {
	result, err := ask(ctx, &goldap.SearchRequest{
		BaseDN: byID(p.ID), Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: "(objectClass=*)", Attributes: []string{d.schema.Token},
	})
	if err != nil {
		return nil, fmt.Errorf("reading the groups of %s: %w", p.DN, err)
	}
	if len(result.Entries) != 1 {
		return nil, fmt.Errorf("reading the groups of %s: %w", p.DN, directory.ErrTruncated)
	}
	ids := result.Entries[0].GetEqualFoldAttributeValues(d.schema.Token)
	if len(ids) == 0 {
		return nil, fmt.Errorf("reading the groups of %s: %w: %s is not shown to us", p.DN, directory.ErrTruncated, d.schema.Token)
	}
	names, err := d.namesOf(ctx, ids, ask)
	if err != nil {
		return nil, fmt.Errorf("reading the groups of %s: %w", p.DN, err)
	}
	return names, nil
}

// byID addresses an entry by its ID instead of its name ([MS-ADTS] section
// 3.1.1.3.1.2.4).
func byID(id directory.PersonID) string { return "<GUID=" + string(id) + ">" }

// atOnce is how many groups one search asks for.
const atOnce = 100

// namesOf are the DNs of the groups below the groups base that bear these IDs.
func (d *Directory) namesOf(ctx context.Context, ids []string, ask asker) ([]string, error) {
	var names, unknown []string
	now := d.now()
	d.named.Lock()
	for _, id := range ids {
		kept, ok := d.named.byID[id]
		if age := now.Sub(kept.read); !ok || age < 0 || age >= nameKept {
			unknown = append(unknown, id)
		} else if kept.dn != "" {
			names = append(names, kept.dn)
		}
	}
	d.named.Unlock()
	for part := range slices.Chunk(unknown, atOnce) {
		found, err := d.groupsCalled(ctx, part, ask)
		if err != nil {
			return nil, err
		}
		d.named.Lock()
		if len(d.named.byID) > 50_000 {
			clear(d.named.byID)
		}
		for _, id := range part {
			d.named.byID[id] = keptName{found[id], now}
			if found[id] != "" {
				names = append(names, found[id])
			}
		}
		d.named.Unlock()
	}
	slices.Sort(names)
	return names, nil
}

func (d *Directory) groupsCalled(ctx context.Context, ids []string, ask asker) (map[string]string, error) {
	var match strings.Builder
	for _, id := range ids {
		match.WriteString(equalsBytes(d.schema.GroupID, id))
	}
	result, err := ask(ctx, &goldap.SearchRequest{
		BaseDN: d.GroupsDN, Scope: goldap.ScopeWholeSubtree,
		Filter:     "(|(&" + equals("objectClass", d.schema.GroupClass) + "(|" + match.String() + "))" + equals(d.schema.EntryDN, d.GroupsDN) + ")",
		Attributes: []string{d.schema.GroupID},
	})
	if errors.Is(err, directory.ErrNotFound) {
		// The base was not found, which says nothing about a person.
		return nil, fmt.Errorf("naming groups: %w: %s cannot be read", directory.ErrAway, d.GroupsDN)
	}
	if err != nil {
		return nil, fmt.Errorf("naming groups: %w", err)
	}
	found, witness := map[string]string{}, false
	for _, e := range result.Entries {
		if dn, err := goldap.ParseDN(e.DN); err == nil && d.groups.EqualFold(dn) {
			witness = true
		} else {
			found[e.GetEqualFoldAttributeValue(d.schema.GroupID)] = e.DN
		}
	}
	if !witness {
		return nil, fmt.Errorf("naming groups: %w: %s is missing from the answer", directory.ErrTruncated, d.GroupsDN)
	}
	return found, nil
}
