package main

import (
	"net/netip"
	"net/url"
	"time"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/sample"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/backup"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// devQueue lets as many wait for a password hash as dev is likely to be asked.
const devQueue = 64

// devConfig is the house of a folder that dev made, without the directory,
// which the caller brings: its own, or that of the dev at work.
func devConfig(f folder.Folder) (house.Config, error) {
	reader, err := backup.Own(f.BackupKey())
	if err != nil {
		return house.Config{}, err
	}
	return house.Config{
		Backup:     config.Backup{Recipients: []string{reader}},
		Store:      store.Config{Driver: "sqlite", Path: f.Store()},
		SealingKey: f.SealingKey(), SessionKey: f.SessionKey(), TrailKey: f.TrailKey(), ExportKey: f.ExportKey(),
		Origin: "sekisho.dev", Anchor: f.Anchor(),
		Argon2: secret.DefaultParams, Queue: devQueue,
		PublicURL:  devURL(f),
		ExtraHosts: []string{"127.0.0.1"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"),
		},
		LoopbackZone: policy.LGWAN,
		SampleApps:   true,
	}, nil
}

// devURL is where the folder's dev was last found.
func devURL(f folder.Folder) *url.URL {
	if d, err := f.ReadDev(); err == nil {
		if u, err := url.Parse(d.URL); err == nil && u.Host != "" {
			return u
		}
	}
	return &url.URL{Scheme: "http", Host: "localhost:8080"}
}

// devDirectory is how Sekisho reaches the directory embedded in dev.
func devDirectory(serverURL string, password secret.Text) ldap.Config {
	return ldap.Config{
		Servers: []string{serverURL}, BindDN: sample.AdminDN, BindPassword: password,
		BaseDN: sample.BaseDN, Schema: "embedded", PlaceholderMember: sample.Placeholder,
		OpTimeout: 15 * time.Second, // this directory hashes on the cores that serve: a crowd waits for its turn, not for a network
	}
}
