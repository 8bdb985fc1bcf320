// Package assertion lets an application that stands behind Sekisho verify who it
// was told is there: the header X-Sekisho-Assertion, an ES256 JWT (RFC 7519) that
// the gate signs for this application and for at most five minutes.
//
//	v, err := assertion.New(assertion.Config{Issuer: "https://sekisho.pref.example", Audience: "kyuyo"})
//	…
//	http.ListenAndServe("127.0.0.1:9000", v.Require(application))
//
// It is for import by applications, so it knows nothing of Sekisho's insides: it
// imports the standard library and a JWT library, and takes the gate's keys from
// where everybody may read them. It does not decide who may open what: the gate
// has done that, and does it again at each request.
//
// An assertion is a bearer's: it says who is there, not which request it came
// with. Only the proxy may reach the application, as with Remote-User; what the
// signature adds is that a neighbour, a wrongly set proxy or a stolen address
// cannot make somebody up.
package assertion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Header is where the proxy puts the assertion.
const Header = "X-Sekisho-Assertion"

const (
	tokenType = "sekisho-assertion+jwt" // RFC 8725 section 3.11: of one kind alone
	// maxLength is more than any assertion of the gate's has, and little enough to
	// be looked at by whoever asks.
	maxLength = 8 << 10
	// maxLife is how long the gate lets an assertion live.
	maxLife       = 5 * time.Minute
	defaultLeeway = 30 * time.Second
	maxLeeway     = time.Minute
)

// What Verify and FromRequest answer with. Compare with errors.Is.
var (
	// ErrNone means that there is no assertion: the request did not come through
	// the proxy, or the proxy does not hand it on.
	ErrNone = errors.New("there is no assertion")
	// ErrRefused means that what is there is not good: not the gate's, not for
	// this application, not now.
	ErrRefused = errors.New("the assertion is refused")
	// ErrKeys means that the gate's keys could not be had, so nothing is known of
	// the assertion. It admits nobody.
	ErrKeys = errors.New("the keys to verify assertions with could not be had")
)

// A Config says whose assertions are taken, and for whom they must be. Issuer
// and Audience must be given.
type Config struct {
	// Issuer is the gate's address, letter by letter as people see it, without a
	// slash at the end: https://sekisho.pref.example
	Issuer string
	// Audience is the application's id in the gate's policy.
	Audience string

	// KeysURL is where the gate publishes its keys. Default: where it does,
	// /.well-known/jwks.json at Issuer. Plain http is taken on this machine alone.
	KeysURL string
	// Keys are the keys themselves, a JWK Set (RFC 7517), for an application that
	// cannot ask the gate. Whoever sets them replaces them before the gate turns to
	// its next key, which it publishes a day ahead.
	Keys []byte
	// Client fetches the keys. Default: one of its own, which follows no redirect.
	// Where the gate's certificate is of a private authority, it goes in here.
	Client *http.Client

	// Leeway is how far this machine's clock and the gate's may differ: default
	// 30 s, at most 60 s.
	Leeway time.Duration
	// Now is the time. Default: the machine's.
	Now func() time.Time
}

// A Verifier verifies assertions. It may be used by many at once.
type Verifier struct {
	keys   keySource
	parser *jwt.Parser
	issuer string
	aud    string
}

// New makes a verifier. It does not ask for keys yet: that is done at the first
// assertion, so an application can start before the gate does.
func New(c Config) (*Verifier, error) {
	if c.Audience == "" {
		return nil, errors.New("assertion: Audience is missing: the application's id in the gate's policy")
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("assertion: Issuer %q is not the gate's address, like https://sekisho.pref.example without a slash at the end", c.Issuer)
	}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		return nil, fmt.Errorf("assertion: Leeway %v is not between 0 and %v", c.Leeway, maxLeeway)
	}
	if c.Leeway == 0 {
		c.Leeway = defaultLeeway
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // this runs inside an application, whose clock is the machine's
	}
	v := &Verifier{issuer: c.Issuer, aud: c.Audience}
	if v.keys, err = c.source(); err != nil {
		return nil, err
	}
	v.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway), jwt.WithTimeFunc(c.Now),
		jwt.WithStrictDecoding(),
	)
	return v, nil
}

// A Person is who is there, by the gate's word.
type Person struct {
	Login   string    // sub; it is never given to somebody else
	Name    string    // as people write it
	ACR     string    // how it was proved: aal1, aal2 or phr
	AMR     []string  // with what (RFC 8176)
	Groups  []string  // ids of the posts that the person holds
	Zone    string    // where the person signed in
	Expires time.Time // when the assertion ends
	// Privileges are what the person has borrowed and holds until the assertion's
	// end at least, of what concerns this application.
	Privileges []Privilege
}

// A Privilege is one that was lent to the person, and may end before the hour.
type Privilege struct {
	Lease     string    `json:"id"`
	Privilege string    `json:"privilege"` // its id in the gate's policy
	EndsAt    time.Time `json:"ends_at"`
	Emergency bool      `json:"emergency"` // taken without approval
	Roles     []string  `json:"roles"`     // at this application
}

