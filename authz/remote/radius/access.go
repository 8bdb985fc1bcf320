package radius

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"sekisho/authn"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// interim is how often gear is asked to tell that a session goes on.
const interim = 5 * time.Minute

// An asker is one Access-Request, and where it comes from.
type asker struct {
	*wire.Packet
	client *Client
	gear   netip.AddrPort
	origin signin.Origin
}

// asking says where somebody comes from. The gear, which has proved itself, says
// so in Calling-Station-Id; what is no address there counts as the gear's own, and
// then all who come by it are one source of failures.
func (d *Door) asking(ctx context.Context, c *Client, gear netip.AddrPort, p *wire.Packet) asker {
	from := gear.Addr().Unmap()
	if a, ok := callingFrom(text(p, rfc2865.CallingStationID_Type)); ok {
		from = a
	} else if p.Code == wire.CodeAccessRequest && d.once("calling\x00"+c.ID) {
		d.Log.WarnContext(ctx, "gear does not say where somebody comes from; all who come by it are one source of failures", "radius_client", c.ID)
	}
	return asker{Packet: p, client: c, gear: gear, origin: signin.Origin{
		Source: from, Zone: c.Zone, Outside: true, Headless: true,
		RequestID: secret.Token(12), UserAgent: "RADIUS " + c.ID,
	}}
}

// callingFrom reads a Calling-Station-Id: an address, or one with a port as gear
// writes it: a:port, [a]:port, a[port].
func callingFrom(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(s)
	if err != nil {
		var ap netip.AddrPort
		ap, err = netip.ParseAddrPort(s)
		a = ap.Addr()
	}
	if before, port, ok := strings.Cut(s, "["); err != nil && ok && before != "" && strings.HasSuffix(port, "]") {
		a, err = netip.ParseAddr(strings.TrimSpace(before))
	}
	return a.Unmap().WithZone(""), err == nil
}

// errSpent is that something failed after the code was used up: the same request can
// only be refused, which its sender has not deserved.
var errSpent = errors.New("its code is spent")

// access answers an Access-Request. nil: no answer, so that the gear asks again, or
// another gateway; a right password is never answered as wrong.
func (d *Door) access(ctx context.Context, a asker) (answer *wire.Packet, outcome Outcome, spent bool) {
	answer, outcome, err := d.admit(ctx, a)
	spent = errors.Is(err, errSpent)
	if err != nil {
		d.Log.WarnContext(ctx, "a RADIUS request could not be answered", "radius_client", a.client.ID, "request_id", a.origin.RequestID, "error", err)
		answer, outcome = nil, Unanswered
	}
	return answer, outcome, spent
}

func (d *Door) refuse(a asker, says policy.Words) (*wire.Packet, Outcome, error) {
	p := a.Response(wire.CodeAccessReject)
	add(p, rfc2865.ReplyMessage_Type, message(says))
	return p, Refused, nil
}

