package radius_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"sekisho/authn/standing"
	"sekisho/authz/remote/radius"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

func says(p *wire.Packet) string { return rfc2865.ReplyMessage_GetString(p) }

// TestChallenge: password, then a code; what lets in is told with its end, a handle,
// and the proxies' attributes in their order.
func TestChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gear(func(c *radius.Client) {
		for _, text := range []string{"Filter-Id=staff", "26.12356.1=vpn-users"} {
			a, err := radius.ParseAttribute(text)
			must(t, err)
			c.Attributes = append(c.Attributes, a)
		}
	}))
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(2*time.Hour))
	proxies := []av{str(rfc2865.ProxyState_Type, "first"), str(rfc2865.ProxyState_Type, "second")}
	asked := w.call(t).send(signed(request("tanaka", pw, proxies...)))
	if asked.Code != wire.CodeAccessChallenge || !strings.Contains(says(asked), "確認コード") || !strings.Contains(says(asked), "one-time code") {
		t.Fatalf("a right password is answered %v %q", asked.Code, says(asked))
	}
	state := asked.Get(rfc2865.State_Type)
	code := w.code(t)
	in := w.call(t).send(signed(request("tanaka", code, append(proxies, av{rfc2865.State_Type, state}, str(rfc2865.CallingStationID_Type, "203.0.113.9"))...)))
	if in.Code != wire.CodeAccessAccept {
		t.Fatalf("a right code is answered %v %q", in.Code, says(in))
	}
	left := rfc2865.SessionTimeout_Get(in)
	if want := uint32((2*time.Hour - 30*time.Second) / time.Second); uint32(left) != want {
		t.Errorf("Session-Timeout is %d, want %d", left, want)
	}
	if rfc2865.IdleTimeout_Get(in) != 900 || rfc2869.AcctInterimInterval_Get(in) != 300 {
		t.Error("the gear is not told when to end what idles, or how often to tell")
	}
	if string(in.Get(rfc2865.FilterID_Type)) != "staff" || !bytes.Equal(in.Get(rfc2865.VendorSpecific_Type), append([]byte{0, 0, 0x30, 0x44, 1, 11}, "vpn-users"...)) {
		t.Errorf("configured attributes: %q %q", in.Get(rfc2865.FilterID_Type), in.Get(rfc2865.VendorSpecific_Type))
	}
	var echoed []string
	for _, a := range in.Attributes {
		if a.Type == rfc2865.ProxyState_Type {
			echoed = append(echoed, string(a.Attribute))
		}
	}
	if !slices.Equal(echoed, []string{"first", "second"}) {
		t.Errorf("Proxy-State came back as %v", echoed)
	}
	r := w.one(t)
	if r.Login != "tanaka" || r.Application != "bunsho" || r.From != "203.0.113.9" || !r.Open(w.clock.Now()) {
		t.Errorf("the remote session is %+v", r)
	}
	if n := w.entries(t, "remote.admitted"); n != 1 {
		t.Errorf("%d entries say so", n)
	}
	mine, err := w.sessions.List(ctx, tanaka.ID)
	must(t, err)
	if len(mine) != 1 || !mine[0].Outside || mine[0].UserAgent != "RADIUS vpn" {
		t.Errorf("the gate's sessions: %+v", mine)
	}
	// The State is good once.
	if again := w.call(t).send(signed(request("tanaka", w.code(t), av{rfc2865.State_Type, state}))); again.Code != wire.CodeAccessReject {
		t.Errorf("a State that was used is answered %v", again.Code)
	}
	w.clock.Advance(3 * time.Hour)
	if w.one(t).Open(w.clock.Now()) {
		t.Error("it is open beyond its end")
	}
}

