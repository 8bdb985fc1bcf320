package assertion

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer = "https://sekisho.pref.example"
	app    = "kyuyo"
)

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type jwk map[string]any

func jwkOf(t testing.TB, kid string, key *ecdsa.PrivateKey) jwk {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return jwk{"kty": "EC", "use": "sig", "alg": "ES256", "kid": kid, "crv": "P-256",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}
}

func setOf(t testing.TB, keys ...jwk) []byte {
	t.Helper()
	if keys == nil {
		keys = []jwk{}
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// good is what the gate writes.
func good() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "aud": []string{app}, "sub": "tanaka", "acr": "aal2", "amr": []string{"pwd", "otp", "mfa"}, "name": "田中 美咲",
		"groups": []string{"staff", "auditor"}, "zone": "lgwan", "jti": "x",
		"iat": t0.Unix(), "nbf": t0.Unix(), "exp": t0.Add(5*time.Minute - time.Second).Unix(),
	}
}

func with(name string, value any) jwt.MapClaims {
	c := good()
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.Claims) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, c)
	tok.Header["typ"], tok.Header["kid"] = tokenType, "k1"
	for name, value := range header {
		if tok.Header[name] = value; value == nil {
			delete(tok.Header, name)
		}
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newVerifier(t testing.TB, set []byte, at time.Time) *Verifier {
	t.Helper()
	v, err := New(Config{Issuer: issuer, Audience: app, Keys: set, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	key := newKey(t)
	text := sign(t, jwt.SigningMethodES256, key, nil, good())
	p, err := newVerifier(t, setOf(t, jwkOf(t, "k1", key)), t0).Verify(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Login != "tanaka" || p.Name != "田中 美咲" || p.ACR != "aal2" || fmt.Sprint(p.Groups) != "[staff auditor]" || p.Zone != "lgwan" ||
		len(p.AMR) != 3 || !p.Expires.Equal(t0.Add(5*time.Minute-time.Second)) {
		t.Errorf("%+v", p)
	}
	if !p.Holds("auditor") || p.Holds("audit") || p.Holds("") {
		t.Error("Holds")
	}
}

func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		have, want string
		ok         bool
	}{
		{"aal1", "aal1", true}, {"aal1", "aal2", false}, {"aal2", "aal1", true}, {"aal2", "phr", false}, {"phr", "aal2", true}, {"phr", "phr", true},
		{"", "aal1", false}, {"aal9", "aal1", false}, {"phr", "", false}, {"phr", "aal9", false}, {"", "", false},
	} {
		if got := (Person{ACR: tt.have}).AtLeast(tt.want); got != tt.ok {
			t.Errorf("%q at least %q: %t", tt.have, tt.want, got)
		}
	}
}

// TestVerifyRefuses is security.md section 2, row 21, and each claim by itself.
func TestVerifyRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	ours := jwkOf(t, "k1", key)
	set := setOf(t, ours, jwkOf(t, "k2", other))
	es := jwt.SigningMethodES256
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	spki := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := sign(t, es, key, nil, good())
	head, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	unsigned := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good())

	for name, forged := range map[string]string{
		"nothing but dots":               "..",
		"no token":                       "tanaka",
		"too long":                       text + strings.Repeat("A", maxLength),
		"none":                           unsigned,
		"none, with a good signature":    unsigned + signature,
		"None":                           b64(`{"alg":"None","typ":"sekisho-assertion+jwt","kid":"k1"}`) + "." + payload + ".",
		"no algorithm":                   b64(`{"typ":"sekisho-assertion+jwt","kid":"k1"}`) + "." + payload + "." + signature,
		"no signature":                   head + "." + payload + ".",
		"another signature":              head + "." + payload + "." + b64(strings.Repeat("x", 64)),
		"a signature of zeros":           head + "." + payload + "." + b64(strings.Repeat("\x00", 64)),
		"a signature in DER":             head + "." + payload + "." + b64("0\x06\x02\x01\x01\x02\x01\x01"),
		"another payload":                head + "." + b64(`{"sub":"yoshida"}`) + "." + signature,
		"HS256 with the public key":      sign(t, jwt.SigningMethodHS256, spki, nil, good()),
		"HS256 with the point":           sign(t, jwt.SigningMethodHS256, point, nil, good()),
		"HS256 with the key set":         sign(t, jwt.SigningMethodHS256, set, nil, good()),
		"RS256 with a key of its own":    sign(t, jwt.SigningMethodRS256, big, nil, good()),
		"ES384 with a key of its own":    sign(t, jwt.SigningMethodES384, p384, nil, good()),
		"somebody's key under our id":    sign(t, es, newKey(t), nil, good()),
		"our other key under this id":    sign(t, es, other, nil, good()),
		"an id that nobody has":          sign(t, es, key, map[string]any{"kid": "k9"}, good()),
		"no id":                          sign(t, es, key, map[string]any{"kid": nil}, good()),
		"an id that is no text":          sign(t, es, key, map[string]any{"kid": 1}, good()),
		"an id that is a list":           sign(t, es, key, map[string]any{"kid": []string{"k1"}}, good()),
		"an id that is a path":           sign(t, es, key, map[string]any{"kid": "../k1"}, good()),
		"an id that is a query":          sign(t, es, key, map[string]any{"kid": "k1' OR '1'='1"}, good()),
		"an id of great length":          sign(t, es, key, map[string]any{"kid": strings.Repeat("k", maxKid+1)}, good()),
		"its own key in the header":      sign(t, es, other, map[string]any{"jwk": jwkOf(t, "k1", other)}, good()),
		"the address of its own keys":    sign(t, es, other, map[string]any{"jku": "http://127.0.0.1:1/keys"}, good()),
		"critical":                       sign(t, es, key, map[string]any{"crit": []string{"exp"}}, good()),
		"critical, unencoded":            sign(t, es, key, map[string]any{"crit": []string{"b64"}, "b64": false}, good()),
		"an ID token":                    sign(t, es, key, map[string]any{"typ": "JWT"}, good()),
		"an access token":                sign(t, es, key, map[string]any{"typ": "at+jwt"}, good()),
		"a logout token":                 sign(t, es, key, map[string]any{"typ": "logout+jwt"}, good()),
		"no kind":                        sign(t, es, key, map[string]any{"typ": nil}, good()),
		"another gate's":                 sign(t, es, key, nil, with("iss", "https://sekisho.other.example")),
		"the gate with a slash":          sign(t, es, key, nil, with("iss", issuer+"/")),
		"nobody's":                       sign(t, es, key, nil, with("iss", nil)),
		"another application's":          sign(t, es, key, nil, with("aud", "zaimu")),
		"another's, in a list":           sign(t, es, key, nil, with("aud", []string{"zaimu"})),
		"for two applications":           sign(t, es, key, nil, with("aud", []string{app, "zaimu"})),
		"for us twice":                   sign(t, es, key, nil, with("aud", []string{app, app})),
		"for one whose name begins so":   sign(t, es, key, nil, with("aud", app+"-web")),
		"for one in other letters":       sign(t, es, key, nil, with("aud", strings.ToUpper(app))),
		"for nobody":                     sign(t, es, key, nil, with("aud", nil)),
		"for an empty list":              sign(t, es, key, nil, with("aud", []string{})),
		"about nobody":                   sign(t, es, key, nil, with("sub", nil)),
		"about an empty name":            sign(t, es, key, nil, with("sub", "")),
		"about a number":                 sign(t, es, key, nil, with("sub", 7)),
		"without strength":               sign(t, es, key, nil, with("acr", nil)),
		"without end":                    sign(t, es, key, nil, with("exp", nil)),
		"without beginning":              sign(t, es, key, nil, with("nbf", nil)),
		"without its time":               sign(t, es, key, nil, with("iat", nil)),
		"an end that is text":            sign(t, es, key, nil, with("exp", "never")),
		"too long a life":                sign(t, es, key, nil, with("exp", t0.Add(5*time.Minute+time.Second).Unix())),
		"ended":                          sign(t, es, key, nil, with("exp", t0.Add(-defaultLeeway).Unix())),
		"not yet begun":                  sign(t, es, key, nil, with("nbf", t0.Add(defaultLeeway+time.Second).Unix())),
		"from the future":                sign(t, es, key, nil, with("iat", t0.Add(defaultLeeway+time.Second).Unix())),
		"with a blank before":            " " + text,
		"with a line behind":             text + "\n",
		"with a line inside":             text[:20] + "\r\n" + text[20:],
		"padded":                         text + "==",
		"a fourth part":                  text + "." + signature,
		"the last character bent":        bent(text),
		"two joined as proxies join":     text + ", " + text,
		"two joined, the first nonsense": "x.y.z," + text,
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := newVerifier(t, set, t0).Verify(context.Background(), forged); !errors.Is(err, ErrRefused) {
				t.Errorf("%+v, %v", p, err)
			} else if p.Login != "" {
				t.Errorf("an error and %+v", p)
			}
		})
	}
	if _, err := newVerifier(t, set, t0).Verify(context.Background(), ""); !errors.Is(err, ErrNone) {
		t.Errorf("nothing at all: %v", err)
	}
	for name, ok := range map[string]string{
		"as it is":                      text,
		"an audience that is one text":  sign(t, es, key, nil, with("aud", app)),
		"what a key's address says":     sign(t, es, key, map[string]any{"jku": "http://127.0.0.1:1/keys"}, good()),
		"the last moment of its leeway": sign(t, es, key, nil, with("exp", t0.Add(-defaultLeeway+time.Second).Unix())),
		"a clock behind the gate's":     sign(t, es, key, nil, with("nbf", t0.Add(defaultLeeway).Unix())),
		"our other key":                 sign(t, es, other, map[string]any{"kid": "k2"}, good()),
	} {
		if _, err := newVerifier(t, set, t0).Verify(context.Background(), ok); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// bent changes the bits of the last character that carry nothing: the same bytes
// for a lenient reader.
func bent(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[i^1])
}

