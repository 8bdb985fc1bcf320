package test

import (
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// An elevation is what the API says of a lease.
type elevation struct {
	ID, State, Privilege, Requester, Reason, Cleanup string
	Minutes                                          int
	Decisions                                        []struct{ By, Decision, Comment string }
	EndsAt                                           *time.Time `json:"ends_at"`
	ApprovedUntil                                    *time.Time `json:"approved_until"`
	ReportOwed                                       bool       `json:"report_owed"`
	ReportDue                                        *time.Time `json:"report_due"`
	WitnessDue                                       *time.Time `json:"witness_due"`
	Paused, Shut, Emergency                          bool
	Account                                          *struct{ Login, Password string }
	May                                              []string
}

// An outsider looks at a directory by a tool that is not ours.
type outsider struct{ search, url, base, dn, password string }

func newOutsider(t *testing.T, url, base, dn, password string) outsider {
	t.Helper()
	return outsider{harness.Need(t, "ldapsearch", "ldap-utils"), url, base, dn, password}
}

// A lender is a sample prefecture whose directory is looked at from outside.
type lender struct {
	*harness.Dev
	outsider
}

func newLender(t *testing.T) lender {
	t.Helper()
	d := harness.StartSample(t)
	return lender{d, newOutsider(t, d.LDAP.URL, d.LDAP.BaseDN, d.LDAP.BindDN, d.LDAP.BindPassword)}
}

// lent is a privilege of dev.json.
func (d lender) lent(t *testing.T, id string) folder.Privilege {
	t.Helper()
	for _, p := range d.Privileges {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("dev.json has no privilege %s", id)
	return folder.Privilege{}
}

// withPost is somebody who holds a post, and is not a given one.
func (d lender) withPost(t *testing.T, post, but string) string {
	t.Helper()
	for _, p := range d.People {
		if p.State == "active" && p.Login != but && slices.Contains(p.Posts, post) {
			return p.Login
		}
	}
	t.Fatalf("nobody else is %s", post)
	return ""
}

// member reports whether a group names somebody.
func (o outsider) member(t *testing.T, groupDN, memberDN string) bool {
	t.Helper()
	out, err := exec.Command(o.search, "-x", "-LLL", "-o", "ldif-wrap=no", "-H", o.url, "-D", o.dn, "-w", o.password,
		"-s", "base", "-b", groupDN, "(objectClass=*)", "member").CombinedOutput()
	if err != nil {
		t.Fatalf("ldapsearch: %v\n%s", err, out)
	}
	return strings.Contains(strings.ToLower(string(out)), "member: "+strings.ToLower(memberDN)+"\n")
}

// binds reports whether a login of ou=admins and a password open the directory.
func (o outsider) binds(t *testing.T, login, password string) bool {
	t.Helper()
	err := exec.Command(o.search, "-x", "-LLL", "-H", o.url, "-D", "uid="+login+",ou=admins,"+o.base, "-w", password,
		"-s", "base", "-b", "", "(objectClass=*)", "namingContexts").Run()
	return err == nil
}

// borrower is somebody at the API.
type borrower struct {
	t *testing.T
	*harness.Client
	login string
}

func (d lender) signedIn(t *testing.T, login string) borrower {
	t.Helper()
	return borrower{t, keysIn(t, d.Dev, d.Person(t, login)), login}
}

// does asks for something of leases, and reads the lease that is answered.
func (b borrower) does(path string, body any, status int) elevation {
	b.t.Helper()
	a := b.Do(b.t, "POST", "/api/v1/elevations"+path, body)
	if a.Status != status {
		b.t.Fatalf("%s at %s: %d, want %d: %s", b.login, path, a.Status, status, a.Body)
	}
	var e elevation
	if status < http.StatusMultipleChoices {
		a.Into(b.t, &e)
	}
	return e
}

func (b borrower) sees(id string) elevation {
	b.t.Helper()
	a := b.Do(b.t, "GET", "/api/v1/elevations/"+id, nil)
	if a.Status != http.StatusOK {
		b.t.Fatalf("%s reads %s: %d %s", b.login, id, a.Status, a.Body)
	}
	var e elevation
	a.Into(b.t, &e)
	return e
}

func (b borrower) list(query string) []elevation {
	b.t.Helper()
	var out struct{ Items []elevation }
	b.Do(b.t, "GET", "/api/v1/elevations"+query, nil).Into(b.t, &out)
	return out.Items
}

func (e elevation) is(t *testing.T, state string) elevation {
	t.Helper()
	if e.State != state {
		t.Fatalf("the lease is %s, want %s: %+v", e.State, state, e)
	}
	return e
}

type saying map[string]any

// TestLeases is the whole story of lent privilege through the API, with the
// clock of control and the directory watched by ldapsearch.
func TestLeases(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T, lender)
	}{
		{"borrowed and over by itself", leaseOver}, {"given back, denied, withdrawn, revoked", leaseEnds}, {"without approval", leaseEmergency},
		{"an ID of its own", leaseEphemeral}, {"two people", leaseTogether}, {"asked ten times at once", leaseOnce}, {"what is others'", leaseOthers},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(t, d) })
	}
}

