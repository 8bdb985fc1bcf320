package personnel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	lookEvery = 2 * time.Second
	// batch is how many steps one transaction intends, and one confirms.
	batch = 100
	// hands are how many of them are in the directory at a time.
	hands = 4
	// workLasts is for how long a step is in one gateway's hands: who died at it is
	// waited for so long.
	workLasts = 10 * time.Second
	// stubborn is after how many tries a step that fails is told of.
	stubborn = 3
)

// rests are how long a step that failed rests; the last repeats, for ever.
var rests = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Run carries out what is due, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.Tick(ctx); err != nil && ctx.Err() == nil {
			b.Log.WarnContext(ctx, "carrying out personnel changes failed; it is tried again", "error", err)
		}
		waiting, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case <-b.wake:
		case <-waiting.Done():
		}
		stop()
	}
}

// A job is one step in hand.
type job struct {
	importID string
	n        int
	step     string
	due      int64 // as it was read
	tries    int
	by       string // login of who proposed the import
	state    State
	change   Change
	found    *found // nil: not written to yet

	until   int64            // when others take it for left: what this gateway intended
	who     directory.Person // as the directory has them now
	brought brought          // what the directory took, to be read back
	problem error
}

// found is what was so of somebody before an import first wrote to them.
type found struct {
	Record
	New bool `json:"new,omitempty"` // they were not there
	// Applied: it was read right before the change itself, and not only before its end
	// was written ahead, which may be weeks earlier.
	Applied bool     `json:"applied,omitempty"`
	Places  []string `json:"places,omitempty"`
	// What the ID was bound to, and its own end beside that; Own is read where the change
	// says one.
	Bound []boundAs `json:"bound,omitempty"`
	Own   time.Time `json:"own,omitzero"`
}

// Tick carries out all that is due now, at a bounded rate. While some steps are in the
// directory the next are intended, and those before them are confirmed.
func (b *Book) Tick(ctx context.Context) error {
	var (
		line  = assembly{intended: make(chan []*job), written: make(chan []*job)}
		works sync.WaitGroup
	)
	works.Go(func() {
		defer close(line.intended)
		line.ends(b.intendAll(ctx, &line))
	})
	works.Go(func() {
		defer close(line.written)
		for jobs := range line.intended {
			if line.over() {
				continue // they are left intended, as by who dies
			}
			if err := b.write(ctx, jobs); err != nil {
				line.ends(err)
				continue
			}
			line.written <- jobs
		}
	})
	streak := 0
	for jobs := range line.written {
		failed, err := b.settled(ctx, jobs)
		line.inHand.Add(-int64(len(jobs)))
		if streak++; failed < len(jobs) {
			streak = 0
		}
		if err != nil || streak == 2 { // where the directory is away, two rounds of time-outs are enough
			line.ends(err)
			line.full.Store(true)
		}
	}
	works.Wait()
	if err := line.problem(); err != nil || line.over() {
		return err
	}
	if err := b.finish(ctx); err != nil {
		return err
	}
	return b.tidy(ctx)
}

// An assembly is what the stages of one Tick share.
type assembly struct {
	intended, written chan []*job
	inHand            atomic.Int64 // steps that are intended and not confirmed
	full              atomic.Bool  // nothing more is begun

	mu  sync.Mutex
	err error // the first
}

// ends keeps an error, after which nothing more is begun.
func (a *assembly) ends(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = cmp.Or(a.err, err)
	a.full.Store(true)
}

func (a *assembly) over() bool { return a.full.Load() }

