package authz

import (
	"time"

	"sekisho/policy"
)

// A Tie binds an ID to a project: the ID is of the project's environment, and is good
// while it runs (articles 67-2(1), 68-2).
type Tie struct {
	Project     string
	Environment policy.Environment
	// Until is when the project ends: on its last day, or on its completion before that.
	// The zero time is over.
	Until time.Time
}

// tied is what an ID's ties make of it: which environment it is of, and until when it is
// good at all. An ID that is tied to nothing is of production, and until is zero; one
// whose projects are all over is good for nothing, and so is one that is tied to
// projects of both environments, which nobody may do.
func tied(ties []Tie, now time.Time) (of policy.Environment, until time.Time, ok bool) {
	if len(ties) == 0 {
		return policy.Production, time.Time{}, true
	}
	for _, t := range ties {
		if !now.Before(t.Until) {
			continue
		}
		if of != "" && of != t.Environment.Effective() {
			return "", time.Time{}, false
		}
		of = t.Environment.Effective()
		if t.Until.After(until) {
			until = t.Until
		}
	}
	return of, until, !until.IsZero()
}

// EnvironmentOf is the environment that an ID with these ties is of at a time; ok is
// false where it is good for nothing.
func EnvironmentOf(ties []Tie, now time.Time) (of policy.Environment, ok bool) {
	of, _, ok = tied(ties, now)
	return of, ok
}

// Tied is what the ties of an ID make of it: of which environment it is, and until when it
// is good for anything. Its zero value is good for nothing.
type Tied struct {
	Of    policy.Environment
	Until time.Time // zero: without an end
}

// Untied is an ID that is tied to nothing.
var Untied = Tied{Of: policy.Production}

// TiedBy is what ties make of an ID at a time.
func TiedBy(ties []Tie, now time.Time) Tied {
	of, until, ok := tied(ties, now)
	if !ok {
		return Tied{}
	}
	return Tied{of, until}
}

// Refuses is why what is of an environment is not for the ID at a time, beside the
// applications, of which Decide says that (articles 67-2(1), 68-1, 68-2).
func (t Tied) Refuses(of policy.Environment, now time.Time) (Verdict, bool) {
	switch {
	case t.Of == "", !t.Until.IsZero() && !now.Before(t.Until):
		return projectOver(), true
	case !of.Opens(t.Of):
		return OtherEnvironment(t.Of), true
	}
	return Verdict{}, false
}

// projectOver refuses an ID whose projects are over.
func projectOver() Verdict {
	return refuse(ProjectOver, with(every, "67-2(1)"), policy.Words{
		JA: "このIDは、開発などの案件のためのIDで、その案件は終わっています。続けて必要な場合は、案件を担当する情報システム管理者に相談してください。",
		EN: "This ID was for a project, and the project is over. If it is still needed, please ask the system administrator who answers for the project.",
	})
}

// OtherEnvironment refuses an ID of one environment at what belongs to the other.
func OtherEnvironment(of policy.Environment) Verdict {
	says := policy.Words{
		JA: "これは開発・テスト用の環境です。運用のIDでは使えません。開発用のIDでサインインし直してください。",
		EN: "This belongs to the development environment, which IDs of production do not use. Sign in with an ID for development.",
	}
	if of == policy.Development {
		says = policy.Words{
			JA: "このIDは開発・テスト用です。運用中のシステムには使えません。運用の仕事には、運用のIDでサインインし直してください。",
			EN: "This ID is for development, and does not open what is in production. For work in production, sign in with an ID of production.",
		}
	}
	return refuse(WrongEnvironment, with(every, "68-1", "68-2"), says)
}
