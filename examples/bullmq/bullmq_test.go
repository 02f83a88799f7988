package bullmq

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { uptest.Main(m) }

// open starts the example's programs beside a real Redis and a real `tasktrail up`.
func open(t *testing.T, queue string, up []string, env ...string) *uptest.Scripts {
	install(t)
	return &uptest.Scripts{
		Up: uptest.Start(t, append(up, "--requeue-allow", "127.0.0.0/8")...), Redis: livetest.Start(t).URL(), Queue: queue, Env: env,
		Enqueuer: []string{"node", "enqueue.js"}, Worker: []string{"node", "worker.js"}, Ready: "ready",
	}
}

var installing sync.Mutex

// install installs what the lock file says, where that was not done.
func install(t *testing.T) {
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(filepath.Join("node_modules", ".package-lock.json")); err == nil {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// A stock SDK writes a full timeline, and a retry reaches the worker by the URL of
// its queue.
func TestAFullTimelineAndTheWayBack(t *testing.T) {
	t.Parallel()
	uptest.RunBank(t, open(t, "orders", nil), uptest.Bank{
		Input: func(order, fails int) string { return fmt.Sprintf(`{"order":%d,"fails":%d}`, order, fails) },
		Patch: `{"fails":null,"order":44}`, Runner: "bullmq", Kind: "http_503",
	})
}

// The four telemetry events alone make a coarser timeline that is as true.
func TestTelemetryEventsAlone(t *testing.T) {
	t.Parallel()
	s := open(t, "coarse", nil)
	s.Register(t, "")
	worker := s.WorkAs(t, "--coarse")
	s.Put(t, "c-ok", `{"order":1}`, nil, "--coarse")
	s.Put(t, "c-second-try", `{"order":2,"fails":1}`, nil, "--coarse")
	s.Put(t, "c-fails", `{"order":3,"fails":2}`, nil, "--coarse")
	failed := []string{"r1 task_started", "r1 a1 task_retried", "r1 task_failed", "r1 moved_to_dlq"}
	s.Up.Lived(t, "c-ok", "r1 task_started", "r1 task_completed")
	s.Up.Lived(t, "c-second-try", "r1 task_started", "r1 a1 task_retried", "r1 task_completed")
	s.Up.Lived(t, "c-fails", failed...)
	if snap := s.Up.Task(t, "c-fails"); snap.State != timeline.StateFailed || snap.Error == nil || !strings.Contains(snap.Error.Message, "503") || snap.Queue != "coarse" {
		t.Errorf("%+v %+v", snap, snap.Error)
	}
	// The input was never sent; BullMQ has it, which the registration may say.
	if status, said := s.Up.Retry(t, "c-fails", ""); status != http.StatusUnprocessableEntity || !strings.Contains(said, "not_replayable") {
		t.Errorf("a retry without an input: %d %s", status, said)
	}
	s.Register(t, `,"keeps_input":true`)
	if status, said := s.Up.Retry(t, "c-fails", ""); status != http.StatusAccepted {
		t.Fatalf("a retry: %d %s", status, said)
	}
	s.Up.Lived(t, "c-fails", append(failed, "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 task_completed", "r2 dlq_resolved")...)
	uptest.Stop(t, worker)
}

// Workers die on a task more often than BullMQ allows: it is given up, and a dead
// letter.
func TestATaskThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	s := open(t, "deadly", nil, "WORK=./testdata/shapes.js", "LOCK_MS=4000")
	worker := s.Work(t)
	s.Put(t, "d", `{"plans":[["hang"]]}`, nil)
	life := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started"}
	s.Up.Lived(t, "d", life...)
	worker.Kill()
	worker = s.Work(t)
	life = append(life, "r1 task_lost", "r1 a2 attempt_started")
	s.Up.Lived(t, "d", life...)
	worker.Kill()
	worker = s.Work(t)
	s.Up.Lived(t, "d", append(life, "r1 task_lost", "r1 task_failed", "r1 moved_to_dlq")...)
	if snap := s.Up.Task(t, "d"); snap.State != timeline.StateFailed || snap.Reason != timeline.FailLost {
		t.Errorf("%s, reason %s", snap.State, snap.Reason)
	}
	uptest.Stop(t, worker)
}
