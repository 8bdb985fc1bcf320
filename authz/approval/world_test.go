package approval

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

// t0 is a Wednesday, 10:00 in Japan.
var t0 = time.Date(2026, 4, 1, 1, 0, 0, 0, time.UTC)

// office is a small prefecture. By section: soumu > jinji, zaisei; dejitaru > joho.
// eto and endo are managers of joho and jinji, oda and ono the officers of
// dejitaru and soumu, cho and choei are CIO, sato and sada administer in joho, kan
// audits, and sub is staff.
type office struct {
	people map[string]directory.Person
	away   error
}

func (o *office) Holders(_ context.Context, group string) ([]directory.Person, error) {
	var out []directory.Person
	for _, login := range everybody {
		p := o.people[login]
		for _, g := range p.Groups {
			if g == group {
				out = append(out, p)
			}
		}
	}
	return out, o.away
}

func (o *office) Find(_ context.Context, login string) (directory.Person, error) {
	p, ok := o.people[login]
	if !ok {
		return p, directory.ErrNotFound
	}
	return p, o.away
}

func (o *office) Of(_ context.Context, id directory.PersonID) (standing.Facts, error) {
	for _, p := range o.people {
		if p.ID == id {
			return standing.Facts{Person: p}, o.away
		}
	}
	return standing.Facts{}, o.away
}

var everybody = []string{"eto", "endo", "oda", "ono", "cho", "choei", "sato", "sada", "kan", "sub", "both", "eto2"}

func person(login, section string, posts ...policy.PostID) directory.Person {
	p := directory.Person{ID: directory.PersonID("id-" + login), Login: login, Name: "例 " + login, Section: section, Mail: login + "@pref.example", Kind: directory.KindStaff, Number: "n-" + login}
	for _, post := range posts {
		p.Groups = append(p.Groups, groupOf(post))
	}
	return p
}

func groupOf(id policy.PostID) string { return "cn=" + string(id) + ",ou=groups" }

func people() map[string]directory.Person {
	out := map[string]directory.Person{}
	for _, p := range []directory.Person{
		person("eto", "joho", policy.SecurityManager), person("endo", "jinji", policy.SecurityManager),
		person("oda", "dejitaru", policy.SecurityOfficer), person("ono", "soumu", policy.SecurityOfficer),
		person("cho", "dejitaru", policy.CIO), person("choei", "dejitaru", policy.CIO),
		person("sato", "joho", policy.SystemAdministrator), person("sada", "joho", policy.SystemAdministrator),
		person("kan", "kansa", policy.Auditor), person("sub", "joho"),
		person("both", "joho", policy.SystemAdministrator, policy.SecurityManager),
	} {
		out[p.Login] = p
	}
	second := person("eto2", "joho", policy.SecurityManager) // eto's second ID
	second.Number = "n-eto"
	out["eto2"] = second
	return out
}

func rules() *policy.Policy {
	p := policy.Standard()
	p.Sections = []policy.Section{
		{ID: "soumu"}, {ID: "jinji", Parent: "soumu"}, {ID: "zaisei", Parent: "soumu"}, {ID: "dejitaru"}, {ID: "joho", Parent: "dejitaru"}, {ID: "kansa"},
	}
	for i := range p.Posts {
		p.Posts[i].Group = groupOf(p.Posts[i].ID)
	}
	for i := range p.Zones {
		p.Zones[i].MailNotices = true
	}
	p.Mail.From = "sekisho@pref.example"
	return p
}

type world struct {
	*Book
	office   *office
	policy   *policy.Policy
	clock    *clock.Fake
	sessions *session.Sessions
	settled  func(ctx context.Context, tx *store.Tx, m Matter, to State) error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOn(t, storetest.Open(t))
}

func worldOn(t testing.TB, db *store.DB) *world {
	t.Helper()
	w := &world{office: &office{people: people()}, policy: rules(), clock: clock.NewFake(t0)}
	pol := func() *policy.Policy { return w.policy }
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	must(t, err)
	trail := audit.New(db, w.clock.Now)
	w.sessions = session.New(db, ring, trail, nil, pol, w.clock.Now)
	w.Book = New(House{
		DB: db, Trail: trail, Policy: pol, Version: func() int64 { return 7 }, People: w.office, Facts: w.office,
		Notices: notice.New(db, w.clock.Now, pol), Now: w.clock.Now,
	})
	w.Open(Elevation, Desk{
		Name: policy.Words{JA: "特権", EN: "Privilege"},
		Settle: func(ctx context.Context, tx *store.Tx, m Matter, to State) error {
			if w.settled != nil {
				return w.settled(ctx, tx, m, to)
			}
			return nil
		},
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holder is somebody as the directory has them.
func (w *world) holder(login string) Holder {
	p := w.office.people[login]
	return Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}
}

// signedIn is somebody who has just signed in with a key of last year.
func (w *world) signedIn(t testing.TB, login string) Approver {
	t.Helper()
	h := w.holder(login)
	var id string
	must(t, w.DB.WithTx(ctx, func(tx *store.Tx) error {
		n, _, err := w.sessions.Begin(ctx, tx, session.Session{
			Person: h.Person.ID, Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: w.clock.Now(), From: "10.2.0.9",
		})
		id = n.ID
		return err
	}))
	return Approver{
		Holder: h, Usable: true, ACR: policy.PHR, AuthAt: w.clock.Now(), FactorAt: t0.AddDate(-1, 0, 0),
		SessionID: id, From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
}

// matter is what sato asks for, for sato, of the manager of joho.
func (w *world) matter(change ...func(*Matter)) Matter {
	m := Matter{
		Kind: Elevation, Subject: "db-admin", Requester: Ref(w.office.people["sato"]), RequesterPosts: []policy.PostID{policy.SystemAdministrator},
		Zone: policy.LGWAN, Reason: "障害対応", Rule: Rule{Steps: []Step{{Posts: []policy.PostID{policy.SecurityManager}, Quorum: 1}}},
		Articles: []policy.Article{"62-6"},
	}
	for _, c := range change {
		c(&m)
	}
	return m
}

func (w *world) ask(t testing.TB, change ...func(*Matter)) Matter {
	t.Helper()
	m, err := w.tryAsk(change...)
	must(t, err)
	return m
}

func (w *world) tryAsk(change ...func(*Matter)) (Matter, error) {
	c, err := w.Consider(ctx, w.matter(change...))
	if err != nil {
		return Matter{}, err
	}
	var m Matter
	err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
		m, err = w.Ask(ctx, tx, c)
		return err
	})
	return m, err
}

func (w *world) state(t testing.TB, id string) State {
	t.Helper()
	v, err := w.Get(ctx, id)
	must(t, err)
	return v.At()
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(t testing.TB, parts ...string) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}

func (w *world) count(t testing.TB, q string, args ...any) int {
	t.Helper()
	var n int
	must(t, w.DB.QueryRow(ctx, q, args...).Scan(&n))
	return n
}

func (w *world) told(t testing.TB, login string, k notice.Kind) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, "id-"+login, string(k))
}
