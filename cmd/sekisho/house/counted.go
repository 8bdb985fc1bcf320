package house

import (
	"context"

	"sekisho/authn/signin"
	"sekisho/policy/secret"
)

// counted is the sign-in with a counter at each step that proves something.
// Pages and API go through it alike.
type counted struct {
	*signin.Service
	count func(method, state string, err error)
}

func (c counted) step(method string, s signin.Step, err error) (signin.Step, error) {
	c.count(method, string(s.State), err)
	return s, err
}

func (c counted) Password(ctx context.Context, o signin.Origin, cookie, typed string, pw secret.Text) (signin.Step, error) {
	s, err := c.Service.Password(ctx, o, cookie, typed, pw)
	return c.step("password", s, err)
}

func (c counted) TOTP(ctx context.Context, o signin.Origin, cookie, code string) (signin.Step, error) {
	s, err := c.Service.TOTP(ctx, o, cookie, code)
	return c.step("totp", s, err)
}

func (c counted) Passkey(ctx context.Context, o signin.Origin, cookie string, credential []byte) (signin.Step, error) {
	s, err := c.Service.Passkey(ctx, o, cookie, credential)
	return c.step("passkey", s, err)
}

func (c counted) Card(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error) {
	s, err := c.Service.Card(ctx, o, cookie)
	return c.step("card", s, err)
}

func (c counted) RecoveryCode(ctx context.Context, o signin.Origin, cookie string, code secret.Text) (signin.Step, error) {
	s, err := c.Service.RecoveryCode(ctx, o, cookie, code)
	return c.step("recovery_code", s, err)
}

func (c counted) NewPassword(ctx context.Context, o signin.Origin, cookie string, pw secret.Text) (signin.Step, error) {
	s, err := c.Service.NewPassword(ctx, o, cookie, pw)
	return c.step("new_password", s, err)
}

func (c counted) Acknowledge(ctx context.Context, o signin.Origin, cookie, version string) (signin.Step, error) {
	s, err := c.Service.Acknowledge(ctx, o, cookie, version)
	return c.step("acknowledge", s, err)
}
