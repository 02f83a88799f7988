package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"
)

// retryRoom is how long a log that found no room refuses without asking the disk
// again, unless a segment is freed.
const retryRoom = 100 * time.Millisecond

const (
	writeFrom   = 4 << 10 // from this size on a system call is cheaper than faults
	minScratch  = 64 << 10
	keepScratch = 4 << 20
)

// Append copies the frame to the end of the log and returns the position after
// it. When it returns, the frame survives the death of the process; see Sync
// for the death of the machine. It does not allocate and makes no system call,
// but for the moment a segment ends and for large frames under
// Options.DurableOnly.
//
// Errors: ErrFull, ErrFrameTooLarge, ErrEmptyFrame, ErrClosed, ErrFault, and
// ErrSyncFailed under Options.DurableOnly.
func (l *Log) Append(frame []byte) (Position, error) { return l.append(false, frame, nil) }

// AppendReserved is Append for the frames that matter most: it may use the room
// of Options.ReserveBytes when Append is refused.
func (l *Log) AppendReserved(frame []byte) (Position, error) { return l.append(true, frame, nil) }

// AppendFunc lets fn encode a frame in place: fn appends the frame to dst, which
// is empty and has the log's own memory as its capacity, and returns the
// result. seq is the frame's sequence number; when the frame is refused, the
// next call gets the same number again. fn is called once.
//
// fn runs under the log's lock: it is quick, does not call the log, and keeps
// nothing of dst. A panic in it is the caller's, and appends nothing. A function
// literal that captures variables costs no allocation. With reserved, the room
// of Options.ReserveBytes may be used.
func (l *Log) AppendFunc(reserved bool, fn func(dst []byte, seq uint64) []byte) (Position, error) {
	return l.append(reserved, nil, fn)
}

func (l *Log) append(reserved bool, frame []byte, fn func([]byte, uint64) []byte) (pos Position, err error) {
	l.mu.Lock()
	// A store into a mapped file whose blocks are gone (truncated by someone, a
	// failed device) raises SIGBUS, which would end a process that only wanted to
	// be watched. It becomes a panic here, and the panic an error.
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if pos == 0 && err == nil {
			if r := recover(); r != nil {
				err = l.faulted(r)
			}
		}
		l.mu.Unlock()
	}()
	if l.refuse != nil {
		return 0, l.refuse
	}
	if fn != nil {
		frame = l.encode(reserved, fn)
	}
	if n := len(frame); n == 0 {
		return 0, ErrEmptyFrame
	} else if n > l.opts.MaxFrameBytes {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, n, l.opts.MaxFrameBytes)
	}
	if need := l.off + frameSize(len(frame)); need > l.limit && !(reserved && need <= int64(len(l.data))) {
		if err := l.makeRoom(reserved, frameSize(len(frame))); err != nil {
			return 0, err
		}
	}
	if l.opts.DurableOnly && len(frame) >= writeFrom {
		return l.write(frame)
	}
	return l.publish(frame), nil
}

// encode has fn write behind the place of the frame's header. Where every frame
// is synced the mapped page is hardly ever writable without a fault (an fsync
// write-protects it again), so there it is a buffer that is written out after.
func (l *Log) encode(reserved bool, fn func([]byte, uint64) []byte) []byte {
	if l.opts.DurableOnly {
		l.scratch = grown(l.scratch[:0], frameHeaderSize)
		return fn(l.scratch[frameHeaderSize:frameHeaderSize:cap(l.scratch)], l.nextSeq)
	}
	at := l.off + frameHeaderSize
	room := int64(len(l.data)) - at
	if room <= 0 {
		return fn(nil, l.nextSeq)
	}
	return fn(l.data[at:at:at+min(room, int64(l.opts.MaxFrameBytes))], l.nextSeq)
}

// publish writes the frame at the end; there is room.
func (l *Log) publish(frame []byte) Position {
	off, n := l.off, len(frame)
	next := off + frameSize(n)
	body := l.data[off : off+frameHeaderSize+int64(n)]
	if &body[frameHeaderSize] != &frame[0] { // else it was encoded in place
		copy(body[frameHeaderSize:], frame)
	}
	if next+frameAlign <= int64(len(l.data)) {
		// What an encoder that gave up has left must not look like a frame.
		if word := word(l.data, next); atomic.LoadUint64(word) != 0 {
			atomic.StoreUint64(word, 0)
		}
	}
	w0 := l.seal(body, l.active.pos(off), n, l.nextSeq)
	atomic.StoreUint64(word(l.data, off), littleEndian(w0))
	return l.moveTo(next)
}

// write does what publish does by system calls. For a frame of some pages they
// cost less than the faults on its pages.
func (l *Log) write(frame []byte) (Position, error) {
	off, n := l.off, len(frame)
	next := off + frameSize(n)
	whole := int(min(next+frameAlign, int64(len(l.data))) - off) // with the zero that ends the log
	l.scratch = grown(l.scratch[:0], whole)[:whole]
	if &l.scratch[frameHeaderSize] != &frame[0] {
		copy(l.scratch[frameHeaderSize:], frame)
	}
	clear(l.scratch[frameHeaderSize+n:])
	w0 := l.seal(l.scratch, l.active.pos(off), n, l.nextSeq)
	_, err := l.active.file.WriteAt(l.scratch[8:], off+8)
	if err == nil {
		binary.LittleEndian.PutUint64(l.scratch, w0)
		_, err = l.active.file.WriteAt(l.scratch[:8], off)
	}
	if cap(l.scratch) > keepScratch {
		l.scratch = nil
	}
	if err != nil {
		return 0, fmt.Errorf("write frame: %w", noRoom(err))
	}
	return l.moveTo(next), nil
}

