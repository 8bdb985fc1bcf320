package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// flow is a sign-in under way, as it is stored between its steps. Losing it
// costs its owner a new start, nothing else.
type flow struct {
	Person   directory.PersonID `json:"person"`
	Login    string             `json:"login"`
	Zone     policy.ZoneID      `json:"zone"`
	Outside  bool               `json:"outside"`
	Progress authn.Progress     `json:"progress"`
	Replaces string             `json:"replaces"` // session this browser had before
	// ReplacesOf is whose sign-in alone replaces that session; "" for whoever's.
	ReplacesOf directory.PersonID `json:"replaces_of,omitempty"`
	// Apart: it began in another place than this sign-in, so nothing that hung on it
	// goes along.
	Apart bool      `json:"apart,omitempty"`
	Ends  time.Time `json:"ends"`
	// Since is when the password behind this sign-in was known to be the one in
	// force. A change or a report of it after that ends the sign-in.
	Since time.Time `json:"since"`
	// Terminal is the enrolled terminal that this goes on at, "" for none that
	// spoke for itself.
	Terminal      string `json:"terminal"`
	TerminalClass string `json:"terminal_class"`

	// FactorAt is since when the person has had the phishing-resistant factor that
	// was used, the newest of several.
	FactorAt time.Time `json:"factor_at"`

	// AsOf is when the directory was last read of this person, where it was away
	// at the step before; zero where it answered.
	AsOf time.Time `json:"as_of"`

	way    Passage  // by what they come in; not stored, asked anew at each step
	usable []string // what may be used at the second factor; not stored, see fill
	handle string   // the MAC it was resumed under; not stored, "" for a sign-in that begins
}

func (s *Service) put(ctx context.Context, cookie string, f flow) error {
	mac, ok := s.Sessions.MAC(session.KindFlow, cookie)
	if !ok {
		return ErrNone
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("storing a sign-in: %w", err)
	}
	if err := s.Flows.Put(ctx, "flow:"+mac, b, f.Ends.Sub(s.Now())); err != nil {
		return &Away{What: "ephemeral store", Err: err}
	}
	return nil
}

// take removes the sign-in under a cookie; of several at once one is told true.
func (s *Service) take(ctx context.Context, cookie string) (bool, error) {
	mac, ok := s.Sessions.MAC(session.KindFlow, cookie)
	if !ok {
		return false, nil
	}
	_, taken, err := s.Flows.Take(ctx, "flow:"+mac)
	if err != nil {
		return false, &Away{What: "ephemeral store", Err: err}
	}
	return taken, nil
}

// resume reads the sign-in under a cookie and its person, fresh: one who was
// disabled meanwhile goes no further, and one who began elsewhere begins anew, for
// what was asked there is not what is asked here. at is the step the caller wants to do;
// "" for any.
func (s *Service) resume(ctx context.Context, o Origin, cookie string, at State) (flow, directory.Person, error) {
	mac, ok := s.Sessions.MAC(session.KindFlow, cookie)
	if !ok {
		if session.KindOf(cookie) == session.KindSession {
			_, err := s.Sessions.Load(ctx, cookie)
			if err == nil {
				err = ErrStep // signed in already
			}
			return flow{}, directory.Person{}, away(err)
		}
		return flow{}, directory.Person{}, ErrNone
	}
	b, ok, err := s.Flows.Get(ctx, "flow:"+mac)
	if err != nil {
		return flow{}, directory.Person{}, &Away{What: "ephemeral store", Err: err}
	}
	var f flow
	if !ok || json.Unmarshal(b, &f) != nil || !s.Now().Before(f.Ends) {
		return flow{}, directory.Person{}, ErrNone
	}
	if f.Zone != o.Zone || f.Outside != o.Outside {
		return flow{}, directory.Person{}, ErrNone
	}
	if _, known := s.Policy().RulesOf(f.Zone); !known { // it was when the sign-in began
		return flow{}, directory.Person{}, ErrNone
	}
	f.handle = mac
	facts, err := s.Watch.Lately(ctx, f.Person, s.stale(f.Zone))
	if err != nil {
		return flow{}, directory.Person{}, away(err)
	}
	if f.AsOf = (time.Time{}); facts.Stale {
		f.AsOf = facts.ReadAt
	}
	if !facts.Usable(s.Now()) {
		return flow{}, directory.Person{}, ErrNone
	}
	if err := s.overtaken(ctx, s.DB, f); err != nil {
		return flow{}, directory.Person{}, err
	}
	if err := s.open(ctx, s.DB, f, facts.Person); err != nil {
		return flow{}, directory.Person{}, err
	}
	// Factors too are asked for anew: one that was added meanwhile must be
	// proved, not joined by another.
	if err := s.fill(ctx, &f, facts.Person, ""); err != nil {
		return flow{}, directory.Person{}, err
	}
	if at != "" && s.next(f) != at {
		return flow{}, directory.Person{}, ErrStep
	}
	return f, facts.Person, nil
}

