package radius

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"sekisho/authn/session"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// account writes down what gear tells of a session. It is answered when that is
// stored, and not otherwise (RFC 2866 section 4.2): gear asks again.
func (d *Door) account(ctx context.Context, c *Client, gear netip.AddrPort, p *wire.Packet) (*wire.Packet, Outcome) {
	outcome, err := d.told(ctx, c, gear, p)
	if err != nil {
		d.Log.WarnContext(ctx, "accounting could not be stored", "radius_client", c.ID, "error", err)
		return nil, Unanswered
	}
	return p.Response(wire.CodeAccountingResponse), outcome
}

func (d *Door) told(ctx context.Context, c *Client, gear netip.AddrPort, p *wire.Packet) (Outcome, error) {
	status := rfc2866.AcctStatusType(number(p, rfc2866.AcctStatusType_Type))
	if status == rfc2866.AcctStatusType_Value_AccountingOn || status == rfc2866.AcctStatusType_Value_AccountingOff {
		return Accounted, d.restarted(ctx, c, gear, p)
	}
	t, outcome := tellingOf(p), Unmatched
	ended, risen := false, false
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
		outcome, ended, risen = Unmatched, false, false
		r, classed, err := d.find(ctx, tx, c, p, t.Session)
		if errors.Is(err, ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		outcome = Accounted
		const stopped = "stop: "
		sameNumber := t.Session == "" || r.Told.Session == "" || t.Session == r.Told.Session
		goesOn := status == rfc2866.AcctStatusType_Value_Start || status == rfc2866.AcctStatusType_Value_InterimUpdate
		switch {
		case !r.EndedAt.IsZero() && (!goesOn || !classed || sameNumber && strings.HasPrefix(r.EndedWhy, stopped)):
			return nil // told again, or late
		case !goesOn && !sameNumber:
			return nil // the end of another that had this one's Class: it goes on
		}
		t := t.over(r.Told)
		r.Told = t
		now := store.Micros(d.Now())
		_, err = tx.Exec(ctx, `
			UPDATE remote_session
			SET    started_at = CASE WHEN started_at = 0 THEN $1 ELSE started_at END, heard_at = $1,
			       acct_session = $2, nas_address = $3, nas_name = $4, nas_port = $5, framed = $6, calling = $7,
			       bytes_in = CASE WHEN bytes_in > $8 THEN bytes_in ELSE $8 END, bytes_out = CASE WHEN bytes_out > $9 THEN bytes_out ELSE $9 END,
			       session_time = CASE WHEN session_time > $10 THEN session_time ELSE $10 END
			WHERE  id = $11`,
			now, t.Session, t.GearAddress, t.GearName, t.Port, t.Framed, t.Calling, t.BytesIn, t.BytesOut, t.SessionTime, r.ID)
		if err != nil {
			return err
		}
		if !r.EndedAt.IsZero() {
			risen = true
			return d.rise(ctx, tx, r)
		}
		switch status {
		case rfc2866.AcctStatusType_Value_Stop:
			ended = true
			return d.over(ctx, tx, r, stopped+t.TerminatedBy, "")
		case rfc2866.AcctStatusType_Value_Start:
			if r.StartedAt.IsZero() {
				return d.Trail.Append(ctx, tx, r.entry("remote.started", "", ending))
			}
		}
		return d.Sessions.Use(ctx, tx, session.Session{ID: r.ID})
	})
	if err == nil && ended {
		err = d.Sessions.Poll(ctx)
	}
	if err == nil && risen {
		call(d.due)
	}
	if err == nil && outcome == Unmatched {
		d.Log.InfoContext(ctx, "accounting of a session that was not begun here", "radius_client", c.ID)
	}
	return outcome, err
}

// rise has a session that was taken for over told to end again: gear says that it
// goes on. Without that, gear that forgets what it confirmed, or begins late, would
// keep somebody inside whom nobody looks for.
func (d *Door) rise(ctx context.Context, tx *store.Tx, r Remote) error {
	const why = "it goes on at the gear after its end"
	_, err := tx.Exec(ctx, `
		UPDATE remote_session
		SET    ended_at = 0, ended_why = '', cut_at = $1, cut_why = $2, cut_due = $1, cut_tries = 0, cut_answer = ''
		WHERE  id = $3`, store.Micros(d.Now()), why, r.ID)
	if err != nil {
		return err
	}
	if err := d.endIn(ctx, tx, r.ID, "remote session: "+why); err != nil {
		return err
	}
	e := r.entry("remote.cut", why, ending)
	e.Detail["ended_before"] = r.EndedWhy
	return d.Trail.Append(ctx, tx, e)
}

// over is what was told with what was told before, where it says nothing.
func (t Told) over(before Told) Told {
	for _, v := range []struct{ now, was *string }{
		{&t.Session, &before.Session}, {&t.GearAddress, &before.GearAddress}, {&t.GearName, &before.GearName},
		{&t.Framed, &before.Framed}, {&t.Calling, &before.Calling},
	} {
		if *v.now == "" {
			*v.now = *v.was
		}
	}
	if t.Port == 0 {
		t.Port = before.Port
	}
	return t
}

