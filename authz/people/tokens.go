package people

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Tokens searches the inventory of hardware tokens by the beginning of a serial
// number, or of its holder's login, in the order of the serials.
func (s *Service) Tokens(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []totp.Token, next string, err error) {
	if _, err := s.viewer(ctx, o, cookie, authz.ViewTokens); err != nil {
		return nil, "", err
	}
	return s.Stock.List(ctx, query, after, max(1, min(limit, MostFound)))
}

// ImportTokens adds the tokens of a maker's file to the inventory: "csv", or
// "pskc" (RFC 6030) with the key that opens it. *oath.Faults names every line
// that is wrong; nothing of such a file is taken.
func (s *Service) ImportTokens(ctx context.Context, o signin.Origin, cookie, format string, data []byte, key secret.Text) (totp.Imported, error) {
	d, err := s.begin(ctx, o, cookie, authz.ImportTokens, nobody)
	if err != nil {
		return totp.Imported{}, err
	}
	var seeds []oath.Seed
	switch format {
	case "csv":
		seeds, err = oath.ParseCSV(data)
	case "pskc":
		seeds, err = oath.ParsePSKC(data, key)
	default:
		err = &Invalid{Field: "format", Rule: "unknown", Says: policy.Words{
			JA: "形式は csv か pskc です。", EN: "The format is csv or pskc.",
		}}
	}
	if err != nil {
		return totp.Imported{}, err
	}
	var done totp.Imported
	detail := map[string]string{"format": format}
	err = s.commit(ctx, d, d.entry("", "", detail), func(tx *store.Tx) error {
		if done, err = s.Stock.Import(ctx, tx, seeds); err != nil {
			return err
		}
		detail["added"], detail["known"] = strconv.Itoa(done.Added), strconv.Itoa(len(done.Known))
		return nil
	})
	if err != nil {
		return totp.Imported{}, err
	}
	return done, nil
}

// AssignToken gives a token in stock to a person, who signs in with it from now
// on. What they have open ends.
func (s *Service) AssignToken(ctx context.Context, o signin.Origin, cookie, serial, login string) error {
	d, err := s.beginOn(ctx, o, cookie, authz.AssignToken, serial, s.called(login))
	if err != nil {
		return err
	}
	if err := s.usable(ctx, d.on); err != nil {
		return err
	}
	token, err := s.token(ctx, s.In.DB, serial)
	if err != nil {
		return err
	}
	return known(s.commit(ctx, d, d.entry(object(d.on), "", map[string]string{"serial": token.Serial}), func(tx *store.Tx) error {
		if err := s.Stock.Assign(ctx, tx, token.Serial, d.on); err != nil {
			return err
		}
		if err := s.In.Rebound(ctx, tx, d.on.ID); err != nil {
			return err
		}
		if err := s.In.FactorFound(ctx, tx, d.on.ID); err != nil {
			return err
		}
		if err := s.end(ctx, tx, d, "a token was assigned"); err != nil {
			return err
		}
		return s.tell(ctx, tx, d, notice.FactorAdded, map[string]string{"factor": totp.KindToken, "name": token.Serial})
	}))
}

// UnassignToken takes a token back into stock. What its holder has open ends.
func (s *Service) UnassignToken(ctx context.Context, o signin.Origin, cookie, serial string) error {
	return s.takeBack(ctx, o, cookie, authz.AssignToken, "token.unassigned", serial, "a token was taken back", s.Stock.Unassign)
}

// LoseToken ends a token for good. What its holder has open ends.
func (s *Service) LoseToken(ctx context.Context, o signin.Origin, cookie, serial string) error {
	return s.takeBack(ctx, o, cookie, authz.LoseToken, actions[authz.LoseToken], serial, "a token was lost", s.Stock.Lose)
}

