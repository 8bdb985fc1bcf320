package report

import (
	"time"

	"sekisho/authz/lifecycle"
	"sekisho/policy"
)

// DormantAnswer is the report for programs: the API and the command give the same.
type DormantAnswer struct {
	AsOf     *time.Time      `json:"as_of"` // null: no sweep has come to its end yet
	People   int             `json:"people"`
	Ages     []AgeAnswer     `json:"ages"`
	Sections []SectionAnswer `json:"sections"`
	Classes  []ClassAnswer   `json:"classes"`
	Findings []FindingAnswer `json:"findings"`
	Cut      bool            `json:"findings_cut"` // there are more findings
	Items    []EntryAnswer   `json:"items"`        // the IDs that were not used for a month or longer, the longest first
	Next     *string         `json:"next"`         // give it as after= for the rest; null at the end
}

// An AgeAnswer is how many IDs were last used so long ago.
type AgeAnswer struct {
	Age string `json:"age"`
	IDs int    `json:"ids"`
}

// A SectionAnswer is one section's.
type SectionAnswer struct {
	Section  string      `json:"section"`
	Name     string      `json:"name"`
	IDs      int         `json:"ids"`
	Unused   int         `json:"unused"` // for 30 days or longer
	Warned   int         `json:"warned"`
	Disabled int         `json:"disabled"`
	Deletion int         `json:"deletion_proposed"`
	OnLeave  int         `json:"on_leave"`
	Exempt   int         `json:"exempt"`
	Ages     []AgeAnswer `json:"ages"`
}

// A ClassAnswer is one kind's.
type ClassAnswer struct {
	Class string      `json:"class"`
	Ages  []AgeAnswer `json:"ages"`
}

// An EntryAnswer is one ID that was not used for a month or longer.
type EntryAnswer struct {
	Login     string     `json:"login"`
	Name      string     `json:"name"`
	Section   string     `json:"section"`
	Company   string     `json:"company"`
	Kind      string     `json:"kind"`
	Class     string     `json:"class"`
	LastUse   *time.Time `json:"last_used_at"` // null: never
	CreatedAt *time.Time `json:"created_at"`
	Unused    int        `json:"unused_days"`
	Stage     string     `json:"stage"` // in_use, warned, disabled or deleted (proposed)
	Hold      string     `json:"hold"`  // exempt, on_leave, unknown, or ""
}

// A FindingAnswer is what a sweep noticed beside.
type FindingAnswer struct {
	Kind    string     `json:"kind"`
	Subject string     `json:"subject"`
	Login   string     `json:"login"`
	Section string     `json:"section"`
	Detail  string     `json:"detail"`
	FoundAt *time.Time `json:"found_at"`
}

func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func agesOf(n map[lifecycle.Age]int) []AgeAnswer {
	var out []AgeAnswer
	for _, a := range lifecycle.Ages() {
		out = append(out, AgeAnswer{string(a), n[a]})
	}
	return out
}

// Answer is the report for programs. That of the zero Dormant says that there is none.
func (d Dormant) Answer(after string, most int) any {
	out := DormantAnswer{
		AsOf: stamp(d.Sweep.AsOf), People: d.Sweep.People, Ages: agesOf(d.Ages), Cut: d.Cut,
		Sections: []SectionAnswer{}, Classes: []ClassAnswer{}, Items: []EntryAnswer{}, Findings: []FindingAnswer{},
	}
	for _, s := range d.Sections {
		out.Sections = append(out.Sections, SectionAnswer{s.ID, s.Name.JA, s.All, s.Unused(), s.Warned, s.Disabled, s.Deleting, s.OnLeave, s.Exempt, agesOf(s.Ages)})
	}
	for _, c := range policy.DormancyClasses() {
		if ages, ok := d.Classes[c]; ok {
			out.Classes = append(out.Classes, ClassAnswer{string(c), agesOf(ages)})
		}
	}
	var some []lifecycle.Entry
	some, out.Next = page(d.Entries, after, most, func(e lifecycle.Entry) string { return e.Login })
	for _, e := range some {
		out.Items = append(out.Items, EntryAnswer{
			e.Login, e.Name, e.Section, e.Company, string(e.Kind), string(e.Class), stamp(e.LastUse), stamp(e.CreatedAt), e.Unused, string(e.Stage), string(e.Hold),
		})
	}
	for _, f := range d.Findings {
		out.Findings = append(out.Findings, FindingAnswer{string(f.Kind), f.Subject, f.Login, f.Section, f.Detail, stamp(f.FoundAt)})
	}
	return out
}

// Has reports whether an entry is in it.
func (d Dormant) Has(id string) bool {
	return has(d.Entries, id, func(e lifecycle.Entry) string { return e.Login })
}
