package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// sidecarProcess is a running `tasktrail agent` in front of a `tasktrail up`.
type sidecarProcess struct {
	*proctest.Process
	t    *testing.T
	u    *uptest.Up
	addr string
	args []string
}

func startSidecar(t *testing.T, u *uptest.Up, args ...string) *sidecarProcess {
	t.Helper()
	s := &sidecarProcess{t: t, u: u, addr: proctest.FreeAddrs(t, 1)[0]}
	s.args = append([]string{
		"agent", "--agent-addr", s.addr, "--collector-url", u.Collector(), "--token", u.Token, "--data-dir", t.TempDir(),
		"--callback-allow", "127.0.0.0/8", "--agent-retry-base", "20ms", "--agent-max-attempts", "2",
	}, args...)
	s.start()
	return s
}

func (s *sidecarProcess) start() {
	s.t.Helper()
	s.Process = proctest.Start(s.t, nil, proctest.Build(s.t, "./cmd/tasktrail"), s.args...)
	s.WaitReady(s.t, "http://"+s.addr+"/readyz", 30*time.Second)
}

// call asks the sidecar; the answer's fields are those of tests.
func (s *sidecarProcess) call(method, path, body string) (int, map[string]any, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.u.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return resp.StatusCode, nil, fmt.Errorf("%w: %s", err, b)
	}
	return resp.StatusCode, fields, nil
}

func (s *sidecarProcess) post(id, callback, more string) (int, map[string]any) {
	s.t.Helper()
	code, fields, err := s.call(http.MethodPost, "/v1/tasks", fmt.Sprintf(
		`{"task_id":%q,"type":"payment","queue":"money","amount":"120.00","currency":"USD","callback_url":%q,"input":{"order":17}%s}`, id, callback, more))
	if err != nil {
		s.t.Fatal(err)
	}
	return code, fields
}

func wantLife(t *testing.T, u *uptest.Up, id string, want []string) {
	t.Helper()
	proctest.Eventually(t, 30*time.Second, id+" has its life", func() (bool, string) {
		got, err := u.Life(id)
		return err == nil && slices.Equal(got, want), fmt.Sprintf("got %q, %v; want %q", got, err, want)
	})
}

// A program in any language sees its tasks through, and operators see them as
// those of any other runner.
func TestSidecarOverUp(t *testing.T) {
	u := uptest.Start(t)
	lives := uptest.Lives(t)
	var healed atomic.Bool
	hang := make(chan struct{}, 1)
	var mu sync.Mutex
	keys := map[string][]string{}
	callbacks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys[r.URL.Path] = append(keys[r.URL.Path], r.Header.Get("Idempotency-Key")+" "+r.Header.Get("Tasktrail-Run")+" "+r.Header.Get("Tasktrail-Attempt"))
		mu.Unlock()
		switch {
		case r.URL.Path == "/hang":
			hang <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case r.URL.Path == "/second" && r.Header.Get("Tasktrail-Attempt") == "1", r.URL.Path == "/heals" && !healed.Load():
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = io.WriteString(w, `{"charged":true}`)
		}
	}))
	defer callbacks.Close()
	s := startSidecar(t, u)

	if code, a := s.post("success", callbacks.URL+"/ok", ""); code != http.StatusOK || a["state"] != "completed" {
		t.Errorf("success: %d %v", code, a)
	}
	wantLife(t, u, "success", lives["success"])
	if code, a := s.post("second", callbacks.URL+"/second", ""); code != http.StatusOK {
		t.Errorf("the second attempt: %d %v", code, a)
	}
	wantLife(t, u, "second", lives["retry_then_success"])
	if code, a := s.post("missing", "", ""); code != http.StatusBadGateway || a["dead_letter_id"] == nil {
		t.Errorf("no callback: %d %v", code, a)
	}
	wantLife(t, u, "missing", lives["missing_callback"])

	// Exhausted, a dead letter, retried by hand, completed in run 2.
	code, a := s.post("heals", callbacks.URL+"/heals", "")
	if code != http.StatusBadGateway || a["reason"] != "exhausted" {
		t.Fatalf("exhausted: %d %v", code, a)
	}
	wantLife(t, u, "heals", lives["exhausted_after_2"])
	healed.Store(true)
	// Dead letters are read a moment later than the timeline.
	proctest.Eventually(t, 20*time.Second, "the retry is taken", func() (bool, string) {
		_, err := u.Call(http.MethodPost, fmt.Sprintf("/failed-tasks/%v/retry", a["dead_letter_id"]), `{"reason":"the bank is back"}`, nil)
		return err == nil, fmt.Sprint(err)
	})
	wantLife(t, u, "heals", append(slices.Clone(lives["exhausted_after_2"]), "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started",
		"r2 a1 attempt_started", "r2 a1 attempt_success", "r2 task_completed", "r2 dlq_resolved"))
	mu.Lock()
	if got, want := keys["/heals"], []string{"default/heals 1 1", "default/heals 1 2", "default/heals 2 1"}; !slices.Equal(got, want) {
		t.Errorf("the callback saw %q, want %q", got, want)
	}
	mu.Unlock()
	if code, a := s.post("heals", callbacks.URL+"/heals", ""); code != http.StatusOK || a["run"] != 2.0 {
		t.Errorf("asked again: %d %v", code, a)
	}

	// Cancelled by an operator, with proof.
	if code, a := s.post("stops", callbacks.URL+"/hang", `,"mode":"async"`); code != http.StatusAccepted {
		t.Fatalf("async: %d %v", code, a)
	}
	<-hang
	proctest.Eventually(t, 20*time.Second, "the cancel is taken", func() (bool, string) {
		_, err := u.Call(http.MethodPost, "/tasks/stops/cancel", `{"reason":"wrong account"}`, nil)
		return err == nil, fmt.Sprint(err)
	})
	wantLife(t, u, "stops", lives["cancelled_while_running"])
	var page struct {
		Data []struct {
			StopProof string `json:"stop_proof"`
		} `json:"data"`
	}
	if _, err := u.Call(http.MethodGet, "/tasks/stops/timeline?types=task_cancelled", "", &page); err != nil || len(page.Data) != 1 || page.Data[0].StopProof != "stopped" {
		t.Errorf("the proof: %+v, %v", page, err)
	}
}

