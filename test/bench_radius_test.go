package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	rad "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"sekisho/authz/remote/radius"
	"sekisho/cmd/sekisho/house"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// gearPeople have a device that shows codes: whoever has none is not challenged.
const gearPeople = 200

// BenchmarkRADIUS is the first leg of a sign-in at the network door: an Access-Request
// with a right password, to its Access-Challenge, at a house on slapd with its attempt
// reserved and its sign-in kept, against a bare layeh.com/radius server that searches and
// binds at the same slapd and challenges. Target: {ARGON2} ≥ 0.8. Only challenges count.
func BenchmarkRADIUS(b *testing.B) {
	onlyAsked(b)
	for _, c := range []struct {
		name, scheme  string
		at, n, rounds int
	}{
		{"ARGON2-at-16", "{ARGON2}", benchPool, 32, 7},
		{"SSHA-at-16", "{SSHA}", benchPool, 240, 9},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchSlapd(b, c.scheme, true)
			h := benchHouse(b, func(cfg *house.Config) {
				cfg.Directory = ldap.Config{
					Servers: []string{s.URL}, BindDN: s.ServiceDN, BindPassword: secret.NewText([]byte(s.ServicePassword)),
					BaseDN: benchBase, PoolSize: benchPool,
				}
				cfg.Gear = []radius.Client{{
					ID: "vpn", From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Secret: secret.NewText([]byte(gearSecret)),
					Zone: policy.LGWAN, Disconnect: radius.NoDisconnect,
				}}
			})
			for i := range gearPeople {
				p, err := h.Directory.Find(b.Context(), benchLogin(i))
				if err == nil {
					err = h.DB.WithTx(b.Context(), func(tx *store.Tx) error {
						return h.TOTP.Import(b.Context(), tx, p.ID, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "phone")
					})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			living(b, h.Run)
			ours := udpDoor(b)
			living(b, func(ctx context.Context) {
				if err := h.Remote.Serve(ctx, ours); err != nil {
					b.Error(err)
				}
			})
			bare, theirs := newBareDirectory(b, s), udpDoor(b)
			server := rad.PacketServer{
				SecretSource: rad.StaticSecretSource([]byte(gearSecret)),
				Handler: rad.HandlerFunc(func(w rad.ResponseWriter, r *rad.Request) {
					code := rad.CodeAccessReject
					if rfc2865.UserPassword_GetString(r.Packet) == benchPassword && bare.signIn(rfc2865.UserName_GetString(r.Packet)) == nil {
						code = rad.CodeAccessChallenge
					}
					p := r.Response(code)
					if err := rfc2865.State_Set(p, secret.Bytes(32)); err != nil {
						b.Error(err)
					}
					_ = w.Write(p) // who asked hears nothing, and says so
				}),
			}
			living(b, func(ctx context.Context) {
				defer context.AfterFunc(ctx, func() { _ = server.Shutdown(context.Background()) })()
				_ = server.Serve(theirs) // it ends by Shutdown alone
			})
			var from, again atomic.Int64
			side := func(whose string, to *net.UDPConn) func() int {
				gear := make([]*net.UDPConn, c.at)
				for i := range gear {
					var err error
					if gear[i], err = net.DialUDP("udp", nil, to.LocalAddr().(*net.UDPAddr)); err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { _ = gear[i].Close() })
				}
				return func() int {
					start := int(from.Add(int64(c.n)))
					return inTurn(b, c.at, c.n, func(w, i int) error {
						sent, err := challenged(gear[w], benchLogin((start+i)%gearPeople))
						if again.Add(int64(sent - 1)); err != nil {
							return fmt.Errorf("%s: %w", whose, err)
						}
						return nil
					})
				}
			}
			alternate(b, c.rounds, side("the gate", ours), side("the bare server", theirs))
			b.ReportMetric(float64(again.Load()), "sent_again")
		})
	}
}

func udpDoor(b *testing.B) *net.UDPConn {
	b.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// challenged asks, and again as gear does while there is no answer; it takes nothing but
// a challenge.
func challenged(gear *net.UDPConn, login string) (sent int, err error) {
	p := rad.New(rad.CodeAccessRequest, []byte(gearSecret))
	p.Add(rfc2865.UserName_Type, []byte(login))
	if err := rfc2865.UserPassword_SetString(p, benchPassword); err != nil {
		return 0, err
	}
	raw, err := signedRequest(p)
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, rad.MaxPacketLength)
	for sent = 1; sent <= 5; sent++ {
		if err = gear.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return sent, err
		}
		if _, err = gear.Write(raw); err != nil {
			return sent, err
		}
		for {
			var n int
			if n, err = gear.Read(buffer); err != nil {
				break
			}
			if !rad.IsAuthenticResponse(buffer[:n], raw, []byte(gearSecret)) {
				continue // to what was sent again before
			}
			if code := rad.Code(buffer[0]); code != rad.CodeAccessChallenge {
				return sent, fmt.Errorf("a right password of %s was answered %v", login, code)
			}
			return sent, nil
		}
	}
	return sent, fmt.Errorf("asking about %s: %w", login, err)
}
