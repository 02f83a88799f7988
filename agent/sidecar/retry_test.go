package sidecar

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// retryOf is the command that retries a task's dead letter, as a collector sends
// it: with what the timeline has of the task.
func retryOf(t timeline.Task, run int) timeline.Command {
	t.Namespace = "default"
	return timeline.Command{
		ID: timeline.CommandID("default", t.ID, run), Kind: timeline.CommandRetry, Task: t, Run: run,
		DeadLetterID: timeline.DeadLetterID("default", t.ID, run-1), Reason: timeline.RetryManual,
		Operator: &timeline.Operator{Actor: "ann"}, RequestedAt: time.Now(),
	}
}

func TestADeadLetterIsRetriedWithItsOriginalInput(t *testing.T) {
	r := newRig(t, nil)
	var healed atomic.Bool
	url, calls := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		if !healed.Load() {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		ok(w, req, c)
	})
	// The password is redacted in the timeline: what is retried is not what stands
	// there.
	a := r.post(fields{"task_id": "d", "callback_url": url, "input": fields{"password": "hunter2", "n": 1}})
	if a.status != http.StatusBadGateway {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	<-calls
	r.wantLife("d", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 task_failed", "r1 moved_to_dlq")
	events := r.collector.Events("d")
	moved := events[len(events)-1]
	if l := moved.DeadLetter; !l.Requeueable || l.NotReplayable != "" || strings.Contains(string(moved.Input), "hunter2") {
		t.Errorf("the dead letter is %+v with input %s: want one that can be retried, and no secret", l, moved.Input)
	}
	healed.Store(true)
	c := retryOf(timeline.Task{ID: "d", Type: "payment", Queue: "http", Runner: "http", Input: moved.Input}, 2)
	c.InputPatch = json.RawMessage(`{"n":2}`)
	r.collector.Send(c)
	until(t, "run 2", func() bool { a = r.call("GET", "/v1/tasks/d", nil); return a.Run == 2 && a.State == "completed" })
	got := <-calls
	if got.header.Get("Idempotency-Key") != "default/d/e1" || got.body.Run != 2 || got.body.Attempt != 1 {
		t.Errorf("key %q, run %d, attempt %d", got.header.Get("Idempotency-Key"), got.body.Run, got.body.Attempt)
	}
	var in struct {
		Password string `json:"password"`
		N        int    `json:"n"`
	}
	if err := json.Unmarshal(got.body.Input, &in); err != nil || in.Password != "hunter2" || in.N != 2 {
		t.Errorf("the callback got %s", got.body.Input)
	}
	r.collector.Send(c) // at least once
	r.collector.Send(c)
	until(t, "the repeats", func() bool { return r.agent.Stats().Repeated == 2 })
	if len(calls) != 0 {
		t.Error("a command that came again ran the task again")
	}
	if a := r.post(fields{"task_id": "d", "callback_url": url}); a.status != http.StatusOK || a.Run != 2 {
		t.Errorf("asked again: %d %s", a.status, a.body)
	}
}

// A command that comes again after a kill, which the agent may have forgotten,
// finds the run it asked for.
func TestACommandThatComesAgainAfterARestartRunsOnce(t *testing.T) {
	r := newRig(t, nil)
	url, calls := callback(t, func(w http.ResponseWriter, _ *http.Request, _ called) { w.WriteHeader(http.StatusBadRequest) })
	r.post(fields{"task_id": "d", "callback_url": url})
	c := retryOf(timeline.Task{ID: "d", Type: "payment", Queue: "http", Runner: "http"}, 2)
	c.InputPatch = json.RawMessage(`{"n":2}`)
	r.collector.Send(c)
	until(t, "run 2", func() bool { a := r.call("GET", "/v1/tasks/d", nil); return a.Run == 2 && a.State == "failed" })
	r.stop()
	if err := os.Remove(filepath.Join(r.cfg.DataDir, "spool", "slot-0000", "recover.json")); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.collector.Send(c)
	until(t, "the command", func() bool { return r.agent.Stats().Commands == 1 })
	if a := r.call("GET", "/v1/tasks/d", nil); a.Run != 2 || a.State != "failed" || len(calls) != 2 {
		t.Errorf("%s after %d calls, want run 2 and 2", a.body, len(calls))
	}
}

func TestDeadLettersOfAnOpenBreakerComeBackByThemselves(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Agent.Breaker.ConsecutiveFailures = 2 })
	var healed atomic.Bool
	url, _ := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		if !healed.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		ok(w, req, c)
	})
	a := r.post(fields{"task_id": "auto", "callback_url": url, "provider": "bank", "mode": "async", "type": "t"})
	if a.status != http.StatusAccepted {
		t.Fatal(a.body)
	}
	if a = r.settled("auto"); a.Reason != "circuit_open" {
		t.Fatalf("the first run: %s", a.body)
	}
	// The caller of this one keeps the decision.
	if a := r.post(fields{"task_id": "kept", "callback_url": url, "provider": "bank"}); a.Reason != "circuit_open" {
		t.Fatalf("while it is open: %d %s", a.status, a.body)
	}
	healed.Store(true)
	until(t, "the recovery", func() bool { a = r.call("GET", "/v1/tasks/auto", nil); return a.State == "completed" && a.Run > 1 })
	if a := r.call("GET", "/v1/tasks/kept", nil); a.Run != 1 {
		t.Errorf("a task whose caller waited ran again: %s", a.body)
	}
}

