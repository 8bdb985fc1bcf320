package house

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/custody"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// register is every column of the store that needs a key of a file. A test
// holds it against the schema: what is not in here would be lost with an old key.
func (g *Ground) register() custody.Register {
	return custody.Register{
		Columns: []custody.Column{
			{Ring: custody.Sealing, Table: "totp_device", Column: "seed", Row: "id", What: policy.Words{JA: "TOTP の秘密", EN: "TOTP secrets"}},
			{Ring: custody.Sealing, Table: "otp_token", Column: "seed", Row: "serial", What: policy.Words{JA: "トークンの秘密", EN: "secrets of hardware tokens"}},
			{Ring: custody.Sealing, Table: "passkey", Column: "credential", Row: "id", What: policy.Words{JA: "パスキー", EN: "passkeys"}},
			{Ring: custody.Sealing, Table: "signing_key", Column: "sealed", Row: "kid", What: policy.Words{JA: "署名鍵", EN: "signing keys"}},
			{
				Ring: custody.Sealing, Table: "kept_answer", Column: "sealed", Row: "place", What: policy.Words{JA: "控えた応答", EN: "kept answers"},
				Place: func(row string) string { return strings.TrimPrefix(row, "once:") },
			},
			{Ring: custody.Sealing, Table: "password_history", Column: "digest", Key: "key_id", What: policy.Words{JA: "パスワード履歴", EN: "former passwords"}},
			{Ring: custody.Sealing, Table: "recovery_code", Column: "mac", Key: "key_id", Ends: "ends_at", What: policy.Words{JA: "復旧コード", EN: "recovery codes"}},
			{Ring: custody.Sealing, Table: "lease_secret", Column: "sealed", Row: "lease", What: policy.Words{JA: "貸し出したIDのパスワード（まだ示していないもの）", EN: "passwords of lent IDs that were not shown yet"}},
			{Ring: custody.Sealing, Table: "shared_secret", Column: "sealed", Row: "tenure", What: policy.Words{JA: "使用中の共用IDのパスワード", EN: "passwords of shared IDs in use"}},
			{Ring: custody.Session, Table: "session", Column: "handle_mac", Key: "handle_key", Where: "ended_at = 0", Ends: "expires_at", What: policy.Words{JA: "セッション", EN: "sessions"}},
			{Ring: custody.Session, Table: "remote_session", Column: "class_mac", Key: "class_key", Where: "ended_at = 0", Ends: "ends_at", What: policy.Words{JA: "リモートアクセスのセッション", EN: "remote sessions"}},
			{
				Ring: custody.Session, Table: "known_browser", Column: "browser_mac", Key: "browser_key", Where: "revoked_at = 0", Ends: "last_used",
				Keeps: func() time.Duration { return g.Charter.Current().Lockout.KnownBrowserEnd },
				What:  policy.Words{JA: "使われたことのあるブラウザー", EN: "known browsers"},
			},
		},
		Uncounted: g.uncounted,
	}
}

// uncounted is how long what stands under a key and in no column that names it
// lives at most: sign-ins under way, challenges, codes, refresh tokens.
func (g *Ground) uncounted(ring custody.Ring) time.Duration {
	if ring != custody.Session {
		return 0
	}
	p := g.Charter.Current()
	return max(p.SignIn.FlowEnd, p.Session.HandoverEnd, p.Passkey.CeremonyEnd,
		p.OpenID.CodeEnd, p.OpenID.RequestEnd, p.OpenID.RefreshEnd)
}

// openBook holds our keys against the store's, and makes our rings use what the
// store says.
func (g *Ground) openBook(ctx context.Context) error {
	g.Book = custody.New(g.DB, g.Trail, g.Clock.Now, g.register())
	err := g.Book.Begin(ctx, g.held())
	var lacking *custody.Lacking
	if errors.As(err, &lacking) {
		// What we made for a store that turned out to be another's is nobody's.
		for _, path := range g.made {
			_ = os.Remove(path)
		}
		return g.lackingFault(lacking)
	}
	if err != nil {
		return err
	}
	return g.followBook(ctx)
}

