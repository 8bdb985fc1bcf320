package replay

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/passkey"
	"sekisho/authn/password"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authn/token"
	"sekisho/authn/totp"
	"sekisho/authz/lockdown"
	"sekisho/authz/people"
	"sekisho/authz/permit"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A House is what acts are done again with.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	People    *people.Service
	Account   *account.Service
	Permits   *permit.Book
	Directory Directory
	Now       clock.Now
}

// Directory finds whom an act is about.
type Directory interface {
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	Find(ctx context.Context, typed string) (directory.Person, error)
}

// An Outcome is what came of an act.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Nothing Outcome = "nothing" // there was nothing left to take away
	Before  Outcome = "before"  // a replay has dealt with this entry before
	Cannot  Outcome = "cannot"
)

// A Result is an act with what came of it. Why says why not.
type Result struct {
	Act
	Outcome Outcome
	Why     policy.Words
}

// What an entry adds to what the lost one said.
const (
	againOf   = "again_of"   // index of the lost entry
	againHash = "again_hash" // its hash, base64
	againBy   = "again_by"   // who did it
	againAt   = "again_at"   // and when
)

var (
	errOnlyLook = errors.New("only looking")
	errNothing  = errors.New("nothing left to take away")
)

// cannot is why an act cannot be done here.
type cannot struct{ why policy.Words }

func (c cannot) Error() string { return c.why.EN }

// Take does an act again in the name of by, in a transaction of its own with its entry; or
// with look, says what would come of it. An error is the store's or the directory's: the
// act was not done, and is tried again by the next replay.
func (h House) Take(ctx context.Context, by string, a Act, look bool) (Result, error) {
	out := Result{Act: a}
	person, err := h.whose(ctx, a)
	var no cannot
	if errors.As(err, &no) {
		out.Outcome, out.Why = Cannot, no.why
		return out, nil
	}
	if err != nil {
		return out, err
	}
	err = h.DB.WithTx(ctx, func(tx *store.Tx) error {
		out.Outcome = Done
		fresh, err := h.claim(ctx, tx, a)
		if err != nil {
			return err
		}
		if !fresh {
			out.Outcome = Before
			return nil
		}
		e := a.entry(by)
		if err = h.take(ctx, tx, a, person, &e); errors.Is(err, errNothing) {
			out.Outcome = Nothing
			_, err = tx.Exec(ctx, `UPDATE replayed SET passed = 1 WHERE idx = $1 AND hash = $2`, a.Index, a.Hash[:])
		} else if err == nil {
			err = h.Trail.Append(ctx, tx, e)
		}
		if err == nil && look {
			err = errOnlyLook
		}
		return err
	})
	switch {
	case errors.As(err, &no):
		out.Outcome, out.Why = Cannot, no.why
		return out, nil
	case errors.Is(err, errOnlyLook):
		err = nil
	}
	if err != nil {
		return out, fmt.Errorf("doing entry %d again: %w", a.Index, err)
	}
	return out, nil
}

// claim writes that an entry was dealt with; false where it was before.
func (h House) claim(ctx context.Context, tx *store.Tx, a Act) (bool, error) {
	err := tx.ExecOne(ctx, `INSERT INTO replayed (idx, hash, passed, at) VALUES ($1, $2, 0, $3) ON CONFLICT (idx, hash) DO NOTHING`,
		a.Index, a.Hash[:], store.Micros(h.Now()))
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	return err == nil, err
}

// entry is what the trail says of an act that is done again: what it said then, and that.
func (a Act) entry(by string) audit.Entry {
	e := audit.Entry{
		Actor: by, Action: a.Action, Object: a.Object, Outcome: audit.OK, Reason: a.Reason, Articles: a.Articles, Zone: a.Zone,
		Detail: maps.Clone(a.Detail),
	}
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	who := a.Actor
	if first := a.Detail[againBy]; first != "" {
		who = first
	}
	if e.Action == "password.leak_reported" && a.Login != "" { // the actor was its owner
		e.Object = a.Login + " (" + string(a.Person) + ")"
	}
	e.Detail[againOf], e.Detail[againHash] = strconv.FormatInt(a.Index, 10), base64.StdEncoding.EncodeToString(a.Hash[:])
	e.Detail[againBy], e.Detail[againAt] = who, a.Time.UTC().Format(time.RFC3339)
	return e
}

// whose is the person of an act, as far as the act needs them to exist. A directory that
// is away keeps nobody in: what the entry says of them is enough.
func (h House) whose(ctx context.Context, a Act) (directory.Person, error) {
	p := directory.Person{ID: a.Person, Login: a.Login}
	switch a.Kind {
	case Suspension, Leave, Leak:
		found, err := h.Directory.ByID(ctx, a.Person)
		if errors.Is(err, directory.ErrNotFound) {
			return p, gone(a.About())
		}
		if err == nil {
			return found, nil
		}
	case LockDown:
		if a.scope.Scope != "person" {
			break
		}
		// The entry has the login alone, and the row goes by the id.
		found, err := h.Directory.Find(ctx, a.scope.Target)
		if errors.Is(err, directory.ErrNotFound) || err == nil && directory.Canonical(found.Login) != directory.Canonical(a.scope.Target) {
			return p, gone(a.scope.Target)
		}
		return found, err
	}
	return p, nil
}

