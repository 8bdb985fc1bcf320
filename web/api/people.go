package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// People is what administrators do to others; authz/people is one. Who may do
// what is its to say.
type People interface {
	Find(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []people.Listed, next string, err error)
	Show(ctx context.Context, o signin.Origin, cookie, login string) (people.Detail, error)
	Suspend(ctx context.Context, o signin.Origin, cookie, login, reason string, until time.Time) error
	Restore(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	RecordLeave(ctx context.Context, o signin.Origin, cookie, login string, days people.LeaveDays) error
	EndLeave(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	Unlock(ctx context.Context, o signin.Origin, cookie, login string) error
	TemporaryPassword(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RecoveryCode(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RemoveFactor(ctx context.Context, o signin.Origin, cookie, login, factorID string) error
	Terminals
	Tokens
}

// Refusals of whatever needs a post: to read, and to act.
var (
	toRead = []string{web.CodeForbidden, web.CodeStepUp}
	toAct  = []string{web.CodeForbidden, web.CodeStepUp, web.CodeNotFound, web.CodeState}
)

func (v *service) peopleOperations() []operation {
	return []operation{
		{method: "GET", path: "/api/v1/people", says: "Searches people by parts of login, name or mail address.", handle: v.people,
			status: 200, answer: list[personItem]{}, query: pageQuery, numbers: []string{"limit"}, codes: toRead},
		{method: "GET", path: "/api/v1/people/{login}", says: "One person: account, factors, failures, what may be done.", handle: v.person,
			status: 200, answer: personAnswer{}, codes: append([]string{web.CodeNotFound}, toRead...)},
		{method: "POST", path: "/api/v1/people/{login}/suspend", says: "Closes every door to a person, and ends what is open.", handle: v.suspend,
			body: suspension{}, status: 200, answer: personAnswer{}, codes: toAct},
		{method: "POST", path: "/api/v1/people/{login}/restore", says: "Lifts a suspension, and dormancy; the latter takes a reason.", handle: v.restore,
			body: restoration{}, status: 200, answer: personAnswer{}, codes: toAct},
		{method: "POST", path: "/api/v1/people/{login}/leave", says: "Records leave: every door is shut meanwhile, and the days do not count as unused.", handle: v.recordLeave,
			body: leave{}, status: 200, answer: personAnswer{}, codes: append([]string{web.CodeInvalid}, toAct...)},
		{method: "POST", path: "/api/v1/people/{login}/end-leave", says: "Ends leave before its day, or takes back one to come.", handle: v.endLeave,
			body: leaveEnd{}, status: 200, answer: personAnswer{}, codes: toAct},
		{method: "POST", path: "/api/v1/people/{login}/unlock", says: "Forgets the failures against a person's password and codes.", handle: v.unlock,
			body: struct{}{}, status: 200, answer: personAnswer{}, codes: toAct},
		{method: "POST", path: "/api/v1/people/{login}/temporary-password", says: "Gives a person a password to be changed at the next sign-in; it is answered once.", handle: v.temporaryPassword,
			body: struct{}{}, status: 201, answer: temporary{}, once: true, codes: toAct},
		{method: "POST", path: "/api/v1/people/{login}/recovery-code", says: "Makes a code in place of a factor that was lost; it is answered once.", handle: v.recoveryCode,
			body: struct{}{}, status: 201, answer: recoverySlip{}, once: true, codes: toAct},
		{method: "DELETE", path: "/api/v1/people/{login}/factors/{id}", says: "Removes a factor of a person.", handle: v.removeTheirFactor,
			status: 204, codes: toAct},
	}
}

// pageQuery are the parameters of a list that is searched and turned over.
var pageQuery = []string{"q", "after", "limit"}

// perPage is how many a list answers when not told.
const perPage = 50

// pageOfList reads pageQuery.
func pageOfList(q url.Values) (query, after string, limit int, err error) {
	in := filtersOf(q, pageQuery, longestFilter)
	limit = in.limit(people.MostFound)
	if err := in.err(); err != nil {
		return "", "", 0, err
	}
	return in.Get("q"), in.Get("after"), limit, nil
}

type personItem struct {
	Login   string          `json:"login"`
	Name    string          `json:"name"`
	Section string          `json:"section"`
	Kind    string          `json:"kind"`
	State   string          `json:"state"` // active, disabled, expired, suspended, dormant or on_leave
	Posts   []policy.PostID `json:"posts"`
}

func (v *service) people(w http.ResponseWriter, r *web.Request) error {
	query, after, limit, err := pageOfList(r.URL.Query())
	if err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	found, next, err := v.People.Find(r.Context(), r.Origin, r.Cookie, query, after, limit)
	if err != nil {
		return err
	}
	items := make([]personItem, 0, len(found))
	for _, p := range found {
		items = append(items, personItem{p.Login, p.Name, p.Section, string(p.Kind), p.State, orEmpty(p.Posts)})
	}
	return write(w, http.StatusOK, list[personItem]{items, orNull(next)})
}

func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

type closure struct {
	Kind   string     `json:"kind"`
	Since  *time.Time `json:"since"`
	Until  *time.Time `json:"until"` // null: until it is lifted
	Reason string     `json:"reason"`
	By     string     `json:"by"`
}

type attempt struct {
	Kind      string     `json:"kind"` // password or code
	Failures  int        `json:"failures"`
	HeldUntil *time.Time `json:"held_until"`
	Spent     bool       `json:"spent"`
}

type personAnswer struct {
	ID                string          `json:"id"` // as the trail names the person
	Login             string          `json:"login"`
	Name              string          `json:"name"`
	Mail              string          `json:"mail"`
	Section           string          `json:"section"`
	Company           string          `json:"company"`
	Kind              string          `json:"kind"`
	State             string          `json:"state"`
	Posts             []policy.PostID `json:"posts"`
	ExpiresAt         *time.Time      `json:"expires_at"`
	LastUsedAt        *time.Time      `json:"last_used_at"`
	PasswordChangedAt *time.Time      `json:"password_changed_at"`
	PasswordLocked    bool            `json:"password_locked"` // by the directory itself
	MustChange        bool            `json:"must_change"`     // the password is temporary
	Closed            []closure       `json:"closed"`
	Factors           []factorItem    `json:"factors"`
	Sessions          int             `json:"sessions"`
	Attempts          []attempt       `json:"attempts"`
	Leave             *closure        `json:"leave"`            // in force or to come; null for none
	RecoveryEndsAt    *time.Time      `json:"recovery_ends_at"` // null: no recovery code is good
	May               []authz.Act     `json:"may"`              // what the reader may do
}

func personOf(d people.Detail) personAnswer {
	p := d.Person
	out := personAnswer{
		ID: string(p.ID), Login: p.Login, Name: p.Name, Mail: p.Mail, Section: p.Section, Company: p.Company,
		Kind: string(p.Kind), State: d.State, Posts: orEmpty(d.Posts),
		ExpiresAt: stamp(p.Account.ExpiresAt), LastUsedAt: stamp(p.Account.LastUsedAt),
		PasswordChangedAt: stamp(p.Account.PasswordChangedAt), PasswordLocked: p.Account.PasswordLocked, MustChange: p.Account.MustChange,
		Closed: []closure{}, Factors: factorsOf(d.Factors), Sessions: d.Sessions, Attempts: []attempt{},
		RecoveryEndsAt: stamp(d.Recovery), May: []authz.Act{},
	}
	for _, c := range d.Closed {
		out.Closed = append(out.Closed, closure{string(c.Kind), stamp(c.Since), stamp(c.Until), c.Reason, c.By})
	}
	if l := d.Leave; l.Kind != "" {
		out.Leave = &closure{string(l.Kind), stamp(l.Since), stamp(l.Until), l.Reason, l.By}
	}
	for _, a := range d.Attempts {
		out.Attempts = append(out.Attempts, attempt{a.Kind, a.Failures, stamp(a.HeldUntil), a.Spent})
	}
	for _, act := range authz.Acts() {
		if d.May[act].OK() {
			out.May = append(out.May, act)
		}
	}
	return out
}

// person answers one person, also after something was done to them.
func (v *service) person(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	d, err := v.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, personOf(d))
}

type suspension struct {
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitempty"` // without it: until restored
}

func (v *service) suspend(w http.ResponseWriter, r *web.Request) error {
	var in suspension
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("reason", in.Reason, maxText); err != nil {
		return err
	}
	return v.done(w, r, func() error {
		return v.People.Suspend(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), in.Reason, in.Until)
	})
}

type restoration struct {
	Reason string `json:"reason,omitempty"`
}

func (v *service) restore(w http.ResponseWriter, r *web.Request) error {
	var in restoration
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.done(w, r, func() error {
		return v.People.Restore(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), in.Reason)
	})
}

type leave struct {
	From   string `json:"from,omitempty"`  // the first day in Japan, such as 2026-04-01; without it: today
	Until  string `json:"until,omitempty"` // the last day; without it: until it is ended
	Reason string `json:"reason"`
}

func (v *service) recordLeave(w http.ResponseWriter, r *web.Request) error {
	var in leave
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("reason", in.Reason, maxText); err != nil {
		return err
	}
	return v.done(w, r, func() error {
		return v.People.RecordLeave(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), people.LeaveDays{From: in.From, Until: in.Until, Reason: in.Reason})
	})
}

