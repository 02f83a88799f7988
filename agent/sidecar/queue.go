package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

var (
	errFull    = errors.New("as many tasks wait as may wait")
	errNoDisk  = errors.New("there is no room on the disk for more tasks")
	errQueues  = fmt.Errorf("tasks of %d queues are known, and no more may be", timeline.MaxLiveQueues)
	errGone    = errors.New("the record of the task is gone")
	errOngoing = errors.New("the task's run is going on")
)

// queue holds the tasks of the sidecar: their records in a log on the disk, a
// small entry of each in memory, and what is due next on top of two heaps. It
// executes nothing.
type queue struct {
	cfg    queueConfig
	log    *spool.Log
	cursor *spool.Cursor

	// mu also makes the position before an append that of the frame.
	mu      sync.Mutex
	tasks   map[string]*entry
	urgent  dueHeap // somebody waits for these
	normal  dueHeap
	names   map[string]string
	depth   map[string]int // entries that have not ended, by queue
	open    int            // their sum
	live    int64          // bytes of the records that are still needed
	ended   [2]endedList   // completed; failed or cancelled
	waiters map[string]chan struct{}
	cancels map[string]*cancelNote // of runs that have not ended, by task
	closed  bool
	stats   queueStats

	began time.Time     // the clock when it was opened
	wake  chan struct{} // something may be due earlier than before
	// newQueue is told of a queue's first task, outside mu.
	newQueue func(name string)
}

type queueConfig struct {
	dir                 string
	maxTasks, maxEnded  int
	maxBytes            int64
	keepDone, keepFault time.Duration
	logger              *slog.Logger
}

type queueStats struct {
	accepted, repeated, refused   uint64
	completed, failed, cancelled  uint64
	forgotten, lostRoom, compacts uint64
	copied                        uint64
}

// now is the time by the clock as it was when the queue was opened: a clock that is
// set forward or back meanwhile neither puts an attempt off nor brings it on.
func (q *queue) now() time.Time { return q.began.Add(time.Since(q.began)) }

// room is the share of the log that records which are needed may take: the rest is
// what compaction turns over.
func (c *queueConfig) room() int64 { return c.maxBytes / 2 }

// intern gives the one copy of a queue's name. It runs under mu.
func (q *queue) intern(name string) (shared string, fresh bool, err error) {
	if have, ok := q.names[name]; ok {
		return have, false, nil
	}
	if len(q.names) >= timeline.MaxLiveQueues {
		return "", false, errQueues
	}
	q.names[name] = name
	return name, true, nil
}

// append writes a record and returns its place. It runs under mu.
func (q *queue) append(r *record, reserved bool) (place, error) {
	b, err := r.encode()
	if err != nil {
		return place{}, err
	}
	return q.write(b, reserved)
}

func (q *queue) write(frame []byte, reserved bool) (place, error) {
	p := place{at: q.log.End(), size: uint32(len(frame))} //nolint:gosec // a frame is smaller than a segment
	_, err := q.log.AppendFunc(reserved, func(dst []byte, seq uint64) []byte {
		p.seq = seq
		return append(dst, frame...)
	})
	if err != nil {
		return place{}, fmt.Errorf("write the queue's log: %w", err)
	}
	return p, nil
}

// accept takes a new task. Where the id is known it returns that entry and true,
// and changes nothing. It returns once the task is on the disk, or for a task that
// a caller waits for, once a kill cannot lose it.
func (q *queue) accept(ctx context.Context, id string, s *spec) (known bool, err error) {
	r := record{Op: opTask, ID: id, Run: 1, Spec: s}
	frame, err := r.encode()
	if err != nil {
		return false, err
	}
	q.mu.Lock()
	if q.tasks[id] != nil {
		q.stats.repeated++
		q.mu.Unlock()
		return true, nil
	}
	if err := q.mayTake(len(frame)); err != nil {
		q.stats.refused++
		q.mu.Unlock()
		return false, err
	}
	name, fresh, err := q.intern(s.Queue)
	var at place
	if err == nil {
		at, err = q.write(frame, false)
	}
	if err != nil {
		q.stats.refused++
		q.mu.Unlock()
		return false, err
	}
	e := &entry{id: id, queue: name, run: 1, index: -1, task: at, sync: s.Sync, created: true, due: q.now().UnixNano()}
	q.stats.accepted++
	q.tasks[id] = e
	q.depth[name]++
	q.open++
	q.live += e.bytes()
	upTo := q.log.End()
	q.mu.Unlock()
	if fresh && q.newQueue != nil {
		q.newQueue(name)
	}
	if !s.Sync {
		if err := q.log.Sync(ctx, upTo); err != nil {
			q.drop(e)
			return false, fmt.Errorf("have the task on the disk: %w", err)
		}
	}
	return false, nil
}

