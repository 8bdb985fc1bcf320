package test

import (
	"encoding/base32"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// officeTerminals: a machine comes onto the register, is lost, and goes.
func officeTerminals(t *testing.T, d *harness.Dev) {
	o := officeIn(t, d, "sato")
	for _, m := range d.Terminals {
		if got := o.page("/terminals", http.StatusOK); !strings.Contains(got, m.ID) {
			t.Errorf("%s is not on the register:\n%s", m.ID, got)
		}
	}
	enrol := []string{"id", "madoguchi-09", "name", "窓口9番", "name_en", "Counter 9", "class", "counter", "zone", "lgwan"}
	if a := o.form("/terminals/enrol", append(enrol, "class", "dedicated")...); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("a dedicated terminal: %d", a.Status)
	}
	if a := o.form("/terminals/enrol", append(enrol, "public_key", "no key")...); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "public_key-wrong-0") {
		t.Errorf("no key: %d\n%s", a.Status, a.Body)
	}
	if got := o.does("/terminals/enrol", enrol...); !strings.Contains(got, "Counter 9") {
		t.Errorf("the register:\n%s", got)
	}
	if a := o.form("/terminals/enrol", enrol...); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "id-wrong-0") {
		t.Errorf("enrolled twice: %d", a.Status)
	}
	if got := o.does("/terminals/madoguchi-09/lost"); !strings.Contains(got, "is recorded as lost") || strings.Contains(got, `/terminals/madoguchi-09/lost"`) {
		t.Errorf("after the loss:\n%s", got)
	}
	if a := o.form("/terminals/madoguchi-09/lost"); a.Status != http.StatusConflict {
		t.Errorf("lost twice: %d", a.Status)
	}
	if a := o.form("/terminals/" + d.Terminals[0].ID + "/remove"); a.Status/100 != 4 {
		t.Errorf("taking off one that the policy declares: %d", a.Status)
	}
}

// officeTokens: a box of tokens is taken in, one is given to somebody who signs
// in with it, and is taken back.
func officeTokens(t *testing.T, d *harness.Dev) {
	o := officeIn(t, d, "sato")
	seed := []byte("12345678901234567890")
	file := fmt.Sprintf("serial,seed_hex,manufacturer\nT-1001,%x,Rei\nT-1002,%x,Rei\n", seed, "abcdefghijabcdefghij")
	if a := o.form("/tokens/import", "format", "csv", "data", file+"T-1003,zz,Rei\n"); a.Status != http.StatusUnprocessableEntity ||
		!strings.Contains(string(a.Body), "line 4") || strings.Contains(string(a.Body), fmt.Sprintf("%x", seed)) {
		t.Errorf("a file with a fault: %d\n%s", a.Status, a.Body)
	}
	officeSecrets = append(officeSecrets, fmt.Sprintf("%x", seed))
	if got := o.page("/tokens", http.StatusOK); strings.Contains(got, "T-1001") {
		t.Error("a file with a fault was taken in part")
	}
	if got := o.does("/tokens/import", "format", "csv", "data", file); !strings.Contains(got, "New tokens: 2.") {
		t.Errorf("the file:\n%s", got)
	}
	if got := o.does("/tokens/import", "format", "csv", "data", file); !strings.Contains(got, "New tokens: 0. Known before and left as they were: 2.") {
		t.Errorf("the file again:\n%s", got)
	}
	if a := o.form("/tokens/T-1001/assign", "login", "nobody-here"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("to nobody: %d", a.Status)
	}
	if a := o.form("/tokens/T-1001/assign", "login", "kobayashi"); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "Article 16(1)") || !strings.Contains(string(a.Body), "it was proposed") {
		t.Errorf("to somebody who approves: %d", a.Status)
	}
	p := d.Person(t, "hayashi")
	if got := o.does("/tokens/T-1001/assign", "login", p.Login); !strings.Contains(got, `href="/people/hayashi"`) {
		t.Errorf("assigned:\n%s", got)
	}
	with := folder.Person{Login: p.Login, Password: p.Password}
	secret := base32.StdEncoding.EncodeToString(seed)
	with.TOTPSecret = &secret
	nextStep(t, d)
	if c := signIn(t, d, with); !doors[0].open(t, d, c) {
		t.Error("the token does not sign its holder in")
	}
	if a := o.form("/tokens/T-1001/resync", "first", "123456", "second", "654321"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("codes of another: %d\n%s", a.Status, a.Body)
	}
	if got := o.does("/tokens/T-1001/unassign"); !strings.Contains(got, "In stock") {
		t.Errorf("taken back:\n%s", got)
	}
	nextStep(t, d)
	c := harness.NewClient(d.URL)
	c.Password(t, with.Login, with.Password)
	if _, a := c.TOTP(t, harness.Code(t, secret, c.Now(t))); a.Status != http.StatusUnauthorized {
		t.Errorf("the token that was taken back: %d", a.Status)
	}
	if got := o.does("/tokens/T-1001/lost"); !strings.Contains(got, "cannot be used any more") {
		t.Errorf("lost:\n%s", got)
	}
	if a := o.form("/tokens/T-1001/assign", "login", p.Login); a.Status != http.StatusConflict {
		t.Errorf("a lost one is given out: %d", a.Status)
	}
}