func TestNew(t *testing.T) {
	set := setOf(t, jwkOf(t, "k1", newKey(t)))
	for name, c := range map[string]Config{
		"no audience":              {Issuer: issuer},
		"no issuer":                {Audience: app},
		"an issuer with a slash":   {Issuer: issuer + "/", Audience: app},
		"an issuer without scheme": {Issuer: "sekisho.pref.example", Audience: app},
		"another scheme":           {Issuer: "ftp://sekisho.pref.example", Audience: app},
		"keys in the clear":        {Issuer: "http://sekisho.pref.example", Audience: app},
		"keys at a clear address":  {Issuer: issuer, Audience: app, KeysURL: "http://10.0.0.1/keys"},
		"keys behind a password":   {Issuer: issuer, Audience: app, KeysURL: "https://a:b@sekisho.pref.example/keys"},
		"keys from a file":         {Issuer: issuer, Audience: app, KeysURL: "file:///keys"},
		"keys twice":               {Issuer: issuer, Audience: app, KeysURL: issuer + "/keys", Keys: set},
		"no set of keys":           {Issuer: issuer, Audience: app, Keys: []byte("{}")},
		"too much leeway":          {Issuer: issuer, Audience: app, Leeway: maxLeeway + 1},
		"less than none":           {Issuer: issuer, Audience: app, Leeway: -1},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, c := range map[string]Config{
		"the least":       {Issuer: issuer, Audience: app},
		"on this machine": {Issuer: "http://localhost:8080", Audience: app},
		"and by number":   {Issuer: issuer, Audience: app, KeysURL: "http://127.0.0.1:8080/.well-known/jwks.json"},
		"most leeway":     {Issuer: issuer, Audience: app, Leeway: maxLeeway, Keys: set},
	} {
		if _, err := New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	key := newKey(t)
	ours := jwkOf(t, "k1", key)
	but := func(name string, value any) jwk {
		k := jwk{}
		for n, v := range ours {
			k[n] = v
		}
		k[name] = value
		return k
	}
	many := []jwk{}
	for range maxKeys + 1 {
		many = append(many, jwk{"kty": "RSA"})
	}
	for name, set := range map[string][]byte{
		"nothing":                  nil,
		"no JSON":                  []byte("<html>"),
		"a list":                   []byte("[]"),
		"no keys":                  setOf(t),
		"another's keys alone":     setOf(t, jwk{"kty": "RSA", "kid": "r"}, but("use", "enc"), but("alg", "ES384"), but("crv", "P-384")),
		"too many":                 setOf(t, append(many, ours)...),
		"too long":                 append(setOf(t, ours), make([]byte, maxKeySet)...),
		"no id":                    setOf(t, but("kid", "")),
		"an id of great length":    setOf(t, but("kid", strings.Repeat("k", maxKid+1))),
		"one id for two":           setOf(t, ours, ours),
		"a point off the curve":    setOf(t, but("x", ours["y"])),
		"half a point":             setOf(t, but("y", "")),
		"a short coordinate":       setOf(t, but("x", base64.RawURLEncoding.EncodeToString(make([]byte, 31)))),
		"a long coordinate":        setOf(t, but("x", base64.RawURLEncoding.EncodeToString(make([]byte, 33)))),
		"the point at infinity":    setOf(t, but("x", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))),
		"a coordinate with an end": setOf(t, but("x", fmt.Sprint(ours["x"], "="))),
	} {
		if keys, err := parseKeys(set); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
	keys, err := parseKeys(setOf(t, jwk{"kty": "RSA", "kid": "k1"}, ours, jwk{"kty": "oct", "k": "AAAA"}))
	if err != nil || len(keys) != 1 || !keys["k1"].Equal(&key.PublicKey) {
		t.Errorf("ours among others: %v, %v", keys, err)
	}
}

func TestRequire(t *testing.T) {
	key := newKey(t)
	v := newVerifier(t, setOf(t, jwkOf(t, "k1", key)), t0)
	text := sign(t, jwt.SigningMethodES256, key, nil, good())
	var reached bool
	h := v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = true
		p, ok := From(r.Context())
		if !ok || p.Login != "tanaka" {
			t.Errorf("told of %+v, %t", p, ok)
		}
		for name := range r.Header {
			switch name {
			case "Accept", Header:
			default:
				t.Errorf("the application sees %s", name)
			}
		}
	}))
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"good", http.Header{Header: {text}}, 200},
		{"good, and much that is not signed", http.Header{Header: {text}, "Accept": {"x"}, "Remote-User": {"yoshida"}, "Remote_user": {"yoshida"},
			"REMOTE.USER": {"yoshida"}, "X_sekisho_assertion": {"x"}, "X-Sekisho-As-Of": {"x"}}, 200},
		{"none", http.Header{"Remote-User": {"tanaka"}}, 401},
		{"under another name", http.Header{"X_sekisho_assertion": {text}}, 401},
		{"bad", http.Header{Header: {"x.y.z"}}, 401},
		{"twice", http.Header{Header: {text, text}}, 401},
		{"good and bad", http.Header{Header: {text, "x.y.z"}}, 401},
		{"empty", http.Header{Header: {""}}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached = false
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = tt.header
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || reached != (tt.status == 200) {
				t.Errorf("%d, reached %t", w.Code, reached)
			}
			if w.Code == 401 && w.Header().Get("Cache-Control") != "no-store" {
				t.Error("a refusal may be kept")
			}
		})
	}
	if p, ok := From(context.Background()); ok {
		t.Errorf("outside of Require there is %+v", p)
	}
}