func leaseOver(t *testing.T, d lender) {
	p := d.lent(t, "db-admin")
	dn := d.Person(t, p.Eligible[0]).DN
	asker, approver := d.signedIn(t, p.Eligible[0]), d.signedIn(t, p.Approvers[0])
	type offer struct {
		ID        string
		Available bool
		Most      int `json:"max_minutes"`
	}
	var offers struct{ Items []offer }
	asker.Do(t, "GET", "/api/v1/privileges", nil).Into(t, &offers)
	if !slices.Contains(offers.Items, offer{p.ID, true, p.MaxMinutes}) {
		t.Fatalf("%s is not offered %s: %+v", asker.login, p.ID, offers)
	}
	e := asker.does("", saying{"privilege": p.ID, "reason": "索引を作り直す", "minutes": 10}, 201).is(t, "pending")
	if e.Requester != asker.login || e.Minutes != 10 || e.Cleanup != "none" || len(e.Decisions) != 0 {
		t.Errorf("asked: %+v", e)
	}
	asker.does("", saying{"privilege": p.ID, "reason": "もう一つ", "minutes": 10}, 409) // one at a time
	asker.does("/"+e.ID+"/activate", nil, 409)
	asker.does("/"+e.ID+"/approve", nil, 403) // nobody decides their own
	if waits := approver.list("?to_approve=true"); len(waits) != 1 || waits[0].ID != e.ID || !slices.Contains(waits[0].May, "approve") {
		t.Errorf("the queue of %s: %+v", approver.login, waits)
	}
	e = approver.does("/"+e.ID+"/approve", saying{"comment": "作業票のとおり"}, 200).is(t, "approved")
	if len(e.Decisions) != 1 || e.Decisions[0].By != approver.login || e.Decisions[0].Decision != "approve" || e.ApprovedUntil == nil {
		t.Errorf("approved: %+v", e)
	}
	approver.does("/"+e.ID+"/activate", nil, 403) // only its borrower
	if d.member(t, p.GroupDN, dn) {
		t.Error("a member before it was activated")
	}
	e = asker.does("/"+e.ID+"/activate", nil, 200).is(t, "active")
	if e.EndsAt == nil || !d.member(t, p.GroupDN, dn) {
		t.Fatalf("active, and no member: %+v", e)
	}
	if live := approver.list("?state=active"); len(live) != 1 || live[0].ID != e.ID || !slices.Contains(live[0].May, "revoke") {
		t.Errorf("what lives: %+v", live)
	}
	d.Advance(t, 9*time.Minute)
	asker.sees(e.ID).is(t, "active")
	d.Advance(t, 61*time.Second)
	asker.sees(e.ID).is(t, "expired") // at once, whatever has run
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	harness.Until(t, "the cleanup is confirmed", func() bool { return asker.sees(e.ID).Cleanup == "confirmed" })
	asker.does("/"+e.ID+"/end", nil, 409)
	e = asker.sees(e.ID)
	if !e.ReportOwed || e.ReportDue == nil {
		t.Fatalf("no record is owed: %+v", e)
	}
	asker.does("/"+e.ID+"/countersign", nil, 403)
	if e = asker.does("/"+e.ID+"/report", saying{"report": "索引を作り直し、件数を確かめた。"}, 200); e.ReportOwed {
		t.Errorf("a record is owed still: %+v", e)
	}
	if a := approver.Do(t, "POST", "/api/v1/elevations/"+e.ID+"/countersign", nil); a.Code() != "step_up" {
		t.Errorf("countersigned by a sign-in of ten minutes ago: %d %s", a.Status, a.Body)
	}
	approver = d.signedIn(t, approver.login)
	approver.does("/"+e.ID+"/countersign", saying{"comment": "確認した"}, 200)
	approver.does("/"+e.ID+"/countersign", nil, 409)
}

