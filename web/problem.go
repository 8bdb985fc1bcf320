package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
)

// A Problem is an answer that says no, as RFC 9457 shapes it.
type Problem struct {
	Status     int
	Code       string // stable; one of Codes
	Title      policy.Words
	Detail     policy.Words
	Articles   []policy.Article // where a rule refused
	Errors     []FieldError
	Extra      map[string]any // further members: required_acr, max_age
	RetryAfter time.Duration  // 0: not said
	Next       Next           // what the reader can do now; zero where Detail says it
}

// A FieldError says what is wrong with one field of what was sent.
type FieldError struct {
	Field  string // as the API names it
	Rule   string // stable
	Detail policy.Words
}

// A Refusal is an error that is already a Problem: what handlers of web/*
// return for what only they can see. Title and Detail are filled from the
// table when empty.
type Refusal struct{ Problem Problem }

func (e *Refusal) Error() string { return e.Problem.Code + ": " + e.Problem.Detail.In("en") }

// The codes. A code never changes its meaning.
const (
	CodeMalformed   = "malformed"
	CodeRefused     = "refused"
	CodeNoSession   = "no_session"
	CodeForbidden   = "forbidden"
	CodeCSRF        = "csrf"
	CodeStepUp      = "step_up"
	CodeNotFound    = "not_found"
	CodeMethod      = "method_not_allowed"
	CodeStep        = "wrong_step"
	CodeState       = "wrong_state"
	CodeLastFactor  = "last_factor"
	CodeStale       = "stale"
	CodeIdempotency = "idempotency"
	CodeTooLarge    = "too_large"
	CodeMediaType   = "media_type"
	CodeHost        = "unknown_host"
	CodeInvalid     = "invalid"
	CodeHeld        = "held"
	CodeBusy        = "busy"
	CodeAway        = "away"
	CodeBroken      = "broken"
)

// A CodeInfo is one row of the table of codes.
type CodeInfo struct {
	Code   string
	Status int
	Title  policy.Words
	Detail policy.Words // what is missing and what to do next
}

// Codes is the table of all codes, which the OpenAPI document lists too.
func Codes() []CodeInfo { return codes }

