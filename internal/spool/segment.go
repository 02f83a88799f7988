package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A segment file is a header of 128 bytes and frames behind it, preallocated to
// its full size. Three records stand in the header, each with a checksum of its
// own:
//
//	0   identity: magic, base, size, log id, salt    when the file is made
//	52  mark of a file that held another segment     when it is made of that
//	64  activation: first sequence number            when it gets its first frame
//	96  checkpoint: end, next sequence number, frames, sealed or not
//
// The checkpoint says that everything before its end was valid and on the disk
// when it was written. In a sealed segment that is everything, so that opening
// a log reads the headers of sealed segments and the frames of the last one or
// two only; the frames' checksums are checked when they are read. A checkpoint
// that is stale or lost costs a longer scan and nothing else.
const (
	segmentHeaderSize = 128
	reusedAt          = 52
	activationAt      = 64
	checkpointAt      = 96
	segmentMagic      = "TRAILSG1"
	reusedMagic       = "REUSED\x01\x02"
	segmentSuffix     = ".seg"
	preparingName     = "preparing.tmp"
)

// maxPosition leaves room for sums of positions and sizes.
const maxPosition = Position(1) << 62

// segment is one file of the log.
type segment struct {
	base Position // position of the first byte behind the header
	size int64
	path string
	file *os.File

	mapMu sync.Mutex
	data  []byte // the mapping; nil when not the active or the next segment

	reused   bool   // what lies behind its end are frames of before
	firstSeq uint64 // 0 when unknown
	nextSeq  uint64 // of a sealed segment
	end      int64  // file offset behind the last frame, of a sealed segment
	frames   uint64 // of a sealed segment
	usedAt   time.Time
	sealed   atomic.Bool // publishes the fields above
	settled  atomic.Bool // sealed on the disk, with the one behind it activated on the disk: may be deleted
}

func (s *segment) pos(off int64) Position { return s.base + Position(off-segmentHeaderSize) }
func (s *segment) off(pos Position) int64 { return int64(pos-s.base) + segmentHeaderSize }

// reach is the position where the segment behind this one begins.
func (s *segment) reach() Position { return s.pos(s.size) }

func segmentName(base Position) string { return fmt.Sprintf("%016x%s", uint64(base), segmentSuffix) }

func parseSegmentName(name string) (Position, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	if err != nil || Position(n) >= maxPosition || n%frameAlign != 0 {
		return 0, false
	}
	return Position(n), segmentName(Position(n)) == name
}

// identity is what tells one log from another.
type identity struct {
	id   [16]byte
	salt uint64
}

func putChecked(b []byte, n int) {
	binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli))
}
func checked(b []byte, n int) bool {
	return binary.LittleEndian.Uint32(b[n:]) == crc32.Checksum(b[:n], castagnoli)
}

func encodeIdentity(b []byte, base Position, size int64, who identity) {
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(base))
	binary.LittleEndian.PutUint64(b[16:], uint64(size))
	copy(b[24:40], who.id[:])
	binary.LittleEndian.PutUint64(b[40:], who.salt)
	putChecked(b, 48)
}

func decodeIdentity(b []byte) (who identity, base Position, ok bool) {
	if string(b[:8]) != segmentMagic || !checked(b, 48) {
		return identity{}, 0, false
	}
	copy(who.id[:], b[24:40])
	who.salt = binary.LittleEndian.Uint64(b[40:])
	return who, Position(binary.LittleEndian.Uint64(b[8:])), true
}

func encodeActivation(b []byte, base Position, firstSeq uint64) {
	binary.LittleEndian.PutUint64(b, firstSeq)
	binary.LittleEndian.PutUint64(b[8:], uint64(base))
	putChecked(b, 16)
}

func decodeActivation(b []byte, base Position) (firstSeq uint64, ok bool) {
	if !checked(b, 16) || Position(binary.LittleEndian.Uint64(b[8:])) != base {
		return 0, false
	}
	firstSeq = binary.LittleEndian.Uint64(b)
	return firstSeq, firstSeq > 0 && firstSeq <= seqMask
}

// checkpoint is the third record of a segment's header.
type checkpoint struct {
	end     int64
	nextSeq uint64
	frames  uint64
	sealed  bool
}

func encodeCheckpoint(b []byte, c checkpoint) {
	end := uint64(c.end)
	if c.sealed {
		end |= 1 << 63
	}
	binary.LittleEndian.PutUint64(b, end)
	binary.LittleEndian.PutUint64(b[8:], c.nextSeq)
	binary.LittleEndian.PutUint64(b[16:], c.frames)
	putChecked(b, 24)
}

