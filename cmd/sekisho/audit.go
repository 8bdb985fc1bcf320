package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
)

type auditExportCmd struct {
	where
	Out string `help:"${out}" placeholder:"FILE" type:"path"`
}

// Run seals what is not sealed yet and writes everything. A file is put in
// place whole: an export that broke off must not pass for a short trail.
func (c auditExportCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		if err := g.Seal.Seal(ctx); err != nil {
			return fmt.Errorf("sealing the trail: %w", err)
		}
		if c.Out == "" {
			return export(ctx, g, t.out)
		}
		return writeWhole(c.Out, func(w io.Writer) error { return export(ctx, g, w) })
	})
}

func export(ctx context.Context, g *house.Ground, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	if err := audit.Export(ctx, g.DB, buffered); err != nil {
		return fmt.Errorf("exporting the trail: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("exporting the trail: %w", err)
	}
	return nil
}

// writeWhole writes beside the file and renames.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return say.Errorf("%[1]s に書けません（%[2]v）。別の場所を --out で指定してください。", "cannot write %[1]s (%[2]v); name another with --out", path, err)
	}
	defer os.Remove(tmp.Name()) // does nothing once renamed
	for _, step := range []func() error{
		func() error { return write(tmp) }, tmp.Sync, tmp.Close,
		func() error { return os.Rename(tmp.Name(), path) },
	} {
		if err := step(); err != nil {
			_ = tmp.Close()
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	return nil
}

type auditVerifyCmd struct{ where }

// Run proves the trail against our own key and, where there is one, against the
// anchor: the newest checkpoint that lies outside the store. It is the check of
// one who trusts this machine; trailcheck is for those who do not.
func (c auditVerifyCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		// The anchor is read before sealing renews it: an anchor the store
		// itself has just rewritten proves nothing about a rollback.
		old, err := g.Anchored()
		if err != nil {
			return err
		}
		if err := g.Seal.Seal(ctx); err != nil {
			return sealFault(err)
		}
		report, err := audit.Verify(ctx, g.DB, g.Key.PublicKey(), old)
		var fault *proof.Fault
		if errors.As(err, &fault) {
			return say.Errorf("証跡が変えられています: %[1]v。データベースに触れずに写しを取り、CSIRT に知らせてください。",
				"the trail has been changed: %[1]v; copy the store untouched and tell the CSIRT", fault)
		}
		if err != nil {
			return fmt.Errorf("verifying the trail: %w", err)
		}
		t.line("証跡 %d 件に改ざんはありません。", "%d entries, unchanged", report.Entries)
		return nil
	})
}

type auditKeyCmd struct{ where }

// Run prints what trailcheck takes as --key. Auditors keep a copy of their own:
// a key fetched from the machine on trial proves nothing.
func (c auditKeyCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		fmt.Fprintln(t.out, g.Key.PublicKey())
		return nil
	})
}

func sealFault(err error) error {
	return say.Errorf("証跡を封印できません: %[1]v。データベースに触れずに写しを取り、CSIRT に知らせてください。",
		"the trail cannot be sealed: %[1]v; copy the store untouched and tell the CSIRT", err)
}
