package card_test

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"sekisho/authn/card"
	"sekisho/authn/card/cardtest"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// lists are given as they are.
type lists struct {
	all []*x509.RevocationList
	err error
}

func (l *lists) For(string) ([]*x509.RevocationList, error) { return l.all, l.err }

// A desk reads the cards of one office.
type desk struct {
	*card.Reader
	*cardtest.Office
	db     *store.DB
	clock  *clock.Fake
	policy *policy.Policy
	lists  *lists
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{Office: cardtest.NewOffice(t, t0), clock: clock.NewFake(t0), policy: policy.Standard()}
	var err error
	if d.db, err = store.Open(t.Context(), storetest.At(t, filepath.Join(t.TempDir(), "sekisho.db"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	d.lists = &lists{all: []*x509.RevocationList{d.Publish(nil)}}
	d.policy.Cards = []policy.CardAuthority{d.Authority("staff-card")}
	d.Reader = card.New(d.db, d.lists, d.clock.Now, func() *policy.Policy { return d.policy })
	return d
}

// revoke publishes the office's list, with these on it.
func (d *desk) revoke(cards ...*x509.Certificate) {
	d.lists.all = []*x509.RevocationList{d.Publish(cards)}
}

// read brings certificates, the card's own first, from the LGWAN zone. why is
// why they are refused, "" for a card.
func (d *desk) read(t testing.TB, chain ...*x509.Certificate) (c card.Card, why string) {
	t.Helper()
	c, err := d.Read(t.Context(), chain, policy.LGWAN)
	var no *card.Refused
	switch {
	case errors.As(err, &no):
		if c != (card.Card{}) {
			t.Errorf("a refused card is %+v", c)
		}
		return c, no.Why
	case err != nil:
		t.Fatal(err)
	}
	return c, ""
}
