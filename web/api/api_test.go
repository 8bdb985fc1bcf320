package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/charter"
	"sekisho/web"
)

// examples has one good call of every operation.
// An example is one call.
type example struct{ target, cookie, body string }

var examples = map[string]example{
	"POST /api/v1/signin":                            {"/api/v1/signin", "", `{"login":"tanaka","password":"right"}`},
	"POST /api/v1/signin/totp":                       {"/api/v1/signin/totp", "k.flow", `{"code":"123456"}`},
	"POST /api/v1/signin/password":                   {"/api/v1/signin/password", "k.flow", `{"new_password":"x"}`},
	"POST /api/v1/signin/acknowledge":                {"/api/v1/signin/acknowledge", "k.flow", `{"version":"2026-04"}`},
	"GET /api/v1/session":                            {"/api/v1/session", "k.live", ""},
	"DELETE /api/v1/session":                         {"/api/v1/session", "k.live", ""},
	"GET /api/v1/sessions":                           {"/api/v1/sessions", "k.live", ""},
	"DELETE /api/v1/sessions/{id}":                   {"/api/v1/sessions/s9", "k.live", ""},
	"POST /api/v1/password":                          {"/api/v1/password", "k.live", `{"current":"a","new":"b"}`},
	"GET /api/v1/factors":                            {"/api/v1/factors", "k.live", ""},
	"POST /api/v1/factors/totp/begin":                {"/api/v1/factors/totp/begin", "k.live", ""},
	"POST /api/v1/factors/totp/finish":               {"/api/v1/factors/totp/finish", "k.live", `{"id":"e1","code":"123456","name":"phone"}`},
	"DELETE /api/v1/factors/{id}":                    {"/api/v1/factors/f1", "k.live", ""},
	"POST /api/v1/leak-reports":                      {"/api/v1/leak-reports", "k.live", `{"what":"typed into a wrong page"}`},
	"GET /api/v1/policy":                             {"/api/v1/policy", "k.live", ""},
	"POST /api/v1/policy/proposals/{id}/approve":     {"/api/v1/policy/proposals/p7/approve", "k.live", ""},
	"GET /api/v1/audit":                              {"/api/v1/audit?limit=2", "k.auditor", ""},
	"POST /api/v1/signin/passkey/begin":              {"/api/v1/signin/passkey/begin", "", ""},
	"POST /api/v1/signin/passkey/finish":             {"/api/v1/signin/passkey/finish", "k.flow", `{"id":"x","response":{"further":1}}`},
	"POST /api/v1/signin/card":                       {"/api/v1/signin/card", "", ""},
	"POST /api/v1/signin/recovery":                   {"/api/v1/signin/recovery", "k.flow", `{"code":"0123-4567"}`},
	"GET /api/v1/signin/nonce":                       {"/api/v1/signin/nonce", "", ""},
	"POST /api/v1/factors/passkey/begin":             {"/api/v1/factors/passkey/begin", "k.live", ""},
	"POST /api/v1/factors/passkey/finish":            {"/api/v1/factors/passkey/finish", "k.live", `{"id":"e2","name":"key","credential":{"id":"x"}}`},
	"PATCH /api/v1/factors/{id}":                     {"/api/v1/factors/f1", "k.live", `{"name":"phone"}`},
	"GET /api/v1/notice-address":                     {"/api/v1/notice-address", "k.live", ""},
	"PUT /api/v1/notice-address":                     {"/api/v1/notice-address", "k.live", `{"address":""}`},
	"GET /api/v1/people":                             {"/api/v1/people?q=suzu&limit=1", "k.live", ""},
	"GET /api/v1/people/{login}":                     {"/api/v1/people/suzuki", "k.live", ""},
	"POST /api/v1/people/{login}/suspend":            {"/api/v1/people/suzuki/suspend", "k.live", `{"reason":"x"}`},
	"POST /api/v1/people/{login}/restore":            {"/api/v1/people/suzuki/restore", "k.live", ""},
	"POST /api/v1/people/{login}/leave":              {"/api/v1/people/suzuki/leave", "k.live", `{"from":"2026-04-01","until":"2027-03-31","reason":"x"}`},
	"POST /api/v1/people/{login}/end-leave":          {"/api/v1/people/suzuki/end-leave", "k.live", `{"reason":"x"}`},
	"POST /api/v1/people/{login}/unlock":             {"/api/v1/people/suzuki/unlock", "k.live", ""},
	"POST /api/v1/people/{login}/temporary-password": {"/api/v1/people/suzuki/temporary-password", "k.live", ""},
	"POST /api/v1/people/{login}/recovery-code":      {"/api/v1/people/suzuki/recovery-code", "k.live", ""},
	"DELETE /api/v1/people/{login}/factors/{id}":     {"/api/v1/people/suzuki/factors/f2", "k.live", ""},
	"GET /api/v1/terminals":                          {"/api/v1/terminals", "k.live", ""},
	"POST /api/v1/terminals":                         {"/api/v1/terminals", "k.live", `{"id":"c1","zone":"lgwan","class":"counter","name":{"ja":"窓口"}}`},
	"POST /api/v1/terminals/{id}/lost":               {"/api/v1/terminals/c1/lost", "k.live", ""},
	"DELETE /api/v1/terminals/{id}":                  {"/api/v1/terminals/c1", "k.live", ""},
	"GET /api/v1/tokens":                             {"/api/v1/tokens", "k.live", ""},
	"POST /api/v1/tokens/import":                     {"/api/v1/tokens/import", "k.live", `{"format":"csv","data":"serial,seed"}`},
	"POST /api/v1/tokens/{serial}/assign":            {"/api/v1/tokens/T1/assign", "k.live", `{"login":"suzuki"}`},
	"POST /api/v1/tokens/{serial}/unassign":          {"/api/v1/tokens/T1/unassign", "k.live", ""},
	"POST /api/v1/tokens/{serial}/resync":            {"/api/v1/tokens/T1/resync", "k.live", `{"first":"1","second":"2"}`},
	"POST /api/v1/tokens/{serial}/lost":              {"/api/v1/tokens/T1/lost", "k.live", ""},
	"GET /api/v1/lockdown":                           {"/api/v1/lockdown", "k.live", ""},
	"POST /api/v1/lockdown":                          {"/api/v1/lockdown", "k.live", `{"scope":"section","target":"jinji","reason":"x","minutes":5}`},
	"POST /api/v1/lockdown/preview":                  {"/api/v1/lockdown/preview", "k.live", `{"scope":"all","reason":"x","minutes":5}`},
	"POST /api/v1/lockdown/{id}/ratify":              {"/api/v1/lockdown/l1/ratify", "k.live", ""},
	"DELETE /api/v1/lockdown/{id}":                   {"/api/v1/lockdown/l1", "k.live", `{"reason":"x"}`},
	"GET /api/openapi.json":                          {"/api/openapi.json", "", ""},
}

