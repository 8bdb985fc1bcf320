package passkey_test

import (
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
	"sekisho/authn/ticket"
	"sekisho/policy/store"
)

func TestBeginSignIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, one := b.enrolled(mira, "one")
	b.clock.Advance(time.Second)
	_, two := b.enrolled(mira, "two", func(t *passkeytest.Tweak) { t.Transports = []string{"hybrid", "internal"} })
	b.enrolled(kato, "theirs")

	// Nobody's name: nobody is shown to exist.
	o := read(t, b.ask())
	if o.RPID != rpID || o.UserVerification != "required" || o.Timeout != 300_000 || len(o.AllowCredentials) != 0 {
		t.Errorf("the options are %+v", o)
	}
	if n, err := base64.RawURLEncoding.DecodeString(o.Challenge); err != nil || len(n) < 16 || read(t, b.ask()).Challenge == o.Challenge {
		t.Errorf("the challenge is %q (%v)", o.Challenge, err)
	}
	raw, err := b.BeginSignIn(t.Context(), cookie, mira.ID)
	if err != nil {
		t.Fatal(err)
	}
	a := read(t, raw).AllowCredentials
	if len(a) != 2 || a[0].ID != encode(one.CredentialID) || !slices.Equal(a[0].Transports, []string{"usb"}) ||
		a[1].ID != encode(two.CredentialID) || !slices.Equal(a[1].Transports, []string{"hybrid", "internal"}) || a[0].Type != "public-key" {
		t.Errorf("allowed are %+v", a)
	}
	// An empty list would allow any key there is.
	_, err = b.BeginSignIn(t.Context(), cookie, "nobody")
	want(t, "a person without keys", err, passkey.ErrNoKey)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kept, key := b.enrolled(mira, "key")
	a, err := b.verify(b.answer(key))
	if err != nil || a.Person != mira.ID || a.Key != kept {
		t.Fatalf("Verify = %+v, %v", a, err)
	}
	if keys, _ := b.List(t.Context(), mira.ID); !keys[0].LastUsedAt.IsZero() {
		t.Error("verifying counts as using")
	}
	if err := b.spend(a); err != nil {
		t.Fatal(err)
	}
	refused(t, "again", b.spend(a), passkey.ErrWrong, "challenge_used")
	refused(t, "nothing at all", b.spend(passkey.Assertion{}), passkey.ErrWrong, "challenge_unknown")
	refused(t, "a made-up assertion", b.spend(passkey.Assertion{Person: mira.ID, Key: kept}), passkey.ErrWrong, "challenge_unknown")
}

