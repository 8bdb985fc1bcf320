package main

import (
	"context"
	"fmt"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/secret"
)

type configCheckCmd struct{ where }

// Run looks at everything a start would stumble over, and at what would go
// wrong later without a sound, and says all of it at once.
func (c configCheckCmd) Run(ctx context.Context, t *terminal) error {
	at, err := c.find(t)
	if err != nil {
		return err
	}
	var found []error
	switch {
	case c.Config != "":
		file, err := config.Read(c.Config)
		if err != nil {
			return t.configFaults(c.Config, err)
		}
		found = house.CheckOutside(file, at.now())
	default:
		close, err := at.reachDevDirectory(ctx)
		if err != nil {
			return err
		}
		defer close()
	}
	found = append(found, house.Check(ctx, at.cfg, at.now)...)
	for _, f := range found {
		fmt.Fprintln(t.out, say.In(t.lang, f))
	}
	name := c.Config + c.Data
	if len(found) > 0 {
		return say.Errorf("%[1]s には起動を妨げるものが %[2]d 件あります。上の行を直してください。",
			"%[1]s: %[2]d thing(s) would fail; mend the lines above", name, len(found))
	}
	for _, n := range house.Notes(ctx, at.cfg, at.now) {
		fmt.Fprintln(t.out, say.In(t.lang, n))
	}
	t.line("%s に問題はありません。", "%s: nothing would fail", name)
	if u := at.cfg.PublicURL; u != nil && c.Config != "" {
		t.line("パスキーの RP ID は %[1]s です。RP ID・ディレクトリ（%[2]s）・データベース（%[3]s）・鍵は領域ごとに一組です。ほかの領域の関所には別のものを使ってください（第26条の2）。",
			"RP ID %[1]s, directory %[2]s, store %[3]s and the keys are those of one zone: another zone's gate has its own (article 26no2)",
			u.Hostname(), at.cfg.Directory.BaseDN, at.cfg.Store.Place())
	}
	return nil
}

// reachDevDirectory points the place at the directory of the dev at work on the
// folder, or starts that directory here for as long as the command takes.
func (p *place) reachDevDirectory(ctx context.Context) (close func(), err error) {
	d, running, err := p.folder.Running()
	if err != nil {
		return nil, err
	}
	if running {
		p.cfg.Directory = devDirectory(d.LDAP.URL, secret.NewText([]byte(d.LDAP.BindPassword)))
		return func() {}, nil
	}
	lock, err := p.folder.Lock()
	if err != nil {
		return nil, err
	}
	secrets, err := drawn(p.folder)
	if err != nil {
		lock.Release()
		return nil, err
	}
	srv, password, err := startDirectory(ctx, p.folder, p.now, secrets, secret.DefaultParams)
	if err != nil {
		lock.Release()
		return nil, err
	}
	p.cfg.Directory = devDirectory("ldap://"+srv.Addr(), password)
	return func() {
		_ = srv.Close() // read only: nothing is lost
		lock.Release()
	}, nil
}
