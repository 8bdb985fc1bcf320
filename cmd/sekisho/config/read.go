package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"sekisho/policy"
)

// A Fault is one thing wrong with the file. Line is 0 when something is missing
// rather than wrong.
type Fault struct {
	File    string
	Line    int
	Field   string // "directory.bind_dn"
	Rule    policy.Words
	Nearest string // the key or value that was probably meant; "" when none is near
}

// Faults is every fault of a file, in the order of its lines.
type Faults []Fault

// Error lists the faults in English, one a line.
func (f Faults) Error() string { return f.Text("en") }

// Text lists the faults one a line: file, line, field, rule, nearest.
func (f Faults) Text(lang string) string {
	lines := make([]string, 0, len(f))
	for _, x := range f {
		at := x.File
		if x.Line > 0 {
			at = fmt.Sprintf("%s:%d", x.File, x.Line)
		}
		line := at + ": "
		if x.Field != "" {
			line += x.Field + ": "
		}
		line += x.Rule.In(lang)
		if x.Nearest != "" {
			line += policy.Words{JA: "（" + x.Nearest + " では？）", EN: " (did you mean " + x.Nearest + "?)"}.In(lang)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Read reads and checks the form of a file. What only the outside world can
// answer, such as whether the directory is there, is not asked here.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, Faults{{File: path, Rule: policy.Words{
			JA: "読めません（" + err.Error() + "）。名前を確かめるか、cmd/sekisho/config/example.yaml を手本に書いてください。",
			EN: "cannot be read (" + err.Error() + "); check the name, or write one after cmd/sekisho/config/example.yaml"}}}
	}
	return Parse(path, data)
}

// Parse is Read for text already in hand.
func Parse(path string, data []byte) (*File, error) {
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, Faults{syntax(path, err)}
	}
	var faults Faults
	lines := map[string]int{}
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			walk(path, "", doc.Body, reflect.TypeFor[File](), lines, &faults)
		}
	}
	if len(tree.Docs) > 1 {
		faults = append(faults, Fault{File: path, Rule: policy.Words{
			JA: "文書は一つだけ書けます。--- で始まる二つ目を除いてください。",
			EN: "holds one document only; remove the second, after ---"}})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	f := &File{Path: path}
	if err := yaml.UnmarshalWithOptions(data, f, yaml.Strict()); err != nil {
		return nil, Faults{syntax(path, err)}
	}
	f.fill()
	if faults := f.check(lines); len(faults) > 0 {
		return nil, faults
	}
	f.anchorPaths(filepath.Dir(path))
	return f, nil
}

// walk holds the tree of the file against the tree of the struct, and notes on
// which line each field stands.
func walk(path, at string, node ast.Node, t reflect.Type, lines map[string]int, faults *Faults) {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return
	}
	known := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name != "" && name != "-" {
			known[name] = t.Field(i).Type
			names = append(names, name)
		}
	}
	for _, p := range pairs {
		key := p.Key.String()
		field := strings.TrimPrefix(at+"."+key, ".")
		line := p.Key.GetToken().Position.Line
		ft, ok := known[key]
		if !ok {
			*faults = append(*faults, Fault{File: path, Line: line, Field: field, Nearest: nearest(key, names), Rule: policy.Words{
				JA: "この名前の項目はありません。", EN: "there is no key of this name"}})
			continue
		}
		lines[field] = line
		if ft.Kind() == reflect.Struct {
			walk(path, field, p.Value, ft, lines, faults)
			continue
		}
		if yaml.NodeToValue(p.Value, reflect.New(ft).Interface()) != nil {
			form := forms[ft.Kind()]
			if ft == reflect.TypeFor[time.Duration]() {
				form = policy.Words{JA: "長さを 20s や 5m のように書きます。", EN: "is a length of time, such as 20s or 5m"}
			}
			*faults = append(*faults, Fault{File: path, Line: line, Field: field, Rule: form})
		}
	}
}

