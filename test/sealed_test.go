package test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// TestSealedIDs: an emergency ID is registered by one person and confirmed by
// another; that it was opened is told at once. Nobody else reads the register.
func TestSealedIDs(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	admin, second := signIn(t, d, d.Person(t, "sato")), signIn(t, d, d.Person(t, "yoshida"))
	tanaka := d.Person(t, "tanaka")
	stranger := signIn(t, d, tanaka)
	type item struct {
		ID          string
		Open        bool
		ConfirmedBy *string `json:"confirmed_by"`
		Owed        []struct{ What string }
		History     []struct{ Act, By string }
	}
	do := func(c *harness.Client, path string, body map[string]any, want int) (got item) {
		t.Helper()
		a := c.Do(t, "POST", "/api/v1/sealed-ids"+path, body)
		if a.Status != want {
			t.Fatalf("POST %s: %d, want %d: %s", path, a.Status, want, a.Body)
		}
		if want/100 == 2 {
			a.Into(t, &got)
		}
		return got
	}
	e := do(admin, "", map[string]any{"system": "庁内ファイアウォール", "account": tanaka.Login, "place": "本庁5階の金庫"}, http.StatusCreated)
	do(admin, "/"+e.ID+"/confirm", map[string]any{}, http.StatusForbidden)
	for _, path := range []string{"/api/v1/sealed-ids", "/api/v1/sealed-ids/" + e.ID, "/sealed"} {
		if a := stranger.Do(t, "GET", path, nil); a.Status != http.StatusForbidden {
			t.Errorf("staff reads %s: %d", path, a.Status)
		}
	}
	if e = do(second, "/"+e.ID+"/confirm", map[string]any{}, http.StatusOK); e.ConfirmedBy == nil || *e.ConfirmedBy != "yoshida" || len(e.Owed) != 0 {
		t.Errorf("%+v", e)
	}
	if e = do(admin, "/"+e.ID+"/open", map[string]any{"note": "関所の停止"}, http.StatusOK); !e.Open || len(e.Owed) != 3 {
		t.Errorf("%+v", e)
	}
	mail := mailArrives(t, d, d.Person(t, "yoshida").Mail, 1)
	if !strings.Contains(mail.Text, "開封") || !strings.Contains(mail.Text, "庁内ファイアウォール") {
		t.Errorf("the mail about it: %s", mail.Text)
	}
	if a := admin.Do(t, "GET", "/sealed/"+e.ID, nil); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "関所の停止") {
		t.Errorf("its page: %d", a.Status)
	}
	if a := stranger.Do(t, "GET", "/api/v1/findings", nil); a.Status != http.StatusForbidden {
		t.Errorf("staff reads findings: %d", a.Status)
	}
}

// TestLockDownByPage: on the pages, one looks first at whom an order hits, then gives
// it, once however often the button is pressed, and lifts it.
func TestLockDownByPage(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	cio := officeIn(t, d, "yoshida")
	tanaka := signIn(t, d, d.Person(t, "tanaka"))
	alive := func() bool { return tanaka.Fork().Do(t, "GET", "/api/v1/session", nil).Status == http.StatusOK }
	order := []string{"scope", "section", "target", d.Person(t, "tanaka").Section, "minutes", "30", "reason", "端末の感染"}
	if a := cio.form("/lockdown/preview", "scope", "section", "target", "nowhere", "minutes", "30", "reason", "x"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("of a section that there is not: %d", a.Status)
	}
	a := cio.form("/lockdown/preview", order...)
	seen := string(a.Body)
	if a.Status != http.StatusOK || !strings.Contains(seen, "tanaka") || !strings.Contains(seen, "key custodian") || !alive() {
		t.Fatalf("the picture: %d\n%s", a.Status, seen)
	}
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(seen)
	if id == nil {
		t.Fatal("the picture names no order")
	}
	for range 2 {
		if page := cio.does("/lockdown/order", append(order, "id", id[1])...); !strings.Contains(page, "端末の感染") {
			t.Errorf("the page does not show it:\n%s", page)
		}
	}
	if alive() {
		t.Error("whom it hits is in still")
	}
	var list struct{ Items []lockDown }
	cio.c.Do(t, "GET", "/api/v1/lockdown", nil).Into(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != id[1] || !list.Items[0].InForce {
		t.Errorf("%+v", list.Items)
	}
	stranger := officeIn(t, d, "sato")
	if a := stranger.form("/lockdown/order", "scope", "all", "minutes", "30", "reason", "x"); a.Status != http.StatusForbidden {
		t.Errorf("an administrator orders: %d", a.Status)
	}
	if a := stranger.form("/lockdown/order", append(order, "id", id[1])...); a.Status != http.StatusForbidden {
		t.Errorf("an administrator repeats the CIO's order: %d", a.Status)
	}
	cio.does("/lockdown/"+id[1]+"/lift", "reason", "除いた")
	cio.c.Do(t, "GET", "/api/v1/lockdown", nil).Into(t, &list)
	if list.Items[0].InForce {
		t.Error("it was lifted and is in force")
	}
}
