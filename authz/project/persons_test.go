package project

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestElsewhere: whose ID goes on when a project ends is said beforehand, and of a
// project that is not the reader's nothing but that there is one.
func TestElsewhere(t *testing.T) {
	w := newWorld(t, person{login: "deji", posts: []policy.PostID{policy.SystemAdministrator}, more: in("dejitaru")})
	ctx := t.Context()
	elsewhere := func(login, project string) map[string]string {
		t.Helper()
		all, err := w.ElsewhereAs(ctx, w.as(login), project)
		w.must(err)
		out := map[string]string{}
		for _, who := range []string{"dev1", "dev2", "dev3"} {
			if p, ok := all[w.person(who).ID]; ok {
				out[who] = p.ID
			}
		}
		return out
	}
	is := func(when string, got, want map[string]string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	w.register("a", policy.Development, "2026-09-30")
	w.register("b", policy.Development, "2026-06-30")
	n := plan("c", policy.Development, "2026-08-31")
	n.Section = "dejitaru"
	_, err := w.RegisterAs(ctx, w.as("deji"), n)
	w.must(err)
	is("nobody is bound", elsewhere("sato", "a"), nil)
	w.bind("a", "dev1", "dev2", "dev3")
	w.bind("b", "dev1")
	is("one of three", elsewhere("sato", "a"), map[string]string{"dev1": "b"})
	is("the other way", elsewhere("sato", "b"), map[string]string{"dev1": "a"})
	for _, who := range []string{"dev2", "dev1"} {
		_, err := w.BindAs(ctx, w.as("deji"), "c", who, Worker, "応援")
		w.must(err)
	}
	is("by a project of another section", elsewhere("sato", "a"), map[string]string{"dev1": "b", "dev2": ""})
	is("for who sees that", elsewhere("deji", "b"), map[string]string{"dev1": "a"})
	_, err = w.CompleteAs(ctx, w.as("deji"), "c", "中止")
	w.must(err)
	is("once that is completed", elsewhere("sato", "a"), map[string]string{"dev1": "b"})
	w.at(after("2026-06-30").Add(-time.Microsecond))
	is("in the last instant of the other", elsewhere("sato", "a"), map[string]string{"dev1": "b"})
	w.at(after("2026-06-30"))
	is("when that is over", elsewhere("sato", "a"), nil)
}

// TestOf: an ID has its projects, those that are over too, until it is released.
func TestOf(t *testing.T) {
	w := newWorld(t)
	of := func(who directory.PersonID) (ids []string) {
		t.Helper()
		all, err := w.Of(t.Context(), who)
		w.must(err)
		for _, p := range all {
			ids = append(ids, p.ID+" "+string(p.State(w.clock.Now())))
		}
		return ids
	}
	w.register("a", policy.Development, "2026-09-30")
	w.register("b", policy.Development, "2026-06-30")
	dev := w.person("dev1")
	if got := of(dev.ID); got != nil {
		t.Errorf("before: %v", got)
	}
	w.bind("a", "dev1")
	w.bind("b", "dev1")
	if got := of(dev.ID); !slices.Equal(got, []string{"a running", "b running"}) {
		t.Errorf("bound: %v", got)
	}
	w.at(after("2026-06-30"))
	if got := of(dev.ID); !slices.Equal(got, []string{"a running", "b over"}) {
		t.Errorf("when one is over: %v", got)
	}
}

// TestResponsibleAreNamed: article 67-1, in the list and at the project.
func TestResponsibleAreNamed(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.register("a", policy.Development, "2026-09-30")
	w.register("b", policy.Development, "2026-09-30")
	w.bind("a", "dev2")
	_, err := w.BindAs(ctx, w.as("sato"), "a", "dev1", Responsible, "取りまとめ")
	w.must(err)
	all, _, err := w.ListAs(ctx, w.as("sato"), Query{})
	w.must(err)
	one, err := w.ShowAs(ctx, w.as("sato"), "a")
	w.must(err)
	if len(all) != 2 || len(all[0].Responsible) != 1 || all[0].Responsible[0].Login != "dev1" || all[1].Responsible != nil {
		t.Errorf("listed: %+v", all)
	}
	if len(one.Responsible) != 1 || one.Responsible[0].Login != "dev1" {
		t.Errorf("shown: %+v", one.Responsible)
	}
}
