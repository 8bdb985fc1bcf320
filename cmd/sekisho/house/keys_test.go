package house

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sekisho/policy/custody"
	"sekisho/policy/store"
)

// needsNoKey are columns that look as if they held something sealed or keyed,
// with why an old key may go without them. Those of a life that is bounded and
// short are counted by Ground.uncounted.
var needsNoKey = map[string]string{
	"trail_pending.data": "an entry", "trail_leaf.data": "an entry", "trail_leaf.hash": "SHA-256", "trail_node.hash": "SHA-256",
	"charter_version.source": "the policy", "charter_proposal.source": "the policy",
	"session.handle_key":        "names the key",
	"session.handle_was":        "who lost an answer as the key was changed signs in anew, and asks anew",
	"remote_session.class_key":  "names the key of class_mac",
	"known_browser.browser_key": "names the key", "password_history.key_id": "names the key", "recovery_code.key_id": "names the key",
	"password_salt.salt":    "a salt",
	"passkey.credential_id": "what the browser knows", "passkey_user.handle": "random, no key",
	"terminal.public_key": "public", "terminal.fingerprint": "of a public key", "terminal_lost.fingerprint": "of a public key",
	"handover.code_mac": "uncounted", "spent_ticket.mac": "uncounted", "oidc_grant.code_mac": "uncounted", "oidc_refresh.mac": "uncounted",
	"ephemeral_value.value":  "uncounted: sign-ins under way",
	"key_book.fingerprint":   "of the keys themselves",
	"attempt.credential":     "whose it is; of names that lead to nobody a tag, whose count begins anew with the key",
	"charter_carried.digest": "SHA-256", "charter_proposal.digest": "SHA-256", "charter_version.digest": "SHA-256", "policy_dispatch.digest": "SHA-256",
	"restore_proposal.digest": "SHA-256", "personnel_import.digest": "SHA-256", "replayed.hash": "SHA-256 of an entry of the trail", "restore_done.sealed": "whether a sealed key was used",
}

var looksKeyed = regexp.MustCompile(`mac$|seal|seed|digest|secret|credential|_key$|key_id|hash|salt|fingerprint`)

// TestRegisterKnowsEveryColumn: a column that somebody adds and forgets here
// would be unreadable after the next rotation.
func TestRegisterKnowsEveryColumn(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "sekisho.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(ctx, `
		SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE  m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	known := map[string]custody.Column{}
	for _, c := range (&Ground{}).register().Columns {
		known[c.Table+"."+c.Column] = c
	}
	there := map[string]bool{}
	for rows.Next() {
		var table, column, kind string
		if err := rows.Scan(&table, &column, &kind); err != nil {
			t.Fatal(err)
		}
		at := table + "." + column
		there[at] = true
		_, registered := known[at]
		if _, excused := needsNoKey[at]; !registered && !excused && (strings.EqualFold(kind, "BLOB") || looksKeyed.MatchString(column)) {
			t.Errorf("%s (%s) is neither in register nor in needsNoKey: does it stand under a key of a file?", at, kind)
		}
	}
	for at, c := range known {
		for _, column := range []string{c.Column, c.Row, c.Key, c.Ends} {
			if column != "" && !there[c.Table+"."+column] {
				t.Errorf("%s: there is no column %s", at, column)
			}
		}
	}
	for at := range needsNoKey {
		if !there[at] {
			t.Errorf("%s is excused and not there", at)
		}
	}
}
