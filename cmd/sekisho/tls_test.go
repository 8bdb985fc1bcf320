package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"sekisho/cmd/sekisho/config"
)

// dialTLS makes one connection; seen is what the server knows of it, told what
// the client does.
func dialTLS(t *testing.T, server, client *tls.Config) (seen, told tls.ConnectionState) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan tls.ConnectionState, 1)
	go func() {
		defer close(served)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		// What the server writes carries the session tickets to the client.
		if _, err := c.Write([]byte{1}); err != nil {
			t.Error("the server:", err)
			return
		}
		served <- c.(*tls.Conn).ConnectionState()
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	seen, ok := <-served
	if !ok {
		t.Fatal("the server did not finish")
	}
	return seen, conn.ConnectionState()
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestClientCertificates: a gate that is told to asks for a card at each
// connection anew, whoever signed it, and lets in who has none; one that is not
// told asks nobody.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	own, mine := selfSigned(t, "gate.pref.example"), selfSigned(t, "tanaka")
	held := &certificate{}
	held.now.Store(&own)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		name := tls.VersionName(version)
		asking := tlsConfig(config.TLS{ClientCertificates: true}, held)
		asked := 0
		with := &tls.Config{
			InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4), //nolint:gosec // the server's own certificate is not what is tried
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { asked++; return &mine, nil },
		}
		for range 3 {
			seen, told := dialTLS(t, asking, with)
			if len(seen.PeerCertificates) != 1 || string(seen.PeerCertificates[0].Raw) != string(mine.Certificate[0]) {
				t.Errorf("%s: the gate saw %d certificates", name, len(seen.PeerCertificates))
			}
			if seen.DidResume || told.DidResume {
				t.Errorf("%s: a connection was resumed, without the card", name)
			}
		}
		if asked != 3 {
			t.Errorf("%s: the card signed %d of 3 connections", name, asked)
		}
		without := &tls.Config{InsecureSkipVerify: true, MaxVersion: version} //nolint:gosec // as above
		if seen, _ := dialTLS(t, asking, without); len(seen.PeerCertificates) != 0 {
			t.Errorf("%s: a certificate from nowhere", name)
		}

		silent := tlsConfig(config.TLS{}, held)
		asked = 0
		if seen, _ := dialTLS(t, silent, with); len(seen.PeerCertificates) != 0 || asked != 0 {
			t.Errorf("%s: a gate that was not told to asks for a card", name)
		}
	}
}
