package sealed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// ErrNotFound says that there is no such emergency ID.
var ErrNotFound = errors.New("no such emergency ID")

// A Presence knows who is behind a cookie, read afresh; approval.Book is one.
type Presence interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
}

// A Directory finds people, and those who hold a post.
type Directory interface {
	Find(ctx context.Context, typed string) (directory.Person, error)
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Presence  Presence
	Directory Directory
	Notices   *notice.Queue
	Now       clock.Now
}

// A Book keeps the register. It is safe for concurrent use.
type Book struct {
	House
	refused approval.Refusals // by person, act and reason
}

// New opens the book.
func New(h House) *Book { return &Book{House: h} }

// A Shown is an envelope as a reader sees it.
type Shown struct {
	Envelope
	Debts       []Owed
	TestDue     time.Time
	RotationDue time.Time
	May         map[Act]*Refusal // what the reader may do: nil that they may; what is not in it is not theirs
	History     []Event          // on its own page
}

// A Listed is the register as a reader sees it.
type Listed struct {
	Envelopes []Shown
	Withdrawn []Shown
	MayWrite  *Refusal        // why the reader enters nothing; nil: they do
	StepUp    *account.StepUp // the sign-in that each act takes first; nil: the present one does
}

// An Event is one act of the past.
type Event struct {
	At     time.Time `json:"at"`
	Act    Act       `json:"act"`
	By     Ref       `json:"by"`
	Note   string    `json:"note,omitempty"`
	Place  string    `json:"place,omitempty"`  // where it lay after it
	Failed bool      `json:"failed,omitempty"` // of a test
	Opener *Ref      `json:"opener,omitempty"`
	Opened time.Time `json:"opened"` // of an opening: when
}

// reader is who reads, if their post includes it.
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
	if why := MaySee(b.Policy(), by.Posts); why != nil {
		return by, b.refuse(ctx, by, "read", why)
	}
	return by, nil
}

// writer is who writes, if their post and their sign-in do.
func (b *Book) writer(ctx context.Context, o signin.Origin, cookie string, a Act) (approval.Approver, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return by, err
	}
	if why := MayWrite(b.Policy(), by.Posts); why != nil {
		return by, b.refuse(ctx, by, string(a), why)
	}
	if need := by.Elevated(b.Policy(), b.Now()); need != nil {
		return by, need
	}
	return by, nil
}

// refuse enters a refusal on the trail, once a minute for each person and reason.
func (b *Book) refuse(ctx context.Context, by approval.Approver, what string, why *Refusal) error {
	e := b.entry(by, "sealed."+what, "", why.Reason, nil)
	e.Outcome, e.Articles = audit.Refused, why.Articles
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+what+" "+why.Reason, e, b.Now()); err != nil {
		return fmt.Errorf("recording a refused act: %w", err)
	}
	return why
}

func (b *Book) entry(by approval.Approver, action, object, reason string, detail map[string]string) audit.Entry {
	return audit.Entry{
		Actor: by.Person.Login, Action: action, Object: object, Outcome: audit.OK, Reason: reason, Articles: articles, Detail: detail,
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
	}
}

// List is the whole register.
func (b *Book) List(ctx context.Context, o signin.Origin, cookie string) (Listed, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Listed{}, err
	}
	all, err := envelopes(ctx, b.DB, `1 = 1 ORDER BY withdrawn_at <> 0, name, id LIMIT $1`, mostListed)
	if err != nil {
		return Listed{}, err
	}
	out := Listed{MayWrite: MayWrite(b.Policy(), by.Posts), StepUp: by.Elevated(b.Policy(), b.Now())}
	for _, e := range all {
		if one := b.shown(by, e); e.Withdrawn.Done() {
			out.Withdrawn = append(out.Withdrawn, one)
		} else {
			out.Envelopes = append(out.Envelopes, one)
		}
	}
	// What is owed comes first, what has waited longest before the rest.
	slices.SortStableFunc(out.Envelopes, func(x, y Shown) int {
		switch dx, dy := len(x.Debts) > 0, len(y.Debts) > 0; {
		case dx && dy:
			return x.Debts[0].Due.Compare(y.Debts[0].Due)
		case dx:
			return -1
		case dy:
			return 1
		}
		return 0
	})
	return out, nil
}

// mostListed bounds the register: there are a handful of such IDs.
const mostListed = 500

func (b *Book) shown(by approval.Approver, e Envelope) Shown {
	p, now := b.Policy(), b.Now()
	out := Shown{Envelope: e, Debts: e.Debts(p.SealedIDs, now), TestDue: e.TestDue(p.SealedIDs), RotationDue: e.RotationDue(p.SealedIDs)}
	if MayWrite(p, by.Posts) != nil {
		return out
	}
	out.May = map[Act]*Refusal{}
	for _, a := range Acts() {
		out.May[a] = e.May(a, approval.Ref(by.Person))
	}
	return out
}