// TestDocumentIsTrue holds the OpenAPI document against what is served: the
// same operations, and answers of the shape that it promises.
func TestDocumentIsTrue(t *testing.T) {
	_, srv := newWorld(t)
	_, doc := call(t, srv, "GET", "/api/openapi.json", "", "")
	paths, _ := doc["paths"].(map[string]any)
	promised := map[string]map[string]any{}
	for path, methods := range paths {
		for method, op := range methods.(map[string]any) {
			promised[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	for _, route := range srv.Routes() {
		if strings.HasPrefix(strings.SplitN(route, " ", 2)[1], "/api/v1/") && promised[route] == nil {
			t.Errorf("%s is served, not described", route)
		}
		if _, ok := examples[route]; !ok {
			t.Errorf("%s has no example", route)
		}
	}
	listed := fmt.Sprint(doc["components"].(map[string]any)["schemas"])
	for _, c := range web.Codes() {
		if !strings.Contains(listed, c.Code) {
			t.Errorf("code %s is not listed", c.Code)
		}
	}
	for route, op := range promised {
		t.Run(route, func(t *testing.T) {
			_, srv := newWorld(t)
			ex, ok := examples[route]
			if !ok {
				t.Fatal("described, not served")
			}
			method, _, _ := strings.Cut(route, " ")
			resp, body := call(t, srv, method, ex.target, ex.cookie, ex.body)
			answer, ok := op["responses"].(map[string]any)[fmt.Sprint(resp.StatusCode)].(map[string]any)
			if !ok || resp.StatusCode > 299 {
				t.Fatalf("answered %d: %v", resp.StatusCode, body)
			}
			content, _ := answer["content"].(map[string]any)
			if content == nil {
				if body != nil {
					t.Errorf("a body where none is promised: %v", body)
				}
				return
			}
			media := content["application/json"].(map[string]any)
			for _, fault := range faults("body", media["schema"].(map[string]any), body) {
				t.Error(fault)
			}
			// Every refusal is described with its code.
			resp, problem := call(t, srv, method, ex.target, ex.cookie, ex.body, "X-Forwarded-For: unknown")
			described, ok := op["responses"].(map[string]any)[fmt.Sprint(resp.StatusCode)].(map[string]any)
			if !ok || !strings.Contains(fmt.Sprint(described["description"]), fmt.Sprint(problem["code"])) {
				t.Errorf("the refusal %d %v is not described", resp.StatusCode, problem["code"])
			}
		})
	}
}

// faults is where a value differs from a schema, as far as ours go.
func faults(at string, schema map[string]any, v any) (out []string) {
	types, _ := schema["type"].([]any)
	if types == nil {
		types = []any{schema["type"]}
	}
	is := "null"
	switch v := v.(type) {
	case map[string]any:
		is = "object"
		props, _ := schema["properties"].(map[string]any)
		for name, x := range v {
			if s, ok := props[name].(map[string]any); ok {
				out = append(out, faults(at+"."+name, s, x)...)
			} else if s, ok := schema["additionalProperties"].(map[string]any); ok {
				out = append(out, faults(at+"."+name, s, x)...)
			} else if schema["additionalProperties"] == false {
				out = append(out, at+"."+name+" is not in the schema")
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				out = append(out, at+" lacks "+name.(string))
			}
		}
	case []any:
		is = "array"
		for i, x := range v {
			out = append(out, faults(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), x)...)
		}
	case string:
		is = "string"
		if schema["format"] == "date-time" {
			if tm, err := time.Parse(time.RFC3339, v); err != nil || !strings.HasSuffix(v, "Z") || tm.IsZero() {
				out = append(out, at+" is not a UTC time: "+v)
			}
		}
	case float64:
		is = "integer"
	case bool:
		is = "boolean"
	}
	for _, want := range types {
		if want == is {
			return out
		}
	}
	return append(out, fmt.Sprintf("%s is %s, not %v", at, is, types))
}

// TestEveryMutationAsksForTheToken walks every route that changes something.
func TestEveryMutationAsksForTheToken(t *testing.T) {
	w, srv := newWorld(t)
	walked := 0
	for _, route := range srv.Routes() {
		method, _, _ := strings.Cut(route, " ")
		if method == "GET" {
			continue
		}
		walked++
		ex := examples[route]
		cookie := ex.cookie
		if cookie == "" {
			cookie = "k.live"
		}
		for _, token := range []string{"", "x", "t-k.other"} {
			resp, body := call(t, srv, method, ex.target, cookie, ex.body, "X-CSRF-Token: "+token)
			if resp.StatusCode != 403 || body["code"] != "csrf" || len(resp.Cookies()) > 0 {
				t.Errorf("%s with token %q: %d %v", route, token, resp.StatusCode, body["code"])
			}
		}
	}
	if walked < 11 || w.calls != 0 {
		t.Errorf("%d routes walked, %d acts done", walked, w.calls)
	}
}

// TestNobodyIsRefused walks every route but the first step without a cookie,
// with a dead one, and with an application's own.
func TestNobodyIsRefused(t *testing.T) {
	w, srv := newWorld(t)
	for _, route := range srv.Routes() {
		method, _, _ := strings.Cut(route, " ")
		ex := examples[route]
		if ex.cookie == "" {
			continue
		}
		for _, cookie := range []string{"", "k.dead"} {
			w.next = signin.ErrNone
			resp, body := call(t, srv, method, ex.target, cookie, ex.body)
			if resp.StatusCode != 401 || body["code"] != "no_session" {
				t.Errorf("%s with cookie %q: %d %v", route, cookie, resp.StatusCode, body)
			}
		}
	}
	for _, target := range []string{"/api/v1/session", "/api/v1/policy", "/api/v1/audit"} {
		for _, cookie := range []string{"k.app", "k.flow"} {
			if resp, body := call(t, srv, "GET", target, cookie, ""); resp.StatusCode != 401 || body["code"] != "no_session" {
				t.Errorf("%s with %s: %d %v", target, cookie, resp.StatusCode, body)
			}
		}
	}
}

func TestSignIn(t *testing.T) {
	w, srv := newWorld(t)
	resp, body := call(t, srv, "POST", "/api/v1/signin", "", `{"login":"tanaka","password":"right"}`)
	if resp.StatusCode != 200 || body["state"] != "second_factor" || fmt.Sprint(body["methods"]) != "[totp]" || body["csrf_token"] != "t-k.new" {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
	if _, there := body["version"]; there || resp.Cookies()[0].Name != "__Host-sekisho" || resp.Cookies()[0].Value != "k.new" {
		t.Errorf("%v %v", body, resp.Cookies())
	}
	if _, body := call(t, srv, "POST", "/api/v1/signin/totp", "k.flow", `{"code":"1"}`); body["version"] != "2026-04" {
		t.Errorf("%v", body)
	}
	for _, tt := range []struct {
		path, body string
		err        error
		status     int
		code       string
	}{
		{"/api/v1/signin", `{"login":"tanaka","password":"wrong"}`, nil, 401, "refused"},
		{"/api/v1/signin", `{"login":"nobody","password":"right"}`, nil, 401, "refused"},
		{"/api/v1/signin", `{"login":"tanaka","password":"right"}`, &signin.Held{RetryAfter: time.Minute}, 429, "held"},
		{"/api/v1/signin", `{"login":"tanaka","password":"right"}`, &signin.Away{What: "directory", Err: errors.New("x")}, 503, "away"},
		{"/api/v1/signin", `{"login":"tanaka","password":"right"}`, signin.ErrBusy, 503, "busy"},
		{"/api/v1/signin", `{"login":"tanaka","password":""}`, nil, 422, "invalid"},
		{"/api/v1/signin", `{"login":"tanaka"}`, nil, 422, "invalid"},
		{"/api/v1/signin", `{"login":"tanaka","password":"right","x":1}`, nil, 422, "invalid"},
		{"/api/v1/signin", `{"login":["tanaka"],"password":"right"}`, nil, 422, "invalid"},
		{"/api/v1/signin", `{"login":`, nil, 400, "malformed"},
		{"/api/v1/signin/totp", `{"code":"1"}`, signin.ErrRefused, 401, "refused"},
		{"/api/v1/signin/totp", `{"code":"1"}`, signin.ErrStep, 409, "wrong_step"},
		{"/api/v1/signin/password", `{"new_password":"x"}`, rejected(), 422, "invalid"},
		{"/api/v1/signin/acknowledge", `{"version":"x"}`, signin.ErrStep, 409, "wrong_step"},
	} {
		w.next = tt.err
		cookie := "k.flow"
		if tt.path == "/api/v1/signin" {
			cookie = ""
		}
		resp, body := call(t, srv, "POST", tt.path, cookie, tt.body)
		if resp.StatusCode != tt.status || body["code"] != tt.code {
			t.Errorf("%s %s %v: %d %v", tt.path, tt.body, tt.err, resp.StatusCode, body)
		}
		if len(resp.Cookies()) > 0 || body["csrf_token"] != nil {
			t.Errorf("%s: a refused step changed cookie or token", tt.path)
		}
		if (resp.StatusCode == 429 || resp.StatusCode == 503) && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", tt.path)
		}
		w.next = nil
	}
	_, a := call(t, srv, "POST", "/api/v1/signin", "", `{"login":"tanaka","password":"wrong"}`)
	_, b := call(t, srv, "POST", "/api/v1/signin", "", `{"login":"nobody","password":"right"}`)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("a stranger can tell %v from %v", a, b)
	}
}

func TestSessionAnswer(t *testing.T) {
	_, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/session", "k.live", "")
	previous, ok := body["previous"].(map[string]any)
	if !ok || previous["failures_since"] != 0.0 || previous["at"] != nil {
		t.Errorf("previous: %v", body["previous"])
	}
	if body["login"] != "tanaka" || fmt.Sprint(body["posts"]) != "[staff]" || body["signed_in_at"] != "2026-04-01T09:00:00Z" || body["csrf_token"] != "t-k.live" {
		t.Errorf("%v", body)
	}
	resp, _ := call(t, srv, "DELETE", "/api/v1/session", "k.live", "")
	if resp.StatusCode != 204 || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", resp.StatusCode, resp.Cookies())
	}
}

