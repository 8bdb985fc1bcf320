package config

import (
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strconv"
)

// Redis is what several gates of one store share besides it: sign-ins under way,
// and the news that something was ended. Without it one gate keeps them in its
// memory.
type Redis struct {
	// Addresses are host:port: of one server, of its Sentinels (with
	// master_name), or of some nodes of a Cluster (with cluster). Default none: no
	// Redis.
	Addresses []string `yaml:"addresses"`
	// MasterName is what the Sentinels call the servers they watch.
	MasterName string `yaml:"master_name"`
	// Cluster says that the addresses are nodes of a Redis Cluster.
	Cluster bool `yaml:"cluster"`
	// Username and PasswordFile are Sekisho's own ACL user; without a name the
	// password is that of requirepass. Default none: nobody signs in.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// SentinelUsername and SentinelPasswordFile are for the Sentinels, which have
	// users of their own. Default none.
	SentinelUsername     string `yaml:"sentinel_username"`
	SentinelPasswordFile string `yaml:"sentinel_password_file"`
	// TLS speaks TLS with servers and Sentinels; CAFile is the PEM of the
	// authority that signed them. Default: the machine's own list.
	TLS    bool   `yaml:"tls"`
	CAFile string `yaml:"ca_file"`
	// PlaintextAllowed permits Redis on another machine without TLS. Its password
	// then crosses the network unprotected.
	PlaintextAllowed bool `yaml:"plaintext_allowed"`
	// Database is the number of the database, 0 to 15. Default 0; a Cluster has no
	// other.
	Database int `yaml:"database"`
	// Prefix begins every key. Default "sekisho:". Each zone has its own.
	Prefix string `yaml:"prefix"`
}

// anchor makes the paths relative to the file.
func (r *Redis) anchor(dir string) {
	for _, p := range []*string{&r.PasswordFile, &r.SentinelPasswordFile, &r.CAFile} {
		*p = locate(dir, *p)
	}
}

var redisPrefix = regexp.MustCompile(`^[A-Za-z0-9:._-]{1,64}$`)

func (f *File) checkRedis(say func(field, ja, en, near string)) {
	r := f.Redis
	if len(r.Addresses) == 0 {
		if r.Prefix = ""; !reflect.DeepEqual(r, Redis{}) {
			say("redis.addresses", "redis を使うには、アドレスを書いてください（例 [redis.pref.example:6379]）。", "is what the rest of redis is about, such as [redis.pref.example:6379]", "")
		}
		return
	}
	near := true
	for i, a := range r.Addresses {
		host, digits, err := net.SplitHostPort(a)
		if port, bad := strconv.ParseUint(digits, 10, 16); err != nil || bad != nil || host == "" || port == 0 {
			say(fmt.Sprintf("redis.addresses[%d]", i), "host:port の形で書きます（例 redis.pref.example:6379）。", "is host:port, such as redis.pref.example:6379", "")
			continue
		}
		near = near && loopback(a)
	}
	switch {
	case r.MasterName != "" && r.Cluster:
		say("redis.cluster", "master_name（Sentinel）と cluster は、どちらか一方です。", "stands for a Cluster and master_name for Sentinels: one of them", "")
	case len(r.Addresses) > 1 && r.MasterName == "" && !r.Cluster:
		say("redis.addresses", "二つ以上書くときは、Sentinel なら master_name を、Redis Cluster なら cluster: true を書いてください。",
			"are several: say master_name for Sentinels, or cluster: true", "")
	}
	if !near && !r.TLS && !r.PlaintextAllowed {
		say("redis.tls", "ほかのコンピュータの Redis には tls: true が要ります。パスワードが平文で流れてよいときは plaintext_allowed: true と書いてください。",
			"is needed for Redis on another machine; where its password may cross the network in clear, say plaintext_allowed: true", "")
	}
	if r.CAFile != "" && !r.TLS {
		say("redis.ca_file", "tls: true のときだけ使います。", "is for tls: true alone", "")
	}
	if r.Username != "" && r.PasswordFile == "" {
		say("redis.username", "password_file も書いてください。", "needs password_file", "")
	}
	if r.SentinelUsername != "" && r.SentinelPasswordFile == "" {
		say("redis.sentinel_username", "sentinel_password_file も書いてください。", "needs sentinel_password_file", "")
	}
	if r.SentinelPasswordFile != "" && r.MasterName == "" {
		say("redis.sentinel_password_file", "master_name（Sentinel）のときだけ使います。", "is for Sentinels, with master_name", "")
	}
	if r.Database < 0 || r.Database > 15 || r.Cluster && r.Database != 0 {
		say("redis.database", "0 から 15 までです（cluster では 0 だけ）。", "is between 0 and 15, and 0 in a Cluster", "")
	}
	if !redisPrefix.MatchString(r.Prefix) {
		say("redis.prefix", "英数字と : . _ - で 64 文字までです（例 sekisho:）。", "is of letters, digits and : . _ - , at most 64, such as sekisho:", "")
	}
}
