package house

import (
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/authz/grant"
	"sekisho/policy"
)

// TestLent: a lease is good in a privileged session whose sign-in is as strong as the
// privilege asks for, whatever carried it there (articles 62-7, 65).
func TestLent(t *testing.T) {
	t.Parallel()
	var (
		now  = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
		ends = now.Add(time.Hour)
		soon = session.Privileged{ID: "p", ExpiresAt: now.Add(time.Minute)}
		late = session.Privileged{ID: "p", ExpiresAt: now.Add(8 * time.Hour)}
		phr  = session.Session{ACR: policy.PHR, AMR: []string{"hwk"}}
		swk  = session.Session{ACR: policy.PHR, AMR: []string{"swk"}}
		aal2 = session.Session{ACR: policy.AAL2, AMR: []string{"pwd", "otp"}}
	)
	for _, tt := range []struct {
		name     string
		needs    policy.ACR
		outlives bool
		in       session.Session
		raised   session.Privileged
		shut     bool
		until    time.Time
	}{
		{"as strong as asked for", policy.PHR, false, phr, late, false, ends},
		{"in a session that ends before", policy.PHR, false, phr, soon, false, soon.ExpiresAt},
		{"in none", policy.PHR, false, phr, session.Privileged{}, true, ends},
		{"carried to a weaker sign-in", policy.PHR, false, aal2, late, true, ends},
		{"carried to one by a copied key", policy.PHR, false, swk, late, true, ends},
		{"one that asks for less", policy.AAL2, false, aal2, late, false, ends},
		{"one that asks for less, by a copied key", policy.AAL2, false, swk, late, false, ends},
		{"one that outlives sessions", policy.PHR, true, aal2, session.Privileged{}, false, ends},
	} {
		g := grant.Given{Lease: "l", Privilege: "db-admin", Until: ends, Session: "s", Outlives: tt.outlives, ACR: tt.needs}
		l := lent(g, &tt.in, tt.raised, tt.raised.ID != "")
		if l.Shut != tt.shut || !l.Until.Equal(tt.until) {
			t.Errorf("%s: shut %t until %v", tt.name, l.Shut, l.Until)
		}
	}
	if (authz.Lease{}).Live(now) {
		t.Error("no lease gives something")
	}
}
