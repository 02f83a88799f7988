package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// A breaker that another task opened while this one waited ends it, and does not
// hide what its own attempt failed with.
func TestTheLastErrorSurvivesAnOpenBreaker(t *testing.T) {
	cfg := quick
	cfg.Breaker.ConsecutiveFailures, cfg.Breaker.OpenFor = 2, time.Hour
	cfg.Types = map[string]agent.TypePolicy{"slow": {Retry: retry.Policy{Base: 100 * time.Millisecond, Cap: 100 * time.Millisecond}}}
	rec := agenttest.New(t, cfg)
	waits := task("waits", "bank")
	waits.Type = "slow"
	failed := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := rec.Do(context.Background(), waits, func(context.Context, agent.Task) (agent.Result, error) {
			defer close(failed)
			return agent.Result{}, errUnwell
		})
		ended <- err
	}()
	<-failed
	until(t, "the wait", func() bool { return len(rec.Events("waits")) == 5 })
	_, _ = rec.Do(t.Context(), task("trips", "bank"), failing(errors.New("another error")))
	err := <-ended
	var te *agent.TaskError
	if !errors.As(err, &te) || te.Reason != timeline.FailCircuitOpen || !errors.Is(err, agent.ErrCircuitOpen) || !errors.Is(err, errUnwell) {
		t.Errorf("error %v: want circuit_open, and the error of the attempt in it", err)
	}
	events := rec.Events("waits")
	if last := events[len(events)-1]; last.Type != timeline.MovedToDLQ || last.Error == nil || last.Error.Message != errUnwell.Error() {
		t.Errorf("the dead letter's error is %+v, want that of the attempt", last.Error)
	}
}

// A runner that is away when the breaker closes gets the dead letters later, and
// what waits for it on the disk gives no secret away.
func TestRecoveryOutlastsARunnerThatIsAway(t *testing.T) {
	const secret = "hunter2-hunter2"
	cfg := quick
	cfg.Breaker.ConsecutiveFailures = 1
	cfg.SpoolDir = t.TempDir()
	cfg.SealKeys = []redact.Key{{ID: "k1", Secret: [32]byte{1, 2, 3}}}
	rec := agenttest.New(t, cfg)
	var tries atomic.Int32
	got := make(chan timeline.Command, 1)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		if tries.Add(1) == 1 {
			return errors.New("the runner is away")
		}
		got <- c
		return nil
	})
	tk := task("comes-back", "bank")
	tk.Runner, tk.Input = "test", timeline.Payload(`{"password":"`+secret+`"}`)
	if s := rec.Step(t.Context(), tk, agent.Delivery{Run: 1, Attempt: 1}, failing(errUnwell)); s.Outcome != agent.Failed {
		t.Fatalf("outcome %v", s.Outcome)
	}
	var saved []byte
	until(t, "the file of what waits", func() bool {
		files, _ := filepath.Glob(filepath.Join(cfg.SpoolDir, "*", "recover.json"))
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("comes-back")) {
				saved = b
			}
		}
		return saved != nil
	})
	if bytes.Contains(saved, []byte(secret)) {
		t.Error("the redacted input stands in the open on the disk")
	}
	select {
	case c := <-got:
		if string(c.Input) != string(tk.Input) {
			t.Errorf("the runner got the input %s, want the original", c.Input)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the dead letter was given up after the runner had been away once")
	}
}

// A record that a collector will never take leaves a tombstone in its place.
func TestWhatIsRefusedIsMarked(t *testing.T) {
	rec := agenttest.New(t, quick)
	rec.Collector().Answer(func(w http.ResponseWriter, body []byte) bool {
		if bytes.Contains(body, []byte("refuse-me")) {
			w.WriteHeader(http.StatusBadRequest)
			return false
		}
		report, err := wire.Check(body, wire.Limits{})
		if err != nil || report.Rejected > 0 {
			// ExportLogsServiceResponse{partial_success: {rejected_log_records: n}}
			n := binary.AppendUvarint([]byte{0x08}, uint64(report.Rejected))
			_, _ = w.Write(append([]byte{0x0a, byte(len(n))}, n...))
			return false
		}
		return true
	})
	if _, err := rec.Do(t.Context(), task("refuse-me", ""), succeeding); err != nil {
		t.Fatal(err)
	}
	if err := rec.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// From the far future: refused within a request that is taken.
	if err := rec.Created(t.Context(), task("not-yet-born", ""), time.Now().AddDate(10, 0, 0)); err != nil {
		t.Fatal(err)
	}
	marked := func() map[uint64]bool {
		seqs := map[uint64]bool{}
		for _, e := range rec.Collector().Events("") {
			if e.Type == timeline.Tombstone && e.Gap.Reason == "refused" {
				for n := e.Gap.From; n <= e.Gap.To; n++ {
					seqs[n] = true
				}
			}
		}
		return seqs
	}
	until(t, "the tombstones of six events", func() bool { return len(marked()) == 6 })
	if s := rec.Stats(); s.Refused != 6 {
		t.Errorf("%d events count as refused, want 6", s.Refused)
	}
	// Every number is accounted for: there, or marked.
	seqs := marked()
	for _, e := range rec.Collector().Events("") {
		seqs[e.SourceSeq] = true
	}
	for n := uint64(1); n <= uint64(len(seqs)); n++ {
		if !seqs[n] {
			t.Errorf("number %d is neither there nor marked", n)
		}
	}
}