// TestState: a challenge belongs to its client, its name and its time.
func TestState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, login := range []string{"tanaka", "suzuki"} {
		w.permit(w.person(t, login), "bunsho", w.clock.Now().Add(time.Hour))
	}
	challenged := func() []byte {
		p := w.call(t).send(signed(request("tanaka", pw)))
		if p.Code != wire.CodeAccessChallenge {
			t.Fatal(p.Code)
		}
		return p.Get(rfc2865.State_Type)
	}
	bent := challenged()
	bent[len(bent)-1] ^= 1
	late := challenged()
	for _, tt := range []struct {
		name, login string
		state       []byte
		wait        time.Duration
	}{
		{"somebody else's", "suzuki", challenged(), 0},
		{"bent", "tanaka", bent, 0},
		{"made up", "tanaka", []byte("otp"), 0},
		{"too late", "tanaka", late, w.policy.SignIn.FlowEnd},
	} {
		w.clock.Advance(tt.wait)
		p := w.call(t).send(signed(request(tt.login, w.code(t), av{rfc2865.State_Type, tt.state})))
		if p.Code != wire.CodeAccessReject || !strings.Contains(says(p), "start again") {
			t.Errorf("%s: %v %q", tt.name, p.Code, says(p))
		}
	}
	// A wrong code uses the challenge up.
	state := challenged()
	if p := w.call(t).send(signed(request("tanaka", "000000", av{rfc2865.State_Type, state}))); p.Code != wire.CodeAccessReject {
		t.Errorf("a wrong code: %v", p.Code)
	}
	if p := w.call(t).send(signed(request("tanaka", w.code(t), av{rfc2865.State_Type, state}))); p.Code != wire.CodeAccessReject {
		t.Errorf("a right code after it: %v", p.Code)
	}
}

// TestRefused: who may not come in is told alike, whoever they are and whyever; who
// has proved who they are is told what is missing.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := w.clock.Now().Add(100 * 24 * time.Hour)
	for _, login := range []string{"tanaka", "suspended", "dormant", "leave", "ended", "spent"} {
		w.permit(w.person(t, login), "bunsho", far)
	}
	for login, kind := range map[string]standing.Kind{"suspended": standing.Suspended, "dormant": standing.Dormant, "leave": standing.OnLeave} {
		p, err := w.dir.Find(ctx, login)
		must(t, err)
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			return standing.Set(ctx, tx, p.ID, kind, w.clock.Now(), time.Time{}, "", "")
		}))
	}
	ended, err := w.dir.Find(ctx, "ended")
	must(t, err)
	must(t, w.dir.Disable(ctx, ended))
	for range 5 {
		if p := w.call(t).send(signed(request("spent", "wrong"))); p.Code != wire.CodeAccessReject {
			t.Fatal(p.Code)
		}
	}
	var first []byte
	for _, tt := range []struct{ name, login, password string }{
		{"a wrong password", "tanaka", "wrong"},
		{"an unknown name", "nobody", pw},
		{"no name", "", pw},
		{"suspended", "suspended", pw},
		{"dormant", "dormant", pw},
		{"on leave", "leave", pw},
		{"disabled", "ended", pw},
		{"held", "spent", pw},
		{"a wrong code", "tanaka", pw + ",000000"},
		{"an empty password", "tanaka", ""},
	} {
		p := w.call(t).send(signed(request(tt.login, tt.password)))
		if p.Code != wire.CodeAccessReject {
			t.Fatalf("%s: %v", tt.name, p.Code)
		}
		// All but the header and the Message-Authenticator.
		raw, err := p.MarshalBinary()
		must(t, err)
		if first == nil {
			first = raw[38:]
		} else if !bytes.Equal(raw[38:], first) {
			t.Errorf("%s is told from a wrong password: %q", tt.name, raw[38:])
		}
	}
	if n := w.count(radius.Accepted) + w.count(radius.Challenged); n != 0 {
		t.Errorf("%d were let on", n)
	}
}

