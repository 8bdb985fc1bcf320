package terminal_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/terminal"
	"sekisho/authn/terminal/terminaltest"
	"sekisho/authn/ticket"
	"sekisho/policy"
)

func TestRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.say(w.words("juki-1"), w.juki)
	if err != nil {
		t.Fatal(err)
	}
	if want := w.find("juki-1"); a.Terminal != want {
		t.Errorf("Terminal = %+v\nwant       %+v", a.Terminal, want)
	}
	if a.Login != "tanaka" || !slices.Equal(a.Methods, []string{"pwd", "fpt"}) || !a.AuthAt.Equal(t0.Add(-time.Hour)) || a.AuthAt.Location() != time.UTC {
		t.Errorf("Read = %+v", a)
	}
	zone, _ := w.policy.Load().Zone(policy.MyNumber)
	if !a.StandsIn("tanaka", zone, w.clock.Now()) {
		t.Error("the word of a dedicated terminal, read and in order, does not stand in")
	}
	if err := w.spend(a); err != nil {
		t.Error("Spend:", err)
	}
}

// TestReadTakes: honest terminals differ in how they write, and in their clocks.
func TestReadTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, write := range map[string]func(*terminaltest.Assertion){
		"one audience in a list":    func(a *terminaltest.Assertion) { a.Claims = map[string]any{"aud": []string{gate}} },
		"the audience with a slash": func(a *terminaltest.Assertion) { a.Audience = gate + "/" },
		"no typ":                    func(a *terminaltest.Assertion) { a.Header = map[string]any{"typ": nil} },
		"a small typ":               func(a *terminaltest.Assertion) { a.Header = map[string]any{"typ": "jwt"} },
		"a kid":                     func(a *terminaltest.Assertion) { a.Header = map[string]any{"kid": "2026-04"} },
		"nobody at it":              func(a *terminaltest.Assertion) { a.Login, a.Methods, a.AuthAt = "", nil, time.Time{} },
		"an empty list of methods":  func(a *terminaltest.Assertion) { a.Methods = []string{} },
		"sixteen methods":           func(a *terminaltest.Assertion) { a.Methods = slices.Repeat([]string{"pwd", "geo"}, 8) },
		"times with fractions":      func(a *terminaltest.Assertion) { a.Claims = map[string]any{"iat": 1775034000.25} },
		"a whole minute":            func(a *terminaltest.Assertion) { a.ExpiresAt = a.IssuedAt.Add(time.Minute) },
		"a clock five seconds fast": func(a *terminaltest.Assertion) { a.IssuedAt = t0.Add(5 * time.Second) },
		"a clock so slow that it has ended": func(a *terminaltest.Assertion) {
			a.IssuedAt, a.ExpiresAt = t0.Add(-34*time.Second), t0.Add(-4*time.Second)
		},
		"a sign-in by a fast clock": func(a *terminaltest.Assertion) { a.AuthAt = t0.Add(5 * time.Second) },
		"a claim nobody asked for":  func(a *terminaltest.Assertion) { a.Claims = map[string]any{"jti": "1", "host": "PC-0123"} },
	} {
		a := w.words("juki-1")
		write(&a)
		_, err := w.say(a, w.juki)
		wantWhy(t, name, err, "taken")
	}
	slashed := terminal.New(w.db, w.tickets, gate+"/", w.clock.Now, w.policy.Load)
	_, err := slashed.Read(context.Background(), w.sign(w.words("juki-1"), w.juki))
	wantWhy(t, "a gate whose own URL has a slash", err, "taken")
}