func leaseEnds(t *testing.T, d lender) {
	p := d.lent(t, "db-admin")
	dn := d.Person(t, p.Eligible[1]).DN
	asker, approver := d.signedIn(t, p.Eligible[1]), d.signedIn(t, p.Approvers[0])
	ask := func() elevation {
		return asker.does("", saying{"privilege": p.ID, "reason": "調査", "minutes": 10}, 201).is(t, "pending")
	}
	e := ask()
	card := regexp.MustCompile(`/approvals/[A-Za-z0-9_-]+`).FindString(string(approver.Do(t, "GET", "/approvals", nil).Body))
	stranger := borrower{t, signIn(t, d.Dev, d.Person(t, "tanaka")), "tanaka"}
	cards := func(when string) {
		t.Helper()
		if a := approver.Do(t, "GET", card, nil); a.Status != 200 {
			t.Errorf("%s the approver reads %q: %d", when, card, a.Status)
		}
		if a := stranger.Do(t, "GET", card, nil); a.Status != 404 {
			t.Errorf("%s a stranger reads %q: %d", when, card, a.Status)
		}
	}
	cards("while it waits")
	approver.does("/"+e.ID+"/deny", nil, 200).is(t, "denied")
	cards("when it is settled")
	approver.does("/"+e.ID+"/approve", nil, 409)
	e = ask()
	asker.does("/"+e.ID+"/cancel", nil, 200).is(t, "cancelled")
	approver.does("/"+e.ID+"/approve", nil, 409)
	active := func() elevation {
		e := ask()
		approver.does("/"+e.ID+"/approve", nil, 200)
		return asker.does("/"+e.ID+"/activate", nil, 200).is(t, "active")
	}
	e = active()
	more := asker.does("/"+e.ID+"/extend", saying{"minutes": 5, "comment": "終わらない"}, 200).is(t, "active")
	if !more.EndsAt.Equal(*e.EndsAt) {
		t.Errorf("more time before anybody said yes: %v, then %v", e.EndsAt, more.EndsAt)
	}
	more = approver.does("/"+e.ID+"/approve", nil, 200)
	if got := more.EndsAt.Sub(*e.EndsAt); got != 5*time.Minute {
		t.Errorf("five minutes more are %v", got)
	}
	asker.does("/"+e.ID+"/end", nil, 200).is(t, "ended")
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	asker.does("/"+e.ID+"/report", saying{"report": "調べた。"}, 200)
	e = active()
	asker.does("/"+e.ID+"/revoke", nil, 403)
	approver.does("/"+e.ID+"/revoke", saying{"comment": "不審な操作"}, 200).is(t, "revoked")
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	// An approval that nobody uses lapses, and so does a request that nobody decides.
	asker.does("/"+e.ID+"/report", saying{"report": "取り消された。"}, 200)
	e = ask()
	d.Advance(t, 48*time.Hour)
	asker = d.signedIn(t, asker.login)
	asker.sees(e.ID).is(t, "lapsed")
}