func (g *Ground) held() map[custody.Ring][]custody.Held {
	return map[custody.Ring][]custody.Held{
		custody.Session: custody.HeldOf(g.Session), custody.Sealing: custody.HeldOf(g.Sealing),
		custody.Trail: trailHeld(g.Key),
	}
}

// trailHeld is what a trail's key file holds; a public key is its own fingerprint.
func trailHeld(k *audit.Key) []custody.Held {
	var out []custody.Held
	ids, public := k.Held()
	for i, id := range ids {
		out = append(out, custody.Held{ID: id, Fingerprint: public[i]})
	}
	return out
}

// KeyFile is where a ring lies.
func (g *Ground) KeyFile(ring custody.Ring) string {
	switch ring {
	case custody.Session:
		return g.cfg.SessionKey
	case custody.Sealing:
		return g.cfg.SealingKey
	}
	return g.cfg.TrailKey
}

func (g *Ground) lackingFault(l *custody.Lacking) error {
	return say.Errorf("この鍵はこのデータベースのものではありません: %[2]s に鍵 %[1]s がありません。鍵のファイルは、データベースを共にするすべてのゲートで同じです。先に起動したゲートか控えから写してください。",
		"these keys are not the store's: %[2]s lacks key %[1]s; the key files are the same on all gateways of a store, so copy them from the one that started first, or from your copy", l.Key, g.KeyFile(l.Ring), l)
}

// followBook makes the rings use what the store says.
func (g *Ground) followBook(ctx context.Context) error {
	keys, err := custody.Keys(ctx, g.DB)
	if err != nil {
		return err
	}
	for ring, held := range map[custody.Ring]*secret.KeyRing{custody.Session: g.Session, custody.Sealing: g.Sealing} {
		if err := custody.Follow(ring, keys, held); err != nil {
			var lacking *custody.Lacking
			if errors.As(err, &lacking) {
				return g.lackingFault(lacking)
			}
			return err
		}
	}
	return nil
}

// Promote takes the newest key of a ring into use that every live gateway holds.
// waiting are the gateways that lack a newer one.
func (g *Ground) Promote(ctx context.Context, ring custody.Ring) (id string, waiting []string, err error) {
	var mine []string
	for _, h := range g.held()[ring] {
		mine = append(mine, h.ID)
	}
	var with *custody.With
	if ring == custody.Trail {
		with = &custody.With{Tx: g.Seal.Locked, Act: func(ctx context.Context, tx *store.Tx, to custody.Key) error {
			return g.Seal.Succeed(ctx, tx, to.Fingerprint)
		}}
	}
	id, waiting, err = g.Book.Promote(ctx, ring, mine, with)
	if err == nil && id != "" {
		err = g.followBook(ctx)
	}
	return id, waiting, err
}

// Renew takes over keys that were put into the files, in the name of by.
func (g *Ground) Renew(ctx context.Context, by string) error {
	for ring, held := range map[custody.Ring]*secret.KeyRing{custody.Session: g.Session, custody.Sealing: g.Sealing} {
		changed, err := held.Renew(g.KeyFile(ring))
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		if err := g.Book.Meet(ctx, by, ring, custody.HeldOf(held)...); err != nil {
			return err
		}
	}
	changed, err := g.Key.Renew(g.KeyFile(custody.Trail))
	if err != nil || !changed {
		return err
	}
	return g.Book.Meet(ctx, by, custody.Trail, trailHeld(g.Key)...)
}

// Reseal seals what stands under an older sealing key anew, once through.
func (g *Ground) Reseal(ctx context.Context, told func(custody.Pass)) (custody.Pass, error) {
	return custody.Reseal(ctx, g.DB, g.Sealing, g.register().Columns, told)
}

// A custodian keeps a running gateway's keys: it follows the files and the book,
// says what it holds, takes new keys into use and lets old ones go.
type custodian struct {
	*Ground
	gateway, name string
	log           *slog.Logger
	poke          chan struct{}
	seen          map[string]fileMark
	sealed        string    // the sealing key under which all was found to be
	foundAt       time.Time // when

	mu  sync.Mutex
	err error
}

// A fileMark changes when a file does.
type fileMark struct {
	at    time.Time
	size  int64
	inode uint64
}

