package notice

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Why an address is not taken.
var (
	// ErrAddress: it is not one plain mail address.
	ErrAddress = errors.New("not a mail address that notices can go to")
	// ErrSameAddress: notices go there already.
	ErrSameAddress = errors.New("the directory's address is the first one already")
)

// longestAddress is RFC 5321 section 4.5.3.1.3, less the brackets.
const longestAddress = 254

// Address takes one plain mail address, local@domain, in ASCII: without a name,
// a comment, a route or a second address, and without anything that could end a
// header. Spaces around it are cut. Anything else is ErrAddress.
func Address(typed string) (string, error) {
	typed = strings.Trim(typed, " \u3000")
	for _, r := range typed {
		if r <= ' ' || r > '~' {
			return "", ErrAddress
		}
	}
	a, err := mail.ParseAddress(typed)
	// Quoted local parts and bracketed addresses come back in another spelling.
	if err != nil || a.Name != "" || a.Address != typed || len(typed) > longestAddress {
		return "", ErrAddress
	}
	local, domain, _ := strings.Cut(typed, "@")
	if len(local) > 64 || strings.ContainsAny(domain, "[]:") {
		return "", ErrAddress
	}
	return typed, nil
}

// SecondAddress is Address for somebody whose address in the directory is
// first: the second must be another one, or it would be no second. An empty one
// stays empty, which means none.
func SecondAddress(typed, first string) (string, error) {
	if strings.Trim(typed, " \u3000") == "" {
		return "", nil
	}
	a, err := Address(typed)
	if err == nil && strings.EqualFold(a, first) {
		err = ErrSameAddress
	}
	if err != nil {
		return "", err
	}
	return a, nil
}

// Second is the person's second address, "" for none.
func (q *Queue) Second(ctx context.Context, person directory.PersonID) (string, error) {
	return secondOf(ctx, q.db, person)
}

func secondOf(ctx context.Context, in store.Reader, person directory.PersonID) (string, error) {
	var address string
	err := in.QueryRow(ctx, `SELECT address FROM notice_address WHERE person_id = $1`, string(person)).Scan(&address)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("reading a second address: %w", err)
	}
	return address, nil
}

// SetSecond changes the person's second address, "" for none, in the caller's
// transaction. The address before is told too, as is the directory's: whoever
// turns a person's notices away is seen doing it. ErrAddress refuses what is no
// address; that it differs from the directory's is for the caller, who knows
// the person, to ask SecondAddress.
func (q *Queue) SetSecond(ctx context.Context, tx *store.Tx, person directory.PersonID, address string, zone policy.ZoneID) error {
	address, err := SecondAddress(address, "")
	if err != nil {
		return err
	}
	before, err := secondOf(ctx, tx, person)
	if err != nil || before == address {
		return err
	}
	if address == "" {
		_, err = tx.Exec(ctx, `DELETE FROM notice_address WHERE person_id = $1`, string(person))
	} else {
		_, err = tx.Exec(ctx, `
			INSERT INTO notice_address (person_id, address, changed_at) VALUES ($1, $2, $3)
			ON CONFLICT (person_id) DO UPDATE
			SET    address = excluded.address, changed_at = excluded.changed_at`,
			string(person), address, store.Micros(q.now()))
	}
	if err != nil {
		return fmt.Errorf("changing a second address: %w", err)
	}
	return q.add(ctx, tx, Notice{Person: person, Kind: AddressChanged, Zone: zone}, before)
}