// forms say how a value of each kind is written.
var forms = map[reflect.Kind]policy.Words{
	reflect.String:  {JA: "文字列です。", EN: "is text"},
	reflect.Bool:    {JA: "true か false です。", EN: "is true or false"},
	reflect.Int:     {JA: "数です。", EN: "is a number"},
	reflect.Float64: {JA: "小数です（例 0.01）。", EN: "is a number, such as 0.01"},
	reflect.Uint8:   {JA: "0 から 255 までの数です。", EN: "is a number from 0 to 255"},
	reflect.Uint32:  {JA: "0 以上の数です。", EN: "is a number that is not negative"},
	reflect.Map:     {JA: "「名前: [ファイル]」の並びです。", EN: "is a map of lists, such as {staff: [crl.pem]}"},
	reflect.Slice:   {JA: "一覧です（例 [a, b]）。", EN: "is a list, such as [a, b]"},
}

// syntax turns what the YAML library found into a fault with its line.
func syntax(path string, err error) Fault {
	f := Fault{File: path}
	why := err.Error()
	var y yaml.Error
	if errors.As(err, &y) {
		why = y.GetMessage()
		if tk := y.GetToken(); tk != nil && tk.Position != nil {
			f.Line = tk.Position.Line
		}
	}
	why = strings.Join(strings.Fields(why), " ")
	f.Rule = policy.Words{JA: "YAML として読めません: " + why, EN: "is not readable as YAML: " + why}
	return f
}

