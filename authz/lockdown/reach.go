package lockdown

import (
	"context"
	"slices"
	"sync"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

// A Picture is whom an order will hit, before it is given.
type Picture struct {
	Order  Order
	Right  Authority
	EndsAt time.Time
	// RatifyBy is until when the CIO must ratify it; zero where the CIO orders.
	RatifyBy time.Time
	Sessions int
	Hosts    int // sessions of applications among them
	People   []Hit
	Sections []Counted
	Apps     []Counted
	Leases   int    // people who hold something lent and lose it
	Spared   int    // sessions of the CIO and the custodians that go on
	Excepted int    // sessions of applications that were excepted and go on
	Self     bool   // whoever orders is hit too
	Unknown  int    // sessions whose person could not be read; they end
	Name     string // of whom it is aimed at, where that is a person

	ID        string   // under which it is ordered: see Order
	Lent      []Named  // who loses what they were lent
	Exempt    []Named  // whom it does not reach, by name: the CIO and the custodians; none where it spares nobody
	Ratifiers []Named  // who may ratify it; none where it needs none
	Unread    bool     // the names of some of them could not be read
	Closed    []string // applications that it closes to all but the exempt
	GoOn      []string // applications that were excepted: who is in them stays
}

// A Named is somebody by name.
type Named struct {
	Login, Name string
	Custodian   bool // holds a key; otherwise the CIO, or whoever it is about
}

// A Hit is a person who is shut out, with the sessions that end.
type Hit struct {
	Login, Name, Section string
	Sessions             int
}

// A Counted is a section or an application, and how many sessions end there.
type Counted struct {
	ID    string
	Count int
}

// Preview says whom an order would hit. It changes nothing.
func (s *Service) Preview(ctx context.Context, o signin.Origin, cookie string, r Order) (Picture, error) {
	a, err := s.orderer(ctx, o, cookie)
	if err != nil {
		return Picture{}, err
	}
	l, right, err := s.draft(ctx, o, a, r.tidy())
	if err != nil {
		return Picture{}, err
	}
	reach, err := s.reach(ctx, l, a)
	if err != nil {
		return Picture{}, err
	}
	pic := reach.picture
	pic.Order, pic.Right, pic.EndsAt, pic.RatifyBy, pic.ID = r.tidy(), right, l.EndsAt, l.RatifyBy, l.ID
	if l.Scope == authz.LockPerson {
		pic.Name = reach.aimed.Name
	}
	s.name(ctx, l, reach, &pic)
	return pic, nil
}

// name fills in by name what the numbers say. Whose name cannot be read is not
// named: an order waits for nobody.
func (s *Service) name(ctx context.Context, l authz.LockDown, r reached, pic *Picture) {
	for _, id := range r.lent {
		if p, known := r.people[id]; known {
			pic.Lent = append(pic.Lent, Named{Login: p.Login, Name: p.Name})
		} else {
			pic.Unread = true
		}
	}
	slices.SortFunc(pic.Lent, func(a, b Named) int { return compare(a.Login, b.Login) })
	p := s.In.Policy()
	var cios []Named
	if spares(l) || pic.Right == Delegated {
		if post, ok := p.Post(policy.CIO); ok && post.Group != "" {
			holders, err := s.Directory.Holders(ctx, post.Group)
			pic.Unread = pic.Unread || err != nil
			for _, h := range holders {
				cios = append(cios, Named{Login: h.Login, Name: h.Name})
			}
		}
	}
	if pic.Right == Delegated {
		pic.Ratifiers = cios
	}
	if spares(l) {
		pic.Exempt = cios
		for _, login := range p.LockDown.Custodians {
			one := Named{Login: login, Custodian: true}
			if found, err := s.Directory.Find(ctx, login); err == nil {
				one.Name = found.Name
			} else {
				pic.Unread = true
			}
			pic.Exempt = append(pic.Exempt, one)
		}
		pic.GoOn = p.LockDown.Applications
	}
	pic.Closed = closes(p, l)
}

// spares reports whether a lock-down reaches many, and so spares some.
func spares(l authz.LockDown) bool {
	return l.Scope != authz.LockPerson && l.Scope != authz.LockTerminal && l.Scope != authz.LockApplication
}

// closes are the applications that nobody can use but who is spared, wherever they
// are.
func closes(p *policy.Policy, l authz.LockDown) []string {
	var out []string
	for _, app := range p.Applications {
		whole := l.Scope == authz.LockApplication || l.Scope == authz.LockAll || l.Scope == authz.LockZone && string(app.Zone) == l.Target
		if whole && l.Shuts(p, app, authz.Subject{}) {
			out = append(out, app.ID)
		}
	}
	if len(out) == 0 && l.Scope == authz.LockApplication {
		out = append(out, l.Target) // a client without a page of its own
	}
	return out
}

// A reached is what a lock-down ends.
type reached struct {
	picture  Picture
	sessions []string
	people   map[directory.PersonID]directory.Person // who was looked at
	hit      map[directory.PersonID]bool             // who loses a session of the gate
	lent     []directory.PersonID                    // who loses what is lent
	aimed    directory.Person                        // whom it is aimed at, where that is a person who was read
}

// readers is how many people are read at the same time.
const readers = 8

// reach finds what a lock-down would end.
func (s *Service) reach(ctx context.Context, l authz.LockDown, by actor) (reached, error) {
	all, err := s.In.Sessions.Everyone(ctx, s.In.DB)
	if err != nil {
		return reached{}, err
	}
	var held []directory.PersonID
	if s.Leases != nil {
		if held, err = s.Leases.Borrowers(ctx, s.In.DB); err != nil {
			return reached{}, err
		}
	}
	ids := slices.Clone(held)
	for _, n := range all {
		ids = append(ids, n.Person)
	}
	if l.Person != "" {
		ids = append(ids, l.Person)
	}
	out := reached{people: s.people(ctx, ids)}
	out.aimed = out.people[l.Person]
	out.look(s.Orders, l, all, by)
	out.borrow(s.Orders, l, held)
	return out, nil
}

// borrow finds who loses what they were lent. A lease has no network: it goes with
// a session that one of a zone, of a terminal or from outside ends.
func (r *reached) borrow(o *Orders, l authz.LockDown, held []directory.PersonID) {
	for _, id := range held {
		p, known := r.people[id]
		p.ID = id
		if r.hit[id] || !known && reaches(l) || l.Scope != authz.LockZone && l.Hits(o.policy(), o.subject(p, policy.LGWAN, false, "")) {
			r.lent = append(r.lent, id)
		}
	}
	r.picture.Leases = len(r.lent)
}

// reaches reports whether a lock-down asks for what only the directory tells of a
// person: then it hits whoever cannot be read.
func reaches(l authz.LockDown) bool {
	return l.Scope == authz.LockSection || l.Scope == authz.LockCompany
}

// people reads people, from memory where it is young. Who cannot be read is not
// among them, and is spared nothing.
func (s *Service) people(ctx context.Context, ids []directory.PersonID) map[directory.PersonID]directory.Person {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	out := make(map[directory.PersonID]directory.Person, len(ids))
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		next = make(chan directory.PersonID)
	)
	for range readers {
		wg.Go(func() {
			for id := range next {
				p, err := s.In.Watch.Person(ctx, id, time.Hour)
				if err != nil {
					continue
				}
				mu.Lock()
				out[id] = p
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	wg.Wait()
	return out
}

func (r *reached) look(o *Orders, l authz.LockDown, all []session.Session, by actor) {
	r.hit = map[directory.PersonID]bool{}
	hits := map[directory.PersonID]*Hit{}
	sections, apps := map[string]int{}, map[string]int{}
	spared := o.policy().LockDown.Applications
	for _, n := range all {
		p, known := r.people[n.Person]
		p.ID = n.Person
		if _, hit := o.hit([]authz.LockDown{l}, &n, p, o.now()); !hit && (known || !reaches(l)) {
			if n.App != "" && slices.Contains(spared, n.App) && l.Hits(o.policy(), o.subject(p, n.Zone, n.Outside, n.Terminal)) {
				r.picture.Excepted++
			} else if o.spared(l, n, p) {
				r.picture.Spared++
			}
			continue
		}
		r.sessions = append(r.sessions, n.ID)
		r.hit[n.Person] = r.hit[n.Person] || n.App == ""
		r.picture.Sessions++
		if !known {
			r.picture.Unknown++
		}
		if n.App != "" {
			r.picture.Hosts++
			apps[n.App]++
		}
		h := hits[n.Person]
		if h == nil {
			h = &Hit{Login: n.Login, Name: n.Name, Section: p.Section}
			hits[n.Person] = h
		}
		h.Sessions++
		sections[p.Section]++
		r.picture.Self = r.picture.Self || n.ID == by.ID
	}
	for _, h := range hits {
		r.picture.People = append(r.picture.People, *h)
	}
	slices.SortFunc(r.picture.People, func(a, b Hit) int { return compare(a.Section+a.Login, b.Section+b.Login) })
	r.picture.Sections, r.picture.Apps = counted(sections), counted(apps)
}

// spared reports whether a session goes on for whose it is: a lock-down of many
// would end it if it were somebody else's.
func (o *Orders) spared(l authz.LockDown, n session.Session, p directory.Person) bool {
	s := o.subject(p, n.Zone, n.Outside, n.Terminal)
	if !authz.Spared(o.policy(), s) {
		return false
	}
	s.Posts, s.Person.Login = nil, ""
	return l.Hits(o.policy(), s)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func counted(m map[string]int) []Counted {
	out := make([]Counted, 0, len(m))
	for id, n := range m {
		out = append(out, Counted{id, n})
	}
	slices.SortFunc(out, func(a, b Counted) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return compare(a.ID, b.ID)
	})
	return out
}
