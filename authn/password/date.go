package password

import (
	"regexp"
	"strconv"
	"unicode/utf8"
)

// Dates as people write them into passwords. The text is folded: lower case,
// half-width, katakana as hiragana. Every expression is RE2's and so linear.
const (
	separator = `[-_./\s]?`
	number    = `(?:元|gannen|[0-9]{1,2}|[一二三四五六七八九十]{1,3})`
	monthDay  = `(?:` + separator + `[0-9]{1,2}` + separator + `(?:月|gatsu|がつ)?` + `(?:` + separator + `[0-9]{1,2}(?:日|nichi|にち)?)?)?`
	months    = `january|february|march|april|june|july|august|september|october|november|december` +
		`|ichigatsu|nigatsu|sangatsu|shigatsu|gogatsu|rokugatsu|shichigatsu|hachigatsu|kugatsu|juugatsu|jugatsu|juuichigatsu|juichigatsu|juunigatsu|junigatsu` +
		`|mutsuki|kisaragi|yayoi|uzuki|satsuki|minazuki|fumizuki|hazuki|nagatsuki|kannazuki|shimotsuki|shiwasu`
	weekdays = `monday|tuesday|wednesday|thursday|friday|saturday|sunday|getsuyou?|kayoubi|suiyou?bi|mokuyou?bi|kinyou?bi|doyou?bi|nichiyou?bi|[月火水木金土日]曜日?`
)

var (
	// eras are the names since Meiji with or without their year (Reiwa8,
	// 令和八年四月一日). The bare name counts too.
	eras = regexp.MustCompile(`(?:reiwa|heisei|shouwa|showa|taishou|taisho|meiji|令和|平成|昭和|大正|明治|れいわ|へいせい|しょうわ|たいしょう|めいじ)` +
		`(?:` + separator + number + separator + `(?:年度?|nen(?:do)?|ねん(?:ど)?)?` + monthDay + `)?`)

	// initials are the eras by their letter, as on forms: R8, S63.4.1, H300401.
	// The letter must not end a word.
	initials = regexp.MustCompile(`(?:^|[^a-z])([rhstm]` + separator + `(?:[0-9]{6}|[0-9]{4}|[0-9]{1,2})(?:年度?|nen(?:do)?)?(?:[-_./][0-9]{1,2}){0,2})(?:[^0-9]|$)`)

	// written are dates with their units or separators in any order of parts.
	written = regexp.MustCompile(`(?:(?:19|20)[0-9]{2}|[0-9]{2})(?:年度?|nen(?:do)?)(?:[0-9]{1,2}月)?(?:[0-9]{1,2}日)?` +
		`|[0-9]{1,2}(?:月|gatsu|がつ)(?:[0-9]{1,2}(?:日|nichi|にち)?)?` +
		`|(?:19|20)[0-9]{2}[-_./][0-9]{1,2}(?:[-_./][0-9]{1,2})?` +
		`|[0-9]{1,2}[-_./][0-9]{1,2}[-_./](?:19|20)?[0-9]{2}`)

	names  = regexp.MustCompile(`(?:` + months + `|` + weekdays + `)(?:` + separator + `[0-9]{1,4})?`)
	short  = regexp.MustCompile(`(?:^|[^a-z])((?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)` + separator + `[0-9]{1,4})(?:[^0-9]|$)`)
	digits = regexp.MustCompile(`[0-9]+`)
)

// dates marks dates, years, eras, months and weekdays.
func (t text) dates() cover {
	s := string(t.kana)
	c := make(cover, len(t.kana))
	at := runeAt(s)
	for _, re := range []*regexp.Regexp{eras, written, names} {
		for _, m := range re.FindAllStringIndex(s, -1) {
			c.mark(at[m[0]], at[m[1]])
		}
	}
	for _, re := range []*regexp.Regexp{initials, short} {
		for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
			if re == initials && !eraInitial(s[m[2]:m[3]]) {
				continue
			}
			c.mark(at[m[2]], at[m[3]])
		}
	}
	for _, m := range digits.FindAllStringIndex(s, -1) {
		from, to := calendar(s[m[0]:m[1]])
		c.mark(at[m[0]]+from, at[m[0]]+to)
	}
	return c
}

// runeAt maps byte offsets of s to positions in runes.
func runeAt(s string) []int {
	at := make([]int, len(s)+1)
	n := 0
	for i, r := range s {
		for k := i; k < i+utf8.RuneLen(r); k++ {
			at[k] = n
		}
		n++
	}
	at[len(s)] = n
	return at
}

// eraInitial tells R8 from T900: the year must be one that the era had.
func eraInitial(s string) bool {
	last := map[byte]int{'r': 30, 'h': 31, 's': 64, 't': 15, 'm': 45}[s[0]]
	d := digits.FindString(s)
	if len(d) > 2 {
		month, day := 1, 1
		if len(d) >= 4 {
			month = atoi(d[2:4])
		}
		if len(d) == 6 {
			day = atoi(d[4:])
		}
		if !valid(month, day) {
			return false
		}
		d = d[:2]
	}
	year := atoi(d)
	return year >= 1 && year <= last
}

// calendar finds the part of a run of digits that is a date: the whole of it in
// one of the usual orders, or a year at either end.
func calendar(d string) (from, to int) {
	year := func(s string) bool { return s[:2] == "19" || s[:2] == "20" }
	switch n := len(d); {
	case n == 8 && year(d) && valid(atoi(d[4:6]), atoi(d[6:])),
		n == 8 && year(d[4:]) && (valid(atoi(d[:2]), atoi(d[2:4])) || valid(atoi(d[2:4]), atoi(d[:2]))),
		n == 6 && year(d) && valid(atoi(d[4:]), 1),
		n == 6 && valid(atoi(d[2:4]), atoi(d[4:])),
		n == 4 && valid(atoi(d[:2]), atoi(d[2:])),
		n == 4 && year(d),
		n == 8 && year(d) && year(d[4:]):
		return 0, n
	case n > 8 && year(d) && valid(atoi(d[4:6]), atoi(d[6:8])):
		return 0, 8
	case n > 4 && year(d):
		return 0, 4
	case n > 4 && year(d[n-4:]):
		return n - 4, n
	}
	return 0, 0
}

func valid(month, day int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// atoi reads digits that an expression has already vouched for.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
