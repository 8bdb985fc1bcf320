// Package policy is what the prefecture has decided, as plain data: the
// guideline's articles, the zones and who may cross them, posts, sections,
// networks, terminals, applications, and every number that has a unit, bounds,
// a default and a reason.
//
// It refuses to know who anybody is, what time it is, where a policy is kept
// and whether anybody obeys it. It reads a policy.yaml and says everything that
// is wrong with it at once; it compares two policies; it answers questions that
// need nothing but the text. The versions in force, and the two persons it
// takes to change them, are policy/charter's.
//
// A Policy that came out of Parse or Standard is shared between goroutines and
// must not be changed by its readers.
package policy

import (
	"crypto/ecdsa"
	"net/netip"
	"time"
)

// Words is one thing said to people in both languages of the house.
type Words struct {
	JA string `yaml:"ja"`
	EN string `yaml:"en"`
}

// In returns the words in lang, "ja" or "en". An empty one falls back to the
// other: half an answer is better for the reader than none.
func (w Words) In(lang string) string {
	if (lang == "en" && w.EN != "") || w.JA == "" {
		return w.EN
	}
	return w.JA
}

// IsEmpty reports whether nothing is said in either language.
func (w Words) IsEmpty() bool { return w.JA == "" && w.EN == "" }

// A ZoneID names one of the three parts that article 6(3) divides the
// prefecture's systems into.
type ZoneID string

// The zones of articles 2(9) to 2(11).
const (
	MyNumber ZoneID = "mynumber" // 個人番号利用事務系
	LGWAN    ZoneID = "lgwan"    // LGWAN接続系
	Internet ZoneID = "internet" // インターネット接続系
)

// ZoneIDs are all zones there are, the most protected first.
func ZoneIDs() []ZoneID { return []ZoneID{MyNumber, LGWAN, Internet} }

// A PostID names a post of articles 11 to 15 and 82, or one of the two kinds
// of people without one.
type PostID string

// The posts.
const (
	Staff               PostID = "staff"
	Contractor          PostID = "contractor"
	SystemAdministrator PostID = "system_administrator" // 情報システム管理者
	SystemOperator      PostID = "system_operator"      // 情報システム担当者
	SecurityManager     PostID = "security_manager"     // 情報セキュリティ管理者
	SecurityOfficer     PostID = "security_officer"     // 情報セキュリティ責任者
	CIO                 PostID = "cio"
	CSIRT               PostID = "csirt"
	Auditor             PostID = "auditor"
)

// PostIDs are all posts there are, in the order in which they are shown.
func PostIDs() []PostID {
	return []PostID{Staff, Contractor, SystemAdministrator, SystemOperator, SecurityManager, SecurityOfficer, CIO, CSIRT, Auditor}
}

// An ACR says how well a person has been identified, in the words that
// applications are told (OpenID Connect Core section 2, acr).
type ACR string

// The assurances, weakest first.
const (
	AAL1 ACR = "aal1" // one factor, NIST SP 800-63B-4 section 2.1
	AAL2 ACR = "aal2" // two factors, section 2.2
	PHR  ACR = "phr"  // phishing-resistant, section 3.2.5
)

// ACRs are all assurances there are, weakest first.
func ACRs() []ACR { return []ACR{AAL1, AAL2, PHR} }

// AtLeast reports whether a is as strong as b. A value nobody knows is neither
// strong enough nor satisfied by anything, so a misspelling denies.
func (a ACR) AtLeast(b ACR) bool {
	return a.strength() > 0 && b.strength() > 0 && a.strength() >= b.strength()
}

func (a ACR) strength() int {
	switch a {
	case AAL1:
		return 1
	case AAL2:
		return 2
	case PHR:
		return 3
	}
	return 0
}

