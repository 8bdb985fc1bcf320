package restore

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Backup is what is known of a file before it is put in a store's place.
type Backup struct {
	File   string    `json:"file"`   // its name, without its folder
	Digest string    `json:"digest"` // SHA-256 of the encrypted file, hexadecimal
	MadeAt time.Time `json:"made_at"`
	Policy int64     `json:"policy"` // the version in force in it
	Trail  int64     `json:"trail"`  // how many entries its trail has
}

// A Proposal is a backup that somebody at a terminal would put in the place of a
// store in use.
type Proposal struct {
	ID    string
	Login string
	At    time.Time
	Backup
}

var articles = []policy.Article{"16-1", "51-1"}

var (
	// ErrNoProposal says that nothing of this id was proposed.
	ErrNoProposal = errors.New("no such restore was proposed")
	// ErrOtherFile says that another file was proposed under this id.
	ErrOtherFile = errors.New("another backup was proposed")
	// ErrUnknownKey means that the policy does not name this sealed key.
	ErrUnknownKey = errors.New("the policy does not name this sealed key")
)

const columns = `id, login, body, proposed_at`

func scan(row store.Row) (Proposal, error) {
	var (
		p    Proposal
		body string
		at   int64
	)
	if err := row.Scan(&p.ID, &p.Login, &body, &at); err != nil {
		return Proposal{}, err
	}
	p.At = store.FromMicros(at)
	return p, json.Unmarshal([]byte(body), &p.Backup)
}

