package project

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy/store"
)

// An Outcome is what became of something that somebody asked for: it is done, or it waits
// for a second person.
type Outcome struct {
	Matter   string // "": it is done
	LapsesAt time.Time
}

// Waits reports whether somebody else is to decide it.
func (o Outcome) Waits() bool { return o.Matter != "" }

// powerful reports whether somebody holds, or stands in for, a post that approves,
// administers or audits: nobody ends those by a project (article 82-2).
func (b *Book) powerful(who directory.Person) bool {
	p := b.Policy()
	posts := append(slices.Clone(p.PostsOf(who.Groups)), p.StandsInFor(who.Login, b.Now())...)
	return p.Powerful(posts) || audits(p, posts)
}

func count(n int) string { return strconv.Itoa(n) }

// A candidate is an ID that somebody would bind to a project, as it is now.
type candidate struct {
	who      directory.Person
	shut     bool // closed, or gone
	powerful bool
	kept     lifecycle.Hold // it is there whatever ends
	own      bool           // whoever asks is the same human being
	within   bool           // its section is the project's, or below it
	bound    []bound
}

// mayBind says why an ID is not bound to a project; nil: it may be.
func mayBind(p Project, c candidate, now time.Time) *Refusal {
	switch {
	case c.own:
		return no(Forbidden, "own", "自分のIDは、自分では案件に加えられません（別のIDでも同じです）。ほかの情報システム管理者が行います。",
			"Nobody binds an ID of their own, whichever of theirs it is. Another system administrator does.", "16-1")
	case !c.within: // before all else: of what another section has, nothing more is said
		return wrong("login", "other_section", "このIDは、案件の室課のものではありません。その室課の情報システム管理者に相談してください。", "This ID is not of the project's section. Please ask that section's system administrator.", "67-1")
	case c.who.Kind == directory.KindShared:
		return wrong("login", "shared", "共用のIDは、案件に加えられません。一人一人のIDを使ってください。", "An ID that several people use is bound to no project. Use each person's own.", "46-1", "67-1")
	case c.who.Kind == directory.KindLent:
		return wrong("login", "lent", "特権のために貸し出すIDは、案件に加えられません。", "An ID that is lent with a privilege is bound to no project.", "62-6")
	case c.shut:
		return wrong("login", "closed", "このIDは閉じられています。退職や契約の終わりの後のIDは、人事異動のファイルで開きます。", "This ID is closed. One that was left comes back by a file of personnel changes.", "62-4")
	case c.kept != "":
		return wrong("login", "kept", "関所やディレクトリが使うID、保護されたID及び緊急用のIDは、案件に加えられません。案件が終わると使えなくなるためです。", "An ID of Sekisho or of the directory itself, one that is guarded, or one for emergencies is bound to no project: it would end with it.", "67-2(1)", "80-2")
	case c.powerful:
		return wrong("login", "powerful", "承認、管理又は監査の役割を持つIDは、案件に加えられません。案件には別のIDを登録してください。", "An ID that approves, administers or audits is bound to no project. Register another one for the project.", "16-1", "68-2")
	}
	return mayTie(p, c.bound, now)
}

// mayTie is mayBind as far as the ID's other projects go.
func mayTie(p Project, all []bound, now time.Time) *Refusal {
	if p.State(now) != Running {
		return overRefusal(p, now)
	}
	of, good := authz.EnvironmentOf(tiesOf(all), now)
	switch {
	case slices.ContainsFunc(all, func(o bound) bool { return o.Project == p.ID }):
		return wrong("login", "bound", "このIDは、すでにこの案件に入っています。", "This ID is bound to the project already.")
	case !good:
		return wrong("login", "projects_over", "このIDの案件はすべて終わっていて、IDは閉じられています。また使うときは、人事異動のファイルで登録してください。",
			"All projects of this ID are over, and it is closed. It comes back by a file of personnel changes.", "67-2(1)")
	case len(all) > 0 && of != p.Environment:
		return wrong("login", "other_environment", "このIDは、もう一方の環境の案件に入っています。IDは、運用か開発のどちらか一方のものです。別のIDを登録してください。",
			"This ID is bound to a project of the other environment. An ID is of one of the two; register another one.", "68-2")
	}
	return nil
}

