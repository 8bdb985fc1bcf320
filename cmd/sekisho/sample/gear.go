package sample

import (
	"encoding/hex"
	"net/netip"

	"sekisho/authz/remote/radius"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// GearID is the VPN gateway that dev's network door knows: whoever asks from this
// machine.
const GearID = "vpn"

// Gear is the gear of the sample. Any live remote-access permit for an application
// of its zone lets in by it.
func Gear(s *Secrets) []radius.Client {
	return []radius.Client{{
		ID: GearID, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")},
		Secret: secret.NewText([]byte(s.RADIUS)), Zone: policy.LGWAN,
	}}
}

// GearSecret draws what gear and gate share: 192 bits in digits and letters alone, for
// programs such as radclient take it as an argument, where a hyphen begins an option.
func GearSecret() string { return hex.EncodeToString(secret.Bytes(24)) }
