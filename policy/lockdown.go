package policy

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LockDownRules say who may stop everything under attack, for how long, and what
// goes on nevertheless (articles 11-4, 54-3, 75-2).
type LockDownRules struct {
	// Custodians are the logins of the two people who, beside the CIO, still sign
	// in; empty: nobody but the CIO does.
	Custodians []string `yaml:"custodians"`
	// Applications are the ids of those that are excepted beforehand, such as for
	// disasters and counters: whoever is in, stays in.
	Applications []string   `yaml:"applications"`
	Delegation   Delegation `yaml:"delegation"`
	// RatifyWithin is how soon the CIO ratifies what CSIRT ordered, or it ends.
	RatifyWithin time.Duration `yaml:"ratify_within"`
	Longest      time.Duration `yaml:"longest"`
	// SealedKeys are the public halves of keys that lie in envelopes and lift a
	// lock-down from the console.
	SealedKeys []string `yaml:"sealed_keys"`
}

// SealedRules say how the emergency IDs are kept that lie in envelopes (article 80-2).
type SealedRules struct {
	TestDays     int           `yaml:"test_days"`     // at most between two tests
	RotateDays   int           `yaml:"rotate_days"`   // at most between two passwords
	ReportWithin time.Duration `yaml:"report_within"` // after one was opened, what is owed is due
}

// A Delegation lets CSIRT order in the CIO's stead.
type Delegation struct {
	Decision string `yaml:"decision"` // the CIO decision's number; empty: nothing is delegated
	Until    string `yaml:"until"`    // the last day it holds, Japan time; empty: until the policy changes
}

// InForce reports whether something is delegated at a time.
func (d Delegation) InForce(now time.Time) bool {
	return d.Decision != "" && Deviation{Until: d.Until}.InForce(now)
}

// SealedKeyPrefix begins the text of a sealed key's public half.
const SealedKeyPrefix = "ed25519:"

// ParseSealedKey reads the public half of a sealed key.
func ParseSealedKey(text string) (ed25519.PublicKey, error) {
	rest, ok := strings.CutPrefix(text, SealedKeyPrefix)
	b, err := base64.StdEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("not the public half of a sealed key")
	}
	return b, nil
}

// Sealed reports whether a public key is one of those in envelopes.
func (r LockDownRules) Sealed(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(r.SealedKeys, func(text string) bool {
		known, err := ParseSealedKey(text)
		return err == nil && known.Equal(key)
	})
}

// lockDown checks what a lock-down goes by.
func (c *checker) lockDown() {
	r := c.p.LockDown
	logins := once{}
	for i, login := range r.Custodians {
		at := "lockdown.custodians[" + strconv.Itoa(i) + "]"
		c.need(at, login, "75-2")
		logins.check(c, strings.ToLower(login), at, "16-1", "同じ人が二度書かれています。", "The same person is named twice.")
	}
	if n := len(r.Custodians); n != 0 && n != 2 && !c.problemAt("lockdown.custodians") {
		c.refuse("lockdown.custodians", "75-2", "", "鍵の管理者は二人です。二人のログイン名を書くか、消してください。", "There are two key custodians: name both, or take the key out.")
	}
	var ids []string
	for _, a := range c.p.Applications {
		ids = append(ids, a.ID)
	}
	for i, id := range r.Applications {
		if at := "lockdown.applications[" + strconv.Itoa(i) + "]"; !slices.Contains(ids, id) && !c.problemAt(at) {
			c.refuse(at, "75-2", Nearest(id, ids), "知らないシステムです。", "This application is not known.")
		}
	}
	d := r.Delegation
	if d.Decision == "" && d.Until != "" {
		c.refuse("lockdown.delegation.decision", "11-4", "", "権限を委任したCIOの決定の番号が必要です。", "The number of the CIO decision that delegates this is needed.")
	}
	if _, err := time.Parse(dateForm, d.Until); d.Until != "" && err != nil {
		c.refuse("lockdown.delegation.until", "11-4", "2027-03-31", "日付は 2027-03-31 の形で書いてください。", "Write a date like 2027-03-31.")
	}
	for i, text := range r.SealedKeys {
		if _, err := ParseSealedKey(text); err != nil {
			c.refuse("lockdown.sealed_keys["+strconv.Itoa(i)+"]", "75-2", "",
				"封印した鍵の公開鍵ではありません。`sekisho lockdown key` が作ります。秘密鍵をここに書いたのなら、作り直してください。",
				"This is not the public half of a sealed key; `sekisho lockdown key` makes one. If it is the private half, make a new pair.")
		}
	}
}
