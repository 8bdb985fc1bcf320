package config

import (
	"net"
	"net/url"
)

// Tracing is where spans of requests are sent, by OpenTelemetry's protocol over
// HTTP (OTLP/HTTP, protobuf). Nothing about people is in them.
type Tracing struct {
	// Endpoint is the collector's address, such as
	// https://otel.pref.example:4318; "/v1/traces" is added to one without a
	// path. Default none: nothing is traced.
	Endpoint string `yaml:"endpoint"`
	// CAFile is the PEM of the authority that signed the collector. Default: the
	// machine's own list.
	CAFile string `yaml:"ca_file"`
	// Sample is which part of requests is traced, between 0 and 1. Default 0.01.
	// Where a trusted proxy has decided already, its word counts.
	Sample float64 `yaml:"sample"`
}

func (t *Tracing) anchor(dir string) {
	t.CAFile = locate(dir, t.CAFile)
}

func (f *File) checkTracing(say func(field, ja, en, near string)) {
	t := f.Tracing
	if t.Endpoint == "" {
		if t != (Tracing{}) {
			say("tracing.endpoint", "tracing を使うには、収集器のアドレスを書いてください（例 https://otel.pref.example:4318）。", "is what the rest of tracing is about, such as https://otel.pref.example:4318", "")
		}
		return
	}
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		say("tracing.endpoint", "https:// で始まる URL です（例 https://otel.pref.example:4318）。", "is a URL such as https://otel.pref.example:4318", "")
	case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "80")):
		// Spans say which doors are used when, and what fails.
		say("tracing.endpoint", "ほかのコンピュータへは https:// で送ります。", "is https:// for any machine but this one", "")
	}
	if !(t.Sample > 0 && t.Sample <= 1) {
		say("tracing.sample", "0 より大きく 1 以下の数です。", "is above 0 and at most 1", "")
	}
}
