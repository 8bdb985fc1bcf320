package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// ofTheSample are the doors beside the applications that lead to what the sample has in
// production: privilege that is lent, and a shared ID.
var ofTheSample = []string{"POST /elevations", "POST /elevations/emergency", "POST /shared-ids/checkout"}

// bound ties somebody's ID to a running project, and to no other, as another gateway on
// dev's store would; of "" releases it. The sessions of who changes sides are left as they
// are: it is the doors that are asked here.
func (d lender) bound(t *testing.T, login string, of policy.Environment) {
	t.Helper()
	db, _ := storeOf(t, d.Dev)
	now := store.Micros(d.now(t))
	if err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		var who string
		if err := tx.QueryRow(t.Context(), `SELECT person_id FROM session WHERE login = $1`, login).Scan(&who); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `UPDATE project_member SET unbound_at = $1, changed_at = $1 WHERE person_id = $2 AND unbound_at = 0`, now, who); err != nil || of == "" {
			return err
		}
		id := "p-" + string(of)
		if _, err := tx.Exec(t.Context(), `
			INSERT INTO project (id, section, environment, until_at, changed_at, body) VALUES ($1, 'jinji', $2, $3, $4, '{"name": "試作"}')
			ON CONFLICT (id) DO NOTHING`, id, string(of), now+(30*24*time.Hour).Microseconds(), now); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `
			INSERT INTO project_member (id, project, person_id, login, role, bound_at, changed_at, body) VALUES ($1, $2, $3, $4, 'worker', $5, $5, '{}')`,
			secret.Token(12), id, who, login, now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDoorsOfTheEnvironments: an application of development opens to IDs of development
// alone, one of production to those of production alone, one of either to both, at every
// door that opens an application, with what was handed over and given out before (articles
// 68-1, 68-2; design rule 9). What is lent and shared in production is for its IDs alone,
// too. The network door lets nobody in, or stay, whose permit leads to nothing of theirs.
func TestDoorsOfTheEnvironments(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	gear := d.remotely(t, "tanaka")
	nextStep(t, d.Dev)
	tanaka := d.in(t, "tanaka")
	if body, _ := open(t, tanaka.Client, d.Dev, app(d.Dev)); body == "" {
		t.Fatal("the application does not open")
	}
	text, _, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	if status != 0 {
		t.Fatal("the policy is not shown")
	}
	check := func(header ...string) harness.Answer {
		t.Helper()
		return tanaka.Fork().Do(t, "GET", "/auth/check", nil, header...)
	}
	nginx := []string{"X-Original-URL", app(d.Dev).URL, "X-Original-Method", "GET", "Accept", "text/html"}
	traefik := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "http", "X-Forwarded-Host", app(d.Dev).Host, "X-Forwarded-Uri", "/", "Accept", "text/html"}
	for _, step := range []struct {
		id, of policy.Environment // of tanaka, and of the application
		opens  bool
		says   string // on the page of the refusal
	}{
		{"", policy.Production, true, ""},
		{"", policy.Development, false, "開発・テスト用の環境です"},
		{policy.Development, policy.Development, true, ""},
		{policy.Development, policy.EitherEnvironment, true, ""},
		{policy.Development, policy.Production, false, "運用中のシステムには使えません"},
		{policy.Production, policy.Production, true, ""}, // maintenance of what is at work
		{policy.Production, policy.Development, false, "開発・テスト用の環境です"},
		{"", policy.EitherEnvironment, true, ""},
	} {
		name := "an ID of " + string(step.id.Effective()) + " at " + string(step.of)
		rules := writeFile(t, "policy.yaml", text)
		says := "    environment: " + string(step.of) + "\n"
		change(t, rules, "    host: bunsho.localhost\n", "    host: bunsho.localhost\n"+says, "  - client_id: sample-web\n", "  - client_id: sample-web\n"+says)
		if _, errs, applied := harness.Run(t, "sekisho", "policy", "apply", rules, "--data", d.Folder); applied != 0 && !strings.Contains(errs, "letter by letter") {
			t.Fatal(errs)
		}
		d.bound(t, "tanaka", step.id)
		harness.Until(t, name+" to be told apart", func() bool { return (check(nginx...).Status == http.StatusOK) == step.opens })
		for _, door := range doors {
			want := step.opens || !slices.Contains(ofASection, door.name)
			if slices.Contains(ofTheSample, door.name) {
				want = step.id.Effective() == policy.Production
			}
			if got := door.open(t, d.Dev, tanaka.Fork()); got != want {
				t.Errorf("%s: %s is open: %t", name, door.name, got)
			}
		}
		if step.opens {
			if got := check(traefik...); got.Status != http.StatusOK {
				t.Errorf("%s: the other form of forward-auth answers %d", name, got.Status)
			}
			continue
		}
		// Signing in would not help, so nobody is sent there: it is refused, and the page
		// that a reader is led to says with which ID.
		if got := check(traefik...); got.Status != http.StatusForbidden {
			t.Errorf("%s: the other form of forward-auth answers %d", name, got.Status)
		}
		got := check(nginx...)
		if got.Status != http.StatusForbidden || got.Header.Get("Location") == "" {
			t.Fatalf("%s: forward-auth answers %d, and leads to %q", name, got.Status, got.Header.Get("Location"))
		}
		page := tanaka.Fork().Do(t, "GET", got.Header.Get("Location"), nil, "Accept", "text/html", "Accept-Language", "ja")
		if body := string(page.Body); page.Status != http.StatusForbidden || !strings.Contains(body, step.says) || !strings.Contains(body, "第68条第2項") || !strings.Contains(body, `action="/signout"`) {
			t.Errorf("%s: the page of the refusal: %d %s", name, page.Status, body)
		}
		if step.id == policy.Development { // of what the permit names, nothing opens
			if got := gear.comes(t); got.code != "Access-Reject" || !strings.Contains(got.message, "その環境のIDで接続") {
				t.Errorf("%s: the network door answers %s %q", name, got.code, got.message)
			}
			gear.out(t)
		}
		// Whoever comes by OpenID Connect goes back with a no, which names the page that says why.
		a := sampleWeb(t, d.Dev)
		back := a.back(t, a.ask(t, tanaka.Fork(), oauth2.GenerateVerifier(), nil))
		if back.Get("error") != "access_denied" {
			t.Errorf("%s: the provider answers %v", name, back)
		}
		page = tanaka.Fork().Do(t, "GET", back.Get("error_uri"), nil, "Accept", "text/html", "Accept-Language", "ja")
		if body := string(page.Body); page.Status != http.StatusOK || !strings.Contains(body, step.says) {
			t.Errorf("%s: the page that the provider names: %d %s", name, page.Status, body)
		}
	}
}
