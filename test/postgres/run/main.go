// Command run starts one PostgreSQL server for tests, runs a command with its
// address in the environment, and ends the server with it.
//
//	go run ./test/postgres/run go test ./policy/...
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"sekisho/test/postgres"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/postgres/run:", err)
	}
	os.Exit(status)
}

func run(command []string) (status int, err error) {
	if len(command) == 0 {
		return 2, errors.New("name a command")
	}
	server, stop, err := postgres.Lend()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // it is what we are for
	cmd.Env = append(os.Environ(), postgres.Address+"="+server.Addr(), "SEKISHO_TEST_STORE=postgres")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return 1, err
	}
	return 0, nil
}
