package card

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	// MaxForwarded is the longest header that is read, in bytes.
	MaxForwarded = 16 << 10
	// maxChain is how many certificates may come, the card's own among them: each
	// is one more for a stranger to have us verify.
	maxChain = 4
)

// ParseForwarded reads the certificate that a trusted proxy passes on, with what
// signed it if the proxy adds that: RFC 9440's Client-Cert (":base64:"), or the
// escaped PEM of nginx's $ssl_client_escaped_cert. ErrNone for an empty header.
func ParseForwarded(header string) ([]*x509.Certificate, error) {
	header = strings.TrimSpace(header)
	switch {
	case header == "":
		return nil, ErrNone
	case len(header) > MaxForwarded:
		return nil, errors.New("the certificate is too long")
	case strings.HasPrefix(header, ":"):
		inner, ok := strings.CutSuffix(header[1:], ":")
		if !ok {
			return nil, errors.New("the certificate is no byte sequence of RFC 9440")
		}
		der, err := base64.StdEncoding.Strict().DecodeString(inner)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
		return []*x509.Certificate{c}, nil
	}
	text, err := url.PathUnescape(header) // '+' is a letter of base64 here, not a space
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	var chain []*x509.Certificate
	for rest := strings.TrimSpace(text); rest != ""; {
		// The decoder steps over what it cannot read. A proxy that adds its own
		// word to what its client wrote must not have the client's count first.
		block, after := pem.Decode([]byte(rest))
		if block == nil || block.Type != "CERTIFICATE" || len(chain) == maxChain ||
			!strings.HasPrefix(rest, "-----BEGIN") || strings.Count(rest, "-----BEGIN") != strings.Count(string(after), "-----BEGIN")+1 {
			return nil, errors.New("the certificate is not PEM of one to four certificates alone")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
		chain = append(chain, c)
		rest = strings.TrimSpace(string(after))
	}
	if len(chain) == 0 {
		return nil, errors.New("the certificate is empty")
	}
	return chain, nil
}
