package main

import (
	"context"
	"fmt"
	"time"

	"sekisho/authz/restore"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/backup"
)

type backupCmd struct {
	where
	File string `arg:"" help:"${backup_file}" type:"path"`
}

// Run copies everything into one encrypted file, while the gate works.
func (c backupCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		made, err := g.Backup(ctx, actor, c.File)
		if err != nil {
			return err
		}
		t.line("%[1]s に控えを書きました（%[2]d 表、%[3]d 行、%[4]d バイト）。鍵は入っていません。鍵のファイルは別に保管してください。",
			"%[1]s: %[2]d tables, %[3]d rows, %[4]d bytes; the keys are not in it: keep the key files elsewhere", c.File, made.Tables, made.Rows, made.Bytes)
		fmt.Fprintln(t.out, "sha256 "+made.Digest)
		return nil
	})
}

type restoreCmd struct {
	where
	File      string `arg:"" help:"${backup_file}" type:"path"`
	Identity  string `help:"${identity}" placeholder:"FILE" type:"path"`
	Proposal  string `help:"${restore_proposal}" placeholder:"ID"`
	SealedKey string `help:"${restore_sealed_key}" placeholder:"FILE" type:"path"`
}

// Run puts an old copy in place of an empty store, or of what a dev folder holds.
// In the place of a store in use it is proposed, and done when a second person has
// approved it, or with a sealed key.
func (c restoreCmd) Run(ctx context.Context, t *terminal) error {
	at, err := c.find(t)
	if err != nil {
		return err
	}
	if c.Identity == "" && at.folder != "" {
		c.Identity = at.folder.BackupKey()
	}
	if c.Identity == "" {
		return misuse{say.Errorf("控えを開く age の鍵を --identity FILE で指定してください。", "say what opens the backup: --identity FILE")}
	}
	if c.Proposal != "" && c.SealedKey != "" {
		return misuse{say.Errorf("--proposal と --sealed-key はどちらか一つです。", "give --proposal or --sealed-key, not both")}
	}
	ids, err := backup.Identities(c.Identity)
	if err != nil {
		return say.Errorf("%[1]v。ファイルと持ち主（chmod 600）を確かめてください。", "%[1]v; check the file and that it is its owner's alone (chmod 600)", err)
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	r := &house.Restore{Config: at.cfg, Base: at.now, Actor: actor, File: c.File, Open: ids, Replace: at.folder != "", Proposal: c.Proposal}
	if c.SealedKey != "" {
		if r.SealedKey, err = readSealedKey(c.SealedKey); err != nil {
			return err
		}
	}
	if at.folder != "" {
		lock, err := at.folder.Lock()
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	out, err := r.Run(ctx)
	if out.Aside != "" { // also where something failed after the exchange
		t.line("前のデータベースは %s にあります。", "the store before is %s", out.Aside)
	}
	if err != nil {
		return err
	}
	if w := out.Waits; w != nil {
		waits(t, *w, out.Proposed, at.cfg.PublicURL.String())
		return nil
	}
	t.line("%[1]s 作成の控えから %[2]d 行を復元しました。すべてのセッションは終わりました。", "restored %[2]d rows from the backup of %[1]s; every session has ended",
		out.MadeAt.Format(time.RFC3339), out.Rows)
	if out.LostTo > out.Kept {
		t.line("証跡の %[1]d 件目から %[2]d 件目まではこのデータベースにありません。関所を動かす前に、外部の書き出しで `sekisho replay EXPORT --dry-run`、次に `sekisho replay EXPORT` を実行してください。その間の利用停止、漏えいの報告、認証の手段・端末の取消しなどを取り上げ直します。",
			"entries %[1]d to %[2]d of the trail are not in this store: before any gate starts, run `sekisho replay EXPORT --dry-run` and then `sekisho replay EXPORT` with your last export: it takes away again what was taken since, people suspended, leaks reported, factors and terminals withdrawn", out.Kept, out.LostTo-1)
	}
	return nil
}

// waits says for whom a proposed restore waits.
func waits(t *terminal, s restore.Standing, proposed bool, gate string) {
	fmt.Fprintln(t.out, s.ID)
	if !proposed {
		t.line("この控えへの復元は、%[1]s が提案し、承認を待っています。まだ何も変えていません。", "%[1]s has proposed this; it waits for a second person, and nothing was changed", s.Login)
		return
	}
	t.line("このデータベースは使われているので、提案しました。まだ何も変えていません。CIO か情報セキュリティ責任者のうち、提案者（%[1]s）でない人が %[2]s/approvals で承認したら、ゲートをすべて止めて、同じコマンドをもう一度実行してください。",
		"this store is in use, so the restore was proposed by %[1]s and nothing was changed: when a CIO or security officer who is not %[1]s has approved it at %[2]s/approvals, stop all gates and run this again", s.Login, gate)
}
