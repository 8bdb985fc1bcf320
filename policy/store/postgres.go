package store

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

const (
	defaultConnections = 20
	fewestConnections  = 4

	// oldestServer is the oldest PostgreSQL that the suite has run on.
	oldestServer = 15

	// connectWithin bounds a new connection, and longestTx a transaction with
	// all its statements: a server that stopped answering is noticed by then.
	connectWithin = 5 * time.Second
	longestTx     = 20 * time.Second
)

// sessions are the settings of each connection. They bound what a gateway that
// stopped in the middle (a paused machine, a cut cable) can hold back: its locks
// go when the server ends its transaction.
var sessions = map[string]string{
	"application_name":                    "sekisho",
	"client_encoding":                     "UTF8",
	"TimeZone":                            "UTC",
	"statement_timeout":                   "15s",
	"lock_timeout":                        "5s",
	"idle_in_transaction_session_timeout": "5s",
	"tcp_user_timeout":                    "10s",
	// SERIALIZABLE locks what a query looks at, and a sequential scan looks at
	// the whole table: two strangers would conflict in a small one.
	"enable_seqscan": "off",
	"jit":            "off", // which the setting before would wake up
}

// postgres is a store in a PostgreSQL database that many gateways share.
type postgres struct {
	server   *server
	place    string // host and database, as messages name them
	patience time.Duration
	fault    func(stage string) error
	carried  carried
	met      *tally

	reads, writes *sql.DB
	turns         chan struct{} // one for each connection that writes
	closed        chan struct{}
	once          sync.Once
	working       sync.WaitGroup
	mu            sync.Mutex // between working.Add and close
}

func openPostgres(ctx context.Context, cfg Config, from carried, met *tally) (*postgres, error) {
	server, err := serverOf(cfg)
	if err != nil {
		return nil, err
	}
	total := cfg.MaxConnections
	if total == 0 {
		total = defaultConnections
	}
	if total < fewestConnections {
		return nil, fmt.Errorf("the store may open %d connections: it needs %d or more", total, fewestConnections)
	}
	writers := total * 2 / 3
	db := &postgres{
		place: server.place, patience: cfg.Patience, fault: cfg.Fault, carried: from, met: met,
		turns: make(chan struct{}, writers), closed: make(chan struct{}),
	}
	if err := migratePostgres(ctx, server, from); err != nil {
		return nil, err
	}
	db.server = server
	db.writes = server.pool(writers, nil)
	reading := *server
	reading.config = server.config.Copy()
	reading.config.DialFunc = patiently(server.config.DialFunc, cfg.ReadWithin)
	db.reads = reading.pool(total-writers, map[string]string{"default_transaction_read_only": "on"})
	if err := errors.Join(db.writes.PingContext(ctx), db.reads.PingContext(ctx)); err != nil {
		_ = db.closePools() // what went wrong first is what is told
		return nil, lost(fmt.Errorf("connecting to %s: %w", db.place, err))
	}
	return db, nil
}

// A server is where PostgreSQL is and how to sign in there.
type server struct {
	place    string
	config   *pgx.ConnConfig
	password string // file
	fsyncOff bool
}

// serverOf reads where the server is. Nothing is taken from the environment or
// from files that libpq knows: what is not in the configuration is not so.
func serverOf(cfg Config) (*server, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case cfg.URL == "":
		return nil, errors.New("the store has no URL")
	case err != nil:
		return nil, errors.New("the store's URL cannot be read") // its text may hold a password
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return nil, fmt.Errorf("the store's URL begins with %q where postgres:// is needed", u.Scheme)
	case u.Host == "" && u.Query().Get("host") == "":
		return nil, errors.New("the store's URL names no host")
	case u.User.Username() == "" || strings.Trim(u.Path, "/") == "":
		return nil, errors.New("the store's URL names no user or no database: postgres://user@host:port/database")
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("passfile") || u.Query().Has("service") {
		return nil, errors.New("the store's URL holds a password or a way to one: a file of its own holds it")
	}
	q := u.Query()
	hosts := strings.Split(u.Host, ",")
	near := !slices.ContainsFunc(hosts, func(h string) bool { return !onThisMachine(h) }) && onThisMachine(q.Get("host"))
	if !q.Has("sslmode") {
		q.Set("sslmode", map[bool]string{true: "disable", false: "verify-full"}[near && cfg.CAFile == ""])
	}
	if cfg.CAFile != "" && !q.Has("sslrootcert") {
		q.Set("sslrootcert", cfg.CAFile)
	}
	u.RawQuery = q.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		// pgx redacts the password, and there is none.
		return nil, fmt.Errorf("reading the store's URL: %w", err)
	}
	if !near && !cfg.PlaintextAllowed && slices.ContainsFunc(ways(config), unproven) {
		return nil, fmt.Errorf("the store's URL says sslmode=%s: another machine must prove its name (verify-full), or plaintext is allowed in words", q.Get("sslmode"))
	}
	config.Password = ""
	for name := range config.RuntimeParams {
		if !q.Has(name) {
			delete(config.RuntimeParams, name) // from the environment
		}
	}
	for name, value := range sessions {
		config.RuntimeParams[name] = value
	}
	config.ConnectTimeout = connectWithin
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	config.DialFunc = (&net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         giveUp,
	}).DialContext
	return &server{
		place: placeOf(cfg.URL), config: config, password: cfg.PasswordFile, fsyncOff: cfg.FsyncOff,
	}, nil
}

// placeOf is host and database of a URL.
func placeOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "PostgreSQL"
	}
	return u.Host + u.Path
}

