package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func first(e Entry, name string) string {
	if name == "" {
		return ""
	}
	for _, v := range e(name) {
		return v
	}
	return ""
}

func boolean(e Entry, name string) (bool, error) {
	switch v := first(e, name); strings.ToUpper(v) {
	case "", "FALSE":
		return false, nil
	case "TRUE":
		return true, nil
	default:
		return false, fmt.Errorf("reading %s: %q is neither TRUE nor FALSE", name, v)
	}
}

func number(e Entry, name string) (int64, error) {
	v := first(e, name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("reading %s: %q is not a count", name, v)
	}
	return n, nil
}

func seconds(e Entry, name string) (time.Duration, error) {
	n, err := number(e, name)
	return time.Duration(n) * time.Second, err
}

func instant(e Entry, name string) (time.Time, error) {
	v := first(e, name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := ParseTime(v)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return t, nil
}

// FormatTime writes a generalized time to the second, in UTC.
func FormatTime(t time.Time) string { return t.UTC().Format("20060102150405Z") }

// FormatTimeMicro writes a generalized time to the microsecond, in UTC.
func FormatTimeMicro(t time.Time) string { return t.UTC().Format("20060102150405.000000Z") }

// ParseTime reads a generalized time, RFC 4517 section 3.3.13: minutes and
// seconds may be missing, a fraction belongs to the smallest unit written, and
// the zone is Z or an offset.
func ParseTime(v string) (time.Time, error) {
	bad := fmt.Errorf("%q is not a generalized time", v)
	digits := len(v) - len(strings.TrimLeft(v, "0123456789"))
	var (
		layout string
		unit   time.Duration
	)
	switch digits {
	case 10:
		layout, unit = "2006010215", time.Hour
	case 12:
		layout, unit = "200601021504", time.Minute
	case 14:
		layout, unit = "20060102150405", time.Second
	default:
		return time.Time{}, bad
	}
	t, err := time.Parse(layout, v[:digits])
	if err != nil {
		return time.Time{}, bad
	}
	rest := v[digits:]
	if rest != "" && (rest[0] == '.' || rest[0] == ',') {
		n := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789"))
		if n == 0 || n > 18 {
			return time.Time{}, bad
		}
		fraction, err := strconv.ParseFloat("0."+rest[1:1+n], 64)
		if err != nil {
			return time.Time{}, bad
		}
		t = t.Add(time.Duration(math.Round(fraction*float64(unit/time.Microsecond))) * time.Microsecond)
		rest = rest[1+n:]
	}
	offset, ok := zone(rest)
	if !ok {
		return time.Time{}, bad
	}
	return t.Add(-offset).UTC(), nil
}

func zone(s string) (time.Duration, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 3 && len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 10, 16)
	if err != nil {
		return 0, false
	}
	hours, minutes := n, uint64(0)
	if len(s) == 5 {
		hours, minutes = n/100, n%100
	}
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		d = -d
	}
	return d, true
}