func newCustodian(g *Ground, log *slog.Logger) *custodian {
	name, err := os.Hostname()
	if err != nil {
		name = "?"
	}
	return &custodian{
		Ground: g, gateway: secret.Token(9), name: fmt.Sprintf("%s (%d)", name, os.Getpid()),
		log: log, poke: make(chan struct{}, 1), seen: map[string]fileMark{},
	}
}

// Look has the key files read at once.
func (c *custodian) Look() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Err is what is wrong with our keys, for /readyz: without the key in use we
// would not understand the other gateways.
func (c *custodian) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// followEvery is how often a gateway looks whether keys have changed.
const followEvery = time.Second

// run keeps the keys until ctx ends, and then says that nobody need wait for us.
func (c *custodian) run(ctx context.Context) {
	var announced time.Time
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		changed, err := c.look(ctx)
		if now := c.base(); changed || now.Sub(announced) >= custody.AnnounceEvery || now.Before(announced) {
			if told := c.announce(ctx); told == nil {
				announced = now
			} else {
				err = errors.Join(err, told)
			}
			err = errors.Join(err, c.Book.DropEnded(ctx, custody.Session), c.Book.DropEnded(ctx, custody.Trail))
		}
		err = errors.Join(err, c.promote(ctx), c.followBook(ctx))
		c.note(ctx, err)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = c.Book.Leave(last, c.gateway) // or they wait until we are silent
			return
		case <-tick.C:
		case <-c.poke:
			c.seen = map[string]fileMark{}
		}
	}
}

func (c *custodian) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	before := c.err
	c.err = err
	c.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		c.log.Error("keys cannot be followed; it is tried again", "error", err)
	}
}

// look reads the files again when one of them has changed.
func (c *custodian) look(ctx context.Context) (changed bool, err error) {
	for _, ring := range []custody.Ring{custody.Session, custody.Sealing, custody.Trail} {
		path := c.KeyFile(ring)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // what we hold is in memory; the next start will say it
		}
		if err != nil {
			return false, err
		}
		mark := fileMark{at: info.ModTime(), size: info.Size()}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			mark.inode = s.Ino
		}
		if c.seen[path] != mark {
			c.seen[path], changed = mark, true
		}
	}
	if !changed {
		return false, nil
	}
	if err := c.Renew(ctx, "system"); err != nil {
		c.seen = map[string]fileMark{}
		return false, err
	}
	return true, nil
}

func (c *custodian) announce(ctx context.Context) error {
	ids := map[custody.Ring][]string{}
	for ring, held := range c.held() {
		for _, h := range held {
			ids[ring] = append(ids[ring], h.ID)
		}
	}
	return c.Book.Announce(ctx, c.gateway, c.name, ids)
}

func (c *custodian) promote(ctx context.Context) error {
	keys, err := custody.Keys(ctx, c.DB)
	if err != nil || !slices.ContainsFunc(keys, func(k custody.Key) bool { return k.State() == custody.Next }) {
		return err
	}
	for _, ring := range []custody.Ring{custody.Session, custody.Sealing, custody.Trail} {
		if _, _, err := c.Promote(ctx, ring); err != nil {
			return err
		}
	}
	return nil
}

const (
	// resealEvery is how often values under an older key are looked for, until a
	// whole pass has found none; then resealAgain, for what a gateway that had
	// not heard of the new key has added.
	resealEvery = 2 * time.Second
	resealAgain = 10 * time.Minute
)

// reseal seals what stands under an older key anew, in the background.
func (c *custodian) reseal(ctx context.Context) {
	every(ctx, resealEvery, func() {
		id := c.Sealing.CurrentID()
		if len(c.Sealing.IDs()) < 2 || id == c.sealed && c.base().Sub(c.foundAt) < resealAgain {
			return
		}
		p, err := c.Reseal(ctx, nil)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.log.Warn("sealing anew was broken off; it is tried again", "error", err)
		case p.Resealed > 0:
			err = c.NoteResealed(ctx, "system", id, p)
			if err != nil {
				c.log.Warn("the trail could not be told of what was sealed anew", "error", err)
			}
		default:
			c.sealed, c.foundAt = id, c.base()
			if p.Left > 0 {
				c.log.Error("sealed values cannot be opened: they are broken, or their key is gone", "values", p.Left)
			}
		}
	})
}

