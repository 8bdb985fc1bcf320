package approval

import (
	"errors"
	"slices"
	"testing"

	"sekisho/directory"
	"sekisho/policy"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	k, _ := policy.Standard().Permit(policy.PermitCrossing)
	for _, tt := range []struct {
		name string
		said []string
		want []string
		rule string
	}{
		{"all", []string{"reason", "limited", "no_internet"}, []string{"reason", "limited", "no_internet"}, ""},
		{"by their articles", []string{"26no2-3(3)", "26no2-3(1)", "26no2-3(2)"}, []string{"reason", "limited", "no_internet"}, ""},
		{"by the exception", []string{"reason", "limited", "public_body"}, []string{"reason", "limited", "public_body"}, ""},
		{"none", nil, nil, "required"},
		{"one too few", []string{"reason", "no_internet"}, nil, "required"},
		{"the exception alone", []string{"public_body"}, nil, "required"},
		{"the exception by its article, twice", []string{"26no2-3(1)", "26no2-3(2)", "26no2-3(3)", "26no2-3(3)"}, []string{"reason", "limited", "no_internet"}, ""},
		{"something else", []string{"reason", "limited", "no_internet", "x"}, nil, "unknown"},
	} {
		got, err := confirm(k.Confirm, tt.said)
		var bad *Invalid
		if !slices.Equal(got, tt.want) || errors.As(err, &bad) != (tt.rule != "") || bad != nil && (bad.Rule != tt.rule || bad.Field != "confirmations") {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
	// Where nothing but the exception can be confirmed, its article does not name it.
	direct := slices.DeleteFunc(slices.Clone(k.Confirm), func(c Confirmation) bool { return c.ID == policy.ConfirmNoInternet })
	direct[len(direct)-1].Instead = ""
	if got, err := confirm(direct, []string{"reason", "limited", "26no2-3(3)"}); err == nil {
		t.Errorf("an exception by its article: %v", got)
	}
	if got, err := confirm(direct, []string{"reason", "limited", "public_body"}); err != nil || len(got) != 3 {
		t.Errorf("an exception by its id: %v, %v", got, err)
	}
	if got, err := confirm(nil, nil); got != nil || err != nil {
		t.Errorf("nothing asked: %v, %v", got, err)
	}
}

// TestJoint: where both posts of article 58-1 are one official's, they decide once and
// for both; two people who hold one each decide both.
func TestJoint(t *testing.T) {
	t.Parallel()
	step := Step{Posts: []policy.PostID{policy.SecurityManager, policy.SystemAdministrator}, Quorum: 1, All: true, Joint: true}
	both := []Capacity{{Post: policy.SecurityManager, How: ByPost}, {Post: policy.SystemAdministrator, How: ByPost}}
	as := joint(step, both)
	if as.Post != policy.SecurityManager || !slices.Equal(as.Also, []policy.PostID{policy.SystemAdministrator}) {
		t.Errorf("in both capacities: %+v", as)
	}
	by := func(id string) PersonRef { return PersonRef{ID: directory.PersonID(id), Login: id, Number: id} }
	if missing(step, 0, []Decision{{By: by("a"), Post: as.Post, Also: as.Also, Yes: true}}) {
		t.Error("decided by one official in both capacities, it waits")
	}
	one := Decision{By: by("a"), Post: policy.SecurityManager, Yes: true}
	if !missing(step, 0, []Decision{one}) {
		t.Error("decided by one post alone, it does not wait for the other")
	}
	if missing(step, 0, []Decision{one, {By: by("b"), Post: policy.SystemAdministrator, Yes: true}}) {
		t.Error("decided by two, it waits")
	}
	step.Joint = false
	if as := joint(step, both); as.Also != nil {
		t.Errorf("elsewhere one word counts once: %+v", as)
	}
}
