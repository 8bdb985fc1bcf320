package policy

import "testing"

// TestMayView: whoever approves an import may see it, whoever else may.
func TestMayView(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		viewers, posts []PostID
		may            bool
	}{
		{nil, []PostID{Staff, CIO}, true},
		{nil, []PostID{Staff, SecurityManager}, false},
		{[]PostID{SecurityManager}, []PostID{SecurityManager}, true},
		{[]PostID{SecurityManager}, []PostID{SecurityOfficer}, true},
		{[]PostID{SecurityManager}, nil, false},
	} {
		if got := (PersonnelRules{Viewers: tt.viewers}).MayView(tt.posts); got != tt.may {
			t.Errorf("viewers %v, posts %v: %t", tt.viewers, tt.posts, got)
		}
	}
}
