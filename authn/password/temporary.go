package password

import (
	"crypto/rand"
	"math/big"
	"strings"

	"sekisho/policy"
	"sekisho/policy/secret"
)

// alphabet leaves out what is misread on paper or over the telephone: 0 and o,
// 1, l and i, and u beside v.
const alphabet = "abcdefghjkmnpqrstvwxyz23456789"

// Sixteen characters of thirty are 78 bits, more than the 64 that NIST SP
// 800-63B-4 asks of a recovery code; the dashes are there to be read by.
const (
	groups    = 4
	groupSize = 4
)

// Temporary makes the password of a person who is new or has lost theirs
// (article 64-2): four groups of four letters and digits, such as
// kamg-7fxw-2mqp-h9rt. It passes the strictest rules we know, is good for one
// sign-in, and must be changed there (article 46-2(6)); how long it lives is the
// policy's TemporaryEnd.
func Temporary() secret.Text {
	for {
		pw := secret.NewText(draw())
		// A draw can spell a word or a date. It is then drawn again; nearly
		// all pass, so this ends.
		if Check(policy.PasswordRules{MinScore: 4}, Context{SingleFactor: true}, pw) == nil {
			return pw
		}
	}
}

func draw() []byte {
	var b strings.Builder
	n := big.NewInt(int64(len(alphabet)))
	for i := range groups * groupSize {
		if i > 0 && i%groupSize == 0 {
			b.WriteByte('-')
		}
		at, err := rand.Int(rand.Reader, n)
		if err != nil {
			// crypto/rand.Reader ends the process rather than failing; nothing
			// predictable may ever leave here.
			panic("reading random bytes: " + err.Error())
		}
		b.WriteByte(alphabet[at.Int64()])
	}
	return []byte(b.String())
}
