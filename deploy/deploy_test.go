package deploy_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/app"
)

var variable = regexp.MustCompile(`\bTASKTRAIL_[A-Z0-9_]+\b`)

// notSettings are variables that are read by something else than the settings:
// the engine's loader, and Grafana's provisioning.
var notSettings = []string{
	"TASKTRAIL_CONFIG", "TASKTRAIL_CHDB_LIB",
	"TASKTRAIL_CLICKHOUSE_HOST", "TASKTRAIL_CLICKHOUSE_PORT", "TASKTRAIL_CLICKHOUSE_USER", "TASKTRAIL_CLICKHOUSE_PASSWORD", "TASKTRAIL_CLICKHOUSE_DATABASE", "TASKTRAIL_UI_URL",
}

// A variable that the program does not know would keep it from starting.
func TestEveryVariableIsASetting(t *testing.T) {
	known := slices.Clone(notSettings)
	defaults := app.DefaultSettings()
	for _, f := range app.Fields(&defaults) {
		known = append(known, f.Env())
	}
	found := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "secrets"):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(path, ".go"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range variable.FindAllString(string(b), -1) {
			found++
			if !slices.Contains(known, strings.TrimSuffix(name, "_")) && !slices.Contains(known, name) {
				t.Errorf("%s: %s is no setting", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d variables were found: do the files still stand here?", found)
	}
}

// What compose.yaml names is there, and every service that stays has a check, a
// limit and a restart.
func TestComposeHoldsTogether(t *testing.T) {
	b, err := os.ReadFile("compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Command     any
			Restart     string
			Image       string
			DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
			Volumes     []string
			Healthcheck map[string]any
			Deploy      struct {
				Resources struct{ Limits map[string]string }
			}
			NetworkMode string `yaml:"network_mode"`
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) < 7 {
		t.Errorf("%d services", len(file.Services))
	}
	for name, s := range file.Services {
		if s.Restart == "" || s.Image == "" {
			t.Errorf("%s: no restart or no image", name)
		}
		if s.Deploy.Resources.Limits["memory"] == "" {
			t.Errorf("%s: no limit of memory", name)
		}
		for other, d := range s.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
			}
			if d.Condition == "service_healthy" && file.Services[other].Healthcheck == nil {
				t.Errorf("%s waits for the health of %s, which is never asked", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if _, err := os.Stat(filepath.Join("compose", from)); err != nil {
					t.Errorf("%s mounts %s: %v", name, from, err)
				}
			} else if _, ok := file.Volumes[from]; !ok {
				t.Errorf("%s mounts %s, which is no volume", name, from)
			}
		}
	}
}

// The units pass systemd's own check, where there is one.
func TestUnitsAreWellFormed(t *testing.T) {
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) != 4 {
		t.Fatalf("units: %v, %v", units, err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	dir := t.TempDir()
	for _, unit := range units {
		b, readErr := os.ReadFile(unit)
		if readErr != nil {
			t.Fatal(readErr)
		}
		for _, want := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "DynamicUser=yes", "Restart=always", "RestartPreventExitStatus=2"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s lacks %s", unit, want)
			}
		}
		if err != nil {
			continue // no systemd here
		}
		// The program is not installed on the machine of the test.
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(strings.ReplaceAll(string(b), "/usr/local/bin/tasktrail", "/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), analyze, "verify", copied).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		// How much a unit that is broken into could reach, from 0 to 10 (here 100): what is
		// left is the network, and that its user is made for it.
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=20", "--no-pager", copied).CombinedOutput()
		if err != nil && strings.Contains(string(out), "exposure level") { // else it is too old to be asked without a running systemd
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}
