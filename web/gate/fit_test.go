package gate

import (
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/token"
)

// The rooms below fit the interfaces declared here.
var (
	_ Sessions = (*session.Sessions)(nil)
	_ People   = (*standing.Watch)(nil)
	_ SignIn   = (*signin.Service)(nil)
	_ Keys     = (*token.Keys)(nil)
)
