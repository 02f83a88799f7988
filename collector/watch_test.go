package collector

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

var wireEnvelope = wire.Envelope{Namespace: "a"}

func ofType(events []timeline.Event, typ timeline.Type) (out []timeline.Event) {
	for _, e := range events {
		if e.Type == typ {
			out = append(out, e)
		}
	}
	return out
}

func awaitType(t *testing.T, sink *recorder, typ timeline.Type) timeline.Event {
	t.Helper()
	return ofType(sink.await(t, typ.String(), func(e []timeline.Event) bool { return len(ofType(e, typ)) > 0 }), typ)[0]
}

func TestRetriedRunThatCompletesResolvesItsDeadLetter(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink}}})
	done := event("t", 2, 0, 9, timeline.TaskCompleted)
	done.Attempts = 1
	accept(t, c, event("first", 1, 0, 5, timeline.TaskCompleted), event("t", 1, 0, 5, timeline.MovedToDLQ), done)
	e := awaitType(t, sink, timeline.DLQResolved)
	if e.Task.ID != "t" || e.Run != 2 || e.Attempt != 0 || e.Seq != 0 {
		t.Errorf("%+v", e)
	}
	if e.ID != timeline.DerivedEventID("a", "t", 2, 0, timeline.DLQResolved) {
		t.Errorf("id %s", e.ID)
	}
	if e.DeadLetter == nil || e.DeadLetter.ID != timeline.DeadLetterID("a", "t", 1) {
		t.Errorf("dead letter %+v", e.DeadLetter)
	}
	if !e.OccurredAt.After(done.OccurredAt) || e.OccurredAt.Sub(done.OccurredAt) > time.Millisecond {
		t.Errorf("occurred %v after the completion", e.OccurredAt.Sub(done.OccurredAt))
	}
	// Had it led to another, that one would stand before this.
	accept(t, c, event("last", 1, 0, 1, timeline.TaskStarted))
	events := sink.await(t, "the last", func(e []timeline.Event) bool { return e[len(e)-1].Task.ID == "last" })
	if n := len(ofType(events, timeline.DLQResolved)); n != 1 {
		t.Errorf("%d dlq_resolved", n)
	}
}

func TestResolvesTheLetterThatTheRetryNamed(t *testing.T) {
	sink := newRecorder("truth")
	cfg := testConfig(t.TempDir())
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	retried := event("t", 5, 0, 1, timeline.TaskRetried)
	retried.Retry = &timeline.Retry{NextAttempt: 1, Reason: timeline.RetryManual}
	retried.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("a", "t", 2)}
	accept(t, c, retried)
	sink.awaitCount(t, 1)
	stop(t, c) // what was remembered outlives the process
	sink = newRecorder("truth")
	c = start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	accept(t, c, event("t", 5, 0, 9, timeline.TaskCompleted))
	if e := awaitType(t, sink, timeline.DLQResolved); e.DeadLetter == nil || e.DeadLetter.ID != timeline.DeadLetterID("a", "t", 2) {
		t.Errorf("dead letter %+v", e.DeadLetter)
	}
}

func TestSilentAgentsTaskIsLostAndThenADeadLetter(t *testing.T) {
	sink := newRecorder("truth")
	clk := newClock()
	cfg := testConfig(t.TempDir())
	c := start(t, cfg, Deps{Now: clk.Now, Sinks: []SinkSpec{{Sink: sink}}})
	started := event("t", 1, 2, 7, timeline.AttemptStarted)
	accept(t, c, event("t", 1, 0, 1, timeline.TaskStarted), started, event("done", 1, 1, 2, timeline.AttemptStarted), event("done", 1, 0, 3, timeline.TaskCompleted))
	sink.awaitCount(t, 4)
	eventually(t, "one run is watched", func() bool { return c.watch.size() == 1 && c.watch.position() == c.log.Load().End() })

	clk.add(59 * time.Second)
	c.watch.alive(&timeline.AgentLive{SourceID: "source-1", Namespace: "a"}, clk.Now()) // the agent is there, the task not in its list
	clk.add(30 * time.Second)
	c.watch.check(t.Context(), clk.Now())
	if n := c.watch.waiting() + len(ofType(sink.events(t), timeline.TaskLost)); n != 0 {
		t.Fatal("lost while its agent was heard of 30 s ago")
	}
	clk.add(31 * time.Second)
	lost := awaitType(t, sink, timeline.TaskLost)
	if lost.Task.ID != "t" || lost.Run != 1 || lost.Attempt != 0 || lost.Attempts != 2 || lost.Seq != 7 || lost.ID != timeline.DerivedEventID("a", "t", 1, 2, timeline.TaskLost) {
		t.Errorf("%+v", lost)
	}
	if snap, _ := timeline.Fold([]timeline.Event{started, lost}); snap.State != timeline.StateLost {
		t.Errorf("folded state %s", snap.State)
	}

	// Still lost after a restart and 15 minutes.
	eventually(t, "the log is taken in", func() bool { return c.watch.position() == c.log.Load().End() })
	stop(t, c)
	sink = newRecorder("truth")
	c = start(t, cfg, Deps{Now: clk.Now, Sinks: []SinkSpec{{Sink: sink}}})
	clk.add(16 * time.Minute)
	moved := awaitType(t, sink, timeline.MovedToDLQ)
	if moved.Reason != timeline.FailLost || moved.DeadLetter == nil || moved.DeadLetter.ID != timeline.DeadLetterID("a", "t", 1) || moved.DeadLetter.AlertSeverity != timeline.AlertCritical {
		t.Errorf("%+v %+v", moved, moved.DeadLetter)
	}
	if failed := awaitType(t, sink, timeline.TaskFailed); failed.Reason != timeline.FailLost || failed.Attempt != 0 || failed.Attempts != 2 {
		t.Errorf("%+v", failed)
	}
	// It was alive after all: its completion resolves its own dead letter.
	eventually(t, "the log is taken in", func() bool { return c.watch.position() == c.log.Load().End() })
	accept(t, c, event("t", 1, 0, 9, timeline.TaskCompleted))
	if e := awaitType(t, sink, timeline.DLQResolved); e.Run != 1 || e.DeadLetter.ID != timeline.DeadLetterID("a", "t", 1) {
		t.Errorf("%+v", e)
	}
}

