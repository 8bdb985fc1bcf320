package project

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// projectBody is what of a project nothing is looked for by.
type projectBody struct {
	Name         string    `json:"name"`
	Contract     string    `json:"contract,omitempty"`
	Company      string    `json:"company,omitempty"`
	From         time.Time `json:"from"`
	CompletedBy  Ref       `json:"completed_by,omitzero"`
	Reason       string    `json:"reason,omitempty"`
	RegisteredBy Ref       `json:"registered_by"`
	RegisteredAt time.Time `json:"registered_at"`
}

func (p Project) body() (string, error) {
	text, err := json.Marshal(projectBody{p.Name, p.Contract, p.Company, p.From, p.CompletedBy, p.Reason, p.RegisteredBy, p.RegisteredAt})
	return string(text), err
}

const projectColumns = `id, section, environment, until_at, completed_at, settled_at, warned_for, version, body`

func scanProject(r store.Row) (Project, error) {
	var (
		p                                 Project
		until, completed, settled, warned int64
		text                              string
		b                                 projectBody
	)
	if err := r.Scan(&p.ID, &p.Section, &p.Environment, &until, &completed, &settled, &warned, &p.Version, &text); err != nil {
		return p, err
	}
	err := json.Unmarshal([]byte(text), &b)
	p.Until, p.CompletedAt, p.settledAt, p.warnedFor = store.FromMicros(until), store.FromMicros(completed), store.FromMicros(settled), store.FromMicros(warned)
	p.Name, p.Contract, p.Company, p.From = b.Name, b.Contract, b.Company, b.From
	p.CompletedBy, p.Reason, p.RegisteredBy, p.RegisteredAt = b.CompletedBy, b.Reason, b.RegisteredBy, b.RegisteredAt
	return p, err
}

func projects(ctx context.Context, in store.Reader, where string, args ...any) ([]Project, error) {
	return store.All(ctx, in, "projects", scanProject, `SELECT `+projectColumns+` FROM project WHERE `+where, args...)
}

func projectOf(ctx context.Context, in store.Reader, id string) (Project, error) {
	all, err := projects(ctx, in, `id = $1`, id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Project{}, err
	}
	return all[0], nil
}

// hold has the caller's transaction be the one that changes a project which runs, or did
// when it was read: who binds, moves the end and completes come one after the other.
func hold(ctx context.Context, tx *store.Tx, id string, now time.Time) (Project, error) {
	if _, err := tx.Exec(ctx, `UPDATE project SET version = version + 1, changed_at = $1 WHERE id = $2`, store.Micros(now), id); err != nil {
		return Project{}, err
	}
	return projectOf(ctx, tx, id)
}

// memberBody is what of a member nothing is looked for by.
type memberBody struct {
	Person    Ref    `json:"person"`
	BoundBy   string `json:"bound_by"`
	Imported  string `json:"imported,omitempty"`
	UnboundBy string `json:"unbound_by,omitempty"`
	Why       string `json:"why,omitempty"`
}

func (m Member) body() (string, error) {
	text, err := json.Marshal(memberBody{m.Person, m.BoundBy, m.Imported, m.UnboundBy, m.Why})
	return string(text), err
}

const memberColumns = `m.id, m.project, m.role, m.bound_at, m.unbound_at, m.dealt_at, m.closed, m.body`

func scanMember(r store.Row) (Member, error) {
	var (
		m                     Member
		bound, unbound, dealt int64
		text                  string
		b                     memberBody
	)
	if err := r.Scan(&m.id, &m.Project, &m.Role, &bound, &unbound, &dealt, &m.Closed, &text); err != nil {
		return m, err
	}
	err := json.Unmarshal([]byte(text), &b)
	m.BoundAt, m.UnboundAt, m.dealtAt = store.FromMicros(bound), store.FromMicros(unbound), store.FromMicros(dealt)
	m.Person, m.BoundBy, m.Imported, m.UnboundBy, m.Why = b.Person, b.BoundBy, b.Imported, b.UnboundBy, b.Why
	return m, err
}

func members(ctx context.Context, in store.Reader, where string, args ...any) ([]Member, error) {
	return store.All(ctx, in, "members of projects", scanMember, `SELECT `+memberColumns+` FROM project_member m WHERE `+where, args...)
}

