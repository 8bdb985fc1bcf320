package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
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
	if _, _, err := readPolicy(t, c.File); err != nil {
		return err
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
	next, _, err := readPolicy(t, c.File)
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		changes := policy.Diff(g.Charter.Current(), next)
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
	_, source, err := readPolicy(t, c.File)
	if err != nil {
		return err
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		if g.Charter.Version() == 0 || (c.Data != "" && !c.Propose) {
			v, err := g.Install(ctx, actor, source)
			if err != nil {
				return charterError(err)
			}
			t.line("第%d版が有効になりました。", "version %d is in force", v)
			return g.Seal.Seal(ctx)
		}
		p, err := g.Charter.Propose(ctx, actor, source)
		if err != nil {
			return charterError(err)
		}
		fmt.Fprintln(t.out, p.ID)
		t.line("提案しました。CIO か情報セキュリティ責任者のうち、提案者でない人が %s/policy で承認すると有効になります。",
			"proposed; in force once a CIO or security officer other than the proposer approves it at %s/policy", g.PublicURL())
		return g.Seal.Seal(ctx)
	})
}

type policyShowCmd struct{ where }

// Run prints the text in force as it was applied, under a line that says which
// version it is and since when.
func (c policyShowCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		v, err := g.InForce(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "# version %d, in force since %s, by %s\n", v.Number, v.Since.UTC().Format("2006-01-02T15:04:05Z"), v.By)
		if _, err := t.out.Write(v.Source); err != nil {
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

// readPolicy reads a file of rules. Its problems are listed; the sentence
// counts them.
func readPolicy(t *terminal, path string) (*policy.Policy, []byte, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, say.Errorf("%[1]s を読めません（%[2]v）。", "cannot read %[1]s (%[2]v); check the name", path, err)
	}
	p, problems := policy.Parse(path, source)
	if len(problems) > 0 {
		t.list(problems.Text(t.lang))
		return nil, nil, say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。",
			"%[1]s has %[2]d problem(s); mend the lines above", path, len(problems))
	}
	return p, source, nil
}

// list prints lines as they are, for findings that are more than one.
func (t *terminal) list(text string) {
	fmt.Fprintln(t.out, strings.TrimRight(text, "\n"))
}

// charterError puts what the charter refuses into words.
func charterError(err error) error {
	var problems policy.Problems
	if errors.As(err, &problems) {
		return say.Errorf("方針に誤りがあります: %[1]v", "the rules have problems: %[1]v", problems)
	}
	return err
}

// operator is who sits at the terminal, as the trail names them. Under sudo it
// is the person, not root.
func operator() (string, error) {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("finding out who is at the terminal: %w", err)
	}
	return u.Username, nil
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
