package house

import (
	"context"
	"errors"

	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// sectionOf is the section of a login, "" where there is no such person.
func (h *House) sectionOf(ctx context.Context, login string) (string, error) {
	p, err := h.Directory.Find(ctx, login)
	if errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrAmbiguous) {
		return "", nil
	}
	return p.Section, err
}

func openDirectory(ctx context.Context, cfg Config, now clock.Now) (*ldap.Directory, error) {
	d := cfg.Directory
	if d.BindPassword.IsEmpty() {
		pw, err := secret.ReadFile(cfg.BindPasswordFile)
		if err != nil {
			return nil, say.Errorf("directory.bind_password_file を使えません: %[1]v", "directory.bind_password_file cannot be used: %[1]v", err)
		}
		d.BindPassword = pw
	}
	dir, err := ldap.Open(ctx, d, now)
	if err != nil {
		return nil, say.Errorf("ディレクトリを開けません: %[1]v。`sekisho config check` で確かめてください。",
			"the directory cannot be opened: %[1]v; see `sekisho config check`", err)
	}
	return dir, nil
}

// askCeiling asks the directory after how many failures it locks. Ours must
// hold before that, or a stranger could lock a person out of everything else
// that uses the directory. An answer that cannot be had changes nothing.
func (h *House) askCeiling(ctx context.Context) {
	theirs, err := h.Directory.LockoutPolicy(ctx)
	if err != nil {
		h.complain(ctx, "asking the directory for its lockout", err)
		return
	}
	if !theirs.Enabled || theirs.MaxFailures == 0 {
		h.ceiling.Store(0)
		return
	}
	h.ceiling.Store(int64(max(1, theirs.MaxFailures-1)))
}
