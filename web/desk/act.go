package desk

import (
	"context"
	"errors"
	"time"

	"sekisho/authn"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/authz/grant"
	"sekisho/policy"
	"sekisho/web"
)

// Ask asks for a privilege, or takes it without approval.
func (d *Desk) Ask(ctx context.Context, o signin.Origin, cookie string, w Wish) (Lease, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Lease{}, err
	}
	wish := grant.Wish{Privilege: w.Privilege, Reason: w.Reason, Ticket: w.Ticket, For: time.Duration(w.Minutes) * time.Minute, Emergency: w.Emergency, Key: w.Key}
	var (
		l       grant.Lease
		account *elevate.Account
	)
	if w.Emergency {
		l, account, err = d.Lent.Emergency(ctx, r.By, wish)
	} else {
		l, err = d.Lent.Ask(ctx, r.By, wish)
	}
	if err != nil {
		return Lease{}, said(err)
	}
	return d.after(ctx, r, l, account)
}

// Do does one act about a lease, and answers it as it is after it.
func (d *Desk) Do(ctx context.Context, o signin.Origin, cookie, id string, a Act, s Said) (Lease, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Lease{}, err
	}
	var (
		account *elevate.Account
		done    = grant.Lease{ID: id}
	)
	switch a {
	case Approve, Deny:
		err = d.decideLease(ctx, r, id, a == Approve, s.Comment)
	case Cancel:
		_, err = d.Lent.Cancel(ctx, r.By, id, s.Comment)
	case Activate:
		done, account, err = d.Lent.Activate(ctx, r.By, id)
	case Renew:
		done, account, err = d.Lent.Renew(ctx, r.By, id)
	case Extend:
		_, err = d.Lent.Extend(ctx, r.By, id, time.Duration(s.Minutes)*time.Minute, s.Comment)
	case End:
		_, err = d.Lent.End(ctx, r.By, id, s.Comment)
	case Revoke:
		_, err = d.Lent.Revoke(ctx, r.By, id, s.Comment)
	case Witness:
		_, err = d.Lent.Witness(ctx, r.By, id)
	case Report:
		_, err = d.Lent.Report(ctx, r.By, id, s.Report)
	case Countersign:
		_, err = d.Lent.Countersign(ctx, r.By, id, s.Comment)
	case Judge:
		_, err = d.Lent.Judge(ctx, r.By, id, s.Comment)
	default:
		err = web.ErrNoPage
	}
	if err != nil {
		return Lease{}, said(err)
	}
	return d.after(ctx, r, done, account)
}

// after is a lease when something was done to it, with the ID that is shown once and
// the handle that its reader has from now on. What was done stands: if only the
// reading fails, neither is lost with it. The new handle is not used to read: its use
// says that the browser has it (session.Unheard).
func (d *Desk) after(ctx context.Context, r reader, done grant.Lease, account *elevate.Account) (Lease, error) {
	var raised *signin.Step
	if cookie := done.Handle; cookie != "" {
		raised = &signin.Step{
			State: authn.SignedIn, Cookie: cookie, CSRF: d.Sessions.CSRF(cookie), Person: r.Person,
			Session: &session.Session{ID: r.SessionID, Person: r.Person.ID, Login: r.Person.Login},
		}
	}
	l, err := d.lease(ctx, reader{r.By, d.Policy(), d.Now()}, done.ID)
	switch {
	case err != nil && (account != nil || raised != nil):
		l = Lease{ID: done.ID, State: State(done.State(d.Now())), Mine: true}
	case err != nil:
		return Lease{}, err
	}
	l.Raised = raised
	if account != nil {
		l.Account = Account{Login: account.Login, Password: account.Password}
	}
	return l, nil
}

// decideLease says yes or no to what waits about a lease.
func (d *Desk) decideLease(ctx context.Context, r reader, id string, yes bool, comment string) error {
	l, err := d.Lent.Get(ctx, id)
	if err != nil {
		return err
	}
	matter := matterOf(l, r.now)
	if matter == "" {
		return web.Say(web.CodeState, policy.Words{})
	}
	_, err = d.Approvals.Decide(ctx, r.By, matter, yes, comment)
	return err
}

// Decide says yes or no to a matter of whatever kind.
func (d *Desk) Decide(ctx context.Context, o signin.Origin, cookie, id string, yes bool, comment string) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	_, err = d.Approvals.Decide(ctx, r.By, id, yes, comment)
	return said(err)
}

// said refuses a sign-in with a factor that has not rested, where the book asks for
// another: whoever is sent to sign in would come back with the same.
func said(err error) error {
	var up *approval.StepUp
	if errors.As(err, &up) && up.Verdict.Reason == approval.NewFactor {
		return &approval.Refused{Verdict: up.Verdict}
	}
	return err
}