func byID(ctx context.Context, in store.Reader, id string) (Proposal, error) {
	p, err := scan(in.QueryRow(ctx, `SELECT `+columns+` FROM restore_proposal WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Proposal{}, ErrNoProposal
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("reading a proposed restore: %w", err)
	}
	return p, nil
}

// A Standing is how far a proposal has come.
type Standing struct {
	Proposal
	Matter approval.View // its zero value: no gate has asked anybody yet
	Good   time.Time     // approved, and good until then; zero: not
}

// State is that of the matter, Pending before anybody was asked.
func (s Standing) State() approval.State {
	if s.Matter.ID == "" {
		return approval.Pending
	}
	return s.Matter.At()
}

// open reports whether it may still come to something.
func (s Standing) open(now time.Time, within time.Duration) bool {
	if s.Matter.ID == "" {
		return now.Before(s.At.Add(within))
	}
	return s.State() == approval.Pending || !s.Good.IsZero()
}

func standingOf(ctx context.Context, in store.Reader, p Proposal, now time.Time, within time.Duration) (Standing, error) {
	s := Standing{Proposal: p}
	v, err := approval.Read(ctx, in, p.ID, now)
	switch {
	case errors.Is(err, approval.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.Matter = v
	if v.Matter.Usable(now, within) {
		s.Good = v.SettledAt().Add(within)
	}
	return s, nil
}

// Find is how far the proposal of a file has come: the one of that id, or where id
// is empty the newest that may still come to something. ok is false where there is
// none. An approval is good for as long as within.
func Find(ctx context.Context, in store.Reader, digest, id string, now time.Time, within time.Duration) (s Standing, ok bool, err error) {
	if id != "" {
		p, err := byID(ctx, in, id)
		if err == nil && p.Digest != digest {
			err = ErrOtherFile
		}
		if err != nil {
			return s, false, err
		}
		s, err = standingOf(ctx, in, p, now, within)
		return s, err == nil, err
	}
	all, err := store.All(ctx, in, "proposed restores", scan,
		`SELECT `+columns+` FROM restore_proposal WHERE digest = $1 ORDER BY proposed_at DESC, id LIMIT 20`, digest)
	for _, p := range all {
		if s, err = standingOf(ctx, in, p, now, within); err != nil || s.open(now, within) {
			return s, err == nil, err
		}
	}
	return Standing{}, false, err
}

// Propose asks for a second person. The gates that run put it before those who
// decide.
func Propose(ctx context.Context, db *store.DB, trail *audit.Trail, login string, b Backup, now time.Time) (Proposal, error) {
	if err := trail.MayBegin(); err != nil {
		return Proposal{}, fmt.Errorf("proposing a restore: %w", err)
	}
	p := Proposal{ID: "restore-" + secret.Token(12), Login: login, At: now.UTC().Truncate(time.Microsecond), Backup: b}
	body, err := json.Marshal(b)
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a restore: %w", err)
	}
	err = db.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `INSERT INTO restore_proposal (id, login, digest, body, proposed_at) VALUES ($1, $2, $3, $4, $5)`,
			p.ID, p.Login, p.Digest, string(body), store.Micros(p.At))
		if err != nil {
			return err
		}
		return trail.Append(ctx, tx, audit.Entry{
			Actor: login, Action: "restore.proposed", Object: p.ID, Outcome: audit.OK, Articles: articles, Detail: b.detail(),
		})
	})
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a restore: %w", err)
	}
	return p, nil
}

func (b Backup) detail() map[string]string {
	return map[string]string{
		"file": b.File, "sha256": b.Digest, "made_at": b.MadeAt.UTC().Format(time.RFC3339),
		"policy": strconv.FormatInt(b.Policy, 10), "trail": strconv.FormatInt(b.Trail, 10),
	}
}

// A Warrant is what lets a store in use be replaced: the approval of a second
// person, or a sealed key.
type Warrant struct {
	Backup
	by      Standing
	sealed  string // the public half of the key; "" for none
	decided approval.Decided
	within  time.Duration
}

// Approved is the warrant of an approval that is good.
func Approved(s Standing, within time.Duration) (Warrant, error) {
	if s.Good.IsZero() {
		return Warrant{}, approval.ErrNotApproved
	}
	return Warrant{Backup: s.Backup, by: s, within: within}, nil
}

// BySealedKey is the warrant of a sealed key that the policy in force names.
func BySealedKey(p *policy.Policy, key ed25519.PrivateKey, b Backup, operator string, now time.Time) (Warrant, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || !p.LockDown.Sealed(public) {
		return Warrant{}, ErrUnknownKey
	}
	id := "restore-" + secret.Token(12)
	m := approval.Matter{
		ID: id, Kind: approval.Restoration, Subject: id, Reason: "封印した鍵による復元", Articles: articles, Detail: b.detail(),
	}
	if len(p.Zones) > 0 {
		m.Zone = p.Zones[0].ID
	}
	return Warrant{
		Backup: b, sealed: policy.SealedKeyPrefix + base64.StdEncoding.EncodeToString(public),
		decided: approval.BySealedKey(m, operator, now, p.Approval.ReviewWithin),
	}, nil
}

// Sealed reports whether a sealed key took the place of the second person.
func (w Warrant) Sealed() bool { return w.sealed != "" }

// Approvers are the logins of those who said yes.
func (w Warrant) Approvers() []string {
	var out []string
	for _, d := range w.by.Matter.Decisions {
		if d.Yes {
			out = append(out, d.By.Login)
		}
	}
	return out
}

// Detail is what the trail says of a warrant.
func (w Warrant) Detail() map[string]string {
	out := w.Backup.detail()
	if w.Sealed() {
		out["sealed_key"] = w.sealed
		return out
	}
	out["proposal"], out["proposed_by"] = w.by.ID, w.by.Login
	for i, login := range w.Approvers() {
		out["approved_by"+map[bool]string{true: "", false: "_" + strconv.Itoa(i+1)}[i == 0]] = login
	}
	return out
}

// SetAside uses the warrant up, in the store that goes, and begins an epoch there
// that no gateway knows: whichever of them is still on it notices, and stops; and none
// begins to work on it any more. It is the last entry of that store's trail. A store
// that is not in the epoch that the caller has looked at is not touched: ErrReplaced.
func (w *Warrant) SetAside(ctx context.Context, db *store.DB, trail *audit.Trail, operator string, still int64, now time.Time) (epoch int64, err error) {
	err = db.WithTx(ctx, func(tx *store.Tx) error {
		var is int64
		if err := tx.QueryRow(ctx, `SELECT epoch FROM store_epoch WHERE id = 1`).Scan(&is); err != nil {
			return err
		}
		if is != still {
			return store.ErrReplaced
		}
		action, entry := "restore.begun", w.Detail()
		if w.Sealed() {
			action = "restore.by_sealed_key"
			if err := approval.Record(ctx, tx, w.decided); err != nil {
				return err
			}
		} else if err := approval.Spend(ctx, tx, w.by.ID, approval.Restoration, w.by.Matter.Requester, w.within, now); err != nil {
			return err
		}
		if epoch, err = store.NextEpoch(ctx, tx, 0, now); err != nil {
			return err
		}
		if err := store.SetAside(ctx, tx, now); err != nil {
			return err
		}
		return trail.Append(ctx, tx, audit.Entry{Actor: operator, Action: action, Object: w.File, Outcome: audit.OK, Articles: articles, Detail: entry})
	})
	if err != nil {
		return 0, fmt.Errorf("putting a store aside: %w", err)
	}
	w.decided.At = now
	return epoch, nil
}

// Abandon takes a store back into use that was set aside, and in whose place nothing
// came. It begins an epoch, so that a restore which is still about to replace it does
// not. was is false for a store that was not set aside: nothing is done.
func Abandon(ctx context.Context, db *store.DB, trail *audit.Trail, operator string, now time.Time) (epoch int64, was bool, err error) {
	err = db.WithTx(ctx, func(tx *store.Tx) error {
		var since time.Time
		if since, was, err = store.Aside(ctx, tx); err != nil || !was {
			return err
		}
		if epoch, err = store.NextEpoch(ctx, tx, 0, now); err != nil {
			return err
		}
		return trail.Append(ctx, tx, audit.Entry{
			Actor: operator, Action: "restore.abandoned", Outcome: audit.OK, Articles: articles,
			Detail: map[string]string{"set_aside_at": since.Format(time.RFC3339)},
		})
	})
	if err != nil {
		return 0, false, fmt.Errorf("taking a store back into use: %w", err)
	}
	return epoch, was, nil
}

// A Done restore made a store what it is.
type Done struct {
	Backup
	By        string    `json:"by"`
	Approvers []string  `json:"approvers,omitempty"`
	Kept      int64     `json:"kept"` // entries of the trail from here to LostTo are gone; equal: none that are known of
	LostTo    int64     `json:"lost_to"`
	At        time.Time `json:"at"`
	Sealed    bool      `json:"-"`
	id        string
}

// Note writes down, in the restored store, what put it there, for those concerned to
// be told; and the decision with it, where there was one.
func Note(ctx context.Context, tx *store.Tx, d Done, w *Warrant) error {
	d.At = d.At.UTC().Truncate(time.Microsecond)
	if w != nil {
		d.Approvers, d.Sealed = w.Approvers(), w.Sealed()
		decided := w.decided
		if !d.Sealed {
			decided = approval.Decided{View: w.by.Matter, At: d.At}
		}
		if err := approval.Record(ctx, tx, decided); err != nil {
			return err
		}
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("noting a restore: %w", err)
	}
	sealed := 0
	if d.Sealed {
		sealed = 1
	}
	return tx.ExecOne(ctx, `INSERT INTO restore_done (id, body, sealed, done_at) VALUES ($1, $2, $3, $4)`,
		secret.Token(12), string(body), sealed, store.Micros(d.At))
}
