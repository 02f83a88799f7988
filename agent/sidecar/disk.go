package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
)

const (
	// Small segments: what is mapped of the log counts as memory of the process, and
	// compaction gives room back by whole segments.
	segmentBytes = 8 << 20
	// A log is compacted once it is compactFrom bytes long, and twice what is needed.
	compactFrom  = 16 << 20
	compactEvery = time.Second
	// compactBatch is how many records are copied before the lock is left.
	compactBatch = 64
)

// openQueue opens the log and reads what was waiting.
func openQueue(cfg queueConfig) (*queue, error) {
	log, err := spool.Open(spool.Options{
		Dir: cfg.dir, MaxBytes: cfg.maxBytes, SegmentBytes: segmentBytes, Logger: cfg.logger,
	})
	if errors.Is(err, spool.ErrLocked) {
		return nil, fmt.Errorf("another tasktrail agent runs on %s: stop it, or give this one a data_dir of its own", filepath.Dir(cfg.dir))
	}
	if err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	q := &queue{
		cfg: cfg, log: log, tasks: map[string]*entry{}, names: map[string]string{}, depth: map[string]int{},
		waiters: map[string]chan struct{}{}, cancels: map[string]*cancelNote{}, began: time.Now(), wake: make(chan struct{}, 1),
	}
	if q.cursor, err = log.Cursor("queue"); err == nil {
		err = q.replay()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the queue: %w", err), log.Close())
	}
	return q, nil
}

// replay folds the log into the index. Copies of a record that compaction made,
// and records in another order than they were written in, change nothing.
func (q *queue) replay() error {
	var b spool.Batch
	var r record
	for at := q.log.Start(); at < q.log.End(); at = b.To {
		if err := q.log.ReadBatch(at, 1, 1, &b); err != nil {
			return err
		}
		if b.Empty() {
			break
		}
		for _, d := range b.Damaged {
			q.cfg.logger.Error("a part of the queue's log is damaged: tasks in it are lost", "from", d.From, "to", d.To)
		}
		if len(b.Frames) == 0 {
			continue
		}
		if err := r.decode(b.Frames[0]); err != nil {
			q.cfg.logger.Error("a record of the queue cannot be read: it is left out", "error", err)
			continue
		}
		q.fold(&r, place{b.From, b.Seqs[0], uint32(len(b.Frames[0]))}) //nolint:gosec // a frame is smaller than a segment
	}
	q.settleReplay(q.now())
	return nil
}

func (q *queue) fold(r *record, at place) {
	e := q.tasks[r.ID]
	if r.Op == opDrop {
		if e != nil && r.Run >= int(e.run) {
			delete(q.tasks, r.ID)
			delete(q.cancels, r.ID)
		}
		return
	}
	if e == nil || r.Run > int(e.run) {
		e = &entry{id: r.ID, run: int32(r.Run), index: -1, state: stateWaiting} //nolint:gosec // a run's number is small
		q.tasks[r.ID] = e
		delete(q.cancels, r.ID) // of an earlier run
	}
	if r.Run < int(e.run) {
		return
	}
	switch r.Op {
	case opTask:
		e.task, e.sync = at, r.Spec.Sync && r.Run == 1
		if name, _, err := q.intern(r.Spec.Queue); err == nil {
			e.queue = name
		}
	case opWait:
		if e.wait = at; !e.state.ended() {
			e.due, e.state = q.dueAgain(r), stateRetrying
		}
	case opCancel:
		q.cancels[r.ID] = &cancelNote{at, *r.By}
	case opEnd:
		e.end, e.due, e.state = at, r.End.At.UnixNano(), stateOf(r.End.State)
	}
}

// dueAgain is when an attempt is due that another process has put off: when that one
// said, and no later than a whole wait from now. The clock may have been set back.
func (q *queue) dueAgain(r *record) int64 {
	if r.Noted == 0 {
		return r.Due
	}
	return min(r.Due, q.began.UnixNano()+max(r.Due-r.Noted, 0))
}

