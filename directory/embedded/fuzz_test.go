package embedded

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// opened is a server without a network, with two people in it.
func opened(t testing.TB) *Server {
	t.Helper()
	s, err := open(t.Context(), Config{
		Dir: t.TempDir(), BaseDN: "dc=pref,dc=example", AdminPassword: secret.NewText([]byte("admin")),
		Hasher: secret.NewHasher(secret.Params{MemoryKiB: 8192, Time: 1, Threads: 1}, nil, 8),
		Now:    clock.NewFake(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)).Now,
		Seed: func(add func(string, map[string][]string) error) error {
			for _, login := range []string{"taro", "hanako"} {
				if err := add("uid="+login+",ou=people,dc=pref,dc=example", map[string][]string{
					"objectClass": {"inetOrgPerson"}, "cn": {"関所 " + login}, "sn": {"関所"}, "employeeNumber": {"12"},
				}); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.tree.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// deaf is the far side of a connection nobody reads.
type deaf struct{ net.Conn }

func (deaf) Write(b []byte) (int, error)      { return len(b), nil }
func (deaf) Read([]byte) (int, error)         { return 0, io.EOF }
func (deaf) Close() error                     { return nil }
func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

func request(op *ber.Packet, controls ...*ber.Packet) []byte {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 7, ""))
	p.AppendChild(op)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			all.AppendChild(c)
		}
		p.AppendChild(all)
	}
	return p.Bytes()
}

func application(tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func integer(tag ber.Tag, n int) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
}

func sequence(children ...*ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func searchFor(t testing.TB, filter string) *ber.Packet {
	t.Helper()
	f, err := goldap.CompileFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	return application(opSearch, octets("dc=pref,dc=example"), integer(ber.TagEnumerated, 2), integer(ber.TagEnumerated, 0),
		integer(ber.TagInteger, 0), integer(ber.TagInteger, 0), ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""),
		f, sequence(octets("*"), octets("+")))
}

// FuzzMessage: no bytes, from nobody or from the administrator, make the server
// panic, and what it keeps stays readable.
func FuzzMessage(f *testing.F) {
	taro := "uid=taro,ou=people,dc=pref,dc=example"
	for _, seed := range [][]byte{
		nil, {0x30}, {0x30, 0x80}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x30, 0x80}, 100), []byte("GET / HTTP/1.1\r\n\r\n"),
		request(application(opBind, integer(ber.TagInteger, 3), octets(taro), ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "x", ""))),
		request(searchFor(f, "(|(uid=taro)(&(cn=*関*所*)(!(mail=*)))(entryDN="+taro+"))"), responseControl(pagingOID, string(sequence(integer(ber.TagInteger, 1), octets("")).Bytes()))),
		request(searchFor(f, "(cn:dn:caseIgnoreMatch:=関所 taro)")),
		request(application(opAdd, octets("cn=x,dc=pref,dc=example"), sequence(sequence(octets("objectClass"), sequence(octets("device")))))),
		request(application(opModify, octets(taro), sequence(sequence(integer(ber.TagEnumerated, 2), sequence(octets("description"), sequence(octets("x"))))))),
		request(ber.NewString(ber.ClassApplication, ber.TypePrimitive, opDelete, taro, "")),
		request(application(opModifyDN, octets("ou=people,dc=pref,dc=example"), octets("ou=staff"), ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, ""))),
		request(application(opCompare, octets(taro), sequence(octets("cn"), octets("x")))),
		request(application(opExtended, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, whoamiOID, ""))),
		request(application(opExtended, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, passwordOID, ""), ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(sequence().Bytes()), ""))),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	s := opened(f)
	f.Fuzz(func(t *testing.T, data []byte, admin bool) {
		talk := newTalk(s, deaf{})
		if admin {
			talk.who, talk.admin = s.admin, true
		}
		in := bufio.NewReader(bytes.NewReader(data))
		for {
			m, err := readMessage(in)
			if err != nil || !talk.handle(context.Background(), m) {
				break
			}
		}
		for _, e := range s.tree.entries {
			again, err := store(e).entry()
			if err != nil || again.key != e.key {
				t.Fatalf("%q cannot be read back: %v", e.dn, err)
			}
		}
	})
}

// FuzzFilter: a filter that parses can be asked of every entry, and a filter
// and its negation never both match.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"(uid=taro)", "(&)", "(|)", "(!(uid=taro))", "(&(uid=t*r*o)(cn>=関)(employeeNumber<=100))", "(cn~=関所 TARO)", "(mail=*)",
		"(uid:dn:2.5.13.2:=taro)", "(:caseIgnoreMatch:=taro)", "(userPassword=a*)", "(memberOf=cn=x,dc=y)", "(uid=* *)",
	} {
		p, err := goldap.CompileFilter(text)
		if err != nil {
			continue // not every form of RFC 4515 is one go-ldap compiles
		}
		f.Add(p.Bytes())
	}
	s := opened(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := decodeInner(string(data))
		if !ok {
			return
		}
		filter, err := parseFilter(p)
		if err != nil {
			return
		}
		not := &filterNode{kind: filterNot, parts: []*filterNode{filter}}
		for _, e := range s.tree.entries {
			v := view{e, s.tree}
			if filter.matches(v) == matchTrue && not.matches(v) == matchTrue {
				t.Fatal("both")
			}
		}
		all := func(*entry) bool { return true }
		for _, key := range s.tree.find(s.base.key, scopeSubtree, filter, all) {
			if filter.matches(view{s.tree.entries[key], s.tree}) != matchTrue {
				t.Fatal("found what does not match")
			}
		}
		// The index must lose nobody.
		matching := 0
		for _, e := range s.tree.entries {
			if filter.matches(view{e, s.tree}) == matchTrue {
				matching++
			}
		}
		if got := len(s.tree.find(s.base.key, scopeSubtree, filter, all)); got != matching {
			t.Fatalf("found %d of %d", got, matching)
		}
	})
}

// FuzzName: the key of a DN is its own key.
func FuzzName(f *testing.F) {
	for _, dn := range []string{"", "dc=pref,dc=example", "UID = Taro , OU=People", `cn=a\,b+sn=c`, `cn=\23a`, "cn=関所 太郎", `cn=\00`, "cn=ﬁ"} {
		f.Add(dn)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		n, err := parseName(dn)
		if err != nil {
			return
		}
		again, err := parseName(n.key)
		if err != nil || again.key != n.key || again.parent != n.parent {
			t.Fatalf("%q has key %q, which has %q, %v", dn, n.key, again.key, err)
		}
	})
}
