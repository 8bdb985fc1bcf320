// Package samba runs Samba's Active Directory domain controller for tests.
//
// A domain controller's ports are fixed, so each test process has one at most,
// on a loopback address of its own, shared by its tests: they keep apart by the
// names they give. Its domain has two organisational units, people and groups,
// and a service account that holds exactly the rights that docs/operations.md
// tells an administrator to delegate. It is ended by the process handle it was
// started with, and by the kernel if its starter dies first.
//
// It refuses to know what is tested with it.
package samba

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/slapd"
)

// What the domain's policy says.
const (
	MaxFailures = 12          // lockoutThreshold
	Window      = time.Minute // lockOutObservationWindow
	Duration    = time.Minute // lockoutDuration
	MaxAge      = 90 * 24 * time.Hour
	MinLength   = 8
	History     = 3
)

const (
	adminPassword   = "Admin-of-this-test-1"
	servicePassword = "service-of-this-test"
	python          = "/usr/bin/python3" // Debian's own, which has Samba's modules
)

// A Server is a running domain controller.
type Server struct {
	URL, LDAPSURL   string
	CAFile          string
	BaseDN          string
	AdminDN         string
	AdminPassword   string
	ServiceDN       string // the least-privileged account for Sekisho
	ReaderDN        string // an account that may read and no more, of the same password
	ServicePassword string
	Dir             string
	PID             int

	process *exec.Cmd
	done    chan struct{} // closed when the process has ended
	lock    *os.File      // on the address
	log     bytes.Buffer
}

// ErrMissing names the Debian packages that hold the server.
var ErrMissing = errors.New("samba is not installed: apt-get install -y --no-install-recommends samba-ad-dc samba-ad-provision")

//go:embed prepare.py
var prepare string

var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Shared is this process's domain controller, started when first asked for.
// TestMain calls Stop at the end. Without Samba the test is skipped, or fails
// where SEKISHO_TEST_REQUIRE is 1; without the right to its ports it is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	for _, path := range []string{"/usr/sbin/samba", "/usr/bin/samba-tool", "/usr/share/samba/setup/provision.ldif", python} {
		if _, err := os.Stat(path); err != nil {
			missing(t, ErrMissing)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("a domain controller takes ports below 1024: run the tests as root")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = run()
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// Stop ends what Shared started, and removes its folder.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil {
		_ = s.process.Process.Kill() // it holds nothing that is to be kept
		<-s.done
		_ = os.RemoveAll(s.Dir)
		_ = s.lock.Close()
		shared.server = nil
	}
}

// address finds a loopback address that no other process uses, beginning with
// one made of our process id, and holds it by a lock.
func address() (string, *os.File, error) {
	pid := os.Getpid()
	for i := range 20 {
		ip := fmt.Sprintf("127.%d.%d.%d", 100+(pid>>16+i)%100, pid>>8&0xff, pid&0xff)
		f, err := os.OpenFile(filepath.Join(os.TempDir(), "sekisho-samba-"+ip+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return "", nil, fmt.Errorf("locking an address: %w", err)
		}
		free := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		for _, port := range []string{"389", "636", "88", "3268"} {
			if l, err := net.Listen("tcp", net.JoinHostPort(ip, port)); err != nil {
				free = false
			} else {
				_ = l.Close()
			}
		}
		if free {
			_ = os.Remove(f.Name()) // the lock stays with the open file
			return ip, f, nil
		}
		_ = f.Close()
	}
	return "", nil, errors.New("no loopback address is free for a domain controller")
}

func run() (s *Server, err error) {
	ip, lock, err := address()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sekisho-samba-")
	if err != nil {
		return nil, err
	}
	const base = "DC=corp,DC=test"
	s = &Server{
		URL: "ldap://" + ip, LDAPSURL: "ldaps://" + ip, CAFile: filepath.Join(dir, "tls", "ca.pem"), BaseDN: base,
		AdminDN: "CN=Administrator,CN=Users," + base, AdminPassword: adminPassword,
		ServiceDN: "CN=sekisho,OU=services," + base, ReaderDN: "CN=reader,OU=services," + base, ServicePassword: servicePassword,
		Dir: dir, done: make(chan struct{}), lock: lock,
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}()
	if err := s.copy(ip); err != nil {
		return nil, err
	}
	if err := slapd.Certificate(filepath.Join(dir, "tls"), net.ParseIP(ip)); err != nil {
		return nil, fmt.Errorf("making the server's certificate: %w", err)
	}
	return s, s.start(ip)
}

// A domain is provisioned once for a machine, beside the other tools of the
// tests, since that takes seconds; each server works on a copy. The copy is told
// its folder and its address by its smb.conf alone.
const template = "127.0.0.1"

func (s *Server) copy(ip string) error {
	from, err := provisioned()
	if err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from+"/.", s.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("copying a domain: %w: %s", err, out)
	}
	conf := filepath.Join(s.Dir, "etc", "smb.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	// What smb.conf calls its own folder is where it was provisioned.
	was, err := os.ReadFile(filepath.Join(s.Dir, "folder"))
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, was, []byte(s.Dir))
	text = bytes.ReplaceAll(text, []byte(template), []byte(ip))
	return os.WriteFile(conf, text, 0o600)
}