// TestReadRefuses is every lie we can think of (security.md section 2, row 21).
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	thief := newPair(t)
	elsewhere := newWorld(t)
	for _, tt := range []struct {
		name string
		lie  func(*terminaltest.Assertion)
		key  pair
		want string
	}{
		{"no signature", func(a *terminaltest.Assertion) { a.Alg = "none" }, w.juki, "algorithm"},
		{"HMAC with the public key", func(a *terminaltest.Assertion) { a.Alg = "HS256" }, w.juki, "algorithm"},
		{"RSA", func(a *terminaltest.Assertion) { a.Alg = "RS256" }, w.juki, "algorithm"},
		{"ES384 with the key", func(a *terminaltest.Assertion) { a.Alg = "ES384" }, w.juki, "algorithm"},
		{"small letters", func(a *terminaltest.Assertion) { a.Alg = "es256" }, w.juki, "algorithm"},
		{"None, as CVE lists spell it", func(a *terminaltest.Assertion) { a.Alg = "nOnE" }, w.juki, "algorithm"},
		{"an algorithm that is a list", func(a *terminaltest.Assertion) { a.Header = map[string]any{"alg": []string{"ES256"}} }, w.juki, "algorithm"},
		{"no algorithm", func(a *terminaltest.Assertion) { a.Header = map[string]any{"alg": nil} }, w.juki, "algorithm"},
		{"a signature in ASN.1", func(a *terminaltest.Assertion) { a.Alg = "ES256-DER" }, w.juki, "signature"},

		{"a thief's key", func(*terminaltest.Assertion) {}, thief, "signature"},
		{"another terminal's key", func(*terminaltest.Assertion) {}, w.madoguchi, "signature"},
		{"a key in the header", func(a *terminaltest.Assertion) { a.Header = map[string]any{"jwk": jwk(t, thief)} }, thief, "signature"},
		{"a certificate in the header", func(a *terminaltest.Assertion) { a.Header = map[string]any{"x5c": []string{"MIIB"}} }, thief, "signature"},
		{"a key to be fetched", func(a *terminaltest.Assertion) {
			a.Header = map[string]any{"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/chain"}
		}, thief, "signature"},
		{"the id of another's key", func(a *terminaltest.Assertion) { a.Header = map[string]any{"kid": "madoguchi-1"} }, w.madoguchi, "signature"},
		{"a kid that is a path", func(a *terminaltest.Assertion) { a.Header = map[string]any{"kid": "/dev/null"} }, thief, "signature"},
		{"a kid that is SQL", func(a *terminaltest.Assertion) { a.Header = map[string]any{"kid": "' OR 1=1 --"} }, thief, "signature"},

		{"an extension to be understood", func(a *terminaltest.Assertion) { a.Header = map[string]any{"crit": []string{"b64"}, "b64": false} }, w.juki, "header"},
		{"no extension to be understood", func(a *terminaltest.Assertion) { a.Header = map[string]any{"crit": []string{}} }, w.juki, "header"},
		{"an access token", func(a *terminaltest.Assertion) { a.Header = map[string]any{"typ": "at+jwt"} }, w.juki, "header"},
		{"the gate's own kind of token", func(a *terminaltest.Assertion) { a.Header = map[string]any{"typ": "sekisho-assertion+jwt"} }, w.juki, "header"},
		{"a typ that is a number", func(a *terminaltest.Assertion) { a.Header = map[string]any{"typ": 1} }, w.juki, "header"},

		{"a terminal nobody knows", func(a *terminaltest.Assertion) { a.Terminal = "juki-9" }, w.juki, "unknown_terminal"},
		{"no terminal", func(a *terminaltest.Assertion) { a.Terminal = "" }, w.juki, "unknown_terminal"},
		{"a terminal that is SQL", func(a *terminaltest.Assertion) { a.Terminal = "juki-1' OR '1'='1" }, w.juki, "unknown_terminal"},
		{"a terminal in capitals", func(a *terminaltest.Assertion) { a.Terminal = "JUKI-1" }, w.juki, "unknown_terminal"},
		{"a terminal and a NUL", func(a *terminaltest.Assertion) { a.Terminal = "juki-1\x00" }, w.juki, "unknown_terminal"},
		{"a terminal without a key", func(a *terminaltest.Assertion) { a.Terminal = "lent-1" }, w.juki, "no_key"},

		{"another gate", func(a *terminaltest.Assertion) { a.Audience = "https://evil.example" }, w.juki, "audience"},
		{"our gate and another", func(a *terminaltest.Assertion) {
			a.Claims = map[string]any{"aud": []string{gate, "https://evil.example"}}
		}, w.juki, "audience"},
		{"our gate twice", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"aud": []string{gate, gate}} }, w.juki, "audience"},
		{"two slashes", func(a *terminaltest.Assertion) { a.Audience = gate + "//" }, w.juki, "audience"},
		{"a path of our gate", func(a *terminaltest.Assertion) { a.Audience = gate + "/signin" }, w.juki, "audience"},
		{"the beginning of our gate", func(a *terminaltest.Assertion) { a.Audience = "https://gate" }, w.juki, "audience"},
		{"no gate", func(a *terminaltest.Assertion) { a.Audience = "" }, w.juki, "malformed"},
		{"no gate in a list", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"aud": []string{}} }, w.juki, "malformed"},
		{"a gate that is a number", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"aud": 1} }, w.juki, "malformed"},

		{"ended, and the leeway with it", func(a *terminaltest.Assertion) {
			a.IssuedAt, a.ExpiresAt = t0.Add(-35*time.Second), t0.Add(-5*time.Second)
		}, w.juki, "expired"},
		{"no end", func(a *terminaltest.Assertion) { a.ExpiresAt = time.Time{} }, w.juki, "malformed"},
		{"an end in words", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"exp": "tomorrow"} }, w.juki, "malformed"},
		{"an end beyond all time", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"exp": json.RawMessage("9e300")} }, w.juki, "expired"},
		{"good for more than a minute", func(a *terminaltest.Assertion) { a.ExpiresAt = a.IssuedAt.Add(61 * time.Second) }, w.juki, "lifetime"},
		{"good for a year", func(a *terminaltest.Assertion) { a.ExpiresAt = a.IssuedAt.AddDate(1, 0, 0) }, w.juki, "lifetime"},
		{"issued before all time", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"iat": json.RawMessage("-9e300")} }, w.juki, "lifetime"},
		{"over before it began", func(a *terminaltest.Assertion) {
			a.IssuedAt, a.ExpiresAt = t0.Add(3*time.Second), t0.Add(2*time.Second)
		}, w.juki, "lifetime"},
		{"good for no time", func(a *terminaltest.Assertion) { a.ExpiresAt = a.IssuedAt }, w.juki, "lifetime"},
		{"issued in the future", func(a *terminaltest.Assertion) { a.IssuedAt = t0.Add(6 * time.Second) }, w.juki, "early"},
		{"good from later on", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"nbf": t0.Add(6 * time.Second).Unix()} }, w.juki, "early"},
		{"not issued", func(a *terminaltest.Assertion) { a.IssuedAt = time.Time{} }, w.juki, "malformed"},

		{"a login with a control character", func(a *terminaltest.Assertion) { a.Login = "tana\x00ka" }, w.juki, "login"},
		{"a login of blanks", func(a *terminaltest.Assertion) { a.Login = " \u3000" }, w.juki, "login"},
		{"a login without end", func(a *terminaltest.Assertion) { a.Login = strings.Repeat("a", 1025) }, w.juki, "login"},
		{"a login that is a list", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"sub": []string{"tanaka"}} }, w.juki, "malformed"},
		{"seventeen methods", func(a *terminaltest.Assertion) { a.Methods = slices.Repeat([]string{"pwd"}, 17) }, w.juki, "methods"},
		{"a method nobody knows", func(a *terminaltest.Assertion) { a.Methods = []string{"pwd", "knock"} }, w.juki, "methods"},
		{"a method of our own", func(a *terminaltest.Assertion) { a.Methods = []string{"pwd", "terminal"} }, w.juki, "methods"},
		{"an empty method", func(a *terminaltest.Assertion) { a.Methods = []string{""} }, w.juki, "methods"},
		{"methods in one word", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"amr": "pwd otp"} }, w.juki, "malformed"},
		{"a sign-in in the future", func(a *terminaltest.Assertion) { a.AuthAt = t0.Add(6 * time.Second) }, w.juki, "auth_time"},
		{"a sign-in in words", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"auth_time": "now"} }, w.juki, "malformed"},

		{"no nonce", func(a *terminaltest.Assertion) { a.Nonce = "" }, w.juki, "nonce_unknown"},
		{"a nonce of its own", func(a *terminaltest.Assertion) { a.Nonce = "bm9uY2U" }, w.juki, "nonce_unknown"},
		{"a nonce that is no base64url", func(a *terminaltest.Assertion) { a.Nonce += "=" }, w.juki, "nonce_unknown"},
		{"a second spelling of the nonce", func(a *terminaltest.Assertion) { a.Nonce = respelled(a.Nonce) }, w.juki, "nonce_unknown"},
		{"another gate's nonce", func(a *terminaltest.Assertion) { a.Nonce, _ = elsewhere.Nonce() }, w.juki, "nonce_unknown"},
		{"a passkey's challenge", func(a *terminaltest.Assertion) {
			a.Nonce = base64.RawURLEncoding.EncodeToString(w.tickets.Issue("passkey", "", time.Minute))
		}, w.juki, "nonce_unknown"},
		{"somebody's own ticket", func(a *terminaltest.Assertion) {
			a.Nonce = base64.RawURLEncoding.EncodeToString(w.tickets.Issue("terminal", "cookie", time.Minute))
		}, w.juki, "nonce_unknown"},

		{"too long", func(a *terminaltest.Assertion) { a.Claims = map[string]any{"x": strings.Repeat("x", 4096)} }, w.juki, "malformed"},
	} {
		a := w.words("juki-1")
		tt.lie(&a)
		got, err := w.say(a, tt.key)
		wantWhy(t, tt.name, err, tt.want)
		if err != nil && (got.Login != "" || got.Terminal != terminal.Terminal{}) {
			t.Errorf("%s: refused, and yet says %+v", tt.name, got)
		}
	}
}

