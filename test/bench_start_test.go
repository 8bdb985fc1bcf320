package test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekisho/test/harness"
)

// bareServer is the least that a Go program can do to answer over HTTP.
const bareServer = `package main

import (
	"net/http"
	"os"
)

func main() {
	panic(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })))
}
`

// buildBare builds it with the go command that builds us.
func buildBare(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(bareServer), 0o600); err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(dir, "bare")
	if text, err := exec.Command("go", "build", "-o", out, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
		b.Fatalf("building the bare server: %v\n%s", err, text)
	}
	return out
}

// serveFolder writes what `serve` needs into a new folder, with no store yet.
// The directory is away: a gate starts without it.
func serveFolder(b *testing.B, addr string) string {
	b.Helper()
	dir := b.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write("bind", "a password\n")
	write("policy.yaml", string(rulesFor(10)))
	write("sekisho.yaml", fmt.Sprintf(`listen: %s
public_url: https://sekisho.example
behind_proxy: true
trusted_proxies: [127.0.0.1/32]
store: {path: %[2]s/sekisho.db}
directory:
  servers: ["ldap://127.0.0.1:1"]
  bind_dn: cn=sekisho,ou=services,dc=pref,dc=example
  bind_password_file: %[2]s/bind
  base_dn: dc=pref,dc=example
keys: {sealing: %[2]s/sealing.key, session: %[2]s/session.key, trail: %[2]s/trail.key}
trail: {origin: bench.example/trail, anchor: %[2]s/anchor}
policy: {bootstrap: %[2]s/policy.yaml}
`, addr, dir))
	return dir
}

// A birth is how long a program took from exec to its first answer, and how
// much memory it had then.
type birth struct {
	took time.Duration
	rss  float64 // MB
}

// born runs a program until it answers GET /healthz, and ends it.
func born(b *testing.B, addr, program string, args ...string) birth {
	b.Helper()
	cmd := exec.Command(program, args...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	elapsed := since()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for !answers(addr) {
		if elapsed() > 20*time.Second {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			b.Fatalf("%s does not answer: %s", program, &output)
		}
	}
	got := birth{took: elapsed(), rss: residentMB(b, cmd.Process.Pid)}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		b.Fatal(err)
	}
	return got
}

// answers tries once. A refused connection costs some microseconds, so trying
// again at once takes little from the one who is starting; the kernel is asked
// to let others run in between.
func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tick := time.NewTimer(500 * time.Microsecond)
		<-tick.C
		return false
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: sekisho.example\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	var first [12]byte
	n, err := c.Read(first[:])
	return err == nil && string(first[:n]) == "HTTP/1.1 "+strconv.Itoa(http.StatusOK)
}

func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kB / 1024
		}
	}
	b.Fatal("the kernel does not say how much memory is resident")
	return 0
}

// BenchmarkStart: from exec to the first answer of `serve`, on a store that it
// must make and on one that is there, and the memory at that moment, against
// the least that a Go program can do. Targets: ≤ 200 ms, ≤ 60 ms, ≤ 40 MB.
func BenchmarkStart(b *testing.B) {
	onlyAsked(b)
	program, bare := harness.Binary(b, "sekisho"), buildBare(b)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		b.Fatal(err)
	}
	const starts = 15
	for b.Loop() {
		var limit, fresh, existing []birth
		for range starts {
			limit = append(limit, born(b, addr, bare, addr))
			dir := serveFolder(b, addr)
			fresh = append(fresh, born(b, addr, program, "serve", "--config", filepath.Join(dir, "sekisho.yaml")))
			existing = append(existing, born(b, addr, program, "serve", "--config", filepath.Join(dir, "sekisho.yaml")))
		}
		middle := func(of []birth, what func(birth) float64) float64 {
			v := make([]float64, len(of))
			for i, x := range of {
				v[i] = what(x)
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		ms := func(x birth) float64 { return float64(x.took.Microseconds()) / 1000 }
		rss := func(x birth) float64 { return x.rss }
		b.ReportMetric(middle(fresh, ms), "fresh_ms")
		b.ReportMetric(middle(existing, ms), "existing_ms")
		b.ReportMetric(middle(limit, ms), "bare_ms")
		b.ReportMetric(middle(fresh, ms)/middle(limit, ms), "fresh_ratio")
		b.ReportMetric(middle(existing, ms)/middle(limit, ms), "existing_ratio")
		b.ReportMetric(max(middle(fresh, rss), middle(existing, rss)), "rss_MB")
		b.ReportMetric(middle(limit, rss), "bare_rss_MB")
	}
	b.ReportMetric(0, "ns/op")
}
