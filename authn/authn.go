// Package authn is the vocabulary of proving who one is: methods, their
// strength, and the order of the steps of a sign-in.
//
// It holds pure rules alone. It stores nothing, reaches no directory, and does
// not know what a signed-in person may open: that is authz.
package authn

import (
	"slices"
	"time"

	"sekisho/policy"
)

// A Method is one way a person proved who they are, named as RFC 8176 names
// the values of amr.
type Method string

// The methods of RFC 8176 section 2 that Sekisho accepts.
const (
	Password    Method = "pwd" // something known
	OTP         Method = "otp" // a one-time code from something held
	HardwareKey Method = "hwk" // a passkey that stays on one device
	SyncedKey   Method = "swk" // a passkey that its maker copies between devices
	SmartCard   Method = "sc"  // an IC card, opened with its PIN
)

// Terminal is the word of an enrolled, dedicated terminal that its own sign-in
// took two factors (article 26no3-1). It is no value of RFC 8176, and by itself
// it proves a machine, not a person.
const Terminal Method = "terminal"

// Resists reports whether a method resists phishing: it answers only to the
// place it was made for (NIST SP 800-63B-4 section 3.2.5). Each of them is
// opened by its holder's PIN or finger, so one is two factors.
func (m Method) Resists() bool {
	return m == HardwareKey || m == SyncedKey || m == SmartCard
}

// factor says what kind of thing a method proves: something known, held or
// inherent. Two methods of one kind are one factor (guideline, article 26no3-1
// asks for two).
func (m Method) factor() string {
	switch m {
	case Password:
		return "known"
	case OTP, Terminal:
		return "held"
	}
	return ""
}

// Strength is the assurance that a set of methods reaches together: phr for one
// that resists phishing, aal2 for two factors of different kinds, aal1 for one,
// and nothing for none (NIST SP 800-63B-4).
func Strength(methods []Method) policy.ACR {
	kinds := map[string]bool{}
	for _, m := range methods {
		if m.Resists() {
			return policy.PHR
		}
		if k := m.factor(); k != "" {
			kinds[k] = true
		}
	}
	switch {
	case len(kinds) > 1:
		return policy.AAL2
	case len(kinds) == 0, slices.Contains(methods, Terminal):
		return "" // a terminal alone is nobody
	}
	return policy.AAL1
}

// AMR lists methods as RFC 8176 writes them, with "mfa" where more than one
// factor was used and "pin" where a card's was.
func AMR(methods []Method) []string {
	var out []string
	for _, m := range methods {
		if s := string(m); m != Terminal && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if slices.Contains(methods, SmartCard) {
		out = append(out, "pin")
	}
	if Strength(methods).AtLeast(policy.AAL2) {
		out = append(out, "mfa")
	}
	return out
}

// Progress is how far a sign-in has come. It is stored between the steps and
// is the only thing that decides which step is next.
type Progress struct {
	Methods      []Method  // what was proved, in order
	MustChange   bool      // the password is temporary, expired or reported as leaked
	Acknowledged string    // the version of the rules this person has acknowledged
	Enrolled     []Method  // further factors this person has
	At           time.Time // when the last method was proved
	// Recovering: a recovery code was given in place of a lost factor. It opens
	// the way to a new factor and to nothing else.
	Recovering bool
	Checked    bool // the person has confirmed that the terminal is in order
	// Lost: the person had a further factor, which was taken away or ended. The
	// password alone binds no other.
	Lost bool
}

// Need is what the policy asks of a sign-in from where this one comes from.
type Need struct {
	ACR            policy.ACR // least assurance (zone's sign_in_acr)
	Acknowledgment string     // version of the rules to acknowledge, "" for none (articles 39, 40)
	TerminalCheck  bool       // the person confirms the terminal (articles 63-4, 63-6)
}

// A State names a step of a sign-in.
type State string

// The steps, in the order in which they are asked for.
const (
	SecondFactor   State = "second_factor"
	PasswordChange State = "password_change"
	Enrol          State = "enrol"
	Acknowledge    State = "acknowledge"
	TerminalCheck  State = "terminal_check"
	SignedIn       State = "signed_in"
)

// Next is the dispatcher: it looks at what is stored and says which step comes
// next. Steps never call one another, so none can be skipped by naming another
// (security.md section 2, row 8).
//
// A person who has a further factor is always asked for it, also before a
// temporary password is changed: a reset by the help desk must not become a
// way around it (ASVS 6.4.3).
func Next(p Progress, n Need) State {
	switch {
	case len(p.Methods) == 0:
		return "" // nothing proved: no step is open
	case p.Recovering:
		return Enrol
	case p.lacks(policy.AAL2) && (len(p.Enrolled) > 0 || p.Lost):
		return SecondFactor
	case p.MustChange:
		return PasswordChange
	case p.lacks(n.ACR) && n.ACR == policy.PHR && slices.ContainsFunc(p.Enrolled, Method.Resists):
		return SecondFactor
	case p.lacks(n.ACR):
		return Enrol
	case n.Acknowledgment != "" && p.Acknowledged != n.Acknowledgment:
		return Acknowledge
	case n.TerminalCheck && !p.Checked:
		return TerminalCheck
	}
	return SignedIn
}

func (p Progress) lacks(a policy.ACR) bool { return !Strength(p.Methods).AtLeast(a) }
