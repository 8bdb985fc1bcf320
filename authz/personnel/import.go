package personnel

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// The kinds of matters that it asks for.
const (
	Carry approval.Kind = "personnel"      // an import is carried out
	Undo  approval.Kind = "personnel_undo" // one that was is undone
)

// A State is how far an import has come.
type State string

// The states.
const (
	Proposed State = "proposed"
	Approved State = "approved" // it is carried out from its day on
	Done     State = "done"
	Undoing  State = "undoing"
	Undone   State = "undone"
	Dropped  State = "dropped" // somebody said no, or nobody said yes in time
)

var stateWords = map[State]policy.Words{
	Proposed: {JA: "承認を待っています", EN: "waits for approval"}, Approved: {JA: "承認済み。反映日から順に反映します", EN: "approved; carried out from its day on"},
	Done: {JA: "反映済み", EN: "carried out"}, Undoing: {JA: "元に戻しています", EN: "being undone"}, Undone: {JA: "元に戻しました", EN: "undone"},
	Dropped: {JA: "承認されませんでした", EN: "not approved"},
}

// Words are what a state is called.
func (s State) Words() policy.Words { return stateWords[s] }

// An Import is a file that was proposed.
type Import struct {
	ID         string
	File       string
	Digest     string // SHA-256 of the file, hexadecimal
	ByID       directory.PersonID
	By         string // login
	ProposedAt time.Time
	Effective  time.Time
	State      State
	UndoBy     string // login of who asks for it to be undone; "" for nobody
	UndoMatter string
	ApprovedAt time.Time
	EndedAt    time.Time
	Summary
}

// A Summary is what an import comes to.
type Summary struct {
	People    int         `json:"people"`
	Counts    map[Act]int `json:"counts"`
	Unchanged int         `json:"unchanged"`
	Vacant    []Vacancy   `json:"vacant,omitempty"`
}

// Undoable is until when an import can be undone; zero where it cannot.
func (i Import) Undoable(r policy.PersonnelRules) time.Time {
	if i.State != Approved && i.State != Done || r.UndoDays == 0 {
		return time.Time{}
	}
	return latest(i.ApprovedAt, i.Effective).AddDate(0, 0, r.UndoDays)
}

var (
	// ErrNotFound: there is no such import.
	ErrNotFound = errors.New("no such import")
	// ErrNothing: the directory is as the file says already.
	ErrNothing = errors.New("the file changes nothing")
	// ErrState: it is not in the state for that.
	ErrState = errors.New("the import is not in the state for that")
)

const importColumns = `id, file, digest, by_id, by_login, proposed_at, effective_at, state, undo_by, undo_matter, approved_at, ended_at, body`

func when(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return store.FromMicros(micros)
}

func scanImport(r store.Row) (Import, error) {
	var (
		i                                    Import
		proposed, effective, approved, ended int64
		body                                 string
	)
	if err := r.Scan(&i.ID, &i.File, &i.Digest, &i.ByID, &i.By, &proposed, &effective, &i.State, &i.UndoBy, &i.UndoMatter, &approved, &ended, &body); err != nil {
		return Import{}, err
	}
	i.ProposedAt, i.Effective, i.ApprovedAt, i.EndedAt = when(proposed), when(effective), when(approved), when(ended)
	return i, json.Unmarshal([]byte(body), &i.Summary)
}

func imports(ctx context.Context, in store.Reader, where string, args ...any) ([]Import, error) {
	return store.All(ctx, in, "imports", scanImport, `SELECT `+importColumns+` FROM personnel_import WHERE `+where, args...)
}

// Get is one import.
func (b *Book) Get(ctx context.Context, id string) (Import, error) { return importOf(ctx, b.DB, id) }

func importOf(ctx context.Context, in store.Reader, id string) (Import, error) {
	all, err := imports(ctx, in, `id = $1`, id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Import{}, err
	}
	return all[0], nil
}

// Imports are the latest, the newest first.
func (b *Book) Imports(ctx context.Context, most int) ([]Import, error) {
	return imports(ctx, b.DB, `1 = 1 ORDER BY proposed_at DESC, id LIMIT $1`, most)
}

