package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The settings of the agent under the model.
const (
	modelAttempts    = 4
	modelBase        = time.Second
	modelCap         = 3 * time.Second
	modelConsecutive = 3
	modelOpenFor     = 10 * time.Second
	modelMaxOpenFor  = 40 * time.Second
	modelTasks       = 4
	modelProviders   = 2
)

// op is one thing that happens to the agent.
type op struct {
	Kind string // step, advance, cancel, restart, kill, retry
	Task int
	Does string        // of a step: ok, fail, permanent, abort, panic, cancelled, dies
	By   time.Duration // of an advance
}

func (o op) String() string {
	switch o.Kind {
	case "step":
		return fmt.Sprintf("step(%d, %s)", o.Task, o.Does)
	case "advance":
		return fmt.Sprintf("advance(%v)", o.By)
	case "restart", "kill":
		return o.Kind
	}
	return fmt.Sprintf("%s(%d)", o.Kind, o.Task)
}

var ops = rapid.Custom(func(t *rapid.T) op {
	o := op{Kind: rapid.SampledFrom([]string{"step", "step", "step", "step", "step", "step", "advance", "cancel", "restart", "kill", "retry", "retry"}).Draw(t, "kind")}
	switch o.Kind {
	case "step":
		o.Does = rapid.SampledFrom([]string{"fail", "fail", "fail", "ok", "permanent", "abort", "panic", "cancelled", "dies"}).Draw(t, "does")
		o.Task = rapid.IntRange(0, modelTasks-1).Draw(t, "task")
	case "advance":
		o.By = rapid.SampledFrom([]time.Duration{time.Second, modelOpenFor - time.Millisecond, modelOpenFor, modelMaxOpenFor}).Draw(t, "by")
	default:
		o.Task = rapid.IntRange(0, modelTasks-1).Draw(t, "task")
	}
	return o
})

// modelTask is what the reference model knows of a task.
type modelTask struct {
	run, attempt, counted, deaths int
	begun, over                   bool
	reason                        timeline.FailureReason // of a failed run
	completed                     bool
	cancelled                     bool // asked for, and not yet seen
	letters                       []int
	states                        map[int]timeline.State // by run
}

// modelBreaker is the reference of a breaker that opens on failures in a row alone.
type modelBreaker struct {
	failures, times int
	open            bool
	until           time.Time
}

func (b *modelBreaker) blocks(now time.Time) bool { return b.open && now.Before(b.until) }

func (b *modelBreaker) failed(now time.Time) {
	b.failures++
	if !b.open && b.failures < modelConsecutive {
		return
	}
	d := min(modelOpenFor<<b.times, modelMaxOpenFor)
	b.open, b.until, b.failures = true, now.Add(d), 0
	b.times++
}

func (b *modelBreaker) succeeded() { *b = modelBreaker{} }

// underModel is an agent and the model beside it.
type underModel struct {
	dir      string
	agent    *agent.Agent
	tasks    [modelTasks]modelTask
	breakers [modelProviders]modelBreaker
	faults   []string
}

func (u *underModel) wrong(format string, args ...any) {
	u.faults = append(u.faults, fmt.Sprintf(format, args...))
}

func (u *underModel) open() error {
	a, err := agent.New(agent.Config{
		SpoolDir: u.dir, SpoolMaxBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler), CollectorURL: "http://127.0.0.1:1", Name: "model",
		Retry:   retry.Policy{MaxAttempts: modelAttempts, Base: modelBase, Cap: modelCap},
		Breaker: breaker.Config{FailureRate: -1, ConsecutiveFailures: modelConsecutive, OpenFor: modelOpenFor, MaxOpenFor: modelMaxOpenFor, OpenJitter: -1},
		Budget:  retry.BudgetConfig{Disabled: true},
	})
	u.agent = a
	return err
}

// kill leaves the agent as SIGKILL does: what it had written is all there is of it.
func (u *underModel) kill(parent string) error {
	after, err := os.MkdirTemp(parent, "after-*")
	if err != nil {
		return err
	}
	if err := os.CopyFS(after, os.DirFS(u.dir)); err != nil {
		return err
	}
	if err := u.agent.Close(context.Background()); err != nil {
		return err
	}
	u.dir, u.breakers = after, [modelProviders]modelBreaker{}
	return u.open()
}

func (u *underModel) restart() error {
	if err := u.agent.Close(context.Background()); err != nil {
		return err
	}
	u.breakers = [modelProviders]modelBreaker{}
	return u.open()
}

