package passkey_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const (
	rpID   = "gate.pref.example"
	origin = "https://gate.pref.example"
	cookie = "mac of mira's cookie"
)

var (
	mira = directory.Person{ID: "6f1c0d9e-mira", Login: "mira", Name: "三浦 美良"}
	kato = directory.Person{ID: "6f1c0d9e-kato", Login: "kato"}
)

// somebody is a person nobody has met.
func somebody() directory.Person {
	id := secret.Token(8)
	return directory.Person{ID: directory.PersonID(id), Login: id}
}

// bench is a store on a file that can be closed and opened again, with the keys
// in it and a policy to change.
type bench struct {
	*passkey.Keys
	t     *testing.T
	path  string
	db    *store.DB
	ring  *secret.KeyRing
	clock *clock.Fake
	pol   *policy.Policy
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, path: filepath.Join(t.TempDir(), "sekisho.db"),
		clock: clock.NewFake(time.Date(2026, 4, 1, 9, 0, 10, 0, time.UTC)),
		pol: &policy.Policy{
			Posts: []policy.Post{
				{ID: policy.Staff}, {ID: policy.CIO, Approves: true}, {ID: policy.SystemOperator, Administers: true},
				{ID: policy.Auditor, Audits: true},
			},
			Passkey: policy.PasskeyRules{CeremonyEnd: 5 * time.Minute, MaxKeys: 3},
		},
	}
	var err error
	if b.ring, err = secret.CreateKeyRing(filepath.Join(t.TempDir(), "keys")); err != nil {
		t.Fatal(err)
	}
	b.open()
	t.Cleanup(func() { b.db.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.db, err = store.Open(b.t.Context(), storetest.At(b.t, b.path)); err != nil {
		b.t.Fatal(err)
	}
	b.Keys, err = passkey.New(b.db, b.ring, ticket.New(b.ring, b.clock.Now),
		passkey.RP{ID: rpID, Name: "例県", Origins: []string{origin}}, b.clock.Now, func() *policy.Policy { return b.pol })
	if err != nil {
		b.t.Fatal(err)
	}
}

// restart is what a crash and a new start leave of the store.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) tx(do func(*store.Tx) error) error {
	return b.db.WithTx(b.t.Context(), do)
}

