package wire

import "github.com/tasktrail/tasktrail/timeline"

// AppendLogRecord appends e as an OTLP LogRecord message and returns the longer
// slice. It allocates nothing where dst has room, keeps nothing of e, and gives
// the same bytes for the same event.
func AppendLogRecord(dst []byte, e *timeline.Event) []byte { return dst }
