package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/harness"
)

// jst is the calendar of the prefecture.
var jst = time.FixedZone("JST", 9*60*60)

// A year is the sample prefecture from one 1 April of Japan to the next, with the clock
// of control.
type year struct {
	lender
	t       *testing.T
	first   time.Time                  // the 1 April on which it begins
	joined  map[string]*harness.Member // those of the file of 1 April
	permits [2]string                  // suzuki's and ito's, until the end of the fiscal year
	uuid    string                     // of who is appointed anew
}

// officials decide, administer and read reports. They are at work each month, so that
// nobody of them is found unused.
var officials = []string{"sato", "kobayashi", "kato", "yoshida", "nakamura", "yamamoto", "ito"}

// to moves the clock to a time of the year: so many months after April.
func (y *year) to(month, day, hour, minute int) {
	y.t.Helper()
	at := y.at(month, day, hour, minute)
	by := at.Sub(y.now(y.t))
	if by < 0 {
		y.t.Fatalf("the clock is past %v", at)
	}
	y.Advance(y.t, by)
}

func (y *year) at(month, day, hour, minute int) time.Time {
	return time.Date(y.first.Year(), time.April+time.Month(month), day, hour, minute, 0, 0, jst)
}

// day is a day of the year as a file writes it.
func (y *year) day(month, day int) string { return y.at(month, day, 0, 0).Format(time.DateOnly) }

// proposes brings a file of personnel changes at a terminal, which waits for somebody.
func (y *year) proposes(effective, text string) string {
	y.t.Helper()
	args := []string{"people", "import", "--data", y.Folder, "--propose", "--format", "json"}
	if effective != "" {
		args = append(args, "--effective", effective)
	}
	out, errs, status := harness.Run(y.t, "sekisho", append(args, writeFile(y.t, "jinji.csv", text))...)
	var said struct{ Import, State string }
	if err := json.Unmarshal([]byte(out), &said); status != 0 || err != nil || said.State != "proposed" {
		y.t.Fatalf("proposing a file: %d %v %s%s", status, err, out, errs)
	}
	return said.Import
}

// importDo acts on an import by the API, and is the state that it is in then.
func (y *year) importDo(by borrower, id, act string, body any) harness.Answer {
	y.t.Helper()
	return by.Do(y.t, "POST", "/api/v1/imports/"+id+"/"+act, body)
}

// is waits for an import to be in a state.
func (y *year) is(by borrower, id, state string) {
	y.t.Helper()
	var i struct {
		State  string
		Failed int
	}
	harness.Until(y.t, "the import to be "+state, func() bool {
		by.Do(y.t, "GET", "/api/v1/imports/"+id, nil).Into(y.t, &i)
		return i.State == state
	})
	if i.Failed != 0 {
		y.t.Errorf("%d lines of the import failed", i.Failed)
	}
}

// lines waits until so many lines of an import are carried out.
func (y *year) lines(by borrower, id string, want int) {
	y.t.Helper()
	var i struct{ Done, Failed int }
	harness.Until(y.t, "the lines to be carried out", func() bool {
		by.Do(y.t, "GET", "/api/v1/imports/"+id, nil).Into(y.t, &i)
		return i.Done+i.Failed >= want
	})
	if i.Failed != 0 {
		y.t.Errorf("%d lines failed", i.Failed)
	}
}

// ends waits for an end that is written ahead. A clock that is moved meanwhile is a try of
// it that has failed, and nobody here would wait for the next.
func (y *year) ends(login string, at time.Time) {
	y.t.Helper()
	sato := y.in(y.t, "sato")
	harness.Until(y.t, "the end of "+login+" to be written", func() bool {
		var who struct {
			Ends *time.Time `json:"expires_at"`
		}
		sato.Do(y.t, "GET", "/api/v1/people/"+login, nil).Into(y.t, &who)
		return who.Ends != nil && who.Ends.Equal(at)
	})
}

