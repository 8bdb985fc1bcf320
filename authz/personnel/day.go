package personnel

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// japan is the calendar of the file.
var japan = time.FixedZone("JST", 9*60*60)

// dayForms are how Excel and people write a day.
var dayForms = []string{"2006-1-2", "20060102"}

// eras are the calendars of office documents: the year before the first.
var eras = map[string]int{"R": 2018, "令和": 2018, "H": 1988, "平成": 1988}

// Day reads a day of Japan's calendar, as the instant at which it begins.
func Day(v string) (time.Time, bool) {
	v = norm.NFKC.String(strings.TrimSpace(v))
	for name, before := range eras {
		if rest, ok := strings.CutPrefix(v, name); ok {
			year, month, _ := strings.Cut(strings.TrimLeft(rest, "."), "年")
			if month == "" {
				year, month, _ = strings.Cut(strings.ReplaceAll(year, "/", "."), ".")
			}
			if year == "元" {
				year = "1"
			}
			n, err := strconv.Atoi(year)
			if err != nil || n < 1 || n > 99 {
				return time.Time{}, false
			}
			v = strconv.Itoa(before+n) + "-" + month
		}
	}
	v = strings.NewReplacer("/", "-", ".", "-", "年", "-", "月", "-", "日", "").Replace(v)
	for _, form := range dayForms {
		if at, err := time.ParseInLocation(form, v, japan); err == nil && at.Year() >= 1900 && at.Year() < 2200 {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// After is the instant at which a day is over.
func After(day time.Time) time.Time { return day.In(japan).AddDate(0, 0, 1).UTC() }
