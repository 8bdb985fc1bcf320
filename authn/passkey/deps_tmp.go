//go:build deps

package passkey

import (
	_ "github.com/go-webauthn/webauthn/protocol"
	_ "github.com/go-webauthn/webauthn/protocol/webauthncbor"
	_ "github.com/go-webauthn/webauthn/protocol/webauthncose"
	_ "github.com/go-webauthn/webauthn/webauthn"
	_ "github.com/wneessen/go-mail"
)
