package ldap_test

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory"
	"sekisho/test/slapd"
)

// TestCutSearch: whoever is missing behind an answer that was cut off might be
// the one who was looked for, so there is no answer.
func TestCutSearch(t *testing.T) {
	for name, second := range map[string]func(c net.Conn, id int64){
		"the second page hangs up":            func(c net.Conn, id int64) { _ = c.Close() },
		"the second page is limited":          func(c net.Conn, id int64) { done(c, id, 5, 4, nil) },
		"the second page never comes":         func(net.Conn, int64) {},
		"the second page has no end":          func(c net.Conn, id int64) { done(c, id, 5, 0, nil) },
		"the people themselves never come":    func(c net.Conn, id int64) { done(c, id, 5, 0, lastPage("")) },
		"the people come from somewhere else": func(c net.Conn, id int64) { referral(c, id); done(c, id, 5, 0, lastPage("")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
				switch {
				case isPolicySearch(op):
					done(c, id, 5, 32, nil)
				case asked.Add(1) == 1:
					witness(c, id)
					taro(c, id)
					done(c, id, 5, 0, lastPage("more"))
				default:
					second(c, id)
				}
			})
			got, next, err := open(t, onFake(f.url())).Search(t.Context(), "taro", "", 10)
			if got != nil || next != "" || !errors.Is(err, directory.ErrAway) && !errors.Is(err, directory.ErrTruncated) {
				t.Errorf("Search = %v, %q, %v", got, next, err)
			}
		})
	}
}

// TestSearchAmongMany: a page out of the middle of thousands, whose order the
// server does not keep.
func TestSearchAmongMany(t *testing.T) {
	s := slapd.Start(t, slapd.Options{LDIF: people(3_000, "dc=pref,dc=example"), PasswordHash: "{SSHA}"})
	got, next, err := open(t, onSlapd(s)).Search(t.Context(), "関所 pref", "p001499", 100)
	if err != nil || len(got) != 100 || next != "p001599" {
		t.Fatalf("Search = %d people, then %q, %v", len(got), next, err)
	}
	for i, p := range got {
		if want := fmt.Sprintf("p%06d", 1500+i); p.Login != want || p.Section != "zaisei" {
			t.Fatalf("at %d came %+v, want %s", i, p, want)
		}
	}
}
