package policy

import (
	"fmt"
	"strings"
	"time"
)

// A DormancyClass is a group of IDs that grow old at one pace.
type DormancyClass string

// The classes. An ID is of the first that fits.
const (
	DormancyPrivileged DormancyClass = "privileged" // whoever approves or administers
	DormancyContractor DormancyClass = "contractor"
	DormancyService    DormancyClass = "service"
	DormancyShared     DormancyClass = "shared"
	DormancyStaff      DormancyClass = "staff" // everybody else
)

// DormancyClasses are all of them.
func DormancyClasses() []DormancyClass {
	return []DormancyClass{DormancyPrivileged, DormancyContractor, DormancyService, DormancyShared, DormancyStaff}
}

// DormancyDays are the days without use after which something is done with an ID.
type DormancyDays struct {
	WarnDays    int `yaml:"warn_days"`
	DisableDays int `yaml:"disable_days"`
	DeleteDays  int `yaml:"delete_days"`
}

// DormancyRules are days since an ID was last used, article 62-5. The three on top
// are those of staff.
type DormancyRules struct {
	WarnDays    int          `yaml:"warn_days"`
	DisableDays int          `yaml:"disable_days"`
	DeleteDays  int          `yaml:"delete_days"`
	ReviewDays  int          `yaml:"review_days"` // how often a section looks through its IDs
	Privileged  DormancyDays `yaml:"privileged"`
	Contractor  DormancyDays `yaml:"contractor"`
	Service     DormancyDays `yaml:"service"`
	Shared      DormancyDays `yaml:"shared"`
	SweepHour   int          `yaml:"sweep_hour"` // Japan time
	// StopShare is the share of all IDs, in percent, beyond which a sweep stops and
	// asks somebody: of what the directory answered otherwise than last time, and of
	// what would be done at once.
	StopShare int `yaml:"stop_share"`
	// StopFew is how many IDs may be warned or closed at once whatever their share.
	StopFew    int                 `yaml:"stop_few"`
	Exemptions []DormancyExemption `yaml:"exemptions"`
}

// A DormancyExemption keeps an ID from growing old, for a reason that somebody
// answers for.
type DormancyExemption struct {
	Login  string `yaml:"login"`
	Owner  string `yaml:"owner"` // login of who answers for it
	Reason Words  `yaml:"reason"`
	Until  string `yaml:"until"` // the last day it holds, Japan time
	// BreakGlass marks an ID for emergencies, which nobody uses as long as all is
	// well: it needs no end.
	BreakGlass bool `yaml:"break_glass"`
}

// InForce reports whether the exemption holds at a time.
func (x DormancyExemption) InForce(now time.Time) bool {
	return x.Until == "" && x.BreakGlass || x.Until != "" && Deviation{Until: x.Until}.InForce(now)
}

// DaysOf are the days of a class.
func (r DormancyRules) DaysOf(class DormancyClass) DormancyDays {
	switch class {
	case DormancyPrivileged:
		return r.Privileged
	case DormancyContractor:
		return r.Contractor
	case DormancyService:
		return r.Service
	case DormancyShared:
		return r.Shared
	}
	return DormancyDays{r.WarnDays, r.DisableDays, r.DeleteDays}
}

// Exempt is the exemption of a login that is in force at a time.
func (r DormancyRules) Exempt(login string, now time.Time) (DormancyExemption, bool) {
	for _, x := range r.Exemptions {
		if strings.EqualFold(x.Login, login) && x.InForce(now) {
			return x, true
		}
	}
	return DormancyExemption{}, false
}

// dormancySettings are the days of a class that differs from staff.
func dormancySettings(class DormancyClass, ja, en string, warn, disable, remove int) []Setting {
	one := func(key string, days, least, most int, says Words) Setting {
		return Setting{Path: "dormancy." + string(class) + "." + key, Unit: "days", Kind: KindInt, Default: days, Min: least, Max: most, Article: "62-5", Says: says}
	}
	return []Setting{
		one("warn_days", warn, 1, 730, Words{"使われない" + ja + "の持ち主に知らせるまでの日数。", "Days unused before the holder of " + en + " is warned."}),
		one("disable_days", disable, 2, 1095, Words{"使われない" + ja + "を無効にするまでの日数。", "Days unused before " + en + " is disabled."}),
		one("delete_days", remove, 3, 3660, Words{"使われない" + ja + "の削除を提案するまでの日数。", "Days unused before it is proposed to delete " + en + "."}),
	}
}

// dormancy checks that an ID is told before it is closed, and closed before it is
// gone, and that somebody answers for each exemption.
func (c *checker) dormancy() {
	for _, class := range DormancyClasses() {
		d, at := c.p.Dormancy.DaysOf(class), "dormancy."
		if class != DormancyStaff {
			at += string(class) + "."
		}
		if d.DisableDays <= d.WarnDays {
			c.refuse(at+"disable_days", "62-5", fmt.Sprint(d.WarnDays+1), "無効にする前に知らせなければなりません（warn_days < disable_days）。", "The warning comes before disabling (warn_days < disable_days).")
		}
		if d.DeleteDays <= d.DisableDays {
			c.refuse(at+"delete_days", "62-5", fmt.Sprint(d.DisableDays+1), "削除する前に無効にしなければなりません（disable_days < delete_days）。", "Disabling comes before deletion (disable_days < delete_days).")
		}
	}
	logins := once{}
	for i, x := range c.p.Dormancy.Exemptions {
		at := fmt.Sprintf("dormancy.exemptions[%d]", i)
		c.need(at+".login", x.Login, "62-5")
		logins.check(c, strings.ToLower(x.Login), at+".login", "62-5", "同じIDが二度書かれています。", "The ID is there twice.")
		c.need(at+".owner", x.Owner, "62-5")
		c.words(at+".reason", x.Reason)
		c.date(at+".until", x.Until)
		if x.Until == "" && !x.BreakGlass && !c.problemAt(at+".until") {
			c.refuse(at+".until", "62-5", "", "例外には終わりの日が要ります。緊急用のIDは break_glass: true とします。", "An exemption has a last day; an ID for emergencies has break_glass: true.")
		}
	}
}