func leaseEmergency(t *testing.T, d lender) {
	p := d.lent(t, "db-admin")
	asker := d.signedIn(t, p.Eligible[2])
	dn := d.Person(t, asker.login).DN
	cio := d.signedIn(t, d.withPost(t, "cio", asker.login))
	e := asker.does("/emergency", saying{"privilege": p.ID, "reason": "窓口が止まっている", "minutes": 15}, 201).is(t, "active")
	if !e.Emergency || !e.ReportOwed || e.EndsAt == nil || !d.member(t, p.GroupDN, dn) {
		t.Errorf("without approval: %+v", e)
	}
	told := func(login string) bool {
		for _, m := range mailTo(t, d.Dev, d.Person(t, login).Mail) {
			if strings.Contains(m.Subject, "承認なしで特権が使われました") && strings.Contains(m.Text, "窓口が止まっている") {
				return true
			}
		}
		return false
	}
	harness.Until(t, "the CIO was told", func() bool { return told(cio.login) })
	asker.does("/"+e.ID+"/extend", saying{"minutes": 5}, 409)
	asker.does("/"+e.ID+"/judge", saying{"comment": "よい"}, 403)
	cio.does("/"+e.ID+"/judge", saying{"comment": "やむを得ない"}, 200)
	asker.does("/"+e.ID+"/end", nil, 200).is(t, "ended")
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	asker.does("/"+e.ID+"/report", saying{"report": "復旧した。"}, 200)
	// What is not to be taken without approval is not.
	asker.does("/emergency", saying{"privilege": "server-admin", "reason": "急ぐ", "minutes": 15}, 403)
}

func leaseEphemeral(t *testing.T, d lender) {
	p := d.lent(t, "server-admin")
	asker, approver := d.signedIn(t, p.Eligible[0]), d.signedIn(t, p.Approvers[0])
	asker.does("", saying{"privilege": p.ID, "reason": "更新", "minutes": 10}, 422) // a ticket is asked for
	e := asker.does("", saying{"privilege": p.ID, "reason": "更新", "minutes": 10, "ticket": "CHG-0042"}, 201)
	approver.does("/"+e.ID+"/approve", nil, 200)
	e = asker.does("/"+e.ID+"/activate", nil, 200).is(t, "active")
	if e.Account == nil || e.Account.Password == "" || !d.binds(t, e.Account.Login, e.Account.Password) {
		t.Fatalf("the ID of the lease does not bind: %+v", e.Account)
	}
	lent := *e.Account
	if again := asker.sees(e.ID); again.Account == nil || again.Account.Login != lent.Login || again.Account.Password != "" {
		t.Errorf("read again, the account is %+v", again.Account)
	}
	if d.binds(t, lent.Login, "not-the-password") {
		t.Error("any password binds")
	}
	asker.does("/"+e.ID+"/end", nil, 200)
	harness.Until(t, "the ID binds no more", func() bool { return !d.binds(t, lent.Login, lent.Password) })
	harness.Until(t, "the cleanup is confirmed", func() bool { return asker.sees(e.ID).Cleanup == "confirmed" })
	if a := asker.sees(e.ID); a.ReportOwed {
		asker.does("/"+e.ID+"/report", saying{"report": "更新した。"}, 200)
	}
}

// leaseTogether: two decide, a second person starts it and stays (article 49-3),
// or it pauses.
func leaseTogether(t *testing.T, d lender) {
	p := d.lent(t, "juki-batch")
	asker, other := d.signedIn(t, p.Eligible[0]), d.signedIn(t, p.Eligible[1])
	dn := d.Person(t, asker.login).DN
	e := asker.does("", saying{"privilege": p.ID, "reason": "一括処理", "minutes": 60}, 201)
	yes := 0
	for _, login := range p.Approvers {
		if yes == p.Quorum {
			break
		}
		if login == asker.login || login == other.login {
			continue
		}
		if e = d.signedIn(t, login).does("/"+e.ID+"/approve", nil, 200); yes == 0 && e.State != "pending" {
			t.Fatalf("one yes of %d makes it %s", p.Quorum, e.State)
		}
		yes++
	}
	e.is(t, "approved")
	other.does("/"+e.ID+"/witness", nil, 409) // its borrower begins
	asker.does("/"+e.ID+"/activate", nil, 200).is(t, "approved")
	asker.does("/"+e.ID+"/witness", nil, 403) // nobody is their own second person
	if d.member(t, p.GroupDN, dn) {
		t.Error("a member with one person")
	}
	e = other.does("/"+e.ID+"/witness", nil, 200).is(t, "active")
	if e.WitnessDue == nil || e.Paused || !d.member(t, p.GroupDN, dn) {
		t.Fatalf("with two: %+v", e)
	}
	d.Advance(t, 11*time.Minute)
	if e = asker.sees(e.ID); !e.Paused || e.State != "active" {
		t.Errorf("nobody confirmed: %+v", e)
	}
	harness.Until(t, "the directory to know of the pause", func() bool { return !d.member(t, p.GroupDN, dn) })
	e = other.does("/"+e.ID+"/witness", nil, 200)
	if e.Paused || !d.member(t, p.GroupDN, dn) {
		t.Errorf("confirmed again: %+v", e)
	}
	asker.does("/"+e.ID+"/end", nil, 200).is(t, "ended")
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	if e = asker.sees(e.ID); e.ReportOwed {
		asker.does("/"+e.ID+"/report", saying{"report": "処理した。"}, 200)
	}
}

