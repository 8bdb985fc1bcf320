package api

import (
	"context"
	"net/http"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/sealed"
	"sekisho/web"
)

// Sealed is the register of emergency IDs in envelopes; authz/sealed is one.
type Sealed interface {
	List(ctx context.Context, o signin.Origin, cookie string) (sealed.Listed, error)
	Get(ctx context.Context, o signin.Origin, cookie, id string) (sealed.Shown, *account.StepUp, error)
	Register(ctx context.Context, o signin.Origin, cookie string, n sealed.Draft) (sealed.Shown, error)
	Do(ctx context.Context, o signin.Origin, cookie, id string, a sealed.Act, t sealed.Typed) (sealed.Shown, error)
}

// What each act does, for the document.
var sealedSays = map[sealed.Act]string{
	sealed.Confirm:   "Confirms, as a second person, that the envelope is closed and in its place.",
	sealed.Test:      "Writes down that the ID was tested, and whether it failed.",
	sealed.Open:      "Writes down that the envelope was opened. The CIO, the CSIRT and the officers are told.",
	sealed.Report:    "Reports what was done with an ID that was opened.",
	sealed.Seal:      "Writes down that a new password was set and sealed.",
	sealed.Reconcile: "Writes down that the report was compared with what the system logged.",
	sealed.Move:      "Writes down that the envelope lies elsewhere now.",
	sealed.Withdraw:  "Takes an emergency ID that is no more off the register.",
}

func (v *service) sealedOperations() []operation {
	if v.Sealed == nil {
		return nil
	}
	const at = "/api/v1/sealed-ids"
	toRead := append([]string{web.CodeNotFound}, toRead...)
	ops := []operation{
		{method: "GET", path: at, says: "The register of emergency IDs in envelopes. It holds no secret.", handle: v.sealedIDs,
			status: 200, answer: list[sealedItem]{}, codes: toRead},
		{method: "POST", path: at, says: "Registers an emergency ID that was sealed.", handle: v.registerSealed,
			body: newSealed{}, status: 201, answer: sealedItem{}, once: true, codes: toAct},
		{method: "GET", path: at + "/{id}", says: "One emergency ID with all that was done about it.", handle: v.sealedID,
			status: 200, answer: sealedItem{}, codes: toRead},
	}
	for _, a := range sealed.Acts() {
		ops = append(ops, operation{
			method: "POST", path: at + "/{id}/" + string(a), says: sealedSays[a], handle: v.sealedAct(a),
			body: sealedDeed{}, status: 200, answer: sealedItem{}, codes: toAct,
		})
	}
	return ops
}

type sealedItem struct {
	ID           string        `json:"id"`
	System       string        `json:"system"`
	Account      string        `json:"account"`
	Place        string        `json:"place"`
	Note         string        `json:"note"`
	RegisteredBy string        `json:"registered_by"`
	RegisteredAt *time.Time    `json:"registered_at"`
	SealedBy     string        `json:"sealed_by"`
	SealedAt     *time.Time    `json:"sealed_at"`
	ConfirmedBy  *string       `json:"confirmed_by"` // the second person; null: nobody yet
	ConfirmedAt  *time.Time    `json:"confirmed_at"`
	TestedAt     *time.Time    `json:"tested_at"`
	FailedAt     *time.Time    `json:"failed_at"` // its last test failed
	TestDue      *time.Time    `json:"test_due"`
	RotationDue  *time.Time    `json:"rotation_due"`
	Open         bool          `json:"open"`
	OpenedBy     *string       `json:"opened_by"`
	OpenedAt     *time.Time    `json:"opened_at"`
	ReportDue    *time.Time    `json:"report_due"`
	ReportedAt   *time.Time    `json:"reported_at"`
	ReconciledAt *time.Time    `json:"reconciled_at"`
	WithdrawnAt  *time.Time    `json:"withdrawn_at"`
	Owed         []sealedDebt  `json:"owed"`
	May          []sealed.Act  `json:"may"` // what the reader may do now
	History      []sealedEvent `json:"history"`
}

type sealedDebt struct {
	What    sealed.Debt `json:"what"` // confirm, test, rotation, report, seal or reconcile
	Due     *time.Time  `json:"due"`
	Overdue bool        `json:"overdue"`
}

