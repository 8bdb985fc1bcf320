package lifecycle

import (
	"cmp"
	"slices"
	"time"

	"sekisho/policy"
)

// A Span is a stretch of time. A zero Until has no end, a zero From no beginning:
// the zero Span is none.
type Span struct{ From, Until time.Time }

// Evidence is all that is known of the use of one ID.
type Evidence struct {
	CreatedAt time.Time
	// Directory is the last use that the directory wrote down, and Lag how much later
	// the ID may have been used: negative where no bound is known.
	Directory time.Time
	Lag       time.Duration
	Seen      time.Time // at any door of Sekisho
	Told      time.Time // by a system that only an import reaches
	// Reopened is when somebody decided that a closed ID is used again.
	Reopened time.Time
	// Rests are leave (育休, 休職) and suspensions, past and present: they do not count.
	Rests []Span
	Held  Hold // what holds the ID whatever its use; "" for nothing
}

// A Past is what was done about an ID's not being used.
type Past struct{ WarnedAt, DisabledAt time.Time }

// A Stage is how far an ID has come that nobody uses.
type Stage string

// The stages.
const (
	InUse    Stage = "in_use"
	Warned   Stage = "warned"
	Disabled Stage = "disabled"
	Deleted  Stage = "deleted" // proposed to be
)

// A Hold is why nothing follows for an ID, whatever the days.
type Hold string

// The holds.
const (
	Exempt  Hold = "exempt"   // the policy says so, with an owner, a reason and an end
	OnLeave Hold = "on_leave" // the count rests
	Unknown Hold = "unknown"  // nothing that is known bounds the last use
	Own     Hold = "own"      // Sekisho itself binds with it
	// Suspended: somebody has closed it, and answers for what becomes of it.
	Suspended Hold = "suspended"
	// Sealed: an emergency ID of the register, which nobody uses as long as all is well.
	Sealed Hold = "sealed"
	// Guarded: the directory guards it itself, and our rights do not reach it.
	Guarded Hold = "guarded"
	// NoOwnerTold: a program's or shared ID of which nobody could be told.
	NoOwnerTold Hold = "no_owner"
	// LastOfPost: with it gone, too few were left of a post that decides.
	LastOfPost Hold = "last_of_post"
)

// A Judgement is what follows for an ID from what is known of it.
type Judgement struct {
	Stage   Stage
	Hold    Hold      // "" for none
	LastUse time.Time // zero: never
	Since   time.Time // what the days are counted from
	Unused  int       // days of Japan's calendar, without those of leave
	// DisableOn is when the ID is closed unless it is used: midnight in Japan.
	DisableOn time.Time
}

// Judge says how far an ID has come at now. It is pure.
//
// Days are those of Japan's calendar, so that an ID does not depend on the hour of
// the sweep. Each stage keeps its distance from the one before, counted from when
// that was really done: an ID is warned before it is closed and closed before it is
// gone, however far a clock has jumped or a gate has slept.
func Judge(e Evidence, past Past, days policy.DormancyDays, exempt bool, now time.Time) Judgement {
	j := Judgement{Stage: InUse, LastUse: latest(e.Directory, e.Seen, e.Told)}
	could := e.Directory
	if !could.IsZero() && e.Lag > 0 {
		could = earlier(could.Add(e.Lag), now)
	}
	j.Since = latest(e.CreatedAt, could, e.Seen, e.Told, e.Reopened)
	first := dayOf(j.Since)
	if !j.Since.IsZero() {
		j.Unused = max(0, dayOf(now)-first-rested(e.Rests, first, dayOf(now)))
	}
	if past.WarnedAt.Before(j.Since) {
		past.WarnedAt = time.Time{} // used since
	}
	j.DisableOn = midnight(max(first+days.DisableDays+rested(e.Rests, first, dayOf(now)), warnedDay(past, now)+days.DisableDays-days.WarnDays))
	switch {
	case exempt:
		j.Hold = Exempt
	case e.Held != "":
		j.Hold = e.Held
	case j.Since.IsZero(), e.Lag < 0:
		j.Hold = Unknown
	}
	switch {
	case !past.DisabledAt.IsZero():
		// That a closed ID is opened again is somebody's decision.
		j.Stage = Disabled
		if j.Hold == "" && j.Unused >= days.DeleteDays && dayOf(now)-dayOf(past.DisabledAt) >= days.DeleteDays-days.DisableDays {
			j.Stage = Deleted
		}
	case j.Hold != "" || j.Unused < days.WarnDays:
	case j.Unused >= days.DisableDays && !past.WarnedAt.IsZero() && dayOf(now)-dayOf(past.WarnedAt) >= days.DisableDays-days.WarnDays:
		j.Stage = Disabled
	default:
		j.Stage = Warned
	}
	return j
}

