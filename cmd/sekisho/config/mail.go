package config

import (
	"net"
	"slices"
	"strconv"
)

// Mail is the server that takes notices for delivery. Whether mail leaves a
// zone, and in whose name, is the policy's.
type Mail struct {
	// Server is host:port, such as mail.pref.example:587. Default none: this
	// gate sends no mail, and what is queued waits for another gate.
	Server string `yaml:"server"`
	// TLS is starttls (default), tls (from the first byte) or none, which is
	// for a server on this machine.
	TLS string `yaml:"tls"`
	// PlaintextAllowed permits tls: none to another machine than this one.
	// Whoever is on the way then reads who was told what.
	PlaintextAllowed bool `yaml:"plaintext_allowed"`
	// Username and PasswordFile are Sekisho's own account on the server. Default
	// none: nobody signs in. They need TLS.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// CAFile is the PEM of the authority that signed the server. Default: the
	// machine's own list.
	CAFile string `yaml:"ca_file"`
}

// anchor makes the paths relative to the file.
func (m *Mail) anchor(dir string) {
	m.PasswordFile, m.CAFile = locate(dir, m.PasswordFile), locate(dir, m.CAFile)
}

var mailTLS = []string{"starttls", "tls", "none"}

func (f *File) checkMail(say func(field, ja, en, near string)) {
	m := f.Mail
	if m.Server == "" {
		if m != (Mail{}) {
			say("mail.server", "mail を使うには、サーバーを書いてください（例 mail.pref.example:587）。", "is what the rest of mail is about, such as mail.pref.example:587", "")
		}
		return
	}
	host, digits, err := net.SplitHostPort(m.Server)
	if port, bad := strconv.ParseUint(digits, 10, 16); err != nil || bad != nil || host == "" || port == 0 {
		say("mail.server", "host:port の形で書きます（例 mail.pref.example:587）。", "is host:port, such as mail.pref.example:587", "")
		return
	}
	switch {
	case m.TLS != "" && !slices.Contains(mailTLS, m.TLS):
		say("mail.tls", "starttls, tls, none のどれかです。", "is starttls, tls or none", nearest(m.TLS, mailTLS))
	case m.TLS == "none" && m.Username != "":
		say("mail.username", "パスワードが平文で流れるので、tls: none とは使えません。", "cannot stand beside tls: none, which would send the password in clear", "")
	case m.TLS == "none" && !m.PlaintextAllowed && !loopback(m.Server):
		say("mail.tls", "none はこのコンピュータのサーバーにだけ使えます。通知が平文で流れてよいときは plaintext_allowed: true と書いてください。",
			"is none for a server on this machine alone; where notices may cross the network in clear, say plaintext_allowed: true", "")
	}
	if (m.Username == "") != (m.PasswordFile == "") {
		say("mail.username", "username と password_file は両方書くか、両方書かないかです。", "and password_file belong together", "")
	}
}
