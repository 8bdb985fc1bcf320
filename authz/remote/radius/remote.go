package radius

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Remote is somebody's session through gear, as far as it has told.
type Remote struct {
	ID          string // of the gate's session it hangs on
	Client      string
	Application string // for whose sake they were let in
	Person      directory.PersonID
	Login, Name string
	Zone        policy.ZoneID
	From        string   // where they come from, as the gear says
	Gear        string   // address that the gear asked from
	UserName    string   // as they typed it: the gear knows them by it
	Permits     []string // ids of those that they were let in by

	AdmittedAt time.Time
	EndsAt     time.Time // what the gear was told
	StartedAt  time.Time // by its accounting; zero: it has not told, or tells nothing
	HeardAt    time.Time // when it last told of the session
	Told       Told
	EndedAt    time.Time // when it is known to be over
	EndedWhy   string

	CutAt     time.Time // when it was to end before its time; zero: not
	CutWhy    string
	CutTries  int
	CutAnswer string // of the gear, "" for none yet
}

// Told is what accounting says of a session, in the gear's own words.
type Told struct {
	Session      string // Acct-Session-Id
	GearAddress  string // NAS-IP-Address
	GearName     string // NAS-Identifier
	Port         int64  // NAS-Port
	Framed       string // Framed-IP-Address: theirs inside
	Calling      string // Calling-Station-Id
	BytesIn      int64
	BytesOut     int64
	SessionTime  int64 // seconds
	TerminatedBy string
}

// Open reports whether it may still go on at a time, as far as is known.
func (r Remote) Open(now time.Time) bool { return r.EndedAt.IsZero() && now.Before(r.EndsAt) }

// ErrNone means that there is no such remote session.
var ErrNone = errors.New("no such remote session")

const columns = `id, client, application, person_id, login, name, zone, source, gear, user_name,
	admitted_at, ends_at, started_at, heard_at, acct_session, nas_address, nas_name, nas_port, framed, calling,
	bytes_in, bytes_out, session_time, ended_at, ended_why, cut_at, cut_why, cut_tries, cut_answer, permits`

func scan(row store.Row) (r Remote, err error) { return r, scanInto(row, &r) }

func scanInto(row store.Row, r *Remote, more ...any) error {
	var (
		admitted, ends, started, heard, ended, cut int64
		permits                                    string
	)
	into := append([]any{
		&r.ID, &r.Client, &r.Application, &r.Person, &r.Login, &r.Name, &r.Zone, &r.From, &r.Gear, &r.UserName,
		&admitted, &ends, &started, &heard, &r.Told.Session, &r.Told.GearAddress, &r.Told.GearName, &r.Told.Port, &r.Told.Framed, &r.Told.Calling,
		&r.Told.BytesIn, &r.Told.BytesOut, &r.Told.SessionTime, &ended, &r.EndedWhy, &cut, &r.CutWhy, &r.CutTries, &r.CutAnswer, &permits,
	}, more...)
	err := row.Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNone
	}
	if err != nil {
		return fmt.Errorf("reading a remote session: %w", err)
	}
	r.AdmittedAt, r.EndsAt, r.StartedAt = store.FromMicros(admitted), store.FromMicros(ends), store.FromMicros(started)
	r.Permits = strings.Fields(permits)
	r.HeardAt, r.EndedAt, r.CutAt = store.FromMicros(heard), store.FromMicros(ended), store.FromMicros(cut)
	return nil
}

func insert(ctx context.Context, tx *store.Tx, r Remote, keyID, mac string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO remote_session (class_key, class_mac, id, client, application, person_id, login, name, zone, source, gear, user_name, admitted_at, ends_at, permits)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		keyID, mac, r.ID, r.Client, r.Application, string(r.Person), r.Login, r.Name, string(r.Zone), r.From, r.Gear, r.UserName,
		store.Micros(r.AdmittedAt), store.Micros(r.EndsAt), strings.Join(r.Permits, " "))
	if err != nil {
		return fmt.Errorf("recording a remote session: %w", err)
	}
	return nil
}

// stillIn reports whether a session goes on that a client was once told to let in.
func (d *Door) stillIn(ctx context.Context, c *Client, class string) (bool, error) {
	mac, ok := d.Handles.MAC(session.KindRemote, class)
	if !ok {
		return false, nil
	}
	var n int
	err := d.DB.QueryRow(ctx, `
		SELECT COUNT(*) FROM remote_session r JOIN session s ON s.id = r.id
		WHERE  r.class_mac = $1 AND r.client = $2 AND r.ended_at = 0 AND r.cut_at = 0 AND s.ended_at = 0`, mac, c.ID).Scan(&n)
	return n > 0, err
}

