package shared

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Given is an ID that was checked out. The password is there once.
type Given struct {
	Checkout
	Password secret.Text
}

// needs is the sign-in that a check-out takes first; nil: the present one does.
func needs(s policy.SharedID, by approval.Approver, now time.Time) *account.StepUp {
	if by.ACR.AtLeast(s.ACR) && !by.AuthAt.IsZero() && now.Sub(by.AuthAt) <= s.FreshFor && (s.ACR != policy.PHR || !by.Synced) {
		return nil
	}
	return &account.StepUp{Required: s.ACR, MaxAge: s.FreshFor}
}

// elsewhere refuses who signed in from another zone than the ID is used in.
func elsewhere(p *policy.Policy, s policy.SharedID, zone policy.ZoneID) *Refusal {
	if zone == s.Zone {
		return nil
	}
	z, _ := p.Zone(s.Zone)
	why := no(Forbidden, "zone", "この共用IDは、"+z.Name.In("ja")+"の端末機からサインインして受け取ってください。", "Please sign in from "+z.Name.In("en")+" to check out this shared ID.")
	why.Articles = slices.Concat(articles, []policy.Article{"26no2-1"})
	return why
}

// An Outcome is what became of a check-out that was asked for.
type Outcome string

// The outcomes.
const (
	CheckedOut Outcome = "checked_out"
	Refused    Outcome = "refused" // by a rule, or for want of a sign-in that suffices
	Undone     Outcome = "failed"  // the directory or the store did not do it
)

// Outcomes are all there are.
func Outcomes() []Outcome { return []Outcome{CheckedOut, Refused, Undone} }

func outcomeOf(err error) Outcome {
	var (
		no   *Refusal
		need *account.StepUp
	)
	switch {
	case err == nil:
		return CheckedOut
	case errors.As(err, &no) && no.Is != Away, errors.As(err, &need), errors.Is(err, session.ErrNone):
		return Refused
	}
	return Undone
}

// CheckOut gives a shared ID to somebody by name. Its password is in the answer once.
// Where nobody has it, it is set in the directory; who joins others is told theirs.
//
// Errors: *Refusal (Away: nothing was given), *account.StepUp, session.ErrNone.
func (b *Book) CheckOut(ctx context.Context, o signin.Origin, cookie, id, reason string, minutes int) (Given, error) {
	given, err := b.checkOut(ctx, o, cookie, id, reason, minutes)
	if b.Count != nil {
		b.Count(outcomeOf(err))
	}
	return given, err
}

func (b *Book) checkOut(ctx context.Context, o signin.Origin, cookie, id, reason string, minutes int) (Given, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Given{}, err
	}
	p, now := b.Policy(), b.Now()
	s, _ := p.SharedID(id)
	if why := May(p, s, by.Holder, now); why != nil {
		return Given{}, b.refuse(ctx, by, s.ID, why) // not what was asked for: anybody could fill the trail with names
	}
	if why := elsewhere(p, s, by.Zone); why != nil {
		return Given{}, b.refuse(ctx, by, s.ID, why)
	}
	reason, d, why := wish(s, reason, minutes)
	if why != nil {
		return Given{}, why
	}
	if need := needs(s, by, now); need != nil {
		return Given{}, need
	}
	if b.Barred != nil {
		shut, err := b.Barred(ctx, by.Person)
		if err != nil {
			return Given{}, err
		}
		if shut {
			return Given{}, session.ErrNone
		}
	}
	if err := b.Trail.MayBegin(); err != nil { // no trail, no password
		return Given{}, err
	}
	if err := b.Tidy(ctx); err != nil { // of whatever ID: it keeps nobody from another
		slog.WarnContext(ctx, "tidying shared IDs failed; it is tried again", "error", err)
	}
	given, err := b.take(ctx, by, s, reason, d)
	if err != nil || !given.Password.IsEmpty() {
		return given, err
	}
	return b.start(ctx, by, s, given.Checkout)
}