// FuzzVerify: whatever is taken is what was signed, byte for byte in what it says.
func FuzzVerify(f *testing.F) {
	key := newKey(f)
	v := newVerifier(f, setOf(f, jwkOf(f, "k1", key)), t0)
	text := sign(f, jwt.SigningMethodES256, key, nil, good())
	said := text[:strings.LastIndexByte(text, '.')]
	for _, seed := range []string{"", "..", text, text + ".", " " + text, bent(text), said + ".", b64(`{"alg":"none"}`) + ".e30.", strings.Repeat(".", 100), "é.é.é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := v.Verify(context.Background(), s)
		if err != nil {
			if p.Login != "" || !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNone) {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		if p.Login != "tanaka" || !strings.HasPrefix(s, said+".") {
			t.Fatalf("%q is taken for %+v", s, p)
		}
	})
}

// FuzzKeySet: whatever is read are keys on the curve, with ids.
func FuzzKeySet(f *testing.F) {
	f.Add(setOf(f, jwkOf(f, "k1", newKey(f))))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		if len(keys) == 0 {
			t.Fatal("nothing, and no error")
		}
		for kid, k := range keys {
			if _, err := k.ECDH(); kid == "" || err != nil {
				t.Fatalf("%q: %v", kid, err)
			}
		}
	})
}
