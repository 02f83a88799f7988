package spool

import (
	"context"
	"errors"
)

var errUnfinished = errors.New("spool: not implemented yet")

const (
	segmentHeaderSize = 128
	frameHeaderSize   = 16
)

func alignDown(n int64) int64 { return n &^ 7 }

// Position is a logical byte offset in a log. It rises for ever, over deleted
// segments and restarts; 0 is the beginning. Only positions that the log gave
// out mean anything: do no arithmetic on them.
type Position uint64

// Log is an append-only log in a directory. It is safe for concurrent use.
type Log struct{}

// Open takes the directory's lock, recovers the log in it or creates one, and
// starts the goroutines that sync, prepare and delete segments; Close stops
// them. A directory in use is ErrLocked. Damage is never a reason not to open.
func Open(opts Options) (*Log, error) { return nil, errUnfinished }

// ID returns the log's random identifier, made at its creation: a UUID in its
// canonical 36 characters.
func (l *Log) ID() string { return "" }

// Dir returns the log's directory.
func (l *Log) Dir() string { return "" }

// Start returns the position of the oldest frame kept.
func (l *Log) Start() Position { return 0 }

// End returns the position after the last frame appended.
func (l *Log) End() Position { return 0 }

// Durable returns the position before which everything is fsynced.
func (l *Log) Durable() Position { return 0 }

// NextSeq returns the sequence number that the next frame gets; the first ever
// is 1.
func (l *Log) NextSeq() uint64 { return 0 }

// Append copies the frame to the end of the log and returns the position after
// it. When it returns, the frame survives the death of the process; see Sync
// for the death of the machine. It makes no system call and does not allocate,
// but for the moment a segment ends.
//
// Errors: ErrFull, ErrFrameTooLarge, ErrEmptyFrame, ErrClosed, ErrFault, and
// ErrSyncFailed under Options.DurableOnly.
func (l *Log) Append(frame []byte) (Position, error) { return 0, errUnfinished }

// AppendReserved is Append for the frames that matter most: it may use the room
// of Options.ReserveBytes when Append is refused.
func (l *Log) AppendReserved(frame []byte) (Position, error) { return 0, errUnfinished }

// AppendFunc lets fn encode a frame in place: fn appends the frame to dst, which
// is empty and has the log's own memory as its capacity, and returns the
// result. seq is the frame's sequence number; when the frame is refused, the
// next call gets the same number again.
//
// fn runs under the log's lock: it is quick, does not call the log, keeps
// nothing of dst, and writes nothing into it beyond what it returns. A function
// literal that captures variables costs no allocation. With reserved, the room
// of Options.ReserveBytes may be used.
func (l *Log) AppendFunc(reserved bool, fn func(dst []byte, seq uint64) []byte) (Position, error) {
	return 0, errUnfinished
}

// Skip uses up n sequence numbers without a frame and returns the first of
// them, so that what was shed shows as a hole in the numbers, which a later
// frame can name. The hole is on record with the next frame appended.
func (l *Log) Skip(n uint64) (first uint64) { return 0 }

// Sync returns when everything before upTo is on the disk. Callers that wait at
// the same time share one fsync. When ctx ends first, its cause is returned and
// the fsync goes on. After a failed fsync every Sync that is not covered by an
// earlier success is ErrSyncFailed, until the log is opened anew.
func (l *Log) Sync(ctx context.Context, upTo Position) error { return errUnfinished }

// Wait returns when there is something to read after the position: End is
// beyond it, or Durable is under Options.DurableOnly. It returns the context's
// cause when ctx ends first and ErrClosed when the log closes.
func (l *Log) Wait(ctx context.Context, after Position) error { return errUnfinished }

// WaitDurable returns when Durable is beyond the position. It asks for no fsync.
func (l *Log) WaitDurable(ctx context.Context, after Position) error { return errUnfinished }

// Damaged returns the ranges found damaged since Open, at Open or by a reader,
// by position. Of very many, the list keeps the first 1024; Stats counts all.
func (l *Log) Damaged() []Damage { return nil }

// Stats returns the log's figures.
func (l *Log) Stats() Stats { return Stats{} }

// Close syncs what was appended, stops the log's goroutines and gives the
// directory free. Waiting calls return ErrClosed. Closing twice returns what
// the first call returned.
func (l *Log) Close() error { return errUnfinished }