func (a *assembly) problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// intendAll intends what is due, some at a time, and hands it on, until nothing is due.
func (b *Book) intendAll(ctx context.Context, line *assembly) error {
	for !line.over() {
		if err := ctx.Err(); err != nil {
			return err
		}
		room, err := b.room(ctx)
		if err != nil {
			return err
		}
		if room -= int(line.inHand.Load()); room <= 0 {
			if err := clock.Wait(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		jobs, err := b.due(ctx, min(batch, room))
		if err != nil || len(jobs) == 0 {
			return err
		}
		b.look(ctx, jobs)
		if jobs, err = b.intend(ctx, jobs); err != nil {
			return err
		}
		if err := b.at("intended"); err != nil {
			return err
		}
		if len(jobs) > 0 {
			line.inHand.Add(int64(len(jobs)))
			line.intended <- jobs
		}
	}
	return nil
}

// room is how many steps may be begun now: what the rate leaves of this second, over all
// gateways.
func (b *Book) room(ctx context.Context) (int, error) {
	var n int
	now := b.Now()
	err := b.DB.QueryRow(ctx, `SELECT COUNT(*) FROM personnel_step WHERE done_at > $1 AND done_at <= $2`, store.Micros(now.Add(-time.Second)), store.Micros(now)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what was carried out lately: %w", err)
	}
	return max(0, b.Policy().Personnel.PerSecond-n), nil
}

// due are steps whose time has come, in the order in which they became due.
func (b *Book) due(ctx context.Context, most int) ([]*job, error) {
	return store.All(ctx, b.DB, "what is due of personnel changes", func(r store.Row) (*job, error) {
		var (
			j                = &job{}
			body, was, whoID string
		)
		if err := r.Scan(&j.importID, &j.n, &j.step, &j.due, &j.tries, &j.by, &j.state, &body, &was, &whoID); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &j.change); err != nil {
			return nil, err
		}
		if j.change.Person = directory.PersonID(whoID); was != "" {
			j.found = &found{}
			return j, json.Unmarshal([]byte(was), j.found)
		}
		return j, nil
	}, `
		SELECT s.import, s.n, s.step, s.due_at, s.tries, i.by_login, i.state, l.body, l.found, l.person_id
		FROM   personnel_step s JOIN personnel_import i ON i.id = s.import JOIN personnel_line l ON l.import = s.import AND l.n = s.n
		WHERE  s.state IN ('waiting', 'intended') AND s.due_at <= $1 AND (i.state = 'approved' AND s.step <> 'undo' OR i.state = 'undoing' AND s.step = 'undo')
		AND    (s.step <> 'apply' OR i.effective_at <= $1)
		ORDER  BY s.due_at, s.import, s.n, s.step LIMIT $2`, store.Micros(b.Now()), most)
}

// each does something with all jobs, some at a time.
func each(jobs []*job, do func(*job)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, hands)
	for _, j := range jobs {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			do(j)
		})
	}
	wg.Wait()
}

// read reads the people of jobs afresh, all in one go. Where that fails each is read by
// itself, so that who cannot be read keeps nobody else waiting; but not where the directory
// is away. ErrNotFound is of who is not there.
func (b *Book) read(ctx context.Context, jobs []*job, take func(*job, directory.Person, error)) {
	ctx, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	ids := make([]directory.PersonID, 0, len(jobs))
	for _, j := range jobs {
		ids = append(ids, j.who.ID)
	}
	all, err := b.Directory.Several(ctx, ids)
	if err != nil && !errors.Is(err, directory.ErrAway) {
		each(jobs, func(j *job) {
			who, err := b.Directory.ByID(ctx, j.who.ID)
			take(j, who, err)
		})
		return
	}
	found := make(map[string]directory.Person, len(all)) // however their IDs are spelt
	for _, p := range all {
		found[strings.ToLower(string(p.ID))] = p
	}
	for _, j := range jobs {
		p, there := found[strings.ToLower(string(j.who.ID))]
		if err == nil && !there {
			take(j, p, directory.ErrNotFound)
			continue
		}
		take(j, p, err)
	}
}

// look finds whom steps are about.
func (b *Book) look(ctx context.Context, jobs []*job) {
	var there, joining []*job
	for _, j := range jobs {
		if j.who.ID = j.change.Person; j.who.ID != "" {
			there = append(there, j)
		} else {
			joining = append(joining, j)
		}
	}
	b.read(ctx, there, func(j *job, who directory.Person, err error) {
		if j.who, j.problem = who, err; errors.Is(err, directory.ErrNotFound) {
			j.problem = errGone
		}
	})
	each(joining, func(j *job) { j.problem = b.lookForJoiner(ctx, j) })
	b.stillRun(ctx, jobs)
}

// write has the directory be as intended steps say, and reads it back. It ends before the
// time for which they are in this gateway's hands does; a part of that is left for reading,
// so that where the directory is slow the steps that it took are confirmed. Those whose
// turn did not come are given back.
func (b *Book) write(ctx context.Context, jobs []*job) error {
	left := store.FromMicros(jobs[0].until).Sub(b.Now())
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	writing, stop := context.WithTimeout(ctx, left*7/10)
	defer stop()
	died := make(chan error, len(jobs))
	each(jobs, func(j *job) {
		switch {
		case j.problem != nil:
		case writing.Err() != nil:
			j.problem = errLate
		default:
			j.problem = b.bring(writing, j)
		}
		if err := b.at("line"); err != nil {
			died <- err
		}
	})
	select {
	case err := <-died:
		return err
	default:
	}
	b.readBack(ctx, jobs)
	return nil
}

