package shared

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/directory/schema"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Presence knows who is behind a cookie, read afresh; approval.Book is one.
type Presence interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
}

// Effects change the directory; elevate.Book is one.
type Effects interface {
	Intend(ctx context.Context, tx *store.Tx, lease string, who elevate.Who, gifts []policy.Gift, notAfter time.Time) error
	Apply(ctx context.Context, lease string) (elevate.Result, error)
	GroupsOf(ctx context.Context, account string) ([]string, error)
	Residuals(gifts []policy.Gift) []schema.Residual
	Keep(ctx context.Context, tx *store.Tx, lease string, until time.Time) error
	Withdraw(ctx context.Context, tx *store.Tx, lease string) error
}

// People are read from memory for those who have something; standing.Watch is one.
type People interface {
	Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// Sessions are what shared IDs are had in; session.Sessions are some.
type Sessions interface {
	Over(ctx context.Context, id string) (bool, error)
}

// House is what the book is built on.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Presence Presence
	Effects  Effects
	People   People
	Sessions Sessions
	Sealing  *secret.KeyRing
	Now      clock.Now
	// Barred reports whether a lock-down shuts somebody out. nil: nothing does.
	Barred func(ctx context.Context, p directory.Person) (bool, error)
	// Stop ends a call at a named point, as if the process had died there: tests of
	// crashes. nil in production.
	Stop func(point string) error
}

// The points at which a test may stop a call.
const (
	PointIntended = "shared intended"
	PointApplied  = "shared applied"
	PointStarted  = "shared started"
	PointOver     = "shared over"
)

// A Book keeps check-outs. It is safe for concurrent use.
type Book struct {
	House
	refused approval.Refusals // by person, shared ID and reason
}

// New opens the book.
func New(h House) *Book {
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	return &Book{House: h}
}

// A Shown is a shared ID as a reader sees it.
type Shown struct {
	policy.SharedID
	Held    []Checkout      // those who have it now
	Mine    Checkout        // the reader's own; the zero Checkout: none
	Refused *Refusal        // why the reader cannot check it out now; nil: they can
	StepUp  *account.StepUp // the sign-in that it takes first; nil: the present one does
	// Residual is what goes on in the directory after it was given back (design rule 8).
	Residual []policy.Words
}

// A Given is an ID that was checked out. The password is there once.
type Given struct {
	Checkout
	Password secret.Text
}