// Whenever the sidecar is killed: every task that was accepted ends once, its
// attempts numbered on.
func TestASidecarThatIsKilledGoesOn(t *testing.T) {
	u := uptest.Start(t)
	var mu sync.Mutex
	seen := map[string][]string{}
	callbacks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			TaskID  string `json:"task_id"`
			Attempt int    `json:"attempt"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		seen[body.TaskID] = append(seen[body.TaskID], fmt.Sprint(body.Attempt))
		mu.Unlock()
		if body.Attempt == 1 && strings.HasSuffix(body.TaskID, "3") {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer callbacks.Close()
	s := startSidecar(t, u, "--agent-max-attempts", "10", "--agent-workers", "4")
	const tasks, kills = 300, 4
	var accepted []string
	for i := range tasks {
		id := fmt.Sprintf("async-%d", i)
		// The provider is its own, so that no breaker opens.
		if code, a := s.post(id, callbacks.URL, fmt.Sprintf(`,"mode":"async","provider":"p%d"`, i)); code == http.StatusAccepted {
			accepted = append(accepted, id)
		} else {
			t.Errorf("%s: %d %v", id, code, a)
		}
		if i%(tasks/kills) == tasks/kills-1 {
			s.Kill()
			s.start()
		}
	}
	for _, id := range accepted {
		proctest.Eventually(t, 60*time.Second, id+" has ended", func() (bool, string) {
			_, a, err := s.call(http.MethodGet, "/v1/tasks/"+id, "")
			return err == nil && a["state"] == "completed", fmt.Sprint(a, err)
		})
	}
	for _, id := range accepted {
		var life []string
		proctest.Eventually(t, 60*time.Second, id+" has one end on record", func() (bool, string) {
			var err error
			life, err = u.Life(id)
			return err == nil && slices.Contains(life, "r1 task_completed"), fmt.Sprint(life, err)
		})
		if unique := slices.Compact(slices.Sorted(slices.Values(life))); len(unique) != len(life) {
			t.Errorf("%s: something happened twice: %q", id, life)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for id, attempts := range seen {
		if unique := slices.Compact(slices.Sorted(slices.Values(attempts))); len(unique) != len(attempts) {
			t.Errorf("%s was called for attempts %q", id, attempts)
		}
	}
	if out, err := u.Run("verify"); err != nil {
		t.Errorf("tasktrail verify: %v\n%s", err, out)
	}
}

// The dead letter of a command is retried where an operator has allowed exactly
// that command.
func TestTheDeadLetterOfACommandIsRetriedByAnAgent(t *testing.T) {
	u := uptest.Start(t)
	mended := filepath.Join(t.TempDir(), "mended")
	script := "[ -e " + mended + " ] || { echo the disk is missing >&2; exit 3; }"
	allowed, err := json.Marshal([]string{"sh", "-c", script})
	if err != nil {
		t.Fatal(err)
	}
	run := func(id, script string) {
		t.Helper()
		code, _, stderr := tasktrail(t, []string{"TASKTRAIL_TOKEN=" + u.Token}, "run", "--collector-url", u.Collector(), "--spool-dir", t.TempDir(),
			"--task-id", id, "--queue", "nightly", "--max-attempts", "1", "--", "sh", "-c", script)
		if code != 3 {
			t.Fatalf("%s: status %d: %s", id, code, stderr)
		}
	}
	run("backup", script)
	run("other", "exit 3")
	failed := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 task_failed", "r1 moved_to_dlq"}
	wantLife(t, u, "backup", failed)
	wantLife(t, u, "other", failed)
	if code, err := u.Call(http.MethodPost, "/tasks/backup/retry", `{"reason":"mended"}`, nil); code != http.StatusUnprocessableEntity {
		t.Fatalf("without an agent: %d, %v", code, err)
	}
	startSidecar(t, u, "--exec-queue", "nightly="+string(allowed), "--exec-queue", "hourly=true")
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"backup", "other"} {
		proctest.Eventually(t, 20*time.Second, "the retry of "+id+" is taken", func() (bool, string) {
			_, err := u.Call(http.MethodPost, "/tasks/"+id+"/retry", `{"reason":"mended"}`, nil)
			return err == nil, fmt.Sprint(err)
		})
	}
	wantLife(t, u, "backup", append(slices.Clone(failed), "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started",
		"r2 a1 attempt_started", "r2 a1 attempt_success", "r2 task_completed", "r2 dlq_resolved"))
	wantLife(t, u, "other", append(slices.Clone(failed), "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started",
		"r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 task_failed", "r2 moved_to_dlq"))
}