// settled confirms what was written, and has this gateway know of it.
func (b *Book) settled(ctx context.Context, jobs []*job) (failed int, err error) {
	for _, j := range jobs {
		if b.Forget != nil && j.who.ID != "" {
			b.Forget.Forget(j.who.ID)
		}
		if j.problem != nil {
			failed++
		}
	}
	if err := b.confirm(context.WithoutCancel(ctx), jobs); err != nil {
		return failed, err
	}
	if err := b.at("confirmed"); err != nil {
		return failed, err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of != nil {
			of.Changed(ctx)
		}
	}
	b.seenTied(ctx, jobs)
	if err := b.Sessions.Poll(ctx); err != nil {
		b.Log.WarnContext(ctx, "noting sessions that ended by personnel changes; memory is not used until it is noted", "error", err)
	}
	return failed, nil
}

var (
	// errTaken: somebody else has the login by now.
	errTaken = errors.New("the login is somebody else's by now")
	// errLate: the time for which a step was in hand was over before its turn came.
	errLate = errors.New("its turn did not come in time")
	// errGone: the person is in the directory no more.
	errGone = errors.New("the person is not in the directory any more")
)

// hopeless reports whether a problem stays however often it is tried.
func hopeless(problem error) bool {
	var refused *directory.Refused
	return errors.Is(problem, errTaken) || errors.Is(problem, errGone) || errors.Is(problem, directory.ErrMalformed) || errors.Is(problem, directory.ErrProtected) ||
		errors.Is(problem, directory.ErrAmbiguous) || errors.Is(problem, lifecycle.ErrLeaveApart) || errors.Is(problem, lifecycle.ErrDeleting) || errors.As(problem, &refused) || refusesTie(problem)
}

// lookForJoiner finds somebody who is to join: nobody, or whom a gateway has made that
// died before it said so.
func (b *Book) lookForJoiner(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	who, err := b.Directory.Find(ctx, j.change.Login)
	switch {
	case errors.Is(err, directory.ErrNotFound) && j.step == stepApply:
		// Somebody may have had the login, and been deleted, since it was planned.
		var n int64
		err := b.DB.QueryRow(ctx, `SELECT COUNT(*) FROM tombstone WHERE login = $1`, directory.Canonical(j.change.Login)).Scan(&n)
		if err == nil && n > 0 {
			err = errTaken
		}
		return err
	case errors.Is(err, directory.ErrNotFound):
		return nil // never made
	case err != nil:
		return err
	case directory.Canonical(who.Login) != directory.Canonical(j.change.Login) || directory.Canonical(who.Number) != directory.Canonical(j.change.After.Number) || j.found == nil:
		// Nothing was written to them yet, or by somebody else.
		return errTaken
	}
	j.who = who
	return nil
}

// intend writes down that steps are in hand, and what was so before. Those that another
// gateway has are left out.
func (b *Book) intend(ctx context.Context, jobs []*job) (ours []*job, err error) {
	until := store.Micros(b.Now().Add(workLasts))
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		ours = nil
		places, err := placesOf(ctx, tx, jobs, b.Now())
		if err != nil {
			return err
		}
		bound, ends, err := b.tiesOf(ctx, tx, jobs)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			err := tx.ExecOne(ctx, `UPDATE personnel_step SET state = 'intended', due_at = $1, tries = tries + 1 WHERE import = $2 AND n = $3 AND step = $4 AND due_at = $5 AND state IN ('waiting', 'intended')`,
				until, j.importID, j.n, j.step, j.due)
			if errors.Is(err, store.ErrUntouched) {
				continue
			}
			if err != nil {
				return err
			}
			if j.problem == nil && (j.found == nil || j.step == stepApply && !j.found.Applied) {
				was := found{Record: recordOf(b.Policy(), j.who), New: j.who.ID == "", Applied: j.step == stepApply, Places: places[j.who.ID], Bound: bound[j.who.ID]}
				was.Own = ends[j.who.ID].OwnEnd(was.Expires)
				if j.found != nil { // of what the import has written ahead, what was so before
					was.Expires, was.Own = j.found.Expires, j.found.Own
				}
				text, err := json.Marshal(was)
				if err != nil {
					return err
				}
				if err := tx.ExecOne(ctx, `UPDATE personnel_line SET found = $1 WHERE import = $2 AND n = $3`, string(text), j.importID, j.n); err != nil {
					return err
				}
			}
			j.until, ours = until, append(ours, j)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("intending personnel changes: %w", err)
	}
	return ours, nil
}

// brief is a problem in a few words.
func brief(err error) string {
	s := err.Error()
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300])
	}
	return s
}
