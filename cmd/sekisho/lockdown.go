package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"sekisho/authz/lockdown"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
)

type lockdownKeyCmd struct {
	Out string `help:"${lockdown_key_out}" required:"" type:"path" placeholder:"FILE"`
}

// Run makes a sealed key. Its private half goes into an envelope and is nowhere
// else; the policy names the public half.
func (c lockdownKeyCmd) Run(_ context.Context, t *terminal) error {
	private, public, err := lockdown.NewSealedKey()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return say.Errorf("%[1]s を作れません（%[2]v）。まだないファイルの名前を --out で指定してください。", "cannot make %[1]s (%[2]v); name a file that is not there yet with --out", c.Out, err)
	}
	_, err = f.Write(private)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(c.Out) // half a key opens nothing and looks like one
		return say.Errorf("%[1]s に書けません（%[2]v）。", "cannot write %[1]s (%[2]v)", c.Out, err)
	}
	t.line("秘密の半分を %[1]s に書きました。封筒に入れて封印し、このファイルは消してください。方針の lockdown.sealed_keys に次の行を加えます:",
		"the private half is in %[1]s: seal it in an envelope and remove this file. The rules name this line in lockdown.sealed_keys:", c.Out)
	fmt.Fprintln(t.out, public)
	return nil
}

// readSealedKey reads what was in the envelope.
func readSealedKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, say.Errorf("封印した鍵 %[1]s を読めません（%[2]v）。", "the sealed key %[1]s cannot be read (%[2]v)", path, err)
	}
	key, err := lockdown.ReadSealedKey(file)
	if err != nil {
		return nil, say.Errorf("%[1]s は封印した鍵ではありません。`sekisho lockdown key` が作ったファイルを指定してください。",
			"%[1]s is no sealed key; name the file that `sekisho lockdown key` made", path)
	}
	return key, nil
}

type lockdownLiftCmd struct {
	where
	SealedKey string `help:"${lockdown_sealed_key}" required:"" type:"path" placeholder:"FILE"`
}

// Run lifts every lock-down in force, for when nobody who could can sign in.
func (c lockdownLiftCmd) Run(ctx context.Context, t *terminal) error {
	key, err := readSealedKey(c.SealedKey)
	if err != nil {
		return err
	}
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		lifted, err := lockdown.LiftSealed(ctx, g.DB, g.Trail, g.Charter.Current(), key, actor, g.Clock.Now())
		switch {
		case errors.Is(err, lockdown.ErrUnknownKey):
			return say.Errorf("この鍵は、いまの方針の lockdown.sealed_keys にありません。", "the rules in force do not name this key in lockdown.sealed_keys")
		case errors.Is(err, lockdown.ErrNothingInForce):
			return say.Errorf("解除する緊急停止はありません。", "no lock-down is in force")
		case err != nil:
			return err
		}
		for _, l := range lifted {
			t.line("解除しました: %[1]s（%[2]s %[3]s、%[4]s が命じたもの）。証跡に残り、関係する人に通知されます。",
				"lifted: %[1]s (%[2]s %[3]s, ordered by %[4]s). It is on the trail, and those concerned are told.", l.ID, l.Scope, l.Target, l.By)
		}
		return g.Seal.Seal(ctx)
	})
}
