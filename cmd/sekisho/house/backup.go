package house

import (
	"context"
	"encoding/hex"
	"io"
	"os"
	"strconv"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/backup"
	"sekisho/policy/store"
)

// A BackupMade is what a backup came to.
type BackupMade struct {
	backup.Counts
	Digest string // SHA-256 of the encrypted file, hexadecimal
	Bytes  int64
}

// Backup copies the store into a file, beside a running gate or without one.
// That it was made is on the trail, in the store and not in the copy.
func (g *Ground) Backup(ctx context.Context, actor, path string) (BackupMade, error) {
	var made BackupMade
	to, err := backup.Recipients(g.cfg.Backup.Recipients)
	if err != nil {
		return made, recipientsFault(err)
	}
	// Sealed first, so that the copy's own checkpoint covers what it holds.
	if err := g.Seal.Seal(ctx); err != nil {
		return made, sealFault(err)
	}
	h := backup.Header{MadeAt: g.Clock.Now().UTC(), Origin: g.Key.Origin()}
	digest, err := backup.WriteFile(path, func(w io.Writer) error {
		made.Counts, err = backup.Write(ctx, w, to, g.DB, h)
		return err
	})
	if err != nil {
		return made, say.Errorf("%[1]s に控えを書けません（%[2]v）。空き容量と書き込みの許可を確かめてください。", "cannot write the backup %[1]s (%[2]v); check free space and permissions", path, err)
	}
	made.Digest = hex.EncodeToString(digest)
	info, err := os.Stat(path)
	if err != nil {
		return made, err
	}
	made.Bytes = info.Size()
	err = g.DB.WithTx(ctx, func(tx *store.Tx) error {
		return g.Trail.Append(ctx, tx, audit.Entry{
			Actor: actor, Action: "store.backed_up", Object: path, Articles: []policy.Article{"51-1"},
			Detail: map[string]string{
				"sha256": made.Digest, "rows": strconv.FormatInt(made.Rows, 10), "recipients": strconv.Itoa(len(to)),
			},
		})
	})
	if err != nil {
		return made, err
	}
	return made, g.Seal.Seal(ctx)
}

func recipientsFault(err error) error {
	return say.Errorf("backup.recipients: %[1]v。控えを読める人の公開鍵（age1…）を書いてください。",
		"backup.recipients: %[1]v; name the public keys (age1…) of those who may read backups", err)
}

// checkBackup finds what would fail when a backup is made.
func checkBackup(b config.Backup) error {
	if len(b.Recipients) == 0 {
		return nil
	}
	if _, err := backup.Recipients(b.Recipients); err != nil {
		return recipientsFault(err)
	}
	return nil
}