var codes = []CodeInfo{
	{CodeMalformed, 400, policy.Words{JA: "要求を読み取れません", EN: "Malformed request"},
		policy.Words{JA: "送られた内容の形が正しくありません。", EN: "What was sent cannot be read."}},
	{CodeRefused, 401, policy.Words{JA: "サインインできません", EN: "Sign-in refused"},
		policy.Words{JA: "ログイン名、パスワード又は確認コードが正しくないか、このIDは今は使えません。もう一度入力し、続くときは担当者に連絡してください。",
			EN: "The login, password or code is not right, or this ID cannot be used now. Try again; if it goes on, ask your administrator."}},
	{CodeNoSession, 401, policy.Words{JA: "サインインしていません", EN: "Not signed in"},
		policy.Words{JA: "サインインしていないか、時間が過ぎて終わりました。サインインしてください。",
			EN: "You are not signed in, or your session has ended. Please sign in."}},
	{CodeForbidden, 403, policy.Words{JA: "許可されていません", EN: "Not permitted"},
		policy.Words{JA: "あなたの役割では、この操作は許可されていません。", EN: "Your post does not permit this."}},
	{CodeCSRF, 403, policy.Words{JA: "確認の印がありません", EN: "Request not confirmed"},
		policy.Words{JA: "この画面から送られたことを確認できませんでした。画面を読み直して、もう一度送ってください。",
			EN: "It could not be confirmed that this came from your own page. Reload and send it again."}},
	{CodeStepUp, 403, policy.Words{JA: "もう一度の本人確認が必要です", EN: "Please prove who you are again"},
		policy.Words{JA: "この操作には、より強い、又はより新しい本人確認が必要です。",
			EN: "This needs a stronger or a more recent sign-in."}},
	{CodeNotFound, 404, policy.Words{JA: "見つかりません", EN: "Not found"},
		policy.Words{JA: "ここには何もありません。", EN: "There is nothing here."}},
	{CodeMethod, 405, policy.Words{JA: "この方法では使えません", EN: "Method not allowed"},
		policy.Words{JA: "この場所は、その方法では使えません。", EN: "This address does not take that method."}},
	{CodeStep, 409, policy.Words{JA: "手順が異なります", EN: "Not this step"},
		policy.Words{JA: "サインインは今この手順にありません。サインインの画面からやり直してください。",
			EN: "The sign-in is not at this step. Start again from the sign-in page."}},
	{CodeState, 409, policy.Words{JA: "今の状態ではできません", EN: "Not in this state"},
		policy.Words{JA: "今の状態では、この操作はできません。", EN: "This cannot be done in the present state."}},
	{CodeLastFactor, 409, policy.Words{JA: "最後の一つは削除できません", EN: "This is the last one"},
		policy.Words{JA: "二つ目の認証要素が必要なため、最後の一つは削除できません。先に別のものを登録してください。",
			EN: "A second factor is required, so the last one cannot be removed. Enrol another one first."}},
	{CodeStale, 409, policy.Words{JA: "提案が古くなりました", EN: "The proposal is out of date"},
		policy.Words{JA: "提案の後に方針が変わりました。今の方針から提案し直してください。",
			EN: "The policy changed after this was proposed. Propose it again from the present one."}},
	{CodeIdempotency, 409, policy.Words{JA: "同じ鍵で別の内容です", EN: "Same key, other request"},
		policy.Words{JA: "この Idempotency-Key は、別の内容の要求で使われています。",
			EN: "This Idempotency-Key was used for another request."}},
	{CodeTooLarge, 413, policy.Words{JA: "大きすぎます", EN: "Too large"},
		policy.Words{JA: "送られた内容が大きすぎます。", EN: "What was sent is too large."}},
	{CodeMediaType, 415, policy.Words{JA: "形式が異なります", EN: "Unsupported media type"},
		policy.Words{JA: "APIには application/json、画面には通常のフォームで送ってください。",
			EN: "Send application/json to the API, an ordinary form to a page."}},
	{CodeHost, 421, policy.Words{JA: "このホストは扱いません", EN: "Not a host of ours"},
		policy.Words{JA: "このホスト名は、この関所のものでも、方針にあるアプリケーションのものでもありません。",
			EN: "This host name is neither the gate's nor that of an application in the policy."}},
	{CodeInvalid, 422, policy.Words{JA: "入力を直してください", EN: "Please correct what you entered"},
		policy.Words{JA: "入力に直すところがあります。", EN: "Some of what was entered must be corrected."}},
	{CodeHeld, 429, policy.Words{JA: "しばらくお待ちください", EN: "Please wait"},
		policy.Words{JA: "試みが続いたため、しばらく受け付けません。時間をおいてもう一度行い、続くときは担当者に連絡してください。",
			EN: "There were too many tries. Wait a little and try again; if it goes on, ask your administrator."}},
	{CodeBroken, 500, policy.Words{JA: "こちらの不具合です", EN: "Something broke on our side"},
		policy.Words{JA: "こちらの不具合で処理できませんでした。続くときは担当者に連絡してください。",
			EN: "Something broke on our side. If it goes on, tell your administrator."}},
	{CodeBusy, 503, policy.Words{JA: "混み合っています", EN: "Busy"},
		policy.Words{JA: "今は混み合っています。少し待ってもう一度行ってください。", EN: "Too much at once just now. Wait a little and try again."}},
	{CodeAway, 503, policy.Words{JA: "必要なものにつながりません", EN: "Something we need is away"},
		policy.Words{JA: "必要なシステムにつながらないため、今は受け付けられません。", EN: "A system we depend on cannot be reached, so this cannot be done now."}},
}

