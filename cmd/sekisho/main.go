// Command sekisho is the gate and everything an operator does to it.
//
// This package is the front desk: it reads the command line, finds the house
// the command is about, calls one function of it, and turns what comes back
// into one line and an exit status. What the house is built of stands in
// house/house.go, on one page; the rooms are wired there and nowhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// Exit statuses, a contract with scripts.
const (
	exitDone    = 0
	exitRefused = 1 // refused, or found a fault: one line on stderr says what to do
	exitUse     = 2 // wrong use
)

// memoryGoal is what the collector works towards. A password hash takes 64 MiB
// and leaves them as garbage; without a goal a flood of sign-ins would let twice
// as much stand about. It is a goal and no bound, and GOMEMLIMIT overrides it.
const memoryGoal = 384 << 20

func main() {
	runtime.MemProfileRate = 0 // nobody can ask for the profile, and its table costs a megabyte
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], &terminal{
		out: os.Stdout, err: os.Stderr, lang: say.Language(os.Getenv), system: clock.System(),
	}))
}

// A terminal is who a command speaks to, and by which clock.
type terminal struct {
	out, err io.Writer
	lang     string // "ja" or "en"
	system   clock.Now
}

// line prints one line of words in the reader's language.
func (t *terminal) line(ja, en string, args ...any) {
	fmt.Fprintf(t.out, policy.Words{JA: ja, EN: en}.In(t.lang)+"\n", args...)
}

// misuse is a command line that cannot be meant.
type misuse struct{ cause error }

func (m misuse) Error() string { return m.cause.Error() }
func (m misuse) Unwrap() error { return m.cause }

// helped ends the parse after help was shown; kong itself would go on.
type helped struct{ code int }

// grammarFor is the grammar, or of it the one command that has to be quick: to fill all
// commands' help with words takes a fifth of a gate's start.
func grammarFor(args []string) any {
	if len(args) > 0 && args[0] == "serve" {
		return &struct {
			Serve serveCmd `cmd:"" help:"${serve}"`
		}{}
	}
	return &cli{}
}

// run is the whole command, but for the process around it.
func run(ctx context.Context, args []string, t *terminal) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case helped:
			code = r.code
		default:
			panic(r)
		}
	}()
	parser, err := kong.New(grammarFor(args),
		kong.Name("sekisho"),
		kong.Description(vocabulary["about"].In(t.lang)),
		kong.Writers(t.out, t.err),
		kong.Exit(func(code int) { panic(helped{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		helpWords(t.lang),
	)
	if err != nil {
		panic(fmt.Sprintf("the command grammar is wrong: %v", err))
	}
	parser.Model.HelpFlag.Help = vocabulary["help_flag"].In(t.lang)
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(t.err, "sekisho: %s\n", say.In(t.lang, misread(err)))
		return exitUse
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(t)
	var wrong misuse
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrong):
		fmt.Fprintf(t.err, "sekisho: %s\n", say.In(t.lang, err))
		return exitUse
	default:
		fmt.Fprintf(t.err, "sekisho: %s\n", say.In(t.lang, err))
		return exitRefused
	}
}
