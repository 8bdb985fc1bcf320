package house

import (
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/policy"
)

// TestAnswersIn: nobody answers for what acts in production with an ID of development, or
// with one that is good for nothing (articles 67-2(1), 68-1).
func TestAnswersIn(t *testing.T) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	tied := func(of policy.Environment, left time.Duration) authz.Tied {
		return authz.TiedBy([]authz.Tie{{Project: "p", Environment: of, Until: now.Add(left)}}, now)
	}
	for _, tt := range []struct {
		name  string
		owner authz.Tied
		of    policy.Environment
		want  bool
	}{
		{"tied to nothing, production", authz.Untied, "", true},
		{"tied to nothing, development", authz.Untied, policy.Development, true},
		{"production at production", tied(policy.Production, time.Hour), policy.Production, true},
		{"production at development", tied(policy.Production, time.Hour), policy.Development, true},
		{"development at production", tied(policy.Development, time.Hour), "", false},
		{"development at development", tied(policy.Development, time.Hour), policy.Development, true},
		{"development at either", tied(policy.Development, time.Hour), policy.EitherEnvironment, true},
		{"the project is over", tied(policy.Production, 0), policy.EitherEnvironment, false},
		{"nobody has asked", authz.Tied{}, policy.Development, false},
		{"an environment that is not known", tied("staging", time.Hour), policy.EitherEnvironment, false},
	} {
		if got := answersIn(tt.owner, tt.of); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