func (s *Service) takeBack(ctx context.Context, o signin.Origin, cookie string, act authz.Act, action, serial, why string, do func(context.Context, *store.Tx, string) error) error {
	d, token, err := s.beginToken(ctx, o, cookie, act, serial)
	if err != nil {
		return err
	}
	e := d.entry(object(d.on), "", map[string]string{"serial": token.Serial})
	e.Action = action
	return known(s.commit(ctx, d, e, func(tx *store.Tx) error {
		if err := s.unmoved(ctx, tx, token); err != nil {
			return err
		}
		return s.tokenGone(ctx, tx, o, token, why, do)
	}))
}

// tokenGone takes a token away, and ends what its holder has open by it.
func (s *Service) tokenGone(ctx context.Context, tx *store.Tx, o signin.Origin, token totp.Token, why string, do func(context.Context, *store.Tx, string) error) error {
	if err := do(ctx, tx, token.Serial); err != nil {
		return err
	}
	if token.State != totp.StateAssigned {
		return nil
	}
	// By the id that the token was assigned to, which is all that is left of
	// somebody who has gone from the directory.
	if err := s.In.FactorLost(ctx, tx, token.Person); err != nil {
		return err
	}
	if err := s.In.Sessions.EndAll(ctx, tx, token.Person, token.Login, "", why); err != nil {
		return err
	}
	return s.In.Tell(ctx, tx, o, token.Person, notice.FactorRemoved, map[string]string{"factor": totp.KindToken, "name": token.Serial})
}

// ResyncToken finds a token's clock again by two codes that it showed one after
// the other. What its holder proves themselves with stays what it was, so
// nothing of theirs ends.
func (s *Service) ResyncToken(ctx context.Context, o signin.Origin, cookie, serial, first, second string) error {
	d, token, err := s.beginToken(ctx, o, cookie, authz.ResyncToken, serial)
	if err != nil {
		return err
	}
	e := d.entry(object(d.on), "", map[string]string{"serial": token.Serial})
	var wrong error
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		wrong = nil
		if err := s.still(ctx, tx, d); err != nil {
			return err
		}
		if err := s.unmoved(ctx, tx, token); err != nil {
			return err
		}
		done := e
		err := s.Stock.Resync(ctx, tx, token.Serial, first, second)
		if errors.Is(err, totp.ErrWrong) { // the try stays counted, and is entered
			wrong, done.Outcome, done.Reason = err, "refused", "wrong_code"
		} else if err != nil {
			return err
		}
		return s.In.Trail.Append(ctx, tx, done)
	})
	return known(errors.Join(err, wrong))
}

// token reads one of the inventory.
func (s *Service) token(ctx context.Context, in store.Reader, serial string) (totp.Token, error) {
	t, err := s.Stock.Find(ctx, in, serial)
	return t, known(err)
}

// beginToken begins an act on a token, and so on whoever holds it. One who has
// gone from the directory is nobody, with no post that would need a second
// person.
func (s *Service) beginToken(ctx context.Context, o signin.Origin, cookie string, act authz.Act, serial string) (d deed, token totp.Token, err error) {
	d, err = s.beginOn(ctx, o, cookie, act, serial, func(ctx context.Context) (directory.Person, error) {
		if token, err = s.token(ctx, s.In.DB, serial); err != nil || token.State != totp.StateAssigned {
			return directory.Person{}, err
		}
		facts, err := s.In.Watch.Of(ctx, token.Person)
		return facts.Person, err
	})
	return d, token, err
}

// unmoved refuses if a token has come into other hands since the act began: the
// posts of the one who has it now were not asked about.
func (s *Service) unmoved(ctx context.Context, tx *store.Tx, before totp.Token) error {
	now, err := s.Stock.Find(ctx, tx, before.Serial)
	if err != nil {
		return err
	}
	if now.State != before.State || now.Person != before.Person {
		return fmt.Errorf("%w: the token has come into other hands", ErrState)
	}
	return nil
}

// known gives the inventory's errors the meaning they have here.
func known(err error) error {
	switch {
	case errors.Is(err, totp.ErrNoToken):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, totp.ErrTokenState):
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return err
}