// overtaken is ErrNone for a sign-in whose password was replaced or reported
// since, whose person was closed, or who had everything ended, such as after a
// factor was replaced. Sessions end in the transaction of
// such an act; a sign-in under way is not a row, so it is asked for here, at
// each step and again in the transaction that makes a session of it.
func (s *Service) overtaken(ctx context.Context, in store.Reader, f flow) error {
	closed, err := standing.Closed(ctx, in, f.Person, s.Now())
	if err != nil {
		return err
	}
	changed, err := password.ChangedSince(ctx, in, f.Person, f.Since)
	if err != nil {
		return err
	}
	var leaks int
	err = in.QueryRow(ctx, `SELECT COUNT(*) FROM leak_report WHERE person_id = $1 AND reported_at > $2`,
		string(f.Person), store.Micros(f.Since)).Scan(&leaks)
	if err != nil {
		return fmt.Errorf("reading leak reports: %w", err)
	}
	ended, err := session.EndedSince(ctx, in, f.Person, f.Since)
	if err != nil {
		return err
	}
	if closed || changed || ended || leaks > 0 {
		return ErrNone
	}
	return nil
}

// next asks the dispatcher.
func (s *Service) next(f flow) State {
	pol := s.Policy()
	zone, _ := pol.RulesOf(f.Zone) // a zone that is gone asks for what nobody can give
	need := authn.Need{ACR: zone.SignInACR, Acknowledgment: pol.Acknowledgement.Version}
	if s.Enters != nil && s.foreign(f.Zone, f.Outside) {
		need.TerminalCheck = true
		if zone.SignInACR != "" && !need.ACR.AtLeast(policy.AAL2) {
			need.ACR = policy.AAL2 // article 63-2(2)
		}
	}
	return authn.Next(f.Progress, need)
}

// advance commits what a step did, with its trail entry, and moves the sign-in
// to its next step: a session if there is none left, else a new handle for the
// same flow.
func (s *Service) advance(ctx context.Context, o Origin, cookie string, f *flow, person directory.Person, act func(*store.Tx) error, action string) (Step, error) {
	if err := s.fill(ctx, f, person, action); err != nil {
		return Step{}, err
	}
	entry := audit.Entry{
		Actor: person.Login, Action: action, Object: string(person.ID), Outcome: "ok",
		Articles: articles(action), From: o.Source.String(), Zone: string(f.Zone), RequestID: o.RequestID,
	}
	act = s.stepOnce(ctx, *f, s.passing(ctx, o, f, person, action, act))
	if s.next(*f) == authn.SignedIn {
		return s.finish(ctx, o, cookie, f, person, act, entry)
	}
	err := s.Commit(ctx, func(tx *store.Tx) error {
		if err := s.overtaken(ctx, tx, *f); err != nil {
			return err
		}
		if err := s.open(ctx, tx, *f, person); err != nil {
			return err
		}
		if err := act(tx); err != nil {
			return err
		}
		return s.Trail.Append(ctx, tx, entry)
	})
	if err != nil {
		return Step{}, s.shutOut(ctx, o, person, err)
	}
	if slices.Contains(records, action) {
		f.Since = s.Now() // what this step itself has recorded does not end it
	}
	next, _, _, err := s.Sessions.New(session.KindFlow)
	if err != nil {
		return Step{}, err
	}
	f.handle = ""
	if f.Ends.IsZero() {
		f.Ends = s.Now().Add(s.Policy().SignIn.FlowEnd)
	}
	if err := s.put(ctx, next, *f); err != nil {
		return Step{}, err
	}
	if _, err := s.take(ctx, cookie); err != nil { // the old handle is dead
		return Step{}, err
	}
	step := s.describe(*f, person, next)
	step.Cookie = next
	return step, nil
}