// bind writes a binding down. store.ErrUntouched: there is one already.
func bind(ctx context.Context, tx *store.Tx, m Member, now time.Time) error {
	text, err := m.body()
	if err != nil {
		return err
	}
	return tx.ExecOne(ctx, `
		INSERT INTO project_member (id, project, person_id, login, role, bound_at, changed_at, body) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
		ON CONFLICT (project, person_id) WHERE unbound_at = 0 DO NOTHING`,
		secret.Token(12), m.Project, string(m.Person.ID), m.Person.Login, string(m.Role), store.Micros(now), text)
}

// unbind ends a binding. store.ErrUntouched: it was over.
func unbind(ctx context.Context, tx *store.Tx, m Member, now time.Time) error {
	text, err := m.body()
	if err != nil {
		return err
	}
	return tx.ExecOne(ctx, `UPDATE project_member SET unbound_at = $1, changed_at = $1, body = $2 WHERE id = $3 AND unbound_at = 0`, store.Micros(now), text, m.id)
}

// A bound is a binding that is not over, with its project.
type bound struct {
	Member
	project Project
}

// bindings are those of somebody that are not over, whatever their projects are.
func bindings(ctx context.Context, in store.Reader, who directory.PersonID) ([]bound, error) {
	all, err := members(ctx, in, `m.person_id = $1 AND m.unbound_at = 0 ORDER BY m.project`, string(who))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	out := make([]bound, len(all))
	for i, m := range all {
		p, err := projectOf(ctx, in, m.Project)
		if err != nil {
			return nil, err
		}
		out[i] = bound{m, p}
	}
	return out, nil
}

func tiesOf(all []bound) []authz.Tie {
	out := make([]authz.Tie, len(all))
	for i, b := range all {
		out[i] = b.project.tie()
	}
	return out
}

// A tied is a binding as a gateway remembers it.
type tied struct {
	member string
	who    directory.PersonID
	tie    authz.Tie
	over   bool // somebody was released
}

// tieds reads bindings with what their projects make of them.
func tieds(ctx context.Context, in store.Reader, where string, args ...any) ([]tied, error) {
	return store.All(ctx, in, "who is bound to projects", func(r store.Row) (t tied, err error) {
		var until, completed, unbound int64
		err = r.Scan(&t.member, &t.who, &unbound, &t.tie.Project, &t.tie.Environment, &until, &completed)
		t.over = unbound != 0
		if completed == 0 {
			t.tie.Until = store.FromMicros(until)
		}
		return t, err
	}, `SELECT m.id, m.person_id, m.unbound_at, p.id, p.environment, p.until_at, p.completed_at
	    FROM   project_member m JOIN project p ON p.id = m.project WHERE `+where, args...)
}

// intendEnd takes hold of somebody's row in the caller's transaction, and has the
// directory be brought to the end that follows from what is true at its commit.
func intendEnd(ctx context.Context, tx *store.Tx, who Ref, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO project_end (person_id, login, due_at, since_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (person_id) DO UPDATE SET due_at = excluded.due_at, since_at = excluded.since_at, tries = 0, error = '', version = project_end.version + 1`,
		string(who.ID), who.Login, store.Micros(now))
	return err
}

// intendEnds is intendEnd for all who are bound to a project.
func intendEnds(ctx context.Context, tx *store.Tx, project string, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO project_end (person_id, login, due_at, since_at)
		SELECT person_id, login, CAST($1 AS BIGINT), CAST($1 AS BIGINT) FROM project_member WHERE project = $2 AND unbound_at = 0 ORDER BY person_id
		ON CONFLICT (person_id) DO UPDATE SET due_at = excluded.due_at, since_at = excluded.since_at, tries = 0, error = '', version = project_end.version + 1`,
		store.Micros(now), project)
	return err
}

// marks are placeholders for more arguments.
func marks[T ~string](args []any, of []T) (string, []any) {
	out := []string{"''"}
	for _, one := range of {
		args = append(args, string(one))
		out = append(out, "$"+strconv.Itoa(len(args)))
	}
	return strings.Join(out, ", "), args
}

// environments in which IDs are.
func knownEnvironment(e policy.Environment) bool { return slices.Contains(policy.IDEnvironments(), e) }
