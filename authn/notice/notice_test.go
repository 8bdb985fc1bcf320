package notice

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sekisho/policy"
	"sekisho/policy/store"
)

func TestAddCommitsWithTheAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broken := errors.New("the act failed")
	err := w.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.Add(ctx, tx, Notice{Person: tanaka, Kind: PasswordChanged, Zone: policy.LGWAN}); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) || w.count("notice") != 0 || w.count("notice_copy") != 0 {
		t.Fatalf("err %v, %d notices, %d copies after an act that failed; want none", err, w.count("notice"), w.count("notice_copy"))
	}
	w.add(Notice{Kind: PasswordChanged})
	due := w.claim()
	if len(due) != 1 || due[0].Person != tanaka || due[0].Kind != PasswordChanged || due[0].Zone != policy.LGWAN || !due[0].At.Equal(t0) {
		t.Fatalf("due = %+v", due)
	}
}

// TestNothingLeavesASilentZone: where the zone's policy says that no mail
// leaves, nothing is even queued.
func TestNothingLeavesASilentZone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		zone policy.ZoneID
		from string
		want int
	}{
		{"mails", policy.LGWAN, "sekisho@pref.example", 1},
		{"does not mail", policy.MyNumber, "sekisho@pref.example", 0},
		{"no sender", policy.LGWAN, "", 0},
		{"unknown zone", policy.Internet, "sekisho@pref.example", 0},
		{"no zone", "nowhere", "sekisho@pref.example", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rules.Mail.From = tt.from
			w.add(Notice{Kind: PasswordChanged, Zone: tt.zone})
			if got := w.count("notice"); got != tt.want {
				t.Errorf("%d notices queued, want %d", got, tt.want)
			}
			if got := Mails(w.rules, tt.zone); got != (tt.want == 1) {
				t.Errorf("Mails = %t", got)
			}
		})
	}
}

func TestAddRefusesWhatIsNoNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []Notice{
		{Person: tanaka, Kind: "birthday", Zone: policy.LGWAN},
		{Person: "", Kind: PasswordChanged, Zone: policy.LGWAN},
		{Person: tanaka, Kind: "birthday", Zone: policy.MyNumber}, // a mistake shows in every zone
	} {
		if err := w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Add(ctx, tx, n) }); err == nil {
			t.Errorf("%+v was queued", n)
		}
	}
}

// TestOnlyKnownDetailsAreKept: what a caller adds by mistake, a secret perhaps,
// does not reach the store; what it leaves out is empty.
func TestOnlyKnownDetailsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: FactorAdded, Detail: map[string]string{"factor": "totp", "seed": "JBSWY3DPEHPK3PXP"}})
	var stored string
	if err := w.db.QueryRow(ctx, `SELECT detail FROM notice`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stored, "JBSW") {
		t.Errorf("stored %s", stored)
	}
	if got, want := w.claim()[0].Detail, map[string]string{"factor": "totp", "name": ""}; !maps.Equal(got, want) {
		t.Errorf("detail = %v, want %v", got, want)
	}
}

func TestLine(t *testing.T) {
	for _, tt := range []struct{ name, from, want string }{
		{"as typed", "庁用ノート 2号", "庁用ノート 2号"},
		{"line breaks", "phone\r\nBcc: mallory@evil.example\n\nVisit", "phone Bcc: mallory@evil.example Visit"},
		{"separators of Unicode", "a\u2028b\u2029c\u0085d", "a b c d"},
		{"a NUL", "a\x00b", "a b"},
		{"turned round", "a\u202eb\u2066c\u200bd\ufeff", "abcd"},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"long", strings.Repeat("長", 300), strings.Repeat("長", longest-1) + "…"},
		{"just fits", strings.Repeat("長", longest), strings.Repeat("長", longest)},
		{"nothing", " \t\n", ""},
	} {
		if got := Line(tt.from); got != tt.want {
			t.Errorf("%s: Line = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "a\r\nb", "\u202e", "\xff", strings.Repeat("x", 1000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if strings.ContainsAny(got, "\r\n\x00\u2028\u2029\u0085\u202e") || !utf8.ValidString(got) || utf8.RuneCountInString(got) > longest {
			t.Errorf("Line(%q) = %q", s, got)
		}
		if again := Line(got); again != got {
			t.Errorf("Line is not settled: %q, then %q", got, again)
		}
	})
}

func TestKinds(t *testing.T) {
	all := Kinds()
	if len(all) != 65 || !slices.IsSorted(all) {
		t.Errorf("Kinds = %v", all)
	}
	if got := SignInUnusual.Details(); !slices.Equal(got, []string{"from", "browser", "failures"}) {
		t.Errorf("details of %s = %v", SignInUnusual, got)
	}
	all[0] = "changed"
	SignInUnusual.Details()[0] = "changed"
	if Kinds()[0] == "changed" || SignInUnusual.Details()[0] == "changed" {
		t.Error("a caller changed what the kinds are")
	}
}

func TestWakeIsHeardAndNeverBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.add(Notice{Kind: PasswordChanged})
	}
	select {
	case <-w.Wake():
	default:
		t.Fatal("nobody was woken")
	}
	select {
	case <-w.Wake():
		t.Fatal("woken twice for what one look finds")
	default:
	}
}
