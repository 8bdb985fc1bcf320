// Package dispatch is a policy on its way to another zone's gateway: a file
// that a person can read and a gateway can believe.
//
//	sekisho policy dispatch v1
//	origin sekisho.pref.example
//	epoch 1
//	version 12
//	issued 2027-04-01T00:00:00Z
//	expires 2027-05-01T00:00:00Z
//	bytes 20345
//	sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
//
//	— sekisho.pref.example/policy Az3grl…
//
//	profile: standard
//	…
//
// Up to the signature it is a C2SP signed note over Ed25519; below it the text
// stands as it was in force, byte for byte, held by its length and its SHA-256.
//
// It refuses to know what the text says, which texts a store has taken before
// (policy/charter keeps that) and who approves them. Only the signature of a
// key that the reader named is believed; the key's own name ends in "/policy",
// so that no key made for something else signs a policy.
package dispatch

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sekisho/policy"
)

const firstLine = "sekisho policy dispatch v1"

// keySuffix binds a key to its purpose.
const keySuffix = "/policy"

const (
	maxHeader = 8 << 10 // of what stands above the text
	// longest is how long a dispatch may be good: a file that lies about should
	// not bring back the rules of years ago.
	longest = 366 * 24 * time.Hour
	// ahead is how far the sender's clock may be before ours.
	ahead = 5 * time.Minute
)

// A Header says what is sent. Origin names the gateway whose policy it is;
// Epoch and Version order what comes from there.
type Header struct {
	Origin          string
	Epoch, Version  int64
	Issued, Expires time.Time
}

// A Dispatch is a file that was believed.
type Dispatch struct {
	Header
	Key    string // the verifier key that believed it
	Digest string // SHA-256 of Text, hexadecimal, as policy/charter has it
	Text   []byte
}

// The kinds of what is wrong with a file.
const (
	Malformed = "malformed"
	Cut       = "cut"
	Changed   = "changed"
	Stranger  = "stranger"
	Ended     = "ended"
	Early     = "early"
)

// A Fault is why a file is not believed.
type Fault struct {
	Kind   string
	detail string
}

func (f *Fault) Error() string { return f.Says().EN }

// Is compares kinds, for errors.Is with a Fault of only a kind.
func (f *Fault) Is(target error) bool {
	other, ok := target.(*Fault)
	return ok && other.Kind == f.Kind
}

// Says is the fault and what to do about it.
func (f *Fault) Says() policy.Words {
	w := faults[f.Kind]
	if f.detail == "" {
		return w
	}
	return policy.Words{JA: w.JA + "（" + f.detail + "）", EN: w.EN + " (" + f.detail + ")"}
}

var faults = map[string]policy.Words{
	Malformed: {JA: "署名付き方針の形が正しくありません。送り元でもう一度 `sekisho policy export` を実行してください。", EN: "this is not a signed policy as sekisho writes it; have it exported again"},
	Cut:       {JA: "署名付き方針が途中で切れています。写し直してください。", EN: "the signed policy is cut off; copy it again"},
	Changed:   {JA: "署名付き方針の本文が署名の後に変えられています。使わずに、送り元とCSIRTに知らせてください。", EN: "the text was changed after it was signed; do not use it, and tell the sender and the CSIRT"},
	Stranger:  {JA: "信頼していない鍵の署名か、正しくない署名です。送り元の公開鍵を手渡しで受け取り、policy.trusted に書いてください。", EN: "no key that you trust signed this; get the sender's public key in person and name it in policy.trusted"},
	Ended:     {JA: "署名付き方針の有効期限が切れています。送り元でもう一度 `sekisho policy export` を実行してください。", EN: "the signed policy has expired; have it exported again"},
	Early:     {JA: "署名付き方針の日付がまだ来ていません。両方の関所の時計を確かめてください。", EN: "the signed policy is dated in the future; check the clocks of both gateways"},
}

func fault(kind, format string, args ...any) error {
	return &Fault{Kind: kind, detail: fmt.Sprintf(format, args...)}
}

var signature = []byte("\n— ")

// Is reports whether data is, or has been, a signed policy. One of which the
// head or the signature was taken off is still meant as one, and Open refuses
// it; it must not pass for a plain policy.yaml.
func Is(data []byte) bool {
	head := data[:min(len(data), maxHeader)]
	return bytes.HasPrefix(head, []byte("sekisho policy dispatch")) || bytes.Contains(append([]byte("\n"), head...), signature)
}

// Sign writes a dispatch.
func Sign(k *Key, h Header, text []byte) ([]byte, error) {
	sum := sha256.Sum256(text)
	switch {
	case h.Origin != k.Origin():
		return nil, fmt.Errorf("signing a policy of %q with the key of %q", h.Origin, k.Origin())
	case !h.Expires.After(h.Issued) || h.Expires.Sub(h.Issued) > longest:
		return nil, fmt.Errorf("signing a policy: it must be good for some time and at most %v", longest)
	case len(text) == 0 || len(text) > policy.MaxFileBytes:
		return nil, fmt.Errorf("signing a policy: a text of %d bytes", len(text))
	}
	head := fmt.Sprintf("%s\norigin %s\nepoch %d\nversion %d\nissued %s\nexpires %s\nbytes %d\nsha256 %s\n",
		firstLine, h.Origin, h.Epoch, h.Version, h.Issued.UTC().Format(time.RFC3339), h.Expires.UTC().Format(time.RFC3339),
		len(text), base64.StdEncoding.EncodeToString(sum[:]))
	signed, err := note.Sign(&note.Note{Text: head}, k.signers...)
	if err != nil {
		return nil, fmt.Errorf("signing a policy: %w", err)
	}
	return append(append(signed, '\n'), text...), nil
}

