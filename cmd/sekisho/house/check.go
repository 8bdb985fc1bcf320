package house

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/dispatch"
	"sekisho/policy/secret"
)

// CheckOutside finds what of a configuration file would fail before a house is
// built from it: listeners and certificates.
func CheckOutside(f *config.File, now time.Time) []error {
	var found []error
	for _, l := range []struct{ field, addr string }{{"listen", f.Listen}, {"metrics.listen", f.Metrics.Listen}} {
		if l.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			found = append(found, say.Errorf("%[1]s: %[2]s で聞けません（%[3]v）。別のアドレスにするか、使っているプログラムを止めてください。",
				"%[1]s: cannot listen on %[2]s (%[3]v); choose another, or stop the program that uses it", l.field, l.addr, err))
			continue
		}
		_ = ln.Close()
	}
	if f.TLS.Certificate != "" {
		if err := checkCertificate(f, now); err != nil {
			found = append(found, err)
		}
	}
	return found
}

// soon is when a certificate's end is near enough to be a fault.
const soon = 7 * 24 * time.Hour

func checkCertificate(f *config.File, now time.Time) error {
	if err := guarded("tls.key", f.TLS.Key); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.TLS.Certificate, f.TLS.Key)
	if err != nil {
		return say.Errorf("tls: %[1]v。証明書と鍵の組を確かめてください。", "tls: %[1]v; check that certificate and key belong together", err)
	}
	u, err := url.Parse(f.PublicURL)
	if err != nil {
		return nil //nolint:nilerr // said when the file was read
	}
	leaf := pair.Leaf
	switch {
	case leaf.VerifyHostname(u.Hostname()) != nil:
		return say.Errorf("tls.certificate: %[1]s は %[2]s の証明書ではありません。発行し直すか public_url を直してください。",
			"tls.certificate: %[1]s is not for %[2]s; have another issued, or mend public_url", f.TLS.Certificate, u.Hostname())
	case now.After(leaf.NotAfter):
		return say.Errorf("tls.certificate: %[1]s は %[2]s に切れています。新しいものに替えてください。",
			"tls.certificate: %[1]s expired on %[2]s; replace it", f.TLS.Certificate, leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return say.Errorf("tls.certificate: %[1]s は %[2]s まで使えません。時計か証明書を確かめてください。",
			"tls.certificate: %[1]s is not valid before %[2]s; check the clock or the certificate", f.TLS.Certificate, leaf.NotBefore.Format(time.DateOnly))
	case now.Add(soon).After(leaf.NotAfter):
		return say.Errorf("tls.certificate: %[1]s は %[2]s に切れます。今のうちに替えてください。",
			"tls.certificate: %[1]s expires on %[2]s; replace it before then", f.TLS.Certificate, leaf.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// Check finds what would fail when a house is built from cfg, and what would go
// wrong later without a sound. It changes nothing: where there is no store yet
// it makes none.
func Check(ctx context.Context, cfg Config, base clock.Now) []error {
	var found []error
	note := func(err error) {
		if err != nil {
			found = append(found, err)
		}
	}
	made, storeFaults := checkStore(ctx, cfg.Store)
	fresh := !made
	for _, k := range []struct {
		field, path string
		made        bool // by us, at the first start
	}{
		{"keys.sealing", cfg.SealingKey, true}, {"keys.session", cfg.SessionKey, true}, {"keys.trail", cfg.TrailKey, true},
		{"directory.bind_password_file", cfg.BindPasswordFile, false},
	} {
		if _, err := os.Stat(k.path); k.path == "" || (k.made && fresh && errors.Is(err, fs.ErrNotExist)) {
			continue
		}
		note(guarded(k.field, k.path))
	}
	found = append(found, storeFaults...)
	if cfg.Anchor != "" {
		note(writable("trail.anchor", filepath.Dir(cfg.Anchor)))
	}
	note(checkBackup(cfg.Backup))
	for _, file := range cfg.TrustedPolicies {
		if _, err := dispatch.ReadTrusted(file); err != nil {
			note(say.Errorf("policy.trusted: %[1]s を使えません（%[2]v）。送り元の公開鍵を一行で書いてください。",
				"policy.trusted: %[1]s cannot be used (%[2]v); it holds the sender's public key on a line", file, err))
		}
	}
	rules, ruleFaults := rulesThatWouldBe(ctx, cfg, base, fresh, len(found) == 0)
	found = append(found, ruleFaults...)
	found = append(found, checkCards(cfg, base(), rules)...)
	found = append(found, checkDirectory(ctx, cfg, base, rules)...)
	if !fresh && len(storeFaults) == 0 {
		found = append(found, checkSharedIDs(ctx, cfg, base, rules)...)
	}
	found = append(found, checkRedis(ctx, cfg, base)...)
	found = append(found, checkGear(cfg, rules)...)
	return append(found, checkMail(ctx, cfg)...)
}

// rulesThatWouldBe are those in force, or those of the bootstrap file.
func rulesThatWouldBe(ctx context.Context, cfg Config, base clock.Now, fresh, sound bool) (*policy.Policy, []error) {
	if fresh {
		if cfg.Bootstrap == "" {
			return policy.Standard(), []error{say.Errorf(
				"policy.bootstrap: データベースがまだ無いので、最初の方針のファイルが要ります。名前を書いてください。", "policy.bootstrap: there is no store yet, so the file of the first rules is needed; name it")}
		}
		text, err := os.ReadFile(cfg.Bootstrap)
		if err != nil {
			return policy.Standard(), []error{say.Errorf("policy.bootstrap: %[1]v。名前を確かめてください。", "policy.bootstrap: %[1]v; check the name", err)}
		}
		p, problems := policy.Parse(cfg.Bootstrap, text)
		if len(problems) > 0 {
			var found []error
			for i := range problems {
				one := problems[i : i+1]
				found = append(found, &say.Sentence{Words: policy.Words{JA: one.Text("ja"), EN: one.Text("en")}})
			}
			return policy.Standard(), found
		}
		return p, nil
	}
	if !sound {
		return policy.Standard(), nil // the store cannot be opened until what was found is mended
	}
	cfg.MayBeEmpty = true
	g, err := OpenGround(ctx, cfg, base)
	if err != nil {
		return policy.Standard(), []error{err}
	}
	defer g.Close()
	if g.Charter.Version() == 0 {
		return policy.Standard(), []error{say.Errorf(
			"方針がまだありません。`sekisho policy apply FILE` で入れてください。", "there are no rules yet; bring them with `sekisho policy apply FILE`")}
	}
	if _, err := g.zonesServed(g.Charter.Current()); err != nil {
		return g.Charter.Current(), []error{err}
	}
	return g.Charter.Current(), nil
}

// guarded refuses a secret file that is missing or that others can read.
func guarded(field, path string) error {
	_, err := secret.ReadFile(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, secret.ErrExposed):
		return say.Errorf("%[1]s: %[2]s をほかの人が読めます。chmod 600 %[2]s とし、読まれたおそれがあれば取り替えてください。",
			"%[1]s: %[2]s can be read by others; chmod 600 %[2]s, and replace the secret if somebody may have read it", field, path)
	default:
		return say.Errorf("%[1]s: %[2]v。ファイルと持ち主を確かめてください。", "%[1]s: %[2]v; check the file and its owner", field, err)
	}
}

func writable(field, dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return say.Errorf("%[1]s: フォルダ %[2]s に書けません（%[3]v）。作るか、持ち主を変えてください。",
			"%[1]s: the folder %[2]s cannot be written to (%[3]v); make it, or change its owner", field, dir, err)
	}
	return nil
}
