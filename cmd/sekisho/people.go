package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sekisho/authz/personnel"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/policy"
)

type peopleImportCmd struct {
	where
	File      string `arg:"" help:"${people_file}" type:"path"`
	Effective string `help:"${people_effective}" placeholder:"DATE"`
	DryRun    bool   `help:"${people_dry_run}"`
	Propose   bool   `help:"${people_propose}"`
	Format    string `help:"${keys_format}" enum:"table,json" default:"table"`
}

// Run reads a file of personnel changes, says what it does, and proposes it. One person
// at a terminal may have it done alone only where nobody is governed yet (an empty
// store) or nobody is real (dev).
func (c peopleImportCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	effective, err := c.effective()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", c.File, err)
	}
	sum := sha256.Sum256(text)
	file := func() personnel.File {
		return personnel.File{Name: filepath.Base(c.File), Digest: hex.EncodeToString(sum[:]), From: bytes.NewReader(text)}
	}
	return c.inHouse(ctx, t, func(h *house.House, dev bool) error {
		rules := h.Rules().Personnel
		if !dev {
			if err := mayView(ctx, h, actor); err != nil {
				return err
			}
		}
		if !c.DryRun {
			return c.propose(ctx, t, h, actor, file(), effective, dev)
		}
		p, err := h.Personnel.Look(ctx, actor, file(), effective)
		if err != nil {
			return c.refused(t, rules, err)
		}
		if err := c.show(t, personnel.Import{}, p, h.Rules()); err != nil {
			return err
		}
		if err := h.Seal.Seal(ctx); err != nil {
			return err
		}
		if p.Stop != nil {
			return say.Errorf("%[1]s", "%[2]s", p.Stop.JA, p.Stop.EN)
		}
		return nil
	})
}

func (c peopleImportCmd) propose(ctx context.Context, t *terminal, h *house.House, actor string, f personnel.File, effective time.Time, dev bool) error {
	atOnce := dev && !c.Propose
	if !dev {
		empty, err := h.Personnel.Empty(ctx)
		if err != nil {
			return err
		}
		atOnce = empty
	}
	i, p, err := h.Personnel.Propose(ctx, actor, f, effective, atOnce)
	switch {
	case errors.Is(err, personnel.ErrStopped):
		return say.Errorf("%[1]s", "%[2]s", p.Stop.JA, p.Stop.EN)
	case errors.Is(err, personnel.ErrNothing):
		t.line("ディレクトリはすでにファイルのとおりです。何も変えていません。", "the directory is as the file says already; nothing was changed")
		return nil
	case err != nil:
		return c.refused(t, h.Rules().Personnel, err)
	}
	if c.Format == "table" {
		fmt.Fprintln(t.out, i.ID)
	}
	if i.State == personnel.Approved {
		if err := h.Personnel.Tick(ctx); err != nil {
			return err
		}
		if i, err = h.Personnel.Get(ctx, i.ID); err != nil {
			return err
		}
	}
	if err := c.show(t, i, p, h.Rules()); err != nil {
		return err
	}
	if err := h.Seal.Seal(ctx); err != nil {
		return err
	}
	if c.Format == "json" {
		return nil
	}
	if i.State == personnel.Proposed {
		t.line("提案しました。CIO か情報セキュリティ責任者のうち、提案者（%[1]s）でない人が %[2]s/approvals で承認すると、%[3]s から反映されます。",
			"proposed by %[1]s; carried out from %[3]s on once a CIO or security officer who is not %[1]s approves it at %[2]s/approvals", actor, h.PublicURL(), i.Effective.In(japan).Format("2006-01-02 15:04 JST"))
		return nil
	}
	done, err := h.Personnel.Progress(ctx, i.ID)
	if err != nil {
		return err
	}
	t.line("%[1]d 件のうち %[2]d 件を反映しました。", "%[2]d of %[1]d carried out", done.Lines, done.Done)
	if done.Failed > 0 {
		return say.Errorf("%[1]d 件を反映できませんでした。%[2]s/imports/%[3]s を見てください。", "%[1]d could not be carried out; see %[2]s/imports/%[3]s", done.Failed, h.PublicURL(), i.ID)
	}
	if !done.Next.IsZero() {
		t.line("残りは %[1]s から、動いている関所が反映します。", "the rest is carried out from %[1]s on, by the gate that runs", done.Next.In(japan).Format("2006-01-02 15:04 JST"))
	}
	return nil
}

