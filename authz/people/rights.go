package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Whom the CIO suspends has lost the right to use anything (article 78-3), and three
// must hear of it without delay: the officer and the manager who answer for the
// person's section, and the administrators of its systems. That they are to be told
// is stored with the suspension; who they are is asked of the directory afterwards,
// which may be away, and is asked until it answers.

// hearers are the posts that article 78-3 names.
var hearers = []policy.PostID{policy.SecurityOfficer, policy.SecurityManager, policy.SystemAdministrator}

// byCIO reports whether an act is the CIO's, or of whoever stands in for them today.
func (s *Service) byCIO(d deed) bool {
	return slices.Contains(d.by.posts, policy.CIO) || slices.Contains(s.In.Policy().StandsInFor(d.by.Login, s.In.Now()), policy.CIO)
}

// intendRights stores that the three are to be told, with the suspension.
func (s *Service) intendRights(ctx context.Context, tx *store.Tx, d deed, reason string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO rights_suspended (id, person_id, login, name, section, by_name, reason, zone, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		secret.Token(12), string(d.on.ID), d.on.Login, d.on.Name, d.on.Section, d.by.Name, reason, string(d.origin.Zone), store.Micros(s.In.Now()))
	if err != nil {
		return fmt.Errorf("noting whom to tell of a suspension: %w", err)
	}
	return nil
}

// A stopped is somebody whom the CIO has suspended, and of whom nobody was told yet.
type stopped struct {
	id, login, name, section, by, reason string
	person                               directory.PersonID
	zone                                 policy.ZoneID
}

func scanStopped(row store.Row) (stopped, error) {
	var (
		p            stopped
		person, zone string
	)
	err := row.Scan(&p.id, &person, &p.login, &p.name, &p.section, &p.by, &p.reason, &zone)
	p.person, p.zone = directory.PersonID(person), policy.ZoneID(zone)
	return p, err
}

// TellRights tells those who must hear of a suspension by article 78-3. Of several
// gateways one does. An error is tried again.
func (s *Service) TellRights(ctx context.Context) error {
	untold, err := store.All(ctx, s.In.DB, "suspensions that were not told", scanStopped, `
		SELECT id, person_id, login, name, section, by_name, reason, zone FROM rights_suspended WHERE told_at = 0 ORDER BY at LIMIT 100`)
	if err != nil || len(untold) == 0 {
		return err
	}
	var failed error
	for _, p := range untold {
		if err := s.tellOf(ctx, p); err != nil {
			failed = errors.Join(failed, fmt.Errorf("telling of the suspension of %s: %w", p.login, err))
		}
	}
	return failed
}

func (s *Service) tellOf(ctx context.Context, p stopped) error {
	told := map[string]string{"login": p.login}
	var to []directory.PersonID
	for _, id := range hearers {
		people, err := s.answering(ctx, id, p)
		if err != nil {
			return err
		}
		told[string(id)] = strconv.Itoa(len(people))
		for _, one := range people {
			if !slices.Contains(to, one) {
				to = append(to, one)
			}
		}
	}
	return s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `UPDATE rights_suspended SET told_at = $1 WHERE id = $2 AND told_at = 0`, store.Micros(s.In.Now()), p.id)
		if errors.Is(err, store.ErrUntouched) {
			return nil // another gateway has
		}
		if err != nil {
			return err
		}
		for _, one := range to {
			err := s.In.Tell(ctx, tx, signin.Origin{Zone: p.zone}, one, notice.RightsSuspended, map[string]string{"by": p.by, "person": p.name, "reason": p.reason})
			if err != nil {
				return err
			}
		}
		return s.In.Trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "person.rights_told", Object: string(p.person), Outcome: audit.OK, Reason: p.reason, Zone: string(p.zone),
			Articles: []policy.Article{"78-3"}, Detail: told,
		})
	})
}

// answering are the holders of a post who answer for somebody's section: those of the
// section itself and of the 部局 above it, or all of them where nobody does. One told
// too many does no harm.
func (s *Service) answering(ctx context.Context, id policy.PostID, p stopped) ([]directory.PersonID, error) {
	pol := s.In.Policy()
	post, ok := pol.Post(id)
	if !ok || post.Group == "" {
		return nil, nil
	}
	people, err := s.Directory.Holders(ctx, post.Group)
	if err != nil {
		return nil, err
	}
	var near, all []directory.PersonID
	for _, one := range people {
		if one.ID == p.person || !one.MaySignIn(s.In.Now()) {
			continue
		}
		all = append(all, one.ID)
		if one.Section != "" && pol.InSection(p.section, []string{one.Section}) {
			near = append(near, one.ID)
		}
	}
	if len(near) > 0 {
		return near, nil
	}
	return all, nil
}
