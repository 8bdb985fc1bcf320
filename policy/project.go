package policy

import "time"

// ProjectRules say how long projects (案件) may be, and when people hear that one ends
// (article 67-2(1)).
type ProjectRules struct {
	LongestDays int `yaml:"longest_days"` // from the day on which its end is set
	WarnDays    int `yaml:"warn_days"`
	// BindsAlone is how many IDs somebody binds within 24 hours by their word alone: bound to
	// what is development an ID opens nothing in production, and a completion closes it.
	BindsAlone int `yaml:"binds_alone"`
}

func projectSettings() []Setting {
	return []Setting{
		{Path: "projects.binds_alone", Unit: "count", Kind: KindInt, Default: 50, Min: 0, Max: 1000, Article: "67-2(1)",
			Says: Words{"一人の判断で案件に加えられるIDの数（24時間以内）。これを超える分は、二人で決める人事異動のファイルで加える。", "How many IDs one person binds to projects within 24 hours; beyond that they are bound by a file of personnel changes, which two persons decide."}},
		{Path: "projects.longest_days", Unit: "days", Kind: KindInt, Default: 1096, Min: 1, Max: 1830, Article: "67-2(1)",
			Says: Words{"案件の終わりを、登録又は延長の日から何日先までとできるか。", "How many days ahead the end of a project may lie, from the day on which it is set."}},
		{Path: "projects.warn_days", Unit: "days", Kind: KindInt, Default: 14, Min: 1, Max: 90, Article: "67-2(1)",
			Says: Words{"案件の終わりの何日前に、情報システム管理者と案件の責任者に知らせるか。", "How many days before a project ends its administrators and those responsible for it hear of it."}},
	}
}

// AfterDays is the midnight in Japan with which the last of so many days after a time's
// day ends.
func AfterDays(now time.Time, days int) time.Time {
	today, _ := JapanDay(DayInJapan(now))
	return today.In(japan).AddDate(0, 0, days+1).UTC()
}