// reader is who is behind a cookie, read afresh.
func (b *Book) reader(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := b.Presence.Signed(ctx, o, cookie)
	if err != nil {
		return by, err
	}
	if !by.Usable {
		return by, session.ErrNone
	}
	return by, nil
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

// List is the shared IDs that are for the reader, and those that they have still.
func (b *Book) List(ctx context.Context, o signin.Origin, cookie string) ([]Shown, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	p, now := b.Policy(), b.Now()
	held, err := b.live(ctx, b.DB, now)
	if err != nil {
		return nil, err
	}
	var out []Shown
	for _, s := range p.SharedIDs {
		one := Shown{SharedID: s, StepUp: needs(s, by, now)}
		for _, r := range b.Effects.Residuals([]policy.Gift{s.Gift()}) {
			one.Residual = append(one.Residual, r.Words)
		}
		for _, c := range held {
			if c.Shared != s.ID {
				continue
			}
			if one.Held = append(one.Held, c); c.By.ID == by.Person.ID {
				one.Mine = c
			}
		}
		why := May(p, s, by.Holder, now)
		if why != nil && one.Mine.ID == "" {
			continue
		}
		if why == nil {
			why = elsewhere(p, s, by.Zone)
		}
		if why == nil {
			why = room(s, one.Held, by.Person.ID, now)
		}
		one.Refused = why
		out = append(out, one)
	}
	return out, nil
}

// Any reports whether there is a shared ID for somebody who holds these posts.
func (b *Book) Any(who approval.Holder) bool {
	p, now := b.Policy(), b.Now()
	return slices.ContainsFunc(p.SharedIDs, func(s policy.SharedID) bool { return May(p, s, who, now) == nil })
}

// live are those that somebody has, or is about to have, at this moment.
func (b *Book) live(ctx context.Context, in store.Reader, now time.Time) ([]Checkout, error) {
	all, err := open(ctx, in, `ends_at > $1`, store.Micros(now))
	return slices.DeleteFunc(all, func(c Checkout) bool { return !c.State(now).Open() }), err
}

// A Seen is a check-out as somebody sees it who looks at what others have.
type Seen struct {
	Checkout
	Name   policy.Words // of the shared ID
	MayEnd bool
	StepUp *account.StepUp // the sign-in that ending it takes first
}

// Live is who has which shared ID now, for those who look at what others have.
func (b *Book) Live(ctx context.Context, o signin.Origin, cookie string) ([]Seen, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	p, now := b.Policy(), b.Now()
	if why := MaySee(p, by.Posts); why != nil {
		return nil, why
	}
	all, err := b.live(ctx, b.DB, now)
	if err != nil {
		return nil, err
	}
	var out []Seen
	for _, c := range all {
		s, _ := p.SharedID(c.Shared)
		out = append(out, Seen{Checkout: c, Name: s.Name, MayEnd: c.state == Active && MayEnd(p, by.Posts) == nil, StepUp: by.Elevated(p, now)})
	}
	return out, nil
}

// Past are the reader's own check-outs that are over, the last first.
func (b *Book) Past(ctx context.Context, o signin.Origin, cookie string, most int) ([]Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return list(ctx, b.DB, `person_id = $1 AND (state IN ('ended', 'expired', 'revoked') OR state = 'active' AND ends_at <= $2) ORDER BY asked_at DESC, id LIMIT $3`,
		string(by.Person.ID), store.Micros(b.Now()), most)
}

// CheckOut gives a shared ID to somebody by name. Its password is in the answer once.
// Where nobody has it, it is set in the directory; who joins others is told theirs.
//
// Errors: *Refusal (Away: nothing was given), *account.StepUp, session.ErrNone.
func (b *Book) CheckOut(ctx context.Context, o signin.Origin, cookie, id, reason string, minutes int) (Given, error) {
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
		c := Checkout{
			ID: id, Shared: s.ID, Tenure: tenureOf(id), By: approval.Ref(by.Person), Session: by.SessionID, Reason: reason, Zone: by.Zone,
			Outlives: s.OutlivesSession, AskedAt: now, EndsAt: now.Add(d), state: Starting,
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
	groups, err := b.Effects.GroupsOf(ctx, s.Account)
	if err == nil {
		err = plain(b.Policy(), groups)
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

// CheckIn gives back what the reader has. It is no error to give back what is over.
func (b *Book) CheckIn(ctx context.Context, o signin.Origin, cookie, id string) (Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Checkout{}, err
	}
	return b.finish(ctx, by, func(tx *store.Tx) (Checkout, error) {
		mine, err := list(ctx, tx, `shared_id = $1 AND person_id = $2 ORDER BY CASE WHEN state IN ('starting', 'active') THEN 0 ELSE 1 END, asked_at DESC, id LIMIT 1`, id, string(by.Person.ID))
		if err != nil {
			return Checkout{}, err
		}
		if len(mine) == 0 {
			return Checkout{}, ErrNotFound
		}
		if mine[0].state == Starting {
			return Checkout{}, no(Conflict, "starting", "受け取っているところです。数秒後にもう一度お試しください。", "It is being checked out. Please try again in a few seconds.")
		}
		return mine[0], nil
	}, Ended, "")
}

// End takes a shared ID away from whoever has it: its password is changed, for all who
// have it.
func (b *Book) End(ctx context.Context, o signin.Origin, cookie, checkout, reason string) (Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Checkout{}, err
	}
	p := b.Policy()
	if why := MayEnd(p, by.Posts); why != nil {
		return Checkout{}, b.refuse(ctx, by, "", why)
	}
	reason = strings.TrimSpace(reason)
	if why := said("reason", reason); why != nil {
		if why.Reason == "required" {
			why.Says = policy.Words{JA: "終わらせる理由を入力してください。", EN: "Please say why you end it."}
		}
		return Checkout{}, why
	}
	if need := by.Elevated(p, b.Now()); need != nil {
		return Checkout{}, need
	}
	return b.finish(ctx, by, func(tx *store.Tx) (Checkout, error) { return read(ctx, tx, checkout) }, Revoked, reason)
}

func (b *Book) finish(ctx context.Context, by approval.Approver, which func(*store.Tx) (Checkout, error), to State, why string) (Checkout, error) {
	var out Checkout
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now()); err != nil {
			return err
		}
		c, err := which(tx)
		if err != nil {
			return err
		}
		if out = c; to == Revoked {
			out, err = b.takeAway(ctx, tx, c, approval.Ref(by.Person), by, why)
		} else if c.state == Active { // else the answer to the first may have been lost
			out, err = b.end(ctx, tx, c, to, approval.Ref(by.Person), by, why)
		}
		return err
	})
	if err != nil {
		return Checkout{}, err
	}
	return out, b.Stop(PointOver)
}

