package policy

import "testing"

func TestPowerful(t *testing.T) {
	t.Parallel()
	p := Standard()
	for _, tt := range []struct {
		name  string
		posts []PostID
		want  bool
	}{
		{"no post", nil, false},
		{"staff", []PostID{Staff}, false},
		{"who only reads", []PostID{Auditor}, false},
		{"who approves", []PostID{Staff, SecurityManager}, true},
		{"who administers", []PostID{SystemOperator}, true},
		{"a post nobody knows", []PostID{"emperor"}, false},
	} {
		if got := p.Powerful(tt.posts); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestCardsIn(t *testing.T) {
	t.Parallel()
	p := Standard()
	if p.CardsIn(LGWAN) {
		t.Error("cards without an authority")
	}
	p.Cards = []CardAuthority{{ID: "a", Zones: []ZoneID{MyNumber}}}
	if p.CardsIn(LGWAN) || !p.CardsIn(MyNumber) {
		t.Error("an authority is good in the zones it names")
	}
	p.Cards = append(p.Cards, CardAuthority{ID: "b"})
	if !p.CardsIn(LGWAN) {
		t.Error("one that names no zone is good in all")
	}
}
