package api

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"sekisho/web"
)

// TestFilters: every rule that a query breaks is named with its field, in the order
// of the contract, and nothing that is wrong narrows a list.
func TestFilters(t *testing.T) {
	known := []string{"kind", "mine", "after", "limit"}
	for _, tt := range []struct {
		query string
		wrong []string
	}{
		{"", nil},
		{"kind=a&mine=1&after=b&limit=100", nil},
		{"kind=" + strings.Repeat("x", longestFilter), nil},
		{"kind=" + strings.Repeat("x", longestFilter+1), []string{"kind too_long"}},
		{"knid=a", []string{"knid unknown"}},
		{"kind=a&kind=a", []string{"kind twice"}},
		{"mine=yes", []string{"mine boolean"}},
		{"limit=", []string{"limit number"}},
		{"limit=0", []string{"limit number"}},
		{"limit=101", []string{"limit number"}},
		{"limit=ten&mine=yes&kind=a&kind=b&x=1", []string{"x unknown", "kind twice", "mine boolean", "limit number"}},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		f := filtersOf(q, known, longestFilter)
		f.yes("mine")
		f.limit(100)
		var wrong []string
		if err := f.err(); err != nil {
			for _, e := range web.ProblemOf(err).Errors {
				wrong = append(wrong, e.Field+" "+e.Rule)
			}
		}
		if !slices.Equal(wrong, tt.wrong) {
			t.Errorf("%q: wrong is %q, want %q", tt.query, wrong, tt.wrong)
		}
	}
}