func TestACommandOfAnotherSidecarsTaskIsNotTaken(t *testing.T) {
	r := newRig(t, nil)
	r.collector.Send(retryOf(timeline.Task{ID: "theirs", Type: "t", Queue: "http", Runner: "http"}, 2))
	r.collector.Send(retryOf(timeline.Task{ID: "mine", Type: "t", Queue: "http", Runner: "http"}, 2))
	r.post(fields{"task_id": "probe"})
	r.wantLife("probe", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 task_failed", "r1 moved_to_dlq")
	if n := r.agent.Stats().Commands; n != 0 {
		t.Errorf("%d commands were acknowledged, want none: they wait for who has the task", n)
	}
	if a := r.call("GET", "/v1/tasks/theirs", nil); a.status != http.StatusNotFound {
		t.Errorf("it is known here: %s", a.body)
	}
}

func TestARecordedCommandIsRunAgainWhereItIsAllowed(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	script := `echo "$TASKTRAIL_RUN $TASKTRAIL_ATTEMPT $TASKTRAIL_IDEMPOTENCY_KEY ${TASKTRAIL_TOKEN:-none}" >` + out
	t.Setenv("TASKTRAIL_TOKEN", "must-not-be-seen")
	hang := `sleep 60 & sleep 60`
	rule := func(queue string, args ...string) ExecRule { return ExecRule{queue, args} }
	r := newRig(t, func(c *Config) {
		c.Agent.Token = "t"
		c.ExecTimeout = 300 * time.Millisecond
		c.Exec = []ExecRule{
			rule("exec", "sh", "-c", script), rule("exec", "no-such-command"), rule("exec", out+"-not-executable"), rule("exec", "sh", "-c", hang),
		}
	})
	if err := os.WriteFile(out+"-not-executable", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(id string, args ...string) {
		input, _ := json.Marshal(map[string]any{"command": args})
		r.collector.Send(retryOf(timeline.Task{ID: id, Type: "sh", Queue: "exec", Runner: "exec", MaxAttempts: 1, Input: input}, 2))
	}
	ended := func(id string) (a reading) {
		until(t, id, func() bool {
			a = r.call("GET", "/v1/tasks/"+id, nil)
			return a.State == "completed" || a.State == "failed"
		})
		return a
	}
	send("allowed", "sh", "-c", script)
	if a := ended("allowed"); a.State != "completed" || a.Run != 2 {
		t.Errorf("the allowed command: %s", a.body)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "2 1 default/allowed none\n" {
		t.Errorf("it saw %q, %v", b, err)
	}
	for id, c := range map[string]struct {
		args []string
		want string
	}{
		"other":   {[]string{"sh", "-c", "true"}, "not allowed"},
		"prefix":  {[]string{"sh", "-c", script, "more"}, "not allowed"},
		"missing": {[]string{"no-such-command"}, "not found"},
		"plain":   {[]string{out + "-not-executable"}, "permission denied"},
		"hangs":   {[]string{"sh", "-c", hang}, "exhausted"},
	} {
		send(id, c.args...)
		if a := ended(id); a.State != "failed" || !strings.Contains(a.body, c.want) || a.DeadLetterID == "" {
			t.Errorf("%s: %s, want a failure that says %q", id, a.body, c.want)
		}
	}
}

func TestExecRules(t *testing.T) {
	for text, want := range map[string][]string{
		"exec=/bin/backup --full":          {"/bin/backup", "--full"},
		` exec = ["sh", "-c", "a = b c"] `: {"sh", "-c", "a = b c"},
	} {
		if r, err := ParseExecRule(text); err != nil || r.Queue != "exec" || !slices.Equal(r.Command, want) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "exec", "=true", "exec=", "exec=[]", `exec=[""]`, "exec=[1]", "a,b=true"} {
		if _, err := ParseExecRule(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
