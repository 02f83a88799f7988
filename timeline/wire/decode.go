package wire

import (
	"bytes"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// DecodeLogRecord reads one OTLP LogRecord message into rec, which afterwards
// points into b. It reads; it does not judge: limits are the business of
// [Check]. The error wraps [ErrMalformed], or is a [*timeline.FieldError] that
// names an attribute whose value can't be read as what it stands for, or an
// event name that is not known.
//
// Run and Attempt have their defaults where the record names none; a telemetry
// event of a foreign SDK stands as the timeline event it means. The identifier
// of an event that carries none is derived by [ScanFrame], which knows the
// namespace.
func DecodeLogRecord(b []byte, rec *Record) error {
	rec.reset(b)
	rec.whole = true
	if !rec.readMessage(b) {
		return fmt.Errorf("log record: %w", ErrMalformed)
	}
	if err := rec.finish(); err != nil {
		return err
	}
	return nil
}

// reset empties the record but for the memory that is used again. The groups are
// most of a record and in few records: they are emptied where they were read.
func (rec *Record) reset(b []byte) {
	if has := rec.Has; has != 0 || rec.httpStatus != nil || rec.bad != nil {
		rec.Error, rec.Policy, rec.Retry, rec.Breaker = ErrorFields{}, timeline.Policy{}, RetryFields{}, BreakerFields{}
		rec.DeadLetter, rec.Operator, rec.Gap, rec.Setting = DeadLetterFields{}, OperatorFields{}, GapFields{}, SettingFields{}
		rec.Progress = ProgressFields{}
		rec.Has, rec.httpStatus, rec.bad = 0, nil, nil
	}
	rec.Type, rec.Severity = timeline.TypeUnknown, 0
	rec.ID, rec.SourceID, rec.SourceSeq, rec.Seq = timeline.ID{}, nil, 0, 0
	rec.Namespace, rec.TaskID, rec.TaskType, rec.Queue, rec.Runner, rec.Agent = nil, nil, nil, nil, nil, nil
	rec.Provider, rec.UserID, rec.Amount, rec.Currency, rec.Input, rec.Output = nil, nil, nil, nil, nil, nil
	rec.MaxAttempts, rec.Metadata = 0, rec.Metadata[:0]
	rec.Run, rec.Attempt, rec.Attempts, rec.OccurredAt, rec.IngestedAt = 0, 0, 0, 0, 0
	rec.TraceID, rec.SpanID = timeline.TraceID{}, timeline.SpanID{}
	rec.Duration, rec.Reason, rec.StopProof = 0, nil, nil
	rec.Attributes, rec.Excess, rec.Raw = rec.Attributes[:0], 0, b
	rec.Foreign, rec.Derived, rec.whole, rec.name, rec.altName, rec.standing = false, false, false, nil, nil, standing{}
	rec.scratch = rec.scratch[:0]
}

// readMessage reads the fields of the LogRecord message; false where it is none.
func (rec *Record) readMessage(b []byte) bool {
	var v value
	for len(b) > 0 {
		if b[0] == tagAttributes {
			kv, rest, ok := delimited(b[1:])
			if !ok {
				return false
			}
			b = rest
			// The usual attribute is a short string or a number with key and value in their
			// usual places; taking it apart right here is what makes decoding fast.
			if n := len(kv); n > 6 && n < 0x80 && kv[0] == tagKey {
				if k := int(kv[1]); 6+k <= n && kv[2+k] == tagValue && int(kv[3+k]) == n-4-k {
					raw := kv[4+k:]
					usual := false
					switch raw[0] {
					case tagString:
						if usual = int(raw[1]) == len(raw)-2; usual {
							v = value{num: anyString, b: raw[2:], raw: Value(raw)}
						}
					case tagInt:
						if i, size := uvarint(raw[1:]); size == len(raw)-1 {
							v, usual = value{num: anyInt, n: i, raw: Value(raw)}, true
						}
					}
					if usual {
						if key := kv[2 : 2+k : 2+k]; !rec.setField(key, &v) {
							rec.setOther(key, &v)
						}
						continue
					}
				}
			}
			if !rec.readAttribute(kv, &v) {
				return false
			}
			continue
		}
		f, rest, ok := nextField(b)
		if !ok {
			return false
		}
		b = rest
		switch f.num<<3 | uint32(f.wire) {
		case tagTime:
			rec.OccurredAt = int64(f.n)
		case tagObserved:
			rec.IngestedAt = int64(f.n)
		case tagTraceID:
			if len(f.b) != len(rec.TraceID) && len(f.b) != 0 {
				rec.fault("trace_id", "16 bytes", &value{num: anyBytes, b: f.b})
				break
			}
			copy(rec.TraceID[:], f.b)
		case tagSpanID:
			if len(f.b) != len(rec.SpanID) && len(f.b) != 0 {
				rec.fault("span_id", "8 bytes", &value{num: anyBytes, b: f.b})
				break
			}
			copy(rec.SpanID[:], f.b)
		case tagEventName:
			rec.name = f.b
		}
	}
	return true
}

// readAttribute reads one KeyValue message of any shape. v is memory to work in.
func (rec *Record) readAttribute(kv []byte, v *value) bool {
	key, raw, ok := keyValue(kv)
	if !ok {
		return false
	}
	if *v, ok = raw.parse(); !ok {
		return false
	}
	if !rec.setField(key, v) {
		rec.setOther(key, v)
	}
	return true
}

// setOther keeps what is not one of the fixed attributes.
func (rec *Record) setOther(key []byte, v *value) {
	const bare = len(AttrMetadataPrefix) - 1
	switch {
	case len(key) > bare && string(key[:bare+1]) == AttrMetadataPrefix:
		rec.Metadata = append(rec.Metadata, Attribute{Key: key[bare+1:], Value: v.raw})
	case string(key) == AttrMetadataPrefix[:bare]:
		if v.num != anyKvlist {
			rec.fault(AttrMetadataPrefix[:bare], "a map", v)
			return
		}
		for b := v.b; len(b) > 0; {
			e, rest, ok := nextField(b)
			if !ok {
				return
			}
			b = rest
			if k, raw, ok := keyValue(e.b); ok {
				rec.Metadata = append(rec.Metadata, Attribute{Key: k, Value: raw})
			}
		}
	case string(key) == AttrEventName:
		rec.altName = rec.text(AttrEventName, v)
	default:
		rec.keepAttribute(key, v.raw)
	}
}

func (rec *Record) keepAttribute(key []byte, raw Value) {
	if len(rec.Attributes) >= timeline.MaxAttributePairs {
		rec.Excess++
		return
	}
	rec.Attributes = append(rec.Attributes, Attribute{Key: key, Value: raw})
}

// finish settles what depends on the whole record: its type and the defaults.
func (rec *Record) finish() error {
	if len(rec.name) == 0 {
		rec.name = rec.altName
	}
	t, ok := timeline.ParseTypeBytes(rec.name)
	if !ok {
		if t, ok = telemetryType(rec.name); !ok {
			return unknownName(rec.name)
		}
		rec.Foreign = true
	}
	rec.Type, rec.Severity = t, t.Severity()
	if rec.Foreign {
		rec.readTelemetry()
	}
	if rec.bad != nil {
		return rec.bad
	}
	rec.defaults()
	if rec.httpStatus != nil && rec.Has&HasError == 0 {
		// A status is an error's where it says so or the event does; the status of a
		// success is an attribute like any other.
		if rec.Error.HTTPStatus >= 400 || t.Severity() == timeline.SeverityError {
			rec.Has |= HasError
		} else {
			rec.keepAttribute(rec.own(AttrHTTPStatus), rec.httpStatus)
			rec.Error.HTTPStatus = 0
		}
	}
	return nil
}

// defaults are those of run, attempt and time.
func (rec *Record) defaults() {
	if rec.Run == 0 && rec.Type.OfTask() {
		rec.Run = 1
	}
	if rec.Attempt == 0 {
		switch rec.Type {
		case timeline.AttemptStarted, timeline.AttemptSuccess, timeline.AttemptFailed, timeline.AttemptAborted:
			rec.Attempt = 1
		}
	}
	if rec.OccurredAt == 0 {
		rec.OccurredAt = rec.IngestedAt
	}
}

func unknownName(name []byte) error {
	if len(name) == 0 {
		return &timeline.FieldError{Field: "event_name", Want: "must name an event of the timeline"}
	}
	return &timeline.FieldError{Field: "event_name", Want: fmt.Sprintf("%.64q is not an event of the timeline", name)}
}

// Event writes rec into e, all of it copied, so that e holds for ever.
func (rec *Record) Event(e *timeline.Event) {
	*e = timeline.Event{
		Type: rec.Type, Severity: rec.Severity,
		OccurredAt: unixNano(rec.OccurredAt), IngestedAt: unixNano(rec.IngestedAt),
		TraceID: rec.TraceID, SpanID: rec.SpanID,
	}
	rec.copyFields(e)
	e.Metadata = textMap(rec.Metadata)
	e.Attributes = textMap(rec.Attributes)
}

func textMap(attributes []Attribute) map[string]string {
	if len(attributes) == 0 {
		return nil
	}
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m[string(bytes.ToValidUTF8(a.Key, replacement))] = a.Value.String()
	}
	return m
}

var replacement = []byte("\uFFFD")

// String gives the value as [Value.AppendText] does.
func (v Value) String() string {
	if s, ok := v.text(); ok {
		return string(s)
	}
	return string(v.AppendText(nil))
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

func unixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// word copies a text that is usually one of a few, without an allocation then.
func word(b []byte) string {
	switch string(b) {
	case string(timeline.ClassRetryable):
		return string(timeline.ClassRetryable)
	case string(timeline.ClassPermanent):
		return string(timeline.ClassPermanent)
	case string(timeline.BreakerClosed):
		return string(timeline.BreakerClosed)
	case string(timeline.BreakerOpen):
		return string(timeline.BreakerOpen)
	case string(timeline.RetryBackoff):
		return string(timeline.RetryBackoff)
	case string(timeline.FailExhausted):
		return string(timeline.FailExhausted)
	}
	return string(b)
}
