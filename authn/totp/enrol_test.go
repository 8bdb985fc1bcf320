package totp_test

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp"

	"sekisho/authn/totp"
	"sekisho/policy"
	"sekisho/policy/secret"
)

func TestBegin(t *testing.T) {
	b := newBench(t)
	e := b.begin(mira)
	u, err := url.Parse(string(e.URI.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for key, want := range map[string]string{
		"secret": string(e.Secret.Reveal()), "issuer": "関所県 Sekisho", "algorithm": "SHA1", "digits": "6", "period": "30",
	} {
		if q.Get(key) != want {
			t.Errorf("the URI has another %s than it should", key)
		}
	}
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/関所県 Sekisho:mira" {
		t.Errorf("the URI begins with %s://%s%s", u.Scheme, u.Host, u.Path)
	}
	if raw, err := totp.ParseSecret(q.Get("secret")); err != nil || len(raw) != 20 {
		t.Errorf("the seed has %d bytes, %v", len(raw), err)
	}
	if !e.EndsAt.Equal(b.clock.Now().Add(totp.EnrolmentEnd)) {
		t.Errorf("the enrolment ends at %v", e.EndsAt)
	}
	if again := b.begin(mira); again.ID == e.ID || bytes.Equal(again.Secret.Reveal(), e.Secret.Reveal()) {
		t.Error("two enrolments are alike")
	}
	if _, err := b.Begin(t.Context(), mira, "", "Sekisho"); err == nil {
		t.Error("an account without a name")
	}

	// A colon in a label would move the border between issuer and account.
	odd, err := b.Begin(t.Context(), mira, "a:b", "Se:kisho")
	if err != nil {
		t.Fatal(err)
	}
	if key, err := otp.NewKeyFromURL(string(odd.URI.Reveal())); err != nil || key.AccountName() != "a b" || key.Issuer() != "Se kisho" {
		t.Errorf("a label with colons: %v", err)
	}
}

func TestQR(t *testing.T) {
	e := newBench(t).begin(mira)
	for _, size := range []int{totp.MinQR, 320, totp.MaxQR} {
		data, err := e.QR(size)
		if err != nil {
			t.Fatal(size, err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil || img.Bounds().Dx() != size || img.Bounds().Dy() != size {
			t.Fatalf("%d: %v", size, err)
		}
		dark := 0
		for x := range size {
			for y := range size {
				if r, _, _, _ := img.At(x, y).RGBA(); r == 0 {
					dark++
					if m := size / 12; x < m || y < m || x >= size-m || y >= size-m {
						t.Fatalf("%d: the margin is not white at %d,%d", size, x, y)
					}
				}
			}
		}
		if dark < size*size/10 {
			t.Errorf("%d: %d dark pixels are no QR code", size, dark)
		}
	}
	for _, size := range []int{-1, 0, totp.MinQR - 1, totp.MaxQR + 1} {
		if _, err := e.QR(size); err == nil {
			t.Errorf("a picture of %d pixels", size)
		}
	}
}

// TestConfirmOnce is security.md section 2 row 10: parallel reuse makes one
// enrolment, and its code does not sign in as well.
func TestConfirmOnce(t *testing.T) {
	b := newBench(t)
	e := b.begin(mira)
	code := b.code(string(e.Secret.Reveal()), 0)
	var right, refused atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch err := b.confirm(mira, e.ID, code, "phone"); {
			case err == nil:
				right.Add(1)
			case errors.Is(err, totp.ErrNoEnrolment):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || refused.Load() != 49 || len(b.names(mira)) != 1 {
		t.Errorf("%d confirmed, %d refused, devices %v", right.Load(), refused.Load(), b.names(mira))
	}
	_, err := b.spend(mira, code)
	want(t, "the code of the enrolment", err, totp.ErrReplayed)
	b.restart()
	want(t, "the enrolment after a restart", b.confirm(mira, e.ID, code, "phone"), totp.ErrNoEnrolment)
}

func TestConfirm(t *testing.T) {
	t.Run("not mine", func(t *testing.T) {
		b := newBench(t)
		e := b.begin(mira)
		want(t, "somebody else's", b.confirm("somebody else", e.ID, b.code(string(e.Secret.Reveal()), 0), "x"), totp.ErrNoEnrolment)
		want(t, "unknown", b.confirm(mira, "unknown", "123456", "x"), totp.ErrNoEnrolment)
		_, err := b.spend(mira, b.code(string(e.Secret.Reveal()), 0))
		want(t, "signing in with what is not confirmed", err, totp.ErrWrong)
	})
	t.Run("tries", func(t *testing.T) {
		b := newBench(t)
		e := b.begin(mira)
		base32 := string(e.Secret.Reveal())
		for range totp.EnrolmentTries - 2 {
			want(t, "a wrong code", b.confirm(mira, e.ID, b.wrong(base32), "x"), totp.ErrWrong)
		}
		b.restart()
		want(t, "a malformed code", b.confirm(mira, e.ID, "abc", "x"), totp.ErrWrong)
		if err := b.confirm(mira, e.ID, b.code(base32, 0), "x"); err != nil {
			t.Errorf("the last try: %v", err)
		}
	})
	t.Run("too many tries", func(t *testing.T) {
		b := newBench(t)
		e := b.begin(mira)
		base32 := string(e.Secret.Reveal())
		for range totp.EnrolmentTries {
			want(t, "a wrong code", b.confirm(mira, e.ID, b.wrong(base32), "x"), totp.ErrWrong)
		}
		want(t, "the right code afterwards", b.confirm(mira, e.ID, b.code(base32, 0), "x"), totp.ErrNoEnrolment)
	})
	t.Run("parallel guesses", func(t *testing.T) {
		b := newBench(t)
		e := b.begin(mira)
		code := b.wrong(string(e.Secret.Reveal()))
		var verified atomic.Int32
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if errors.Is(b.confirm(mira, e.ID, code, "x"), totp.ErrWrong) {
					verified.Add(1)
				}
			})
		}
		all.Wait()
		if verified.Load() != totp.EnrolmentTries {
			t.Errorf("%d guesses were verified, want %d", verified.Load(), totp.EnrolmentTries)
		}
	})
	for name, tt := range map[string]struct {
		after time.Duration
		want  error
	}{
		"the last moment": {totp.EnrolmentEnd - time.Microsecond, nil},
		"its end":         {totp.EnrolmentEnd, totp.ErrNoEnrolment},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := b.begin(mira)
			b.clock.Advance(tt.after)
			want(t, name, b.confirm(mira, e.ID, b.code(string(e.Secret.Reveal()), 0), "x"), tt.want)
		})
	}
	t.Run("name", func(t *testing.T) {
		b := newBench(t)
		e := b.begin(mira)
		code := b.code(string(e.Secret.Reveal()), 0)
		for _, name := range []string{"", "  ", strings.Repeat("電", 65), "a\nb", "a\x00b", "\u202egnp", "a\xff", "\u2028"} {
			want(t, fmt.Sprintf("%q", name), b.confirm(mira, e.ID, code, name), totp.ErrName)
		}
		long := strings.Repeat("電", 64)
		if err := b.confirm(mira, e.ID, code, " "+long+" "); err != nil || b.names(mira)[0] != long {
			t.Errorf("64 code points: %v", err)
		}
	})
}

