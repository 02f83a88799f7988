package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// recover brings the directory's files into memory: identity, segments, cursors.
func (l *Log) recover() error {
	if err := os.Remove(filepath.Join(l.opts.Dir, preparingName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove unfinished segment: %w", err)
	}
	segs, err := l.findSegments()
	if err != nil {
		return err
	}
	l.segs.Store(&segs)
	intact, err := l.openMeta(segs)
	if err != nil {
		return err
	}
	l.name, l.salt = l.who.String(), l.who.salt
	if err := l.readSegments(); err != nil {
		return err
	}
	furthest, seq, err := l.loadCursors()
	if err != nil {
		return err
	}
	l.nextSeq = max(l.nextSeq, seq)
	return l.begin(furthest, intact)
}

// findSegments opens the segment files, by position. Their names say where they
// belong, so that a damaged header loses nothing.
func (l *Log) findSegments() ([]*segment, error) {
	entries, err := os.ReadDir(l.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var segs []*segment
	for _, e := range entries {
		base, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		s, err := openSegment(filepath.Join(l.opts.Dir, e.Name()), base)
		if err != nil {
			for _, s := range segs {
				_ = s.file.Close()
			}
			return nil, err
		}
		segs = append(segs, s)
	}
	slices.SortFunc(segs, func(a, b *segment) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	for i, s := range segs {
		l.allocated.Add(s.size)
		if i+1 < len(segs) && s.reach() > segs[i+1].base { // someone made the file longer
			s.size = alignDown(s.off(segs[i+1].base))
		}
	}
	return segs, nil
}

func openSegment(path string, base Position) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < minSegmentBytes {
		// Someone cut the file short. It gets its length back, as zeros, so that its
		// place in the log is reported like any other damage.
		err = allocate(f, minSegmentBytes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", path, err), f.Close())
	}
	size := min(max(alignDown(st.Size()), minSegmentBytes), maxSegmentBytes)
	return &segment{base: base, size: size, path: path, file: f, usedAt: st.ModTime()}, nil
}

// readSegments finds out how far each segment goes and which number comes next.
func (l *Log) readSegments() error {
	segs := *l.segs.Load()
	l.nextSeq = 1
	var sc scanner
	for i, s := range segs {
		head := make([]byte, segmentHeaderSize)
		if _, err := s.file.ReadAt(head, 0); err != nil {
			l.log.Error("a segment's header can't be read", "segment", s.path, "error", err)
			clear(head)
		}
		if _, base, ok := decodeIdentity(head); !ok || base != s.base {
			l.log.Warn("a segment's header is damaged; its name stands in for it", "segment", s.path)
		}
		s.reused = decodeReused(head)
		last := i == len(segs)-1
		if last && i > 0 && len(bytes.Trim(head[activationAt:], "\x00")) == 0 && segs[i-1].reach() == s.base {
			sc.reset(l.sealer, s.file, s.base, s.size)
			if _, found := sc.resync(segmentHeaderSize - frameAlign); !found && (s.reused || sc.lastByte(segmentHeaderSize) == segmentHeaderSize) {
				if err := s.mapFile(); err != nil {
					return err
				}
				l.next = s
				l.spares.Store(1)
				rest := segs[:i:i]
				l.segs.Store(&rest)
				break
			}
		}
		if seq, ok := decodeActivation(head[activationAt:], s.base); ok {
			s.firstSeq = seq
			if i > 0 {
				l.lostBehind(segs[i-1], seq)
			}
			l.nextSeq = max(l.nextSeq, seq)
		}
		c, known := decodeCheckpoint(head[checkpointAt:], s.size)
		if known && c.sealed {
			s.end, s.nextSeq, s.frames = c.end, c.nextSeq, c.frames
			l.nextSeq = max(l.nextSeq, c.nextSeq)
			s.sealed.Store(true)
			s.settled.Store(!last)
			continue
		}
		if !known {
			c = checkpoint{end: segmentHeaderSize}
		}
		l.nextSeq = max(l.nextSeq, c.nextSeq)
		l.scan(&sc, s, c)
	}
	return nil
}

// lostBehind notes that a segment without a seal ends before the numbers of its
// successor begin: its last frames were wiped out without a trace.
func (l *Log) lostBehind(s *segment, seq uint64) {
	if s.sealed.Load() || seq <= l.nextSeq || s.size-s.end < frameHeaderSize {
		return
	}
	l.noteDamage(Damage{From: s.pos(s.end), To: s.reach(), FirstSeq: l.nextSeq, NextSeq: seq})
	s.end, s.nextSeq = s.size, seq
}

// scan reads a segment from a checkpoint on to its last frame. Damage before the
// last valid frame is noted and stays where it is. At the end, bytes that no
// frame header stands before are an append that did not finish, and are cut off;
// a header that was published makes it damage, since that frame's Append may
// have returned.
func (l *Log) scan(sc *scanner, s *segment, c checkpoint) {
	sc.reset(l.sealer, s.file, s.base, s.size)
	off := c.end
	s.frames = c.frames
	cutShort := false // the frame before this place has a right header and no right payload
	for {
		payload, seq, ok, err := sc.frame(off)
		if ok {
			l.nextSeq = max(l.nextSeq, seq+1)
			s.frames++
			off += frameSize(len(payload))
			cutShort = false
			continue
		}
		if off+frameHeaderSize > s.size {
			break
		}
		next, found := sc.resync(off)
		if found {
			_, seq, _, _ := sc.frame(next)
			l.noteDamage(Damage{From: s.pos(off), To: s.pos(next), FirstSeq: l.nextSeq, NextSeq: max(seq, l.nextSeq)})
			off = next
			continue
		}
		b, headErr := sc.at(off, frameHeaderSize)
		if err == nil && headErr == nil && binary.LittleEndian.Uint64(b) == 0 {
			if !s.reused {
				l.cut(sc, s, off)
			}
			break
		}
		if s.reused && cutShort && headErr == nil && !sc.header(b, sc.pos(off), s.size-off).ok {
			break // the zero behind the last frame did not reach the disk
		}
		d := Damage{From: s.pos(off), FirstSeq: l.nextSeq, NextSeq: l.nextSeq + 1, Tail: true}
		to := s.size
		if headErr == nil {
			if h := sc.header(b, sc.pos(off), s.size-off); h.ok {
				to = off + frameSize(h.n)
				cutShort = true
				d.NextSeq = max(l.nextSeq, h.seq) + 1
			} else {
				to = max(sc.lastByte(off), off+frameHeaderSize)
			}
		}
		d.To = s.pos(to)
		l.noteDamage(d)
		l.nextSeq = d.NextSeq
		off = to
	}
	s.end, s.nextSeq = off, l.nextSeq
}

// cut puts zeros over what an unfinished append has left behind off.
func (l *Log) cut(sc *scanner, s *segment, off int64) {
	last := sc.lastByte(off)
	if last == off {
		return
	}
	l.torn += last - off
	l.log.Info("an unfinished append was cut off", "segment", s.path, "position", s.pos(off), "bytes", last-off)
	zero := make([]byte, min(last-off, 1<<20))
	for at := off; at < last; at += int64(len(zero)) {
		if _, err := s.file.WriteAt(zero[:min(int64(len(zero)), last-at)], at); err != nil {
			// What stays there is overwritten by appends, or cut at the next start.
			l.log.Warn("an unfinished append can't be wiped", "segment", s.path, "error", err)
			return
		}
	}
}

// begin makes the log ready to append: behind the last frame, or in a new
// segment when positions behind it may have been handed out before.
func (l *Log) begin(furthest Position, intact bool) error {
	segs := *l.segs.Load()
	if n := len(segs); n > 0 {
		l.allocEnd = segs[n-1].reach()
		if l.next != nil {
			l.allocEnd = l.next.reach()
		}
		if head, err := readIdentitySize(segs[n-1]); err == nil && l.next == nil {
			l.allocEnd = max(l.allocEnd, segs[n-1].base+Position(head-segmentHeaderSize))
		}
		// Everything is put on the disk once, so that Durable can begin at End.
		for i, s := range segs {
			if !s.sealed.Load() {
				_ = l.syncSegment(s) // a failure is kept, and ends durability
				s.sealed.Store(i < n-1)
			}
		}
	} else {
		if err := l.first(furthest); err != nil {
			return err
		}
		segs = *l.segs.Load()
	}
	s := segs[len(segs)-1]
	end := s.pos(s.end)
	jump := furthest > end || !intact && s.end > segmentHeaderSize
	if jump || s.sealed.Load() {
		if !s.sealed.Load() {
			s.nextSeq = l.nextSeq
			s.sealed.Store(true)
		}
		l.active = s
		if jump {
			end = max(end, alignPosition(furthest))
			l.jump(end)
		}
		if l.next == nil {
			if err := l.prepareNow(); err != nil && !errors.Is(err, ErrFull) {
				return err
			}
		}
		if l.next != nil {
			l.roll()
			end = max(end, l.active.base)
		} else {
			l.log.Warn("the log has no room for a new segment", "dir", l.opts.Dir)
		}
	} else {
		if err := s.mapFile(); err != nil {
			return err
		}
		frames := s.frames
		l.setActive(s, s.end)
		l.frames = frames
		if s.end == segmentHeaderSize { // its frames, if it had any, are gone; their numbers are not used again
			encodeActivation(s.data[activationAt:], s.base, l.nextSeq)
			s.firstSeq = l.nextSeq
		}
	}
	l.end.Store(uint64(end))
	if l.syncs.failure() == nil {
		l.durable.Store(uint64(end))
	} else {
		l.durable.Store(uint64(segs[0].base))
	}
	kick(l.syncKick) // seal what was not
	return l.writeSession(false)
}

// jump has the next segment begin at or behind a position.
func (l *Log) jump(to Position) {
	l.log.Warn("frames that were not synced are lost; the log goes on behind their positions", "dir", l.opts.Dir, "position", to)
	l.allocEnd = max(l.allocEnd, to)
	if l.next != nil && l.next.base < to {
		s := l.next
		l.next = nil
		l.spares.Store(0)
		l.removeMu.Lock()
		l.remove([]*segment{s})
		l.freed.Add(^uint64(0))
	}
}

// first makes the first segment of a log.
func (l *Log) first(furthest Position) error {
	l.allocEnd = alignPosition(furthest)
	if err := l.prepareLocked(); err != nil {
		return err
	}
	s := l.ready
	l.ready = nil
	l.spares.Store(0)
	s.usedAt = time.Now()
	s.end = segmentHeaderSize
	l.segs.Store(&[]*segment{s})
	return nil
}

func alignPosition(p Position) Position { return min((p+frameAlign-1)&^(frameAlign-1), maxPosition) }

// readIdentitySize returns the size that a segment was made with.
func readIdentitySize(s *segment) (int64, error) {
	head := make([]byte, segmentHeaderSize)
	if _, err := s.file.ReadAt(head, 0); err != nil {
		return 0, err
	}
	if _, base, ok := decodeIdentity(head); !ok || base != s.base {
		return 0, ErrBadPosition
	}
	return min(int64(binary.LittleEndian.Uint64(head[16:])), maxSegmentBytes), nil
}
