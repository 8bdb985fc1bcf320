package house

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const twoZones = `profile: standard
prefecture: {name: {ja: 試験県, en: Test}}
zones: [{id: lgwan}, {id: mynumber}]
deviations:
  - {id: d, rule: several_zones, reason: {ja: 試験, en: A test}, decision: CIO 1, decided: "2026-04-01", until: "2027-03-31"}
`

// TestADeviationThatEndsNarrows: the last day of the decision passes while the
// gate runs, and nothing but the clock says so (design rule 2).
func TestADeviationThatEndsNarrows(t *testing.T) {
	ctx := context.Background()
	now := clock.NewFake(time.Date(2027, 3, 31, 14, 59, 59, 0, time.UTC)) // 23:59:59 in Japan
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "sekisho.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := charter.New(db, audit.New(db, now.Now), now.Now)
	if _, err := c.Install(ctx, "system", []byte(twoZones)); err != nil {
		t.Fatal(err)
	}
	z := &zones{named: []policy.ZoneID{policy.LGWAN, policy.MyNumber}, charter: c, now: now.Now, log: slog.New(slog.DiscardHandler)}
	if _, served := z.rules().Zone(policy.MyNumber); !served || z.rules() != c.Current() {
		t.Fatal("under the deviation not both are served")
	}
	now.Advance(time.Second)
	p := z.rules()
	if _, served := p.Zone(policy.MyNumber); served {
		t.Error("the deviation has ended and the second zone is served")
	}
	if _, served := p.Zone(policy.LGWAN); !served {
		t.Error("the first zone named is not served")
	}
	if z.rules() != p {
		t.Error("the same version is another policy each time")
	}
}

// TestADecisionOnPasswordsEnds: so it is with what was decided about passwords and
// failures, at a gate of one zone too.
func TestADecisionOnPasswordsEnds(t *testing.T) {
	ctx := context.Background()
	now := clock.NewFake(time.Date(2027, 3, 31, 14, 59, 59, 0, time.UTC)) // 23:59:59 in Japan
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "sekisho.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := charter.New(db, audit.New(db, now.Now), now.Now)
	if _, err := c.Install(ctx, "system", []byte(`profile: jp-legacy
prefecture: {name: {ja: 試験県, en: Test}}
zones: [{id: lgwan}]
deviations:
  - {id: a, rule: password_expiry, reason: {ja: 試験, en: A test}, decision: CIO 1, decided: "2026-04-01", until: "2027-03-31"}
  - {id: b, rule: password_classes, reason: {ja: 試験, en: A test}, decision: CIO 2, decided: "2026-04-01"}
  - {id: c, rule: early_lockout, reason: {ja: 試験, en: A test}, decision: CIO 3, decided: "2026-04-01"}
`)); err != nil {
		t.Fatal(err)
	}
	z := &zones{named: []policy.ZoneID{policy.LGWAN}, charter: c, now: now.Now, log: slog.New(slog.DiscardHandler)}
	if p := z.rules(); p.Password.MaxAge == 0 || p.Password.MinClasses != 3 || p.Lockout.HardLimit != 3 {
		t.Fatalf("under the decisions: %+v, %+v", p.Password, p.Lockout)
	}
	now.Advance(time.Second)
	p := z.rules()
	if p.Password.MaxAge != 0 {
		t.Errorf("the decision has ended and passwords expire after %v", p.Password.MaxAge)
	}
	if p.Password.MinClasses != 3 || p.Lockout.HardLimit != 3 {
		t.Errorf("decisions that go on are gone: %+v, %+v", p.Password, p.Lockout)
	}
	if z.rules() != p {
		t.Error("the same version is another policy each time")
	}
}
