package grant

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// body is a lease as it is stored, less what has a column of its own.
type body struct {
	By            Ref           `json:"by"`
	Zone          policy.ZoneID `json:"zone,omitempty"`
	Reason        string        `json:"reason"`
	Ticket        string        `json:"ticket,omitempty"`
	Asked         time.Duration `json:"asked"`
	PolicyVersion int64         `json:"policy_version"`
	Gives         []policy.Gift `json:"gives,omitempty"`
	Wish          string        `json:"wish,omitempty"`

	LapsesAt      int64  `json:"lapses_at,omitempty"`
	ApprovedAt    int64  `json:"approved_at,omitempty"`
	ApprovedUntil int64  `json:"approved_until,omitempty"`
	StartedAt     int64  `json:"started_at,omitempty"`
	Limit         int64  `json:"limit,omitempty"`
	EndedAt       int64  `json:"ended_at,omitempty"`
	EndedBy       Ref    `json:"ended_by"`
	EndReason     string `json:"end_reason,omitempty"`

	Emergency bool `json:"emergency,omitempty"`
	Times     int  `json:"times,omitempty"`

	TwoPerson    bool          `json:"two_person,omitempty"`
	WitnessEvery time.Duration `json:"witness_every,omitempty"`
	ReadyAt      int64         `json:"ready_at,omitempty"`
	Witness      Ref           `json:"witness"`
	WitnessDue   int64         `json:"witness_due,omitempty"`
	Suspended    bool          `json:"suspended,omitempty"`

	Outlives bool `json:"outlives,omitempty"`

	MoreFor    time.Duration `json:"more_for,omitempty"`
	MoreLapses int64         `json:"more_lapses,omitempty"`

	RecordAsked   bool          `json:"record_asked,omitempty"`
	RecordWithin  time.Duration `json:"record_within,omitempty"`
	RecordText    string        `json:"record_text,omitempty"`
	RecordAt      int64         `json:"record_at,omitempty"`
	Countersigned Ref           `json:"countersigned"`
	CountersignAt int64         `json:"countersigned_at,omitempty"`
	Countersign   string        `json:"countersign,omitempty"`

	JudgedBy  Ref    `json:"judged_by"`
	JudgedAt  int64  `json:"judged_at,omitempty"`
	Judgement string `json:"judgement,omitempty"`

	Account    string `json:"account,omitempty"`
	Activation string `json:"activation,omitempty"`
	Activating int64  `json:"activating,omitempty"`
	NotAfter   int64  `json:"not_after,omitempty"`

	ToldEnding  bool `json:"told_ending,omitempty"`
	ToldOverdue bool `json:"told_overdue,omitempty"`
}

func (l Lease) body() ([]byte, error) {
	at := store.Micros
	return json.Marshal(body{
		By: l.By, Zone: l.Zone, Reason: l.Reason, Ticket: l.Ticket, Asked: l.Asked, PolicyVersion: l.PolicyVersion, Gives: l.Gives, Wish: l.wish,
		LapsesAt: at(l.LapsesAt), ApprovedAt: at(l.ApprovedAt), ApprovedUntil: at(l.ApprovedUntil), StartedAt: at(l.StartedAt), Limit: at(l.limit),
		EndedAt: at(l.EndedAt), EndedBy: l.EndedBy, EndReason: l.EndReason, Emergency: l.Emergency, Times: l.Times,
		TwoPerson: l.TwoPerson, WitnessEvery: l.WitnessEvery, ReadyAt: at(l.ReadyAt), Witness: l.Witness, WitnessDue: at(l.WitnessDue), Suspended: l.suspended,
		Outlives: l.Outlives, MoreFor: l.Extension.For, MoreLapses: at(l.Extension.LapsesAt),
		RecordAsked: l.Record.Asked, RecordWithin: l.Record.Within, RecordText: l.Record.Text, RecordAt: at(l.Record.WrittenAt),
		Countersigned: l.Record.Countersigned, CountersignAt: at(l.Record.At), Countersign: l.Record.Comment,
		JudgedBy: l.Judgement.By, JudgedAt: at(l.Judgement.At), Judgement: l.Judgement.Comment,
		Account: l.Account, Activation: l.activation, Activating: at(l.activating), NotAfter: at(l.notAfter),
		ToldEnding: l.toldEnding, ToldOverdue: l.toldOverdue,
	})
}

const columns = `id, privilege, person_id, state, version, asked_at, ends_at, matter, extension, incident, session_id, body`