func overRefusal(p Project, now time.Time) *Refusal {
	if p.State(now) == Completed {
		return no(Conflict, "completed", "この案件は完了しています。続けるときは、新しい案件を登録してください。", "This project is completed. If it goes on, register a new one.", "67-2(1)")
	}
	return no(Conflict, "over", "この案件は終わりの日を過ぎています。続けるときは、新しい案件を登録してください。", "This project's last day has passed. If it goes on, register a new one.", "67-2(1)")
}

// widens reports whether an ID that has projects already would be good for longer by one
// more. A first one narrows: before it the ID had no project's end at all.
func widens(p Project, all []bound, now time.Time) bool {
	return len(all) > 0 && p.Until.After(latest(tiesOf(all), now))
}

// Bind binds an ID to a project, for who administers its section and has just signed in.
// Where the ID would be good for longer than before, a second person decides it.
func (b *Book) Bind(ctx context.Context, o signin.Origin, cookie, id, login string, role Role, reason string) (Outcome, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Outcome{}, err
	}
	return b.BindAs(ctx, by, id, login, role, reason)
}

// BindAs is Bind for somebody who is known already.
func (b *Book) BindAs(ctx context.Context, by approval.Approver, id, login string, role Role, reason string) (Outcome, error) {
	p, reason, err := b.begin(ctx, by, id, reason)
	if err != nil {
		return Outcome{}, err
	}
	if !slices.Contains(Roles(), role) {
		return Outcome{}, wrong("role", "unknown", "役割は、責任者（responsible）又は作業者（worker）です。", "The role is responsible or worker.", "67-1")
	}
	who, err := b.named(ctx, login)
	if err != nil {
		return Outcome{}, err
	}
	m := Member{Project: p.ID, Person: approval.Ref(who), Role: role, BoundBy: by.Person.Login}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		if p, err = hold(ctx, tx, id, now); err != nil {
			return err
		}
		if err := intendEnd(ctx, tx, m.Person, now); err != nil { // before its bindings are read: two who bind it come one after the other
			return err
		}
		c, err := b.candidate(ctx, tx, p, who, by.Person)
		if err != nil {
			return err
		}
		if why := mayBind(p, c, now); why != nil {
			return why
		}
		if widens(p, c.bound, now) {
			return errWidens
		}
		if why, err := b.alone(ctx, tx, by, now); err != nil || why != nil {
			if err == nil {
				err = why
			}
			return err
		}
		return b.bound(ctx, tx, p, m, tiesOf(c.bound), by, reason)
	})
	var why *Refusal
	switch {
	case errors.Is(err, errWidens):
		return b.ask(ctx, by, p, Bind, m.Person, reason, map[string]string{"role": string(role), "until": p.Until.Format(time.RFC3339)})
	case errors.As(err, &why):
		return Outcome{}, b.refuse(ctx, by, p, why)
	case err != nil:
		return Outcome{}, err
	}
	b.seen(ctx, who.ID)
	return Outcome{}, nil
}

// alone refuses somebody who has bound as many IDs of late as one person does: what they
// can do to a whole section by mistake, or with a session that is not theirs, is bounded.
func (b *Book) alone(ctx context.Context, in store.Reader, by approval.Approver, now time.Time) (*Refusal, error) {
	since, most := store.Micros(now.Add(-24*time.Hour)), b.Policy().Projects.BindsAlone
	late, err := members(ctx, in, `m.changed_at > $1 AND m.bound_at > $1`, since)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, m := range late {
		if m.Imported == "" && directory.Canonical(m.BoundBy) == directory.Canonical(by.Person.Login) {
			n++
		}
	}
	if n < most {
		return nil, nil
	}
	return no(Conflict, "too_many", "一人の判断で加えられるIDは、24時間に"+count(most)+"件までです。それより多いときは、案件の列のある人事異動のファイルで加えます（二人で決めます）。",
		"One person binds "+count(most)+" IDs within 24 hours. Bind more by a file of personnel changes with the column of projects, which two persons decide.", "16-1", "67-2(1)"), nil
}

// errWidens: what was to be done alone takes a second person.
var errWidens = errors.New("it takes a second person")

