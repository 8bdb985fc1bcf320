package password

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Kept is how many former passwords are remembered for each person. No policy
// can ask for more.
const Kept = 24

// ErrNoIntent says that there is no such intended change: it was settled or
// dropped before, or never written.
var ErrNoIntent = errors.New("no such intended password change")

// mixing separates these digests from everything else under the key ring.
const mixing = "password history"

const saltSize = 16

// A History recognises passwords that a person has had (article 46-2(5)). What
// is stored cannot be guessed at with the database alone: it is an HMAC, under
// a key outside the database, of an Argon2id key under the person's own salt.
//
// The person is whose history it is. Give all IDs of one human being the same
// one, and no password is used twice across them.
//
// A directory keeps its own copy of the password, so a change is two steps with
// a crash possible between them. Intend writes the digest first, then the
// directory is changed, then Settle makes the digest count, or Drop removes it
// when the directory refused. What a crash left is in Unsettled.
type History struct {
	db     *store.DB
	hasher *secret.Hasher
	ring   *secret.KeyRing
	now    clock.Now
}

// New makes a History.
func New(db *store.DB, hasher *secret.Hasher, ring *secret.KeyRing, now clock.Now) *History {
	return &History{db: db, hasher: hasher, ring: ring, now: now}
}

// A Digest is a password made comparable with one person's former ones. It holds
// the slow hash, done once; it prints nothing.
type Digest struct {
	person directory.PersonID
	key    secret.Text
}

// Format prints nothing of the digest, whatever the verb.
func (Digest) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// LogValue keeps it out of logs, whose handlers do not all ask Format.
func (Digest) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Digest does the slow hash. Call it outside any transaction: it takes about as
// long as a sign-in does and waits its turn among other hashes (secret.ErrBusy).
// Spellings that NFKC makes equal give the same digest.
func (h *History) Digest(ctx context.Context, person directory.PersonID, pw secret.Text) (Digest, error) {
	salt, err := h.salt(ctx, person)
	if err != nil {
		return Digest{}, err
	}
	key, err := h.hasher.Key(ctx, salt, norm.NFKC.Bytes(pw.Reveal()))
	if err != nil {
		return Digest{}, fmt.Errorf("hashing for the password history: %w", err)
	}
	return Digest{person: person, key: secret.NewText(key)}, nil
}

