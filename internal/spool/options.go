package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	defaultSegmentBytes = 16 << 20
	defaultMaxBytes     = 1 << 30
	defaultReserveBytes = 1 << 20

	minSegmentBytes = 4 << 10
	maxSegmentBytes = 1 << 30
	// maxFrameBytes bounds what a frame's length field may say, whatever the
	// options say, so that a damaged length never asks for much memory.
	maxFrameBytes = 256 << 20
)

// Options says how a log is kept.
type Options struct {
	// Dir is the directory of the log, created with mode 0700 when missing. One
	// log has it alone, held by a file lock. Required.
	Dir string

	// SegmentBytes is the size of one segment file, preallocated. Disk space is
	// given back by whole segments. Raise it for logs of many megabytes a second.
	// Where the disk has little room left a segment is smaller, down to a sixteenth.
	// From 4 KiB to 1 GiB. Defaults to 16 MiB, or a quarter of MaxBytes where
	// that is less.
	SegmentBytes int64

	// MaxBytes bounds the disk space of all segments together, the preallocated
	// one and the reserve among them. Defaults to 1 GiB.
	MaxBytes int64

	// ReserveBytes is room that only AppendReserved may use. It lies in
	// preallocated blocks, so that it is there when the disk is full. At most
	// half of SegmentBytes. Defaults to 1 MiB, or an eighth of SegmentBytes where
	// that is less; negative means none.
	ReserveBytes int64

	// MaxFrameBytes bounds one frame's payload. At most what fits into an empty
	// segment, which is also what it defaults to, up to 256 MiB.
	MaxFrameBytes int

	// Retain keeps a segment that all cursors have passed for so long after its
	// last append. Room for new frames comes first: a full log deletes such
	// segments early. Defaults to 0.
	Retain time.Duration

	// DurableOnly lets readers see only what has been fsynced: ReadBatch and
	// Wait stop at Durable instead of End, and Append refuses after a failed
	// fsync. For logs whose readers pass frames on for good, before which the
	// writer must have been promised that they are kept. Defaults to false:
	// readers see a frame at once.
	DurableOnly bool

	// Logger receives what the log finds and mends: damage, a torn tail, a reset
	// cursor, a full disk. Defaults to discarding it; the same facts are in Stats.
	Logger *slog.Logger

	look        bool                 // opened to look into it: nothing is prepared or deleted
	syncSegment func(*segment) error // what an fsync is, for tests that have it fail
}

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = max(minSegmentBytes, min(defaultSegmentBytes, alignDown(o.MaxBytes/4)))
	}
	o.SegmentBytes &^= pageBytes - 1 // blocks and mappings come in pages
	switch {
	case o.ReserveBytes == 0:
		o.ReserveBytes = min(defaultReserveBytes, o.SegmentBytes/8)
	case o.ReserveBytes < 0:
		o.ReserveBytes = 0
	}
	if o.MaxFrameBytes == 0 {
		o.MaxFrameBytes = int(min(maxFrameBytes, o.SegmentBytes-segmentHeaderSize-frameHeaderSize))
	}
	if o.syncSegment == nil {
		o.syncSegment = (*segment).sync
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports every setting that cannot work, all at once. Zero fields
// are taken with their defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no Dir is given"))
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		errs = append(errs, fmt.Errorf("SegmentBytes is %d: want %d to %d", o.SegmentBytes, minSegmentBytes, maxSegmentBytes))
	}
	if o.MaxBytes < 2*o.SegmentBytes {
		errs = append(errs, fmt.Errorf("MaxBytes is %d: want at least two segments, %d", o.MaxBytes, 2*o.SegmentBytes))
	}
	if o.ReserveBytes > o.SegmentBytes/2 {
		errs = append(errs, fmt.Errorf("ReserveBytes is %d: want at most half a segment, %d", o.ReserveBytes, o.SegmentBytes/2))
	}
	if fit := o.SegmentBytes - segmentHeaderSize - frameHeaderSize; o.MaxFrameBytes < 1 || int64(o.MaxFrameBytes) > min(fit, maxFrameBytes) {
		errs = append(errs, fmt.Errorf("MaxFrameBytes is %d: want 1 to %d, what fits into an empty segment", o.MaxFrameBytes, min(fit, maxFrameBytes)))
	}
	if o.Retain < 0 {
		errs = append(errs, fmt.Errorf("option Retain is %v: want 0 or more", o.Retain))
	}
	if len(errs) > 0 {
		return fmt.Errorf("spool options: %w", errors.Join(errs...))
	}
	return nil
}
