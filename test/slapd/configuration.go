package slapd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

const (
	adminPassword   = "admin-of-this-test"
	servicePassword = "service-of-this-test"
)

func (o Options) withDefaults() Options {
	if o.BaseDN == "" {
		o.BaseDN = "dc=pref,dc=example"
	}
	if o.PasswordHash == "" {
		o.PasswordHash = "{ARGON2}"
	}
	if o.Argon2MemoryKiB == 0 {
		o.Argon2MemoryKiB = 8192
	}
	if o.MaxFailures == 0 {
		o.MaxFailures = 100
	}
	if o.LockDuration == 0 {
		o.LockDuration = time.Minute
	}
	if o.MinLength == 0 {
		o.MinLength = 8
	}
	if o.History == 0 {
		o.History = 3
	}
	if o.SizeLimit == "" {
		o.SizeLimit = "size.soft=500 size.hard=unlimited size.pr=unlimited"
	}
	return o
}

var conf = template.Must(template.New("slapd.conf").Parse(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
pidfile {{.Dir}}/slapd.pid
argsfile {{.Dir}}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload argon2 p=1 m={{.Argon2MemoryKiB}} t=2
moduleload ppolicy
moduleload memberof
moduleload refint
moduleload unique
{{if not .NoDynamic}}moduleload dds
{{end -}}
password-hash {{.PasswordHash}}
TLSCertificateFile {{.Dir}}/server.pem
TLSCertificateKeyFile {{.Dir}}/server.key
TLSCACertificateFile {{.Dir}}/ca.pem
sizelimit {{.SizeLimit}}
threads 4
database mdb
maxsize 8589934592
suffix "{{.BaseDN}}"
rootdn "cn=admin,{{.BaseDN}}"
rootpw {{.AdminPassword}}
directory {{.Dir}}/db
{{if not .Synced}}dbnosync
{{end}}{{if not .NoLastBind}}lastbind on
{{end}}index objectClass,entryCSN,entryUUID eq
index uid,mail,member eq
{{if not .NoMemberOf -}}
overlay memberof
memberof-group-oc groupOfNames
memberof-refint true
{{end -}}
overlay refint
refint_attributes member
refint_nothing "cn=nobody,{{.BaseDN}}"
overlay unique
unique_uri ldap:///?uid?sub
{{if not .NoDynamic}}overlay dds
dds-max-ttl 31536000
dds-min-ttl 60
dds-default-ttl 3600
dds-interval 1
{{end -}}
overlay ppolicy
ppolicy_default "cn=default,ou=policies,{{.BaseDN}}"
{{if not .Cleartext}}ppolicy_hash_cleartext
{{end}}ppolicy_use_lockout
access to attrs=userPassword by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" manage by self =xw by anonymous auth by * none
access to attrs=pwdReset,pwdAccountLockedTime,pwdEndTime,entryTtl by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" manage by * none
access to dn.subtree="ou=people,{{.BaseDN}}" by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" write by self read by * none
access to dn.subtree="ou=admins,{{.BaseDN}}" by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" write by self read by * none
access to dn.subtree="ou=groups,{{.BaseDN}}" by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" write by * none
access to * by dn.exact="cn=sekisho,ou=services,{{.BaseDN}}" read by * none
`))

func configuration(dir string, o Options) []byte {
	var b bytes.Buffer
	err := conf.Execute(&b, struct {
		Options
		Dir, AdminPassword string
	}{o, dir, adminPassword})
	if err != nil {
		panic(err) // the template and its data are both in this file
	}
	return b.Bytes()
}

func seed(o Options) string {
	dc, _, _ := strings.Cut(strings.TrimPrefix(o.BaseDN, "dc="), ",")
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: %s\ndc: %s\n\n", o.BaseDN, dc, dc)
	for _, ou := range []string{"people", "groups", "admins", "services", "policies"} {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", ou, o.BaseDN, ou)
	}
	fmt.Fprintf(&b, "dn: cn=sekisho,ou=services,%s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: sekisho\nuserPassword: %s\n\n",
		o.BaseDN, servicePassword)
	fmt.Fprintf(&b, "dn: cn=default,ou=policies,%s\nobjectClass: pwdPolicy\nobjectClass: person\ncn: default\nsn: default\n", o.BaseDN)
	for _, line := range []string{
		"pwdAttribute: userPassword", "pwdLockout: TRUE", "pwdCheckQuality: 1", "pwdMustChange: TRUE", "pwdAllowUserChange: TRUE",
		fmt.Sprintf("pwdMaxFailure: %d", o.MaxFailures),
		fmt.Sprintf("pwdLockoutDuration: %d", int(o.LockDuration.Seconds())),
		"pwdFailureCountInterval: 60",
		fmt.Sprintf("pwdInHistory: %d", o.History),
		fmt.Sprintf("pwdMinLength: %d", o.MinLength),
		fmt.Sprintf("pwdMinAge: %d", int(o.MinAge.Seconds())),
		fmt.Sprintf("pwdMaxAge: %d", int(o.MaxAge.Seconds())),
	} {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	return b.String()
}

// Certificate makes a CA and, under it, a certificate for loopback and further
// addresses: ca.pem, server.pem and server.key in dir.
func Certificate(dir string, ips ...net.IP) error {
	if _, err := os.Stat(filepath.Join(dir, "server.pem")); err == nil {
		return nil
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	from, to := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's own CA"},
		NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: append(ips, net.IPv4(127, 0, 0, 1), net.IPv6loopback),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{"ca.pem", "CERTIFICATE", caDER}, {"server.key", "PRIVATE KEY", keyDER}, {"server.pem", "CERTIFICATE", der}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(filepath.Join(dir, f.name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
