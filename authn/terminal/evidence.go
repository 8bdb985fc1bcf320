package terminal

import (
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// kindOf says which kind of factor each method of RFC 8176 section 2 proves.
// "" is a method that proves none: circumstances (geo, rba, user), what others
// can find out (kba), what travels over lines we do not trust (sms, tel), and
// words that name no factor (mca, mfa, wia). Methods that are not in the table
// are none of the RFC's.
var kindOf = map[string]string{
	"pwd": "known", "pin": "known",
	"otp": "held", "hwk": "held", "swk": "held", "sc": "held",
	"fpt": "inherent", "face": "inherent", "iris": "inherent", "vbm": "inherent", "retina": "inherent",
	"geo": "", "kba": "", "mca": "", "mfa": "", "rba": "", "sms": "", "tel": "", "user": "", "wia": "",
}

// twoKinds reports whether methods prove two factors of different kinds. "mfa"
// is not enough: it is a claim about factors, and says nothing of which.
func twoKinds(methods []string) bool {
	first := ""
	for _, m := range methods {
		switch kind := kindOf[m]; {
		case kind == "":
		case first == "":
			first = kind
		case kind != first:
			return true
		}
	}
	return false
}

// StandsIn reports whether the word of a dedicated terminal replaces a second
// factor of this person in this zone (article 26no3-1). The terminal is one of
// this zone that two persons approved; it names this person; its own sign-in
// took two factors of different kinds, and is no older than a session of the
// zone may become.
func (a Assertion) StandsIn(login string, zone policy.Zone, now time.Time) bool {
	t := a.Terminal
	if t.Class != policy.TerminalDedicated || !t.Declared || t.Key == "" || !t.LostAt.IsZero() || t.Zone != zone.ID {
		return false
	}
	who := directory.Canonical(login)
	if who == "" || directory.Canonical(a.Login) != who {
		return false
	}
	// A time that is not said is the year 1, and long past.
	if a.AuthAt.After(now) || now.Sub(a.AuthAt) >= zone.AbsoluteEnd {
		return false
	}
	return twoKinds(a.Methods)
}
