package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// options are those of both ceremonies, as browsers read them.
type options struct {
	Challenge string
	Timeout   int
	RP        struct{ ID, Name string }
	RPID      string `json:"rpId"`
	User      struct {
		ID, Name    string
		DisplayName string
	}
	PubKeyCredParams []struct {
		Type string
		Alg  int
	}
	ExcludeCredentials, AllowCredentials []struct {
		ID, Type   string
		Transports []string
	}
	AuthenticatorSelection struct {
		ResidentKey, UserVerification string
		RequireResidentKey            bool
	}
	UserVerification string
	Attestation      string
}

func read(t *testing.T, raw []byte) options {
	t.Helper()
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBeginEnrol(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.begin(mira)
	o := read(t, e.PublicKey)
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil || len(handle) != 64 || bytes.Contains(handle, []byte(mira.ID)) {
		t.Errorf("the handle has %d bytes (%v)", len(handle), err)
	}
	if o.RP.ID != rpID || o.RP.Name != "例県" || o.User.Name != "mira" || o.User.DisplayName != "三浦 美良" || o.Timeout != 300_000 {
		t.Errorf("the options are %+v", o)
	}
	if s := o.AuthenticatorSelection; s.ResidentKey != "required" || !s.RequireResidentKey || s.UserVerification != "required" {
		t.Errorf("the authenticator may be %+v", s)
	}
	var algorithms []int
	for _, p := range o.PubKeyCredParams {
		algorithms = append(algorithms, p.Alg)
	}
	if !slices.Equal(algorithms, []int{-7, -8, -257}) {
		t.Errorf("the algorithms are %v", algorithms)
	}
	if o.Attestation != "none" || len(o.ExcludeCredentials) != 0 {
		t.Errorf("the options are %+v", o)
	}
	if e.ID == "" || e.ID == o.Challenge {
		t.Error("the enrolment goes by its challenge")
	}

	// The second time the key of the first is excluded and the handle stays;
	// another person has another.
	answer, key := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.Transports = []string{"nfc", "usb", "carrier pigeon"} })
	if _, err := b.finish(mira, e.ID, "key", answer); err != nil {
		t.Fatal(err)
	}
	again := read(t, b.begin(mira).PublicKey)
	if again.User.ID != o.User.ID || again.Challenge == o.Challenge {
		t.Error("the handle changed, or the challenge did not")
	}
	if x := again.ExcludeCredentials; len(x) != 1 || x[0].ID != encode(key.CredentialID) || x[0].Type != "public-key" || !slices.Equal(x[0].Transports, []string{"usb", "nfc"}) {
		t.Errorf("excluded are %+v", x)
	}
	other := read(t, b.begin(kato).PublicKey)
	if other.User.ID == o.User.ID || other.User.DisplayName != "kato" || len(other.ExcludeCredentials) != 0 {
		t.Errorf("another person's options are %+v", other)
	}
}

// TestConveyance: browsers are asked for the maker only where somebody wants to
// know.
func TestConveyance(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, tt := range map[string]struct {
		demands []policy.PasskeyDemand
		want    string
	}{
		"no demand":             {nil, "none"},
		"an empty one":          {[]policy.PasskeyDemand{{}}, "none"},
		"attestation":           {[]policy.PasskeyDemand{{Attestation: true}}, "direct"},
		"models":                {[]policy.PasskeyDemand{{AAGUIDs: []string{passkeytest.ModelID}}}, "direct"},
		"attestation of others": {[]policy.PasskeyDemand{{Posts: []policy.PostID{policy.CIO}, Attestation: true}}, "none"},
		"attestation of mine":   {[]policy.PasskeyDemand{{Posts: []policy.PostID{policy.CIO, policy.Staff}, Attestation: true}}, "direct"},
	} {
		b.pol.Passkey.Demands = tt.demands
		if got := read(t, b.begin(mira, policy.Staff).PublicKey).Attestation; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestBeginTogether: of two first enrolments at once both are asked under one
// handle.
func TestBeginTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var handles sync.Map
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			e, err := b.BeginEnrol(t.Context(), mira, nil, cookie)
			if err != nil {
				t.Error(err)
				return
			}
			handles.Store(read(t, e.PublicKey).User.ID, true)
		})
	}
	all.Wait()
	n := 0
	handles.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d handles", n)
	}
}

// TestEnrolAlgorithms: each kind of key we ask for works from end to end.
func TestEnrolAlgorithms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, alg := range map[string]int64{"ES256": passkeytest.ES256, "EdDSA": passkeytest.EdDSA, "RS256": passkeytest.RS256} {
		t.Run(name, func(t *testing.T) {
			_, key := b.enrolled(mira, name, func(t *passkeytest.Tweak) { t.Alg, t.Attestation = alg, passkeytest.Self })
			if err := b.signIn(key); err != nil {
				t.Error(err)
			}
			_, err := b.verify(b.answer(key, func(t *passkeytest.Tweak) { t.BreakSignature = true }))
			refused(t, "a broken signature", err, passkey.ErrWrong, "wrong_signature")
		})
	}
}

