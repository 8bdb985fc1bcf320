package radius_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/password"
	"sekisho/authn/recovery"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/ticket"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/authz/remote/radius"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const (
	pw     = "tsubame-noboru-kasumi-7"
	seed   = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	shared = "a secret of thirty-two characters"
)

// world is a network door on a real directory and a real store, with a clock of its
// own, at a real socket.
type world struct {
	door     *radius.Door
	house    radius.House
	in       *signin.Service
	sessions *session.Sessions
	orders   *lockdown.Orders
	watch    *standing.Watch
	dir      *ldap.Directory
	db       *store.DB
	clock    *clock.Fake
	policy   *policy.Policy // as built; rule changes what is in force
	inForce  atomic.Pointer[policy.Policy]
	codes    *totp.Devices
	addr     string
	conn     *net.UDPConn // the door's

	mu      sync.Mutex
	log     bytes.Buffer
	over    []string // whose ends were told, with the permits that were named
	permits []authz.Permit
	counts  map[radius.Outcome]int
	blind   error  // what reading the facts meets
	untold  string // login of whose end cannot be told
	entered func()
	away    bool                            // the directory, for whoever looks at a password
	people  func(ctx context.Context) error // what reading a person meets
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	ctx      = context.Background()
	loopback = netip.MustParsePrefix("127.0.0.1/32")
)

func gear(change ...func(*radius.Client)) radius.Client {
	c := radius.Client{ID: "vpn", From: []netip.Prefix{loopback}, Secret: secret.NewText([]byte(shared)), Zone: policy.LGWAN, Disconnect: radius.NoDisconnect}
	for _, f := range change {
		f(&c)
	}
	return c
}

func newWorld(t testing.TB, clients ...radius.Client) *world {
	t.Helper()
	w := &world{clock: clock.NewFake(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)), counts: map[radius.Outcome]int{}}
	folder := t.TempDir()
	ring, err := secret.CreateKeyRing(filepath.Join(folder, "ring"))
	must(t, err)
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, ring, 4096)
	admin := secret.NewText([]byte("admin-of-the-test"))
	srv, err := embedded.Start(ctx, embedded.Config{
		Dir: filepath.Join(folder, "ldap"), BaseDN: "dc=pref,dc=example", AdminPassword: admin, Hasher: hasher, Now: w.clock.Now,
	})
	must(t, err)
	t.Cleanup(func() { srv.Close() })
	w.dir, err = ldap.Open(ctx, ldap.Config{
		Servers: []string{"ldap://" + srv.Addr()}, BindDN: "cn=admin,dc=pref,dc=example", BindPassword: admin,
		BaseDN: "dc=pref,dc=example", Schema: "embedded", OpTimeout: 20 * time.Second,
	}, w.clock.Now)
	must(t, err)
	t.Cleanup(func() { w.dir.Close() })
	w.db, err = store.Open(ctx, storetest.At(t, filepath.Join(folder, "sekisho.db")))
	must(t, err)
	t.Cleanup(func() { w.db.Close() })

	w.policy = policy.Standard()
	w.policy.Zones = []policy.Zone{{ID: policy.LGWAN, SignInACR: policy.AAL1, IdleEnd: 30 * time.Minute, AbsoluteEnd: 9 * time.Hour, CounterIdleEnd: 3 * time.Minute}}
	w.policy.Applications = []policy.Application{{ID: "bunsho", Zone: policy.LGWAN, Class: 3}, {ID: "zaimu", Zone: policy.LGWAN, Class: 3}}
	w.policy.SignIn.SourceFailures = 100_000
	w.inForce.Store(w.policy)
	pol := w.inForce.Load
	trail := audit.New(w.db, w.clock.Now)
	w.watch = standing.NewWatch(w.db, w.dir, w.clock.Now)
	w.codes = totp.New(w.db, ring, w.clock.Now)
	once := ticket.New(ring, w.clock.Now)
	keys, err := passkey.New(w.db, ring, once, passkey.RP{ID: "gate.example", Name: "関所", Origins: []string{"https://gate.example"}}, w.clock.Now, pol)
	must(t, err)
	w.sessions = session.New(w.db, ring, trail, w.watch, pol, w.clock.Now)
	w.orders = lockdown.New(w.db, pol, w.clock.Now, w.sessions.InStepAt)
	w.sessions.Obey(w.orders.Bar, w.orders.Spared)
	flows := ephemeral.NewMemory(w.clock.Now, 1<<20)
	w.in = signin.New(signin.House{
		DB: w.db, Trail: trail, Policy: pol, Directory: w.dir, Watch: w.watch, Sessions: w.sessions, Codes: w.codes,
		Passkeys: keys, Cards: card.New(w.db, nil, w.clock.Now, pol), Terminals: terminal.New(w.db, once, "https://gate.example", w.clock.Now, pol),
		Recovery: recovery.New(w.db, ring, w.clock.Now, func() policy.RecoveryRules { return w.policy.Recovery }),
		Notices:  notice.New(w.db, w.clock.Now, pol), History: password.New(w.db, hasher, ring, w.clock.Now), Flows: flows,
		Now: w.clock.Now, Ceiling: func() int { return 99 }, Barred: w.orders.Barred,
	})
	_ = account.New(w.in, w.dir)
	if len(clients) == 0 {
		clients = []radius.Client{gear()}
	}
	must(t, radius.Check(clients))
	w.house = radius.House{
		DB: w.db, Trail: trail, Policy: pol, SignIn: gated{w.in, w}, Sessions: w.sessions, People: met{w.watch, w}, Flows: flows, Sealing: ring,
		Handles: session.NewHandles(ring), Now: w.clock.Now,
		Know: func(ctx context.Context, f *authz.Facts, _ session.Session) (err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.blind != nil {
				return w.blind
			}
			f.Permits = append(f.Permits, w.permits...)
			f.LockDowns, err = w.orders.InForce(ctx)
			return err
		},
		Over: func(_ context.Context, _ *store.Tx, permits []string, n session.Session) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.untold != "" && n.Login == w.untold {
				return errUntold
			}
			w.over = append(w.over, strings.Join(append([]string{n.Name, n.From}, permits...), " "))
			return nil
		},
		Log:   slog.New(slog.NewTextHandler(w, nil)),
		Count: func(o radius.Outcome) { w.mu.Lock(); defer w.mu.Unlock(); w.counts[o]++ },
	}
	w.door = radius.New(w.house, clients)
	w.sessions.PollWith(w.orders, w.door)
	w.conn = serve(t, w.door)
	w.addr = w.conn.LocalAddr().String()
	return w
}