// A Policy is one version of everything the prefecture has decided.
type Policy struct {
	Profile         string               `yaml:"profile"`
	Prefecture      Prefecture           `yaml:"prefecture"`
	Zones           []Zone               `yaml:"zones"`
	ZoneMatrix      ZoneMatrix           `yaml:"zone_matrix"`
	Classes         []Class              `yaml:"classes"`
	Posts           []Post               `yaml:"posts"`
	Sections        []Section            `yaml:"sections"`
	Networks        []Network            `yaml:"networks"`
	Terminals       []Terminal           `yaml:"terminals"`
	Applications    []Application        `yaml:"applications"`
	Clients         []Client             `yaml:"clients"`
	Privileges      []Privilege          `yaml:"privileges"`
	SharedIDs       []SharedID           `yaml:"shared_ids"`
	Deviations      []Deviation          `yaml:"deviations"`
	Banner          Words                `yaml:"banner"`
	Acknowledgement Acknowledgement      `yaml:"acknowledgement"`
	SignIn          SignInRules          `yaml:"sign_in"`
	Password        PasswordRules        `yaml:"password"`
	TOTP            TOTPRules            `yaml:"totp"`
	Passkey         PasskeyRules         `yaml:"passkey"`
	Cards           []CardAuthority      `yaml:"cards"`
	Recovery        RecoveryRules        `yaml:"recovery"`
	Lockout         LockoutRules         `yaml:"lockout"`
	Session         SessionRules         `yaml:"session"`
	OpenID          OpenIDRules          `yaml:"openid"`
	Approval        ApprovalRules        `yaml:"approval"`
	Dormancy        DormancyRules        `yaml:"dormancy"`
	Reports         ReportRules          `yaml:"reports"`
	Recertification RecertificationRules `yaml:"recertification"`
	Retention       RetentionRules       `yaml:"retention"`
	Mail            MailRules            `yaml:"mail"`
	LockDown        LockDownRules        `yaml:"lockdown"`
	Permits         []PermitKind         `yaml:"permits"`
	Remote          RemoteRules          `yaml:"remote"`
	SealedIDs       SealedRules          `yaml:"sealed_ids"`
	Personnel       PersonnelRules       `yaml:"personnel"`
	Projects        ProjectRules         `yaml:"projects"`

	index index
}

// Prefecture is who we are.
type Prefecture struct {
	Name         Words    `yaml:"name"`
	Words        []string `yaml:"words"`         // context words no password may be made of, article 46-2(3)
	GuidelineURL string   `yaml:"guideline_url"` // where the prefecture keeps its own text, article 40
}

// A Zone is served by this gateway under these rules. All ends are counted by
// Sekisho's own clock.
type Zone struct {
	ID             ZoneID        `yaml:"id"`
	Name           Words         `yaml:"name"`
	SignInACR      ACR           `yaml:"sign_in_acr"`      // the least assurance a sign-in from here must reach
	IdleEnd        time.Duration `yaml:"idle_end"`         // without a request for so long, a session ends
	AbsoluteEnd    time.Duration `yaml:"absolute_end"`     // whatever happens, a session ends so long after its sign-in
	CounterIdleEnd time.Duration `yaml:"counter_idle_end"` // IdleEnd on a counter terminal
	DirectoryStale time.Duration `yaml:"directory_stale"`  // how old facts from an unreachable directory may be; 0 means they may not
	MailNotices    bool          `yaml:"mail_notices"`     // whether mail may leave this zone
}

// A Class is one of the importances of article 17 and what it takes to use an
// application that holds information of that importance.
type Class struct {
	Class int            `yaml:"class"` // 1 (gravest) to 4
	Name  Words          `yaml:"name"`
	ACR   map[ZoneID]ACR `yaml:"acr"`
}

// A Post is an office of the guideline and the directory group whose members
// hold it.
type Post struct {
	ID          PostID  `yaml:"id"`
	Name        Words   `yaml:"name"`
	Group       string  `yaml:"group"`       // DN; empty: nobody holds the post
	Approves    bool    `yaml:"approves"`    // decides what others ask for
	Administers bool    `yaml:"administers"` // may ask for privilege
	Audits      bool    `yaml:"audits"`      // reads everything, changes nothing
	Article     Article `yaml:"article"`
}

// A Section is a 部局 (no parent) or a 室課 (whose parent is a 部局).
type Section struct {
	ID     string `yaml:"id"`
	Name   Words  `yaml:"name"`
	Parent string `yaml:"parent"`
}

// A Network is where requests come from.
type Network struct {
	Prefix  netip.Prefix `yaml:"cidr"`
	Zone    ZoneID       `yaml:"zone"`
	Outside bool         `yaml:"outside"` // reached over the Internet or a public line, article 63-1
}

// The kinds of terminals.
const (
	TerminalDedicated = "dedicated" // 専用端末機, article 26no3-1
	TerminalCounter   = "counter"   // 窓口, shared by many
	TerminalLent      = "lent"      // 貸与端末機, article 63-3
)

// TerminalClasses are all kinds of terminals.
func TerminalClasses() []string {
	return []string{TerminalDedicated, TerminalCounter, TerminalLent}
}