func warnedDay(past Past, now time.Time) int {
	if past.WarnedAt.IsZero() {
		return dayOf(now)
	}
	return dayOf(past.WarnedAt)
}

// rested are the days of [from, until) that lie in any of the spans, each once.
func rested(spans []Span, from, until int) int {
	type stretch struct{ begin, end int }
	var all []stretch
	for _, s := range spans {
		one := stretch{max(from, dayOf(s.From)), until}
		if !s.Until.IsZero() {
			one.end = min(until, dayOf(s.Until))
		}
		if one.begin < one.end {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.begin, b.begin) })
	days, counted := 0, from
	for _, s := range all {
		days += max(0, s.end-max(s.begin, counted))
		counted = max(counted, s.end)
	}
	return days
}

// Japan has one time and has had no summer time since 1951.
var japan = time.FixedZone("JST", 9*60*60)

const dayLong = 24 * 60 * 60

// dayOf is the day of Japan's calendar, counted from 1970.
func dayOf(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(floor(t.Unix()+9*60*60, dayLong))
}

func floor(n, by int64) int64 {
	if n < 0 {
		return (n - by + 1) / by
	}
	return n / by
}

// midnight is when a day of Japan's calendar begins.
func midnight(day int) time.Time { return time.Unix(int64(day)*dayLong-9*60*60, 0).UTC() }

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// slotOf is the day, in Japan, whose sweep is the last that was due at now: a sweep
// is due at an hour of each day.
func slotOf(now time.Time, hour int) string {
	return now.In(japan).Add(-time.Duration(hour) * time.Hour).Format(time.DateOnly)
}

// An Answer is what a directory's answer amounts to, and what would follow.
type Answer struct {
	People int // who was in it
	Dated  int // of whom a last use was known to the directory
	Acts   int // who would be warned or closed
}

// A Stop is why a sweep does nothing until somebody says that it may.
type Stop string

// The stops.
const (
	Empty   Stop = "empty"        // the directory has nobody
	Undated Stop = "undated"      // it writes down nobody's last use, which says nothing of anybody's
	Fewer   Stop = "undated_more" // it writes down the last use of many fewer than last time
	Differs Stop = "differs"      // it has many more, or fewer, than last time
	TooMany Stop = "too_many"     // very many would be warned or closed at once
)

// fewDiffer people more or less are nothing to ask about, whatever their share.
const fewDiffer = 2

// Halt says whether an answer may be gone by: F8 of what can befall a sweep is an
// answer that is not one. before is what there was last time, the zero Answer for no such
// time; share is in percent, and up to few acts at once are nothing to ask about whatever
// their share. "" means that it may.
func Halt(a, before Answer, share, few int) Stop {
	beyond := func(n, of, few int) bool { return tooMany(n, of, share, few) }
	switch {
	case a.People == 0:
		return Empty
	case a.Acts > 0 && a.Dated == 0:
		return Undated
	case before.People > 0 && beyond(max(a.People-before.People, before.People-a.People), before.People, fewDiffer):
		return Differs
	case beyond(before.Dated-a.Dated, before.Dated, fewDiffer):
		return Fewer
	case beyond(a.Acts, a.People, few):
		return TooMany
	}
	return ""
}

// tooMany reports whether n of so many are more than a share, in percent, and than a few.
func tooMany(n, of, share, few int) bool { return n > few && n*100 > of*share }
