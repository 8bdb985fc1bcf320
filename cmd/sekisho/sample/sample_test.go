package sample_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"sekisho/cmd/sekisho/sample"
	"sekisho/policy"
)

func drawn(t *testing.T) *sample.Secrets {
	t.Helper()
	s, err := sample.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPolicyIsSound(t *testing.T) {
	p, problems := policy.Parse("policy.yaml", sample.Policy(drawn(t).Terminals, drawn(t).Clients...))
	if len(problems) > 0 {
		t.Fatal(problems.Text("en"))
	}
	if _, ok := p.Deviates(policy.DeviationSeveralZones); !ok {
		t.Error("three zones in one process are not recorded as a deviation")
	}
	byZone := map[policy.ZoneID]int{}
	for _, a := range p.Applications {
		byZone[a.Zone]++
		if len(a.Posts) > 0 {
			t.Errorf("%s is not open to all posts", a.ID)
		}
	}
	if byZone[policy.LGWAN] != 2 || byZone[policy.MyNumber] != 1 {
		t.Errorf("applications by zone = %v, want two in lgwan and one in mynumber", byZone)
	}
	outside, zones := 0, map[policy.ZoneID]bool{}
	for _, n := range p.Networks {
		zones[n.Zone] = true
		if n.Outside {
			outside++
			if !n.Prefix.Addr().Is4() || n.Prefix.Bits() != 24 {
				t.Errorf("outside network %v is not an IPv4 /24", n.Prefix)
			}
		}
	}
	if outside != 1 || len(zones) != 3 {
		t.Errorf("%d outside networks, %d zones; want 1 and 3", outside, len(zones))
	}
	classes := map[string]int{}
	for _, term := range p.Terminals {
		classes[term.Class]++
		if _, err := term.Key(); err != nil {
			t.Errorf("the key of %s: %v", term.ID, err)
		}
	}
	if classes[policy.TerminalLent] != 1 || classes[policy.TerminalDedicated] == 0 || classes[policy.TerminalCounter] == 0 {
		t.Errorf("terminals by class %v, want one lent and some of the others", classes)
	}
	for _, person := range sample.People() {
		if !slices.ContainsFunc(p.Sections, func(s policy.Section) bool { return s.ID == person.Section }) {
			t.Errorf("%s is in section %s, which the policy does not have", person.Login, person.Section)
		}
	}
}

// TestWhatIsLent: dev.json's contract names one plain privilege, and everybody who
// asks or decides has a passkey.
func TestWhatIsLent(t *testing.T) {
	s := drawn(t)
	p, problems := policy.Parse("policy.yaml", sample.Policy(s.Terminals, s.Clients...))
	if len(problems) > 0 {
		t.Fatal(problems.Text("en"))
	}
	db, ok := p.Privilege("db-admin")
	if !ok || len(db.Gives) != 1 || db.Gives[0].Kind != policy.GiftGroup || db.Approvers.Quorum != 1 || !db.Emergency || db.TwoPerson ||
		len(db.Hours) > 0 || db.CoolDown > 0 || db.Ticket != "" || db.Longest != time.Hour {
		t.Errorf("db-admin is %+v", db)
	}
	kinds, two := map[string]bool{}, 0
	for _, v := range p.Privileges {
		for _, g := range v.Gives {
			kinds[g.Kind] = true
		}
		if v.TwoPerson {
			two++
		}
		asks, decides := 0, 0
		for _, person := range sample.People() {
			may := p.MayBorrow(v, person.Login, person.Posts, nil, person.Section)
			approves := slices.ContainsFunc(person.Posts, func(id policy.PostID) bool { return slices.Contains(v.Approvers.Posts, id) })
			if person.State != sample.Active || !may && !approves {
				continue
			}
			if s.Of(person.Login).Passkey == nil {
				t.Errorf("%s asks for %s, or decides, and has no passkey", person.Login, v.ID)
			}
			if may {
				asks++
			}
			if approves {
				decides++
			}
		}
		if asks < 2 || decides < v.Approvers.Quorum {
			t.Errorf("%s: %d may ask, %d decide", v.ID, asks, decides)
		}
	}
	for _, k := range policy.GiftKinds() {
		if !kinds[k] {
			t.Errorf("nothing gives a %s", k)
		}
	}
	if two == 0 {
		t.Error("nothing takes two persons")
	}
}

// TestNobodyMustApproveTheirOwn: article 16 needs a second person for every
// post that decides or witnesses.
func TestNobodyMustApproveTheirOwn(t *testing.T) {
	for _, post := range []policy.PostID{
		policy.SecurityManager, policy.SecurityOfficer, policy.CIO, policy.CSIRT, policy.SystemAdministrator, policy.Auditor,
	} {
		if n := len(sample.Holders(post)); n < 2 {
			t.Errorf("%s has %d holders, want two or more", post, n)
		}
	}
}

func TestEveryStateIsThere(t *testing.T) {
	seen := map[sample.State]bool{}
	logins := map[string]bool{}
	for _, p := range sample.People() {
		seen[p.State] = true
		if logins[p.Login] {
			t.Errorf("two people are called %s", p.Login)
		}
		logins[p.Login] = true
		if p.For.JA == "" || p.For.EN == "" {
			t.Errorf("%s is not introduced in both languages", p.Login)
		}
		for _, r := range p.DN() {
			if r > 126 {
				t.Errorf("DN %s is not ASCII", p.DN())
			}
		}
	}
	for _, s := range []sample.State{sample.Active, sample.MustChange, sample.Dormant, sample.Left, sample.OnLeave, sample.Ended} {
		if !seen[s] {
			t.Errorf("nobody is %s", s)
		}
	}
	if !logins["tanaka"] {
		t.Error("there is no tanaka")
	}
}

func TestCredentials(t *testing.T) {
	a, b := drawn(t), drawn(t)
	plain := regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	base32 := regexp.MustCompile(`^[A-Z2-7]{32}$`)
	for _, p := range sample.People() {
		c := a.Of(p.Login)
		if !plain.MatchString(c.Password) {
			t.Errorf("%s: password %q is not of letters, digits and '-'", p.Login, c.Password)
		}
		if c.Password == b.Of(p.Login).Password {
			t.Errorf("%s has the same password in two folders", p.Login)
		}
		if p.State == sample.Active && !base32.MatchString(c.TOTPSecret) {
			t.Errorf("%s is active and has no TOTP secret of 160 bits", p.Login)
		}
	}
}

// TestEntriesCarryTheState checks what the directory will say of each state.
func TestEntriesCarryTheState(t *testing.T) {
	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	entries := map[string]map[string][]string{}
	err := sample.Entries(now, drawn(t), func(dn string, a map[string][]string) error {
		entries[dn] = a
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	person := func(login string) map[string][]string { return entries["uid="+login+",ou=people,"+sample.BaseDN] }
	for _, tt := range []struct{ login, attribute, want string }{
		{"shimizu", "pwdReset", "TRUE"},
		{"saito", "pwdLastSuccess", "20251122090000Z"},
		{"yamaguchi", "pwdAccountLockedTime", "000001010000Z"},
		{"abe", "shadowExpire", "20534"},
		{"hayashi", "employeeType", "contractor"},
		{"tanaka", "departmentNumber", "jinji"},
	} {
		if got := person(tt.login)[tt.attribute]; len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s %s = %v, want %s", tt.login, tt.attribute, got, tt.want)
		}
	}
	if got := entries[sample.GroupDN(policy.CIO)]["member"]; len(got) != 2 {
		t.Errorf("cio group = %v, want two members", got)
	}
}

// TestGearSecret: programs take it as an argument, where a hyphen begins an option; RFC 2865
// section 3 asks for 16 octets at least, and ours for 32.
func TestGearSecret(t *testing.T) {
	if got := drawn(t).RADIUS; !regexp.MustCompile(`^[0-9a-f]{48}$`).MatchString(got) || got == sample.GearSecret() {
		t.Errorf("the secret of the sample's gear is %d characters of another form, or twice the same", len(got))
	}
}
