package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/config"
	"sekisho/test/harness"
)

// A unit is a file of systemd's: what stands under each section, in order.
type unit map[string]map[string][]string

func readUnit(t *testing.T, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			if u[section] != nil {
				t.Errorf("section %s twice", section)
			}
			u[section] = map[string][]string{}
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%q is no line of a unit", line)
			}
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}

// demanded are the lines that take from the gate what it does not need.
var demanded = map[string]string{
	"Type": "notify", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
	"PrivateDevices": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
	"ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectProc": "invisible", "RestrictNamespaces": "yes",
	"RestrictSUIDSGID": "yes", "RestrictRealtime": "yes", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes",
	"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "SystemCallArchitectures": "native",
	"SystemCallFilter": "@system-service", "CapabilityBoundingSet": "", "LimitCORE": "0", "UMask": "0077", "StateDirectoryMode": "0700",
}

// faults are the rules that a unit breaks.
func (u unit) faults(file string) (all []string) {
	for _, section := range []string{"Unit", "Service", "Install"} {
		if len(u[section]) == 0 {
			all = append(all, "no section "+section)
		}
	}
	for _, keys := range u {
		for key, values := range keys {
			if len(values) > 1 && key != "LoadCredential" {
				all = append(all, key+" stands there twice")
			}
		}
	}
	s := u["Service"]
	for key, want := range demanded {
		if got, ok := s[key]; !ok || got[0] != want {
			all = append(all, key+" is not "+want)
		}
	}
	one := func(key string) string { return strings.Join(s[key], " ") }
	if one("ExecStart") != "/usr/local/bin/sekisho serve --config /etc/sekisho/"+file {
		all = append(all, "ExecStart is "+one("ExecStart"))
	}
	if user := one("User"); user == "" || user == "root" || user != one("Group") {
		all = append(all, "User is "+user)
	}
	for dir := range strings.FieldsSeq(one("StateDirectory")) {
		if !slices.Contains(strings.Fields(one("ReadWritePaths")), "/var/lib/"+dir) {
			all = append(all, "ReadWritePaths without "+dir)
		}
	}
	for _, c := range s["LoadCredential"] {
		if name, path, _ := strings.Cut(c, ":"); !strings.HasPrefix(path, "/etc/sekisho/secrets/") || filepath.Base(path) != name {
			all = append(all, "LoadCredential is "+c)
		}
	}
	return all
}

// TestUnits holds the units of docs/systemd to their rules, the rules to
// breaches, and both to what systemd itself says of them.
func TestUnits(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"sekisho.service": "sekisho.yaml", "sekisho@.service": "%i.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bytes, err := os.ReadFile("../docs/systemd/" + name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(bytes)
			u := readUnit(t, text)
			for _, fault := range u.faults(file) {
				t.Error(fault)
			}
			stop, err := time.ParseDuration(strings.Join(u["Service"]["TimeoutStopSec"], "") + "s")
			if f, e := config.Read(composeFolder + "sekisho.yaml"); err != nil || e != nil || stop < f.DrainDelay+f.ShutdownGrace+10*time.Second {
				t.Errorf("TimeoutStopSec is %v: %v %v", stop, err, e)
			}
			for _, breach := range [][2]string{
				{"ProtectSystem=strict", "ProtectSystem=full"}, {"LimitCORE=0\n", ""}, {"PrivateTmp=yes", "PrivateTmp=yes\nPrivateTmp=no"},
				{"sekisho serve --config", "sekisho dev --config"}, {"ReadWritePaths=", "ReadWritePaths=/srv #"}, {"/etc/sekisho/secrets/", "/tmp/"},
				{"NoNewPrivileges=yes", "NoNewPrivileges=no"}, {"SystemCallFilter=@system-service\n", ""}, {"User=sekisho", "User=root #"},
			} {
				if !strings.Contains(text, breach[0]) {
					t.Fatalf("no %q", breach[0])
				}
				if broken := readUnit(t, strings.Replace(text, breach[0], breach[1], 1)); len(broken.faults(file)) == 0 {
					t.Errorf("%q in the place of %q is not noticed", breach[1], breach[0])
				}
			}

			analyze, err := exec.LookPath("systemd-analyze")
			if err != nil {
				return // the rules above hold without it
			}
			path := filepath.Join(t.TempDir(), strings.Replace(name, "@.", "@lgwan.", 1))
			text = strings.Replace(text, "/usr/local/bin/sekisho", harness.Binary(t, "sekisho"), 1)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
			if err != nil || strings.Contains(string(out), filepath.Base(path)+":") {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			out, err = exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path).CombinedOutput()
			if err != nil {
				t.Errorf("systemd-analyze security: %v\n%s", err, out)
			}
		})
	}
}

// TestBackupUnit: the nightly backup has no more rights than the gate, is a
// command that exists, and systemd reads it and its timer.
func TestBackupUnit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	units := map[string]unit{}
	for _, name := range []string{"sekisho-backup.service", "sekisho-backup.timer"} {
		text, err := os.ReadFile("../docs/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		units[name] = readUnit(t, string(text))
		paths = append(paths, filepath.Join(dir, name))
		text = []byte(strings.Replace(string(text), "/usr/local/bin/sekisho", harness.Binary(t, "sekisho"), 1))
		if err := os.WriteFile(paths[len(paths)-1], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := units["sekisho-backup.service"]["Service"]
	for key, want := range demanded {
		if key == "Type" || key == "StateDirectoryMode" {
			continue
		}
		if got, ok := s[key]; !ok || got[0] != want {
			t.Errorf("%s is not %q", key, want)
		}
	}
	if units["sekisho-backup.timer"]["Timer"]["OnCalendar"] == nil {
		t.Error("the timer has no time")
	}
	// The very line, as systemd hands it to the shell, on a folder of dev's.
	line := strings.NewReplacer("$$", "$", "%%", "%").Replace(s["ExecStart"][0])
	script := strings.TrimSuffix(strings.TrimPrefix(line, "/bin/sh -c '"), "'")
	d := harness.StartSample(t)
	to := t.TempDir()
	script = strings.NewReplacer("/usr/local/bin/sekisho", harness.Binary(t, "sekisho"), "--config /etc/sekisho/sekisho.yaml", "--data "+d.Folder,
		"/var/backups/sekisho", to).Replace(script)
	if out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("the backup: %v\n%s", err, out)
	}
	if made, err := filepath.Glob(filepath.Join(to, "20??-??-??-????.age")); err != nil || len(made) != 1 {
		t.Errorf("it made %v, %v", made, err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // the rules above hold without it
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "sekisho-backup") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", paths[0]).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
