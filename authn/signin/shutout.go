package signin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// An Entrant is somebody who wants to come in, and from where.
type Entrant struct {
	Person   directory.Person
	Zone     policy.ZoneID
	Outside  bool
	Terminal string // that spoke for itself; "" for none
	Source   netip.Addr
	ACR      policy.ACR // that they have reached
}

// ShutOut refuses somebody who has proved who they are, while a lock-down is in
// force. It is said to nobody before that, and has no lock-down's reason.
type ShutOut struct{}

func (*ShutOut) Error() string { return "shut out while a lock-down is in force" }

// open is *ShutOut for somebody who may not come in now. It is asked at each
// step, and again in the transaction that makes a session of the sign-in, so that
// none begins beside a lock-down that is being ordered.
func (s *Service) open(ctx context.Context, in store.Reader, f flow, p directory.Person) error {
	if s.Barred == nil {
		return nil
	}
	shut, err := s.Barred(ctx, in, Entrant{Person: p, Zone: f.Zone, Outside: f.Outside, Terminal: f.Terminal})
	if err != nil {
		return err
	}
	if shut {
		return &ShutOut{}
	}
	return nil
}

// shutOut enters a refusal by a lock-down on the trail, once a minute for each
// person, and gives back what it was given.
func (s *Service) shutOut(ctx context.Context, o Origin, p directory.Person, cause error) error {
	var shut *ShutOut
	if !errors.As(cause, &shut) {
		return cause
	}
	return s.keptOut(ctx, o, p, "locked_down", shut, "75-2")
}

// NobodysOwn refuses an ID that several people use, to whoever has proved that they know
// its password or hold its factor. It is said to nobody before that.
type NobodysOwn struct{}

func (*NobodysOwn) Error() string { return "nobody signs in with an ID that several people use" }

// nobodysOwn is *NobodysOwn, entered on the trail.
func (s *Service) nobodysOwn(ctx context.Context, o Origin, p directory.Person) error {
	return s.keptOut(ctx, o, p, standing.SeveralUse, &NobodysOwn{}, "46-1")
}

// keptOut enters on the trail that somebody was refused who has proved who they are, once
// a minute for each ID and reason, and gives back the refusal.
func (s *Service) keptOut(ctx context.Context, o Origin, p directory.Person, why string, refusal error, article policy.Article) error {
	if n, err := s.Flows.Count(ctx, "kept_out:"+why+":"+string(p.ID), time.Minute); err != nil || n > 1 {
		return refusal
	}
	err := s.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return s.Trail.Append(ctx, tx, audit.Entry{
			Actor: p.Login, Action: "sign_in", Object: string(p.ID), Outcome: audit.Refused, Reason: why,
			Articles: []policy.Article{"62-2", article}, From: o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
		})
	})
	if err != nil {
		return fmt.Errorf("recording who was kept out: %w", err)
	}
	return refusal
}