func TestRefusalsOfWhatIsMine(t *testing.T) {
	w, srv := newWorld(t)
	stepUp := &account.StepUp{Required: policy.AAL2, MaxAge: 10 * time.Minute}
	for _, tt := range []struct {
		method, path, body string
		err                error
		status             int
		code               string
	}{
		{"POST", "/api/v1/password", `{"current":"a","new":"b"}`, rejected(), 422, "invalid"},
		{"POST", "/api/v1/password", `{"current":"a","new":"b"}`, signin.ErrRefused, 401, "refused"},
		{"POST", "/api/v1/factors/totp/begin", ``, stepUp, 403, "step_up"},
		{"POST", "/api/v1/factors/totp/finish", `{"id":"e","code":"1","name":"n"}`, stepUp, 403, "step_up"},
		{"POST", "/api/v1/factors/totp/finish", `{"id":"e","code":"1","name":""}`, nil, 422, "invalid"},
		{"DELETE", "/api/v1/factors/f9", ``, account.ErrNotFound, 404, "not_found"},
		{"DELETE", "/api/v1/factors/f1", ``, account.ErrLastFactor, 409, "last_factor"},
		{"DELETE", "/api/v1/sessions/s7", ``, account.ErrNotFound, 404, "not_found"},
		{"POST", "/api/v1/leak-reports", `{"what":""}`, nil, 422, "invalid"},
		{"POST", "/api/v1/leak-reports", `{"what":"` + strings.Repeat("a", 5000) + `"}`, nil, 422, "invalid"},
		{"POST", "/api/v1/policy/proposals/x/approve", ``, charter.ErrSelfApproval, 403, "forbidden"},
		{"POST", "/api/v1/policy/proposals/x/approve", ``, charter.ErrPost, 403, "forbidden"},
		{"POST", "/api/v1/policy/proposals/x/approve", ``, charter.ErrNoProposal, 404, "not_found"},
		{"POST", "/api/v1/policy/proposals/x/approve", ``, charter.ErrStale, 409, "stale"},
		{"GET", "/api/v1/audit", ``, nil, 403, "forbidden"},
		{"GET", "/api/v1/nowhere", ``, nil, 404, "not_found"},
		{"PATCH", "/api/v1/session", ``, nil, 405, "method_not_allowed"},
	} {
		w.next = tt.err
		resp, body := call(t, srv, tt.method, tt.path, "k.live", tt.body)
		if resp.StatusCode != tt.status || body["code"] != tt.code {
			t.Errorf("%s %s %v: %d %v", tt.method, tt.path, tt.err, resp.StatusCode, body)
		}
		switch {
		case tt.code == "step_up" && (body["required_acr"] != "aal2" || body["max_age"] != 600.0):
			t.Errorf("step_up: %v", body)
		case tt.path == "/api/v1/password" && tt.status == 422 && !strings.Contains(fmt.Sprint(body["errors"]), "field:new "):
			t.Errorf("field: %v", body["errors"])
		}
		w.next = nil
	}
	for _, cookie := range []string{"k.old", "k.weak"} {
		resp, body := call(t, srv, "POST", "/api/v1/policy/proposals/x/approve", cookie, "")
		if resp.StatusCode != 403 || body["code"] != "step_up" {
			t.Errorf("approving with %s: %d %v", cookie, resp.StatusCode, body)
		}
	}
	call(t, srv, "POST", "/api/v1/policy/proposals/x/approve", "k.live", "")
	if w.by != "k.live" {
		t.Errorf("approved by %q", w.by)
	}
}

