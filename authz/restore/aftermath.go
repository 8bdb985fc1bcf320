// Package restore knows what of an old copy must not come to life again, and whose
// word puts one in the place of a store that is used.
//
// What comes of an old copy it decides table by table, and for every table there is:
// Decided lets a test find the one that was forgotten. Over a store in use a backup
// goes by a Warrant alone (design rule 7):
//
//	proposed at a terminal --a gate asks--> pending --CIO or officer--> approved --the same file, once--> set aside
//	the sealed key, loudly ------------------------------------------------------------------------> set aside
//
// It refuses to know how a copy is made and read (policy/backup) and how it comes
// into a store's place (the house).
package restore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sekisho/policy/store"
)

// An end is what becomes of a table's rows when the store is an old copy.
// Between the copy and now lies a time that the rows know nothing of: what was
// used up, ended or withdrawn in it must not come to life again.
type end struct {
	table string
	sql   []string // with $now, $step: see Begin
	why   string
}

// Kept are the tables whose rows are good as they are, and why.
var kept = map[string]string{
	"trail_pending":     "what was done and not sealed is sealed now",
	"trail_leaf":        "the past",
	"trail_article":     "the past",
	"trail_node":        "the past",
	"trail_checkpoint":  "the past",
	"charter_version":   "the policy of that time governs; the entry says which version",
	"charter_carried":   "with its proposal",
	"charter_proposal":  "it takes the second person again",
	"policy_dispatch":   "files older than these are refused",
	"attempt":           "failures count from what is known of them",
	"standing":          "whom the gate suspended since is suspended again out of the trail's export: see replay",
	"standing_past":     "the past",
	"acknowledgement":   "who acknowledged later does it again",
	"sign_in_failure":   "shown once more, at worst",
	"sign_in_end":       "it only narrows",
	"rights_suspended":  "told at least once, perhaps twice",
	"leak_report":       "reported since: again out of the trail's export: see replay",
	"factor_lost":       "it only narrows",
	"signing_key":       "what was signed by a key that is gone is refused",
	"key_book":          "held against the key files before the copy is put in place",
	"password_salt":     "needed by the history",
	"password_history":  "passwords used since are not known here; the directory has its own history",
	"passkey_user":      "names of people at their authenticators",
	"passkey":           "a counter that is behind refuses nobody",
	"terminal":          "lost or removed since: again out of the trail's export: see replay",
	"terminal_lost":     "it only narrows",
	"terminal_seen":     "a hint for people",
	"card":              "removed since: again out of the trail's export: see replay",
	"notice":            "told at least once, perhaps twice",
	"notice_copy":       "likewise",
	"notice_address":    "the address of that time",
	"office_act":        "what was done since is on the trail",
	"oidc_session":      "the sweep finds their sessions ended and tells the applications",
	"oidc_revoked":      "it only narrows",
	"oidc_assertion":    "assertions live for minutes",
	"oidc_spent":        "requests of another epoch are unknown by their MAC, proofs live for a minute",
	"oidc_logout":       "told at least once, perhaps twice",
	"ephemeral_count":   "failures count from what is known of them",
	"person_changed":    "copies of before are read again",
	"approval_decision": "the past",
	"clock":             "raised: see Begin",
	"store_epoch":       "raised: see Begin",

	"elevation_finding": "found again, or closed, within a minute",
	"elevation_round":   "the next one comes within a minute",

	"dormancy":          "opened again since: again by hand; what the directory was to be brought to is looked at by the next sweep",
	"report_schedule":   "what was made since is made again: its letters went out, and the reports are gone",
	"report_kept":       "they end by themselves",
	"sweep_schedule":    "the next day's sweep comes in any case",
	"sweep_entry":       "what the last sweep found",
	"sweep_count":       "likewise",
	"lifecycle_finding": "found again, or closed, by the next sweep",
	"tombstone":         "it only narrows; whose login was deleted since is known to the trail's export",
	"permit_use":        "what was used since is not known",
	"outside_use":       "told again with the next file",

	"personnel_return": "what was given back since is on the trail, and is ticked off anew",
	"personnel_line":   "what was planned, and found, of each person",
	"personnel_step":   "those of imports that ended are the past; what was intended says what is to be, and is looked at anew",
	"posting":          "changed since: by the next file",

	"project":        "completed or shortened since: again by hand, see replay; extended since, it only narrows",
	"project_member": "bound or released since: again by hand, see replay",
	"project_end":    "what is to stand in the directory is looked at anew; what was written there since counts as the account's own",

	"restore_done": "the past",
	"replayed":     "what was done again with this copy stays done",

	"emergency_id":       "the register of that time; what was opened since is entered again by hand, from the trail's export",
	"emergency_id_event": "likewise",

	"lockdown": "one that was lifted since is in force again until its end; ordered since: again out of the trail's export: see replay",
}

