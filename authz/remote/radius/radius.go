// Package radius is the network door: VPN gear asks over UDP whether somebody may
// come in from outside (RFC 2865, 2866, 2869, 5080, 5176, 5997).
//
// It is a door like the others. Who somebody is, authn/signin says; whether they
// may come in, authz.Decide; and what ends a session of the gate ends what hangs on
// it here. A sign-in through this door is a session of the gate of which nobody
// ever gets the cookie.
//
//	read ► size, form, sender, Message-Authenticator ► seen before? ► at work, bounded
//	         (everything to here costs microseconds and asks nobody)
//
//	Access-Request  password ────────► Access-Challenge, State
//	                State and code ──► sign-in done ► Decide ► Accept, remote session
//	Accounting      what the gear tells of it: begun, going on, over
//	the watch       permit, person, lock-down or session ended ► Disconnect-Request
//
// A remote session is a row. That it is to end is written before the gear is told
// (intended), told until it answers (done), and what it answered is written down
// (confirmed; design rule 8).
//
// It refuses to know what a permit is, how one is asked for, and who holds which:
// it is given facts. It knows no page and no file.
package radius

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	wire "layeh.com/radius"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// LeastSecret is how long a secret must be, in bytes: MD5 is all that protects what
// it keys, so it must not be guessed from a packet that somebody recorded.
const LeastSecret = 32

// A Client is gear that may ask: a VPN gateway, or a proxy before several.
type Client struct {
	ID     string
	From   []netip.Prefix // where its packets come from
	Secret secret.Text
	// Former are secrets that count beside it until their time, so that gear is given
	// the new one after the gate has it.
	Former []Former
	// Zone is the one that people come into by it; their sign-in goes by its rules.
	Zone policy.ZoneID
	// Applications are the ids of which Decide is asked: who may use one of them from
	// outside is let in, for as long as that holds. Empty: those of the zone.
	Applications []string
	// Unsigned lets it leave out the Message-Authenticator. Then only the secrecy of
	// the way to it stands between a forger and an answer (CVE-2024-3596), which is
	// said for as long as it is so.
	Unsigned bool
	// Disconnect is where it listens for Disconnect-Requests, host:port; "" for the
	// standard port where its packets come from, NoDisconnect for nowhere.
	Disconnect string
	Attributes []Attribute // beside ours in an Access-Accept

	seat *seat // the Door's
}

// A Former is a secret that was a client's.
type Former struct {
	Secret secret.Text
	Until  time.Time
}

// keys are the secrets that count at a time, the client's own first.
func (c *Client) keys(now time.Time) [][]byte {
	all := [][]byte{c.Secret.Reveal()}
	for _, f := range c.Former {
		if now.Before(f.Until) {
			all = append(all, f.Secret.Reveal())
		}
	}
	return all
}

// NoDisconnect says of a client that it cannot be told to end a session.
const NoDisconnect = "none"

// The errors of a Client.
var (
	ErrShortSecret = fmt.Errorf("the secret is shorter than %d bytes", LeastSecret)
	ErrOverlap     = errors.New("two clients have the same network")
	ErrSameSecret  = errors.New("two clients have the same secret")
	ErrUntold      = errors.New("a client that may leave the Message-Authenticator out has one secret: nothing else tells which it used")
	ErrManyFormer  = fmt.Errorf("more than %d former secrets", mostFormer)
	ErrTooMuch     = fmt.Errorf("an Access-Accept with these attributes does not fit into %d bytes", wire.MaxPacketLength)
)

// mostFormer bounds what a forgery costs: a hash for each secret that counts.
const mostFormer = 2

// roomOfOurs is what an Access-Accept is without the attributes of its client:
// header, Message-Authenticator, three numbers, Class, and Proxy-State of two proxies.
const roomOfOurs = headerLength + 2 + macLength + 3*6 + 2 + longest + 2*(2+longest)

