package spool

import (
	"strconv"
)

// Batch is a range of the log read into memory. It owns its buffers and reuses
// them at the next read: frames that must outlive it are copied. The zero value
// is ready. It is not safe for concurrent use.
type Batch struct {
	// LogID is the log's ID.
	LogID string
	// From and To are the positions around what was read; the next read starts
	// at To. A batch can advance without a frame, over damage alone: ask Empty,
	// not len(Frames).
	From, To Position
	// Frames are the payloads in order, Seqs their sequence numbers.
	Frames [][]byte
	Seqs   []uint64
	// Damaged are the ranges within [From,To) that had to be skipped.
	Damaged []Damage

	buf   []byte
	spans []span
}

// span is a frame's place in a batch's buffer, kept as offsets because the
// buffer moves as it grows.
type span struct{ off, n int }

// Empty reports that there was nothing to read.
func (b *Batch) Empty() bool { return b.To <= b.From }

// Token names the range, the same for the same range of the same log for ever:
// "<log id>:<from>-<to>". A receiver that drops repeated tokens makes an
// at-least-once delivery take effect once.
func (b *Batch) Token() string {
	buf := make([]byte, 0, len(b.LogID)+42)
	buf = append(buf, b.LogID...)
	buf = append(buf, ':')
	buf = strconv.AppendUint(buf, uint64(b.From), 10)
	buf = append(buf, '-')
	buf = strconv.AppendUint(buf, uint64(b.To), 10)
	return string(buf)
}

// Bytes returns the sum of the frames' lengths.
func (b *Batch) Bytes() int {
	n := 0
	for _, f := range b.Frames {
		n += len(f)
	}
	return n
}

// ReadBatch fills b with the frames from a position on: at least one when there
// is one, however large, and no more than maxFrames frames or about maxBytes
// bytes of payload after that (0 or less: 10 000 frames, 1 MiB). At the end of
// the log b is empty and the error nil; see Wait. It reads what was appended,
// synced or not, unless Options.DurableOnly is set.
//
// A position before Start reads from Start, so that 0 is the beginning; b.From
// says where it read from. A position after End is ErrBadPosition.
func (l *Log) ReadBatch(from Position, maxBytes, maxFrames int, b *Batch) error {
	return errUnfinished
}

// ReadRange fills b with exactly the frames in [from,to), as a batch read
// earlier had them, also after a restart: From, To and Token are the same.
// ErrGone when the range was deleted, ErrBadPosition when it was never written.
func (l *Log) ReadRange(from, to Position, b *Batch) error { return errUnfinished }

// ReadRaw appends the bytes of [from,to) to dst as they stand on the disk,
// frame headers included, unchecked: for looking into a damaged range. At most
// 64 MiB at a time.
func (l *Log) ReadRaw(from, to Position, dst []byte) ([]byte, error) { return dst, errUnfinished }
