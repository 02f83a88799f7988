package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
)

// Sink takes what was accepted, batch by batch, in order. One goroutine calls
// Write. The batch belongs to the collector: a sink keeps nothing of it after
// Write has returned.
//
// An error with a method Permanent() bool that returns true (anywhere in its
// tree) says that these very bytes will never be taken: the batch is halved
// until only the frame at fault is set aside. Every other error is retried, the
// same bytes under the same Token, for as long as it takes.
type Sink interface {
	// Name is stable and unique: the sink's cursor goes by it. Lower-case letters, digits,
	// - and _.
	Name() string
	Write(ctx context.Context, b *spool.Batch) error
}

// SinkSpec is a sink and how it is fed.
type SinkSpec struct {
	Sink Sink
	// MaxBatchBytes and MaxBatchFrames bound a batch. Default to 8 MiB and 1024.
	MaxBatchBytes  int
	MaxBatchFrames int
	// Linger is how long a batch that is not full waits for more. Defaults to 0.
	Linger time.Duration
	// LossyAfter makes the sink at-most-once for what can only be of use while it
	// is new: frames older than this are passed over, counted, instead of being
	// written late, and nothing is written twice after a restart. Defaults to 0:
	// every frame is written, at least once.
	LossyAfter time.Duration
	// Tombstones: for what is set aside, tombstones with the range of the source's
	// sequence are written to the log, so that the gap shows as a gap with its
	// reason. For the sink that holds the truth.
	Tombstones bool
	// MinBackoff and MaxBackoff bound the wait before a batch is tried again.
	// Default to 50 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// WriteTimeout bounds one try. Defaults to 2 min.
	WriteTimeout time.Duration
}

func (s SinkSpec) withDefaults() SinkSpec {
	setDefault(&s.MaxBatchBytes, 8<<20)
	setDefault(&s.MaxBatchFrames, 1024)
	setDefault(&s.MinBackoff, 50*time.Millisecond)
	setDefault(&s.MaxBackoff, 5*time.Second)
	setDefault(&s.WriteTimeout, 2*time.Minute)
	return s
}

func (s SinkSpec) validate() error {
	if s.Sink == nil {
		return errors.New("sink is missing")
	}
	name := s.Sink.Name()
	if !validSinkName(name) {
		return fmt.Errorf("sink name %q: want 1 to 64 lower-case letters, digits, - and _", name)
	}
	s = s.withDefaults()
	if s.MaxBatchBytes < 1 || s.MaxBatchFrames < 1 || s.Linger < 0 || s.LossyAfter < 0 || s.MinBackoff < 1 || s.MaxBackoff < s.MinBackoff || s.WriteTimeout < 1 {
		return fmt.Errorf("sink %s: limits and times want to be above 0, MaxBackoff at least MinBackoff", name)
	}
	return nil
}

func validSinkName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

// permanent reports whether err says that the bytes will never be taken.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// SinkState is how a sink does.
type SinkState struct {
	Name string `json:"name"`
	// Position is what the sink has taken, in the log's offsets.
	Position spool.Position `json:"position"`
	// LagBytes is what the log holds beyond that, LagSeconds the age of the batch
	// the sink is at; both 0 when it is up to date.
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
	// LastError is why the present batch was not taken, Since when it was first
	// tried in vain; empty and zero when the sink takes what it gets.
	LastError string    `json:"last_error,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	// Retries counts tries in vain since the start.
	Retries uint64 `json:"retries"`
}

// Up reports whether the sink takes what it gets.
func (s SinkState) Up() bool { return s.LastError == "" }
