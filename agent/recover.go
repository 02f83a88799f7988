package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Recovery: when a breaker lets calls through again, the dead letters it made are
// retried by themselves: one as the probe, the others once it is closed, at a
// bounded rate and three runs a task at most.
const (
	recoverEvery     = 100 * time.Millisecond // the rate: one a tick and provider
	recoverPause     = 5 * time.Second        // after the runner did not take one
	recoverSaveEvery = 2 * time.Second
	recoverRuns      = 3
	maxRecoveries    = 10_000
	maxRecoverBytes  = 16 << 20 // of inputs that wait, in memory and on disk
	maxTaken         = 10_000
)

// recoveries are the dead letters that wait for their provider's breaker, and the
// commands that were carried out. Both outlive the process.
type recoveries struct {
	mu      sync.Mutex
	path    string
	changed bool
	waiting []recovery
	bytes   int // of the payloads in waiting
	done    []timeline.ID
	doneSet map[timeline.ID]bool
	runs    map[runKey]int // recoveries with an attempt so far, by task (run 0); bounded
}

type recovery struct {
	Command timeline.Command
	Runs    int
}

func (w *recovery) bytes() int { return len(w.Command.Input) + len(w.Command.Sealed) }

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
		rs.bytes += w.bytes()
		rs.runs[runKey{w.Command.Namespace, w.Command.Task.ID, 0}] = w.Runs
	}
}

// takes reports whether a run that an open breaker ended would be retried by
// itself: it is not the task's last recovery, and there is room to remember it.
func (rs *recoveries) takes(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.spent(r) < recoverRuns && len(rs.waiting) < maxRecoveries && rs.bytes+len(r.original) <= maxRecoverBytes
}

// spent counts the task's recoveries in which an attempt was made, this run among
// them.
func (rs *recoveries) spent(r *run) int {
	n := rs.runs[r.recoveryKey()]
	if r.number > 1 && r.attempt > 0 {
		n++
	}
	return n
}

// remember keeps what is needed to start the next run of a task that an open
// breaker ended.
func (rs *recoveries) remember(r *run) {
	t := r.task.Task
	t.Output = nil
	next := r.number + 1
	w := recovery{Command: timeline.Command{
		ID: timeline.CommandID(t.Namespace, t.ID, next), Kind: timeline.CommandRetry, Task: t, Run: next, SourceID: r.a.source,
		DeadLetterID: timeline.DeadLetterID(t.Namespace, t.ID, r.number), Reason: timeline.RetryAutoRecover, RequestedAt: r.last,
		TraceID: r.traceID, SpanID: r.spanID,
		InputEdits: r.task.Edits,
	}}
	// What was redacted waits sealed, like everywhere else on a disk.
	if w.Command.Sealed = r.sealed; r.inputKept() {
		w.Command.Input, w.Command.KeptInput = nil, true // its runner has the original
	} else if r.sealed == nil {
		w.Command.Input = r.original
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	w.Runs = rs.spent(r)
	if w.Runs > 0 {
		for old := range rs.runs {
			if len(rs.runs) < maxRecoveries {
				break
			}
			delete(rs.runs, old)
		}
		rs.runs[r.recoveryKey()] = w.Runs
	}
	rs.add(w)
}

func (rs *recoveries) add(w recovery) {
	rs.waiting = append(rs.waiting, w)
	rs.bytes += w.bytes()
	rs.changed = true
}

// forget drops the count of a task whose run ended in another way.
func (rs *recoveries) forget(r *run) {
	if r.number == 1 {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.runs, r.recoveryKey())
}

func (r *run) recoveryKey() runKey { return runKey{r.task.Namespace, r.task.ID, 0} }

// next takes the first dead letter of each provider whose breaker would let a
// call through.
func (rs *recoveries) next(a *Agent, now time.Time) []recovery {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.waiting) == 0 {
		return nil
	}
	var ready []recovery
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
		rs.bytes -= w.bytes()
		ready = append(ready, w)
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
	var pausedUntil, saved time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.After(pausedUntil) && !rs.start(ctx, a, rs.next(a, now)) {
				pausedUntil = now.Add(recoverPause)
			}
			if ctx.Err() != nil {
				return // a handler outlasted the agent, and the file may be another process's by now
			}
			if now.Sub(saved) < recoverSaveEvery {
				continue
			}
			saved = now
			if err := rs.save(); err != nil {
				a.cfg.Logger.Warn("keep the dead letters that wait for a breaker", "error", err)
			}
		}
	}
}

// start starts runs. One that its runner does not take, because it is away or its
// queue has no handler yet, waits again; start then returns false.
func (rs *recoveries) start(ctx context.Context, a *Agent, ready []recovery) bool {
	ok := true
	for _, w := range ready {
		err := a.startRun(ctx, w.Command)
		if err == nil {
			continue
		}
		if ok && ctx.Err() == nil {
			a.cfg.Logger.Warn("a dead letter could not be retried yet", "task_id", w.Command.Task.ID, "error", err)
		}
		ok = false
		rs.mu.Lock()
		rs.add(w)
		rs.mu.Unlock()
	}
	return ok
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

// save writes what changed. Tasks do not wait for it: what is written is a copy.
func (rs *recoveries) save() error {
	rs.mu.Lock()
	if !rs.changed || rs.path == "" {
		rs.mu.Unlock()
		return nil
	}
	kept := savedRecoveries{slices.Clone(rs.waiting), slices.Clone(rs.done)}
	rs.changed = false
	rs.mu.Unlock()
	if err := writeJSON(rs.path, kept); err != nil {
		rs.mu.Lock()
		rs.changed = true
		rs.mu.Unlock()
		return fmt.Errorf("save what waits for recovery: %w", err)
	}
	return nil
}
