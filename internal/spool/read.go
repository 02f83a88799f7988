package spool

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sort"
)

const (
	defaultBatchBytes  = 1 << 20
	defaultBatchFrames = 10_000
	maxRawBytes        = 64 << 20
	// retryReads bounds how often a read begins again because the segment it had
	// found was deleted meanwhile.
	retryReads = 8
)

// ReadBatch fills b with the frames from a position on: at least one when there
// is one, however large, and no more than maxFrames frames or about maxBytes
// bytes of payload after that (0 or less: 10 000 frames, 1 MiB). At the end of
// the log b is empty and the error nil; see Wait. It reads what was appended,
// synced or not, unless Options.DurableOnly is set.
//
// A position before Start reads from Start, so that 0 is the beginning; b.From
// says where it read from. A position after End is ErrBadPosition.
func (l *Log) ReadBatch(from Position, maxBytes, maxFrames int, b *Batch) error {
	if maxBytes <= 0 {
		maxBytes = defaultBatchBytes
	}
	if maxFrames <= 0 {
		maxFrames = defaultBatchFrames
	}
	for try := 0; ; try++ {
		err := l.readBatch(from, maxBytes, maxFrames, b)
		if err == nil || !errors.Is(err, os.ErrClosed) {
			return err
		}
		if err := l.closedRead(err, try); err != nil {
			b.begin(l, from)
			return err
		}
	}
}

// closedRead tells a segment that was deleted under a read, which begins again,
// from a log that was closed.
func (l *Log) closedRead(err error, try int) error {
	select {
	case <-l.stop:
		return ErrClosed
	default:
	}
	if try < retryReads {
		return nil
	}
	return err
}

func (l *Log) readBatch(from Position, maxBytes, maxFrames int, b *Batch) error {
	to := l.readable()
	if from > l.End() {
		b.begin(l, from)
		return fmt.Errorf("read: %w: %d is after the end, %d", ErrBadPosition, from, l.End())
	}
	if start := l.Start(); from < start && start < to {
		from = start
	}
	b.begin(l, from)
	if from >= to {
		return nil
	}
	return l.read(b, to, to, maxBytes, maxFrames)
}

// ReadRange fills b with exactly the frames in [from,to), as a batch read
// earlier had them, also after a restart: From, To and Token are the same.
// ErrGone when the range was deleted, ErrBadPosition when it was never written
// or does not end where a frame does.
func (l *Log) ReadRange(from, to Position, b *Batch) error {
	for try := 0; ; try++ {
		err := l.readRange(from, to, b)
		if err == nil || !errors.Is(err, os.ErrClosed) {
			return err
		}
		if err := l.closedRead(err, try); err != nil {
			b.begin(l, from)
			return err
		}
	}
}

func (l *Log) readRange(from, to Position, b *Batch) error {
	b.begin(l, from)
	limit := l.readable()
	if from > to || to > limit {
		return fmt.Errorf("read range %d-%d: %w", from, to, ErrBadPosition)
	}
	if start := l.Start(); from < start {
		return fmt.Errorf("read range %d-%d: %w, which is %d", from, to, ErrGone, start)
	}
	if from == to {
		return nil
	}
	return l.read(b, to, limit, math.MaxInt, math.MaxInt)
}

func (b *Batch) begin(l *Log, from Position) {
	if b.LogID != l.name || b.nextAt != from {
		b.next = 0
	}
	b.LogID, b.From, b.To = l.name, from, from
	b.Frames, b.Seqs, b.Damaged = b.Frames[:0], b.Seqs[:0], b.Damaged[:0]
	b.buf, b.spans = b.buf[:0], b.spans[:0]
}

// read fills b from b.From up to to, of a log that is readable to limit.
func (l *Log) read(b *Batch, to, limit Position, maxBytes, maxFrames int) error {
	b.buf = slices.Grow(b.buf, int(min(Position(max(maxBytes, 0)), to-b.From)))
	segs := *l.segs.Load()
	i := sort.Search(len(segs), func(i int) bool { return segs[i].base > b.From }) - 1
	i = max(i, 0)
	at, full := b.From, false
	for ; i < len(segs) && !full && at < to; i++ {
		s := segs[i]
		last := limit
		if s.sealed.Load() {
			last = min(last, s.pos(s.end))
		}
		at = max(at, s.base)
		if at >= last {
			continue
		}
		if at%frameAlign != 0 {
			b.begin(l, b.From)
			return fmt.Errorf("read: %w: %d", ErrBadPosition, at)
		}
		if s.firstSeq != 0 && at == s.base {
			b.next = s.firstSeq
		}
		var err error
		if at, full, err = l.readSegment(b, s, at, min(to, last), last, maxBytes, maxFrames); err != nil {
			b.begin(l, b.From)
			return fmt.Errorf("read: %w", err)
		}
	}
	b.To = at
	if !full {
		b.To = to // nothing is between the last frame and here
	}
	b.nextAt = b.To
	for _, sp := range b.spans {
		b.Frames = append(b.Frames, b.buf[sp.off:sp.off+sp.n:sp.off+sp.n])
	}
	return nil
}

