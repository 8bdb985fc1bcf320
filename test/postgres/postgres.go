// Package postgres runs the real PostgreSQL server for tests and scripts.
//
// The server listens on loopback only, in a folder of its own, and is ended by
// the process handle it was started with, and by the kernel if its starter dies
// first. It refuses to run as root, so a test that is root runs it as the user
// postgres. Its databases belong to a role that may do nothing but own them, as
// the operators' guide has it.
//
// It refuses to know what is tested with it.
package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Owner is the role that Sekisho signs in as, and Password its password where
// the server asks for one.
const (
	Owner    = "sekisho"
	Password = "kaki-no-ki" // of a server that is gone with the test
)

// Options vary the server. The zero value is a durable one that asks for no
// password.
type Options struct {
	Scram    bool     // ask for the password
	TLS      bool     // offer TLS, for the name localhost and 127.0.0.1
	FsyncOff bool     // be fast
	Settings []string // further ones, name=value
}

// A Server is a running PostgreSQL.
type Server struct {
	Dir  string
	Port int
	PID  int

	CAFile string // PEM, with Options.TLS

	options Options
	process *exec.Cmd
	done    chan struct{} // closed when the process has ended
	log     *os.File
}

// ErrMissing names the Debian package that holds the server.
var ErrMissing = errors.New("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")

// Find answers the folder of the newest server's binaries.
func Find() (string, error) {
	// Debian keeps each version's apart, and outside the path.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", ErrMissing
		}
		found = []string{path}
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// Missing skips the test where there is no server, or fails it where
// SEKISHO_TEST_REQUIRE is 1.
func Missing(t testing.TB) {
	t.Helper()
	if _, err := Find(); err != nil {
		if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// Start runs a server of its own until the end of a test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	Missing(t)
	s, err := some(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), os.RemoveAll(s.Dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// folder makes a folder for a server. Those of testing.T are closed to the
// account that it runs as.
func folder() (string, error) { return os.MkdirTemp("", "sekisho-postgres-") }

// Folder makes a folder that the server's account owns.
func Folder(path string) error {
	as, err := account()
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err == nil && as != nil {
		err = os.Chown(path, int(as.Uid), int(as.Gid))
	}
	return err
}

// freePort looks for a free port below 32768, where the kernel does not pick
// ports for outgoing connections.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + mathrand.IntN(12000)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000")
}

// account is whom the server runs as: nil, ourselves.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Run starts a server in dir and returns when it answers. A folder that holds a
// database already is used as it is, so that a server can be stopped and run
// again.
func Run(dir string, port int, o Options) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	as, err := account()
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, Port: port, options: o}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if err := s.make(bin, data, as); err != nil {
			return nil, err
		}
	}
	if o.TLS {
		s.CAFile = filepath.Join(data, "server.crt")
	}
	return s, s.start()
}

// make lays out a new server.
func (s *Server) make(bin, data string, as *syscall.Credential) error {
	if err := os.Chmod(s.Dir, 0o711); err != nil { //nolint:gosec // it passes through to a folder of its own
		return fmt.Errorf("opening the way to the server's folder: %w", err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("making the server's folder: %w", err)
	}
	password := filepath.Join(s.Dir, "postgres.password")
	if err := os.WriteFile(password, []byte(Password+"\n"), 0o600); err != nil {
		return err
	}
	if as != nil {
		if err := errors.Join(os.Chown(data, int(as.Uid), int(as.Gid)), os.Chown(password, int(as.Uid), int(as.Gid))); err != nil {
			return err
		}
	}
	method := "trust"
	if s.options.Scram {
		method = "scram-sha-256"
	}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", method, "--pwfile", password,
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	cmd.Dir = data
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the database: %w: %s", err, out)
	}
	if s.options.TLS {
		if err := certificate(data, as); err != nil {
			return fmt.Errorf("making the server's certificate: %w", err)
		}
	}
	return nil
}

// start runs the server and waits until it answers.
func (s *Server) start() error {
	bin, err := Find()
	if err != nil {
		return err
	}
	as, err := account()
	if err != nil {
		return err
	}
	if s.log, err = os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	data := filepath.Join(s.Dir, "data")
	args := []string{
		"-D", data, "-p", strconv.Itoa(s.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + data,
		"-c", "shared_buffers=64MB", "-c", "max_connections=200", "-c", "max_wal_size=256MB",
	}
	if s.options.FsyncOff {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	if s.options.TLS {
		args = append(args, "-c", "ssl=on")
	}
	for _, setting := range s.options.Settings {
		args = append(args, "-c", setting)
	}
	s.process = exec.Command(filepath.Join(bin, "postgres"), args...)
	s.process.Dir = data
	s.process.Stdout, s.process.Stderr = s.log, s.log
	// SIGQUIT is its immediate stop.
	s.process.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.PID, s.done = s.process.Process.Pid, make(chan struct{})
	go func(done chan struct{}, p *exec.Cmd) {
		_ = p.Wait() // the reason is in the log
		close(done)
	}(s.done, s.process)
	return s.await()
}

func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			said, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("PostgreSQL ended at once: %s", bytes.TrimSpace(said[max(0, len(said)-2000):]))
		case <-ctx.Done():
			return errors.Join(errors.New("PostgreSQL did not answer within 30 s"), s.Stop())
		case <-tick.C:
		}
		if s.Admin(ctx, "postgres", `SELECT 1`) == nil {
			return nil
		}
	}
}

// Stop ends the server: sessions are cut, what is committed is written out.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill is the immediate stop: as after a power cut, it recovers at its next start.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

// Again starts a server that was stopped, where it was.
func (s *Server) Again() error { return s.start() }

func (s *Server) end(how syscall.Signal) error {
	defer s.log.Close()
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.process.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending PostgreSQL: %w", err)
	}
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing PostgreSQL: %w", err)
		}
		<-s.done
	}
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// URL is what Sekisho is given for a database.
func (s *Server) URL(database string) string {
	return "postgres://" + Owner + "@" + s.Addr() + "/" + database
}

// Admin runs statements as the server's own administrator.
func (s *Server) Admin(ctx context.Context, database string, statements ...string) error {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", Password), Host: s.Addr(), Path: database, RawQuery: "sslmode=disable"}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	for _, q := range statements {
		if _, err := conn.Exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

// Database makes a database that the role Owner owns, a copy of template, or
// empty where that is "".
func (s *Server) Database(ctx context.Context, template string) (string, error) {
	name := "t" + strings.ToLower(rand.Text()[:16])
	if err := s.Admin(ctx, "postgres", `
		DO $$ BEGIN
			PERFORM pg_advisory_xact_lock(1);
			IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '`+Owner+`') THEN
				CREATE ROLE `+Owner+` LOGIN PASSWORD '`+Password+`';
			END IF;
		END $$`); err != nil {
		return "", fmt.Errorf("making the role: %w", err)
	}
	make := `CREATE DATABASE ` + name + ` OWNER ` + Owner
	if template != "" {
		make += ` TEMPLATE ` + template
	}
	if err := s.Admin(ctx, "postgres", make); err != nil {
		return "", fmt.Errorf("making a database: %w", err)
	}
	return name, nil
}

// Drop removes a database, whoever is still connected to it.
func (s *Server) Drop(ctx context.Context, database string) error {
	return s.Admin(ctx, "postgres", `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`)
}

// PasswordFile writes the role's password into a file that only we can read.
func PasswordFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.password")
	if err := os.WriteFile(path, []byte(Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
