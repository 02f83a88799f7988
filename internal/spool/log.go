package spool

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Position is a logical byte offset in a log. It rises for ever, over deleted
// segments and restarts; 0 is the beginning. Only positions that the log gave
// out mean anything; it may jump where a segment ends.
type Position uint64

// Log is an append-only log in a directory. It is safe for concurrent use.
type Log struct {
	opts Options
	who  identity
	name string // the identity's text
	lock *os.File
	meta *os.File
	log  *slog.Logger
	sealer

	// What appending needs, under mu. Lock order: mu, then prepMu.
	mu        sync.Mutex
	active    *segment
	next      *segment // prepared and not yet used
	data      []byte   // the active segment's mapping
	off       int64    // file offset of the next frame
	limit     int64    // file offset that Append may not pass
	kickAt    int64    // file offset at which the keeper has something to do
	populated int64    // file offset up to which pages were faulted in
	nextSeq   uint64
	frames    uint64 // in the active segment
	appends   uint64
	scratch   []byte // under DurableOnly, what a frame is encoded in: header and payload
	refuse    error  // what every append gets
	fullSaid  bool
	fullUntil time.Time // no attempt to get more room before

	end      atomic.Uint64
	durable  atomic.Uint64
	segs     atomic.Pointer[[]*segment] // by position, the active one last; replaced under mu
	refused  atomic.Uint64
	freed    atomic.Uint64
	reset    atomic.Uint64
	torn     int64
	appended *mark // End has moved
	synced   *mark // Durable has moved, or never will

	prepMu    sync.Mutex
	ready     *segment // prepared by the keeper, not yet taken as next
	spares    atomic.Int32
	allocEnd  Position // where the next file begins
	allocated atomic.Int64

	syncs     syncState
	syncKick  chan struct{}
	keepKick  chan struct{}
	stop      chan struct{} // closed: goroutines end
	done      chan struct{} // closed: waiting calls end
	running   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error

	removeMu sync.Mutex // deleting segments: taken under mu, held on after it

	namesMu sync.Mutex // creating and removing cursors, before mu
	curMu   sync.Mutex // the map alone, after mu
	cursors map[string]*Cursor

	damage damageList
}

// Open takes the directory's lock, recovers the log in it or creates one, and
// starts the goroutines that sync, prepare and delete segments; Close stops
// them. A directory in use is ErrLocked. Damage in the frames is never a reason
// not to open.
func Open(opts Options) (*Log, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of the log: %w", err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		opts: opts, lock: lock, log: opts.Logger, cursors: map[string]*Cursor{},
		appended: newMark(), synced: newMark(),
		syncKick: make(chan struct{}, 1), keepKick: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	l.syncs.segment = opts.syncSegment
	if err := l.recover(); err != nil {
		l.release()
		return nil, fmt.Errorf("open log %s: %w", opts.Dir, err)
	}
	l.running.Go(l.syncLoop)
	if !opts.look {
		l.running.Go(l.keepLoop)
		kick(l.keepKick)
	}
	return l, nil
}

// kick wakes a goroutine that has one thing to do at a time.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ID returns the log's random identifier, made at its creation: a UUID in its
// canonical 36 characters.
func (l *Log) ID() string { return l.name }

func (who identity) String() string {
	b := make([]byte, 0, 36)
	for i, n := 0, 0; i < 16; i += n {
		n = 2
		if i == 0 {
			n = 4
		} else if i == 10 {
			n = 6
		}
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, who.id[i:i+n])
	}
	return string(b)
}

// Dir returns the log's directory.
func (l *Log) Dir() string { return l.opts.Dir }

// Start returns the position of the oldest frame kept.
func (l *Log) Start() Position { return (*l.segs.Load())[0].base }

// Tail returns the start of a segment with at least n bytes behind it, where so
// much is kept, and else the start of the log.
func (l *Log) Tail(n uint64) Position {
	segs := *l.segs.Load()
	end := uint64(l.End())
	for i := len(segs) - 1; i > 0; i-- {
		if end-uint64(segs[i].base) >= n {
			return segs[i].base
		}
	}
	return segs[0].base
}

// End returns the position after the last frame appended.
func (l *Log) End() Position { return Position(l.end.Load()) }

