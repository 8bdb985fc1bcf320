package house

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/authz/remote/radius"
	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// Gear reads the clients of the network door, with their secrets.
func Gear(r config.RADIUS) ([]radius.Client, error) {
	read := func(id, field, file string) (secret.Text, error) {
		key, err := secret.ReadFile(file)
		if err != nil {
			return secret.Text{}, say.Errorf("radius: %[1]s の %[3]s を使えません: %[2]v。持ち主だけが読めるファイルにしてください。",
				"radius: %[3]s of %[1]s cannot be used: %[2]v; it is a file that its owner alone can read", id, err, field)
		}
		return key, nil
	}
	var out []radius.Client
	for _, c := range r.Clients {
		key, err := read(c.ID, "secret_file", c.SecretFile)
		if err != nil {
			return nil, err
		}
		one := radius.Client{
			ID: c.ID, From: config.Ranges(c.From), Secret: key, Zone: policy.ZoneID(c.Zone), Applications: c.Applications,
			Unsigned: c.MessageAuthenticator == config.MessageAuthenticatorOptional, Disconnect: c.Disconnect,
		}
		for _, f := range c.FormerSecrets {
			was, err := read(c.ID, "former_secrets", f.File)
			if err != nil {
				return nil, err
			}
			until, err := time.Parse(time.RFC3339, f.Until)
			if err != nil {
				return nil, say.Errorf("radius: %[1]s の former_secrets の until を読めません: %[2]v。2026-12-01T17:00:00+09:00 のように書いてください。",
					"radius: until in former_secrets of %[1]s cannot be read: %[2]v; write it like 2026-12-01T17:00:00+09:00", c.ID, err)
			}
			one.Former = append(one.Former, radius.Former{Secret: was, Until: until})
		}
		for _, text := range c.Attributes {
			a, err := radius.ParseAttribute(text)
			if err != nil {
				return nil, say.Errorf("radius: %[1]s の attributes にある %[2]q を使えません: %[3]v。Filter-Id=staff のように書いてください。",
					"radius: attribute %[2]q of %[1]s cannot be used: %[3]v; write it like Filter-Id=staff", c.ID, text, err)
			}
			one.Attributes = append(one.Attributes, a)
		}
		out = append(out, one)
	}
	if err := radius.Check(out); err != nil {
		return nil, say.Errorf("radius: %[1]v。秘密は機器ごとに別の、32文字以上のものにしてください（例 openssl rand -base64 36）。",
			"radius: %[1]v; each piece of gear has a secret of its own, of 32 characters or more (such as openssl rand -base64 36)", err)
	}
	return out, nil
}

// checkGear finds what would keep the network door from opening, or lets nobody in.
func checkGear(cfg Config, rules *policy.Policy) (found []error) {
	clients, err := Gear(cfg.RADIUS)
	if err != nil {
		return []error{err}
	}
	for _, c := range clients {
		if _, ok := rules.Zone(c.Zone); !ok {
			found = append(found, say.Errorf("radius: %[1]s の zone %[2]s は方針にありません。", "radius: zone %[2]s of %[1]s is not in the policy", c.ID, c.Zone))
		}
		for _, id := range c.Applications {
			if _, ok := rules.Application(id); !ok {
				found = append(found, say.Errorf("radius: %[1]s の applications にある %[2]s は方針にありません。", "radius: application %[2]s of %[1]s is not in the policy", c.ID, id))
			}
		}
	}
	return found
}

// A networkDoor is where gear asks, with its meters.
type networkDoor struct {
	*radius.Door
	packets  *prometheus.CounterVec
	told     *prometheus.CounterVec
	levels   struct{ open, cutting, oldest prometheus.Gauge }
	unsigned prometheus.Gauge
	note     func(ctx context.Context, e audit.Entry) error
	now      clock.Now
}

// openNetworkDoor builds the door; nil where no gear is configured.
func (h *House) openNetworkDoor(cfg Config, in radius.SignIn, know func(context.Context, *authz.Facts, session.Session) error) (*networkDoor, error) {
	clients := cfg.Gear
	if len(clients) == 0 {
		var err error
		if clients, err = Gear(cfg.RADIUS); err != nil || len(clients) == 0 {
			return nil, err
		}
	}
	if err := radius.Check(clients); err != nil {
		return nil, err
	}
	n := &networkDoor{note: h.note, now: h.Clock.Now}
	n.packets = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sekisho_radius_packets_total", Help: "Packets that came to the network door, by what became of them."}, []string{"outcome"})
	for _, o := range radius.Outcomes() {
		n.packets.WithLabelValues(string(o))
	}
	n.told = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sekisho_remote_disconnects_total", Help: "Times that gear was told to end a session, by what it answered."}, []string{"answer"})
	for _, a := range radius.Answers() {
		n.told.WithLabelValues(a)
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		h.Registry.MustRegister(g)
		return g
	}
	n.levels.open = gauge("sekisho_remote_sessions", "Sessions through network gear that go on, of all gateways of the store.")
	n.levels.cutting = gauge("sekisho_remote_disconnects_waiting", "Sessions through network gear that were to end and are not known to have ended.")
	n.levels.oldest = gauge("sekisho_remote_disconnect_oldest_seconds", "For how long the oldest of them should have been gone; 0 for none.")
	h.Registry.MustRegister(n.packets, n.told)
	n.Door = radius.New(radius.House{
		DB: h.DB, Trail: h.Trail, Policy: h.inForce, SignIn: in, Sessions: h.Sessions, People: h.Watch, Flows: h.Ephemeral, Sealing: h.Sealing,
		Handles: session.NewHandles(h.Session), Know: know, Over: h.Permits.Over, Now: h.Clock.Now, Log: h.log,
		Count: func(o radius.Outcome) { n.packets.WithLabelValues(string(o)).Inc() },
		Told:  func(answer string) { n.told.WithLabelValues(answer).Inc() },
	}, clients)
	n.unsigned = gauge("sekisho_radius_unsigned_clients", "Clients of the network door that may leave the Message-Authenticator out.")
	n.unsigned.Set(float64(len(n.UnsignedClients())))
	return n, nil
}

// ChangeGear has the network door answer the clients of a file that was read again.
// Whether there is such a door, and where it listens, is decided at start.
func (h *House) ChangeGear(ctx context.Context, r config.RADIUS, clients []radius.Client) {
	if r.Listen != h.cfg.RADIUS.Listen || r.Accounting != h.cfg.RADIUS.Accounting {
		h.log.WarnContext(ctx, "radius.listen and radius.accounting were changed and take a restart")
	}
	if h.Remote == nil {
		return
	}
	h.Remote.Change(clients)
	h.Remote.unsigned.Set(float64(len(h.Remote.UnsignedClients())))
	h.Remote.sayUnsigned(ctx, h)
}

// sayUnsigned is said at each start and each day: a client that may leave the
// Message-Authenticator out is a finding for as long as it may.
func (n *networkDoor) sayUnsigned(ctx context.Context, h *House) {
	for _, id := range n.UnsignedClients() {
		h.log.WarnContext(ctx, "a RADIUS client may leave the Message-Authenticator out; replace or update it", "radius_client", id)
		h.complain(ctx, "entering a finding on the trail", n.note(ctx, audit.Entry{
			Actor: "system", Action: "remote.unsigned_client", Object: id, Articles: []policy.Article{"63-2(2)", "80-1"},
			Reason: "Message-Authenticator is optional (CVE-2024-3596)",
		}))
	}
}

// run does what the network door does by itself, until ctx ends.
func (n *networkDoor) run(ctx context.Context, h *House) {
	var wg sync.WaitGroup
	wg.Go(func() { n.Door.Run(ctx) })
	wg.Go(func() {
		n.sayUnsigned(ctx, h)
		every(ctx, 24*time.Hour, func() { n.sayUnsigned(ctx, h) })
	})
	wg.Go(func() {
		n.measure(ctx, h)
		every(ctx, effectsEvery, func() { n.measure(ctx, h) })
	})
	wg.Go(func() { every(ctx, time.Hour, func() { h.complain(ctx, "tidying remote sessions", n.Tidy(ctx)) }) })
	wg.Wait()
}

func (n *networkDoor) measure(ctx context.Context, h *House) {
	l, err := n.Levels(ctx)
	if err != nil {
		h.complain(ctx, "counting remote sessions", err)
		return
	}
	n.levels.open.Set(float64(l.Open))
	n.levels.cutting.Set(float64(l.Cutting))
	n.levels.oldest.Set(0)
	if l.Cutting > 0 {
		n.levels.oldest.Set(max(0, n.now().Sub(l.Oldest).Seconds()))
	}
}

// ListenRADIUS opens the sockets of the network door; none where there is no gear.
func ListenRADIUS(addresses ...string) (open []*net.UDPConn, err error) {
	for _, at := range slices.DeleteFunc(addresses, func(a string) bool { return a == "" }) {
		addr, err := net.ResolveUDPAddr("udp", at)
		if err == nil {
			var conn *net.UDPConn
			if conn, err = net.ListenUDP("udp", addr); err == nil {
				open = append(open, conn)
				continue
			}
		}
		CloseRADIUS(open)
		return nil, say.Errorf("%[1]s（UDP）で聞けません（%[2]v）。設定の radius を変えるか、使っているプログラムを止めてください。",
			"cannot listen on %[1]s (UDP) (%[2]v); change radius, or stop the program that uses it", at, err)
	}
	return open, nil
}

// CloseRADIUS closes the sockets of the network door.
func CloseRADIUS(open []*net.UDPConn) {
	for _, c := range open {
		_ = c.Close() // nothing is pending in a datagram socket
	}
}

// Hear has gear answered on these sockets while Serve serves. They stay the caller's.
func (h *House) Hear(gear []*net.UDPConn) { h.gear = gear }

// answerGear answers gear until ctx ends. What it returns ends that, and waits for
// what is at work.
func (h *House) answerGear(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if h.Remote != nil {
		for _, c := range h.gear {
			wg.Go(func() { h.complain(ctx, "answering RADIUS", h.Remote.Serve(ctx, c)) })
		}
	}
	return func() { stop(); wg.Wait() }
}