// admit goes one step of a sign-in, and on where it can.
func (d *Door) admit(ctx context.Context, a asker) (*wire.Packet, Outcome, error) {
	password, err := rfc2865.UserPassword_Lookup(a.Packet)
	if err != nil {
		return d.refuse(a, saysPAP) // CHAP, MS-CHAP, EAP, or nothing
	}
	login := text(a.Packet, rfc2865.UserName_Type)
	if state := a.Get(rfc2865.State_Type); len(state) > 0 {
		cookie, ok := d.opened(state, a, login)
		if !ok {
			return d.refuse(a, saysAgain)
		}
		return d.code(ctx, a, cookie, string(password))
	}
	password, code := together(password)
	step, err := d.SignIn.Password(ctx, a.origin, "", login, secret.NewText(password))
	if err != nil {
		return d.answer(a, err)
	}
	switch {
	case step.State != authn.SecondFactor:
		// Also somebody who is signed in by a password alone, where the zone takes
		// that: from outside it takes two factors (article 63-2(2)).
		says := saysWeb
		if step.State == authn.Enrol || step.State == authn.SignedIn {
			says = saysNoCode
		}
		return d.giveUp(ctx, a, step, says)
	case !contains(step.Methods, "totp"):
		return d.giveUp(ctx, a, step, saysNoCode)
	case code != "":
		return d.code(ctx, a, step.Cookie, code)
	}
	state, err := d.sealed(step.Cookie, a, login)
	if err != nil {
		return nil, "", err
	}
	p := a.Response(wire.CodeAccessChallenge)
	add(p, rfc2865.State_Type, state)
	add(p, rfc2865.ReplyMessage_Type, message(saysCode))
	addNumber(p, rfc2865.SessionTimeout_Type, uint32(max(1, d.Policy().SignIn.FlowEnd/time.Second)))
	return p, Challenged, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// together takes apart a password and a code that were typed into one field,
// "password,code". A password that itself ends in a comma and six to eight digits
// can only be used with a code behind it.
func together(typed []byte) (password []byte, code string) {
	s := string(typed)
	at := strings.LastIndexByte(s, ',')
	if at < 0 {
		return typed, ""
	}
	code = strings.TrimSpace(s[at+1:])
	if len(code) < 6 || len(code) > 8 || strings.Trim(code, "0123456789") != "" {
		return typed, ""
	}
	return typed[:at], code
}

// code is the second step, and all that follows from it.
func (d *Door) code(ctx context.Context, a asker, cookie, code string) (p *wire.Packet, outcome Outcome, err error) {
	step, err := d.SignIn.TOTP(ctx, a.origin, cookie, strings.TrimSpace(code))
	if err == nil {
		defer func() {
			if err != nil {
				err = fmt.Errorf("%w: %w", errSpent, err)
			}
		}()
	}
	if err == nil && step.State == authn.TerminalCheck {
		cookie = step.Cookie
		step, err = d.SignIn.ConfirmTerminal(ctx, a.origin, cookie)
	}
	if err != nil {
		var no *signin.NoPassage
		if refused(err) || errors.As(err, &no) {
			// This challenge is used up: the next try begins with the password.
			err = errors.Join(err, ignoreNone(d.SignIn.SignOut(ctx, a.origin, cookie)))
		}
		return d.answer(a, err)
	}
	if step.State != authn.SignedIn || step.Session == nil {
		return d.giveUp(ctx, a, step, saysWeb)
	}
	return d.decide(ctx, a, step)
}

func refused(err error) bool {
	var held *signin.Held
	return errors.Is(err, signin.ErrRefused) || errors.As(err, &held)
}

// answer is what a step that did not succeed is answered with. Its error means that
// there is no answer.
func (d *Door) answer(a asker, err error) (*wire.Packet, Outcome, error) {
	var (
		shut  *signin.ShutOut
		wrong *signin.WrongZone
		away  *signin.Away
		no    *signin.NoPassage
		own   *signin.NobodysOwn
	)
	switch {
	case errors.As(err, &away):
		return nil, "", err
	case refused(err):
		return d.refuse(a, saysRefused)
	case errors.As(err, &no):
		return d.refuse(a, saysOf(authz.Verdict{Reason: authz.Reason(no.Reason)}))
	case errors.As(err, &shut):
		return d.refuse(a, saysLocked)
	case errors.As(err, &own):
		return d.refuse(a, saysShared)
	case errors.As(err, &wrong):
		return d.refuse(a, saysZone)
	case errors.Is(err, signin.ErrNone), errors.Is(err, signin.ErrStep):
		return d.refuse(a, saysAgain)
	}
	return nil, "", err
}

func ignoreNone(err error) error {
	if errors.Is(err, signin.ErrNone) {
		return nil
	}
	return err
}

// giveUp ends a sign-in that cannot go on here, or the session that came of it.
func (d *Door) giveUp(ctx context.Context, a asker, step signin.Step, says policy.Words) (*wire.Packet, Outcome, error) {
	ctx = context.WithoutCancel(ctx)
	var err error
	if step.Session != nil {
		err = d.end(ctx, *step.Session, "not admitted from outside")
	} else {
		err = ignoreNone(d.SignIn.SignOut(ctx, a.origin, step.Cookie))
	}
	if err != nil {
		return nil, "", err
	}
	return d.refuse(a, says)
}

// end ends a session of the gate that let nobody in. That it began was told.
func (d *Door) end(ctx context.Context, n session.Session, why string) error {
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := d.endIn(ctx, tx, n.ID, why); err != nil {
			return err
		}
		return d.Over(ctx, tx, nil, n)
	})
	if err != nil {
		return err
	}
	return d.Sessions.Poll(ctx)
}