// A Terminal is an enrolled machine.
type Terminal struct {
	ID        string `yaml:"id"`
	Zone      ZoneID `yaml:"zone"`
	Class     string `yaml:"class"`
	Name      Words  `yaml:"name"`
	PublicKey string `yaml:"public_key"` // PEM, P-256; empty: the machine cannot speak for itself
}

// Key returns the terminal's public key, or an error when it has none or it is
// not a P-256 key in PEM.
func (t Terminal) Key() (*ecdsa.PublicKey, error) { return parsePublicKey(t.PublicKey) }

// An Application stands behind the gate.
type Application struct {
	ID       string   `yaml:"id"`
	Name     Words    `yaml:"name"`
	Host     string   `yaml:"host"` // DNS name, lower case, no port
	URL      string   `yaml:"url"`  // upstream; empty in dev means the built-in sample
	Zone     ZoneID   `yaml:"zone"`
	Class    int      `yaml:"class"`    // 1 to 4, article 17
	Posts    []PostID `yaml:"posts"`    // empty: every post
	Groups   []string `yaml:"groups"`   // DNs of directory groups, one of which suffices; empty: every group
	Sections []string `yaml:"sections"` // empty: every section; a 部局 stands for its 室課
	ACR      ACR      `yaml:"acr"`      // empty: what class and zone ask; it can only ask for more
	// FreshFor is how long ago the person may have proved who they are. 0: for
	// as long as the session lasts.
	FreshFor time.Duration `yaml:"fresh_for"`
	// RequiresPrivilege is the privilege that its users must have borrowed, such as
	// for an administrators' console; empty: none.
	RequiresPrivilege string     `yaml:"requires_privilege"`
	Paths             []PathRule `yaml:"paths"`
	// Environment is whether it is at work or being made; empty: at work (article 68).
	Environment Environment `yaml:"environment"`
}

// A PathRule asks for more than its application does, below a path. Of several
// that hold for a request, the strictest of each demand counts, so that no rule
// can loosen another.
type PathRule struct {
	Path     string        `yaml:"path"`      // absolute; stands for itself and what lies below it
	ACR      ACR           `yaml:"acr"`       // empty: the application's
	FreshFor time.Duration `yaml:"fresh_for"` // 0: the application's

	RequiresPrivilege string `yaml:"requires_privilege"` // beside the application's; empty: no other
}

// Acknowledgement is what each person agrees to before first use, articles 39
// to 41. An empty Version asks for none; a new Version is asked for again.
type Acknowledgement struct {
	Version string `yaml:"version"`
	Text    Words  `yaml:"text"`
	URL     string `yaml:"url"`
}

// SignInRules govern one sign-in, from the first page to the session.
type SignInRules struct {
	FlowEnd        time.Duration `yaml:"flow_end"`        // a sign-in under way ends so long after its start
	SourceFailures int           `yaml:"source_failures"` // failures one source address may cause within SourceWindow
	SourceWindow   time.Duration `yaml:"source_window"`
	FreshFor       time.Duration `yaml:"fresh_for"`    // factor changes need an authentication this recent, ASVS 7.5.1
	NoticeAfter    int           `yaml:"notice_after"` // failures after which a sign-in from a new network or browser is told to its owner, ASVS 6.3.5
}

// PasswordRules are NIST SP 800-63B-4 section 3.1.1 and article 46-2. Lengths
// are code points after NFKC.
type PasswordRules struct {
	MinLength           int           `yaml:"min_length"`        // where a second factor is asked for
	MinLengthSingle     int           `yaml:"min_length_single"` // where the password stands alone
	MaxLength           int           `yaml:"max_length"`
	History             int           `yaml:"history"` // how many former passwords are refused
	MaxAge              time.Duration `yaml:"max_age"` // 0: passwords do not expire
	FiscalYearEnd       bool          `yaml:"fiscal_year_end"`
	WarnDays            int           `yaml:"warn_days"`     // before one is too old its owner is told, and once more
	MinClasses          int           `yaml:"min_classes"`   // of upper case, lower case, digits and others; 0: not asked
	MinScore            int           `yaml:"min_score"`     // zxcvbn, 0 to 4
	TemporaryEnd        time.Duration `yaml:"temporary_end"` // an unused temporary password dies so long after it was made
	BlockWords          []string      `yaml:"block_words"`
	AutofillDiscouraged bool          `yaml:"autofill_discouraged"` // article 46-2(7)
}

// TOTPRules are RFC 6238 as this gateway asks for it.
type TOTPRules struct {
	Skew         int           `yaml:"skew"`          // steps of 30 s accepted before and after
	EnrolmentEnd time.Duration `yaml:"enrolment_end"` // an unconfirmed device dies so long after its start
	MaxDevices   int           `yaml:"max_devices"`   // per person
}

