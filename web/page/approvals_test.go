package page

import (
	"testing"

	"sekisho/authz/approval"
	"sekisho/authz/grant"
	"sekisho/authz/lifecycle"
	"sekisho/authz/personnel"
	"sekisho/authz/project"
	"sekisho/authz/recertify"
	"sekisho/policy"
	"sekisho/web/desk"
)

// withImport is an approver before a file of personnel changes whose proposer is not in
// the directory.
func withImport(w *world) *world {
	asApprover(w)
	m := matter("m1")
	m.Kind, m.Lease, m.Import, m.Lasts, m.Ticket, m.Uses = string(personnel.Carry), "", "import-1", 0, "", nil
	m.What, m.By = policy.Words{JA: "人事異動の反映", EN: "Personnel changes"}, desk.Who{Login: "root"}
	m.Facts = []desk.Fact{
		{Label: policy.Words{JA: "SHA-256", EN: "SHA-256"}, Value: "7a0d5430f9cabeec6b72f785fefff08c2d4aeb10c2e34e443910fbd17f5c1d64"},
		{Label: policy.Words{JA: "【注意】職員名簿にない提案者（承認する人と同じ人でも分からない）", EN: "CAUTION: the directory does not know who proposed; it may be whoever approves"}, Value: "root"},
		{Label: policy.Words{JA: "【注意】いなくなる役割", EN: "CAUTION: nobody will hold"}, Value: "-", Says: policy.Words{JA: "情報セキュリティ管理者 人事課", EN: "Security manager Personnel Division"}},
	}
	w.desk.waiting = desk.Waiting{Decide: []desk.Card{m}}
	return w
}

func init() {
	scenes = append(scenes, scene{"approvals-personnel", 200, func(w *world) *answer { return withImport(w).get("/approvals") }})
}

// TestImportToApprove: who decides a file of personnel changes is led to what is in it,
// and a proposer without a name is named once.
func TestImportToApprove(t *testing.T) {
	t.Parallel()
	w := withImport(newWorld(t))
	w.get("/approvals").is(200).says(`href="/imports/import-1"`, "<strong>root</strong>", "情報セキュリティ管理者 人事課", ">人事異動</p>").keepsSilentOn(`<span class="sub">root`)
	w.lang = "en"
	w.get("/approvals").is(200).says("Security manager Personnel Division", ">Personnel changes</p>")
}

// TestMatterKinds: whatever waits for an approver, the card says in words what sort of
// thing it is.
func TestMatterKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []approval.Kind{
		approval.Elevation, approval.Credential, approval.PolicyChange, approval.Restoration, grant.KindExtension,
		personnel.Carry, personnel.Undo, lifecycle.GoOn, lifecycle.Deletion, project.Widening, recertify.GoOn, recertify.EndMany,
	} {
		w := asApprover(newWorld(t))
		m := matter("m1")
		m.Kind = string(kind)
		w.desk.waiting = desk.Waiting{Decide: []desk.Card{m}}
		w.get("/approvals").is(200).says(`<p class="kind">`).keepsSilentOn(">" + m.Kind + "</p>")
	}
}
