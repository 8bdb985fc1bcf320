package main

import (
	"fmt"

	"sekisho/policy"
	"sekisho/policy/secret"
)

type clientSecretCmd struct{}

// Run makes a secret and shows it once. Nothing is kept: the rules get the hash,
// the application the secret, and who approves the rules never sees it.
func (clientSecretCmd) Run(t *terminal) error {
	value := secret.Token(32)
	t.line("秘密の値は一度だけ示します。システムの側に、ほかの人が読めない形で置いてください。ハッシュは policy.yaml の secret_hashes に書きます。",
		"The secret is shown once. Keep it at the application where nobody else can read it; the hash goes into secret_hashes in policy.yaml.")
	fmt.Fprintf(t.out, "client_secret: %s\nsecret_hash: %s\n", value, policy.HashSecret(value, secret.Bytes(16)))
	return nil
}
