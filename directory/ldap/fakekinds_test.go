package ldap_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
)

// doneSaying is done with the server's own word.
func doneSaying(c net.Conn, id int64, tag ber.Tag, code int, word string) {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets(word))
	send(c, id, op, nil)
}

// base and wanted are what a search asks.
func base(op *ber.Packet) string { v, _ := op.Children[0].Value.(string); return v }

func wanted(op *ber.Packet) (names []string) {
	for _, a := range op.Children[7].Children {
		v, _ := a.Value.(string)
		names = append(names, v)
	}
	return names
}

const (
	guid     = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	guidText = "00112233-4455-6677-8899-aabbccddeeff"
)

// onFakeDomain is a client of a fake that is spoken to as a domain controller, but
// for TLS.
func onFakeDomain(t *testing.T, f *fake) *ldap.Directory {
	t.Helper()
	d, err := ldap.OpenInClear(onFake(f.url()), "active_directory")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestKeptFromUs: groups that were not shown, or not all of them, are an error
// and never "in no group": whoever holds a powerful post must not pass for one
// who holds none.
func TestKeptFromUs(t *testing.T) {
	const groups = "ou=groups," + fakeBase
	for _, tt := range []struct {
		name  string
		token func(c net.Conn, id int64)
		names func(c net.Conn, id int64)
		want  error // nil: answered
	}{
		{"all shown", func(c net.Conn, id int64) {
			entry(c, id, "cn=taro,ou=people,"+fakeBase, map[string]string{"tokenGroups": "\x01\x02"})
			done(c, id, 5, 0, nil)
		}, func(c net.Conn, id int64) {
			entry(c, id, groups, nil)
			entry(c, id, "cn=g,"+groups, map[string]string{"objectSid": "\x01\x02"})
			done(c, id, 5, 0, nil)
		}, nil},
		{"no token", func(c net.Conn, id int64) {
			entry(c, id, "cn=taro,ou=people,"+fakeBase, nil)
			done(c, id, 5, 0, nil)
		}, nil, directory.ErrTruncated},
		{"no entry", func(c net.Conn, id int64) { done(c, id, 5, 0, nil) }, nil, directory.ErrTruncated},
		{"a token that may not be read", func(c net.Conn, id int64) { done(c, id, 5, 50, nil) }, nil, directory.ErrDenied},
		{"no names", func(c net.Conn, id int64) {
			entry(c, id, "cn=taro,ou=people,"+fakeBase, map[string]string{"tokenGroups": "\x01\x02"})
			done(c, id, 5, 0, nil)
		}, func(c net.Conn, id int64) { done(c, id, 5, 0, nil) }, directory.ErrTruncated},
		{"names that are limited", func(c net.Conn, id int64) {
			entry(c, id, "cn=taro,ou=people,"+fakeBase, map[string]string{"tokenGroups": "\x01\x02"})
			done(c, id, 5, 0, nil)
		}, func(c net.Conn, id int64) { entry(c, id, groups, nil); done(c, id, 5, 4, nil) }, directory.ErrTruncated},
		{"names below a base that is not there", func(c net.Conn, id int64) {
			entry(c, id, "cn=taro,ou=people,"+fakeBase, map[string]string{"tokenGroups": "\x01\x02"})
			done(c, id, 5, 0, nil)
		}, func(c net.Conn, id int64) { done(c, id, 5, 32, nil) }, directory.ErrAway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
				switch {
				case base(op) == fakeBase: // the domain's policy
					entry(c, id, fakeBase, map[string]string{"lockoutThreshold": "10"})
					done(c, id, 5, 0, nil)
				case slices.Contains(wanted(op), "tokenGroups"):
					tt.token(c, id)
				case base(op) == groups:
					tt.names(c, id)
				default:
					witness(c, id)
					entry(c, id, "cn=taro,ou=people,"+fakeBase, map[string]string{
						"objectGUID": guid, "sAMAccountName": "taro", "userAccountControl": "512", "pwdLastSet": "1"})
					done(c, id, 5, 0, nil)
				}
			})
			p, err := onFakeDomain(t, f).Find(t.Context(), "taro")
			switch {
			case tt.want == nil && (err != nil || !slices.Equal(p.Groups, []string{"cn=g," + groups})):
				t.Errorf("Find = %+v, %v", p, err)
			case tt.want != nil && (!errors.Is(err, tt.want) || errors.Is(err, directory.ErrNotFound)):
				t.Errorf("Find = %+v, %v, want %v", p, err, tt.want)
			}
		})
	}
}

