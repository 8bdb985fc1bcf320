package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// Result codes of RFC 4511 section 4.1.9 that this server gives.
const (
	success             = 0
	operationsError     = 1
	protocolError       = 2
	sizeLimitExceeded   = 4
	compareFalse        = 5
	compareTrue         = 6
	authNotSupported    = 7
	criticalExtension   = 12
	noSuchAttribute     = 16
	constraintViolation = 19
	valueExists         = 20
	invalidSyntax       = 21
	noSuchObject        = 32
	invalidDN           = 34
	invalidCredentials  = 49
	insufficientAccess  = 50
	busy                = 51
	unwilling           = 53
	namingViolation     = 64
	classViolation      = 65
	notOnNonLeaf        = 66
	notOnRDN            = 67
	alreadyExists       = 68
	assertionFailed     = 122
)

// Controls and extended operations this server knows.
const (
	pagingOID      = "1.2.840.113556.1.4.319"     // RFC 2696
	assertionOID   = "1.3.6.1.1.12"               // RFC 4528
	policyOID      = "1.3.6.1.4.1.42.2.27.8.5.1"  // draft-behera-ldap-password-policy
	relaxOID       = "1.3.6.1.4.1.4203.666.5.12"  // the administrator is relaxed anyhow
	manageDsaOID   = "2.16.840.1.113730.3.4.2"    // RFC 3296: there are no referrals
	whoamiOID      = "1.3.6.1.4.1.4203.1.11.3"    // RFC 4532
	passwordOID    = "1.3.6.1.4.1.4203.1.11.1"    // RFC 3062
	refreshOID     = "1.3.6.1.4.1.1466.101.119.1" // RFC 2589
	startTLSOID    = "1.3.6.1.4.1.1466.20037"
	disconnectOID  = "1.3.6.1.4.1.1466.20036"
	bodyTime       = 10 * time.Second // to send the rest of a message, or take an answer
	operationsTime = 30 * time.Second // of one operation, waiting for a hash included
)

// A refusal is a result code other than success.
type refusal struct {
	code   int
	say    string
	policy int // error of the password policy control; -1 none
}

func (r *refusal) Error() string { return fmt.Sprintf("result %d: %s", r.code, r.say) }

func refuse(code int, say string) *refusal { return &refusal{code, say, -1} }

// An answer is the final message of an operation.
type answer struct {
	err      error
	tag      ber.Tag
	children []*ber.Packet // after the result, for extended answers
	controls []*ber.Packet
}

// A talk is one connection. Its requests are served one after another.
type talk struct {
	server  *Server
	conn    net.Conn
	in      *bufio.Reader
	out     *bufio.Writer
	wall    clock.Now // deadlines of sockets are the machine's time, whatever the directory's clock says
	who     name      // bound as; key "" is nobody
	admin   bool
	must    bool // may do nothing but change the password
	cursors map[uint64]*cursor
	opened  uint64
}

func newTalk(s *Server, c net.Conn) *talk {
	return &talk{
		server: s, conn: c, wall: clock.System(),
		in:      bufio.NewReader(c),
		out:     bufio.NewWriter(c),
		cursors: make(map[uint64]*cursor),
	}
}

// serve answers until the other side leaves or stops making sense. Whatever
// goes wrong ends this connection alone.
func (t *talk) serve() {
	defer t.conn.Close()
	defer func() {
		// A fault in here must not take the process, and with it the gate, down.
		_ = recover()
	}()
	for {
		if _, err := t.in.Peek(1); err != nil {
			return
		}
		_ = t.conn.SetDeadline(t.wall().Add(bodyTime))
		m, err := readMessage(t.in)
		if err != nil {
			t.disconnect()
			return
		}
		_ = t.conn.SetDeadline(t.wall().Add(operationsTime + bodyTime))
		ctx, cancel := context.WithTimeout(context.Background(), operationsTime)
		more := t.handle(ctx, m)
		cancel()
		if t.out.Flush() != nil || !more {
			return
		}
		_ = t.conn.SetDeadline(time.Time{})
	}
}

