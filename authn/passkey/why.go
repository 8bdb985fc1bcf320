package passkey

import (
	"errors"

	"sekisho/authn/ticket"
)

// Why an answer was refused, as the trail names it. Challenges add "challenge_"
// and what ticket.Why says of them.
const (
	whyMalformed      = "malformed"
	whyWrongType      = "wrong_type" // the answer to another ceremony
	whyWrongEnrolment = "wrong_enrolment"
	whyWrongOrigin    = "wrong_origin"
	whyCrossOrigin    = "cross_origin"
	whyWrongRP        = "wrong_rp"
	whyNoPresence     = "no_user_presence"
	whyNoVerification = "no_user_verification"
	whyBackupFlags    = "backup_flags" // backed up, but of a kind that cannot be
	whyFlagsChanged   = "flags_changed"
	whyAlgorithm      = "wrong_algorithm"
	whyAttestation    = "wrong_attestation"
	whyUnknownKey     = "unknown_key"
	whyUserHandle     = "wrong_user_handle"
	whySignature      = "wrong_signature"
)

// A refusal is ErrWrong or ErrNoEnrolment, and why. The reason is not for whoever
// is refused: it would tell a thief of a key what to mend.
type refusal struct {
	is  error
	why string
}

func (r *refusal) Error() string { return r.is.Error() + ": " + r.why }
func (r *refusal) Unwrap() error { return r.is }

func wrong(why string) error { return &refusal{ErrWrong, why} }

// notGood is an error of tickets as one of ours; any other is our own trouble
// and stays what it is.
func notGood(is, err error) error {
	if errors.Is(err, ticket.ErrInvalid) {
		return &refusal{is, "challenge_" + ticket.Why(err)}
	}
	return err
}

// Why names what was wrong with an answer, for the trail alone: "" for an error
// that is not about an answer.
func Why(err error) string {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.why
	case errors.Is(err, ErrCloned):
		return "cloned"
	}
	return ""
}
