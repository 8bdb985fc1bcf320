package authn

import (
	"slices"
	"testing"

	"sekisho/policy"
)

func TestStrength(t *testing.T) {
	for _, tt := range []struct {
		name    string
		methods []Method
		want    policy.ACR
	}{
		{"nothing proves nothing", nil, ""},
		{"a password alone", []Method{Password}, policy.AAL1},
		{"a code alone", []Method{OTP}, policy.AAL1},
		{"the same factor twice is one factor", []Method{Password, Password}, policy.AAL1},
		{"two factors", []Method{Password, OTP}, policy.AAL2},
		{"a passkey is two factors that resist phishing", []Method{HardwareKey}, policy.PHR},
		{"one that is copied too", []Method{SyncedKey}, policy.PHR},
		{"and a card", []Method{Password, SmartCard}, policy.PHR},
		{"a terminal's word beside a password", []Method{Password, Terminal}, policy.AAL2},
		{"a terminal alone is nobody", []Method{Terminal}, ""},
		{"a terminal and a code are both held", []Method{OTP, Terminal}, ""},
		{"an unknown method is no factor", []Method{Password, "magic"}, policy.AAL1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Strength(tt.methods); got != tt.want {
				t.Errorf("Strength(%v) = %q, want %q", tt.methods, got, tt.want)
			}
		})
	}
}

func TestNext(t *testing.T) {
	need := Need{ACR: policy.AAL2, Acknowledgment: "2026-1"}
	for _, tt := range []struct {
		name string
		from Progress
		need Need
		want State
	}{
		{"the zero value opens no step", Progress{}, Need{}, ""},
		{"an enrolled factor is always asked for", Progress{Methods: []Method{Password}, Enrolled: []Method{OTP}}, Need{ACR: policy.AAL1}, SecondFactor},
		{"a reset password does not skip the second factor", Progress{Methods: []Method{Password}, Enrolled: []Method{OTP}, MustChange: true}, need, SecondFactor},
		{"a temporary password is changed before anything else opens", Progress{Methods: []Method{Password}, MustChange: true}, need, PasswordChange},
		{"and after the second factor too", Progress{Methods: []Method{Password, OTP}, Enrolled: []Method{OTP}, MustChange: true}, need, PasswordChange},
		{"a passkey alone needs no second factor", Progress{Methods: []Method{HardwareKey}, Enrolled: []Method{OTP}, Acknowledged: "2026-1"}, need, SignedIn},
		{"a card after a temporary password does not skip its change", Progress{Methods: []Method{Password, SmartCard}, MustChange: true}, need, PasswordChange},
		{"a dedicated terminal's word is the second factor", Progress{Methods: []Method{Password, Terminal}, Enrolled: []Method{OTP}, Acknowledged: "2026-1"}, need, SignedIn},
		{"a recovery code leads to a new factor alone", Progress{Methods: []Method{Password}, Enrolled: []Method{OTP}, MustChange: true, Recovering: true}, need, Enrol},
		{"who lost the only factor is not given another for a password", Progress{Methods: []Method{Password}, Lost: true}, need, SecondFactor},
		{"also where one factor suffices", Progress{Methods: []Method{Password}, Lost: true}, Need{ACR: policy.AAL1}, SecondFactor},
		{"but for a recovery code", Progress{Methods: []Method{Password}, Lost: true, Recovering: true}, need, Enrol},
		{"and proves nothing by itself", Progress{Recovering: true}, need, ""},
		{"where phishing must be resisted, a code is not enough", Progress{Methods: []Method{Password, OTP}, Enrolled: []Method{OTP, HardwareKey}}, Need{ACR: policy.PHR}, SecondFactor},
		{"and whoever has no such factor gets one", Progress{Methods: []Method{Password, OTP}, Enrolled: []Method{OTP}}, Need{ACR: policy.PHR}, Enrol},
		{"nobody without the factor the zone needs", Progress{Methods: []Method{Password}, Acknowledged: "2026-1"}, need, Enrol},
		{"the rules are acknowledged before first use", Progress{Methods: []Method{Password, OTP}}, need, Acknowledge},
		{"and again when they change", Progress{Methods: []Method{Password, OTP}, Acknowledged: "2025-1"}, need, Acknowledge},
		{"all done", Progress{Methods: []Method{Password, OTP}, Acknowledged: "2026-1"}, need, SignedIn},
		{"from outside, the terminal is confirmed last", Progress{Methods: []Method{Password, OTP}, Acknowledged: "2026-1"}, Need{ACR: policy.AAL2, Acknowledgment: "2026-1", TerminalCheck: true}, TerminalCheck},
		{"and not before the second factor", Progress{Methods: []Method{Password}, Enrolled: []Method{OTP}, Checked: true}, Need{ACR: policy.AAL2, TerminalCheck: true}, SecondFactor},
		{"confirmed, it opens", Progress{Methods: []Method{HardwareKey}, Acknowledged: "2026-1", Checked: true}, Need{ACR: policy.AAL2, Acknowledgment: "2026-1", TerminalCheck: true}, SignedIn},
		{"one factor where one suffices", Progress{Methods: []Method{Password}}, Need{ACR: policy.AAL1}, SignedIn},
		{"a need nobody can meet refuses", Progress{Methods: []Method{Password, OTP}}, Need{ACR: "unheard-of"}, Enrol},
		{"a need that was not stated refuses", Progress{Methods: []Method{Password, OTP}}, Need{}, Enrol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Next(tt.from, tt.need); got != tt.want {
				t.Errorf("Next = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAMR(t *testing.T) {
	for _, tt := range []struct {
		methods []Method
		want    []string
	}{
		{[]Method{Password, OTP, OTP}, []string{"pwd", "otp", "mfa"}},
		{[]Method{Password}, []string{"pwd"}},
		{[]Method{HardwareKey}, []string{"hwk", "mfa"}},
		{[]Method{SyncedKey}, []string{"swk", "mfa"}},
		{[]Method{SmartCard}, []string{"sc", "pin", "mfa"}},
		{[]Method{Password, Terminal}, []string{"pwd", "mfa"}}, // RFC 8176 has no word for it
	} {
		if got := AMR(tt.methods); !slices.Equal(got, tt.want) {
			t.Errorf("AMR(%v) = %v, want %v", tt.methods, got, tt.want)
		}
	}
}