func (d *Door) endIn(ctx context.Context, tx *store.Tx, id, why string) error {
	if err := d.Sessions.End(ctx, tx, id, why); err != nil && !errors.Is(err, store.ErrUntouched) {
		return err
	}
	return nil
}

// applications are those of which Decide is asked for a client.
func (c *Client) applications(p *policy.Policy) (out []policy.Application) {
	for _, id := range c.Applications {
		app, ok := p.Application(id)
		if !ok {
			app = policy.Application{ID: id} // in no zone: refused
		}
		out = append(out, app)
	}
	if len(c.Applications) > 0 {
		return out
	}
	for _, app := range p.Applications {
		if app.Zone == c.Zone {
			out = append(out, app)
		}
	}
	return out
}

// helpful orders refusals: what its reader can do the most about comes last.
var helpful = []authz.Reason{
	authz.NotStated, authz.Unknown, authz.WrongZones, authz.Walled, authz.NotYours, authz.WrongEnvironment, authz.NoCrossing, authz.NoLease, authz.TooWeak, authz.NoRemote, authz.NoTerminal, authz.LockedDown,
}

// asks asks Decide of each application that a client stands for. Of those that are
// open the one that is open for longest counts; of refusals the most helpful one.
func (d *Door) asks(ctx context.Context, c *Client, n session.Session, f authz.Facts) (authz.Verdict, string, error) {
	p := d.Policy()
	f.Now = d.Now()
	f.SignedIn, f.Posts = true, p.PostsOf(f.Person.Groups)
	f.ACR, f.AMR, f.AuthAt, f.Terminal = n.ACR, n.AMR, n.AuthAt, n.Terminal
	// Whoever comes this way is outside, whichever network the gear lies in. What
	// lies before the gear is no zone of ours.
	f.SessionEnds, f.From, f.Outside = n.ExpiresAt, "", true
	f.Checked = true // the code was typed after the question
	if from, err := netip.ParseAddr(n.From); err == nil {
		f.Source = from
	}
	rank := func(r authz.Reason) int {
		for i, h := range helpful {
			if h == r {
				return i
			}
		}
		return 0
	}
	var (
		best authz.Verdict
		of   string
	)
	for _, app := range c.applications(p) {
		f := f
		f.Application = app
		if err := d.Know(ctx, &f, n); err != nil {
			return authz.Verdict{}, "", err
		}
		v := authz.Decide(p, f)
		yes, before := v.Allowed(f.Now), best.Allowed(f.Now)
		if of == "" || yes && (!before || v.Until.After(best.Until)) || !yes && !before && rank(v.Reason) > rank(best.Reason) {
			best, of = v, f.Application.ID
		}
	}
	return best, of, nil
}

