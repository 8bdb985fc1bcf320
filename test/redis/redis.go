// Package redis runs real Redis servers and Sentinels for tests and scripts.
//
// They listen on loopback only, in folders of their own, keep nothing on the disk
// unless asked to, and are ended by the process handle they were started with,
// and by the kernel if their starter dies first.
//
// It refuses to know what is tested with it.
package redis

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Server is a running redis-server or redis-sentinel.
type Server struct {
	Addr string // host:port
	Port int
	Dir  string
	PID  int

	program  string
	args     []string
	password string

	mu      sync.Mutex
	process *exec.Cmd
	done    chan struct{} // closed when the process has ended
	log     *bytes.Buffer
}

// Options vary a server. The zero value is a usable one.
type Options struct {
	Password  string   // requirepass
	TLS       *TLS     // listens with TLS alone
	Arguments []string // of redis-server, such as --maxmemory 4mb
}

// TLS names PEM files.
type TLS struct{ Certificate, Key, CA string }

// Start runs a server until the end of a test. Without the program the test is
// skipped, or fails where SEKISHO_TEST_REQUIRE is 1.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	return start(t, "redis-server", "redis-server", o.Password, func(port int) []string {
		args := []string{"--save", "", "--appendonly", "no"}
		if o.TLS == nil {
			args = append(args, "--port", strconv.Itoa(port))
		} else {
			args = append(args, "--port", "0", "--tls-port", strconv.Itoa(port), "--tls-cert-file", o.TLS.Certificate,
				"--tls-key-file", o.TLS.Key, "--tls-ca-cert-file", o.TLS.CA, "--tls-auth-clients", "no")
		}
		if o.Password != "" {
			args = append(args, "--requirepass", o.Password)
		}
		return append(args, o.Arguments...)
	})
}

var (
	sharedLock sync.Mutex
	shared     *Server
)

// Shared is the one server of this process, for tests that keep to a prefix of
// their own and leave the server as it is. It ends with the process.
func Shared(t testing.TB) *Server {
	t.Helper()
	sharedLock.Lock()
	defer sharedLock.Unlock()
	if shared == nil {
		dir, err := os.MkdirTemp("", "sekisho-redis-")
		if err != nil {
			t.Fatal(err)
		}
		if shared, err = run(dir, "redis-server", "", func(port int) []string {
			return []string{"--save", "", "--appendonly", "no", "--port", strconv.Itoa(port)}
		}); err != nil {
			os.RemoveAll(dir)
			missing(t, err, "redis-server")
		}
	}
	return shared
}

// Close ends the shared server, if there is one; TestMain may call it at the end.
func Close() {
	sharedLock.Lock()
	defer sharedLock.Unlock()
	if shared != nil {
		shared.Kill()
		os.RemoveAll(shared.Dir)
		shared = nil
	}
}

func start(t testing.TB, program, debian, password string, args func(port int) []string) *Server {
	t.Helper()
	s, err := run(t.TempDir(), program, password, args)
	if err != nil {
		missing(t, err, debian)
	}
	t.Cleanup(s.Kill)
	return s
}

func missing(t testing.TB, err error, debian string) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) {
		said := fmt.Sprintf("%v: apt-get install -y --no-install-recommends %s", err, debian)
		if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
			t.Fatal(said)
		}
		t.Skip(said)
	}
	t.Fatal(err)
}

func run(dir, program, password string, args func(port int) []string) (*Server, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, exec.ErrNotFound)
	}
	var last error
	for range 5 { // another process may take the port between our look and the server's
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{
			Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, Dir: dir,
			program: path, password: password,
		}
		s.args = append(args(port), "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no")
		if last = s.begin(); last == nil {
			return s, nil
		}
	}
	return nil, last
}

