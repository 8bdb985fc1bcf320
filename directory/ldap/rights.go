package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
)

// A Rights is what the service account lacks, as far as the directory shows it.
type Rights struct {
	People     int      // how many were looked at
	Unseen     []string // attributes that every person has and none of them shows us
	Unwritable []string // attributes that we must be able to write, and may on none of them
}

// looked is how many people Rights looks at.
const looked = 20

// Rights reads a few people as the service account and finds what it may not
// see or write, before that is missed. Entries that the directory guards itself
// are left out: our rights end there.
func (d *Directory) Rights(ctx context.Context) (Rights, error) {
	entries, err := d.some(ctx, "", append(slices.Clone(d.schema.Required), append(d.schema.Attributes(), d.schema.Rights)...))
	if err != nil {
		return Rights{}, fmt.Errorf("looking at our rights: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e *goldap.Entry) bool {
		return slices.ContainsFunc(d.schema.Protected, func(m schema.Mark) bool { return m.On(values(e)) })
	})
	r := Rights{People: len(entries)}
	if len(entries) == 0 {
		return r, nil
	}
	for _, name := range d.schema.Required {
		if !slices.ContainsFunc(entries, func(e *goldap.Entry) bool { return e.GetEqualFoldAttributeValue(name) != "" }) {
			r.Unseen = append(r.Unseen, name)
		}
	}
	if d.schema.Rights == "" {
		return r, nil
	}
	for _, name := range d.schema.Written {
		if !slices.ContainsFunc(entries, func(e *goldap.Entry) bool {
			return slices.ContainsFunc(e.GetEqualFoldAttributeValues(d.schema.Rights), func(v string) bool { return strings.EqualFold(v, name) })
		}) {
			r.Unwritable = append(r.Unwritable, name)
		}
	}
	return r, nil
}

// Guarded are the logins of the people that the directory guards itself, at most
// a page of them; more says that there are others.
func (d *Directory) Guarded(ctx context.Context) (logins []string, more bool, err error) {
	if len(d.schema.Protected) == 0 {
		return nil, false, nil
	}
	match := "(|"
	for _, m := range d.schema.Protected {
		match += equals(m.Attribute, m.Value)
	}
	entries, err := d.some(ctx, match+")", []string{d.schema.Login})
	if err != nil {
		return nil, false, fmt.Errorf("looking for protected people: %w", err)
	}
	for _, e := range entries {
		logins = append(logins, e.GetEqualFoldAttributeValue(d.schema.Login))
	}
	slices.Sort(logins)
	return logins, len(entries) >= looked, nil
}

// some reads the first few people who match.
func (d *Directory) some(ctx context.Context, match string, attributes []string) ([]*goldap.Entry, error) {
	attributes = slices.DeleteFunc(attributes, func(name string) bool { return name == "" })
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeWholeSubtree, Filter: "(&" + equals(d.schema.Mark.Attribute, d.schema.Mark.Value) + match + ")",
		Attributes: attributes, Controls: []goldap.Control{goldap.NewControlPaging(looked)},
	})
	if err != nil {
		return nil, d.notTheBase(err)
	}
	return result.Entries, nil
}

// An OwnPolicy is a password policy of a few people.
type OwnPolicy struct {
	DN      string
	Lockout directory.LockoutPolicy
	Hidden  bool // we may not read it
}

// OwnPolicies reads the policies that govern single people and groups. nil
// without an error: this kind of server has no place for them.
func (d *Directory) OwnPolicies(ctx context.Context) ([]OwnPolicy, error) {
	if d.schema.PolicyContainer == "" {
		return nil, nil
	}
	at := d.schema.PolicyContainer + "," + d.head
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: at, Scope: goldap.ScopeSingleLevel, Filter: "(objectClass=*)", Attributes: d.schema.PolicyValues,
	})
	if errors.Is(err, directory.ErrNotFound) {
		return nil, fmt.Errorf("reading the policies below %s: %w", at, directory.ErrDenied)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the policies below %s: %w", at, err)
	}
	var all []OwnPolicy
	for _, e := range result.Entries {
		p, err := d.schema.Policy(values(e))
		if err != nil {
			return nil, fmt.Errorf("reading the policy %s: %w", e.DN, err)
		}
		all = append(all, OwnPolicy{e.DN, p.Lockout, p.Hidden})
	}
	return all, nil
}