// Progress is how many lines have come how far.
type Progress struct {
	Lines, Done, Failed int
	Next                time.Time // when the next one is due; zero: none is
}

// Progress is that of an import.
func (b *Book) Progress(ctx context.Context, id string) (Progress, error) {
	var (
		p    Progress
		next sql.NullInt64
	)
	err := b.DB.QueryRow(ctx, `
		SELECT (SELECT COUNT(*) FROM personnel_line WHERE import = $1),
		       (SELECT COUNT(*) FROM personnel_step WHERE import = $1 AND step = 'apply' AND state = 'done'),
		       (SELECT COUNT(DISTINCT n) FROM personnel_step WHERE import = $1 AND state = 'failed'),
		       (SELECT MIN(due_at) FROM personnel_step WHERE import = $1 AND state IN ('waiting', 'intended'))`, id).Scan(&p.Lines, &p.Done, &p.Failed, &next)
	if err != nil {
		return Progress{}, fmt.Errorf("counting the lines of an import: %w", err)
	}
	p.Next = when(next.Int64)
	return p, nil
}

// A Standing is one line of an import and how far it has come.
type Standing struct {
	N int
	Change
	Step  string // done, failed, waiting …: of the change itself, or of its undoing
	Error string
}

// Problem is why the line was not carried out, or not yet, in words; empty for nothing.
// What the directory said itself is on the trail.
func (s Standing) Problem() policy.Words {
	if s.Error == "" {
		return policy.Words{}
	}
	for _, known := range []struct {
		problem error
		says    policy.Words
	}{
		{errTaken, policy.Words{JA: "このログインは、計画の後に別の人のものになりました。別のログインでもう一度取り込んでください。", EN: "The login became somebody else's since. Import the line again with another."}},
		{errGone, policy.Words{JA: "この人はディレクトリにもういません。", EN: "The person is not in the directory any more."}},
		{directory.ErrProtected, policy.Words{JA: "このIDはディレクトリが守っています。ディレクトリの管理者が変えてください。", EN: "The directory guards this ID; its administrator changes it."}},
		{directory.ErrAmbiguous, policy.Words{JA: "同じ名前のIDがディレクトリに複数あります。ディレクトリの管理者に知らせてください。", EN: "Several IDs of the directory have this name. Tell its administrator."}},
		{lifecycle.ErrLeaveApart, policy.Words{JA: "いまの休業・休職と期間が続いていません。人のページで直してください。", EN: "The leave does not adjoin the present one; mend it on the person's page."}},
		{lifecycle.ErrDeleting, policy.Words{JA: "このIDは削除されるところです。", EN: "The ID is about to be deleted."}},
		{directory.ErrAway, policy.Words{JA: "ディレクトリに届きません。届くまで、関所が繰り返します。", EN: "The directory is away. It is tried until it is back."}},
	} {
		if strings.Contains(s.Error, known.problem.Error()) {
			return known.says
		}
	}
	return policy.Words{JA: "ディレクトリが受け付けませんでした。理由は証跡にあります。", EN: "The directory did not take it. The trail says why."}
}

// Lines are those of an import after a number, of an act or of all ("").
func (b *Book) Lines(ctx context.Context, id string, act Act, after, most int) ([]Standing, error) {
	return store.All(ctx, b.DB, "the lines of an import", func(r store.Row) (s Standing, err error) {
		var body, who string
		if err := r.Scan(&s.N, &body, &who, &s.Step, &s.Error); err != nil {
			return s, err
		}
		err = json.Unmarshal([]byte(body), &s.Change)
		s.Person = directory.PersonID(who)
		return s, err
	}, `
		SELECT l.n, l.body, l.person_id, s.state, s.error FROM personnel_line l JOIN personnel_step s ON s.import = l.import AND s.n = l.n AND s.step = 'apply'
		WHERE  l.import = $1 AND l.n > $2 AND (l.act = $3 OR $3 = '') ORDER BY l.n LIMIT $4`, id, after, string(act), most)
}

// rule is who decides an import: as of a policy, in person (design rule 7).
func rule() approval.Rule {
	return approval.Rule{Strict: true, Steps: []approval.Step{{Posts: policy.PersonnelDeciders(), Quorum: 1, Where: approval.Anywhere}}}
}