const ended = "restored from a backup"

var ends = []end{
	{"approval_matter", []string{
		`UPDATE approval_matter SET state = 'lapsed', settled_at = $now, version = version + 1 WHERE state = 'pending'`,
		`UPDATE approval_matter SET spent_at = $now, version = version + 1 WHERE state = 'approved' AND spent_at = 0`,
	}, "decided, taken back or used since, perhaps: what is still wanted is asked for again"},
	{"restore_proposal", []string{
		`DELETE FROM restore_proposal WHERE NOT EXISTS (SELECT 1 FROM approval_matter m WHERE m.id = restore_proposal.id)`,
	}, "nobody was asked yet, and nobody is: what is still wanted is proposed again"},
	{"session", []string{`UPDATE session SET ended_at = $now, ended_why = '` + ended + `', changed_at = $now WHERE ended_at = 0`}, "who was signed out since would be signed in"},
	{"privileged_session", []string{`UPDATE privileged_session SET ended_at = $now, ended_why = '` + ended + `', changed_at = $now WHERE ended_at = 0`}, "it ends with its session"},
	{"remote_session", []string{`UPDATE remote_session SET cut_at = $now, cut_why = '` + ended + `', cut_due = $now WHERE ended_at = 0 AND cut_at = 0`}, "they hang on sessions that end; their gear is told"},
	{"handover", []string{`DELETE FROM handover`}, "used since, perhaps"},
	{"kept_answer", []string{`DELETE FROM kept_answer`}, "they hold secrets that were given out, and acts that are not there any more"},
	{"spent_ticket", []string{`DELETE FROM spent_ticket`}, "tickets of another epoch are refused by their MAC"},
	{"known_browser", []string{`DELETE FROM known_browser`}, "device cookies of another epoch are refused by their MAC"},
	{"recovery_code", []string{`DELETE FROM recovery_code`}, "used since, perhaps"},
	{"totp_device", []string{
		`DELETE FROM totp_device WHERE confirmed_at = 0`,
		`UPDATE totp_device SET last_step = CAST($step AS BIGINT) / period + drift + 3 WHERE last_step < CAST($step AS BIGINT) / period + drift + 3`,
	}, "codes used since would be taken again"},
	{"otp_token", []string{
		`UPDATE otp_token SET last_step = CAST($step AS BIGINT) / period + drift + 3 WHERE last_step < CAST($step AS BIGINT) / period + drift + 3`,
	}, "likewise, whoever has the token next"},
	{"oidc_grant", []string{
		`UPDATE oidc_grant SET code_used_at = $now WHERE code_used_at = 0`,
		`UPDATE oidc_grant SET ended_at = $now, ended_why = '` + ended + `' WHERE ended_at = 0`,
	}, "codes and families of tokens end with the epoch"},
	{"oidc_refresh", []string{`DELETE FROM oidc_refresh`}, "used since, perhaps"},
	{"lease", []string{
		`UPDATE lease SET state = 'ended', due_at = 0, extension = '', changed_at = $now, version = version + 1 WHERE state = 'active'`,
		`UPDATE lease SET state = 'lapsed', due_at = 0, changed_at = $now, version = version + 1 WHERE state IN ('pending', 'approved')`,
	}, "every lease ends with the epoch; what they gave in the directory is taken back: see elevation_effect"},
	{"sweep", []string{
		`UPDATE sweep SET state = 'superseded', ended_at = $now, holder = '' WHERE state IN ('reading', 'acting', 'stopped')`,
	}, "the directory has gone on: the next sweep reads it anew"},
	{"recertify_schedule", []string{
		`UPDATE recertify_schedule SET last_slot = '' WHERE id IN (SELECT campaign FROM recertify_campaign WHERE state IN ('freezing', 'open', 'halted', 'ending'))`,
	}, "what was open begins anew"},
	{"recertify_line", []string{
		`UPDATE recertify_line SET state = 'void', reason = 'restored', decided_at = $now, due_at = 0, version = version + 1
		 WHERE  state IN ('to_end', 'agreed') OR state = 'open' AND campaign IN (SELECT id FROM recertify_campaign WHERE state IN ('freezing', 'open', 'halted', 'ending'))`,
	}, "confirmed since, perhaps: nothing ends for want of a confirmation; what the directory was told to end ends"},
	{"recertify_campaign", []string{
		`UPDATE recertify_campaign SET state = 'superseded', ended_at = $now, holder = '' WHERE state IN ('freezing', 'open', 'halted', 'ending')`,
	}, "sections have gone on since: another round begins"},
	{"permit", []string{
		`UPDATE permit SET state = 'ended', due_at = 0, changed_at = $now, version = version + 1 WHERE state = 'approved' AND enforced = 1`,
		`UPDATE permit SET state = 'lapsed', due_at = 0, changed_at = $now, version = version + 1 WHERE state = 'pending'`,
	}, "revoked since, or its terminal lost, perhaps: what opens something is asked for again; the register's other lines stand"},
	{"personnel_import", []string{
		`UPDATE personnel_import SET state = 'dropped', ended_at = $now, undo_matter = '' WHERE state IN ('proposed', 'approved', 'undoing')`,
	}, "carried out, or undone, since, perhaps: what is still wanted is proposed anew, and finds what is so already"},
	{"lease_secret", []string{`DELETE FROM lease_secret`}, "those IDs are taken back"},
	{"shared_checkout", []string{
		`UPDATE shared_checkout SET state = 'ended', ended_at = $now, version = version + 1 WHERE state IN ('starting', 'active')`,
	}, "given back since, perhaps: their passwords are changed, see elevation_effect"},
	{"shared_secret", []string{`DELETE FROM shared_secret`}, "those passwords are changed"},
	{"key_holder", []string{`DELETE FROM key_holder`}, "those gateways are gone"},
	{"ephemeral_value", []string{`DELETE FROM ephemeral_value`}, "sign-ins under way end"},
	{"claim", []string{`DELETE FROM claim`}, "whoever held it is gone"},
	{"elevation_effect", []string{
		`UPDATE elevation_effect SET state = 'withdrawn', withdrawn_at = $now, why = '` + ended + `', version = version + 1 WHERE state <> 'closed'`,
	}, "leases end with the epoch, and what they gave is taken back"},
	{"elevation_thing", []string{
		`UPDATE elevation_thing SET claimed_until = 0, version = version + 1, due_at = $now
		 WHERE  thing IN (SELECT thing FROM elevation_effect WHERE state = 'withdrawn')`,
	}, "whoever held it is gone"},
}