// settleReplay counts and schedules what was read.
func (q *queue) settleReplay(now time.Time) {
	var ended []*entry
	for id, e := range q.tasks {
		if e.state.ended() {
			if e.wait = (place{}); e.state == stateCompleted {
				e.task = place{}
			}
			ended = append(ended, e)
			delete(q.cancels, id)
		} else if e.task.size == 0 {
			q.cfg.logger.Error("the record of a waiting task is lost: it does not run", "task_id", id, "run", e.run)
			delete(q.tasks, id)
			delete(q.cancels, id)
			continue
		} else {
			if c := q.cancels[id]; c != nil {
				q.live += int64(c.at.size)
				e.cancelled, e.due = true, 0
			}
			q.depth[e.queue]++
			q.open++
			q.heapOf(e).add(e)
		}
		q.live += e.bytes()
	}
	slices.SortFunc(ended, func(a, b *entry) int { return cmp.Compare(a.due, b.due) })
	for _, e := range ended {
		q.listOf(e).push(e)
	}
	q.trim(now)
}

// read returns the record of a place of the entry. Compaction may move it
// meanwhile.
func (q *queue) read(e *entry, of func(*entry) place, op string, b *spool.Batch, r *record) error {
	for range 3 {
		q.mu.Lock()
		p, run := of(e), int(e.run)
		q.mu.Unlock()
		if p.size == 0 {
			return errGone
		}
		if err := q.log.ReadBatch(p.at, 1, 1, b); err != nil {
			return fmt.Errorf("read a task: %w", err)
		}
		if len(b.Frames) == 1 && r.decode(b.Frames[0]) == nil && r.ID == e.id && r.Run == run && r.Op == op {
			return nil
		}
	}
	return errGone
}

func taskPlace(e *entry) place { return e.task }
func waitPlace(e *entry) place { return e.wait }
func endPlace(e *entry) place  { return e.end }

// keep compacts the log when it is due, until ctx ends.
func (q *queue) keep(ctx context.Context) {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			q.mu.Lock()
			q.trim(now)
			q.mu.Unlock()
			if err := q.compact(ctx, false); err != nil && ctx.Err() == nil {
				q.cfg.logger.Error("compact the queue's log", "error", err)
			}
		}
	}
}

// compact copies what is needed from the beginning of the log to its end, and
// gives up the beginning.
func (q *queue) compact(ctx context.Context, always bool) error {
	var b spool.Batch
	var r record
	began := q.log.End()
	for n := 0; ctx.Err() == nil; n++ {
		at := max(q.cursor.Position(), q.log.Start())
		q.mu.Lock()
		needed := q.live
		q.mu.Unlock()
		held := int64(q.log.End() - at)
		if at >= began || !always && (held < compactFrom || held < 2*needed+segmentBytes/2) {
			return nil
		}
		if n == 0 {
			q.mu.Lock()
			q.stats.compacts++
			q.mu.Unlock()
		}
		if err := q.turnOver(ctx, at, began, &b, &r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// turnOver deals with some records from a position on.
func (q *queue) turnOver(ctx context.Context, at, end spool.Position, b *spool.Batch, r *record) error {
	copied := false
	for range compactBatch {
		if at >= end {
			break
		}
		if err := q.log.ReadBatch(at, 1, 1, b); err != nil {
			return err
		}
		if b.Empty() {
			break
		}
		if len(b.Frames) == 1 && r.decode(b.Frames[0]) == nil {
			moved, err := q.move(r, b.Seqs[0], b.Frames[0])
			if err != nil {
				return err
			}
			copied = copied || moved
		}
		at = b.To
	}
	if copied { // before the original goes, the copy is on the disk
		if err := q.log.Sync(ctx, q.log.End()); err != nil {
			return err
		}
	}
	return q.cursor.Advance(at)
}

// move copies a record where an entry still refers to it at this place.
func (q *queue) move(r *record, seq uint64, frame []byte) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.tasks[r.ID]
	if e == nil {
		return false, nil
	}
	var p *place
	switch r.Op {
	case opTask:
		p = &e.task
	case opWait:
		p = &e.wait
	case opEnd:
		p = &e.end
	case opCancel:
		c := q.cancels[r.ID]
		if c == nil {
			return false, nil
		}
		p = &c.at
	default:
		return false, nil
	}
	if p.size == 0 || p.seq != seq || int(e.run) != r.Run {
		return false, nil
	}
	moved, err := q.write(frame, true)
	if err != nil {
		return false, err
	}
	*p = moved
	q.stats.copied++
	return true, nil
}

// stop hands out no more tasks and lets those go who wait for an outcome.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for id, c := range q.waiters {
		close(c)
		delete(q.waiters, id)
	}
	kick(q.wake)
}