// Get is one envelope with all that was done about it.
func (b *Book) Get(ctx context.Context, o signin.Origin, cookie, id string) (Shown, *account.StepUp, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Shown{}, nil, err
	}
	e, err := envelope(ctx, b.DB, id)
	if err != nil {
		return Shown{}, nil, err
	}
	out := b.shown(by, e)
	if out.History, err = history(ctx, b.DB, id); err != nil {
		return Shown{}, nil, err
	}
	return out, by.Elevated(b.Policy(), b.Now()), nil
}

// Register enters a new emergency ID.
func (b *Book) Register(ctx context.Context, o signin.Origin, cookie string, n Draft) (Shown, error) {
	by, err := b.writer(ctx, o, cookie, Register)
	if err != nil {
		return Shown{}, err
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	e, err := Begin(secret.Token(12), n, approval.Ref(by.Person), now)
	if err != nil {
		return Shown{}, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := insert(ctx, tx, e)
		if errors.Is(err, store.ErrUntouched) {
			r := bad("account", "exists", "このシステムのこのIDは、すでに登録されています。", "This ID of this system is registered already.")
			return r
		}
		if err != nil {
			return err
		}
		if err := remember(ctx, tx, e.ID, 1, Event{At: now, Act: Register, By: e.Registered.By, Note: e.Note, Place: e.Place}); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, b.entry(by, "sealed.register", e.ID, e.Note, map[string]string{"system": e.System, "account": e.Account, "place": e.Place}))
	})
	if err != nil {
		return Shown{}, fmt.Errorf("registering an emergency ID: %w", err)
	}
	e.version = 1
	return b.shown(by, e), nil
}

// Typed is what somebody entered with an act.
type Typed struct {
	Note, Place string
	Failed      bool
	Opener      string    // login of who opened it; empty: whoever writes
	At          time.Time // when it was opened; zero: now
}

// Do does an act about an envelope: the row, its event and its entry on the trail
// commit together, and so does the word to those concerned when it was opened.
func (b *Book) Do(ctx context.Context, o signin.Origin, cookie, id string, a Act, t Typed) (Shown, error) {
	by, err := b.writer(ctx, o, cookie, a)
	if err != nil {
		return Shown{}, err
	}
	s := Said{Note: t.Note, Place: t.Place, Failed: t.Failed, At: t.At.UTC().Truncate(time.Microsecond)}
	if t.At.IsZero() {
		s.At = time.Time{}
	}
	var tell []directory.Person
	if a == Open {
		if s.By, err = b.opener(ctx, t.Opener, by); err != nil {
			return Shown{}, err
		}
		tell = b.concerned(ctx)
	}
	var e Envelope
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		before, err := envelope(ctx, tx, id)
		if err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		if e, err = before.After(a, approval.Ref(by.Person), s, b.Policy().SealedIDs, now); err != nil {
			return err
		}
		if err := update(ctx, tx, e); err != nil {
			return err
		}
		e.version++
		ev := Event{At: now, Act: a, By: approval.Ref(by.Person), Note: s.Note, Failed: a == Test && s.Failed}
		if a == Seal || a == Move {
			ev.Place = e.Place
		}
		detail := map[string]string{"system": e.System, "account": e.Account}
		switch a {
		case Open:
			opened := e.Opened()
			ev.Opener, ev.Opened = &opened.By, opened.At
			detail["opened_by"], detail["opened_at"], detail["report_due"] = opened.By.Login, opened.At.Format(time.RFC3339), e.ReportDue.Format(time.RFC3339)
			if err := b.tell(ctx, tx, by.Zone, tell, notice.SealedOpened, map[string]string{
				"by": opened.By.Name, "account": e.Account, "system": e.System, "reason": s.Note, "due": e.ReportDue.Format(time.RFC3339),
			}); err != nil {
				return err
			}
		case Test:
			detail["failed"] = fmt.Sprint(s.Failed)
		case Seal, Move:
			detail["place"] = e.Place
		}
		if err := remember(ctx, tx, e.ID, e.version, ev); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, b.entry(by, "sealed."+string(a), e.ID, s.Note, detail))
	})
	var why *Refusal
	if errors.As(err, &why) && why.Field == "" && !why.Conflict {
		return Shown{}, b.refuse(ctx, by, string(a), why)
	}
	if err != nil {
		return Shown{}, fmt.Errorf("writing down what was done about an emergency ID: %w", err)
	}
	return b.shown(by, e), nil
}

// opener is who opened an envelope: whoever writes it down, or whom they name.
func (b *Book) opener(ctx context.Context, login string, by approval.Approver) (Ref, error) {
	if login == "" || directory.Canonical(login) == directory.Canonical(by.Person.Login) {
		return approval.Ref(by.Person), nil
	}
	p, err := b.Directory.Find(ctx, login)
	switch {
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
		return Ref{}, bad("opener", "unknown", "その名前の人は見つかりません。", "Nobody of that name is known.")
	case err != nil:
		return Ref{}, err
	}
	return approval.Ref(p), nil
}

