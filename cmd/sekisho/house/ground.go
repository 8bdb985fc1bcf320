package house

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/custody"
	"sekisho/policy/dispatch"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Ground is the lowest floor: keys, store, trail, rules. The commands that need
// no people open it alone, beside a running gate or without one.
type Ground struct {
	DB      *store.DB
	Sealing *secret.KeyRing // opens secrets in the store
	Session *secret.KeyRing // keys the cookies
	Key     *audit.Key      // signs the trail
	Trail   *audit.Trail
	Seal    *audit.Sealer
	Charter *charter.Charter
	Clock   *clock.Floor
	Book    *custody.Book // of the keys in files

	written atomic.Pointer[error] // what the last write of Clock's mark met
	epoch   int64                 // of the store, when it was opened
	cfg     Config
	base    clock.Now
	made    []string // key files that this start has made
}

// OpenGround builds the lowest floor. Nothing above it may read base: Clock
// never runs below the store's high-water mark, whatever base does.
func OpenGround(ctx context.Context, cfg Config, base clock.Now) (*Ground, error) {
	g := &Ground{cfg: cfg, base: base, Clock: clock.NewFloor(base)}
	if err := g.build(ctx); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Ground) build(ctx context.Context) error {
	err := g.keys(ctx)
	if err != nil {
		return err
	}
	if g.DB, err = store.Open(ctx, g.cfg.Store); err != nil {
		return openFault(g.cfg.Store, err)
	}
	if err := g.mark(ctx); err != nil {
		return fmt.Errorf("reading the store's clock: %w", err)
	}
	epoch, err := g.DB.Epoch(ctx)
	if err != nil {
		return err
	}
	g.epoch = epoch
	g.Session.SetEpoch(epoch - 1) // cookies and challenges of an epoch before are unknown

	g.Trail = audit.New(g.DB, g.Clock.Now)
	g.Charter = charter.New(g.DB, g.Trail, g.Clock.Now)
	if err := g.openBook(ctx); err != nil {
		return err
	}
	if g.Seal, err = audit.NewSealer(g.DB, g.Clock.Now, g.Key, g.cfg.Anchor); err != nil {
		return sealFault(err)
	}
	g.Trail.Guard(g.room)
	return g.rules(ctx)
}

// Close closes what is open.
func (g *Ground) Close() {
	if g.DB != nil {
		_ = g.DB.Close() // nothing is pending: every transaction has been answered
	}
}

// PublicURL is where the pages are.
func (g *Ground) PublicURL() string { return g.cfg.PublicURL.String() }

// keys loads the key files. They are made only together with the store: to
// make a new sealing key beside an old store would lose every secret in it
// silently, and a new trail key would look like a forged trail.
//
// On PostgreSQL two gateways may find an empty database at one moment, and make
// keys each; openBook decides which of them is first.
func (g *Ground) keys(ctx context.Context) error {
	v, err := store.Look(ctx, g.cfg.Store)
	if err != nil {
		return openFault(g.cfg.Store, err)
	}
	fresh := !v.Made
	for _, k := range []struct {
		path         string
		load, create func(path string) error
	}{
		{g.cfg.SealingKey, ring(&g.Sealing, secret.LoadKeyRing), ring(&g.Sealing, secret.CreateKeyRing)},
		{g.cfg.TrailKey, ring(&g.Key, audit.LoadKey), ring(&g.Key, func(path string) (*audit.Key, error) {
			return audit.CreateKey(path, g.cfg.Origin)
		})},
		{g.cfg.SessionKey, ring(&g.Session, secret.LoadKeyRing), ring(&g.Session, secret.CreateKeyRing)},
	} {
		_, missing := os.Stat(k.path)
		switch {
		case missing == nil:
			if err := k.load(k.path); err != nil {
				return keyFault(k.path, err)
			}
		case errors.Is(missing, fs.ErrNotExist) && fresh:
			if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
				return keyFault(k.path, err)
			}
			if err := k.create(k.path); err != nil {
				return keyFault(k.path, err)
			}
			g.made = append(g.made, k.path)
		case errors.Is(missing, fs.ErrNotExist):
			return say.Errorf("鍵 %[1]s がありませんが、データベース %[2]s はあります。控えから鍵を戻してください。",
				"key file %[1]s is missing although the store %[2]s exists; put it back from your copy", k.path, g.cfg.Store.Place())
		default:
			return keyFault(k.path, missing)
		}
	}
	return nil
}