// find is the session that gear tells of: by its Class, which we made and nobody
// can guess, or by the gear's own number for it once that is known.
func (d *Door) find(ctx context.Context, in store.Reader, c *Client, p *wire.Packet, number string) (r Remote, classed bool, err error) {
	for _, a := range p.Attributes {
		if a.Type != rfc2865.Class_Type {
			continue
		}
		mac, ok := d.Handles.MAC(session.KindRemote, string(a.Attribute))
		if !ok {
			continue
		}
		r, err = scan(in.QueryRow(ctx, `SELECT `+columns+` FROM remote_session WHERE class_mac = $1 AND client = $2`, mac, c.ID))
		return r, true, err
	}
	if number == "" {
		return Remote{}, false, ErrNone
	}
	r, err = scan(in.QueryRow(ctx, `
		SELECT `+columns+` FROM remote_session
		WHERE  client = $1 AND acct_session = $2 AND user_name = $3
		ORDER  BY admitted_at DESC LIMIT 1`, c.ID, number, text(p, rfc2865.UserName_Type)))
	return r, false, err
}

// tellingOf reads accounting. Gear counts in 32 bits and says how often they ran over.
func tellingOf(p *wire.Packet) Told {
	t := Told{
		Session: clip(text(p, rfc2866.AcctSessionID_Type)), GearName: clip(text(p, rfc2865.NASIdentifier_Type)),
		Calling: clip(text(p, rfc2865.CallingStationID_Type)), Port: number(p, rfc2865.NASPort_Type),
		BytesIn:     number(p, rfc2869.AcctInputGigawords_Type)<<32 + number(p, rfc2866.AcctInputOctets_Type),
		BytesOut:    number(p, rfc2869.AcctOutputGigawords_Type)<<32 + number(p, rfc2866.AcctOutputOctets_Type),
		SessionTime: number(p, rfc2866.AcctSessionTime_Type), TerminatedBy: "unknown",
	}
	for _, v := range []struct {
		typ  wire.Type
		into *string
	}{{rfc2865.NASIPAddress_Type, &t.GearAddress}, {rfc2865.FramedIPAddress_Type, &t.Framed}} {
		if a, ok := netip.AddrFromSlice(p.Get(v.typ)); ok {
			*v.into = a.String()
		}
	}
	if n := number(p, rfc2866.AcctTerminateCause_Type); n > 0 {
		t.TerminatedBy = strconv.FormatInt(n, 10)
		if name, ok := rfc2866.AcctTerminateCause_Strings[rfc2866.AcctTerminateCause(n)]; ok {
			t.TerminatedBy = name
		}
	}
	return t
}

// clip cuts what gear sends to what an attribute can hold.
func clip(s string) string { return s[:min(len(s), longest)] }

// restarted ends all sessions of gear that says it has begun anew, or is about to
// stop (RFC 2866 section 5.1).
func (d *Door) restarted(ctx context.Context, c *Client, gear netip.AddrPort, p *wire.Packet) error {
	name, address := text(p, rfc2865.NASIdentifier_Type), ""
	if a, ok := netip.AddrFromSlice(p.Get(rfc2865.NASIPAddress_Type)); ok {
		address = a.String()
	}
	// Behind a proxy several gears ask from one address: only those of this one end,
	// as far as both said who they are. Where they did not, nobody knows whether a
	// session has ended, and it is ended.
	const notMine, unknown, mine = 0, 1, 2
	whose := func(r Remote) int {
		compared := unknown
		for _, v := range [][2]string{{r.Told.GearName, name}, {r.Told.GearAddress, address}} {
			switch {
			case v[0] == "" || v[1] == "":
			case v[0] != v[1]:
				return notMine
			default:
				compared = mine
			}
		}
		if compared == unknown && r.Gear != gear.Addr().Unmap().String() {
			return notMine
		}
		return compared
	}
	cut := false
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
		open, err := store.All(ctx, tx, "the remote sessions of a client", scan,
			`SELECT `+columns+` FROM remote_session WHERE client = $1 AND ended_at = 0`, c.ID)
		if err != nil {
			return err
		}
		ended := 0
		cut = false
		for _, r := range open {
			switch whose(r) {
			case notMine:
				continue
			case unknown:
				cut = true
				if err := d.intendIn(ctx, tx, r, "the gear may have begun anew", ending); err != nil {
					return err
				}
				continue
			}
			ended++
			if err := d.over(ctx, tx, r, "the gear began anew", ""); err != nil {
				return err
			}
		}
		if ended == 0 {
			return nil
		}
		return d.Trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "remote.gear_restarted", Object: c.ID, Outcome: audit.OK, From: gear.Addr().Unmap().String(),
			Articles: []policy.Article{"63-7"}, Detail: map[string]string{"sessions": strconv.Itoa(ended)},
		})
	})
	if err != nil {
		return err
	}
	if cut {
		call(d.due)
	}
	return d.Sessions.Poll(ctx)
}

// kept is how long the rows of sessions that are over are kept for who looks on; the
// trail keeps what happened.
const kept = 30 * 24 * time.Hour

// Tidy removes rows that are long over.
func (d *Door) Tidy(ctx context.Context) error {
	return d.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM remote_session WHERE ended_at > 0 AND ended_at < $1`, store.Micros(d.Now().Add(-kept)))
		return err
	})
}