func (q *queue) mayTake(size int) error {
	switch {
	case q.closed:
		return errClosing
	case q.open >= q.cfg.maxTasks:
		return errFull
	case q.live+int64(size) > q.cfg.room() && !q.makeRoom(int64(size)):
		return errNoDisk
	}
	return nil
}

// drop takes back a task that could not be accepted.
func (q *queue) drop(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tasks[e.id] != e {
		return
	}
	if _, err := q.append(&record{Op: opDrop, ID: e.id, Run: int(e.run)}, true); err != nil {
		q.cfg.logger.Error("a task that was refused may run after the next start", "task_id", e.id, "error", err)
	}
	q.depth[e.queue]--
	q.open--
	q.forget(e)
}

// ready lets an accepted task have its turn.
func (q *queue) ready(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.tasks[id]; e != nil && e.state == stateAccepting {
		e.state = stateWaiting
		q.schedule(e)
	}
}

// schedule puts the entry into its heap. It runs under mu.
func (q *queue) schedule(e *entry) {
	if e.index >= 0 || q.closed {
		return
	}
	q.heapOf(e).add(e)
	kick(q.wake)
}

func (q *queue) heapOf(e *entry) *dueHeap {
	if e.sync {
		return &q.urgent
	}
	return &q.normal
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next waits for an entry that is due and marks it as running; nil when ctx ends
// or the queue is closed.
func (q *queue) next(ctx context.Context) *entry {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e, wait := q.take(q.now())
		if e != nil {
			return e
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-timer.C:
		}
	}
}

// idleWait is how long next waits where nothing is scheduled.
const idleWait = time.Minute

func (q *queue) take(now time.Time) (*entry, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, idleWait
	}
	wait := idleWait
	for _, h := range [...]*dueHeap{&q.urgent, &q.normal} {
		if h.Len() == 0 {
			continue
		}
		e := (*h)[0]
		if d := time.Duration(e.due - now.UnixNano()); d > 0 {
			wait = min(wait, d)
			continue
		}
		h.remove(e)
		e.state = stateRunning
		return e, 0
	}
	return nil, wait
}

// again schedules the next attempt of a run that goes on after a delay, and calls
// written once that is written down.
func (q *queue) again(e *entry, delay time.Duration, carry []byte, written func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now().UnixNano()
	e.due, e.state = now+int64(delay), stateRetrying
	if q.note(e, now, carry) && written != nil {
		written()
	}
	if e.cancelled {
		e.due = 0
	}
	q.schedule(e)
}

// note writes down when the next attempt is due and what it is to be given. It
// runs under mu.
func (q *queue) note(e *entry, now int64, carry []byte) bool {
	at, err := q.append(&record{Op: opWait, ID: e.id, Run: int(e.run), Due: e.due, Noted: now, Carry: carry}, true)
	if err != nil {
		// The run goes on, with the counts of the attempt before.
		q.cfg.logger.Error("a wait could not be written down", "task_id", e.id, "error", err)
		return false
	}
	q.live += int64(at.size) - int64(e.wait.size)
	e.wait = at
	return true
}

