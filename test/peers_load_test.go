package test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// few bounds how many of a flood are sent at the same time: a test machine has
// only so many ports.
func few(n, width int, do func(i int)) {
	next := make(chan int)
	finished := make(chan struct{})
	for range width {
		go func() {
			defer func() { finished <- struct{}{} }()
			for i := range next {
				do(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range width {
		<-finished
	}
}

// TestPeersJunkNames is row 5: a flood of made-up names, from many sources,
// neither pushes out what is counted against a victim nor fills the memory.
func TestPeersJunkNames(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	n := short(5_000, 100_000)
	victims := []string{"tanaka", "a-name-of-nobody"}
	for _, login := range victims {
		for range 4 {
			if _, a := from(d, 1).Password(t, login, "wrong"); a.Status != 401 {
				t.Fatalf("%s: %d", login, a.Status)
			}
		}
	}
	before := memory(t, d.Process.PID(), "VmRSS")
	answers := make(chan int, n)
	few(n, 256, func(i int) {
		c := from(d, 0)
		c.From = fmt.Sprintf("10.%d.%d.%d", 2+i/50_000, i/200%250, 1+i%200)
		answers <- status(c, "/api/v1/signin", credentials("junk"+strconv.Itoa(i), "x"))
	})
	close(answers)
	counts := map[int]int{}
	for s := range answers {
		counts[s]++
	}
	if counts[401] != n {
		t.Errorf("%d names of nobody: %v, want 401 for each", n, counts)
	}
	// Less than 1 KiB for each name, and something for the collector.
	if after, most := memory(t, d.Process.PID(), "VmRSS"), before+n>>10+150; after > most {
		t.Errorf("the process grew from %d to %d MiB over %d names, want at most %d", before, after, n, most)
	}
	for _, login := range victims {
		if _, a := from(d, 2).Password(t, login, "wrong"); a.Status != 401 {
			t.Errorf("%s's fifth failure: %d", login, a.Status)
		}
		if _, a := from(d, 3).Password(t, login, d.Person(t, "tanaka").Password); a.Status != 429 {
			t.Errorf("%s after five failures with junk between: %d, want 429", login, a.Status)
		}
	}
}

// realCost has dev hash passwords as it does for people; the harness has it do
// so cheaply.
var realCost = []string{"--hash-memory-kib", "65536"}

// TestPeersFlood is F17: many wrong passwords at once, for names known and
// unknown, fill neither the memory nor the way of somebody who is right. A hash
// costs here what it costs in service: memory is what is measured. How many may wait is
// how many the machine works through in time, so that a slow one says to some when to
// come back: nobody is told that they were right or wrong who was not looked at, and
// they are answered when they do come back. A bind that took too long counts as a try,
// since the directory may have counted it; so a name may be held that came back.
func TestPeersFlood(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t, realCost...)
	n := short(500, 10_000)
	var known []string
	directoryDo(t, d, func(conn *goldap.Conn) error {
		for i := range short(20, 200) {
			known = append(known, fmt.Sprintf("known%03d", i))
			newcomer(t, conn, d.LDAP.BaseDN, known[i], nil)
		}
		return nil
	})
	ito := d.Person(t, "ito")
	wrongs := min(4*len(known), n/4) // four each: none is held
	begun := make(chan struct{})
	// ask comes back when it is told to, ten times at most.
	ask := func(c *harness.Client, login, password string) (a harness.Answer, back int, err error) {
		for ; ; back++ {
			a, err = c.Try("POST", "/api/v1/signin", credentials(login, password))
			after, bad := strconv.Atoi(a.Header.Get("Retry-After"))
			if err != nil || a.Status != 503 || bad != nil || after < 1 || back == 10 || clock.Wait(t.Context(), time.Duration(after)*time.Second) != nil {
				return a, back, err
			}
		}
	}
	type arrival struct {
		harness.Answer
		err  error
		took time.Duration
	}
	right := make(chan arrival, 1)
	go func() {
		<-begun
		took := clock.Stopwatch()
		a, _, err := ask(from(d, 7), ito.Login, ito.Password)
		right <- arrival{a, err, took()}
	}()
	var told, held atomic.Int64
	flood := clock.Stopwatch()
	got := atOnce(n, func(i int) int {
		if i == n/10 {
			close(begun)
		}
		login := "flood" + strconv.Itoa(i)
		if i < wrongs {
			login = known[i%len(known)]
		}
		if soak() { // so many that it would take minutes to come back with them all
			return status(from(d, i), "/api/v1/signin", credentials(login, "wrong"))
		}
		a, back, err := ask(from(d, i), login, "wrong")
		told.Add(int64(back))
		switch {
		case err != nil:
			return 0
		case a.Status == 429 && back > 0 && i < wrongs:
			held.Add(1)
			return 401
		}
		return a.Status
	})
	// Whoever is right waits no longer than the flood does.
	most := max(15*time.Second, flood())
	if in := <-right; in.err != nil || in.Status != 200 || in.took > most {
		t.Errorf("the right password amid %d wrong ones: %d %s after %v of %v, %v", n, in.Status, in.Body, in.took, most, in.err)
	} else {
		t.Logf("the right password got in after %v", in.took.Round(time.Millisecond))
	}
	for s, k := range got {
		if s != 401 && (s != 503 || !soak()) {
			t.Errorf("%d of %d wrong passwords at once were answered %d", k, n, s)
		}
	}
	t.Logf("told to come back %d times; held then %d", told.Load(), held.Load())
	if peak := memory(t, d.Process.PID(), "VmHWM"); peak >= 512 {
		t.Errorf("the process took %d MiB, want less than 512", peak)
	} else {
		t.Logf("%d at once: %v, at most %d MiB", n, got, peak)
	}
}
