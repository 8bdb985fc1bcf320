package test

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rad "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// sessionTimeout is what radclient shows of it.
var sessionTimeout = regexp.MustCompile(`(?m)^\s*Session-Timeout = ([0-9]+)$`)

// gearOf asks dev's network door as a VPN gateway does.
func gearOf(t *testing.T, d *harness.Dev, login, password string, more ...string) radAnswer {
	t.Helper()
	return radclient(t, d.RADIUS.Addr, d.RADIUS.Secret, pap(login, password, more...))
}

// A gearDoor is the network door for somebody who has a live permit.
type gearDoor struct {
	lender
	login string
	wrong string // what a wrong password is told
	db    *store.DB
}

// remotely gives somebody a permit for remote access, and has them let in by gear once.
func (d lender) remotely(t *testing.T, login string) gearDoor {
	t.Helper()
	m := d.in(t, login).permit("", d.remote(t, nil), 201).is(t, "pending")
	d.in(t, "yoshida").permit("/"+m.ID+"/approve", saying{"comment": "可"}, 200).is(t, "approved")
	g := d.byGear(t, login)
	if a := g.comes(t); a.code != "Access-Accept" {
		t.Fatalf("%s has a permit: %s", login, a.all)
	}
	return g
}

// byGear is the network door for somebody.
func (d lender) byGear(t *testing.T, login string) gearDoor {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: folder.Folder(d.Folder).Store()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return gearDoor{d, login, gearOf(t, d.Dev, "nobody-at-all", "wrong").message, db}
}

// comes has them bring password and code by the gear.
func (g gearDoor) comes(t *testing.T) radAnswer {
	t.Helper()
	nextStep(t, g.Dev)
	p := g.Person(t, g.login)
	return gearOf(t, g.Dev, g.login, p.Password+","+harness.Code(t, *p.TOTPSecret, g.now(t)), "Calling-Station-Id = "+outside(t, g.Dev))
}

// shut is that they are refused as a stranger is, and that nobody is inside by the gear.
func (g gearDoor) shut(t *testing.T) {
	t.Helper()
	if a := g.comes(t); a.code != "Access-Reject" || a.message != g.wrong {
		t.Errorf("the network door, with a live permit: %s", a.all)
	}
	g.out(t)
}

// out waits until every session by the gear is to end.
func (g gearDoor) out(t *testing.T) {
	t.Helper()
	harness.Until(t, "the session by the gear to end", func() bool { return g.through(t) == 0 })
}

