package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"net/netip"
	"testing"
	"time"
	"unicode/utf8"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/secret"
)

var key = []byte("a secret of thirty-two characters")

func tester(unsigned bool) *Client {
	return &Client{ID: "t", Secret: secret.NewText(key), Unsigned: unsigned}
}

// FuzzRead: whatever comes, nothing breaks; and what is taken from a client that must
// sign is signed, by another reading of the rule than the one that took it.
func FuzzRead(f *testing.F) {
	p := wire.New(wire.CodeAccessRequest, key)
	p.Add(rfc2865.UserName_Type, []byte("tanaka"))
	_ = rfc2865.UserPassword_SetString(p, "password")
	plain, _ := p.Encode()
	f.Add(plain)
	copyOf := *p
	good, err := sign(&copyOf)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(bytes.Clone(good), 1, 2, 3))
	status := wire.New(wire.CodeStatusServer, key)
	b, _ := sign(status)
	f.Add(b)
	told := wire.New(wire.CodeAccountingRequest, key)
	told.Add(rfc2865.Class_Type, []byte("x"))
	b, _ = told.Encode()
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{1, 1, 0, 20})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		got, err := read(tester(false), b, time.Time{})
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		if err == nil && got.Code != wire.CodeAccountingRequest {
			again, err := got.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(again, append([]byte{80, 18}, got.Get(rfc2869.MessageAuthenticator_Type)...))
			copy(again[at+2:at+18], make([]byte, 16))
			h := hmac.New(md5.New, key)
			h.Write(again)
			if !hmac.Equal(h.Sum(nil), got.Get(rfc2869.MessageAuthenticator_Type)) {
				t.Fatalf("taken without a right Message-Authenticator: %x", b)
			}
		}
		if p, err := read(tester(true), b, time.Time{}); err == nil {
			_, _ = rfc2865.UserPassword_Lookup(p)
			_ = tellingOf(p)
			if out, err := reply(p, p.Response(wire.CodeAccessReject)); err == nil && len(out) < 38 {
				t.Fatal("an answer without a Message-Authenticator")
			}
		}
		_ = answerTo(good, b, key)
	})
}