// ring adapts a loader to one that stores what it loaded.
func ring[T any](into **T, load func(string) (*T, error)) func(string) error {
	return func(path string) (err error) {
		*into, err = load(path)
		return err
	}
}

func keyFault(path string, err error) error {
	if errors.Is(err, secret.ErrExposed) {
		return say.Errorf("鍵 %[1]s をほかの人が読めます。chmod 600 %[1]s とし、読まれたおそれがあれば取り替えてください。",
			"key file %[1]s can be read by others; chmod 600 %[1]s, and replace it if somebody may have read it", path)
	}
	return say.Errorf("鍵 %[1]s を使えません: %[2]v。持ち主を確かめるか、控えから戻してください。", "key file %[1]s cannot be used: %[2]v; check its owner, or put it back from your copy", path, err)
}

// openFault says why the store cannot be opened.
func openFault(cfg store.Config, err error) error {
	var unsuited *store.Unsuited
	if cfg.Driver == "postgres" && (errors.Is(err, store.ErrAway) || errors.As(err, &unsuited)) {
		return storeFault(err)
	}
	return fmt.Errorf("opening the store: %w", err)
}

func sealFault(err error) error {
	if errors.Is(err, audit.ErrOtherKey) {
		return say.Errorf("この鍵はこのデータベースのものではありません: %[1]v。鍵のファイルは、データベースを共にするすべてのゲートで同じです。先に起動したゲートか控えから写してください。",
			"these keys are not the store's: %[1]v; the key files are the same on all gateways of a store, so copy them from the one that started first, or from your copy", err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return say.Errorf("証跡の控えを読み書きできません: %[1]v。trail.anchor のファイルとフォルダの持ち主を確かめてください。",
			"the trail's checkpoint cannot be read or written: %[1]v; check who owns trail.anchor and its folder", err)
	}
	return say.Errorf("証跡が控えと合いません: %[1]v。データベースに触れずに写しを取り、CSIRT に知らせてください。",
		"the trail does not agree with its checkpoint: %[1]v; copy the store untouched and tell the CSIRT", err)
}

// rules loads the version in force, or brings the first one.
func (g *Ground) rules(ctx context.Context) error {
	if err := g.Charter.Load(ctx); err != nil {
		return fmt.Errorf("loading the rules in force: %w", err)
	}
	if g.Charter.Version() > 0 {
		return nil
	}
	text, name := g.cfg.BootstrapText, "policy.yaml"
	if len(text) == 0 && g.cfg.Bootstrap != "" {
		var err error
		if text, err = os.ReadFile(g.cfg.Bootstrap); err != nil {
			return say.Errorf("policy.bootstrap の %[1]s を読めません（%[2]v）。名前を確かめてください。", "policy.bootstrap: cannot read %[1]s (%[2]v); check the name", g.cfg.Bootstrap, err)
		}
		name = g.cfg.Bootstrap
	}
	if len(text) == 0 {
		if g.cfg.MayBeEmpty {
			return nil
		}
		return say.Errorf("方針がまだありません。`sekisho policy apply FILE` で入れるか、設定の policy.bootstrap に書いてください。",
			"there are no rules yet; bring them with `sekisho policy apply FILE`, or name policy.bootstrap in the configuration")
	}
	if _, problems := policy.Parse(name, text); len(problems) > 0 {
		return say.Errorf("最初の方針 %[1]s に誤りが %[2]d 件あります。`sekisho policy check %[1]s` で確かめてください。",
			"the first rules, %[1]s, have %[2]d problem(s); see `sekisho policy check %[1]s`", name, len(problems))
	}
	if _, err := g.Charter.Install(ctx, "system", text); err != nil {
		return fmt.Errorf("installing the first rules: %w", err)
	}
	return nil
}

// zonesServed are the zones this gate is for. One gate serves one zone, article
// 26no2, unless the rules record the deviation.
func (g *Ground) zonesServed(p *policy.Policy) ([]policy.ZoneID, error) {
	for _, z := range g.cfg.Zones {
		if _, ok := p.Zone(z); !ok {
			return nil, say.Errorf("設定の zones にある %[1]s は方針にありません。zones を直してください。", "zone %[1]s of the configuration is not in the policy; mend zones", z)
		}
	}
	served, several := p.Served(g.cfg.Zones, g.Clock.Now()), false
	for _, z := range g.cfg.Zones {
		several = several || z != g.cfg.Zones[0]
	}
	if several = several || len(g.cfg.Zones) == 0 && len(p.Zones) > 1; several && len(served) == 1 {
		return nil, say.Errorf("一つのゲートで扱えるのは一つの領域です（第26条の2）。設定の zones を一つにするか、方針に逸脱 several_zones を記録してください。",
			"one gate serves one zone (article 26no2); name one in zones, or record the deviation several_zones in the policy")
	}
	return served, nil
}

// ExportKey signs policies for other gateways. It is made when it is first used,
// unlike the keys of the store: nothing is lost with it but trust, which is
// given anew by hand.
func (g *Ground) ExportKey() (*dispatch.Key, error) {
	path := g.cfg.ExportKey
	k, err := dispatch.LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = dispatch.CreateKey(path, g.cfg.Origin)
	}
	if err != nil {
		return nil, keyFault(path, err)
	}
	if k.Origin() != g.cfg.Origin {
		return nil, say.Errorf("鍵 %[1]s は %[2]s のものですが、trail.origin は %[3]s です。どちらかを直してください。",
			"key file %[1]s is that of %[2]s, but trail.origin is %[3]s; mend one of them", path, k.Origin(), g.cfg.Origin)
	}
	return k, nil
}

