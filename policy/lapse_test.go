package policy

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLapsed: a decision on passwords or failures ends with its last day in Japan,
// and what the file says goes back to the nearest that the rule allows.
func TestLapsed(t *testing.T) {
	before := time.Date(2027, 3, 31, 14, 59, 59, 0, time.UTC)
	april := before.Add(time.Second)
	told := func(rule, until string) Deviation { return Deviation{Rule: rule, Decision: "CIO 1", Until: until} }
	own := func() *Policy {
		p := Legacy()
		p.Password.MinLength, p.Password.MinLengthSingle, p.Password.FiscalYearEnd = 6, 8, true
		return p
	}
	for _, tt := range []struct {
		name string
		of   []Deviation
		at   time.Time
		want []string
		then []Change // from the file to what is obeyed
	}{
		{"none", nil, april, nil, nil},
		{"in force", []Deviation{told(DeviationPasswordExpiry, "2027-03-31"), told(DeviationEarlyLockout, "")}, before, nil, nil},
		{"expiry", []Deviation{told(DeviationPasswordExpiry, "2027-03-31"), told(DeviationEarlyLockout, "")}, april, []string{DeviationPasswordExpiry},
			[]Change{{"password.fiscal_year_end", "true", "false"}, {"password.max_age", "8760h", "0s"}}},
		{"classes", []Deviation{told(DeviationPasswordClasses, "2027-03-31")}, april, []string{DeviationPasswordClasses}, []Change{{"password.min_classes", "3", "0"}}},
		{"lockout", []Deviation{told(DeviationEarlyLockout, "2027-03-31")}, april, []string{DeviationEarlyLockout}, []Change{{"lockout.hard_limit", "3", "5"}}},
		{"lengths", []Deviation{told(DeviationShortPasswords, "2027-03-31")}, april, []string{DeviationShortPasswords},
			[]Change{{"password.min_length", "6", "8"}, {"password.min_length_single", "8", "15"}}},
		{"without its decision", []Deviation{{Rule: DeviationPasswordClasses}}, before, []string{DeviationPasswordClasses}, []Change{{"password.min_classes", "3", "0"}}},
		{"zones have a rule of their own", []Deviation{told(DeviationSeveralZones, "2027-03-31")}, april, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := own()
			p.Deviations = tt.of
			got := p.Lapsed(tt.at)
			if !slices.Equal(got, tt.want) {
				t.Errorf("Lapsed = %v, want %v", got, tt.want)
			}
			kept := p.Keeping(got)
			if (kept == p) != (len(got) == 0) {
				t.Error("a policy is copied for nothing, or changed in its place")
			}
			if changes := Diff(p, kept); !slices.Equal(changes, tt.then) {
				t.Errorf("obeyed with %v, want %v", changes, tt.then)
			}
		})
	}
	if longer := (&Policy{Lockout: LockoutRules{HardLimit: 50}, Password: PasswordRules{MinLength: 12, MinLengthSingle: 15}}); len(Diff(longer, longer.Keeping([]string{DeviationEarlyLockout, DeviationShortPasswords}))) > 0 {
		t.Error("what the rules allow was changed")
	}
}

// TestLegacyExample: the example is a policy as it stands, and says what the profile
// says and the fiscal year besides.
func TestLegacyExample(t *testing.T) {
	text, err := os.ReadFile("testdata/jp-legacy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, problems := Parse("jp-legacy.yaml", text)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := Legacy()
	want.Password.FiscalYearEnd = true
	for _, c := range Diff(want, p) {
		if strings.HasPrefix(c.Path, "password.") || strings.HasPrefix(c.Path, "lockout.") {
			t.Errorf("%s: %s, the profile says %s", c.Path, c.New, c.Old)
		}
	}
	if lapsed := p.Lapsed(time.Date(2029, 3, 31, 15, 0, 0, 0, time.UTC)); len(lapsed) != 3 {
		t.Errorf("after the last day %v are over, want all three", lapsed)
	}
}

// TestLegacyNeedsDecisions: naming the profile is not enough. Each of its choices
// is refused with the deviation that allows it, and let through with that; a file
// that takes a choice back needs no decision for it.
func TestLegacyNeedsDecisions(t *testing.T) {
	named := least + "profile: jp-legacy\n"
	decided := func(rule string) string {
		return "  - {id: d-" + strings.ReplaceAll(rule, "_", "-") + ", rule: " + rule + ", reason: {ja: 監査の求め}, decision: 第1号, decided: \"2026-04-01\"}\n"
	}
	all := "deviations:\n" + decided(DeviationPasswordExpiry) + decided(DeviationPasswordClasses) + decided(DeviationEarlyLockout)
	for _, tt := range []struct {
		name, text string
		fields     []string
	}{
		{"the name alone", named, []string{"lockout.hard_limit", "password.max_age", "password.min_classes"}},
		{"two decisions", named + "deviations:\n" + decided(DeviationPasswordExpiry) + decided(DeviationEarlyLockout), []string{"password.min_classes"}},
		{"all", named + all, nil},
		{"one choice taken back", named + "password: {min_classes: 0}\ndeviations:\n" + decided(DeviationPasswordExpiry) + decided(DeviationEarlyLockout), nil},
		{"nothing of the profile", named + "password: {min_classes: 0, max_age: 0s}\nlockout: {hard_limit: 50}\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, problems := Parse("policy.yaml", []byte(tt.text))
			var fields []string
			for _, p := range problems {
				fields = append(fields, p.Field)
				if !strings.Contains(p.Rule.JA, "逸脱") || !strings.Contains(p.Rule.EN, "deviation") {
					t.Errorf("the next step is not named: %s", p.Text("en"))
				}
			}
			slices.Sort(fields)
			if !slices.Equal(fields, tt.fields) {
				t.Fatalf("refused at %v, want %v\n%v", fields, tt.fields, problems)
			}
			if p != nil && (p.Profile != ProfileLegacy || p.Lockout.FreeFailures != 2 || p.Password.MinLength != 12 || p.Password.MinScore != 3 || !p.Zones[0].SignInACR.AtLeast(AAL2)) {
				t.Errorf("%+v", p)
			}
		})
	}
}
