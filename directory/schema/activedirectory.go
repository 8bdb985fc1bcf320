package schema

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"sekisho/directory"
)

// activeDirectory is Active Directory Domain Services since Windows Server 2008,
// and Samba's domain controller.
//
// The login is sAMAccountName: the domain holds it to be unique, every account
// has one, and it is what Windows itself shows. userPrincipalName may be absent,
// or be an address that changes with a name; who types it is found by it, and is
// the same person.
func activeDirectory() Schema {
	return Schema{
		Name: "active_directory",
		// objectClass would bring computers too, which are users there, and
		// trusts. This is a normal account and nothing else.
		Mark:          Mark{"sAMAccountType", "805306368"},
		PersonClasses: []string{"top", "person", "organizationalPerson", "user"},
		Naming:        "cn",
		ID:            "objectGUID",
		Login:         "sAMAccountName",
		LoginLength:   20, // [MS-SAMR] section 3.1.1.6
		LoginForbids:  `"/\[]:;|=,+*?<>@`,
		Principal:     "userPrincipalName",
		Mail:          "mail",
		DisplayName:   "displayName",
		CommonName:    "cn",
		Description:   "description",
		Surname:       "sn",
		Section:       "departmentNumber",
		Company:       "company",
		Number:        "employeeNumber",
		Kind:          "employeeType",
		Protected:     []Mark{{"adminCount", "1"}, {"isCriticalSystemObject", "TRUE"}},
		GroupClass:    "group",
		Member:        "member",
		EmptyGroup:    true,
		Token:         "tokenGroups",
		GroupID:       "objectSid",
		MemberRange:   1500,
		EntryDN:       "distinguishedName",
		NeedsTLS:      true,
		// LDAP_SERVER_DOMAIN_SCOPE_OID: no references to other naming contexts,
		// which a search from the domain's head would else be answered with.
		Controls:  []string{"1.2.840.113556.1.4.1339"},
		Guard:     GuardID,
		Password:  "unicodePwd",
		Write:     quoted,
		ChangeBy:  ChangeByValues,
		BindCodes: bindCodes,
		// OldPasswordAllowedPeriod is 60 minutes unless somebody changed it.
		FormerOpens: time.Hour,
		Created:     "whenCreated",
		Changed:     "pwdLastSet",
		LastUsed:    []string{"lastLogon", "lastLogonTimestamp"},
		State: []string{
			userAccountControl, computedControl, "accountExpires", lockoutTime, passwordExpiry, metaData,
		},
		Required:        []string{"objectGUID", "sAMAccountName", "whenCreated", "pwdLastSet", userAccountControl, computedControl, metaData},
		Written:         []string{userAccountControl, "pwdLastSet", lockoutTime, "accountExpires"},
		Rights:          "allowedAttributesEffective",
		Residuals:       activeDirectoryResiduals,
		OwnPolicy:       "msDS-ResultantPSO",
		PolicyPlace:     PolicyOfDomain,
		PolicyContainer: "CN=Password Settings Container,CN=System",
		PolicyValues: []string{
			"lockoutThreshold", "lockOutObservationWindow", "lockoutDuration", "maxPwdAge", "msDS-LogonTimeSyncInterval",
			"msDS-LockoutThreshold", "msDS-LockoutObservationWindow", "msDS-LockoutDuration", "msDS-MaximumPasswordAge",
		},
		readID:      readGUID,
		idValue:     guidValue,
		readAccount: adAccount,
		readPolicy:  adPolicy,
		acts: acts{
			disable: func(_ *Schema, e Entry) ([]Change, error) { return controlled(e, accountDisabled, 0) },
			enable: func(_ *Schema, e Entry) ([]Change, error) {
				changes, err := controlled(e, 0, accountDisabled)
				return append(changes, unlocked(e)...), err
			},
			unlock: func(_ *Schema, e Entry) ([]Change, error) { return unlocked(e), nil },
			reset: func(s *Schema, _ Entry, value string, mustChange bool) []Change {
				since := "-1" // now
				if mustChange {
					since = "0"
				}
				return []Change{replace(s.Password, value), replace(s.Changed, since), replace(lockoutTime, "0")}
			},
			expire:  func(_ *Schema, at time.Time) Change { return replace("accountExpires", FileTime(at)) },
			lapse:   func(_ *Schema, at time.Time) Change { return replace("accountExpires", FileTime(at)) },
			endless: []Change{replace("accountExpires", "0")}, // [MS-ADA1] section 2.2: never
			mark:    replace("pwdLastSet", "0"),
			// An account without a password must not be open for an instant.
			born: []Change{replace(userAccountControl, strconv.Itoa(normalAccount|accountDisabled))},
			open: []Change{replace(userAccountControl, strconv.Itoa(normalAccount))},
		},
	}
}

