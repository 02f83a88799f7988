package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

var shell = regexp.MustCompile("(?s)```sh\n(.*?)```")

// What docs/runners/command.md tells its readers to type is typed, against a real
// `tasktrail up`.
func TestTheGuideForCommandsRuns(t *testing.T) {
	u := uptest.Start(t)
	bin := t.TempDir()
	if err := os.Symlink(proctest.Build(t, "./cmd/tasktrail"), filepath.Join(bin, "tasktrail")); err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(proctest.Root(t), "docs", "runners", "command.md"))
	if err != nil {
		t.Fatal(err)
	}
	type typed struct{ script, output string }
	var said []typed
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TASKTRAIL_TOKEN="+u.Token, "TASKTRAIL_COLLECTOR_URL="+u.Collector(),
		"TASKTRAIL_DATA_DIR="+u.DataDir, "XDG_CACHE_HOME="+t.TempDir())
	for _, m := range shell.FindAllStringSubmatch(string(guide), -1) {
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", m[1])
		cmd.Env, cmd.Dir = env, t.TempDir()
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(m[1], "tasktrail timeline") { // its events may be on their way still
			t.Errorf("%s\n%v: %s", m[1], err, out)
		}
		said = append(said, typed{m[1], string(out)})
	}
	if len(said) < 3 || !strings.Contains(said[0].output, "saved") || !strings.Contains(said[1].output, "no such account") || !strings.Contains(said[1].output, "status 2") {
		t.Errorf("the commands said %q", said)
	}
	for id, end := range map[string]string{"backup-monday": "r1 task_completed", "report-7": "r1 moved_to_dlq", "import-3": "r1 task_completed"} {
		proctest.Eventually(t, 20*time.Second, id, func() (bool, string) {
			life, err := u.Life(id)
			return err == nil && len(life) > 0 && life[len(life)-1] == end, strings.Join(life, ", ")
		})
	}
}
