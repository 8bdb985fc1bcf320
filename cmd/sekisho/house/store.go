package house

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/store"
)

// storeOf turns the store section of sekisho.yaml into the store's own words.
func storeOf(s config.Store) store.Config {
	return store.Config{
		Driver: s.Driver, Path: s.Path,
		URL: s.URL, PasswordFile: s.PasswordFile, CAFile: s.CAFile, PlaintextAllowed: s.PlaintextAllowed, MaxConnections: s.MaxConnections,
	}
}

// checkStore looks at the store's place and says whether a store is there. found
// is what would keep it from being opened.
func checkStore(ctx context.Context, cfg store.Config) (made bool, found []error) {
	if cfg.Driver != "postgres" {
		v, err := store.Look(ctx, cfg)
		if err != nil {
			found = append(found, say.Errorf("store.path: %[1]v。ファイルと持ち主を確かめてください。", "store.path: %[1]v; check the file and its owner", err))
		}
		if err := writable("store.path", filepath.Dir(cfg.Path)); err != nil {
			found = append(found, err)
		}
		return v.Made, found
	}
	if cfg.PasswordFile != "" {
		if err := guarded("store.password_file", cfg.PasswordFile); err != nil {
			return true, []error{err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v, err := store.Look(ctx, cfg)
	if err != nil {
		return true, []error{storeFault(err)}
	}
	if !v.Made && !v.MayMake {
		found = append(found, say.Errorf("store.url: %[1]s に表を作れません。データベースの持ち主を sekisho の役割にしてください（ALTER DATABASE … OWNER TO …）。",
			"store.url: no table may be made in %[1]s; make Sekisho's role the owner of the database (ALTER DATABASE … OWNER TO …)", cfg.Place()))
	}
	if v.Connections > 0 && v.Connections < cfg.MaxConnections {
		found = append(found, say.Errorf("store.max_connections: データベースが許す接続は全体で %[1]d ですが、このゲートだけで %[2]d まで使います。PostgreSQL の max_connections か役割の上限を上げるか、この値を下げてください。",
			"store.max_connections: the server takes %[1]d connections in all, and this gate alone may use %[2]d; raise max_connections there or the role's limit, or lower this", v.Connections, cfg.MaxConnections))
	}
	return v.Made, found
}

// storeFault says what an operator can do about a database that cannot be opened.
func storeFault(err error) error {
	var unsuited *store.Unsuited
	switch {
	case errors.As(err, &unsuited) && unsuited.Setting == "collation":
		return say.Errorf("store.url: %[1]s の照合順序は %[2]s ですが、C か C.UTF-8 が要ります。データベースを --locale=C.UTF-8 で作り直してください。",
			"store.url: %[1]s sorts by %[2]s, and C or C.UTF-8 is needed; make the database again with --locale=C.UTF-8", unsuited.Place, unsuited.Got)
	case errors.As(err, &unsuited):
		return say.Errorf("store.url: %[1]s の %[2]s は %[3]s ですが、%[4]s が要ります。でなければ、済んだと答えたことが停電などで失われます。PostgreSQL の設定を直してください。",
			"store.url: %[1]s has %[2]s %[3]s, and %[4]s is needed, or what was answered as done could be lost; mend the server's settings", unsuited.Place, unsuited.Setting, unsuited.Got, unsuited.Want)
	case errors.Is(err, store.ErrDenied):
		return say.Errorf("store.password_file: データベースが sekisho のサインインを断りました（%[1]v）。url のユーザー名、パスワード、pg_hba.conf を確かめてください。",
			"store.password_file: the database refuses our sign-in (%[1]v); check the user in url, the password, and pg_hba.conf", err)
	case errors.Is(err, store.ErrNowhere):
		return say.Errorf("store.url: その名前のデータベースがありません（%[1]v）。作るか、名前を直してください。", "store.url: there is no such database (%[1]v); make it, or mend the name", err)
	case errors.Is(err, store.ErrFull):
		return say.Errorf("store.max_connections: データベースの接続に空きがありません（%[1]v）。PostgreSQL の max_connections を上げるか、ゲートの max_connections を下げてください。",
			"store.max_connections: the database takes no more connections (%[1]v); raise max_connections there, or lower the gates'", err)
	case errors.Is(err, store.ErrAway), errors.Is(err, context.DeadlineExceeded):
		return say.Errorf("store.url: データベースにつながりません（%[1]v）。アドレス、経路、証明書（ca_file）を確かめてください。",
			"store.url: the database cannot be reached (%[1]v); check address, route and certificate (ca_file)", err)
	}
	return say.Errorf("store.url: %[1]v。設定の store の項を直してください。", "store.url: %[1]v; mend the store section", err)
}

// mostAhead is how far our clock and the database's may be apart: what another
// gateway has ended must not go on here because it is earlier here.
const mostAhead = time.Second

// inTime refuses where the machine's own clock and the database's disagree.
// Which of them is wrong cannot be told here; time servers are for that.
func (g *Ground) inTime(ctx context.Context) error {
	d, err := g.DB.Ahead(ctx, g.base)
	if err != nil {
		return err
	}
	if d.Abs() > mostAhead {
		return say.Errorf("この機械の時計とデータベースの時計が %[1]v ずれています。両方を時刻サーバーに合わせてください。",
			"the clocks of this machine and of the database are %[1]v apart; set both by a time server", d.Round(time.Millisecond))
	}
	return nil
}

// mark vouches for the time, unless our clock is not to be believed: a gateway
// that is an hour ahead would take every other one with it.
func (g *Ground) mark(ctx context.Context) error {
	now := g.Clock.Now()
	if g.inTime(ctx) != nil {
		now = time.Time{}
	}
	mark, err := g.DB.Mark(ctx, now)
	if err == nil {
		g.Clock.Raise(mark)
	}
	return err
}
