package ldap_test

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

const fakeBase = "dc=pref,dc=example"

// A fake is a directory that misbehaves: answer is given each request but the
// service account's bind, which succeeds, and writes what it likes.
type fake struct {
	listener net.Listener
	answer   func(c net.Conn, id int64, op *ber.Packet)
	binds    atomic.Int64 // simple binds that arrived, the service account's included
	mu       sync.Mutex
	conns    []net.Conn
	wg       sync.WaitGroup
}

func serveFake(t testing.TB, answer func(c net.Conn, id int64, op *ber.Packet)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{listener: l, answer: answer}
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Add(1)
			go func() {
				defer f.wg.Done()
				defer c.Close()
				f.talk(c)
			}()
		}
	}()
	t.Cleanup(f.close)
	return f
}

func (f *fake) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fake) url() string { return "ldap://" + f.listener.Addr().String() }

func (f *fake) talk(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		p, err := ber.ReadPacket(r)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, _ := p.Children[0].Value.(int64)
		op := p.Children[1]
		if op.Tag == 0 {
			f.binds.Add(1)
			if len(op.Children) > 1 && op.Children[1].Value == "cn=service,"+fakeBase {
				done(c, id, 1, 0, nil)
				continue
			}
		}
		f.answer(c, id, op)
	}
}

func send(c net.Conn, id int64, op *ber.Packet, control *ber.Packet) {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	if control != nil {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		all.AppendChild(control)
		p.AppendChild(all)
	}
	_, _ = c.Write(p.Bytes())
}

func octets(v string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, v, "")
}

// done is the final message of an operation.
func done(c net.Conn, id int64, tag ber.Tag, code int, control *ber.Packet) {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets(""))
	send(c, id, op, control)
}

func entry(c net.Conn, id int64, dn string, attributes map[string]string) {
	all := ber.NewSequence("")
	for name, value := range attributes {
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		values.AppendChild(octets(value))
		one := ber.NewSequence("")
		one.AppendChild(octets(name))
		one.AppendChild(values)
		all.AppendChild(one)
	}
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
	op.AppendChild(octets(dn))
	op.AppendChild(all)
	send(c, id, op, nil)
}

func witness(c net.Conn, id int64) { entry(c, id, "ou=people,"+fakeBase, nil) }

func taro(c net.Conn, id int64) {
	entry(c, id, "uid=taro,ou=people,"+fakeBase, map[string]string{
		"uid": "taro", "entryUUID": "11111111-1111-4111-8111-111111111111", "memberOf": "cn=g,ou=groups," + fakeBase,
	})
}

func referral(c net.Conn, id int64) {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 19, nil, "")
	op.AppendChild(octets("ldap://elsewhere.example/" + fakeBase))
	send(c, id, op, nil)
}

func lastPage(cookie string) *ber.Packet {
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	value.AppendChild(octets(cookie))
	control := ber.NewSequence("")
	control.AppendChild(octets("1.2.840.113556.1.4.319"))
	control.AppendChild(octets(string(value.Bytes())))
	return control
}

func isPolicySearch(op *ber.Packet) bool {
	return op.Tag == 3 && len(op.Children) > 0 && op.Children[0].Value == "cn=default,ou=policies,"+fakeBase
}

func onFake(urls ...string) ldap.Config {
	return ldap.Config{
		Servers: urls, BindDN: "cn=service," + fakeBase, BindPassword: secret.NewText([]byte("service")),
		BaseDN: fakeBase, OpTimeout: 300 * time.Millisecond, PoolSize: 4,
	}
}

func open(t testing.TB, c ldap.Config) *ldap.Directory {
	t.Helper()
	d, err := ldap.Open(t.Context(), c, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

var someone = directory.Person{ID: "11111111-1111-4111-8111-111111111111", DN: "uid=taro,ou=people," + fakeBase, Login: "taro"}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }
