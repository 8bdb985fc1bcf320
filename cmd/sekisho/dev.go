package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"sekisho/cmd/sekisho/control"
	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/logbook"
	"sekisho/cmd/sekisho/sample"
	"sekisho/cmd/sekisho/say"
	"sekisho/directory/embedded"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

type devCmd struct {
	Listen string `help:"${dev_listen}" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	Data   string `help:"${dev_data}" default:"./sekisho-data" placeholder:"DIR"`
	Reset  bool   `help:"${dev_reset}"`
	// HashMemoryKiB is for tests, which start many a dev: the real cost of a
	// password is felt twenty-two times at the first start.
	HashMemoryKiB uint32 `name:"hash-memory-kib" hidden:"" default:"65536"`
}

// cost is what a password hash costs here.
func (c devCmd) cost() secret.Params {
	p := secret.DefaultParams
	p.MemoryKiB = c.HashMemoryKiB
	return p
}

// devGrace is how long requests in flight may take when dev is stopped.
const devGrace = 5 * time.Second

// Run is everything in one process: what `serve` finds outside, dev brings.
func (c devCmd) Run(ctx context.Context, t *terminal) error {
	err := c.run(ctx, t)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped while it was still starting: what was asked for
	}
	return err
}

func (c devCmd) run(ctx context.Context, t *terminal) (err error) {
	if err := onLoopback(c.Listen); err != nil {
		return err
	}
	if err := keepMemory(); err != nil {
		return err
	}
	if c.Reset {
		if err := folder.Reset(c.Data); err != nil {
			return err
		}
	}
	f, err := folder.Make(c.Data)
	if err != nil {
		return err
	}
	lock, err := f.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return say.Errorf("%[1]s で聞けません（%[2]v）。--listen 127.0.0.1:8081 のように別のアドレスを指定してください。",
			"cannot listen on %[1]s (%[2]v); name another with --listen, such as 127.0.0.1:8081", c.Listen, err)
	}
	defer ln.Close()
	ahead, err := f.Advance()
	if err != nil {
		return err
	}
	moved := clock.NewOffset(t.system, ahead)
	secrets, err := drawn(f)
	if err != nil {
		return err
	}
	if !secrets.Seeded {
		t.line("例県の人々を迎えています。少しお待ちください。", "moving the sample's people in; a moment, please")
	}

	// The directory that a prefecture would have of its own.
	people, bindPassword, err := startDirectory(ctx, f, moved.Now, secrets, c.cost())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, people.Close()) }()

	cfg, err := devConfig(f)
	if err != nil {
		return err
	}
	cfg.PublicURL = &url.URL{Scheme: "http", Host: "localhost:" + portOf(ln)}
	cfg.Argon2 = c.cost()
	cfg.Directory = devDirectory("ldap://"+people.Addr(), bindPassword)
	outbox := &control.Outbox{}
	cfg.Mailer = outbox
	cfg.BootstrapText = sample.Policy(secrets.Terminals, secrets.Clients...)
	cfg.Log = logbook.New(t.err, logbook.Text, slog.LevelWarn)
	cfg.Gear = sample.Gear(secrets)
	h, err := house.Open(ctx, cfg, moved.Now)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := moveIn(ctx, h, f, secrets); err != nil {
		return fmt.Errorf("moving the sample's people in: %w", err)
	}

	gear, err := house.ListenRADIUS("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer house.CloseRADIUS(gear)

	door := &control.Door{
		Token: secret.Token(32), Clock: moved, Keep: f.SetAdvance, Mail: outbox, Metrics: h.Web.MetricsHandler(),
	}
	back, err := openControl(door)
	if err != nil {
		return err
	}
	defer back.Close()

	h.Hear(gear)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- h.Serve(serving, ln, devGrace) }()

	d := describe(h, f, secrets)
	d.URL = cfg.PublicURL.String()
	d.Control = folder.Control{URL: "http://" + back.addr, Token: door.Token}
	d.LDAP = folder.LDAP{
		URL: "ldap://" + people.Addr(), BaseDN: sample.BaseDN, BindDN: sample.AdminDN, BindPassword: string(bindPassword.Reveal()),
	}
	d.RADIUS = &folder.RADIUS{Addr: gear[0].LocalAddr().String(), Secret: secrets.RADIUS}
	if err := f.WriteDev(d); err != nil {
		stop()
		return errors.Join(err, <-served)
	}
	t.welcome(d, f)
	return <-served
}

// drawn is what was left to chance when the folder was made; the first dev on
// it draws.
func drawn(f folder.Folder) (*sample.Secrets, error) {
	s, err := sample.Load(f)
	if s != nil && s.RADIUS == "" { // made before there was a network door
		s.RADIUS = sample.GearSecret()
		err = s.Save(f)
	}
	if s != nil || err != nil {
		return s, err
	}
	if s, err = sample.Draw(); err != nil {
		return nil, err
	}
	return s, s.Save(f)
}

// startDirectory starts the embedded LDAP server on the folder's data, with the
// people in it if it is new.
func startDirectory(ctx context.Context, f folder.Folder, now clock.Now, s *sample.Secrets, cost secret.Params) (*embedded.Server, secret.Text, error) {
	password, err := secret.ReadFile(f.BindPassword())
	if errors.Is(err, fs.ErrNotExist) {
		if err := folder.Write(f.BindPassword(), []byte(secret.Token(24)+"\n"), 0o600); err != nil {
			return nil, secret.Text{}, err
		}
		password, err = secret.ReadFile(f.BindPassword())
	}
	if err != nil {
		return nil, secret.Text{}, err
	}
	srv, err := embedded.Start(ctx, embedded.Config{
		Dir: f.Directory(), BaseDN: sample.BaseDN, AdminDN: sample.AdminDN, AdminPassword: password,
		Hasher: secret.NewHasher(cost, nil, devQueue), Now: now,
		Seed: func(add func(dn string, attributes map[string][]string) error) error {
			return sample.Entries(now(), s, add)
		},
	})
	return srv, password, err
}

// A backDoor is the control listener at work.
type backDoor struct {
	srv  *http.Server
	addr string
}

// openControl listens on a port of loopback that the kernel picks.
func openControl(d *control.Door) (*backDoor, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the control listener: %w", err)
	}
	b := &backDoor{srv: &http.Server{Handler: d.Handler(), ReadHeaderTimeout: 5 * time.Second}, addr: ln.Addr().String()}
	go func() { _ = b.srv.Serve(ln) }() // ends with Close
	return b, nil
}

func (b *backDoor) Close() { _ = b.srv.Close() }

// onLoopback refuses to show the sample, whose passwords lie in a file, to a
// network.
func onLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return misuse{say.Errorf("--listen %[1]s は host:port の形ではありません。127.0.0.1:8080 のように書いてください。", "--listen %[1]s is not host:port, such as 127.0.0.1:8080", addr)}
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return misuse{say.Errorf(
		"dev は試用なので、このコンピュータの外には開けません（%[1]s）。127.0.0.1:8080 のように指定してください。",
		"dev is a trial and does not open to other machines (%[1]s); use an address such as 127.0.0.1:8080", addr)}
}

func portOf(ln net.Listener) string {
	_, port, _ := net.SplitHostPort(ln.Addr().String()) // a TCP address has one
	return port
}

// describe is dev.json but for what only Run knows.
func describe(h *house.House, f folder.Folder, s *sample.Secrets) folder.Dev {
	p := h.Charter.Current()
	d := folder.Dev{PID: os.Getpid(), Trail: folder.Trail{PublicKey: h.Key.PublicKey()}}
	for _, n := range p.Networks {
		d.Networks = append(d.Networks, folder.Network{CIDR: n.Prefix.String(), Zone: string(n.Zone), Outside: n.Outside})
	}
	for _, term := range s.Terminals {
		d.Terminals = append(d.Terminals, folder.Terminal{ID: term.ID, Zone: string(term.Zone), Class: term.Class, KeyPEM: term.KeyPEM})
	}
	port := h.Web.PublicURL().Port()
	for _, a := range p.Applications {
		d.Apps = append(d.Apps, folder.App{
			ID: a.ID, URL: "http://" + a.Host + ":" + port + "/", Host: a.Host, Zone: string(a.Zone), Class: a.Class,
		})
	}
	for _, drawn := range s.Clients {
		// A policy that was changed since may have none of it.
		c, ok := p.Client(drawn.ID)
		if app, known := p.ClientApplication(c); ok && known {
			d.Clients = append(d.Clients, folder.Client{
				ClientID: c.ID, ClientSecret: drawn.Secret, AuthMethod: c.AuthMethod, RedirectURIs: c.RedirectURIs,
				PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, Zone: string(app.Zone),
			})
		}
	}
	for _, person := range sample.People() {
		c := s.Of(person.Login)
		out := folder.Person{
			Login: person.Login, State: string(person.State), DN: person.DN(), Mail: person.Mail(), Password: c.Password,
			Section: person.Section, MustChange: person.State == sample.MustChange,
		}
		if c.TOTPSecret != "" {
			out.TOTPSecret = &c.TOTPSecret
		}
		if k := c.Passkey; k != nil {
			out.Passkey = &folder.Passkey{
				CredentialID: base64.RawURLEncoding.EncodeToString(k.CredentialID),
				UserHandle:   base64.RawURLEncoding.EncodeToString(k.UserHandle),
				PrivateKey:   base64.StdEncoding.EncodeToString(k.PrivateKey),
			}
		}
		for _, post := range person.Posts {
			out.Posts = append(out.Posts, string(post))
		}
		d.People = append(d.People, out)
	}
	for _, v := range p.Privileges {
		d.Privileges = append(d.Privileges, lent(p, v))
	}
	return d
}

// lent is a privilege as dev.json lists it: with those of the sample who may ask
// for it and those who may decide. That nobody decides for themselves, and who
// stands where in the tree, is asked when they do.
func lent(p *policy.Policy, v policy.Privilege) folder.Privilege {
	out := folder.Privilege{
		ID: v.ID, MaxMinutes: int(v.Longest / time.Minute), Quorum: v.Approvers.Quorum, Emergency: v.Emergency, TwoPerson: v.TwoPerson,
		Eligible: []string{}, Approvers: []string{},
	}
	for _, g := range v.Gives {
		if dns := g.GroupDNs(); out.GroupDN == "" && len(dns) > 0 {
			out.GroupDN = dns[0]
		}
	}
	for _, person := range sample.People() {
		if person.State != sample.Active {
			continue
		}
		if p.MayBorrow(v, person.Login, person.Posts, nil, person.Section) {
			out.Eligible = append(out.Eligible, person.Login)
		}
		if slices.ContainsFunc(person.Posts, func(id policy.PostID) bool { return slices.Contains(v.Approvers.Posts, id) }) {
			out.Approvers = append(out.Approvers, person.Login)
		}
	}
	return out
}