func TestRotationIsCarried(t *testing.T) {
	_, srv := newWorld(t)
	for _, tt := range [][3]string{
		{"POST", "/api/v1/password", `{"current":"a","new":"b"}`}, {"DELETE", "/api/v1/factors/f1", ""},
		{"POST", "/api/v1/factors/totp/finish", `{"id":"e","code":"1","name":"n"}`},
	} {
		resp, _ := call(t, srv, tt[0], tt[1], "k.live", tt[2])
		if len(resp.Cookies()) != 1 || resp.Cookies()[0].Value != "k.new" || resp.Header.Get("X-CSRF-Token") != "t-k.new" {
			t.Errorf("%v: %v", tt, resp.Header)
		}
	}
	resp, _ := call(t, srv, "POST", "/api/v1/leak-reports", "k.live", `{"what":"x"}`)
	if resp.StatusCode != http.StatusCreated || len(resp.Cookies()) != 1 || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("a leaked password's session: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestAudit(t *testing.T) {
	w, srv := newWorld(t)
	for query, field := range map[string]string{
		"actor=tanaka": "case", "form=2026-04-01T00:00:00Z": "form", "from=yesterday": "from", "limit=x": "limit", "limit=-1": "limit",
		"action=a&action=b": "action", "after=-3": "after", "actor=a%0Ab&case=1": "actor", "article=999": "article", "actor=" + strings.Repeat("a", 257) + "&case=1": "actor",
	} {
		resp, body := call(t, srv, "GET", "/api/v1/audit?"+query, "k.auditor", "")
		if resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:"+field+" ") {
			t.Errorf("%s: %d %v", query, resp.StatusCode, body)
		}
		// Whoever may not ask is not told what is wrong with the question.
		if resp, body := call(t, srv, "GET", "/api/v1/audit?"+query, "k.live", ""); resp.StatusCode != 403 {
			t.Errorf("%s by no auditor: %d %v", query, resp.StatusCode, body)
		}
	}
	_, body := call(t, srv, "GET", "/api/v1/audit?actor=sato&case=2026-7&action=sign_in.&limit=2&from=2026-04-01T00:00:00%2B09:00", "k.auditor", "")
	if items := body["items"].([]any); len(items) != 2 || body["next"] != "999" {
		t.Errorf("%v", body)
	}
	if q := w.question; q.Actor != "sato" || q.Case != "2026-7" || q.Action != "sign_in." || q.Limit != 2 || !q.From.Equal(t0.Add(-18*time.Hour)) {
		t.Errorf("asked %+v", q)
	}
	// One that somebody has broken in the store hides none beside it.
	resp, body := call(t, srv, "GET", "/api/v1/audit?outcome=failed&limit=2", "k.auditor", "")
	if items, _ := body["items"].([]any); resp.StatusCode != 200 || len(items) != 2 || items[0].(map[string]any)["entry"] != nil || items[1].(map[string]any)["entry"] == nil {
		t.Errorf("with a broken entry: %d %v", resp.StatusCode, body)
	}
	w.next = errors.New("the trail is away")
	if resp, _ := call(t, srv, "GET", "/api/v1/audit", "k.auditor", ""); resp.StatusCode != 500 {
		t.Errorf("an answer without a trail: %d", resp.StatusCode)
	}
	w.next = &account.StepUp{Required: policy.AAL2, MaxAge: time.Hour}
	if resp, body := call(t, srv, "GET", "/api/v1/audit", "k.auditor", ""); resp.StatusCode != 403 || body["code"] != "step_up" {
		t.Errorf("with one factor: %d %v", resp.StatusCode, body)
	}
}