// Durable returns the position before which everything is fsynced.
func (l *Log) Durable() Position { return Position(l.durable.Load()) }

// readable is how far readers see.
func (l *Log) readable() Position {
	if l.opts.DurableOnly {
		return l.Durable()
	}
	return l.End()
}

// NextSeq returns the sequence number that the next frame gets; the first ever
// is 1.
func (l *Log) NextSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextSeq
}

// Wait returns when there is something to read after the position: End is
// beyond it, or Durable is under Options.DurableOnly. It returns the context's
// cause when ctx ends first and ErrClosed when the log closes.
func (l *Log) Wait(ctx context.Context, after Position) error {
	if l.opts.DurableOnly {
		return l.WaitDurable(ctx, after)
	}
	return l.appended.wait(ctx, l.done, after, func() (bool, error) { return l.End() > after, nil })
}

// WaitDurable returns when Durable is beyond the position. It asks for no fsync.
func (l *Log) WaitDurable(ctx context.Context, after Position) error {
	return l.synced.wait(ctx, l.done, after, func() (bool, error) { return l.Durable() > after, nil })
}

// Stats returns the log's figures.
func (l *Log) Stats() Stats {
	st := Stats{
		Start: l.Start(), End: l.End(), Durable: l.Durable(),
		DiskBytes: l.allocated.Load(), FullRefused: l.refused.Load(),
		CursorsReset: l.reset.Load(), SegmentsFreed: l.freed.Load(), TornBytes: l.torn,
	}
	l.syncs.stats(&st)
	l.damage.stats(&st)
	l.mu.Lock()
	defer l.mu.Unlock()
	st.NextSeq, st.Appends, st.Frames = l.nextSeq, l.appends, l.frames
	segs := *l.segs.Load()
	st.Segments = len(segs) + int(l.spares.Load())
	for _, s := range segs {
		if s.sealed.Load() {
			st.Bytes += s.end - segmentHeaderSize
			st.Frames += s.frames
		}
	}
	free := -l.opts.ReserveBytes
	if !l.active.sealed.Load() {
		st.Bytes += l.off - segmentHeaderSize
		free += l.active.size - l.off
	}
	if l.next != nil {
		free += l.next.size - segmentHeaderSize
	}
	if !time.Now().Before(l.fullUntil) {
		free += max(0, l.opts.MaxBytes-l.allocated.Load())
	}
	st.FreeBytes = max(0, free)
	return st
}

// Close syncs what was appended, stops the log's goroutines and gives the
// directory free. Waiting calls return ErrClosed. Closing twice returns what
// the first call returned.
func (l *Log) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Log) close() error {
	l.mu.Lock()
	l.refuse = ErrClosed
	l.mu.Unlock()
	close(l.stop)
	l.running.Wait()
	err := l.syncTo(l.End())
	if err == nil {
		err = l.rest()
	} else {
		err = fmt.Errorf("sync at close: %w", err)
	}
	close(l.done)
	l.release()
	return err
}

// rest notes on the disk that everything up to the end is there.
func (l *Log) rest() error {
	l.settle()
	if !l.active.sealed.Load() {
		err := l.active.writeCheckpoint(checkpoint{end: l.off, nextSeq: l.nextSeq, frames: l.frames})
		if err == nil {
			err = l.syncs.segment(l.active)
		}
		if err != nil {
			return fmt.Errorf("close segment: %w", err)
		}
	}
	l.syncCursors()
	return l.writeSession(true)
}

// release lets go of everything that is open, whatever Open had got to.
func (l *Log) release() {
	var errs []error
	for _, c := range l.cursors {
		errs = append(errs, c.close())
	}
	var segs []*segment
	if p := l.segs.Load(); p != nil {
		segs = slices.Clone(*p)
	}
	for _, s := range append(segs, l.next, l.ready) {
		if s != nil {
			s.unmap()
			errs = append(errs, s.file.Close())
		}
	}
	if l.meta != nil {
		errs = append(errs, l.meta.Close())
	}
	errs = append(errs, l.lock.Close())
	if err := errors.Join(errs...); err != nil {
		l.log.Warn("closing the log's files", "dir", l.opts.Dir, "error", err)
	}
}
