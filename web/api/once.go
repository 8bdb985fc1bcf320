package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/claim"
	"sekisho/policy/secret"
	"sekisho/web"
)

// keptFor is how long a first answer is given again; one that shows a lent ID's
// password only as long as somebody whose answer was lost asks again.
const (
	keptFor       = 24 * time.Hour
	secretKeptFor = 5 * time.Minute
)

// secretive is an answer that may show what is shown once.
type secretive interface{ showsSecret() bool }

// once gives the first answer again to a request that is sent twice.
//
// An answer is kept only when the act was done, so a refusal can be tried
// again; and it is kept sealed, because the answer to factors/totp/begin is a
// secret. It is given again only to the person, on the session, that got it:
// the cookie must be alive, so a handle that has been replaced learns nothing.
// Cookies are never given again.
//
// It saves a client from doubt after a lost answer. That an act is done once
// is the database's to decide.
type once struct {
	store Keeper
	seal  Sealer
}

func newOnce(store Keeper, seal Sealer) *once { return &once{store: store, seal: seal} }

// sameWithin is how long a request waits for the answer to the same one.
const sameWithin = 20 * time.Second

type kept struct {
	Body   []byte // SHA-256 of what was asked
	Answer []byte
}

// creating answers 201 with what act made, or with what it made before. act
// may set cookies on w itself, or through the step that it returns.
func (v *service) creating(w http.ResponseWriter, r *web.Request, act func() (any, *signin.Step, error)) error {
	return v.answering(w, r, http.StatusCreated, act)
}

// answering is creating for what is answered otherwise than by 201.
func (v *service) answering(w http.ResponseWriter, r *web.Request, status int, act func() (any, *signin.Step, error)) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	lasts := keptFor
	do := func() ([]byte, *signin.Step, error) {
		answer, s, err := act()
		if err != nil {
			return nil, nil, err
		}
		if a, ok := answer.(secretive); ok && a.showsSecret() {
			lasts = secretKeptFor
		}
		b, err := json.Marshal(answer)
		return b, s, err
	}
	key := r.Header.Values("Idempotency-Key")
	if len(key) == 0 {
		b, s, err := do()
		if err != nil {
			return err
		}
		if s != nil {
			carry(w, r, *s)
		}
		return writeBytes(w, status, b)
	}
	if len(key) > 1 || key[0] == "" || len(key[0]) > 255 {
		return web.Malformed("Idempotency-Key", nil)
	}
	before, err := v.SignIn.Current(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	place := placeOf(before, r, key[0])
	leave, err := v.once.store.Claim(r.Context(), place, sameWithin) // at whichever gateway
	if errors.Is(err, claim.ErrHeld) {
		err = signin.ErrBusy
	}
	if err != nil {
		return err
	}
	defer leave()
	first, err := v.once.first(r, place)
	if err != nil {
		return err
	}
	if first != nil {
		return writeBytes(w, status, first)
	}
	b, s, err := do()
	if err != nil {
		return err
	}
	if s != nil {
		carry(w, r, *s)
	}
	v.once.keep(r, place, b, lasts)
	if s != nil { // a sign-in that became a session is asked for as that from now on
		if after := placeOf(*s, r, key[0]); after != place {
			v.once.keep(r, after, b, lasts)
		}
	}
	return writeBytes(w, status, b)
}

// placeOf names an answer by whose it is, on which session, at which path.
func placeOf(s signin.Step, r *web.Request, key string) string {
	// A sign-in under way has no id; what goes with its cookie stands for it, so
	// that two sign-ins of one person are not taken for each other.
	id := "under way " + s.CSRF
	if s.Session != nil {
		id = s.Session.ID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", s.Person.ID, id, r.URL.Path, key))
	return "once:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (o *once) first(r *web.Request, place string) ([]byte, error) {
	sealed, ok, err := o.store.Get(r.Context(), place)
	if err != nil || !ok {
		return nil, err
	}
	plain, err := o.seal.Open(at(place), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening a kept answer: %w", err)
	}
	var k kept
	if err := json.Unmarshal(plain, &k); err != nil {
		return nil, fmt.Errorf("reading a kept answer: %w", err)
	}
	if string(k.Body) != string(digest(r)) {
		return nil, web.Say(web.CodeIdempotency, policy.Words{})
	}
	return k.Answer, nil
}

// keep is best effort: what was asked for has been done, and saying that it
// was not, because the answer could not be kept, would be false.
func (o *once) keep(r *web.Request, place string, answer []byte, lasts time.Duration) {
	plain, err := json.Marshal(kept{digest(r), answer})
	if err == nil {
		var sealed []byte
		if sealed, err = o.seal.Seal(at(place), plain); err == nil {
			err = o.store.Put(r.Context(), place, sealed, lasts)
		}
	}
	if err != nil {
		r.Server().Log().Warn("an answer could not be kept for its Idempotency-Key", "request_id", r.ID, "error", err)
	}
}

func at(place string) secret.Place {
	return secret.Place{Table: "kept_answer", Column: "sealed", Row: strings.TrimPrefix(place, "once:")}
}

func digest(r *web.Request) []byte {
	body, _ := r.BodyBytes() // read before, by the handler
	sum := sha256.Sum256(body)
	return sum[:]
}