// readSegment adds the frames of one segment in [at, end), of a segment that is
// readable to last, and returns how far it got and whether the batch is full.
func (l *Log) readSegment(b *Batch, s *segment, at, end, last Position, maxBytes, maxFrames int) (Position, bool, error) {
	sc := &b.scan
	sc.reset(l.sealer, s.file, s.base, s.off(last))
	for at < end {
		off := s.off(at)
		payload, seq, ok, err := sc.frame(off)
		if errors.Is(err, os.ErrClosed) {
			return at, false, err
		}
		if !ok {
			if at, err = l.skipDamage(b, s, at, end, last); err != nil {
				return at, false, err
			}
			continue
		}
		next := at + Position(frameSize(len(payload)))
		if next > end {
			return at, false, fmt.Errorf("%w: %d is within a frame", ErrBadPosition, end)
		}
		if n := len(b.spans); n > 0 && (n >= maxFrames || len(b.buf)+len(payload) > maxBytes) {
			return at, true, nil
		}
		b.spans = append(b.spans, span{len(b.buf), len(payload)})
		b.buf = append(b.buf, payload...)
		b.Seqs = append(b.Seqs, seq)
		b.next = seq + 1
		at = next
	}
	return at, false, nil
}

// skipDamage finds where valid frames go on and reports what lies between.
func (l *Log) skipDamage(b *Batch, s *segment, at, end, last Position) (Position, error) {
	sc := &b.scan
	d := Damage{From: at, To: last, FirstSeq: b.next, NextSeq: b.next}
	if d.FirstSeq == 0 {
		// The header's own check may still vouch for the number.
		if head, err := sc.at(s.off(at), int(min(frameHeaderSize, int64(last-at)))); err == nil && len(head) == frameHeaderSize {
			if h := sc.header(head, at, int64(last-at)); h.ok {
				d.FirstSeq, d.NextSeq = h.seq, h.seq+1
			}
		}
	}
	if next, found := sc.resync(s.off(at)); found {
		d.To = s.pos(next)
		_, seq, _, err := sc.frame(next)
		if err != nil {
			return at, err
		}
		d.NextSeq = seq
	} else if s.sealed.Load() && s.nextSeq > 0 && last == s.pos(s.end) {
		d.NextSeq = max(d.NextSeq, s.nextSeq)
	} else {
		// The last frames that this read may see: the number that comes next says how
		// many they were.
		d.NextSeq = max(d.NextSeq, l.numberAt(s, last))
	}
	if d.FirstSeq == 0 && d.NextSeq > 0 {
		if d.FirstSeq = l.numberDue(s, at); d.FirstSeq == 0 || d.FirstSeq > d.NextSeq {
			// The last frame of the range is certain.
			d.FirstSeq = d.NextSeq - 1
		}
	}
	if d.FirstSeq > d.NextSeq {
		d.FirstSeq = d.NextSeq
	}
	// A log that closes or deletes under the read must not pass for damage.
	var one [1]byte
	if _, err := s.file.ReadAt(one[:], 0); errors.Is(err, os.ErrClosed) {
		return at, err
	}
	d = l.noteDamage(d)
	d.To = min(d.To, end)
	b.Damaged = append(b.Damaged, d)
	b.next = d.NextSeq
	return d.To, nil
}

// numberAt is the number of the frame at a position of a segment that is written to,
// or of the one that will be appended there; 0 where it can't be told.
func (l *Log) numberAt(s *segment, at Position) uint64 {
	l.mu.Lock()
	end, next := Position(l.end.Load()), l.nextSeq
	l.mu.Unlock()
	if end == at {
		return next
	}
	var head [frameHeaderSize]byte
	if end < at || s.size-s.off(at) < frameHeaderSize {
		return 0
	}
	if _, err := s.file.ReadAt(head[:], s.off(at)); err != nil {
		return 0
	}
	if h := l.header(head[:], at, s.size-s.off(at)); h.ok {
		return h.seq
	}
	return 0
}

// numberDue is the number that a frame at a position of a segment has, told by the
// frames before it: for a reader that begins there, after a restart, and finds a header
// that says nothing. It is 0 where the frame before is damaged too: it may have been
// read while it was not.
func (l *Log) numberDue(s *segment, at Position) uint64 {
	var sc scanner
	sc.reset(l.sealer, s.file, s.base, s.off(at))
	due := s.firstSeq
	for off := int64(segmentHeaderSize); off < sc.limit; {
		payload, seq, ok, err := sc.frame(off)
		if errors.Is(err, os.ErrClosed) {
			return 0
		}
		if ok {
			due, off = seq+1, off+frameSize(len(payload))
			continue
		}
		if off, ok = sc.resync(off); !ok {
			return 0
		}
	}
	return due
}

// ReadRaw appends the bytes of [from,to) to dst as they stand on the disk,
// frame headers included, unchecked: for looking into a damaged range. At most
// 64 MiB at a time, and within one segment.
func (l *Log) ReadRaw(from, to Position, dst []byte) ([]byte, error) {
	if from > to || to > l.End() || to-from > maxRawBytes {
		return dst, fmt.Errorf("read raw %d-%d: %w", from, to, ErrBadPosition)
	}
	for _, s := range *l.segs.Load() {
		if from < s.base || from >= s.reach() {
			continue
		}
		if to > s.reach() {
			return dst, fmt.Errorf("read raw %d-%d: %w: a segment ends between", from, to, ErrBadPosition)
		}
		n := len(dst)
		dst = append(dst, make([]byte, to-from)...)
		if _, err := s.file.ReadAt(dst[n:], s.off(from)); err != nil {
			return dst[:n], fmt.Errorf("read raw %d-%d: %w", from, to, err)
		}
		return dst, nil
	}
	return dst, fmt.Errorf("read raw %d-%d: %w", from, to, ErrGone)
}