// entry begins an entry of the trail about a remote session.
func (r Remote) entry(action, reason string, articles []policy.Article) audit.Entry {
	e := audit.Entry{
		Actor: r.Login, Action: action, Object: r.Application, Outcome: audit.OK, Reason: reason, Articles: articles,
		From: r.From, Zone: string(r.Zone), Detail: map[string]string{"session": r.ID, "client": r.Client},
	}
	if r.Told.Session != "" {
		e.Detail["acct_session"] = r.Told.Session
	}
	return e
}

// over writes down that a session is over, with the end of the gate's own. Whether
// it was so already, the row decides.
func (d *Door) over(ctx context.Context, tx *store.Tx, r Remote, why, answer string) error {
	now := d.Now()
	err := tx.ExecOne(ctx, `
		UPDATE remote_session SET ended_at = $1, ended_why = $2, cut_answer = CASE WHEN $3 = '' THEN cut_answer ELSE $3 END, cut_due = 0
		WHERE  id = $4 AND ended_at = 0`, store.Micros(now), why, answer, r.ID)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recording the end of a remote session: %w", err)
	}
	if err := d.endIn(ctx, tx, r.ID, "remote session over: "+why); err != nil {
		return err
	}
	if err := d.tellOver(ctx, tx, r); err != nil {
		return err
	}
	e := r.entry("remote.ended", why, ending)
	e.Detail["seconds"] = strconv.FormatInt(int64(now.Sub(r.AdmittedAt)/time.Second), 10)
	e.Detail["bytes_in"], e.Detail["bytes_out"] = strconv.FormatInt(r.Told.BytesIn, 10), strconv.FormatInt(r.Told.BytesOut, 10)
	if answer != "" {
		e.Detail["answer"] = answer
	}
	return d.Trail.Append(ctx, tx, e)
}

// tellOver tells of the end of a session, once: gear may say after it that the session
// goes on, and it ends again (rise).
func (d *Door) tellOver(ctx context.Context, tx *store.Tx, r Remote) error {
	err := tx.ExecOne(ctx, `UPDATE remote_session SET over_told = $1 WHERE id = $2 AND over_told = 0`, store.Micros(d.Now()), r.ID)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("noting that the end of a remote session is told: %w", err)
	}
	return d.Over(ctx, tx, r.Permits, session.Session{ID: r.ID, Person: r.Person, Login: r.Login, Name: r.Name, Zone: r.Zone, From: r.From, Outside: true})
}

// Live are the remote sessions that go on, or that were to end and of which nobody
// knows yet that they have; the newest first.
func (d *Door) Live(ctx context.Context) ([]Remote, error) {
	return store.All(ctx, d.DB, "the remote sessions", scan, `
		SELECT `+columns+` FROM remote_session WHERE ended_at = 0 ORDER BY admitted_at DESC, id LIMIT 1000`)
}

// Levels are how many remote sessions go on, and how many were to end and have not
// been seen to, with the time since which the oldest of those should have been gone.
type Levels struct {
	Open, Cutting int
	Oldest        time.Time
}

// Levels asks the store.
func (d *Door) Levels(ctx context.Context) (l Levels, err error) {
	var oldest int64
	err = d.DB.QueryRow(ctx, `
		SELECT COALESCE(SUM(CASE WHEN cut_at = 0 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN cut_at > 0 THEN 1 ELSE 0 END), 0),
		       COALESCE(MIN(CASE WHEN cut_at > 0 THEN cut_at END), 0)
		FROM   remote_session WHERE ended_at = 0`).Scan(&l.Open, &l.Cutting, &oldest)
	if err != nil {
		return Levels{}, fmt.Errorf("counting remote sessions: %w", err)
	}
	l.Oldest = store.FromMicros(oldest)
	return l, nil
}

// Between are the remote sessions that were admitted within a time (from ≤ t < to) or
// went on then. It reads rows alone, so that it serves a terminal too.
func Between(ctx context.Context, in store.Reader, from, to time.Time) ([]Remote, error) {
	return store.All(ctx, in, "the remote sessions", scan, `
		SELECT `+columns+` FROM remote_session
		WHERE  admitted_at < $1 AND (admitted_at >= $2 OR ended_at >= $2 OR ended_at = 0 AND ends_at >= $2) ORDER BY admitted_at, id`,
		store.Micros(to), store.Micros(from))
}