func TestAnEventIsNeverBeforeTheCommandItFollows(t *testing.T) {
	rec := agenttest.New(t, quick)
	started := make(chan timeline.Command, 1)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		started <- c
		return nil
	})
	tk := task("ahead", "p")
	tk.Runner, tk.Namespace = "test", "default"
	asked := time.Now().Add(time.Hour).UTC() // the clock it was asked by is ahead of ours
	rec.Collector().Send(timeline.Command{
		ID: timeline.CommandID("default", "ahead", 2), Kind: timeline.CommandRetry, Task: tk.Task, Run: 2, RequestedAt: asked,
	})
	c := <-started
	if s := rec.Step(t.Context(), agent.Task{Task: c.Task}, agent.Delivery{Run: 2, Attempt: 1}, succeeding); s.Outcome != agent.Completed {
		t.Fatalf("outcome %v: %v", s.Outcome, s.Err)
	}
	until(t, "task_retried", func() bool { return len(rec.Events("ahead")) == 5 })
	wantLife(t, rec, "ahead", []string{
		"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success", "r2 task_completed",
	})
	last := asked
	for _, e := range rec.Events("ahead") {
		if !e.OccurredAt.After(last) {
			t.Errorf("%s at %v is not after %v", e.Type, e.OccurredAt, last)
		}
		last = e.OccurredAt
	}
}

// A command that comes again is acknowledged again, and the store keeps one row of an
// event only where the time is the same too.
func TestAnAcknowledgementIsTheSameEachTime(t *testing.T) {
	rec := agenttest.New(t, quick)
	tk := task("asked-twice", "")
	tk.Runner = "test"
	rec.HandleQueue(tk.Queue, func(context.Context, timeline.Command) error { return nil })
	cmd := timeline.Command{
		ID: timeline.CommandID("default", tk.ID, 2), Kind: timeline.CommandRetry, Task: tk.Task, Run: 2, RequestedAt: time.Now().Add(-time.Minute),
	}
	cmd.Task.Namespace = "default"
	rec.Collector().Send(cmd)
	rec.Collector().Send(cmd)
	var acks []timeline.Event
	until(t, "both acknowledgements", func() bool {
		acks = nil
		for _, e := range rec.Collector().Events("") {
			if e.Type == timeline.TaskRetried {
				acks = append(acks, e)
			}
		}
		return len(acks) == 2
	})
	if a, b := acks[0], acks[1]; a.ID != b.ID || !a.OccurredAt.Equal(b.OccurredAt) || !a.OccurredAt.After(cmd.RequestedAt) {
		t.Errorf("%s at %v, then %s at %v; asked at %v", a.ID, a.OccurredAt, b.ID, b.OccurredAt, cmd.RequestedAt)
	}
}

// A cancel comes to each worker of the queue, and again after a kill: whoever writes
// that the task was taken out of the runner writes the same event.
func TestACancelThatComesAgainIsTheSameEvent(t *testing.T) {
	for _, keep := range []bool{false, true} {
		cfg := quick
		cfg.KeepEnds = keep
		rec := agenttest.New(t, cfg)
		rec.HandleCancels("money", func(context.Context, timeline.Command) (bool, error) { return true, nil })
		cmd := cancelOf("cancelled-twice")
		cmd.RequestedAt = time.Now().Add(-time.Minute)
		rec.Collector().Send(cmd)
		rec.Collector().Send(cmd)
		until(t, "both commands", func() bool { return rec.Stats().Commands == 2 })
		_ = rec.Events("cancelled-twice") // ships what there is
		rows := map[string]bool{}
		for _, e := range rec.Collector().Events("") {
			if e.Type == timeline.TaskCancelled {
				rows[e.ID.String()+e.OccurredAt.String()] = true
			}
			if !e.OccurredAt.After(cmd.RequestedAt) {
				t.Errorf("%s at %v, asked for at %v", e.Type, e.OccurredAt, cmd.RequestedAt)
			}
		}
		if len(rows) != 1 {
			t.Errorf("KeepEnds %v: rows %v, want one", keep, rows)
		}
	}
}