// effective is the beginning of the day that was named; zero for now.
func (c peopleImportCmd) effective() (time.Time, error) {
	if c.Effective == "" {
		return time.Time{}, nil
	}
	at, ok := personnel.Day(c.Effective)
	if !ok {
		return time.Time{}, misuse{say.Errorf("--effective %[1]s は日付ではありません。2026-04-01 のように書いてください。", "--effective %[1]s is no date; write one such as 2026-04-01", c.Effective)}
	}
	return at, nil
}

// mayView refuses a plan, which is confidential until the day, to whom the directory
// knows as somebody without the post. An account of the machine that it does not know
// has the file in hand; that it looked is on the trail.
func mayView(ctx context.Context, h *house.House, actor string) error {
	who, posts, err := h.Approvals.Terminal(ctx, actor)
	if err != nil {
		return err
	}
	if who.Known() && !h.Rules().Personnel.MayView(posts) {
		return say.Errorf("人事異動の内容は、CIO、情報セキュリティ責任者と、方針の personnel.viewers の役割を持つ人だけが見られます。その人に実行を依頼してください。",
			"personnel changes are seen by the CIO, security officers and the posts in personnel.viewers of the policy alone; ask one of them to run this")
	}
	return nil
}

// refused puts into words why a file was not taken. Its faults are listed.
func (c peopleImportCmd) refused(t *terminal, rules policy.PersonnelRules, err error) error {
	var faults personnel.Faults
	switch {
	case errors.As(err, &faults):
		t.list(faults.Text(rules, t.lang))
		return say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。何も変えていません。", "%[1]s has %[2]d problem(s); mend the lines above. Nothing was changed.", filepath.Base(c.File), len(faults))
	case errors.Is(err, directory.ErrTruncated):
		return say.Errorf("ディレクトリの答えが途中で切れたため、何もしていません（%[1]v）。サイズの上限など、ディレクトリの設定を確かめてください。",
			"the directory's answer was cut short, so nothing was done (%[1]v); see its size limit", err)
	case errors.Is(err, directory.ErrAway):
		return say.Errorf("ディレクトリを読めないため、何もしていません（%[1]v）。`sekisho config check` で確かめてください。",
			"the directory cannot be read, so nothing was done (%[1]v); see `sekisho config check`", err)
	}
	return err
}

// show prints a plan: each person, what will be missing, and the numbers.
func (c peopleImportCmd) show(t *terminal, i personnel.Import, p personnel.Plan, rules *policy.Policy) error {
	if c.Format == "json" {
		b, err := json.MarshalIndent(struct {
			Import string `json:"import,omitempty"`
			State  string `json:"state,omitempty"`
			DryRun bool   `json:"dry_run"`
			personnel.Plan
		}{i.ID, string(i.State), c.DryRun, p}, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, string(b))
		return err
	}
	for _, ch := range p.Changes {
		fmt.Fprintf(t.out, "%-10s %-16s %-14s %s\n", ch.Act.Words().In(t.lang), ch.Login, ch.Name, planWords(ch, rules, t.lang))
	}
	for _, n := range p.Projects {
		says := n.Tied.Words()
		t.line("案件 %[1]s：加わる %[3]d、外れる %[4]d", "project %[2]s: %[3]d bound, %[4]d released", says.JA, says.EN, n.Bound, n.Released)
	}
	for _, v := range p.Vacant {
		post, _ := rules.Post(v.Post)
		where := policy.Words{JA: "全体", EN: "in the whole prefecture"}
		if v.Section != "" {
			where = sectionName(rules, v.Section)
		}
		t.line("【注意】%[1]s（%[2]s）がいなくなります。", "CAUTION: nobody will be %[1]s (%[2]s).", post.Name.In(t.lang), where.In(t.lang))
	}
	var counts []string
	for _, n := range p.SortedCounts() {
		counts = append(counts, fmt.Sprintf("%s %d", n.Act.Words().In(t.lang), n.N))
	}
	t.line("%[1]s、変更なし %[2]d（%[3]s に反映）", "%[1]s, unchanged %[2]d (takes effect %[3]s)", strings.Join(nonEmpty(append(counts, "")...), ", "), p.Unchanged, p.Effective.In(japan).Format("2006-01-02 15:04 JST"))
	if c.DryRun {
		t.line("見ただけです。何も変えていません。見たことは証跡に残ります。", "a dry run: nothing was changed. That you looked is on the trail.")
	}
	return nil
}

