package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReportDue: days and hours are Japan's, whatever the clock's zone.
func TestReportDue(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	monthly := ReportSchedule{Every: EveryMonth, Day: "1", Hour: 7}
	weekly := ReportSchedule{Every: EveryWeek, Day: "mon", Hour: 0}
	for _, tt := range []struct {
		name              string
		s                 ReportSchedule
		now, want, before string
	}{
		{"before the hour", monthly, "2026-04-01T06:59:59+09:00", "2026-03-01T07:00:00+09:00", "2026-02-01T07:00:00+09:00"},
		{"at the hour", monthly, "2026-04-01T07:00:00+09:00", "2026-04-01T07:00:00+09:00", "2026-03-01T07:00:00+09:00"},
		{"31 March in London is 1 April in Japan", monthly, "2026-03-31T22:30:00Z", "2026-04-01T07:00:00+09:00", "2026-03-01T07:00:00+09:00"},
		{"in January, of December", ReportSchedule{Every: EveryMonth, Day: "28", Hour: 23}, "2026-01-05T00:00:00+09:00", "2025-12-28T23:00:00+09:00", "2025-11-28T23:00:00+09:00"},
		{"a Sunday", weekly, "2026-04-05T23:59:59+09:00", "2026-03-30T00:00:00+09:00", "2026-03-23T00:00:00+09:00"},
		{"Monday's first moment", weekly, "2026-04-06T00:00:00+09:00", "2026-04-06T00:00:00+09:00", "2026-03-30T00:00:00+09:00"},
		{"months later, the last one alone", monthly, "2026-12-24T00:00:00+09:00", "2026-12-01T07:00:00+09:00", "2026-11-01T07:00:00+09:00"},
	} {
		got := tt.s.Due(at(tt.now))
		if !got.Equal(at(tt.want)) || !tt.s.Before(got).Equal(at(tt.before)) {
			t.Errorf("%s: %v after %v, want %s after %s", tt.name, got, tt.s.Before(got), tt.want, tt.before)
		}
	}
	for _, day := range []string{"", "0", "29", "monday", "mon"} {
		if got := (ReportSchedule{Every: EveryMonth, Day: day}).Due(at("2026-04-01T00:00:00Z")); !got.IsZero() {
			t.Errorf("day %q of a month is %v", day, got)
		}
	}
	if got := (ReportSchedule{Every: EveryWeek, Day: "1"}).Due(at("2026-04-01T00:00:00Z")); !got.IsZero() {
		t.Errorf("day 1 of a week is %v", got)
	}
}

// TestReportsAreForThoseWhoReadThem: a schedule names posts whose holders read the report;
// others would be told of what they may not open.
func TestReportsAreForThoseWhoReadThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ report, posts, field string }{
		{"privilege", "[cio, auditor]", ""},
		{"privilege", "[cio, staff]", "reports.schedule[1].posts[1]"},
		{"privilege", "[system_administrator]", "reports.schedule[1].posts[0]"},
		{"remote", "[system_administrator, system_operator]", ""},
		{"evidence", "[security_officer]", "reports.schedule[1].posts[0]"},
		{"evidence", "[cio, auditor]", ""},
		{"dormant", "[contractor]", "reports.schedule[1].posts[0]"},
		{"no-report", "[staff]", "reports.schedule[1].report"},
	} {
		p, problems := Parse("policy.yaml", []byte(changed(t, "report: privilege, posts: [cio, auditor]", "report: "+tt.report+", posts: "+tt.posts)))
		if tt.field == "" {
			if p == nil {
				t.Errorf("%s for %s: %v", tt.report, tt.posts, problems)
			}
			continue
		}
		i := slices.IndexFunc(problems, func(p Problem) bool { return p.Field == tt.field })
		if len(problems) != 1 || i < 0 || strings.HasSuffix(tt.field, "]") && (problems[i].Article != "51-3" || !strings.Contains(problems[i].Rule.JA, "cio, ")) {
			t.Errorf("%s for %s: %v, want one at %s", tt.report, tt.posts, problems, tt.field)
		}
	}
}
