// Package embedded is a small LDAP server inside the process: the directory of
// the default run, for a prefecture that has none yet or only wants to look.
//
// It speaks enough of RFC 4511 for the client of directory/ldap and for the
// ldap-utils: bind, search with every kind of filter and with paging, add,
// modify, delete, rename, compare, whoami, password modify, and entries that end by
// themselves (RFC 2589). It keeps the
// operational attributes of OpenLDAP's ppolicy, lastbind, memberof, refint and
// unique overlays under their own names, so that the same schema reads it.
//
// It listens on loopback only and keeps everything under one folder: a snapshot
// and a journal that is synced before a write is answered. A process killed at
// any instant loses nothing it has acknowledged. Passwords are Argon2id hashes
// from the moment they arrive, whichever operation brings them, and no operation
// gives them back.
//
// It refuses to be a directory for others: no replication, no schema checking
// beyond what would hide a mistake, no access rules beyond "the administrator
// may, you may see and change what is yours".
package embedded

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// Bounds on what a stranger on this machine may make the server hold.
const (
	maxMessage     = 1 << 20 // bytes
	maxDepth       = 64      // nesting of one message
	maxElements    = 60_000  // elements of one message
	maxConnections = 256
)

// Config says where the server keeps its entries and who administers them.
type Config struct {
	Dir           string // made when missing; one server at a time
	Listen        string // loopback address; default 127.0.0.1:0
	BaseDN        string
	AdminDN       string // default cn=admin,BaseDN; may do everything, is no entry
	AdminPassword secret.Text
	Hasher        *secret.Hasher
	Now           clock.Now
	// Seed fills an empty directory. It runs once, before the server listens,
	// after the base, ou=people, ou=groups, ou=admins and the default policy were made.
	Seed func(add func(dn string, attributes map[string][]string) error) error
}

// A Server is a running directory.
type Server struct {
	base     name
	admin    name
	adminKey [sha256.Size]byte
	hasher   *secret.Hasher
	now      clock.Now
	tree     *tree
	listener net.Listener

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	serving sync.WaitGroup
}

// Start opens the folder, seeds it if it is empty, and listens. The context
// bounds the seeding; the server runs until Close.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded directory: %w", err)
	}
	listen := c.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	if err := onLoopback(listen); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded directory: %w", err), s.tree.close())
	}
	if s.listener, err = net.Listen("tcp", listen); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded directory: %w", err), s.tree.close())
	}
	s.serving.Add(1)
	go s.accept()
	return s, nil
}

// open is Start without the network.
func open(ctx context.Context, c Config) (*Server, error) {
	if c.Hasher == nil || c.Now == nil || c.Dir == "" {
		return nil, errors.New("a folder, a hasher and a clock must be given")
	}
	if c.AdminPassword.IsEmpty() {
		return nil, errors.New("the administrator's password is empty")
	}
	base, err := parseName(c.BaseDN)
	if err != nil || base.key == "" {
		return nil, fmt.Errorf("reading the base DN %q: %w", c.BaseDN, errors.Join(err, errSyntax))
	}
	adminDN := c.AdminDN
	if adminDN == "" {
		adminDN = "cn=admin," + c.BaseDN
	}
	admin, err := parseName(adminDN)
	if err != nil || admin.key == "" {
		return nil, fmt.Errorf("reading the administrator's DN %q: %w", adminDN, errors.Join(err, errSyntax))
	}
	t, err := openTree(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		base: base, admin: admin,
		adminKey: sha256.Sum256(c.AdminPassword.Reveal()),
		hasher:   c.Hasher, now: c.Now, tree: t,
		conns: make(map[net.Conn]struct{}),
	}
	if err := s.seed(ctx, c.Seed); err != nil {
		return nil, errors.Join(fmt.Errorf("seeding: %w", err), t.close())
	}
	return s, nil
}

// onLoopback refuses any address that another machine could reach: binds are
// not encrypted here.
func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading the listen address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen address %q: the embedded directory listens on a loopback address only, such as 127.0.0.1:0", address)
}

// Addr is the address the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is Addr as the client's configuration takes it.
func (s *Server) URL() string { return "ldap://" + s.Addr() }

// Dial connects without the network.
func (s *Server) Dial() (net.Conn, error) {
	near, far := net.Pipe()
	if !s.admit(far) {
		_ = near.Close()
		_ = far.Close()
		return nil, errors.New("the embedded directory takes no connection")
	}
	return near, nil
}

func (s *Server) accept() {
	defer s.serving.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		if !s.admit(c) {
			_ = c.Close()
		}
	}
}

// admit serves a connection unless there are too many.
func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		newTalk(s, c).serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	return true
}

// Close ends every connection and the server, and returns when all is written.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var errs []error
	if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return errors.Join(append(errs, s.tree.close())...)
}
