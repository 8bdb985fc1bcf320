package oath

import (
	"encoding/base64"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy/secret"
)

const (
	nsPSKC = "urn:ietf:params:xml:ns:keyprov:pskc"

	profileTOTP = nsPSKC + ":totp"
	profileHOTP = nsPSKC + ":hotp"
)

func pskc(local string) xml.Name { return xml.Name{Space: nsPSKC, Local: local} }

// ParsePSKC reads tokens from a key container of RFC 6030, version 1.0. Keys of
// the TOTP profile are taken; any other in the file refuses it.
//
// key opens what is encrypted with AES-CBC: the pre-shared key in hexadecimal or
// base64, or, where the container derives its key (section 6.2), the passphrase
// itself. It must be empty for a container without encryption: whoever gives a
// key means that the file was guarded, and a file that is not has been changed.
//
// What an encrypted value says is believed after its MAC has been checked, and
// not decrypted before (section 6.1.1). The key of the MAC stands in the same
// file without a MAC of its own: it guards the values against those who know
// none of them, and the way the file comes must be trusted all the same. A
// signature of the whole file is not looked at.
//
// KeyUsage, PINPolicy, StartDate and ExpiryDate of a key's policy are obeyed, any
// other policy refuses it (section 5). The former server's count of a clock's
// drift is not taken over; totp.Tokens.Resync finds the present one.
//
// The error is *Faults.
func ParsePSKC(data []byte, key secret.Text) ([]Seed, error) {
	r := newReading()
	if !r.fits(data) {
		return r.done()
	}
	root := r.tree(data)
	if root == nil {
		return r.done()
	}
	if root.Name != pskc("KeyContainer") || root.attribute("Version") != "1.0" {
		r.fault(root.line, "file", "format",
			"PSKC 1.0（RFC 6030）の KeyContainer ではありません。", "This is no KeyContainer of PSKC 1.0 (RFC 6030).")
		return r.done()
	}
	safe, ok := r.safe(root, key)
	if !ok {
		return r.done()
	}
	packages := root.all(pskc("KeyPackage"))
	if len(packages) > MaxSeeds {
		r.tooMany(packages[MaxSeeds].line)
		return r.done()
	}
	for _, p := range packages {
		r.keyPackage(p, safe)
	}
	return r.done()
}

// keyPackage reads one token.
func (r *reading) keyPackage(p *element, safe *strongbox) {
	device, key := r.one(p, pskc("DeviceInfo")), r.one(p, pskc("Key"))
	if key == nil {
		r.missing(p.line, "seed", "鍵（Key）", "Key")
		return
	}
	if a := key.attribute("Algorithm"); a != profileTOTP {
		r.notTimeBased(key.line, "Algorithm", a == profileHOTP)
		return
	}
	s := Seed{
		Serial: r.serialOf(p.line, r.value(device, pskc("SerialNo"))),
		Maker:  r.makerOf(p.line, r.value(device, pskc("Manufacturer"))),
	}
	parameters := r.one(key, pskc("AlgorithmParameters"))
	s.Algorithm = r.algorithmOf(key.line, r.value(parameters, pskc("Suite")))
	s.Digits = r.response(key.line, parameters)

	data := r.one(key, pskc("Data"))
	s.Period = 30 * time.Second // RFC 6238 section 5.2
	if interval := r.one(data, pskc("TimeInterval")); interval != nil {
		s.Period = r.interval(interval, safe)
	}
	if value := r.one(data, pskc("Secret")); value == nil {
		r.missing(key.line, "seed", "シード（秘密鍵）", "seed")
	} else if raw, ok := r.secret(value, safe); ok {
		s.Key = r.keyOf(value.line, raw)
	}
	policy := r.one(key, pskc("Policy"))
	r.policy(policy)
	s.NotBefore, s.NotAfter = r.window(device, policy)
	r.add(p.line, s)
}

// response reads the form of the codes: section 4.3.4, ResponseFormat.
func (r *reading) response(line int, parameters *element) int {
	format := r.one(parameters, pskc("ResponseFormat"))
	if format == nil {
		r.missing(line, "digits", "桁数（ResponseFormat）", "ResponseFormat")
		return 0
	}
	check := format.attribute("CheckDigits")
	if format.attribute("Encoding") != "DECIMAL" || check != "" && check != "false" && check != "0" ||
		r.one(parameters, pskc("ChallengeFormat")) != nil {
		r.fault(format.line, "digits", "unsupported",
			"検査数字のない10進数のコードだけを使えます。", "Only decimal codes without a check digit can be used.")
	}
	return r.digitsOf(format.line, format.attribute("Length"))
}

