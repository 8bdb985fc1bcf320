package notice

import (
	"slices"
	"strings"
	"unicode"
)

// A Kind is what happened.
type Kind string

// The kinds.
const (
	FactorAdded       Kind = "factor_added"       // Detail: factor (kind), name
	FactorRemoved     Kind = "factor_removed"     // Detail: factor, name
	PasswordChanged   Kind = "password_changed"   //
	PasswordTemporary Kind = "password_temporary" // Detail: by
	PasswordLeaked    Kind = "password_leaked"    //
	PasskeyCloned     Kind = "passkey_cloned"     // Detail: name
	RecoveryIssued    Kind = "recovery_issued"    // Detail: by
	RecoveryUsed      Kind = "recovery_used"      //
	SignInUnusual     Kind = "sign_in_unusual"    // Detail: from, browser, failures
	AddressChanged    Kind = "address_changed"    // told to the address before, too
	Suspended         Kind = "suspended"          // Detail: by, reason
	Restored          Kind = "restored"           // Detail: by
	Unlocked          Kind = "unlocked"           // Detail: by
)

// details are the kinds there are and what is kept of each. A detail that is
// not listed does not reach the store, so a secret that somebody puts among
// them by mistake goes no further.
var details = map[Kind][]string{
	FactorAdded:       {"factor", "name"},
	FactorRemoved:     {"factor", "name"},
	PasswordChanged:   {},
	PasswordTemporary: {"by"},
	PasswordLeaked:    {},
	PasskeyCloned:     {"name"},
	RecoveryIssued:    {"by"},
	RecoveryUsed:      {},
	SignInUnusual:     {"from", "browser", "failures"},
	AddressChanged:    {},
	Suspended:         {"by", "reason"},
	Restored:          {"by"},
	Unlocked:          {"by"},
}

// Kinds are all kinds there are, in the order of their names.
func Kinds() []Kind {
	var all []Kind
	for k := range details {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Details are the names of what is told of a kind beside the person and time.
func (k Kind) Details() []string { return slices.Clone(details[k]) }

// longest bounds one detail, in characters.
const longest = 200

// kept is what of the details is stored: those that are known, each one line.
func kept(known []string, given map[string]string) map[string]string {
	out := make(map[string]string, len(known))
	for _, name := range known {
		out[name] = Line(given[name])
	}
	return out
}

// Line cuts a text that somebody typed, or that a browser sent, to what can
// stand in a line of a letter: no line breaks, which would let it pass for our
// own words, and no invisible characters, which would turn them round.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}
