package api

import (
	"context"
	"errors"
	"net/http"

	"sekisho/authn/signin"
	"sekisho/authz/report"
	"sekisho/web"
)

// Reports are what is known, by section and kind; authz/report is where they are made.
type Reports interface {
	For(ctx context.Context, o signin.Origin, cookie string, w report.Wish) (report.Document, error)
	// KeptFor are those that were made by themselves, KeptOne is one of them.
	KeptFor(ctx context.Context, o signin.Origin, cookie string) ([]report.Kept, error)
	KeptOne(ctx context.Context, o signin.Origin, cookie, id, format string) (report.Kept, report.Document, error)
}

// Bounds of how many entries of a report are answered at once.
const (
	usualEntries = 1000
	mostEntries  = 10000
	// longestAfter is room for what a mismatch is known by: two DNs.
	longestAfter = 2048
)

var reportQuery = []string{"from", "to", "after", "limit"}

func (v *service) reportOperations() []operation {
	if v.Reports == nil {
		return nil
	}
	var out []operation
	for _, one := range []struct {
		name   report.Name
		says   string
		answer any
	}{
		{report.OfDormant, "IDs that nobody uses, by section, kind and age of last use, as the last sweep found them.", report.DormantAnswer{}},
		{report.OfPrivilege, "Privilege that was lent in a period: to whom, for how long, by whose word, and what is owed.", report.PrivilegeAnswer{}},
		{report.OfRemote, "Permits for access from outside in a period, and the sessions that came.", report.RemoteAnswer{}},
		{report.OfReconcile, "Where books and directory do not agree, and what nobody answers for.", report.ReconcileAnswer{}},
		{report.OfEvidence, "What the trail holds in a period for each article, with samples, settings in force and deviations.", report.EvidenceAnswer{}},
	} {
		out = append(out, operation{
			method: "GET", path: "/api/v1/reports/" + string(one.name), says: one.says, handle: v.report(one.name), status: 200, answer: one.answer, codes: toRead,
			query: reportQuery, numbers: []string{"limit"},
		})
	}
	const kept = "/api/v1/kept-reports"
	return append(out,
		operation{method: "GET", path: kept, says: "Reports that were made on their day and are kept, the newest first.", handle: v.keptReports,
			status: 200, answer: list[report.KeptHead]{}, codes: toRead},
		operation{method: "GET", path: kept + "/{id}", says: "A report that is kept, as it was made.", handle: v.keptReport,
			status: 200, answer: report.KeptAnswer{}, codes: append([]string{web.CodeNotFound}, toRead...), query: keptQuery, numbers: []string{"after", "limit"}},
	)
}

var keptQuery = []string{"after", "limit"}

func (v *service) keptReports(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.Reports.KeptFor(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]report.KeptHead, len(all))
	for i, k := range all {
		items[i] = k.Head()
	}
	return write(w, http.StatusOK, listOf(items))
}

func (v *service) keptReport(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	q, most, err := entriesWished(r, keptQuery)
	if err != nil {
		return err
	}
	_, d, err := v.Reports.KeptOne(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), "json")
	if err != nil {
		return err
	}
	return answered(w, d, q, most)
}

// answered is the part of a report that is asked for.
func answered(w http.ResponseWriter, d report.Document, q *filters, most int) error {
	if after := q.Get("after"); after != "" && !d.Has(after) {
		q.refuse("after", "gone", "続きの始まりにした項目は、もうこの報告にありません。初めから読み直してください。", "The entry to go on after is not in this report any more. Please read it from its beginning.")
		return q.err()
	}
	return write(w, http.StatusOK, d.Answer(q.Get("after"), most))
}

// entriesWished reads what of a report is asked for, and how many entries.
func entriesWished(r *web.Request, known []string) (q *filters, most int, err error) {
	q, most = filtersOf(r.URL.Query(), known, longestAfter), usualEntries
	if q.Has("limit") {
		most = q.limit(mostEntries)
	}
	return q, most, q.err()
}

func (v *service) report(name report.Name) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		if r.Cookie == "" {
			return signin.ErrNone
		}
		q, most, err := entriesWished(r, reportQuery)
		if err != nil {
			return err
		}
		d, err := v.Reports.For(r.Context(), r.Origin, r.Cookie, report.Wish{Name: name, From: q.Get("from"), To: q.Get("to"), Format: "json"})
		if err != nil && !errors.Is(err, report.ErrNothingYet) {
			return err
		}
		return answered(w, d, q, most)
	}
}
