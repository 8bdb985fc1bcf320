package ldap

import (
	"context"
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/policy/secret"
)

// Authenticate binds as the person and says what the directory said. The
// password policy control of draft-behera-ldap-password-policy is asked for, so
// that wrong, locked, expired and to-be-changed can be told apart inside.
//
// An empty password is OutcomeWrong without a word to the server: RFC 4513
// section 5.1.2 calls such a bind "unauthenticated", and servers answer it with
// success. An error is directory.ErrAway: nobody looked at the password.
func (d *Directory) Authenticate(ctx context.Context, p directory.Person, pw secret.Text) (directory.Outcome, error) {
	password := pw.Reveal()
	if len(password) == 0 {
		return directory.OutcomeWrong, nil
	}
	if _, err := within(d.people, p.DN); err != nil {
		return directory.OutcomeWrong, fmt.Errorf("binding as a person: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	outcome := directory.OutcomeWrong
	err := d.binds.do(ctx, true, func(_ context.Context, l *link) error {
		result, err := bindAs(l, p.DN, password)
		if broken(err) {
			return err
		}
		outcome, err = judge(p.Account, result, err)
		return err
	})
	if err != nil {
		return directory.OutcomeWrong, fmt.Errorf("binding as a person: %w", translate(err))
	}
	return outcome, nil
}

func bindAs(l *link, dn string, password []byte) (*goldap.ControlBeheraPasswordPolicy, error) {
	result, err := l.SimpleBind(goldap.NewSimpleBindRequest(dn, string(password),
		[]goldap.Control{goldap.NewControlBeheraPasswordPolicy()}))
	var controls []goldap.Control
	if result != nil {
		controls = result.Controls
	}
	return advice(controls, err), err
}

// ChangePassword changes a password as its owner: a bind with the current one,
// then RFC 3062 with both. What the directory's own rules do not let through is
// a *directory.Refused. The server hashes; the new password is in force when
// this returns nil, and pwdReset is gone.
func (d *Directory) ChangePassword(ctx context.Context, p directory.Person, current, new secret.Text) error {
	old, next := current.Reveal(), new.Reveal()
	if len(next) == 0 {
		return &directory.Refused{Reason: directory.ReasonTooShort}
	}
	if len(old) == 0 {
		return &directory.Refused{Reason: directory.ReasonWrongCurrent}
	}
	if _, err := within(d.people, p.DN); err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	err := d.binds.do(ctx, false, func(_ context.Context, l *link) error {
		control, err := bindAs(l, p.DN, old)
		if broken(err) {
			return err
		}
		outcome, err := judge(p.Account, control, err)
		if err != nil {
			return err
		}
		switch outcome {
		case directory.OutcomeRight, directory.OutcomeMustChange:
		case directory.OutcomeExpired:
			// A bind with grace left may still change the password; one that
			// was refused finds out in the next step.
		case directory.OutcomeLocked:
			return &directory.Refused{Reason: directory.ReasonLocked}
		case directory.OutcomeDisabled:
			return &directory.Refused{Reason: directory.ReasonNotAllowed}
		default:
			return &directory.Refused{Reason: directory.ReasonWrongCurrent}
		}
		_, err = l.Extended(passwordModify(p.DN, old, next))
		return err
	})
	var refused *directory.Refused
	if errors.As(err, &refused) {
		return refused
	}
	if err != nil {
		return wrapRefusal("changing a password", refusal(err))
	}
	return nil
}

func wrapRefusal(doing string, err error) error {
	var refused *directory.Refused
	if errors.As(err, &refused) {
		return refused
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// passwordModify is the request of RFC 3062 section 2, which go-ldap can send
// only without the control that tells why it was refused.
func passwordModify(dn string, old, next []byte) *goldap.ExtendedRequest {
	value := ber.NewSequence("PasswdModifyRequestValue")
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, dn, "userIdentity"))
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(old), "oldPasswd"))
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 2, string(next), "newPasswd"))
	request := goldap.NewExtendedRequest("1.3.6.1.4.1.4203.1.11.1", value)
	request.Controls = []goldap.Control{goldap.NewControlBeheraPasswordPolicy()}
	return request
}

// ErrCleartext: the server keeps what it is given as it is given.
var ErrCleartext = errors.New("the directory stores passwords in clear; set ppolicy_hash_cleartext")

// ResetPassword sets a password as the service account. The password and the
// mark that it must be changed (or its absence) are one modification, with which
// the server also ends a lock after too many failures, so that no crash leaves a temporary password unmarked. An
// account that was disabled stays so: that is asserted inside the modification
// (RFC 4528) and not read beforehand and hoped for.
func (d *Directory) ResetPassword(ctx context.Context, p directory.Person, new secret.Text, mustChange bool) error {
	password := new.Reveal()
	if len(password) == 0 {
		return &directory.Refused{Reason: directory.ReasonTooShort}
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	s := &d.schema
	disabled := equals(s.Locked, s.Disabled)
	for _, state := range []struct {
		when   string
		closed bool
	}{{"(!" + disabled + ")", false}, {disabled, true}} {
		m := goldap.NewModifyRequest(p.DN, nil)
		m.Replace(s.Password, []string{string(password)})
		if mustChange {
			m.Replace(s.MustChange, []string{"TRUE"})
		} else {
			m.Replace(s.MustChange, nil)
		}
		if state.closed {
			// The overlay clears a lock together with the password unless the
			// same modification deletes it; adding it again then holds.
			m.Delete(s.Locked, nil)
			m.Add(s.Locked, []string{s.Disabled})
		}
		err := d.modify(ctx, p, m, state.when)
		if coded(err, goldap.LDAPResultAssertionFailed) {
			continue
		}
		if err != nil {
			return wrapRefusal("resetting a password", refusal(err))
		}
		return d.hashed(ctx, p.DN, password)
	}
	return fmt.Errorf("resetting a password: %w: the entry is not this person's any more", directory.ErrNotFound)
}

// hashed makes sure that the server did not keep the password as it was typed.
// It is found out by comparing, since reading passwords is not our right.
func (d *Directory) hashed(ctx context.Context, dn string, password []byte) error {
	var clear bool
	err := d.write(ctx, func(l *link) error {
		var err error
		clear, err = l.Compare(dn, d.schema.Password, string(password))
		return err
	})
	if err != nil {
		return fmt.Errorf("making sure that the password is hashed: %w", err)
	}
	if !clear {
		return nil
	}
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace(d.schema.Password, nil)
	if err := d.write(ctx, func(l *link) error { return l.Modify(m) }); err != nil {
		return fmt.Errorf("%w; taking the password away again: %w", ErrCleartext, err)
	}
	return ErrCleartext
}