// stepOnce is what a step does, and that no other step began where it did. Which
// handle is good is kept where it may be lost or, after a failover, come back; so
// that a step was made is a row (design rule 3).
func (s *Service) stepOnce(ctx context.Context, f flow, act func(*store.Tx) error) func(*store.Tx) error {
	if f.handle == "" {
		return act
	}
	return func(tx *store.Tx) error {
		if err := act(tx); err != nil {
			return err
		}
		err := ticket.Once(ctx, tx, []byte("flow:"+f.handle), s.Now(), f.Ends)
		if errors.Is(err, ticket.ErrInvalid) {
			return ErrNone
		}
		return err
	}
}

// fill adds to a sign-in what the store knows of its person.
func (s *Service) fill(ctx context.Context, f *flow, person directory.Person, action string) error {
	var err error
	if f.Progress.Enrolled, f.usable, err = s.enrolled(ctx, person, f.Zone); err != nil {
		return err
	}
	if f.Progress.Lost = false; len(f.Progress.Enrolled) == 0 {
		if f.Progress.Lost, err = s.lost(ctx, person.ID); err != nil {
			return err
		}
		f.usable = []string{"recovery"}
	}
	version := s.Policy().Acknowledgement.Version
	if action == "rules.acknowledged" {
		f.Progress.Acknowledged = version
		return nil
	}
	var n int
	err = s.DB.QueryRow(ctx, `SELECT COUNT(*) FROM acknowledgement WHERE person_id = $1 AND version = $2`,
		string(f.Person), version).Scan(&n)
	if err != nil {
		return fmt.Errorf("reading what was acknowledged: %w", err)
	}
	if n > 0 {
		f.Progress.Acknowledged = version
	}
	return nil
}

// records are the steps that record something which would end a sign-in begun
// before.
var records = []string{"sign_in.password", "password.changed", "factor.added"}

// oneStep are the first steps of a sign-in that may be the only one: the entry
// of the sign-in itself then says it all.
var oneStep = []string{"sign_in.password", "sign_in.passkey", "sign_in.card"}

// finish turns a sign-in with no step left into a session, in the transaction
// of its last step.
func (s *Service) finish(ctx context.Context, o Origin, cookie string, f *flow, person directory.Person, act func(*store.Tx) error, entry audit.Entry) (Step, error) {
	var (
		n      session.Session
		handle string
		device string
	)
	replaces := f.replaces(person.ID)
	known, err := s.knownBrowser(ctx, o, person.ID)
	if err != nil {
		return Step{}, err
	}
	err = s.Commit(ctx, func(tx *store.Tx) error {
		if err := s.overtaken(ctx, tx, *f); err != nil {
			return err
		}
		if err := s.open(ctx, tx, *f, person); err != nil {
			return err
		}
		if err := s.still(ctx, tx, f); err != nil {
			return err
		}
		if err := act(tx); err != nil {
			return err
		}
		if !slices.Contains(oneStep, entry.Action) { // one entry is enough for a sign-in of one step
			if err := s.Trail.Append(ctx, tx, entry); err != nil {
				return err
			}
		}
		if replaces != "" {
			if err := s.Sessions.End(ctx, tx, replaces, "signed in again"); err != nil && !errors.Is(err, store.ErrUntouched) {
				return err
			}
		}
		seen, err := s.networkSeen(ctx, tx, o, person.ID)
		if err != nil {
			return err
		}
		n, handle, err = s.Sessions.Begin(ctx, tx, session.Session{
			Person: person.ID, Login: person.Login, Name: person.Name, Zone: f.Zone, Outside: f.Outside,
			ACR: authn.Strength(f.Progress.Methods), AMR: authn.AMR(f.Progress.Methods),
			From: o.Source.String(), UserAgent: clip(o.UserAgent, 200), AuthAt: f.Progress.At, FactorAt: f.FactorAt,
			Terminal: f.Terminal, TerminalClass: f.TerminalClass, ExpiresAt: f.way.Until, Permits: f.way.Permits,
		})
		if err != nil {
			return err
		}
		if len(f.way.Permits) > 0 && s.Entered != nil {
			if err := s.Entered(ctx, tx, f.way, n); err != nil {
				return err
			}
		}
		if replaces != "" && !f.Apart && s.Succeeded != nil {
			if err := s.Succeeded(ctx, tx, replaces, n); err != nil {
				return err
			}
		}
		if err := s.tellUnusual(ctx, tx, o, n, known != "" && seen); err != nil {
			return err
		}
		if !o.Headless {
			if device, err = s.rememberBrowser(ctx, tx, o, person.ID); err != nil {
				return err
			}
		}
		return s.Trail.Append(ctx, tx, audit.Entry{
			Actor: person.Login, Action: "sign_in", Object: string(person.ID), Outcome: "ok",
			Articles: articles("sign_in"), From: o.Source.String(), Zone: string(f.Zone), RequestID: o.RequestID,
			Detail: detail(n, f.AsOf, f.way),
		})
	})
	if err != nil {
		err = s.shutOut(ctx, o, person, err)
		return Step{}, s.unheard(ctx, o, someone{facts: standing.Facts{Person: person}, name: f.Login}, err)
	}
	if _, err := s.take(ctx, cookie); err != nil {
		return Step{}, err
	}
	if replaces != "" || f.Terminal != "" {
		if err := s.Sessions.Poll(ctx); err != nil {
			return Step{}, err
		}
	}
	return Step{
		State: authn.SignedIn, Cookie: handle, CSRF: s.Sessions.CSRF(handle), DeviceCookie: device,
		Session: &n, Person: person, AsOf: f.AsOf,
	}, nil
}

