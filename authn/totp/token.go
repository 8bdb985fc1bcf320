package totp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"sekisho/authn/totp/oath"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// The states of a token.
const (
	StateStock    = "stock"    // nobody's
	StateAssigned = "assigned" // a person's
	StateLost     = "lost"     // dead for good
)

// What bounds a page of Tokens.List.
const (
	DefaultPage = 50
	MaxPage     = 500
)

var (
	// ErrNoToken says that no token of this serial is in the inventory.
	ErrNoToken = errors.New("no such token")
	// ErrTokenState says that the token's state does not allow it: one that is
	// assigned, lost or past its date is not assigned, one in stock is not
	// taken back, and a lost one is neither found again nor set right.
	ErrTokenState = errors.New("the token's state does not allow this")
)

// A Token is a hardware token of the inventory.
type Token struct {
	Serial, Maker, Algorithm string
	Digits                   int
	Period                   time.Duration
	State                    string

	// Person has the token; of a lost one, had it. Login and Name are as they
	// were when it was assigned.
	Person      directory.PersonID
	Login, Name string

	ImportedAt, AssignedAt time.Time
	LastUsedAt             time.Time // since it was assigned
	NotBefore, NotAfter    time.Time // its maker's dates; zero: none
}

// Imported is what came of an import.
type Imported struct {
	Added int
	Known []string // serials that were there already, left as they were
}

// Tokens are the inventory of hardware tokens. What a person does with one goes
// through Devices, which has a row for it as long as it is assigned.
type Tokens struct {
	db    *store.DB
	ring  *secret.KeyRing
	now   clock.Now
	rules func() policy.TOTPRules
}

// NewTokens makes Tokens that obey the policy in force, as NewUnder does.
func NewTokens(db *store.DB, ring *secret.KeyRing, now clock.Now, rules func() policy.TOTPRules) *Tokens {
	return &Tokens{db: db, ring: ring, now: now, rules: bounded(rules)}
}

// tokenPlace binds a sealed seed to its row of the inventory.
func tokenPlace(serial string) secret.Place {
	return secret.Place{Table: "otp_token", Column: "seed", Row: serial}
}

// Import puts tokens in stock, in the caller's transaction. A serial that is
// there already keeps its row, its seed and its state: a file that is sent again
// neither takes a token from its owner nor brings a lost one back.
func (t *Tokens) Import(ctx context.Context, tx *store.Tx, seeds []oath.Seed) (Imported, error) {
	now := store.Micros(t.now())
	var done Imported
	for _, s := range seeds {
		if err := s.Check(); err != nil {
			return Imported{}, fmt.Errorf("importing a token: %w", err)
		}
		sealed, err := t.ring.Seal(tokenPlace(s.Serial), s.Key.Reveal())
		if err != nil {
			return Imported{}, fmt.Errorf("sealing the seed of a token: %w", err)
		}
		err = tx.ExecOne(ctx, `
			INSERT INTO otp_token (serial, maker, seed, algorithm, digits, period, valid_from, valid_until, imported_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (serial) DO NOTHING`,
			s.Serial, s.Maker, sealed, s.Algorithm, s.Digits, int64(s.Period/time.Second),
			store.Micros(s.NotBefore), store.Micros(s.NotAfter), now)
		switch {
		case errors.Is(err, store.ErrUntouched):
			done.Known = append(done.Known, s.Serial)
		case err != nil:
			return Imported{}, fmt.Errorf("importing a token: %w", err)
		default:
			done.Added++
		}
	}
	return done, nil
}

// tokenColumns reads a Token. A device row knows more of an assigned token than
// the inventory does.
const tokenColumns = `
	SELECT    t.serial, t.maker, t.algorithm, t.digits, t.period, t.state, t.person, t.login, t.name,
	          t.imported_at, t.assigned_at, COALESCE(d.last_used_at, t.last_used_at), t.valid_from, t.valid_until
	FROM      otp_token t
	LEFT JOIN totp_device d ON d.id = t.device`

func scanToken(scan func(...any) error) (Token, error) {
	var t Token
	var person string
	var period, imported, assigned, used, from, until int64
	err := scan(&t.Serial, &t.Maker, &t.Algorithm, &t.Digits, &period, &t.State, &person, &t.Login, &t.Name,
		&imported, &assigned, &used, &from, &until)
	if err != nil {
		return Token{}, err
	}
	t.Period, t.Person = time.Duration(period)*time.Second, directory.PersonID(person)
	t.ImportedAt, t.AssignedAt, t.LastUsedAt = store.FromMicros(imported), store.FromMicros(assigned), store.FromMicros(used)
	t.NotBefore, t.NotAfter = store.FromMicros(from), store.FromMicros(until)
	return t, nil
}

// Find reads one token, as the reader sees it: ErrNoToken when there is none.
func (t *Tokens) Find(ctx context.Context, in store.Reader, serial string) (Token, error) {
	serial, ok := oath.Serial(serial)
	if !ok {
		return Token{}, ErrNoToken
	}
	found, err := scanToken(in.QueryRow(ctx, tokenColumns+` WHERE t.serial = $1`, serial).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, ErrNoToken
	}
	if err != nil {
		return Token{}, fmt.Errorf("reading token %s: %w", serial, err)
	}
	return found, nil
}

// List names tokens in the order of their serials, limit at most, beginning
// after the serial after: those whose serial, or whose owner's login, begins with
// query. A limit outside 1 to MaxPage means DefaultPage. next is what to ask for
// as after to go on, empty at the end.
func (t *Tokens) List(ctx context.Context, query, after string, limit int) (found []Token, next string, err error) {
	if limit < 1 || limit > MaxPage {
		limit = DefaultPage
	}
	serial, login := oath.FoldSerial(query), directory.Canonical(query)
	if login != "" && !directory.Wellformed(login) {
		return nil, "", nil // nothing is called that
	}
	from, ok := oath.Serial(after)
	if !ok {
		from = ""
	}
	// SUBSTR and not LIKE: what is typed has no wild cards.
	rows, err := t.db.Query(ctx, tokenColumns+`
		WHERE    t.serial > $1
		AND      (SUBSTR(t.serial, 1, $2) = $3 OR SUBSTR(LOWER(t.login), 1, $4) = $5)
		ORDER BY t.serial
		LIMIT    $6`,
		from, utf8.RuneCountInString(serial), serial, utf8.RuneCountInString(login), login, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("listing tokens: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scanToken(rows.Scan)
		if err != nil {
			return nil, "", fmt.Errorf("listing tokens: %w", err)
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("listing tokens: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].Serial
	}
	return found, next, nil
}
