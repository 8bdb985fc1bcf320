package test

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// newcomer adds somebody to the directory as its administrators would, and
// returns their entryUUID.
func newcomer(t testing.TB, conn *goldap.Conn, base, login string, also map[string]string) string {
	t.Helper()
	dn := "uid=" + login + ",ou=people," + base
	add := goldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"})
	for k, v := range map[string]string{"uid": login, "cn": "例 " + login, "sn": login, "mail": login + "@pref.example", "employeeType": "staff", "userPassword": rand.Text()} {
		add.Attribute(k, []string{v})
	}
	if err := conn.Add(add); err != nil {
		t.Fatal(err)
	}
	for k, v := range also {
		m := goldap.NewModifyRequest(dn, nil)
		m.Replace(k, []string{v})
		if err := conn.Modify(m); err != nil {
			t.Fatal(err)
		}
	}
	found, err := conn.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, 5, false, "(objectClass=*)", []string{"entryUUID"}, nil))
	if err != nil || len(found.Entries) != 1 {
		t.Fatalf("finding %s again: %v", dn, err)
	}
	return found.Entries[0].GetAttributeValue("entryUUID")
}

// refusedPeople are names that are refused for each reason, per of each.
func refusedPeople(t *testing.T, d *harness.Dev, per int) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	closed := map[string]string{} // entryUUID → kind
	directoryDo(t, d, func(conn *goldap.Conn) error {
		for i := range per {
			for kind, also := range map[string]map[string]string{
				"wrong": nil, "dormant": nil, "on_leave": nil,
				"disabled": {"pwdAccountLockedTime": "000001010000Z"},
			} {
				login := fmt.Sprintf("%s%02d", strings.ReplaceAll(kind, "_", ""), i)
				id := newcomer(t, conn, d.LDAP.BaseDN, login, also)
				out[kind] = append(out[kind], login)
				if kind == "dormant" || kind == "on_leave" {
					closed[id] = kind
				}
			}
			out["unknown"] = append(out["unknown"], fmt.Sprintf("unknown%02d", i))
		}
		return nil
	})
	// No command of this issue closes a person, so the store is told directly.
	db, err := store.Open(t.Context(), store.Config{Driver: "sqlite", Path: folder.Folder(d.Folder).Store()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.WithTx(t.Context(), func(tx *store.Tx) error {
		for id, kind := range closed {
			if _, err := tx.Exec(t.Context(), `INSERT INTO standing (person_id, kind, since, until, reason, set_by) VALUES ($1, $2, 1, 0, 'test', 'test')`, id, kind); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// told is all of an answer that could tell one refusal from another: its
// headers without those that differ by chance, and its body.
func told(a harness.Answer) string {
	h := a.Header.Clone()
	for _, name := range []string{"Date", "X-Request-Id"} {
		h.Del(name)
	}
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, name+": "+nonces.ReplaceAllString(v, "nonce"))
		}
	}
	sort.Strings(lines)
	return fmt.Sprintf("%d\n%s\n\n%s", a.Status, strings.Join(lines, "\n"), a.Body)
}

// auc is the chance that a sample of a is larger than one of b, ties by half:
// 0.5 when neither tells anything about which is which (Mann–Whitney).
func auc(a, b []time.Duration) float64 {
	type sample struct {
		d   time.Duration
		isA bool
	}
	var all []sample
	for _, d := range a {
		all = append(all, sample{d, true})
	}
	for _, d := range b {
		all = append(all, sample{d, false})
	}
	slices.SortFunc(all, func(x, y sample) int { return cmp.Compare(x.d, y.d) })
	var ranks float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].d == all[i].d {
			j++
		}
		for _, s := range all[i:j] {
			if s.isA {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n, m := float64(len(a)), float64(len(b))
	return (ranks - n*(n+1)/2) / (n * m)
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// TestPeersTiming is row 1: who is refused, and why, is not to be told from the
// answer or from how long it took. It runs alone: another test beside it would
// be measured too.
//
// In full, 2,000 sign-ins, the area under the curve must be 0.45 to 0.55. The
// short form has 400, 80 of a kind: two of 80 from one source stray by 0.046
// (the standard deviation of Mann–Whitney's U), and ten pairs are compared, so
// it allows 0.10 more than that would take, and measures as many again before
// it believes what it sees. A leak as gross as those of the peers is near 1.
//
// In full a hash costs what it costs in service, too.
func TestPeersTiming(t *testing.T) {
	var cost []string
	if soak() {
		cost = realCost
	}
	d := harness.StartSample(t, cost...)
	kinds := []string{"wrong", "unknown", "disabled", "dormant", "on_leave"}
	rounds, bound := short(80, 400), 0.10
	if soak() {
		bound = 0.05
	}
	// Each name is used 20 times at most, an hour between two, so that neither
	// delays nor the hard limit hold it.
	people := refusedPeople(t, d, 2*rounds/20)
	seed := seedOf(t)
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	took := map[string][]time.Duration{}
	var first string
	client := from(d, 0)
	n := 0
	measure := func(rounds int) {
		begun := time.Now()
		for i := range rounds {
			if enough(i, begun) {
				return
			}
			for _, k := range rng.Perm(len(kinds)) {
				kind := kinds[k]
				client.From = fmt.Sprintf("10.2.%d.%d", 1+n/200, 1+n%200)
				login := people[kind][len(took[kind])%len(people[kind])]
				begun := time.Now()
				a := client.Do(t, "POST", "/api/v1/signin", credentials(login, "not the password"))
				took[kind] = append(took[kind], time.Since(begun))
				n++
				if first == "" {
					first = told(a)
				}
				if a.Status != 401 || told(a) != first {
					t.Fatalf("%s is answered otherwise than the first:\n%s\n--- first ---\n%s", login, told(a), first)
				}
			}
			d.Advance(t, 61*time.Minute)
		}
	}
	// The first refusals teach the pace how long a hash takes here.
	measure(3)
	clear(took)
	fair(t, took, bound, func() { measure(rounds) })
	t.Run("pages", func(t *testing.T) { samePage(t, d, kinds, people) })
	t.Run("held", func(t *testing.T) { heldAlike(t, d, kinds, people, rng, rounds, bound) })
}

// asked is what a page asks a passkey, and the cookie and token that go with it:
// new each time, whoever is named.
var asked = regexp.MustCompile(`(data-ask=|name="csrf_token" value=)"[^"]*"|(__Host-sekisho=)[^;\s]*`)

// samePage: the pages' refusals are alike but for the name that is kept in the
// field.
func samePage(t *testing.T, d *harness.Dev, kinds []string, people map[string][]string) {
	var first string
	for _, kind := range kinds {
		login := people[kind][0]
		d.Advance(t, 61*time.Minute)
		c := from(d, 1)
		a, err := c.Send("POST", "/signin", "application/x-www-form-urlencoded", []byte("login="+login+"&password=wrong"), "X-Request-Id", "one-and-the-same")
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(told(a), login, "NAME")
		got = lengths.ReplaceAllString(nonces.ReplaceAllString(got, "nonce"), "")
		got = asked.ReplaceAllString(got, "$1$2")
		if first == "" {
			first = got
		}
		if a.Status != 401 || got != first {
			t.Errorf("the page for %s differs:\n%s\n--- first ---\n%s", login, got, first)
		}
	}
}

// heldAlike: a held name is answered alike, known or not, and as fast.
func heldAlike(t *testing.T, d *harness.Dev, kinds []string, people map[string][]string, rng *mathrand.Rand, rounds int, bound float64) {
	d.Advance(t, 61*time.Minute)
	took := map[string][]time.Duration{}
	var first string
	// The last names have the most failures, and so the longest delay.
	hold := func() {
		d.Advance(t, 61*time.Minute)
		for _, kind := range kinds {
			c := from(d, 9)
			c.From = "10.2.251." + fmt.Sprint(1+rng.IntN(250))
			if _, a := c.Password(t, people[kind][1], "wrong"); a.Status != 401 && a.Status != 429 {
				t.Fatalf("%s: %d", people[kind][1], a.Status)
			}
		}
	}
	client := from(d, 10)
	i := 0
	fair(t, took, bound, func() {
		hold() // again: to measure takes longer than the first delays
		begun := time.Now()
		for r := range rounds {
			if enough(r, begun) {
				return
			}
			client.From = fmt.Sprintf("10.2.%d.%d", 230+i/250, 1+i%250)
			i++
			for _, k := range rng.Perm(len(kinds)) {
				kind := kinds[k]
				begun := time.Now()
				a := client.Do(t, "POST", "/api/v1/signin", credentials(people[kind][1], "wrong"))
				took[kind] = append(took[kind], time.Since(begun))
				a.Header.Del("Retry-After") // runs down
				if first == "" {
					first = told(a)
				}
				if a.Status != http.StatusTooManyRequests || told(a) != first {
					t.Fatalf("%s held is answered otherwise:\n%s\n--- first ---\n%s", people[kind][1], told(a), first)
				}
			}
		}
	})
}

// enough bounds the short form on a machine that is busy with other things,
// where every refusal is paced by the slowest hash of late.
func enough(rounds int, begun time.Time) bool {
	return !soak() && rounds >= 20 && time.Since(begun) > 25*time.Second
}

// fair measures, and fails where one kind can be told from another by time. It
// measures once more, and goes by all, before it believes that.
func fair(t *testing.T, took map[string][]time.Duration, bound float64, measure func()) {
	t.Helper()
	for again := range 2 {
		measure()
		var faults []string
		kinds := slices.Sorted(maps.Keys(took))
		if n := float64(len(took[kinds[0]])); n < 80 {
			bound = max(bound, 3.5*math.Sqrt((2*n+1)/(12*n*n))) // of fewer, what chance does is wider
		}
		for i, a := range kinds {
			for _, b := range kinds[:i] {
				area, gap := auc(took[a], took[b]), (median(took[a]) - median(took[b])).Abs()
				t.Logf("%s against %s: AUC %.3f, medians %v apart", a, b, area, gap)
				if area < 0.5-bound || area > 0.5+bound || gap >= 5*time.Millisecond {
					faults = append(faults, fmt.Sprintf("%s can be told from %s by time: AUC %.3f, medians %v apart, of %d each", a, b, area, gap, len(took[a])))
				}
			}
		}
		if len(faults) == 0 {
			return
		}
		if again == 1 {
			t.Error(strings.Join(faults, "\n"))
		}
	}
}
