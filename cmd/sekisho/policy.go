package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/dispatch"
)

type policyCheckCmd struct {
	where
	File string `arg:"" help:"${policy_file}" type:"path"`
}

// Run needs no house: a file is right or wrong by itself. A house that is named
// all the same must be one.
func (c policyCheckCmd) Run(t *terminal) error {
	if named, err := c.named(); err != nil {
		return err
	} else if named {
		if _, err := c.find(t); err != nil {
			return err
		}
	}
	read, err := c.readPolicy(t, c.File)
	if err != nil {
		return err
	}
	for _, caution := range read.policy.Cautions() {
		fmt.Fprintln(t.out, caution.Text(t.lang))
	}
	t.line("%s に誤りはありません。", "%s: no problems", c.File)
	return nil
}

type policyDiffCmd struct {
	where
	File string `arg:"" help:"${policy_file}" type:"path"`
}

// Run compares a file with the version in force.
func (c policyDiffCmd) Run(ctx context.Context, t *terminal) error {
	next, err := c.readPolicy(t, c.File)
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		changes := policy.Diff(g.Charter.Current(), next.policy)
		if len(changes) == 0 {
			t.line("いまの方針（第%d版）と同じです。", "the same as the rules in force (version %d)", g.Charter.Version())
		}
		for _, ch := range changes {
			fmt.Fprintf(t.out, "%s: %s → %s\n", ch.Path, orNone(ch.Old), orNone(ch.New))
		}
		return nil
	})
}

type policyApplyCmd struct {
	where
	File    string `arg:"" help:"${policy_file}" type:"path"`
	Propose bool   `help:"${propose}"`
}

// Run makes a file the rules. One person at a terminal may do that alone only
// where nobody is governed yet (an empty store) or nobody is real (dev);
// anywhere else it is a proposal that a second person approves on a page.
func (c policyApplyCmd) Run(ctx context.Context, t *terminal) error {
	next, err := c.readPolicy(t, c.File)
	if err != nil {
		return c.refusedDispatch(ctx, t, c.File, err)
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		switch {
		case g.Charter.Version() == 0 && next.from != nil:
			return c.installed(ctx, t, g, next, func() (int64, error) { return g.Charter.InstallCarried(ctx, actor, next.source, *next.from) })
		case g.Charter.Version() == 0:
			return c.installed(ctx, t, g, next, func() (int64, error) { return g.Charter.Install(ctx, actor, next.source) })
		case c.Data != "" && !c.Propose && next.from != nil:
			return c.installed(ctx, t, g, next, func() (int64, error) { return g.Charter.OverruleCarried(ctx, actor, next.source, *next.from) })
		case c.Data != "" && !c.Propose:
			return c.installed(ctx, t, g, next, func() (int64, error) { return g.Charter.Overrule(ctx, actor, next.source) })
		}
		p, err := propose(ctx, g, actor, next)
		if err != nil {
			return c.charterRefused(ctx, g, actor, next, err)
		}
		fmt.Fprintln(t.out, p.ID)
		t.line("提案しました。CIO か情報セキュリティ責任者のうち、提案者（%[1]s）でない人が %[2]s/policy で承認すると有効になります。",
			"proposed by %[1]s; in force once a CIO or security officer who is not %[1]s approves it at %[2]s/policy", actor, g.PublicURL())
		return g.Seal.Seal(ctx)
	})
}

func propose(ctx context.Context, g *house.Ground, actor string, next rules) (charter.Proposal, error) {
	if next.from != nil {
		return g.Charter.ProposeCarried(ctx, actor, next.source, *next.from)
	}
	return g.Charter.Propose(ctx, actor, next.source)
}

func (c policyApplyCmd) installed(ctx context.Context, t *terminal, g *house.Ground, next rules, install func() (int64, error)) error {
	v, err := install()
	if err != nil {
		actor, _ := operator() // asked a moment ago
		return c.charterRefused(ctx, g, actor, next, err)
	}
	t.line("第%d版が有効になりました。", "version %d is in force", v)
	return g.Seal.Seal(ctx)
}

type policyShowCmd struct{ where }

// Run prints the text in force as it was applied, under a line that says which
// version it is and since when.
func (c policyShowCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		source, v, err := g.Charter.Show(ctx, 0)
		if err != nil {
			return charterError(err)
		}
		fmt.Fprintf(t.out, "# version %d, in force since %s, by %s\n", v.Number, v.Since.UTC().Format(time.RFC3339), strings.Join(nonEmpty(v.By, v.ApprovedBy), " and "))
		if _, err := t.out.Write(source); err != nil {
			return fmt.Errorf("printing the policy: %w", err)
		}
		return nil
	})
}