func scan(row store.Row) (Lease, error) {
	var (
		l             Lease
		person, state string
		asked, ends   int64
		text          string
		b             body
	)
	err := row.Scan(&l.ID, &l.Privilege, &person, &state, &l.version, &asked, &ends, &l.Matter, &l.Extension.Matter, &l.Incident, &l.Session, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return Lease{}, ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return Lease{}, fmt.Errorf("reading a lease: %w", err)
	}
	if b.By.ID != directory.PersonID(person) {
		return Lease{}, fmt.Errorf("reading lease %s: it is another's than its row says", l.ID)
	}
	at := store.FromMicros
	l.state, l.AskedAt, l.endsAt = State(state), at(asked), at(ends)
	l.By, l.Zone, l.Reason, l.Ticket, l.Asked, l.PolicyVersion, l.Gives, l.wish = b.By, b.Zone, b.Reason, b.Ticket, b.Asked, b.PolicyVersion, b.Gives, b.Wish
	l.LapsesAt, l.ApprovedAt, l.ApprovedUntil, l.StartedAt, l.limit = at(b.LapsesAt), at(b.ApprovedAt), at(b.ApprovedUntil), at(b.StartedAt), at(b.Limit)
	l.EndedAt, l.EndedBy, l.EndReason, l.Emergency, l.Times = at(b.EndedAt), b.EndedBy, b.EndReason, b.Emergency, b.Times
	l.TwoPerson, l.WitnessEvery, l.ReadyAt, l.Witness, l.WitnessDue, l.suspended = b.TwoPerson, b.WitnessEvery, at(b.ReadyAt), b.Witness, at(b.WitnessDue), b.Suspended
	l.Outlives, l.Extension.For, l.Extension.LapsesAt = b.Outlives, b.MoreFor, at(b.MoreLapses)
	l.Record = Record{b.RecordAsked, b.RecordWithin, b.RecordText, at(b.RecordAt), b.Countersigned, at(b.CountersignAt), b.Countersign}
	l.Judgement = Judgement{b.JudgedBy, at(b.JudgedAt), b.Judgement}
	l.Account, l.activation, l.activating, l.notAfter = b.Account, b.Activation, at(b.Activating), at(b.NotAfter)
	l.toldEnding, l.toldOverdue = b.ToldEnding, b.ToldOverdue
	return l, nil
}

// owes reports whether something is still to be said about a lease that was
// active: its record, whoever confirms that, and the CIO's word on one that nobody
// approved.
func (l Lease) owes() bool {
	if l.StartedAt.IsZero() {
		return false
	}
	return (l.Record.Asked || l.Emergency) && l.Record.At.IsZero() || l.Emergency && l.Judgement.At.IsZero()
}

func insert(ctx context.Context, tx *store.Tx, l Lease, now time.Time) (made bool, err error) {
	text, err := l.body()
	if err != nil {
		return false, fmt.Errorf("storing a lease: %w", err)
	}
	err = tx.ExecOne(ctx, `
		INSERT INTO lease (id, privilege, person_id, state, version, asked_at, ends_at, due_at, matter, extension, incident, session_id, owes, changed_at, body)
		VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, '', $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO NOTHING`,
		l.ID, l.Privilege, string(l.By.ID), string(l.state), store.Micros(l.AskedAt), store.Micros(l.endsAt), store.Micros(l.due()), l.Matter,
		l.Incident, l.Session, l.owes(), store.Micros(now), string(text))
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("storing a lease: %w", err)
	}
	return true, nil
}

// save writes a lease back if nobody else has since it was read. The guard is in
// the WHERE clause: two who change one lease can race, and only the database
// sees both.
func save(ctx context.Context, tx *store.Tx, l Lease, now time.Time) error {
	text, err := l.body()
	if err != nil {
		return fmt.Errorf("storing a lease: %w", err)
	}
	err = tx.ExecOne(ctx, `
		UPDATE lease
		SET    state = $1, version = version + 1, ends_at = $2, due_at = $3, matter = $4, extension = $5, session_id = $6, owes = $7, changed_at = $8, body = $9
		WHERE  id = $10 AND version = $11`,
		string(l.state), store.Micros(l.endsAt), store.Micros(l.due()), l.Matter, l.Extension.Matter, l.Session, l.owes(), store.Micros(now), string(text),
		l.ID, l.version)
	if err != nil {
		return fmt.Errorf("storing lease %s: %w", l.ID, err)
	}
	return nil
}

func read(ctx context.Context, in store.Reader, id string) (Lease, error) {
	return scan(in.QueryRow(ctx, `SELECT `+columns+` FROM lease WHERE id = $1`, id))
}

func list(ctx context.Context, in store.Reader, where string, args ...any) ([]Lease, error) {
	return store.All(ctx, in, "leases", scan, `SELECT `+columns+` FROM lease WHERE `+where, args...)
}

// ofPerson are the leases that count when somebody asks for another: open ones,
// ones that owe something, and those that may be cooling down from.
func ofPerson(ctx context.Context, in store.Reader, who directory.PersonID, now time.Time) ([]Lease, error) {
	return list(ctx, in, `person_id = $1 AND (state IN ('pending', 'approved', 'active') OR owes = 1 OR asked_at > $2) ORDER BY asked_at DESC`,
		string(who), store.Micros(now.Add(-coolingAtMost)))
}

// coolingAtMost is longer than a request, its approval, its longest time and the
// longest cool-down take together.
const coolingAtMost = 14 * 24 * time.Hour