// TestCutMembers: a list of members that ends before its end is no list.
func TestCutMembers(t *testing.T) {
	for name, second := range map[string]func(c net.Conn, id int64){
		"the second part is empty":       func(c net.Conn, id int64) { entry(c, id, "cn=g,ou=groups,"+fakeBase, nil); done(c, id, 5, 0, nil) },
		"the second part is another":     func(c net.Conn, id int64) { ranged(c, id, "7-*"); done(c, id, 5, 0, nil) },
		"the second part hangs up":       func(c net.Conn, id int64) { _ = c.Close() },
		"the second part has no entry":   func(c net.Conn, id int64) { done(c, id, 5, 0, nil) },
		"the group is gone by then":      func(c net.Conn, id int64) { done(c, id, 5, 32, nil) },
		"the second part is not for us":  func(c net.Conn, id int64) { done(c, id, 5, 50, nil) },
		"the second part never comes":    func(net.Conn, int64) {},
		"the second part is there: well": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
				switch {
				case slices.Contains(wanted(op), "member;range=0-1499"):
					ranged(c, id, "0-0")
					done(c, id, 5, 0, nil)
				case second == nil:
					ranged(c, id, "1-*")
					done(c, id, 5, 0, nil)
				default:
					second(c, id)
				}
			})
			got, err := onFakeDomain(t, f).Members(t.Context(), "cn=g,ou=groups,"+fakeBase)
			if second == nil && (err != nil || len(got) != 2) || second != nil && (err == nil || got != nil) {
				t.Errorf("Members = %v, %v", got, err)
			}
		})
	}
}

func ranged(c net.Conn, id int64, part string) {
	entry(c, id, "cn=g,ou=groups,"+fakeBase, map[string]string{"member;range=" + part: "cn=m" + part + ",ou=people," + fakeBase})
}