// swept waits for a sweep since a time to have come to its end, and is how many IDs it
// read.
func (y *year) swept(since time.Time) (people int) {
	y.t.Helper()
	sato := y.in(y.t, "sato")
	harness.Until(y.t, "a sweep to come to its end", func() bool {
		var r struct {
			AsOf   *time.Time `json:"as_of"`
			People int
		}
		sato.Do(y.t, "GET", "/api/v1/reports/dormant", nil).Into(y.t, &r)
		people = r.People
		return r.AsOf != nil && !r.AsOf.Before(since)
	})
	return people
}

// entry is what the directory has of an ID, nil for nothing.
func (y *year) entry(login string) (e *goldap.Entry) {
	y.t.Helper()
	directoryDo(y.t, y.Dev, func(c *goldap.Conn) error {
		r, err := c.Search(goldap.NewSearchRequest(y.LDAP.BaseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
			"(uid="+login+")", []string{"departmentNumber", "pwdAccountLockedTime", "entryUUID", "pwdEndTime"}, nil))
		if err == nil && len(r.Entries) > 0 {
			e = r.Entries[0]
		}
		return err
	})
	return e
}

// opens reports whether an application's door is open to somebody.
func (y *year) opens(c *harness.Client, app string) bool {
	y.t.Helper()
	a := c.Fork().Do(y.t, "GET", "/auth/check", nil, "X-Original-URL", "http://"+app+".localhost/", "X-Original-Method", "GET")
	return a.Status == http.StatusOK
}

// inside reports whether a session lives.
func (y *year) inside(c *harness.Client) bool {
	y.t.Helper()
	return c.Fork().Do(y.t, "GET", "/api/v1/session", nil).Status == http.StatusOK
}

// comes signs in somebody who joined.
func (y *year) comes(login string) *harness.Client {
	y.t.Helper()
	c := harness.NewClient(y.URL)
	y.joined[login].SignIn(y.t, c)
	return c
}

// refused tries a right password of somebody whose ID is over.
func (y *year) refused(when, login, password string) {
	y.t.Helper()
	if s, a := harness.NewClient(y.URL).Password(y.t, login, password); a.Status != http.StatusUnauthorized || a.Code() != "refused" {
		y.t.Errorf("%s %s: %d %q %s", when, login, a.Status, s.State, a.Body)
	}
}

// mailed is the last letter to somebody with a subject since a time, "" for none.
func (y *year) mailed(login, subject string, since time.Time) (text string) {
	y.t.Helper()
	for _, m := range mailTo(y.t, y.Dev, login+"@pref.example") {
		if strings.Contains(m.Subject, subject) && !m.At.Before(since) {
			text = m.Text
		}
	}
	return text
}

// waiting is the path of what waits for somebody's decision and says one of some words.
func (y *year) waiting(o officeSession, words ...string) string {
	y.t.Helper()
	for _, path := range regexp.MustCompile(`/approvals/[A-Za-z0-9_-]+`).FindAllString(o.page("/approvals", http.StatusOK), -1) {
		page := o.page(path, http.StatusOK)
		if slices.ContainsFunc(words, func(one string) bool { return strings.Contains(page, one) }) {
			return path
		}
	}
	return ""
}

var slipOf = regexp.MustCompile(`(?s)<article class="slip".*?<p class="secret" translate="no">([^<]+)</p>.*?<p class="secret" translate="no">([^<]+)</p>`)

var keptReport = regexp.MustCompile(`/kept-reports/[A-Za-z0-9_-]+`)

const (
	reportIsReady = "A scheduled report is ready"
	willBeClosed  = "Your unused ID will be disabled"
	wasClosed     = "Your unused ID was disabled"
	toConfirm     = "Please confirm what your section still needs"
	projectIsOver = "An ID of a project was closed"
)

