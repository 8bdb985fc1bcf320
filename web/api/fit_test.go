package api

import (
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/inquiry"
	"sekisho/authz/people"
	"sekisho/authz/statute"
	"sekisho/policy/secret"
)

// The rooms below fit the interfaces declared here.
var (
	_ SignIn  = (*signin.Service)(nil)
	_ Account = (*account.Service)(nil)
	_ Charter = (*statute.Desk)(nil)
	_ Trail   = (*inquiry.Room)(nil)
	_ People  = (*people.Service)(nil)
	_ Sealer  = (*secret.KeyRing)(nil)
)