// TestGolden is an exchange that somebody else computed: the Status-Server and its
// answer of RFC 5997 section 6.1.
func TestGolden(t *testing.T) {
	secretOfRFC := []byte("xyzzy5461")
	question := []byte{
		0x0c, 0xda, 0x00, 0x26, 0x8a, 0x54, 0xf4, 0x68, 0x6f, 0xb3, 0x94, 0xc5, 0x28, 0x66, 0xe3, 0x02, 0x18, 0x5d, 0x06, 0x23,
		0x50, 0x12, 0x5a, 0x66, 0x5e, 0x2e, 0x1e, 0x84, 0x11, 0xf3, 0xe2, 0x43, 0x82, 0x20, 0x97, 0xc8, 0x4f, 0xa3,
	}
	p, err := read(&Client{Secret: secret.NewText(secretOfRFC)}, question, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Code != wire.CodeStatusServer || p.Identifier != 0xda {
		t.Errorf("read as %v %d", p.Code, p.Identifier)
	}
	out, err := reply(p, p.Response(wire.CodeAccessAccept))
	if err != nil || !wire.IsAuthenticResponse(out, question, secretOfRFC) {
		t.Errorf("the answer: %v", err)
	}
}

// TestMessages: everything said fits into one attribute, in both languages.
func TestMessages(t *testing.T) {
	for _, w := range []policy.Words{saysRefused, saysCode, saysAgain, saysNoCode, saysWeb, saysPAP, saysNoPermit, saysLocked, saysZone, saysNotYours, saysShared, saysTerminal, saysOther, saysOver} {
		if w.JA == "" || w.EN == "" {
			t.Errorf("%q is not said in both languages", w)
		}
		if n := len(w.JA + " / " + w.EN); n > longest {
			t.Errorf("%q is %d bytes, of which %d fit", w, n, longest)
		}
	}
	cut := message(policy.Words{JA: string(bytes.Repeat([]byte("関"), 100)), EN: "x"})
	if len(cut) > longest || !utf8.Valid(cut) {
		t.Errorf("cut to %d bytes, %t", len(cut), utf8.Valid(cut))
	}
}

// TestSaysOf: whoever can do something about a refusal is told what.
func TestSaysOf(t *testing.T) {
	for reason, want := range map[authz.Reason]policy.Words{
		authz.NoRemote: saysNoPermit, authz.NoTerminal: saysTerminal, authz.LockedDown: saysLocked, authz.SharedID: saysShared, authz.TooWeak: saysNoCode,
		authz.NotYours: saysNotYours, authz.WrongZones: saysZone, authz.WrongEnvironment: saysOther, authz.ProjectOver: saysOver,
		authz.Closed: saysRefused, authz.NotStated: saysRefused, // they would list our staff to a stranger
	} {
		if got := saysOf(authz.Verdict{Reason: reason}); got != want {
			t.Errorf("%s: %q, want %q", reason, got.EN, want.EN)
		}
	}
}

// TestRecent: the same request is known for as long as gear asks again, memory is
// bounded, and what is worked at is never pushed out.
func TestRecent(t *testing.T) {
	var now time.Duration
	r := newRecent(func() time.Duration { return now })
	at := func(n int) asked { return asked{from: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})} }
	if _, again := r.begin(at(1)); again {
		t.Error("the first is known")
	}
	if a, again := r.begin(at(1)); !again || a.done {
		t.Error("one at work is not known as such")
	}
	r.end(at(1), []byte("yes"), "", false, 0)
	if a, again := r.look(at(1)); !again || string(a.reply) != "yes" {
		t.Errorf("answered: %q, %t", a.reply, again)
	}
	r.begin(at(2))
	r.end(at(2), nil, "", false, 0)
	if _, again := r.begin(at(2)); again {
		t.Error("one that was not answered is known")
	}
	r.begin(at(3))
	r.end(at(3), nil, "", true, 0)
	if a, again := r.look(at(3)); !again || !a.done || a.reply != nil {
		t.Error("one that was spent without an answer would be worked at again")
	}
	now += remembered + 1
	if _, again := r.look(at(1)); again {
		t.Error("one of long ago is known")
	}
	// What another gateway answered is known for as long as there.
	first, other := at(40000), at(40001)
	r.begin(first)
	r.begin(other)
	r.end(other, []byte("yes"), "", false, remembered-1)
	if _, again := r.look(other); !again {
		t.Error("another gateway's answer is not known")
	}
	now += 2
	if _, again := r.look(other); again {
		t.Error("another gateway's answer is known for longer than there")
	}
	if _, again := r.begin(other); again {
		t.Error("another gateway's answer is given for longer than there")
	}
	r.end(first, nil, "", false, 0)
	r.end(other, nil, "", false, 0)
	r.begin(at(4)) // at work for all of what follows
	for n := range 3 * mostRemembered {
		if _, again := r.begin(at(n + 5)); !again {
			r.end(at(n+5), []byte("yes"), "", false, 0)
		}
	}
	if len(r.of) > mostRemembered || len(r.queue) > mostRemembered {
		t.Errorf("%d are remembered", len(r.of))
	}
	if a, again := r.look(at(4)); !again || a.done {
		t.Error("one at work was pushed out")
	}
}

// TestAnswerSigned: the Message-Authenticator of gear's answer may go by the request's
// authenticator or by an empty one, and by nothing else.
func TestAnswerSigned(t *testing.T) {
	request, err := disconnectRequest(key, Remote{UserName: "tanaka"}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		over [16]byte
		ok   bool
	}{
		{"the request's (RFC 5176)", [16]byte(request[4:headerLength]), true},
		{"an empty one (FreeRADIUS)", [16]byte{}, true},
		{"another", [16]byte{1}, false},
	} {
		p := &wire.Packet{Code: wire.CodeDisconnectACK, Identifier: request[1], Secret: key, Authenticator: [16]byte(request[4:headerLength])}
		value := make([]byte, macLength)
		p.Attributes = wire.Attributes{{Type: rfc2869.MessageAuthenticator_Type, Attribute: value}}
		raw, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		copy(value, signature(raw, headerLength+2, tt.over, key))
		if raw, err = p.Encode(); err != nil {
			t.Fatal(err)
		}
		if got := answerTo(request, raw, key) != nil; got != tt.ok {
			t.Errorf("over %s: taken %t", tt.name, got)
		}
	}
}