func gone(who string) error {
	return cannot{policy.Words{JA: who + " という人は、もうディレクトリにいません。", EN: "Nobody is " + who + " in the directory any more."}}
}

// take does it, in its room.
func (h House) take(ctx context.Context, tx *store.Tx, a Act, p directory.Person, e *audit.Entry) error {
	o := signin.Origin{Zone: policy.ZoneID(a.Zone)}
	did, err := true, error(nil)
	switch a.Kind {
	case Suspension:
		err = h.People.SuspendAgain(ctx, tx, o, p, e.Detail[againBy], a.Reason, a.Until)
	case Leave:
		err = h.People.LeaveAgain(ctx, tx, p, a.From, a.Until, a.Reason, e.Detail[againBy])
	case Leak:
		var changed bool // its owner has chosen another since
		if changed, err = password.ChangedSince(ctx, tx, a.Person, a.Time); err == nil && changed {
			did = false
		} else if err == nil {
			err = h.Account.Leaked(ctx, tx, o, p, fmt.Sprintf("証跡 %d（復元で失われたもの）", a.Index))
		}
	case Factor:
		err = h.People.RemoveAgain(ctx, tx, o, p, account.Factor{ID: a.What, Kind: kindOf(a), Name: a.Detail["name"]})
	case Token:
		if a.Action == "token.lost" {
			err = h.People.LoseTokenAgain(ctx, tx, o, a.What)
		} else {
			err = h.People.UnassignAgain(ctx, tx, o, a.What, a.Person)
		}
	case Terminal:
		if err = h.enrolledSince(ctx, tx, a); err != nil {
			break
		}
		if a.Action == "terminal.lost" {
			err = h.People.LoseTerminalAgain(ctx, tx, a.What, e.Detail[againBy], e.Detail)
		} else {
			err = h.People.RemoveTerminalAgain(ctx, tx, a.What, e.Detail[againBy], e.Detail)
		}
	case Permit:
		did, err = h.Permits.EndAgain(ctx, tx, a.What, permit.State(strings.TrimPrefix(a.Action, "permit.")), e.Detail[againBy], a.Reason, e)
	case LockDown:
		l := a.scope
		l.Person = p.ID
		did, err = lockdown.Again(ctx, tx, l)
	case Ratification:
		did, err = lockdown.RatifyAgain(ctx, tx, a.What, e.Detail[againBy], a.Time, h.Now())
	case SigningKey:
		did, err = token.DistrustAgain(ctx, tx, a.What, h.Now())
	default:
		err = fmt.Errorf("nobody knows how to do %s again", a.Kind)
	}
	var no *terminal.Invalid
	switch {
	case errors.Is(err, people.ErrOnLeave):
		return cannot{policy.Words{
			JA: "ほかの休業・休職がすでに記録されています。確かめて、必要なら記録し直してください。",
			EN: "Other leave is recorded already. Look at it, and record it anew where that is needed.",
		}}
	case err == nil && !did, not(err):
		return errNothing
	case errors.As(err, &no):
		return cannot{no.Says}
	}
	return err
}

// not reports whether a room says that there was nothing to take away.
func not(err error) bool {
	for _, nothing := range []error{
		people.ErrNotFound, people.ErrState, totp.ErrNoDevice, passkey.ErrNoKey, card.ErrNoCard, terminal.ErrNotFound, terminal.ErrLost,
	} {
		if errors.Is(err, nothing) {
			return true
		}
	}
	return false
}

// kindOf is a factor's kind. That of a copied passkey is not written.
func kindOf(a Act) string {
	if a.Action == "factor.ended" {
		return "passkey"
	}
	return a.Detail["kind"]
}

// enrolledSince keeps a machine on the register that was enrolled when the lost entry had
// been written: it has another key.
func (h House) enrolledSince(ctx context.Context, tx *store.Tx, a Act) error {
	t, err := h.People.In.Terminals.Find(ctx, tx, a.What)
	if err == nil && t.AddedAt.After(a.Time) {
		return cannot{policy.Words{
			JA: "その後に登録し直されています。確かめて、必要なら届け出てください。",
			EN: "It was enrolled anew since. Look at it, and report it where that is needed.",
		}}
	}
	if err != nil && !errors.Is(err, terminal.ErrNotFound) {
		return err
	}
	return nil
}

// Finish enters that an export was gone through, and has every gateway see what was taken
// away.
func (h House) Finish(ctx context.Context, by string, g audit.Gap, done []Result) error {
	detail := map[string]string{
		"from": strconv.FormatInt(g.Same, 10), "to": strconv.FormatInt(g.Size, 10), "root": g.Report.Root.String(),
		"restored": strconv.FormatInt(g.Restored.Index, 10),
	}
	count := map[Outcome]int{}
	for _, r := range done {
		count[r.Outcome]++
	}
	for outcome, n := range count {
		detail[string(outcome)] = strconv.Itoa(n)
	}
	err := h.DB.WithTx(ctx, func(tx *store.Tx) error {
		return h.Trail.Append(ctx, tx, audit.Entry{Actor: by, Action: "restore.replayed", Outcome: audit.OK, Articles: []policy.Article{"51-1", "75-2"}, Detail: detail})
	})
	if err != nil {
		return fmt.Errorf("entering what was done again: %w", err)
	}
	h.Permits.Changed(ctx)
	return h.People.In.Sessions.Poll(ctx)
}