// articlesOf are those of the matters.
var articlesOf = []policy.Article{"16-1", "62-3", "62-4"}

// Open takes the matters' desks.
func (b *Book) open() {
	b.Matters.Open(Carry, approval.Desk{
		Name: policy.Words{JA: "人事異動の反映", EN: "Personnel changes are carried out"}, Settle: b.settle, Card: b.card, Against: b.against,
		Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
	})
	b.Matters.Open(Undo, approval.Desk{
		Name: policy.Words{JA: "人事異動の取消し", EN: "Personnel changes are undone"}, Settle: b.settleUndo, Card: b.cardOfUndo, Against: b.against,
		Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
	})
}

// Propose plans a file and asks a second person, in one transaction with what was
// planned. What was proposed before, of the same file for the same day, is the same
// proposal. atOnce asks nobody: where nobody is governed yet, or nobody is real.
//
// Errors: Faults; ErrNothing; ErrStopped, and then the plan says why.
func (b *Book) Propose(ctx context.Context, login string, f File, effective time.Time, atOnce bool) (Import, Plan, error) {
	plan, err := b.plan(ctx, f, effective)
	switch {
	case err != nil:
		return Import{}, Plan{}, err
	case plan.Stop != nil:
		return Import{}, plan, ErrStopped
	case len(plan.Changes) == 0:
		return Import{}, plan, ErrNothing
	}
	if err := b.Trail.MayBegin(); err != nil {
		return Import{}, plan, fmt.Errorf("proposing an import: %w", err)
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	before, err := imports(ctx, b.DB, `digest = $1 AND (effective_at = $2 OR effective_at <= $3 AND $2 <= $3) AND state IN ('proposed', 'approved') ORDER BY proposed_at LIMIT 1`,
		f.Digest, store.Micros(plan.Effective), store.Micros(now))
	if err != nil {
		return Import{}, plan, err
	}
	if len(before) > 0 {
		return before[0], plan, nil
	}
	who, posts, err := b.Matters.Terminal(ctx, login)
	if err != nil {
		return Import{}, plan, err
	}
	i := Import{
		ID: "import-" + secret.Token(12), File: f.Name, Digest: f.Digest, ByID: who.ID, By: login, ProposedAt: now, Effective: plan.Effective, State: Proposed,
		Summary: Summary{plan.People, plan.Counts, plan.Unchanged, plan.Vacant},
	}
	var ask approval.Considered
	if atOnce {
		i.State, i.ApprovedAt = Approved, now
	} else {
		within := b.Policy().Approval.LapseAfter
		ask, err = b.Matters.Consider(ctx, approval.Matter{
			ID: i.ID, Kind: Carry, Subject: i.ID, Requester: who, RequesterPosts: posts, Nobody: true, Zone: b.Matters.Everywhere(),
			Reason: fmt.Sprintf("人事異動 %d件（%s に反映）", len(plan.Changes), plan.Effective.In(japan).Format("2006-01-02 15:04")),
			Rule:   rule(), LapsesAt: now.Add(within), Articles: articlesOf,
		})
		if err != nil {
			return Import{}, plan, err
		}
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := insert(ctx, tx, i, plan); err != nil {
			return err
		}
		e := b.entry(login, "import.proposed", "import/"+i.ID, "")
		e.Detail["sha256"], e.Detail["effective"] = f.Digest, i.Effective.Format(time.RFC3339)
		plan.numbers(e.Detail)
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
		if atOnce {
			e := b.entry(login, "import.approved", "import/"+i.ID, "no second person: a trial, or an empty store")
			return b.Trail.Append(ctx, tx, e)
		}
		_, err := b.Matters.Ask(ctx, tx, ask)
		return err
	})
	if err != nil {
		return Import{}, plan, fmt.Errorf("proposing an import: %w", err)
	}
	b.nudge()
	return i, plan, nil
}

