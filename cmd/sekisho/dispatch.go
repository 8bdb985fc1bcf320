package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/dispatch"
	"sekisho/policy/store"
)

type policyExportCmd struct {
	where
	File  string        `arg:"" help:"${export_file}" type:"path"`
	Valid time.Duration `help:"${export_valid}" default:"720h"`
}

// Run writes the rules in force as a file that another zone's gateway can
// believe. That it was made is on the trail.
func (c policyExportCmd) Run(ctx context.Context, t *terminal) error {
	if c.Valid < time.Hour || c.Valid > 366*24*time.Hour {
		return misuse{say.Errorf("--valid は 1h から 8784h（366日）までです。", "--valid is between 1h and 8784h (366 days)")}
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		source, v, err := g.Charter.Show(ctx, 0)
		if err != nil {
			return charterError(err)
		}
		key, err := g.ExportKey()
		if err != nil {
			return err
		}
		epoch, err := g.DB.Epoch(ctx)
		if err != nil {
			return err
		}
		now := g.Clock.Now().UTC().Truncate(time.Second)
		data, err := dispatch.Sign(key, dispatch.Header{
			Origin: key.Origin(), Epoch: epoch, Version: v.Number, Issued: now, Expires: now.Add(c.Valid),
		}, source)
		if err != nil {
			return err
		}
		err = writeWhole(c.File, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
		err = g.DB.WithTx(ctx, func(tx *store.Tx) error {
			return g.Trail.Append(ctx, tx, audit.Entry{
				Actor: actor, Action: "policy.exported", Object: fmt.Sprintf("policy version %d", v.Number),
				Articles: []policy.Article{"26no2-1"},
				Detail:   map[string]string{"sha256": v.Digest, "key": key.PublicKey(), "until": now.Add(c.Valid).Format(time.RFC3339)},
			})
		})
		if err != nil {
			_ = os.Remove(c.File) // what nobody can account for does not leave
			return fmt.Errorf("recording the export: %w", err)
		}
		t.line("第%[1]d版を %[2]s に書きました（%[3]s まで有効）。受け取る関所の policy.trusted に、手渡しで次の公開鍵を登録してください:",
			"version %[1]d is in %[2]s, good until %[3]s; the gateway that takes it names this public key, handed over in person, in policy.trusted:",
			v.Number, c.File, now.Add(c.Valid).Format(time.RFC3339))
		fmt.Fprintln(t.out, key.PublicKey())
		return g.Seal.Seal(ctx)
	})
}

// openDispatch believes a signed file, by the keys that the configuration
// trusts. Without a configuration nobody is trusted, and the file is not looked
// into any further.
func (w where) openDispatch(t *terminal, path string, data []byte) (rules, error) {
	if named, err := w.named(); err != nil {
		return rules{}, err
	} else if !named {
		return rules{}, misuse{say.Errorf("%[1]s は署名付きです。どの関所が信頼するのかを --config FILE で示してください。",
			"%[1]s is signed; say with --config FILE which gate is to trust it", path)}
	}
	at, err := w.find(t)
	if err != nil {
		return rules{}, err
	}
	var trusted []string
	for _, file := range at.cfg.TrustedPolicies {
		keys, err := dispatch.ReadTrusted(file)
		if err != nil {
			return rules{}, say.Errorf("policy.trusted の %[1]s を使えません（%[2]v）。送り元の公開鍵を一行で書いてください。",
				"policy.trusted: %[1]s cannot be used (%[2]v); it holds the sender's public key on a line", file, err)
		}
		trusted = append(trusted, keys...)
	}
	d, err := dispatch.Open(data, trusted, at.now())
	var fault *dispatch.Fault
	if errors.As(err, &fault) {
		w := fault.Says()
		return rules{}, &say.Sentence{Words: policy.Words{JA: path + ": " + w.JA, EN: path + ": " + w.EN}, Cause: err}
	}
	if err != nil {
		return rules{}, err
	}
	t.line("%[1]s が署名した第%[2]d版です（%[3]s 作成、%[4]s まで有効）。", "signed by %[1]s as its version %[2]d, made %[3]s, good until %[4]s",
		d.Origin, d.Version, d.Issued.Format(time.RFC3339), d.Expires.Format(time.RFC3339))
	return rules{source: d.Text, from: &charter.Carried{
		Origin: d.Origin, Key: d.Key, Epoch: d.Epoch, Version: d.Version, Issued: d.Issued, Digest: d.Digest,
	}}, nil
}

// refusedDispatch enters on the trail that a signed file was not believed.
func (c policyApplyCmd) refusedDispatch(ctx context.Context, t *terminal, path string, why error) error {
	var fault *dispatch.Fault
	if !errors.As(why, &fault) {
		return why
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	err = c.inGround(ctx, t, func(g *house.Ground) error {
		return g.Charter.RefuseCarried(ctx, actor, path, fault.Kind, nil)
	})
	if err != nil {
		return say.Errorf("%[1]v（証跡に記録できませんでした: %[2]v）", "%[1]v (and the refusal is not on the trail: %[2]v)", why, err)
	}
	return why
}

// charterRefused is charterError, with a trail entry where an older file was
// brought from another gateway.
func (c policyApplyCmd) charterRefused(ctx context.Context, g *house.Ground, actor string, next rules, err error) error {
	if next.from != nil && (errors.Is(err, charter.ErrOlder) || errors.Is(err, charter.ErrTwoTexts)) {
		if noted := g.Charter.RefuseCarried(ctx, actor, c.File, err.Error(), next.from); noted != nil {
			return errors.Join(charterError(err), noted)
		}
	}
	return charterError(err)
}
