package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Recovery: when a breaker lets calls through again, the dead letters it made are
// retried by themselves: one as the probe, the others once it is closed, at a
// bounded rate and three runs a task at most.
const (
	recoverEvery  = 100 * time.Millisecond // the rate: one a tick and provider
	recoverRuns   = 3
	maxRecoveries = 10_000
	maxTaken      = 10_000
)

// recoveries are the dead letters that wait for their provider's breaker, and the
// commands that were carried out. Both outlive the process.
type recoveries struct {
	mu      sync.Mutex
	path    string
	changed bool
	waiting []recovery
	done    []timeline.ID
	doneSet map[timeline.ID]bool
	runs    map[runKey]int // recoveries with an attempt so far, by task (run 0)
}

type recovery struct {
	Command timeline.Command
	Runs    int
}

type savedRecoveries struct {
	Waiting []recovery
	Done    []timeline.ID
}

func (rs *recoveries) open(a *Agent) {
	rs.doneSet, rs.runs = map[timeline.ID]bool{}, map[runKey]int{}
	if a.log == nil {
		return
	}
	rs.path = filepath.Join(a.log.Dir(), "recover.json")
	var kept savedRecoveries
	if err := readJSON(rs.path, &kept); err != nil {
		a.cfg.Logger.Warn("the dead letters that wait for a breaker could not be read: they can be retried by hand", "error", err)
		return
	}
	rs.waiting, rs.done = kept.Waiting, kept.Done
	for _, id := range kept.Done {
		rs.doneSet[id] = true
	}
	for _, w := range kept.Waiting {
		rs.runs[runKey{w.Command.Namespace, w.Command.Task.ID, 0}] = w.Runs
	}
}

// remember keeps what is needed to start the next run of a task that an open
// breaker ended.
func (rs *recoveries) remember(r *run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	key := runKey{r.task.Namespace, r.task.ID, 0}
	if r.number > 1 && r.attempt > 0 {
		rs.runs[key]++
	}
	if rs.runs[key] >= recoverRuns || len(rs.waiting) >= maxRecoveries {
		delete(rs.runs, key)
		return
	}
	t := r.task.Task
	t.Input, t.Output = r.original, nil
	next := r.number + 1
	rs.waiting = append(rs.waiting, recovery{timeline.Command{
		ID: timeline.CommandID(t.Namespace, t.ID, next), Kind: timeline.CommandRetry, Task: t, Run: next, SourceID: r.a.source,
		DeadLetterID: timeline.DeadLetterID(t.Namespace, t.ID, r.number), Reason: timeline.RetryAutoRecover, RequestedAt: r.last,
	}, rs.runs[key]})
	rs.changed = true
}

// next takes the first dead letter of each provider whose breaker would let a
// call through.
func (rs *recoveries) next(a *Agent, now time.Time) []timeline.Command {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var ready []timeline.Command
	asked := map[string]bool{} // namespace and provider → already taken or blocked
	kept := rs.waiting[:0]
	for _, w := range rs.waiting {
		key := w.Command.Namespace + "\x00" + w.Command.Provider
		if asked[key] || a.breakers.Get(w.Command.Namespace, w.Command.Provider, now).Blocked(now) {
			asked[key] = true
			kept = append(kept, w)
			continue
		}
		asked[key] = true
		ready = append(ready, w.Command)
	}
	clear(rs.waiting[len(kept):])
	rs.waiting = kept
	rs.changed = rs.changed || len(ready) > 0
	return ready
}

// run retries what may be retried until ctx ends.
func (rs *recoveries) run(ctx context.Context, a *Agent) {
	tick := time.NewTicker(recoverEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range rs.next(a, now) {
				if err := a.startRun(ctx, c); err != nil {
					a.cfg.Logger.Warn("a dead letter could not be retried; it can be by hand", "task_id", c.Task.ID, "error", err)
				}
			}
			if err := rs.save(); err != nil {
				a.cfg.Logger.Warn("keep the dead letters that wait for a breaker", "error", err)
			}
		}
	}
}

// taken reports whether a command was carried out before.
func (rs *recoveries) taken(id timeline.ID) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.doneSet[id]
}

func (rs *recoveries) take(id timeline.ID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.done, rs.doneSet[id], rs.changed = append(rs.done, id), true, true
	if len(rs.done) > maxTaken {
		delete(rs.doneSet, rs.done[0])
		rs.done = rs.done[1:]
	}
}

func (rs *recoveries) save() error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !rs.changed || rs.path == "" {
		return nil
	}
	if err := writeJSON(rs.path, savedRecoveries{rs.waiting, rs.done}); err != nil {
		return fmt.Errorf("save what waits for recovery: %w", err)
	}
	rs.changed = false
	return nil
}
