package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRecertifyDue: cycles by Japan's calendar, their beginnings and their deadlines.
func TestRecertifyDue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		c              RecertifyCampaign
		now            string
		due, deadlines string
	}{
		{"half a year from April", RecertifyCampaign{Every: EveryHalfYear, Month: 4, Day: 1, Hour: 6, Days: 14}, "2026-04-01T06:00:00+09:00", "2026-04-01T06:00", "2026-04-15T00:00"},
		{"an instant before", RecertifyCampaign{Every: EveryHalfYear, Month: 4, Day: 1, Hour: 6, Days: 14}, "2026-04-01T05:59:59+09:00", "2025-10-01T06:00", "2025-10-15T00:00"},
		{"its second month", RecertifyCampaign{Every: EveryHalfYear, Month: 4, Day: 1, Days: 14}, "2026-12-31T00:00:00+09:00", "2026-10-01T00:00", "2026-10-15T00:00"},
		{"a first month late in the year", RecertifyCampaign{Every: EveryHalfYear, Month: 11, Day: 3, Days: 2}, "2026-06-01T00:00:00+09:00", "2026-05-03T00:00", "2026-05-05T00:00"},
		{"a quarter", RecertifyCampaign{Every: EveryQuarter, Month: 1, Day: 10, Days: 10}, "2026-07-09T23:59:59+09:00", "2026-04-10T00:00", "2026-04-20T00:00"},
		{"a year, the day before", RecertifyCampaign{Every: EveryYear, Month: 4, Day: 1, Days: 30}, "2027-03-31T23:59:59+09:00", "2026-04-01T00:00", "2026-05-01T00:00"},
		{"a month over the turn of the year", RecertifyCampaign{Every: EveryMonth, Month: 4, Day: 28, Days: 10}, "2027-01-27T12:00:00+09:00", "2026-12-28T00:00", "2027-01-07T00:00"},
		{"ten days: the first", RecertifyCampaign{Every: EveryTenDays, Hour: 9, Days: 7}, "2026-03-11T08:59:00+09:00", "2026-03-01T09:00", "2026-03-08T00:00"},
		{"ten days: the last of February", RecertifyCampaign{Every: EveryTenDays, Hour: 9, Days: 7}, "2026-03-01T08:59:00+09:00", "2026-02-21T09:00", "2026-02-28T00:00"},
		{"ten days of January", RecertifyCampaign{Every: EveryTenDays, Hour: 9, Days: 7}, "2026-01-01T00:00:00+09:00", "2025-12-21T09:00", "2025-12-28T00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			due := tt.c.Due(now)
			if got := due.In(japan).Format("2006-01-02T15:04"); got != tt.due {
				t.Errorf("due %s, want %s", got, tt.due)
			}
			if got := tt.c.Deadline(due).In(japan).Format("2006-01-02T15:04"); got != tt.deadlines {
				t.Errorf("deadline %s, want %s", got, tt.deadlines)
			}
		})
	}
	for _, none := range []RecertifyCampaign{{Every: "sometimes", Day: 1, Month: 1}, {Every: EveryMonth, Month: 1, Day: 31}} {
		if due := none.Due(time.Date(2026, 4, 1, 0, 0, 0, 0, japan)); !due.IsZero() {
			t.Errorf("%+v is due at %v", none, due)
		}
	}
}

// TestRecertifyCheck: a campaign is of something, ends before the next begins, reminds
// before it ends, and is of sections that there are.
func TestRecertifyCheck(t *testing.T) {
	t.Parallel()
	const fine = "    - {id: ids-hankinen, name: {ja: IDの棚卸し, en: Review of IDs}, kind: ids, every: half_year, month: 4, day: 1, hour: 6, days: 14, remind_days: 5}"
	for _, tt := range []struct{ name, from, to, field string }{
		{"no id", "id: ids-hankinen", "id: ''", "id"},
		{"an id twice", "id: kengen-shihanki", "id: ids-hankinen", "[1].id"},
		{"no name", "name: {ja: IDの棚卸し, en: Review of IDs}", "name: {en: Review of IDs}", "name.ja"},
		{"nothing that there is", "kind: ids", "kind: idz", "kind"},
		{"a cycle that there is not", "every: half_year", "every: fortnight", "every"},
		{"a section that there is not", "kind: ids,", "kind: ids, sections: [nowhere],", "sections[0]"},
		{"a deadline after the next beginning", "every: half_year, month: 4, day: 1, hour: 6, days: 14", "every: month, month: 4, day: 1, hour: 6, days: 28", "days"},
		{"a deadline after the next ten days", "every: half_year, month: 4, day: 1, hour: 6, days: 14", "every: ten_days, month: 4, day: 1, hour: 6, days: 8", "days"},
		{"a reminder before the beginning", "remind_days: 5", "remind_days: 14", "remind_days"},
		{"a day that not every month has", "day: 1, hour: 6", "day: 29, hour: 6", "day"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(string(example(t)), fine, strings.Replace(fine, tt.from, tt.to, 1), 1)
			if !strings.Contains(fine, tt.from) {
				text = strings.Replace(string(example(t)), tt.from, tt.to, 1)
			}
			_, err := Parse("policy.yaml", []byte(text))
			var all Problems
			if !errors.As(err, &all) {
				t.Fatalf("it is taken: %v", err)
			}
			if !slices.ContainsFunc(all, func(p Problem) bool {
				return strings.HasPrefix(p.Field, "recertification.campaigns") && strings.HasSuffix(p.Field, tt.field) && p.Rule.JA != "" && p.Rule.EN != ""
			}) {
				t.Errorf("refused with %v", all)
			}
		})
	}
}
