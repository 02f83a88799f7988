package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// sidecarProcess is a `tasktrail agent` that is killed and started again on the same
// data directory and address.
type sidecarProcess struct {
	up   *uptest.Up
	dir  string
	addr string
	args []string
}

func newSidecarProcess(t *testing.T, u *uptest.Up, args ...string) *sidecarProcess {
	return &sidecarProcess{u, t.TempDir(), proctest.FreeAddrs(t, 1)[0], args}
}

// Work implements uptest.Runner.
func (s *sidecarProcess) Work(t testing.TB) *proctest.Process {
	t.Helper()
	args := append([]string{
		"agent", "--data-dir", s.dir, "--agent-addr", s.addr, "--collector-url", s.up.Collector(), "--agent-retry-base", "100ms",
	}, s.args...)
	p := proctest.Start(t, []string{"TASKTRAIL_TOKEN=" + s.up.Token}, proctest.Build(t, "./cmd/tasktrail"), args...)
	p.WaitReady(t, "http://"+s.addr+"/readyz", time.Minute)
	return p
}

// The usual lives of a task, under the sidecar.
func TestShapesOverHTTP(t *testing.T) {
	t.Parallel()
	nerve := livetest.Start(t)
	u := uptest.Start(t, "--redis-url", nerve.URL(), "--lost-after", "5s")
	service := httptest.NewServer(http.HandlerFunc(shapeCallback))
	t.Cleanup(service.Close)
	uptest.RunShapes(t, u, nerve.RestartEmpty, &httpShapes{newSidecarProcess(t, u, "--callback-allow", "127.0.0.0/8"), service.URL, 0})
}

// shapeCallback does what the input plans for the attempt.
func shapeCallback(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Run, Attempt int
		Input        json.RawMessage
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &call)
	}
	word := ""
	if err == nil {
		word, err = uptest.Planned(call.Input, call.Run, call.Attempt)
	}
	switch {
	case err != nil, word == "permanent":
		w.WriteHeader(http.StatusBadRequest)
	case word == "ok":
		_, _ = io.WriteString(w, "{}")
	case word == "hang":
		<-r.Context().Done()
	default:
		w.WriteHeader(http.StatusBadGateway)
	}
}

type httpShapes struct {
	*sidecarProcess
	callback string
	posted   int
}

func (h *httpShapes) Differences() uptest.Differences {
	return uptest.Differences{Without: map[string]string{"cancelled while waiting": "the sidecar begins a task at once"}}
}

func (h *httpShapes) Enqueue(t testing.TB, s uptest.Shape) string {
	t.Helper()
	h.posted++
	id := "http-" + strconv.Itoa(h.posted)
	body, err := json.Marshal(map[string]any{
		"task_id": id, "type": uptest.ShapeType, "callback_url": h.callback, "input": s.Input, "max_attempts": s.Input.MaxAttempts,
		"user_id": "user-7", "amount": "120.00", "currency": "USD", "mode": "async",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.addr+"/v1/tasks", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.up.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("post %s: %s %s", s.Name, resp.Status, said)
	}
	return id
}

// The usual lives of a task, of commands under `tasktrail run`; what an operator
// retries is taken by a resident agent.
func TestShapesOfCommands(t *testing.T) {
	t.Parallel()
	nerve := livetest.Start(t)
	u := uptest.Start(t, "--redis-url", nerve.URL(), "--lost-after", "5s", "--lost-letter-after", "2s")
	c := &commandShapes{nil, t.TempDir(), filepath.Join(proctest.Root(t), "app", "testdata", "shape.sh"), 0}
	var rules []string
	for _, words := range [][]string{{"fail", "ok"}, {"permanent", "ok"}, {"ok"}, {"hang", "ok"}} {
		rule, err := json.Marshal(c.command(words...))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, "--exec-queue", "shapes="+string(rule))
	}
	c.sidecarProcess = newSidecarProcess(t, u, rules...)
	uptest.RunShapes(t, u, nerve.RestartEmpty, c)

	// Nothing but an operator starts a command again whose run was killed.
	died := c.start(t, "died", c.command("hang", "ok"), 2)
	begun := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started"}
	lives := func(want ...string) {
		t.Helper()
		proctest.Eventually(t, time.Minute, "the life of a command that was killed", func() (bool, string) {
			got, err := u.Life("died")
			return err == nil && slices.Equal(got, want), fmt.Sprint(strings.Join(got, ", "), err)
		})
	}
	lives(begun...)
	died.Kill()
	lost := append(begun, "r1 task_lost", "r1 task_failed", "r1 moved_to_dlq")
	lives(lost...)
	if code, err := u.Call("POST", "/tasks/died/retry", "", nil); code != http.StatusAccepted {
		t.Fatalf("the retry: %d, %v", code, err)
	}
	lives(append(lost, "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success",
		"r2 task_completed", "r2 dlq_resolved")...)
	var task timeline.Snapshot
	if _, err := u.Call("GET", "/tasks/died", "", &task); err != nil || task.State != timeline.StateCompleted || task.Runner != "exec" {
		t.Errorf("%s under %s, %v", task.State, task.Runner, err)
	}
}

type commandShapes struct {
	*sidecarProcess
	spool, script string
	begun         int
}

func (c *commandShapes) Differences() uptest.Differences {
	edited, _ := json.Marshal(map[string]any{"command": c.command("ok")}) // strings alone: this cannot fail
	return uptest.Differences{
		Without: map[string]string{
			"cancelled while waiting":   "a command begins at once",
			"worker died, then resumed": "nothing but an operator starts a command again",
		},
		Patches: map[string]string{"permanent, then edited and retried": string(edited)},
	}
}

// command is the command of a plan: a word of words for each run.
func (c *commandShapes) command(runs ...string) []string {
	return append([]string{"sh", c.script}, runs...)
}

func (c *commandShapes) Enqueue(t testing.TB, s uptest.Shape) string {
	t.Helper()
	c.begun++
	id := "exec-" + strconv.Itoa(c.begun)
	var runs []string
	for _, plan := range s.Input.Plans {
		runs = append(runs, strings.Join(plan, " "))
	}
	c.start(t, id, c.command(runs...), s.Input.MaxAttempts)
	return id
}

func (c *commandShapes) start(t testing.TB, id string, command []string, attempts int) *proctest.Process {
	t.Helper()
	args := append([]string{
		"run", "--task-id", id, "--type", uptest.ShapeType, "--queue", "shapes", "--amount", "120.00", "--currency", "USD", "--user", "user-7",
		"--max-attempts", strconv.Itoa(attempts), "--retry-base", "100ms", "--collector-url", c.up.Collector(), "--spool-dir", c.spool, "--",
	}, command...)
	return proctest.Start(t, []string{"TASKTRAIL_TOKEN=" + c.up.Token}, proctest.Build(t, "./cmd/tasktrail"), args...)
}
