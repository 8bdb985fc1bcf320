package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors are the rooms from the ground up: a room imports only from its own
// floor and those below.
var floors = []string{"policy", "directory", "authn", "authz", "web", "cmd"}

// drivers may be imported only by the room that owns the thing they drive.
var drivers = map[string]string{
	"modernc.org/sqlite":          "sekisho/policy/store",
	"github.com/pressly/goose/v3": "sekisho/policy/store",
	"github.com/jackc/pgx/v5":     "sekisho/policy/store",
	"github.com/pquerna/otp":      "sekisho/authn/totp",
	"github.com/redis/go-redis":   "sekisho/policy/ephemeral",
}

// TestImportsPointDown reads every package's imports and refuses one that
// points up the house.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "sekisho/...").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	floor := func(path string) int {
		room, ok := strings.CutPrefix(path, "sekisho/")
		if !ok {
			return -1
		}
		room, _, _ = strings.Cut(room, "/")
		return slices.Index(floors, room)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		mine := floor(p.ImportPath)
		if mine < 0 {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if floor(i) > mine {
				t.Errorf("%s imports %s, which is above it", p.ImportPath, i)
			}
			for driver, owner := range drivers {
				if (i == driver || strings.HasPrefix(i, driver+"/")) && !strings.HasPrefix(p.ImportPath, owner) {
					t.Errorf("%s imports %s, which is %s's to use", p.ImportPath, i, owner)
				}
			}
			// The ground's root is plain data; the building is done in cmd.
			if p.ImportPath == "sekisho/policy" && strings.HasPrefix(i, "sekisho/") {
				t.Errorf("the root of policy imports %s; it must import nothing of ours", i)
			}
		}
	}
	if seen < 10 {
		t.Errorf("looked at %d packages only: is the test looking at the house?", seen)
	}
}

// TestAssertionStandsAlone: an application imports web/gate/assertion, and gets
// neither the rest of the house with it nor a library that it does not need.
func TestAssertionStandsAlone(t *testing.T) {
	const room = "sekisho/web/gate/assertion"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", room).Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path != room && path != "github.com/golang-jwt/jwt/v5" {
			t.Errorf("%s comes with the assertion", path)
		}
	}
}
