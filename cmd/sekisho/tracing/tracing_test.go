package tracing_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sekisho/cmd/sekisho/tracing"
	"sekisho/policy/audit"
)

// A receiver is a collector that remembers the spans it was sent.
type receiver struct {
	*httptest.Server
	ca string

	mu    sync.Mutex
	spans []*otlp.Span
	paths []string
	away  bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var data otlp.TracesData
		if err != nil || req.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &data) != nil {
			t.Errorf("not OTLP: %v %v", req.Header, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.paths = append(r.paths, req.URL.Path)
		for _, from := range data.ResourceSpans {
			for _, scope := range from.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(r.Close)
	r.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(r.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t *testing.T, c tracing.Config) *tracing.Tracer {
	t.Helper()
	tr, err := tracing.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func attributes(s *otlp.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[a.Key] = a.Value.GetStringValue()
	}
	return all
}

// TestSpans: a request and what it waited for arrive as one trace that says
// nothing of anyone, under the trace of a proxy that is believed.
func TestSpans(t *testing.T) {
	r := newReceiver(t)
	tr := open(t, tracing.Config{Endpoint: r.URL, CAFile: r.ca, Sample: 1})
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	parent := http.Header{"Traceparent": {"00-" + theirs + "-b7ad6b7169203331-01"}}

	ctx, ended := tr.Request(audit.WithRequest(t.Context(), "number-one"), "POST /api/v1/signin", parent)
	tr.Span(ctx, "directory.bind")("refused")
	tr.Span(ctx, "store.transaction")("busy")
	ended(503, errors.New("canary: uid=tanaka,ou=people"))
	tr.Span(context.Background(), "store.transaction")("ok") // nobody's request
	tr.Span(context.Background(), "mail.delivery")("away")
	tr.Close()

	var names []string
	for _, s := range r.spans {
		names = append(names, s.Name)
		if s.Name == "mail.delivery" {
			continue
		}
		if got := [16]byte(s.TraceId); !bytes.Equal(got[:], []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c")) {
			t.Errorf("%s is in trace %x, want %s", s.Name, got, theirs)
		}
		if strings.Contains(s.String(), "canary") || strings.Contains(s.String(), "tanaka") {
			t.Errorf("a span tells of people: %v", s)
		}
	}
	if got := strings.Join(names, " "); got != "directory.bind store.transaction POST /api/v1/signin mail.delivery" {
		t.Fatalf("spans %q", got)
	}
	for i, want := range []map[string]string{
		{"sekisho.outcome": "refused"}, {"sekisho.outcome": "busy"},
		{"http.request.method": "POST", "http.route": "/api/v1/signin", "sekisho.request_id": "number-one", "http.response.status_code": ""},
	} {
		got := attributes(r.spans[i])
		if len(got) != len(want) {
			t.Errorf("%s has %v, want %v", names[i], got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", names[i], k, got[k], v)
			}
		}
	}
	if r.spans[0].Status.GetCode() != otlp.Status_STATUS_CODE_UNSET || r.spans[1].Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || r.spans[2].Status.GetCode() != otlp.Status_STATUS_CODE_ERROR {
		t.Error("a refusal is no fault; busy and 503 are")
	}
	if r.paths[0] != "/v1/traces" {
		t.Errorf("sent to %s", r.paths[0])
	}
}

// TestStrangersCannotJoin: without a trusted proxy's word, a request begins a
// trace of its own, and the sample decides.
func TestStrangersCannotJoin(t *testing.T) {
	r := newReceiver(t)
	tr := open(t, tracing.Config{Endpoint: r.URL + "/otlp/v1/traces", CAFile: r.ca, Sample: 1e-9})
	for range 50 {
		_, ended := tr.Request(t.Context(), "GET /", nil)
		ended(200, nil)
	}
	_, ended := tr.Request(t.Context(), "GET /", http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}})
	ended(200, nil)
	tr.Close()
	if len(r.spans) != 0 {
		t.Errorf("%d spans of requests that were not to be traced", len(r.spans))
	}
}

// TestCollectorAway: it is said once, nothing waits for it, and it is not
// followed elsewhere.
func TestCollectorAway(t *testing.T) {
	r := newReceiver(t)
	r.away = true
	var log bytes.Buffer
	tr := open(t, tracing.Config{Endpoint: r.URL, CAFile: r.ca, Sample: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 600 { // more than two batches
		_, ended := tr.Request(t.Context(), "GET /", nil)
		ended(200, nil)
	}
	tr.Close()
	if n := strings.Count(log.String(), "collector of traces is away"); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

func TestOpenRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []tracing.Config{{}, {Endpoint: "https://x", CAFile: "/nowhere"}, {Endpoint: "https://x", CAFile: empty}} {
		if _, err := tracing.Open(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
