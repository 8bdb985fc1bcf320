// Package tracing sends spans to a collector by OpenTelemetry's protocol, for
// those who want to see where a request spent its time.
//
// What it knows of a request is its route (as mounted, without what was in its
// place), its method, its status, the codes of its outcome and its request id.
// It is given no login, address, cookie, query or body, so it can tell none. A
// collector that is away costs nothing but the spans: they wait in a bounded
// queue and are dropped.
//
// Nothing of it runs unless the configuration names a collector.
package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sekisho/policy/audit"
)

// A Config says where spans go.
type Config struct {
	Endpoint string // https://host:4318
	CAFile   string // PEM; the machine's own list when empty
	Sample   float64
	Log      *slog.Logger
}

// A Tracer makes spans and sends them.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
}

// sendWithin bounds one delivery, the last one at the end too.
const sendWithin = 5 * time.Second

// Open prepares the way to the collector. It reaches for nothing: a gate starts
// while the collector is away.
func Open(c Config) (*Tracer, error) {
	to, err := newCollector(c)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), to)
	if err != nil {
		return nil, fmt.Errorf("opening the way to the collector: %w", err)
	}
	// The library has a variable of its own for what it wants to say; what
	// matters of it, that the collector is away, the collector says itself.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Sample))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "sekisho"))),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(2048), sdk.WithMaxExportBatchSize(256), sdk.WithExportTimeout(sendWithin)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("sekisho")}, nil
}

// Close sends what waits, as far as that takes no longer than a few seconds.
func (t *Tracer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), sendWithin)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what could not be sent is lost; the collector has said that it is away
}

// Request is web.Trace: the span of one request. parent is the word of a
// trusted proxy, nil from anybody else.
func (t *Tracer) Request(ctx context.Context, route string, parent http.Header) (context.Context, func(status int, failure error)) {
	if parent != nil {
		ctx = t.context.Extract(ctx, propagation.HeaderCarrier(parent))
	}
	ctx, span := t.tracer.Start(ctx, route, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, func(int, error) {}
	}
	method, path, ok := strings.Cut(route, " ")
	if ok {
		span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", path))
	}
	if id := audit.RequestOf(ctx); id != "" {
		span.SetAttributes(attribute.String("sekisho.request_id", id))
	}
	return ctx, func(status int, failure error) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if failure != nil && status >= http.StatusInternalServerError {
			// Its cause is in the log, under the request id: an error may name
			// a host or an entry of the directory.
			span.SetStatus(codes.Error, http.StatusText(status))
		}
		span.End()
	}
}

// Span is house.Spans: a piece of work within a request. Work that belongs to no
// request that is traced has none, but for mail, which is sent when nobody asks.
func (t *Tracer) Span(ctx context.Context, name string) func(outcome string) {
	if !trace.SpanContextFromContext(ctx).IsSampled() && !strings.HasPrefix(name, "mail.") {
		return func(string) {}
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return func(outcome string) {
		span.SetAttributes(attribute.String("sekisho.outcome", outcome))
		if outcome == "away" || outcome == "busy" {
			span.SetStatus(codes.Error, outcome)
		}
		span.End()
	}
}

// A collector takes spans over HTTP: OTLP/HTTP with protobuf. TracesData is,
// byte for byte, the request that the protocol asks for; its own type would
// bring gRPC with it, a server of its own, into a gate that needs none.
type collector struct {
	url    string
	client *http.Client
	log    *slog.Logger
	away   atomic.Bool
}

func newCollector(c Config) (*collector, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the collector's address %q is no URL", c.Endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	way := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the collector's CA file: %w", err)
		}
		way.RootCAs = x509.NewCertPool()
		if !way.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the collector's CA file: %s holds no certificate", c.CAFile)
		}
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &collector{url: u.String(), log: log, client: &http.Client{
		Timeout:       sendWithin,
		Transport:     &http.Transport{TLSClientConfig: way, MaxIdleConns: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Start and Stop are asked for by the exporter; there is nothing to keep open.
func (c *collector) Start(context.Context) error { return nil }

// Stop hangs up.
func (c *collector) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends a batch once. What the collector does not take is lost.
func (c *collector) UploadTraces(ctx context.Context, spans []*otlp.ResourceSpans) error {
	err := c.send(ctx, spans)
	switch away := err != nil; {
	case away && !c.away.Swap(true):
		c.log.Warn("the collector of traces is away; spans are dropped until it is back", "error", err)
	case !away && c.away.Swap(false):
		c.log.Info("the collector of traces is back")
	}
	return err
}

func (c *collector) send(ctx context.Context, spans []*otlp.ResourceSpans) error {
	body, err := proto.Marshal(&otlp.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("writing spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("sending spans: the collector answers %s", resp.Status)
	}
	return nil
}
