package test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// TestLeasesOnceAfterRestart is F16 for what is lent: each act is sent ten times at
// once, and ten times more after the process was killed and started again. Under
// one key there is one effect and one answer, a password with it; another body
// under that key is refused.
func TestLeasesOnceAfterRestart(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	p := d.lent(t, "server-admin")
	asker, approver := d.signedIn(t, p.Eligible[0]), d.signedIn(t, p.Approvers[0])
	cio := d.signedIn(t, d.withPost(t, "cio", asker.login))
	urgent := d.lent(t, "db-admin")
	type sent struct {
		by     borrower
		path   string
		body   saying
		status int
		answer string
		raises bool // the first answer comes with a new handle, after which the old one is nobody's
	}
	var all []*sent
	tenTimes := func(s *sent, when string) {
		t.Helper()
		answers := map[string]int{}
		before := s.by.Cookies["__Host-sekisho"]
		got, first := make(chan string, 10), make(chan *harness.Client, 10)
		counts := atOnce(10, func(int) int {
			c := s.by.Fork()
			c.HTTP = &http.Client{Transport: wide}
			a, err := c.Try("POST", "/api/v1/elevations"+s.path, s.body, "Idempotency-Key", "once-"+s.path)
			if err != nil {
				return 0
			}
			if a.Status == s.status {
				got <- string(a.Body)
				first <- c
			}
			return a.Status
		})
		for range counts[s.status] {
			answers[<-got]++
			if c := <-first; c.Cookies["__Host-sekisho"] != before {
				s.by.Cookies, s.by.CSRF = c.Cookies, c.CSRF
			}
		}
		refused := 0
		if s.raises && s.answer == "" {
			refused = counts[http.StatusUnauthorized]
		}
		if counts[s.status]+refused != 10 || len(answers) != 1 {
			t.Fatalf("%s %s: %v, %d different answers: %q", when, s.path, counts, len(answers), slices.Collect(maps.Keys(answers)))
		}
		for body := range answers {
			if s.answer != "" && s.answer != body {
				t.Errorf("%s %s is answered otherwise than at first", when, s.path)
			}
			s.answer = body
		}
	}
	send := func(by borrower, path string, body saying, status int) *sent {
		t.Helper()
		s := &sent{by: by, path: path, body: body, status: status}
		s.raises = path == "/emergency" || strings.HasSuffix(path, "/activate")
		tenTimes(s, "at first")
		all = append(all, s)
		return s
	}
	restart := func() {
		t.Helper()
		d.Kill()
		d.Dev = harness.StartDev(t, d.Folder)
		d.outsider = newOutsider(t, d.LDAP.URL, d.LDAP.BaseDN, d.LDAP.BindDN, d.LDAP.BindPassword)
		for _, b := range []borrower{asker, approver, cio} {
			b.URL = d.URL
		}
		for _, s := range all {
			tenTimes(s, "after a restart")
			other := maps.Clone(s.body)
			for field, text := range other { // one that the act knows
				if is, ok := text.(string); ok && field != "privilege" && field != "ticket" {
					other[field] = is + "（別の内容）"
				}
			}
			if len(other) == 0 {
				other["comment"] = "別の内容"
			}
			if a := s.by.Do(t, "POST", "/api/v1/elevations"+s.path, other, "Idempotency-Key", "once-"+s.path); a.Status != http.StatusConflict || a.Code() != "idempotency" {
				t.Errorf("%s with another body: %d %s", s.path, a.Status, a.Body)
			}
		}
	}
	read := func(s *sent) (e elevation) {
		t.Helper()
		harness.Answer{Body: []byte(s.answer)}.Into(t, &e)
		return e
	}

	e := read(send(asker, "", saying{"privilege": p.ID, "reason": "更新", "minutes": 10, "ticket": "CHG-0042"}, http.StatusCreated))
	send(approver, "/"+e.ID+"/approve", saying{"comment": "作業票のとおり"}, http.StatusOK)
	e = read(send(asker, "/"+e.ID+"/activate", saying{}, http.StatusOK)).is(t, "active")
	taken := read(send(asker, "/emergency", saying{"privilege": urgent.ID, "reason": "窓口が止まっている", "minutes": 15}, http.StatusCreated)).is(t, "active")
	restart()
	if e.Account == nil || !d.binds(t, e.Account.Login, e.Account.Password) {
		t.Errorf("the ID does not bind with what was answered: %+v", e)
	}
	all = nil
	send(asker, "/"+e.ID+"/end", saying{"comment": "終わった"}, http.StatusOK)
	send(asker, "/"+taken.ID+"/end", saying{}, http.StatusOK)
	send(asker, "/"+taken.ID+"/report", saying{"report": "復旧した。"}, http.StatusOK)
	send(cio, "/"+taken.ID+"/judge", saying{"comment": "やむを得ない"}, http.StatusOK)
	restart()

	acts, _ := trail(t, d.Dev)
	counts := map[string]int{}
	for _, a := range acts {
		if a.Detail["lease"] == e.ID || a.Detail["lease"] == taken.ID {
			counts[a.Action]++
		}
	}
	for action, want := range map[string]int{"lease.asked": 1, "lease.activated": 2, "lease.ended": 2} {
		if counts[action] != want {
			t.Errorf("%s is on the trail %d times, want %d: %v", action, counts[action], want, counts)
		}
	}
}