// end ends one check-out in the caller's transaction. When it was the last of its
// tenure, or its holder is cut off, the password is changed.
func (b *Book) end(ctx context.Context, tx *store.Tx, c Checkout, to State, who Ref, by approval.Approver, why string) (Checkout, error) {
	now := b.Now().Truncate(time.Microsecond)
	cut := to == Revoked // they know the password, whether or not their time is over
	if c.State(now) == Expired {
		to = Expired
	}
	c = c.over(to, who, why, now)
	if err := save(ctx, tx, &c); err != nil {
		return c, err
	}
	e := b.entry(c, by, "shared."+map[State]string{Ended: "checked_in", Expired: "expired", Revoked: "revoked"}[to], why)
	e.Detail["at"] = c.EndedAt.UTC().Format(time.RFC3339Nano)
	if err := b.Trail.Append(ctx, tx, e); err != nil {
		return c, err
	}
	others, err := open(ctx, tx, `tenure = $1`, c.Tenure)
	if err != nil {
		return c, err
	}
	var until time.Time
	for _, o := range others {
		if o.State(now) == Active && !cut {
			until = latest(until, o.EndsAt)
		}
	}
	if !until.IsZero() {
		// Where the directory has turned it round, nobody has it any more.
		if err := b.Effects.Keep(ctx, tx, c.Tenure, until); !errors.Is(err, elevate.ErrTurned) {
			return c, err
		}
	}
	return c, b.change(ctx, tx, c, others, who, by)
}

// WithAnother is the reason of an end that came with another's.
const WithAnother = "the password was changed: somebody who knows it may not have it"

