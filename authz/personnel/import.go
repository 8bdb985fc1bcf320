package personnel

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/authz/lifecycle"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A State is how far an import has come.
type State string

// The states.
const (
	Draft    State = "draft" // somebody looks at what it would do; nobody is asked yet
	Proposed State = "proposed"
	Approved State = "approved" // it is carried out from its day on
	Done     State = "done"
	Undoing  State = "undoing"
	Undone   State = "undone"
	Dropped  State = "dropped" // somebody said no, or nobody said yes in time
)

var stateWords = map[State]policy.Words{
	Draft:    {JA: "下書き。まだ提案していません", EN: "a draft, not proposed yet"},
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
	People    int            `json:"people"`
	Counts    map[Act]int    `json:"counts"`
	Unchanged int            `json:"unchanged"`
	Vacant    []Vacancy      `json:"vacant,omitempty"`
	Projects  []ProjectCount `json:"projects,omitempty"`
}

// Summary is what the plan comes to.
func (p Plan) Summary() Summary {
	return Summary{p.People, p.Counts, p.Unchanged, p.Vacant, p.Projects}
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
		{project.ErrOver, policy.Words{JA: "案件が計画の後に終わったか、完了しました。続く案件を書いて、もう一度取り込んでください。", EN: "The project has ended or was completed since. Import the line again with the one that follows."}},
		{project.ErrOtherOf, policy.Words{JA: "このIDは、計画の後にもう一方の環境の案件に加えられました。", EN: "The ID was bound to a project of the other environment since."}},
		{project.ErrKind, policy.Words{JA: "共用のIDと貸し出すIDは、案件に加えられません。", EN: "An ID that several people use, or that is lent, is bound to no project."}},
		{project.ErrPowerful, policy.Words{JA: "承認、管理又は監査の役割を持つIDは、案件に加えられません。", EN: "An ID that approves, administers or audits is bound to no project."}},
		{project.ErrKept, policy.Words{JA: "関所やディレクトリが使うID、保護されたID及び緊急用のIDは、案件に加えられません。", EN: "An ID of Sekisho or of the directory itself, one that is guarded, or one for emergencies is bound to no project."}},
		{project.ErrOutOfReach, policy.Words{JA: "案件は、この人の所属のものではありません。", EN: "The project is not of this person's section."}},
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

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return store.Micros(t)
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