// respelled is base64url text with another last character that lenient readers
// read as the same bytes: it holds bits that are not used.
func respelled(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + alphabet[last^1:][:1]
}

// jwk is a key as a header may carry it (RFC 7515 section 4.1.3).
func jwk(t *testing.T, p pair) map[string]string {
	t.Helper()
	key, err := jwt.ParseECPublicKeyFromPEM([]byte(p.public))
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"kty": "EC", "crv": elliptic.P256().Params().Name,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}
}

// TestReadRefusesNoJWT: what is not even an assertion.
func TestReadRefusesNoJWT(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	segment := base64.RawURLEncoding.EncodeToString
	honest := w.sign(w.words("juki-1"), w.juki)
	parts := strings.Split(honest, ".")
	header := segment([]byte(`{"alg":"ES256","typ":"JWT"}`))
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "malformed"},
		{"dots", "..", "malformed"},
		{"two parts", parts[0] + "." + parts[1], "malformed"},
		{"four parts", honest + ".", "malformed"},
		{"JSON instead of a JWT", `{"payload":"","signatures":[]}`, "malformed"},
		{"a scheme before it", "Bearer " + honest, "malformed"},
		{"padding", honest + "==", "malformed"},
		{"a second spelling of the signature", respelled(honest), "malformed"},
		{"claims that are null", header + "." + segment([]byte("null")) + "." + parts[2], "unknown_terminal"},
		{"claims that are a list", header + "." + segment([]byte("[]")) + "." + parts[2], "malformed"},
		{"claims that are no JSON", header + "." + segment([]byte("{")) + "." + parts[2], "malformed"},
		{"a header that is null", segment([]byte("null")) + "." + parts[1] + "." + parts[2], "algorithm"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature"},
		{"zeros for a signature", parts[0] + "." + parts[1] + "." + segment(make([]byte, 64)), "signature"},
		{"a signature too long", parts[0] + "." + parts[1] + "." + segment(make([]byte, 65)), "signature"},
		{"another's claims under the signature", parts[0] + "." + strings.Split(w.sign(w.words("juki-1"), w.juki), ".")[1] + "." + parts[2], "signature"},
	} {
		_, err := w.Read(context.Background(), tt.text)
		wantWhy(t, tt.name, err, tt.want)
	}
	_, err := w.Read(context.Background(), honest)
	wantWhy(t, "the honest one", err, "taken")
}

