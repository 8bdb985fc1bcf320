package web

import (
	"net/netip"
	"strings"
	"testing"
)

func prefixes(t testing.TB, list ...string) (out []netip.Prefix) {
	t.Helper()
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestForwarded(t *testing.T) {
	proxies := prefixes(t, "127.0.0.0/8", "10.9.0.0/16", "fd00::/8")
	for _, tt := range []struct {
		name    string
		peer    string
		xff     []string
		trusted []netip.Prefix
		want    string // "" = refused
		named   bool
	}{
		{"no header", "10.1.2.3", nil, proxies, "10.1.2.3", false},
		{"a stranger's header is not read", "192.0.2.1", []string{"10.1.2.3"}, proxies, "192.0.2.1", false},
		{"an empty list trusts nobody", "127.0.0.1", []string{"10.1.2.3"}, nil, "127.0.0.1", false},
		{"one proxy", "127.0.0.1", []string{"10.1.2.3"}, proxies, "10.1.2.3", true},
		{"what the client wrote itself stands left", "127.0.0.1", []string{"1.1.1.1, 10.1.2.3"}, proxies, "10.1.2.3", true},
		{"rubbish left of the client is not read", "127.0.0.1", []string{"<script>, 10.1.2.3"}, proxies, "10.1.2.3", true},
		{"two proxies", "127.0.0.1", []string{"1.1.1.1, 10.1.2.3, 10.9.0.1"}, proxies, "10.1.2.3", true},
		{"several headers are one list", "127.0.0.1", []string{"10.1.2.3", "10.9.0.1"}, proxies, "10.1.2.3", true},
		{"proxies alone", "127.0.0.1", []string{"10.9.0.2, 10.9.0.1"}, proxies, "10.9.0.2", true},
		{"unknown", "127.0.0.1", []string{"unknown"}, proxies, "", false},
		{"empty", "127.0.0.1", []string{""}, proxies, "", false},
		{"an empty element where the client should be", "127.0.0.1", []string{"10.1.2.3,"}, proxies, "", false},
		{"leading zeros", "127.0.0.1", []string{"010.1.2.3"}, proxies, "", false},
		{"a name", "127.0.0.1", []string{"localhost"}, proxies, "", false},
		{"port", "127.0.0.1", []string{"10.1.2.3:4711"}, proxies, "10.1.2.3", true},
		{"IPv6", "127.0.0.1", []string{"2001:db8::1"}, proxies, "2001:db8::1", true},
		{"IPv6 with port", "127.0.0.1", []string{"[2001:db8::1]:80"}, proxies, "2001:db8::1", true},
		{"IPv6 in brackets", "127.0.0.1", []string{"[2001:db8::1]"}, proxies, "2001:db8::1", true},
		{"zone id", "127.0.0.1", []string{"fe80::1%eth0"}, proxies, "fe80::1", true},
		{"IPv4 in IPv6", "127.0.0.1", []string{"::ffff:10.1.2.3"}, proxies, "10.1.2.3", true},
		{"IPv4 in IPv6 peer", "::ffff:127.0.0.1", []string{"10.1.2.3"}, proxies, "10.1.2.3", true},
		{"IPv6 proxy", "fd00::2", []string{"2001:db8::1, fd00::3"}, proxies, "2001:db8::1", true},
		{"too many hops", "127.0.0.1", []string{strings.Repeat("10.9.0.1,", 40) + "10.9.0.1"}, proxies, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, named, err := Forwarded(netip.MustParseAddr(tt.peer), tt.xff, tt.trusted)
			if tt.want == "" {
				if err == nil {
					t.Fatalf("Forwarded = %v, want a refusal", got)
				}
				return
			}
			if err != nil || got.String() != tt.want || named != tt.named {
				t.Errorf("Forwarded = %v, %v, %v, want %s, %v", got, named, err, tt.want, tt.named)
			}
		})
	}
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "10.1.2.3", "1.1.1.1, 10.1.2.3", "[::1]:80", "fe80::1%a,b", ",", "::ffff:1.2.3.4", "1.2.3.4:"} {
		f.Add(s, "10.9.0.1")
	}
	trusted := prefixes(f, "127.0.0.0/8", "10.9.0.0/16")
	f.Fuzz(func(t *testing.T, a, b string) {
		peer := netip.MustParseAddr("127.0.0.1")
		got, named, err := Forwarded(peer, []string{a, b}, trusted)
		if err != nil {
			if got.IsValid() {
				t.Fatalf("an error with an address: %v", got)
			}
			return
		}
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" || !named {
			t.Fatalf("Forwarded(%q, %q) = %v, %v", a, b, got, named)
		}
		// One list in two headers or in one is the same list.
		if again, _, err := Forwarded(peer, []string{a + "," + b}, trusted); err != nil || again != got {
			t.Fatalf("joined: %v, %v; apart: %v", again, err, got)
		}
		// A stranger's word never moves the answer.
		stranger := netip.MustParseAddr("192.0.2.7")
		if got, named, err := Forwarded(stranger, []string{a, b}, trusted); err != nil || got != stranger || named {
			t.Fatalf("a stranger spoke for another: %v", got)
		}
	})
}

func TestHostname(t *testing.T) {
	for in, want := range map[string]string{
		"juki.localhost": "juki.localhost", "Juki.LocalHost:8080": "juki.localhost", "a.example.": "a.example", "a.example.:80": "a.example",
		"[::1]:80": "::1", "[::1": "", "[::1]x": "", "a@b": "", "a b": "", "a/b": "", "a\\b": "", "例え.jp": "", "": "", "a..": "a.",
	} {
		if got := Hostname(in); got != want {
			t.Errorf("Hostname(%q) = %q, want %q", in, got, want)
		}
	}
}
