// Package house builds Sekisho. Open, with build below it, is the whole house on one page:
// each line uses only the lines above it. `dev`, `serve` and the harness of the
// tests all call it, each with a clock of its own, so what a test has seen is
// what runs.
//
// It decides nothing. It knows every room and none of their rules.
package house

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

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
	"sekisho/authn/token"
	"sekisho/authn/totp"
	"sekisho/authz/people"
	"sekisho/cmd/sekisho/say"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/web"
	"sekisho/web/api"
	"sekisho/web/gate"
	mail "sekisho/web/notice"
	"sekisho/web/page"
)

// mostEphemeral bounds what is held in memory and may be lost: sign-ins under
// way, counts by source, answers kept for a repeated request.
const mostEphemeral = 500_000

// A House is everything, built and not yet open to visitors.
type House struct {
	*Ground
	Hasher    *secret.Hasher
	Directory *ldap.Directory
	Ephemeral ephemeral.Store
	Watch     *standing.Watch
	Sessions  *session.Sessions
	TOTP      *totp.Devices
	Passkeys  *passkey.Keys
	Cards     *card.Reader
	Terminals *terminal.Register
	Recovery  *recovery.Codes
	Notices   *notice.Queue
	Signin    *signin.Service
	Account   *account.Service
	Stock     *totp.Tokens
	People    *people.Service
	Mail      *mail.Sender
	Tokens    *token.Keys
	Registry  *prometheus.Registry
	Web       *web.Server
	Gate      *gate.Gate

	ceiling atomic.Int64 // see Signin's House.Ceiling
	denied  denials
	log     *slog.Logger
}

// Open builds the house from the ground up.
func Open(ctx context.Context, cfg Config, base clock.Now) (*House, error) {
	h := &House{log: cfg.Log, denied: make(denials, mostDenials)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if err := h.build(ctx, cfg, base); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *House) build(ctx context.Context, cfg Config, base clock.Now) (err error) {
	// Ground floor: keys, store, trail, rules.
	if h.Ground, err = OpenGround(ctx, cfg, base); err != nil {
		return err
	}
	rules, now := h.Charter.Current, h.Clock.Now
	served, err := h.zonesServed(rules())
	if err != nil {
		return err
	}
	h.Hasher = secret.NewHasher(cfg.Argon2, h.Sealing, cfg.Queue)
	h.Ephemeral = ephemeral.NewMemory(now, mostEphemeral)

	// The people.
	if h.Directory, err = openDirectory(ctx, cfg, now); err != nil {
		return err
	}
	h.Watch = standing.NewWatch(h.DB, h.Directory, now)

	// Signing in.
	h.Sessions = session.New(h.DB, h.Session, h.Trail, h.Watch, rules, now)
	h.TOTP = totp.NewUnder(h.DB, h.Sealing, now, func() policy.TOTPRules { return rules().TOTP })
	once := ticket.New(h.Session, now)
	if h.Passkeys, err = passkey.New(h.DB, h.Sealing, once, relyingParty(cfg, rules()), now, rules); err != nil {
		return fmt.Errorf("opening the passkeys: %w", err)
	}
	h.Cards = card.New(h.DB, card.NewFiles(cfg.RevocationLists, now), now, rules)
	h.Terminals = terminal.New(h.DB, once, h.PublicURL(), now, rules)
	h.Recovery = recovery.New(h.DB, h.Sealing, now, func() policy.RecoveryRules { return rules().Recovery })
	h.Notices = notice.New(h.DB, now, rules)
	h.ceiling.Store(1) // until the directory has said how many it takes
	h.Signin = signin.New(signin.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Directory: h.Directory, Watch: h.Watch, Sessions: h.Sessions,
		Codes: h.TOTP, Passkeys: h.Passkeys, Cards: h.Cards, Terminals: h.Terminals, Recovery: h.Recovery,
		History: password.New(h.DB, h.Hasher, h.Sealing, now), Notices: h.Notices, Flows: h.Ephemeral, Now: now,
		Ceiling: func() int { return int(h.ceiling.Load()) },
	})
	h.Account = account.New(h.Signin, h.Directory)

	// What administrators do to others.
	h.Stock = totp.NewTokens(h.DB, h.Sealing, now, func() policy.TOTPRules { return rules().TOTP })
	h.People = people.New(people.House{In: h.Signin, Account: h.Account, Directory: h.Directory, Stock: h.Stock})

	// What applications are told.
	if h.Tokens, err = token.Open(ctx, h.DB, h.Sealing, h.Trail, now); err != nil {
		return fmt.Errorf("opening the signing keys: %w", err)
	}

	// The way in.
	h.Registry = prometheus.NewRegistry()
	h.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.Mail = mail.New(mail.Config{
		DB: h.DB, Queue: h.Notices, Trail: h.Trail, People: h.Directory, Mail: cfg.Mailer,
		Policy: rules, Gate: h.PublicURL(), Now: now, Log: h.log, Registry: h.Registry,
	})
	h.Web = web.New(web.Config{
		PublicURL: cfg.PublicURL, ExtraHosts: cfg.ExtraHosts, TrustedProxies: cfg.TrustedProxies, LoopbackZone: cfg.LoopbackZone,
		CertificateHeader: cfg.CertificateHeader,
		Now:               now, Policy: rules, Guard: guard{h.Signin, h.Sessions}, Log: h.log, Registry: h.Registry,
		Ready: []web.Check{
			{Name: "store", Ask: h.DB.Ping},
			{Name: "directory", Ask: h.Directory.Ping},
			{Name: "policy", Ask: func(context.Context) error { return h.Charter.Err() }},
			{Name: "trail", Ask: func(context.Context) error { return h.Seal.Err() }},
		},
	})
	api.Mount(h.Web, api.Services{
		SignIn: h.Signin, Account: h.Account, Charter: h.Charter, Trail: h.Trail, People: h.People,
		Note: h.note, Once: api.Answers{DB: h.DB, Now: now}, Seal: h.Sealing,
	})
	page.Mount(h.Web, page.Services{
		Steps: h.Signin, Presence: h.Signin, Factors: h.Account, Account: h.Account, Charter: h.Charter, People: h.People,
	})
	h.Gate = gate.Mount(h.Web, gate.Services{
		Sessions: h.Sessions, People: h.Watch, SignIn: h.Signin, Keys: h.Tokens, Denied: h.denied.hear, Opened: h.denied.opened,
	})
	if cfg.SampleApps {
		h.Web.AppFallback(h.Gate.Proxy())
	}
	h.log.Info("house built", "zones", joinZones(served), "policy", h.Charter.Version())
	return nil
}