const (
	userAccountControl = "userAccountControl"
	computedControl    = "msDS-User-Account-Control-Computed"
	passwordExpiry     = "msDS-UserPasswordExpiryTimeComputed"
	lockoutTime        = "lockoutTime"
	metaData           = "replPropertyMetaData"
)

// Bits of userAccountControl and of its computed companion, [MS-ADTS] section
// 2.2.16.
const (
	accountDisabled  = 0x2      // ADS_UF_ACCOUNTDISABLE
	lockedOut        = 0x10     // ADS_UF_LOCKOUT, computed
	normalAccount    = 0x200    // ADS_UF_NORMAL_ACCOUNT
	dontExpire       = 0x10000  // ADS_UF_DONT_EXPIRE_PASSWD
	passwordOutdated = 0x800000 // ADS_UF_PASSWORD_EXPIRED, computed
)

// bindCodes are Windows' own error numbers, in hexadecimal, behind "data" in the
// message of a refused bind. But for 52e, 525 and 775 they come only after the
// right password.
var bindCodes = map[string]directory.Outcome{
	"525": directory.OutcomeWrong,      // no such account
	"52e": directory.OutcomeWrong,      // not the password
	"52f": directory.OutcomeBarred,     // a restriction of the account, such as smart card only
	"530": directory.OutcomeBarred,     // not at this hour
	"531": directory.OutcomeBarred,     // not from this workstation
	"532": directory.OutcomeExpired,    // the password is too old
	"533": directory.OutcomeDisabled,   // the account is closed
	"569": directory.OutcomeBarred,     // this kind of logon is not granted
	"701": directory.OutcomeDisabled,   // the account has ended
	"773": directory.OutcomeMustChange, // the password is to be changed
	"775": directory.OutcomeLocked,     // too many failures; the password was not looked at
}

// quoted is a password as unicodePwd takes it: in quotation marks, as UTF-16 in
// the order of little-endian machines ([MS-ADTS] section 3.1.1.3.1.5.1).
func quoted(password string) (string, error) {
	if !utf8.ValidString(password) {
		return "", fmt.Errorf("a password that is not UTF-8: %w", directory.ErrMalformed)
	}
	units := utf16.Encode([]rune(`"` + password + `"`))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b), nil
}

// readGUID writes an objectGUID as Windows does: the first three fields are
// numbers of a little-endian machine.
func readGUID(v string) (string, error) {
	if len(v) != 16 {
		return "", errNoID
	}
	b := []byte(v)
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:]), nil
}

// guidValue is readGUID undone.
func guidValue(id string) (string, error) {
	if !uuid.MatchString(id) {
		return "", errNoID
	}
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		return "", errNoID
	}
	out := binary.LittleEndian.AppendUint32(nil, binary.BigEndian.Uint32(b))
	out = binary.LittleEndian.AppendUint16(out, binary.BigEndian.Uint16(b[4:]))
	out = binary.LittleEndian.AppendUint16(out, binary.BigEndian.Uint16(b[6:]))
	return string(append(out, b[8:]...)), nil
}

// controlled sets and clears bits of userAccountControl and keeps all others.
// The value that was read is taken away by name, so that a server which keeps to
// RFC 4511 section 4.6 refuses to overwrite one that changed meanwhile.
func controlled(e Entry, set, unset int64) ([]Change, error) {
	v := first(e, userAccountControl)
	was, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %q is not a number", userAccountControl, v)
	}
	if is := was&^unset | set; is != was {
		return []Change{{Delete, userAccountControl, []string{v}}, {Add, userAccountControl, []string{strconv.FormatInt(is, 10)}}}, nil
	}
	return nil, nil
}