// Empty reports whether nobody has used the store yet: nobody has signed in, and nothing
// was asked of anybody. Until then one person at a terminal is alone (design rule 7).
func (b *Book) Empty(ctx context.Context) (bool, error) {
	var n int64
	err := b.DB.QueryRow(ctx, `
		SELECT (SELECT COUNT(*) FROM session) + (SELECT COUNT(*) FROM totp_device) + (SELECT COUNT(*) FROM passkey) + (SELECT COUNT(*) FROM approval_matter) +
		       (SELECT COUNT(*) FROM personnel_import)`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking whether anybody has used the store: %w", err)
	}
	return n == 0, nil
}

// atATime is how many rows one statement stores.
const atATime = 40

// insert stores an import with its lines and their steps.
func insert(ctx context.Context, tx *store.Tx, i Import, p Plan) error {
	body, err := json.Marshal(i.Summary)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		INSERT INTO personnel_import (id, file, digest, by_id, by_login, proposed_at, effective_at, state, approved_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		i.ID, i.File, i.Digest, string(i.ByID), i.By, store.Micros(i.ProposedAt), store.Micros(i.Effective), string(i.State), micros(i.ApprovedAt), string(body))
	if err != nil {
		return err
	}
	lines, steps := rows{into: `personnel_line (import, n, act, person_id, login, name, section, body)`}, rows{into: `personnel_step (import, n, step, state, due_at)`}
	for n, c := range p.Changes {
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		section := c.After.Section
		if c.Act == Leaves {
			section = c.Before.Section
		}
		if err := lines.add(ctx, tx, i.ID, n+1, string(c.Act), string(c.Person), c.Login, c.Name, section, string(text)); err != nil {
			return err
		}
		for _, s := range stepsOf(c, i.ProposedAt) {
			if err := steps.add(ctx, tx, i.ID, n+1, s.name, "waiting", store.Micros(s.due)); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.flush(ctx, tx), steps.flush(ctx, tx))
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return store.Micros(t)
}

// rows are stored some at a time.
type rows struct {
	into  string
	marks []string
	args  []any
}

func (r *rows) add(ctx context.Context, tx *store.Tx, values ...any) error {
	marks := make([]string, len(values))
	for i, v := range values {
		r.args = append(r.args, v)
		marks[i] = "$" + strconv.Itoa(len(r.args))
	}
	if r.marks = append(r.marks, "("+strings.Join(marks, ", ")+")"); len(r.marks) == atATime {
		return r.flush(ctx, tx)
	}
	return nil
}

func (r *rows) flush(ctx context.Context, tx *store.Tx) error {
	if len(r.marks) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+r.into+` VALUES `+strings.Join(r.marks, ", "), r.args...)
	r.marks, r.args = nil, nil
	return err
}

// The steps of a line.
const (
	stepEnd      = "end"      // its end is written, as soon as the import is approved
	stepApply    = "apply"    // the change itself
	stepHandover = "handover" // what a handover kept ends
	stepUndo     = "undo"
)

type step struct {
	name string
	due  time.Time
}

func stepsOf(c Change, now time.Time) []step {
	var out []step
	if c.EndsAhead {
		out = append(out, step{stepEnd, now})
	}
	out = append(out, step{stepApply, c.Due})
	if !c.Handover.IsZero() {
		out = append(out, step{stepHandover, latest(c.Handover, c.Due)})
	}
	return out
}

// settle is what follows from a decision on an import.
func (b *Book) settle(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	state, at, action := Dropped, int64(0), "import.dropped"
	if to == approval.Approved {
		state, at, action = Approved, store.Micros(b.Now()), "import.approved"
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = $1, approved_at = $2 WHERE id = $3 AND state = 'proposed'`, string(state), at, m.Subject)
	if errors.Is(err, store.ErrUntouched) {
		return nil // of a store that this one has replaced
	}
	if err != nil {
		return err
	}
	if state == Dropped {
		if _, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'dropped' WHERE import = $1`, m.Subject); err != nil {
			return err
		}
	}
	return b.Trail.Append(ctx, tx, b.entry("system", action, "import/"+m.Subject, string(to)))
}