// ExportKeys are the ids of the keys that sign policies, newest last; none where no
// policy was ever sent.
func (g *Ground) ExportKeys() ([]string, error) {
	k, err := dispatch.LoadKey(g.cfg.ExportKey)
	if errors.Is(err, fs.ErrNotExist) || g.cfg.ExportKey == "" {
		return nil, nil
	}
	if err != nil {
		return nil, keyFault(g.cfg.ExportKey, err)
	}
	return k.IDs(), nil
}

// AddExportKey adds the next key that signs policies; the first where there is none.
func (g *Ground) AddExportKey(ctx context.Context, by string) (*dispatch.Key, error) {
	if _, err := os.Stat(g.cfg.ExportKey); errors.Is(err, fs.ErrNotExist) {
		k, err := g.ExportKey()
		if err != nil {
			return nil, err
		}
		return k, g.noteExportKey(ctx, by, "key.created", k.IDs()[0])
	}
	err := dispatch.AddKey(g.cfg.ExportKey, func(id string) error { return g.noteExportKey(ctx, by, "key.created", id) })
	if err != nil {
		return nil, keyFault(g.cfg.ExportKey, err)
	}
	return g.ExportKey()
}

// DropExportKeys takes all but the newest out, and answers which they were.
func (g *Ground) DropExportKeys(ctx context.Context, by string) (dropped []string, err error) {
	ids, err := g.ExportKeys()
	if err != nil || len(ids) < 2 {
		return nil, err
	}
	err = dispatch.RemoveOld(g.cfg.ExportKey, func(id string) error {
		dropped = append(dropped, id)
		return g.noteExportKey(ctx, by, "key.dropped", id)
	})
	if err != nil {
		return nil, keyFault(g.cfg.ExportKey, err)
	}
	return dropped, nil
}

func (g *Ground) noteExportKey(ctx context.Context, by, action, id string) error {
	return g.note(ctx, audit.Entry{Actor: by, Action: action, Object: "export/" + id, Articles: []policy.Article{"26no2-1"}})
}

// Anchored is the newest checkpoint outside the store; nil when there is none.
func (g *Ground) Anchored() ([]byte, error) {
	if g.cfg.Anchor == "" {
		return nil, nil
	}
	old, err := os.ReadFile(g.cfg.Anchor)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the anchor: %w", err)
	}
	return old, nil
}

// keepTime raises the store's high-water mark as time passes, so that a machine
// whose clock is set back after a restart does not give ended things back.
func (g *Ground) keepTime(ctx context.Context) {
	every(ctx, 5*time.Second, func() { g.remember(ctx, g.mark(ctx)) })
}

// every calls fn now and then until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}

func joinZones(zones []policy.ZoneID) string {
	var names []string
	for _, z := range zones {
		names = append(names, string(z))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// note enters one act on the trail in a transaction of its own.
func (g *Ground) note(ctx context.Context, e audit.Entry) error {
	return g.DB.WithTx(ctx, func(tx *store.Tx) error { return g.Trail.Append(ctx, tx, e) })
}