// TestEnrolLies is security.md section 2 row 9 for new keys: one lie each, told
// by an authenticator that does everything else right.
func TestEnrolLies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	type tweak = passkeytest.Tweak
	for name, tt := range map[string]struct {
		lie func(*tweak)
		is  error
		why string
	}{
		"nobody there":        {func(t *tweak) { t.UP = false }, passkey.ErrWrong, "no_user_presence"},
		"nobody verified":     {func(t *tweak) { t.UV = false }, passkey.ErrWrong, "no_user_verification"},
		"backed up, but not":  {func(t *tweak) { t.BS = true }, passkey.ErrWrong, "backup_flags"},
		"another RP":          {func(t *tweak) { t.RPID = "pref.example" }, passkey.ErrWrong, "wrong_rp"},
		"another origin":      {func(t *tweak) { t.Origin = "https://evil.example" }, passkey.ErrWrong, "wrong_origin"},
		"without encryption":  {func(t *tweak) { t.Origin = "http://" + rpID }, passkey.ErrWrong, "wrong_origin"},
		"another port":        {func(t *tweak) { t.Origin = origin + ":8443" }, passkey.ErrWrong, "wrong_origin"},
		"the port spelt out":  {func(t *tweak) { t.Origin = origin + ":443" }, passkey.ErrWrong, "wrong_origin"},
		"capitals":            {func(t *tweak) { t.Origin = strings.ToUpper(origin) }, passkey.ErrWrong, "wrong_origin"},
		"a host below":        {func(t *tweak) { t.Origin = "https://a." + rpID }, passkey.ErrWrong, "wrong_origin"},
		"in a frame":          {func(t *tweak) { t.CrossOrigin = true }, passkey.ErrWrong, "cross_origin"},
		"in our own frame":    {func(t *tweak) { t.CrossOrigin, t.TopOrigin = true, origin }, passkey.ErrWrong, "cross_origin"},
		"a frame, unsaid":     {func(t *tweak) { t.TopOrigin = origin }, passkey.ErrWrong, "cross_origin"},
		"the other ceremony":  {func(t *tweak) { t.Type = "webauthn.get" }, passkey.ErrWrong, "wrong_type"},
		"no challenge":        {func(t *tweak) { t.Challenge = "" }, passkey.ErrNoEnrolment, "challenge_unknown"},
		"its own challenge":   {func(t *tweak) { t.Challenge = encode(make([]byte, 32)) }, passkey.ErrNoEnrolment, "challenge_unknown"},
		"a padded challenge":  {func(t *tweak) { t.Challenge += "=" }, passkey.ErrWrong, "malformed"},
		"a respelt challenge": {func(t *tweak) { t.Challenge = respelt(t.Challenge) }, passkey.ErrWrong, "malformed"},
		"P-384":               {func(t *tweak) { t.Alg = passkeytest.ES384 }, passkey.ErrWrong, "wrong_algorithm"},
		"ES256K":              {func(t *tweak) { t.Alg = -47 }, passkey.ErrWrong, "wrong_algorithm"},
		"RS1":                 {func(t *tweak) { t.Alg = -65535 }, passkey.ErrWrong, "wrong_algorithm"},
		"ESP256":              {func(t *tweak) { t.Alg = -9 }, passkey.ErrWrong, "wrong_algorithm"},
		"no credential id":    {func(t *tweak) { t.CredentialID = nil }, passkey.ErrWrong, "malformed"},
		"a long one":          {func(t *tweak) { t.CredentialID = make([]byte, 1024) }, passkey.ErrWrong, "malformed"},
		"a broken statement":  {func(t *tweak) { t.Attestation, t.BreakSignature = passkeytest.Self, true }, passkey.ErrWrong, "wrong_attestation"},
		"an unknown format":   {func(t *tweak) { t.Attestation = statement("mine", nil) }, passkey.ErrWrong, "wrong_attestation"},
		"a U2F token":         {func(t *tweak) { t.Attestation = statement("fido-u2f", nil) }, passkey.ErrWrong, "wrong_attestation"},
		"something in none":   {func(t *tweak) { t.Attestation = statement("none", map[string]any{"x": 1}) }, passkey.ErrWrong, "wrong_attestation"},
		"empty certificates": {func(t *tweak) {
			t.Attestation = statement("packed", map[string]any{"alg": -7, "sig": []byte{1}, "x5c": []any{}})
		}, passkey.ErrWrong, "wrong_attestation"},
		"no certificates": {func(t *tweak) {
			t.Attestation = statement("packed", map[string]any{"alg": -7, "sig": []byte{1}, "x5c": []any{[]byte{1}}})
		}, passkey.ErrWrong, "wrong_attestation"},
		"origin twice":        {func(t *tweak) { t.ClientData = add(`"ORIGIN":"https://evil.example"`) }, passkey.ErrWrong, "wrong_attestation"},
		"a frame in capitals": {func(t *tweak) { t.ClientData = add(`"CrossOrigin":true`) }, passkey.ErrWrong, "wrong_attestation"},
		"a frame of a sort":   {func(t *tweak) { t.ClientData = rewrite(`"crossOrigin":false`, `"crossOrigin":"no"`) }, passkey.ErrWrong, "malformed"},
		"no origin":           {func(t *tweak) { t.ClientData = rewrite(`"origin":`, `"origins":`) }, passkey.ErrWrong, "malformed"},
		"not an object":       {func(t *tweak) { t.ClientData = func([]byte) []byte { return []byte(`[]`) } }, passkey.ErrWrong, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			owner := somebody()
			e := b.begin(owner)
			answer, _ := create(t, passkeytest.New(rpID, origin), e, tt.lie)
			_, err := b.finish(owner, e.ID, "key", answer)
			refused(t, name, err, tt.is, tt.why)
			if names := b.names(owner); len(names) != 0 {
				t.Errorf("the person has %v", names)
			}
			// It was the lie: the same challenge takes the truth.
			answer, _ = create(t, passkeytest.New(rpID, origin), e)
			if _, err := b.finish(owner, e.ID, "key", answer); err != nil {
				t.Errorf("the truth: %v", err)
			}
		})
	}
}

