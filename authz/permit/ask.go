package permit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// idOf is a permit's id: of a request under a key the same each time, so that one
// whose answer was lost is found again.
func idOf(who directory.PersonID, key string) string {
	if key == "" {
		return secret.Token(16)
	}
	sum := sha256.Sum256([]byte("permit\x00" + string(who) + "\x00" + key))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// again is the permit that a request under a key has asked for before.
func (b *Book) again(ctx context.Context, in store.Reader, id string, by By, w Wish) (m Permit, ok bool, err error) {
	if w.Key == "" {
		return Permit{}, false, nil
	}
	m, err = read(ctx, in, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Permit{}, false, nil
	case err != nil:
		return Permit{}, false, err
	case m.Requester.ID != by.Person.ID || m.wish != w.digest():
		return Permit{}, false, refused(OtherRequest, "この番号（Idempotency-Key）は、別の申請に使われています。", "This Idempotency-Key was used for another request.")
	}
	return m, true, nil
}

// Ask asks for a permit. Where a standing decision covers it, the answer is approved
// already.
//
// Errors: *Refused, *Invalid, session.ErrNone, and those of approval.Book.Consider.
func (b *Book) Ask(ctx context.Context, by By, w Wish) (Permit, error) {
	if err := b.signed(by); err != nil {
		return Permit{}, err
	}
	k, err := b.kind(w.Kind)
	if err != nil {
		return Permit{}, err
	}
	if m, ok, err := b.again(ctx, b.DB, idOf(by.Person.ID, w.Key), by, w); ok || err != nil {
		return m, err
	}
	r, err := b.consider(ctx, by, k, w)
	if err != nil {
		return Permit{}, err
	}
	return b.ask(ctx, by, k, r)
}

// A request is a wish that was read, and of which it is known that enough people could
// decide it.
type request struct {
	w          Wish
	m          Permit
	considered approval.Considered
}

// consider reads a wish and asks whether it could be decided. It changes nothing but
// that a refusal by rule is entered on the trail.
func (b *Book) consider(ctx context.Context, by By, k policy.PermitKind, w Wish) (request, error) {
	m, err := b.wanted(ctx, by, k, w)
	if err != nil {
		return request{}, b.refuse(ctx, by, k, err)
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	m.ID, m.AskedAt, m.Zone, m.PolicyVersion, m.wish, m.state = idOf(by.Person.ID, w.Key), now, by.Zone, b.Version(), w.digest(), Pending
	p := b.Policy()
	lapses := now.Add(p.Approval.LapseAfter)
	if m.Until.Before(lapses) {
		lapses = m.Until
	}
	considered, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: matterKind(k.ID), Subject: subject(m), Requester: m.Requester, RequesterPosts: by.Posts, Beneficiary: m.Person,
		BeneficiaryPosts: m.posts, Nobody: k.Enforces == policy.EnforcesCrossing, Zone: by.Zone, Reason: m.Reason, LapsesAt: lapses, Rule: ruleOf(k), Articles: articles(k, m.Contractor),
		Unheard: unheard(p, k, m),
		Detail:  map[string]string{"permit": m.ID, "kind": k.ID, "from": m.From.Format(time.RFC3339), "until": m.Until.Format(time.RFC3339)},
	})
	return request{w, m, considered}, err
}

// ask stores a request with its matter.
func (b *Book) ask(ctx context.Context, by By, k policy.PermitKind, r request) (Permit, error) {
	m, now := r.m, r.m.AskedAt
	var out Permit
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out = m
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		if was, ok, err := b.again(ctx, tx, m.ID, by, r.w); ok || err != nil {
			out = was
			return err
		}
		if named, _, err := b.standingOf(ctx, tx, k, m.Stated); err != nil {
			return err
		} else if named == Lost { // since it was looked at
			rule, says := refuseTerminal(k, named)
			return &Invalid{Faults: []Fault{{"terminal", rule, says}}, Articles: k.Articles}
		}
		asked, err := b.Matters.Ask(ctx, tx, r.considered)
		if err != nil {
			return err
		}
		out.Matter, out.LapsesAt, out.version = asked.ID, asked.LapsesAt, 1
		if asked.State(b.Now()) == approval.Approved {
			out.state, out.DecidedAt = Approved, now
		}
		if err := insert(ctx, tx, out, out.due(k), b.Now()); err != nil {
			return err
		}
		e := b.entry(out, by, "permit.asked", m.Reason)
		e.Detail["matter"], e.Detail["policy_version"] = asked.ID, strconv.FormatInt(out.PolicyVersion, 10)
		for field, values := range m.Stated {
			e.Detail[field] = strings.Join(values, " ")
		}
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Permit{}, err
	}
	if out.state == Approved {
		b.changed(ctx)
	}
	return out, nil
}

