package bullmq

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { uptest.Main(m) }

// shop is the example on a real Redis, beside a real `tasktrail up`.
type shop struct {
	*testing.T
	up    *uptest.Up
	redis string
}

func open(t *testing.T) *shop {
	install(t)
	return &shop{t, uptest.Start(t, "--requeue-allow", "127.0.0.0/8"), livetest.Start(t).URL()}
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

func (s *shop) env(queue string) []string {
	return []string{
		"REDIS_URL=" + s.redis, "QUEUE=" + queue,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.up.Collector(), "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20" + s.up.Token,
	}
}

func (s *shop) worker(queue string, env []string, args ...string) *proctest.Process {
	s.Helper()
	p := proctest.Start(s, append(s.env(queue), env...), "node", append([]string{"worker.js"}, args...)...)
	proctest.Eventually(s, time.Minute, "the worker is ready", func() (bool, string) {
		return strings.Contains(p.Output(), "ready"), p.Output()
	})
	return p
}

func (s *shop) enqueue(queue, id, input string, args ...string) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "node", append([]string{"enqueue.js", id, input}, args...)...)
	cmd.Env = append(os.Environ(), s.env(queue)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("enqueue %s: %v\n%s", id, err, out)
	}
}

func (s *shop) lives(id string, want ...string) {
	s.Helper()
	proctest.Eventually(s, time.Minute, id+" lived as planned", func() (bool, string) {
		life, err := s.up.Life(id)
		return err == nil && slices.Equal(life, want), fmt.Sprintf("%q, %v; want %q", life, err, want)
	})
}

func (s *shop) task(id string) timeline.Snapshot {
	s.Helper()
	var snap timeline.Snapshot
	if _, err := s.up.Call("GET", "/tasks/"+id, "", &snap); err != nil {
		s.Fatal(err)
	}
	return snap
}

// retry asks for a retry and returns the status and what was said.
func (s *shop) retry(id, body string) (int, string) {
	s.Helper()
	var got json.RawMessage
	status, err := s.up.Call("POST", "/tasks/"+id+"/retry", body, &got)
	if err != nil {
		return status, err.Error()
	}
	return status, string(got)
}

// register registers the re-enqueue URL of a queue and returns its secret.
func (s *shop) register(queue, body string) string {
	s.Helper()
	var got struct{ Secret string }
	if _, err := s.up.Call("PUT", "/requeue-urls/"+url.PathEscape(queue), body, &got); err != nil {
		s.Fatal(err)
	}
	return got.Secret
}

var (
	twice = []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried",
		"r1 a2 attempt_started", "r1 a2 attempt_failed", "r1 task_failed", "r1 moved_to_dlq",
	}
	retried = []string{
		"r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success", "r2 task_completed", "r2 dlq_resolved",
	}
)