// take is the first step: who may have it is decided, and either they join those who
// have it, or its new password is intended.
func (b *Book) take(ctx context.Context, by approval.Approver, s policy.SharedID, reason string, d time.Duration) (Given, error) {
	id := secret.Token(12)
	var out Given
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out = Given{}
		if err := session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now()); err != nil {
			return err
		}
		now := b.Now().Truncate(time.Microsecond)
		held, err := open(ctx, tx, `shared_id = $1`, s.ID)
		if err != nil {
			return err
		}
		held = slices.DeleteFunc(held, func(c Checkout) bool { return !c.State(now).Open() })
		if why := room(s, held, by.Person.ID, now); why != nil {
			return why
		}
		login := "" // as the directory has it, where that is known by now
		if len(held) > 0 {
			login = held[0].Account
		}
		if err := b.emergency(ctx, tx, s, login); err != nil {
			return err
		}
		c := Checkout{
			ID: id, Shared: s.ID, Tenure: tenureOf(id), By: approval.Ref(by.Person), Session: by.SessionID, Reason: reason, Zone: by.Zone,
			Outlives: s.OutlivesSession, AskedAt: now, EndsAt: within(by.Holder, now.Add(d)), state: Starting,
		}
		if len(held) > 0 {
			out, err = b.join(ctx, tx, by, s, c, held)
			return err
		}
		if err := b.Effects.Intend(ctx, tx, c.Tenure, elevate.Who{ID: c.By.ID, Login: c.By.Login, Name: c.By.Name}, []policy.Gift{s.Gift()}, c.EndsAt); err != nil {
			return notGiven(err)
		}
		if err := insert(ctx, tx, c); err != nil {
			return err
		}
		out.Checkout = c
		return b.Trail.Append(ctx, tx, b.entry(c, by, "shared.checking_out", reason))
	})
	return out, err
}

// within is a time, or when somebody's own ID ends before it: by the directory, or with
// their projects (article 67-2(1)).
func within(who approval.Holder, at time.Time) time.Time {
	for _, end := range []time.Time{who.Person.Account.ExpiresAt, who.Tied.Until} {
		if !end.IsZero() {
			at = earliest(at, end)
		}
	}
	return at
}

// emergency refuses an ID that lies sealed for emergencies.
func (b *Book) emergency(ctx context.Context, in store.Reader, s policy.SharedID, login string) error {
	if b.Emergency == nil {
		return nil
	}
	systems, err := b.Emergency(ctx, in, login, s.Account)
	if err != nil {
		return err
	}
	if why := unsealed(systems); why != nil {
		return why
	}
	return nil
}

// join gives the password of a tenure to one more. However many follow each other, one
// password is good for no longer than one of them may have the ID.
func (b *Book) join(ctx context.Context, tx *store.Tx, by approval.Approver, s policy.SharedID, c Checkout, held []Checkout) (Given, error) {
	first := held[0]
	if first.state != Active {
		return Given{}, no(Conflict, "starting", "ほかの方が、ちょうど受け取っているところです。数秒後にもう一度お試しください。", "Somebody else is checking it out at this moment. Please try again in a few seconds.")
	}
	begun, err := read(ctx, tx, beganWith(first.Tenure))
	if err != nil {
		return Given{}, err
	}
	if c.EndsAt = earliest(c.EndsAt, begun.AskedAt.Add(s.Longest)); c.EndsAt.Sub(c.AskedAt) < time.Minute {
		return Given{}, no(Conflict, "ending", "この共用IDのパスワードは、使い始めてから "+policy.ShowDuration(s.Longest)+" で変わります。まもなくその時刻なので、変わってから受け取ってください。",
			"The password of this shared ID changes "+policy.ShowDuration(s.Longest)+" after it was first checked out, which is in a moment. Please check it out after that.")
	}
	c.Tenure, c.Account, c.state = first.Tenure, first.Account, Active
	until := c.EndsAt
	for _, other := range held {
		until = latest(until, other.EndsAt)
	}
	if err := b.Effects.Keep(ctx, tx, c.Tenure, until); err != nil {
		return Given{}, notGiven(err)
	}
	pw, err := b.reveal(ctx, tx, c.Tenure)
	if errors.Is(err, sql.ErrNoRows) { // when it was checked out, the policy let one person have it
		return Given{}, taken(held)
	}
	if err != nil {
		return Given{}, err
	}
	if err := insert(ctx, tx, c); err != nil {
		return Given{}, err
	}
	return Given{c, pw}, b.Trail.Append(ctx, tx, b.entry(c, by, "shared.checked_out", c.Reason))
}