// finish writes down how a run ended; it is on the disk when it returns without an
// error. Callers that wait are told in any case.
func (q *queue) finish(ctx context.Context, e *entry, o *outcome) error {
	r := record{Op: opEnd, ID: e.id, Run: int(e.run), End: o}
	q.mu.Lock()
	at, err := q.append(&r, true)
	q.heapOf(e).remove(e)
	q.live -= e.bytes()
	q.uncancel(e.id)
	e.end, e.wait = at, place{}
	if o.State == timeline.StateCompleted { // nothing starts it again: its outcome is all that is asked for
		e.task = place{}
	}
	q.live += e.bytes()
	q.depth[e.queue]--
	q.open--
	now := q.now()
	q.settle(e, stateOf(o.State), now)
	q.trim(now)
	upTo := q.log.End()
	q.mu.Unlock()
	if err == nil {
		err = q.log.Sync(context.WithoutCancel(ctx), upTo)
	}
	q.mu.Lock()
	if c := q.waiters[e.id]; c != nil {
		close(c)
		delete(q.waiters, e.id)
	}
	q.mu.Unlock()
	return err
}

// settle puts an entry among the ended ones. It runs under mu.
func (q *queue) settle(e *entry, s entryState, at time.Time) {
	e.state, e.due, e.cancelled = s, at.UnixNano(), false
	switch s {
	case stateCompleted:
		q.stats.completed++
	case stateCancelled:
		q.stats.cancelled++
	default:
		q.stats.failed++
	}
	q.listOf(e).push(e)
}

// restart begins the next run of a task. It is on the disk when it returns.
func (q *queue) restart(ctx context.Context, id string, run int, s *spec) error {
	r := record{Op: opTask, ID: id, Run: run, Spec: s}
	q.mu.Lock()
	e := q.tasks[id]
	if e != nil && int(e.run) >= run { // the command came again
		upTo := q.log.End()
		q.mu.Unlock()
		return q.begin(ctx, e, upTo)
	}
	if e != nil && (e.state == stateRunning || e.state == stateAccepting) {
		q.mu.Unlock()
		return errOngoing
	}
	name, fresh, err := q.intern(s.Queue)
	if err != nil {
		q.mu.Unlock()
		return err
	}
	at, err := q.append(&r, true)
	if err != nil {
		q.mu.Unlock()
		return err
	}
	if e == nil {
		e = &entry{id: id, queue: name, index: -1}
		q.tasks[id] = e
		q.depth[name]++
		q.open++
	} else {
		q.live -= e.bytes()
		q.uncancel(id)
		q.heapOf(e).remove(e)
		if e.state.ended() {
			q.listOf(e).remove(e)
			q.depth[e.queue]++
			q.open++
		}
	}
	e.run, e.task, e.wait, e.end = int32(run), at, place{}, place{} //nolint:gosec // a run's number is small
	e.state, e.sync, e.created, e.cancelled, e.due = stateWaiting, false, true, false, q.now().UnixNano()
	q.live += e.bytes()
	upTo := q.log.End()
	q.mu.Unlock()
	if fresh && q.newQueue != nil {
		q.newQueue(name)
	}
	return q.begin(ctx, e, upTo)
}

// begin lets a later run have its turn once it is on the disk.
func (q *queue) begin(ctx context.Context, e *entry, upTo spool.Position) error {
	if err := q.log.Sync(ctx, upTo); err != nil {
		return fmt.Errorf("have the run on the disk: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.state == stateWaiting {
		q.schedule(e)
	}
	return nil
}

// hasten gives a task that waits its turn at once: it was cancelled.
func (q *queue) hasten(id string, run int) (entryState, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.tasks[id]
	if e == nil || run > 0 && int(e.run) != run {
		return 0, false
	}
	if e.state.ended() {
		return e.state, true
	}
	e.cancelled = true
	if e.index >= 0 {
		h := q.heapOf(e)
		h.remove(e)
		e.due = 0
		q.schedule(e)
	}
	return e.state, true
}

// wait returns a channel that is closed when the task's run has ended; nil where it
// has or is not known.
func (q *queue) waitFor(id string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.tasks[id]
	if e == nil || e.state.ended() || q.closed {
		return nil
	}
	c := q.waiters[id]
	if c == nil {
		c = make(chan struct{})
		q.waiters[id] = c
	}
	return c
}
