package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"sekisho/authz/restore/replay"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
)

type replayCmd struct {
	where
	Export string `arg:"" help:"${replay_export}" type:"path"`
	DryRun bool   `help:"${replay_dry_run}"`
}

// Run takes away again what a restore has given back. It gives nothing, so nobody has to
// approve it; what gave somebody something is listed, for a person to do.
func (c replayCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inHouse(ctx, t, func(h *house.House, _ bool) error {
		var plan replay.Plan
		count := map[replay.Outcome]int{}
		failed, err := h.Replay(ctx, house.Replay{
			Actor: actor, File: c.Export, Look: c.DryRun,
			Plan: func(g audit.Gap, p replay.Plan) {
				plan = p
				t.gap(c.Export, g)
			},
			Each: func(r replay.Result) {
				count[r.Outcome]++
				t.act(r, c.DryRun)
			},
		})
		if err != nil {
			return err
		}
		t.rest(plan)
		if !c.DryRun {
			t.line("取り上げ直したもの %[1]d 件、取り上げるものが残っていなかったもの %[2]d 件、前に済んでいたもの %[3]d 件、行えないもの %[4]d 件。",
				"taken away again: %[1]d; nothing was left to take: %[2]d; dealt with before: %[3]d; cannot be done: %[4]d",
				count[replay.Done], count[replay.Nothing], count[replay.Before], count[replay.Cannot]+len(plan.Dark))
		}
		if failed > 0 {
			return say.Errorf("%[1]d 件を行えませんでした（上のログ）。原因を直して、同じコマンドをもう一度実行してください。済んだものは二度行われません。",
				"%[1]d could not be done (see the log above); mend that and run this again: nothing is done twice", failed)
		}
		return nil
	})
}

// gap says which entries an export brings back.
func (t *terminal) gap(export string, g audit.Gap) {
	t.line("%[1]s の %[2]d 件目から %[3]d 件目までは、%[4]s に %[5]s が復元したこのデータベースにありません。",
		"entries %[2]d to %[3]d of %[1]s are not in this store, which %[5]s restored at %[4]s",
		export, g.Same, g.Size-1, g.Restored.Time.UTC().Format(time.RFC3339), g.Restored.Actor)
	if g.LostTo == 0 {
		t.line("【注意】失われた範囲の終わりは、どこにも残っていません。この書き出しがいちばん新しいか、確かめてください。",
			"CAUTION: nothing says how far the loss went; make sure that there is no newer export than this")
	}
	if g.LostTo > g.Size {
		t.line("【注意】%[1]d 件目から %[2]d 件目までは、この書き出しにもありません。もっと新しい書き出しがあれば、それも使ってください。",
			"CAUTION: entries %[1]d to %[2]d are not in this export either; if there is a newer one, use it too", g.Size, g.LostTo-1)
	}
}

// act tells of one act, with what came or would come of it.
func (t *terminal) act(r replay.Result, look bool) {
	says := map[replay.Outcome]policy.Words{
		replay.Done:    {JA: "取り上げました", EN: "taken away again"},
		replay.Nothing: {JA: "残っていません", EN: "nothing left to take"},
		replay.Before:  {JA: "済んでいます", EN: "dealt with before"},
		replay.Cannot:  {JA: "行えません", EN: "cannot be done"},
	}[r.Outcome]
	if look && r.Outcome == replay.Done {
		says = policy.Words{JA: "取り上げます", EN: "will be taken away again"}
	}
	t.entry(says.In(t.lang), r.Kind.Words().In(t.lang), r.About(), r.Record, r.Why.In(t.lang))
}

// entry is one line about a lost entry.
func (t *terminal) entry(says, kind, about string, r audit.Record, why string) {
	line := fmt.Sprintf("  %s\t%s\t%s\t#%d %s %s", says, kind, plain(about), r.Index, r.Time.UTC().Format(time.RFC3339), plain(r.Actor))
	for _, more := range []string{r.Reason, why} {
		if more != "" {
			line += ": " + plain(more)
		}
	}
	w := tabwriter.NewWriter(t.out, 24, 0, 2, ' ', 0)
	fmt.Fprintln(w, line)
	_ = w.Flush() // to the terminal, like every line
}

// plain is text of the trail on one line of a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// rest lists what is not done again, and what a person does.
func (t *terminal) rest(p replay.Plan) {
	for _, l := range append(p.Dark, p.Over...) {
		t.entry(policy.Words{JA: "行いません", EN: "not done"}.In(t.lang), l.Kind.Words().In(t.lang), l.About(), l.Record, l.Why.In(t.lang))
	}
	if len(p.ByHand) > 0 {
		t.line("次のことは、必要なら人がやり直してください（与えること、方針、台帳）。",
			"To be done again by a person where it is still wanted (what gives, the rules, registers):")
	}
	for _, r := range p.ByHand {
		t.entry("-", r.Action, r.Object, r, "")
	}
	if p.Ended > 0 {
		t.line("セッション、特権の貸出し、申請、回復コードに関する %[1]d 件は、復元がすでに終わらせています。必要な人が申請し直します。",
			"%[1]d entries are about sessions, leases, requests and recovery codes, which the restore has ended: whoever needs them asks again", p.Ended)
	}
}
