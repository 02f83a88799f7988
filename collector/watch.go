package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	watchName       = "watch" // of the cursor, and of the snapshot's file
	maxPending      = 10_000  // events that follow from others and wait for the log
	maxLetters      = 100_000 // runs whose dead letter is another than the last run's
	maxSources      = 100_000
	snapshotEvery   = 5 * time.Second
	watchBatchBytes = 4 << 20
	watchFrames     = 256
	lastFlush       = 2 * time.Second // for what is pending at the end
)

// watch follows the log for the events that follow from others: dlq_resolved when
// a retried run completes (outcome.go), task_lost when a task's agent is gone
// (lost.go). Its memory is kept in a snapshot that belongs to a position of the
// log; its cursor stands there, so that a restart reads again what came after.
// The ids of what it writes are derived: twice is once.
type watch struct {
	c      *Collector
	log    *spool.Log
	cursor *spool.Cursor
	path   string

	mu      sync.Mutex
	at      spool.Position // how far the log has been taken in
	runs    map[runKey]*run
	letters map[runKey]timeline.ID
	sources map[string]time.Time // when a source was last heard of
	beats   map[runKey]time.Time // heartbeats of single tasks
	names   map[string]string
	pending []timeline.Event
	started time.Time // before it nobody could be heard
	changed bool
	saved   time.Time
	wake    chan struct{}
}

// watched are the types that change what the watch knows. A task that was created,
// or an attempt that succeeded, is followed by one of these, or by heartbeats.
const watched = ^wire.Types(1<<timeline.TaskCreated | 1<<timeline.AttemptSuccess)

// brief are those of which it is mostly enough whose they are; see observe.
const brief = wire.Types(1<<timeline.TaskStarted | 1<<timeline.AttemptStarted | 1<<timeline.AttemptFailed | 1<<timeline.TaskFailed | 1<<timeline.TaskCompleted)

// runKey is one run of one task.
type runKey struct {
	Namespace, TaskID string
	Run               int
}

func newWatch(c *Collector) *watch {
	return &watch{
		c: c, runs: map[runKey]*run{}, letters: map[runKey]timeline.ID{},
		sources: map[string]time.Time{}, beats: map[runKey]time.Time{}, names: map[string]string{}, wake: make(chan struct{}, 1),
	}
}

// run follows the log until ctx ends.
func (w *watch) run(ctx context.Context) {
	var b spool.Batch
	var rec wire.Record
	tick := w.started
	for ctx.Err() == nil {
		if !w.await(ctx) {
			break
		}
		if err := w.takeBatch(&b, &rec); err != nil {
			w.c.sayOnce("watch", "the log can't be followed for lost tasks", "error", err)
			break
		}
		w.flush(ctx)
		if now := w.c.deps.Now(); now.Sub(tick) >= w.c.cfg.LostCheckEvery {
			tick = now
			w.check(ctx, now)
			w.flush(ctx)
		}
		w.save(false)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	w.flush(last)
	w.save(true)
}

// await returns when there is something to read or to write, or it is time to
// look for lost tasks; false when the log has closed.
func (w *watch) await(ctx context.Context) bool {
	wait, cancel := context.WithTimeout(ctx, w.c.cfg.LostCheckEvery)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel()
	go func() {
		defer close(done)
		select {
		case <-w.wake:
			cancel()
		case <-wait.Done():
		}
	}()
	at := w.position()
	if w.waiting() >= maxPending {
		at = math.MaxInt64 // what follows waits in the log: the pending ones first
	}
	return !errors.Is(w.log.Wait(wait, at), spool.ErrClosed)
}

func (w *watch) position() spool.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// takeBatch takes in the next frames of the log.
func (w *watch) takeBatch(b *spool.Batch, rec *wire.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) >= maxPending {
		return nil // the log has no room: what follows waits in the log itself
	}
	if err := w.log.ReadBatch(w.at, watchBatchBytes, watchFrames, b); err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	for _, frame := range b.Frames {
		// A frame that can't be read was checked when it came: nothing follows from it.
		_ = wire.ScanBrief(frame, watched, brief, rec, func(r *wire.Record) error {
			w.outcome(r)
			w.observe(r)
			return nil
		})
	}
	if b.To > w.at {
		w.at = b.To
		w.changed = true
	}
	return nil
}

// emit enters events to be written. What passes the bound is counted in the log
// and not written: it is a sender's refused records, or a sink that refuses all.
func (w *watch) emit(events ...timeline.Event) {
	if len(events) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := maxPending - len(w.pending); len(events) > room {
		w.c.sayOnce("emit", "too many tombstones wait to be written; these are left out", "events", len(events)-max(room, 0))
		events = events[:max(room, 0)]
	}
	w.pending = append(w.pending, events...)
	w.changed = true
	w.nudge()
}

// nudge wakes run for what was entered from outside.
func (w *watch) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// flush writes what is pending; what can't be written now stays.
func (w *watch) flush(ctx context.Context) {
	w.mu.Lock()
	events := w.pending
	w.pending = nil
	w.mu.Unlock()
	if len(events) == 0 {
		return
	}
	err := w.c.writeEvents(ctx, timeline.DefaultNamespace, events, true)
	var field *timeline.FieldError
	if errors.As(err, &field) { // one of them can't be stored: the others one by one
		for i := range events {
			err := w.c.writeEvents(ctx, timeline.DefaultNamespace, events[i:i+1], true)
			if errors.As(err, &field) {
				w.c.cfg.Logger.Error("an event that follows from others can't be stored", "type", events[i].Type, "task_id", events[i].Task.ID, "error", err)
			} else if err != nil {
				w.keep(events[i:])
				return
			}
		}
	} else if err != nil {
		w.keep(events)
	}
}

func (w *watch) keep(events []timeline.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(events, w.pending...)
}

func (w *watch) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs)
}

func (w *watch) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}