// respelt is another base64url text of the same bytes: its last character has
// bits to spare.
func respelt(challenge string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(challenge) - 1
	return challenge[:last] + alphabet[strings.IndexByte(alphabet, challenge[last])+1:][:1]
}

// statement is an attestation of any form.
func statement(format string, fields map[string]any) passkeytest.Attestation {
	return func(passkeytest.Made) (string, map[string]any, error) { return format, fields, nil }
}

// add puts another member behind the client data's own.
func add(member string) func([]byte) []byte {
	return func(b []byte) []byte { return append(bytes.TrimSuffix(b, []byte("}")), []byte(","+member+"}")...) }
}

func rewrite(from, to string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
}

// TestEnrolTolerates what real browsers and keys do although nobody asked.
func TestEnrolTolerates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, does := range map[string]func(*passkeytest.Tweak){
		"credProtect, which Chromium sets": func(t *passkeytest.Tweak) {
			t.Extensions = append([]byte{0xa1, 0x6b}, append([]byte("credProtect"), 2)...)
		},
		"credProps, which password managers say": func(t *passkeytest.Tweak) {
			t.ExtensionResults = map[string]any{"credProps": map[string]any{"rk": true}}
		},
		"no crossOrigin, as before Level 3": func(t *passkeytest.Tweak) { t.ClientData = rewrite(`"crossOrigin":false,`, ``) },
		"a self-made statement":             func(t *passkeytest.Tweak) { t.Attestation = passkeytest.Self },
		"an RSA key":                        func(t *passkeytest.Tweak) { t.Alg = passkeytest.RS256 },
	} {
		t.Run(name, func(t *testing.T) {
			kept, key := b.enrolled(somebody(), name, does)
			if kept.Attested {
				t.Error("somebody is believed whom nobody asked")
			}
			if err := b.signIn(key); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEnrolHolders: an enrolment is its person's, behind their cookie, by its own
// name, for its time.
func TestEnrolHolders(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e, other, theirs := b.begin(mira), b.begin(mira), b.begin(kato)
	answer, _ := create(t, passkeytest.New(rpID, origin), e)
	finish := func(person directory.Person, whose, id string) error {
		return b.tx(func(tx *store.Tx) error {
			_, err := b.FinishEnrol(t.Context(), tx, person, nil, "", whose, id, "key", answer)
			return err
		})
	}
	refused(t, "another person", finish(kato, cookie, e.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	refused(t, "another person's id", finish(kato, cookie, theirs.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	refused(t, "somebody who began none", finish(directory.Person{ID: "new"}, cookie, e.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	refused(t, "another cookie", finish(mira, "mac of another", e.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	refused(t, "no cookie", finish(mira, "", e.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	refused(t, "another enrolment of the person", finish(mira, cookie, other.ID), passkey.ErrNoEnrolment, "wrong_enrolment")
	refused(t, "no id", finish(mira, cookie, ""), passkey.ErrNoEnrolment, "wrong_enrolment")

	// A challenge of a sign-in makes no key, and the other way round, not even for
	// a holder of the same name.
	handle, err := base64.RawURLEncoding.DecodeString(read(t, e.PublicKey).User.ID)
	if err != nil {
		t.Fatal(err)
	}
	same := passkey.Enrolling(mira.ID, handle, cookie)
	ask, err := b.BeginSignIn(t.Context(), same, "")
	if err != nil {
		t.Fatal(err)
	}
	answer, key := create(t, passkeytest.New(rpID, origin), e, func(tw *passkeytest.Tweak) { tw.Challenge = read(t, ask).Challenge })
	refused(t, "a sign-in's challenge", finish(mira, cookie, e.ID), passkey.ErrNoEnrolment, "challenge_unknown")
	for _, whose := range []string{cookie, same} {
		_, err = b.Verify(t.Context(), whose, "", reply(t, key, e.PublicKey))
		refused(t, "signing in by an enrolment's challenge", err, passkey.ErrWrong, "challenge_unknown")
	}

	answer, _ = create(t, passkeytest.New(rpID, origin), e)
	b.clock.Advance(5*time.Minute - time.Microsecond)
	_, err = b.finish(mira, e.ID, "\t", answer)
	want(t, "no name", err, passkey.ErrName)
	if err := finish(mira, cookie, e.ID); err != nil {
		t.Errorf("at the last moment: %v", err)
	}
	answer, _ = create(t, passkeytest.New(rpID, origin), other)
	b.clock.Advance(time.Microsecond)
	refused(t, "too late", finish(mira, cookie, other.ID), passkey.ErrNoEnrolment, "challenge_old")
}

// TestEnrolOnce is security.md section 2 row 10: parallel reuse makes one
// enrolment.
func TestEnrolOnce(t *testing.T) {
	t.Parallel()
	for name, same := range map[string]bool{"one answer": true, "an answer each": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			e := b.begin(mira)
			answers := make([][]byte, 20)
			for i := range answers {
				if answers[i], _ = create(t, passkeytest.New(rpID, origin), e); same {
					answers[i] = answers[0]
				}
			}
			var right, used atomic.Int32
			var all sync.WaitGroup
			for _, answer := range answers {
				all.Go(func() {
					switch _, err := b.finish(mira, e.ID, "key", answer); {
					case err == nil:
						right.Add(1)
					case errors.Is(err, passkey.ErrNoEnrolment) && passkey.Why(err) == "challenge_used":
						used.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if right.Load() != 1 || used.Load() != 19 || len(b.names(mira)) != 1 {
				t.Errorf("%d enrolled, %d refused, keys %v", right.Load(), used.Load(), b.names(mira))
			}
		})
	}
}

func TestEnrolTwiceAndFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, theirs := b.enrolled(kato, "theirs")
	waiting := b.begin(mira)
	first, _ := b.enrolled(mira, "1")
	for _, person := range []directory.Person{mira, kato} {
		e := b.begin(person)
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.CredentialID = theirs.CredentialID })
		_, err := b.finish(person, e.ID, "again", answer)
		want(t, "a credential id of kato's, for "+person.Login, err, passkey.ErrTwice)
	}
	if err := b.signIn(theirs); err != nil {
		t.Errorf("the key whose id was taken: %v", err)
	}
	b.enrolled(mira, "2")
	b.enrolled(mira, "3")
	_, err := b.BeginEnrol(t.Context(), mira, nil, cookie)
	want(t, "beginning one more", err, passkey.ErrFull)
	answer, _ := create(t, passkeytest.New(rpID, origin), waiting)
	_, err = b.finish(mira, waiting.ID, "4", answer)
	want(t, "finishing one more", err, passkey.ErrFull)
	if err := b.tx(func(tx *store.Tx) error { return b.Remove(t.Context(), tx, mira.ID, first.ID) }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.finish(mira, waiting.ID, "4", answer); err != nil {
		t.Errorf("in the place of another: %v", err)
	}
}

// TestEnrolRolledBack: what the caller does not commit has not happened.
func TestEnrolRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.begin(mira)
	answer, key := create(t, passkeytest.New(rpID, origin), e)
	broken := errors.New("the trail is away")
	want(t, "the act", b.tx(func(tx *store.Tx) error {
		if _, err := b.FinishEnrol(t.Context(), tx, mira, nil, "", cookie, e.ID, "key", answer); err != nil {
			return err
		}
		if n, err := b.Count(t.Context(), tx, mira.ID); n != 1 || err != nil {
			t.Errorf("in the transaction there are %d keys, %v", n, err)
		}
		return broken
	}), broken)
	refused(t, "its key", b.signIn(key), passkey.ErrWrong, "unknown_key")
	if _, err := b.finish(mira, e.ID, "key", answer); err != nil {
		t.Errorf("the enrolment after a rollback: %v", err)
	}
}
