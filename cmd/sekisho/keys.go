package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sekisho/authn/token"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/custody"
	"sekisho/policy/secret"
)

type keysListCmd struct {
	where
	Format string `help:"${keys_format}" enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// A keyLine is a key as it is listed.
type keyLine struct {
	ID    string        `json:"id"`
	Use   string        `json:"use"`
	State string        `json:"state"`
	Made  *time.Time    `json:"made_at"` // null: not known
	Since *time.Time    `json:"in_use_since"`
	Drop  *time.Time    `json:"drop_at"`
	Held  []string      `json:"held_by"`
	Under []keyDepended `json:"depends"`
}

type keyDepended struct {
	What  string     `json:"what"`
	Count int64      `json:"count"`
	Until *time.Time `json:"until"`
}

// Run shows the book. A key that nobody needs has a time in the past: it goes
// at the next `keys drop`, or by itself.
func (c keysListCmd) Run(ctx context.Context, t *terminal) error {
	return c.inGround(ctx, t, func(g *house.Ground) error {
		lines, err := keyLines(ctx, t, g)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			out := json.NewEncoder(t.out)
			out.SetIndent("", "  ")
			return out.Encode(struct {
				Items []keyLine `json:"items"`
				Next  *string   `json:"next"`
			}{lines, nil})
		}
		t.keyTable(lines)
		return nil
	})
}

func keyLines(ctx context.Context, t *terminal, g *house.Ground) ([]keyLine, error) {
	accounts, err := g.Book.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	lines := []keyLine{}
	for _, a := range accounts {
		l := keyLine{
			ID: a.ID, Use: string(a.Ring), State: string(a.State()), Made: moment(a.MadeAt), Since: moment(a.UsedAt),
			Drop: moment(a.DropAt), Held: a.Held, Under: []keyDepended{},
		}
		if a.State() == custody.Retired {
			l.Drop = moment(a.DroppedAt)
		}
		for _, tie := range a.Ties {
			if tie.Count > 0 {
				l.Under = append(l.Under, keyDepended{tie.What.In(t.lang), tie.Count, moment(tie.Until)})
			}
		}
		lines = append(lines, l)
	}
	signing, err := token.List(ctx, g.DB)
	if err != nil {
		return nil, err
	}
	for i, k := range signing {
		l := keyLine{
			ID: k.ID, Use: "signing", State: string(token.DefaultLife.State(signing, i, g.Clock.Now())), Made: moment(k.Made),
			Since: moment(k.From), Drop: moment(token.DefaultLife.Gone(signing, i)), Held: []string{}, Under: []keyDepended{},
		}
		lines = append(lines, l)
	}
	export, err := g.ExportKeys()
	if err != nil {
		return nil, err
	}
	for i, id := range export {
		state := custody.Current
		if i < len(export)-1 {
			state = custody.Retiring // it signs beside the newest until it is dropped
		}
		lines = append(lines, keyLine{ID: id, Use: "export", State: string(state), Under: []keyDepended{}})
	}
	for i := range lines {
		if lines[i].Held == nil {
			lines[i].Held = []string{}
		}
	}
	return lines, nil
}

func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// states in words.
var keyStates = map[string]policy.Words{
	"next":     {JA: "次に使う", EN: "next"},
	"current":  {JA: "使用中", EN: "current"},
	"retiring": {JA: "退役中", EN: "retiring"},
	"retired":  {JA: "退役", EN: "retired"},
}

func (t *terminal) keyTable(lines []keyLine) {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, policy.Words{
		JA: "用途\t番号\t状態\t作成\t使用開始\t除ける時\tまだ下にあるもの",
		EN: "USE\tID\tSTATE\tMADE\tIN USE SINCE\tCAN GO\tSTILL UNDER IT",
	}.In(t.lang))
	for _, l := range lines {
		var under []string
		for _, d := range l.Under {
			under = append(under, fmt.Sprintf("%s %d", d.What, d.Count))
		}
		fmt.Fprintln(w, strings.Join([]string{
			l.Use, l.ID, keyStates[l.State].In(t.lang), stamp(l.Made), stamp(l.Since), stamp(l.Drop), orNone(strings.Join(under, ", ")),
		}, "\t"))
	}
	_ = w.Flush()
}

func stamp(at *time.Time) string {
	if at == nil {
		return "–"
	}
	return at.Format("2006-01-02T15:04:05Z")
}

type keysRotateCmd struct {
	where
	Which    string `arg:"" optional:"" enum:"session,sealing,signing,trail,export,all" default:"all" help:"${keys_which}"`
	Now      bool   `help:"${keys_now}"`
	Distrust bool   `help:"${keys_distrust}"`
	Out      string `help:"${keys_out}" placeholder:"FILE" type:"path"`
}

// Run brings new keys. What running gateways must know first, they are waited
// for; what they lack is said.
func (c keysRotateCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	switch {
	case c.Now && c.Which != "signing" && c.Which != "all":
		return misuse{say.Errorf("--now は署名鍵（signing）のものです。ほかの鍵はすぐに使われます。", "--now is for signing keys; the others are used as soon as every gate holds them")}
	case c.Distrust && c.Which != "signing" && c.Which != "session":
		return misuse{say.Errorf("--distrust は signing か session のどちらかに付けます。", "--distrust goes with signing or with session")}
	case c.Out != "" && c.Which != "session" && c.Which != "sealing" && c.Which != "trail":
		return misuse{say.Errorf("--out は session, sealing, trail のどれか一つに付けます。", "--out goes with one of session, sealing, trail")}
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		if c.Out != "" {
			return c.prepare(ctx, t, g, actor)
		}
		for _, ring := range []custody.Ring{custody.Session, custody.Sealing, custody.Trail} {
			if c.Which != "all" && c.Which != string(ring) {
				continue
			}
			if err := c.ring(ctx, t, g, actor, ring); err != nil {
				return err
			}
		}
		if c.Which == "export" {
			if err := c.export(ctx, t, g, actor); err != nil {
				return err
			}
		}
		if c.Which == "all" || c.Which == "signing" {
			if err := c.signing(ctx, t, g, actor); err != nil {
				return err
			}
		}
		return g.Seal.Seal(ctx)
	})
}

// export adds the key that signs policies for other zones. Those who take them learn
// of it by hand, so the one before goes on signing beside it until it is dropped, and
// `all` does not mean it.
func (c keysRotateCmd) export(ctx context.Context, t *terminal, g *house.Ground, actor string) error {
	key, err := g.AddExportKey(ctx, actor)
	if err != nil {
		return err
	}
	ids := key.IDs()
	t.line("export: 新しい鍵 %[1]s を作りました。送る方針には、前の鍵と両方で署名します。受け取る関所の policy.trusted に、手渡しで次の公開鍵を足してもらい、すべて済んだら `sekisho keys drop export` で前の鍵を除いてください:",
		"export: made the new key %[1]s; policies are signed by it and by the one before; have this public key, handed over in person, added to policy.trusted of each gateway that takes them, and then run `sekisho keys drop export`:", ids[len(ids)-1])
	fmt.Fprintln(t.out, key.PublicKey())
	return nil
}

// patience is how long running gateways are waited for before it is said which.
const patience = 20 * time.Second

func (c keysRotateCmd) ring(ctx context.Context, t *terminal, g *house.Ground, actor string, ring custody.Ring) error {
	id, err := g.AddKey(ctx, actor, ring)
	if err != nil {
		return err
	}
	t.line("%[1]s の新しい鍵 %[2]s を作りました。", "%[1]s: made the new key %[2]s", ring, id)
	waiting, err := g.AwaitUse(ctx, ring, id, patience)
	if err != nil {
		return err
	}
	if len(waiting) > 0 {
		t.line("%[1]s: 次のゲートがまだ新しい鍵を持っていません: %[2]s。%[3]s を写してください。すべてのゲートが持つと、ひとりでに使われます。",
			"%[1]s: these gates do not hold the new key yet: %[2]s; copy %[3]s to them, and it is used by itself once all hold it", ring, strings.Join(waiting, ", "), g.KeyFile(ring))
		return nil
	}
	t.line("%[1]s: 鍵 %[2]s を使い始めました。", "%[1]s: key %[2]s is in use", ring, id)
	switch {
	case ring == custody.Sealing:
		return reseal(ctx, t, g, actor, id)
	case ring == custody.Session && c.Distrust:
		return distrust(ctx, t, g, actor)
	}
	return nil
}

// reseal does what a running gateway would do in the background, and tells how
// it gets on.
func reseal(ctx context.Context, t *terminal, g *house.Ground, actor, id string) error {
	var all custody.Pass
	for {
		told := time.Now()
		p, err := g.Reseal(ctx, func(p custody.Pass) {
			if time.Since(told) > time.Second {
				told = time.Now()
				t.line("封をし直しています: %d 件", "sealing anew: %d values", all.Resealed+p.Resealed)
			}
		})
		if err != nil {
			return fmt.Errorf("sealing anew: %w", err)
		}
		all.Resealed, all.Left = all.Resealed+p.Resealed, p.Left
		if p.Resealed == 0 {
			break
		}
	}
	if err := g.NoteResealed(ctx, actor, id, all); err != nil {
		return err
	}
	t.line("%[1]d 件の封をし直しました。残り %[2]d 件。", "%[1]d values are sealed anew, %[2]d left", all.Resealed, all.Left)
	t.line("前の鍵はファイルに残します。`sekisho keys list` で下に何もなくなったら `sekisho keys drop sealing` で除きます。",
		"the key before stays in the file; once `sekisho keys list` shows nothing under it, `sekisho keys drop sealing` removes it")
	return nil
}

// distrust ends every session and known browser of the keys before.
func distrust(ctx context.Context, t *terminal, g *house.Ground, actor string) error {
	keys, err := custody.Keys(ctx, g.DB)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Ring != custody.Session || k.State() != custody.Retiring {
			continue
		}
		if err := g.Book.Distrust(ctx, actor, k.Ring, k.ID); err != nil {
			return err
		}
		t.line("session: 鍵 %[1]s を無効にしました。この鍵のセッションはすべて終わり、全員がサインインし直します。",
			"session: key %[1]s is dead; every session under it is over, and everybody signs in again", k.ID)
	}
	return g.RemoveKeys(ctx, custody.Session)
}

func (c keysRotateCmd) signing(ctx context.Context, t *terminal, g *house.Ground, actor string) error {
	keys, err := token.Open(ctx, g.DB, g.Sealing, g.Trail, g.Clock.Now)
	if err != nil {
		return fmt.Errorf("opening the signing keys: %w", err)
	}
	how := token.Planned
	switch {
	case c.Distrust:
		how = token.Distrusted
	case c.Now:
		how = token.Urgent
	}
	key, err := keys.Rotate(ctx, actor, how)
	if errors.Is(err, token.ErrPending) {
		all, err := token.List(ctx, g.DB)
		if err != nil {
			return err
		}
		next := all[len(all)-1]
		t.line("signing: 次の鍵 %[1]s はもう公開されています。%[2]s から使います。急ぐときは --now を付けてください。",
			"signing: the next key, %[1]s, is published already and signs from %[2]s; in an emergency add --now", next.ID, stamp(&next.From))
		return nil
	}
	if err != nil {
		return err
	}
	t.line("signing: 新しい鍵 %[1]s を公開しました。%[2]s から署名します。", "signing: the new key %[1]s is published; it signs from %[2]s", key.ID, stamp(&key.From))
	if how != token.Planned {
		t.line("注意: 公開から一日を待ちません。鍵の一覧（jwks.json）を控えている業務システムは、読み直すまで新しい鍵の署名を断ります。",
			"CAUTION: the day of publication is skipped; applications that keep a copy of jwks.json refuse the new key's signatures until they read it again")
	}
	if how == token.Distrusted {
		t.line("注意: 前の鍵が署名したものは、いまからすべて無効です。控えている業務システムには、前の鍵を捨てるよう知らせてください。",
			"CAUTION: nothing that the keys before signed is good any more; tell applications that keep a copy to forget those keys")
	}
	return nil
}

// prepare writes a copy of the key file with one key more, for folders that
// nobody can write to: credentials of a service manager, a read-only image.
func (c keysRotateCmd) prepare(ctx context.Context, t *terminal, g *house.Ground, actor string) error {
	id, err := g.PrepareKey(ctx, actor, custody.Ring(c.Which), c.Out)
	if err != nil {
		return err
	}
	t.line("%[1]s の新しい鍵 %[2]s を足した写しを %[3]s に書きました。すべてのゲートで元のファイルと置き換えると、ひとりでに使われます。",
		"%[1]s: wrote a copy with the new key %[2]s to %[3]s; put it in the file's place on every gate, and it is used by itself", c.Which, id, c.Out)
	return g.Seal.Seal(ctx)
}

type keysDropCmd struct {
	where
	Ring string `arg:"" enum:"session,sealing,trail,export" help:"${keys_ring}"`
	ID   string `arg:"" optional:"" help:"${keys_id}"`
}

// Run removes keys that were replaced and that nothing needs.
func (c keysDropCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	ring := custody.Ring(c.Ring)
	if c.Ring == "export" && c.ID != "" {
		return misuse{say.Errorf("export に番号は要りません。最も新しい鍵だけが残ります。", "export takes no id: the newest key alone is left")}
	}
	return c.inGround(ctx, t, func(g *house.Ground) error {
		if c.Ring == "export" {
			dropped, err := g.DropExportKeys(ctx, actor)
			if err != nil {
				return err
			}
			for _, id := range dropped {
				t.line("%[1]s: 鍵 %[2]s を除きました。", "%[1]s: key %[2]s is dropped", c.Ring, id)
			}
			return g.Seal.Seal(ctx)
		}
		keys, err := custody.Keys(ctx, g.DB)
		if err != nil {
			return err
		}
		dropped := 0
		for _, k := range keys {
			if k.Ring != ring || k.State() != custody.Retiring || (c.ID != "" && k.ID != c.ID) {
				continue
			}
			err := g.Book.Drop(ctx, actor, ring, k.ID)
			if errors.Is(err, custody.ErrNeeded) && c.ID == "" {
				continue
			}
			if errors.Is(err, custody.ErrNeeded) {
				return say.Errorf("鍵 %[1]s はまだ要ります。`sekisho keys list` で、下にあるものと除ける時を見てください。",
					"key %[1]s is still needed; `sekisho keys list` shows what stands under it and when it can go", k.ID)
			}
			if err != nil {
				return err
			}
			dropped++
			t.line("%[1]s: 鍵 %[2]s を除きました。", "%[1]s: key %[2]s is dropped", ring, k.ID)
		}
		if c.ID != "" && dropped == 0 && !slices.ContainsFunc(keys, func(k custody.Key) bool {
			return k.Ring == ring && k.ID == c.ID && k.State() == custody.Retired
		}) {
			return say.Errorf("%[1]s に、除ける鍵 %[2]s はありません。使用中の鍵は、`sekisho keys rotate` で替わってから除けます。",
				"%[1]s has no key %[2]s that can go; one in use can go after `sekisho keys rotate` has replaced it", ring, c.ID)
		}
		if err := g.RemoveKeys(ctx, ring); err != nil {
			if errors.Is(err, secret.ErrReadOnly) {
				t.line("%s には書けません。台帳で退役になっている鍵の行を、手で除いてください。", "%s cannot be written; remove the lines of retired keys by hand", g.KeyFile(ring))
				return g.Seal.Seal(ctx)
			}
			return err
		}
		return g.Seal.Seal(ctx)
	})
}