// disconnect is the notice of RFC 4511 section 4.4.1.
func (t *talk) disconnect() {
	t.send(0, &answer{
		err: refuse(protocolError, "malformed message"), tag: opExtended + 1,
		children: []*ber.Packet{ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, disconnectOID, "")},
	}, "")
	_ = t.out.Flush()
}

// handle serves one request and says whether the connection goes on.
func (t *talk) handle(ctx context.Context, m *message) bool {
	if m.op.Tag == opUnbind {
		return false
	}
	if m.op.Tag == opAbandon {
		return true // there is never another request under way
	}
	a := &answer{tag: m.op.Tag + 1}
	switch m.op.Tag { // the two requests whose answers have other tags
	case opSearch:
		a.tag = 5
	case opDelete:
		a.tag = 11
	}
	for oid, c := range m.controls {
		switch oid {
		case pagingOID, assertionOID, policyOID, relaxOID, manageDsaOID:
		default:
			if c.critical {
				a.err = refuse(criticalExtension, "unknown control "+oid)
				return t.send(m.id, a, "")
			}
		}
	}
	if t.must && m.op.Tag != opBind && m.op.Tag != opExtended {
		a.err = &refusal{insufficientAccess, "the password must be changed first", 2}
		return t.send(m.id, a, m.policyAsked())
	}
	if a.err = t.server.expire(); a.err != nil {
		return t.send(m.id, a, "")
	}
	switch m.op.Tag {
	case opBind:
		a.err = t.bind(ctx, m, a)
	case opSearch:
		a.err = t.search(m, a)
	case opModify:
		a.err = t.modify(ctx, m)
	case opAdd:
		a.err = t.add(ctx, m)
	case opDelete:
		a.err = t.remove(m)
	case opModifyDN:
		a.err = t.rename(m)
	case opCompare:
		a.err = t.compare(m)
	case opExtended:
		a.err = t.extended(ctx, m, a)
	default:
		t.disconnect()
		return false
	}
	return t.send(m.id, a, m.policyAsked())
}

func (m *message) policyAsked() string {
	if _, asked := m.controls[policyOID]; asked {
		return policyOID
	}
	return ""
}

// send writes the final message of an operation. An error that is no refusal
// is our own fault: it is answered without detail.
func (t *talk) send(id int64, a *answer, policy string) bool {
	code, say, warned := success, "", -1
	if a.err != nil {
		var r *refusal
		switch {
		case errors.As(a.err, &r):
			code, say, warned = r.code, r.say, r.policy
		case errors.Is(a.err, secret.ErrBusy), errors.Is(a.err, context.DeadlineExceeded):
			code, say = busy, "too many passwords at once"
		default:
			code, say = operationsError, "internal error"
		}
	}
	result := ber.Encode(ber.ClassApplication, ber.TypeConstructed, a.tag, nil, "")
	result.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	result.AppendChild(octets(""))
	result.AppendChild(octets(say))
	for _, c := range a.children {
		result.AppendChild(c)
	}
	controls := a.controls
	if policy != "" && warned >= 0 {
		controls = append(controls, policyControl(warned))
	}
	return t.write(id, result, controls)
}

func (t *talk) write(id int64, op *ber.Packet, controls []*ber.Packet) bool {
	envelope := ber.NewSequence("")
	envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	envelope.AppendChild(op)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			all.AppendChild(c)
		}
		envelope.AppendChild(all)
	}
	_, err := t.out.Write(envelope.Bytes())
	return err == nil
}

func octets(v string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, v, "")
}

// policyControl carries one error of draft-behera-ldap-password-policy section
// 6.2.
func policyControl(warned int) *ber.Packet {
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, warned, ""))
	return responseControl(policyOID, string(value.Bytes()))
}

func responseControl(oid, value string) *ber.Packet {
	c := ber.NewSequence("")
	c.AppendChild(octets(oid))
	c.AppendChild(octets(value))
	return c
}
