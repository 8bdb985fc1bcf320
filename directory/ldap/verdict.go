package ldap

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
)

// code is the result code a server gave, if it was a server that spoke.
// go-ldap's own errors begin at 200.
func code(err error) (uint16, bool) {
	var e *goldap.Error
	if errors.As(err, &e) && e.ResultCode < goldap.ErrorNetwork {
		return e.ResultCode, true
	}
	return 0, false
}

func coded(err error, want uint16) bool {
	got, ok := code(err)
	return ok && got == want
}

// broken says that a connection is no longer understood: whatever failed was
// not the server saying no.
func broken(err error) bool {
	if err == nil {
		return false
	}
	_, said := code(err)
	return !said
}

// translate gives an error its meaning. What is not known to be an answer is
// ErrAway: it must never read as "nobody".
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, meant := range []error{directory.ErrAway, directory.ErrTruncated, directory.ErrNotFound, directory.ErrMalformed, ErrCleartext} {
		if errors.Is(err, meant) {
			return err
		}
	}
	said, ok := code(err)
	if !ok {
		return fmt.Errorf("%w: %w", directory.ErrAway, err)
	}
	meaning := directory.ErrAway
	switch said {
	case goldap.LDAPResultNoSuchObject:
		meaning = directory.ErrNotFound
	case goldap.LDAPResultSizeLimitExceeded, goldap.LDAPResultTimeLimitExceeded,
		goldap.LDAPResultAdminLimitExceeded, goldap.LDAPResultReferral:
		meaning = directory.ErrTruncated
	case goldap.LDAPResultEntryAlreadyExists:
		meaning = directory.ErrExists
	case goldap.LDAPResultInsufficientAccessRights:
		meaning = directory.ErrDenied
	case goldap.LDAPResultInvalidDNSyntax, goldap.LDAPResultInvalidAttributeSyntax, goldap.LDAPResultNamingViolation:
		meaning = directory.ErrMalformed
	case goldap.LDAPResultConstraintViolation, goldap.LDAPResultUnwillingToPerform,
		goldap.LDAPResultObjectClassViolation, goldap.LDAPResultNoSuchAttribute,
		goldap.LDAPResultAttributeOrValueExists, goldap.LDAPResultAssertionFailed:
		return err // the caller knows what it asked
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// advice finds the password policy response control, also in an error: go-ldap
// drops the controls of an extended response that says no, but keeps its packet.
func advice(controls []goldap.Control, err error) *goldap.ControlBeheraPasswordPolicy {
	var e *goldap.Error
	if len(controls) == 0 && errors.As(err, &e) && e.Packet != nil && len(e.Packet.Children) > 2 {
		for _, child := range e.Packet.Children[2].Children {
			if c, err := goldap.DecodeControl(child); err == nil {
				controls = append(controls, c)
			}
		}
	}
	c, _ := goldap.FindControl(controls, goldap.ControlTypeBeheraPasswordPolicy).(*goldap.ControlBeheraPasswordPolicy)
	return c
}

// judge reads a bind's answer. known is the account as it was read before; it
// says which of two closed doors a server meant that tells neither apart. An
// error is returned where the server did not look at the password: a right
// password must never be answered as wrong.
func judge(known directory.Account, c *goldap.ControlBeheraPasswordPolicy, err error) (directory.Outcome, error) {
	held := directory.OutcomeLocked
	if known.Disabled {
		held = directory.OutcomeDisabled
	}
	warned := int8(-1)
	if c != nil {
		warned = c.Error
	}
	if err == nil {
		switch {
		case known.Disabled:
			// The server let in whom we read as closed: its overlay is not told
			// to enforce the lock. We are.
			return directory.OutcomeDisabled, nil
		case warned == goldap.BeheraPasswordExpired || c != nil && c.Grace >= 0:
			return directory.OutcomeExpired, nil
		case warned == goldap.BeheraChangeAfterReset || known.MustChange:
			return directory.OutcomeMustChange, nil
		case warned == goldap.BeheraAccountLocked:
			return held, nil
		}
		return directory.OutcomeRight, nil
	}
	said, ok := code(err)
	if !ok {
		return directory.OutcomeWrong, fmt.Errorf("%w: %w", directory.ErrAway, err)
	}
	switch said {
	case goldap.LDAPResultInvalidCredentials, goldap.LDAPResultInappropriateAuthentication,
		goldap.LDAPResultNoSuchObject, goldap.LDAPResultConstraintViolation, goldap.LDAPResultUnwillingToPerform:
		switch {
		case warned == goldap.BeheraPasswordExpired:
			return directory.OutcomeExpired, nil
		case warned == goldap.BeheraAccountLocked, known.Disabled, known.PasswordLocked:
			return held, nil
		case said == goldap.LDAPResultConstraintViolation || said == goldap.LDAPResultUnwillingToPerform:
			return directory.OutcomeWrong, fmt.Errorf("%w: the server would not look at the password: %w", directory.ErrAway, err)
		}
		return directory.OutcomeWrong, nil
	}
	return directory.OutcomeWrong, fmt.Errorf("%w: the server would not look at the password: %w", directory.ErrAway, err)
}

// judgeByCode is judge for a server that says more in its message than in its
// control: a number behind "data" (Active Directory).
func judgeByCode(codes map[string]directory.Outcome, known directory.Account, err error) (directory.Outcome, error) {
	if err == nil {
		switch {
		case known.Disabled:
			return directory.OutcomeDisabled, nil
		case known.MustChange:
			return directory.OutcomeMustChange, nil
		}
		return directory.OutcomeRight, nil
	}
	said, ok := code(err)
	if outcome, meant := codes[dataCode(err)]; ok && meant && said == goldap.LDAPResultInvalidCredentials {
		if known.Disabled {
			return directory.OutcomeDisabled, nil
		}
		return outcome, nil
	}
	return directory.OutcomeWrong, fmt.Errorf("%w: the server would not look at the password: %w", directory.ErrAway, err)
}

var behindData = regexp.MustCompile(`\bdata ([0-9a-f]+)\b`)

// dataCode is the number that tells refused binds apart.
func dataCode(err error) string {
	if m := behindData.FindStringSubmatch(diagnosis(err)); m != nil {
		return m[1]
	}
	return ""
}

// What Active Directory says of a password that it does not take, at the
// beginning of its message: ERROR_INVALID_PASSWORD and
// ERROR_PASSWORD_RESTRICTION of winerror.h.
const (
	codeNotCurrent   = "00000056"
	codeAgainstRules = "0000052D"
)

func windowsCode(err error) string {
	said, _, _ := strings.Cut(diagnosis(err), ":")
	return strings.ToUpper(said)
}

// diagnosis is the server's own word.
func diagnosis(err error) string {
	var e *goldap.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return ""
}

// reasons maps draft-behera-ldap-password-policy section 6.2.
var reasons = map[int8]directory.Reason{
	goldap.BeheraAccountLocked:               directory.ReasonLocked,
	goldap.BeheraPasswordModNotAllowed:       directory.ReasonNotAllowed,
	goldap.BeheraMustSupplyOldPassword:       directory.ReasonWrongCurrent,
	goldap.BeheraInsufficientPasswordQuality: directory.ReasonQuality,
	goldap.BeheraPasswordTooShort:            directory.ReasonTooShort,
	goldap.BeheraPasswordTooYoung:            directory.ReasonTooYoung,
	goldap.BeheraPasswordInHistory:           directory.ReasonHistory,
}

// refusal turns a rule's no into a Refused. Anything else keeps its meaning.
func refusal(err error) error {
	said, ok := code(err)
	if !ok {
		return translate(err)
	}
	switch said {
	case goldap.LDAPResultConstraintViolation, goldap.LDAPResultUnwillingToPerform, goldap.LDAPResultInsufficientAccessRights:
	default:
		return translate(err)
	}
	reason := directory.ReasonUnknown
	if c := advice(nil, err); c != nil {
		if r, known := reasons[c.Error]; known {
			reason = r
		}
	} else if said == goldap.LDAPResultInsufficientAccessRights {
		reason = directory.ReasonNotAllowed
	} else if windows := windowsCode(err); windows == codeNotCurrent {
		reason = directory.ReasonWrongCurrent
	} else if windows == codeAgainstRules {
		reason = directory.ReasonRules
	}
	return &directory.Refused{Reason: reason, Detail: diagnosis(err)}
}
