package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"sekisho/policy"
	"sekisho/test/harness"
)

const (
	ofJoho    = "/api/v1/projects"
	ourPage   = "/projects/zaimu-r9"
	ourName   = "財務会計システムの再構築"
	ourReason = "検収が済んだため"
)

// TestProjectFromStartToEnd is a project at the pages and the API of a gate: registered,
// extended by a second person, seen and acted on by those of its section alone, and
// completed, which shuts every door to its ID at once (articles 67-1, 67-2(1), 68-2).
func TestProjectFromStartToEnd(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	worker := signIn(t, d, d.Person(t, "hayashi"))
	sato := officeIn(t, d, "sato")
	day := func(days int) string { return policy.DayInJapan(worker.Now(t).AddDate(0, 0, days)) }

	if page := sato.page("/projects", http.StatusOK); !strings.Contains(page, "No project is registered.") || !strings.Contains(page, `href="/projects/new"`) {
		t.Errorf("before there is one: %s", page)
	}
	sato.page("/projects/new", http.StatusOK)
	if a := sato.form("/projects/new", "id", "Zaimu R9", "name", ourName, "section", "joho", "environment", "development", "until", day(60)); a.Status != http.StatusUnprocessableEntity ||
		!strings.Contains(string(a.Body), `href="#id"`) || !strings.Contains(string(a.Body), ourName) {
		t.Errorf("an id that is none: %d %s", a.Status, a.Body)
	}
	sato.does("/projects/new", "id", "zaimu-r9", "name", ourName, "section", "joho", "environment", "development", "company", "例電算株式会社", "until", day(60))
	if page := sato.does(ourPage+"/bind", "login", "hayashi", "role", "responsible", "reason", "契約のとおり"); !strings.Contains(page, "林 大輔") || strings.Contains(page, "Nobody is responsible for it") {
		t.Errorf("bound: %s", page)
	}
	// hayashi was of production: what they had open there ended.
	if a := worker.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusUnauthorized {
		t.Errorf("the session of before: %d", a.Status)
	}
	nextStep(t, d)
	worker = signIn(t, d, d.Person(t, "hayashi"))
	if a := worker.Do(t, "GET", "/me", nil, "Accept", "text/html", "Accept-Language", "ja"); !strings.Contains(string(a.Body), "このIDは、案件「"+ourName+"」（開発・テスト）のためのIDです。") {
		t.Errorf("my page does not say what the ID is for: %s", a.Body)
	}

	projectIsSeen(t, d)

	// To go on takes a second person.
	if page := sato.does(ourPage+"/reschedule", "until", day(90), "reason", "受入試験の延長"); !strings.Contains(page, "waits for a second person") {
		t.Errorf("asked for: %s", page)
	}
	manager := officeIn(t, d, "yamamoto")
	queue := manager.page("/approvals", http.StatusOK)
	at := strings.Index(queue, `action="/approvals/`)
	if at < 0 || !strings.Contains(queue, ourName) || !strings.Contains(queue, `href="`+ourPage+`"`) || !strings.Contains(queue, "受入試験の延長") {
		t.Fatalf("the card: %s", queue)
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(queue[at:], `action="`), `"`)
	manager.does(path, "answer", "yes", "comment", "了解")
	if page := sato.page(ourPage, http.StatusOK); !strings.Contains(page, "90 days left") || strings.Contains(page, "waits for a second person") {
		t.Errorf("extended: %s", page)
	}

	// The end says beforehand whose ID it takes.
	if page := sato.page(ourPage+"/complete", http.StatusOK); !strings.Contains(page, "This ID ends now") || !strings.Contains(page, "林 大輔") {
		t.Errorf("before the end: %s", page)
	}
	if page := sato.does(ourPage+"/complete", "reason", ourReason); !strings.Contains(page, "The project is completed.") || !strings.Contains(page, ourReason) || strings.Contains(page, ourPage+"/complete") {
		t.Errorf("completed: %s", page)
	}
	if a := worker.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusUnauthorized {
		t.Errorf("the session of an ID that is over: %d %s", a.Status, a.Body)
	}
	hayashi := d.Person(t, "hayashi")
	if _, a := harness.NewClient(d.URL).Password(t, hayashi.Login, hayashi.Password); a.Status != http.StatusUnauthorized {
		t.Errorf("signing in with an ID that is over: %d %s", a.Status, a.Body)
	}
	harness.Until(t, "its ID to be closed", func() bool { return strings.Contains(sato.page(ourPage, http.StatusOK), ">Closed</span>") })
	if page := sato.page("/people/hayashi", http.StatusOK); !strings.Contains(page, `href="`+ourPage+`"`) || !strings.Contains(page, "Development, Completed") {
		t.Errorf("the page of whose ID it was: %s", page)
	}
	again := keysIn(t, d, d.Person(t, "sato"))
	if a := again.Do(t, "POST", ofJoho+"/zaimu-r9/complete", map[string]any{"reason": ourReason}); a.Status != http.StatusConflict {
		t.Errorf("completed twice: %d %s", a.Status, a.Body)
	}
}