// fill puts the defaults where nothing was written.
func (f *File) fill() {
	set(&f.Listen, "127.0.0.1:8080")
	set(&f.Directory.Schema, "openldap")
	set(&f.Log.Level, "info")
	set(&f.Redis.Prefix, "sekisho:")
	set(&f.Log.Format, "json")
	set(&f.DiskLowMiB, 512)
	set(&f.DiskReserveMiB, max(1, f.DiskLowMiB/8))
	if f.Tracing.Endpoint != "" {
		set(&f.Tracing.Sample, 0.01)
	}
	set(&f.Directory.PoolSize, 8)
	set(&f.Directory.OpTimeout, 2*time.Second)
	set(&f.Directory.PlaceholderMember, f.Directory.BindDN)
	set(&f.ShutdownGrace, 20*time.Second)
	set(&f.Argon2.MemoryKiB, 64*1024)
	set(&f.Argon2.Time, 2)
	set(&f.Argon2.Threads, 1)
	set(&f.Argon2.Queue, 64)
	if f.Keys.Trail != "" {
		set(&f.Keys.Export, filepath.Join(filepath.Dir(f.Keys.Trail), "export.key"))
	}
	if f.Directory.BaseDN != "" {
		set(&f.Directory.PeopleDN, "ou=people,"+f.Directory.BaseDN)
		set(&f.Directory.GroupsDN, "ou=groups,"+f.Directory.BaseDN)
		set(&f.Directory.LentDN, "ou=admins,"+f.Directory.BaseDN)
	}
	f.Store.fill()
	f.RADIUS.fill(f.Zones)
	if u, err := url.Parse(f.PublicURL); err == nil {
		set(&f.Trail.Origin, u.Hostname())
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// credentials is where a service manager puts the secrets of one service
// (systemd.exec, LoadCredential=). A path that begins with it is taken from
// there; nothing else of a path is replaced.
const credentials = "CREDENTIALS_DIRECTORY"

// anchorPaths makes relative paths relative to the file, so that the same file
// means the same wherever the command is run from.
func (f *File) anchorPaths(dir string) {
	for _, p := range []*string{
		&f.TLS.Certificate, &f.TLS.Key, &f.Directory.BindPasswordFile, &f.Directory.CAFile,
		&f.Keys.Sealing, &f.Keys.Session, &f.Keys.Trail, &f.Keys.Export, &f.Trail.Anchor, &f.Policy.Bootstrap,
	} {
		*p = locate(dir, *p)
	}
	for i, p := range f.Policy.Trusted {
		f.Policy.Trusted[i] = locate(dir, p)
	}
	f.Store.anchor(dir)
	f.Cards.anchor(dir)
	f.Mail.anchor(dir)
	f.Redis.anchor(dir)
	f.RADIUS.anchor(dir)
	f.Tracing.anchor(dir)
}

// locate is where a path of the file lies.
func locate(dir, path string) string {
	if name, ok := credential(path); ok {
		return filepath.Join(os.Getenv(credentials), name)
	}
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// credential is the name of a credential that a path means.
func credential(path string) (name string, ok bool) {
	for _, begin := range []string{"$" + credentials + "/", "${" + credentials + "}/"} {
		if name, ok := strings.CutPrefix(path, begin); ok {
			return name, true
		}
	}
	return "", false
}

// checkCredentials refuses what names a credential that no service manager has
// given, or that would lead out of its folder.
func (f *File) checkCredentials(say func(field, ja, en, near string)) {
	named := []struct{ field, path string }{
		{"tls.certificate", f.TLS.Certificate}, {"tls.key", f.TLS.Key},
		{"directory.bind_password_file", f.Directory.BindPasswordFile}, {"directory.ca_file", f.Directory.CAFile},
		{"keys.sealing", f.Keys.Sealing}, {"keys.session", f.Keys.Session}, {"keys.trail", f.Keys.Trail}, {"keys.export", f.Keys.Export},
		{"policy.bootstrap", f.Policy.Bootstrap},
		{"mail.password_file", f.Mail.PasswordFile}, {"mail.ca_file", f.Mail.CAFile},
		{"redis.password_file", f.Redis.PasswordFile}, {"redis.sentinel_password_file", f.Redis.SentinelPasswordFile}, {"redis.ca_file", f.Redis.CAFile},
		{"tracing.ca_file", f.Tracing.CAFile},
	}
	for i, c := range f.RADIUS.Clients {
		named = append(named, struct{ field, path string }{fmt.Sprintf("radius.clients[%d].secret_file", i), c.SecretFile})
		for j, was := range c.FormerSecrets {
			named = append(named, struct{ field, path string }{fmt.Sprintf("radius.clients[%d].former_secrets[%d].file", i, j), was.File})
		}
	}
	for _, p := range named {
		name, ok := credential(p.path)
		switch {
		case !ok:
		case name == "" || strings.Contains(name, "/") || name == "..":
			say(p.field, "$CREDENTIALS_DIRECTORY/ の後は、クレデンシャルの名前一つです。", "names one credential after $CREDENTIALS_DIRECTORY/", "")
		case os.Getenv(credentials) == "":
			say(p.field, "CREDENTIALS_DIRECTORY がありません。systemd のサービス（LoadCredential=）として動かすか、`systemd-run -p LoadCredential=…` で実行してください。",
				"names a credential, but there is no CREDENTIALS_DIRECTORY: run as a systemd service with LoadCredential=, or by `systemd-run -p LoadCredential=…`", "")
		}
	}
}

var (
	levels  = []string{"debug", "info", "warn", "error"}
	formats = []string{"json", "text"}
)

// check holds the values against each other and their bounds.
func (f *File) check(lines map[string]int) Faults {
	var out Faults
	say := func(field, ja, en, near string) {
		out = append(out, Fault{File: f.Path, Line: lines[strings.SplitN(field, "[", 2)[0]], Field: field, Rule: policy.Words{JA: ja, EN: en}, Nearest: near})
	}
	for _, r := range []struct{ field, value string }{
		{"public_url", f.PublicURL},
		{"directory.bind_dn", f.Directory.BindDN}, {"directory.bind_password_file", f.Directory.BindPasswordFile},
		{"directory.base_dn", f.Directory.BaseDN},
		{"keys.sealing", f.Keys.Sealing}, {"keys.session", f.Keys.Session}, {"keys.trail", f.Keys.Trail},
	} {
		if r.value == "" {
			say(r.field, "必ず書いてください。", "is required", "")
		}
	}
	if len(f.Directory.Servers) == 0 {
		say("directory.servers", "一つ以上書いてください（例 ldaps://ldap.pref.example）。", "needs at least one, such as ldaps://ldap.pref.example", "")
	}
	for i, s := range f.Directory.Servers {
		if u, err := url.Parse(s); err != nil || u.Host == "" || (u.Scheme != "ldap" && u.Scheme != "ldaps") {
			say(fmt.Sprintf("directory.servers[%d]", i), "ldap:// か ldaps:// で始まる URL です。", "is a URL that begins with ldap:// or ldaps://", "")
		}
	}
	f.checkDirectory(say)
	if !slices.Contains(levels, f.Log.Level) {
		say("log.level", "debug, info, warn, error のどれかです。", "is one of debug, info, warn, error", nearest(f.Log.Level, levels))
	}
	if !slices.Contains(formats, f.Log.Format) {
		say("log.format", "json か text です。", "is json or text", nearest(f.Log.Format, formats))
	}
	f.checkTracing(say)
	f.checkAddresses(say)
	f.checkStore(say)
	f.checkCards(say)
	f.checkMail(say)
	f.checkRedis(say)
	f.checkRADIUS(say)
	f.checkCredentials(say)
	for _, b := range []struct {
		field         string
		value, lo, hi int64
		ja, en        string
	}{
		{"shutdown_grace", int64(f.ShutdownGrace), int64(time.Second), int64(5 * time.Minute), "1s から 5m までです。", "is between 1s and 5m"},
		{"drain_delay", int64(f.DrainDelay), 0, int64(5 * time.Minute), "0s から 5m までです。", "is between 0s and 5m"},
		{"disk_low_mib", int64(f.DiskLowMiB), 1, 1 << 20, "1 から 1048576 までです。", "is between 1 and 1048576"},
		{"disk_reserve_mib", int64(f.DiskReserveMiB), 1, max(1, int64(f.DiskLowMiB)), "1 から disk_low_mib までです。", "is between 1 and disk_low_mib"},
		{"directory.op_timeout", int64(f.Directory.OpTimeout), int64(100 * time.Millisecond), int64(time.Minute), "100ms から 1m までです。", "is between 100ms and 1m"},
		{"directory.stated_policy.max_failures", int64(f.Directory.StatedPolicy.MaxFailures), -1, 100_000, "-1 から 100000 までです。", "is between -1 and 100000"},
		{"directory.pool_size", int64(f.Directory.PoolSize), 1, 256, "1 から 256 までです。", "is between 1 and 256"},
		{"argon2.memory_kib", int64(f.Argon2.MemoryKiB), 8 << 10, 4 << 20, "8192 から 4194304 までです。", "is between 8192 and 4194304"},
		{"argon2.time", int64(f.Argon2.Time), 1, 16, "1 から 16 までです。", "is between 1 and 16"},
		{"argon2.threads", int64(f.Argon2.Threads), 1, 16, "1 から 16 までです。", "is between 1 and 16"},
		{"argon2.queue", int64(f.Argon2.Queue), 1, 10_000, "1 から 10000 までです。", "is between 1 and 10000"},
	} {
		if b.value < b.lo || b.value > b.hi {
			say(b.field, b.ja, b.en, "")
		}
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return a.Line - b.Line })
	return out
}

func (f *File) checkAddresses(say func(field, ja, en, near string)) {
	for _, l := range []struct{ field, addr string }{{"listen", f.Listen}, {"metrics.listen", f.Metrics.Listen}} {
		if _, _, err := net.SplitHostPort(l.addr); l.addr != "" && err != nil {
			say(l.field, "host:port の形で書きます（例 127.0.0.1:8080）。", "is host:port, such as 127.0.0.1:8080", "")
		}
	}
	if f.PublicURL != "" {
		u, err := url.Parse(f.PublicURL)
		switch {
		case err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil:
			say("public_url", "https://host の形で、パスを付けずに書きます。", "has the form https://host, without a path", "")
		case u.Scheme == "https":
		case u.Scheme == "http" && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")):
		default:
			// __Host- cookies are Secure; a browser would never send them back.
			say("public_url", "https:// で始めます（localhost だけは http:// でよい）。", "begins with https:// (http:// is for localhost alone)", "")
		}
	}
	if (f.TLS.Certificate == "") != (f.TLS.Key == "") {
		say("tls", "certificate と key は両方書くか、両方書かないかです。", "needs both certificate and key, or neither", "")
	}
	if f.TLS.Certificate == "" && !f.BehindProxy && !loopback(f.Listen) {
		say("listen", "ループバックの外で聞くには tls を書くか、behind_proxy: true と書いてください。", "beyond loopback needs tls, or behind_proxy: true", "")
	}
	for i, s := range f.TrustedProxies {
		if _, err := prefix(s); err != nil {
			say(fmt.Sprintf("trusted_proxies[%d]", i), "アドレスか範囲です（例 127.0.0.1, 10.0.0.0/24）。", "is an address or a range, such as 127.0.0.1 or 10.0.0.0/24", "")
		}
	}
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // said already
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Names are all keys of the file, with those they stand under, in the order of
// the struct: "directory.bind_dn".
func Names() []string { return names("", reflect.TypeFor[File]()) }

func names(at string, t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		if t.Field(i).Type.Kind() == reflect.Struct {
			out = append(out, names(at+name+".", t.Field(i).Type)...)
			continue
		}
		out = append(out, at+name)
	}
	return out
}
