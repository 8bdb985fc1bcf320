package notice

import (
	"slices"
	"strings"
	"unicode"
)

// A Kind is what happened.
type Kind string

// The kinds.
const (
	FactorAdded       Kind = "factor_added"       // Detail: factor (kind), name
	FactorRemoved     Kind = "factor_removed"     // Detail: factor, name
	PasswordChanged   Kind = "password_changed"   //
	PasswordTemporary Kind = "password_temporary" // Detail: by
	PasswordLeaked    Kind = "password_leaked"    //
	PasswordAgeing    Kind = "password_ageing"    // Detail: until (then the sign-in asks for a new one)
	PasskeyCloned     Kind = "passkey_cloned"     // Detail: name
	RecoveryIssued    Kind = "recovery_issued"    // Detail: by
	RecoveryUsed      Kind = "recovery_used"      //
	SignInUnusual     Kind = "sign_in_unusual"    // Detail: from, browser, failures
	AddressChanged    Kind = "address_changed"    // told to the address before, too
	Suspended         Kind = "suspended"          // Detail: by, reason
	Restored          Kind = "restored"           // Detail: by
	Unlocked          Kind = "unlocked"           // Detail: by

	// Of lock-downs: to who may ratify or lift, and who answers for a 部局. Detail
	// scope and target are as ordered, until is RFC 3339.
	LockDownOrdered Kind = "lockdown_ordered" // Detail: by, scope, target, until, reason
	LockDownLifted  Kind = "lockdown_lifted"  // Detail: by, scope, target, reason
	// StoreRestored goes to CIO, CSIRT, officers and auditors: what was done since the
	// copy is gone.
	StoreRestored Kind = "store_restored" // Detail: by, made (RFC 3339), approved (logins), lost (how many entries), sealed ("yes")

	// RightsSuspended is article 78-3's word to the three who must hear of it.
	RightsSuspended Kind = "rights_suspended" // Detail: by, person, reason

	// Of lent privilege. Detail privilege is its id in the policy, until and due
	// are RFC 3339, by is a name, reason what somebody wrote.
	LeaseAsked      Kind = "lease_asked"      // to who may decide. Detail: by, privilege, minutes, reason
	LeaseApproved   Kind = "lease_approved"   // Detail: by, privilege, until (then it lapses)
	LeaseDenied     Kind = "lease_denied"     // Detail: by, privilege, reason
	LeaseLapsed     Kind = "lease_lapsed"     // nobody decided, or it was not used in time. Detail: privilege
	LeaseActivated  Kind = "lease_activated"  // Detail: privilege, until
	LeaseEnding     Kind = "lease_ending"     // soon. Detail: privilege, until
	LeaseEnded      Kind = "lease_ended"      // Detail: privilege
	LeaseRevoked    Kind = "lease_revoked"    // Detail: by, privilege, reason
	LeasePaused     Kind = "lease_paused"     // nobody confirmed to be there. Detail: privilege
	LeaseEmergency  Kind = "lease_emergency"  // to everyone concerned. Detail: by, privilege, until, reason, times (within the incident)
	EmergencyJudged Kind = "emergency_judged" // to who used it. Detail: by, privilege, reason
	RecordOwed      Kind = "record_owed"      // Detail: privilege, due
	RecordOverdue   Kind = "record_overdue"   // Detail: privilege, due
	// Of what is asked for in general. Detail kind is that of the matter
	// (authz/approval), until and due are RFC 3339.
	RequestWaits   Kind = "request_waits"   // to who may decide. Detail: by, kind, reason, until (then it lapses)
	RequestSettled Kind = "request_settled" // to who asked, and whom it is for. Detail: by, kind, outcome
	ReviewOwed     Kind = "review_owed"     // to who may review an acting decision. Detail: by, kind, due
	ReviewOverdue  Kind = "review_overdue"  // to them, when its date has passed. Detail: by, kind, due
	// DecisionObjected: a review objects to an acting decision. To who decided, who
	// asked, and those above.
	DecisionObjected Kind = "decision_objected" // Detail: by, kind, reason

	// Of emergency IDs in envelopes. To the CIO, the CSIRT and the officers; what is
	// overdue also to who sealed it.
	SealedOpened Kind = "sealed_id_opened" // Detail: by, account, system, reason, due
	SealedDue    Kind = "sealed_id_due"    // Detail: account, system, what (confirm, test, rotation, report, seal, reconcile), due

	// Of permits. Detail kind is the kind of permit.
	PermitRevoked Kind = "permit_revoked" // Detail: by, kind, reason
	PermitEnding  Kind = "permit_ending"  // soon: ask again. Detail: kind, until
	PermitReview  Kind = "permit_review"  // to who may review it. Detail: kind, person
	RemoteBegan   Kind = "remote_began"   // to who asked for the permit, where the policy says so. Detail: kind, person, from
	RemoteOver    Kind = "remote_over"    // likewise
	RemoteEnded   Kind = "remote_ended"   // to whose session from outside was ended. Detail: by, from, reason

	RecordWritten Kind = "record_written" // to who may countersign. Detail: by, privilege

	// Of an ID that nobody uses. Detail days is for how long, until when it is closed.
	DormancyWarned Kind = "dormancy_warned" // Detail: days, until
	DormancyClosed Kind = "dormancy_closed" // Detail: days

	// To who answers for an ID of a program or of several people.
	OwnedWarned Kind = "owned_warned" // Detail: account, days, until
	OwnedClosed Kind = "owned_closed" // Detail: account, days

	// Of a shared ID that somebody has. Detail shared is its id in the policy.
	SharedEnding Kind = "shared_ending" // soon. Detail: shared, until
	SharedEnded  Kind = "shared_ended"  // taken away before its time. Detail: by (empty: nobody in person), shared, reason (that somebody wrote)

	// ReportReady: a scheduled report was made; the letter holds where it is, and nothing
	// of what is in it.
	ReportReady Kind = "report_ready" // Detail: report (its name), id, until (then it goes)

	// Of a recertification (棚卸し). Detail campaign is its name in Japanese, campaign_en
	// in English where it has one; what is its kind (ids, eligibility, permits).
	RecertifyWaits Kind = "recertify_waits" // to who reviews, also as a reminder. Detail: campaign, campaign_en, lines, until (then it ends)
	RecertifyEnded Kind = "recertify_ended" // to whose it was, and who answers for it. Detail: account, what, by ("" for nobody), reason
	RecertifyLeft  Kind = "recertify_left"  // to who administers: a person does what does not end by itself. Detail: account, what, why
	RecertifyHeld  Kind = "recertify_held"  // to those above: so many IDs are not closed by themselves. Detail: campaign, campaign_en, held (how many), id (of the round)

	// Of a project (案件) that IDs are bound to. Detail project is its name, id its id.
	ProjectEnding Kind = "project_ending" // to who administers its section and is responsible for it. Detail: project, id, until, people (how many IDs)
	ProjectOver   Kind = "project_over"   // to whose ID it has closed, and who answers for that. Detail: account, project, id
	ProjectEnded  Kind = "project_ended"  // to who administers its section and is responsible for it, and above where some are held. Detail: project, id, closed, held (how many), accounts, left (logins that are held)

	// Of leave (育休, 休職). Detail from and until are RFC 3339; until is empty where it has no end.
	LeaveRecorded Kind = "leave_recorded" // Detail: by, from, until
	LeaveEnded    Kind = "leave_ended"    // Detail: by

	// Of personnel changes, when they take effect: until then they are confidential.
	// Detail section is its id, until RFC 3339.
	PersonnelMoved  Kind = "personnel_moved"  // section or posts. Detail: section, until (when the handover of the former one is over)
	PersonnelEnded  Kind = "personnel_ended"  // Detail: until (when the ID has ended)
	PersonnelUndone Kind = "personnel_undone" // what was told before

	// Of what is in the directory and no lease accounts for, or the other way round.
	PrivilegeFound Kind = "privilege_found" // to the CSIRT and the officers. Detail: finding (its kind), account, object, privilege, removed, sealed (systems that have an emergency ID of that name)
)

