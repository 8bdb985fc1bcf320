package report

import (
	"time"

	"sekisho/policy"
)

// A Period is the time that a report is about: From ≤ t < To.
type Period struct{ From, To time.Time }

// IsZero reports whether it is no period.
func (p Period) IsZero() bool { return p.From.IsZero() && p.To.IsZero() }

// String is the period in Japan's time, its last minute included.
func (p Period) String() string {
	return p.From.In(japan).Format("2006-01-02 15:04") + " – " + p.To.In(japan).Format("2006-01-02 15:04 JST")
}

// Query is the period as somebody would ask for it, so that ParsePeriod reads it back to
// the microsecond: by days where it begins and ends with one.
func (p Period) Query() (from, to string) {
	write := func(t time.Time, last bool) string {
		local := t.In(japan)
		if local.Hour() != 0 || local.Minute() != 0 || local.Second() != 0 || local.Nanosecond() != 0 {
			return t.UTC().Format(time.RFC3339Nano)
		}
		if last {
			local = local.AddDate(0, 0, -1)
		}
		return local.Format(time.DateOnly)
	}
	return write(p.From, false), write(p.To, true)
}

// Of is what of a stretch of time lies in the period; false where nothing does.
func (p Period) Of(from, until time.Time) (time.Duration, bool) {
	if from.Before(p.From) {
		from = p.From
	}
	if until.After(p.To) {
		until = p.To
	}
	if from.After(until) || !from.Before(p.To) {
		return 0, false
	}
	return until.Sub(from), true
}

const (
	// usualPeriod is that of a report of which nobody says from when.
	usualPeriod = 30 * 24 * time.Hour
	// longestPeriod is longer than the years for which a trail is kept.
	longestPeriod = 11 * 366 * 24 * time.Hour
)

// ParsePeriod reads a period as people write it: days of Japan (2026-04-01), the last of
// them included, or times (RFC 3339). An empty to is now, an empty from 30 days before
// to. A *Refusal says what is wrong.
func ParsePeriod(from, to string, now time.Time) (Period, error) {
	p := Period{To: now}
	if to != "" {
		at, day, ok := parseTime(to)
		if !ok {
			return Period{}, badTime("to")
		}
		if p.To = at; day {
			p.To = at.AddDate(0, 0, 1)
		}
	}
	p.From = p.To.Add(-usualPeriod)
	if from != "" {
		at, _, ok := parseTime(from)
		if !ok {
			return Period{}, badTime("from")
		}
		p.From = at
	}
	switch {
	case !p.From.Before(p.To):
		return Period{}, &Refusal{Reason: "order", Field: "from", Says: policy.Words{
			JA: "期間の始まり（from）を、終わり（to）より前にしてください。", EN: "The period's beginning (from) must come before its end (to)."}}
	case p.To.Sub(p.From) > longestPeriod:
		return Period{}, &Refusal{Reason: "too_long", Field: "from", Says: policy.Words{
			JA: "期間は11年までです。from を後の日にしてください。", EN: "A period is at most 11 years. Give a later from."}}
	}
	return p, nil
}

func parseTime(text string) (at time.Time, day, ok bool) {
	if at, err := time.ParseInLocation(time.DateOnly, text, japan); err == nil {
		return at.UTC(), true, true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), false, err == nil
}

func badTime(field string) *Refusal {
	return &Refusal{Reason: "not_a_time", Field: field, Says: policy.Words{
		JA: field + " を 2026-04-01 又は 2026-04-01T09:00:00Z の形で書いてください。", EN: "Write " + field + " as 2026-04-01 or 2026-04-01T09:00:00Z."}}
}
