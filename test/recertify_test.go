package test

import (
	"net/http"

	"sekisho/test/harness"
)

// confirmsByProgram has a program of somebody who reviews confirm all that is put before
// them, but what is of one ID; it reports whether that was among it. What it is sent twice
// is done once.
func (y *year) confirmsByProgram(login, but string) (seen bool) {
	t := y.t
	t.Helper()
	c := keysIn(t, y.Dev, y.Person(t, login))
	var rounds struct {
		Items []struct {
			ID   string
			Open bool
			Mine int
		}
	}
	decided := 0
	const path = "/api/v1/recertifications"
	c.Do(t, "GET", path, nil).Into(t, &rounds)
	for _, r := range rounds.Items {
		if !r.Open || r.Mine == 0 {
			continue
		}
		var lines struct {
			Items []struct {
				ID, Login string
				MayDecide bool `json:"may_decide"`
			}
		}
		c.Do(t, "GET", path+"/"+r.ID+"?limit=200", nil).Into(t, &lines)
		var ids []string
		for _, l := range lines.Items {
			if l.Login == but {
				seen = true
				continue
			}
			if l.MayDecide {
				ids = append(ids, l.ID)
			}
		}
		if len(lines.Items) != r.Mine || len(ids) == 0 {
			t.Errorf("%d lines are before %s, of which %d were read and %d can be decided", r.Mine, login, len(lines.Items), len(ids))
			continue
		}
		wish := map[string]any{"lines": ids, "answer": "confirm"}
		decide := func() harness.Answer {
			return c.Do(t, "POST", path+"/"+r.ID+"/decide", wish, "Idempotency-Key", "k-"+r.ID)
		}
		var done struct {
			Confirmed int
			Not       []struct{ Detail string }
		}
		a := decide()
		if a.Into(t, &done); a.Status != http.StatusOK || done.Confirmed != len(ids) || len(done.Not) != 0 {
			t.Errorf("%s confirms %d lines: %d %s", login, len(ids), a.Status, a.Body)
		}
		decided += done.Confirmed
		if again := decide(); again.Status != http.StatusOK || string(again.Body) != string(a.Body) {
			t.Errorf("sent again: %d %s", again.Status, again.Body)
		}
		if a := c.Do(t, "POST", path+"/"+r.ID+"/decide", wish); a.Status != http.StatusConflict {
			t.Errorf("confirmed once more: %d %s", a.Status, a.Body)
		}
	}
	if decided == 0 {
		t.Errorf("nothing was before %s", login)
	}
	return seen
}
