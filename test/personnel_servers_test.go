package test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/directory/schema"
	"sekisho/test/harness"
)

// A staffed site is one whose people change by files, and whose server is asked itself.
type staffed struct {
	*harness.Site
	prefix                  string // of logins: a domain is shared
	tanaka, kobayashi       *harness.Member
	binds                   func(dn, password string) error
	attribute               func(dn, name string) string
	password                func(dn, password string)
	dn                      func(login string) string
	ends                    string // the attribute that keeps an end
	end                     func(time.Time) string
	closed, closedIs, opens string // the attribute of a closed ID, and its values
}

// TestPersonnelOnServers: what files of personnel changes do to people is what slapd and
// a domain do by themselves, each in its own way: who leaves does not bind and who comes
// back does, with the factors that they had; the end of a contract is kept to the second
// by a server that knows seconds (pwdEndTime, accountExpires), and the gate refuses at
// that second whatever runs (articles 38-7, 62-3, 62-4).
func TestPersonnelOnServers(t *testing.T) {
	t.Parallel()
	t.Run("slapd", func(t *testing.T) {
		t.Parallel()
		s := harness.NewSite(t, harness.SiteOptions{})
		staffed{
			Site: s, tanaka: s.Members["tanaka"], kobayashi: s.Members["kobayashi"],
			binds: func(dn, password string) error { return whoami(t, s.Slapd, dn, password) },
			attribute: func(dn, name string) string {
				return strings.Join(s.Attribute(t, dn, name), " ")
			},
			password: func(dn, password string) {
				s.Replace(t, dn, "userPassword", password)
				s.Replace(t, dn, "pwdReset") // what an administrator sets is temporary here
			},
			dn:   func(login string) string { return "uid=" + login + ",ou=people," + s.Slapd.BaseDN },
			ends: "pwdEndTime", end: schema.FormatTime,
			closed: "pwdAccountLockedTime", closedIs: "000001010000Z",
		}.story(t)
	})
	t.Run("Active Directory", func(t *testing.T) {
		t.Parallel()
		d := onDomain(t, "p-")
		tanaka, kobayashi := d.join("tanaka", false), d.join("kobayashi", false)
		d.group("staff", tanaka.DN, kobayashi.DN)
		d.group("officer", kobayashi.DN)
		d.Variant(t, d.Policy, "policy.yaml", "applications:", "sections: [{id: jinji, name: {ja: 人事課, en: Personnel Division}}]\napplications:")
		ad, _ := schema.Named("active_directory")
		staffed{
			Site: d.Site, prefix: d.prefix, tanaka: tanaka, kobayashi: kobayashi,
			binds: func(dn, password string) error {
				c := d.s.Dial(t)
				defer c.Close()
				return c.Bind(dn, password)
			},
			attribute: d.attribute,
			password: func(dn, password string) {
				value, err := ad.PasswordValue(password)
				if err != nil {
					t.Fatal(err)
				}
				d.replace(dn, "unicodePwd", value)
			},
			dn: func(login string) string {
				r, err := d.admin.Search(goldap.NewSearchRequest(d.s.BaseDN, goldap.ScopeWholeSubtree, 0, 0, 0, false, "(sAMAccountName="+login+")", []string{"1.1"}, nil))
				if err != nil || len(r.Entries) != 1 {
					t.Fatalf("%s in the domain: %v", login, err)
				}
				return r.Entries[0].DN
			},
			ends: "accountExpires", end: func(at time.Time) string { return strconv.FormatInt((at.Unix()+11644473600)*1e7, 10) },
			closed: "userAccountControl", closedIs: "514", opens: "512",
		}.story(t)
	})
}

