package people

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/oidc"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Shares is what applications hold of sessions; authn/oidc keeps it.
type Shares interface {
	Shares(ctx context.Context, client, login string) ([]oidc.Share, error)
	EndShare(ctx context.Context, tx *store.Tx, sid, why string) (bool, error)
}

// An AppSeen is an application of the policy with the programs that ask for its
// people. Where a program belongs to none, it is its own: then Own is its
// client_id.
type AppSeen struct {
	Application policy.Application
	Clients     []policy.Client
	Own         string
	In          int // sessions that are open there, about
}

// Applications are all that the policy names, in its order.
func (s *Service) Applications(ctx context.Context, o signin.Origin, cookie string) ([]AppSeen, error) {
	if _, err := s.viewer(ctx, o, cookie, authz.ViewApplications); err != nil {
		return nil, err
	}
	all := applicationsOf(s.In.Policy())
	hosts, err := s.tally(ctx, `SELECT app, COUNT(*) FROM session WHERE app <> '' AND ended_at = 0 AND expires_at > $1 AND seen_at > $2 GROUP BY app`)
	if err != nil {
		return nil, err
	}
	clients, err := s.tally(ctx, `
		SELECT o.client_id, COUNT(*) FROM oidc_session o JOIN session n ON n.id = o.session_id
		WHERE  o.ended_at = 0 AND n.ended_at = 0 AND n.expires_at > $1 AND n.seen_at > $2 GROUP BY o.client_id`)
	if err != nil {
		return nil, err
	}
	for i, a := range all {
		if a.Own == "" {
			all[i].In = hosts[a.Application.ID]
		}
		for _, c := range a.Clients {
			all[i].In += clients[c.ID]
		}
	}
	return all, nil
}

// tally counts live rows by application or client. Where one idles out before
// its zone's longest time, it is counted for a little longer than it lives.
func (s *Service) tally(ctx context.Context, q string) (map[string]int, error) {
	idle := time.Duration(0)
	for _, z := range s.In.Policy().Zones {
		idle = max(idle, z.IdleEnd)
	}
	now := s.In.Now()
	rows, err := s.In.DB.Query(ctx, q, store.Micros(now), store.Micros(now.Add(-idle)))
	if err != nil {
		return nil, fmt.Errorf("counting who is in applications: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var (
			id string
			n  int
		)
		if err := rows.Scan(&id, &n); err != nil {
			return nil, fmt.Errorf("counting who is in applications: %w", err)
		}
		out[id] = n
	}
	return out, rows.Err()
}

func applicationsOf(p *policy.Policy) []AppSeen {
	var all []AppSeen
	for _, a := range p.Applications {
		one := AppSeen{Application: a}
		for _, c := range p.Clients {
			if c.Application == a.ID {
				one.Clients = append(one.Clients, c)
			}
		}
		all = append(all, one)
	}
	for _, c := range p.Clients {
		if app, ok := p.ClientApplication(c); ok && c.Application == "" {
			all = append(all, AppSeen{Application: app, Clients: []policy.Client{c}, Own: c.ID})
		}
	}
	return all
}

// Inside is one person's session at an application.
type Inside struct {
	ID     string
	Client string // through which program; "" for the application's own host
	Login  string
	Name   string
	Since  time.Time
	Gate   session.Session // of the gate, or the host's own
}

// AppDetail is one application, and who is in it.
type AppDetail struct {
	AppSeen
	Inside []Inside
	More   bool // there are more than are listed
	MayEnd authz.Permission
}

// Application is one of them: an application's id, or, where own is true, that
// of a program that is its own. login narrows who is in it to one person.
func (s *Service) Application(ctx context.Context, o signin.Origin, cookie, id string, own bool, login string) (AppDetail, error) {
	reader, err := s.viewer(ctx, o, cookie, authz.ViewApplications)
	if err != nil {
		return AppDetail{}, err
	}
	one, err := s.application(id, own)
	if err != nil {
		return AppDetail{}, err
	}
	d := AppDetail{AppSeen: one, MayEnd: authz.May(s.In.Policy(), authz.EndInside, reader.posts, nil, false)}
	login = directory.Canonical(login)
	if !own {
		hosts, err := s.In.Sessions.Inside(ctx, id, login)
		if err != nil {
			return AppDetail{}, err
		}
		for _, n := range hosts {
			d.Inside = append(d.Inside, Inside{ID: n.ID, Login: n.Login, Name: n.Name, Since: n.StartedAt, Gate: n})
		}
		d.More = len(hosts) >= session.MostInside
	}
	for _, c := range one.Clients {
		shares, err := s.Shares.Shares(ctx, c.ID, login)
		if err != nil {
			return AppDetail{}, err
		}
		for _, n := range shares {
			d.Inside = append(d.Inside, Inside{ID: n.SID, Client: c.ID, Login: n.Login, Name: n.Session.Name, Since: n.BeganAt, Gate: n.Session})
		}
		d.More = d.More || len(shares) >= oidc.MostShares
	}
	slices.SortStableFunc(d.Inside, func(a, b Inside) int { return b.Since.Compare(a.Since) })
	d.In = len(d.Inside)
	return d, nil
}