func codeInfo(code string) CodeInfo {
	for _, c := range codes {
		if c.Code == code {
			return c
		}
	}
	return CodeInfo{CodeBroken, 500, policy.Words{JA: "こちらの不具合です", EN: "Something broke on our side"}, policy.Words{}}
}

// Say makes an error of a code, with a detail of its own (zero: the table's).
func Say(code string, detail policy.Words) error {
	return &Refusal{Problem{Code: code, Detail: detail}}
}

// Malformed refuses what cannot be read, naming where; cause goes to the log.
func Malformed(where string, cause error) error {
	return &malformed{where: where, cause: cause}
}

type malformed struct {
	where string
	cause error
}

func (e *malformed) Error() string {
	if e.cause == nil {
		return "malformed " + e.where
	}
	return "malformed " + e.where + ": " + e.cause.Error()
}
func (e *malformed) Unwrap() error { return e.cause }

// Invalid refuses fields that can be read but not taken.
func Invalid(errs ...FieldError) error {
	return &Refusal{Problem{Code: CodeInvalid, Errors: errs}}
}

// Field says for a field error which field it is about, where the room that
// refused cannot know.
func Field(name string, err error) error {
	if err == nil {
		return nil
	}
	return &fieldOf{name, err}
}

type fieldOf struct {
	name string
	err  error
}

func (e *fieldOf) Error() string { return e.name + ": " + e.err.Error() }
func (e *fieldOf) Unwrap() error { return e.err }

// ErrNoPage is a path that leads nowhere.
var ErrNoPage error = &Refusal{Problem{Code: CodeNotFound}}

var errPanic = errors.New("panic; see the line before")

// fail answers with an error, once, for whoever is reading.
func (s *Server) fail(w http.ResponseWriter, r *Request, err error) {
	p := ProblemOf(err)
	if way := (*signin.NoPassage)(nil); p.Next.URL == "" && errors.As(err, &way) {
		p.Next.URL = s.PermitURL(authz.PermitKind(way.Ask), "")
	}
	if p.RetryAfter > 0 {
		// Rounded up: a client that comes back a moment early is held again.
		secs := int64((p.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(secs, 10))
	}
	if page := s.errorPage.Load(); page != nil && !r.API() {
		(*page)(w, r, p)
		return
	}
	WriteProblem(w, r, p)
}

// WriteProblem writes application/problem+json in the reader's language.
func WriteProblem(w http.ResponseWriter, r *Request, p Problem) {
	body := map[string]any{}
	for k, v := range p.Extra {
		body[k] = v
	}
	body["type"] = "about:blank"
	body["title"] = p.Title.In(r.Lang)
	body["status"] = p.Status
	body["detail"] = p.Detail.In(r.Lang)
	body["code"] = p.Code
	if p.Status >= http.StatusInternalServerError {
		// To name when asking for help. Below, answers to a name that exists and
		// to one that does not must be the same to the byte; the header has it.
		body["request_id"] = r.ID
	}
	if len(p.Articles) > 0 {
		body["articles"] = p.Articles
	}
	if p.Next.Move != "" {
		next := map[string]string{"step": string(p.Next.Move), "detail": p.Next.Says.In(r.Lang)}
		if p.Next.URL != "" {
			next["url"] = p.Next.URL
		}
		body["next"] = next
	}
	if len(p.Errors) > 0 {
		type one struct {
			Field  string `json:"field"`
			Rule   string `json:"rule"`
			Detail string `json:"detail"`
		}
		list := make([]one, 0, len(p.Errors))
		for _, e := range p.Errors {
			list = append(list, one{e.Field, e.Rule, e.Detail.In(r.Lang)})
		}
		body["errors"] = list
	}
	b, err := json.Marshal(body)
	if err != nil { // Extra holds what we put there; this cannot be read as an answer
		http.Error(w, `{"status":500}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Language", r.Lang)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(b, '\n'))
}
