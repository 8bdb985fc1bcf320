package permit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestEnvironmentOfAPermit: remote access is asked for at what would open, and for no longer
// than the project that its person's ID is for (articles 67-2(1), 68-1, 68-2).
func TestEnvironmentOfAPermit(t *testing.T) {
	t.Parallel()
	p := rules()
	p.Applications = append(p.Applications, policy.Application{ID: "shisaku", Zone: policy.LGWAN, Environment: policy.Development},
		policy.Application{ID: "hikitsugi", Zone: policy.LGWAN, Environment: policy.EitherEnvironment})
	p.Clients = []policy.Client{{ID: "kensho", Zone: policy.LGWAN, Environment: policy.Development}}
	year := t0.AddDate(1, 0, 0)
	made, work := authz.Tied{Of: policy.Development, Until: year}, authz.Tied{Of: policy.Production, Until: t0.Add(48 * time.Hour)}
	for _, tt := range []struct {
		name    string
		kind    string
		tied    authz.Tied
		apps    []string
		field   string // of the only fault; "" for none
		rule    string
		article policy.Article
	}{
		{"production at production", policy.PermitRemote, authz.Untied, []string{"bunsho", "hikitsugi"}, "", "", ""},
		{"production at development", policy.PermitRemote, authz.Untied, []string{"bunsho", "shisaku"}, "applications", "wrong_environment", "68-2"},
		{"production at a program of development", policy.PermitRemote, authz.Untied, []string{"kensho"}, "applications", "wrong_environment", "68-2"},
		{"development at development", policy.PermitRemote, made, []string{"shisaku", "kensho", "hikitsugi"}, "", "", ""},
		{"development at production", policy.PermitRemote, made, []string{"shisaku", "bunsho"}, "applications", "wrong_environment", "68-1"},
		{"maintenance of production", policy.PermitRemote, work, []string{"bunsho"}, "", "", ""},
		{"whose project is over", policy.PermitRemote, authz.Tied{}, []string{"bunsho"}, "person", "project_over", "67-2(1)"},
		{"a terminal that is lent, to whom there is no environment", policy.PermitPrivateTerminal, authz.Tied{}, nil, "", "", ""},
	} {
		r := room{p: p, k: kindOf(t, tt.kind), now: t0, whose: directory.Person{ID: "p"}, tied: tt.tied}
		w := remote(func(w *Wish) { w.Stated["applications"] = tt.apps })
		if tt.kind != policy.PermitRemote {
			w = privately()
		}
		m, err := r.read(w)
		var bad *Invalid
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.field == "":
			if end := tt.tied.Until; !end.IsZero() && m.Until.After(end) {
				t.Errorf("%s: it ends at %v, its person's project at %v", tt.name, m.Until, end)
			}
		case !errors.As(err, &bad) || len(bad.Faults) != 1 || bad.Faults[0].Field != tt.field || bad.Faults[0].Rule != tt.rule || !slices.Contains(bad.Articles, tt.article):
			t.Errorf("%s: %v, %+v", tt.name, err, bad)
		case bad.Faults[0].Says.JA == "" || bad.Faults[0].Says.EN == "":
			t.Errorf("%s is refused without words", tt.name)
		}
	}
	// A crossing is a path of machines: who asks for it is not who goes it.
	app := policy.Application{ID: "shisaku", Zone: policy.LGWAN, Environment: policy.Development}
	if r := (room{p: p, k: kindOf(t, policy.PermitCrossing), tied: authz.Untied}); r.otherEnvironment(app) {
		t.Error("a crossing is held to the environment of whoever asks for it")
	}
}

// TestEnvironmentOfAnothersPermit: it is the ID of the person whom the permit is for that
// counts, at the form and in a file, and the whole file is left.
func TestEnvironmentOfAnothersPermit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Ties = func(_ context.Context, _ store.Reader, who directory.PersonID) ([]authz.Tie, error) {
		if who != w.office.People["tanaka"].ID {
			return nil, nil
		}
		return []authz.Tie{{Project: "shisaku", Environment: policy.Development, Until: t0.AddDate(0, 1, 0)}}, nil
	}
	var bad *Invalid
	_, err := w.Ask(t.Context(), w.as("endo"), remote(func(w *Wish) { w.Person = "tanaka" }))
	if !errors.As(err, &bad) || len(bad.Faults) != 1 || bad.Faults[0].Rule != "wrong_environment" {
		t.Errorf("a permit that opens nothing was asked for: %v", err)
	}
	lines, err := w.Import(t.Context(), w.as("endo"), policy.PermitRemote, strings.NewReader(
		"person,reason,from,until,terminal,applications\r\ntanaka,在宅,2026-11-27,2026-12-31,kashi-01,bunsho\r\n"))
	if err != nil || len(lines) != 1 || !strings.Contains(why(lines[0].Err), "wrong_environment") {
		t.Errorf("a file brought it in: %v %+v", err, lines)
	}
	if n := w.count(`SELECT COUNT(*) FROM permit`); n != 0 {
		t.Errorf("%d permits were asked for", n)
	}
	if m := w.asks("endo", remote()); m.State(t0) != Pending {
		t.Errorf("one's own is %s", m.State(t0))
	}
}