// start are the other two steps: the directory is told, and from the last commit on
// somebody has it.
func (b *Book) start(ctx context.Context, by approval.Approver, s policy.SharedID, c Checkout) (Given, error) {
	if err := b.Stop(PointIntended); err != nil {
		return Given{}, err
	}
	lent, err := b.Effects.Lent(ctx, s.Account)
	if err == nil {
		err = plain(b.Policy(), lent.Groups)
	}
	if err == nil {
		err = b.emergency(ctx, b.DB, s, lent.Login)
	}
	if err != nil {
		return Given{}, b.giveUp(ctx, by, c, err)
	}
	got, err := b.Effects.Apply(ctx, c.Tenure)
	if err != nil {
		return Given{}, b.giveUp(ctx, by, c, err)
	}
	if err := b.Stop(PointApplied); err != nil {
		return Given{}, err
	}
	var out Checkout
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now()); err != nil {
			return err
		}
		if out, err = read(ctx, tx, c.ID); err != nil {
			return err
		}
		if out.State(b.Now()) != Starting || got.Account == nil {
			return elevate.ErrTurned
		}
		out.state, out.Account = Active, got.Account.Login
		if err := b.Effects.Keep(ctx, tx, out.Tenure, out.EndsAt); err != nil {
			return err
		}
		if s.Holders > 1 {
			if err := b.conceal(ctx, tx, out.Tenure, got.Account.Password); err != nil {
				return err
			}
		}
		if err := save(ctx, tx, &out); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, b.entry(out, by, "shared.checked_out", out.Reason))
	})
	if errors.Is(err, store.ErrUnknown) {
		return Given{}, err // nobody knows; what was not kept turns round by itself
	}
	if err != nil {
		return Given{}, b.giveUp(ctx, by, c, err)
	}
	if err := b.Stop(PointStarted); err != nil {
		return Given{}, err
	}
	return Given{out, got.Account.Password}, nil
}

// giveUp turns a check-out round that did not come to its end.
func (b *Book) giveUp(ctx context.Context, by approval.Approver, c Checkout, because error) error {
	err := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now, err := read(ctx, tx, c.ID)
		if err != nil || now.state != Starting {
			return err
		}
		return b.fail(ctx, tx, by, now, because.Error())
	})
	if err != nil {
		because = errors.Join(because, fmt.Errorf("giving up a check-out: %w", err)) // Tidy does it
	}
	return notGiven(because)
}

func (b *Book) fail(ctx context.Context, tx *store.Tx, by approval.Approver, c Checkout, why string) error {
	c = c.over(Failed, Ref{}, why, b.Now().Truncate(time.Microsecond))
	if err := save(ctx, tx, &c); err != nil {
		return err
	}
	if err := b.Effects.Withdraw(ctx, tx, c.Tenure); err != nil {
		return err
	}
	e := b.entry(c, by, "shared.failed", why)
	e.Outcome = audit.Failed
	return b.Trail.Append(ctx, tx, e)
}

// notGiven says to whoever checks out why nothing was given.
func notGiven(err error) error {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return err
	case errors.Is(err, elevate.ErrTaken):
		r = no(Conflict, "returning", "前の方が返したところで、パスワードを変えています。数秒後にもう一度お試しください。",
			"It was given back a moment ago, and its password is being changed. Please try again in a few seconds.")
	case errors.Is(err, elevate.ErrUnlendable), errors.Is(err, directory.ErrNotFound):
		r = no(Conflict, "not_there", "この共用IDは、ディレクトリの決められた場所にありません。情報システム管理者に知らせてください。", "This shared ID is not where it should be in the directory. Please tell the system administrator.")
	case errors.Is(err, elevate.ErrTurned), errors.Is(err, elevate.ErrBusy), errors.Is(err, directory.ErrAway), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		r = no(Away, "away", "ディレクトリに届かないため、受け取れませんでした。しばらくしてからもう一度お試しください。", "The directory could not be reached, so nothing was given. Please try again in a while.")
	default:
		return err
	}
	r.Err = err
	return r
}