// Open reads a dispatch and believes it, or says why not. trusted are verifier
// keys in the notation of Key.PublicKey.
func Open(data []byte, trusted []string, now time.Time) (Dispatch, error) {
	signed, text, err := split(data)
	if err != nil {
		return Dispatch{}, err
	}
	known, keys := verifiers(trusted)
	opened, err := note.Open(signed, known)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified), errors.As(err, &invalid):
		return Dispatch{}, &Fault{Kind: Stranger}
	case err != nil:
		return Dispatch{}, fault(Malformed, "%v", err)
	}
	h, size, sum, err := parse(opened.Text)
	if err != nil {
		return Dispatch{}, err
	}
	d := Dispatch{Header: h, Text: text}
	for _, s := range opened.Sigs { // each was verified by a key of ours
		if s.Name == h.Origin+keySuffix {
			d.Key = keys[s.Hash]
		}
	}
	got := sha256.Sum256(text)
	switch {
	case d.Key == "":
		return Dispatch{}, fault(Stranger, "%s is not signed by its own key", h.Origin)
	case int64(len(text)) < size:
		return Dispatch{}, fault(Cut, "%d / %d bytes", len(text), size)
	case int64(len(text)) > size || !bytes.Equal(got[:], sum):
		return Dispatch{}, &Fault{Kind: Changed}
	case h.Issued.After(now.Add(ahead)):
		return Dispatch{}, fault(Early, "%s", h.Issued.Format(time.RFC3339))
	case !now.Before(h.Expires):
		return Dispatch{}, fault(Ended, "%s", h.Expires.Format(time.RFC3339))
	}
	d.Digest = fmt.Sprintf("%x", got)
	return d, nil
}

// split cuts the signed note from the text. The head has no empty line, so the
// first one ends it and the next one ends its signatures.
func split(data []byte) (signed, text []byte, err error) {
	if len(data) > policy.MaxFileBytes+maxHeader {
		return nil, nil, fault(Malformed, "%d bytes", len(data))
	}
	if !bytes.HasPrefix(data, []byte(firstLine+"\n")) {
		return nil, nil, &Fault{Kind: Malformed}
	}
	head, rest, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok || len(head) > maxHeader {
		return nil, nil, &Fault{Kind: Cut}
	}
	sigs, text, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok || len(head)+len(sigs) > maxHeader {
		return nil, nil, &Fault{Kind: Cut}
	}
	if !bytes.HasPrefix(sigs, signature[1:]) {
		return nil, nil, fault(Malformed, "no signature")
	}
	return data[:len(head)+2+len(sigs)+1], text, nil
}

// parse reads the head. There is one spelling of each: what parses is what Sign
// would write.
func parse(text string) (h Header, size int64, sum []byte, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	names := []string{"origin", "epoch", "version", "issued", "expires", "bytes", "sha256"}
	if len(lines) != 1+len(names) || lines[0] != firstLine {
		return Header{}, 0, nil, &Fault{Kind: Malformed}
	}
	values := map[string]string{}
	for i, name := range names {
		v, ok := strings.CutPrefix(lines[1+i], name+" ")
		if !ok || v == "" {
			return Header{}, 0, nil, fault(Malformed, "%s", name)
		}
		values[name] = v
	}
	h.Origin = values["origin"]
	for _, n := range []struct {
		name string
		into *int64
	}{{"epoch", &h.Epoch}, {"version", &h.Version}, {"bytes", &size}} {
		v, err := strconv.ParseInt(values[n.name], 10, 64)
		if err != nil || v < 0 || strconv.FormatInt(v, 10) != values[n.name] {
			return Header{}, 0, nil, fault(Malformed, "%s", n.name)
		}
		*n.into = v
	}
	for _, n := range []struct {
		name string
		into *time.Time
	}{{"issued", &h.Issued}, {"expires", &h.Expires}} {
		v, err := time.Parse(time.RFC3339, values[n.name])
		if err != nil || v.UTC().Format(time.RFC3339) != values[n.name] {
			return Header{}, 0, nil, fault(Malformed, "%s", n.name)
		}
		*n.into = v.UTC()
	}
	sum, err = base64.StdEncoding.Strict().DecodeString(values["sha256"])
	if err != nil || len(sum) != sha256.Size {
		return Header{}, 0, nil, fault(Malformed, "sha256")
	}
	if !h.Expires.After(h.Issued) || h.Expires.Sub(h.Issued) > longest {
		return Header{}, 0, nil, fault(Malformed, "expires")
	}
	return h, size, sum, nil
}

// verifiers are those of the keys that are for policies; the rest are not
// believed about one.
func verifiers(trusted []string) (note.Verifiers, map[uint32]string) {
	var list []note.Verifier
	keys := map[uint32]string{}
	for _, k := range trusted {
		v, err := note.NewVerifier(k)
		if err != nil || !strings.HasSuffix(v.Name(), keySuffix) || keys[v.KeyHash()] != "" {
			continue
		}
		list = append(list, v)
		keys[v.KeyHash()] = k
	}
	return note.VerifierList(list...), keys
}