// grown returns b with room for n bytes.
func grown(b []byte, n int) []byte {
	if cap(b) >= n {
		return b
	}
	return make([]byte, len(b), max(n, minScratch))
}

// moveTo makes the frame that ends at next part of the log. It runs under mu.
func (l *Log) moveTo(next int64) Position {
	l.off = next
	l.nextSeq++
	l.frames++
	l.appends++
	end := l.active.pos(next)
	l.end.Store(uint64(end))
	l.appended.raise(end)
	if next >= l.kickAt {
		l.kickAt = int64(len(l.data)) + 1
		kick(l.keepKick)
	}
	return end
}

// word is the eight bytes at an aligned offset, as one unit.
func word(data []byte, off int64) *uint64 {
	return (*uint64)(unsafe.Pointer(&data[off : off+frameAlign : off+frameAlign][0]))
}

// littleEndian gives the number whose bytes in memory are v's, little-endian.
func littleEndian(v uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return binary.NativeEndian.Uint64(b[:])
}

// faulted tells a fault in the mapping from the panic of an encoder, which is
// passed on.
func (l *Log) faulted(r any) error {
	fault, ok := r.(interface {
		error
		Addr() uintptr
	})
	if ok && len(l.data) > 0 {
		first := uintptr(unsafe.Pointer(&l.data[0]))
		if at := fault.Addr(); at >= first && at < first+uintptr(len(l.data)) {
			l.refuse = fmt.Errorf("%w: %s", ErrFault, l.active.path)
			l.log.Error("a segment can't be written any more; is the file truncated or the device gone?", "segment", l.active.path, "error", fault)
			return l.refuse
		}
	}
	l.mu.Unlock() // the deferred function that called ends here
	panic(r)
}

// makeRoom sees that a frame of the size fits at l.off, by the reserve's release
// or in another segment. It runs under mu.
func (l *Log) makeRoom(reserved bool, size int64) error {
	for {
		if need := l.off + size; need <= l.limit || reserved && need <= int64(len(l.data)) {
			return nil
		}
		if l.next == nil {
			if err := l.prepareNow(); err != nil {
				return l.full(err)
			}
			l.setLimits()
			continue
		}
		if fit := segmentHeaderSize + size; fit > l.next.size && l.next.size < l.opts.SegmentBytes {
			if err := l.replaceNext(fit); err != nil {
				return l.full(err)
			}
			continue
		}
		if segmentHeaderSize+size > l.next.size || !reserved && segmentHeaderSize+size > l.next.size-l.opts.ReserveBytes {
			if segmentHeaderSize+size > l.next.size || l.allocated.Load()+minSegmentBytes > l.opts.MaxBytes {
				return l.full(nil)
			}
		}
		l.roll()
	}
}

func (l *Log) full(cause error) error {
	l.refused.Add(1)
	if !l.fullSaid {
		l.fullSaid = true
		l.log.Warn("the log is full and refuses frames", "dir", l.opts.Dir, "bytes", l.allocated.Load(), "max_bytes", l.opts.MaxBytes, "cause", cause)
	}
	if cause == nil || errors.Is(cause, ErrFull) {
		return ErrFull
	}
	return fmt.Errorf("%w: %w", ErrFull, cause)
}

// roll goes on in the next segment. It runs under mu.
func (l *Log) roll() {
	old := l.active
	l.sealActive()
	s := l.next
	encodeActivation(s.data[activationAt:], s.base, l.nextSeq)
	s.firstSeq = l.nextSeq
	segs := *l.segs.Load()
	segs = append(segs[:len(segs):len(segs)], s)
	l.segs.Store(&segs)
	l.next = nil
	l.spares.Add(-1)
	l.setActive(s, segmentHeaderSize)
	l.log.Debug("segment full", "segment", old.path)
	kick(l.syncKick)
	kick(l.keepKick)
}

// sealActive fixes where the active segment ends. It runs under mu.
func (l *Log) sealActive() {
	if s := l.active; !s.sealed.Load() {
		s.end, s.nextSeq, s.frames, s.usedAt = l.off, l.nextSeq, l.frames, time.Now()
		s.sealed.Store(true)
	}
}

// setActive makes s the segment that is appended to. It runs under mu.
func (l *Log) setActive(s *segment, off int64) {
	l.active, l.data, l.off, l.frames, l.populated = s, s.data, off, 0, 0
	l.setLimits()
	l.kickAt = 0
}

// setLimits works out where Append ends: the reserve stays free in the blocks
// that are there, this segment's and the next one's. It runs under mu.
func (l *Log) setLimits() {
	spare := int64(0)
	if l.next != nil {
		spare = l.next.size - segmentHeaderSize
	}
	l.limit = int64(len(l.data)) - max(0, l.opts.ReserveBytes-spare)
}

// Skip uses up n sequence numbers without a frame and returns the first of
// them, so that what was shed shows as a hole in the numbers, which a later
// frame can name. The hole is on record with the next frame appended.
func (l *Log) Skip(n uint64) (first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.nextSeq
	l.nextSeq += min(n, seqMask-first)
	return first
}