func modelTaskID(i int) string { return fmt.Sprintf("t%d", i) }

// step makes one attempt with the agent and in the model.
func (u *underModel) step(i int, does, parent string) error {
	m, b := &u.tasks[i], &u.breakers[i%modelProviders]
	if m.over {
		return nil
	}
	t := task(modelTaskID(i), fmt.Sprintf("p%d", i%modelProviders))
	t.Runner = "model"
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	ran := 0
	var died error
	got := u.agent.Step(ctx, t, agent.Delivery{Run: m.run, Attempt: 1}, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		at, _ := agent.AttemptFrom(ctx)
		ran = at.Number
		switch does {
		case "ok":
			return agent.Result{}, nil
		case "permanent":
			return agent.Result{}, agent.Permanent(errUnwell)
		case "panic":
			panic("boom")
		case "abort":
			stop(errors.New("the worker shuts down"))
			return agent.Result{}, context.Cause(ctx)
		case "cancelled":
			u.agent.Cancel("default", t.ID, m.run, timeline.Operator{Actor: "ann"})
			<-ctx.Done()
			return agent.Result{}, context.Cause(ctx)
		case "dies":
			dir, err := os.MkdirTemp(parent, "died-*")
			died = errors.Join(err, os.CopyFS(dir, os.DirFS(u.dir)))
			u.dir = dir // where the next one goes on
		}
		return agent.Result{}, errUnwell
	})
	now := time.Now()
	want, attempted := m.step(b, does, now)
	if attempted && ran != m.attempt || !attempted && ran != 0 {
		u.wrong("attempt %d ran, want %d (made: %v)", ran, m.attempt, attempted)
	}
	if does == "dies" && attempted { // what this agent made of it never came to be
		if err := u.agent.Close(context.Background()); err != nil || died != nil {
			return errors.Join(err, died)
		}
		u.breakers = [modelProviders]modelBreaker{}
		return u.open()
	}
	if got.Outcome != want {
		u.wrong("the outcome is %d (%v), want %d", got.Outcome, got.Err, want)
	}
	var failed *agent.TaskError
	if want == agent.Failed && (!errors.As(got.Err, &failed) || failed.Reason != m.reason) {
		u.wrong("the error is %v, want the reason %s", got.Err, m.reason)
	}
	if want == agent.Retrying {
		d := min(modelCap, modelBase<<(m.counted-1))
		if got.Delay < d*3/4 || got.Delay > min(d*5/4, modelCap) || got.NextAttempt != m.attempt+1 {
			u.wrong("it waits %v for attempt %d, want about %v for %d", got.Delay, got.NextAttempt, d, m.attempt+1)
		}
	}
	return nil
}

// step is the reference: what one attempt comes to.
func (m *modelTask) step(b *modelBreaker, does string, now time.Time) (want agent.Outcome, attempted bool) {
	m.begun = true
	end := func(o agent.Outcome, s timeline.State, reason timeline.FailureReason) agent.Outcome {
		m.over, m.reason, m.completed = true, reason, o == agent.Completed
		m.states[m.run] = s
		// A later run without an attempt puts the earlier dead letter back.
		if o == agent.Failed && (m.run == 1 || m.attempt > 0 || reason != timeline.FailCircuitOpen) {
			m.letters = append(m.letters, m.run)
		}
		return o
	}
	switch {
	case m.cancelled:
		m.cancelled = false
		return end(agent.Cancelled, timeline.StateCancelled, ""), false
	case m.deaths >= 3:
		return end(agent.Failed, timeline.StateFailed, timeline.FailPoison), false
	case m.counted >= modelAttempts:
		return end(agent.Failed, timeline.StateFailed, timeline.FailExhausted), false
	case b.blocks(now):
		return end(agent.Failed, timeline.StateFailed, timeline.FailCircuitOpen), false
	}
	m.attempt++
	m.counted++
	switch does {
	case "dies":
		m.deaths++
		return 0, true
	case "ok":
		b.succeeded()
		return end(agent.Completed, timeline.StateCompleted, ""), true
	case "permanent", "panic":
		return end(agent.Failed, timeline.StateFailed, timeline.FailPermanent), true
	case "abort":
		m.counted--
		return agent.Aborted, true
	case "cancelled":
		m.counted--
		return end(agent.Cancelled, timeline.StateCancelled, ""), true
	}
	b.failed(now)
	switch {
	case m.counted >= modelAttempts:
		return end(agent.Failed, timeline.StateFailed, timeline.FailExhausted), true
	case b.blocks(now):
		return end(agent.Failed, timeline.StateFailed, timeline.FailCircuitOpen), true
	}
	return agent.Retrying, true
}

