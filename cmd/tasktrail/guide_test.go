package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

var shell = regexp.MustCompile("(?s)```sh\n(.*?)```")

// typist types what guides say, beside a `tasktrail up` on addresses of its own.
type typist struct {
	*testing.T
	up  *uptest.Up
	dir string
	env []string
	// instead replaces the addresses that guides name.
	instead *strings.Replacer
}

func newTypist(t *testing.T, instead ...string) *typist {
	u := uptest.Start(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(proctest.Build(t, "./cmd/tasktrail"), filepath.Join(dir, "bin", "tasktrail")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(u.DataDir, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	return &typist{t, u, dir, append(os.Environ(),
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "TASKTRAIL_TOKEN="+u.Token, "TOKEN="+u.Token, "ADMIN="+u.Token,
		"TASKTRAIL_COLLECTOR_URL="+u.Collector(), "TASKTRAIL_DATA_DIR="+u.DataDir, "XDG_CACHE_HOME="+t.TempDir(),
	), strings.NewReplacer(append(instead, "http://127.0.0.1:4318", u.Collector(), "http://127.0.0.1:8080/api/v1", u.API())...)}
}

// scripts are the pieces of shell of a guide.
func (ty *typist) scripts(guide ...string) []string {
	ty.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{proctest.Root(ty)}, guide...)...))
	if err != nil {
		ty.Fatal(err)
	}
	var scripts []string
	for _, m := range shell.FindAllStringSubmatch(string(text), -1) {
		scripts = append(scripts, m[1])
	}
	return scripts
}

func (ty *typist) types(script string) (string, error) {
	cmd := exec.CommandContext(ty.Context(), "bash", "-e", "-c", ty.instead.Replace(script))
	cmd.Env, cmd.Dir = ty.env, ty.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ends waits until a task has come to one of the events.
func (ty *typist) ends(id string, events ...string) {
	ty.Helper()
	proctest.Eventually(ty, 20*time.Second, id, func() (bool, string) {
		life, err := ty.up.Life(id)
		return err == nil && len(life) > 0 && slices.Contains(events, life[len(life)-1]), strings.Join(life, ", ")
	})
}

// What docs/runners/command.md tells its readers to type is typed, against a real
// `tasktrail up`.
func TestTheGuideForCommandsRuns(t *testing.T) {
	t.Parallel()
	ty := newTypist(t)
	var said []string
	for _, script := range ty.scripts("docs", "runners", "command.md") {
		out, err := ty.types(script)
		if err != nil && !strings.Contains(script, "tasktrail timeline") { // its events may be on their way still
			t.Errorf("%s\n%v: %s", script, err, out)
		}
		said = append(said, out)
	}
	if len(said) < 3 || !strings.Contains(said[0], "saved") || !strings.Contains(said[1], "no such account") || !strings.Contains(said[1], "status 2") {
		t.Errorf("the commands said %q", said)
	}
	ty.ends("backup-monday", "r1 task_completed")
	ty.ends("report-7", "r1 moved_to_dlq")
	ty.ends("import-3", "r1 task_completed")
}

// So is what docs/runners/opentelemetry.md does.
func TestTheGuideForOpenTelemetryRuns(t *testing.T) {
	t.Parallel()
	ty := newTypist(t)
	scripts := ty.scripts("docs", "runners", "opentelemetry.md")
	if len(scripts) != 3 {
		t.Fatalf("%d scripts", len(scripts))
	}
	out, err := ty.types(scripts[0] + scripts[1] + scripts[2])
	if err != nil || !strings.Contains(out, `"secret":"whsec_`) || !strings.Contains(out, `"queue":"orders","url":"https://shop.example.com/requeue"`) {
		t.Errorf("%v: %s", err, out)
	}
	ty.ends("t1", "r1 task_completed")
}

// And what the README says of the sidecar, to one that listens elsewhere.
func TestTheReadmeOfTheSidecarRuns(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"charged":true}`) }))
	defer service.Close()
	sidecar := proctest.FreeAddrs(t, 1)[0]
	ty := newTypist(t, "localhost:7070", sidecar, "http://127.0.0.1:9000", service.URL)
	var script string
	for _, s := range ty.scripts("README.md") {
		if strings.Contains(s, "/v1/tasks") && strings.Contains(s, "callback_url") {
			script = s
		}
	}
	start, asks, found := strings.Cut(script, "\n\n")
	if !found || !strings.Contains(start, "bin/tasktrail agent --callback-allow 127.0.0.0/8 &") {
		t.Fatalf("the README starts the sidecar with %q", start)
	}
	p := proctest.Start(t, []string{"TASKTRAIL_TOKEN=" + ty.up.Token, "TASKTRAIL_COLLECTOR_URL=" + ty.up.Collector()},
		filepath.Join(ty.dir, "bin", "tasktrail"), "agent", "--callback-allow", "127.0.0.0/8", "--agent-addr", sidecar, "--data-dir", t.TempDir())
	p.WaitReady(t, "http://"+sidecar+"/readyz", time.Minute)
	out, err := ty.types(asks)
	for _, want := range []string{
		`"task_id":"order-17","run":1,"state":"completed","attempts":1,"output":{"charged":true}`, `"task_id":"mail-4","run":1`,
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: %s lacks %s", err, out, want)
		}
	}
	ty.ends("order-17", "r1 task_completed")
	ty.ends("mail-4", "r1 task_completed", "r1 task_cancelled") // by the last line, which may be in time
}
