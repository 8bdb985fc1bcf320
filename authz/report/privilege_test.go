package report

import (
	"testing"
	"time"

	"sekisho/authz/grant"
)

func at(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, japan) }

// use is one that was active from one time until another.
func use(from, until time.Time) Use {
	return Use{Lease: grant.Lease{StartedAt: from}, Until: until}
}

// TestWeeks: weeks begin on Mondays in Japan (2026-03-02 is one), and a lease counts in
// each for what lies in it.
func TestWeeks(t *testing.T) {
	never := Use{}
	emergency := use(at(4, 9), at(4, 10))
	emergency.Emergency = true
	uses := []Use{
		use(at(8, 23), at(9, 2)),                           // over the end of a week
		use(at(3, 9), at(3, 10)), use(at(3, 9), at(3, 10)), // two people at once
		emergency, never,
		use(at(10, 9), at(10, 18)), // goes on still
	}
	got := weeksOf(uses, Period{at(2, 0), at(20, 0)}, at(10, 12))
	want := []Week{
		{Monday: at(2, 0), Uses: 4, Emergency: 1, Held: 4 * time.Hour},
		{Monday: at(9, 0), Uses: 2, Held: 5 * time.Hour},
	}
	if len(got) != len(want) {
		t.Fatalf("%d weeks: %+v", len(got), got)
	}
	for i := range want {
		if !got[i].Monday.Equal(want[i].Monday) || got[i].Uses != want[i].Uses || got[i].Emergency != want[i].Emergency || got[i].Held != want[i].Held {
			t.Errorf("week %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	// A period that begins within a week shows that week's Monday and counts from its own
	// beginning; a Sunday belongs to the week before.
	if got := weeksOf(uses, Period{at(8, 12), at(9, 1)}, at(20, 0)); len(got) != 2 || !got[0].Monday.Equal(at(2, 0)) || got[0].Held != time.Hour || got[1].Held != time.Hour {
		t.Errorf("a period over midnight: %+v", got)
	}
}

func TestUseOf(t *testing.T) {
	period := Period{at(2, 0), at(9, 0)}
	for _, tt := range []struct {
		name  string
		lease grant.Lease
		now   time.Time
		until time.Time
		held  time.Duration
	}{
		{"never active", grant.Lease{AskedAt: at(3, 9)}, at(4, 0), time.Time{}, 0},
		{"given back", grant.Lease{StartedAt: at(3, 9), EndedAt: at(3, 11)}, at(4, 0), at(3, 11), 2 * time.Hour},
		{"begun before the period", grant.Lease{StartedAt: at(1, 22), EndedAt: at(2, 3)}, at(4, 0), at(2, 3), 3 * time.Hour},
		{"over after it", grant.Lease{StartedAt: at(8, 22), EndedAt: at(9, 3)}, at(10, 0), at(9, 3), 2 * time.Hour},
	} {
		if got := useOf(tt.lease, nil, period, tt.now); !got.Until.Equal(tt.until) || got.Held != tt.held {
			t.Errorf("%s: until %v, held %v; want %v, %v", tt.name, got.Until, got.Held, tt.until, tt.held)
		}
	}
}

func TestRecordOf(t *testing.T) {
	asked := grant.Record{Asked: true, Within: 24 * time.Hour}
	written, signed := asked, asked
	written.WrittenAt, signed.WrittenAt, signed.At = at(3, 12), at(3, 12), at(3, 13)
	over := func(r grant.Record) grant.Lease {
		return grant.Lease{StartedAt: at(3, 9), EndedAt: at(3, 10), Record: r}
	}
	for _, tt := range []struct {
		name  string
		lease grant.Lease
		now   time.Time
		want  RecordState
	}{
		{"none asked for", over(grant.Record{}), at(20, 0), NoRecord},
		{"never active", grant.Lease{Record: asked}, at(20, 0), NoRecord},
		{"in time", over(asked), at(4, 9), RecordOwed},
		{"at its date", over(asked), at(4, 10), RecordOverdue},
		{"written", over(written), at(20, 0), RecordWritten},
		{"countersigned", over(signed), at(20, 0), RecordSigned},
	} {
		if got := recordOf(tt.lease, tt.now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
