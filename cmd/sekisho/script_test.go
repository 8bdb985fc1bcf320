package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"sekisho/cmd/sekisho/sample"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sekisho": main})
}

// TestScripts runs testdata/script, which reads like a manual of the commands.
// Each script begins in an empty folder with a sound policy.yaml and a
// sekisho.yaml whose directory is away.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			secrets, err := sample.Draw()
			if err != nil {
				return err
			}
			env.Setenv("LANG", "C")
			env.Setenv("LC_ALL", "")
			env.Setenv("SUDO_USER", "operator")
			for name, text := range map[string][]byte{
				"policy.yaml":   sample.Policy(secrets.Terminals),
				"sekisho.yaml":  []byte(awayConfig),
				"ldap.password": []byte("not-asked\n"),
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), text, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitfor":  waitFor,
			"replace":  replaceText,
			"modeonly": modeOnly,
			"mode":     mode,
			"sigterm":  sigterm,
			"agekey":   ageKey,
		},
	})
}

// awayConfig is complete but for a directory that answers: port 1 is nobody's.
const awayConfig = `listen: 127.0.0.1:0
public_url: http://localhost:8080
store: {path: data/sekisho.db}
directory:
  servers: [ldap://127.0.0.1:1]
  base_dn: dc=pref,dc=example
  bind_dn: cn=sekisho,dc=pref,dc=example
  bind_password_file: ldap.password
  op_timeout: 300ms
keys: {sealing: keys/sealing.key, session: keys/session.key, trail: keys/trail.key}
trail: {anchor: data/checkpoint}
backup: {recipients: []}
`

// waitFor waits until a file is there: a command in the background has got so
// far.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s did not appear", args[0])
		}
	}
}

// replaceText exchanges text in a file, which must be there.
func replaceText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	if !bytes.Contains(text, []byte(args[1])) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, bytes.Replace(text, []byte(args[1]), []byte(args[2]), 1), 0o600))
}

// ageKey makes an age identity in a file, and names its public half in the
// variable of the same name, in capitals.
func ageKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: agekey NAME")
	}
	id, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("# made for a test\n"+id.String()+"\n"), 0o600))
	ts.Setenv(strings.ToUpper(args[0]), id.Recipient().String())
}

// modeOnly fails unless each file can be touched by its owner alone.
func modeOnly(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if (info.Mode().Perm()&0o077 == 0) == neg {
			ts.Fatalf("%s has mode %v", name, info.Mode().Perm())
		}
	}
}

// mode is chmod.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL FILE...")
	}
	bits, err := strconv.ParseUint(args[0], 8, 9)
	ts.Check(err)
	for _, name := range args[1:] {
		ts.Check(os.Chmod(ts.MkAbs(name), os.FileMode(bits)))
	}
}

// sigterm stops the dev that wrote a dev.json, as a service manager would.
func sigterm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sigterm DATA/dev.json")
	}
	var d struct {
		PID int `json:"pid"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &d))
	ts.Check(syscall.Kill(d.PID, syscall.SIGTERM))
}
