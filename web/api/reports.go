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
	DormantFor(ctx context.Context, o signin.Origin, cookie string) (report.Dormant, error)
}

func (v *service) reportOperations() []operation {
	if v.Reports == nil {
		return nil
	}
	return []operation{
		{method: "GET", path: "/api/v1/reports/dormant", says: "IDs that nobody uses, by section, kind and age of last use, as the last sweep found them.", handle: v.dormant,
			status: 200, answer: report.DormantAnswer{}, codes: toRead},
	}
}

func (v *service) dormant(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	d, err := v.Reports.DormantFor(r.Context(), r.Origin, r.Cookie)
	if err != nil && !errors.Is(err, report.ErrNothingYet) {
		return err
	}
	return write(w, http.StatusOK, d.Answer())
}