// beside is another gateway's door, on the same store.
func (w *world) beside(t testing.TB, clients ...radius.Client) *world {
	t.Helper()
	other := &world{addr: serve(t, radius.New(w.house, clients)).LocalAddr().String()}
	return other
}

// serve answers at a socket until the test ends.
func serve(t testing.TB, door *radius.Door) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- door.Serve(serving, conn) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		conn.Close()
	})
	return conn
}

// gated lets a test be there when a password is being looked at.
type gated struct {
	*signin.Service
	w *world
}

func (g gated) Password(ctx context.Context, o signin.Origin, cookie, typed string, p secret.Text) (signin.Step, error) {
	g.w.mu.Lock()
	entered, away := g.w.entered, g.w.away
	g.w.mu.Unlock()
	if entered != nil {
		entered()
	}
	if away {
		return signin.Step{}, &signin.Away{What: "directory", Err: errBlind}
	}
	return g.Service.Password(ctx, o, cookie, typed, p)
}

// met lets a test say what reading a person meets.
type met struct {
	*standing.Watch
	w *world
}

func (m met) Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error) {
	m.w.mu.Lock()
	people := m.w.people
	m.w.mu.Unlock()
	if people != nil {
		if err := people(ctx); err != nil {
			return directory.Person{}, err
		}
	}
	return m.Watch.Person(ctx, id, stale)
}

// Write has the door's log kept.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *world) logged(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.log.String(), text)
}

// told are the ends that were told.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.over)
}

func (w *world) count(o radius.Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[o]
}

func (w *world) permit(p directory.Person, app string, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.permits = append(w.permits, authz.Permit{ID: "permit-of-" + p.Login, Kind: authz.RemoteAccess, Applications: []string{app}, Person: p.ID, Until: until})
}

// rule puts changed rules into force, as a new version does: nobody's copy changes.
func (w *world) rule(change func(p *policy.Policy)) {
	p := *w.inForce.Load()
	p.Applications = slices.Clone(p.Applications)
	change(&p)
	w.inForce.Store(&p)
}

func (w *world) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.permits = nil
}

// person has a password, and a TOTP device of the same seed as everybody's.
func (w *world) person(t testing.TB, login string) directory.Person {
	t.Helper()
	p := w.withoutDevice(t, login)
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.codes.Import(ctx, tx, p.ID, seed, "phone") }))
	return p
}

func (w *world) withoutDevice(t testing.TB, login string) directory.Person {
	t.Helper()
	p, err := w.dir.Create(ctx, directory.NewPerson{
		Login: login, Name: "例 " + login, Mail: login + "@pref.example", Section: "jinji", Kind: directory.KindStaff, Password: secret.NewText([]byte(pw)),
	})
	must(t, err)
	return p
}

// code is what a device shows at the next step that was not shown yet.
func (w *world) code(t testing.TB) string {
	t.Helper()
	w.clock.Advance(30 * time.Second)
	raw, err := totp.ParseSecret(seed)
	must(t, err)
	c, err := totp.Code(raw, totp.StepAt(w.clock.Now()))
	must(t, err)
	return c
}

func (w *world) entries(t testing.TB, action string) (n int) {
	t.Helper()
	must(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, `%"action":"`+action+`"%`).Scan(&n))
	return n
}

// An av is an attribute of a request.
type av struct {
	typ   wire.Type
	value []byte
}