// sql changes the database behind the keys' back.
func (b *bench) sql(q string, args ...any) {
	b.t.Helper()
	if err := b.tx(func(tx *store.Tx) error { return tx.ExecOne(b.t.Context(), q, args...) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) begin(person directory.Person, posts ...policy.PostID) passkey.Enrolment {
	b.t.Helper()
	e, err := b.BeginEnrol(b.t.Context(), person, posts, cookie)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// finish binds a key for somebody without posts, from no zone.
func (b *bench) finish(person directory.Person, id, name string, answer []byte) (key passkey.Key, err error) {
	err = b.tx(func(tx *store.Tx) error {
		key, err = b.FinishEnrol(b.t.Context(), tx, person, nil, "", cookie, id, name, answer)
		return err
	})
	return key, err
}

func create(t *testing.T, a *passkeytest.Authenticator, e passkey.Enrolment, tweak ...func(*passkeytest.Tweak)) ([]byte, *passkeytest.Key) {
	t.Helper()
	answer, key, err := a.Create(e.PublicKey, tweak...)
	if err != nil {
		t.Fatal(err)
	}
	return answer, key
}

// enrolled gives the person a key.
func (b *bench) enrolled(person directory.Person, name string, tweak ...func(*passkeytest.Tweak)) (passkey.Key, *passkeytest.Key) {
	b.t.Helper()
	e := b.begin(person)
	answer, key := create(b.t, passkeytest.New(rpID, origin), e, tweak...)
	kept, err := b.finish(person, e.ID, name, answer)
	if err != nil {
		b.t.Fatal(err)
	}
	return kept, key
}

// ask is a question for anybody's key.
func (b *bench) ask() []byte {
	b.t.Helper()
	ask, err := b.BeginSignIn(b.t.Context(), cookie, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return ask
}

// answer is the key's to a new question.
func (b *bench) answer(key *passkeytest.Key, tweak ...func(*passkeytest.Tweak)) []byte {
	b.t.Helper()
	return reply(b.t, key, b.ask(), tweak...)
}

func reply(t *testing.T, key *passkeytest.Key, ask []byte, tweak ...func(*passkeytest.Tweak)) []byte {
	t.Helper()
	answer, err := key.Get(ask, tweak...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (b *bench) verify(answer []byte) (passkey.Assertion, error) {
	return b.Verify(b.t.Context(), cookie, "", answer)
}

// spend commits a clone's end, as Spend asks of its callers.
func (b *bench) spend(a passkey.Assertion) (said error) {
	err := b.tx(func(tx *store.Tx) error {
		said = b.Spend(b.t.Context(), tx, a)
		if errors.Is(said, passkey.ErrCloned) {
			return nil
		}
		return said
	})
	return errors.Join(said, err)
}

// signIn is a whole answer, verified and spent.
func (b *bench) signIn(key *passkeytest.Key, tweak ...func(*passkeytest.Tweak)) error {
	b.t.Helper()
	a, err := b.verify(b.answer(key, tweak...))
	if err != nil {
		return err
	}
	return b.spend(a)
}

func (b *bench) names(person directory.Person) []string {
	b.t.Helper()
	keys, err := b.List(b.t.Context(), person.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return names
}

func want(t *testing.T, what string, got, target error) {
	t.Helper()
	if !errors.Is(got, target) {
		t.Errorf("%s: %v, want %v", what, got, target)
	}
}

// refused wants an error of a kind, for a reason.
func refused(t *testing.T, what string, got, target error, why string) {
	t.Helper()
	if !errors.Is(got, target) || passkey.Why(got) != why {
		t.Errorf("%s: %v (%q), want %v (%q)", what, got, passkey.Why(got), target, why)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	good := passkey.RP{ID: rpID, Name: "例県", Origins: []string{origin}}
	for name, tt := range map[string]struct {
		change func(*passkey.RP)
		good   bool
	}{
		"as it should be":     {func(*passkey.RP) {}, true},
		"on a host below":     {func(r *passkey.RP) { r.Origins = []string{"https://a." + rpID + ":8443"} }, true},
		"on the machine":      {func(r *passkey.RP) { r.ID, r.Origins = "localhost", []string{"http://localhost:8080"} }, true},
		"no name":             {func(r *passkey.RP) { r.Name = "" }, false},
		"no id":               {func(r *passkey.RP) { r.ID = "" }, false},
		"an address":          {func(r *passkey.RP) { r.ID, r.Origins = "127.0.0.1", []string{"http://127.0.0.1:8080"} }, false},
		"nowhere":             {func(r *passkey.RP) { r.Origins = nil }, false},
		"without encryption":  {func(r *passkey.RP) { r.Origins = []string{"http://" + rpID} }, false},
		"another's host":      {func(r *passkey.RP) { r.Origins = []string{"https://pref.example"} }, false},
		"a suffix of letters": {func(r *passkey.RP) { r.Origins = []string{"https://evil" + rpID} }, false},
		"a path":              {func(r *passkey.RP) { r.Origins = []string{origin + "/"} }, false},
		"no origin":           {func(r *passkey.RP) { r.Origins = []string{rpID} }, false},
		"a user":              {func(r *passkey.RP) { r.Origins = []string{"https://x@" + rpID} }, false},
	} {
		rp := good
		tt.change(&rp)
		if _, err := passkey.New(nil, nil, nil, rp, nil, nil); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDefaultPort: browsers leave the scheme's own port and capitals out.
func TestDefaultPort(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var err error
	b.Keys, err = passkey.New(b.db, b.ring, ticket.New(b.ring, b.clock.Now),
		passkey.RP{ID: rpID, Name: "例県", Origins: []string{"https://GATE.pref.example:443"}}, b.clock.Now, func() *policy.Policy { return b.pol })
	if err != nil {
		t.Fatal(err)
	}
	_, key := b.enrolled(mira, "key")
	if err := b.signIn(key); err != nil {
		t.Error(err)
	}
}

func TestListRenameRemove(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, key := b.enrolled(mira, "first")
	b.clock.Advance(time.Minute)
	second, _ := b.enrolled(mira, "second", func(t *passkeytest.Tweak) { t.BE, t.BS = true, true })
	theirs, _ := b.enrolled(kato, "theirs")
	b.clock.Advance(time.Minute)
	if err := b.signIn(key); err != nil {
		t.Fatal(err)
	}
	keys, err := b.List(t.Context(), mira.ID)
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	now := b.clock.Now()
	if k := keys[0]; k.ID != first.ID || k.Synced || k.Method() != authn.HardwareKey || k.AAGUID != passkeytest.ModelID ||
		!k.AddedAt.Equal(now.Add(-2*time.Minute)) || !k.LastUsedAt.Equal(now) {
		t.Errorf("the first key is %+v", k)
	}
	if k := keys[1]; k.ID != second.ID || !k.Synced || k.Method() != authn.SyncedKey || !k.LastUsedAt.IsZero() {
		t.Errorf("the second key is %+v", k)
	}
	if n, err := b.Count(t.Context(), b.db, mira.ID); n != 2 || err != nil {
		t.Errorf("Count = %d, %v", n, err)
	}

	rename := func(id, name string) error {
		return b.tx(func(tx *store.Tx) error { return b.Rename(t.Context(), tx, mira.ID, id, name) })
	}
	for _, name := range []string{"", "  ", strings.Repeat("電", 65), "a\nb", "a\x00b", "\u202egnp", "a\xff", "\u2028"} {
		want(t, name, rename(first.ID, name), passkey.ErrName)
	}
	long := strings.Repeat("電", 64)
	if err := rename(first.ID, " "+long+" "); err != nil || b.names(mira)[0] != long {
		t.Errorf("64 code points: %v", err)
	}
	want(t, "renaming somebody else's", rename(theirs.ID, "x"), passkey.ErrNoKey)

	remove := func(id string) error {
		return b.tx(func(tx *store.Tx) error { return b.Remove(t.Context(), tx, mira.ID, id) })
	}
	want(t, "removing somebody else's", remove(theirs.ID), passkey.ErrNoKey)
	if err := remove(first.ID); err != nil {
		t.Fatal(err)
	}
	want(t, "twice", remove(first.ID), passkey.ErrNoKey)
	refused(t, "a key that was removed", b.signIn(key), passkey.ErrWrong, "unknown_key")
	if got := b.names(mira); !slices.Equal(got, []string{"second"}) {
		t.Errorf("keys left: %v", got)
	}
}

// TestRemoveAll: whoever starts over is somebody new to authenticators, and what
// was begun before cannot be finished.
func TestRemoveAll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	_, theirs := b.enrolled(kato, "theirs")
	pending := b.begin(mira)
	answer, _ := create(t, passkeytest.New(rpID, origin), pending)
	if err := b.tx(func(tx *store.Tx) error { return b.RemoveAll(t.Context(), tx, mira.ID) }); err != nil {
		t.Fatal(err)
	}
	refused(t, "the key", b.signIn(key), passkey.ErrWrong, "unknown_key")
	_, err := b.finish(mira, pending.ID, "late", answer)
	refused(t, "an enrolment of before", err, passkey.ErrNoEnrolment, "challenge_unknown")
	_, again := b.enrolled(mira, "again")
	_, err = b.finish(mira, pending.ID, "late", answer)
	refused(t, "an enrolment of before, with a new handle", err, passkey.ErrNoEnrolment, "challenge_unknown")
	if bytes.Equal(again.UserHandle, key.UserHandle) {
		t.Error("the handle came back")
	}
	if err := b.signIn(theirs); err != nil {
		t.Errorf("somebody else's key: %v", err)
	}
}

// TestRestart: nothing of a ceremony is in memory.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.begin(mira)
	answer, key := create(t, passkeytest.New(rpID, origin), e)
	b.restart()
	if _, err := b.finish(mira, e.ID, "key", answer); err != nil {
		t.Fatal(err)
	}
	ask := b.ask()
	b.restart()
	a, err := b.verify(reply(t, key, ask))
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	if err := b.spend(a); err != nil {
		t.Fatal(err)
	}
	b.restart()
	refused(t, "the answer again", b.spend(a), passkey.ErrWrong, "challenge_used")
	_, err = b.finish(mira, e.ID, "key", answer)
	refused(t, "the enrolment again", err, passkey.ErrNoEnrolment, "challenge_used")
}