func sectionName(rules *policy.Policy, id string) policy.Words {
	s, ok := rules.Section(id)
	if !ok || s.Name.IsEmpty() {
		return policy.Words{JA: id, EN: id}
	}
	return s.Name
}

// planWords is what becomes of one person, in a line.
func planWords(c personnel.Change, rules *policy.Policy, lang string) string {
	var out []string
	add := func(ja, en string, args ...any) {
		out = append(out, fmt.Sprintf(policy.Words{JA: ja, EN: en}.In(lang), args...))
	}
	date := func(at time.Time) string { return at.In(japan).Add(-time.Second).Format(time.DateOnly) } // the last day
	names := func(ids []policy.PostID) string {
		var all []string
		for _, id := range ids {
			post, _ := rules.Post(id)
			all = append(all, post.Name.In(lang))
		}
		return strings.Join(all, policy.Words{JA: "、", EN: ", "}.In(lang))
	}
	section := func(id string) string { return sectionName(rules, id).In(lang) }
	switch {
	case c.Act == personnel.Joins:
		out = append(out, section(c.After.Section))
	case c.Before.Section != c.After.Section:
		out = append(out, section(c.Before.Section)+" → "+section(c.After.Section))
	}
	if len(c.Gained) > 0 {
		add("得る役割: %s", "gains: %s", names(c.Gained))
	}
	if len(c.Lost) > 0 {
		add("失う役割: %s", "loses: %s", names(c.Lost))
	}
	if !c.After.Expires.IsZero() && !c.After.Expires.Equal(c.Before.Expires) {
		add("%s まで", "until %s", date(c.After.Expires))
	}
	if c.After.Expires.IsZero() && !c.Before.Expires.IsZero() {
		add("終わりなし", "without an end")
	}
	if c.SaysConcurrent {
		var all []string
		for _, id := range c.Concurrent {
			all = append(all, section(id))
		}
		add("兼務: %s", "also: %s", orNone(strings.Join(all, ", ")))
	}
	if !c.Handover.IsZero() {
		add("%s の引継ぎ %s まで", "hands over %s until %s", section(c.Before.Section), date(c.Handover))
	}
	if !c.LeaveFrom.IsZero() {
		until := policy.Words{JA: "未定", EN: "further notice"}.In(lang)
		if !c.LeaveUntil.IsZero() {
			until = date(c.LeaveUntil)
		}
		add("休業 %s から %s まで", "on leave from %s to %s", c.LeaveFrom.In(japan).Format(time.DateOnly), until)
	}
	for _, p := range c.Projects {
		if says := p.Words().In(lang); p.New {
			add("案件に加わる: %s", "bound to the project %s", says)
		} else {
			add("案件: %s", "project: %s", says)
		}
	}
	for _, p := range c.Released {
		add("案件から外れる: %s", "released from the project %s", p.Words().In(lang))
	}
	for _, h := range c.Holdings {
		switch h.Kind {
		case "lease":
			add("終わる特権 %s", "ends the lease %s", h.Subject)
		case "permit":
			add("終わる許可 %s", "ends the permit %s", h.Subject)
		default:
			add("取り下げられる申請 %s", "cancels the request %s", h.Subject)
		}
	}
	for _, w := range c.Warnings {
		out = append(out, "【!】"+w.Words().In(lang))
	}
	return strings.Join(out, " / ")
}
