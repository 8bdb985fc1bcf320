package house

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	"sekisho/authz/restore/replay"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
)

// A Replay takes away again what a restore has given back, out of an export.
type Replay struct {
	Actor string
	File  string
	Look  bool // do nothing
	// Plan is told of what the export holds before the first act; Each of every act.
	Plan func(audit.Gap, replay.Plan)
	Each func(replay.Result)
}

// Replay reads and proves an export, and does again what in it took something away and
// is not in the store. failed counts acts that the store or the directory did not take:
// they are done by the next run.
func (h *House) Replay(ctx context.Context, r Replay) (failed int, err error) {
	if err := h.Seal.Seal(ctx); err != nil {
		return 0, sealFault(err)
	}
	gap, lost, err := h.lost(ctx, r.File)
	if err != nil {
		return 0, err
	}
	plan := replay.Judge(lost, h.Clock.Now())
	r.Plan(gap, plan)
	again := replay.House{
		DB: h.DB, Trail: h.Trail, People: h.People, Account: h.Account, Permits: h.Permits, Directory: h.Directory, Now: h.Clock.Now,
	}
	var done []replay.Result
	for _, a := range plan.Again {
		out, err := again.Take(ctx, r.Actor, a, r.Look)
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		if err != nil {
			h.log.ErrorContext(ctx, "doing again what a restore has undone", "error", err)
			failed++
			continue
		}
		done = append(done, out)
		r.Each(out)
	}
	if r.Look {
		return failed, nil
	}
	if err := again.Finish(ctx, r.Actor, gap, done); err != nil {
		return failed, err
	}
	return failed, h.Seal.Seal(ctx)
}

// lost reads an export under each key of this trail, the newest first.
func (h *House) lost(ctx context.Context, path string) (gap audit.Gap, lost []audit.Record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return gap, nil, say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", path, err)
	}
	defer f.Close()
	_, keys := h.Key.Held()
	for i := len(keys) - 1; i >= 0; i-- {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return gap, nil, say.Errorf("%[1]s を二度読めません（%[2]v）。ファイルに写してください。", "%[1]s cannot be read twice (%[2]v); copy it to a file", path, err)
		}
		lost = nil
		gap, err = audit.Lost(ctx, h.DB, bufio.NewReaderSize(f, 1<<20), keys[i], func(r audit.Record) error {
			lost = append(lost, replay.Lean(r))
			return nil
		})
		var fault *proof.Fault
		if !errors.As(err, &fault) || fault.Kind != proof.KindKey {
			break
		}
	}
	if err != nil {
		return gap, nil, exportFault(path, err)
	}
	return gap, lost, nil
}

func exportFault(path string, err error) error {
	var fault *proof.Fault
	switch {
	case errors.As(err, &fault) && fault.Kind == proof.KindKey:
		return say.Errorf("%[1]s は、この関所の鍵で署名されていません（%[2]v）。この関所の `sekisho audit export` が書いたものを使ってください。",
			"%[1]s is not signed by a key of this gate (%[2]v); use what `sekisho audit export` has written here", path, fault)
	case errors.As(err, &fault):
		return say.Errorf("%[1]s は変えられているか、途中で切れています（%[2]v）。別の写しを使い、変えられたのなら CSIRT に知らせてください。",
			"%[1]s was changed or is cut off (%[2]v); use another copy, and tell the CSIRT if somebody has changed it", path, fault)
	case errors.Is(err, audit.ErrNothingLost):
		return say.Errorf("%[1]s にあることは、すべてこのデータベースにあります。控えより後、復元より前に書き出したものを使ってください。",
			"everything in %[1]s is in this store; use an export that was written after the backup and before the restore", path)
	case errors.Is(err, audit.ErrOtherTrail):
		return say.Errorf("%[1]s は、このデータベースが復元された控えに続くものではありません（%[2]v）。復元の前の、同じ関所の書き出しを使ってください。",
			"%[1]s does not go on from the backup that this store was restored from (%[2]v); use an export of the same gate from before the restore", path, err)
	}
	return err
}
