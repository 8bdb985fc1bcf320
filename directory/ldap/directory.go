package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
	"sekisho/policy/clock"
)

// A Directory is a client of one directory. It is safe for concurrent use.
type Directory struct {
	*plan
	now     clock.Now
	service *pool // every connection bound as the service account
	binds   *pool // connections used for nothing but binding as somebody

	policies struct {
		sync.Mutex
		byDN map[string]keptPolicy
	}
	lending *Directory // the same for IDs that are lent; nil in itself
	// dynamic: what the server says of entries that end by themselves.
	dynamic struct {
		sync.Mutex
		read    time.Time
		offered bool
	}
	// named are DNs of groups by what the server's token calls them.
	named struct {
		sync.Mutex
		byID map[string]keptName
	}
}

type keptPolicy struct {
	policy schema.Policy
	read   time.Time
}

// Open checks the configuration and prepares the pools. It reaches for no
// server: a gateway starts, and refuses what it must, while the directory is
// away. Ping asks whether it is there.
func Open(_ context.Context, c Config, now clock.Now) (*Directory, error) {
	p, err := c.plan()
	if err != nil {
		return nil, fmt.Errorf("configuring the directory: %w", err)
	}
	return prepare(p, now), nil
}

func prepare(p *plan, now clock.Now) *Directory {
	d := &Directory{plan: p, now: now}
	d.policies.byDN = make(map[string]keptPolicy)
	d.named.byID = make(map[string]keptName)
	asService := func(l *link) error {
		if err := l.Bind(p.BindDN, string(p.BindPassword.Reveal())); err != nil {
			return fmt.Errorf("binding as %s: %w", p.BindDN, err)
		}
		return nil
	}
	d.service = newPool(p, now, asService, rootDSE)
	// An anonymous greeting would cost a round trip; the bind that follows
	// probes the connection well enough, and is repeated if it was dead.
	d.binds = newPool(p, now, nil, rootDSE)
	d.lending = d.forLending()
	return d
}

// rootDSE is the cheapest question that every server answers to anyone.
func rootDSE(l *link) error {
	_, err := l.Search(goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases,
		1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
	if err != nil && !broken(err) {
		return nil // a refusal is a sign of life
	}
	return err
}

// Close ends all connections. Operations under way fail with
// directory.ErrAway, as do later ones.
func (d *Directory) Close() {
	d.service.close()
	d.binds.close()
}

// Ping asks for the people base as the service account: the directory is there,
// knows us, and shows us where the people are.
func (d *Directory) Ping(ctx context.Context) error {
	result, err := d.search(ctx, &goldap.SearchRequest{
		BaseDN: d.PeopleDN, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: "(objectClass=*)", Attributes: []string{"1.1"},
	})
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return fmt.Errorf("asking for %s: it does not exist or the service account may not read it: %w", d.PeopleDN, directory.ErrAway)
	case err != nil:
		return fmt.Errorf("asking for %s: %w", d.PeopleDN, err)
	case len(result.Entries) != 1:
		return fmt.Errorf("asking for %s: %w", d.PeopleDN, directory.ErrTruncated)
	}
	return nil
}

// limited starts the clock of one operation.
func (d *Directory) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d.OpTimeout)
}

// search runs one search as the service account and believes only a complete
// answer: a referral is a part of the answer that we were not given.
func (d *Directory) search(ctx context.Context, q *goldap.SearchRequest) (*goldap.SearchResult, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	q.Controls = append(q.Controls, d.controls()...)
	var result *goldap.SearchResult
	err := d.watched(ctx, d.service, opSearch, true, func(_ context.Context, l *link) error {
		var err error
		result, err = l.Search(q)
		return err
	})
	if err != nil {
		return result, translate(err)
	}
	if len(result.Referrals) > 0 {
		return nil, fmt.Errorf("%w: referred to %s", directory.ErrTruncated, result.Referrals[0])
	}
	return result, nil
}

// controls are those that each search on this kind of server carries.
func (d *Directory) controls() []goldap.Control {
	var all []goldap.Control
	for _, oid := range d.schema.Controls {
		all = append(all, goldap.NewControlString(oid, true, ""))
	}
	return all
}

