package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/config"
	"sekisho/policy/clock"
	"sekisho/test/redis"
)

// TestCheckRedis: what an operator gets wrong is named by its field, and a sound
// Redis is not complained about. It leaves nothing behind.
func TestCheckRedis(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{Password: "hunter2"})
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := file("right", "hunter2\n", 0o600)
	sound := config.Redis{Addresses: []string{server.Addr}, PasswordFile: right, Prefix: "sekisho:"}
	for _, tt := range []struct {
		name  string
		spoil func(r *config.Redis)
		field string // that the complaint begins with; "" none
	}{
		{"sound", func(*config.Redis) {}, ""},
		{"none", func(r *config.Redis) { *r = config.Redis{Prefix: "sekisho:"} }, ""},
		{"a wrong password", func(r *config.Redis) { r.PasswordFile = file("wrong", "x\n", 0o600) }, "redis.username:"},
		{"a password that others can read", func(r *config.Redis) { r.PasswordFile = file("open", "hunter2\n", 0o644) }, "redis.password_file:"},
		{"no such password", func(r *config.Redis) { r.PasswordFile = filepath.Join(dir, "none") }, "redis.password_file:"},
		{"an authority that is none", func(r *config.Redis) { r.TLS, r.CAFile = true, right }, "redis.ca_file:"},
		{"nobody there", func(r *config.Redis) { r.Addresses = []string{"127.0.0.1:1"} }, "redis.addresses:"},
		{"TLS where there is none", func(r *config.Redis) { r.TLS = true }, "redis.addresses:"},
		{"no such master", func(r *config.Redis) { r.MasterName = "x" }, "redis.addresses:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sound
			tt.spoil(&r)
			found := checkRedis(t.Context(), Config{Redis: r}, clock.System())
			switch {
			case tt.field == "" && len(found) == 0:
			case tt.field != "" && len(found) == 1 && strings.HasPrefix(found[0].Error(), tt.field) && !strings.Contains(found[0].Error(), "hunter2"):
			default:
				t.Errorf("found %v, want one of %q", found, tt.field)
			}
		})
	}
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if found := checkRedis(t.Context(), Config{Redis: sound}, clock.System()); len(found) != 1 || !strings.HasPrefix(found[0].Error(), "redis:") {
		t.Errorf("a Redis that evicts: %v", found)
	}
	for key := range strings.SplitSeq(server.Do(t, "KEYS", "*"), "\n") {
		if key != "" && key != "sekisho:ping" {
			t.Errorf("the check left %s", key)
		}
	}
	if left := server.Do(t, "PTTL", "sekisho:ping"); left == "-1" || len(left) > len("60000") {
		t.Errorf("what the check left stays for %s ms, want at most %v", left, time.Minute)
	}
}