func decodeCheckpoint(b []byte, size int64) (checkpoint, bool) {
	end := binary.LittleEndian.Uint64(b)
	c := checkpoint{
		end: int64(end &^ (1 << 63)), sealed: end>>63 == 1,
		nextSeq: binary.LittleEndian.Uint64(b[8:]), frames: binary.LittleEndian.Uint64(b[16:]),
	}
	ok := checked(b, 24) && c.end >= segmentHeaderSize && c.end <= size && c.end%frameAlign == 0 &&
		c.nextSeq > 0 && c.nextSeq <= seqMask+1
	return c, ok
}

// createSegment makes a whole segment file under its final name, with real
// blocks behind it, and has it and its name on the disk when it returns. No
// room is ErrFull.
func createSegment(dir string, base Position, size int64, who identity) (s *segment, err error) {
	tmp := filepath.Join(dir, preparingName)
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", noRoom(err))
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(tmp)
		}
	}()
	// Blocks and not a hole: a store into a mapped hole that the disk has no room
	// for is a SIGBUS.
	if err := allocate(f, size); err != nil {
		return nil, fmt.Errorf("allocate segment: %w", noRoom(err))
	}
	var head [segmentHeaderSize]byte
	encodeIdentity(head[:], base, size, who)
	if _, err := f.WriteAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("write segment header: %w", noRoom(err))
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync new segment: %w", noRoom(err))
	}
	return nameSegment(dir, &segment{base: base, size: size, file: f})
}

// nameSegment gives a prepared file its name, has that on the disk, and maps it.
func nameSegment(dir string, s *segment) (*segment, error) {
	s.path, s.usedAt = filepath.Join(dir, segmentName(s.base)), time.Now()
	if err := os.Rename(filepath.Join(dir, preparingName), s.path); err != nil {
		return nil, fmt.Errorf("name segment: %w", noRoom(err))
	}
	err := syncDir(dir)
	if err == nil {
		err = s.mapFile()
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.path))
	}
	return s, nil
}

// reuseSegment makes the segment at base of the file of one that nobody needs: its
// blocks were written once, which spares the file system a conversion at each sync,
// and its pages are mostly in memory still, which spares the appender fresh ones. A
// frame is valid in one place only, so that what the file holds of before passes for
// nothing; but it is no zeros either, which the header says. The old segment is
// closed, whatever comes of it: who still reads in it must be told so.
func reuseSegment(dir string, old *segment, base Position, who identity) (s *segment, err error) {
	old.unmap()
	tmp := filepath.Join(dir, preparingName)
	err = errors.Join(old.file.Close(), os.Rename(old.path, tmp))
	if err == nil {
		err = syncDir(dir) // before the header changes: under its old name the file is still the old segment
	}
	if err != nil {
		return nil, fmt.Errorf("take a consumed segment: %w", errors.Join(err, os.Remove(old.path), os.Remove(tmp)))
	}
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("take a consumed segment: %w", errors.Join(err, os.Remove(tmp)))
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(tmp)
		}
	}()
	var head [segmentHeaderSize + frameHeaderSize]byte // and zeros where the first frame will begin
	encodeIdentity(head[:], base, old.size, who)
	copy(head[reusedAt:], reusedMagic)
	if _, err := f.WriteAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("write segment header: %w", noRoom(err))
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync segment: %w", noRoom(err))
	}
	return nameSegment(dir, &segment{base: base, size: old.size, file: f, reused: true})
}

func decodeReused(head []byte) bool {
	return string(head[reusedAt:reusedAt+len(reusedMagic)]) == reusedMagic
}

// noRoom marks the errors that mean that the disk has no room as ErrFull.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (s *segment) mapFile() error {
	s.mapMu.Lock()
	defer s.mapMu.Unlock()
	if s.data != nil {
		return nil
	}
	data, err := mapShared(s.file, s.size)
	if err != nil {
		return fmt.Errorf("map segment: %w", err)
	}
	s.data = data
	return nil
}

func (s *segment) unmap() {
	s.mapMu.Lock()
	defer s.mapMu.Unlock()
	if s.data != nil {
		_ = unmapShared(s.data) // fails only for an address that is not mapped
		s.data = nil
	}
}

// populate has the pages of [from, to) faulted in for writing. It is a hint.
func (s *segment) populate(from, to int64) {
	s.mapMu.Lock()
	defer s.mapMu.Unlock()
	if to = min(to, s.size); s.data != nil && from < to {
		populate(s.data[from&^(pageBytes-1) : to])
	}
}

// sync has the file's data on the disk.
func (s *segment) sync() error {
	s.mapMu.Lock()
	data := s.data
	s.mapMu.Unlock()
	return syncData(s.file, data)
}

// writeCheckpoint is on the disk no sooner than the next sync.
func (s *segment) writeCheckpoint(c checkpoint) error {
	var b [segmentHeaderSize - checkpointAt]byte
	encodeCheckpoint(b[:], c)
	if _, err := s.file.WriteAt(b[:], checkpointAt); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// syncDir has the names in a directory on the disk: a new file that was synced
// is still lost in a power cut when its directory was not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = d.Sync()
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