// Borrowed reports whether the person has borrowed a privilege.
func (p Person) Borrowed(privilege string) bool {
	for _, v := range p.Privileges {
		if v.Privilege == privilege {
			return true
		}
	}
	return false
}

// AtLeast reports whether the person proved who they are at least as strongly as
// acr says: aal1, aal2 (two factors) or phr (phishing-resistant). It is false of
// any other word.
func (p Person) AtLeast(acr string) bool {
	have, want := strength[p.ACR], strength[acr]
	return want > 0 && have >= want
}

var strength = map[string]int{"aal1": 1, "aal2": 2, "phr": 3}

// Holds reports whether the person holds a post.
func (p Person) Holds(post string) bool {
	for _, g := range p.Groups {
		if g == post {
			return true
		}
	}
	return false
}

// compact is what a JWS in compact form is written with (RFC 7515 section 7.1).
const compact = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

type claims struct {
	jwt.RegisteredClaims
	Name   string   `json:"name"`
	ACR    string   `json:"acr"`
	AMR    []string `json:"amr"`
	Groups []string `json:"groups"`
	Zone   string   `json:"zone"`

	Privileges []Privilege `json:"privileges"`
}

// Verify reads an assertion. Algorithm, key, type, issuer, audience and times are
// all checked (RFC 8725 section 3); the first that is wrong refuses. What the
// token's header says of keys beside the key id (jku, jwk, x5u) is not looked at.
func (v *Verifier) Verify(ctx context.Context, text string) (Person, error) {
	if text == "" {
		return Person{}, ErrNone
	}
	if len(text) > maxLength {
		return Person{}, fmt.Errorf("%w: it is longer than %d bytes", ErrRefused, maxLength)
	}
	if strings.Trim(text, compact) != "" { // the library passes over ends of lines
		return Person{}, fmt.Errorf("%w: it is no token", ErrRefused)
	}
	var c claims
	_, err := v.parser.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		switch _, critical := t.Header["crit"]; {
		case t.Header["typ"] != tokenType:
			return nil, errors.New("it is a token of another kind")
		case critical: // RFC 7515 section 4.1.11: we understand none
			return nil, errors.New("it asks for something that is not understood")
		case kid == "" || len(kid) > maxKid:
			return nil, errors.New("it names no key")
		}
		return v.keys.find(ctx, kid)
	})
	if errors.Is(err, ErrKeys) {
		return Person{}, err
	}
	if err == nil {
		err = c.complete(v.aud)
	}
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return Person{
		Login: c.Subject, Name: c.Name, ACR: c.ACR, AMR: c.AMR, Groups: c.Groups, Zone: c.Zone, Expires: c.ExpiresAt.Time, Privileges: c.Privileges,
	}, nil
}

// complete checks what the library leaves open: that there is one audience, and
// that every claim is there that the gate always writes.
func (c *claims) complete(audience string) error {
	switch {
	case len(c.Audience) != 1 || c.Audience[0] != audience:
		return errors.New("it is not for this application alone")
	case c.Subject == "" || c.ACR == "":
		return errors.New("it does not say who is there, or how that was proved")
	case c.IssuedAt == nil || c.NotBefore == nil || c.ExpiresAt == nil:
		return errors.New("it does not say from when and until when it is good")
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > maxLife:
		return errors.New("it is meant to be good for longer than the gate allows")
	}
	return nil
}

// FromRequest verifies the assertion of a request. A header that comes twice is
// refused: whoever reads the first and whoever reads the last would see two
// people.
func (v *Verifier) FromRequest(r *http.Request) (Person, error) {
	values := r.Header[Header]
	switch len(values) {
	case 0:
		return Person{}, ErrNone
	case 1:
		return v.Verify(r.Context(), values[0])
	}
	return Person{}, fmt.Errorf("%w: it comes %d times", ErrRefused, len(values))
}

type personKey struct{}

// From is the person that Require found; false outside of it.
func From(ctx context.Context) (Person, bool) {
	p, ok := ctx.Value(personKey{}).(Person)
	return p, ok
}

// Require lets a request pass to next only with a good assertion, and tells next
// who is there (From). Otherwise it answers 401, or 503 while the gate's keys
// cannot be had. What else the request says of a person (Remote-User and its like,
// in any spelling) is taken away: it is not signed.
func (v *Verifier) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.FromRequest(r)
		if err != nil {
			w.Header().Set("Cache-Control", "no-store")
			if errors.Is(err, ErrKeys) {
				w.Header().Set("Retry-After", "10")
				http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
				return
			}
			http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), personKey{}, p))
		r.Header = unsaid(r.Header)
		next.ServeHTTP(w, r)
	})
}

var dashed = strings.NewReplacer("_", "-", ".", "-")

// unsaid is a copy of h without what says who is there and is not signed. CGI and
// its heirs make one of "-", "_" and ".".
func unsaid(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		n := dashed.Replace(strings.ToLower(name))
		if !strings.HasPrefix(n, "remote-") && (name == Header || !strings.HasPrefix(n, "x-sekisho-")) {
			out[name] = values
		}
	}
	return out
}