// TestYearOfThePrefecture is a fiscal year as the prefecture sees it, month by month: who
// joins, moves, is on leave and leaves on 1 April; contracts that end; an ID that nobody
// uses, to its deletion; projects that are completed and that end; one that nobody confirms; a file that was wrong; permits until the year's end; the report
// on the first of each month; and past 3/31 to 4/1 in Japan (articles 38-7, 46, 62-3 to
// 62-6, 63-2(1), 67-2; F15 of security.md section 3).
func TestYearOfThePrefecture(t *testing.T) {
	t.Parallel()
	y := &year{lender: newLender(t), t: t, joined: map[string]*harness.Member{}}
	t.Cleanup(func() {
		if t.Failed() {
			for line := range strings.Lines(y.Log()) {
				if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
					t.Log(line)
				}
			}
		}
	})
	y.begins()
	for _, part := range []struct {
		name string
		play func()
	}{
		{"1 April", y.april}, {"the first months", y.spring}, {"summer and autumn", y.autumn}, {"winter", y.winter}, {"the year's end", y.march}, {"the next 1 April", y.next},
	} {
		if part.play(); t.Failed() {
			t.Fatal("in ", part.name)
		}
	}
	y.onTheTrail()
}

// begins goes to March. Until then a new prefecture has been looked at once, which warns
// and closes nobody, and what was unused is told so.
func (y *year) begins() {
	t := y.t
	now := y.now(t).In(jst)
	y.first = time.Date(now.Year(), time.April, 1, 0, 0, 0, 0, jst)
	if now.After(y.first.AddDate(0, 0, -9)) {
		y.first = y.first.AddDate(1, 0, 0)
	}
	text, _, status := harness.Run(t, "sekisho", "policy", "show", "--data", y.Folder)
	rules := writeFile(t, "policy.yaml", text)
	change(t, rules, "    host: bunsho.localhost\n", "    host: bunsho.localhost\n    sections: [shichoson]\n", "    host: zaimu.localhost\n", "    host: zaimu.localhost\n    sections: [zaisei]\n")
	if _, errs, applied := harness.Run(t, "sekisho", "policy", "apply", rules, "--data", y.Folder); status+applied != 0 {
		t.Fatal(errs)
	}
	y.Advance(t, 2*time.Minute) // who moved the sample in may have stopped within a sweep: nobody waits longer for them
	y.swept(time.Time{})
	y.to(-1, 25, 12, 0)
	for _, login := range officials {
		y.in(t, login)
	}
}

