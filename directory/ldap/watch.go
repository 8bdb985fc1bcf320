package ldap

import "context"

// The kinds of operations that Config.Watch is told of.
const (
	opSearch   = "search"
	opWrite    = "write"
	opBind     = "bind"
	opPassword = "password_change"
	opStream   = "stream"
)

// watched is pool.do under the eyes of Config.Watch.
func (d *Directory) watched(ctx context.Context, p *pool, operation string, again bool, exchange func(context.Context, *link) error) (err error) {
	if d.Watch != nil {
		ended := d.Watch(ctx, operation)
		defer func() { ended(err) }()
	}
	return p.do(ctx, again, exchange)
}

// A PoolUse is how a pool of connections is used at one moment.
type PoolUse struct {
	Name    string // "service" or "bind"
	Most    int    // connections that may exist
	Busy    int    // operations that have one or are about to open it
	Idle    int    // connections that wait to be used
	Waiting int    // operations that wait for one
}

// Pools tells how both pools are used.
func (d *Directory) Pools() []PoolUse {
	return []PoolUse{d.service.use("service"), d.binds.use("bind")}
}

func (p *pool) use(name string) PoolUse {
	p.mu.Lock()
	idle := len(p.idle)
	p.mu.Unlock()
	busy := len(p.slots)
	return PoolUse{Name: name, Most: cap(p.slots), Busy: busy, Idle: idle, Waiting: max(0, len(p.waiters)-busy)}
}