func (s *Service) application(id string, own bool) (AppSeen, error) {
	for _, a := range applicationsOf(s.In.Policy()) {
		if a.Application.ID == id && (a.Own != "") == own {
			return a, nil
		}
	}
	return AppSeen{}, ErrNotFound
}

// EndInside ends one session at one application, and has the application told
// where it listens. The person stays signed in at the gate and may come back:
// whom to keep out is suspended, or taken off the application.
func (s *Service) EndInside(ctx context.Context, o signin.Origin, cookie, id string, own bool, inside string) error {
	var at Inside
	d, err := s.begin(ctx, o, cookie, authz.EndInside, func(ctx context.Context) (directory.Person, error) {
		var err error
		if at, err = s.inside(ctx, id, own, inside); err != nil {
			return directory.Person{}, err
		}
		p, err := s.called(at.Login)(ctx)
		if errors.Is(err, ErrNotFound) { // who has left the directory leaves the application, too
			return directory.Person{}, nil
		}
		return p, err
	})
	if err != nil {
		return err
	}
	e := d.entry(id, "", map[string]string{"login": at.Login, "client": at.Client, "session": at.ID})
	return s.commit(ctx, d, e, func(tx *store.Tx) error {
		if at.Client == "" {
			err := s.In.Sessions.End(ctx, tx, at.ID, "ended at the application by an administrator")
			if errors.Is(err, store.ErrUntouched) {
				return ErrNotFound
			}
			return err
		}
		ended, err := s.Shares.EndShare(ctx, tx, at.ID, "ended by an administrator")
		if err == nil && !ended {
			return ErrNotFound
		}
		return err
	})
}

// inside finds one session at an application: an id that is another's ends
// nothing here.
func (s *Service) inside(ctx context.Context, id string, own bool, inside string) (Inside, error) {
	one, err := s.application(id, own)
	if err != nil {
		return Inside{}, err
	}
	var at Inside
	err = s.In.DB.QueryRow(ctx, `SELECT id, login FROM session WHERE id = $1 AND app = $2 AND app <> '' AND ended_at = 0`, inside, id).Scan(&at.ID, &at.Login)
	if !own && err == nil {
		return at, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Inside{}, fmt.Errorf("finding a session at an application: %w", err)
	}
	err = s.In.DB.QueryRow(ctx, `SELECT sid, client_id, login FROM oidc_session WHERE sid = $1 AND ended_at = 0`, inside).Scan(&at.ID, &at.Client, &at.Login)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Inside{}, ErrNotFound
	case err != nil:
		return Inside{}, fmt.Errorf("finding a session at an application: %w", err)
	case !slices.ContainsFunc(one.Clients, func(c policy.Client) bool { return c.ID == at.Client }):
		return Inside{}, ErrNotFound
	}
	return at, nil
}

// A Trial is a question of what somebody could open: who, from where, at which
// terminal, signed in with what and how long ago.
type Trial struct {
	Login    string // "" for oneself
	Zone     policy.ZoneID
	Outside  bool
	Terminal string // id; its zone takes the place of Zone. "" for one that says nothing
	Methods  []authn.Method
	Age      time.Duration
	Permits  bool // as if every permit that there can be were there
}

// Tried is the answer to a Trial.
type Tried struct {
	Person   directory.Person
	Posts    []policy.PostID
	State    string
	Terminal terminal.Terminal
	Facts    authz.Facts // that it was asked with
	Openings []authz.Opening
	Self     bool
}

