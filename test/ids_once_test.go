package test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"sekisho/test/harness"
)

// TestIDsOnceAfterRestart is F16 for the life of IDs, personnel changes and permits:
// each act is sent ten times at once, and ten times more after the process was killed
// and started again. What creates something, or gives something out, has one effect and
// one answer under its key, and another body is refused; what decides is done once, and
// whoever comes second is told that it is so already.
func TestIDsOnceAfterRestart(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	out, errs, status := harness.Run(t, "sekisho", "people", "import", "--data", d.Folder, "--propose", "--format", "json",
		writeFile(t, "jinji.csv", "number,name,login,section,change,mail\nK-araki,荒木 光,araki,jinji,採用,araki@pref.example\nK-ito,伊藤 翔,,zaisei,異動,\n"))
	var proposed struct{ Import string }
	if err := json.Unmarshal([]byte(out), &proposed); status != 0 || err != nil {
		t.Fatalf("proposing a file: %d %v %s%s", status, err, out, errs)
	}
	file := "/imports/" + proposed.Import
	by := map[string]borrower{}
	for _, login := range []string{"sato", "kobayashi", "kato", "yoshida", "suzuki"} {
		by[login] = d.in(t, login)
	}
	type sent struct {
		by, path string
		body     saying
		status   int
		answer   string // of what is kept under a key; "" for what only decides
	}
	var all []*sent
	tenTimes := func(s *sent, when string, keyed bool) {
		t.Helper()
		answers := make(chan string, 10)
		counts := atOnce(10, func(int) int {
			c := by[s.by].Fork()
			c.HTTP = &http.Client{Transport: wide, Timeout: time.Minute}
			var headers []string
			if keyed {
				headers = []string{"Idempotency-Key", "once"}
			}
			a, err := c.Try("POST", "/api/v1"+s.path, s.body, headers...)
			if err != nil {
				return 0
			}
			if a.Status == s.status {
				answers <- string(a.Body)
			}
			return a.Status
		})
		close(answers)
		if !keyed {
			if again := when != "at first"; counts[s.status]+counts[http.StatusConflict] != 10 || counts[s.status] == 0 && !again {
				t.Errorf("%s %s: %v", when, s.path, counts)
			}
			return
		}
		distinct := map[string]bool{}
		for a := range answers {
			distinct[a] = true
		}
		if counts[s.status] != 10 || len(distinct) != 1 || s.answer != "" && !distinct[s.answer] {
			t.Fatalf("%s %s: %v, answers %q, the first %q", when, s.path, counts, slices.Collect(maps.Keys(distinct)), s.answer)
		}
		for a := range distinct {
			s.answer = a
		}
	}
	send := func(login, path string, body saying, status int, keyed bool) *sent {
		t.Helper()
		s := &sent{by: login, path: path, body: body, status: status}
		tenTimes(s, "at first", keyed)
		all = append(all, s)
		return s
	}
	restart := func() {
		t.Helper()
		d.Kill()
		d.Dev = harness.StartDev(t, d.Folder)
		for _, b := range by {
			b.URL = d.URL
		}
		for _, s := range all {
			if tenTimes(s, "after a restart", s.answer != ""); s.answer == "" {
				continue
			}
			other, err := json.Marshal(s.body)
			if err != nil {
				t.Fatal(err)
			}
			a, err := by[s.by].Send("POST", "/api/v1"+s.path, "application/json", append(other, ' '), "Idempotency-Key", "once")
			if err != nil || a.Status != http.StatusConflict || a.Code() != "idempotency" {
				t.Errorf("%s with another body: %v %d %s", s.path, err, a.Status, a.Body)
			}
		}
		all = nil
	}

	var permit permitted
	harness.Answer{Body: []byte(send("suzuki", "/permits", d.remote(t, nil), http.StatusCreated, true).answer)}.Into(t, &permit)
	send("yoshida", "/permits/"+permit.ID+"/approve", saying{"comment": "可"}, http.StatusOK, true)
	send("suzuki", "/shared-ids/hoso/checkout", saying{"reason": "放送", "minutes": 10}, http.StatusCreated, true)
	send("sato", "/people/shimizu/temporary-password", saying{}, http.StatusCreated, true)
	send("sato", "/people/tanaka/recovery-code", saying{}, http.StatusCreated, true)
	send("sato", "/projects", saying{"id": "once", "name": "一度の案件", "section": "joho", "environment": "development", "until": d.now(t).In(jst).AddDate(0, 1, 0).Format(time.DateOnly)}, http.StatusCreated, true)
	send("sato", "/projects/once/members", saying{"login": "hayashi", "role": "worker", "reason": "契約"}, http.StatusOK, true)
	send("sato", "/people/hayashi/suspend", saying{"reason": "調査"}, http.StatusOK, false)
	send("kobayashi", file+"/approve", saying{}, http.StatusOK, false)
	restart()
	harness.Until(t, "the file to be carried out", func() bool {
		var i struct{ State string }
		by["kato"].Do(t, "GET", "/api/v1"+file, nil).Into(t, &i)
		return i.State == "done"
	})
	send("sato", "/projects/once/complete", saying{"reason": "検収"}, http.StatusOK, true)
	send("kato", file+"/undo", saying{"reason": "誤り"}, http.StatusOK, false)
	var asked struct {
		Undo string `json:"undo_id"`
	}
	by["kato"].Do(t, "GET", "/api/v1"+file, nil).Into(t, &asked)
	send("kobayashi", file+"/approve", saying{"undo": asked.Undo}, http.StatusOK, false)
	restart()
	harness.Until(t, "the file to be undone", func() bool {
		var i struct{ State string }
		by["kato"].Do(t, "GET", "/api/v1"+file, nil).Into(t, &i)
		return i.State == "undone"
	})

	acts, _ := trail(t, d.Dev)
	counts := map[string]int{}
	for _, a := range acts {
		if a.Outcome == "ok" {
			counts[a.Action]++
		}
	}
	for action, want := range map[string]int{
		"permit.asked": 1, "permit.approved": 1, "shared.checked_out": 1, "password.temporary": 1, "recovery.issued": 1, "person.suspended": 1,
		"import.approved": 1, "import.done": 1, "import.undo_approved": 1, "import.undone": 1, "person.joined": 1, "person.moved": 1, "person.undone": 2,
		"project.registered": 1, "project.bound": 1, "project.completed": 1, "project.id_closed": 1,
	} {
		if counts[action] != want {
			t.Errorf("%s is on the trail %d times, want %d", action, counts[action], want)
		}
	}
}
