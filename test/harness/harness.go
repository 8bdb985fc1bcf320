// Package harness starts the real binaries and speaks to them from outside, as
// browsers, proxies and scripts do.
//
// It knows the contract alone: commands, HTTP, dev.json. Whatever it starts it
// stops, by its own process id.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sekisho-bin-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"sekisho", "trailcheck"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "sekisho/cmd/"+name).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// Binary builds the commands once and returns the path of one of them.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// Clean removes what Binary built; TestMain calls it at the end.
func Clean() {
	if dir, err := build(); err == nil {
		os.RemoveAll(dir)
	}
}

// Need returns the path of a server's program. Where it is missing, the test
// fails under test/run, naming the Debian package, and is skipped otherwise.
func Need(t testing.TB, program, debian string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		path := filepath.Join(dir, program)
		if s, err := os.Stat(path); err == nil && s.Mode()&0o111 != 0 {
			return path
		}
	}
	if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is missing: install the Debian package %s", program, debian)
	}
	t.Skipf("%s is missing: install the Debian package %s", program, debian)
	return ""
}

// Tool returns the path of something that test/run fetches or builds, because
// Debian does not have it. Where it is missing, the test fails under test/run and is
// skipped otherwise.
func Tool(t testing.TB, name string) string {
	t.Helper()
	tools := os.Getenv("SEKISHO_TOOLS")
	if cache, err := os.UserCacheDir(); tools == "" && err == nil {
		tools = filepath.Join(cache, "sekisho-tools")
	}
	path := filepath.Join(tools, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is missing: test/run fetches it", path)
	}
	t.Skipf("%s is missing: test/run fetches it", path)
	return ""
}

// A Process is one that the harness started.
type Process struct {
	cmd    *exec.Cmd
	output *buffer
	errors *buffer // the same as output, unless they are kept apart
	done   chan struct{}
	err    error
}

// Start starts a program and stops it when the test ends.
func Start(t testing.TB, dir, program string, args ...string) *Process {
	t.Helper()
	all := &buffer{}
	return start(t, dir, all, all, program, args...)
}

func start(t testing.TB, dir string, out, errs *buffer, program string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(program, args...), output: out, errors: errs, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, errs
	p.cmd.Env = append(os.Environ(), "LANG=en_US.UTF-8", "LC_ALL=")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.Stop(t) })
	return p
}

// Kill ends the process with SIGKILL, as a power cut would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may be gone already
	<-p.done
}

// Stop asks the process to end, and insists after a while.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Errorf("%s did not stop on SIGTERM", p.cmd.Path)
		p.Kill()
	}
}

// Exit waits for the process and returns its status.
func (p *Process) Exit() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends the process a signal.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Log is what the process has written to standard error so far.
func (p *Process) Log() string { return p.errors.String() }

// Output is what the process has written so far.
func (p *Process) Output() string { return p.output.String() }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Until waits for a condition, and fails the test if it does not come true.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain for ", what)
		case <-tick.C:
		}
	}
}

// A Dev is a running `sekisho dev`.
type Dev struct {
	folder.Dev
	*Process
	Folder string
}

// StartDev runs `sekisho dev` on a folder, "" for a new one, and waits until it
// is ready.
func StartDev(t testing.TB, dir string, args ...string) *Dev {
	t.Helper()
	return StartDevUnder(t, nil, dir, args...)
}

// StartDevUnder is StartDev by another program, which becomes it: a tracer.
func StartDevUnder(t testing.TB, program []string, dir string, args ...string) *Dev {
	t.Helper()
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "data")
	}
	all := append(program, Binary(t, "sekisho"), "dev", "--listen", "127.0.0.1:0", "--data", dir, "--hash-memory-kib", "8192")
	p := Start(t, filepath.Dir(dir), all[0], append(all[1:], args...)...)
	d := &Dev{Process: p, Folder: dir}
	Until(t, "dev.json", func() bool {
		select {
		case <-p.done:
			t.Fatalf("sekisho dev ended: %s", p.Output())
		default:
		}
		b, err := os.ReadFile(filepath.Join(dir, "dev.json"))
		return err == nil && json.Unmarshal(b, &d.Dev) == nil && d.Dev.PID == p.PID()
	})
	return d
}

var sampleLock sync.Mutex

// StartSample is StartDev on a copy of a folder that the sample's people moved
// into once: hashing all their passwords for every test would take longer than
// the tests. Passwords and keys are the same in every copy.
func StartSample(t testing.TB, args ...string) *Dev {
	t.Helper()
	return StartDev(t, SampleFolder(t), args...)
}

// SampleFolder is such a copy.
func SampleFolder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(movedIn(t))); err != nil {
		t.Fatal(err)
	}
	closed := func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return errors.Join(err, os.Chmod(path, 0o700))
		}
		return os.Chmod(path, 0o600)
	}
	if err := filepath.WalkDir(dir, closed); err != nil {
		t.Fatal(err)
	}
	return dir
}

// movedIn is the folder that StartSample copies.
func movedIn(t testing.TB) string {
	t.Helper()
	sampleLock.Lock()
	defer sampleLock.Unlock()
	ready := filepath.Join(filepath.Dir(Binary(t, "sekisho")), "sample")
	if _, err := os.Stat(ready); err != nil {
		first := ready + ".moving-in"
		StartDev(t, first).Stop(t)
		if err := os.Rename(first, ready); err != nil {
			t.Fatal(err)
		}
	}
	return ready
}

// Person is one of the sample's people.
func (d *Dev) Person(t testing.TB, login string) folder.Person {
	t.Helper()
	for _, p := range d.People {
		if p.Login == login {
			return p
		}
	}
	t.Fatalf("dev.json has nobody called %s", login)
	return folder.Person{}
}

// InState is the first of the sample's people in a state.
func (d *Dev) InState(t testing.TB, state string) folder.Person {
	t.Helper()
	for _, p := range d.People {
		if p.State == state {
			return p
		}
	}
	t.Fatalf("dev.json has nobody who is %s", state)
	return folder.Person{}
}

// Advance moves the clock.
func (d *Dev) Advance(t testing.TB, by time.Duration) {
	t.Helper()
	req, err := http.NewRequest("POST", d.Control.URL+"/clock", strings.NewReader(fmt.Sprintf(`{"advance_seconds": %d}`, int(by.Seconds()))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Control.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		t.Fatalf("advancing the clock: %s %s", resp.Status, b)
	}
}

// Run runs a command to its end and returns its standard output, standard error
// and exit status.
func Run(t testing.TB, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(Binary(t, name), args...)
	cmd.Env = append(os.Environ(), "LANG=en_US.UTF-8", "LC_ALL=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
