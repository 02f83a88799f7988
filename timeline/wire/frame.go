package wire

import (
	"errors"
	"time"
)

// ErrMalformed says that bytes are not the protobuf message they should be.
var ErrMalformed = errors.New("not a well-formed protobuf message")

// ErrCorruptFrame says that a frame is not one of [AppendFrame].
var ErrCorruptFrame = errors.New("corrupt frame")

// Envelope is what a collector knows of a request beyond its bytes.
type Envelope struct {
	// IngestedAt is the collector's clock.
	IngestedAt time.Time
	// Namespace is the namespace of the sender's token; empty is the default one.
	Namespace string
	// AnyNamespace: a record may name another one.
	AnyNamespace bool
}

// AppendFrame appends the frame of one accepted (cleaned) export request.
func AppendFrame(dst []byte, env Envelope, request []byte) []byte { return dst }

// DecodeFrame splits a frame. request is a view into it.
func DecodeFrame(frame []byte) (env Envelope, request []byte, err error) {
	return Envelope{}, nil, ErrCorruptFrame
}

// ScanFrame reads a frame record by record into rec and calls yield with each
// event that belongs to a timeline, in the order of the frame: namespaces,
// identifiers and defaults are filled in, telemetry events of foreign SDKs are
// mapped. Live data and telemetry of Tasktrail's own agent are left out. An error
// of yield ends the scan and is returned as it is; any other error wraps
// [ErrCorruptFrame]. A record that can't be read is passed over and counted in
// rec.Skipped.
func ScanFrame(frame []byte, rec *Record, yield func(*Record) error) error { return ErrCorruptFrame }

// ScanLive is [ScanFrame] for the live data in a frame (task_progress and
// task_heartbeat), which is published and never stored.
func ScanLive(frame []byte, rec *Record, yield func(*Record) error) error { return ErrCorruptFrame }