func unlocked(e Entry) []Change {
	if v := first(e, lockoutTime); v == "" || v == "0" {
		return nil
	}
	return []Change{replace(lockoutTime, "0")}
}

func adAccount(s *Schema, e Entry, p Policy, now time.Time) (directory.Account, error) {
	a := directory.Account{LastUsedLag: p.UsedLag}
	control, err := shown(e, userAccountControl)
	if err != nil {
		return a, err
	}
	a.Disabled = control&accountDisabled != 0
	if a.CreatedAt, err = instant(e, s.Created); err != nil {
		return a, err
	}
	if a.ExpiresAt, err = fileTime(e, "accountExpires"); err != nil {
		return a, err
	}
	for _, name := range s.LastUsed {
		used, err := fileTime(e, name)
		if err != nil {
			return a, err
		}
		if used.After(a.LastUsedAt) {
			a.LastUsedAt = used
		}
	}
	if p.Lockout.Enabled {
		a.LockoutAfter = p.Lockout.MaxFailures
	}
	if err := adPassword(&a, s, e, p, control); err != nil {
		return a, err
	}
	return a, adLock(&a, e, p, now)
}

// adPassword reads how old a password is. One that must be changed has 0 where
// its date was; when that was written is when it was given, and the directory
// keeps that for its replication.
func adPassword(a *directory.Account, s *Schema, e Entry, p Policy, control int64) error {
	since, err := shown(e, s.Changed)
	if err != nil {
		return err
	}
	if a.MustChange = since == 0; a.MustChange {
		a.PasswordChangedAt, err = written(first(e, metaData), pwdLastSetID)
		return err
	}
	if a.PasswordChangedAt, err = fileTime(e, s.Changed); err != nil {
		return err
	}
	if v := first(e, passwordExpiry); v != "" {
		a.PasswordExpiresAt, err = fileTime(e, passwordExpiry)
		return err
	}
	computed, err := signed(e, computedControl)
	switch {
	case err != nil:
		return err
	case p.MaxAge > 0 && control&dontExpire == 0:
		a.PasswordExpiresAt = a.PasswordChangedAt.Add(p.MaxAge)
	case computed&passwordOutdated != 0:
		a.PasswordExpiresAt = a.PasswordChangedAt // when, we were not told
	}
	return nil
}

// adLock believes either of two signs of a lock: the server's own, which knows
// how long a lock lasts, and the time it began, which says until when.
func adLock(a *directory.Account, e Entry, p Policy, now time.Time) error {
	computed, err := signed(e, computedControl)
	if err != nil {
		return err
	}
	at, err := fileTime(e, lockoutTime)
	if err != nil {
		return err
	}
	if !at.IsZero() && !p.Hidden {
		locked(a, at, p.Lockout.Duration, now)
	}
	a.PasswordLocked = a.PasswordLocked || computed&lockedOut != 0
	return nil
}

// adPolicy reads the head of a domain, or the fine-grained policy of a few
// ([MS-ADTS] sections 3.1.1.1.4 and 6.1.1.4.11.1). An entry that is there and
// shows no threshold is one that we may not read.
func adPolicy(e Entry) (Policy, error) {
	prefix, names := "", [4]string{"lockoutThreshold", "lockOutObservationWindow", "lockoutDuration", "maxPwdAge"}
	if first(e, names[0]) == "" {
		prefix, names = "msDS-", [4]string{"LockoutThreshold", "LockoutObservationWindow", "LockoutDuration", "MaximumPasswordAge"}
	}
	if first(e, prefix+names[0]) == "" {
		return Hidden(), nil
	}
	p := Policy{Found: true, Lockout: directory.LockoutPolicy{DatesPasswords: true}}
	threshold, err := number(e, prefix+names[0])
	if err != nil {
		return Policy{}, err
	}
	p.Lockout.MaxFailures, p.Lockout.Enabled = int(threshold), threshold > 0
	for i, into := range []*time.Duration{&p.Lockout.Window, &p.Lockout.Duration, &p.MaxAge} {
		if *into, err = interval(e, prefix+names[i+1]); err != nil {
			return Policy{}, err
		}
	}
	p.UsedLag, err = usedLag(e)
	return p, err
}

