package policy

import (
	"slices"
	"strings"
	"testing"
)

// TestContractorsArePermitted: nothing that the file can say lends production to contractors
// with nobody who says yes (article 68-1), and the two ways in which nobody does so at that
// time are told.
func TestContractorsArePermitted(t *testing.T) {
	t.Parallel()
	const (
		lent      = "eligible: {posts: [system_administrator]}\n    approvers: {posts: [security_manager]}"
		to        = "eligible: {posts: [contractor]}\n    approvers: "
		emergency = "\n    emergency: true"
	)
	for _, tt := range []struct {
		name     string
		new      string
		more     []string
		refused  string // field
		cautions []string
	}{
		{"approved by nobody", to + "{posts: []}", nil, "privileges[2].approvers.posts", nil},
		{"no word of approvers", "eligible: {posts: [contractor]}", nil, "privileges[2].approvers.posts", nil},
		{"a quorum of none", to + "{posts: [security_manager], quorum: 0}", nil, "privileges[2].approvers.quorum", nil},
		{"approved by contractors", to + "{posts: [contractor]}", nil, "privileges[2].approvers.posts[0]", nil},
		{"approved by a manager", to + "{posts: [security_manager]}", nil, "", nil},
		{"or taken without", to + "{posts: [security_manager]}" + emergency, nil, "", []string{"privileges[switch-admin].emergency"}},
		{"of either environment", to + "{posts: [security_manager]}" + emergency + "\n    environment: either", nil, "", []string{"privileges[switch-admin].emergency"}},
		{"of development", to + "{posts: [security_manager]}" + emergency + "\n    environment: development", nil, "", nil},
		{"others in an emergency", lent + emergency, nil, "", nil},
		{"decided beforehand", to + "{posts: [security_manager]}", []string{"[batch-restart]", "[batch-restart, switch-admin]"}, "", []string{"approval.standing[night-batch].subjects"}},
		{"another decided beforehand", to + "{posts: [security_manager]}", []string{"[batch-restart]", "[batch-restart, juki-batch]"}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, problems := Parse("policy.yaml", []byte(changed(t, append([]string{lent, tt.new}, tt.more...)...)))
			if tt.refused != "" {
				if p != nil || !slices.ContainsFunc(problems, func(p Problem) bool { return p.Field == tt.refused }) {
					t.Errorf("not refused at %s: %v", tt.refused, problems)
				}
				return
			}
			if problems != nil {
				t.Fatal(problems)
			}
			var got []string
			for _, c := range p.Cautions() {
				got = append(got, c.Field)
				if !strings.Contains(c.Text("ja"), "第68条第1項") || !strings.Contains(c.Text("en"), "rticle 68") || !strings.HasPrefix(c.Text("en"), c.Field+": ") || c.Says.JA == c.Says.EN {
					t.Errorf("%q, %q", c.Text("ja"), c.Text("en"))
				}
			}
			if !slices.Equal(got, tt.cautions) {
				t.Errorf("cautions at %q, want %q", got, tt.cautions)
			}
		})
	}
}