// onThisMachine: loopback, or a folder with a socket in it.
func onThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "" || host == "localhost" || filepath.IsAbs(host) || err == nil && addr.IsLoopback()
}

// ways are all ways to connect that pgx would try.
func ways(c *pgx.ConnConfig) []*tls.Config {
	all := []*tls.Config{c.TLSConfig}
	for _, f := range c.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	return all
}

// unproven: in clear, or with a certificate that nobody looks at. verify-ca
// looks at it by itself.
func unproven(c *tls.Config) bool {
	return c == nil || c.InsecureSkipVerify && c.VerifyPeerCertificate == nil && c.VerifyConnection == nil
}

// giveUp lets the kernel end a connection whose peer has not acknowledged for
// ten seconds what was sent: keepalive only watches one that is idle.
func giveUp(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000)
	}); e != nil {
		return e
	}
	return err
}

// pool makes a pool of connections with further settings. None is opened yet.
func (s *server) pool(most int, more map[string]string) *sql.DB {
	config := s.config.Copy()
	for name, value := range more {
		config.RuntimeParams[name] = value
	}
	db := stdlib.OpenDB(*config,
		stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
			if s.password == "" {
				return nil
			}
			pw, err := secret.ReadFile(s.password)
			if err != nil {
				return fmt.Errorf("reading the store's password: %w", err)
			}
			c.Password = string(pw.Reveal())
			return nil
		}),
		stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
			err := s.suits(ctx, c)
			if err != nil {
				_ = c.Close(ctx)
			}
			return err
		}))
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db
}

// Unsuited says what a server is or has that Sekisho cannot work with.
type Unsuited struct {
	Place, Setting, Got, Want, Means string
}

func (u *Unsuited) Error() string {
	return fmt.Sprintf("%s has %s %s where %s is needed: %s", u.Place, u.Setting, u.Got, u.Want, u.Means)
}

// suits reads back what durability hangs on. A setting can be made for a role or
// a database at any time, so each new connection is asked.
func (s *server) suits(ctx context.Context, c *pgx.Conn) error {
	var version, encoding, order, commit, fsync, pages string
	if err := c.QueryRow(ctx, `
		SELECT current_setting('server_version_num'), current_setting('server_encoding'),
		       CASE datlocprovider WHEN 'c' THEN datcollate WHEN 'i' THEN 'ICU' ELSE 'C' END,
		       current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes')
		FROM   pg_database WHERE datname = current_database()`).
		Scan(&version, &encoding, &order, &commit, &fsync, &pages); err != nil {
		return fmt.Errorf("reading the settings of %s: %w", s.place, err)
	}
	if number, err := strconv.Atoi(version); err != nil || number < oldestServer*10000 {
		return &Unsuited{s.place, "server_version_num", version, strconv.Itoa(oldestServer*10000) + " or later", "nothing older was tried"}
	}
	if encoding != "UTF8" {
		return &Unsuited{s.place, "server_encoding", encoding, "UTF8", "names could not be kept"}
	}
	if !slices.Contains([]string{"C", "POSIX", "C.UTF-8", "C.utf8"}, order) {
		return &Unsuited{s.place, "collation", order, "C or C.UTF-8", "text would not be in the order of its bytes, and an update of the system's libraries could change it under the indexes"}
	}
	if commit != "on" && commit != "remote_apply" {
		return &Unsuited{s.place, "synchronous_commit", commit, "on", "a crash could undo commits that were already acknowledged"}
	}
	if s.fsyncOff {
		return nil
	}
	if fsync != "on" {
		return &Unsuited{s.place, "fsync", fsync, "on", "a power cut could undo commits that were already acknowledged"}
	}
	if pages != "on" {
		return &Unsuited{s.place, "full_page_writes", pages, "on", "a power cut could tear pages apart"}
	}
	return nil
}

func (db *postgres) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	for try := 0; ; try++ {
		rows, err := db.reads.QueryContext(ctx, q, args...)
		if err == nil || !db.again(ctx, try, err) {
			return rows, lost(err)
		}
	}
}

func (db *postgres) queryRow(ctx context.Context, q string, args []any) *sql.Row {
	for try := 0; ; try++ {
		row := db.reads.QueryRowContext(ctx, q, args...)
		err := row.Err()
		if err == nil {
			return row
		}
		if !db.again(ctx, try, err) {
			return failedRow(lost(err))
		}
	}
}

// again says whether a question is worth asking on another connection: this one
// had died in the pool, as all do when the server starts anew. A server that
// cannot be connected to is asked once.
func (db *postgres) again(ctx context.Context, try int, err error) bool {
	return try < defaultConnections && ctx.Err() == nil && (died(err) || staleplan(err))
}

func (db *postgres) ahead(ctx context.Context, now clock.Now) (time.Duration, error) {
	var theirs int64
	before := now()
	err := db.queryRow(ctx, `SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT`, nil).Scan(&theirs)
	after := now()
	if err != nil {
		return 0, err
	}
	ours := before.Add(after.Sub(before) / 2)
	return FromMicros(theirs).Sub(ours), nil
}

func (db *postgres) fits(ctx context.Context) error {
	return lost(stillFits(ctx, db.reads, db.carried, db.place))
}

// moved: a connection finds by name what lies there now, and its epoch tells.
func (db *postgres) moved() bool { return false }

func (db *postgres) close() error {
	var err error
	db.once.Do(func() {
		db.mu.Lock()
		close(db.closed)
		db.mu.Unlock()
		db.working.Wait()
		err = db.closePools()
	})
	return err
}

func (db *postgres) closePools() error {
	return errors.Join(db.reads.Close(), db.writes.Close())
}