// interval reads TimeInterval, in seconds. It may stand in clear beside an
// encrypted seed: who changes it makes a token useless, and learns nothing.
func (r *reading) interval(e *element, safe *strongbox) time.Duration {
	if plain := r.one(e, pskc("PlainValue")); plain != nil && len(e.children) == 1 {
		return r.periodOf(e.line, plain.text)
	}
	raw, ok := r.sealed(e, safe, "period")
	if !ok {
		return 0
	}
	// Some write a number in as few bytes as it needs, some in four or eight; all
	// with the high byte first.
	if len(raw) > 8 {
		raw = nil
	}
	var seconds uint64
	for _, b := range raw {
		seconds = seconds<<8 | uint64(b)
	}
	return r.periodOf(e.line, strconv.FormatUint(seconds, 10))
}

// secret reads the seed itself.
func (r *reading) secret(e *element, safe *strongbox) ([]byte, bool) {
	plain := r.one(e, pskc("PlainValue"))
	if plain == nil || safe != nil || len(e.children) != 1 {
		return r.sealed(e, safe, "seed")
	}
	raw, ok := fromBase64(plain.text)
	if !ok {
		r.notBase64(plain.line, "seed")
	}
	return raw, ok
}

// sealed opens an encrypted value.
func (r *reading) sealed(e *element, safe *strongbox, field string) ([]byte, bool) {
	value, mac := r.one(e, pskc("EncryptedValue")), r.one(e, pskc("ValueMAC"))
	switch {
	case len(e.children) != 2 || value == nil || mac == nil:
		r.fault(e.line, field, "sealed",
			"値は、平文のファイルでは PlainValue だけ、暗号化されたファイルでは EncryptedValue と ValueMAC で書きます。",
			"A value is a PlainValue alone in a file in clear, an EncryptedValue and a ValueMAC in an encrypted one.")
		return nil, false
	case safe == nil:
		r.fault(e.line, field, "no_key",
			"値が暗号化されていますが、ファイルに EncryptionKey がありません。",
			"The value is encrypted, but the file has no EncryptionKey.")
		return nil, false
	}
	sent, ok := fromBase64(mac.text)
	if !ok {
		r.notBase64(mac.line, field)
		return nil, false
	}
	box, ok := r.box(value)
	if !ok {
		return nil, false
	}
	raw, ok := safe.open(box, sent)
	if !ok {
		r.fault(mac.line, field, "mac",
			"鍵がこのファイルのものではないか、ファイルが変更されています。",
			"The key is not that of this file, or the file was changed.")
	}
	return raw, ok
}

// policy refuses what cannot be obeyed. Section 5: a policy that is not
// understood means that the key must not be used.
func (r *reading) policy(e *element) {
	if e == nil {
		return
	}
	usages := e.all(pskc("KeyUsage"))
	if len(usages) > 0 && !slices.ContainsFunc(usages, func(u *element) bool { return u.text == "OTP" }) {
		r.fault(e.line, "Policy", "usage",
			"この鍵は、ワンタイムコードに使えない鍵です。", "This key may not be used for one-time codes.")
	}
	for _, c := range e.children {
		switch c.Name {
		case pskc("KeyUsage"), pskc("StartDate"), pskc("ExpiryDate"):
			continue
		case pskc("PINPolicy"):
			// Asked for and checked by the device itself.
			if c.attribute("PINUsageMode") == "Local" {
				continue
			}
		}
		r.fault(c.line, "Policy", "unsupported",
			"この鍵の使用条件には対応していません。", "This condition on the use of the key is not supported.")
	}
}

// window is the time in which both the device and its key may be used.
func (r *reading) window(device, policy *element) (from, to time.Time) {
	for _, e := range []*element{device, policy} {
		if t := r.date(e, "StartDate"); t.After(from) {
			from = t
		}
		if t := r.date(e, "ExpiryDate"); !t.IsZero() && (to.IsZero() || t.Before(to)) {
			to = t
		}
	}
	return from, to
}

func (r *reading) date(e *element, name string) time.Time {
	text := r.value(e, pskc(name))
	if text == "" {
		return time.Time{}
	}
	// Without a zone an instant could be meant that lies half a day away.
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 {
		r.fault(e.line, name, "invalid",
			"日時は 2026-04-01T00:00:00Z のように、時差を付けて書きます。",
			"A date and time is written like 2026-04-01T00:00:00Z, with its zone.")
		return time.Time{}
	}
	return t.UTC()
}

// fromBase64 takes xs:base64Binary, which may hold white space.
func fromBase64(text string) ([]byte, bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(text), ""))
	return raw, err == nil && len(raw) > 0
}

func (r *reading) notBase64(line int, field string) {
	r.fault(line, field, "base64", "base64ではありません。", "This is not base64.")
}