// projectIsSeen: who is of another section learns nothing of a project, who oversees or
// audits reads it, and only its administrators act on it; at pages and API alike.
func projectIsSeen(t *testing.T, d *harness.Dev) {
	t.Helper()
	for _, tt := range []struct {
		login     string
		list, one int
		acts      []int // what an act on it may be answered
	}{
		{"sato", 200, 200, []int{422}},
		{"yamamoto", 200, 200, []int{403}},       // security manager of the section
		{"inoue", 200, 200, []int{403}},          // audits
		{"sasaki", 200, 200, []int{403}},         // CSIRT
		{"nakamura", 200, 404, []int{403, 404}},  // security manager of another section
		{"takahashi", 200, 404, []int{403, 404}}, // administrator of another section
		{"watanabe", 403, 404, []int{403, 404}},  // operates systems
	} {
		o := officeIn(t, d, tt.login)
		list := o.page("/projects", tt.list)
		if named := strings.Contains(list, ourName); named != (tt.one == 200) {
			t.Errorf("%s: the list names it: %t", tt.login, named)
		}
		page := o.page(ourPage, tt.one)
		if acts := strings.Contains(page, ourPage+"/complete"); acts != slices.Contains(tt.acts, 422) {
			t.Errorf("%s is offered to act: %t", tt.login, acts)
		}
		if tt.one == 404 && strings.Contains(page, ourName) {
			t.Errorf("%s reads its name", tt.login)
		}
		c := keysIn(t, d, d.Person(t, tt.login))
		if a := c.Do(t, "GET", ofJoho, nil); a.Status != tt.list || strings.Contains(string(a.Body), "zaimu-r9") != (tt.one == 200) {
			t.Errorf("%s: API's list: %d %s", tt.login, a.Status, a.Body)
		}
		if a := c.Do(t, "GET", ofJoho+"/zaimu-r9", nil); a.Status != tt.one {
			t.Errorf("%s: API's project: %d", tt.login, a.Status)
		}
		for act, body := range map[string]map[string]any{
			"members":    {"login": "hayashi", "role": "chief", "reason": "x"},
			"release":    {"login": "hayashi", "reason": ""},
			"reschedule": {"until": "2000-01-01", "reason": "x"},
			"complete":   {"reason": ""},
		} {
			if a := c.Do(t, "POST", ofJoho+"/zaimu-r9/"+act, body); !slices.Contains(tt.acts, a.Status) {
				t.Errorf("%s: %s: %d %s", tt.login, act, a.Status, a.Body)
			}
		}
		if a := c.Do(t, "POST", ofJoho, map[string]any{"id": "other-" + tt.login, "name": "別の案件", "section": "joho", "environment": "production", "until": policy.DayInJapan(c.Now(t).AddDate(1, 0, 0))}); a.Status == 201 != slices.Contains(tt.acts, 422) {
			t.Errorf("%s registers in the section: %d %s", tt.login, a.Status, a.Body)
		}
	}
}
