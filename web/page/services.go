package page

import (
	"context"

	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/policy/charter"
	"sekisho/policy/secret"
)

// Steps are the steps of a sign-in.
type Steps interface {
	Password(ctx context.Context, o signin.Origin, cookie, login string, pw secret.Text) (signin.Step, error)
	// BeginPasskey asks the browser for a passkey: any at the first step, one of
	// the person's at the second.
	BeginPasskey(ctx context.Context, o signin.Origin, cookie, login string) (signin.Ceremony, error)
	Passkey(ctx context.Context, o signin.Origin, cookie string, credential []byte) (signin.Step, error)
	Card(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	TOTP(ctx context.Context, o signin.Origin, cookie, code string) (signin.Step, error)
	// RecoveryCode takes the code given in person for a factor that was lost.
	RecoveryCode(ctx context.Context, o signin.Origin, cookie string, code secret.Text) (signin.Step, error)
	NewPassword(ctx context.Context, o signin.Origin, cookie string, pw secret.Text) (signin.Step, error)
	Acknowledge(ctx context.Context, o signin.Origin, cookie, version string) (signin.Step, error)
}

// Presence says what a cookie stands for, and ends it.
type Presence interface {
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	SignOut(ctx context.Context, o signin.Origin, cookie string) error
}

// Factors are a person's ways to sign in beside the password. Begin and finish
// also work for a sign-in that is at state enrol.
type Factors interface {
	Factors(ctx context.Context, o signin.Origin, cookie string) ([]account.Factor, error)
	BeginTOTP(ctx context.Context, o signin.Origin, cookie string) (totp.Enrolment, error)
	FinishTOTP(ctx context.Context, o signin.Origin, cookie, id, code, name string) (signin.Step, error)
	// BeginPasskey stores nothing: a page that is only looked at changes nothing.
	BeginPasskey(ctx context.Context, o signin.Origin, cookie string) (passkey.Enrolment, error)
	FinishPasskey(ctx context.Context, o signin.Origin, cookie, id, name string, credential []byte) (signin.Step, error)
	RenameFactor(ctx context.Context, o signin.Origin, cookie, id, name string) error
	RemoveFactor(ctx context.Context, o signin.Origin, cookie, id string) (signin.Step, error)
}

// Account is the rest of what is a person's own.
type Account interface {
	ChangePassword(ctx context.Context, o signin.Origin, cookie string, current, new secret.Text) (signin.Step, error)
	Sessions(ctx context.Context, o signin.Origin, cookie string) (sessions []session.Session, current string, err error)
	EndSession(ctx context.Context, o signin.Origin, cookie, id string) error
	// Second is the further address that notices go to, "" for none.
	Second(ctx context.Context, o signin.Origin, cookie string) (string, error)
	SetSecond(ctx context.Context, o signin.Origin, cookie, address string) (signin.Step, error)
	// ReportLeak ends everything. Its step leads to a new password where
	// another factor can prove the person; signin.ErrNone: nothing does.
	ReportLeak(ctx context.Context, o signin.Origin, cookie, what string) (signin.Step, error)
}

// Charter is where proposals of a new policy wait for a second person.
type Charter interface {
	Version() int64
	Proposals(ctx context.Context) ([]charter.Proposal, error)
	Approve(ctx context.Context, o signin.Origin, cookie, proposalID string) (int64, error)
}

// TerminalCheck takes a person's word that the terminal is in order, article
// 63-6.
type TerminalCheck interface {
	ConfirmTerminal(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
}
