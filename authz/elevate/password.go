package elevate

import (
	"crypto/rand"
	"math/big"

	"sekisho/policy/secret"
)

// What a password of an ID that is lent is made of. Left out is what is misread
// on a screen; there is one of each kind in it whatever chance says, so that every
// directory's rule on kinds of characters is met.
const (
	lowers = "abcdefghjkmnpqrstvwxyz"
	uppers = "ABCDEFGHJKMNPQRSTVWXYZ"
	digits = "23456789"
)

// newPassword is 24 characters of 52 in groups of four, 136 bits: nobody guesses
// it, and it is typed or pasted once.
func newPassword() secret.Text {
	const groups, size = 6, 4
	out := make([]byte, 0, groups*(size+1))
	for i := range groups * size {
		if i > 0 && i%size == 0 {
			out = append(out, '-')
		}
		from := lowers + uppers + digits
		switch i {
		case 0:
			from = uppers
		case 1:
			from = lowers
		case 2:
			from = digits
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(from))))
		if err != nil {
			// crypto/rand.Reader ends the process rather than failing; nothing
			// predictable may ever leave here.
			panic("reading random bytes: " + err.Error())
		}
		out = append(out, from[n.Int64()])
	}
	return secret.NewText(out)
}
