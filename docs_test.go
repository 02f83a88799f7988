package tasktrail_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	yamlTag     = regexp.MustCompile("yaml:\"([a-z_]+)\"")
	envName     = regexp.MustCompile(`TASKTRAIL_([A-Z_]+[A-Z])`)
	flagName    = regexp.MustCompile("`?--([a-z][a-z-]+)")
	link        = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	settingName = regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`")
	metricName  = regexp.MustCompile(`tasktrail_[a-z]+_[a-z_]+`)
)

// Guides name settings, metrics and files that there are.
func TestGuidesNameWhatThereIs(t *testing.T) {
	settings := map[string]bool{"chdb_lib": true, "config": true}
	for _, path := range []string{"app/settings.go", "app/sidecar.go"} {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yamlTag.FindAllStringSubmatch(string(source), -1) {
			settings[m[1]] = true
		}
	}
	if len(settings) < 30 {
		t.Fatalf("%d settings are known", len(settings))
	}
	var sources strings.Builder
	for _, pattern := range []string{"cmd/tasktrail/*.go", "collector/metrics.go", "query/metrics.go", "store/migrations/*.sql", "store/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(b)
		}
	}
	all := sources.String()
	for _, path := range []string{"docs/operations.md", "docs/cluster.md", "docs/comparison.md", "dashboards/grafana/README.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range envName.FindAllStringSubmatch(text, -1) {
			name := strings.ToLower(m[1])
			if !settings[name] && !strings.HasPrefix(path, "dashboards/") {
				t.Errorf("%s: there is no TASKTRAIL_%s", path, m[1])
			}
		}
		for _, m := range flagName.FindAllStringSubmatch(text, -1) {
			if !settings[strings.ReplaceAll(m[1], "-", "_")] && !strings.Contains(all, `"`+m[1]+`"`) && m[1] != "help" {
				t.Errorf("%s: there is no flag --%s", path, m[1])
			}
		}
		for _, m := range settingName.FindAllStringSubmatch(text, -1) {
			if !settings[m[1]] && !strings.Contains(all, m[1]) && !elsewhere[m[1]] {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
		for _, name := range metricName.FindAllString(text, -1) {
			if !strings.Contains(all, name) && name != "tasktrail_restored" {
				t.Errorf("%s: nothing exports %s", path, name)
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", path, m[1], err)
			}
		}
	}
}

// elsewhere are names that guides take from other programs, and keys of other
// files of ours.
var elsewhere = map[string]bool{
	"remote_servers": true, "max_tasks": true, "missed_run": true, "t_local": true, "in_progress": true,
	"partial_success": true, "reader_user": true, "reader_password": true,
}