func (b *Book) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	i, err := b.Get(ctx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	day := i.Effective.In(japan).Format("2006-01-02 15:04")
	c.Yes = policy.Words{
		JA: day + " から、下の数の人のIDが作られ、変わり、閉じられます。内容は「人事異動」のページで確かめてください。",
		EN: "From " + day + " (Japan) on, the IDs of so many people are made, changed and closed. Look at who, on the page of personnel changes.",
	}
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "ファイル", EN: "File"}, Value: i.File}, approval.Fact{Label: policy.Words{JA: "SHA-256", EN: "SHA-256"}, Value: i.Digest})
	if !m.Requester.Known() {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{
			JA: "【注意】職員名簿にない提案者（承認する人と同じ人でも分からない）", EN: "CAUTION: the directory does not know who proposed; it may be whoever approves"}, Value: m.Requester.Login})
	}
	c.Facts = append(c.Facts, i.facts(b.Policy())...)
	return nil
}

// against keeps from deciding who gains by a yes: by an import what it gives them, by its
// undoing what it took (article 16-1, design rule 7). Human beings are compared, not IDs.
func (b *Book) against(ctx context.Context, m approval.Matter, by approval.PersonRef) (policy.Words, error) {
	lines, err := b.Lines(ctx, m.Subject, "", 0, mostLines)
	if err != nil {
		return policy.Words{}, err
	}
	gains, what := Change.gives, policy.Words{JA: "この取込みで", EN: "by this import"}
	if m.Kind == Undo {
		gains, what = Change.takes, policy.Words{JA: "この取消しで", EN: "by this undoing"}
	}
	for _, l := range lines {
		if gains(l.Change) && l.about(by) {
			return policy.Words{
				JA: what.JA + "自分の役割、所属又は期限が増えるか変わるため、自分では承認できません（別のIDでも同じです）。ほかの承認者が決めます。",
				EN: "You gain a post, a section or time " + what.EN + ", under one of your IDs, so another approver decides it.",
			}, nil
		}
	}
	return policy.Words{}, nil
}

func (i Import) facts(p *policy.Policy) []approval.Fact {
	var out []approval.Fact
	for _, a := range Acts() {
		if n := i.Counts[a]; n > 0 {
			out = append(out, approval.Fact{Label: a.Words(), Value: strconv.Itoa(n)})
		}
	}
	for _, v := range i.Vacant {
		post, _ := p.Post(v.Post)
		where := v.Section
		if s, ok := p.Section(v.Section); ok {
			where = s.Name.In("ja")
		}
		out = append(out, approval.Fact{Label: policy.Words{JA: "【注意】いなくなる役割", EN: "CAUTION: nobody will hold"}, Value: strings.TrimSpace(post.Name.In("ja") + " " + where)})
	}
	return out
}

// AskUndo asks a second person for an import to be undone. Whoever asks holds a post
// that may see it. Asked again while it waits, it is the same request.
func (b *Book) AskUndo(ctx context.Context, who approval.PersonRef, posts []policy.PostID, id, reason string) (Import, error) {
	i, err := b.Get(ctx, id)
	if err != nil {
		return Import{}, err
	}
	now := b.Now()
	if until := i.Undoable(b.Policy().Personnel); !now.Before(until) {
		return i, ErrState
	}
	if i.UndoMatter != "" {
		if v, err := b.Matters.Get(ctx, i.UndoMatter); err == nil && v.At() == approval.Pending {
			return i, nil
		}
	}
	ask, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: Undo, Subject: id, Requester: who, RequesterPosts: posts, Nobody: true, Zone: b.Matters.Everywhere(), Reason: reason, Rule: rule(), Articles: articlesOf,
	})
	if err != nil {
		return i, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		m, err := b.Matters.Ask(ctx, tx, ask)
		if err != nil {
			return err
		}
		i.UndoBy, i.UndoMatter = who.Login, m.ID
		return tx.ExecOne(ctx, `UPDATE personnel_import SET undo_by = $1, undo_matter = $2 WHERE id = $3 AND state IN ('approved', 'done')`, who.Login, m.ID, id)
	})
	if errors.Is(err, store.ErrUntouched) {
		err = ErrState
	}
	return i, err
}