func (u *underModel) do(o op, parent string) error {
	m := &u.tasks[o.Task]
	switch o.Kind {
	case "step":
		return u.step(o.Task, o.Does, parent)
	case "advance":
		time.Sleep(o.By) // of the bubble's clock
	case "kill":
		return u.kill(parent)
	case "restart":
		return u.restart()
	case "cancel":
		if !m.over && m.begun && !m.cancelled {
			m.cancelled = true
			u.agent.Cancel("default", modelTaskID(o.Task), m.run, timeline.Operator{Actor: "ann"})
			// A cancel is a command that comes again until it was carried out; here it
			// comes at once, so that no kill is between.
			return u.step(o.Task, "ok", parent)
		}
	case "retry":
		if m.over && !m.completed {
			*m = modelTask{run: m.run + 1, letters: m.letters, states: m.states}
		}
	}
	return nil
}

// events reads what the spool holds.
func (u *underModel) events() (map[string][]timeline.Event, error) {
	slots, err := filepath.Glob(filepath.Join(u.dir, "slot-*"))
	if err != nil || len(slots) != 1 {
		return nil, fmt.Errorf("slots %q: %w", slots, errors.Join(err, fs.ErrNotExist))
	}
	log, err := spool.Open(spool.Options{Dir: slots[0]})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	got := map[string][]timeline.Event{}
	var b spool.Batch
	var rec wire.Record
	for at := log.Start(); at < log.End(); at = b.To {
		if err := log.ReadBatch(at, 1<<20, 10_000, &b); err != nil {
			return nil, err
		}
		for _, f := range b.Frames {
			if err := wire.DecodeLogRecord(f, &rec); err != nil {
				return nil, err
			}
			var e timeline.Event
			rec.Event(&e)
			got[e.Task.ID] = append(got[e.Task.ID], e)
		}
	}
	return got, nil
}

// check compares the record with the model: the state of each run, its dead
// letters, and that no number of an attempt was used twice.
func (u *underModel) check() error {
	if err := u.agent.Close(context.Background()); err != nil {
		return err
	}
	all, err := u.events()
	if err != nil {
		return err
	}
	for i := range u.tasks {
		m, events := &u.tasks[i], all[modelTaskID(i)]
		var letters []int
		started := map[string]bool{}
		byRun := map[int][]timeline.Event{}
		for _, e := range events {
			byRun[e.Run] = append(byRun[e.Run], e)
			switch e.Type {
			case timeline.MovedToDLQ:
				letters = append(letters, e.Run)
			case timeline.AttemptStarted:
				at := fmt.Sprintf("%d/%d", e.Run, e.Attempt)
				if started[at] {
					u.wrong("%s: attempt %s began twice", modelTaskID(i), at)
				}
				started[at] = true
			}
		}
		if !slices.Equal(letters, m.letters) {
			u.wrong("%s has dead letters of the runs %v, want %v", modelTaskID(i), letters, m.letters)
		}
		for run, want := range m.states {
			if got, ok := timeline.Fold(byRun[run]); !ok || got.State != want {
				u.wrong("%s is %s in run %d, want %s", modelTaskID(i), got.State, run, want)
			}
		}
	}
	return nil
}

// Whatever happens in whatever order: the agent does what a model of a page does.
func TestTheAgentDoesWhatTheModelDoes(t *testing.T) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		sequence := rapid.SliceOfN(ops, 1, 30).Draw(rt, "ops")
		n++
		parent := filepath.Join(t.TempDir(), fmt.Sprint(n))
		defer os.RemoveAll(parent)
		u := &underModel{dir: filepath.Join(parent, "spool")}
		for i := range u.tasks {
			u.tasks[i] = modelTask{run: 1, states: map[int]timeline.State{}}
		}
		var fault error
		var at op
		synctest.Test(t, func(*testing.T) {
			if fault = errors.Join(os.MkdirAll(parent, 0o700), u.open()); fault != nil {
				return
			}
			for _, at = range sequence {
				if fault = u.do(at, parent); fault != nil || len(u.faults) > 0 {
					fault = errors.Join(fault, u.agent.Close(context.Background()))
					return
				}
			}
			fault = u.check()
		})
		if fault != nil || len(u.faults) > 0 {
			rt.Fatalf("after %v: %v\n%s", at, fault, strings.Join(u.faults, "\n"))
		}
	})
}
