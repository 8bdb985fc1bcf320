package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Address names a server that is running already, host:port, made with the zero
// Options but FsyncOff: the packages of one run share it.
const Address = "SEKISHO_TEST_POSTGRES"

var shared struct {
	once   sync.Once
	server *Server
	err    error
	broom  *os.File // the end of its pipe, open for as long as this process lives
}

// Shared is one server for the whole process, which it ends with. It is fast and
// not durable. Tests keep apart by their databases.
func Shared(t testing.TB) *Server {
	t.Helper()
	if os.Getenv(Address) == "" {
		Missing(t)
	}
	shared.once.Do(func() { shared.server, shared.err = share() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func share() (*Server, error) {
	if at := os.Getenv(Address); at != "" {
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			return nil, fmt.Errorf("%s is no address: %w", Address, err)
		}
		number, err := strconv.Atoi(port)
		return &Server{Port: number}, err
	}
	s, err := some(Options{FsyncOff: true})
	if err != nil {
		return nil, err
	}
	return s, sweep(s)
}

// some starts a server in a folder of its own.
func some(o Options) (*Server, error) {
	var last error
	for range 5 { // another process may take the port between our look and the server's
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		dir, err := folder()
		if err != nil {
			return nil, err
		}
		s, err := Run(dir, port, o)
		if err == nil {
			return s, nil
		}
		last = errors.Join(err, os.RemoveAll(dir))
	}
	return nil, last
}

// Lend starts a server for other processes, which find it by Address.
func Lend() (*Server, func() error, error) {
	s, err := some(Options{FsyncOff: true})
	if err != nil {
		return nil, nil, err
	}
	return s, func() error { return errors.Join(s.Stop(), os.RemoveAll(s.Dir)) }, nil
}

// sweep leaves somebody behind who removes the server's folder when this process
// has ended, however it ended: a test binary has no last word.
func sweep(s *Server) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	broom := exec.Command("/bin/sh", "-c", `read _; kill -QUIT "$1" 2>/dev/null; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2"`, "sweep",
		strconv.Itoa(s.PID), filepath.Clean(s.Dir))
	broom.Stdin = r // ends when we do: the other end is ours alone
	broom.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := broom.Start(); err != nil {
		return err
	}
	shared.broom = w
	return r.Close()
}

// Template makes the database name once, by fill, and answers when it is there:
// copies of it are made faster than by migrating each.
func (s *Server) Template(ctx context.Context, name string, fill func(database string) error) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return s.alone(ctx, func(exists func(string) (bool, error)) error {
		if there, err := exists(name); err != nil || there {
			return err
		}
		made, err := s.Database(ctx, "")
		if err != nil {
			return err
		}
		if err := fill(made); err != nil {
			return errors.Join(err, s.Drop(ctx, made))
		}
		return s.Admin(ctx, "postgres", `ALTER DATABASE `+made+` RENAME TO `+name)
	})
}