type leaveEnd struct {
	Reason string `json:"reason"`
}

func (v *service) endLeave(w http.ResponseWriter, r *web.Request) error {
	var in leaveEnd
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("reason", in.Reason, maxText); err != nil {
		return err
	}
	return v.done(w, r, func() error {
		return v.People.EndLeave(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), in.Reason)
	})
}

func (v *service) unlock(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.done(w, r, func() error {
		return v.People.Unlock(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	})
}

// done does an act on a person and answers them as they are after it.
func (v *service) done(w http.ResponseWriter, r *web.Request, act func() error) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := act(); err != nil {
		return err
	}
	return v.person(w, r)
}

type temporary struct {
	Login    string     `json:"login"`
	Password string     `json:"password"`
	EndsAt   *time.Time `json:"ends_at"`
}

func (v *service) temporaryPassword(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		s, err := v.People.TemporaryPassword(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
		return temporary{s.Login, string(s.Secret.Reveal()), stamp(s.EndsAt)}, nil, err
	})
}

type recoverySlip struct {
	Login  string     `json:"login"`
	Code   string     `json:"code"`
	EndsAt *time.Time `json:"ends_at"`
}

func (v *service) recoveryCode(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		s, err := v.People.RecoveryCode(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
		return recoverySlip{s.Login, string(s.Secret.Reveal()), stamp(s.EndsAt)}, nil, err
	})
}

func (v *service) removeTheirFactor(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.People.RemoveFactor(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
