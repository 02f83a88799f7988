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

	buf    []byte
	spans  []span
	scan   scanner
	nextAt Position // where the last read ended
	next   uint64   // and the number that comes there; 0 when unknown
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