func TestIdempotency(t *testing.T) {
	w, srv := newWorld(t)
	const path, key = "/api/v1/factors/totp/begin", "Idempotency-Key: k-1"
	_, first := call(t, srv, "POST", path, "k.live", "{}", key)
	resp, again := call(t, srv, "POST", path, "k.live", "{}", key)
	if resp.StatusCode != 201 || fmt.Sprint(first) != fmt.Sprint(again) || first["secret"] != "CANARYSEED" || w.calls != 1 {
		t.Errorf("%d %v %v, %d acts", resp.StatusCode, first, again, w.calls)
	}
	for k, v := range w.kept {
		if strings.Contains(k+string(v), "CANARYSEED") || strings.Contains(k, "k-1") {
			t.Errorf("kept in clear: %s %q", k, v)
		}
	}
	if resp, body := call(t, srv, "POST", path, "k.live", "{ }", key); resp.StatusCode != 409 || body["code"] != "idempotency" {
		t.Errorf("another body: %d %v", resp.StatusCode, body)
	}
	if resp, _ := call(t, srv, "POST", path, "k.new", "{}", key); resp.StatusCode != 201 || w.calls != 2 {
		t.Errorf("another session: %d, %d acts", resp.StatusCode, w.calls)
	}
	// Two sign-ins of one person are two: the seed shown in one browser is not
	// told in another.
	for i, flow := range []string{"k.flow", "k.flow2"} {
		if resp, _ := call(t, srv, "POST", path, flow, "{}", key); resp.StatusCode != 201 || w.calls != 3+i {
			t.Errorf("%s: %d, %d acts", flow, resp.StatusCode, w.calls)
		}
	}
	if resp, _ := call(t, srv, "POST", path, "k.dead", "{}", key); resp.StatusCode != 401 {
		t.Errorf("a dead cookie: %d", resp.StatusCode)
	}
	// Twenty at once are one act.
	before, done := w.calls, make(chan string)
	for range 20 {
		go func() {
			_, body := call(t, srv, "POST", path, "k.live", "{}", "Idempotency-Key: k-2")
			done <- fmt.Sprint(body)
		}()
	}
	for range 20 {
		if body := <-done; body != fmt.Sprint(first) {
			t.Errorf("at once: %s", body)
		}
	}
	if w.calls != before+1 {
		t.Errorf("twenty at once: %d acts", w.calls-before)
	}
	// Another operation with the same key is another request.
	finish := `{"id":"e1","code":"1","name":"n"}`
	w.next = signin.ErrRefused
	if resp, _ := call(t, srv, "POST", "/api/v1/factors/totp/finish", "k.flow", finish, key); resp.StatusCode != 401 {
		t.Errorf("%d", resp.StatusCode)
	}
	// A refusal is not kept; and what a sign-in did is known to its session.
	resp, first = call(t, srv, "POST", "/api/v1/factors/totp/finish", "k.flow", finish, key)
	if resp.StatusCode != 201 {
		t.Errorf("%d %v", resp.StatusCode, first)
	}
	acts := w.calls
	resp, again = call(t, srv, "POST", "/api/v1/factors/totp/finish", "k.new", finish, key)
	if resp.StatusCode != 201 || fmt.Sprint(first) != fmt.Sprint(again) || w.calls != acts || len(resp.Cookies()) > 0 {
		t.Errorf("%d %v, %d acts", resp.StatusCode, again, w.calls-acts)
	}
	if resp, body := call(t, srv, "POST", path, "k.live", "{}", "Idempotency-Key: "+strings.Repeat("a", 300)); resp.StatusCode != 400 {
		t.Errorf("an endless key: %d %v", resp.StatusCode, body)
	}
}
