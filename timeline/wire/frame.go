package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
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

// A frame is a version, flags, the time of ingestion (nanoseconds, little
// endian), the length of the namespace as a varint, the namespace, and the
// request to the end.
const (
	frameVersion     = 1
	flagAnyNamespace = 1
	frameHead        = 10
)

// AppendFrame appends the frame of one accepted (cleaned) export request.
func AppendFrame(dst []byte, env Envelope, request []byte) []byte {
	flags := byte(0)
	if env.AnyNamespace {
		flags = flagAnyNamespace
	}
	namespace := env.Namespace
	if namespace == "" {
		namespace = timeline.DefaultNamespace
	}
	at := int64(0)
	if !env.IngestedAt.IsZero() {
		at = env.IngestedAt.UnixNano()
	}
	dst = append(dst, frameVersion, flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at))
	dst = appendVarint(dst, uint64(len(namespace)))
	dst = append(dst, namespace...)
	return append(dst, request...)
}

// envelope is a frame taken apart; namespace is a view.
type envelope struct {
	any       bool
	at        int64
	namespace []byte
	request   []byte
}

func openFrame(frame []byte) (env envelope, err error) {
	if len(frame) < frameHead {
		return env, fmt.Errorf("%w: %d bytes", ErrCorruptFrame, len(frame))
	}
	if frame[0] != frameVersion {
		return env, fmt.Errorf("%w: version %d is not known", ErrCorruptFrame, frame[0])
	}
	if frame[1]&^flagAnyNamespace != 0 {
		return env, fmt.Errorf("%w: flags %#x are not known", ErrCorruptFrame, frame[1])
	}
	env.any = frame[1]&flagAnyNamespace != 0
	env.at = int64(binary.LittleEndian.Uint64(frame[2:]))
	var ok bool
	if env.namespace, env.request, ok = delimited(frame[frameHead:]); !ok {
		return env, fmt.Errorf("%w: namespace", ErrCorruptFrame)
	}
	return env, nil
}

// DecodeFrame splits a frame. request is a view into it.
func DecodeFrame(frame []byte) (env Envelope, request []byte, err error) {
	e, err := openFrame(frame)
	if err != nil {
		return Envelope{}, nil, err
	}
	return Envelope{IngestedAt: unixNano(e.at), Namespace: string(e.namespace), AnyNamespace: e.any}, e.request, nil
}

// ScanFrame reads a frame record by record into rec and calls yield with each
// event that belongs to a timeline, in the order of the frame: namespaces,
// identifiers and defaults are filled in, telemetry events of foreign SDKs are
// mapped. Live data and telemetry of Tasktrail's own agent are left out. An error
// of yield ends the scan and is returned as it is; any other error wraps
// [ErrCorruptFrame]. A record that can't be read is passed over and counted in
// rec.Skipped; a field that can't be read is left empty.
func ScanFrame(frame []byte, rec *Record, yield func(*Record) error) error {
	return scan(frame, rec, storedTypes, yield)
}

// ScanTypes is [ScanFrame] for a reader that wants some types only: records that
// name another are passed over without being decoded.
func ScanTypes(frame []byte, want Types, rec *Record, yield func(*Record) error) error {
	return scan(frame, rec, want&^liveTypes, yield)
}

// ScanLive is [ScanFrame] for the live data in a frame (task_progress and
// task_heartbeat), which is published and never stored.
func ScanLive(frame []byte, rec *Record, yield func(*Record) error) error {
	return scan(frame, rec, liveTypes, yield)
}

// Types is a set of types.
type Types uint64

// TypesOf returns the set of these types.
func TypesOf(types ...timeline.Type) (set Types) {
	for _, t := range types {
		set |= 1 << t
	}
	return set
}

// Has reports whether the type is in the set.
func (s Types) Has(t timeline.Type) bool { return s>>t&1 == 1 }

const (
	liveTypes   Types = 1<<timeline.TaskProgress | 1<<timeline.TaskHeartbeat
	storedTypes       = ^liveTypes
)

// named gives the type that a record names in its event_name; false where it
// names none of them, or names it elsewhere.
func named(record []byte) (timeline.Type, bool) {
	for len(record) > 0 {
		if record[0] == tagAttributes { // most fields are these
			_, rest, ok := delimited(record[1:])
			if !ok {
				return 0, false
			}
			record = rest
			continue
		}
		f, rest, ok := nextField(record)
		if !ok {
			return 0, false
		}
		if record = rest; f.num<<3|uint32(f.wire) == tagEventName {
			return timeline.ParseTypeBytes(f.b)
		}
	}
	return 0, false
}

func scan(frame []byte, rec *Record, want Types, yield func(*Record) error) error {
	env, err := openFrame(frame)
	if err != nil {
		return err
	}
	rec.lenient = true
	defer func() { rec.lenient = false }()
	w := walker{request: env.request}
	for {
		record, ok := w.next()
		if !ok {
			break
		}
		if want != storedTypes {
			if t, ok := named(record); ok && !want.Has(t) {
				continue
			}
		}
		if err := rec.take(record, &env, &w, want, yield); err != nil {
			return err
		}
	}
	return w.err()
}

// take decodes one record and yields what it is wanted for.
func (rec *Record) take(record []byte, env *envelope, w *walker, want Types, yield func(*Record) error) error {
	if err := DecodeLogRecord(record, rec); err != nil || len(rec.TaskID) == 0 && rec.Type.OfTask() {
		if want == storedTypes {
			rec.Skipped++ // by whoever reads all of it
		}
		return nil
	}
	if rec.Foreign && w.own || !want.Has(rec.Type) {
		return nil
	}
	rec.place(env, w)
	if err := yield(rec); err != nil {
		return err
	}
	if rec.Foreign && rec.Type == timeline.TaskFailed && want.Has(timeline.MovedToDLQ) {
		rec.deadLetter()
		return yield(rec)
	}
	return nil
}

// placeBrief fills in what a record has from what stands around it, of what
// every record has.
func (rec *Record) placeBrief(env *envelope) {
	rec.placeNamespace(env)
	rec.placeTimes(env)
}

func (rec *Record) placeNamespace(env *envelope) {
	if !env.any || len(rec.Namespace) == 0 {
		rec.Namespace = env.namespace
	}
}

func (rec *Record) placeTimes(env *envelope) {
	rec.IngestedAt = env.at
	if rec.OccurredAt == 0 {
		rec.OccurredAt = env.at
	}
}

// place is placeBrief for all fields. A derived id follows from what the record says,
// in its namespace, and not from when it came: it stands before the times.
func (rec *Record) place(env *envelope, w *walker) {
	rec.placeNamespace(env)
	if rec.ID.IsZero() {
		rec.deriveID()
	}
	rec.placeTimes(env)
	if rec.Type == timeline.MovedToDLQ && len(rec.SourceID) == 0 {
		rec.completeDeadLetter()
	}
	if len(rec.Agent) == 0 && len(rec.SourceID) == 0 && !w.own {
		// An SDK that was told no name says unknown_service, which names nobody.
		if s := w.serviceName(); validUTF8(s) && !bytes.HasPrefix(s, []byte("unknown_service")) {
			rec.Agent = cut(s, timeline.MaxNameBytes)
		}
	}
}
