package spool

import (
	"encoding/binary"
	"io"
)

const (
	scanWindow = 256 << 10
	pageBytes  = 4 << 10
)

// scanner reads the frames of one segment through a window. It reads with
// pread and not from a mapping: a bad sector is then an error to step over and
// not a signal, a file may be deleted under it, and nothing keeps it mapped.
type scanner struct {
	sealer
	file  io.ReaderAt
	base  Position
	limit int64 // file offset that nothing is read beyond

	buf   []byte // the window
	start int64  // its file offset
}

// reset turns the scanner to another segment, or another limit. What the window
// holds of an active segment would be stale.
func (sc *scanner) reset(s sealer, file io.ReaderAt, base Position, limit int64) {
	sc.sealer, sc.file, sc.base, sc.limit = s, file, base, limit
	sc.buf, sc.start = sc.buf[:0], 0
}

func (sc *scanner) pos(off int64) Position { return sc.base + Position(off-segmentHeaderSize) }

// at returns n bytes at a file offset, valid until the next call, or an error
// when they can't be read. The caller has checked off+n against the limit.
func (sc *scanner) at(off int64, n int) ([]byte, error) {
	if off >= sc.start && off+int64(n) <= sc.start+int64(len(sc.buf)) {
		return sc.buf[off-sc.start:][:n], nil
	}
	want := int(min(max(int64(n), scanWindow), sc.limit-off))
	if cap(sc.buf) < want {
		sc.buf = make([]byte, want)
	}
	got, err := sc.file.ReadAt(sc.buf[:want], off)
	sc.buf, sc.start = sc.buf[:got], off
	if got >= n {
		return sc.buf[:n], nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// frame returns the valid frame at off; ok is false when there is none.
func (sc *scanner) frame(off int64) (payload []byte, seq uint64, ok bool, err error) {
	if off+frameHeaderSize > sc.limit {
		return nil, 0, false, nil
	}
	b, err := sc.at(off, frameHeaderSize)
	if err != nil {
		return nil, 0, false, err
	}
	pos := sc.pos(off)
	h := sc.header(b, pos, sc.limit-off)
	if !h.ok {
		return nil, 0, false, nil
	}
	if b, err = sc.at(off, frameHeaderSize+h.n); err != nil {
		return nil, 0, false, err
	}
	if !sc.valid(b, pos, h) {
		return nil, 0, false, nil
	}
	return b[frameHeaderSize:], h.seq, true, nil
}

// resync returns the offset of the first valid frame behind off, and false when
// none follows before the limit. Pages that can't be read are stepped over.
func (sc *scanner) resync(off int64) (int64, bool) {
	for off += frameAlign; off+frameHeaderSize <= sc.limit; {
		b, err := sc.at(off, int(min(frameHeaderSize+pageBytes, sc.limit-off)))
		if err != nil {
			b, err = sc.at(off, frameHeaderSize)
		}
		if err != nil {
			off = off&^(pageBytes-1) + pageBytes
			continue
		}
		// The window moves when a candidate is checked as a whole, so b is left then.
		for moved := false; !moved && len(b) >= frameHeaderSize; b, off = b[frameAlign:], off+frameAlign {
			if binary.LittleEndian.Uint32(b) == 0 {
				continue
			}
			if h := sc.header(b, sc.pos(off), sc.limit-off); h.ok {
				if _, _, ok, _ := sc.frame(off); ok {
					return off, true
				}
				moved = true
			}
		}
	}
	return sc.limit, false
}

// lastByte returns the offset behind the last byte that is not zero in
// [off, limit), aligned up; off when all are.
func (sc *scanner) lastByte(off int64) int64 {
	last := off
	for off < sc.limit {
		b, err := sc.at(off, int(min(pageBytes, sc.limit-off)))
		if err != nil {
			off = off&^(pageBytes-1) + pageBytes
			continue
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != 0 {
				last = off + int64(i) + 1
				break
			}
		}
		off += int64(len(b))
	}
	return min(alignUp(last), sc.limit)
}
