package web

import (
	"crypto/x509"
	"errors"
	"net/http"

	"sekisho/authn/card"
)

const (
	terminalHeader = "X-Sekisho-Terminal"
	// maxTerminal is more than any assertion of ours needs.
	maxTerminal = 4 << 10
)

// certificates is the client certificate that a request came with, leaf first;
// nil for none.
//
// Where a trusted proxy ends TLS, the header that the configuration names is its
// word about its client, and its own certificate is nobody's. From anybody else
// that header is not looked at: it is text that a stranger can write.
func (s *Server) certificates(r *http.Request) ([]*x509.Certificate, error) {
	if _, proxy := s.Peer(r); !proxy {
		if r.TLS == nil {
			return nil, nil
		}
		return r.TLS.PeerCertificates, nil
	}
	if s.cfg.CertificateHeader == "" {
		return nil, nil
	}
	switch values := r.Header.Values(s.cfg.CertificateHeader); {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return nil, nil
	case len(values) > 1:
		return nil, Malformed(s.cfg.CertificateHeader, errForwarded)
	default:
		chain, err := card.ParseForwarded(values[0])
		if errors.Is(err, card.ErrNone) {
			return nil, nil
		}
		if err != nil {
			return nil, Malformed(s.cfg.CertificateHeader, err)
		}
		return chain, nil
	}
}

// spoken is what the terminal says of itself. Whether it is true is for
// authn/terminal to find out; here it must only be one thing of a sane length.
func spoken(r *http.Request) (string, error) {
	values := r.Header.Values(terminalHeader)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) > maxTerminal {
		return "", Malformed(terminalHeader, nil)
	}
	return values[0], nil
}
