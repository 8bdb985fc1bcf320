package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/config"
)

const least = `
public_url: https://gate.pref.example
store: {path: data/sekisho.db}
directory:
  servers: [ldaps://ldap.pref.example]
  base_dn: dc=pref,dc=example
  bind_dn: cn=sekisho,dc=pref,dc=example
  bind_password_file: ldap.password
keys: {sealing: keys/sealing, session: keys/session, trail: keys/trail}
`

func TestLeastFileGetsDefaults(t *testing.T) {
	f, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ what, got, want string }{
		{"listen", f.Listen, "127.0.0.1:8080"},
		{"people", f.Directory.PeopleDN, "ou=people,dc=pref,dc=example"},
		{"groups", f.Directory.GroupsDN, "ou=groups,dc=pref,dc=example"},
		{"schema", f.Directory.Schema, "openldap"},
		{"the directory's time", f.Directory.OpTimeout.String(), (2 * time.Second).String()},
		{"placeholder", f.Directory.PlaceholderMember, "cn=sekisho,dc=pref,dc=example"},
		{"origin", f.Trail.Origin, "gate.pref.example"},
		{"level", f.Log.Level, "info"},
		{"format", f.Log.Format, "json"},
		{"no delay", f.DrainDelay.String(), "0s"},
		{"grace", f.ShutdownGrace.String(), (20 * time.Second).String()},
		{"relative paths start at the file", f.Store.Path, "/etc/sekisho/data/sekisho.db"},
		{"so do secrets", f.Directory.BindPasswordFile, "/etc/sekisho/ldap.password"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	if len(f.Prefixes()) != 0 {
		t.Error("without trusted_proxies somebody is trusted")
	}
}

func TestExampleParsesStrictly(t *testing.T) {
	if _, err := config.Read("example.yaml"); err != nil {
		t.Fatal(err)
	}
}

// TestExampleNamesEveryKey keeps the one file people copy from complete.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Names() {
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(string(text), last+":") {
			t.Errorf("example.yaml does not show %s", key)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		field      string
		nearest    string
	}{
		{"a header without the proxy that sets it", least + "cards: {header: Client-Cert}\n", 10, "cards.header", ""},
		{"a header that means something else", least + "trusted_proxies: [127.0.0.1]\ncards: {header: cookie}\n", 11, "cards.header", ""},
		{"no header at all", least + "trusted_proxies: [127.0.0.1]\ncards: {header: 'a b'}\n", 11, "cards.header", ""},
		{"a list without a file", least + "cards: {revocation_lists: {staff: []}}\n", 10, "cards.revocation_lists[staff]", ""},
		{"lists that are none", least + "cards: {revocation_lists: [a]}\n", 10, "cards.revocation_lists", ""},
		{"certificates asked for without TLS", least + "tls: {client_certificates: true}\n", 10, "tls.client_certificates", ""},
		{"misspelt key", least + "listn: 127.0.0.1:1\n", 10, "listn", "listen"},
		{"misspelt key below", strings.Replace(least, "bind_dn", "bind_nd", 1), 7, "directory.bind_nd", "bind_dn"},
		{"nothing near", least + "colour: red\n", 10, "colour", ""},
		{"secret in the file", least + "  bind_password: hunter2\n", 0, "", ""},
		{"missing", strings.Replace(least, "public_url: https://gate.pref.example\n", "", 1), 0, "public_url", ""},
		{"http to the world", strings.Replace(least, "https://gate", "http://gate", 1), 2, "public_url", ""},
		{"a path in the address", strings.Replace(least, "pref.example\nstore", "pref.example/gate\nstore", 1), 2, "public_url", ""},
		{"open to the world without TLS", least + "listen: 0.0.0.0:8080\n", 10, "listen", ""},
		{"certificate without key", least + "tls: {certificate: a.pem}\n", 10, "tls", ""},
		{"proxy that is no address", least + "trusted_proxies: [nginx]\n", 10, "trusted_proxies[0]", ""},
		{"level", least + "log: {level: inof}\n", 10, "log.level", "info"},
		{"a format", least + "log: {format: jsn}\n", 10, "log.format", "json"},
		{"a delay beyond its bound", least + "drain_delay: 1h\n", 10, "drain_delay", ""},
		{"a delay before now", least + "drain_delay: -1s\n", 10, "drain_delay", ""},
		{"no disk at all", least + "disk_low_mib: -1\n", 10, "disk_low_mib", ""},
		{"a sample without a collector", least + "tracing: {sample: 0.5}\n", 0, "tracing.endpoint", ""},
		{"a collector that is no URL", least + "tracing: {endpoint: 'otel:4318'}\n", 10, "tracing.endpoint", ""},
		{"a collector far away in clear", least + "tracing: {endpoint: 'http://otel.pref.example:4318'}\n", 10, "tracing.endpoint", ""},
		{"a collector far away in clear, without a port", least + "tracing: {endpoint: 'http://otel.pref.example'}\n", 10, "tracing.endpoint", ""},
		{"a collector with a query", least + "tracing: {endpoint: 'https://otel.pref.example/?key=x'}\n", 10, "tracing.endpoint", ""},
		{"more than all", least + "tracing: {endpoint: 'http://127.0.0.1:4318', sample: 2}\n", 10, "tracing.sample", ""},
		{"less than none", least + "tracing: {endpoint: 'http://[::1]:4318', sample: -1}\n", 10, "tracing.sample", ""},
		{"a sample in words", least + "tracing: {endpoint: 'http://127.0.0.1:4318', sample: few}\n", 10, "tracing.sample", ""},
		{"grace beyond its bound", least + "shutdown_grace: 1h\n", 10, "shutdown_grace", ""},
		{"weak hash", least + "argon2: {memory_kib: 1024}\n", 10, "argon2.memory_kib", ""},
		{"not an LDAP server", strings.Replace(least, "ldaps://", "https://", 1), 5, "directory.servers[0]", ""},
		{"a kind of directory, misspelt", strings.Replace(least, "  base_dn", "  schema: active_directry\n  base_dn", 1), 6, "directory.schema", "active_directory"},
		{"Active Directory in clear", strings.Replace(strings.Replace(least, "ldaps://", "ldap://", 1), "  base_dn", "  schema: active_directory\n  base_dn", 1), 5, "directory.servers[0]", ""},
		{"a policy half stated", strings.Replace(least, "  base_dn", "  stated_policy: {duration: 5m}\n  base_dn", 1), 0, "directory.stated_policy.max_failures", ""},
		{"a policy of no sense", strings.Replace(least, "  base_dn", "  stated_policy: {max_failures: 5, window: -5m}\n  base_dn", 1), 6, "directory.stated_policy", ""},
		{"a policy beyond its bound", strings.Replace(least, "  base_dn", "  stated_policy: {max_failures: -2}\n  base_dn", 1), 6, "directory.stated_policy.max_failures", ""},
		{"two documents", least + "---\nlisten: 127.0.0.1:1\n", 0, "", ""},
		{"a driver nobody has", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgre, path: a}", 1), 3, "store.driver", "postgres"},
		{"no database", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres}", 1), 0, "store.url", ""},
		{"a file beside the database", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres, path: a, url: postgres://u@h/d}", 1), 3, "store.path", ""},
		{"a database beside the file", strings.Replace(least, "{path: data/sekisho.db}", "{path: a, url: postgres://u@h/d}", 1), 3, "store.url", ""},
		{"another kind of database", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres, url: mysql://u@h/d}", 1), 3, "store.url", ""},
		{"a password in the URL", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres, url: postgres://u:hunter2@h/d}", 1), 3, "store.url", ""},
		{"a password behind the URL", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres, url: 'postgres://u@h/d?password=hunter2'}", 1), 3, "store.url", ""},
		{"too few connections", strings.Replace(least, "{path: data/sekisho.db}", "{driver: postgres, url: postgres://u@h/d, max_connections: 3}", 1), 3, "store.max_connections", ""},
		{"a former secret without an end", least + "radius: {listen: '10.2.0.5:1812', clients: [{id: vpn, zone: lgwan, from: [10.2.0.9], secret_file: a, former_secrets: [{file: b}]}]}\n", 10, "radius.clients[0].former_secrets[0].until", ""},
		{"a former secret without a file", least + "radius: {listen: '10.2.0.5:1812', clients: [{id: vpn, zone: lgwan, from: [10.2.0.9], secret_file: a, former_secrets: [{until: '2026-12-01T17:00:00+09:00'}]}]}\n", 10, "radius.clients[0].former_secrets[0].file", ""},
		{"a key twice", least + "store: {path: b}\n", 10, "", ""},
		{"not YAML", "listen: [", 1, "", ""},
		{"wrong kind", least + "shutdown_grace: soon\n", 10, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("s.yaml", []byte(tt.text))
			var faults config.Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("Parse = %v, want faults", err)
			}
			f := faults[0]
			if (tt.line != 0 && f.Line != tt.line) || (tt.field != "" && f.Field != tt.field) || f.Nearest != tt.nearest {
				t.Errorf("line %d field %q nearest %q, want %d %q %q", f.Line, f.Field, f.Nearest, tt.line, tt.field, tt.nearest)
			}
			if f.Rule.JA == "" || f.Rule.EN == "" {
				t.Error("the rule is not said in both languages")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the fault shows a secret")
			}
		})
	}
}

// TestAllFaultsAtOnce spares the operator a round for each.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := config.Parse("s.yaml", []byte(least+"listn: x\ndirectroy: {}\n"))
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Fatalf("faults = %v, want two", err)
	}
}

func TestReadMissingFile(t *testing.T) {
	_, err := config.Read(filepath.Join(t.TempDir(), "none.yaml"))
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Read = %v, want a fault", err)
	}
}

func TestRevocationListsStartAtTheFile(t *testing.T) {
	f, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least+"cards: {revocation_lists: {staff: [crl/a.pem, /b.pem]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Cards.RevocationLists["staff"]; len(got) != 2 || got[0] != "/etc/sekisho/crl/a.pem" || got[1] != "/b.pem" {
		t.Errorf("the lists are %v", got)
	}
}
