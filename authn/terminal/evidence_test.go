package terminal_test

import (
	"strings"
	"testing"
	"time"

	"sekisho/authn/terminal"
	"sekisho/policy"
)

// TestStandsIn begins with a word that stands in and spoils one thing at a time.
func TestStandsIn(t *testing.T) {
	t.Parallel()
	const day = 8 * time.Hour
	zone := policy.Zone{ID: policy.MyNumber, AbsoluteEnd: day}
	good := func() terminal.Assertion {
		return terminal.Assertion{
			Terminal: terminal.Terminal{ID: "juki-1", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Key: "k", Declared: true},
			Login:    "tanaka", Methods: []string{"pwd", "fpt"}, AuthAt: t0.Add(-time.Hour),
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(a *terminal.Assertion, login *string, zone *policy.Zone)
		want  bool
	}{
		{"all in order", func(*terminal.Assertion, *string, *policy.Zone) {}, true},
		{"the zero value", func(a *terminal.Assertion, login *string, z *policy.Zone) {
			*a, *login, *z = terminal.Assertion{}, "", policy.Zone{}
		}, false},
		{"the zero value for somebody", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { *a = terminal.Assertion{} }, false},

		{"a counter", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Class = policy.TerminalCounter }, false},
		{"a lent one", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Class = policy.TerminalLent }, false},
		{"of no class", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Class = "" }, false},
		{"made by one person", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Declared = false }, false},
		{"without a key", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Key = "" }, false},
		{"lost", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.LostAt = t0 }, false},
		{"of another zone", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Terminal.Zone = policy.LGWAN }, false},
		{"in another zone", func(_ *terminal.Assertion, _ *string, z *policy.Zone) { z.ID = policy.LGWAN }, false},
		{"of no zone, in none", func(a *terminal.Assertion, _ *string, z *policy.Zone) { a.Terminal.Zone, z.ID = "", policy.LGWAN }, false},

		{"another spelling of the login", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Login = "Ｔanaka " }, true},
		{"another person", func(_ *terminal.Assertion, login *string, _ *policy.Zone) { *login = "suzuki" }, false},
		{"the beginning of a login", func(_ *terminal.Assertion, login *string, _ *policy.Zone) { *login = "tanaka2" }, false},
		{"nobody", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.Login = "" }, false},
		{"nobody for nobody", func(a *terminal.Assertion, login *string, _ *policy.Zone) { a.Login, *login = "", "" }, false},
		{"blanks for blanks", func(a *terminal.Assertion, login *string, _ *policy.Zone) { a.Login, *login = " ", "\u200b" }, false},

		{"signed in this instant", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = t0 }, true},
		{"signed in a moment from now", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = t0.Add(time.Microsecond) }, false},
		{"the day's last moment", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = t0.Add(-day + time.Microsecond) }, true},
		{"a day ago", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = t0.Add(-day) }, false},
		{"it does not say when", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = time.Time{} }, false},
		{"a time that overflows a duration", func(a *terminal.Assertion, _ *string, _ *policy.Zone) { a.AuthAt = time.Unix(-1<<50, 0) }, false},
		{"a zone without an end", func(a *terminal.Assertion, _ *string, z *policy.Zone) { a.AuthAt, z.AbsoluteEnd = t0, 0 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, login, zone := good(), "tanaka", zone
			tt.spoil(&a, &login, &zone)
			if got := a.StandsIn(login, zone, t0); got != tt.want {
				t.Errorf("StandsIn = %v, want %v", got, tt.want)
			}
		})
	}

	// Two of the three kinds of RFC 8176 section 2 are two factors; two of one
	// kind are one, and what proves no kind adds nothing.
	for methods, want := range map[string]bool{
		"":                 false,
		"pwd":              false,
		"pwd fpt":          true,
		"fpt pwd":          true,
		"pwd otp":          true,
		"pwd hwk":          true,
		"pwd swk":          true,
		"pwd sc":           true,
		"pin sc":           true,
		"pin face":         true,
		"sc fpt":           true,
		"hwk iris":         true,
		"otp vbm":          true,
		"swk retina":       true,
		"pwd pwd":          false,
		"pwd pin":          false,
		"otp hwk swk sc":   false,
		"fpt face iris":    false,
		"vbm retina":       false,
		"mfa":              false,
		"pwd mfa":          false,
		"mfa mca":          false,
		"pwd mfa otp":      true,
		"pwd kba":          false,
		"kba otp":          false,
		"pwd sms":          false,
		"pwd tel":          false,
		"pwd geo rba user": false,
		"wia":              false,
		"wia pwd":          false,
		"wia user fpt sc":  true,
		"PWD otp":          false,
		"pwd  ":            false,
		"pwd knock":        false,
	} {
		a := good()
		a.Methods = strings.Split(methods, " ")
		if got := a.StandsIn("tanaka", zone, t0); got != want {
			t.Errorf("StandsIn with %q = %v, want %v", methods, got, want)
		}
	}
}
