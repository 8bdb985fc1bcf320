package test

import (
	"net/http"
	"strings"
	"time"

	"sekisho/test/harness"
)

// registers has the projects of the year be registered: one of development, and the upkeep
// of what it replaces, in production. Both run until the fiscal year's end.
func (y *year) registers() {
	y.t.Helper()
	sato := y.in(y.t, "sato")
	for _, one := range []saying{
		{"id": "zeimu", "name": "税務システム刷新", "section": "joho", "environment": "development", "company": "例電算株式会社", "until": y.day(11, 31)},
		{"id": "unyo", "name": "税務システム運用・保守", "section": "joho", "environment": "production", "company": "例電算株式会社", "until": y.day(11, 31)},
	} {
		if a := sato.Do(y.t, "POST", "/api/v1/projects", one); a.Status != http.StatusCreated {
			y.t.Fatalf("registering a project: %d %s", a.Status, a.Body)
		}
	}
}

// madeFor is the line of a contractor who joins for a project, by a contract that goes on
// after it.
func (y *year) madeFor(login, project string) string {
	return strings.Join([]string{"K-" + login, "委 " + login, login, "joho", "事業者", "採用", "例電算株式会社", "", y.day(15, 30), login + "@pref.example", "", "", "", project}, ",")
}

// completes is the day in November on which the development is taken over: both who worked
// at it are out at that instant, and the directory and the holders hear of it (articles
// 67-2(1) and 68-2).
func (y *year) completes() {
	t := y.t
	y.to(7, 20, 10, 0)
	workers := map[string]*harness.Client{"kaihatsu": y.comes("kaihatsu"), "tesuto": y.comes("tesuto")}
	for login, c := range workers {
		if !y.inside(c) || y.opens(c, "zaimu") {
			t.Errorf("%s of a project of development is shut out, or let into what is in production", login)
		}
		if at, _ := time.Parse("20060102150405Z", y.entry(login).GetAttributeValue("pwdEndTime")); !at.Equal(y.at(12, 1, 0, 0)) {
			t.Errorf("in the directory %s ends at %v", login, at)
		}
	}
	if a := y.in(t, "ito").Do(t, "POST", "/api/v1/projects/zeimu/complete", saying{"reason": "検収"}); a.Status != http.StatusForbidden && a.Status != http.StatusNotFound {
		t.Errorf("who does not administer completes it: %d %s", a.Status, a.Body)
	}
	var done struct {
		Closed []string
	}
	a := y.in(t, "sato").Do(t, "POST", "/api/v1/projects/zeimu/complete", saying{"reason": "検収が終わったため"})
	if a.Into(t, &done); a.Status != http.StatusOK || len(done.Closed) != 2 {
		t.Fatalf("completing: %d %s", a.Status, a.Body)
	}
	for login, c := range workers {
		if y.inside(c) {
			t.Errorf("%s is inside after the project is completed", login)
		}
		y.refused("completed,", login, y.joined[login].Password)
		harness.Until(t, "the directory to have "+login+" closed", func() bool { return y.entry(login).GetAttributeValue("pwdAccountLockedTime") == "000001010000Z" })
		harness.Until(t, login+" to hear of it", func() bool { return y.mailed(login, projectIsOver, y.at(7, 20, 0, 0)) != "" })
	}
	if !y.inside(y.comes("hoshu")) {
		t.Error("who works at another project is shut out")
	}
}