// TestLengthOfAnAssertion: 4096 bytes are read, one more is not.
func TestLengthOfAnAssertion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := func(length int) string {
		// Base64 skips one length in four, so both parts are stretched.
		bare := len(w.sign(w.words("juki-1"), w.juki))
		for kid := range 4 {
			for pad := (length-bare)*3/4 - 20; pad < (length-bare)*3/4; pad++ {
				a := w.words("juki-1")
				a.Header = map[string]any{"kid": strings.Repeat("k", kid)}
				a.Claims = map[string]any{"x": strings.Repeat("x", pad)}
				if text := w.sign(a, w.juki); len(text) == length {
					return text
				}
			}
		}
		t.Fatalf("no assertion has %d bytes", length)
		return ""
	}
	_, err := w.Read(context.Background(), of(4096))
	wantWhy(t, "4096 bytes", err, "taken")
	_, err = w.Read(context.Background(), of(4097))
	wantWhy(t, "4097 bytes", err, "malformed")
}

func TestNonce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.words("juki-1")
	_, ends := w.Nonce()
	if want := t0.Add(time.Minute); !ends.Equal(want) {
		t.Errorf("a nonce ends at %v, want %v", ends, want)
	}
	var rows int
	if err := w.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM spent_ticket`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("giving a nonce out wrote %d rows (%v)", rows, err)
	}
	w.clock.Advance(time.Minute - time.Microsecond)
	a.IssuedAt, a.ExpiresAt = w.clock.Now(), w.clock.Now().Add(30*time.Second)
	_, err := w.say(a, w.juki)
	wantWhy(t, "a nonce in its last moment", err, "taken")
	w.clock.Advance(time.Microsecond)
	_, err = w.say(a, w.juki)
	wantWhy(t, "a nonce that has ended", err, "nonce_old")
}

// TestReadWithoutStore: that we could not find out is no refusal, and no leave.
func TestReadWithoutStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.words("counter-2")
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"counter-2", "juki-1"} {
		a.Terminal = id
		_, err := w.say(a, w.juki)
		if err == nil || !strings.HasPrefix(why(err), "error: ") {
			t.Errorf("%s: %v, want an error of the store", id, err)
		}
	}
	if _, err := w.List(context.Background()); err == nil {
		t.Error("List on a closed store answers")
	}
	// What cannot be an id is not looked for: PostgreSQL would break on the NUL.
	a.Terminal = "juki-1\x00"
	_, err := w.say(a, w.juki)
	wantWhy(t, "what cannot be an id", err, "unknown_terminal")
}

// TestNoncesTravel: a nonce given out by one gateway is good at another, and
// after a restart.
func TestNoncesTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := w.sign(w.words("juki-1"), w.juki)
	beside := terminal.New(w.db, ticket.New(w.ring, w.clock.Now), gate, w.clock.Now, w.policy.Load)
	_, err := beside.Read(context.Background(), text)
	wantWhy(t, "at another gateway", err, "taken")
	w.restart()
	_, err = w.Read(context.Background(), text)
	wantWhy(t, "after a restart", err, "taken")
}