// Seen reports whether the digest is among the person's last n settled
// passwords. An intended change that is not settled does not count: whoever
// repeats it after a fault is finishing that change, not going back to an old
// password.
func (h *History) Seen(ctx context.Context, d Digest, n int) (bool, error) {
	if n <= 0 {
		return false, nil
	}
	rows, err := h.db.Query(ctx, `
		SELECT   key_id, digest
		FROM     password_history
		WHERE    person = $1 AND settled_at > 0
		ORDER BY at DESC, id DESC
		LIMIT    $2`, string(d.person), min(n, Kept))
	if err != nil {
		return false, fmt.Errorf("reading the password history: %w", err)
	}
	defer rows.Close()

	// Every row is compared whatever the ones before it said, so that the time
	// does not tell which one it was. A ring has few keys; one MAC for each.
	seen := false
	macs := map[string][]byte{}
	for rows.Next() {
		var keyID string
		var digest []byte
		if err := rows.Scan(&keyID, &digest); err != nil {
			return false, fmt.Errorf("reading the password history: %w", err)
		}
		if macs[keyID] == nil {
			if macs[keyID], err = h.mac(keyID, d); err != nil {
				return false, err
			}
		}
		if hmac.Equal(digest, macs[keyID]) {
			seen = true
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("reading the password history: %w", err)
	}
	return seen, nil
}

// Used is Digest and Seen over everything remembered.
func (h *History) Used(ctx context.Context, person directory.PersonID, pw secret.Text) (bool, error) {
	d, err := h.Digest(ctx, person, pw)
	if err != nil {
		return false, err
	}
	return h.Seen(ctx, d, Kept)
}

// Record remembers a password that is in force already: one that the directory
// has accepted before tx began.
func (h *History) Record(ctx context.Context, tx *store.Tx, d Digest) error {
	if _, err := h.insert(ctx, tx, d, h.now()); err != nil {
		return err
	}
	return prune(ctx, tx, d.person)
}

// Intend remembers that the directory is about to be given this password, and
// answers the id for Settle or Drop.
func (h *History) Intend(ctx context.Context, tx *store.Tx, d Digest) (id string, err error) {
	return h.insert(ctx, tx, d, time.Time{})
}

// Settle makes an intended change count, from the time it was intended: the
// directory holds the password. ErrNoIntent when it does not stand.
func (h *History) Settle(ctx context.Context, tx *store.Tx, id string) error {
	var person string
	err := tx.ExecOne(ctx, `
		UPDATE password_history
		SET    settled_at = $1
		WHERE  id = $2 AND settled_at = 0`, store.Micros(h.now()), id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoIntent
	}
	if err != nil {
		return fmt.Errorf("settling a password change: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT person FROM password_history WHERE id = $1`, id).Scan(&person); err != nil {
		return fmt.Errorf("settling a password change: %w", err)
	}
	return prune(ctx, tx, directory.PersonID(person))
}

// Drop forgets an intended change that the directory did not take. ErrNoIntent
// when it does not stand.
func (h *History) Drop(ctx context.Context, tx *store.Tx, id string) error {
	err := tx.ExecOne(ctx, `DELETE FROM password_history WHERE id = $1 AND settled_at = 0`, id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoIntent
	}
	if err != nil {
		return fmt.Errorf("dropping a password change: %w", err)
	}
	return nil
}

// A Pending is a change that was intended and neither settled nor dropped.
type Pending struct {
	ID     string
	Person directory.PersonID
	At     time.Time // when it was intended
}

// Unsettled lists what a crash, or a directory that went away without an answer,
// has left open; oldest first. The directory knows when it last took a password
// for the person: not before At means that it took this one.
func (h *History) Unsettled(ctx context.Context) ([]Pending, error) {
	rows, err := h.db.Query(ctx, `
		SELECT   id, person, at
		FROM     password_history
		WHERE    settled_at = 0
		ORDER BY at, id`)
	if err != nil {
		return nil, fmt.Errorf("reading unsettled password changes: %w", err)
	}
	defer rows.Close()
	var open []Pending
	for rows.Next() {
		var p Pending
		var at int64
		if err := rows.Scan(&p.ID, &p.Person, &at); err != nil {
			return nil, fmt.Errorf("reading unsettled password changes: %w", err)
		}
		p.At = store.FromMicros(at)
		open = append(open, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading unsettled password changes: %w", err)
	}
	return open, nil
}

// ChangedAt is when the person's newest settled password was chosen; zero when
// none is remembered.
func (h *History) ChangedAt(ctx context.Context, person directory.PersonID) (time.Time, error) {
	var at int64
	err := h.db.QueryRow(ctx, `
		SELECT COALESCE(MAX(at), 0)
		FROM   password_history
		WHERE  person = $1 AND settled_at > 0`, string(person)).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the age of a password: %w", err)
	}
	return store.FromMicros(at), nil
}

// ChangedSince reports whether a password of the person was settled after t. in
// is the store, or the transaction that must not go on if one was.
func ChangedSince(ctx context.Context, in store.Reader, person directory.PersonID, t time.Time) (bool, error) {
	var n int
	err := in.QueryRow(ctx, `
		SELECT COUNT(*) FROM password_history WHERE person = $1 AND settled_at > $2`, string(person), store.Micros(t)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("reading when a password was changed: %w", err)
	}
	return n > 0, nil
}

// Forget erases a person's history, for those who have left.
func (h *History) Forget(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	for _, q := range []string{
		`DELETE FROM password_history WHERE person = $1`,
		`DELETE FROM password_salt WHERE person = $1`,
	} {
		if _, err := tx.Exec(ctx, q, string(person)); err != nil {
			return fmt.Errorf("erasing a password history: %w", err)
		}
	}
	return nil
}

// ExpiresAt is when a password chosen at changedAt is too old under the rules: it has
// reached its age, or its fiscal year is over. The zero time: never, as by default.
func ExpiresAt(rules policy.PasswordRules, changedAt time.Time) time.Time {
	var at time.Time
	if rules.MaxAge > 0 {
		at = changedAt.Add(rules.MaxAge)
	}
	if rules.FiscalYearEnd {
		if year := policy.FiscalYearEnd(changedAt); at.IsZero() || year.Before(at) {
			at = year
		}
	}
	return at
}

// Expired reports whether a password chosen at changedAt is too old under the
// rules; a zero changedAt, whose age nobody knows, is too old for rules that set one.
// Nothing is written down, so that a clock that ran ahead has made nobody's password
// older once it is put right.
func Expired(rules policy.PasswordRules, changedAt, now time.Time) bool {
	at := ExpiresAt(rules, changedAt)
	return !at.IsZero() && !now.Before(at)
}

// lastWarning is how many days before a password is too old its owner hears of it for
// the last time.
const lastWarning = 3

// WarnedSince says since when the owner of a password is to have heard that it must be
// changed soon: so many days before by the rules, and again three days before. The zero
// time: not yet, not at all, or it is too old already and the sign-in asks for another.
// Of one whose age nobody knows nothing can be said beforehand.
func WarnedSince(rules policy.PasswordRules, changedAt, now time.Time) time.Time {
	at := ExpiresAt(rules, changedAt)
	if at.IsZero() || changedAt.IsZero() || !now.Before(at) {
		return time.Time{}
	}
	for _, days := range []int{min(lastWarning, rules.WarnDays), rules.WarnDays} {
		if since := at.Add(-time.Duration(days) * 24 * time.Hour); !now.Before(since) {
			return since
		}
	}
	return time.Time{}
}

// insert writes a digest under the current key; a zero settled leaves it
// pending.
func (h *History) insert(ctx context.Context, tx *store.Tx, d Digest, settled time.Time) (string, error) {
	if d.key.IsEmpty() {
		return "", errors.New("remembering a password: the digest is empty")
	}
	keyID := h.ring.CurrentID()
	mac, err := h.mac(keyID, d)
	if err != nil {
		return "", err
	}
	id := secret.Token(16)
	err = tx.ExecOne(ctx, `
		INSERT INTO password_history (id, person, key_id, digest, at, settled_at)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		id, string(d.person), keyID, mac, store.Micros(h.now()), store.Micros(settled))
	if err != nil {
		return "", fmt.Errorf("remembering a password: %w", err)
	}
	return id, nil
}

// prune keeps the newest Kept settled digests.
func prune(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM password_history
		WHERE  person = $1 AND settled_at > 0 AND id NOT IN (
			SELECT   id
			FROM     password_history
			WHERE    person = $1 AND settled_at > 0
			ORDER BY at DESC, id DESC
			LIMIT    $2)`, string(person), Kept)
	if err != nil {
		return fmt.Errorf("pruning a password history: %w", err)
	}
	return nil
}

func (h *History) mac(keyID string, d Digest) ([]byte, error) {
	mac, err := h.ring.MAC(keyID, mixing, []byte(d.person), d.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keying the password history: %w", err)
	}
	return mac, nil
}

// salt reads the person's salt and makes it at the first password. Two that race
// both end with the one that was inserted first.
func (h *History) salt(ctx context.Context, person directory.PersonID) ([]byte, error) {
	const read = `SELECT salt FROM password_salt WHERE person = $1`
	var salt []byte
	err := h.db.QueryRow(ctx, read, string(person)).Scan(&salt)
	if err == nil {
		return salt, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading the salt of a password history: %w", err)
	}
	fresh := secret.Bytes(saltSize)
	err = h.db.WithTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO password_salt (person, salt) VALUES ($1, $2)
			ON CONFLICT (person) DO NOTHING`, string(person), fresh); err != nil {
			return err
		}
		return tx.QueryRow(ctx, read, string(person)).Scan(&salt)
	})
	if err != nil {
		return nil, fmt.Errorf("making the salt of a password history: %w", err)
	}
	return salt, nil
}