// TestPending: a fourth enrolment takes the place of the oldest, and what has
// ended is swept.
func TestPending(t *testing.T) {
	b := newBench(t)
	b.enrolled(mira, "phone")
	var begun []totp.Enrolment
	for range totp.MaxPending + 1 {
		begun = append(begun, b.begin(mira))
		b.clock.Advance(time.Second)
	}
	code := func(e totp.Enrolment) string { return b.code(string(e.Secret.Reveal()), 0) }
	want(t, "the oldest", b.confirm(mira, begun[0].ID, code(begun[0]), "x"), totp.ErrNoEnrolment)
	if err := b.confirm(mira, begun[1].ID, code(begun[1]), "x"); err != nil {
		t.Errorf("the second: %v", err)
	}
	b.clock.Advance(totp.EnrolmentEnd)
	b.begin("somebody else")
	var n int
	if err := b.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM totp_device WHERE person = $1`, string(mira)).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows are left, want the two devices (%v)", n, err)
	}
}

func TestFull(t *testing.T) {
	b := newBench(t)
	waiting := b.begin(mira)
	for i := range totp.MaxDevices {
		if err := b.imported(mira, totp.FormatSecret(secret.Bytes(20)), fmt.Sprint("device ", i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Begin(t.Context(), mira, "mira", "Sekisho")
	want(t, "beginning one more", err, totp.ErrFull)
	want(t, "confirming one more", b.confirm(mira, waiting.ID, b.code(string(waiting.Secret.Reveal()), 0), "x"), totp.ErrFull)
	want(t, "importing one more", b.imported(mira, totp.FormatSecret(seed), "x"), totp.ErrFull)
	if n := len(b.names(mira)); n != totp.MaxDevices {
		t.Errorf("%d devices", n)
	}
}

// TestRules: the policy in force decides, from one use to the next.
func TestRules(t *testing.T) {
	b := newBench(t)
	rules := policy.TOTPRules{Skew: 0, EnrolmentEnd: time.Minute, MaxDevices: 1}
	b.Devices = totp.NewUnder(b.db, b.ring, b.clock.Now, func() policy.TOTPRules { return rules })
	late := b.begin(mira)
	b.clock.Advance(time.Minute)
	want(t, "after the rule's end", b.confirm(mira, late.ID, b.code(string(late.Secret.Reveal()), 0), "x"), totp.ErrNoEnrolment)
	_, base32 := b.enrolled(mira, "phone")
	_, err := b.Begin(t.Context(), mira, "mira", "Sekisho")
	want(t, "a second device", err, totp.ErrFull)
	_, err = b.spend(mira, b.code(base32, -1))
	want(t, "one step late without skew", err, totp.ErrWrong)
	rules.Skew = 9
	_, err = b.spend(mira, b.code(base32, -2))
	want(t, "two steps late with too much skew", err, totp.ErrWrong)
	if _, err = b.spend(mira, b.code(base32, -1)); err != nil {
		t.Errorf("one step late with skew: %v", err)
	}
}
