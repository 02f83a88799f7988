package wire

import "github.com/tasktrail/tasktrail/timeline"

// DecodeLogRecord reads one OTLP LogRecord message into rec, which afterwards
// points into b. It reads; it does not judge: limits are the business of
// [Check]. The error wraps [ErrMalformed], or is a [*timeline.FieldError] that
// names an attribute whose value can't be read as what it stands for, or an
// event name that is not known.
func DecodeLogRecord(b []byte, rec *Record) error { return ErrMalformed }

// Event writes rec into e, all of it copied, so that e holds for ever.
func (rec *Record) Event(e *timeline.Event) {}

// AppendText appends the value as text: a string as it is, numbers in decimal,
// bytes in base64, lists and maps as JSON.
func (v Value) AppendText(dst []byte) []byte { return dst }