// begin is what everything that is done to a project begins with: it is there, and whoever
// acts may and gives a reason.
func (b *Book) begin(ctx context.Context, by approval.Approver, id, reason string) (Project, string, error) {
	p, err := projectOf(ctx, b.DB, id)
	if err == nil && !b.seeing(by).sees(p) {
		if err := b.refuse(ctx, by, p, notTheirs()); !isRefusal(err) {
			return p, "", err
		}
		err = ErrNotFound
	}
	if err == nil {
		err = b.acting(ctx, by, p)
	}
	reason = strings.TrimSpace(reason)
	if err == nil {
		if why := reasoned(reason); why != nil {
			err = why
		}
	}
	return p, reason, err
}

// named is whose login somebody wrote.
func (b *Book) named(ctx context.Context, login string) (directory.Person, error) {
	login = strings.TrimSpace(login)
	unknown := wrong("login", "unknown", "このIDはディレクトリにありません。", "The directory has no such ID.")
	if login == "" {
		return directory.Person{}, wrong("login", "required", "IDを書いてください。", "Give an ID.")
	}
	who, err := b.Directory.Find(ctx, login)
	switch {
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
		return who, unknown
	case err == nil && directory.Canonical(who.Login) != directory.Canonical(login):
		return who, unknown
	}
	return who, err
}

func (b *Book) candidate(ctx context.Context, in store.Reader, p Project, who, by directory.Person) (candidate, error) {
	c := candidate{who: who, powerful: b.powerful(who), own: by.ID != "" && who.SameHuman(by), within: b.Policy().InSection(who.Section, []string{p.Section})}
	shut, err := b.IDs.Shut(ctx, in, []directory.Person{who})
	if err != nil {
		return c, err
	}
	c.shut = shut[who.ID]
	if c.kept, err = b.IDs.Kept(ctx, in, who); err != nil {
		return c, err
	}
	c.bound, err = bindings(ctx, in, who.ID)
	return c, err
}

// Release takes an ID out of a project. Out of its last one it would become an ID of
// production without a project's end, so a second person decides it.
func (b *Book) Release(ctx context.Context, o signin.Origin, cookie, id, login, reason string) (Outcome, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Outcome{}, err
	}
	return b.ReleaseAs(ctx, by, id, login, reason)
}

// ReleaseAs is Release for somebody who is known already.
func (b *Book) ReleaseAs(ctx context.Context, by approval.Approver, id, login, reason string) (Outcome, error) {
	p, reason, err := b.begin(ctx, by, id, reason)
	if err != nil {
		return Outcome{}, err
	}
	m, err := b.memberOf(ctx, b.DB, id, login)
	if err != nil {
		return Outcome{}, err
	}
	if m.Person.Same(approval.Ref(by.Person)) && (m.Person.ID == by.Person.ID || m.Person.Number != "" || m.Person.Mail != "") {
		return Outcome{}, b.refuse(ctx, by, p, no(Forbidden, "own", "自分のIDは、自分では案件から外せません（別のIDでも同じです）。ほかの情報システム管理者が行います。",
			"Nobody releases an ID of their own, whichever of theirs it is. Another system administrator does.", "16-1"))
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		if p, err = hold(ctx, tx, id, now); err != nil {
			return err
		}
		if err := intendEnd(ctx, tx, m.Person, now); err != nil {
			return err
		}
		all, err := bindings(ctx, tx, m.Person.ID)
		if err != nil {
			return err
		}
		if why := mayRelease(p, all, now); why != nil {
			return why
		}
		if len(all) == 1 {
			return errWidens
		}
		return b.release(ctx, tx, p, all, by, by.Person.Login, reason, "")
	})
	var why *Refusal
	switch {
	case errors.Is(err, errWidens):
		return b.ask(ctx, by, p, Release, m.Person, reason, map[string]string{})
	case errors.As(err, &why):
		return Outcome{}, b.refuse(ctx, by, p, why)
	case err != nil:
		return Outcome{}, err
	}
	b.seen(ctx, m.Person.ID)
	return Outcome{}, nil
}