// Check refuses clients that cannot be told apart, or whose secret can be guessed.
func Check(clients []Client) error {
	var ids []string
	seen := map[netip.Prefix]string{}
	for _, c := range clients {
		switch {
		case c.ID == "" || slices.Contains(ids, c.ID):
			return fmt.Errorf("client %q: an id of its own is needed", c.ID)
		case len(c.From) == 0:
			return fmt.Errorf("client %q: it has no network", c.ID)
		case len(c.Former) > mostFormer:
			return fmt.Errorf("client %q: %w", c.ID, ErrManyFormer)
		case len(c.Former) > 0 && c.Unsigned:
			return fmt.Errorf("client %q: %w", c.ID, ErrUntold)
		}
		for _, key := range c.all() {
			if len(key) < LeastSecret {
				return fmt.Errorf("client %q: %w", c.ID, ErrShortSecret)
			}
			for _, other := range clients[:len(ids)] {
				if slices.ContainsFunc(other.all(), func(k []byte) bool { return bytes.Equal(k, key) }) {
					return fmt.Errorf("clients %q and %q: %w", other.ID, c.ID, ErrSameSecret)
				}
			}
		}
		size := roomOfOurs
		for _, a := range c.Attributes {
			size += 2 + len(a.value)
		}
		if size > wire.MaxPacketLength {
			return fmt.Errorf("client %q: %w", c.ID, ErrTooMuch)
		}
		ids = append(ids, c.ID)
		for _, p := range c.From {
			if other, twice := seen[p.Masked()]; twice {
				return fmt.Errorf("clients %q and %q: %w: %v", other, c.ID, ErrOverlap, p)
			}
			seen[p.Masked()] = c.ID
		}
	}
	return nil
}

// all are the secrets that count at any time.
func (c *Client) all() [][]byte { return c.keys(time.Time{}) }

