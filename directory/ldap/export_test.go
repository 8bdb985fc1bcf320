package ldap

import (
	"time"

	"sekisho/directory/schema"
	"sekisho/policy/clock"
)

// SetMemberRange has the server asked for so many members at once.
func (d *Directory) SetMemberRange(n int) { d.schema.MemberRange = n }

// Now is the client's clock.
func (d *Directory) Now() time.Time { return d.now() }

// OpenInClear speaks to a fake as to a kind of server that takes nothing in
// clear.
func OpenInClear(c Config, kind string) (*Directory, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	p.schema, _ = schema.Named(kind)
	p.PolicyDN = p.defaultPolicy()
	return prepare(p, clock.System()), nil
}