// write runs one change as the service account, once.
func (d *Directory) write(ctx context.Context, change func(*link) error) error {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	return translate(d.watched(ctx, d.service, opWrite, false, func(_ context.Context, l *link) error { return change(l) }))
}

// LockoutPolicy reads the default password policy entry afresh. Without one the
// error is directory.ErrNotFound; one that we may not read is
// directory.ErrDenied. A policy that was stated is taken at its word.
func (d *Directory) LockoutPolicy(ctx context.Context) (directory.LockoutPolicy, error) {
	if d.Stated != nil {
		return d.Stated.Lockout, nil
	}
	p, err := d.readPolicy(ctx, d.PolicyDN, d.search)
	if err != nil {
		return directory.LockoutPolicy{}, err
	}
	if !p.Found {
		return directory.LockoutPolicy{}, fmt.Errorf("reading the password policy %s: %w", d.PolicyDN, directory.ErrNotFound)
	}
	if p.Hidden {
		return directory.LockoutPolicy{}, fmt.Errorf("reading the password policy %s: %w: it is there and shows no values", d.PolicyDN, directory.ErrDenied)
	}
	return p.Lockout, nil
}

// An asker runs one search and translates its errors.
type asker func(context.Context, *goldap.SearchRequest) (*goldap.SearchResult, error)

// policyKept is how long a password policy entry is believed. Such entries
// change about once a year, and finding a person should cost one round trip.
const policyKept = time.Minute

// policyOf is the policy that governs an entry: its own, or the default. How far
// behind the record of last uses is, the default says for all.
func (d *Directory) policyOf(ctx context.Context, own string, ask asker) (schema.Policy, error) {
	general, err := d.policyAt(ctx, d.PolicyDN, ask)
	if err != nil || own == "" {
		return general, err
	}
	p, err := d.policyAt(ctx, own, ask)
	if err != nil {
		return schema.Policy{}, err
	}
	if !p.Found && d.schema.PolicyContainer != "" {
		// It governs the entry, so it is there: what we may not see at all, such
		// a server says is not there.
		p = schema.Hidden()
	}
	p.UsedLag = general.UsedLag
	return p, nil
}

func (d *Directory) policyAt(ctx context.Context, dn string, ask asker) (schema.Policy, error) {
	if d.Stated != nil && dn == d.PolicyDN {
		return *d.Stated, nil
	}
	now := d.now()
	d.policies.Lock()
	kept, ok := d.policies.byDN[dn]
	d.policies.Unlock()
	if age := now.Sub(kept.read); ok && age >= 0 && age < policyKept {
		return kept.policy, nil
	}
	p, err := d.readPolicy(ctx, dn, ask)
	if err != nil {
		return schema.Policy{}, err
	}
	d.policies.Lock()
	defer d.policies.Unlock()
	if len(d.policies.byDN) > 100 { // one a section would be many
		clear(d.policies.byDN)
	}
	d.policies.byDN[dn] = keptPolicy{p, now}
	return p, nil
}

// readPolicy answers a policy with Found unset where there is no such entry: a
// lock then lasts until it is cleared, which only narrows.
func (d *Directory) readPolicy(ctx context.Context, dn string, ask asker) (schema.Policy, error) {
	result, err := ask(ctx, &goldap.SearchRequest{
		BaseDN: dn, Scope: goldap.ScopeBaseObject, SizeLimit: 1,
		Filter: "(objectClass=*)", Attributes: d.schema.PolicyValues,
	})
	if errors.Is(err, directory.ErrNotFound) {
		return schema.Policy{}, nil
	}
	if err != nil {
		return schema.Policy{}, fmt.Errorf("reading the password policy %s: %w", dn, err)
	}
	if len(result.Entries) != 1 {
		return schema.Policy{}, fmt.Errorf("reading the password policy %s: %w", dn, directory.ErrTruncated)
	}
	p, err := d.schema.Policy(values(result.Entries[0]))
	if err != nil {
		return schema.Policy{}, fmt.Errorf("reading the password policy %s: %w", dn, err)
	}
	return p, nil
}

func values(e *goldap.Entry) schema.Entry {
	return func(name string) []string { return e.GetEqualFoldAttributeValues(name) }
}