type sealedEvent struct {
	At       *time.Time `json:"at"`
	Act      sealed.Act `json:"act"`
	By       string     `json:"by"`
	Note     string     `json:"note"`
	Place    string     `json:"place"`
	Failed   bool       `json:"failed"`
	OpenedBy *string    `json:"opened_by"`
	OpenedAt *time.Time `json:"opened_at"`
}

func sealedOf(e sealed.Shown, now time.Time) sealedItem {
	item := sealedItem{
		ID: e.ID, System: e.System, Account: e.Account, Place: e.Place, Note: e.Note, RegisteredBy: e.Registered.By.Login, RegisteredAt: stamp(e.Registered.At),
		SealedBy: e.Sealed.By.Login, SealedAt: stamp(e.Sealed.At), ConfirmedBy: orNull(e.Confirmed.By.Login), ConfirmedAt: stamp(e.Confirmed.At),
		TestedAt: stamp(e.Tested.At), FailedAt: stamp(e.Failed.At), TestDue: stamp(e.TestDue), RotationDue: stamp(e.RotationDue), Open: e.IsOpen(),
		OpenedBy: orNull(e.Opened().By.Login), OpenedAt: stamp(e.Opened().At), ReportDue: stamp(e.ReportDue), ReportedAt: stamp(e.Reported.At),
		ReconciledAt: stamp(e.Reconciled.At), WithdrawnAt: stamp(e.Withdrawn.At), Owed: []sealedDebt{}, May: []sealed.Act{}, History: []sealedEvent{},
	}
	for _, d := range e.Debts {
		item.Owed = append(item.Owed, sealedDebt{d.What, stamp(d.Due), d.Overdue(now)})
	}
	for _, a := range sealed.Acts() {
		if why, theirs := e.May[a]; theirs && why == nil {
			item.May = append(item.May, a)
		}
	}
	for _, h := range e.History {
		ev := sealedEvent{At: stamp(h.At), Act: h.Act, By: h.By.Login, Note: h.Note, Place: h.Place, Failed: h.Failed, OpenedAt: stamp(h.Opened)}
		if h.Opener != nil {
			ev.OpenedBy = orNull(h.Opener.Login)
		}
		item.History = append(item.History, ev)
	}
	return item
}

func (v *service) sealedIDs(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.Sealed.List(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	var items []sealedItem
	for _, e := range append(all.Envelopes, all.Withdrawn...) {
		items = append(items, sealedOf(e, v.srv.Now()))
	}
	return write(w, http.StatusOK, listOf(items))
}

func (v *service) sealedID(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	e, _, err := v.Sealed.Get(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, sealedOf(e, v.srv.Now()))
}

type newSealed struct {
	System  string `json:"system"`
	Account string `json:"account"`
	Place   string `json:"place"`          // where the envelope lies
	Note    string `json:"note,omitempty"` // never a password
}

func (v *service) registerSealed(w http.ResponseWriter, r *web.Request) error {
	var in newSealed
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		e, err := v.Sealed.Register(r.Context(), r.Origin, r.Cookie, sealed.Draft(in))
		return sealedOf(e, v.srv.Now()), nil, err
	})
}

type sealedDeed struct {
	Note     string     `json:"note,omitempty"`
	Place    string     `json:"place,omitempty"`     // of seal and move
	Failed   bool       `json:"failed,omitempty"`    // of test
	OpenedBy string     `json:"opened_by,omitempty"` // of open: a login; otherwise whoever writes
	OpenedAt *time.Time `json:"opened_at,omitempty"` // of open: otherwise now
}

func (v *service) sealedAct(a sealed.Act) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		var in sealedDeed
		if err := r.DecodeJSON(&in); err != nil {
			return err
		}
		if r.Cookie == "" {
			return signin.ErrNone
		}
		t := sealed.Typed{Note: in.Note, Place: in.Place, Failed: in.Failed, Opener: in.OpenedBy}
		if in.OpenedAt != nil {
			t.At = *in.OpenedAt
		}
		e, err := v.Sealed.Do(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), a, t)
		if err != nil {
			return err
		}
		return write(w, http.StatusOK, sealedOf(e, v.srv.Now()))
	}
}
