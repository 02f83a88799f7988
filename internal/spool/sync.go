package spool

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxGather bounds how often an fsync is put off for others to join.
const maxGather = 8

// syncState is the group commit: how far is wanted, and how it went.
type syncState struct {
	wanted  atomic.Uint64
	failed  atomic.Pointer[error]
	segment func(*segment) error // (*segment).sync

	mu         sync.Mutex
	count      uint64
	last, most time.Duration
}

func (s *syncState) stats(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Syncs, st.LastSyncLatency, st.MaxSyncLatency = s.count, s.last, s.most
	st.SyncFailed = s.failure()
}

func (s *syncState) failure() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// raise is the maximum of what is there and to.
func raise(at *atomic.Uint64, to Position) {
	for {
		old := at.Load()
		if old >= uint64(to) || at.CompareAndSwap(old, uint64(to)) {
			return
		}
	}
}

// Sync returns when everything before upTo is on the disk. Callers that wait at
// the same time share one fsync. When ctx ends first, its cause is returned and
// the fsync goes on. After a failed fsync every Sync that is not covered by an
// earlier success is ErrSyncFailed, until the log is opened anew: the kernel
// marks pages clean whose writing failed, so that a second fsync proves nothing.
func (l *Log) Sync(ctx context.Context, upTo Position) error {
	if upTo > l.End() {
		return fmt.Errorf("sync: %w: %d is after the end, %d", ErrBadPosition, upTo, l.End())
	}
	if upTo <= l.Durable() {
		return nil
	}
	raise(&l.syncs.wanted, upTo)
	kick(l.syncKick)
	return l.synced.wait(ctx, l.done, upTo-1, func() (bool, error) {
		if l.Durable() >= upTo {
			return true, nil
		}
		return false, l.syncs.failure()
	})
}

// syncLoop does the fsyncs, one at a time: whoever asks while one runs is served
// by the next, all of them together.
func (l *Log) syncLoop() {
	for {
		select {
		case <-l.syncKick:
		case <-l.stop:
			return
		}
		for l.syncs.wanted.Load() > l.durable.Load() {
			l.gather()
			if l.syncTo(l.End()) != nil {
				break
			}
		}
		l.settle()
	}
}

// gather lets the goroutines that can run append before the next fsync begins:
// those that the last one woke would else find it under way with the first of
// them alone, and every second fsync would be for one.
func (l *Log) gather() {
	for range maxGather {
		before := l.End()
		runtime.Gosched()
		if l.End() == before {
			return
		}
	}
}

// syncTo has everything before target on the disk.
func (l *Log) syncTo(target Position) error {
	if err := l.syncs.failure(); err != nil {
		return err
	}
	durable := l.Durable()
	if target <= durable {
		return nil
	}
	for _, s := range *l.segs.Load() {
		// What is settled is on the disk already, and may be deleted at any moment:
		// its file may be closed.
		if s.settled.Load() || s.reach() <= durable || s.base >= target || s.sealed.Load() && s.pos(s.end) <= durable {
			continue
		}
		if err := l.syncSegment(s); err != nil {
			return err
		}
	}
	raise(&l.durable, target)
	l.synced.raise(target)
	return nil
}

func (l *Log) syncSegment(s *segment) error {
	began := time.Now()
	err := l.syncs.segment(s)
	took := time.Since(began)
	l.syncs.mu.Lock()
	l.syncs.count++
	l.syncs.last, l.syncs.most = took, max(l.syncs.most, took)
	l.syncs.mu.Unlock()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %s: %w", ErrSyncFailed, s.path, err)
	if !l.syncs.failed.CompareAndSwap(nil, &err) {
		return l.syncs.failure()
	}
	l.log.Error("an fsync failed: nothing appended from here on is called durable until the log is opened anew", "segment", s.path, "error", err)
	if l.opts.DurableOnly {
		l.mu.Lock()
		if l.refuse == nil {
			l.refuse = err
		}
		l.mu.Unlock()
	}
	l.synced.wakeAll()
	return err
}

// settle writes the seals of segments that are full and unmaps them. A segment
// may be deleted once its successor's activation is on the disk, too: that is
// where the sequence numbers go on.
func (l *Log) settle() {
	segs := *l.segs.Load()
	for i, s := range segs {
		if !s.sealed.Load() || s.settled.Load() || i == len(segs)-1 {
			continue
		}
		if l.syncs.failure() == nil {
			if err := l.settleOne(s, segs[i+1]); err != nil {
				l.log.Error("a full segment can't be sealed; it will be scanned at the next start", "segment", s.path, "error", err)
			}
		}
		// The append that rolled may still be copying out of the old mapping; it
		// holds mu as long.
		l.mu.Lock()
		inUse := l.active == s
		l.mu.Unlock()
		if !inUse {
			s.unmap()
		}
	}
	kick(l.keepKick)
}

func (l *Log) settleOne(s, successor *segment) error {
	if err := l.syncSegment(s); err != nil {
		return err
	}
	if err := s.writeCheckpoint(checkpoint{end: s.end, nextSeq: s.nextSeq, frames: s.frames, sealed: true}); err != nil {
		return err
	}
	if err := l.syncSegment(s); err != nil {
		return err
	}
	if err := l.syncSegment(successor); err != nil {
		return err
	}
	s.settled.Store(true)
	return nil
}