// freePort looks for a port below 32768, where the kernel does not pick ports
// for outgoing connections, whose bus port (10000 above) is free too.
func freePort() (int, error) {
	for range 200 {
		port := 7000 + rand.IntN(4900)
		if free(port) && free(port+10000) {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 7000 and 11900")
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// begin starts the process and waits until it listens. The process is started
// from a thread that stays: the kernel ends it with the thread that started it.
func (s *Server) begin() error {
	cmd := exec.Command(s.program, s.args...)
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began, done := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		began <- cmd.Start()
		if cmd.Process != nil {
			_ = cmd.Wait() // the reason is in the log
		}
	}()
	if err := <-began; err != nil {
		return fmt.Errorf("starting %s: %w", s.program, err)
	}
	s.mu.Lock()
	s.process, s.done, s.log, s.PID = cmd, done, log, cmd.Process.Pid
	s.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		select {
		case <-done:
			return fmt.Errorf("%s ended at once: %s", s.program, log)
		case <-limit.C:
			s.Kill()
			return fmt.Errorf("%s did not listen within 20 s", s.program)
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", s.Addr); err == nil {
			return c.Close()
		}
	}
}

// Kill ends the server as a crash would, and waits until it has ended. Its port
// and folder stay its own.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, done := s.process, s.done
	s.mu.Unlock()
	_ = cmd.Process.Kill() // it may be gone already
	<-done
}

// Restart runs a server again that was killed, at the same address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
}

// Pause stops the server where it stands: it accepts connections, in the kernel,
// and answers nothing. Resume lets it go on.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// Do sends one command, over a connection of its own, and returns the answer's
// text. It is our own way in, beside the client that is tested.
func (s *Server) Do(t testing.TB, words ...string) string {
	t.Helper()
	said, err := s.Try(words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return said
}

// Try is Do for what may fail.
func (s *Server) Try(words ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	if s.password != "" {
		if _, err := say(c, r, "AUTH", s.password); err != nil {
			return "", err
		}
	}
	return say(c, r, words...)
}

func say(c net.Conn, r *bufio.Reader, words ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		return "", err
	}
	return read(r)
}

// read reads one answer; the parts of an array stand on lines of their own.
func read(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("an empty answer")
	}
	rest := line[1:]
	switch line[0] {
	case '-':
		return "", errors.New(rest)
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		if line[0] == '*' {
			parts := make([]string, n)
			for i := range parts {
				if parts[i], err = read(r); err != nil {
					return "", err
				}
			}
			return strings.Join(parts, "\n"), nil
		}
		b := make([]byte, n+2)
		for at := 0; at < len(b); {
			got, err := r.Read(b[at:])
			if err != nil {
				return "", err
			}
			at += got
		}
		return string(b[:n]), nil
	}
	return rest, nil
}

// Sentinel watches a master called "sekisho", and takes it for dead after half a
// second. One suffices to elect.
func Sentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor sekisho 127.0.0.1 %d 1\nsentinel down-after-milliseconds sekisho 500\n"+
		"sentinel failover-timeout sekisho 2000\n", master.Port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "redis-sentinel", "redis-sentinel", "", func(port int) []string {
		return []string{file, "--port", strconv.Itoa(port)}
	})
}

// Replica runs a server that follows another.
func Replica(t testing.TB, of *Server) *Server {
	t.Helper()
	s := Start(t, Options{Arguments: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(of.Port), "--repl-diskless-sync-delay", "0"}})
	until(t, "the replica to follow", func() bool {
		return strings.Contains(s.Do(t, "INFO", "replication"), "master_link_status:up")
	})
	return s
}

// Cluster runs three masters that share the slots.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	for range 3 {
		nodes = append(nodes, Start(t, Options{Arguments: []string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000"}}))
	}
	for i, n := range nodes {
		n.Do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(16384*i/3), strconv.Itoa(16384*(i+1)/3-1))
		n.Do(t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(nodes[0].Port))
	}
	until(t, "the cluster", func() bool {
		for _, n := range nodes {
			info := n.Do(t, "CLUSTER", "INFO")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return nodes
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if cond() {
			return
		}
		<-tick.C
	}
	t.Fatal("waited in vain for ", what)
}
