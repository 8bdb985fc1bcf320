package embedded

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strconv"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory/schema"
)

// Errors of the password policy control,
// draft-behera-ldap-password-policy section 6.2.
const (
	policyExpired    = 0
	policyLocked     = 1
	policyMustChange = 2
	policyTooShort   = 6
	policyTooYoung   = 7
	policyHistory    = 8
)

// closedForGood is the value of pwdAccountLockedTime that no time ends.
const closedForGood = "000001010000Z"

// bind is RFC 4511 section 4.2 with simple authentication only.
func (t *talk) bind(ctx context.Context, m *message, a *answer) error {
	// Whoever asks to bind is nobody until the bind has succeeded.
	t.who, t.admin, t.must = name{}, false, false
	clear(t.cursors)
	p := m.op
	if len(p.Children) < 3 || !isString(p.Children[1]) {
		return refuse(protocolError, "malformed bind")
	}
	if version, ok := number(p.Children[0], ber.TagInteger); !ok || version != 3 {
		return refuse(protocolError, "LDAP version 3 is spoken here")
	}
	method := p.Children[2]
	if method.ClassType != ber.ClassContext || method.Tag != 0 || method.TagType != ber.TypePrimitive {
		return refuse(authNotSupported, "simple bind is spoken here")
	}
	who, password := content(p.Children[1]), method.Data.Bytes()
	if who == "" && len(password) == 0 {
		return nil // anonymous: the root DSE is all there is to see
	}
	if len(password) == 0 {
		// RFC 4513 section 5.1.2 recommends this answer to a name without a
		// password, which a careless client would take for a success.
		return refuse(unwilling, "a name without a password is no bind")
	}
	n, err := parseName(who)
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	if n.key == t.server.admin.key {
		given := sha256.Sum256(password)
		if subtle.ConstantTimeCompare(given[:], t.server.adminKey[:]) != 1 {
			return refuse(invalidCredentials, "")
		}
		t.who, t.admin = n, true
		return nil
	}
	must, err := t.server.authenticate(ctx, n.key, password)
	if err != nil {
		return err
	}
	t.who, t.must = n, must
	if must && m.policyAsked() != "" {
		a.controls = append(a.controls, policyControl(policyMustChange))
	}
	return nil
}

// authenticate checks a password and keeps the account of it. Unknown, without
// a password and locked cost what a wrong password costs.
func (s *Server) authenticate(ctx context.Context, key string, password []byte) (must bool, err error) {
	e := s.tree.lookup(key)
	if e == nil || e.one("userpassword") == "" {
		if err := s.hasher.Dummy(ctx, password); err != nil {
			return false, err
		}
		return false, refuse(invalidCredentials, "")
	}
	if s.locked(e) {
		if err := s.hasher.Dummy(ctx, password); err != nil {
			return false, err
		}
		return false, &refusal{invalidCredentials, "", policyLocked}
	}
	hash := e.one("userpassword")
	right, rehash, err := s.hasher.Verify(ctx, hash, password)
	if err != nil {
		return false, err
	}
	renewed := ""
	if right && rehash {
		if renewed, err = s.hasher.Hash(ctx, password); err != nil {
			return false, err
		}
	}
	verdict := error(nil)
	err = s.tree.write(false, func(p *plan) error {
		current := p.get(key)
		if current == nil {
			verdict = refuse(invalidCredentials, "")
			return nil
		}
		c := current.clone()
		switch {
		case c.one("userpassword") != hash:
			// Changed while we were hashing: what we found out is about a
			// password that is no more.
			verdict = refuse(busy, "the password changed just now")
			return nil
		case s.locked(c):
			verdict = &refusal{invalidCredentials, "", policyLocked}
			return nil
		case !right:
			s.countFailure(c)
			verdict = refuse(invalidCredentials, "")
			p.set(c)
			return nil
		}
		c.set("pwdFailureTime")
		c.set("pwdAccountLockedTime") // a lock that has run out
		if s.expired(c) {
			verdict = &refusal{invalidCredentials, "", policyExpired}
			p.set(c)
			return nil
		}
		if renewed != "" {
			c.set("userPassword", renewed)
		}
		c.set("pwdLastSuccess", schema.FormatTimeMicro(s.now()))
		must = c.one("pwdreset") == "TRUE"
		p.set(c)
		return nil
	})
	if err != nil {
		return false, err
	}
	return must, verdict
}

// policyOf is the password policy entry that governs an entry.
func (s *Server) policyOf(e *entry) *entry {
	key := "cn=default,ou=policies," + s.base.key
	if own := e.one("pwdpolicysubentry"); own != "" {
		if n, err := parseName(own); err == nil {
			key = n.key
		}
	}
	if p := s.tree.policy(key); p != nil {
		return p
	}
	return &entry{}
}

func count(policy *entry, key string) int64 {
	n, err := strconv.ParseInt(policy.one(key), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func seconds(policy *entry, key string) time.Duration {
	return time.Duration(count(policy, key)) * time.Second
}

// locked says whether a password is held: for good, for a time, or because its
// end has come (pwdEndTime). What does not parse holds.
func (s *Server) locked(e *entry) bool {
	if end := e.one("pwdendtime"); end != "" {
		if at, err := schema.ParseTime(end); err != nil || !s.now().Before(at) {
			return true
		}
	}
	v := e.one("pwdaccountlockedtime")
	if v == "" {
		return false
	}
	if v == closedForGood {
		return true
	}
	at, err := schema.ParseTime(v)
	if err != nil {
		return true
	}
	lasts := seconds(s.policyOf(e), "pwdlockoutduration")
	return lasts == 0 || s.now().Before(at.Add(lasts))
}

func (s *Server) expired(e *entry) bool {
	lasts := seconds(s.policyOf(e), "pwdmaxage")
	changed, err := schema.ParseTime(e.one("pwdchangedtime"))
	return err == nil && lasts > 0 && !s.now().Before(changed.Add(lasts))
}

// countFailure notes a failure and locks at the limit.
func (s *Server) countFailure(e *entry) {
	var (
		policy = s.policyOf(e)
		now    = s.now()
		window = seconds(policy, "pwdfailurecountinterval")
		limit  = count(policy, "pwdmaxfailure")
	)
	recent := slices.DeleteFunc(slices.Clone(e.get("pwdfailuretime")), func(v string) bool {
		at, err := schema.ParseTime(v)
		return err != nil || window > 0 && at.Add(window).Before(now)
	})
	// Two in the same microsecond are two: a value may not be there twice.
	at := now
	for slices.Contains(recent, schema.FormatTimeMicro(at)) {
		at = at.Add(time.Microsecond)
	}
	recent = append(recent, schema.FormatTimeMicro(at))
	if extra := len(recent) - int(max(limit, 1)); extra > 0 {
		recent = recent[extra:]
	}
	e.set("pwdFailureTime", recent...)
	if policy.one("pwdlockout") == "TRUE" && limit > 0 && int64(len(recent)) >= limit {
		e.set("pwdAccountLockedTime", schema.FormatTime(now))
	}
}
