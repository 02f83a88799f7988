package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// record puts a complete event into the spool, where it survives the process from
// then on. It never fails the task: what cannot be recorded is counted.
func (a *Agent) record(e *timeline.Event) { a.recordOf(e, nil) }

// recordOf is record for an event of a run whose common fields are encoded.
func (a *Agent) recordOf(e *timeline.Event, run []byte) {
	a.stats.emitted.Add(1)
	if a.log == nil {
		a.stats.unwritten.Add(1)
		return
	}
	if e.ID.IsZero() {
		e.ID = a.ids.Next(e.OccurredAt)
	}
	e.SourceID, e.Severity = a.source, e.Type.Severity()
	important := e.Severity != timeline.SeverityInfo
	err := a.append(e, run, important)
	if errors.Is(err, spool.ErrFull) && a.cfg.FullPolicy == Block {
		err = a.appendBlocking(e, run, important)
	}
	switch {
	case err == nil:
		a.shed.settle(a)
	case errors.Is(err, spool.ErrFull):
		a.stats.shed.Add(1)
		if a.shed.add(a.log.Skip(1)) {
			a.cfg.Logger.Warn("the spool is full: events are shed, counted and marked by a tombstone", "dir", a.log.Dir())
		}
	default:
		if a.stats.unwritten.Add(1) == 1 {
			a.cfg.Logger.Error("an event could not be recorded", "type", e.Type.String(), "error", err)
		}
	}
}

func (a *Agent) append(e *timeline.Event, run []byte, reserved bool) error {
	_, err := a.log.AppendFunc(reserved, func(dst []byte, seq uint64) []byte {
		e.SourceSeq = seq
		if run != nil {
			return wire.AppendLogRecordOf(dst, run, e)
		}
		return wire.AppendLogRecord(dst, e)
	})
	return err
}

// appendBlocking waits for room, for a bounded time.
func (a *Agent) appendBlocking(e *timeline.Event, run []byte, reserved bool) error {
	deadline := time.Now().Add(a.cfg.BlockFor)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		<-tick.C
		err := a.append(e, run, reserved)
		if !errors.Is(err, spool.ErrFull) || time.Now().After(deadline) {
			return err
		}
	}
}

// syncDeadLetter waits until what was recorded is on the disk, for as long as an
// answer may wait for it. A power cut after a longer fsync could lose the dead
// letter; that is counted.
func (a *Agent) syncDeadLetter(ctx context.Context) {
	if a.log == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.DeadLetterSyncWait)
	defer stop()
	if err := a.log.Sync(ctx, a.log.End()); err != nil {
		a.stats.lateSyncs.Add(1)
	}
}

// shed is the range of sequence numbers that were used up without an event, until
// a tombstone has named it.
type shed struct {
	open     atomic.Bool // there is a range; lets every event pass without the lock
	mu       sync.Mutex
	from, to uint64
}

// add takes one number; it reports whether it begins a range.
func (s *shed) add(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.from == 0
	if first {
		s.from = seq
		s.open.Store(true)
	}
	s.to = seq
	return first
}

// settle writes the tombstone of what was shed, when there is room again.
func (s *shed) settle(a *Agent) {
	if !s.open.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == 0 {
		return
	}
	now := time.Now().UTC()
	e := timeline.Event{
		ID: a.ids.Next(now), Type: timeline.Tombstone, Severity: timeline.SeverityWarning, SourceID: a.source, OccurredAt: now,
		Gap: &timeline.Gap{From: s.from, To: s.to, Reason: "shed"},
	}
	e.Namespace, e.Agent = a.cfg.Namespace, a.cfg.Name
	if a.append(&e, nil, true) == nil {
		s.from, s.to = 0, 0
		s.open.Store(false)
	}
}