// TestUnknownBindCodes: only a code whose meaning is known may say that a
// password was wrong.
func TestUnknownBindCodes(t *testing.T) {
	const form = "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data %s, v3839"
	closed := directory.Account{Disabled: true}
	for _, tt := range []struct {
		name, word string
		code       int
		as         directory.Account
		want       directory.Outcome
		away       bool
	}{
		{"wrong", fmt.Sprintf(form, "52e"), 49, directory.Account{}, directory.OutcomeWrong, false},
		{"nobody", fmt.Sprintf(form, "525"), 49, directory.Account{}, directory.OutcomeWrong, false},
		{"wrong, of an account we read as closed", fmt.Sprintf(form, "52e"), 49, closed, directory.OutcomeDisabled, false},
		{"another workstation", fmt.Sprintf(form, "531"), 49, directory.Account{}, directory.OutcomeBarred, false},
		{"a smart card is asked for", fmt.Sprintf(form, "52f"), 49, directory.Account{}, directory.OutcomeBarred, false},
		{"a code of the future", fmt.Sprintf(form, "fff"), 49, directory.Account{}, directory.OutcomeWrong, true},
		{"no code", "no", 49, directory.Account{}, directory.OutcomeWrong, true},
		{"a known code with another result", fmt.Sprintf(form, "52e"), 52, directory.Account{}, directory.OutcomeWrong, true},
		{"stronger authentication required", "00002028: LdapErr", 8, directory.Account{}, directory.OutcomeWrong, true},
		{"let in, of an account we read as closed", "", 0, closed, directory.OutcomeDisabled, false},
		{"let in, of an account to be changed", "", 0, directory.Account{MustChange: true}, directory.OutcomeMustChange, false},
		{"let in", "", 0, directory.Account{}, directory.OutcomeRight, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) { doneSaying(c, id, 1, tt.code, tt.word) })
			p := directory.Person{ID: guidText, DN: "cn=taro,ou=people," + fakeBase, Account: tt.as}
			got, err := onFakeDomain(t, f).Authenticate(t.Context(), p, text("x"))
			if got != tt.want || tt.away != errors.Is(err, directory.ErrAway) || !tt.away && err != nil {
				t.Errorf("Authenticate = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// TestFormerCannotBeTold: where the server will not say whether it was the
// password in force, nobody comes in.
func TestFormerCannotBeTold(t *testing.T) {
	for word, want := range map[string]directory.Outcome{
		"00000056: AtrErr: DSID-03190F80, #1":      directory.OutcomeWrong,
		"0000052D: AtrErr: DSID-03190FD6, #1":      directory.OutcomeRight,
		"00000005: SecErr: DSID-031A11D5, problem": directory.OutcomeBarred,
		"": directory.OutcomeBarred,
	} {
		f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
			if op.Tag == 0 {
				done(c, id, 1, 0, nil)
				return
			}
			doneSaying(c, id, 7, 19, word)
		})
		d := onFakeDomain(t, f)
		p := directory.Person{ID: guidText, DN: "cn=taro,ou=people," + fakeBase}
		if got, err := d.Authenticate(t.Context(), p, text("x")); err != nil || got != directory.OutcomeRight {
			t.Errorf("a password of long ago: %v, %v", got, err)
		}
		p.Account.PasswordChangedAt = d.Now()
		if got, err := d.Authenticate(t.Context(), p, text("x")); err != nil || got != want {
			t.Errorf("a password of just now, %q: %v, %v, want %v", word, got, err, want)
		}
	}
}

// modified lists the attributes that a modification names, in order.
func modified(op *ber.Packet) (names []string) {
	for _, change := range op.Children[1].Children {
		name, _ := change.Children[1].Children[0].Value.(string)
		names = append(names, name)
	}
	return names
}

// TestDS389: what is different about 389 Directory Server, on a fake: the entry
// is read before it is written to, and a password's mark is seen to afterwards.
func TestDS389(t *testing.T) {
	const id389, dn = "3d3f2281-1dd211b2-80b5d4b3-2b3e0000", "uid=taro,ou=people," + fakeBase
	var (
		mu    sync.Mutex
		wrote []string
		holds = id389
		shown = map[string]string{"passwordLockout": "on", "passwordMaxFailure": "7"}
	)
	f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op.Tag == 6:
			wrote = append(wrote, strings.Join(modified(op), " "))
			done(c, id, 7, 0, nil)
		case op.Tag == 3 && base(op) == "cn=config":
			entry(c, id, "cn=config", shown)
			done(c, id, 5, 0, nil)
		case op.Tag == 3 && base(op) == dn:
			entry(c, id, dn, map[string]string{"nsUniqueId": holds, "objectClass": "inetOrgPerson", "uid": "taro"})
			done(c, id, 5, 0, nil)
		default:
			done(c, id, 5, 50, nil)
		}
	})
	c := onFake(f.url())
	c.Schema = "389ds"
	d := open(t, c)
	p := directory.Person{ID: id389, DN: dn}
	for _, err := range []error{
		d.Disable(t.Context(), p), d.Enable(t.Context(), p), d.Unlock(t.Context(), p),
		d.ResetPassword(t.Context(), p, text("a-new-password"), true),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{
		"nsAccountLock", "nsAccountLock accountUnlockTime passwordRetryCount", "accountUnlockTime passwordRetryCount",
		"userPassword", "passwordExpirationTime",
	}; !slices.Equal(wrote, want) {
		t.Errorf("wrote %q, want %q", wrote, want)
	}
	mu.Lock()
	wrote, holds = nil, "00000000-1dd211b2-80b5d4b3-2b3e0000"
	mu.Unlock()
	for what, err := range map[string]error{
		"Disable": d.Disable(t.Context(), p), "ResetPassword": d.ResetPassword(t.Context(), p, text("a-new-password"), false),
	} {
		if !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s of who has another's DN: %v", what, err)
		}
	}
	if len(wrote) > 0 {
		t.Errorf("somebody else was written to: %q", wrote)
	}
	if got, err := d.LockoutPolicy(t.Context()); err != nil || got.MaxFailures != 7 || !got.Enabled {
		t.Errorf("LockoutPolicy = %+v, %v", got, err)
	}
	mu.Lock()
	shown = nil
	mu.Unlock()
	if got, err := d.LockoutPolicy(t.Context()); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a policy that is not shown: %+v, %v", got, err)
	}
	c.Stated = &schema.Policy{Found: true, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 5}}
	if got, err := open(t, c).LockoutPolicy(t.Context()); err != nil || got != c.Stated.Lockout {
		t.Errorf("a policy that was stated: %+v, %v", got, err)
	}
}