// SignIn is the one sign-in; authn/signin is it.
type SignIn interface {
	Password(ctx context.Context, o signin.Origin, cookie, typed string, pw secret.Text) (signin.Step, error)
	TOTP(ctx context.Context, o signin.Origin, cookie, code string) (signin.Step, error)
	// ConfirmTerminal takes a person's word that the terminal is in order: whoever
	// types a code was asked to look at it first (articles 63-4, 63-6).
	ConfirmTerminal(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	SignOut(ctx context.Context, o signin.Origin, cookie string) error
}

// Sessions are the gate's; authn/session is it.
type Sessions interface {
	End(ctx context.Context, tx *store.Tx, id, why string) error
	StillOpen(ctx context.Context, tx *store.Tx, id string) error
	Use(ctx context.Context, tx *store.Tx, n session.Session) error
	Poll(ctx context.Context) error
}

// People reads a person, no staler than said; authn/standing is it.
type People interface {
	Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// House is what the door is built on.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	SignIn   SignIn
	Sessions Sessions
	People   People
	Flows    ephemeral.Store // counts, so that refusals do not flood the trail
	Sealing  *secret.KeyRing // seals the State of a challenge
	Handles  session.Handles // makes the Class of a session
	// Know adds to the facts of a decision what every door goes by and this one does
	// not know: lock-downs, leases, permits. An error refuses.
	Know func(ctx context.Context, f *authz.Facts, n session.Session) error
	// Over is told, in the transaction that writes it down, that a session from outside
	// has ended that began by these permits; none where it is not known by which. nil:
	// nobody is told.
	Over func(ctx context.Context, tx *store.Tx, permits []string, n session.Session) error
	Now  clock.Now
	Log  *slog.Logger
	// Count is told what became of a packet. It must not block. nil: nobody counts.
	Count func(Outcome)
	// Told is told what came of a Disconnect-Request. nil: nobody counts.
	Told func(answer string)
}

// An Outcome is what became of a packet.
type Outcome string

// The outcomes. Those up to Busy are of packets that were not answered and cost
// next to nothing.
const (
	UnknownClient Outcome = "unknown_client" // from no client's address
	Malformed     Outcome = "malformed"      // not a request in RADIUS's form
	Unsigned      Outcome = "unsigned"       // without the Message-Authenticator it needs
	Forged        Outcome = "forged"         // its Message-Authenticator or authenticator is wrong
	InWork        Outcome = "in_work"        // sent again while the first is worked at, here or at another gateway
	Busy          Outcome = "busy"           // too many at work
	Unanswered    Outcome = "unanswered"     // directory or store away: the gear asks again, or another gateway
	Repeated      Outcome = "repeated"       // sent again, and answered as before
	Challenged    Outcome = "challenged"
	Refused       Outcome = "refused"
	Accepted      Outcome = "accepted"
	Accounted     Outcome = "accounted"
	Unmatched     Outcome = "unmatched" // accounting of a session that was not begun here
	Status        Outcome = "status"
)

// Outcomes are all of them.
func Outcomes() []Outcome {
	return []Outcome{UnknownClient, Malformed, Unsigned, Forged, InWork, Busy, Unanswered, Repeated, Challenged, Refused, Accepted, Accounted, Unmatched, Status}
}

// A Door answers gear. It is safe for concurrent use.
type Door struct {
	House
	gear   atomic.Pointer[gear]
	ticks  func() time.Duration
	places chan struct{} // one for each packet at work
	wake   chan struct{} // for the watch: something may have ended
	ask    chan struct{} // for the watch: something may have to end
	due    chan struct{} // for who tells gear: there is something to tell
	pauses []time.Duration

	mu     sync.Mutex
	goOn   string          // where the watch begins its next look
	warned map[string]bool // what was said once
}

// gear are the clients of a time. Nobody changes them: others take their place.
type gear struct {
	clients []Client
	byNet   []network // the narrowest first
}

type network struct {
	prefix netip.Prefix
	client *Client
}

// A seat is what the door holds for a client, whatever else of it is changed.
type seat struct {
	recent *recent
	places chan struct{} // one for each of its packets at work
	hands  chan struct{} // one for each session that it is being told of
}

const (
	// atWork bounds the packets that are worked at, and ofOne those of one client: a
	// client that is flooded does not shut out the others.
	atWork = 256
	ofOne  = 128
)

// New builds the door for its clients, who have been through Check.
func New(h House, clients []Client) *Door {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Count == nil {
		h.Count = func(Outcome) {}
	}
	if h.Told == nil {
		h.Told = func(string) {}
	}
	if h.Over == nil {
		h.Over = func(context.Context, *store.Tx, []string, session.Session) error { return nil }
	}
	d := &Door{
		House: h, ticks: clock.Stopwatch(), places: make(chan struct{}, atWork), wake: make(chan struct{}, 1), ask: make(chan struct{}, 1),
		due: make(chan struct{}, 1), pauses: pauses(),
	}
	d.gear.Store(&gear{})
	d.Change(clients)
	return d
}

// Change has the door answer other clients from now on, who have been through Check.
// What is known of those that stay is kept: what was answered is answered alike, and a
// session goes on.
func (d *Door) Change(clients []Client) {
	now := &gear{clients: slices.Clone(clients)}
	for i := range now.clients {
		c := &now.clients[i]
		if was := d.clientByID(c.ID); was != nil {
			c.seat = was.seat
		} else {
			c.seat = &seat{newRecent(d.ticks), make(chan struct{}, ofOne), make(chan struct{}, cutHands)}
		}
		for _, p := range c.From {
			now.byNet = append(now.byNet, network{p.Masked(), c})
		}
	}
	slices.SortStableFunc(now.byNet, func(a, b network) int { return b.prefix.Bits() - a.prefix.Bits() })
	d.mu.Lock()
	d.warned = map[string]bool{}
	d.mu.Unlock()
	d.gear.Store(now)
	call(d.due)
}

// client is whose address this is, nil for nobody's.
func (d *Door) client(from netip.Addr) *Client {
	from = from.Unmap()
	for _, n := range d.gear.Load().byNet {
		if n.prefix.Contains(from) {
			return n.client
		}
	}
	return nil
}

// once is true the first time that something is to be said.
func (d *Door) once(what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.warned[what] {
		return false
	}
	d.warned[what] = true
	return true
}

func (d *Door) clientByID(id string) *Client {
	clients := d.gear.Load().clients
	for i := range clients {
		if clients[i].ID == id {
			return &clients[i]
		}
	}
	return nil
}

// UnsignedClients are those that may leave the Message-Authenticator out: a finding
// for as long as there are any.
func (d *Door) UnsignedClients() (ids []string) {
	for _, c := range d.gear.Load().clients {
		if c.Unsigned {
			ids = append(ids, c.ID)
		}
	}
	return ids
}
