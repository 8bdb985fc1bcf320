package project

import (
	"context"
	"slices"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// mostTold bounds who is told of one project.
const mostTold = 20

// tell queues a notice in the first zone that sends mail: a project is in none.
func (b *Book) tell(ctx context.Context, tx *store.Tx, to directory.PersonID, k notice.Kind, detail map[string]string) error {
	p := b.Policy()
	var zone policy.ZoneID
	for _, z := range p.Zones {
		if notice.Mails(p, z.ID) {
			zone = z.ID
			break
		}
	}
	return b.Notices.Add(ctx, tx, notice.Notice{Person: to, Kind: k, Zone: zone, At: b.Now(), Detail: detail})
}

// administrators are who administers a section; where nobody does, all who administer.
func (b *Book) administrators(ctx context.Context, section string) ([]directory.PersonID, error) {
	var out []directory.PersonID
	for _, where := range []approval.Where{approval.Own, approval.Anywhere} {
		step := administering
		step.Where = where
		all, err := b.Matters.Overseers(ctx, approval.Rule{Steps: []approval.Step{step}, Strict: true}, section)
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			if slices.Contains(h.Posts, policy.SystemAdministrator) && (where == approval.Anywhere || MayAct(b.Policy(), section, h, b.Now())) && len(out) < mostTold {
				out = append(out, h.Person.ID)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out, nil
}

// above are those who stand above a section's own security manager.
func (b *Book) above(ctx context.Context, section string) ([]directory.PersonID, error) {
	all, err := b.Matters.Overseers(ctx, approval.Rule{Steps: []approval.Step{overseeing}}, section)
	var out []directory.PersonID
	for _, h := range all {
		if height, ok := approval.Height(b.Policy(), overseeing, section, h, b.Now()); ok && height > 0 && len(out) < mostTold {
			out = append(out, h.Person.ID)
		}
	}
	return out, err
}

// responsible are those who answer for a project.
func responsible(ctx context.Context, in store.Reader, project string) ([]directory.PersonID, error) {
	all, err := members(ctx, in, `m.project = $1 AND m.unbound_at = 0 AND m.role = 'responsible' ORDER BY m.person_id LIMIT $2`, project, mostTold)
	var out []directory.PersonID
	for _, m := range all {
		out = append(out, m.Person.ID)
	}
	return out, err
}

// everybody are some people, each once.
func everybody(of ...[]directory.PersonID) []directory.PersonID {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(of...))))
}

// tellOver tells whose ID a project's end has closed, and who answers for that ID.
func (b *Book) tellOver(ctx context.Context, tx *store.Tx, p Project, c closing) error {
	detail := map[string]string{"account": c.member.Person.Login, "project": p.Name, "id": p.ID}
	if err := b.tell(ctx, tx, c.member.Person.ID, notice.ProjectOver, detail); err != nil {
		return err
	}
	for _, o := range c.of.Owners {
		if err := b.tell(ctx, tx, o.ID, notice.ProjectOver, detail); err != nil {
			return err
		}
	}
	return nil
}

// tellEnded tells who administers and is responsible for a project what became of its
// IDs, in one letter; and those above where some are held.
func (b *Book) tellEnded(ctx context.Context, tx *store.Tx, p Project, above []directory.PersonID) (closed, held int, err error) {
	all, err := members(ctx, tx, `m.project = $1 AND m.unbound_at = 0 ORDER BY m.login`, p.ID)
	if err != nil {
		return 0, 0, err
	}
	var done, left []Member
	for _, m := range all {
		switch {
		case m.Closed == Closed:
			done = append(done, m)
		case strings.HasPrefix(m.Closed, heldBy):
			left = append(left, m)
		}
	}
	answer, err := responsible(ctx, tx, p.ID)
	if err != nil {
		return 0, 0, err
	}
	to := everybody(p.admins, answer)
	if len(left) > 0 {
		to = everybody(to, above)
	}
	detail := map[string]string{
		"project": p.Name, "id": p.ID, "closed": count(len(done)), "held": count(len(left)), "accounts": some(done), "left": some(left),
	}
	for _, id := range to {
		if err := b.tell(ctx, tx, id, notice.ProjectEnded, detail); err != nil {
			return 0, 0, err
		}
	}
	return len(done), len(left), nil
}

// warn tells once, however many gateways there are, that projects end soon.
func (b *Book) warn(ctx context.Context) error {
	now := b.Now()
	soon, err := projects(ctx, b.DB, `completed_at = 0 AND until_at > $1 AND until_at <= $2 AND warned_for <> until_at ORDER BY until_at, id LIMIT 100`,
		store.Micros(now), store.Micros(policy.AfterDays(now, b.Policy().Projects.WarnDays)))
	if err != nil {
		return err
	}
	for _, p := range soon {
		if p.admins, err = b.administrators(ctx, p.Section); err != nil {
			return err
		}
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `UPDATE project SET warned_for = until_at WHERE id = $1 AND until_at = $2 AND warned_for = $3 AND completed_at = 0`,
				p.ID, store.Micros(p.Until), store.Micros(p.warnedFor))
			if err != nil {
				return err
			}
			answer, err := responsible(ctx, tx, p.ID)
			if err != nil {
				return err
			}
			var people int
			if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM project_member WHERE project = $1 AND unbound_at = 0`, p.ID).Scan(&people); err != nil {
				return err
			}
			to := everybody(p.admins, answer)
			for _, id := range to {
				if err := b.tell(ctx, tx, id, notice.ProjectEnding, map[string]string{"project": p.Name, "id": p.ID, "until": p.Until.Format(time.RFC3339), "people": count(people)}); err != nil {
					return err
				}
			}
			e := p.entry("project.warned", approval.Approver{}, "")
			e.Detail["until"], e.Detail["told"] = p.Until.Format(time.RFC3339), count(len(to))
			return b.Trail.Append(ctx, tx, e)
		})
		if err != nil && !isUntouched(err) {
			return err
		}
	}
	return nil
}