// detail is what the trail keeps of a session's beginning, and of when its person
// was last read where the directory was away (design rule 4).
func detail(n session.Session, asOf time.Time, by Passage) map[string]string {
	d := map[string]string{"acr": string(n.ACR), "session": n.ID}
	if !asOf.IsZero() {
		d["directory_as_of"] = asOf.Format(time.RFC3339)
	}
	if len(by.Permits) > 0 {
		d["permits"] = strings.Join(by.Permits, " ")
	}
	return d
}

func (s *Service) describe(f flow, person directory.Person, cookie string) Step {
	step := Step{State: s.next(f), CSRF: s.Sessions.CSRF(cookie), Person: person, AsOf: f.AsOf}
	switch step.State {
	case authn.SecondFactor:
		step.Methods = f.usable
	case authn.Enrol:
		step.Methods = []string{"passkey", "totp"}
		if zone, _ := s.Policy().RulesOf(f.Zone); zone.SignInACR == policy.PHR {
			step.Methods = []string{"passkey"}
		}
	case authn.Acknowledge:
		step.Version = s.Policy().Acknowledgement.Version
	}
	return step
}

// former has a sign-in replace the session that a cookie was given for, and end its
// applications, which may be open although it has idled out.
//
// A cookie that an elevation has replaced, in an answer that may have been lost, has
// the sign-in of the same person replace that session, so that what they were lent goes
// along (Succeeded). Nobody else's does: somebody may have taken that cookie before the
// elevation, and it is to be worth neither the session nor its end to them.
func (s *Service) former(ctx context.Context, cookie string, f *flow) error {
	n, err := s.Sessions.Former(ctx, cookie)
	if errors.Is(err, session.ErrNone) {
		if n, err = s.Sessions.Unheard(ctx, cookie); err == nil {
			f.ReplacesOf = n.Person
		}
	}
	switch {
	case errors.Is(err, session.ErrNone):
	case err != nil:
		return fmt.Errorf("finding the session before: %w", err)
	case n.App == "":
		f.Replaces = n.ID
		f.Apart = s.foreign(f.Zone, f.Outside) && (n.Zone != f.Zone || n.Outside != f.Outside)
	}
	return nil
}

// replaces is the session that a person's sign-in takes the place of; "" for none.
func (f *flow) replaces(who directory.PersonID) string {
	if f.ReplacesOf != "" && f.ReplacesOf != who {
		return ""
	}
	return f.Replaces
}

// articles are those that each act of a sign-in serves.
func articles(action string) []policy.Article {
	switch action {
	case "sign_in", "sign_in.totp", "sign_in.passkey", "sign_in.card":
		return []policy.Article{"62-2", "63-7", "26no3-1"}
	case "password.changed":
		return []policy.Article{"46-2(3)", "46-2(6)", "64-2"}
	case "rules.acknowledged":
		return []policy.Article{"39", "40"}
	case "terminal.confirmed":
		return []policy.Article{"63-4", "63-6"}
	case "sign_in.recovery", "factor.added":
		return []policy.Article{"46-2(3)", "64-1", "64-3"}
	}
	return []policy.Article{"62-2", "63-7"}
}

// clip cuts text that a stranger sent to n characters.
func clip(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}