// change has the password of a check-out changed, for all who have it still.
func (b *Book) change(ctx context.Context, tx *store.Tx, c Checkout, holders []Checkout, who Ref, by approval.Approver) error {
	now := b.Now().Truncate(time.Microsecond)
	for _, o := range holders {
		ends := Revoked
		if o.State(now) == Expired {
			ends = Expired
		}
		o = o.over(ends, who, WithAnother, now)
		if err := save(ctx, tx, &o); err != nil {
			return err
		}
		e := b.entry(o, by, "shared."+string(ends), o.EndReason)
		e.Detail["with"] = c.By.Login
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM shared_secret WHERE tenure = $1`, c.Tenure); err != nil {
		return fmt.Errorf("forgetting the password of a shared ID: %w", err)
	}
	return b.Effects.Withdraw(ctx, tx, c.Tenure)
}

// takeAway ends a check-out whose holder must not know the password any more. They do
// also when their own use is over and another's is not.
func (b *Book) takeAway(ctx context.Context, tx *store.Tx, c Checkout, who Ref, by approval.Approver, why string) (Checkout, error) {
	switch c.state {
	case Starting:
		return c, b.fail(ctx, tx, by, c, why)
	case Active:
		return b.end(ctx, tx, c, Revoked, who, by, why)
	}
	others, err := open(ctx, tx, `tenure = $1`, c.Tenure)
	if err != nil || len(others) == 0 {
		return c, err
	}
	return c, b.change(ctx, tx, c, others, who, by)
}

// EndOf ends all that a person has, or knows the password of, in the caller's
// transaction, for who is suspended or shut out.
func (b *Book) EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error) {
	mine, err := list(ctx, tx, `person_id = $1 AND `+known+` ORDER BY CASE WHEN state IN ('starting', 'active') THEN 0 ELSE 1 END, asked_at, id`, string(who))
	if err != nil {
		return 0, err
	}
	for _, c := range mine {
		// Another of them may have gone with it.
		if c, err = read(ctx, tx, c.ID); err == nil {
			_, err = b.takeAway(ctx, tx, c, Ref{Login: by}, approval.Approver{Holder: approval.Holder{Person: directory.Person{Login: by}}}, why)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(mine), nil
}

// EndFor is EndOf for several people.
func (b *Book) EndFor(ctx context.Context, tx *store.Tx, people []directory.PersonID, by, why string) (int, error) {
	all := 0
	for _, who := range people {
		n, err := b.EndOf(ctx, tx, who, by, why)
		if all += n; err != nil {
			return all, err
		}
	}
	return all, nil
}

// Borrowers are those whom EndOf would take something from.
func (b *Book) Borrowers(ctx context.Context, in store.Reader) ([]directory.PersonID, error) {
	all, err := list(ctx, in, known+` ORDER BY asked_at, id`)
	var out []directory.PersonID
	for _, c := range all {
		if !slices.Contains(out, c.By.ID) {
			out = append(out, c.By.ID)
		}
	}
	return out, err
}

// Succeed carries what is had in a session over to the one that the same person began
// in the same browser, in the transaction that ends the first.
func (b *Book) Succeed(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
	mine, err := open(ctx, tx, `session_id = $1 AND person_id = $2`, from, string(to.Person))
	if err != nil {
		return err
	}
	for _, c := range mine {
		c.Session = to.ID
		if err := save(ctx, tx, &c); err != nil {
			return err
		}
	}
	return nil
}

// How often ends are written down, and how often it is looked whether somebody still
// may have what they have.
const (
	tidyEvery  = 500 * time.Millisecond
	watchEvery = 5 * time.Second
	atOnce     = 100
)

// Run tidies and watches until ctx ends.
func (b *Book) Run(ctx context.Context) {
	watched := clock.Stopwatch()
	for last := watched(); clock.Wait(ctx, tidyEvery) == nil; {
		if err := b.Tidy(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "tidying shared IDs failed; it is tried again", "error", err)
		}
		if watched()-last < watchEvery {
			continue
		}
		last = watched()
		if err := b.Watch(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "looking at who has a shared ID failed; it is tried again", "error", err)
		}
	}
}

// Tidy writes down what has come to its end. It decides nothing: the directory is rid
// of it by its own clock.
func (b *Book) Tidy(ctx context.Context) error {
	now := b.Now()
	due, err := list(ctx, b.DB, `state = 'active' AND ends_at <= $1 OR state = 'starting' AND asked_at <= $2 ORDER BY ends_at LIMIT $3`,
		store.Micros(now), store.Micros(now.Add(-startWithin)), atOnce)
	if err != nil {
		return err
	}
	var failed error
	for _, seen := range due {
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			c, err := read(ctx, tx, seen.ID)
			if err != nil || c.version != seen.version {
				return err // another gateway, or its people, were first
			}
			if c.state == Starting {
				return b.fail(ctx, tx, approval.Approver{}, c, "the gateway that began it did not come back")
			}
			_, err = b.end(ctx, tx, c, Expired, Ref{}, approval.Approver{}, "")
			return err
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("tidying check-out %s: %w", seen.ID, err))
		}
	}
	return failed
}

// Watch looks at everybody who has a shared ID, or knows the password that another has,
// and takes it from who may not have it any more.
func (b *Book) Watch(ctx context.Context) error {
	all, err := list(ctx, b.DB, `state <> 'starting' AND `+known+` ORDER BY asked_at, id`)
	if err != nil {
		return err
	}
	var failed error
	for _, seen := range all {
		to, why, err := b.against(ctx, seen)
		if err == nil && why != "" {
			err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
				c, err := read(ctx, tx, seen.ID)
				switch {
				case err != nil || c.version != seen.version:
				case to == Revoked:
					_, err = b.takeAway(ctx, tx, c, Ref{}, approval.Approver{}, why)
				default:
					_, err = b.end(ctx, tx, c, to, Ref{}, approval.Approver{}, why)
				}
				return err
			})
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("looking at check-out %s: %w", seen.ID, err))
		}
	}
	return failed
}

// against is why somebody must not have what they have any more; "" for no reason.
func (b *Book) against(ctx context.Context, c Checkout) (State, string, error) {
	p, now := b.Policy(), b.Now()
	s, ok := p.SharedID(c.Shared)
	if !ok {
		return Revoked, "it is not shared any more", nil
	}
	closed, err := standing.Closed(ctx, b.DB, c.By.ID, now)
	if err != nil {
		return "", "", err
	}
	if closed {
		return Revoked, "the holder may use nothing", nil
	}
	zone, _ := p.Zone(c.Zone)
	person, err := b.People.Person(ctx, c.By.ID, zone.DirectoryStale)
	if err != nil {
		// The directory is away: it cannot be told now either, and the end comes by itself.
		slog.WarnContext(ctx, "who has a shared ID cannot be asked about", "checkout", c.ID, "error", err)
		return "", "", nil
	}
	if b.Barred != nil {
		shut, err := b.Barred(ctx, person)
		if err != nil {
			return "", "", err
		}
		if shut {
			return Revoked, "a lock-down", nil
		}
	}
	if may := May(p, s, approval.Holder{Person: person, Posts: p.PostsOf(person.Groups)}, now) == nil; !may {
		return Revoked, "no longer eligible", nil
	}
	if c.Outlives || c.state != Active {
		return "", "", nil
	}
	over, err := b.Sessions.Over(ctx, c.Session)
	if err != nil || !over {
		return "", "", err
	}
	return Ended, "the session is over", nil
}

// entry begins the entry of an act about a shared ID.
func (b *Book) entry(c Checkout, by approval.Approver, action, reason string) audit.Entry {
	e := audit.Entry{
		Actor: by.Person.Login, Action: action, Object: "shared:" + c.Shared, Outcome: audit.OK, Reason: reason, Articles: articles,
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
		Detail: map[string]string{"checkout": c.ID, "person": c.By.Login},
	}
	if e.Zone == "" {
		e.Zone = string(c.Zone)
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if c.Account != "" {
		e.Detail["account"] = c.Account
	}
	if c.state == Starting || c.state == Active {
		e.Detail["ends_at"] = c.EndsAt.UTC().Format(time.RFC3339)
	}
	return e
}

// refuse enters on the trail that something was refused, once a minute for each
// person, ID and reason.
func (b *Book) refuse(ctx context.Context, by approval.Approver, id string, why *Refusal) error {
	e := b.entry(Checkout{Shared: id, By: approval.Ref(by.Person)}, by, "shared.refused", why.Reason)
	e.Outcome, e.Articles = audit.Refused, why.Articles
	delete(e.Detail, "checkout")
	if id == "" {
		e.Object = "shared"
	}
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+id+" "+why.Reason, e, b.Now()); err != nil {
		return fmt.Errorf("recording a refusal: %w", err)
	}
	return why
}
