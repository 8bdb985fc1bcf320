package notice

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"sekisho/policy"
	"sekisho/policy/store"
)

func TestAddress(t *testing.T) {
	long := strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 61)
	for _, tt := range []struct {
		typed, want string
		ok          bool
	}{
		{"tanaka@pref.example", "tanaka@pref.example", true},
		{"  tanaka@pref.example　", "tanaka@pref.example", true},
		{"Tanaka.Hana+gate@pref.example", "Tanaka.Hana+gate@pref.example", true},
		{"root@localhost", "root@localhost", true},
		{long, long, true},
		{long + "d", "", false},
		{strings.Repeat("a", 65) + "@pref.example", "", false},
		{"", "", false},
		{"tanaka", "", false},
		{"@pref.example", "", false},
		{"tanaka@", "", false},
		{"Tanaka <tanaka@pref.example>", "", false},
		{"<tanaka@pref.example>", "", false},
		{"tanaka@pref.example (at work)", "", false},
		{"tanaka@pref.example, mallory@evil.example", "", false},
		{"staff: tanaka@pref.example;", "", false},
		{`"ta naka"@pref.example`, "", false},
		{`"tanaka"@pref.example`, "", false},
		{"tanaka@[192.0.2.1]", "", false},
		{"tanaka@pref.example\r\nBcc: mallory@evil.example", "", false},
		{"tanaka@pref.example\x00", "", false},
		{"tanaka\t@pref.example", "", false},
		{"田中@pref.example", "", false},
		{"tanaka@県.example", "", false},
		{"tаnaka@pref.example", "", false}, // a Cyrillic а
		{"a@b@pref.example", "", false},
	} {
		got, err := Address(tt.typed)
		if got != tt.want || (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrAddress)) {
			t.Errorf("Address(%q) = %q, %v", tt.typed, got, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"a@b", "A <a@b>", "a@b\r\nBcc: c@d", `"a"@b`, "a@[::1]", "a@b, c@d", "=?utf-8?q?a?=@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, err := Address(typed)
		if err != nil {
			return
		}
		if strings.ContainsAny(got, " \r\n\t<>(),;:\"[]\\") || len(got) > longestAddress {
			t.Errorf("Address(%q) = %q", typed, got)
		}
		list, err := mail.ParseAddressList(got)
		if err != nil || len(list) != 1 || list[0].Address != got {
			t.Errorf("Address(%q) = %q, which reads as %v, %v", typed, got, list, err)
		}
	})
}

func TestSecondAddress(t *testing.T) {
	for _, tt := range []struct {
		typed, first, want string
		err                error
	}{
		{"me@home.example", "tanaka@pref.example", "me@home.example", nil},
		{"me@home.example", "", "me@home.example", nil},
		{"", "tanaka@pref.example", "", nil},
		{" 　", "tanaka@pref.example", "", nil},
		{"tanaka@pref.example", "tanaka@pref.example", "", ErrSameAddress},
		{"TANAKA@Pref.Example", "tanaka@pref.example", "", ErrSameAddress},
		{"me@", "tanaka@pref.example", "", ErrAddress},
	} {
		got, err := SecondAddress(tt.typed, tt.first)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("SecondAddress(%q, %q) = %q, %v; want %q, %v", tt.typed, tt.first, got, err, tt.want, tt.err)
		}
	}
}

// TestEveryAddressIsTold: whoever turns a person's notices away is seen by
// those who were told before.
func TestEveryAddressIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, step := range []struct {
		set  string
		told []string
	}{
		{"old@home.example", []string{"", "old@home.example"}},
		{"new@home.example", []string{"", "new@home.example", "old@home.example"}},
		{"", []string{"", "new@home.example"}},
		{"", nil}, // nothing changed
		{"again@home.example", []string{"", "again@home.example"}},
		{"again@home.example", nil},
	} {
		w.second(step.set)
		due := w.claim()
		if got := addresses(due); !slices.Equal(got, step.told) {
			t.Errorf("after %q: told %q, want %q", step.set, got, step.told)
		}
		for _, d := range due {
			if d.Kind != AddressChanged {
				t.Errorf("after %q: told of %s", step.set, d.Kind)
			}
		}
		if got, err := w.Second(ctx, tanaka); err != nil || got != step.set {
			t.Errorf("Second = %q, %v; want %q", got, err, step.set)
		}
	}
}

// TestTheAddressOfTheMoment: a notice queued before the second address was
// changed still goes to the one before.
func TestTheAddressOfTheMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("old@home.example")
	for _, d := range w.claim() {
		w.done(d)
	}
	w.add(Notice{Kind: FactorAdded})
	w.second("mallory@evil.example")
	var told []string
	for _, d := range w.claim() {
		if d.Kind == FactorAdded {
			told = append(told, d.Address)
		}
	}
	slices.Sort(told)
	if !slices.Equal(told, []string{"", "old@home.example"}) {
		t.Errorf("the factor was told to %q", told)
	}
}

func TestSetSecondRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("old@home.example")
	for _, bad := range []string{"mallory", "a@b, c@d", "a@b\r\nBcc: c@d"} {
		err := w.db.WithTx(ctx, func(tx *store.Tx) error { return w.SetSecond(ctx, tx, tanaka, bad, policy.LGWAN) })
		if !errors.Is(err, ErrAddress) {
			t.Errorf("SetSecond(%q) = %v", bad, err)
		}
	}
	if got, _ := w.Second(ctx, tanaka); got != "old@home.example" {
		t.Errorf("the address became %q", got)
	}
}
