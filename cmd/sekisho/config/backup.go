package config

// Backup says who may read what `sekisho backup` writes.
type Backup struct {
	// Recipients are age public keys (age1…). Their secret halves belong on
	// another machine. Default none: no backup is made.
	Recipients []string `yaml:"recipients"`
}