// relyingParty is who asks for passkeys: the name of the gate's own host, at its
// one address.
func relyingParty(cfg Config, p *policy.Policy) passkey.RP {
	name := p.Prefecture.Name.In("ja")
	if name == "" {
		name = "関所"
	}
	u := cfg.PublicURL
	return passkey.RP{ID: u.Hostname(), Name: name, Origins: []string{u.Scheme + "://" + u.Host}}
}

// guard tells web the live cookies from the dead.
type guard struct {
	*signin.Service
	sessions *session.Sessions
}

func (g guard) CheckCSRF(cookie, token string) bool { return g.sessions.CheckCSRF(cookie, token) }

func openDirectory(ctx context.Context, cfg Config, now clock.Now) (*ldap.Directory, error) {
	d := cfg.Directory
	if d.BindPassword.IsEmpty() {
		pw, err := secret.ReadFile(cfg.BindPasswordFile)
		if err != nil {
			return nil, say.Errorf("directory.bind_password_file を使えません: %[1]v", "directory.bind_password_file cannot be used: %[1]v", err)
		}
		d.BindPassword = pw
	}
	dir, err := ldap.Open(ctx, d, now)
	if err != nil {
		return nil, say.Errorf("ディレクトリを開けません: %[1]v。`sekisho config check` で確かめてください。",
			"the directory cannot be opened: %[1]v; see `sekisho config check`", err)
	}
	return dir, nil
}

// note enters one act on the trail in a transaction of its own.
func (h *House) note(ctx context.Context, e audit.Entry) error {
	return h.DB.WithTx(ctx, func(tx *store.Tx) error { return h.Trail.Append(ctx, tx, e) })
}

// Close closes what is open, top down.
func (h *House) Close() {
	if h.Directory != nil {
		h.Directory.Close()
	}
	if h.Ground != nil {
		h.Ground.Close()
	}
}

// Handler answers everything that visitors may ask.
func (h *House) Handler() http.Handler { return h.Web }

// Run does what goes on by itself: sealing the trail, following the rules and
// the revocations, watching the clock, finishing what a crash left. It returns
// when ctx ends and all of it has stopped.
func (h *House) Run(ctx context.Context) {
	h.askCeiling(ctx)
	var wg sync.WaitGroup
	for _, work := range []func(context.Context){
		h.Seal.Run, h.Charter.Run, h.Sessions.Run, h.Account.Run, h.Mail.Run, h.keepTime, h.enterDenials,
		func(ctx context.Context) { every(ctx, 15*time.Second, func() { h.askCeiling(ctx) }) },
		func(ctx context.Context) {
			every(ctx, 30*time.Second, func() { h.complain(ctx, "finishing password changes", h.Signin.Recover(ctx)) })
		},
		func(ctx context.Context) {
			every(ctx, time.Hour, func() { h.complain(ctx, "tidying attempts", h.Signin.Tidy(ctx)) })
		},
	} {
		wg.Go(func() { work(ctx) })
	}
	wg.Wait()
}

// complain logs what failed in the background and will be tried again.
func (h *House) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		h.log.Warn(what+" failed; it is tried again", "error", err)
	}
}

// askCeiling asks the directory after how many failures it locks. Ours must
// hold before that, or a stranger could lock a person out of everything else
// that uses the directory. An answer that cannot be had changes nothing.
func (h *House) askCeiling(ctx context.Context) {
	theirs, err := h.Directory.LockoutPolicy(ctx)
	if err != nil {
		h.complain(ctx, "asking the directory for its lockout", err)
		return
	}
	if !theirs.Enabled || theirs.MaxFailures == 0 {
		h.ceiling.Store(0)
		return
	}
	h.ceiling.Store(int64(max(1, theirs.MaxFailures-1)))
}

// Serve opens the doors on ln until ctx ends, then lets what is in flight
// finish, for as long as grace.
func (h *House) Serve(ctx context.Context, ln net.Listener, grace time.Duration) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { h.Run(background) })
	// The trail is sealed until the last request has been answered.
	defer running.Wait()
	defer stop()

	srv := h.Web.HTTPServer()
	srv.Handler = h.Handler()
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		_ = srv.Close()
		return say.Errorf("%[1]v 待っても終わらない要求を打ち切りました。", "requests still in flight after %[1]v were cut off", grace)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