// memberOf is the binding of a login to a project.
func (b *Book) memberOf(ctx context.Context, in store.Reader, project, login string) (Member, error) {
	all, err := members(ctx, in, `m.project = $1 AND m.unbound_at = 0`, project)
	if err != nil {
		return Member{}, err
	}
	for _, m := range all {
		if directory.Canonical(m.Person.Login) == directory.Canonical(login) {
			return m, nil
		}
	}
	return Member{}, wrong("login", "not_bound", "このIDは、この案件に入っていません。", "This ID is not bound to the project.")
}

// mayRelease says why an ID is not released from a project; all are its bindings.
func mayRelease(p Project, all []bound, now time.Time) *Refusal {
	rest := slices.DeleteFunc(slices.Clone(all), func(o bound) bool { return o.Project == p.ID })
	switch {
	case p.State(now) != Running:
		return overRefusal(p, now)
	case len(rest) == len(all):
		return wrong("login", "not_bound", "このIDは、この案件に入っていません。", "This ID is not bound to the project.")
	case len(rest) > 0 && latest(tiesOf(rest), now).IsZero():
		return no(Conflict, "rest_over", "このIDのほかの案件はすべて終わっています。外すと、IDは閉じられたままになります。IDを終わらせるときは、案件を完了にするか終わりの日を早めてください。",
			"The other projects of this ID are over, so that released it would stay closed. To end it, complete the project or end it earlier.", "67-2(1)")
	}
	return nil
}

// release takes an ID out of a project in the caller's transaction.
func (b *Book) release(ctx context.Context, tx *store.Tx, p Project, all []bound, by approval.Approver, actor, why, matter string) error {
	for _, one := range all {
		if one.Project == p.ID {
			one.UnboundBy, one.Why = actor, why
			return b.released(ctx, tx, p, one.Member, all, by, matter)
		}
	}
	return store.ErrUntouched
}

// bound binds an ID in the caller's transaction: its row, its entry, and the end of what
// it has open where it is of another environment from now on, for what was lent was lent
// to an ID of that one.
func (b *Book) bound(ctx context.Context, tx *store.Tx, p Project, m Member, before []authz.Tie, by approval.Approver, reason string) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	if err := bind(ctx, tx, m, now); err != nil {
		return err
	}
	if err := b.turned(ctx, tx, m.Person, before, append(slices.Clone(before), p.tie()), m.BoundBy); err != nil {
		return err
	}
	e := p.about("project.bound", m.Person, by, reason)
	e.Actor = m.BoundBy
	e.Detail["role"], e.Detail["until"] = string(m.Role), p.Until.Format(time.RFC3339)
	if m.Imported != "" {
		e.Detail["import"] = m.Imported
	}
	return b.Trail.Append(ctx, tx, e)
}

// released ends a binding in the caller's transaction. all are the ID's bindings.
func (b *Book) released(ctx context.Context, tx *store.Tx, p Project, m Member, all []bound, by approval.Approver, matter string) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	if err := intendEnd(ctx, tx, m.Person, now); err != nil {
		return err
	}
	if err := unbind(ctx, tx, m, now); err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(o bound) bool { return o.id == m.id })
	if err := b.turned(ctx, tx, m.Person, tiesOf(all), tiesOf(rest), m.UnboundBy); err != nil {
		return err
	}
	e := p.about("project.released", m.Person, by, m.Why)
	e.Actor = m.UnboundBy
	if matter != "" {
		e.Detail["matter"] = matter
	}
	return b.Trail.Append(ctx, tx, e)
}

// turned ends what an ID has open where its environment is another than before.
func (b *Book) turned(ctx context.Context, tx *store.Tx, who Ref, before, after []authz.Tie, by string) error {
	now := b.Now()
	if err := standing.Changed(ctx, tx, who.ID, now); err != nil {
		return err
	}
	was, good := authz.EnvironmentOf(before, now)
	is, still := authz.EnvironmentOf(after, now)
	if was == is && good == still {
		return nil
	}
	const why = "the ID is of another environment"
	if err := b.Sessions.EndAll(ctx, tx, who.ID, who.Login, "", why); err != nil {
		return err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of == nil {
			continue
		}
		if _, err := of.EndOf(ctx, tx, who.ID, by, why); err != nil {
			return err
		}
	}
	return nil
}
