package policy

import (
	"fmt"
	"slices"
	"time"
)

// What a recertification (棚卸し) goes through.
const (
	RecertifyIDs         = "ids"         // everybody's ID: is it still needed?
	RecertifyEligibility = "eligibility" // who may borrow which privilege
	RecertifyPermits     = "permits"     // remote access that is permitted
)

// RecertifyKinds are all of them.
func RecertifyKinds() []string {
	return []string{RecertifyIDs, RecertifyEligibility, RecertifyPermits}
}

// How often one begins, beside EveryMonth. Those of several months begin in the
// campaign's first month, and so many months later.
const (
	EveryTenDays  = "ten_days" // on the 1st, 11th and 21st
	EveryQuarter  = "quarter"
	EveryHalfYear = "half_year"
	EveryYear     = "year"
)

// RecertifyCycles are all of them, the shortest first.
func RecertifyCycles() []string {
	return []string{EveryTenDays, EveryMonth, EveryQuarter, EveryHalfYear, EveryYear}
}

// A RecertifyCampaign comes round by itself: sections confirm line by
// line what is still needed, and what nobody has confirmed ends at the deadline
// (articles 62-6, 63-2(1), 79-4).
type RecertifyCampaign struct {
	ID       string   `yaml:"id"`
	Name     Words    `yaml:"name"`
	Kind     string   `yaml:"kind"`     // one of RecertifyKinds
	Sections []string `yaml:"sections"` // whose; a 部局 stands for its 室課. Empty: all
	Every    string   `yaml:"every"`    // one of RecertifyCycles
	Month    int      `yaml:"month"`    // the first month of a cycle of several, 1 to 12
	Day      int      `yaml:"day"`      // of the month, 1 to 28; not asked for ten days
	Hour     int      `yaml:"hour"`     // Japan time
	Days     int      `yaml:"days"`     // from the day it begins to its deadline, a midnight
	// RemindDays is how many days before the deadline whoever reviews is reminded; they
	// are again on the last day.
	RemindDays int `yaml:"remind_days"`
}

// RecertificationRules are the campaigns, and when one stops and asks.
type RecertificationRules struct {
	// StopShare is the share of a campaign's lines, in percent, beyond which what nobody
	// has confirmed does not end before somebody was asked; up to StopFew lines end
	// whatever their share.
	StopShare int `yaml:"stop_share"`
	StopFew   int `yaml:"stop_few"`
	// EndsAlone is how many lines of a round one person ends by themselves; what they end
	// beyond that waits for a second person.
	EndsAlone int                 `yaml:"ends_alone"`
	Campaigns []RecertifyCampaign `yaml:"campaigns"`
}

// recertifySettings are those of campaigns.
func recertifySettings() []Setting {
	of := func(key, unit string, usual, least, most int, ja, en string) Setting {
		return Setting{Path: "recertification.campaigns[]." + key, Unit: unit, Kind: KindInt, Default: usual, Min: least, Max: most, Article: "62-6", Says: Words{ja, en}}
	}
	return []Setting{
		{Path: "recertification.stop_share", Unit: "percent", Kind: KindInt, Default: 5, Min: 1, Max: 100, Article: "62-6",
			Says: Words{"期限に確認のないものが、棚卸し全体のこの割合を超えるとき、終わらせる前に人に尋ねる。", "Where more than this share of a recertification was not confirmed at its deadline, somebody is asked before it ends."}},
		{Path: "recertification.stop_few", Unit: "count", Kind: KindInt, Default: 10, Min: 0, Max: 1000, Article: "62-6",
			Says: Words{"確認のないものがこの数までなら、割合にかかわらず尋ねない。", "Up to so many that were not confirmed end without a question, whatever their share."}},
		{Path: "recertification.ends_alone", Unit: "count", Kind: KindInt, Default: 20, Min: 0, Max: 1000, Article: "62-6",
			Says: Words{"一つの棚卸しで一人が自分だけで終わらせられる数。これを超える分は、二人目の人が認めてから終わる。", "How many lines of one recertification a person ends alone; what they end beyond that waits for a second person."}},
		{Path: "recertification.campaigns[].every", Kind: KindChoice, Default: EveryHalfYear, Choices: RecertifyCycles(), Article: "62-6",
			Says: Words{"棚卸しの周期。", "How often the recertification comes round."}},
		of("month", "month", 4, 1, 12, "周期の最初の月（四半期、半年、年の棚卸し）。", "The first month of a cycle of a quarter, half a year or a year."),
		of("day", "day", 1, 1, 28, "始まる日（月以上の周期）。", "The day of the month on which it begins; cycles of ten days begin on the 1st, 11th and 21st."),
		of("hour", "hour", 6, 0, 23, "始まる時刻（日本時間の時）。", "The hour, Japan time, at which it begins."),
		of("days", "days", 14, 2, 90, "始まる日から期限までの日数。期限の日の0時に、確認のないものが終わる。", "Days from its beginning to its deadline: at that midnight, Japan time, what nobody confirmed ends."),
		of("remind_days", "days", 5, 1, 60, "期限の何日前に点検する人へもう一度知らせるか。前日にも知らせる。", "Days before the deadline at which whoever reviews is reminded; they are once more on the day before it."),
	}
}