// april is the file of 1 April: approved by a second person before, carried out on its
// day, and a sweep that finds more people than it knew and asks somebody.
func (y *year) april() {
	t := y.t
	y.registers()
	file := strings.Join([]string{
		"number,name,login,section,kind,change,company,starts,ends,mail,leave_from,leave_until,handover,project",
		"K-araki,荒木 光,araki,jinji,,採用,,,,araki@pref.example,,,,",
		"K-tsuru,鶴 静,tsuru,jinji,,採用,,,,tsuru@pref.example,,,,",
		"K-sode,袖 要,sode,jinji,,採用,,,,sode@pref.example,,,,",
		"K-kaikei,海江田 年,kaikei,zaisei,会計年度任用職員,採用,,," + y.day(11, 31) + ",kaikei@pref.example,,,,",
		"K-owari,尾張 終,owari,zaisei,会計年度任用職員,採用,,," + y.day(11, 31) + ",owari@pref.example,,,,",
		"K-keiyaku,桂 約,keiyaku,joho,事業者,採用,例電算株式会社,," + y.day(5, 30) + ",keiyaku@pref.example,,,,",
		"K-suzuki,鈴木 一郎,,zaisei,,異動,,,,,,," + y.day(0, 10) + ",",
		"K-tanaka,田中 美咲,,,,休業,,,,," + y.day(1, 1) + "," + y.day(6, 31) + ",,",
		"K-takahashi,高橋 由美,,,,退職,,," + y.day(-1, 31) + ",,,,,",
		y.madeFor("kaihatsu", "zeimu"),
		y.madeFor("tesuto", "税務システム刷新"),
		y.madeFor("hoshu", "unyo"),
	}, "\n") + "\n"
	id := y.proposes(y.day(0, 1), file)
	if a := y.importDo(y.in(t, "sato"), id, "approve", saying{}); a.Status != http.StatusForbidden {
		t.Errorf("a system administrator approves personnel changes: %d %s", a.Status, a.Body)
	}
	kobayashi := y.in(t, "kobayashi")
	if a := y.importDo(kobayashi, id, "approve", saying{"comment": "辞令のとおり"}); a.Status != http.StatusOK {
		t.Fatalf("approving the file: %d %s", a.Status, a.Body)
	}
	y.ends("takahashi", y.first)

	y.to(-1, 31, 23, 57)
	y.swept(y.at(-1, 31, 0, 0)) // what it finds tomorrow is compared with this
	takahashi, suzuki := y.in(t, "takahashi"), y.in(t, "suzuki")
	if !y.inside(takahashi.Client) || !y.opens(suzuki.Client, "bunsho") || y.opens(suzuki.Client, "zaimu") || y.entry("araki") != nil {
		t.Error("something of the file is so on the day before")
	}
	y.to(0, 1, 0, 0)
	if y.inside(takahashi.Client) {
		t.Error("who leaves on 31 March is inside on 1 April")
	}
	y.refused("on 1 April", "takahashi", y.Person(t, "takahashi").Password)
	kobayashi = y.in(t, "kobayashi")
	y.lines(kobayashi, id, 12)
	if e := y.entry("suzuki"); e.GetAttributeValue("departmentNumber") != "zaisei" {
		t.Errorf("who moves is of %s", e.GetAttributeValue("departmentNumber"))
	}
	// The new section at once, and the old one until it is handed over; the session goes on.
	harness.Until(t, "the new section's application to open", func() bool { return y.opens(suzuki.Client, "zaimu") })
	if !y.opens(suzuki.Client, "bunsho") {
		t.Error("the old section's application is shut during the handover")
	}
	tanaka := y.in(t, "tanaka")
	if !y.inside(tanaka.Client) {
		t.Error("whose leave is to come is shut out")
	}

	// Temporary passwords for all who joined, on paper; one of them is never used.
	y.to(0, 1, 8, 30)
	office := officeIn(t, y.Dev, "sato")
	a := office.form("/slips", "logins", "araki tsuru sode kaikei owari keiyaku kaihatsu tesuto hoshu")
	slips := map[string]string{}
	for _, m := range slipOf.FindAllSubmatch(a.Body, -1) {
		slips[string(m[2])] = string(m[1])
	}
	if a.Status != http.StatusOK || len(slips) != 9 {
		t.Fatalf("slips for %d people: %d\n%s", len(slips), a.Status, a.Body)
	}
	for _, login := range []string{"araki", "sode", "kaikei", "owari", "keiyaku", "kaihatsu", "tesuto", "hoshu"} {
		m := &harness.Member{Login: login, Password: "Samidare-" + login + "-81-no-tsukue"}
		c := harness.NewClient(y.URL)
		if s, a := c.Password(t, login, slips[login]); s.State != "password_change" {
			t.Fatalf("%s begins with %q: %d %s", login, s.State, a.Status, a.Body)
		}
		if a := c.Do(t, "POST", "/api/v1/signin/password", saying{"new_password": m.Password}); a.Status != http.StatusOK {
			t.Fatalf("%s chooses a password: %d %s", login, a.Status, a.Body)
		}
		s, a := m.Enrol(t, c)
		if s.State == "acknowledge" {
			s, a = c.Acknowledge(t, s.Version)
		}
		if s.State != "signed_in" {
			t.Fatalf("%s comes to %q: %d %s", login, s.State, a.Status, a.Body)
		}
		y.refused("the slip once more of", login, slips[login])
		y.joined[login] = m
	}
	y.joined["tsuru"] = &harness.Member{Login: "tsuru", Password: slips["tsuru"]}

	// Nine more of some twenty is more than a sweep takes for granted (F8).
	chief := officeIn(t, y.Dev, "kobayashi")
	var card string
	harness.Until(t, "the sweep to ask somebody", func() bool {
		card = y.waiting(chief, "前回と大きく違います", "many more, or fewer")
		return card != ""
	})
	chief.does(card, "answer", "yes", "comment", "四月の採用")
	y.month(0)
	if n := y.swept(y.first); n != len(y.People)+9 {
		t.Errorf("the sweep that went on read %d IDs", n)
	}

	// The handover's last day, and the day after.
	y.to(0, 10, 23, 57)
	suzuki = y.in(t, "suzuki")
	if !y.opens(suzuki.Client, "bunsho") {
		t.Error("the handover is over before its end")
	}
	y.to(0, 11, 0, 0)
	if y.opens(suzuki.Client, "bunsho") || !y.opens(suzuki.Client, "zaimu") {
		t.Error("after the handover the old section is open, or the new one is not")
	}
	if page := officeIn(t, y.Dev, "sato").page("/slips", http.StatusOK); !strings.Contains(page, "tsuru") || !strings.Contains(page, "over: it opens nothing") || strings.Contains(page, "araki") {
		t.Errorf("who has not begun:\n%s", page)
	}
	y.refused("a void slip of", "tsuru", slips["tsuru"])
	if a := y.importDo(y.in(t, "kato"), id, "undo", saying{"reason": "取消し"}); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "undo_days") {
		t.Errorf("undone after its days: %d %s", a.Status, a.Body)
	}
}