// All are the tables that this package knows what to make of.
func All() []string {
	var all []string
	for _, e := range ends {
		all = append(all, e.table)
	}
	return append(all, slices.Collect(maps.Keys(kept))...)
}

// Decided reports whether a table is one of them.
func Decided(table string) bool { return slices.Contains(All(), table) }

// Begin ends what must not come back, raises the clock's mark to at, and begins
// a new epoch, in the caller's transaction. It answers the epoch, which is the
// moment in microseconds: a copy that is restored twice counts no epoch twice.
// after is the newest epoch known of outside the copy.
func Begin(ctx context.Context, tx *store.Tx, after int64, at time.Time) (int64, error) {
	values := map[string]int64{"$now": store.Micros(at), "$step": at.Unix()}
	for _, e := range ends {
		for _, q := range e.sql {
			var args []any
			for name, v := range values {
				if strings.Contains(q, name) {
					q, args = strings.ReplaceAll(q, name, "$1"), append(args, v)
				}
			}
			if _, err := tx.Exec(ctx, q, args...); err != nil {
				return 0, fmt.Errorf("ending what a backup brings back in %s: %w", e.table, err)
			}
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE clock SET mark_at = $1 WHERE id = 1 AND mark_at < $1`, store.Micros(at)); err != nil {
		return 0, fmt.Errorf("raising the clock: %w", err)
	}
	return store.NextEpoch(ctx, tx, max(after, store.Micros(at)-1), at)
}
