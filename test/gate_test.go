package test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// gateWord tells this test binary that it is to be a gate.
const gateWord = "a-gate-of-this-test"

// stage is what such a gate is told: its sekisho.yaml, and the files by which a
// test moves its clock and says where it dies.
type stage struct{ Config, Clock, Points string }

// playGate is a whole gate: the house that `sekisho serve` builds, from the same
// file, in a process of its own, so that it can be killed and stopped. It has two
// things that the command has not. Its clock is moved by a test, for all gates at
// once; and there are points at which it ends as by a power cut, or stands still.
func playGate(text string) int {
	var s stage
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = s.play()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (s stage) play() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	file, err := config.Read(s.Config)
	if err != nil {
		return err
	}
	cfg, err := house.FromFile(file)
	if err != nil {
		return err
	}
	ahead, err := os.Open(s.Clock)
	if err != nil {
		return err
	}
	defer ahead.Close()
	system := clock.System()
	now := func() time.Time {
		var b [8]byte
		if _, err := ahead.ReadAt(b[:], 0); err != nil {
			panic(err) // a gate without a clock shows nothing
		}
		return system().Add(time.Duration(binary.LittleEndian.Uint64(b[:])))
	}
	cfg.Log, cfg.Stop = slog.New(slog.NewTextHandler(os.Stderr, nil)), s.stop
	slog.SetDefault(cfg.Log)
	h, err := house.Open(ctx, cfg, now)
	if err != nil {
		return err
	}
	defer h.Close()
	ln, err := net.Listen("tcp", file.Listen)
	if err != nil {
		return err
	}
	fmt.Println("the gate is open")
	return h.Serve(ctx, ln, file.ShutdownGrace)
}

// stop ends the process, or has it stand still, at the point that is named in the
// file of points: once, for who comes there first takes the file away.
func (s stage) stop(point string) error {
	text, err := os.ReadFile(s.Points)
	how, at, _ := strings.Cut(string(text), " ")
	if err != nil || at != point || os.Rename(s.Points, met(s.Points)) != nil {
		return nil //nolint:nilerr // nothing is to happen here
	}
	if how == "kill" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	// The signal may reach another thread first. This one waits until the test
	// says so, and does nothing by then.
	for {
		if _, err := os.Stat(met(s.Points)); err != nil {
			return nil //nolint:nilerr // it was taken away: go on
		}
		_ = clock.Wait(context.Background(), time.Millisecond)
	}
}

func met(points string) string { return points + ".met" }

// A stageClock is the clock of all gates that play.
type stageClock struct {
	file  string
	ahead time.Duration
}

func newStageClock(t *testing.T, dir string, ahead time.Duration) *stageClock {
	t.Helper()
	c := &stageClock{file: filepath.Join(dir, "clock")}
	c.set(t, ahead)
	return c
}

func (c *stageClock) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	c.ahead = ahead
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(ahead)), 0); err != nil {
		t.Fatal(err)
	}
}

func (c *stageClock) advance(t *testing.T, d time.Duration) { t.Helper(); c.set(t, c.ahead+d) }

// A stagedGate is a process that is a gate: of `sekisho serve`, or one that plays.
type stagedGate struct {
	*harness.Site
	*harness.Process
	points string // "" of serve
}

// serves runs the command.
func serves(t *testing.T, s *harness.Site) *stagedGate {
	t.Helper()
	g := &stagedGate{s, s.Serve(t), ""}
	t.Cleanup(g.lives)
	return g
}

// plays runs a gate that plays.
func plays(t *testing.T, s *harness.Site, c *stageClock) *stagedGate {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := &stagedGate{Site: s, points: s.Config + ".points"}
	text, err := json.Marshal(stage{s.Config, c.file, g.points})
	if err != nil {
		t.Fatal(err)
	}
	g.Process = harness.Start(t, s.Dir, self, gateWord, string(text))
	t.Cleanup(g.lives)
	harness.Until(t, "the gate to open", func() bool {
		if g.Ended() {
			t.Fatalf("the gate ended: %s", g.Output())
		}
		return strings.Contains(g.Output(), "the gate is open\n")
	})
	return g
}

// at has the gate be killed, or stop, when it comes to a point.
func (g *stagedGate) at(t *testing.T, point, how string) {
	t.Helper()
	if err := os.WriteFile(g.points, []byte(how+" "+point), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stands waits until the gate stands still at the point.
func (g *stagedGate) stands(t *testing.T) {
	t.Helper()
	harness.Until(t, "the gate to come to the point", func() bool {
		_, err := os.Stat(met(g.points))
		return err == nil
	})
	g.stopped(t)
}

// dies waits until the gate was killed at the point.
func (g *stagedGate) dies(t *testing.T) {
	t.Helper()
	harness.Until(t, "the gate to die", g.Ended)
	if err := os.Remove(met(g.points)); err != nil {
		t.Fatalf("the gate did not die at the point: %v\n%s", err, g.Output())
	}
}

// freeze stops the process, wherever it is.
func (g *stagedGate) freeze(t *testing.T) { t.Helper(); g.Signal(t, syscall.SIGSTOP); g.stopped(t) }

func (g *stagedGate) stopped(t *testing.T) {
	t.Helper()
	harness.Until(t, "the process to be stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.PID()))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// thaw lets it go on.
func (g *stagedGate) thaw(t *testing.T) { t.Helper(); g.lives(); g.Signal(t, syscall.SIGCONT) }

// lives makes sure that the gate can be asked to end.
func (g *stagedGate) lives() {
	if g.points != "" {
		_ = os.Remove(g.points)
		_ = os.Remove(met(g.points))
	}
	if !g.Ended() {
		_ = syscall.Kill(g.PID(), syscall.SIGCONT)
	}
}
