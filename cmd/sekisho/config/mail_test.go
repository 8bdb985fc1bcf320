package config_test

import (
	"errors"
	"testing"

	"sekisho/cmd/sekisho/config"
)

func TestMail(t *testing.T) {
	for _, tt := range []struct {
		name, mail string
		field      string // of the fault; "" none
		nearest    string
	}{
		{"none", "", "", ""},
		{"least", "mail: {server: 'mail.pref.example:587'}", "", ""},
		{"an address", "mail: {server: '[2001:db8::1]:25'}", "", ""},
		{"signed in", "mail: {server: 'mail.pref.example:465', tls: tls, username: sekisho, password_file: mail.password}", "", ""},
		{"in clear on this machine", "mail: {server: '127.0.0.1:25', tls: none}", "", ""},
		{"in clear, in as many words", "mail: {server: 'mail.pref.example:25', tls: none, plaintext_allowed: true}", "", ""},
		{"in clear across the network", "mail: {server: 'mail.pref.example:25', tls: none}", "mail.tls", ""},
		{"a password in clear", "mail: {server: '127.0.0.1:25', tls: none, username: sekisho, password_file: mail.password}", "mail.username", ""},
		{"no port", "mail: {server: mail.pref.example}", "mail.server", ""},
		{"a named port", "mail: {server: 'mail.pref.example:smtp'}", "mail.server", ""},
		{"no host", "mail: {server: ':587'}", "mail.server", ""},
		{"misspelt protection", "mail: {server: 'mail.pref.example:587', tls: startls}", "mail.tls", "starttls"},
		{"a user without a password", "mail: {server: 'mail.pref.example:587', username: sekisho}", "mail.username", ""},
		{"a password without a user", "mail: {server: 'mail.pref.example:587', password_file: mail.password}", "mail.username", ""},
		{"everything but a server", "mail: {tls: starttls, ca_file: ca.pem}", "mail.server", ""},
		{"a password in the file", "mail: {server: 'mail.pref.example:587', username: sekisho, password: hunter2}", "mail.password", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least+tt.mail+"\n"))
			var faults config.Faults
			if tt.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Field != tt.field || faults[0].Nearest != tt.nearest || faults[0].Rule.IsEmpty() {
				t.Errorf("Parse = %v, want one fault of %s, nearest %q", err, tt.field, tt.nearest)
			}
		})
	}
}

func TestMailPathsStartAtTheFile(t *testing.T) {
	f, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least+
		"mail: {server: 'mail.pref.example:587', username: sekisho, password_file: mail.password, ca_file: /ca.pem}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Mail.PasswordFile != "/etc/sekisho/mail.password" || f.Mail.CAFile != "/ca.pem" {
		t.Errorf("paths %q, %q", f.Mail.PasswordFile, f.Mail.CAFile)
	}
}