// shortest is the fewest days from one beginning to the next.
func (r RecertifyCampaign) shortest() int {
	return map[string]int{EveryTenDays: 8, EveryMonth: 28, EveryQuarter: 89, EveryHalfYear: 181, EveryYear: 365}[r.Every]
}

// months is how many months lie between two beginnings; 0 for ten days.
func (r RecertifyCampaign) months() int {
	return map[string]int{EveryMonth: 1, EveryQuarter: 3, EveryHalfYear: 6, EveryYear: 12}[r.Every]
}

// Due is when it last was to begin, up to now; the zero time where its cycle cannot be
// read. It depends on nothing else: who slept through several begins the last one.
func (r RecertifyCampaign) Due(now time.Time) time.Time {
	local := now.In(japan)
	at := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, r.Hour, 0, 0, 0, japan)
	}
	if r.Every == EveryTenDays {
		for _, day := range []int{21, 11, 1} {
			if due := at(local.Year(), local.Month(), day); !due.After(now) {
				return due.UTC()
			}
		}
		return at(local.Year(), local.Month()-1, 21).UTC()
	}
	step := r.months()
	if step == 0 || r.Day < 1 || r.Day > 28 {
		return time.Time{}
	}
	for back := range 13 {
		due := at(local.Year(), local.Month()-time.Month(back), r.Day)
		if (int(due.Month())-r.Month+12)%step == 0 && !due.After(now) {
			return due.UTC()
		}
	}
	return time.Time{}
}

// Deadline is the midnight in Japan at which one ends that began at a time.
func (r RecertifyCampaign) Deadline(began time.Time) time.Time {
	first, _ := JapanDay(DayInJapan(began))
	return first.AddDate(0, 0, r.Days)
}

// Campaign finds a campaign by its id.
func (r RecertificationRules) Campaign(id string) (RecertifyCampaign, bool) {
	for _, c := range r.Campaigns {
		if id != "" && c.ID == id {
			return c, true
		}
	}
	return RecertifyCampaign{}, false
}

// recertifications checks that each is of something, ends before the next begins, and
// reminds before it ends.
func (c *checker) recertifications() {
	ids := once{}
	for i, r := range c.p.Recertification.Campaigns {
		at := fmt.Sprintf("recertification.campaigns[%d]", i)
		c.id(at+".id", r.ID)
		ids.check(c, r.ID, at+".id", "62-6", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", r.Name)
		c.need(at+".kind", r.Kind, "62-6")
		if r.Kind != "" && !slices.Contains(RecertifyKinds(), r.Kind) && !c.problemAt(at+".kind") {
			c.refuse(at+".kind", "62-6", Nearest(r.Kind, RecertifyKinds()), "そのような棚卸しの対象はありません。", "There is nothing of this kind to recertify.")
		}
		for j, id := range r.Sections {
			if where := fmt.Sprintf("%s.sections[%d]", at, j); !c.problemAt(where) {
				if _, ok := c.known[id]; !ok {
					c.refuse(where, "62-6", Nearest(id, c.ids), "知らない部局・室課です。", "This section is not known.")
				}
			}
		}
		if most := r.shortest() - 1; most > 0 && r.Days > most && !c.problemAt(at+".days") {
			c.refuse(at+".days", "62-6", fmt.Sprint(most), "期限は、次の棚卸しが始まる前でなければなりません。", "The deadline comes before the next one begins.")
		}
		if r.RemindDays >= r.Days && !c.problemAt(at+".remind_days") && !c.problemAt(at+".days") {
			c.refuse(at+".remind_days", "62-6", fmt.Sprint(r.Days-1), "もう一度知らせるのは、始まった後でなければなりません（remind_days < days）。", "The reminder comes after the beginning (remind_days < days).")
		}
	}
}