// decide lets somebody in who has proved who they are, or refuses them.
func (d *Door) decide(ctx context.Context, a asker, step signin.Step) (*wire.Packet, Outcome, error) {
	ctx = context.WithoutCancel(ctx) // a code is spent: this is brought to its end
	n := *step.Session
	v, app, err := d.asks(ctx, a.client, n, authz.Facts{Person: step.Person})
	if err != nil {
		return nil, "", errors.Join(err, d.end(ctx, n, "could not be decided"))
	}
	now := d.Now()
	if !v.Allowed(now) {
		if err := d.noteRefusal(ctx, a, n, app, v); err != nil {
			return nil, "", errors.Join(err, d.end(ctx, n, "not admitted from outside"))
		}
		return d.giveUp(ctx, a, step, saysOf(v))
	}
	left := v.Until.Sub(now).Truncate(time.Second)
	if left < time.Second {
		return d.giveUp(ctx, a, step, saysNoPermit)
	}
	class, keyID, mac, err := d.Handles.New(session.KindRemote)
	if err != nil {
		return nil, "", err
	}
	r := Remote{
		ID: n.ID, Client: a.client.ID, Application: app, Person: n.Person, Login: n.Login, Name: n.Name, Zone: a.client.Zone,
		From: a.origin.Source.String(), Gear: a.gear.Addr().Unmap().String(), UserName: text(a.Packet, rfc2865.UserName_Type),
		AdmittedAt: now, EndsAt: now.Add(left), Permits: v.Permits,
	}
	err = d.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := d.Sessions.StillOpen(ctx, tx, n.ID); err != nil {
			return err
		}
		if err := insert(ctx, tx, r, keyID, mac); err != nil {
			return err
		}
		e := r.entry("remote.admitted", "", v.Articles)
		e.RequestID, e.Articles = a.origin.RequestID, admitting
		e.Detail["until"] = r.EndsAt.UTC().Format(time.RFC3339)
		return d.Trail.Append(ctx, tx, e)
	})
	if errors.Is(err, session.ErrNone) { // ended beside us: a lock-down, a suspension
		return d.refuse(a, saysRefused)
	}
	if err != nil {
		return nil, "", errors.Join(err, d.end(ctx, n, "could not be recorded"))
	}
	p := a.Response(wire.CodeAccessAccept)
	addNumber(p, rfc2865.SessionTimeout_Type, uint32(left/time.Second))
	add(p, rfc2865.Class_Type, []byte(class))
	// Idleness is seen by the gear alone (articles 38-6, 63-7).
	// What is configured for the gear may be sooner, not later.
	idle := uint32(d.idleEnd(a.client.Zone) / time.Second)
	for _, attribute := range a.client.Attributes {
		if attribute.typ == rfc2865.IdleTimeout_Type && len(attribute.value) == 4 {
			if n := binary.BigEndian.Uint32(attribute.value); n > 0 && (idle == 0 || n < idle) {
				idle = n
			}
		}
	}
	if idle > 0 {
		addNumber(p, rfc2865.IdleTimeout_Type, idle)
	}
	if !sets(a.client.Attributes, rfc2869.AcctInterimInterval_Type) {
		addNumber(p, rfc2869.AcctInterimInterval_Type, uint32(interim/time.Second))
	}
	for _, attribute := range a.client.Attributes {
		if attribute.typ != rfc2865.IdleTimeout_Type {
			add(p, attribute.typ, attribute.value)
		}
	}
	return p, Accepted, nil
}

// idleEnd is how long somebody who came in from outside may do nothing.
func (d *Door) idleEnd(id policy.ZoneID) time.Duration {
	p := d.Policy()
	zone, _ := p.Zone(id)
	if p.Remote.IdleEnd > 0 && p.Remote.IdleEnd < zone.IdleEnd {
		return p.Remote.IdleEnd
	}
	return zone.IdleEnd
}

// The articles that letting in, and ending, rest on.
var (
	admitting = []policy.Article{"63-1", "63-2(1)", "63-2(2)"}
	ending    = []policy.Article{"63-1", "63-7"}
)

// noteRefusal enters on the trail that somebody was not let in, once a minute for
// each person and reason.
func (d *Door) noteRefusal(ctx context.Context, a asker, n session.Session, app string, v authz.Verdict) error {
	if count, err := d.Flows.Count(ctx, "remote:"+string(n.Person)+":"+string(v.Reason), time.Minute); err != nil || count > 1 {
		return err
	}
	r := Remote{ID: n.ID, Client: a.client.ID, Application: app, Login: n.Login, Zone: n.Zone, From: a.origin.Source.String()}
	e := r.entry("remote.refused", string(v.Reason), v.Articles)
	e.Outcome, e.RequestID = audit.Refused, a.origin.RequestID
	return d.DB.WithTx(ctx, func(tx *store.Tx) error { return d.Trail.Append(ctx, tx, e) })
}

// sealed is the State of a challenge: the handle of the sign-in under way, sealed to
// the client and the name it was for. Nothing of it is kept here, so that any
// gateway of the store takes it; that it is good once and for how long, the sign-in
// itself knows.
func (d *Door) sealed(cookie string, a asker, login string) ([]byte, error) {
	b, err := d.Sealing.Seal(stateOf(a, login), []byte(cookie))
	if err != nil {
		return nil, err
	}
	if len(b) > longest {
		return nil, fmt.Errorf("a State of %d bytes does not fit", len(b))
	}
	return b, nil
}

func (d *Door) opened(state []byte, a asker, login string) (cookie string, ok bool) {
	b, err := d.Sealing.Open(stateOf(a, login), state)
	return string(b), err == nil
}

func stateOf(a asker, login string) secret.Place {
	return secret.Place{Table: "radius", Column: "state", Row: a.client.ID + "\x00" + login}
}