// month is what is so on the first of each: officials and those who use their IDs are at
// work, and the report is in the mail, as a link that needs a sign-in.
func (y *year) month(n int) {
	t := y.t
	if due := y.at(n, 1, 9, 0); y.now(t).Before(due) {
		y.to(n, 1, 9, 0)
	}
	for _, login := range officials {
		y.in(t, login)
	}
	for login, m := range y.joined {
		ends := map[string]int{"keiyaku": 6, "sode": 7, "kaihatsu": 8, "tesuto": 8, "owari": 12, "hoshu": 12}[login]
		if m.Secret != "" && (ends == 0 || n < ends) {
			y.comes(login)
		}
	}
	if suzuki := y.in(t, "suzuki"); !y.opens(suzuki.Client, "zaimu") {
		t.Errorf("in month %d suzuki's application is shut", n)
	}
	var letter string
	harness.Until(t, fmt.Sprintf("the report of month %d", n), func() bool {
		letter = y.mailed("nakamura", reportIsReady, y.at(n, 1, 7, 0))
		return letter != ""
	})
	link := keptReport.FindString(letter)
	if link == "" || strings.Contains(letter, "tsuru") {
		t.Fatalf("the letter of month %d:\n%s", n, letter)
	}
	if a := harness.NewClient(y.URL).Do(t, "GET", link, nil, "Accept", "text/html"); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/signin") {
		t.Errorf("without a sign-in the report answers %d to %q", a.Status, a.Header.Get("Location"))
	}
	office := officeIn(t, y.Dev, "nakamura")
	page := office.page(link, http.StatusOK)
	if !strings.Contains(page, "Personnel Division") {
		t.Errorf("the report of month %d:\n%s", n, page)
	}
	if a := officeIn(t, y.Dev, "yamamoto").c.Do(t, "GET", link, nil, "Accept", "text/html"); a.Status != http.StatusNotFound {
		t.Errorf("another section's manager reads it: %d", a.Status)
	}
	for month, says := range map[int]string{3: "Disabled", 9: "Disabled"} {
		file := office.c.Do(t, "GET", link+"/file?format=csv", nil)
		if n == month && (file.Status != http.StatusOK || !bytes.Contains(file.Body, []byte("tsuru")) || !bytes.Contains(bytes.ToLower(file.Body), []byte(strings.ToLower(says)))) {
			t.Errorf("in month %d the file does not say that tsuru is %s: %d %s", n, says, file.Status, file.Body)
		}
	}
}
