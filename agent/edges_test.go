package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestTheZeroConfigIsValid(t *testing.T) {
	if err := (agent.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryFaultAtOnce(t *testing.T) {
	err := agent.Config{
		CollectorURL: "collector:4318", FullPolicy: "panic", SpoolMaxBytes: 1, BlockFor: -1,
		Retry: retry.Policy{MaxAttempts: -1},
		Types: map[string]agent.TypePolicy{"payment": {Retry: retry.Policy{Jitter: 7}}},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"CollectorURL", "FullPolicy", "SpoolMaxBytes", "BlockFor", "attempts", `type "payment"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if _, err := agent.New(agent.Config{FullPolicy: "panic", SpoolDir: t.TempDir()}); err == nil {
		t.Error("New takes a configuration that is not valid")
	}
}

func TestTasksRunWithoutASpool(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := quick
	cfg.SpoolDir = file // no directory can be made below it
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), task("ok", "p"), succeeding); err != nil {
		t.Error(err)
	}
	if _, err := a.Do(t.Context(), task("fails", "p"), failing(agent.Permanent(errUnwell))); !errors.Is(err, errUnwell) {
		t.Errorf("error %v, want the executor's", err)
	}
	if s := a.Stats(); !s.SpoolDown || s.Emitted == 0 || s.Unwritten != s.Emitted {
		t.Errorf("the account does not say that nothing is recorded: %+v", s)
	}
	if err := a.Created(t.Context(), task("new", "p"), time.Time{}); err == nil {
		t.Error("Created says that it recorded a task")
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Two processes of one program share a spool directory and no log.
func TestTwoAgentsShareADirectory(t *testing.T) {
	cfg := quick
	cfg.SpoolDir = t.TempDir()
	one, two := agenttest.New(t, cfg), agenttest.New(t, cfg)
	for id, rec := range map[string]*agenttest.Recorder{"first": one, "second": two} {
		if _, err := rec.Do(t.Context(), task(id, "p"), succeeding); err != nil {
			t.Fatal(err)
		}
	}
	a, b := one.Events("first"), two.Events("second")
	if len(a) != 5 || len(b) != 5 || a[0].SourceID == b[0].SourceID || a[0].SourceSeq != 1 || b[0].SourceSeq != 1 {
		t.Errorf("%d events from %s, %d from %s: want five each, from sources of their own", len(a), a[0].SourceID, len(b), b[0].SourceID)
	}
}

func TestStartAndCloseOutOfTurn(t *testing.T) {
	a, err := agent.New(agent.Config{SpoolDir: t.TempDir(), CollectorURL: agenttest.NewCollector(t).URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	for range 2 {
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := a.Start(t.Context()); err == nil {
		t.Error("started after close")
	}
	// A late task still runs, and its events are counted as lost.
	if _, err := a.Do(t.Context(), task("late", "p"), succeeding); err != nil {
		t.Error(err)
	}
	if s := a.Stats(); s.Unwritten != 5 {
		t.Errorf("%d events counted as unwritten, want 5", s.Unwritten)
	}
}

func TestATaskThatIsNoneIsRefused(t *testing.T) {
	rec := agenttest.New(t, quick)
	called := false
	_, err := rec.Do(t.Context(), agent.Task{Task: timeline.Task{ID: strings.Repeat("x", 256)}}, func(context.Context, agent.Task) (agent.Result, error) {
		called = true
		return agent.Result{}, nil
	})
	var te *agent.TaskError
	if called || !errors.As(err, &te) || te.Reason != timeline.FailPermanent {
		t.Errorf("called %v, error %v: want a refusal before any attempt", called, err)
	}
}

func TestWrapKeepsTypesAndErrors(t *testing.T) {
	rec := agenttest.New(t, quick)
	type order struct{ ID string }
	calls := 0
	half := agent.Wrap(rec.Agent, func(o order) agent.Task { return task(o.ID, "p") }, func(_ context.Context, o order) (int, error) {
		if calls++; o.ID == "bad" {
			return 7, agent.Permanent(errUnwell)
		} else if calls == 1 {
			return 0, errUnwell
		}
		return len(o.ID), nil
	})
	if n, err := half(t.Context(), order{"four"}); n != 4 || err != nil || calls != 2 {
		t.Errorf("%d, %v after %d calls; want 4 from the second", n, err, calls)
	}
	var te *agent.TaskError
	if _, err := half(t.Context(), order{"bad"}); !errors.Is(err, errUnwell) || !errors.As(err, &te) || te.Reason != timeline.FailPermanent || calls != 3 {
		t.Errorf("%v after %d calls; want the permanent error of one more", err, calls)
	}
	wantLife(t, rec, "four", lives(t)["retry_then_success"])
}