// inGround opens the lowest floor of the house (store, keys, trail, rules), for
// as long as fn takes. It works beside a running gate: the store decides.
func (w where) inGround(ctx context.Context, t *terminal, fn func(*house.Ground) error) error {
	at, err := w.find(t)
	if err != nil {
		return err
	}
	at.cfg.MayBeEmpty = true
	g, err := house.OpenGround(ctx, at.cfg, at.now)
	if err != nil {
		return err
	}
	defer g.Close()
	return fn(g)
}

// rules are a file of them that was read.
type rules struct {
	policy *policy.Policy
	source []byte
	from   *charter.Carried // nil: the file is our own
}

// readPolicy reads a file of rules, signed by another gateway or not. Its
// problems are listed; the sentence counts them.
func (w where) readPolicy(t *terminal, path string) (rules, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return rules{}, say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", path, err)
	}
	r := rules{source: source}
	if dispatch.Is(source) {
		if r, err = w.openDispatch(t, path, source); err != nil {
			return rules{}, err
		}
	}
	p, problems := policy.Parse(path, r.source)
	if len(problems) > 0 {
		t.list(problems.Text(t.lang))
		return rules{}, say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。",
			"%[1]s has %[2]d problem(s); mend the lines above", path, len(problems))
	}
	r.policy = p
	return r, nil
}

// list prints lines as they are, for findings that are more than one.
func (t *terminal) list(text string) {
	fmt.Fprintln(t.out, strings.TrimRight(text, "\n"))
}

// charterError puts what the charter refuses into words.
func charterError(err error) error {
	switch {
	case errors.Is(err, charter.ErrUnchanged):
		return say.Errorf("このファイルは、いまの方針と一字も違いません。変えてから実行してください。", "this file is the policy in force, letter by letter; change something first")
	case errors.Is(err, charter.ErrStale):
		return say.Errorf("ほかの版が先に有効になりました。`sekisho policy diff` で確かめてから、もう一度提案してください。",
			"another version came into force first; look at `sekisho policy diff` and propose again")
	case errors.Is(err, charter.ErrNotEmpty):
		return say.Errorf("ほかの人が先に方針を入れました。もう一度 `sekisho policy apply` を実行すると提案になります。",
			"somebody else brought rules first; run `sekisho policy apply` again to propose yours")
	case errors.Is(err, charter.ErrOlder):
		return say.Errorf("同じ送り元から、これより新しい方針をすでに受け取っています。古いファイルではないか確かめ、送り元から新しいものを受け取ってください。",
			"a newer policy was taken from the same sender before; this file is an old one: get the newest from the sender")
	case errors.Is(err, charter.ErrTwoTexts):
		return say.Errorf("同じ送り元から、同じ版番号で別の本文を受け取っています。どちらも使わずに、送り元とCSIRTに知らせてください。",
			"another text was taken from the same sender under the same version; use neither, and tell the sender and the CSIRT")
	case errors.Is(err, audit.ErrNoRoom):
		return say.Errorf("ディスクの空きが残り少ないため、提案できません（%[1]v）。空きを作ってから、もう一度実行してください。",
			"there is too little room left on a disk to propose (%[1]v); make room and run this again", err)
	case errors.Is(err, audit.ErrNoSeal):
		return say.Errorf("証跡に署名できていないため、提案できません（%[1]v）。`/readyz` の trail を直してから、もう一度実行してください。",
			"the trail is not being sealed, so nothing can be proposed (%[1]v); mend what /readyz says of trail and run this again", err)
	case errors.Is(err, charter.ErrNoVersion):
		return say.Errorf("方針がまだありません。`sekisho policy apply FILE` で入れてください。",
			"there are no rules yet; bring them with `sekisho policy apply FILE`")
	}
	return err
}

// operator is who sits at the terminal, as the trail names them. Under sudo it
// is the person, not root. Only root is believed: anyone else could name another
// as the proposer, and then be their second person.
func operator() (string, error) {
	if name := os.Getenv("SUDO_USER"); name != "" && os.Geteuid() == 0 {
		return name, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("finding out who is at the terminal: %w", err)
	}
	return u.Username, nil
}

func nonEmpty(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
