package session

import (
	"context"
)

// unheard names the condition of the index too: SQLite uses it only for a query that
// does, and whoever brings a cookie of this shape would have every session read.
const unheard = `SELECT ` + columns + ` FROM session WHERE handle_was = $1 AND handle_was <> ''`

// Unheard is the session whose handle a cookie was until another took its place, as
// long as nobody has used that one: the answer that carried it may have been lost, and
// then its browser holds a dead handle and nobody holds the session. It opens nothing.
//
// Somebody may have taken the cookie before it was replaced, by an elevation perhaps,
// and is to get nothing by it (security.md section 2, row 16): what is done with the
// answer must be as good for a thief. Ending the session is, which they could do before;
// and so is a sign-in with all its factors, by the session's own person. What its person
// works with has been used, so that from then on (a flush later) this finds nothing, and
// a thief cannot even end it.
func (s *Sessions) Unheard(ctx context.Context, cookie string) (Session, error) {
	mac, ok := s.MAC(KindSession, cookie)
	if !ok {
		return Session{}, ErrNone
	}
	n, err := scan(s.db.QueryRow(ctx, unheard, mac))
	if err != nil {
		return Session{}, err
	}
	if !n.alive(s.policy(), s.now()) {
		return Session{}, ErrNone
	}
	return n, nil
}
