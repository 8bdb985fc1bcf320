package config

import (
	"net/url"
	"path/filepath"
	"strings"
)

// Store is what must not be lost: a SQLite file, or a PostgreSQL database that
// many gates share.
type Store struct {
	// Driver is sqlite or postgres. Default sqlite.
	Driver string `yaml:"driver"`
	// Path is the SQLite file. Its folder must be writable. Required with sqlite.
	Path string `yaml:"path"`
	// URL is the PostgreSQL database, postgres://user@host:port/database, without
	// a password; several hosts by commas. Required with postgres.
	URL string `yaml:"url"`
	// PasswordFile holds the password, read at each connection. Default: none is
	// asked for (peer, a certificate).
	PasswordFile string `yaml:"password_file"`
	// CAFile is the PEM of the authority of the server's certificate. Default:
	// the system's. A server on another machine must prove its name.
	CAFile string `yaml:"ca_file"`
	// PlaintextAllowed says in as many words that the way to the server is our
	// own and need not be encrypted. The URL then says sslmode=disable.
	PlaintextAllowed bool `yaml:"plaintext_allowed"`
	// MaxConnections is what this gate opens at most. Default 20, from 4 to 200.
	MaxConnections int `yaml:"max_connections"`
}

func (s *Store) fill() {
	set(&s.Driver, "sqlite")
	set(&s.MaxConnections, 20)
}

func (s *Store) anchor(dir string) {
	for _, p := range []*string{&s.Path, &s.PasswordFile, &s.CAFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

var storeDrivers = []string{"sqlite", "postgres"}

func (f *File) checkStore(say func(field, ja, en, near string)) {
	s := &f.Store
	switch s.Driver {
	case "sqlite":
		if s.Path == "" {
			say("store.path", "必ず書いてください。", "is required", "")
		}
		for _, r := range []struct{ field, value string }{{"store.url", s.URL}, {"store.password_file", s.PasswordFile}, {"store.ca_file", s.CAFile}} {
			if r.value != "" {
				say(r.field, "driver: postgres のときだけ書きます。", "is for driver: postgres alone", "")
			}
		}
	case "postgres":
		if s.Path != "" {
			say("store.path", "driver: sqlite のときだけ書きます。", "is for driver: sqlite alone", "")
		}
		f.checkStoreURL(say)
	default:
		say("store.driver", "sqlite か postgres です。", "is sqlite or postgres", nearest(s.Driver, storeDrivers))
	}
	if s.MaxConnections < 4 || s.MaxConnections > 200 {
		say("store.max_connections", "4 から 200 までです。", "is between 4 and 200", "")
	}
}

// checkStoreURL never shows the URL: somebody may have written a password there.
func (f *File) checkStoreURL(say func(field, ja, en, near string)) {
	if f.Store.URL == "" {
		say("store.url", "必ず書いてください（例 postgres://sekisho@db.pref.example/sekisho）。", "is required, such as postgres://sekisho@db.pref.example/sekisho", "")
		return
	}
	u, err := url.Parse(f.Store.URL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.User.Username() == "" || strings.Trim(u.Path, "/") == "" {
		say("store.url", "postgres://ユーザー@ホスト:ポート/データベース の形で書きます。", "has the form postgres://user@host:port/database", "")
		return
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("passfile") || u.Query().Has("service") {
		say("store.url", "パスワードは書けません。ファイルに入れ、password_file に名前を書いてください。書いたものは読まれたものとして取り替えてください。",
			"holds no password: put it into a file and name that in password_file; and change the one that was written here", "")
	}
}