// through counts who is inside by the gear.
func (g gearDoor) through(t *testing.T) (n int) {
	t.Helper()
	if err := g.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM remote_session WHERE cut_at = 0 AND ended_at = 0`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRADIUSPermit: by the network door nobody comes in without a live permit, which
// says for how long; revoked, gear is told to end the session.
func TestRADIUSPermit(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	text, errs, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	if status == 0 {
		told := writeFile(t, "policy.yaml", text+"\npermits:\n  - {id: remote_access, tell_end: true}\n")
		_, errs, status = harness.Run(t, "sekisho", "policy", "apply", told, "--data", d.Folder)
	}
	if status != 0 {
		t.Fatal(errs)
	}
	suzuki, cio := d.in(t, "suzuki"), d.in(t, "yoshida")
	p, door := d.Person(t, "suzuki"), d.byGear(t, "suzuki")
	comes := func() radAnswer { t.Helper(); return door.comes(t) }
	refused := func(when string) {
		t.Helper()
		if a := comes(); a.code != "Access-Reject" || !strings.Contains(a.message, "許可を申請") {
			t.Errorf("%s: %s", when, a.all)
		}
	}
	refused("without a permit")
	m := suzuki.permit("", d.remote(t, saying{"until": d.now(t).Add(2 * time.Hour).Format(time.RFC3339)}), 201).is(t, "pending")
	refused("before it is decided")
	cio.permit("/"+m.ID+"/approve", saying{"comment": "可"}, 200).is(t, "approved")

	// Password, then a code.
	challenge := gearOf(t, d.Dev, "suzuki", p.Password)
	if challenge.code != "Access-Challenge" {
		t.Fatalf("a right password: %s", challenge.all)
	}
	nextStep(t, d.Dev)
	in := gearOf(t, d.Dev, "suzuki", harness.Code(t, *p.TOTPSecret, d.now(t)), "State = "+challenge.state, "Calling-Station-Id = "+outside(t, d.Dev))
	left := sessionTimeout.FindStringSubmatch(in.all)
	if in.code != "Access-Accept" || left == nil || !strings.Contains(in.all, "Class = 0x") {
		t.Fatalf("with a permit: %s", in.all)
	}
	if n, _ := strconv.Atoi(left[1]); n > 7200 || n < 6000 {
		t.Errorf("Session-Timeout is %d, want what is left of two hours", n)
	}
	mine := func() int {
		var list struct{ Items []struct{ From string } }
		suzuki.Do(t, "GET", "/api/v1/sessions", nil).Into(t, &list)
		n := 0
		for _, s := range list.Items {
			if s.From == outside(t, d.Dev) {
				n++
			}
		}
		return n
	}
	if mine() != 1 {
		t.Errorf("%d sessions from outside are listed", mine())
	}
	// Live now shows it, and leads to the permit whose revocation ends it.
	if a := cio.Do(t, "GET", "/live", nil, "Accept", "text/html"); a.Status != 200 || !strings.Contains(string(a.Body), "/permits/"+m.ID) || !strings.Contains(string(a.Body), outside(t, d.Dev)) {
		t.Errorf("live now does not lead to the permit: %d %s", a.Status, a.Body)
	}
	cio.permit("/"+m.ID+"/revoke", nil, 200).is(t, "revoked")
	harness.Until(t, "the session to end", func() bool { return mine() == 0 })
	harness.Until(t, "its end at the gear to be intended", func() bool {
		return slices.Contains(actions(t, d.Dev), "remote.cut")
	})
	refused("after it was revoked")
	m = d.in(t, "suzuki").permit("", d.remote(t, saying{"until": d.now(t).Add(time.Hour).Format(time.RFC3339)}), 201)
	cio = d.in(t, "yoshida")
	cio.permit("/"+m.ID+"/approve", saying{"comment": "可"}, 200).is(t, "approved")
	if a := comes(); a.code != "Access-Accept" || door.through(t) != 1 {
		t.Fatalf("with another permit: %s", a.all)
	}
	d.Advance(t, time.Hour)
	refused("after it expired")
	door.out(t)

	// Nobody answers for the gear: both sessions are taken for over some minutes after
	// the end that it was told. Whoever said yes hears of each, once.
	over := func() (n int) {
		for _, m := range mailTo(t, d.Dev, "yoshida@pref.example") {
			if strings.Contains(m.Subject, "庁外からの利用が終わりました") {
				n++
			}
		}
		return n
	}
	if n := over(); n != 0 {
		t.Errorf("told of %d ends before they are known", n)
	}
	d.Advance(t, 2*time.Hour)
	harness.Until(t, "both ends to be told", func() bool { return over() == 2 })
	for _, action := range []string{"remote.admitted", "sign_in"} {
		if !slices.Contains(actions(t, d.Dev), action) {
			t.Errorf("the trail has no %s", action)
		}
	}
}

// actions are what the trail has entries of.
func actions(t *testing.T, d *harness.Dev) (all []string) {
	t.Helper()
	out, errs, status := harness.Run(t, "sekisho", "audit", "export", "--data", d.Folder)
	if status != 0 {
		t.Fatalf("exporting the trail: %d %s", status, errs)
	}
	for _, m := range regexp.MustCompile(`"action":"([a-z_.]+)"`).FindAllStringSubmatch(out, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestRADIUSDoor: the network door is a door like the others: who may use nothing, and
// who is held, is refused by it with one answer (design rule 9; security.md section 2,
// rows 1 and 6).
func TestRADIUSDoor(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	want := gearOf(t, d, "tanaka", "wrong").message
	if want == "" {
		t.Fatal("a wrong password is told nothing")
	}
	for _, state := range []string{"dormant", "left", "on_leave", "ended"} {
		p := d.InState(t, state)
		code := ""
		if p.TOTPSecret != nil {
			code = "," + harness.Code(t, *p.TOTPSecret, harness.NewClient(d.URL).Now(t))
		}
		for _, password := range []string{p.Password, p.Password + code} {
			if a := gearOf(t, d, p.Login, password); a.code != "Access-Reject" || a.message != want {
				t.Errorf("%s: %s", state, a.all)
			}
		}
	}
	for range 5 {
		gearOf(t, d, "suzuki", "wrong")
	}
	if a := gearOf(t, d, "suzuki", d.Person(t, "suzuki").Password); a.code != "Access-Reject" || a.message != want {
		t.Errorf("held: %s", a.all)
	}
	// What was tried here counts at the other doors, and the other way round.
	if _, a := harness.NewClient(d.URL).Password(t, "suzuki", d.Person(t, "suzuki").Password); a.Status != 429 {
		t.Errorf("held by the network door, and the web answers %d", a.Status)
	}
}

// TestRADIUSOneCode: of fifty who bring the same code at once to the web, the API's
// steps and the network door, one comes in (security.md section 2, row 2).
func TestRADIUSOneCode(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	suzuki, cio := d.in(t, "suzuki"), d.in(t, "yoshida")
	p := d.Person(t, "suzuki")
	m := suzuki.permit("", d.remote(t, nil), 201)
	cio.permit("/"+m.ID+"/approve", saying{"comment": "可"}, 200)
	const web, gear = 25, 25
	var clients []*harness.Client
	for range web {
		c := harness.NewClient(d.URL)
		if s, a := c.Password(t, p.Login, p.Password); s.State != "second_factor" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		clients = append(clients, c)
	}
	var states [][]byte
	for range gear {
		answer, err := exchange(d, accessRequest(d, p.Login, p.Password))
		if err != nil || answer.Code != rad.CodeAccessChallenge {
			t.Fatalf("a right password: %v", err)
		}
		states = append(states, answer.Get(rfc2865.State_Type))
	}
	nextStep(t, d.Dev)
	code := harness.Code(t, *p.TOTPSecret, d.now(t))
	var (
		wg sync.WaitGroup
		mu sync.Mutex
		in int
	)
	came := func(yes bool) {
		mu.Lock()
		defer mu.Unlock()
		if yes {
			in++
		}
	}
	for _, c := range clients {
		wg.Go(func() {
			a, err := c.Try("POST", "/api/v1/signin/totp", map[string]string{"code": code})
			came(err == nil && a.Status == 200)
		})
	}
	for _, state := range states {
		wg.Go(func() {
			r := accessRequest(d, p.Login, code)
			r.Add(rfc2865.State_Type, state)
			a, err := exchange(d, r)
			came(err == nil && a.Code == rad.CodeAccessAccept)
		})
	}
	wg.Wait()
	if in > 1 {
		t.Errorf("one code let %d in", in)
	}
	if in == 0 {
		t.Error("the right code let nobody in")
	}
}

func accessRequest(d lender, login, password string) *rad.Packet {
	p := rad.New(rad.CodeAccessRequest, []byte(d.RADIUS.Secret))
	p.Add(rfc2865.UserName_Type, []byte(login))
	if err := rfc2865.UserPassword_SetString(p, password); err != nil {
		panic(err)
	}
	return p
}

// exchange sends a request with its Message-Authenticator and waits for the answer.
func exchange(d lender, p *rad.Packet) (*rad.Packet, error) {
	raw, err := signedRequest(p)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("udp", d.RADIUS.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	waiting, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	end, _ := waiting.Deadline()
	if err := conn.SetReadDeadline(end); err != nil {
		return nil, err
	}
	if _, err := conn.Write(raw); err != nil {
		return nil, err
	}
	buffer := make([]byte, rad.MaxPacketLength)
	n, err := conn.Read(buffer)
	if err != nil {
		return nil, err
	}
	if !rad.IsAuthenticResponse(buffer[:n], raw, p.Secret) {
		return nil, errors.New("the answer is not authentic")
	}
	return rad.Parse(buffer[:n], p.Secret)
}