// TestSignInLies is security.md section 2 row 9: one lie each.
func TestSignInLies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	type tweak = passkeytest.Tweak
	for name, tt := range map[string]struct {
		lie func(*tweak)
		why string
	}{
		"nobody there":           {func(t *tweak) { t.UP = false }, "no_user_presence"},
		"nobody verified":        {func(t *tweak) { t.UV = false }, "no_user_verification"},
		"neither":                {func(t *tweak) { t.UP, t.UV = false, false }, "no_user_presence"},
		"backed up, but not":     {func(t *tweak) { t.BS = true }, "backup_flags"},
		"has become synced":      {func(t *tweak) { t.BE = true }, "flags_changed"},
		"is being synced":        {func(t *tweak) { t.BE, t.BS = true, true }, "flags_changed"},
		"another RP":             {func(t *tweak) { t.RPID = "pref.example" }, "wrong_rp"},
		"another origin":         {func(t *tweak) { t.Origin = "https://evil.example" }, "wrong_origin"},
		"without encryption":     {func(t *tweak) { t.Origin = "http://" + rpID }, "wrong_origin"},
		"a slash":                {func(t *tweak) { t.Origin = origin + "/" }, "wrong_origin"},
		"capitals":               {func(t *tweak) { t.Origin = strings.ToUpper(origin) }, "wrong_origin"},
		"an app's origin":        {func(t *tweak) { t.Origin = "android:apk-key-hash:abc" }, "wrong_origin"},
		"no origin":              {func(t *tweak) { t.Origin = "" }, "wrong_origin"},
		"in a frame":             {func(t *tweak) { t.CrossOrigin = true }, "cross_origin"},
		"in our own frame":       {func(t *tweak) { t.CrossOrigin, t.TopOrigin = true, origin }, "cross_origin"},
		"a frame, unsaid":        {func(t *tweak) { t.TopOrigin = origin }, "cross_origin"},
		"an empty top":           {func(t *tweak) { t.ClientData = add(`"topOrigin":""`) }, "cross_origin"},
		"the other ceremony":     {func(t *tweak) { t.Type = "webauthn.create" }, "wrong_type"},
		"a payment":              {func(t *tweak) { t.Type = "payment.get" }, "wrong_type"},
		"no challenge":           {func(t *tweak) { t.Challenge = "" }, "challenge_unknown"},
		"its own challenge":      {func(t *tweak) { t.Challenge = encode(make([]byte, 32)) }, "challenge_unknown"},
		"a longer challenge":     {func(t *tweak) { t.Challenge += "AAAA" }, "challenge_unknown"},
		"a broken signature":     {func(t *tweak) { t.BreakSignature = true }, "wrong_signature"},
		"another hash":           {func(t *tweak) { t.Alg = passkeytest.ES384 }, "wrong_signature"},
		"an unknown key":         {func(t *tweak) { t.CredentialID = make([]byte, 32) }, "unknown_key"},
		"nobody":                 {func(t *tweak) { t.UserHandle = nil }, "wrong_user_handle"},
		"somebody else":          {func(t *tweak) { t.UserHandle = make([]byte, 64) }, "wrong_user_handle"},
		"origin twice":           {func(t *tweak) { t.ClientData = add(`"ORIGIN":"https://evil.example"`) }, "wrong_signature"},
		"a challenge twice":      {func(t *tweak) { t.ClientData = add(`"Challenge":"AAAA"`) }, "wrong_signature"},
		"a frame in capitals":    {func(t *tweak) { t.ClientData = add(`"CROSSORIGIN":true`) }, "wrong_signature"},
		"no challenge member":    {func(t *tweak) { t.ClientData = rewrite(`"challenge":`, `"challenges":`) }, "malformed"},
		"no type":                {func(t *tweak) { t.ClientData = rewrite(`"type":`, `"typ":`) }, "malformed"},
		"a number for an origin": {func(t *tweak) { t.ClientData = rewrite(`"origin":"`+origin+`"`, `"origin":1`) }, "malformed"},
		"broken extensions":      {func(t *tweak) { t.Extensions = []byte{0xff} }, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			ask := b.ask()
			_, err := b.verify(reply(t, key, ask, tt.lie))
			refused(t, name, err, passkey.ErrWrong, tt.why)
			// It was the lie: the same challenge takes the truth.
			a, err := b.verify(reply(t, key, ask))
			if err != nil {
				t.Fatalf("the truth: %v", err)
			}
			if err := b.spend(a); err != nil {
				t.Errorf("the truth: %v", err)
			}
		})
	}
}

// TestSignedIsWhatIsRead: the answer's parts are those the key signed.
func TestSignedIsWhatIsRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	swap := func(part string, with func(text string) string) []byte {
		var parts map[string]any
		if err := json.Unmarshal(b.answer(key), &parts); err != nil {
			t.Fatal(err)
		}
		response := parts["response"].(map[string]any)
		response[part] = with(response[part].(string))
		out, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	decoded := func(change func([]byte) []byte) func(string) string {
		return func(text string) string {
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return encode(change(raw))
		}
	}
	for name, answer := range map[string][]byte{
		"a greater counter":   swap("authenticatorData", decoded(func(d []byte) []byte { d[36]++; return d })),
		"a space more":        swap("clientDataJSON", decoded(func(d []byte) []byte { return append(d, ' ') })),
		"another's signature": swap("signature", func(string) string { return "AAAA" }),
		"no signature":        swap("signature", func(string) string { return "" }),
		"a signature and more": swap("signature", decoded(func(d []byte) []byte {
			return append(d, 0)
		})),
	} {
		_, err := b.verify(answer)
		refused(t, name, err, passkey.ErrWrong, "wrong_signature")
	}
}

// TestMalformed: what is no answer is refused before anything is looked up, at
// both ends.
func TestMalformed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.begin(mira)
	made, _ := create(t, passkeytest.New(rpID, origin), e)
	_, key := b.enrolled(mira, "key")
	got := b.answer(key)
	for name, answer := range map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "a text": `"x"`, "an empty object": "{}", "half": string(got[:len(got)/2]),
		"two":                  string(got) + string(got),
		"not UTF-8":            strings.Replace(string(got), "cross-platform", "\xff", 1),
		"too large":            strings.Replace(string(got), "{", "{"+strings.Repeat(" ", 32<<10), 1),
		"another type":         strings.Replace(string(got), "public-key", "password", 1),
		"an id that is not it": strings.Replace(string(got), `"id":"`, `"id":"AAAA`, 1),
		"a number for bytes":   strings.Replace(string(got), `"signature":"`, `"signature":1,"x":"`, 1),
	} {
		_, err := b.verify([]byte(answer))
		refused(t, name+" for an answer", err, passkey.ErrWrong, "malformed")
		_, err = b.finish(mira, e.ID, "key", []byte(answer))
		refused(t, name+" for a new key", err, passkey.ErrWrong, "malformed")
	}
	_, err := b.finish(mira, e.ID, "key", got)
	refused(t, "an answer for a new key", err, passkey.ErrWrong, "malformed")
	_, err = b.verify(made)
	refused(t, "a new key for an answer", err, passkey.ErrWrong, "wrong_type")
	if _, err := b.verify(append(got, strings.Repeat(" ", 32<<10-len(got))...)); err != nil {
		t.Errorf("32 KiB: %v", err)
	}
}