// PasskeyRules are WebAuthn as this gateway asks for it. That the key's own PIN
// or biometric is asked for, and that synced keys open neither the mynumber
// zone nor a post that approves or administers, is no setting.
type PasskeyRules struct {
	CeremonyEnd time.Duration   `yaml:"ceremony_end"` // a challenge dies so long after it was given out
	MaxKeys     int             `yaml:"max_keys"`     // per person
	Roots       []string        `yaml:"roots"`        // PEM certificates of the makers whose attestation is believed
	Demands     []PasskeyDemand `yaml:"demands"`
}

// A PasskeyDemand is what the keys of some posts must be. Every demand that
// names one of a person's posts holds for that person.
type PasskeyDemand struct {
	Posts       []PostID `yaml:"posts"`       // empty: everybody
	AAGUIDs     []string `yaml:"aaguids"`     // models allowed, as UUIDs; empty: any
	Attestation bool     `yaml:"attestation"` // the maker must vouch for the key, by one of Roots
}

// A CardAuthority issues IC cards that sign people in, each with its PIN.
type CardAuthority struct {
	ID         string   `yaml:"id"`
	Name       Words    `yaml:"name"`
	CA         string   `yaml:"ca"`          // PEM, the certificates that sign the cards' own
	PolicyOIDs []string `yaml:"policy_oids"` // a card names one of these (RFC 5280, section 4.2.1.4): it says that the key lies behind a PIN
	Subject    string   `yaml:"subject"`     // what of the certificate names the person: one of CardSubjects
	Match      string   `yaml:"match"`       // what of the person it is: CardMatchLogin or CardMatchMail
	Zones      []ZoneID `yaml:"zones"`       // where the card is good; empty: everywhere
}

// CardSubjects are the parts of a certificate that can name a person.
func CardSubjects() []string {
	return []string{"common_name", "serial_number", "user_id", "email", "principal_name"}
}

// What a card's subject is compared with.
const (
	CardMatchLogin = "login"
	CardMatchMail  = "mail"
)

// RecoveryRules govern the code that replaces a lost factor, given in person.
type RecoveryRules struct {
	CodeEnd time.Duration `yaml:"code_end"` // an unused code dies so long after it was made
}

// LockoutRules slow down guessing against one factor of one name, NIST SP
// 800-63B-4 section 3.2.2.
type LockoutRules struct {
	FreeFailures      int             `yaml:"free_failures"`       // failures that delay nobody
	Delays            []time.Duration `yaml:"delays"`              // after failure FreeFailures+1, +2, …; the last one repeats
	HardLimit         int             `yaml:"hard_limit"`          // consecutive failures after which the factor is dead until it is bound again
	KnownBrowserShare int             `yaml:"known_browser_share"` // of HardLimit, kept back for browsers that have signed this person in
	KnownBrowserEnd   time.Duration   `yaml:"known_browser_end"`   // a browser is known for so long after its last sign-in
}

// SessionRules hold for sessions of every zone.
type SessionRules struct {
	MaxPerPerson        int           `yaml:"max_per_person"`        // one more ends the oldest
	HandoverEnd         time.Duration `yaml:"handover_end"`          // a code that carries a session to an application's host
	RevocationPoll      time.Duration `yaml:"revocation_poll"`       // how often each gateway reads the store's revocations
	RevocationStale     time.Duration `yaml:"revocation_stale"`      // a poll older than this turns the cache off
	RevocationReread    time.Duration `yaml:"revocation_reread"`     // how far back each poll reads again, for late commits
	DirectoryRefresh    time.Duration `yaml:"directory_refresh"`     // how often a person's facts are read from the directory
	ElevatedACR         ACR           `yaml:"elevated_acr"`          // the least assurance on the pages and calls of administrators
	ElevatedIdleEnd     time.Duration `yaml:"elevated_idle_end"`     // likewise
	ElevatedAbsoluteEnd time.Duration `yaml:"elevated_absolute_end"` // likewise
}

// RetentionRules are years, article 51-2: by importance, and of our own trail.
type RetentionRules struct {
	TrailYears  int `yaml:"trail_years"`
	Class1Years int `yaml:"class1_years"`
	Class2Years int `yaml:"class2_years"`
	Class3Years int `yaml:"class3_years"`
	Class4Years int `yaml:"class4_years"`
}

// MailRules say in whose name notices go out.
type MailRules struct {
	From string `yaml:"from"` // an address; empty: no mail is sent
}
