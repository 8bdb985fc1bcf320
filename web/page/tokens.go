package page

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/totp"
	"sekisho/authz/people"
	"sekisho/policy/secret"
	"sekisho/web"
)

type tokensPage struct {
	Query   string
	Lines   []tokenLine
	Next    string
	Format  string
	Formats []choice
}

type tokenLine struct {
	Serial, Maker, State, Login, Name string
	Stock, Assigned                   bool
	LastUsedAt, NotAfter              time.Time
}

func (h *house) tokens(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.tokensPage(r, "csv")
	if err != nil {
		return h.officeError(w, r, err, "/tokens")
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "tokens", v)
}

func (h *house) tokensPage(r *web.Request, format string) (tokensPage, error) {
	g := h.tongue(r)
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	found, next, err := h.People.Tokens(r.Context(), r.Origin, r.Cookie, query, r.URL.Query().Get("after"), perPage)
	if err != nil {
		return tokensPage{}, err
	}
	p := tokensPage{Query: query, Format: format, Formats: []choice{{"csv", g.say("tokens.csv")}, {"pskc", g.say("tokens.pskc")}}}
	for _, t := range found {
		p.Lines = append(p.Lines, h.tokenLine(r, t))
	}
	if next != "" {
		p.Next = "/tokens?" + url.Values{"q": {query}, "after": {next}}.Encode()
	}
	return p, nil
}

func (h *house) tokenLine(r *web.Request, t totp.Token) tokenLine {
	g := h.tongue(r)
	line := tokenLine{
		Serial: t.Serial, Maker: t.Maker, Login: t.Login, Name: t.Name, LastUsedAt: t.LastUsedAt, NotAfter: t.NotAfter,
		Stock: t.State == totp.StateStock, Assigned: t.State == totp.StateAssigned,
	}
	switch t.State {
	case totp.StateStock:
		line.State = g.say("tokens.stock")
	case totp.StateAssigned:
		line.State = g.say("tokens.assigned")
	case totp.StateLost:
		line.State = g.say("tokens.lost")
	}
	return line
}

// importTokens takes the text of a file. What is wrong with it is said line by
// line; the text itself, which is full of secrets, is not sent back.
func (h *house) importTokens(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	format := r.PostForm.Get("format")
	in, err := h.People.ImportTokens(r.Context(), r.Origin, r.Cookie, format,
		[]byte(r.PostForm.Get("data")), secret.NewText([]byte(r.PostForm.Get("key"))))
	said, faulty := refused{Status: http.StatusOK}, false
	if err != nil {
		if said, faulty = h.formFaults(w, r, err); !faulty {
			return h.officeError(w, r, err, "/tokens")
		}
	}
	p, err := h.tokensPage(r, format)
	if err != nil {
		return h.officeError(w, r, err, "/tokens")
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
	v.Switch = switchURL(r, "/tokens")
	if !faulty {
		v.Notice = notice{g.say("tokens.imported", "Added", in.Added, "Known", len(in.Known)), "good"}
	}
	return h.show(w, r, said.Status, "tokens", v)
}

type tokenPage struct {
	Line  tokenLine
	Login string
}

func (h *house) tokenPage(r *web.Request, login string) (tokenPage, error) {
	serial := r.PathValue("serial")
	found, _, err := h.People.Tokens(r.Context(), r.Origin, r.Cookie, serial, "", perPage)
	if err != nil {
		return tokenPage{}, err
	}
	for _, t := range found {
		if t.Serial == serial {
			return tokenPage{h.tokenLine(r, t), login}, nil
		}
	}
	return tokenPage{}, people.ErrNotFound
}

func (h *house) token(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.tokenPage(r, "")
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	v := h.view(r, step, p)
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "token", v)
}

func (h *house) tokenAct(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	ctx, serial, back := r.Context(), r.PathValue("serial"), "/tokens/"+url.PathEscape(r.PathValue("serial"))
	login, what := strings.TrimSpace(r.PostForm.Get("login")), ""
	switch r.PathValue("act") {
	case "assign":
		what, err = "assign", h.People.AssignToken(ctx, r.Origin, r.Cookie, serial, login)
	case "unassign":
		what, err = "unassign", h.People.UnassignToken(ctx, r.Origin, r.Cookie, serial)
	case "resync":
		what, err = "resync", h.People.ResyncToken(ctx, r.Origin, r.Cookie, serial, digits(r.PostForm.Get("first")), digits(r.PostForm.Get("second")))
	case "lost":
		what, err = "token-lost", h.People.LoseToken(ctx, r.Origin, r.Cookie, serial)
	default:
		return web.ErrNoPage
	}
	if err == nil {
		return redirect(w, r, back, url.Values{"done": {what}})
	}
	said, ok := h.formFaults(w, r, err)
	if !ok {
		return h.officeError(w, r, err, back)
	}
	p, failed := h.tokenPage(r, login)
	if failed != nil {
		return h.officeError(w, r, failed, back)
	}
	return h.again(w, r, step, "token", p, said)
}
