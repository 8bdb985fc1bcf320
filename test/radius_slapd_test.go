package test

import (
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	rad "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// A toldGear is gear that hears Disconnect-Requests, and does as it is told.
type toldGear struct {
	addr  string
	heard chan *rad.Packet
}

func hearsDisconnects(t *testing.T) toldGear {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	g := toldGear{conn.LocalAddr().String(), make(chan *rad.Packet, 100)}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, rad.MaxPacketLength)
		told := map[string]bool{} // it is told again where its answer comes late
		for {
			n, from, err := conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			p, err := rad.Parse(buffer[:n], []byte(gearSecret))
			if err != nil || p.Code != rad.CodeDisconnectRequest || !rad.IsAuthenticRequest(buffer[:n], []byte(gearSecret)) {
				t.Errorf("what the gear is told is no Disconnect-Request under its secret: %v", err)
				return
			}
			if session := rfc2866.AcctSessionID_GetString(p); !told[session] {
				told[session] = true
				g.heard <- p
			}
			answer := p.Response(rad.CodeDisconnectACK)
			copy(answer.Authenticator[:], buffer[4:20])
			if raw, err := answer.Encode(); err == nil {
				_, _ = conn.WriteToUDP(raw, from)
			}
		}
	}()
	return g
}

// hears waits until the gear was told to end somebody's session.
func (g toldGear) hears(t *testing.T, login, session string) {
	t.Helper()
	waiting := clock.Stopwatch()
	select {
	case p := <-g.heard:
		if rfc2865.UserName_GetString(p) != login || rfc2866.AcctSessionID_GetString(p) != session {
			t.Errorf("the gear is told to end %q of %q, want %q of %q", rfc2866.AcctSessionID_GetString(p), rfc2865.UserName_GetString(p), session, login)
		}
		t.Logf("%s: told after %v", login, waiting().Round(time.Millisecond))
	case <-time.After(30 * time.Second):
		t.Errorf("the gear is not told to end the session of %s", login)
	}
}

var radClass = regexp.MustCompile(`(?m)^\s*Class = (0x[0-9a-f]+)$`)

// TestRADIUSOnSlapd: `serve` with slapd, asked by FreeRADIUS's own client. With a permit
// people come in by a challenge, and by password and code in one; what is live is ended
// at the gear when its permit is revoked, when the person is suspended, and under a
// lock-down; and whoever is held or dormant is refused as a stranger is.
func TestRADIUSOnSlapd(t *testing.T) {
	t.Parallel()
	gear := hearsDisconnects(t)
	s := sitesGear(t, gear.addr, "tanaka", "suzuki", "kobayashi")
	cio := approver(t, s.Site, "yoshida", "10.2.0.20")
	ask := func(login, password string, more ...string) radAnswer {
		t.Helper()
		return radclient(t, s.addr, gearSecret, pap(login, password, append(more, "Calling-Station-Id = 203.0.113.9")...))
	}
	code := func(login string) string { return s.Members[login].Code(t, s.Behind("10.2.0.9")) }
	password := func(login string) string { return s.Members[login].Password }
	permit := map[string]string{}
	for _, login := range []string{"tanaka", "suzuki", "kobayashi"} {
		permit[login] = s.permits(t, login, cio)
		var in radAnswer
		if login == "tanaka" {
			challenge := ask(login, password(login))
			if challenge.code != "Access-Challenge" {
				t.Fatalf("a right password: %s", challenge.all)
			}
			in = ask(login, code(login), "State = "+challenge.state)
		} else {
			in = ask(login, password(login)+","+code(login))
		}
		class := radClass.FindStringSubmatch(in.all)
		if in.code != "Access-Accept" || class == nil || sessionTimeout.FindString(in.all) == "" || !strings.Contains(in.all, `Filter-Id = "staff"`) {
			t.Fatalf("%s, with a permit: %s", login, in.all)
		}
		begins := exec.Command(harness.Need(t, "radclient", "freeradius-utils"), "-x", "-r", "1", "-t", "30", s.addr, "acct", gearSecret)
		begins.Stdin = strings.NewReader("Acct-Status-Type = Start, Acct-Session-Id = \"of-" + login + "\", User-Name = " + login + ", Class = " + class[1] + ", NAS-IP-Address = 10.2.0.9\n")
		if out, err := begins.CombinedOutput(); err != nil || !strings.Contains(string(out), "Accounting-Response") {
			t.Fatalf("accounting: %v %s", err, out)
		}
	}

	wrong := ask("nobody", "wrong").message
	alike := func(when, login string) {
		t.Helper()
		var a radAnswer
		harness.Until(t, when+", "+login+" to be refused as a stranger is", func() bool {
			a = ask(login, password(login))
			return a.code == "Access-Reject" && a.message == wrong
		})
	}
	if a := cio.Do(t, "POST", "/api/v1/permits/"+permit["tanaka"]+"/revoke", map[string]string{"comment": "異動のため"}); a.Status != 200 {
		t.Fatalf("revoking: %d %s", a.Status, a.Body)
	}
	gear.hears(t, "tanaka", "of-tanaka")
	if a := ask("tanaka", password("tanaka")+","+code("tanaka")); a.code != "Access-Reject" || !strings.Contains(a.message, "許可を申請") {
		t.Errorf("its permit revoked: %s", a.all)
	}

	if a := cio.Do(t, "POST", "/api/v1/people/suzuki/suspend", map[string]string{"reason": "不審な操作"}); a.Status/100 != 2 {
		t.Fatalf("suspending: %d %s", a.Status, a.Body)
	}
	gear.hears(t, "suzuki", "of-suzuki")
	alike("suspended", "suzuki")

	lockAs(t, cio, lockOrder("person", "kobayashi", 30))
	gear.hears(t, "kobayashi", "of-kobayashi")
	if a := ask("kobayashi", password("kobayashi")); a.code != "Access-Reject" || !strings.Contains(a.message, "緊急停止") {
		t.Errorf("under a lock-down: %s", a.all)
	}
	for range 5 {
		if a := ask("kobayashi", "wrong"); a.message != wrong {
			t.Errorf("a wrong password under a lock-down: %s", a.all)
		}
	}
	alike("held", "kobayashi")

	s.permits(t, "tanaka", cio)
	var person string
	inStore(t, s.Site, func(tx *store.Tx) error {
		err := tx.QueryRow(t.Context(), `SELECT person_id FROM session WHERE login = 'tanaka' LIMIT 1`).Scan(&person)
		if err != nil {
			return err
		}
		return standing.Set(t.Context(), tx, directory.PersonID(person), standing.Dormant, time.Now(), time.Time{}, "test", "")
	})
	alike("dormant", "tanaka")
	if len(gear.heard) > 0 {
		t.Errorf("the gear was told %d times more", len(gear.heard))
	}
}
