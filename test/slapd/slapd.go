// Package slapd runs the real OpenLDAP server for tests and scripts.
//
// The server listens on loopback only, in a folder of its own, with TLS under
// its own CA and the overlays ppolicy, memberof, refint and unique, seeded with
// an empty prefecture and a service account that holds exactly the rights that
// directory/ldap documents. It is ended by the process handle it was started
// with, and by the kernel if its starter dies first.
//
// It refuses to know what is tested with it.
package slapd

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Options vary the server. The zero value is a usable one.
type Options struct {
	BaseDN          string        // default dc=pref,dc=example
	PasswordHash    string        // default {ARGON2} with Argon2MemoryKiB; or {SSHA}
	Argon2MemoryKiB int           // default 8192, as in tests; slapd's own is 19456
	MaxFailures     int           // pwdMaxFailure, default 100: ours must hold before
	LockDuration    time.Duration // pwdLockoutDuration, default 60 s
	MaxAge          time.Duration // pwdMaxAge, default none
	MinLength       int           // pwdMinLength, default 8
	MinAge          time.Duration // pwdMinAge, default none
	History         int           // pwdInHistory, default 3
	SizeLimit       string        // the sizelimit line, default size.soft=500 size.hard=unlimited size.pr=unlimited
	Cleartext       bool          // leave out ppolicy_hash_cleartext
	NoMemberOf      bool          // leave out the overlay memberof
	NoDynamic       bool          // leave out the overlay dds, which ends dynamic entries
	NoLastBind      bool          // leave out lastbind, which makes a write of each bind
	Synced          bool          // each write is on the disk when it is answered, as slapd does by itself
	LDIF            string        // added by slapadd after the seed
}

// A Server is a running slapd.
type Server struct {
	URL, LDAPSURL   string
	CAFile          string // PEM, to verify LDAPSURL and StartTLS on URL
	BaseDN          string
	AdminDN         string // the rootdn
	AdminPassword   string
	ServiceDN       string // the least-privileged account for Sekisho
	ServicePassword string
	Dir             string
	PID             int

	process *exec.Cmd
	done    chan struct{} // closed when the process has ended
	log     *bytes.Buffer
}

// ErrMissing names the Debian package that holds the server.
var ErrMissing = errors.New("slapd is not installed: apt-get install -y --no-install-recommends slapd ldap-utils")

// Find answers where the server's binaries are.
func Find() (slapd, slapadd string, err error) {
	for name, path := range map[string]*string{"slapd": &slapd, "slapadd": &slapadd} {
		if *path, err = exec.LookPath(name); err == nil {
			continue
		}
		// Debian keeps it outside the path of ordinary users.
		*path = "/usr/sbin/" + name
		if _, err = os.Stat(*path); err != nil {
			return "", "", ErrMissing
		}
	}
	return slapd, slapadd, nil
}

// Start runs a server until the end of a test. Without the binary the test is skipped, or fails
// where SEKISHO_TEST_REQUIRE is 1.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if _, _, err := Find(); err != nil {
		if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var last error
	for range 5 { // another process may take the port between our look and slapd's
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Run(t.TempDir(), port, o)
		if err == nil {
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
			return s
		}
		last = err
	}
	t.Fatal(last)
	return nil
}

// freePort looks for two neighbouring free ports below 32768, where the kernel
// does not pick ports for outgoing connections.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + 2*rand.IntN(6000)
		if free(port) && free(port+1) {
			return port, nil
		}
	}
	return 0, errors.New("no two free ports between 20000 and 32000")
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Run starts a server in dir, LDAP on port and LDAPS on the next one, and
// returns when it answers. A folder that holds a database already is used as it
// is, so that a server can be stopped and run again.
func Run(dir string, port int, o Options) (*Server, error) {
	slapd, slapadd, err := Find()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if err := os.MkdirAll(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, fmt.Errorf("making the server's folder: %w", err)
	}
	if err := Certificate(dir); err != nil {
		return nil, fmt.Errorf("making the server's certificate: %w", err)
	}
	conf := filepath.Join(dir, "slapd.conf")
	if err := os.WriteFile(conf, configuration(dir, o), 0o600); err != nil {
		return nil, fmt.Errorf("writing the server's configuration: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "db", "data.mdb")); err != nil {
		if err := load(slapadd, conf, seed(o)+o.LDIF); err != nil {
			return nil, err
		}
	}
	s := &Server{
		URL:             "ldap://127.0.0.1:" + strconv.Itoa(port),
		LDAPSURL:        "ldaps://127.0.0.1:" + strconv.Itoa(port+1),
		CAFile:          filepath.Join(dir, "ca.pem"),
		BaseDN:          o.BaseDN,
		AdminDN:         "cn=admin," + o.BaseDN,
		AdminPassword:   adminPassword,
		ServiceDN:       "cn=sekisho,ou=services," + o.BaseDN,
		ServicePassword: servicePassword,
		Dir:             dir,
		done:            make(chan struct{}),
		log:             new(bytes.Buffer),
	}
	if err := s.start(slapd, conf, port); err != nil {
		return nil, err
	}
	return s, nil
}

func load(slapadd, conf, ldif string) error {
	cmd := exec.Command(slapadd, "-q", "-f", conf)
	cmd.Stdin = bytes.NewBufferString(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("seeding the server: %w: %s", err, out)
	}
	return nil
}

func (s *Server) start(slapd, conf string, port int) error {
	// -d 0 keeps it in the foreground, as our own child.
	s.process = exec.Command(slapd, "-d", "0", "-f", conf, "-h", s.URL+" "+s.LDAPSURL)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("starting slapd: %w", err)
	}
	s.PID = s.process.Process.Pid
	go func() {
		_ = s.process.Wait() // the reason is in the log
		close(s.done)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("slapd ended at once: %s", s.log)
		case <-limit.C:
			return errors.Join(errors.New("slapd did not listen within 30 s"), s.Stop())
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1))); err == nil {
			return c.Close()
		}
	}
}

// Stop ends the server and waits until it has ended. Its folder stays.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server as a crash would.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Pause stops the server where it stands: it accepts connections, in the
// kernel, and answers nothing. Resume lets it go on.
func (s *Server) Pause() error {
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping slapd: %w", err)
	}
	// The kernel stops the threads one by one; the state says when it is done.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5_000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
		if err != nil {
			return fmt.Errorf("stopping slapd: %w", err)
		}
		if _, state, found := bytes.Cut(stat, []byte(") ")); found && state[0] == 'T' {
			return nil
		}
		<-tick.C
	}
	return errors.New("slapd did not stop within 5 s")
}

// Resume undoes Pause.
func (s *Server) Resume() error { return s.process.Process.Signal(syscall.SIGCONT) }

func (s *Server) end(how syscall.Signal) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.process.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending slapd: %w", err)
	}
	_ = s.process.Process.Signal(syscall.SIGCONT) // a paused one cannot end itself
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing slapd: %w", err)
		}
		<-s.done
	}
	return nil
}