func (s staffed) story(t *testing.T) {
	clock := newStageClock(t, s.Dir, -25*time.Hour)
	yesterday := plays(t, s.Site, clock)
	officer := s.Behind("10.2.0.1")
	s.kobayashi.SignIn(t, officer)
	key, a := officer.EnrolPasskey(t, s.PublicURL)
	if a.Status != http.StatusCreated {
		t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
	}
	yesterday.Stop(t)
	clock.set(t, 0)
	plays(t, s.Site, clock)

	tanaka := s.Behind("10.2.0.2")
	s.tanaka.SignIn(t, tanaka)
	signedIn := func(c *harness.Client) bool {
		return c.Fork().Do(t, "GET", "/api/v1/session", nil).Status == http.StatusOK
	}
	contract, contractor := s.prefix+"keiyaku", &harness.Member{Login: s.prefix + "keiyaku", Password: "Samidare-no-Oto-81"}
	lastDay := time.Now().In(jst).AddDate(0, 0, 1)
	end := time.Date(lastDay.Year(), lastDay.Month(), lastDay.Day()+1, 0, 0, 0, 0, jst)

	s.carried(t, key, "number,name,login,section,kind,change,company,ends,mail\n"+
		"S-keiyaku,桂 約,"+contract+",jinji,事業者,採用,例電算株式会社,"+lastDay.Format(time.DateOnly)+",keiyaku@pref.example\n"+
		"S-tanaka,田中 美咲,"+s.tanaka.Login+",,,退職,,,\n")
	if err := s.binds(s.tanaka.DN, s.tanaka.Password); err == nil {
		t.Error("the server lets in who has left")
	}
	if got := s.attribute(s.tanaka.DN, s.closed); got != s.closedIs {
		t.Errorf("who has left has %s %q", s.closed, got)
	}
	if signedIn(tanaka) {
		t.Error("the session of who has left goes on")
	}
	if _, a := s.Behind("10.2.0.3").Password(t, s.tanaka.Login, s.tanaka.Password); a.Status != http.StatusUnauthorized {
		t.Errorf("who has left signs in: %d %s", a.Status, a.Body)
	}
	dn := s.dn(contract)
	if got := s.attribute(dn, s.ends); got != s.end(end) {
		t.Errorf("the contract's end is kept as %q, want %q", got, s.end(end))
	}
	s.password(dn, contractor.Password)
	if err := s.binds(dn, contractor.Password); err != nil {
		t.Errorf("the server refuses who joined: %v", err)
	}

	// Back again, by the next file.
	s.carried(t, key, "number,name,login,section,change,ends\nS-tanaka,田中 美咲,"+s.tanaka.Login+",jinji,再任用,なし\n")
	if err := s.binds(s.tanaka.DN, s.tanaka.Password); err != nil {
		t.Errorf("the server refuses who came back: %v", err)
	}
	if got := s.attribute(s.tanaka.DN, s.closed); got != s.opens {
		t.Errorf("who came back has %s %q", s.closed, got)
	}

	clock.set(t, time.Until(end)-time.Minute)
	c := s.Behind("10.2.0.4")
	contractor.SignIn(t, c)
	s.tanaka.SignIn(t, s.Behind("10.2.0.5"))
	if !signedIn(c) {
		t.Error("the contract's last minute is not the contractor's")
	}
	clock.set(t, time.Until(end))
	if signedIn(c) {
		t.Error("the session outlives the contract")
	}
	if _, a := s.Behind("10.2.0.6").Password(t, contract, contractor.Password); a.Status != http.StatusUnauthorized {
		t.Errorf("after the contract: %d %s", a.Status, a.Body)
	}
}

// carried has a file be proposed at a terminal, approved by its second person, and
// carried out by the gate.
func (s staffed) carried(t *testing.T, key *passkeytest.Key, text string) {
	t.Helper()
	out, errs, status := harness.Run(t, "sekisho", "people", "import", "--config", s.Config, "--format", "json", s.Write(t, "jinji.csv", []byte(text)))
	var said struct{ Import string }
	if err := json.Unmarshal([]byte(out), &said); status != 0 || err != nil {
		t.Fatalf("proposing a file: %d %v\n%s%s", status, err, out, errs)
	}
	officer := s.Behind("10.2.0.1")
	if step, a := officer.Passkey(t, key); step.State != "signed_in" {
		t.Fatalf("the officer's passkey: %d %s", a.Status, a.Body)
	}
	if a := officer.Do(t, "POST", "/api/v1/imports/"+said.Import+"/approve", saying{}); a.Status != http.StatusOK {
		t.Fatalf("approving: %d %s", a.Status, a.Body)
	}
	var i struct {
		State        string
		Done, Failed int
	}
	harness.Until(t, "the file to be carried out", func() bool {
		officer.Do(t, "GET", "/api/v1/imports/"+said.Import, nil).Into(t, &i)
		return i.State == "done" || i.Failed > 0
	})
	if i.Failed > 0 {
		t.Fatalf("%d lines failed: %s", i.Failed, officer.Do(t, "GET", "/api/v1/imports/"+said.Import+"/lines", nil).Body)
	}
}
