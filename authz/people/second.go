package people

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Waiting act needs a second person (design rule 7). It was proposed, and is
// done by asking for it again when somebody else has approved it.
type Waiting struct {
	Matter   string // the request's id
	LapsesAt time.Time
	Proposed bool // just now; else it waited already
	Articles []policy.Article
}

func (w *Waiting) Error() string { return "a second person must approve this: " + w.Matter }

// Says is what whoever asked is told.
func (w *Waiting) Says() policy.Words {
	if w.Proposed {
		return policy.Words{
			JA: "一人では行えないため、提案しました。もう一人の管理者又は承認者が承認したら、同じ操作をもう一度行ってください。",
			EN: "One person alone does not do this, so it was proposed. When another administrator or approver has approved it, do it again.",
		}
	}
	return policy.Words{
		JA: "もう一人の承認を待っています。承認されたら、同じ操作をもう一度行ってください。",
		EN: "This waits for a second person. When it is approved, do it again.",
	}
}

// seconds is who decides what somebody powerful proves themselves with: another
// who administers, or who is above. Nobody stands in for them.
func seconds() approval.Rule {
	return approval.Rule{Strict: true, Steps: []approval.Step{{
		Posts:  []policy.PostID{policy.SystemAdministrator, policy.SecurityOfficer, policy.CIO},
		Quorum: 1, Where: approval.Anywhere,
	}}}
}

// secondPerson is the id of the approval of this very act by a second person. It
// proposes the act where nobody has, and answers *Waiting until it is approved.
func (s *Service) secondPerson(ctx context.Context, d deed, by directory.Person, what string) (string, error) {
	now, within := s.In.Now(), s.In.Policy().Approval.LapseAfter
	subject := string(d.act) + " " + string(d.on.ID)
	if what != "" {
		subject += " " + what
	}
	before, err := s.Approvals.Last(ctx, by.ID, approval.Credential, subject)
	switch {
	case errors.Is(err, approval.ErrNotFound):
	case err != nil:
		return "", err
	case before.Matter.Usable(now, within):
		return before.ID, nil
	case before.At() == approval.Pending:
		return "", &Waiting{Matter: before.ID, LapsesAt: before.LapsesAt, Articles: d.may.Articles}
	}
	if err := s.possible(ctx, d, what); err != nil {
		return "", err
	}
	c, err := s.Approvals.Consider(ctx, approval.Matter{
		Kind: approval.Credential, Subject: subject, Requester: approval.Ref(by), RequesterPosts: d.by.posts, Beneficiary: approval.Ref(d.on),
		Zone: d.origin.Zone, Reason: deedWords[d.act].JA, Rule: seconds(), Articles: d.may.Articles,
		Detail: map[string]string{"act": string(d.act), "what": what},
	})
	if err != nil {
		return "", err
	}
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.still(ctx, tx, d); err != nil {
			return err
		}
		_, err := s.Approvals.Ask(ctx, tx, c)
		return err
	})
	if err != nil {
		return "", err
	}
	return "", &Waiting{Matter: c.Matter().ID, LapsesAt: c.Matter().LapsesAt, Proposed: true, Articles: d.may.Articles}
}

// possible refuses to ask a second person for what could not be done anyway.
func (s *Service) possible(ctx context.Context, d deed, what string) error {
	switch d.act {
	case authz.TemporaryPassword:
		return s.usable(ctx, d.on)
	case authz.RecoveryCode:
		if err := s.usable(ctx, d.on); err != nil {
			return err
		}
		return s.recoverable(ctx, d.on.ID)
	case authz.EndLeave:
		_, ok, err := standing.Leave(ctx, s.In.DB, d.on.ID, s.In.Now())
		if err == nil && !ok {
			err = ErrNoLeave
		}
		return err
	case authz.RemoveFactor:
		factors, err := s.Account.FactorsOf(ctx, d.on.ID)
		if err == nil && !slices.ContainsFunc(factors, func(f account.Factor) bool { return f.ID == what }) {
			err = ErrNotFound
		}
		return err
	case authz.AssignToken:
		_, err := s.token(ctx, s.In.DB, what)
		return err
	}
	return nil
}

// factorWords are what the kinds of factors are called there.
var factorWords = map[string]policy.Words{
	"totp":    {JA: "認証アプリ", EN: "authenticator app"},
	"token":   {JA: "ワンタイムコードの装置", EN: "one-time code token"},
	"passkey": {JA: "パスキー", EN: "passkey"},
	"card":    {JA: "ICカード", EN: "IC card"},
}

// deedWords are what the acts are called on an approver's card.
var deedWords = map[authz.Act]policy.Words{
	authz.TemporaryPassword: {JA: "仮パスワードの発行", EN: "a temporary password"},
	authz.RecoveryCode:      {JA: "回復コードの発行", EN: "a recovery code"},
	authz.RemoveFactor:      {JA: "認証の手段の削除", EN: "removal of a factor"},
	authz.Restore:           {JA: "使われず無効になったIDの再開", EN: "an ID opened again that was closed unused"},
	authz.EndLeave:          {JA: "休業・休職の終わり", EN: "the end of leave"},
	authz.AssignToken:       {JA: "トークンの交付又は回収", EN: "a token given out or taken back"},
}

// desk says what an approver reads of such a request. Nothing follows from the
// outcome by itself: whoever proposed the act does it, once.
func (s *Service) desk() approval.Desk {
	return approval.Desk{
		Name: policy.Words{JA: "承認又は管理の職にある方の認証の手段", EN: "What somebody who approves or administers proves themselves with"},
		Card: func(ctx context.Context, m approval.Matter, c *approval.Card) error {
			act := authz.Act(m.Detail["act"])
			c.Title = deedWords[act]
			name := m.For().Name + " (" + m.For().Login + ")"
			c.Yes = policy.Words{
				JA: m.Requester.Name + " さんが、" + name + " さんについて「" + deedWords[act].JA + "」を一度だけ行えるようになります。本人からの申出であることを、電話や対面で確かめてください。",
				EN: m.Requester.Name + " may do this once for " + name + ": " + deedWords[act].EN + ". Make sure, by telephone or in person, that it is wanted by its owner.",
			}
			if act == authz.RemoveFactor {
				factors, err := s.Account.FactorsOf(ctx, m.For().ID)
				if err != nil {
					return err
				}
				for _, f := range factors {
					if f.ID == m.Detail["what"] {
						kind := factorWords[f.Kind]
						c.Facts = append(c.Facts, approval.Fact{
							Label: policy.Words{JA: "認証の手段", EN: "Factor"}, Value: strings.TrimSpace(f.Kind + " " + f.Name),
							Says: policy.Words{JA: strings.TrimSpace(kind.JA + " " + f.Name), EN: strings.TrimSpace(kind.EN + " " + f.Name)},
						})
					}
				}
			}
			if act == authz.AssignToken {
				c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "トークン", EN: "Token"}, Value: m.Detail["what"]})
			}
			return nil
		},
	}
}
