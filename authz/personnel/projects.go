package personnel

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
)

// A Tied is a project that a line has an ID bound to, or released from.
type Tied struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Environment policy.Environment `json:"environment"`
	Until       time.Time          `json:"until"`
	New         bool               `json:"new,omitempty"` // by the line
}

// A ProjectCount is what a file does for one project.
type ProjectCount struct {
	Tied
	Bound    int `json:"bound"`
	Released int `json:"released"`
}

// projects are those that a plan knows, by what a cell may call them.
type projects struct {
	byID   map[string]project.Project
	byName map[string][]project.Project
	names  []string
}

func projectsOf(all []project.Project) projects {
	p := projects{map[string]project.Project{}, map[string][]project.Project{}, nil}
	for _, one := range all {
		p.byID[fold(one.ID)] = one
		p.byName[fold(one.Name)] = append(p.byName[fold(one.Name)], one)
		p.names = append(p.names, one.ID, one.Name)
	}
	return p
}

// called are the projects that a name is of: the id counts before a name, and those that
// run before others.
func (p projects) called(name string, at time.Time) []project.Project {
	if one, ok := p.byID[fold(name)]; ok {
		return []project.Project{one}
	}
	all := p.byName[fold(name)]
	if running := slices.DeleteFunc(slices.Clone(all), func(o project.Project) bool { return o.State(at) != project.Running }); len(running) > 0 {
		return running
	}
	return all
}

// binding is what a line makes of the projects of an ID.
type binding struct {
	after, released []Tied
	changed         bool
	turns           policy.Environment // that the ID is of from then on, where it was of another
	last            time.Time          // when the last of them ends; zero: it has none that runs then
}

func tiedTo(p project.Project) Tied {
	t := Tied{ID: p.ID, Name: p.Name, Environment: p.Environment, Until: p.Until}
	if !p.CompletedAt.IsZero() {
		t.Until = p.CompletedAt
	}
	return t
}

func tiesOf(all []Tied) []authz.Tie {
	out := make([]authz.Tie, len(all))
	for i, t := range all {
		out[i] = authz.Tie{Project: t.ID, Environment: t.Environment, Until: t.Until}
	}
	return out
}

// bind says what a line makes of the projects that an ID is bound to, "" being nobody yet:
// what the column names, and as it was where it does not speak of any (articles 67-2(1)
// and 68-2). false: the line has faults.
func (m *maker) bind(l Line, who directory.PersonID, login string, is, after Record) (b binding, ok bool) {
	due := latest(m.effective, l.Starts)
	var before []Tied
	for _, o := range m.known.Bound[who] {
		if p, known := m.projects.byID[fold(o.Project)]; known && who != "" {
			before = append(before, tiedTo(p))
		}
	}
	b.after = before
	if l.Says("project") {
		named, fine := m.named(l, due)
		if !fine {
			return b, false
		}
		b.after = nil
		for _, p := range named {
			t := tiedTo(p)
			t.New = !slices.ContainsFunc(before, func(o Tied) bool { return o.ID == t.ID })
			b.after, b.changed = append(b.after, t), b.changed || t.New
		}
		for _, o := range before {
			switch {
			case slices.ContainsFunc(b.after, func(t Tied) bool { return t.ID == o.ID }):
			case len(named) > 0 && !due.Before(o.Until):
				b.after = append(b.after, o) // over: it stands for what it was
			default:
				b.released, b.changed = append(b.released, o), true
			}
		}
		if !m.mayBind(l, named, login, is, after) {
			return b, false
		}
	}
	for _, t := range b.after {
		if due.Before(t.Until) {
			b.last = latest(b.last, t.Until)
		}
	}
	switch running := slices.DeleteFunc(slices.Clone(b.after), func(t Tied) bool { return !due.Before(t.Until) }); {
	case !l.Says("project") && len(running) > 0 && m.powerful(login, after) && !m.powerful(login, is):
		m.fault(l.N, "posts", "project", "案件「"+clip(running[0].Name)+"」のIDに、承認、管理又は監査の役割は付けられません。案件から外すか、別のIDにしてください。",
			"This ID is for the project “"+clip(running[0].Name)+"”, and a post that approves, administers or audits does not go to it. Release it, or use another ID.")
		return b, false
	case !l.Says("project") && len(before) > 0 && len(running) == 0 && is.Disabled:
		m.fault(l.N, "project", "over", "このIDの案件（"+clip(before[0].Name)+"）は終わっています。案件の列に、続く案件か「なし」を書いてください。",
			"The project of this ID ("+clip(before[0].Name)+") is over. Write the project that follows in this column, or that there is none.")
		return b, false
	}
	was, good := authz.EnvironmentOf(tiesOf(before), due)
	if of, fine := authz.EnvironmentOf(tiesOf(b.after), due); who != "" && good && fine && of != was {
		b.turns = of
	}
	return b, true
}

