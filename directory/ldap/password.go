package ldap

import (
	"context"
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
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
	if _, err := d.person(p.DN); err != nil {
		return directory.OutcomeWrong, fmt.Errorf("binding as a person: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	outcome := directory.OutcomeWrong
	err := d.watched(ctx, d.binds, opBind, true, func(_ context.Context, l *link) (err error) {
		outcome, err = d.asked(l, p, password)
		if err == nil && outcome == directory.OutcomeRight && d.formerOpens(p.Account) {
			outcome, err = d.current(l, p, password)
		}
		return err
	})
	if err != nil {
		return directory.OutcomeWrong, fmt.Errorf("binding as a person: %w", translate(err))
	}
	return outcome, nil
}

// asked binds as a person and reads the answer.
func (d *Directory) asked(l *link, p directory.Person, password []byte) (directory.Outcome, error) {
	control, err := bindAs(l, p.DN, password)
	if broken(err) {
		return directory.OutcomeWrong, err
	}
	if d.schema.BindCodes != nil {
		return judgeByCode(d.schema.BindCodes, p.Account, err)
	}
	return judge(p.Account, control, err)
}

// formerOpens reports whether the password was changed so lately that the server
// lets in the one before it as well.
func (d *Directory) formerOpens(a directory.Account) bool {
	age := d.now().Sub(a.PasswordChangedAt)
	return d.schema.FormerOpens > 0 && age < d.schema.FormerOpens
}

// current tells the password in force from the one before it, which Active
// Directory lets in for an hour: whoever stole the old one must not come in with
// it after it was changed. As the person who was just let in, the password is
// changed to itself. Where it is the one in force, the rules on age and history
// refuse that; where it is the one before, the server says that it is not the
// one in force. Nothing changes either way.
//
// An account that may not change its own password cannot be asked so, and is
// barred for that hour.
func (d *Directory) current(l *link, p directory.Person, password []byte) (directory.Outcome, error) {
	err := d.changeByValues(l, p.DN, password, password)
	switch {
	case err == nil:
		return directory.OutcomeRight, nil
	case broken(err):
		return directory.OutcomeWrong, err
	}
	switch windowsCode(err) {
	case codeNotCurrent:
		return directory.OutcomeWrong, nil
	case codeAgainstRules:
		return directory.OutcomeRight, nil
	}
	return directory.OutcomeBarred, nil
}

// changeByValues takes the current value away and puts the new one in its place,
// which is how a server knows a change by its owner from a reset.
func (d *Directory) changeByValues(l *link, name string, old, next []byte) error {
	was, err := d.schema.PasswordValue(string(old))
	if err != nil {
		return err
	}
	is, err := d.schema.PasswordValue(string(next))
	if err != nil {
		return err
	}
	m := goldap.NewModifyRequest(name, nil)
	m.Delete(d.schema.Password, []string{was})
	m.Add(d.schema.Password, []string{is})
	return l.Modify(m)
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
// then RFC 3062 with both, or what the server has in its stead. What the directory's own rules do not let through is
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
	if _, err := d.person(p.DN); err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	notLetIn := false
	err := d.watched(ctx, d.binds, opPassword, false, func(_ context.Context, l *link) error {
		outcome, err := d.asked(l, p, old)
		if err != nil {
			return err
		}
		switch outcome {
		case directory.OutcomeRight:
		case directory.OutcomeMustChange, directory.OutcomeExpired:
			// A bind with grace left may still change the password; one that
			// was refused finds out in the next step. Where the code of a
			// refused bind is what said so, nobody is bound.
			if notLetIn = d.schema.BindCodes != nil; notLetIn {
				return nil
			}
		case directory.OutcomeLocked:
			return &directory.Refused{Reason: directory.ReasonLocked}
		case directory.OutcomeDisabled, directory.OutcomeBarred:
			return &directory.Refused{Reason: directory.ReasonNotAllowed}
		default:
			return &directory.Refused{Reason: directory.ReasonWrongCurrent}
		}
		if d.schema.ChangeBy == schema.ChangeByValues {
			return d.changeByValues(l, p.DN, old, next)
		}
		_, err = l.Extended(passwordModify(p.DN, old, next))
		return err
	})
	if err == nil && notLetIn {
		// Everybody may change a password whose current value they know; the
		// service account says it on behalf of who cannot come in to say it.
		err = d.changeFor(ctx, p, old, next)
	}
	var refused *directory.Refused
	if errors.As(err, &refused) {
		return refused
	}
	if err != nil {
		return wrapRefusal("changing a password", refusal(err))
	}
	return nil
}

func (d *Directory) changeFor(ctx context.Context, p directory.Person, old, next []byte) error {
	pen, err := d.theirs(ctx, p, "")
	if err != nil {
		return err
	}
	return d.write(ctx, func(l *link) error { return d.changeByValues(l, pen.name, old, next) })
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
// a lock after too many failures ends too, so that no crash leaves a temporary
// password unmarked. (389 Directory Server writes the mark itself, and only if
// its policy says so; a second modification sees to it.)
//
// An account that was disabled stays so. Where closure and lock are one
// attribute, that is asserted inside the modification (RFC 4528) and not read
// beforehand and hoped for.
func (d *Directory) ResetPassword(ctx context.Context, p directory.Person, new secret.Text, mustChange bool) error {
	password := new.Reveal()
	if len(password) == 0 {
		return &directory.Refused{Reason: directory.ReasonTooShort}
	}
	value, err := d.schema.PasswordValue(string(password))
	if err != nil {
		return fmt.Errorf("resetting a password: %w", err)
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	if err := d.reset(ctx, p, value, mustChange); err != nil {
		return err
	}
	if d.schema.Comparing {
		return d.hashed(ctx, p.DN, password)
	}
	return nil
}

func (d *Directory) reset(ctx context.Context, p directory.Person, value string, mustChange bool) error {
	states := []struct {
		when  string
		entry schema.Entry
	}{{"", nil}}
	if d.schema.Guard == schema.GuardAssertion {
		closed := d.schema.Closed()
		is := equals(closed.Attribute, closed.Value)
		states[0].when = "(!" + is + ")"
		states = append(states, states[0])
		states[1].when, states[1].entry = is, func(name string) []string {
			if name == closed.Attribute {
				return []string{closed.Value}
			}
			return nil
		}
	}
	for _, state := range states {
		err := d.alter(ctx, p, state.when, func(e schema.Entry) ([]schema.Change, error) {
			if state.entry != nil {
				e = state.entry
			}
			return d.schema.Reset(e, value, mustChange), nil
		})
		if coded(err, goldap.LDAPResultAssertionFailed) {
			continue
		}
		if after := d.schema.AfterReset(mustChange); err == nil && after != nil {
			err = d.alter(ctx, p, "", func(schema.Entry) ([]schema.Change, error) { return after, nil })
		}
		if err != nil {
			return wrapRefusal("resetting a password", refusal(err))
		}
		return nil
	}
	return fmt.Errorf("resetting a password: %w", errNotTheirs)
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
