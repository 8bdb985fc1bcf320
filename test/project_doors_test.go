package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/policy/store"
	"sekisho/test/harness"
)

// tied binds somebody's ID to a project of their section until a time, as another gateway
// on dev's store would, and to none that is completed. Jobs leave it alone for a while: it
// is in other hands.
func (d lender) tied(t *testing.T, login string, until time.Time) {
	t.Helper()
	db, _ := storeOf(t, d.Dev)
	now := store.Micros(d.now(t))
	if err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		var who string
		if err := tx.QueryRow(t.Context(), `SELECT person_id FROM session WHERE login = $1`, login).Scan(&who); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `
			INSERT INTO project (id, section, environment, until_at, claimed_until, changed_at, body)
			VALUES ('hoshu', 'jinji', 'production', $1, $2, $3, '{"name": "人事システムの保守"}')`, store.Micros(until), store.Micros(until.Add(115*time.Second)), now); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `
			INSERT INTO project_member (id, project, person_id, login, role, bound_at, changed_at, body) VALUES ('m1', 'hoshu', $1, $2, 'worker', $3, $3, $4)`,
			who, login, now, `{"person": {"id": "`+who+`", "login": "`+login+`"}, "bound_by": "sato"}`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDoorsOfAProjectThatIsOver: of an ID whose project's day has passed, or is completed
// by somebody, every door is shut: with a password and with a passkey, in a session that is
// in use, at forward-auth, to tokens that are renewed, and by the network gear. Of its day
// that is so at that instant with every job stopped (articles 67-2(1); design rules 2, 9).
func TestDoorsOfAProjectThatIsOver(t *testing.T) {
	t.Parallel()
	for _, completed := range []bool{false, true} {
		name := map[bool]string{false: "its day passes", true: "completed"}[completed]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLender(t)
			gear := d.remotely(t, "tanaka")
			tanaka := d.in(t, "tanaka")
			if body, _ := open(t, tanaka.Client, d.Dev, app(d.Dev)); body == "" {
				t.Fatal("the application does not open")
			}
			key, a := tanaka.EnrolPasskey(t, d.URL)
			if a.Status/100 != 2 {
				t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
			}
			until := d.now(t).Add(4 * time.Minute).Truncate(time.Second)
			d.tied(t, "tanaka", until)
			for _, door := range doors {
				if !door.open(t, d.Dev, tanaka.Client.Fork()) {
					t.Errorf("%s is shut while the project runs", door.name)
				}
			}
			if a := gear.comes(t); a.code != "Access-Accept" {
				t.Errorf("while the project runs, the network door answers %s", a.all)
			}
			halfway := harness.NewClient(d.URL)
			p := d.Person(t, "tanaka")
			if s, a := halfway.Password(t, p.Login, p.Password); s.State != "second_factor" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if completed {
				a := d.in(t, "yoshida").Do(t, "POST", "/api/v1/projects/hoshu/complete", saying{"reason": "検収が済んだ"})
				if a.Status != http.StatusOK {
					t.Fatalf("completing: %d %s", a.Status, a.Body)
				}
			} else if left := until.Sub(d.now(t)); left > 0 {
				d.Advance(t, left)
			}
			for _, door := range doors {
				if door.open(t, d.Dev, tanaka.Client.Fork()) {
					t.Errorf("%s is open", door.name)
				}
			}
			over := func(way string, s harness.Step, a harness.Answer) {
				t.Helper()
				if completed && a.Status != http.StatusUnauthorized || !completed && (a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "67-2(1)")) {
					t.Errorf("%s: %d %q %s", way, a.Status, s.State, a.Body)
				}
			}
			s, a := harness.NewClient(d.URL).Passkey(t, key)
			over("a passkey", s, a)
			if completed {
				s, a = harness.NewClient(d.URL).Password(t, p.Login, p.Password)
				over("a password", s, a)
				gear.shut(t)
			} else {
				if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "案件") {
					t.Errorf("the network door: %s", a.all)
				}
				gear.out(t)
				c := harness.NewClient(d.URL)
				if s, a = c.Password(t, p.Login, p.Password); s.State == "second_factor" {
					nextStep(t, d.Dev)
					s, a = c.TOTP(t, harness.Code(t, *p.TOTPSecret, d.now(t)))
				}
				over("a password and a code", s, a)
			}
			nextStep(t, d.Dev)
			s, a = halfway.TOTP(t, harness.Code(t, *p.TOTPSecret, d.now(t)))
			over("the sign-in under way", s, a)
		})
	}
}
