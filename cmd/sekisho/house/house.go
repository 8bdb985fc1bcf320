// Package house builds Sekisho. Open, with build below it, is the whole house on one page:
// each line uses only the lines above it. `dev`, `serve` and the harness of the
// tests all call it, each with a clock of its own, so what a test has seen is
// what runs.
//
// It decides nothing. It knows every room and none of their rules.
package house

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/oidc"
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
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/authz/grant"
	"sekisho/authz/inquiry"
	"sekisho/authz/lifecycle"
	"sekisho/authz/lockdown"
	"sekisho/authz/people"
	"sekisho/authz/permit"
	"sekisho/authz/personnel"
	"sekisho/authz/project"
	"sekisho/authz/recertify"
	"sekisho/authz/report"
	"sekisho/authz/restore"
	"sekisho/authz/sealed"
	sharing "sekisho/authz/shared"
	"sekisho/authz/statute"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/web"
	"sekisho/web/api"
	"sekisho/web/desk"
	"sekisho/web/gate"
	mail "sekisho/web/notice"
	"sekisho/web/openid"
	"sekisho/web/page"
)

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
	Approvals *approval.Book
	Statutes  *statute.Desk
	Restores  *restore.Desk
	Effects   *elevate.Book
	Leases    *grant.Book
	Permits   *permit.Book
	Sealed    *sealed.Book
	SharedIDs *sharing.Book
	Orders    *lockdown.Orders
	LockDown  *lockdown.Service
	Lifecycle *lifecycle.Book
	Personnel *personnel.Book
	Recertify *recertify.Book
	Projects  *project.Book
	Reports   *report.Reader
	Inquiry   *inquiry.Room
	Scheduled *report.Keeper
	Mail      *mail.Sender
	Tokens    *token.Keys
	OpenID    *oidc.Provider
	Herald    *openid.Herald
	Registry  *prometheus.Registry
	Web       *web.Server
	Gate      *gate.Gate
	Remote    *networkDoor // nil where no gear is configured

	shared   *shared // through Redis; nil without
	inForce  func() *policy.Policy
	watchers *watchers
	effects  *effectLevels
	sweeps   *sweepLevels
	rounds   *roundLevels
	projects *projectLevels
	ceiling  atomic.Int64 // see Signin's House.Ceiling
	denied   denials
	keys     *custodian
	life     *life
	lookout  *lookout
	sessions prometheus.Gauge
	// sharedHeld is how many have a shared ID.
	sharedHeld prometheus.Gauge
	permits    *prometheus.GaugeVec
	cards      *renewals
	gear       []*net.UDPConn
	drain      time.Duration
	log        *slog.Logger
	cfg        Config
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
	// Who looks on. The rooms below are given functions and know no meter.
	h.Registry = prometheus.NewRegistry()
	h.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.lookout, h.cards, h.drain = newLookout(h.Registry, cfg.Spans), &renewals{}, cfg.DrainDelay
	cfg.Store.Watch, cfg.Directory.Watch = h.lookout.Transaction, h.lookout.Directory
	h.cfg = cfg

	// Ground floor: keys, store, trail, rules.
	if h.Ground, err = OpenGround(ctx, cfg, base); err != nil {
		return err
	}
	if err := h.inUse(ctx); err != nil {
		return err
	}
	now := h.Clock.Now
	h.life = newLife(h.Ground)
	h.keys = newCustodian(h.Ground, h.log)
	served, err := h.zonesServed(h.Charter.Current())
	if err != nil {
		return err
	}
	// From here on the rules are those of the zones served here, and of no other.
	rules := (&zones{named: cfg.Zones, charter: h.Charter, now: now, log: h.log}).rules
	h.inForce = rules
	h.Hasher = secret.NewHasher(cfg.Argon2, h.Sealing, cfg.Queue)
	h.Hasher.Watch = h.lookout.Hash
	if err := h.openEphemeral(cfg, now); err != nil {
		return err
	}
	h.Ephemeral = watched{h.Ephemeral, h.lookout}

	// The people.
	if h.Directory, err = openDirectory(ctx, cfg, now); err != nil {
		return err
	}
	h.Watch = standing.NewWatch(h.DB, h.Directory, now)

	// Signing in.
	h.Sessions = session.New(h.DB, h.Session, h.Trail, h.Watch, rules, now)
	if h.shared != nil {
		h.Sessions.UseBell(h.shared.bell)
	}
	h.Watch.Heed(h.Sessions.InStepAt, h.Sessions.Ring)
	h.Orders = lockdown.New(h.DB, rules, now, h.Sessions.InStepAt)
	h.Sessions.Obey(h.Orders.Bar, h.Orders.Spared)
	h.Sessions.Require(func(ctx context.Context, at clock.Moment, n *session.Session, p directory.Person) (string, bool, error) {
		return h.Permits.Bar(ctx, at, n, p)
	}, "63-1", "26no2-2")
	h.Sessions.Require(func(ctx context.Context, at clock.Moment, n *session.Session, p directory.Person) (string, bool, error) {
		return h.Projects.Bar(ctx, at, n, p)
	}, "67-2(1)")
	h.Sessions.PollWith(h.life, h.Watch, h.Orders)
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
		Ceiling: func() int { return int(h.ceiling.Load()) }, Barred: h.Orders.Barred,
		Enters: h.entrant, Entered: h.entered,
		Left: func(ctx context.Context, tx *store.Tx, n session.Session) error { return h.Permits.Left(ctx, tx, n) },
		Reachable: func(ctx context.Context, z policy.ZoneID, outside bool) (bool, error) {
			return h.Permits.Reachable(ctx, z, outside)
		},
		Succeeded: func(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
			if err := (lentAll{h.Leases, h.SharedIDs}).succeed(ctx, tx, from, to); err != nil {
				return err
			}
			return h.OpenID.Succeed(ctx, tx, from, to)
		},
	})
	h.Account = account.New(h.Signin, h.Directory)

	// What is lent: who decides, what it does outside, and the lease itself.
	h.Approvals = approval.New(approval.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Version: h.Charter.Version, People: h.Directory, Facts: h.Watch, Presence: h.Signin,
		Notices: h.Notices, Now: now, Ties: h.ties,
	})
	h.Sealed = sealed.New(sealed.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Presence: h.Approvals, Directory: h.Directory, Notices: h.Notices, Now: now,
	})
	h.watchers, h.effects = &watchers{h: h}, newEffectLevels(h.Registry)
	h.sweeps, h.rounds, h.projects = newSweepLevels(h.Registry), newRoundLevels(h.Registry), newProjectLevels(h.Registry)
	h.Effects = elevate.New(elevate.House{
		DB: h.DB, Trail: h.Trail, Directory: h.Directory, Policy: rules, Forget: h.Watch, Now: now, Log: h.log, Tell: h.watchers.tell,
		Stop: cfg.Stop,
	})
	h.Leases = grant.New(grant.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Version: h.Charter.Version, Matters: h.Approvals, Effects: h.Effects, People: h.Watch,
		Holders: h.Directory, Sessions: h.Sessions, Notices: h.Notices, Sealing: h.Sealing, Now: now, Ring: h.Sessions.Ring, Barred: h.Orders.HitsPerson,
		Ties: h.ties, Leaving: recertify.TakenFrom, Stop: cfg.Stop,
	})
	h.Leases.Open(h.Approvals)
	h.SharedIDs = sharing.New(sharing.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Presence: h.Approvals, Effects: h.Effects, People: h.Watch, Sessions: h.Sessions,
		Sealing: h.Sealing, Notices: h.Notices, Now: now, Barred: h.Orders.HitsPerson, Ties: h.ties, Emergency: h.Sealed.Known, Count: countCheckOuts(h.Registry), Stop: cfg.Stop,
	})
	lost := lentAll{h.Leases, h.SharedIDs}
	h.Statutes = statute.Open(h.Charter, h.Approvals)
	h.Restores = restore.Open(restore.House{DB: h.DB, Policy: rules, Book: h.Approvals, People: h.Directory, Notices: h.Notices, Now: now})
	// What is permitted: who comes in from outside, and what crosses between zones.
	h.Permits = permit.New(permit.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Version: h.Charter.Version, Matters: h.Approvals, People: h.Directory, Facts: h.Watch,
		Terminals: h.Terminals, Sessions: h.Sessions, Notices: h.Notices, Now: now, Ties: h.ties,
	})
	h.Permits.Open(h.Approvals)
	// How IDs are born, move, sleep and die.
	h.Lifecycle = lifecycle.New(lifecycle.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Directory: h.Directory, Sessions: h.Sessions, Leases: lost, Permits: h.Permits, Matters: h.Approvals,
		Notices: h.Notices, Factors: []lifecycle.Keeper{h.TOTP, h.Passkeys, h.Cards}, Sealed: h.Sealed, Own: cfg.Directory.BindDN, Forget: h.Watch, Now: now, Log: h.log,
	})
	h.Projects = project.Open(project.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Directory: h.Directory, IDs: h.Lifecycle, Sessions: h.Sessions, Leases: lost, Permits: h.Permits,
		Matters: h.Approvals, Notices: h.Notices, Forget: h.Watch, Fresh: h.Sessions.InStepAt, Now: now, Log: h.log, Stop: cfg.Stop,
	})
	h.Personnel = personnel.New(personnel.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Directory: h.Directory, Sessions: h.Sessions, Leases: lost, Permits: h.Permits, Life: h.Lifecycle, Projects: h.Projects,
		Matters: h.Approvals, Notices: h.Notices, Own: cfg.Directory.BindDN, Forget: h.Watch, Fresh: h.Sessions.InStep, Now: now, Log: h.log, Stop: cfg.Stop,
	})
	h.Recertify = recertify.New(recertify.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Directory: h.Directory, IDs: h.Lifecycle, Permits: h.Permits, Projects: h.Projects.Purposes, Matters: h.Approvals, Sessions: h.Sessions,
		Notices: h.Notices, Forget: h.Watch, Now: now, Log: h.log, Stop: cfg.Stop,
	})
	h.Sessions.PollWith(h.Leases, h.Permits, h.Personnel, h.Projects)
	counter := desk.New(desk.House{
		Approvals: h.Approvals, Lent: h.Leases, Effects: h.Effects, Lookout: h.Effects, Sealed: h.Sealed, Policy: rules, Sessions: h.Sessions, Now: now,
		DB: h.DB, Permits: h.Permits, Terminals: h.Terminals, Personnel: h.Personnel,
	})

	// What applications are told.
	if h.Tokens, err = token.Open(ctx, h.DB, h.Sealing, h.Trail, now); err != nil {
		return fmt.Errorf("opening the signing keys: %w", err)
	}
	issuer := cfg.PublicURL.Scheme + "://" + cfg.PublicURL.Host
	lent := leases{func() *grant.Book { return h.Leases }, h.Sessions}
	admits := admitter{rules, h.Orders.InForce, lent, h.fill, h.Permits.Used}
	h.OpenID = oidc.New(oidc.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Sessions: h.Sessions, People: h.Watch, Finder: h.Directory, Keys: h.Tokens,
		Requests: h.Ephemeral, Admit: admits, Leases: lent.told, Answers: h.answers, Issuer: issuer, TokenURL: issuer + openid.TokenPath, Now: now,
	})

	// What administrators do to others.
	h.Stock = totp.NewTokens(h.DB, h.Sealing, now, func() policy.TOTPRules { return rules().TOTP })
	h.People = people.New(people.House{In: h.Signin, Account: h.Account, Directory: h.Directory, Stock: h.Stock, Shares: h.OpenID, Approvals: h.Approvals, Leases: lost, Dormancy: h.Lifecycle, Permits: permitted{h.Permits, h.fill}})
	h.Reports = report.New(report.House{
		DB: h.DB, Trail: h.Trail, Policy: rules, Version: h.Charter.Version, Lifecycle: h.Lifecycle, Presence: h.Approvals, SectionOf: h.sectionOf, Now: now,
	})
	h.Inquiry = inquiry.New(inquiry.House{DB: h.DB, Trail: h.Trail, Policy: rules, Presence: h.Approvals, Now: now})
	h.Scheduled = &report.Keeper{Reader: h.Reports, Directory: h.Directory, Notices: h.Notices, Log: h.log}
	h.LockDown = lockdown.NewService(lockdown.House{Orders: h.Orders, In: h.Signin, Directory: h.Directory, Leases: lost})

	// The way in.
	h.Mail = mail.New(mail.Config{
		DB: h.DB, Queue: h.Notices, Trail: h.Trail, People: h.Directory, Mail: cfg.Mailer,
		Policy: rules, Gate: h.PublicURL(), Now: now, Log: h.log, Registry: h.Registry, Watch: h.lookout.Delivery,
	})
	h.Web = web.New(web.Config{
		PublicURL: cfg.PublicURL, ExtraHosts: cfg.ExtraHosts, TrustedProxies: cfg.TrustedProxies, LoopbackZone: cfg.LoopbackZone,
		CertificateHeader: cfg.CertificateHeader,
		Now:               now, Policy: rules, Guard: guard{h.Signin, h.Sessions}, Log: h.log, Registry: h.Registry,
		Ready: h.checks(cfg), Trace: cfg.Trace,
	})
	h.measure(cfg)
	h.shared.measure(h.Registry)
	in := counted{h.Signin, h.Web.CountSignIn}
	api.Mount(h.Web, api.Services{
		SignIn: in, Account: h.Account, Charter: h.Statutes, Trail: h.Inquiry, People: h.People, LockDown: h.LockDown, Desk: counter, Sealed: h.Sealed, Shared: h.SharedIDs, Reports: h.Reports, Sessions: h.Sessions, Permits: h.Permits, Imports: counter, Recertify: h.Recertify,
		Projects: h.Projects,
		Once:     api.Answers{DB: h.DB, Now: now}, Seal: h.Sealing,
	})
	page.Mount(h.Web, page.Services{
		Steps: in, Presence: in, Factors: h.Account, Account: h.Account, Charter: h.Statutes, People: h.People, Desk: counter, Permits: counter, LockDown: h.LockDown, Sealed: h.Sealed, Reports: h.Reports, Shared: h.SharedIDs, Imports: counter, Recertify: h.Recertify, Projects: h.Projects,
		Trail: h.Inquiry,
		More:  admits.more, Terminal: h.Signin, Welcome: h.Signin.Welcomes,
		Drafts: h.Ephemeral,
	})
	h.Gate = gate.Mount(h.Web, gate.Services{
		Sessions: h.Sessions, People: h.Watch, SignIn: h.Signin, Keys: h.Tokens, Denied: h.denied.hear, Opened: h.denied.opened,
		LockDowns: h.Orders.InForceAt, Leases: lent.At, Fill: h.filled, Used: h.Permits.Used,
	})
	if h.Remote, err = h.openNetworkDoor(cfg, in, admits.more); err != nil {
		return err
	}
	if h.Remote != nil {
		h.Sessions.PollWith(h.Remote)
		counter.Network = h.Remote
	}
	openid.Mount(h.Web, openid.Services{Provider: h.OpenID, SignIn: h.Signin, Issuer: issuer, Registry: h.Registry})
	h.Herald = openid.NewHerald(h.OpenID, h.log, h.Registry)
	if cfg.SampleApps {
		h.Web.AppFallback(h.Gate.Proxy())
	}
	h.log.Info("house built", "zones", joinZones(served), "policy", h.Charter.Version())
	return nil
}

// Rules are those in force of the zones served here.
func (h *House) Rules() *policy.Policy { return h.inForce() }

// Close closes what is open, top down.
func (h *House) Close() {
	if h.Directory != nil {
		h.Directory.Close()
	}
	h.shared.close()
	if h.Ground != nil {
		h.Ground.Close()
	}
}