// usedLag is how far behind lastLogonTimestamp may be: it is written only when
// it is older than msDS-LogonTimeSyncInterval, 14 days unless somebody changed
// it, and never where that is 0.
func usedLag(e Entry) (time.Duration, error) {
	v := first(e, "msDS-LogonTimeSyncInterval")
	if v == "" {
		return 14 * 24 * time.Hour, nil
	}
	days, err := number(e, "msDS-LogonTimeSyncInterval")
	if err != nil {
		return 0, err
	}
	if days == 0 {
		return -1, nil
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// signed reads a number; 0 where there is none.
func signed(e Entry, name string) (int64, error) {
	v := first(e, name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %q is not a number", name, v)
	}
	return n, nil
}

// shown reads a number that every account has: without it we were not shown the
// account, and must not take it for an open one.
func shown(e Entry, name string) (int64, error) {
	if first(e, name) == "" {
		return 0, fmt.Errorf("reading %s: it is not shown to us", name)
	}
	return signed(e, name)
}

// interval reads a negative count of 100 ns. The least number there is stands
// for "for ever", which is 0 to us.
func interval(e Entry, name string) (time.Duration, error) {
	n, err := signed(e, name)
	switch {
	case err != nil:
		return 0, err
	case n == math.MinInt64:
		return 0, nil
	case n > 0:
		return 0, fmt.Errorf("reading %s: %d is not a length of time", name, n)
	case n < -math.MaxInt64/100:
		return math.MaxInt64, nil
	}
	return time.Duration(-n) * 100, nil
}

// epoch is where Windows begins to count: the seconds from 1601-01-01 to
// 1970-01-01.
const epoch = 11_644_473_600

// fileTime reads an instant of [MS-DTYP] section 2.3.3, counted in 100 ns from
// 1601-01-01. 0 and the greatest number both stand for never.
func fileTime(e Entry, name string) (time.Time, error) {
	n, err := signed(e, name)
	switch {
	case err != nil:
		return time.Time{}, err
	case n == 0 || n == math.MaxInt64:
		return time.Time{}, nil
	case n < 0:
		return time.Time{}, fmt.Errorf("reading %s: %d is not an instant", name, n)
	}
	return time.Unix(n/1e7-epoch, n%1e7*100).UTC(), nil
}

// FileTime writes an instant as Windows counts, rounded down.
func FileTime(t time.Time) string {
	return strconv.FormatInt(max(1, (t.Unix()+epoch)*1e7+int64(t.Nanosecond())/100), 10)
}

// pwdLastSetID is the number of pwdLastSet in replication ([MS-ADTS] section
// 3.1.1.1.3; 1.2.840.113556.1.4.96).
const pwdLastSetID = 0x90060

// written finds in replPropertyMetaData ([MS-DRSR] section 5.167) when an
// attribute was last written anywhere. The zero time where it does not say,
// since it was not shown; then the password has no age, and an age that nobody
// knows has ended.
func written(v string, attribute uint32) (time.Time, error) {
	const head, one = 16, 48
	if v == "" {
		return time.Time{}, nil
	}
	b := []byte(v)
	if len(b) < head || binary.LittleEndian.Uint32(b) != 1 || uint64(len(b)) < head+one*uint64(binary.LittleEndian.Uint32(b[8:])) {
		return time.Time{}, fmt.Errorf("reading %s: it is not of the first version, or cut short", metaData)
	}
	count := binary.LittleEndian.Uint32(b[8:])
	for b = b[head:]; count > 0; count, b = count-1, b[one:] {
		if binary.LittleEndian.Uint32(b) != attribute {
			continue
		}
		at := binary.LittleEndian.Uint64(b[8:])
		if at > math.MaxInt64/2 {
			return time.Time{}, fmt.Errorf("reading %s: %d is not an instant", metaData, at)
		}
		return time.Unix(int64(at)-epoch, 0).UTC(), nil
	}
	return time.Time{}, nil
}
