package page

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"sekisho/authn"
	"sekisho/authz/report"
	"sekisho/web"
)

// reportFile is a report to keep: entries for a sheet, a workbook, or one page of paper.
func (h *house) reportFile(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := known(r.PathValue("name")); err != nil {
		return err
	}
	format := r.URL.Query().Get("format")
	if formats[format] == "" {
		return web.ErrNoPage
	}
	wish, filter := wished(r, format)
	d, err := h.Reports.For(r.Context(), r.Origin, r.Cookie, wish)
	if err != nil {
		if errors.Is(err, report.ErrNothingYet) {
			return web.ErrNoPage
		}
		return h.turned(w, r, err, "/reports/"+string(wish.Name))
	}
	return h.sendReport(w, r, d, string(wish.Name), format, filter)
}

// formats are what a report can be kept as, with what a browser is told of it.
var formats = map[string]string{
	"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "html": "text/html; charset=utf-8",
}

func (h *house) sendReport(w http.ResponseWriter, r *web.Request, d report.Document, name, format string, filter report.Filter) error {
	lang := h.tongue(r).lang
	rep := d.Report(lang).Narrow(filter)
	if len(filter) > 0 {
		name += "-narrowed"
	}
	var (
		b   bytes.Buffer
		err error
	)
	switch format {
	case "csv":
		err = rep.WriteCSV(&b)
	case "xlsx":
		err = rep.WriteXLSX(&b, lang)
	default:
		err = rep.WriteHTML(&b, lang)
	}
	if err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	w.Header().Set("Content-Type", formats[format])
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+"-"+h.srv.Now().In(japan).Format("20060102")+"."+format+`"`)
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}

// keptReport shows a report that was made by itself, as it was then.
func (h *house) keptReport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	path := "/kept-reports/" + url.PathEscape(r.PathValue("id"))
	k, d, err := h.Reports.KeptOne(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), "page")
	switch {
	case errors.Is(err, report.ErrNotKept):
		return web.ErrNoPage
	case err != nil:
		return h.turned(w, r, err, path)
	}
	_, filter := wished(r, "page")
	p := reportPage{Rooms: h.counters(r, step, "reports"), Path: path, Searches: searches(r, step), Title: r.Say(report.Titles[k.Name]), Kept: true, Articles: report.ArticlesOf(k.Name)}
	h.fillReport(r, &p, d.Report(h.tongue(r).lang), filter)
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "report", v)
}

func (h *house) keptFile(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	format := r.URL.Query().Get("format")
	if formats[format] == "" {
		return web.ErrNoPage
	}
	k, d, err := h.Reports.KeptOne(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), format)
	switch {
	case errors.Is(err, report.ErrNotKept):
		return web.ErrNoPage
	case err != nil:
		return h.turned(w, r, err, "/kept-reports/"+url.PathEscape(r.PathValue("id")))
	}
	_, filter := wished(r, format)
	return h.sendReport(w, r, d, string(k.Name), format, filter)
}
