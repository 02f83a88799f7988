package spool

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// populateAhead is how far ahead of the appender pages are faulted in: a store
// into a page that is not there costs as much as ten appends of small frames.
const populateAhead = 1 << 20

// keepLoop prepares the next segment, faults pages in ahead of the appender, and
// deletes segments that nobody needs.
func (l *Log) keepLoop() {
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		select {
		case <-l.keepKick:
		case <-timer.C:
		case <-l.stop:
			return
		}
		l.populateMore()
		again := l.deleteConsumed()
		l.prepareAhead()
		if again > 0 {
			timer.Reset(again)
		}
	}
}

// populateMore faults in the pages ahead. A log that is synced all the time has
// nothing of it: an fsync makes every page clean, so that the next store faults
// all the same.
func (l *Log) populateMore() {
	l.mu.Lock()
	s, off := l.active, l.off
	if l.opts.DurableOnly || s.sealed.Load() {
		l.populated = s.size
	}
	from := max(off, l.populated)
	to := min(off+populateAhead, s.size)
	l.populated = max(l.populated, to)
	l.kickAt = s.size
	if l.populated < s.size {
		l.kickAt = l.populated - populateAhead/2
	}
	if l.next == nil && off < s.size/2 {
		l.kickAt = min(l.kickAt, s.size/2)
	}
	l.mu.Unlock()
	if from < to {
		s.populate(from, to)
	}
}

// prepareAhead makes the next segment before it is needed, so that a roll costs
// the appender nothing.
func (l *Log) prepareAhead() {
	l.mu.Lock()
	want := l.next == nil && l.off >= int64(len(l.data))/2 && l.refuse == nil && !time.Now().Before(l.fullUntil)
	l.mu.Unlock()
	if !want {
		return
	}
	err := l.prepareLocked()
	if errors.Is(err, ErrFull) {
		l.mu.Lock()
		gone, _ := l.takeConsumed(true)
		l.mu.Unlock()
		l.remove(gone)
		err = l.prepareLocked()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.adopt()
	case errors.Is(err, ErrFull):
		l.fullUntil = time.Now().Add(retryRoom)
	default:
		l.fullUntil = time.Now().Add(retryRoom)
		l.log.Error("the next segment can't be prepared", "dir", l.opts.Dir, "error", err)
	}
}

// prepareNow gets the appender its next segment, in its own time when the keeper
// has not managed. It runs under mu.
func (l *Log) prepareNow() error {
	l.adopt()
	if l.next != nil {
		return nil
	}
	if time.Now().Before(l.fullUntil) {
		return ErrFull
	}
	err := l.prepareLocked()
	if errors.Is(err, ErrFull) {
		// Room for new frames comes before keeping old ones. What the keeper is
		// deleting just now is room, too, as soon as it is done.
		gone, _ := l.takeConsumed(true)
		l.remove(gone)
		err = l.prepareLocked()
	}
	if err != nil {
		l.fullUntil = time.Now().Add(retryRoom)
		return err
	}
	l.adopt()
	return nil
}

// adopt takes what was prepared as the next segment. It runs under mu.
func (l *Log) adopt() {
	if l.next != nil {
		return
	}
	l.prepMu.Lock()
	l.next, l.ready = l.ready, nil
	l.prepMu.Unlock()
	if l.next != nil {
		l.fullSaid = false
		l.fullUntil = time.Time{}
		l.setLimits()
	}
}

func (l *Log) prepareLocked() error {
	l.prepMu.Lock()
	defer l.prepMu.Unlock()
	return l.prepare(0)
}

// prepare makes a segment file of at least least bytes and leaves it in ready,
// unless one is there or in use already. It runs under prepMu.
func (l *Log) prepare(least int64) error {
	if l.spares.Load() > 0 {
		return nil
	}
	size := min(l.opts.SegmentBytes, l.opts.MaxBytes-l.allocated.Load()) &^ (pageBytes - 1)
	if size < min(l.opts.SegmentBytes, max(minSegmentBytes, l.opts.SegmentBytes/4)) {
		return ErrFull
	}
	size = min(size, max(l.fitting(size), (least+pageBytes-1)&^(pageBytes-1)))
	if l.allocEnd >= maxPosition-Position(size) {
		return fmt.Errorf("prepare segment: %w", ErrBadPosition)
	}
	s, err := createSegment(l.opts.Dir, l.allocEnd, size, l.who)
	if err != nil {
		return err
	}
	if !l.opts.DurableOnly {
		s.populate(0, min(populateAhead, size))
	}
	l.allocEnd = s.reach()
	l.allocated.Add(size)
	l.spares.Add(1)
	l.ready = s
	return nil
}

// scarce says how much of what a disk has left one segment takes at most.
const scarce = 4

