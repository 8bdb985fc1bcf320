package policy

import "testing"

func TestEnvironmentOpens(t *testing.T) {
	for _, tt := range []struct {
		of, to Environment
		want   bool
	}{
		{"", "", true},
		{"", Production, true},
		{Production, "", true},
		{Production, Development, false},
		{"", Development, false},
		{Development, Development, true},
		{Development, Production, false},
		{Development, "", false},
		{EitherEnvironment, Production, true},
		{EitherEnvironment, Development, true},
		{EitherEnvironment, "staging", false},
		{"staging", "staging", false}, // what is not known opens to nobody
		{Production, EitherEnvironment, false},
		{Development, EitherEnvironment, false},
	} {
		if got := tt.of.Opens(tt.to); got != tt.want {
			t.Errorf("%q opens to an ID of %q: %v, want %v", tt.of, tt.to, got, tt.want)
		}
	}
}