// TryAccess asks what somebody could open. Nothing is opened by it, and nobody
// signed in. To ask it of another is to read of them, and is entered on the
// trail.
func (s *Service) TryAccess(ctx context.Context, o signin.Origin, cookie string, t Trial) (Tried, error) {
	reader, err := s.viewer(ctx, o, cookie, authz.TryAccess)
	if err != nil {
		return Tried{}, err
	}
	var out Tried
	if t.Login = strings.TrimSpace(t.Login); t.Login == "" || directory.Canonical(t.Login) == directory.Canonical(reader.Login) {
		t.Login, out.Self = reader.Login, true
	}
	if out.Person, err = s.called(t.Login)(ctx); err != nil {
		return Tried{}, err
	}
	out.Posts = s.postsOf(out.Person)
	now, pol := s.In.Now(), s.In.Policy()
	if out.Facts, err = s.supposed(ctx, pol, t, &out); err != nil {
		return Tried{}, err
	}
	if !out.Self {
		d := deed{act: authz.TryAccess, origin: o, by: reader, may: authz.May(pol, authz.TryAccess, reader.posts, nil, false)}
		e := d.entry(object(out.Person), "", map[string]string{
			"from": string(out.Facts.From), "outside": fmt.Sprint(out.Facts.Outside), "acr": string(out.Facts.ACR), "terminal": t.Terminal, "permits": fmt.Sprint(t.Permits),
		})
		if err := s.enter(ctx, e); err != nil {
			return Tried{}, err
		}
	}
	closed, err := standing.Among(ctx, s.In.DB, []directory.PersonID{out.Person.ID}, now)
	if err != nil {
		return Tried{}, err
	}
	out.State = StateOf(closed[out.Person.ID], out.Person.Account, now)
	out.Facts.Person, out.Facts.Posts = out.Person, out.Posts
	if len(closed[out.Person.ID]) > 0 {
		out.Facts.Person.Account.Disabled = true // Sekisho's own record closes every door
	}
	out.Facts.Checked = out.Facts.Outside // whoever signs in there confirms the terminal
	if s.Permits != nil {
		if err := s.Permits.Fill(ctx, &out.Facts); err != nil {
			return out, err
		}
	}
	if t.Permits { // no permit is instead of what else the person is, such as their projects
		out.Facts.Permits = everyPermit(pol, out.Facts)
	}
	out.Openings = authz.Survey(pol, out.Facts)
	return out, nil
}

// TerminalChoices are the terminals that a Trial can name.
func (s *Service) TerminalChoices(ctx context.Context, o signin.Origin, cookie string) ([]terminal.Terminal, error) {
	if _, err := s.viewer(ctx, o, cookie, authz.TryAccess); err != nil {
		return nil, err
	}
	all, err := s.In.Terminals.List(ctx)
	return slices.DeleteFunc(all, func(t terminal.Terminal) bool { return !t.LostAt.IsZero() }), err
}

func (s *Service) enter(ctx context.Context, e audit.Entry) error {
	err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error { return s.In.Trail.Append(ctx, tx, e) })
	if err != nil {
		return fmt.Errorf("recording what was looked at: %w", err)
	}
	return nil
}

// supposed are the facts of a sign-in that nobody has made.
func (s *Service) supposed(ctx context.Context, pol *policy.Policy, t Trial, out *Tried) (authz.Facts, error) {
	now := s.In.Now()
	f := authz.Facts{SignedIn: true, From: t.Zone, Outside: t.Outside, Now: now, AuthAt: now.Add(-t.Age)}
	methods := slices.Clone(t.Methods)
	if t.Terminal != "" {
		all, err := s.In.Terminals.List(ctx)
		if err != nil {
			return f, err
		}
		i := slices.IndexFunc(all, func(one terminal.Terminal) bool { return one.ID == t.Terminal && one.LostAt.IsZero() })
		if i < 0 {
			return f, &Invalid{Field: "terminal", Rule: "unknown", Says: policy.Words{
				JA: "この端末機は登録されていないか、紛失の届出があります。", EN: "This terminal is not registered, or was reported lost."}}
		}
		out.Terminal = all[i]
		// A lent terminal goes out of the house; the others stand in their zone.
		if out.Terminal.Class != policy.TerminalLent {
			f.From, f.Outside = out.Terminal.Zone, false
		}
		if out.Terminal.Class == policy.TerminalDedicated {
			methods = append(methods, authn.Terminal) // article 26no3-1
		}
	}
	f.ACR, f.AMR = authn.Strength(methods), authn.AMR(methods)
	zone, served := pol.Zone(f.From)
	if !served {
		// Whoever comes from there signs in at another gateway, and is nobody here.
		f.SignedIn = false
		return f, nil
	}
	idle := zone.IdleEnd
	if out.Terminal.Class == policy.TerminalCounter {
		idle = min(idle, zone.CounterIdleEnd)
	}
	if f.SessionEnds = f.AuthAt.Add(zone.AbsoluteEnd); f.SessionEnds.After(now.Add(idle)) {
		f.SessionEnds = now.Add(idle)
	}
	if !now.Before(f.SessionEnds) || !f.ACR.AtLeast(zone.SignInACR) {
		f.SignedIn = false // the session would be over, or never have begun
	}
	return f, nil
}

// everyPermit is one of each kind for everything, for as long as the session.
func everyPermit(p *policy.Policy, f authz.Facts) []authz.Permit {
	var ids []string
	for _, a := range applicationsOf(p) {
		ids = append(ids, a.Application.ID)
	}
	until := f.Now.Add(24 * time.Hour)
	return []authz.Permit{
		{Kind: authz.RemoteAccess, Applications: ids, Person: f.Person.ID, Until: until},
		{Kind: authz.ZoneCrossing, Applications: ids, From: f.From, Path: "/", Until: until},
	}
}