// fitting is how large the next segment is on a disk that has little room: smaller
// ones, down to a sixteenth. The segment that is appended to can't be given back,
// so on a small disk one of full size may be all there is room for, and a log that
// was read to its end would have nowhere to go on.
func (l *Log) fitting(size int64) int64 {
	free, err := freeBytes(l.opts.Dir)
	if err != nil || free/scarce >= size {
		return size
	}
	// The reserve has to fit into the segment that is the last one there is room for.
	return min(size, max(free/scarce, l.opts.SegmentBytes/16, 2*l.opts.ReserveBytes, minSegmentBytes)) &^ (pageBytes - 1)
}

// replaceNext prepares a larger segment in place of one that is too small for the
// frame that comes, where there is room for it by now. It runs under mu.
func (l *Log) replaceNext(fit int64) error {
	s := l.next
	if time.Now().Before(l.fullUntil) {
		return ErrFull
	}
	l.fullUntil = time.Now().Add(retryRoom)
	free, err := freeBytes(l.opts.Dir)
	if err != nil || free+s.size < fit+pageBytes || l.opts.MaxBytes-(l.allocated.Load()-s.size) < fit+pageBytes {
		return ErrFull
	}
	l.prepMu.Lock()
	defer l.prepMu.Unlock()
	s.unmap()
	if err := errors.Join(os.Remove(s.path), s.file.Close()); err != nil {
		return fmt.Errorf("delete a segment that is too small: %w", err)
	}
	l.next, l.allocEnd = nil, s.base
	l.spares.Add(-1)
	l.allocated.Add(-s.size)
	err = l.prepare(fit)
	l.next, l.ready = l.ready, nil
	l.setLimits()
	if err == nil {
		l.fullUntil = time.Time{}
	}
	return err
}

// deleteConsumed deletes the segments that all cursors have passed and that were
// retained long enough, and returns when to look again; 0 for when kicked.
func (l *Log) deleteConsumed() time.Duration {
	l.mu.Lock()
	gone, again := l.takeConsumed(false)
	l.mu.Unlock()
	l.remove(gone)
	if len(gone) > 0 {
		l.mu.Lock()
		l.adopt()
		l.fullUntil = time.Time{}
		l.mu.Unlock()
	}
	return again
}

// takeConsumed cuts the segments that can go off the list, and takes removeMu for
// the remove that has to follow. It runs under mu.
func (l *Log) takeConsumed(early bool) (gone []*segment, again time.Duration) {
	l.removeMu.Lock()
	passed, ok := l.slowest()
	if !ok {
		return nil, 0
	}
	segs := *l.segs.Load()
	n := 0
	for ; n < len(segs)-1; n++ {
		s := segs[n]
		// A cursor at the very end still names it as the start of its next range.
		if !s.settled.Load() || s.pos(s.end) >= passed {
			break
		}
		if left := l.opts.Retain - time.Since(s.usedAt); left > 0 && !early {
			again = left
			break
		}
	}
	if n == 0 {
		return nil, again
	}
	rest := segs[n:len(segs):len(segs)]
	l.segs.Store(&rest)
	return segs[:n:n], again
}

// remove deletes segment files. The cursors that have passed them are put on the
// disk before: a power cut must not bring one back to what is gone.
func (l *Log) remove(gone []*segment) {
	defer l.removeMu.Unlock()
	if len(gone) == 0 {
		return
	}
	l.syncCursors()
	for _, s := range gone {
		if l.reuse(s) {
			continue
		}
		s.unmap()
		err := errors.Join(os.Remove(s.path), s.file.Close())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Error("a consumed segment can't be deleted", "segment", s.path, "error", err)
			if _, statErr := os.Stat(s.path); statErr == nil {
				continue // it still takes its room
			}
		}
		l.allocated.Add(-s.size)
		l.freed.Add(1)
	}
	if err := syncDir(l.opts.Dir); err != nil {
		l.log.Warn("deleted segments may come back after a power cut", "dir", l.opts.Dir, "error", err)
	}
}

// reuse makes the next segment of one that can go, where the next one is missing
// and would be of this size. It reports whether the old one is gone by that.
func (l *Log) reuse(s *segment) bool {
	l.prepMu.Lock()
	defer l.prepMu.Unlock()
	if l.spares.Load() > 0 || s.size != l.opts.SegmentBytes || l.allocEnd >= maxPosition-Position(s.size) {
		return false
	}
	select {
	case <-l.stop:
		return false
	default:
	}
	l.freed.Add(1)
	next, err := reuseSegment(l.opts.Dir, s, l.allocEnd, l.who)
	if err != nil {
		l.allocated.Add(-s.size)
		l.log.Warn("a consumed segment can't be used again", "segment", s.path, "error", err)
		return true
	}
	if !l.opts.DurableOnly {
		next.populate(0, min(populateAhead, next.size))
	}
	l.allocEnd = next.reach()
	l.spares.Add(1)
	l.ready = next
	return true
}