// A stock SDK writes a full timeline, and a retry reaches the worker by the URL of
// its queue.
func TestAFullTimelineAndTheWayBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	addr := proctest.FreeAddrs(t, 1)[0]
	lives := uptest.Lives(t)
	before := s.worker("orders", nil)
	s.enqueue("orders", "ok", `{"order":1}`)
	s.enqueue("orders", "second-try", `{"order":2,"fails":1}`)
	s.enqueue("orders", "fails", `{"order":3,"fails":2}`)
	s.enqueue("orders", "wrong", `{"order":4,"fails":1000}`)
	s.lives("ok", lives["success"]...)
	s.lives("second-try", lives["retry_then_success"]...)
	s.lives("fails", twice...)
	s.lives("wrong", twice...)
	if snap := s.task("fails"); snap.State != timeline.StateFailed || snap.Error == nil || snap.Error.Kind != "http_503" || snap.Runner != "bullmq" ||
		snap.Agent != "orders-worker" || string(snap.Input) != `{"order":3,"fails":2}` || snap.Reason != timeline.FailExhausted {
		t.Errorf("%+v %+v", snap, snap.Error)
	}

	// Nobody can start it again yet, and that is said before anything is promised.
	if status, said := s.retry("fails", ""); status != http.StatusUnprocessableEntity || !strings.Contains(said, "not_requeueable") {
		t.Errorf("a retry without a URL: %d %s", status, said)
	}
	s.lives("fails", twice...)

	secret := s.register("orders", `{"url":"http://`+addr+`/requeue"}`)
	_, port, _ := strings.Cut(addr, ":")
	stop(t, before)
	worker := s.worker("orders", []string{"REQUEUE_SECRET=" + secret, "REQUEUE_PORT=" + port})
	if status, said := s.retry("fails", `{"reason":"the bank is back"}`); status != http.StatusAccepted || !strings.Contains(said, `"served":true`) {
		t.Fatalf("a retry: %d %s", status, said)
	}
	s.worked("fails", append(slices.Clone(twice), retried...), `{"order":3,"charged":"default/fails"}`)

	// The input is mended by hand: a new effect, under a key of its own.
	if status, said := s.retry("wrong", `{"reason":"a wrong number","input_patch":{"fails":null,"order":44}}`); status != http.StatusAccepted {
		t.Fatalf("an edited retry: %d %s", status, said)
	}
	s.worked("wrong", append(slices.Clone(twice), retried...), `{"order":44,"charged":"default/wrong/e1"}`)

	// Whoever does not know the secret cannot put tasks into the queue.
	resp, err := http.Post("http://"+addr+"/requeue", "application/json", strings.NewReader(`{"data":{"type":"charge_order","task_id":"forged","run":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged post: %s", resp.Status)
	}
	stop(t, worker)
}

// worked waits for a life and looks at what came of it.
func (s *shop) worked(id string, life []string, output string) {
	s.Helper()
	s.lives(id, life...)
	if snap := s.task(id); snap.State != timeline.StateCompleted || snap.Run != 2 || string(snap.Output) != output {
		s.Errorf("%s: %s in run %d with %s, want completed in run 2 with %s", id, snap.State, snap.Run, snap.Output, output)
	}
}

// The four telemetry events alone make a coarser timeline that is as true.
func TestTelemetryEventsAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	addr := proctest.FreeAddrs(t, 1)[0]
	_, port, _ := strings.Cut(addr, ":")
	secret := s.register("coarse", `{"url":"http://`+addr+`/requeue"}`)
	worker := s.worker("coarse", []string{"REQUEUE_SECRET=" + secret, "REQUEUE_PORT=" + port}, "--coarse")
	s.enqueue("coarse", "c-ok", `{"order":1}`, "--coarse")
	s.enqueue("coarse", "c-second-try", `{"order":2,"fails":1}`, "--coarse")
	s.enqueue("coarse", "c-fails", `{"order":3,"fails":2}`, "--coarse")
	failed := []string{"r1 task_started", "r1 a1 task_retried", "r1 task_failed", "r1 moved_to_dlq"}
	s.lives("c-ok", "r1 task_started", "r1 task_completed")
	s.lives("c-second-try", "r1 task_started", "r1 a1 task_retried", "r1 task_completed")
	s.lives("c-fails", failed...)
	if snap := s.task("c-fails"); snap.State != timeline.StateFailed || snap.Error == nil || !strings.Contains(snap.Error.Message, "503") || snap.Queue != "coarse" {
		t.Errorf("%+v %+v", snap, snap.Error)
	}
	// The input was never sent; BullMQ has it, which the registration may say.
	if status, said := s.retry("c-fails", ""); status != http.StatusUnprocessableEntity || !strings.Contains(said, "not_replayable") {
		t.Errorf("a retry without an input: %d %s", status, said)
	}
	s.register("coarse", `{"url":"http://`+addr+`/requeue","keeps_input":true}`)
	if status, said := s.retry("c-fails", ""); status != http.StatusAccepted {
		t.Fatalf("a retry: %d %s", status, said)
	}
	s.lives("c-fails", append(failed, "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 task_completed", "r2 dlq_resolved")...)
	stop(t, worker)
}

// Workers die on a task more often than BullMQ allows: it is given up, and a dead
// letter.
func TestATaskThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	s := open(t)
	env := []string{"WORK=./testdata/shapes.js", "LOCK_MS=4000"}
	worker := s.worker("deadly", env)
	s.enqueue("deadly", "d", `{"plans":[["hang"]]}`)
	life := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started"}
	s.lives("d", life...)
	worker.Kill()
	worker = s.worker("deadly", env)
	life = append(life, "r1 task_lost", "r1 a2 attempt_started")
	s.lives("d", life...)
	worker.Kill()
	worker = s.worker("deadly", env)
	s.lives("d", append(life, "r1 task_lost", "r1 task_failed", "r1 moved_to_dlq")...)
	if snap := s.task("d"); snap.State != timeline.StateFailed || snap.Reason != timeline.FailLost {
		t.Errorf("%s, reason %s", snap.State, snap.Reason)
	}
	stop(t, worker)
}

// stop ends a worker as a deployment does.
func stop(t *testing.T, p *proctest.Process) {
	t.Helper()
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("the worker: %v", err)
	}
}
