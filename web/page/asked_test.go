package page

import (
	"net/http"
	"strings"
	"testing"

	"sekisho/policy"
	"sekisho/web/desk"
)

// TestAskedStates: what became of a lease and of a permit is said in the same words.
func TestAskedStates(t *testing.T) {
	w := atTollbooth(newWorld(t))
	for state, says := range map[desk.State]string{
		desk.Pending: "判断待ち", desk.Revoked: "取消し", desk.Denied: "認められなかった", desk.Cancelled: "取下げ", desk.Lapsed: "期限切れで無効", "unheard-of": "unheard-of",
	} {
		w.desk.leases, w.permits.permits = []desk.Lease{borrowed("x", state)}, []desk.Permit{granted("x", state)}
		for _, path := range []string{"/leases/x", "/permits/x"} {
			w.get(path).is(http.StatusOK).says(">" + says + "</span>")
		}
	}
}

// TestOffered: what the reader may do has a form, the first that does no harm foremost;
// what they may not do yet has its reason; nothing else is there.
func TestOffered(t *testing.T) {
	w := atTollbooth(newWorld(t))
	not := desk.Answer{Why: policy.Words{JA: "まだ早いです。", EN: "It is too early."}}
	l, p := borrowed("x", desk.Pending, desk.Approve, desk.Witness), granted("x", desk.Approved, desk.PermitReview, desk.PermitEnd)
	l.May[desk.Extend], l.May[desk.Judge] = not, desk.Answer{}
	p.May[desk.PermitDone], p.May[desk.PermitRevoke] = not, desk.Answer{}
	w.desk.leases, w.permits.permits = []desk.Lease{l}, []desk.Permit{p}
	for path, acts := range map[string]struct{ may, no []string }{
		"/leases/x":  {[]string{"approve", "witness"}, []string{"extend", "judge", "end"}},
		"/permits/x": {[]string{"review", "end"}, []string{"done", "revoke", "cancel"}},
	} {
		a := w.get(path).is(http.StatusOK).says("まだ早いです。")
		for _, act := range acts.may {
			a.says(`action="` + path + "/" + act + `"`)
		}
		for _, act := range acts.no {
			a.keepsSilentOn(`action="` + path + "/" + act + `"`)
		}
		a.says(`<button class="" aria-describedby="brief-` + acts.may[0] + `"`).keepsSilentOn(`<button class="" aria-describedby="brief-` + acts.may[1] + `"`)
		if n := strings.Count(a.body, `<p class="why">`); n != 1 {
			t.Errorf("%s: %d acts may not be done yet, want one", path, n)
		}
	}
}

// TestFaultsOfAFormThatIsGone: a fault leads to its field, or nowhere once the form is
// no longer there.
func TestFaultsOfAFormThatIsGone(t *testing.T) {
	w := atTollbooth(newWorld(t))
	w.desk.leases = append(w.desk.leases, borrowed("x", desk.Active, desk.Revoke))
	w.permits.permits = append(w.permits.permits, granted("x", desk.Approved, desk.PermitRevoke))
	for _, path := range []string{"/leases/x/revoke", "/permits/x/revoke"} {
		w.post(path).is(http.StatusUnprocessableEntity).says(`href="#comment-revoke"`)
	}
	for _, path := range []string{"/leases/l6/revoke", "/permits/p6/revoke"} {
		w.post(path).is(http.StatusUnprocessableEntity).says(`id="faults"`).keepsSilentOn(`href="#comment-revoke"`)
	}
}
