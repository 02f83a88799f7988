package agent_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/timeline"
)

const (
	secretInput = `{"order":17,"password":"hunter2hunter2","note":"card 4111 1111 1111 1111"}`
	secretCard  = "4111 1111 1111 1111"
)

// sent keeps every byte a collector is sent.
type sent struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func keepSent(c *agenttest.Collector) *sent {
	s := &sent{}
	c.Answer(func(_ http.ResponseWriter, body []byte) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bytes.Write(body)
		return true
	})
	return s
}

func (s *sent) wantNone(t *testing.T, secrets ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes.Len() == 0 {
		t.Fatal("nothing was sent")
	}
	for _, secret := range secrets {
		if bytes.Contains(s.bytes.Bytes(), []byte(secret)) {
			t.Errorf("%q was sent", secret)
		}
	}
}

func secretTask(id string) agent.Task {
	tk := task(id, "")
	tk.Runner, tk.Input = "test", timeline.Payload(secretInput)
	return tk
}

// What is denied leaves the process in no event, by input, output or error, and
// the executor has it all the same; a retry gets it back from the sealed original.
func TestASealedOriginalComesBackAtTheRetry(t *testing.T) {
	cfg := quick
	cfg.SealKeys = []redact.Key{{ID: "k1", Secret: [32]byte{7}}}
	rec := agenttest.New(t, cfg)
	wire := keepSent(rec.Collector())
	retried := make(chan timeline.Command, 1)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		retried <- c
		return nil
	})
	var got string
	s := rec.Step(t.Context(), secretTask("sealed"), agent.Delivery{Run: 1, Attempt: 1}, func(_ context.Context, tk agent.Task) (agent.Result, error) {
		got = string(tk.Input)
		return agent.Result{}, agent.Permanent(errors.New("declined: " + secretCard))
	})
	if s.Outcome != agent.Failed || got != secretInput {
		t.Fatalf("outcome %v, the executor got %s", s.Outcome, got)
	}
	events := rec.Events("sealed")
	dead := events[len(events)-1]
	if dead.DeadLetter == nil || len(dead.DeadLetter.Sealed) == 0 || dead.DeadLetter.NotReplayable != "" {
		t.Fatalf("the dead letter %+v does not hold the sealed original", dead.DeadLetter)
	}
	cmd := timeline.Command{
		ID: timeline.CommandID("default", "sealed", 2), Kind: timeline.CommandRetry, Task: dead.Task, Run: 2,
		DeadLetterID: dead.DeadLetter.ID, Sealed: dead.DeadLetter.Sealed, RequestedAt: time.Now(),
	}
	rec.Collector().Send(cmd)
	select {
	case c := <-retried:
		if string(c.Input) != secretInput {
			t.Errorf("the runner got %s, want the original", c.Input)
		}
		s = rec.Step(t.Context(), agent.Task{Task: c.Task}, agent.Delivery{Run: 2, Attempt: 1}, func(_ context.Context, tk agent.Task) (agent.Result, error) {
			return agent.Result{Output: tk.Input}, nil
		})
		if s.Outcome != agent.Completed {
			t.Errorf("outcome %v: %v", s.Outcome, s.Err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the retry was not started")
	}
	rec.Events("sealed") // everything is sent
	wire.wantNone(t, "hunter2hunter2", secretCard)
}

func TestARedactedInputWithoutAKeyIsNotReplayable(t *testing.T) {
	rec := agenttest.New(t, quick)
	wire := keepSent(rec.Collector())
	if _, err := rec.Do(t.Context(), secretTask("bare"), failing(agent.Permanent(errUnwell))); err == nil {
		t.Fatal("no error")
	}
	plain := task("plain", "")
	if _, err := rec.Do(t.Context(), plain, failing(agent.Permanent(errUnwell))); err == nil {
		t.Fatal("no error")
	}
	for id, replayable := range map[string]bool{"bare": false, "plain": true} {
		events := rec.Events(id)
		ref := events[len(events)-1].DeadLetter
		if ref == nil || (ref.NotReplayable == "") != replayable || len(ref.Sealed) > 0 {
			t.Errorf("%s: the dead letter says %+v, want replayable: %v", id, ref, replayable)
		}
	}
	wire.wantNone(t, "hunter2hunter2", secretCard)
}

// Without a key a retry gets the original from the runner that keeps it, with the
// operator's edit; where it is gone there, the run ends at once, on record.
func TestAnOriginalThatTheRunnerKeeps(t *testing.T) {
	rec := agenttest.New(t, quick)
	wire := keepSent(rec.Collector())
	retried := make(chan timeline.Command, 2)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		retried <- c
		return nil
	})
	rec.HandleOriginals("money", func(_ context.Context, c timeline.Command) ([]byte, bool, error) {
		return []byte(secretInput), c.Task.ID == "kept", nil
	})
	dead := map[string]*timeline.DeadLetterRef{}
	var command timeline.Command
	for _, id := range []string{"gone", "kept"} {
		s := rec.Step(t.Context(), secretTask(id), agent.Delivery{Run: 1, Attempt: 1}, failing(agent.Permanent(errUnwell)))
		events := rec.Events(id)
		dead[id] = events[len(events)-1].DeadLetter
		if s.Outcome != agent.Failed || dead[id] == nil || !dead[id].KeptInput || dead[id].NotReplayable != "" || len(dead[id].Sealed) > 0 {
			t.Fatalf("%s: outcome %v, the dead letter says %+v; want that the runner keeps the input", id, s.Outcome, dead[id])
		}
		command = timeline.Command{
			ID: timeline.CommandID("default", id, 2), Kind: timeline.CommandRetry, Task: events[len(events)-1].Task, Run: 2, KeptInput: true,
			DeadLetterID: dead[id].ID, RequestedAt: time.Now(), InputPatch: []byte(`{"order":18}`), InputEdits: 1,
		}
		command.Input = nil
		rec.Collector().Send(command)
	}
	select {
	case c := <-retried:
		if c.Task.ID != "kept" || !bytes.Contains(c.Input, []byte(secretCard)) || !bytes.Contains(c.Input, []byte("18")) {
			t.Errorf("the runner got %s for %s, want the edited original", c.Input, c.Task.ID)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the retry was not started")
	}
	events := rec.Events("gone")
	last := events[len(events)-1]
	if last.Type != timeline.TaskFailed || last.Run != 2 || last.Attempts != 0 || last.Error == nil || last.Error.Kind != "not_replayable" ||
		last.ID != timeline.DerivedEventID("default", "gone", 2, 0, timeline.TaskFailed) {
		t.Errorf("the retry of what is gone ended with %+v", last)
	}
	if letters := timeline.FoldDeadLetters(events); len(letters) != 1 || letters[0].Status != timeline.DeadLetterPending || !letters[0].Replayable {
		t.Errorf("its dead letters are %+v, want the one, pending", letters)
	}
	wire.wantNone(t, "hunter2hunter2", secretCard)
}

// A cancelled run says where its original input is, for the dead letter of its retry.
func TestACancelledRunSaysWhereItsInputIs(t *testing.T) {
	for name, keep := range map[string]bool{"kept": true, "nowhere": false} {
		t.Run(name, func(t *testing.T) {
			rec := agenttest.New(t, quick)
			if keep {
				rec.HandleOriginals("money", func(context.Context, timeline.Command) ([]byte, bool, error) { return nil, false, nil })
			}
			rec.Cancel("default", name, 1, timeline.Operator{Actor: "ann"})
			rec.Step(t.Context(), secretTask(name), agent.Delivery{Run: 1, Attempt: 1}, succeeding)
			events := rec.Events(name)
			e := events[len(events)-1]
			if e.Type != timeline.TaskCancelled || e.DeadLetter == nil || e.DeadLetter.KeptInput != keep || (e.DeadLetter.NotReplayable == "") != keep {
				t.Errorf("%s says %+v", e.Type, e.DeadLetter)
			}
		})
	}
}
