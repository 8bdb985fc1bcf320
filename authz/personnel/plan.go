package personnel

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
)

// A Vacancy is a post that somebody holds now and nobody will.
type Vacancy struct {
	Post    policy.PostID `json:"post"`
	Section string        `json:"section,omitempty"` // "": in the whole prefecture
}

// A Known is what the plan goes by, beside the file and the policy.
type Known struct {
	People   []directory.Person
	Holdings map[directory.PersonID][]Holding
	OnLeave  map[directory.PersonID]time.Time // until when; zero: without an end
	Former   map[string]bool                  // logins that were somebody's who is deleted, in canonical spelling
	Places   map[directory.PersonID][]string
	Own      string // the name that Sekisho itself binds with
	// Projects are all that are registered, Bound who is bound to which, and Ends what is
	// remembered of the ends of their accounts.
	Projects []project.Project
	Bound    map[directory.PersonID][]project.Member
	Ends     map[directory.PersonID]project.End
}

// A Plan is what an import would do.
type Plan struct {
	Effective time.Time      `json:"effective"`
	People    int            `json:"people"` // IDs in use now
	Counts    map[Act]int    `json:"counts"`
	Changes   []Change       `json:"changes"`
	Vacant    []Vacancy      `json:"vacant,omitempty"`
	Unchanged int            `json:"unchanged"`
	Projects  []ProjectCount `json:"projects,omitempty"` // those that IDs are bound to, or released from
	Stop      *policy.Words  `json:"stop,omitempty"`     // why it may not be carried out
}

// Make says what a file would do on a day, given what is known. It is pure. Faults
// name every line that cannot be carried out; then there is no plan.
func Make(p *policy.Policy, lines []Line, k Known, effective, now time.Time) (Plan, error) {
	m := maker{p: p, known: k, effective: effective, now: now, byNumber: map[string][]int{}, byLogin: map[string]int{}, byMail: map[string]int{}, seen: map[directory.PersonID]int{}, logins: map[string]int{}, projects: projectsOf(k.Projects)}
	for i, who := range k.People {
		if who.Number != "" {
			m.byNumber[fold(who.Number)] = append(m.byNumber[fold(who.Number)], i)
		}
		m.byLogin[fold(who.Login)] = i
		if who.Mail != "" {
			m.byMail[fold(who.Mail)] = i
		}
		if who.Account.Usable(now) {
			m.plan.People++
		}
	}
	m.plan.Effective, m.plan.Counts = effective, map[Act]int{}
	for _, l := range lines {
		m.line(l)
	}
	if p.Personnel.Roster {
		m.absent()
	}
	if len(m.faults) > 0 {
		slices.SortStableFunc(m.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return Plan{}, m.faults[:min(len(m.faults), MostFaults)]
	}
	m.owners()
	m.plan.Vacant, m.plan.Projects = m.vacant(), counted(m.plan.Changes)
	m.plan.Stop = m.stop()
	return m.plan, nil
}

type maker struct {
	p              *policy.Policy
	known          Known
	effective, now time.Time
	byNumber       map[string][]int
	byLogin        map[string]int
	byMail         map[string]int
	seen           map[directory.PersonID]int // the line of each person
	logins         map[string]int             // of who joins
	projects       projects
	plan           Plan
	faults         Faults
}

func (m *maker) fault(line int, field, rule, ja, en string) {
	m.faults = append(m.faults, Fault{line, field, rule, policy.Words{JA: ja, EN: en}})
}

func (m *maker) add(c Change) {
	if c.Act == "" || c.Act == Leaves && c.Before.same(c.After) {
		m.plan.Unchanged++
		return
	}
	m.plan.Counts[c.Act]++
	m.plan.Changes = append(m.plan.Changes, c)
}

// absent has those leave who are not in a file that names all staff.
func (m *maker) absent() {
	for _, who := range m.known.People {
		_, named := m.seen[who.ID]
		own := m.known.Own != "" && policy.CanonicalDN(who.DN) == policy.CanonicalDN(m.known.Own)
		if named || own || who.Kind != directory.KindStaff || who.Protected || who.Number == "" || !who.Account.Usable(m.effective) {
			continue
		}
		m.add(m.changed(Line{Kind: Staff, Leaves: true}, who))
	}
}

// owners warns where whoever answers for an ID leaves.
func (m *maker) owners() {
	left := map[string]bool{}
	for _, c := range m.plan.Changes {
		if c.Act == Leaves && c.Before.Number != "" && (c.Before.Kind == directory.KindStaff || c.Before.Kind == directory.KindContractor) {
			left[fold(c.Before.Number)] = true
		}
	}
	for i := range m.plan.Changes {
		if c := &m.plan.Changes[i]; c.Owner != "" && c.Act != Leaves && left[fold(c.Owner)] {
			c.Warnings = append(c.Warnings, OwnerLeaves)
		}
	}
}

// vacant are the posts that approve or administer which somebody holds now and nobody
// will: in a section, or in the whole prefecture.
func (m *maker) vacant() []Vacancy {
	after := map[directory.PersonID]Record{}
	var joined []Record
	for _, c := range m.plan.Changes {
		if c.Person == "" {
			joined = append(joined, c.After)
		} else {
			after[c.Person] = c.After
		}
	}
	was, is := map[Vacancy]int{}, map[Vacancy]int{}
	count := func(r Record, into map[Vacancy]int, at time.Time) {
		if r.Disabled || !r.Expires.IsZero() && !at.Before(r.Expires) {
			return
		}
		for _, id := range m.p.PostsOf(r.Groups) {
			if post, _ := m.p.Post(id); !post.Approves && !post.Administers {
				continue
			}
			into[Vacancy{id, ""}]++
			if r.Section != "" {
				into[Vacancy{id, r.Section}]++
			}
		}
	}
	for _, who := range m.known.People {
		r := recordOf(m.p, who)
		count(r, was, m.now)
		if next, changes := after[who.ID]; changes {
			r = next
		}
		count(r, is, m.effective)
	}
	for _, r := range joined {
		count(r, is, m.effective)
	}
	var out []Vacancy
	for v := range was {
		if is[v] == 0 {
			out = append(out, v)
		}
	}
	order := policy.PostIDs()
	slices.SortFunc(out, func(a, b Vacancy) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Post), slices.Index(order, b.Post)), cmp.Compare(a.Section, b.Section))
	})
	return out
}

// fewLeave is how many may leave whatever their share is: in a small directory, and a
// branch office that closes.
const fewLeave = 5

func (m *maker) stop() *policy.Words {
	n, share := m.plan.Counts[Leaves], m.p.Personnel.StopShare
	if n <= fewLeave || n*100 <= share*m.plan.People {
		return nil
	}
	at := strconv.Itoa(share)
	return &policy.Words{
		JA: fmt.Sprintf("退職が%d件あり、使われているID %d件の%s％（方針の personnel.stop_share）を超えます。ファイルを確かめ、正しければ分けるか、方針を変えてください。", n, m.plan.People, at),
		EN: fmt.Sprintf("%d would leave, which is more than %s %% (personnel.stop_share of the policy) of the %d IDs in use. Look at the file; if it is right, split it or change the policy.", n, at, m.plan.People),
	}
}

// SortedCounts are how many there are of each act, in the order of Acts.
func (p Plan) SortedCounts() []struct {
	Act Act
	N   int
} {
	var out []struct {
		Act Act
		N   int
	}
	for _, a := range Acts() {
		if n := p.Counts[a]; n > 0 {
			out = append(out, struct {
				Act Act
				N   int
			}{a, n})
		}
	}
	return out
}
