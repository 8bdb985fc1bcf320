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
	"time"

	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
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

	cfg Config
}

// OpenGround builds the lowest floor. Nothing above it may read base: Clock
// never runs below the store's high-water mark, whatever base does.
func OpenGround(ctx context.Context, cfg Config, base clock.Now) (*Ground, error) {
	g := &Ground{cfg: cfg, Clock: clock.NewFloor(base)}
	if err := g.build(ctx); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Ground) build(ctx context.Context) error {
	err := g.keys()
	if err != nil {
		return err
	}
	if g.DB, err = store.Open(ctx, g.cfg.Store); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	mark, err := g.DB.Mark(ctx, g.Clock.Now())
	if err != nil {
		return fmt.Errorf("reading the store's clock: %w", err)
	}
	g.Clock.Raise(mark)

	g.Trail = audit.New(g.DB, g.Clock.Now)
	if g.Seal, err = audit.NewSealer(g.DB, g.Clock.Now, g.Key, g.cfg.Anchor); err != nil {
		return sealFault(err)
	}
	g.Charter = charter.New(g.DB, g.Trail, g.Clock.Now)
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
func (g *Ground) keys() error {
	_, err := os.Stat(g.cfg.Store.Path)
	fresh := errors.Is(err, fs.ErrNotExist)
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
		case errors.Is(missing, fs.ErrNotExist):
			return say.Errorf("鍵 %[1]s がありませんが、データベース %[2]s はあります。控えから鍵を戻してください。",
				"key file %[1]s is missing although the store %[2]s exists; put it back from your copy", k.path, g.cfg.Store.Path)
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

func sealFault(err error) error {
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
	served := g.cfg.Zones
	if len(served) == 0 {
		for _, z := range p.Zones {
			served = append(served, z.ID)
		}
	}
	for _, z := range served {
		if _, ok := p.Zone(z); !ok {
			return nil, say.Errorf("設定の zones にある %[1]s は方針にありません。zones を直してください。", "zone %[1]s of the configuration is not in the policy; mend zones", z)
		}
	}
	if d, deviates := p.Deviates(policy.DeviationSeveralZones); len(served) > 1 && !(deviates && d.InForce(g.Clock.Now())) {
		return nil, say.Errorf("一つのゲートで扱えるのは一つの領域です（第26条の2）。設定の zones を一つにするか、方針に逸脱 several_zones を記録してください。",
			"one gate serves one zone (article 26no2); name one in zones, or record the deviation several_zones in the policy")
	}
	return served, nil
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
	every(ctx, 5*time.Second, func() {
		if mark, err := g.DB.Mark(ctx, g.Clock.Now()); err == nil {
			g.Clock.Raise(mark)
		}
	})
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
