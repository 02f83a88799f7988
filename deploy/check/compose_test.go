package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// load copies the folder, makes its secrets as its script does, and has Compose's
// own loader read it.
func load(t *testing.T) *types.Project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deploy", "compose")
	if err := os.CopyFS(dir, os.DirFS("../compose")); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(filepath.Join(dir, "secrets")) // of whoever has tried it here
	if out, err := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "secrets.sh")).CombinedOutput(); err == nil {
		t.Errorf("secrets that are there were made anew: %s", out)
	}
	files, err := os.ReadDir(filepath.Join(dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("secrets/%s may be read by others: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	opts, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")}, cli.WithResolvedPaths(true), cli.WithWorkingDirectory(dir))
	if err != nil {
		t.Fatal(err)
	}
	p, err := opts.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Compose takes the file, and what it makes of it is bounded, watched, reachable
// from this host alone, and has no secret in it that is not in a file.
func TestComposeIsWhatComposeKnows(t *testing.T) {
	p := load(t)
	want := []string{"agent", "clickhouse", "collector", "grafana", "migrate", "query", "redis", "worker"}
	if got := p.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	ours := 0
	for name, s := range p.Services {
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 {
			t.Errorf("%s has no limit of memory", name)
		}
		if s.Restart == "" {
			t.Errorf("%s stays down when it falls", name)
		}
		if watched := s.HealthCheck != nil && !s.HealthCheck.Disable; !watched && name != "migrate" && name != "worker" {
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s listens at %s:%s: others reach it", name, port.HostIP, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && p.Volumes[v.Source].Name == "" {
				t.Errorf("%s mounts %s, which is no volume", name, v.Source)
			}
		}
		if s.Image == "tasktrail:small" {
			ours++
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
				t.Errorf("%s may more than it needs", name)
			}
			if s.Build == nil || s.Build.Target != "small" || s.Build.Dockerfile == "" {
				t.Errorf("%s is not built from the Dockerfile: %+v", name, s.Build)
			}
			for _, key := range []string{"TASKTRAIL_CLICKHOUSE_DSN", "TASKTRAIL_REDIS_URL", "TASKTRAIL_TOKEN", "TASKTRAIL_COMMAND_KEY"} {
				if v := s.Environment[key]; v == nil || len(*v) < 16 {
					t.Errorf("%s gets no %s out of secrets/", name, key)
				}
			}
		}
	}
	if ours != 4 {
		t.Errorf("%d services are of our image, want migrate, collector, query and agent", ours)
	}
	text, err := os.ReadFile("../compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Services {
		for key, v := range s.Environment {
			if v != nil && len(*v) > 20 && strings.ContainsAny(key, "PTK") && (strings.Contains(key, "PASSWORD") || strings.Contains(key, "TOKEN")) && strings.Contains(string(text), *v) && !strings.HasPrefix(*v, "/run/secrets/") {
				t.Errorf("%s of %s stands in the file", key, s.Name)
			}
		}
	}
	if s := p.Secrets["grafana_password"]; s.File == "" {
		t.Error("Grafana's password is no secret of a file")
	}
}
