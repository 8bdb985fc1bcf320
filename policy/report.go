package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How often a report is made.
const (
	EveryWeek  = "week"
	EveryMonth = "month"
)

// A ReportSchedule has a report made by itself, for the holders of some posts, who are
// told that it is there (articles 62-5, 62-6).
type ReportSchedule struct {
	ID     string   `yaml:"id"`
	Report string   `yaml:"report"` // one of ScheduledReports
	Posts  []PostID `yaml:"posts"`
	Every  string   `yaml:"every"` // EveryWeek or EveryMonth
	Day    string   `yaml:"day"`   // of the month, 1 to 28, or one of Weekdays
	Hour   int      `yaml:"hour"`  // Japan time
}

// ReportRules are what reports are made by themselves, and how long they are kept.
type ReportRules struct {
	KeepDays int              `yaml:"keep_days"`
	Schedule []ReportSchedule `yaml:"schedule"`
}

// reportSettings are those of reports that are made by themselves.
func reportSettings() []Setting {
	return []Setting{
		{Path: "reports.keep_days", Unit: "days", Kind: KindInt, Default: 400, Min: 1, Max: 3660, Article: "51-2",
			Says: Words{"定期の報告を保存する日数。", "Days for which a scheduled report is kept."}},
		{Path: "reports.schedule[].every", Kind: KindChoice, Default: EveryMonth, Choices: []string{EveryWeek, EveryMonth}, Article: "62-5",
			Says: Words{"定期の報告を作る間隔。", "How often a scheduled report is made."}},
		{Path: "reports.schedule[].hour", Unit: "hour", Kind: KindInt, Default: 7, Min: 0, Max: 23, Article: "62-5",
			Says: Words{"定期の報告を作る時刻（日本時間の時）。", "The hour, Japan time, at which a scheduled report is made."}},
	}
}

// ScheduledReports are those that can be made by themselves; authz/report makes them.
func ScheduledReports() []string {
	return []string{"dormant", "privilege", "remote", "reconcile", "evidence"}
}

// ReadsReport reports whether who holds a post reads a report at all; how much of it, and
// of whom, authz/report says.
func (p *Policy) ReadsReport(report string, id PostID) bool {
	post, ok := p.Post(id)
	switch {
	case !ok:
		return false
	case post.Audits, id == CIO:
		return true
	case report == "evidence":
		return false
	case report == "privilege":
		return slices.Contains([]PostID{CSIRT, SecurityOfficer, SecurityManager}, id)
	}
	return slices.Contains([]PostID{CSIRT, SecurityOfficer, SecurityManager, SystemAdministrator, SystemOperator}, id)
}

// readers are the posts that read a report, as the policy calls them.
func (p *Policy) readers(report string) string {
	var out []string
	for _, post := range p.Posts {
		if p.ReadsReport(report, post.ID) {
			out = append(out, string(post.ID))
		}
	}
	return strings.Join(out, ", ")
}

// Due is the last time, up to now, at which the report was to be made; the zero time
// where its day cannot be read. It depends on nothing else: who slept through several
// makes the last one.
func (s ReportSchedule) Due(now time.Time) time.Time {
	local := now.In(japan)
	at := time.Date(local.Year(), local.Month(), local.Day(), s.Hour, 0, 0, 0, japan)
	if s.Every == EveryWeek {
		day := slices.Index(Weekdays(), s.Day)
		if day < 0 {
			return time.Time{}
		}
		for Weekdays()[at.Weekday()] != s.Day || at.After(now) {
			at = at.AddDate(0, 0, -1)
		}
		return at
	}
	day, err := strconv.Atoi(s.Day)
	if err != nil || day < 1 || day > 28 {
		return time.Time{}
	}
	at = time.Date(local.Year(), local.Month(), day, s.Hour, 0, 0, 0, japan)
	if at.After(now) {
		at = time.Date(local.Year(), local.Month()-1, day, s.Hour, 0, 0, 0, japan)
	}
	return at
}

// Before is when it was to be made the time before.
func (s ReportSchedule) Before(due time.Time) time.Time {
	if s.Every == EveryWeek {
		return due.AddDate(0, 0, -7)
	}
	return due.AddDate(0, -1, 0)
}

// reports checks that each is of something, for somebody, and on a day that there is.
func (c *checker) reports() {
	ids := once{}
	for i, s := range c.p.Reports.Schedule {
		at := fmt.Sprintf("reports.schedule[%d]", i)
		c.need(at+".id", s.ID, "62-5")
		ids.check(c, s.ID, at+".id", "62-5", "同じ名前が二度書かれています。", "The name is there twice.")
		if !slices.Contains(ScheduledReports(), s.Report) && !c.problemAt(at+".report") {
			c.refuse(at+".report", "62-5", Nearest(s.Report, ScheduledReports()), "そのような報告はありません。", "There is no such report.")
		}
		if len(s.Posts) == 0 {
			c.refuse(at+".posts", "62-5", string(SecurityManager), "だれに知らせるかを、職で書いてください。", "Say by post who is told.")
		}
		for j, id := range s.Posts {
			field := fmt.Sprintf("%s.posts[%d]", at, j)
			if _, known := c.p.Post(id); !c.brought || !known || c.problemAt(at+".report") || c.problemAt(field) || c.p.ReadsReport(s.Report, id) {
				continue
			}
			who := c.p.readers(s.Report)
			c.refuse(field, "51-3", string(CIO), "この職の人は、この報告を見られません。見られる職（"+who+"）から選んでください。", "Who holds this post does not read this report. Choose among those who do: "+who+".")
		}
		if s.Due(time.Date(2026, 4, 1, 0, 0, 0, 0, japan)).IsZero() && !c.problemAt(at+".day") {
			usual, ja, en := "1", "毎月の報告の日は1から28までにしてください。どの月にもある日です。", "The day of a monthly report is 1 to 28: every month has it."
			if s.Every == EveryWeek {
				usual, ja, en = "mon", "毎週の報告の日は曜日（mon など）にしてください。", "The day of a weekly report is a weekday such as mon."
			}
			c.refuse(at+".day", "62-5", usual, ja, en)
		}
	}
}
