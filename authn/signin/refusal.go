package signin

import (
	"errors"
	"fmt"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
)

var (
	// ErrRefused is the one answer for an unknown person, a wrong password or
	// code, and a person who may use nothing: telling them apart would list
	// the staff to a stranger (ASVS 6.3.8).
	ErrRefused = errors.New("sign-in refused")
	// ErrNone means that the cookie stands for neither a session nor a sign-in
	// under way.
	ErrNone = session.ErrNone
	// ErrStep means that the sign-in is not at the step that was tried.
	ErrStep = errors.New("the sign-in is at another step")
	// ErrBusy means that too many sign-ins are being verified; try again
	// shortly. It never stands for a wrong password.
	ErrBusy = errors.New("too many sign-ins at once")
	// ErrCSRF means that a mutation did not carry the token that belongs to
	// its cookie.
	ErrCSRF = errors.New("the request did not come from a page of ours")
)

// Held means that attempts are being slowed down. It is given for any name,
// known or not, so it tells nothing about who exists.
type Held struct {
	RetryAfter time.Duration
	// Spent: the credential opens nothing until it is bound again. The reader
	// is told only to wait or to ask for help.
	Spent bool
}

func (h *Held) Error() string { return fmt.Sprintf("too many tries; wait %v", h.RetryAfter) }

// WrongZone refuses a sign-in from a network whose zone this gateway does not
// serve, or that lies in none. It speaks of a network and of nobody.
type WrongZone struct {
	Zone policy.ZoneID // "" for none
}

func (w *WrongZone) Error() string {
	return fmt.Sprintf("zone %q is not served by this gateway", w.Zone)
}

// Articles are those it rests on: the zones are kept apart.
func (*WrongZone) Articles() []policy.Article { return []policy.Article{"26no2-1", "26no4-1"} }

// Says is for the person who was refused.
func (*WrongZone) Says() policy.Words {
	return policy.Words{
		JA: "お使いのネットワークの領域は、この関所では扱っていません。その領域の関所からサインインしてください。場所が分からないときは情報システム管理者にお尋ねください。",
		EN: "This gateway does not serve the zone of your network. Sign in at that zone's own gateway; the system administrator knows where it is.",
	}
}

// Away means that something the sign-in needs cannot be reached.
type Away struct {
	What string // "directory", "store"
	Err  error
}

func (a *Away) Error() string { return a.What + " is away: " + a.Err.Error() }
func (a *Away) Unwrap() error { return a.Err }

// away tells a dependency that cannot be reached from a refusal.
func away(err error) error {
	switch {
	case errors.Is(err, standing.ErrAway), errors.Is(err, directory.ErrAway), errors.Is(err, directory.ErrTruncated):
		return &Away{What: "directory", Err: err}
	}
	return err
}