// NoteResealed tells the trail what a pass came to.
func (g *Ground) NoteResealed(ctx context.Context, by, id string, p custody.Pass) error {
	return g.note(ctx, audit.Entry{
		Actor: by, Action: "key.resealed", Object: "sealing/" + id, Outcome: "ok", Articles: []policy.Article{"64-1"},
		Detail: map[string]string{"values": fmt.Sprint(p.Resealed), "left": fmt.Sprint(p.Left)},
	})
}

// AddKey puts a new key into a ring's file, in the name of by. It is in the book
// before it is in the file, so that no gateway finds a key that nobody made.
func (g *Ground) AddKey(ctx context.Context, by string, ring custody.Ring) (id string, err error) {
	path := g.KeyFile(ring)
	if err := g.pending(ctx, ring); err != nil {
		return "", err
	}
	known := func(fresh, fingerprint string) error {
		id = fresh
		return g.Book.Meet(ctx, by, ring, custody.Held{ID: fresh, Fingerprint: fingerprint})
	}
	if ring == custody.Trail {
		err = audit.AddKey(path, known)
	} else {
		_, err = secret.AddKey(path, known)
	}
	if err != nil {
		if errors.Is(err, secret.ErrReadOnly) {
			return "", say.Errorf("鍵 %[1]s には書けません。`--out FILE` で新しい鍵を足した写しを作り、すべてのゲートで置き換えてください。",
				"key file %[1]s cannot be written; make a copy with the new key by `--out FILE`, and put it in the file's place on every gate", path, err)
		}
		return "", err
	}
	return id, g.Renew(ctx, by)
}

// PrepareKey writes a copy of a ring's file with one key more.
func (g *Ground) PrepareKey(ctx context.Context, by string, ring custody.Ring, out string) (id string, err error) {
	if err := g.pending(ctx, ring); err != nil {
		return "", err
	}
	known := func(fresh, fingerprint string) error {
		id = fresh
		return g.Book.Meet(ctx, by, ring, custody.Held{ID: fresh, Fingerprint: fingerprint})
	}
	copied := secret.CopyWithKey
	if ring == custody.Trail {
		copied = audit.CopyWithKey
	}
	return id, copied(g.KeyFile(ring), out, known)
}

// pending refuses another key while one waits that a live gateway holds: they
// would wait for each other's files. One that nobody holds was never put in place.
func (g *Ground) pending(ctx context.Context, ring custody.Ring) error {
	accounts, err := g.Book.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Ring == ring && a.State() == custody.Next && len(a.Held) > 0 {
			return say.Errorf("%[1]s の新しい鍵 %[2]s が、まだすべてのゲートには届いていません。%[3]s を写してから、もう一度実行してください。",
				"%[1]s: the new key %[2]s has not reached every gate yet; copy %[3]s to them before making another", ring, a.ID, g.KeyFile(ring))
		}
	}
	return nil
}

// AwaitUse waits until a new key is used, for as long as patience, and names who
// lacks it when that is over. Where no gateway runs it is used at once.
func (g *Ground) AwaitUse(ctx context.Context, ring custody.Ring, id string, patience time.Duration) (waiting []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, waiting, err = g.Promote(ctx, ring)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		keys, err := custody.Keys(ctx, g.DB)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if now, ok := custody.InUse(ring, keys); ok && now.ID == id {
			return nil, g.followBook(ctx)
		}
		select {
		case <-ctx.Done():
			return waiting, nil
		case <-tick.C:
		}
	}
}

// RemoveKeys takes the lines of retired keys out of a ring's file.
func (g *Ground) RemoveKeys(ctx context.Context, ring custody.Ring) error {
	keys, err := custody.Keys(ctx, g.DB)
	if err != nil {
		return err
	}
	var gone []string
	for _, k := range keys {
		if k.Ring == ring && k.State() == custody.Retired {
			gone = append(gone, k.ID)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if ring == custody.Trail {
		return audit.RemoveKeys(g.KeyFile(ring), gone...)
	}
	return secret.RemoveKeys(g.KeyFile(ring), gone...)
}

// LookAtKeys has the key files read again at once.
func (h *House) LookAtKeys() { h.keys.Look() }