func (m *maker) powerful(login string, r Record) bool {
	posts := append(m.p.PostsOf(r.Groups), m.p.StandsInFor(login, m.now)...)
	return m.p.Powerful(posts) || slices.ContainsFunc(posts, func(id policy.PostID) bool { post, ok := m.p.Post(id); return ok && post.Audits })
}

// named finds the projects that a line names.
func (m *maker) named(l Line, due time.Time) (out []project.Project, ok bool) {
	if l.NoProject {
		return nil, true
	}
	names := []string{l.Project}
	if len(m.projects.called(l.Project, due)) == 0 { // a name may have a comma in it
		names = list(l.Project)
	}
	ok = true
	bad := func(rule, ja, en string) { m.fault(l.N, "project", rule, ja, en); ok = false }
	for _, name := range names {
		found, said := m.projects.called(name, due), clip(name)
		switch {
		case len(found) == 0:
			ja, en := "「"+said+"」という案件は登録されていません。案件のidか名前を書くか、先に登録してください。", "No project “"+said+"” is registered. Write the id or the name of one, or register it first."
			if near := policy.Nearest(name, m.projects.names); near != "" {
				ja, en = ja+"「"+clip(near)+"」では？", en+" Did you mean “"+clip(near)+"”?"
			}
			bad("unknown", ja, en)
			continue
		case len(found) > 1:
			var ids []string
			for _, p := range found {
				ids = append(ids, p.ID)
			}
			bad("ambiguous", "「"+said+"」という案件は複数あります。id（"+strings.Join(ids, "、")+"）で書いてください。", "Several projects are called “"+said+"”. Write the id of one: "+strings.Join(ids, ", ")+".")
			continue
		}
		p := found[0]
		switch state := p.State(due); {
		case state == project.Completed:
			bad("completed", "案件「"+said+"」は完了しています。続く案件を登録して書いてください。", "The project “"+said+"” is completed. Register the one that follows, and write that.")
		case state != project.Running:
			bad("over", "案件「"+said+"」は"+p.LastDay()+"で終わり、この行の日にはもうありません。続く案件を書いてください。", "The project “"+said+"” ends with "+p.LastDay()+", and is over on the day of this line. Write the one that follows.")
		case !slices.ContainsFunc(out, func(o project.Project) bool { return o.ID == p.ID }):
			out = append(out, p)
		}
	}
	return out, ok
}

// mayBind says why an ID is not bound to projects that a line names.
func (m *maker) mayBind(l Line, named []project.Project, login string, is, after Record) bool {
	if len(named) == 0 {
		return true
	}
	before := len(m.faults)
	if l.Kind == Shared || is.Kind == directory.KindLent {
		m.fault(l.N, "project", "kind", "共用のIDと貸し出すIDは、案件に加えられません。一人一人のIDを使ってください。", "An ID that several people use, or that is lent, is bound to no project. Use each person's own.")
	}
	if m.powerful(login, after) {
		m.fault(l.N, "project", "powerful", "承認、管理又は監査の役割を持つIDは、案件に加えられません。案件には別のIDを登録してください。", "An ID that approves, administers or audits is bound to no project. Register another one for the project.")
	}
	for _, p := range named {
		if !m.p.InSection(after.Section, []string{p.Section}) {
			m.fault(l.N, "project", "section", "案件「"+clip(p.Name)+"」は、この人の所属のものではありません。所属がその室課（又はその下）の人のIDだけを加えられます。",
				"The project “"+clip(p.Name)+"” is not of this person's section. It is for IDs of its own section and of those below it.")
		}
		if first := named[0]; p.Environment != first.Environment {
			m.fault(l.N, "project", "environment", "「"+clip(first.Name)+"」と「"+clip(p.Name)+"」は、開発と運用の別が違います。一つのIDはどちらか一方のものです。別のIDを登録してください。",
				"“"+clip(first.Name)+"” and “"+clip(p.Name)+"” are of different environments. An ID is of one of the two; register another one.")
		}
	}
	return len(m.faults) == before
}

// sooner is the earlier of two ends; none lies after all.
func sooner(a, b time.Time) time.Time {
	if later(a, b) {
		return b
	}
	return a
}

// counted are what a plan does for each project.
func counted(changes []Change) []ProjectCount {
	by := map[string]*ProjectCount{}
	count := func(t Tied) *ProjectCount {
		if by[t.ID] == nil {
			t.New = false
			by[t.ID] = &ProjectCount{Tied: t}
		}
		return by[t.ID]
	}
	for _, c := range changes {
		for _, t := range c.Projects {
			if t.New {
				count(t).Bound++
			}
		}
		for _, t := range c.Released {
			count(t).Released++
		}
	}
	var out []ProjectCount
	for _, n := range by {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b ProjectCount) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