// elsewhere is what other collectors and the store know.
type elsewhere struct {
	seen time.Time
	err  error
	snap timeline.Snapshot
}

func (e *elsewhere) LastSeen(context.Context, string) (time.Time, error) { return e.seen, e.err }

func (e *elsewhere) Task(context.Context, readmodel.Scope, string) (timeline.Snapshot, error) {
	return e.snap, nil
}

func TestNotLostWhileSomebodyMayKnowBetter(t *testing.T) {
	clk := newClock()
	other := &elsewhere{}
	cfg := testConfig(t.TempDir())
	cfg.LostCheckEvery = time.Hour // the test checks itself
	c := start(t, cfg, Deps{Now: clk.Now, Sources: other, Tasks: other})
	accept(t, c, event("t", 1, 1, 2, timeline.AttemptStarted))
	eventually(t, "the run is watched", func() bool { return c.watch.size() == 1 })
	clk.add(2 * time.Minute)
	running := timeline.Snapshot{Task: timeline.Task{Namespace: "a", ID: "t"}, State: timeline.StateInProgress, Run: 1}
	lost := func() bool {
		c.watch.check(t.Context(), clk.Now())
		c.watch.mu.Lock()
		defer c.watch.mu.Unlock()
		defer func() { c.watch.pending = nil }()
		return len(c.watch.pending) > 0
	}
	for _, tt := range []struct {
		name  string
		other elsewhere
		want  bool
	}{
		{"Redis is away", elsewhere{err: errors.New("no connection"), snap: running}, false},
		{"another collector heard of it", elsewhere{seen: clk.Now().Add(-time.Second), snap: running}, false},
		{"nobody did", elsewhere{seen: clk.Now().Add(-time.Hour), snap: running}, true},
	} {
		*other = tt.other
		if got := lost(); got != tt.want {
			t.Errorf("%s: lost is %v", tt.name, got)
		}
	}
	if c.watch.size() != 1 {
		t.Error("a lost run is no longer watched")
	}

	accept(t, c, event("t2", 1, 1, 3, timeline.AttemptStarted))
	eventually(t, "the run is watched", func() bool { return c.watch.size() == 2 })
	clk.add(2 * time.Minute)
	*other = elsewhere{snap: timeline.Snapshot{State: timeline.StateCompleted, Run: 1}}
	if lost() || c.watch.size() != 1 {
		t.Errorf("a run that is over elsewhere is still watched or lost: %d runs", c.watch.size())
	}
}

func TestConnectedAgentIsNotSilent(t *testing.T) {
	clk := newClock()
	cfg := testConfig(t.TempDir())
	cfg.LostCheckEvery = time.Hour
	c := start(t, cfg, Deps{Now: clk.Now})
	accept(t, c, event("t", 1, 1, 2, timeline.AttemptStarted))
	eventually(t, "the run is watched", func() bool { return c.watch.size() == 1 })
	_, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	conn := &agentConn{cancel}
	c.agents.join("source-1", conn)
	clk.add(time.Hour)
	c.watch.check(t.Context(), clk.Now())
	if c.watch.waiting() != 0 {
		t.Error("lost while its agent is connected")
	}
	c.agents.leave("source-1", conn)
	c.watch.check(t.Context(), clk.Now())
	if c.watch.waiting() != 1 {
		t.Error("not lost after its agent has gone")
	}
}
