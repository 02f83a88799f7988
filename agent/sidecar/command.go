package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// defaultQueue is the queue of tasks that name none. Not "default", which other
// runners on the same collector are likely to serve.
const defaultQueue = "http"

var errNotOurs = errors.New("this sidecar does not have the task")

// serveQueues takes the commands of every queue that is known.
func (s *Sidecar) serveQueues() {
	s.queue.mu.Lock()
	s.queue.newQueue = s.serve
	for _, r := range s.cfg.Exec { // known from the beginning: a new queue interrupts the agent's connection
		if _, _, err := s.queue.intern(r.Queue); err != nil {
			s.cfg.Logger.Error("a queue's commands are not taken", "queue", r.Queue, "error", err)
		}
	}
	_, _, _ = s.queue.intern(defaultQueue)
	names := slices.Sorted(maps.Keys(s.queue.names))
	s.queue.mu.Unlock()
	for _, name := range names {
		s.serve(name)
	}
}

func (s *Sidecar) serve(queue string) {
	s.agent.HandleKeptQueue(queue, s.retry)
	s.agent.HandleCancels(queue, s.cancelled)
}

// cancelled gives a task that waits its turn at once: the agent then records that
// it was cancelled, and makes no attempt.
func (s *Sidecar) cancelled(_ context.Context, c timeline.Command) (bool, error) {
	s.queue.hasten(c.Task.ID, c.Run)
	return false, nil
}

// retry starts the next run of a task. The original input is the one kept here.
func (s *Sidecar) retry(ctx context.Context, c timeline.Command) error {
	if c.Namespace != "" && c.Namespace != s.cfg.Agent.Namespace {
		return fmt.Errorf("%w: namespace %q", errNotOurs, c.Namespace)
	}
	sp, err := s.specOf(ctx, &c)
	if err != nil {
		return err
	}
	sp.TraceParent = newTraceParent()
	// The connection that the command came on may end any time; the run begins all
	// the same.
	return s.queue.restart(context.WithoutCancel(ctx), c.Task.ID, c.Run, sp)
}

func (s *Sidecar) specOf(_ context.Context, c *timeline.Command) (*spec, error) {
	s.queue.mu.Lock()
	e := s.queue.tasks[c.Task.ID]
	s.queue.mu.Unlock()
	if e == nil {
		return s.execSpec(c)
	}
	var r record
	b := s.batches.Get().(*spool.Batch) //nolint:forcetypeassert // the pool's own
	err := s.queue.read(e, taskPlace, opTask, b, &r)
	s.batches.Put(b)
	if err != nil {
		return nil, err
	}
	// A command that comes again finds the run it asked for, with its edit.
	if len(c.InputPatch) > 0 && r.Run < c.Run {
		edited, err := agent.MergePatch(r.Spec.Input, c.InputPatch)
		if err != nil {
			return nil, fmt.Errorf("edit the input: %w", err)
		}
		r.Spec.Input = edited
		r.Spec.Edits = max(c.InputEdits, r.Spec.Edits+1)
	}
	return r.Spec, nil
}

// execSpec is the first run here of a command that was recorded elsewhere.
func (s *Sidecar) execSpec(c *timeline.Command) (*spec, error) {
	serves := slices.ContainsFunc(s.cfg.Exec, func(r ExecRule) bool { return r.Queue == c.Queue })
	if c.Runner != execrunner.Name || !serves {
		return nil, fmt.Errorf("%w: it is another's, or its record is gone", errNotOurs)
	}
	if err := s.agent.Original(c); err != nil {
		return nil, err
	}
	sp := &spec{
		Type: c.Type, Queue: c.Queue, Agent: c.Agent, Provider: c.Provider, UserID: c.UserID, Amount: c.Amount, Currency: c.Currency,
		Input: c.Input, Metadata: c.Metadata, MaxAttempts: c.MaxAttempts, Exec: true, AutoRecover: true, CreatedAt: time.Now().UTC(),
		Edits: c.InputEdits,
	}
	return sp, nil
}

// depths is how much waits, by queue.
func (s *Sidecar) depths(context.Context) ([]timeline.LiveQueueDepth, error) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	running := map[string]int{}
	s.running.Range(func(id, _ any) bool {
		if e := s.queue.tasks[id.(string)]; e != nil { //nolint:forcetypeassert // ids alone are stored
			running[e.queue]++
		}
		return true
	})
	depths := make([]timeline.LiveQueueDepth, 0, len(s.queue.depth))
	for name, n := range s.queue.depth {
		depths = append(depths, timeline.LiveQueueDepth{Queue: name, Pending: int64(max(n-running[name], 0))})
	}
	return depths, nil
}
