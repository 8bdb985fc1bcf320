package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz/people"
	"sekisho/policy/secret"
	"sekisho/web"
)

// Tokens is the inventory of hardware tokens, for those who may see and change
// it.
type Tokens interface {
	Tokens(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []totp.Token, next string, err error)
	ImportTokens(ctx context.Context, o signin.Origin, cookie, format string, data []byte, key secret.Text) (totp.Imported, error)
	AssignToken(ctx context.Context, o signin.Origin, cookie, serial, login string) error
	UnassignToken(ctx context.Context, o signin.Origin, cookie, serial string) error
	ResyncToken(ctx context.Context, o signin.Origin, cookie, serial, first, second string) error
	LoseToken(ctx context.Context, o signin.Origin, cookie, serial string) error
}

func (v *service) tokenOperations() []operation {
	return []operation{
		{method: "GET", path: "/api/v1/tokens", says: "The hardware tokens: by the beginning of the serial, or of the holder's login.", handle: v.tokens,
			status: 200, answer: list[tokenItem]{}, query: pageQuery, numbers: []string{"limit"}, codes: toRead},
		{method: "POST", path: "/api/v1/tokens/import", says: "Takes a maker's file into stock, whole or not at all.", handle: v.importTokens,
			body: delivery{}, status: 201, answer: imported{}, once: true, codes: []string{web.CodeForbidden, web.CodeStepUp}},
		{method: "POST", path: "/api/v1/tokens/{serial}/assign", says: "Gives a token in stock to a person.", handle: v.assignToken,
			body: assignment{}, status: 200, answer: tokenItem{}, codes: toAct},
		{method: "POST", path: "/api/v1/tokens/{serial}/unassign", says: "Takes a token back into stock.", handle: v.unassignToken,
			body: struct{}{}, status: 200, answer: tokenItem{}, codes: toAct},
		{method: "POST", path: "/api/v1/tokens/{serial}/resync", says: "Finds a token's clock by two codes in a row.", handle: v.resyncToken,
			body: twoCodes{}, status: 200, answer: tokenItem{}, codes: append([]string{web.CodeHeld}, toAct...)},
		{method: "POST", path: "/api/v1/tokens/{serial}/lost", says: "Ends a token for good.", handle: v.loseToken,
			body: struct{}{}, status: 200, answer: tokenItem{}, codes: toAct},
	}
}

type tokenItem struct {
	Serial        string     `json:"serial"`
	Maker         string     `json:"maker"`
	Algorithm     string     `json:"algorithm"`
	Digits        int        `json:"digits"`
	PeriodSeconds int64      `json:"period"`
	State         string     `json:"state"` // stock, assigned or lost
	Login         *string    `json:"login"` // of whoever has it; of a lost one, had it
	Name          *string    `json:"name"`
	ImportedAt    *time.Time `json:"imported_at"`
	AssignedAt    *time.Time `json:"assigned_at"`
	LastUsedAt    *time.Time `json:"last_used_at"`
	NotBefore     *time.Time `json:"not_before"`
	NotAfter      *time.Time `json:"not_after"`
}

func tokenOf(t totp.Token) tokenItem {
	return tokenItem{
		t.Serial, t.Maker, t.Algorithm, t.Digits, int64(t.Period / time.Second), t.State, orNull(t.Login), orNull(t.Name),
		stamp(t.ImportedAt), stamp(t.AssignedAt), stamp(t.LastUsedAt), stamp(t.NotBefore), stamp(t.NotAfter),
	}
}

func (v *service) tokens(w http.ResponseWriter, r *web.Request) error {
	query, after, limit, err := pageOfList(r.URL.Query())
	if err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	found, next, err := v.People.Tokens(r.Context(), r.Origin, r.Cookie, query, after, limit)
	if err != nil {
		return err
	}
	items := make([]tokenItem, 0, len(found))
	for _, t := range found {
		items = append(items, tokenOf(t))
	}
	return write(w, http.StatusOK, list[tokenItem]{items, orNull(next)})
}

type delivery struct {
	Format string `json:"format"`        // csv or pskc
	Data   string `json:"data"`          // the file, as text or, whatever its encoding, in base64
	Key    string `json:"key,omitempty"` // opens an encrypted pskc
}

type imported struct {
	Added int      `json:"added"`
	Known []string `json:"known"` // serials that were there already, left as they were
}

func (v *service) importTokens(w http.ResponseWriter, r *web.Request) error {
	var in delivery
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("data", in.Data, 2*oath.MaxFile); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		done, err := v.People.ImportTokens(r.Context(), r.Origin, r.Cookie, in.Format, contents(in.Data), secret.NewText([]byte(in.Key)))
		return imported{done.Added, orEmpty(done.Known)}, nil, err
	})
}

// contents are a file's, sent as text or in base64. No file of either format
// reads as base64: a table has commas, XML has angle brackets.
func contents(sent string) []byte {
	if b, err := base64.StdEncoding.Strict().DecodeString(sent); err == nil {
		return b
	}
	return []byte(sent)
}

type assignment struct {
	Login string `json:"login"`
}

func (v *service) assignToken(w http.ResponseWriter, r *web.Request) error {
	var in assignment
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("login", in.Login, maxLogin); err != nil {
		return err
	}
	return v.withToken(w, r, func(serial string) error {
		return v.People.AssignToken(r.Context(), r.Origin, r.Cookie, serial, in.Login)
	})
}

func (v *service) unassignToken(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.withToken(w, r, func(serial string) error {
		return v.People.UnassignToken(r.Context(), r.Origin, r.Cookie, serial)
	})
}

type twoCodes struct {
	First  string `json:"first"`
	Second string `json:"second"` // the one that the token showed next
}

func (v *service) resyncToken(w http.ResponseWriter, r *web.Request) error {
	var in twoCodes
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("first", in.First, 64); err != nil {
		return err
	}
	if err := required("second", in.Second, 64); err != nil {
		return err
	}
	return v.withToken(w, r, func(serial string) error {
		return web.Field("second", v.People.ResyncToken(r.Context(), r.Origin, r.Cookie, serial, in.First, in.Second))
	})
}

func (v *service) loseToken(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.withToken(w, r, func(serial string) error {
		return v.People.LoseToken(r.Context(), r.Origin, r.Cookie, serial)
	})
}

// withToken does an act on a token and answers it as it is after that.
func (v *service) withToken(w http.ResponseWriter, r *web.Request, act func(serial string) error) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	serial, ok := oath.Serial(r.PathValue("serial"))
	if !ok {
		return people.ErrNotFound
	}
	if err := act(serial); err != nil {
		return err
	}
	found, _, err := v.People.Tokens(r.Context(), r.Origin, r.Cookie, serial, "", people.MostFound)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(found, func(t totp.Token) bool { return t.Serial == serial })
	if at < 0 {
		return people.ErrNotFound
	}
	return write(w, http.StatusOK, tokenOf(found[at]))
}
