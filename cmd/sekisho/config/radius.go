package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// RADIUS is the door of network gear: VPN gateways ask there whether somebody may
// come in from outside. Whom it lets in is the policy's to say. Clients are read again
// on SIGHUP, the addresses at start.
type RADIUS struct {
	// Listen is host:port, UDP. Default none: no such door.
	Listen string `yaml:"listen"`
	// Accounting is a further address, for gear that tells of sessions on a port of
	// its own. Default none: both are taken where Listen is.
	Accounting string `yaml:"accounting"`
	// Clients are the gear that may ask. Whatever else comes is dropped without a
	// word. Required with listen.
	Clients []RADIUSClient `yaml:"clients"`
}

// RADIUSClient is gear that may ask.
type RADIUSClient struct {
	// ID names it on the trail, in the log and on pages. Required.
	ID string `yaml:"id"`
	// From is where its packets come from: addresses or ranges. Required.
	From []string `yaml:"from"`
	// SecretFile holds the secret that it shares with us, 32 characters or more, of
	// its own. Required.
	SecretFile string `yaml:"secret_file"`
	// FormerSecrets count beside it until their time, two at most: the gate has the new
	// one first, and gear is given it after. Not for gear that may leave the
	// Message-Authenticator out. Default none.
	FormerSecrets []FormerSecret `yaml:"former_secrets"`
	// Zone is the one that people come into by it. Default: the only one served.
	Zone string `yaml:"zone"`
	// Applications are ids of the policy. Who may use one of them from outside, with a
	// live permit, is let in. Default: those of the zone.
	Applications []string `yaml:"applications"`
	// MessageAuthenticator is required (default) or optional. Optional is for gear that
	// cannot send it; a forger on the way can then change answers (CVE-2024-3596), and
	// log and metrics say so for as long as it is set.
	MessageAuthenticator string `yaml:"message_authenticator"`
	// Disconnect is where it listens for Disconnect-Requests (RFC 5176), host:port.
	// Default: port 3799 where its packets come from. "none": it cannot be told, and a
	// session that should end goes on until its own time-out.
	Disconnect string `yaml:"disconnect"`
	// Attributes go into each Access-Accept: "Filter-Id=staff", "11=staff", or of a
	// vendor "26.12356.1=vpn-users"; #7 is a number, 0x07 bytes. Default none.
	Attributes []string `yaml:"attributes"`
}

// FormerSecret is a secret that gear may have still.
type FormerSecret struct {
	// File holds it. Required.
	File string `yaml:"file"`
	// Until is when it counts no more, such as 2026-12-01T17:00:00+09:00. Required.
	Until string `yaml:"until"`
}

// The choices of message_authenticator.
const (
	MessageAuthenticatorRequired = "required"
	MessageAuthenticatorOptional = "optional"
)

// fill puts the defaults where nothing was written.
func (r *RADIUS) fill(zones []string) {
	for i := range r.Clients {
		c := &r.Clients[i]
		set(&c.MessageAuthenticator, MessageAuthenticatorRequired)
		if len(zones) == 1 {
			set(&c.Zone, zones[0])
		}
	}
}

// anchor makes the paths of secrets relative to the file.
func (r *RADIUS) anchor(dir string) {
	for i := range r.Clients {
		r.Clients[i].SecretFile = locate(dir, r.Clients[i].SecretFile)
		for j := range r.Clients[i].FormerSecrets {
			f := &r.Clients[i].FormerSecrets[j]
			f.File = locate(dir, f.File)
		}
	}
}

var gearID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func (f *File) checkRADIUS(say func(field, ja, en, near string)) {
	r := f.RADIUS
	if r.Listen == "" {
		if len(r.Clients) > 0 || r.Accounting != "" {
			say("radius.listen", "待ち受けるアドレスを書いてください（例 10.2.0.5:1812）。", "is needed with the rest of radius, such as 10.2.0.5:1812", "")
		}
		return
	}
	for _, l := range []struct{ field, addr string }{{"radius.listen", r.Listen}, {"radius.accounting", r.Accounting}} {
		if l.addr != "" && !hostPort(l.addr) {
			say(l.field, "host:port の形で書きます（例 10.2.0.5:1812）。", "is host:port, such as 10.2.0.5:1812", "")
		}
	}
	if len(r.Clients) == 0 {
		say("radius.clients", "問い合わせてくる機器を一つ以上書いてください。", "needs at least one piece of gear that asks", "")
	}
	var ids, from []string
	for i, c := range r.Clients {
		at := fmt.Sprintf("radius.clients[%d]", i)
		if !gearID.MatchString(c.ID) || slices.Contains(ids, c.ID) {
			say(at+".id", "英小文字で始まる、ほかと違う名前です（例 vpn1）。", "is a name of its own that begins with a-z, such as vpn1", "")
		}
		ids = append(ids, c.ID)
		if c.SecretFile == "" {
			say(at+".secret_file", "必ず書いてください。", "is required", "")
		}
		for j, f := range c.FormerSecrets {
			was := fmt.Sprintf("%s.former_secrets[%d]", at, j)
			if f.File == "" {
				say(was+".file", "必ず書いてください。", "is required", "")
			}
			if _, err := time.Parse(time.RFC3339, f.Until); err != nil {
				say(was+".until", "いつまで使えるかを書いてください（例 2026-12-01T17:00:00+09:00）。", "is when it counts no more, such as 2026-12-01T17:00:00+09:00", "")
			}
		}
		if c.Zone == "" {
			say(at+".zone", "領域を書いてください（zones が一つなら省けます）。", "is needed where zones names none or several", "")
		}
		if len(c.From) == 0 {
			say(at+".from", "機器のアドレスを一つ以上書いてください。", "needs an address of the gear", "")
		}
		for j, s := range c.From {
			p, err := prefix(s)
			switch {
			case err != nil:
				say(fmt.Sprintf("%s.from[%d]", at, j), "アドレスか範囲です（例 10.2.0.9, 10.2.9.0/28）。", "is an address or a range, such as 10.2.0.9 or 10.2.9.0/28", "")
			case slices.Contains(from, p.String()):
				say(fmt.Sprintf("%s.from[%d]", at, j), "同じアドレスが二度書かれています。", "is there twice", "")
			default:
				from = append(from, p.String())
			}
		}
		if choices := []string{MessageAuthenticatorRequired, MessageAuthenticatorOptional}; !slices.Contains(choices, c.MessageAuthenticator) {
			say(at+".message_authenticator", "required か optional です。", "is required or optional", nearest(c.MessageAuthenticator, choices))
		}
		if c.Disconnect != "" && c.Disconnect != "none" && !hostPort(c.Disconnect) {
			say(at+".disconnect", "host:port の形か none です。", "is host:port, or none", "")
		}
	}
}

func hostPort(addr string) bool {
	host, digits, err := net.SplitHostPort(addr)
	port, bad := strconv.ParseUint(digits, 10, 16)
	return err == nil && bad == nil && host != "" && port != 0
}