// leaseOnce: one key makes one lease, another body under it none (F16).
func leaseOnce(t *testing.T, d lender) {
	p := d.lent(t, "db-admin")
	asker := d.signedIn(t, p.Eligible[1])
	body := saying{"privilege": p.ID, "reason": "一度だけ", "minutes": 10}
	ids := make(chan string)
	for range 10 {
		c := asker.Fork()
		go func() {
			a, err := c.Try("POST", "/api/v1/elevations", body, "Idempotency-Key", "once-1")
			var e elevation
			if err == nil && a.Status == http.StatusCreated {
				a.Into(t, &e)
			}
			ids <- e.ID
		}()
	}
	var made []string
	for range 10 {
		made = append(made, <-ids)
	}
	slices.Sort(made)
	if made = slices.Compact(made); len(made) != 1 || made[0] == "" {
		t.Fatalf("ten requests under one key made %q", made)
	}
	body["minutes"] = 11
	if a := asker.Do(t, "POST", "/api/v1/elevations", body, "Idempotency-Key", "once-1"); a.Status != http.StatusConflict || a.Code() != "idempotency" {
		t.Errorf("another body: %d %s", a.Status, a.Body)
	}
	asker.does("/"+made[0]+"/cancel", nil, 200)
}

// leaseOthers: whoever has no business with a lease finds none (ASVS 8.2.2).
func leaseOthers(t *testing.T, d lender) {
	p := d.lent(t, "db-admin")
	asker := d.signedIn(t, p.Eligible[0])
	e := asker.does("", saying{"privilege": p.ID, "reason": "見られるか", "minutes": 10}, 201)
	staff := borrower{t, signIn(t, d.Dev, d.Person(t, "tanaka")), "tanaka"}
	if a := staff.Do(t, "GET", "/api/v1/elevations/"+e.ID, nil); a.Status != http.StatusNotFound {
		t.Errorf("a stranger reads: %d %s", a.Status, a.Body)
	}
	if got := staff.list(""); len(got) != 0 {
		t.Errorf("a stranger lists %+v", got)
	}
	for _, act := range []string{"approve", "deny", "cancel", "activate", "extend", "end", "revoke", "witness", "report", "countersign", "judge"} {
		a := staff.Do(t, "POST", "/api/v1/elevations/"+e.ID+"/"+act, saying{"comment": "x", "report": "x"})
		if a.Status < 400 || a.Status >= 500 {
			t.Errorf("a stranger may %s: %d %s", act, a.Status, a.Body)
		}
	}
	staff.does("", saying{"privilege": p.ID, "reason": "ほしい", "minutes": 10}, 403)
	asker.sees(e.ID).is(t, "pending")
	// To decide takes a fresh sign-in that is not fished: a code is none.
	weak := borrower{t, signIn(t, d.Dev, d.Person(t, p.Approvers[0])), p.Approvers[0]}
	if a := weak.Do(t, "POST", "/api/v1/elevations/"+e.ID+"/approve", nil); a.Status != http.StatusForbidden || a.Code() != "step_up" || !strings.Contains(string(a.Body), `"required_acr":"phr"`) {
		t.Errorf("deciding with a code: %d %s", a.Status, a.Body)
	}
	asker.does("/"+e.ID+"/cancel", nil, 200)
}
