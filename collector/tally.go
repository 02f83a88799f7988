package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"github.com/tasktrail/tasktrail/internal/spool"
)

// counts are what a follower did with the records before its position.
type counts struct {
	At       spool.Position
	Written  uint64
	SetAside uint64
	Skipped  uint64
	Frames   uint64
	Refused  uint64
}

const slotBytes = 64 // six numbers, the number of the write, a checksum

// tally keeps a follower's counts in a file of two slots written in turn, each
// just before the cursor moves: whichever of the two a kill leaves the cursor
// at, one slot is the one that belongs to it.
type tally struct {
	mu   sync.Mutex
	file *os.File
	turn uint64
	now  counts
}

// openTally reads the counts that belong to the cursor's position.
func openTally(path string, at spool.Position) (*tally, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open counts: %w", err)
	}
	t := &tally{file: f}
	buf := make([]byte, 2*slotBytes)
	if _, err := io.ReadFull(f, buf); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Close()
		return nil, fmt.Errorf("read counts: %w", err)
	}
	best := counts{}
	for i := range 2 {
		c, turn, ok := decodeSlot(buf[i*slotBytes : (i+1)*slotBytes])
		if !ok {
			continue
		}
		t.turn = max(t.turn, turn)
		// After a power cut neither may fit; the latest one before the position
		// then misses a batch at most.
		if c.At <= at && c.At >= best.At {
			best = c
		}
	}
	best.At = at
	t.now = best
	return t, nil
}

func (t *tally) get() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// commit writes what change makes of the counts. The cursor moves after it.
func (t *tally) commit(change func(*counts)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.now)
	t.turn++
	var slot [slotBytes]byte
	encodeSlot(slot[:], t.now, t.turn)
	if _, err := t.file.WriteAt(slot[:], int64(t.turn%2)*slotBytes); err != nil {
		return fmt.Errorf("write counts: %w", err)
	}
	return nil
}

func (t *tally) close() error { return t.file.Close() }

func encodeSlot(b []byte, c counts, turn uint64) {
	for i, v := range [...]uint64{uint64(c.At), c.Written, c.SetAside, c.Skipped, c.Frames, c.Refused, turn} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	binary.LittleEndian.PutUint64(b[56:], uint64(crc32.ChecksumIEEE(b[:56]))+1) // +1: all zeros are no slot
}

func decodeSlot(b []byte) (c counts, turn uint64, ok bool) {
	if binary.LittleEndian.Uint64(b[56:]) != uint64(crc32.ChecksumIEEE(b[:56]))+1 {
		return counts{}, 0, false
	}
	v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return counts{At: spool.Position(v(0)), Written: v(1), SetAside: v(2), Skipped: v(3), Frames: v(4), Refused: v(5)}, v(6), true
}