// TestSignInHolders: an answer belongs to the cookie that asked and to the person
// who was asked.
func TestSignInHolders(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	b.enrolled(kato, "theirs")
	answer := b.answer(key)
	_, err := b.Verify(t.Context(), "mac of another", "", answer)
	refused(t, "another cookie", err, passkey.ErrWrong, "challenge_unknown")
	_, err = b.Verify(t.Context(), "", "", answer)
	refused(t, "no cookie", err, passkey.ErrWrong, "challenge_unknown")
	_, err = b.Verify(t.Context(), cookie, kato.ID, answer)
	refused(t, "another person", err, passkey.ErrWrong, "unknown_key")
	if _, err := b.Verify(t.Context(), cookie, mira.ID, answer); err != nil {
		t.Errorf("the person: %v", err)
	}
	// A key asked for by name need not say whose it is, but must not say it is
	// another's.
	nameless := b.answer(key, func(t *passkeytest.Tweak) { t.UserHandle = nil })
	if _, err := b.Verify(t.Context(), cookie, mira.ID, nameless); err != nil {
		t.Errorf("without a handle: %v", err)
	}
	_, err = b.Verify(t.Context(), cookie, mira.ID, b.answer(key, func(t *passkeytest.Tweak) { t.UserHandle = make([]byte, 64) }))
	refused(t, "with another's handle", err, passkey.ErrWrong, "wrong_user_handle")

	ask := b.ask()
	b.clock.Advance(5*time.Minute - time.Microsecond)
	a, err := b.verify(reply(t, key, ask))
	if err != nil {
		t.Fatalf("at the last moment: %v", err)
	}
	b.clock.Advance(time.Microsecond)
	_, err = b.verify(reply(t, key, ask))
	refused(t, "too late", err, passkey.ErrWrong, "challenge_old")
	refused(t, "verified in time, spent too late", b.spend(a), passkey.ErrWrong, "challenge_old")
}

// TestOtherPurpose: tickets given out for anything else are no challenges.
func TestOtherPurpose(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	nonce := ticket.New(b.ring, b.clock.Now).Issue("terminal", cookie, time.Minute)
	_, err := b.verify(b.answer(key, func(t *passkeytest.Tweak) { t.Challenge = encode(nonce) }))
	refused(t, "a terminal's nonce", err, passkey.ErrWrong, "challenge_unknown")
}

// TestSpendOnce: one answer in twenty requests lets one in.
func TestSpendOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	answer := b.answer(key)
	var right, used atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			a, err := b.verify(answer)
			if err != nil {
				t.Error(err)
				return
			}
			switch err := b.spend(a); {
			case err == nil:
				right.Add(1)
			case errors.Is(err, passkey.ErrWrong) && passkey.Why(err) == "challenge_used":
				used.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || used.Load() != 19 || len(b.names(mira)) != 1 {
		t.Errorf("%d accepted, %d used, keys %v", right.Load(), used.Load(), b.names(mira))
	}
}

// TestRemovedBetween: a key that was removed after its answer was verified opens
// nothing.
func TestRemovedBetween(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kept, key := b.enrolled(mira, "key")
	a, err := b.verify(b.answer(key))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.tx(func(tx *store.Tx) error { return b.Remove(t.Context(), tx, mira.ID, kept.ID) }); err != nil {
		t.Fatal(err)
	}
	refused(t, "the answer", b.spend(a), passkey.ErrWrong, "unknown_key")
}

// TestBackupState: what a key last said of its copies is kept.
func TestBackupState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kept, key := b.enrolled(mira, "key", func(t *passkeytest.Tweak) { t.BE = true })
	for _, on := range []bool{true, false, true} {
		if err := b.signIn(key, func(t *passkeytest.Tweak) { t.BS = on }); err != nil {
			t.Fatal(err)
		}
		var got bool
		if err := b.db.QueryRow(t.Context(), `SELECT backed_up FROM passkey WHERE id = $1`, kept.ID).Scan(&got); err != nil || got != on {
			t.Errorf("backed up: %v, want %v (%v)", got, on, err)
		}
	}
	refused(t, "no longer of that kind", b.signIn(key, func(t *passkeytest.Tweak) { t.BE, t.BS = false, false }), passkey.ErrWrong, "flags_changed")
}

func TestWhy(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("the store is away"), passkey.ErrTwice, passkey.ErrWrong} {
		if why := passkey.Why(err); why != "" {
			t.Errorf("Why(%v) = %q", err, why)
		}
	}
}
