package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/tasktrail/tasktrail/timeline"
)

// telemetryNames are what the names of the telemetry events end in, and the
// timeline events they mean.
var telemetryNames = [...]struct {
	suffix string
	means  timeline.Type
}{
	{".task.started", timeline.TaskStarted},
	{".task.completed", timeline.TaskCompleted},
	{".task.failed", timeline.TaskFailed},
	{".task.retry", timeline.TaskRetried},
}

// telemetryType reads the name of a telemetry event under any namespace.
func telemetryType(name []byte) (timeline.Type, bool) {
	for _, n := range telemetryNames {
		if len(name) > len(n.suffix) && string(name[len(name)-len(n.suffix):]) == n.suffix {
			return n.means, true
		}
	}
	return timeline.TypeUnknown, false
}

// readTelemetry reads the short names that telemetry events may use; an
// attribute of the vocabulary wins over its short name.
func (rec *Record) readTelemetry() {
	rec.Attributes = slices.DeleteFunc(rec.Attributes, func(a Attribute) bool {
		v, ok := a.Value.parse()
		return ok && rec.setShort(a.Key, &v)
	})
	switch rec.Type {
	case timeline.TaskFailed:
		switch {
		case len(rec.Reason) == 0:
			rec.Reason = rec.own(string(timeline.FailExhausted))
		case !slices.Contains(timeline.FailureReasons(), timeline.FailureReason(rec.Reason)):
			if len(rec.Error.Message) == 0 {
				rec.Has |= HasError
				rec.Error.Message = rec.Reason
			}
			rec.Reason = rec.own(string(timeline.FailExhausted))
		}
	case timeline.TaskRetried:
		rec.Has |= HasRetry
		if rec.Retry.NextAttempt == 0 {
			rec.Retry.NextAttempt = max(rec.Attempt, 1) + 1
		}
	}
	if rec.Has&HasError != 0 && len(rec.Error.Kind) == 0 {
		rec.Error.Kind = rec.own("_OTHER")
	}
}

// setShort reads an attribute under a short name; false where it is none or the
// field is known already.
func (rec *Record) setShort(key []byte, v *value) bool {
	text := func(dst *[]byte) bool {
		if len(*dst) != 0 {
			return false
		}
		*dst = rec.text(string(key), v)
		return true
	}
	count := func(dst *int, plus int64) bool {
		if *dst != 0 {
			return false
		}
		*dst = int(rec.int(string(key), v) + plus)
		return true
	}
	switch string(key) {
	case "task_id":
		return text(&rec.TaskID)
	case "task_type", "type":
		return text(&rec.TaskType)
	case "queue":
		return text(&rec.Queue)
	case "agent":
		return text(&rec.Agent)
	case "provider":
		return text(&rec.Provider)
	case "user_id":
		return text(&rec.UserID)
	case "amount":
		return text(&rec.Amount)
	case "currency":
		return text(&rec.Currency)
	case "run":
		return count(&rec.Run, 0)
	case "attempt":
		return count(&rec.Attempt, 0)
	case "attempts":
		return count(&rec.Attempts, 0)
	case "retry_count":
		return count(&rec.Attempts, 1)
	case "max_attempts":
		return count(&rec.MaxAttempts, 0)
	case "duration_ms":
		if rec.Duration != 0 {
			return false
		}
		rec.Duration = rec.millis("duration_ms", v)
		return true
	case "delay_ms":
		if rec.Type != timeline.TaskRetried || rec.Retry.Delay != 0 {
			return false
		}
		rec.Retry.Delay = rec.millis("delay_ms", v)
		return true
	case "reason":
		switch {
		case rec.Type == timeline.TaskRetried:
			rec.Has |= HasRetry
			return text(&rec.Retry.Reason)
		case rec.Type == timeline.TaskFailed:
			return text(&rec.Reason)
		}
	case "error":
		if len(rec.Error.Message) != 0 || v.num != anyString {
			return false
		}
		rec.Has |= HasError
		rec.Error.Message = cut(v.b, timeline.MaxMessageBytes)
		return true
	}
	return false
}

// own gives a constant as bytes in memory of the record.
func (rec *Record) own(s string) []byte {
	at := len(rec.scratch)
	rec.scratch = append(rec.scratch, s...)
	return rec.scratch[at:len(rec.scratch):len(rec.scratch)]
}

// deriveID gives an event without an identifier the one that belongs to its
// content. The order of the attributes does not count, nor do the body, the
// observed time and the resource, which a stock collector in between may change.
func (rec *Record) deriveID() {
	rec.sorted = rec.sorted[:0]
	var when uint64
	for b := rec.Raw; len(b) > 0; {
		f, rest, ok := nextField(b)
		if !ok {
			break
		}
		b = rest
		switch f.num<<3 | uint32(f.wire) {
		case tagAttributes:
			if key, v, ok := keyValue(f.b); ok {
				rec.sorted = append(rec.sorted, Attribute{Key: key, Value: v})
			}
		case tagTime:
			when = f.n
		}
	}
	if when == 0 {
		// A sender that knows no time has stamped the record with when it saw it; the
		// stamp tells two equal events apart and is the same when one is sent again.
		when = uint64(rec.IngestedAt)
	}
	slices.SortFunc(rec.sorted, func(a, b Attribute) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value))
	})
	at := len(rec.scratch)
	s := appendWord(rec.scratch, "foreign_event")
	s = appendWord(s, rec.Type.String())
	s = appendWord(s, rec.Namespace)
	s = appendWord(s, rec.TaskID)
	s = binary.BigEndian.AppendUint64(s, uint64(rec.Run))
	s = binary.BigEndian.AppendUint64(s, uint64(rec.Attempt))
	s = binary.BigEndian.AppendUint64(s, when)
	s = appendWord(s, rec.TraceID[:])
	s = appendWord(s, rec.SpanID[:])
	for _, a := range rec.sorted {
		s = appendWord(s, a.Key)
		s = appendWord(s, a.Value)
	}
	rec.ID = timeline.HashID(s[at:])
	rec.scratch = s
}

func appendWord[T ~string | ~[]byte](dst []byte, w T) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(w)))
	return append(dst, w...)
}

// deadLetter turns a foreign task_failed, which has been yielded, into the
// moved_to_dlq that follows from it.
func (rec *Record) deadLetter() {
	rec.Type = timeline.MovedToDLQ
	rec.Severity = rec.Type.Severity()
	rec.Derived = true
	rec.ID = timeline.DerivedEventID(string(rec.Namespace), string(rec.TaskID), rec.Run, 0, timeline.MovedToDLQ)
	rec.Attempt, rec.Duration = 0, 0
	rec.completeDeadLetter()
}

// completeDeadLetter fills in what a foreign moved_to_dlq does not say of its
// dead letter. A cancelled task's calls nobody.
func (rec *Record) completeDeadLetter() {
	rec.Has |= HasDeadLetter
	if len(rec.Reason) == 0 {
		rec.Reason = rec.own(string(timeline.FailExhausted))
	}
	d := &rec.DeadLetter
	if d.ID.IsZero() {
		d.ID = timeline.DeadLetterID(string(rec.Namespace), string(rec.TaskID), rec.Run)
	}
	if d.AlertSeverity == timeline.AlertNone && string(rec.Reason) != string(timeline.FailCancelled) {
		d.AlertSeverity = timeline.DefaultThresholds().Classify(string(rec.TaskType), string(rec.Amount), string(rec.Currency))
	}
	if rec.Derived && len(rec.Input) == 0 {
		d.NotReplayable = rec.own(inputNotSent)
	}
}

const inputNotSent = "the input was not sent with the failure"