// provisioned is the folder of a domain that nobody serves, made if there is
// none for this Samba and this script.
func provisioned() (string, error) {
	version, err := exec.Command("/usr/sbin/samba", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking samba its version: %w", err)
	}
	tools := os.Getenv("SEKISHO_TOOLS")
	if tools == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir() // nobody's home
		}
		tools = filepath.Join(cache, "sekisho-tools")
	}
	policy, err := json.Marshal(map[string]any{
		"failures": MaxFailures, "lock": Duration.Seconds(), "window": Window.Seconds(), "age": MaxAge.Seconds(),
		"length": MinLength, "history": History, "password": servicePassword,
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(slices.Concat(version, policy, []byte(prepare)))
	ready := filepath.Join(tools, fmt.Sprintf("samba-%x", sum[:8]))
	if _, err := os.Stat(ready); err == nil {
		return ready, nil
	}
	if err := os.MkdirAll(tools, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(tools, "provisioning-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := provision(dir, string(policy)); err != nil {
		return "", err
	}
	if err := os.Rename(dir, ready); err != nil {
		if _, made := os.Stat(ready); made == nil { // by another process meanwhile
			return ready, nil
		}
		return "", err
	}
	return ready, nil
}

func provision(dir, policy string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("folder"), []byte(dir), 0o600); err != nil {
		return err
	}
	for _, sub := range []string{"log", "run", "cache", "ncalrpc", "ntp", "wb", "tls"} {
		if err := os.Mkdir(at(sub), 0o700); err != nil {
			return err
		}
	}
	args := []string{
		"domain", "provision", "--targetdir=" + dir, "--realm=CORP.TEST", "--domain=CORP", "--server-role=dc",
		"--dns-backend=NONE", "--use-rfc2307", "--host-ip=" + template, "--host-name=dc1", "--adminpass=" + adminPassword,
	}
	for _, option := range []string{
		"vfs objects = acl_xattr", "server services = ldap", "dcerpc endpoint servers = none",
		"interfaces = " + template + "/8", "bind interfaces only = yes", "pid directory = " + at("run"), "ncalrpc dir = " + at("ncalrpc"),
		"ntp signd socket directory = " + at("ntp"), "winbindd socket directory = " + at("wb"), "log file = " + at("log/log"),
		"tls keyfile = " + at("tls/server.key"), "tls certfile = " + at("tls/server.pem"), "tls cafile = " + at("tls/ca.pem"),
	} {
		args = append(args, "--option="+option)
	}
	if out, err := exec.Command("/usr/bin/samba-tool", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("provisioning a domain: %w: %s", err, out)
	}
	if out, err := exec.Command(python, "-c", prepare, at("etc/smb.conf"), policy).CombinedOutput(); err != nil {
		return fmt.Errorf("filling the domain: %w: %s", err, out)
	}
	return nil
}

func (s *Server) start(ip string) error {
	s.process = exec.Command("/usr/sbin/samba", "-i", "-M", "single", "-s", filepath.Join(s.Dir, "etc/smb.conf"), "--debug-stdout", "-d", "0")
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("starting samba: %w", err)
	}
	s.PID = s.process.Process.Pid
	go func() {
		_ = s.process.Wait() // the reason is in the log
		close(s.done)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(60 * time.Second)
	defer limit.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("samba ended at once: %s", &s.log)
		case <-limit.C:
			_ = s.process.Process.Kill()
			<-s.done
			return errors.New("samba did not listen within 60 s")
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", net.JoinHostPort(ip, "636")); err == nil {
			return c.Close()
		}
	}
}

const written = `
import sys, ldb
db, dn, attribute, *values = sys.argv[1:]
s = ldb.Ldb("tdb://" + db)
m = ldb.Message(ldb.Dn(s, dn))
m[attribute] = ldb.MessageElement(values, ldb.FLAG_MOD_REPLACE, attribute)
s.modify(m)
`

// Write sets an attribute in the domain's own file, past every rule of the
// server: what only time brings about otherwise, such as a password grown old.
func (s *Server) Write(t testing.TB, dn, attribute string, values ...string) {
	t.Helper()
	db := filepath.Join(s.Dir, "private/sam.ldb.d", "DC=CORP,DC=TEST.ldb")
	if out, err := exec.Command(python, append([]string{"-c", written, db, dn, attribute}, values...)...).CombinedOutput(); err != nil {
		t.Fatalf("writing %s of %s: %v: %s", attribute, dn, err, out)
	}
}

// Dial is a connection to the server over TLS, bound as nobody yet.
func (s *Server) Dial(t testing.TB) *goldap.Conn {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := goldap.DialURL(s.LDAPSURL, goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Admin is a connection of the domain's administrator, until the test ends.
func (s *Server) Admin(t testing.TB) *goldap.Conn {
	t.Helper()
	c := s.Dial(t)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(s.AdminDN, s.AdminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}
