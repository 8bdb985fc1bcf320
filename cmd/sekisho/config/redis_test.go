package config_test

import (
	"errors"
	"testing"

	"sekisho/cmd/sekisho/config"
)

func TestRedis(t *testing.T) {
	for _, tt := range []struct {
		name, redis string
		field       string // of the fault; "" none
	}{
		{"none", "", ""},
		{"least", "redis: {addresses: ['127.0.0.1:6379']}", ""},
		{"whole", "redis: {addresses: ['redis.pref.example:6379'], tls: true, ca_file: ca.pem, username: sekisho, password_file: redis.password, database: 3, prefix: 'mynumber:'}", ""},
		{"sentinels", "redis: {addresses: ['127.0.0.1:1', '127.0.0.1:2'], master_name: sekisho, sentinel_username: s, sentinel_password_file: p}", ""},
		{"a cluster", "redis: {addresses: ['127.0.0.1:1', '127.0.0.1:2'], cluster: true}", ""},
		{"in clear, in as many words", "redis: {addresses: ['redis.pref.example:6379'], plaintext_allowed: true}", ""},
		{"in clear across the network", "redis: {addresses: ['127.0.0.1:6379', 'redis.pref.example:6379'], cluster: true}", "redis.tls"},
		{"no port", "redis: {addresses: [redis.pref.example], tls: true}", "redis.addresses[0]"},
		{"a named port", "redis: {addresses: ['127.0.0.1:redis']}", "redis.addresses[0]"},
		{"no host", "redis: {addresses: [':6379'], tls: true}", "redis.addresses[0]"},
		{"several of no form", "redis: {addresses: ['127.0.0.1:1', '127.0.0.1:2']}", "redis.addresses"},
		{"both forms", "redis: {addresses: ['127.0.0.1:1'], master_name: x, cluster: true}", "redis.cluster"},
		{"everything but an address", "redis: {tls: true, master_name: x}", "redis.addresses"},
		{"a prefix alone", "redis: {prefix: x}", ""},
		{"an authority without TLS", "redis: {addresses: ['127.0.0.1:1'], ca_file: ca.pem}", "redis.ca_file"},
		{"a user without a password", "redis: {addresses: ['127.0.0.1:1'], username: x}", "redis.username"},
		{"a sentinel's user without a password", "redis: {addresses: ['127.0.0.1:1'], master_name: x, sentinel_username: x}", "redis.sentinel_username"},
		{"a sentinel's password without sentinels", "redis: {addresses: ['127.0.0.1:1'], sentinel_password_file: x}", "redis.sentinel_password_file"},
		{"no such database", "redis: {addresses: ['127.0.0.1:1'], database: 16}", "redis.database"},
		{"a cluster's other database", "redis: {addresses: ['127.0.0.1:1'], cluster: true, database: 1}", "redis.database"},
		{"a prefix that is a slot", "redis: {addresses: ['127.0.0.1:1'], prefix: '{x}'}", "redis.prefix"},
		{"a password in the file", "redis: {addresses: ['127.0.0.1:1'], password: hunter2}", "redis.password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least+tt.redis+"\n"))
			var faults config.Faults
			if tt.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Field != tt.field || faults[0].Rule.IsEmpty() {
				t.Errorf("Parse = %v, want one fault of %s", err, tt.field)
			}
		})
	}
	f, err := config.Parse("/etc/sekisho/sekisho.yaml", []byte(least+
		"redis: {addresses: ['127.0.0.1:1'], tls: true, ca_file: ca.pem, password_file: /redis.password}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Redis.CAFile != "/etc/sekisho/ca.pem" || f.Redis.PasswordFile != "/redis.password" || f.Redis.Prefix != "sekisho:" {
		t.Errorf("read as %+v", f.Redis)
	}
}