// hearing are the posts that hear of an envelope that was opened.
var hearing = []policy.PostID{policy.CIO, policy.CSIRT, policy.SecurityOfficer}

// concerned are those who hold them. Who cannot be read is not told: what was done is
// written down all the same, and the page shows it.
func (b *Book) concerned(ctx context.Context) []directory.Person {
	var out []directory.Person
	for _, id := range hearing {
		post, ok := b.Policy().Post(id)
		if !ok || post.Group == "" {
			continue
		}
		people, err := b.Directory.Holders(ctx, post.Group)
		if err != nil {
			slog.ErrorContext(ctx, "reading whom to tell of an emergency ID", "post", string(id), "error", err)
			continue
		}
		for _, p := range people {
			if !slices.ContainsFunc(out, func(q directory.Person) bool { return q.ID == p.ID }) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (b *Book) tell(ctx context.Context, tx *store.Tx, zone policy.ZoneID, to []directory.Person, k notice.Kind, detail map[string]string) error {
	for _, p := range to {
		if err := b.Notices.Add(ctx, tx, notice.Notice{Person: p.ID, Kind: k, Zone: zone, At: b.Now(), Detail: detail}); err != nil {
			return err
		}
	}
	return nil
}

// tellEvery is how often people are told again of what is overdue.
const tellEvery = 7 * day

// Remind tells of what is overdue, once and then weekly: the officers, and whoever
// sealed it. That it was done is a row: of several gateways one does it.
func (b *Book) Remind(ctx context.Context) error {
	p, now := b.Policy(), b.Now()
	all, err := envelopes(ctx, b.DB, `withdrawn_at = 0 AND told_at <= $1 ORDER BY name, id LIMIT $2`, store.Micros(now.Add(-tellEvery)), mostListed)
	if err != nil {
		return err
	}
	var zone policy.ZoneID
	for _, z := range p.Zones {
		if notice.Mails(p, z.ID) {
			zone = z.ID
		}
	}
	var tell []directory.Person
	for _, e := range all {
		debts := slices.DeleteFunc(e.Debts(p.SealedIDs, now), func(o Owed) bool { return !o.Overdue(now) })
		if len(debts) == 0 {
			continue
		}
		if tell == nil {
			tell = b.concerned(ctx)
		}
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := told(ctx, tx, e.ID, now, now.Add(-tellEvery)); err != nil {
				return err
			}
			to := tell
			if !slices.ContainsFunc(to, func(q directory.Person) bool { return q.ID == e.Sealed.By.ID }) {
				to = append(slices.Clone(to), directory.Person{ID: e.Sealed.By.ID})
			}
			return b.tell(ctx, tx, zone, to, notice.SealedDue, map[string]string{
				"account": e.Account, "system": e.System, "what": string(debts[0].What), "due": debts[0].Due.UTC().Format(time.RFC3339),
			})
		})
		if err != nil && !errors.Is(err, store.ErrUntouched) {
			return fmt.Errorf("telling of an emergency ID: %w", err)
		}
	}
	return nil
}

// Known answers the systems of which the register has an emergency ID of this login,
// or, where what was found in the directory has none, of the name that its DN begins
// with. elevate's findings are named by it. in is the store, or the transaction in
// which something was found.
func (b *Book) Known(ctx context.Context, in store.Reader, login, dn string) ([]string, error) {
	return Known(ctx, in, login, dn)
}

// Known is Book.Known where nothing is built on the store.
func Known(ctx context.Context, in store.Reader, login, dn string) ([]string, error) {
	if login == "" {
		first, _, _ := strings.Cut(dn, ",")
		_, login, _ = strings.Cut(first, "=")
	}
	name := directory.Canonical(login)
	if name == "" {
		return nil, nil
	}
	all, err := envelopes(ctx, in, `withdrawn_at = 0 AND account = $1 ORDER BY name, id LIMIT 10`, name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		out = append(out, e.System)
	}
	return out, nil
}

// Among answers which of some logins the register has an emergency ID of. in is the
// store, or the transaction that goes by it.
func (b *Book) Among(ctx context.Context, in store.Reader, logins []string) (map[string]bool, error) {
	out := map[string]bool{}
	for part := range slices.Chunk(logins, amongAtMost) {
		args := make([]any, amongAtMost)
		for i := range args {
			args[i] = "" // nobody's
			if i < len(part) {
				args[i] = directory.Canonical(part[i])
			}
		}
		_, err := store.All(ctx, in, "which IDs are for emergencies", func(r store.Row) (struct{}, error) {
			var account string
			err := r.Scan(&account)
			out[account] = true
			return struct{}{}, err
		}, amongQuery, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// amongAtMost is of how many logins one question is; its text is the same whatever
// their number.
const amongAtMost = 100

var amongQuery = func() string {
	marks := make([]string, amongAtMost)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	return `SELECT account FROM emergency_id WHERE withdrawn_at = 0 AND account IN (` + strings.Join(marks, ", ") + `)`
}()