func str(t wire.Type, s string) av { return av{t, []byte(s)} }

// request is an Access-Request as gear makes it.
func request(login, password string, more ...av) *wire.Packet {
	p := wire.New(wire.CodeAccessRequest, []byte(shared))
	p.Add(rfc2865.UserName_Type, []byte(login))
	if err := rfc2865.UserPassword_SetString(p, password); err != nil {
		panic(err)
	}
	for _, a := range more {
		p.Add(a.typ, a.value)
	}
	return p
}

// signed is a packet's bytes with a Message-Authenticator, made by this test's own
// reading of RFC 3579 section 3.2.
func signed(p *wire.Packet) []byte {
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	raw, err := p.MarshalBinary()
	if err != nil {
		panic(err)
	}
	h := hmac.New(md5.New, p.Secret)
	h.Write(raw)
	p.Set(rfc2869.MessageAuthenticator_Type, h.Sum(nil))
	out, err := p.Encode()
	if err != nil {
		panic(err)
	}
	return out
}

// A caller is a socket of gear.
type caller struct {
	*net.UDPConn
	t testing.TB
}

func (w *world) call(t testing.TB) caller {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", w.addr)
	must(t, err)
	c, err := net.DialUDP("udp", nil, to)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return caller{c, t}
}

// send sends bytes and waits for the answer to them, which it checks.
func (c caller) send(raw []byte) *wire.Packet {
	c.t.Helper()
	_, err := c.Write(raw)
	must(c.t, err)
	return c.receive(raw)
}

func (c caller) receive(raw []byte) *wire.Packet {
	c.t.Helper()
	must(c.t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	buffer := make([]byte, wire.MaxPacketLength)
	n, err := c.Read(buffer)
	must(c.t, err)
	return c.check(raw, buffer[:n])
}

// silence is that nothing is answered: what is sent after it is answered first.
func (c caller) silence(w *world) {
	c.t.Helper()
	status := wire.New(wire.CodeStatusServer, []byte(shared))
	raw := signed(status)
	_, err := c.Write(raw)
	must(c.t, err)
	if p := c.receive(raw); p.Code != wire.CodeAccessAccept || p.Identifier != status.Identifier {
		c.t.Errorf("something else was answered: %v", p.Code)
	}
}

// check holds an answer against its request: authentic, and its Message-Authenticator
// first and right.
func (c caller) check(request, raw []byte) *wire.Packet {
	c.t.Helper()
	if !wire.IsAuthenticResponse(raw, request, []byte(shared)) {
		c.t.Fatal("the answer is not authentic")
	}
	p, err := wire.Parse(raw, []byte(shared))
	must(c.t, err)
	if p.Code == wire.CodeAccountingResponse {
		if _, signed := p.Lookup(rfc2869.MessageAuthenticator_Type); signed {
			c.t.Error("an Accounting-Response has a Message-Authenticator, over which gear does not agree")
		}
		return p
	}
	if len(p.Attributes) == 0 || p.Attributes[0].Type != rfc2869.MessageAuthenticator_Type {
		c.t.Fatalf("the Message-Authenticator is not first in %v", p.Code)
	}
	again := append([]byte(nil), raw...)
	copy(again[4:20], request[4:20])
	copy(again[22:38], make([]byte, 16))
	h := hmac.New(md5.New, []byte(shared))
	h.Write(again)
	if !hmac.Equal(h.Sum(nil), raw[22:38]) {
		c.t.Errorf("the Message-Authenticator of %v is wrong", p.Code)
	}
	return p
}

// admitted brings somebody in, and answers the Access-Accept.
func (w *world) admitted(t testing.TB, login string) *wire.Packet {
	t.Helper()
	p := w.call(t).send(signed(request(login, pw+","+w.code(t))))
	if p.Code != wire.CodeAccessAccept {
		t.Fatalf("%s is not let in: %v %s", login, p.Code, rfc2865.ReplyMessage_GetString(p))
	}
	return p
}

// account sends accounting, and answers whether it was answered.
func (w *world) account(t testing.TB, key string, attributes ...av) *wire.Packet {
	t.Helper()
	p := wire.New(wire.CodeAccountingRequest, []byte(key))
	for _, a := range attributes {
		p.Add(a.typ, a.value)
	}
	raw, err := p.Encode()
	must(t, err)
	c := w.call(t)
	if key != shared {
		_, err := c.Write(raw)
		must(t, err)
		c.silence(w)
		return nil
	}
	return c.send(raw)
}

func (w *world) one(t testing.TB) radius.Remote {
	t.Helper()
	all, err := w.door.Live(ctx)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%d remote sessions, want one: %+v", len(all), all)
	}
	return all[0]
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	waiting, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	for !cond() {
		if clock.Wait(waiting, 5*time.Millisecond) != nil {
			t.Fatal("waited in vain for ", what)
		}
	}
}

var (
	errBlind  = errors.New("the facts cannot be read")
	errUntold = errors.New("nobody can be told")
)