// TestTold: who has proved who they are is told what they lack.
func TestTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := w.clock.Now()
	tanaka, suzuki := w.person(t, "tanaka"), w.person(t, "suzuki")
	w.withoutDevice(t, "passkeyonly")
	other := w.person(t, "other")
	w.permit(suzuki, "bunsho", now.Add(time.Minute))
	w.permit(other, "elsewhere", now.Add(time.Hour))
	w.clock.Advance(time.Minute)
	refused := func(name, login, with string) {
		t.Helper()
		p := w.call(t).send(signed(request(login, pw+","+w.code(t))))
		if p.Code != wire.CodeAccessReject || !strings.Contains(says(p), with) || len(says(p)) > 253 {
			t.Errorf("%s: %v %q", name, p.Code, says(p))
		}
	}
	refused("without a permit", "tanaka", "許可を申請")
	refused("after its end", "suzuki", "許可を申請")
	refused("for another application", "other", "許可を申請")
	refused("without a code", "passkeyonly", "認証アプリ")
	if n := w.entries(t, "remote.refused"); n != 3 {
		t.Errorf("%d entries of refusals, want 3", n)
	}
	w.rule(func(p *policy.Policy) { p.Acknowledgement.Version = "2026-04" })
	w.permit(tanaka, "bunsho", w.clock.Now().Add(time.Hour))
	refused("who has not acknowledged the rules", "tanaka", "関所の画面")
	w.rule(func(p *policy.Policy) {
		p.Acknowledgement.Version = ""
		p.Applications = p.Applications[:1]
		p.Applications[0].ACR = policy.PHR
	})
	refused("where a code is too weak", "tanaka", "one-time code")
	w.rule(func(p *policy.Policy) { p.Applications[0].ACR, p.Applications[0].Environment = "", policy.Development })
	refused("with an ID of the other environment", "tanaka", "別の環境")
	w.rule(func(p *policy.Policy) { p.Applications[0].Environment = "" })
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO lockdown (id, scope, target, reason, ordered_by, ordered_at, ends_at) VALUES ('l', 'remote', '', '', 'cio', $1, $2)`,
			store.Micros(w.clock.Now()), store.Micros(w.clock.Now().Add(time.Hour)))
		return err
	}))
	refused("under a lock-down", "tanaka", "緊急停止")
	_, err := w.dir.Create(ctx, directory.NewPerson{Login: "madoguchi", Name: "窓口", Kind: directory.KindShared, Password: secret.NewText([]byte(pw))})
	must(t, err)
	refused("with an ID that several use", "madoguchi", "共用ID")
	chap := wire.New(wire.CodeAccessRequest, []byte(shared))
	chap.Add(rfc2865.UserName_Type, []byte("tanaka"))
	chap.Add(rfc2865.CHAPPassword_Type, make([]byte, 17))
	if p := w.call(t).send(signed(chap)); p.Code != wire.CodeAccessReject || !strings.Contains(says(p), "PAP") {
		t.Errorf("CHAP: %v %q", p.Code, says(p))
	}
	all, err := w.door.Live(ctx)
	must(t, err)
	mine, err := w.sessions.List(ctx, tanaka.ID)
	must(t, err)
	if len(all) != 0 || len(mine) != 0 {
		t.Errorf("left behind: %v %v", all, mine)
	}
}

// TestTogether: password and code in one field.
func TestTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	code := w.code(t)
	if p := w.call(t).send(signed(request("tanaka", pw+", "+code))); p.Code != wire.CodeAccessAccept {
		t.Errorf("with a space: %v", p.Code)
	}
	if p := w.call(t).send(signed(request("tanaka", pw+","+code))); p.Code != wire.CodeAccessReject {
		t.Errorf("a code that was used: %v", p.Code)
	}
}

// TestNothingAnswered: where something is away nobody is told that they are wrong.
func TestNothingAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	w.mu.Lock()
	w.blind = errBlind
	w.mu.Unlock()
	c := w.call(t)
	raw := signed(request("tanaka", pw+","+w.code(t)))
	_, err := c.Write(raw)
	must(t, err)
	until(t, "the request to be given up", func() bool { return w.count(radius.Unanswered) == 1 })
	c.silence(w)
	all, err := w.door.Live(ctx)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("somebody is in: %v", all)
	}
	// Its code is spent, so that it is not worked at again: it could only be refused.
	w.mu.Lock()
	w.blind = nil
	w.mu.Unlock()
	_, err = c.Write(raw)
	must(t, err)
	c.silence(w)
	if w.count(radius.Repeated) != 1 || w.count(radius.Refused) != 0 {
		t.Errorf("sent again: repeated %d, refused %d", w.count(radius.Repeated), w.count(radius.Refused))
	}
}

// TestBesideAnEnd: who is shut out while they come in is not let in.
func TestBesideAnEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(time.Hour))
	asked := w.call(t).send(signed(request("tanaka", pw)))
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := standing.Set(ctx, tx, tanaka.ID, standing.Suspended, w.clock.Now(), time.Time{}, "", ""); err != nil {
			return err
		}
		return w.sessions.EndAll(ctx, tx, tanaka.ID, "tanaka", "", "suspended")
	}))
	p := w.call(t).send(signed(request("tanaka", w.code(t), av{rfc2865.State_Type, asked.Get(rfc2865.State_Type)})))
	if p.Code != wire.CodeAccessReject {
		t.Errorf("suspended between password and code, and answered %v", p.Code)
	}
}

// TestCheck refuses clients that cannot be told apart or whose secret is short.
func TestCheck(t *testing.T) {
	short := gear(func(c *radius.Client) { c.Secret = gearSecret("short") })
	if err := radius.Check([]radius.Client{short}); !errors.Is(err, radius.ErrShortSecret) {
		t.Errorf("a short secret: %v", err)
	}
	if err := radius.Check([]radius.Client{gear(), gear(func(c *radius.Client) { c.ID, c.Secret = "vpn2", gearSecret("another secret of thirty-two char") })}); !errors.Is(err, radius.ErrOverlap) {
		t.Errorf("one network of two clients: %v", err)
	}
	apart := gear(func(c *radius.Client) { c.ID, c.From = "vpn2", []netip.Prefix{prefix("127.0.0.2/32")} })
	if err := radius.Check([]radius.Client{gear(), apart}); !errors.Is(err, radius.ErrSameSecret) || !strings.Contains(err.Error(), "vpn2") {
		t.Errorf("one secret of two clients: %v", err)
	}
	large := gear(func(c *radius.Client) {
		for range 16 {
			a, err := radius.ParseAttribute("Filter-Id=" + strings.Repeat("x", 240))
			must(t, err)
			c.Attributes = append(c.Attributes, a)
		}
	})
	if err := radius.Check([]radius.Client{large}); !errors.Is(err, radius.ErrTooMuch) {
		t.Errorf("more attributes than a packet holds: %v", err)
	}
	if err := radius.Check([]radius.Client{gear(), gear()}); err == nil {
		t.Error("one id of two clients is taken")
	}
	if err := radius.Check([]radius.Client{gear(func(c *radius.Client) { c.From = nil })}); err == nil {
		t.Error("a client from nowhere is taken")
	}
}

// TestIdleOfGear: of the policy's idle end and the one configured for gear, the sooner
// is told, and once.
func TestIdleOfGear(t *testing.T) {
	t.Parallel()
	for configured, want := range map[string]uint32{"Idle-Timeout=120": 120, "Idle-Timeout=7200": 900} {
		a, err := radius.ParseAttribute(configured)
		must(t, err)
		w := newWorld(t, gear(func(c *radius.Client) { c.Attributes = []radius.Attribute{a} }))
		w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
		in, n := w.admitted(t, "tanaka"), 0
		for _, a := range in.Attributes {
			if a.Type == rfc2865.IdleTimeout_Type {
				n++
			}
		}
		if n != 1 || uint32(rfc2865.IdleTimeout_Get(in)) != want {
			t.Errorf("%s: told %d, %d times; want %d", configured, rfc2865.IdleTimeout_Get(in), n, want)
		}
	}
}

// TestWhereFrom: gear writes where somebody comes from in several ways.
func TestWhereFrom(t *testing.T) {
	for said, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", " 203.0.113.7 ": "203.0.113.7", "203.0.113.7[4500]": "203.0.113.7", "203.0.113.7:4500": "203.0.113.7",
		"2001:db8::7": "2001:db8::7", "[2001:db8::7]:4500": "2001:db8::7", "2001:db8::7[4500]": "2001:db8::7", "::ffff:203.0.113.7": "203.0.113.7",
		"": "", "0-00-5E-00-53-00": "", "vpn client": "", "[4500]": "", "x[4500]": "",
	} {
		got, ok := radius.CallingFrom(said)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q is %v, %t, want %q", said, got, ok, want)
		}
	}
}

func TestParseAttribute(t *testing.T) {
	for _, text := range []string{
		"", "Filter-Id", "Filter-Id=", "Filter-Idd=x", "0=x", "256=x", "18=x", "25=x", "80=x", "24=x", "27=#1", "26.9=x", "26.0.1=x", "26.9.1.1=x", "11.1=x",
		"Service-Type=staff", "11=0xzz", "11=" + strings.Repeat("x", 254), "26.9.1=" + strings.Repeat("x", 248),
	} {
		if a, err := radius.ParseAttribute(text); err == nil {
			t.Errorf("%q is taken: %v", text, a)
		}
	}
	for _, text := range []string{"Filter-Id=staff", "11=staff", "Service-Type=2", "6=#2", "11=0x0a", "26.12356.1=vpn", "Framed-Pool=remote"} {
		if _, err := radius.ParseAttribute(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
