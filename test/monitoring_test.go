package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// TestPrometheusReadsTheRules has Prometheus's own tool read the alerts and all
// that the dashboard asks, and play time series to the alerts: which of them are
// told of what, and of what not.
func TestPrometheusReadsTheRules(t *testing.T) {
	t.Parallel()
	promtool := harness.Need(t, "promtool", "prometheus")
	dir := t.TempDir()
	tool := func(args ...string) (string, error) {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"alerts.yaml": "../docs/monitoring/alerts.yaml", "played.yaml": "testdata/alerts_test.yaml"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(name, text)
	}
	if out, err := tool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"); err != nil {
		t.Errorf("the alerts: %v\n%s", err, out)
	}
	if out, err := tool("test", "rules", "played.yaml"); err != nil {
		t.Errorf("the alerts at work: %v\n%s", err, out)
	}

	// A panel's question is read as a rule would be.
	text, err := os.ReadFile("../docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: panels\n  rules:\n")
	asked := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			asked++
			fmt.Fprintf(&rules, "  - {record: 'panel:%d', expr: %q}\n", asked, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	write("panels.yaml", []byte(rules.String()))
	if out, err := tool("check", "rules", "panels.yaml"); err != nil || asked < 10 {
		t.Errorf("the dashboard's %d questions: %v\n%s", asked, err, out)
	}
	write("broken.yaml", []byte(rules.String()+"  - {record: 'panel:0', expr: 'rate(sekisho_sessions[5m'}\n"))
	if _, err := tool("check", "rules", "broken.yaml"); err == nil {
		t.Error("a question that cannot be read is taken")
	}
}
