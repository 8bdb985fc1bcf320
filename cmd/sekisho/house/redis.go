package house

import (
	"context"
	"crypto/x509"
	"errors"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/web"
)

// A shared is what gateways of one store have between them through Redis.
type shared struct {
	redis *ephemeral.Redis
	spare *ephemeral.Spare
	bell  *ephemeral.Bell
}

// mostEphemeral bounds what is held in memory and may be lost, such as sign-ins
// under way.
const mostEphemeral = 500_000

// openEphemeral is where sign-ins under way are kept: with Redis there, and in
// rows while it is away. Without it in memory, or, where the store is one that
// many gates may share, in rows.
func (h *House) openEphemeral(cfg Config, now clock.Now) error {
	switch {
	case len(cfg.Redis.Addresses) > 0:
	case cfg.Store.Driver == "postgres":
		h.Ephemeral = ephemeral.NewRows(h.DB, now)
		return nil
	default:
		h.Ephemeral = ephemeral.NewMemory(now, mostEphemeral)
		return nil
	}
	rc, err := redisConfig(cfg.Redis)
	if err != nil {
		return err
	}
	rc.Seal, rc.Log = h.Sealing, h.log
	r, err := ephemeral.NewRedis(rc, now)
	if err != nil {
		return say.Errorf("redis: %[1]v。設定の redis の項を直してください。", "redis: %[1]v; mend the redis section", err)
	}
	h.shared = &shared{redis: r, spare: ephemeral.NewSpare(r, ephemeral.NewRows(h.DB, now), now, h.log), bell: r.Bell()}
	h.Ephemeral = h.shared.spare
	return nil
}

func redisConfig(r config.Redis) (ephemeral.RedisConfig, error) {
	c := ephemeral.RedisConfig{
		Addresses: r.Addresses, MasterName: r.MasterName, Cluster: r.Cluster, Database: r.Database,
		Username: r.Username, SentinelUsername: r.SentinelUsername, TLS: r.TLS, Prefix: r.Prefix,
	}
	for _, p := range []struct {
		field, path string
		into        *secret.Text
	}{
		{"redis.password_file", r.PasswordFile, &c.Password},
		{"redis.sentinel_password_file", r.SentinelPasswordFile, &c.SentinelPassword},
	} {
		if p.path == "" {
			continue
		}
		if err := guarded(p.field, p.path); err != nil {
			return c, err
		}
		var err error
		if *p.into, err = secret.ReadFile(p.path); err != nil {
			return c, say.Errorf("%[1]s を使えません: %[2]v", "%[1]s cannot be used: %[2]v", p.field, err)
		}
	}
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return c, say.Errorf("redis.ca_file: %[1]v。名前を確かめてください。", "redis.ca_file: %[1]v; check the name", err)
		}
		c.Roots = x509.NewCertPool()
		if !c.Roots.AppendCertsFromPEM(pem) {
			return c, say.Errorf("redis.ca_file: %[1]s に証明書がありません。PEM のファイルを書いてください。",
				"redis.ca_file: %[1]s holds no certificate; name a file of PEM", r.CAFile)
		}
	}
	return c, nil
}

// ready is what /readyz says of Redis: without it the gate is worse off and goes
// on, so that no balancer takes all gates out because of it.
func (s *shared) ready() []web.Check {
	if s == nil {
		return nil
	}
	return []web.Check{{Name: "redis", Ask: s.redis.Ping, Degrades: true}}
}

func (s *shared) measure(in *prometheus.Registry) {
	if s == nil {
		return
	}
	in.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sekisho_redis_up", Help: "1 while Redis answers, 0 while sign-ins under way are kept in the store instead.",
		}, func() float64 {
			if s.spare.Away() {
				return 0
			}
			return 1
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sekisho_redis_losses_total", Help: "How often Redis was found away.",
		}, func() float64 { return float64(s.spare.Turned()) }),
	)
}

// run looks after Redis and carries the bell until ctx ends.
func (s *shared) run(ctx context.Context) {
	if s == nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); s.bell.Run(ctx) }()
	s.spare.Run(ctx)
	<-done
}

func (s *shared) close() {
	if s != nil {
		_ = s.redis.Close() // nothing is pending: what is there may be lost
	}
}

// checkRedis does with Redis, once, all that the gate will do.
func checkRedis(ctx context.Context, cfg Config, now clock.Now) []error {
	if len(cfg.Redis.Addresses) == 0 {
		return nil
	}
	rc, err := redisConfig(cfg.Redis)
	if err != nil {
		return []error{err}
	}
	rc.Seal = unsealed{} // the gate's own key may not exist yet, and nothing of worth is put there
	r, err := ephemeral.NewRedis(rc, now)
	if err != nil {
		return []error{say.Errorf("redis: %[1]v。設定の redis の項を直してください。", "redis: %[1]v; mend the redis section", err)}
	}
	defer func() { _ = r.Close() }() // nothing is pending
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := r.Try(ctx); err != nil {
		return []error{redisFault(err)}
	}
	return nil
}

type unsealed struct{}

func (unsealed) Seal(_ secret.Place, plain []byte) ([]byte, error)  { return plain, nil }
func (unsealed) Open(_ secret.Place, sealed []byte) ([]byte, error) { return sealed, nil }

func redisFault(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.Is(err, ephemeral.ErrEvicts):
		return say.Errorf("redis: %[1]v。サインインの途中の状態が消されます。redis.conf の maxmemory-policy を noeviction にしてください。",
			"redis: %[1]v, and would drop sign-ins under way; set maxmemory-policy to noeviction in redis.conf", err)
	case errors.Is(err, ephemeral.ErrOld):
		return say.Errorf("redis: Redis が古すぎます。7 以降にしてください。", "redis: the server is too old; it takes version 7 or later")
	case errors.Is(err, ephemeral.ErrForbidden):
		return say.Errorf("redis.username: 権限が足りません（%[1]v）。運用の手引きにある ACL を設定してください。",
			"redis.username: our user lacks a right (%[1]v); set the ACL of the operations guide", err)
	case errors.Is(err, ephemeral.ErrAuth):
		return say.Errorf("redis.username: Redis が sekisho のサインインを断りました（%[1]v）。username と password_file を確かめてください。",
			"redis.username: Redis refuses our own sign-in (%[1]v); check username and password_file", err)
	case errors.As(err, &unknown), errors.As(err, &name):
		return say.Errorf("redis.ca_file: Redis の証明書を確かめられません（%[1]v）。発行元の証明書を ca_file に書くか、addresses の名前を直してください。",
			"redis.ca_file: the certificate of Redis is not accepted (%[1]v); name its authority in ca_file, or mend the names in addresses", err)
	}
	return say.Errorf("redis.addresses: Redis が応答しません（%[1]v）。アドレス、経路、tls、master_name を確かめてください。",
		"redis.addresses: Redis does not answer (%[1]v); check address and route, tls and master_name", err)
}