// wanted reads a wish: whose it is, and everything that is stated.
func (b *Book) wanted(ctx context.Context, by By, k policy.PermitKind, w Wish) (Permit, error) {
	whose := by.Person
	if w.Person != "" && directory.Canonical(w.Person) != directory.Canonical(by.Person.Login) {
		found, err := b.People.Find(ctx, w.Person)
		switch {
		case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
			return Permit{}, &Invalid{Faults: []Fault{{"person", "unknown", policy.Words{
				JA: "この名前の人は見つかりません。", EN: "Nobody of this name is known."}}}}
		case err != nil:
			return Permit{}, err
		}
		whose = found
	}
	p, now := b.Policy(), b.Now().UTC()
	if err := MayAsk(p, k, by.Holder, whose, now); err != nil {
		return Permit{}, err
	}
	tied, err := b.Ties.Of(ctx, nil, whose.ID, now)
	if err != nil {
		return Permit{}, err
	}
	r := room{p: p, k: k, now: now, whose: whose, hired: Hired(p, whose), tied: tied}
	if w.Renews != "" {
		if r.before, err = read(ctx, b.DB, w.Renews); err != nil && !errors.Is(err, ErrNotFound) {
			return Permit{}, err
		}
	}
	var class string
	if r.terminal, class, err = b.standingOf(ctx, b.DB, k, w.Stated); err != nil {
		return Permit{}, err
	}
	if name := strings.TrimSpace(w.Stated.One("terminal")); name != "" && k.Enforces != policy.EnforcesNothing {
		if r.terminal == Unlisted {
			all, err := b.Terminals.List(ctx)
			if err != nil {
				return Permit{}, err
			}
			if misspelt(name, all) {
				r.terminal = Misspelt
			}
		}
		if k.ID == policy.PermitRemote {
			// A terminal that has a permit of its own is good while that lives. One that takes
			// it may be asked for beside it: the doors wait for both.
			own, err := list(ctx, b.DB, `terminal = $1 AND person_id = $2 AND kind IN ('lent_terminal', 'private_terminal') AND state IN ('approved', 'pending')`, name, string(whose.ID))
			if err != nil {
				return Permit{}, err
			}
			r.owes = (&authz.Permit{Kind: authz.RemoteAccess, Terminal: name, Enrolled: class}).Owes(p)
			for _, m := range own {
				if !m.State(now).Open() {
					continue
				}
				if m.Until.After(r.cap) {
					r.cap = m.Until
				}
				if string(r.owes) == m.Kind {
					r.owes = ""
				}
			}
		}
	}
	m, err := r.read(w)
	if err != nil {
		return Permit{}, err
	}
	m.Person, m.Requester, m.posts = approval.Ref(whose), approval.Ref(by.Person), p.PostsOf(whose.Groups)
	return m, nil
}

// standingOf is what the register knows of the terminal that a permit names, with its
// class, if what it names opens something.
func (b *Book) standingOf(ctx context.Context, in store.Reader, k policy.PermitKind, s Stated) (is Standing, class string, err error) {
	name := strings.TrimSpace(s.One("terminal"))
	if name == "" || k.Enforces == policy.EnforcesNothing || k.Enforces == "" {
		return Unlisted, "", nil
	}
	t, err := b.Terminals.Find(ctx, in, name)
	switch {
	case errors.Is(err, terminal.ErrNotFound):
		return Unlisted, "", nil
	case err != nil:
		return Unlisted, "", err
	case !t.LostAt.IsZero():
		return Lost, t.Class, nil
	}
	return Enrolled, t.Class, nil
}

// subject is what a matter is about, as a standing decision names it.
func subject(m Permit) string {
	switch m.Kind {
	case policy.PermitRemote:
		return strings.Join(m.Stated["applications"], ",")
	case policy.PermitCrossing:
		return m.Stated.One("application")
	}
	return m.Kind
}

// ruleOf is who decides a kind, as approval has it.
func ruleOf(k policy.PermitKind) approval.Rule {
	var out approval.Rule
	for _, s := range k.Steps {
		step := approval.Step{Posts: s.Posts, Quorum: s.Quorum, All: s.All, Joint: s.All}
		if s.Where == policy.ApproversAnywhere {
			step.Where = approval.Anywhere
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// articles are those that a permit serves.
func articles(k policy.PermitKind, contractor bool) []policy.Article {
	out := slices.Clone(k.Articles)
	if contractor {
		out = append(out, "79-3(13)")
	}
	return out
}

// unheard reports whether a permit takes confirmations, which nobody gives beforehand
// (article 26no2-3).
func unheard(p *policy.Policy, k policy.PermitKind, m Permit) bool {
	app, _ := p.Application(m.Stated.One("application"))
	return len(k.AskedOf(policy.ZoneID(m.Stated.One("from_zone")), app.Zone)) > 0
}
