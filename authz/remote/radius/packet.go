package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// The library reads and writes packets and their attributes. What it does not do is
// done here: the Message-Authenticator, which stands first in all that is sent, since
// what comes after it cannot be bent into another packet's (CVE-2024-3596).

const (
	headerLength = 20
	macLength    = 16
	// longest is the most that a value of an attribute can be.
	longest = 253
)

var (
	errForm     = errors.New("not a packet in RADIUS's form")
	errUnsigned = errors.New("without a Message-Authenticator")
	errForged   = errors.New("its authenticator is wrong")
)

// framed is a packet's own bytes, without what comes after its length (RFC 2865
// section 3), and where the value of its Message-Authenticator stands; 0 for
// nowhere. It refuses whatever cannot be read in one way only.
func framed(b []byte) (raw []byte, mac int, err error) {
	if len(b) < headerLength {
		return nil, 0, errForm
	}
	n := int(binary.BigEndian.Uint16(b[2:4]))
	if n < headerLength || n > wire.MaxPacketLength || n > len(b) {
		return nil, 0, errForm
	}
	raw = b[:n]
	for at := headerLength; at < n; {
		if n-at < 2 || int(raw[at+1]) < 2 || at+int(raw[at+1]) > n {
			return nil, 0, errForm
		}
		if wire.Type(raw[at]) == rfc2869.MessageAuthenticator_Type {
			if mac != 0 || raw[at+1] != 2+macLength {
				return nil, 0, errForm // two of them, or half of one
			}
			mac = at + 2
		}
		at += int(raw[at+1])
	}
	return raw, mac, nil
}

// signature is the Message-Authenticator of a packet: over all of it, with the
// authenticator that it goes by, and its own value empty (RFC 3579 section 3.2).
func signature(raw []byte, mac int, authenticator [16]byte, secret []byte) []byte {
	var nothing [macLength]byte
	h := hmac.New(md5.New, secret)
	h.Write(raw[:4])
	h.Write(authenticator[:])
	h.Write(raw[headerLength:mac])
	h.Write(nothing[:])
	h.Write(raw[mac+macLength:])
	return h.Sum(nil)
}

// goesBy is the authenticator that a request's Message-Authenticator is made over.
func goesBy(raw []byte) (a [16]byte) {
	switch wire.Code(raw[0]) {
	case wire.CodeAccessRequest, wire.CodeStatusServer:
		copy(a[:], raw[4:headerLength])
	}
	return a // of a request that is authenticated as a whole: nothing
}

// read takes a client's request apart once it is known to be the client's. It asks
// nobody, and costs a hash or two for each secret that counts. The packet's Secret is
// the one it was made with, and its answer is made with it, too.
func read(c *Client, b []byte, now time.Time) (p *wire.Packet, err error) {
	raw, mac, err := framed(b)
	if err != nil {
		return nil, err
	}
	switch wire.Code(raw[0]) {
	case wire.CodeAccessRequest, wire.CodeStatusServer, wire.CodeAccountingRequest:
	default:
		return nil, errForm
	}
	for _, key := range c.keys(now) {
		if p, err = readUnder(c, raw, mac, key); !errors.Is(err, errForged) {
			return p, err
		}
	}
	return nil, err
}

// readUnder is read under one secret.
func readUnder(c *Client, raw []byte, mac int, secret []byte) (*wire.Packet, error) {
	code := wire.Code(raw[0])
	if mac != 0 && !hmac.Equal(signature(raw, mac, goesBy(raw), secret), raw[mac:mac+macLength]) {
		return nil, errForged
	}
	if code == wire.CodeAccountingRequest && !wire.IsAuthenticRequest(raw, secret) {
		return nil, errForged
	}
	p, err := wire.Parse(raw, secret)
	if err != nil {
		return nil, errForm
	}
	if mac != 0 || code == wire.CodeAccountingRequest {
		return p, nil
	}
	// A Status-Server must have it (RFC 5997 section 3), and so must what carries EAP
	// (RFC 3579 section 3.2). From gear that is excused, what was not signed may not
	// hold what a forger needs: attributes that the answer repeats.
	if !c.Unsigned || code == wire.CodeStatusServer || has(p, rfc2869.EAPMessage_Type) || has(p, rfc2865.ProxyState_Type) {
		return nil, errUnsigned
	}
	return p, nil
}

func has(p *wire.Packet, t wire.Type) bool {
	_, ok := p.Lookup(t)
	return ok
}

// text is an attribute's value as text, "" for none.
func text(p *wire.Packet, t wire.Type) string { return string(p.Get(t)) }

// number is an attribute's value as a 32-bit number, 0 for none.
func number(p *wire.Packet, t wire.Type) int64 {
	if v := p.Get(t); len(v) == 4 {
		return int64(binary.BigEndian.Uint32(v))
	}
	return 0
}

func add(p *wire.Packet, t wire.Type, value []byte) {
	if len(value) > 0 && len(value) <= longest {
		p.Attributes = append(p.Attributes, &wire.AVP{Type: t, Attribute: value})
	}
}

func addNumber(p *wire.Packet, t wire.Type, n uint32) {
	add(p, t, binary.BigEndian.AppendUint32(nil, n))
}

// reply is the answer to a request in bytes: Message-Authenticator first, then what
// it says, then the attributes of proxies, as they came and in their order (RFC 2865
// section 5.33).
//
// An Accounting-Response has none (RFC 2869 section 5.14 knows it of Access packets
// alone): it says nothing that could be turned round, and FreeRADIUS, which reckons it
// over an empty authenticator there, drops one that is reckoned as in an Access-Accept.
func reply(to, with *wire.Packet) ([]byte, error) {
	for _, a := range to.Attributes {
		if a.Type == rfc2865.ProxyState_Type {
			with.Attributes = append(with.Attributes, a)
		}
	}
	if with.Code == wire.CodeAccountingResponse {
		return with.Encode()
	}
	return sign(with)
}

// sign makes bytes of a packet. Its Authenticator is the one that its
// Message-Authenticator goes by.
func sign(p *wire.Packet) ([]byte, error) {
	value := make([]byte, macLength)
	p.Attributes = append(wire.Attributes{{Type: rfc2869.MessageAuthenticator_Type, Attribute: value}}, p.Attributes...)
	raw, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	copy(value, signature(raw, headerLength+2, p.Authenticator, p.Secret))
	return p.Encode()
}