func (b *Book) cardOfUndo(ctx context.Context, m approval.Matter, c *approval.Card) error {
	i, err := b.Get(ctx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.Yes = policy.Words{
		JA: "この取込みで変わった所属・役割・期限が前に戻り、退職とされたIDが開き、採用とされたIDが閉じます。終わったセッション・特権・許可は戻りません。その後に手で変えられたものは、そのままです。",
		EN: "Sections, posts and ends go back to what they were, IDs that were closed open, and those that were made are closed. Sessions, leases and permits that ended do not come back. What was changed by hand since stays.",
	}
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "ファイル", EN: "File"}, Value: i.File})
	c.Facts = append(c.Facts, i.facts(b.Policy())...)
	return nil
}

// settleUndo begins the undoing: what has not been done yet is dropped, and each line
// that was written to gets a step that gives back what was found. What is in somebody's
// hands at this moment is waited for.
func (b *Book) settleUndo(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	if to != approval.Approved {
		_, err := tx.Exec(ctx, `UPDATE personnel_import SET undo_by = '', undo_matter = '' WHERE id = $1 AND undo_matter = $2`, m.Subject, m.ID)
		return err
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = 'undoing' WHERE id = $1 AND state IN ('approved', 'done')`, m.Subject)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return err
	}
	now := b.Now()
	_, err = tx.Exec(ctx, `
		INSERT INTO personnel_step (import, n, step, state, due_at)
		SELECT l.import, l.n, 'undo', 'waiting',
		       CASE WHEN EXISTS (SELECT 1 FROM personnel_step o WHERE o.import = l.import AND o.n = l.n AND o.state = 'intended') THEN CAST($2 AS BIGINT) ELSE CAST($3 AS BIGINT) END
		FROM   personnel_line l WHERE l.import = $1 AND l.found <> ''`, m.Subject, store.Micros(now.Add(2*workLasts)), store.Micros(now))
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'dropped' WHERE import = $1 AND step <> 'undo' AND state IN ('waiting', 'intended')`, m.Subject); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, b.entry("system", "import.undo_approved", "import/"+m.Subject, m.Reason))
}

// lookedLately is for how long a look at an import stands for those after it: a page that
// is loaded again must not fill the trail.
const lookedLately = 10 * time.Minute

// Viewed enters on the trail that somebody looked at an import: who moves where is
// confidential until it is told.
func (b *Book) Viewed(ctx context.Context, login, from string, i Import) error {
	now, key := b.Now(), login+" "+i.ID
	if at, ok := b.looked.Load(key); ok && now.Sub(at.(time.Time)) < lookedLately {
		return nil
	}
	e := b.entry(login, "import.viewed", "import/"+i.ID, "")
	e.From = from
	if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("entering that an import was looked at: %w", err)
	}
	b.looked.Range(func(key, at any) bool {
		if now.Sub(at.(time.Time)) >= lookedLately {
			b.looked.Delete(key)
		}
		return true
	})
	b.looked.Store(key, now)
	return nil
}

// Checklist are those who leave by an import: whose terminals, tokens, cards and keys
// are to be given back.
func (b *Book) Checklist(ctx context.Context, id string) ([]Return, error) {
	lines, err := b.Lines(ctx, id, Leaves, 0, mostLines)
	if err != nil {
		return nil, err
	}
	var out []Return
	for part := range slices.Chunk(lines, 200) {
		for _, l := range part {
			r := Return{Login: l.Login, Name: l.Name, Section: l.Before.Section, Due: l.Due}
			things, err := store.All(ctx, b.DB, "what is to be given back", func(row store.Row) (t Thing, err error) {
				err = row.Scan(&t.Kind, &t.ID)
				return t, err
			}, `
				SELECT 'token', serial FROM otp_token WHERE person = $1
				UNION ALL SELECT 'passkey', name FROM passkey WHERE person = $1
				UNION ALL SELECT 'card', serial FROM card WHERE person_id = $1
				UNION ALL SELECT DISTINCT 'terminal', terminal FROM permit WHERE person_id = $1 AND terminal <> ''`, string(l.Person))
			if err != nil {
				return nil, err
			}
			r.Things = things
			out = append(out, r)
		}
	}
	return out, nil
}

// A Return is what somebody who leaves gives back, as far as Sekisho knows.
type Return struct {
	Login, Name, Section string
	Due                  time.Time
	Things               []Thing
}

// A Thing is one of them.
type Thing struct {
	Kind string // terminal, token, card, passkey
	ID   string
}
