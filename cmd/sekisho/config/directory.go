package config

import (
	"fmt"
	"slices"
	"strings"
)

// schemas are the kinds of directory that a file may name; "embedded" besides,
// which is dev's.
var schemas = []string{"openldap", "active_directory", "389ds"}

func (f *File) checkDirectory(say func(field, ja, en, near string)) {
	d := f.Directory
	if d.Schema != "embedded" && !slices.Contains(schemas, d.Schema) {
		say("directory.schema", "openldap, active_directory, 389ds のどれかです。", "is openldap, active_directory or 389ds", nearest(d.Schema, schemas))
	}
	if d.Schema == "active_directory" && !d.StartTLS {
		for i, s := range d.Servers {
			if strings.HasPrefix(s, "ldap:") {
				say(fmt.Sprintf("directory.servers[%d]", i), "Active Directory は暗号化されない接続でパスワードを受け付けません。ldaps:// にするか、start_tls: true と書いてください。",
					"takes no password in clear (Active Directory); use ldaps://, or start_tls: true", "")
			}
		}
	}
	p := d.StatedPolicy
	switch {
	case p == (StatedPolicy{}):
	case p.MaxFailures == 0:
		say("directory.stated_policy.max_failures", "stated_policy を使うには、何回の失敗で締め出すかを書いてください。締め出さないなら -1 です。",
			"is what the rest of stated_policy hangs on: after how many failures it locks, or -1 for never", "")
	case p.Window < 0 || p.Duration < 0 || p.MaxAge < 0:
		say("directory.stated_policy", "長さは 0 以上です。", "has no lengths below 0", "")
	}
}
