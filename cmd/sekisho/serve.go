package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"sekisho/authz/remote/radius"
	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/logbook"
	"sekisho/cmd/sekisho/say"
	"sekisho/cmd/sekisho/tracing"
	"sekisho/web"
)

type serveCmd struct{ where }

// Run is the gate of a configuration file. There is no control listener here
// and no sample: package control is not even reached from this function.
func (c serveCmd) Run(ctx context.Context, t *terminal) error {
	if c.Data != "" {
		return misuse{say.Errorf("serve は --config FILE で動かします。試用のフォルダは `sekisho dev --data DIR` で動かしてください。",
			"serve runs with --config FILE; run a trial's folder with `sekisho dev --data DIR`")}
	}
	if _, err := c.named(); err != nil {
		return err
	}
	if err := keepMemory(); err != nil {
		return err
	}
	if c.Config == "" {
		return misuse{say.Errorf("--config FILE を付けてください。手本は cmd/sekisho/config/example.yaml です。", "add --config FILE; cmd/sekisho/config/example.yaml is a model of one")}
	}
	file, err := config.Read(c.Config)
	if err != nil {
		return t.configFaults(c.Config, err)
	}
	cfg, err := house.FromFile(file)
	if err != nil {
		return err
	}
	if cfg.Mailer, err = house.Mailer(file.Mail); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(logLevel(file.Log.Level))
	log := logbook.New(t.err, file.Log.Format, level)
	cfg.Log = log
	slog.SetDefault(log) // what the rooms say in the background obeys log.level too

	certificate := &certificate{}
	if file.TLS.Certificate != "" {
		if err := certificate.load(file.TLS); err != nil {
			return err
		}
		cfg.CertificateEnds = certificate.ends
	}
	if file.Tracing.Endpoint != "" {
		tracer, err := tracing.Open(tracing.Config{
			Endpoint: file.Tracing.Endpoint, CAFile: file.Tracing.CAFile, Sample: file.Tracing.Sample, Log: log,
		})
		if err != nil {
			return say.Errorf("tracing: %[1]v。設定の tracing の項を直してください。", "tracing: %[1]v; mend the tracing section", err)
		}
		defer tracer.Close() // after the house: the last requests are in it
		cfg.Trace, cfg.Spans = tracer.Request, tracer.Span
	}
	// To collect while the house is built is to look through the same few megabytes again
	// and again; the goal of memory (main) holds meanwhile.
	percent := debug.SetGCPercent(-1)
	h, err := house.Open(ctx, cfg, t.system)
	if err != nil {
		return err
	}
	defer h.Close()
	ln, err := listen(file.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	gear, err := house.ListenRADIUS(file.RADIUS.Listen, file.RADIUS.Accounting)
	if err != nil {
		return err
	}
	defer house.CloseRADIUS(gear)
	if file.Metrics.Listen != "" {
		metrics, err := serveMetrics(file.Metrics.Listen, h.Web)
		if err != nil {
			return err
		}
		defer metrics.Close()
	}
	if file.TLS.Certificate != "" {
		ln = tls.NewListener(ln, tlsConfig(file.TLS, certificate))
	}

	// Building the house leaves as much garbage as a gate holds afterwards, more where
	// the tables were just made. What is not needed again goes back before anybody comes.
	debug.SetGCPercent(percent)
	debug.FreeOSMemory()

	systemd := theSupervisor()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				systemd.reloading()
				reload(ctx, c.Config, certificate, level, log, h.ChangeGear)
				h.LookAtKeys()
				systemd.ready()
			}
		}
	}()
	defer context.AfterFunc(ctx, systemd.stopping)()
	go systemd.watchdog(ctx, answers(h.Handler()))
	systemd.ready()
	t.line("準備ができました。%s（%s）", "ready at %s (%s)", file.PublicURL, ln.Addr())
	h.Hear(gear)
	return h.Serve(ctx, ln, file.ShutdownGrace)
}

// answers asks the gate itself, without a network, whether it lives.
func answers(gate http.Handler) func() bool {
	return func() bool {
		w := unheard{}
		gate.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/healthz"}, Header: http.Header{}})
		return len(w) > 0
	}
}

// unheard is an answer of which only the header is kept.
type unheard http.Header

func (u unheard) Header() http.Header         { return http.Header(u) }
func (u unheard) Write(b []byte) (int, error) { return len(b), nil }
func (u unheard) WriteHeader(int)             {}

// tlsConfig is how the gate ends TLS itself. Where it asks for a card's
// certificate no connection is resumed: each one has the card sign anew. Whether
// a certificate is good is not TLS's to say but authn/card's, which knows the
// policy's authorities and what was revoked.
func tlsConfig(files config.TLS, c *certificate) *tls.Config {
	t := &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if files.ClientCertificates {
		t.ClientAuth, t.SessionTicketsDisabled = tls.RequestClientCert, true
	}
	return t
}

// reload reads again what may change under a running gate: the certificate, the
// clients of the network door and the log's level. A file with a fault changes nothing.
func reload(ctx context.Context, path string, c *certificate, level *slog.LevelVar, log *slog.Logger, gear func(context.Context, config.RADIUS, []radius.Client)) {
	file, err := config.Read(path)
	var clients []radius.Client
	if err == nil {
		clients, err = house.Gear(file.RADIUS)
	}
	if err == nil && file.TLS.Certificate != "" { // the last that may fail
		err = c.load(file.TLS)
	}
	if err != nil {
		log.Error("reload refused; everything stays as it was", "error", err)
		return
	}
	gear(ctx, file.RADIUS, clients)
	level.Set(logLevel(file.Log.Level))
	log.Warn("reloaded the certificate, the network gear and the log's level")
}

func logLevel(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // config.Read has checked it; the zero level is info
	return l
}

// A certificate can be replaced while connections are being made.
type certificate struct {
	now atomic.Pointer[tls.Certificate]
}

func (c *certificate) load(files config.TLS) error {
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return say.Errorf("証明書 %[1]s を使えません: %[2]v。証明書と鍵の組を確かめてください。", "certificate %[1]s cannot be used: %[2]v; check that certificate and key belong together", files.Certificate, err)
	}
	c.now.Store(&pair)
	return nil
}

// ends is when the certificate that is shown now ends.
func (c *certificate) ends() time.Time { return c.now.Load().Leaf.NotAfter }

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, say.Errorf("%[1]s で聞けません（%[2]v）。設定の listen を変えるか、使っているプログラムを止めてください。",
			"cannot listen on %[1]s (%[2]v); change listen, or stop the program that uses it", addr, err)
	}
	return ln, nil
}

// serveMetrics has a listener of its own, so that whoever reaches the gate does
// not reach the numbers, nor what exactly is wrong with a dependency.
func serveMetrics(addr string, gate *web.Server) (*http.Server, error) {
	ln, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("opening the metrics listener: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", gate.MetricsHandler())
	mux.Handle("GET /readyz", gate.ReadyHandler(true))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics listener ended", "error", err)
		}
	}()
	return srv, nil
}
