package elevate

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

type state string

const (
	intended  state = "intended"
	applied   state = "applied"
	kept      state = "kept"
	withdrawn state = "withdrawn"
	closed    state = "closed"
)

// An effect is one thing that one lease brings about.
type effect struct {
	lease  string
	place  int
	thing  string
	kind   string // policy.GiftGroup, GiftAccount or GiftEphemeral
	target string // the group's DN; the ID's DN; where the ID is made
	groups []string
	person directory.PersonID
	login  string
	name   string

	account   string             // the login of the ID
	accountID directory.PersonID // its ID
	accountDN string             // its DN; of a group, that of the member

	state   state
	version int64
	doubt   bool

	intendedAt, decideBy, notAfter, toldUntil, appliedAt, withdrawnAt, closedAt time.Time
}

// wanted reports whether the effect is to be in the directory at an instant. An
// effect that is only intended is wanted by its own lease's Apply, and by nobody
// else.
func (e effect) wanted(now time.Time, applying string) bool {
	switch e.state {
	case intended:
		return e.lease == applying && now.Before(e.decideBy)
	case applied:
		return now.Before(e.decideBy.Add(decideGrace))
	case kept:
		return now.Before(e.notAfter)
	}
	return false
}

// over reports whether it is to be gone: withdrawn, or its time is past.
func (e effect) over(now time.Time) bool {
	switch e.state {
	case intended, applied:
		return !now.Before(e.decideBy.Add(decideGrace))
	case kept:
		return !now.Before(e.notAfter)
	case withdrawn:
		return true
	}
	return false
}

// due is when somebody has to look at it next, the zero time for never.
func (e effect) due(now time.Time) time.Time {
	switch e.state {
	case intended, applied:
		return e.decideBy.Add(decideGrace)
	case kept:
		if e.kind != policy.GiftGroup && !e.toldUntil.Equal(e.notAfter) {
			return now
		}
		return e.notAfter
	case withdrawn:
		return now
	}
	return time.Time{}
}

// since is from when on an effect that is over should have been gone.
func (e effect) since() time.Time {
	switch e.state {
	case withdrawn:
		return e.withdrawnAt
	case kept:
		return e.notAfter
	default:
		return e.decideBy
	}
}

// effectOf is what a gift brings about for somebody.
func effectOf(lease string, place int, who Who, g policy.Gift) (effect, error) {
	e := effect{lease: lease, place: place, kind: g.Kind, person: who.ID, login: who.Login, name: who.Name, state: intended}
	switch g.Kind {
	case policy.GiftGroup:
		e.target = g.Group
		e.thing = thingOfGroup(g.Group, who.ID)
	case policy.GiftAccount:
		e.target = g.Account
		e.thing = thingOfAccount(g.Account)
	case policy.GiftEphemeral:
		e.target, e.groups = g.Under, g.Groups
		e.thing = fmt.Sprintf("ephemeral %s/%d", lease, place)
		e.account = ephemeralLogin(g.Prefix, who.Login)
	default:
		return effect{}, fmt.Errorf("a gift of kind %q changes nothing in the directory", g.Kind)
	}
	if e.target == "" && g.Kind != policy.GiftEphemeral {
		return effect{}, fmt.Errorf("a gift of kind %q names nothing", g.Kind)
	}
	return e, nil
}

func thingOfGroup(groupDN string, id directory.PersonID) string {
	return "group " + policy.CanonicalDN(groupDN) + " " + strings.ToLower(string(id))
}

func thingOfAccount(dn string) string { return "account " + policy.CanonicalDN(dn) }

// longestLogin is what every kind of directory takes ([MS-SAMR] section 3.1.1.6).
const longestLogin = 20

// ephemeralLogin names an ID so that a log shows whose it is, and never twice the
// same: a login is never given again (article 62-3).
func ephemeralLogin(prefix, login string) string {
	end := strings.ToLower(base32.StdEncoding.EncodeToString(random(5)))[:6]
	body := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(login))
	if room := longestLogin - len(prefix) - len(end) - 1; len(body) > room {
		body = body[:max(0, room)]
	}
	if body != "" {
		body += "-"
	}
	return prefix + body + end
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, or ends the program
	return b
}

// The note on an ID that was made for a lease, by which it is told from IDs that
// somebody else has put there.
const noteMark = "sekisho:"

func (e effect) note() string {
	return fmt.Sprintf("%slease=%s;person=%s;login=%s", noteMark, e.lease, e.person, e.login)
}

// leaseOf is the lease that a note names; ok is false for a note that is not ours.
func leaseOf(note string) (lease string, ok bool) {
	rest, ours := strings.CutPrefix(note, noteMark+"lease=")
	lease, _, cut := strings.Cut(rest, ";")
	return lease, ours && cut && lease != ""
}

func encodeGroups(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	text, _ := json.Marshal(groups) // strings: it cannot fail
	return string(text)
}

func decodeGroups(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var groups []string
	if err := json.Unmarshal([]byte(text), &groups); err != nil {
		return nil, fmt.Errorf("reading the groups of an effect: %w", err)
	}
	return groups, nil
}