// details are the kinds there are and what is kept of each. A detail that is
// not listed does not reach the store, so a secret that somebody puts among
// them by mistake goes no further.
var details = map[Kind][]string{
	FactorAdded:       {"factor", "name"},
	FactorRemoved:     {"factor", "name"},
	PasswordChanged:   {},
	PasswordTemporary: {"by"},
	PasswordLeaked:    {},
	PasswordAgeing:    {"until"},
	PasskeyCloned:     {"name"},
	RecoveryIssued:    {"by"},
	RecoveryUsed:      {},
	SignInUnusual:     {"from", "browser", "failures"},
	AddressChanged:    {},
	Suspended:         {"by", "reason"},
	Restored:          {"by"},
	Unlocked:          {"by"},

	PermitRevoked: {"by", "kind", "reason"},
	PermitEnding:  {"kind", "until"},
	PermitReview:  {"kind", "person"},
	RemoteBegan:   {"kind", "person", "from"},
	RemoteOver:    {"kind", "person", "from"},
	RemoteEnded:   {"by", "from", "reason"},

	LockDownOrdered: {"by", "scope", "target", "until", "reason"},
	LockDownLifted:  {"by", "scope", "target", "reason"},
	RightsSuspended: {"by", "person", "reason"},
	StoreRestored:   {"by", "made", "approved", "lost", "sealed"},

	LeaseAsked:      {"by", "privilege", "minutes", "reason"},
	LeaseApproved:   {"by", "privilege", "until"},
	LeaseDenied:     {"by", "privilege", "reason"},
	LeaseLapsed:     {"privilege"},
	LeaseActivated:  {"privilege", "until"},
	LeaseEnding:     {"privilege", "until"},
	LeaseEnded:      {"privilege"},
	LeaseRevoked:    {"by", "privilege", "reason"},
	LeasePaused:     {"privilege"},
	LeaseEmergency:  {"by", "privilege", "until", "reason", "times"},
	EmergencyJudged: {"by", "privilege", "reason"},
	RecordOwed:      {"privilege", "due"},
	RecordOverdue:   {"privilege", "due"},
	RecordWritten:   {"by", "privilege"},

	SharedEnding: {"shared", "until"},
	SharedEnded:  {"by", "shared", "reason"},

	DormancyWarned: {"days", "until"},
	DormancyClosed: {"days"},
	ReportReady:    {"report", "id", "until"},
	OwnedWarned:    {"account", "days", "until"},
	OwnedClosed:    {"account", "days"},
	LeaveRecorded:  {"by", "from", "until"},
	RecertifyWaits: {"campaign", "campaign_en", "lines", "until"},
	RecertifyEnded: {"account", "what", "by", "reason"},
	RecertifyLeft:  {"account", "what", "why"},
	RecertifyHeld:  {"campaign", "campaign_en", "held", "id"},
	LeaveEnded:     {"by"},
	ProjectEnding:  {"project", "id", "until", "people"},
	ProjectOver:    {"account", "project", "id"},
	ProjectEnded:   {"project", "id", "closed", "held", "accounts", "left"},

	PersonnelMoved:  {"section", "until"},
	PersonnelEnded:  {"until"},
	PersonnelUndone: {},

	PrivilegeFound: {"finding", "account", "object", "privilege", "removed", "sealed"},

	RequestWaits:   {"by", "kind", "reason", "until"},
	RequestSettled: {"by", "kind", "outcome"},
	ReviewOwed:     {"by", "kind", "due"},
	ReviewOverdue:  {"by", "kind", "due"},

	DecisionObjected: {"by", "kind", "reason"},

	SealedOpened: {"by", "account", "system", "reason", "due"},
	SealedDue:    {"account", "system", "what", "due"},
}

// Kinds are all kinds there are, in the order of their names.
func Kinds() []Kind {
	var all []Kind
	for k := range details {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Details are the names of what is told of a kind beside the person and time.
func (k Kind) Details() []string { return slices.Clone(details[k]) }

// longest bounds one detail, in characters.
const longest = 200

// kept is what of the details is stored: those that are known, each one line.
func kept(known []string, given map[string]string) map[string]string {
	out := make(map[string]string, len(known))
	for _, name := range known {
		out[name] = Line(given[name])
	}
	return out
}

// Line cuts a text that somebody typed, or that a browser sent, to what can
// stand in a line of a letter: no line breaks, which would let it pass for our
// own words, and no invisible characters, which would turn them round.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}
