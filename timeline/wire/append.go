package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tasktrail/tasktrail/timeline"
)

// Field tags of the OTLP messages that are written here: field number and wire
// type (opentelemetry/proto/logs/v1 and common/v1).
const (
	tagTime       = 0x09 // LogRecord.time_unix_nano, fixed64
	tagSeverity   = 0x10 // LogRecord.severity_number
	tagSevText    = 0x1a // LogRecord.severity_text
	tagAttributes = 0x32 // LogRecord.attributes
	tagTraceID    = 0x4a // LogRecord.trace_id
	tagSpanID     = 0x52 // LogRecord.span_id
	tagObserved   = 0x59 // LogRecord.observed_time_unix_nano, fixed64
	tagEventName  = 0x62 // LogRecord.event_name

	tagKey   = 0x0a // KeyValue.key
	tagValue = 0x12 // KeyValue.value

	tagString = 0x0a // AnyValue.string_value
	tagBool   = 0x10 // AnyValue.bool_value
	tagInt    = 0x18 // AnyValue.int_value
	tagDouble = 0x21 // AnyValue.double_value
	tagBytes  = 0x3a // AnyValue.bytes_value
)

// severityBytes are severity_number and severity_text by severity, encoded.
var severityBytes = [...]string{
	timeline.SeverityInfo:     "\x10\x09\x1a\x04info",
	timeline.SeverityWarning:  "\x10\x0d\x1a\x07warning",
	timeline.SeverityError:    "\x10\x11\x1a\x05error",
	timeline.SeverityCritical: "\x10\x15\x1a\x08critical",
}

// AppendLogRecord appends e as an OTLP LogRecord message and returns the longer
// slice. It allocates nothing where dst has room, keeps nothing of e, and gives
// the same bytes for the same event. Bytes that are not UTF-8 are replaced by
// U+FFFD, in payloads they are kept.
//
// Of the identity of an event, Severity is not written (it follows from Type),
// and attributes whose key belongs to the vocabulary are left out.
func AppendLogRecord(dst []byte, e *timeline.Event) []byte { return appendRecord(dst, e, nil, false) }

// AppendRunFields appends the attributes of e that are the same in every event an
// agent writes of one run: the source, the task without its payloads, and the
// run's number. They are encoded once and handed to [AppendLogRecordOf] for each
// event.
func AppendRunFields(dst []byte, e *timeline.Event) []byte {
	same := timeline.Event{SourceID: e.SourceID, Task: e.Task, Run: e.Run}
	same.Input, same.Output = nil, nil
	dst = appendFields(dst, &same, false)
	if len(e.Metadata) > 0 {
		dst = appendMap(dst, AttrMetadataPrefix, e.Metadata)
	}
	return dst
}

// AppendPolicy appends the attributes of a retry configuration, which is the same
// for many runs: behind those of AppendRunFields they make an event that carries
// it, without its Policy.
func AppendPolicy(dst []byte, p *timeline.Policy) []byte { return appendPolicy(dst, p) }

// AppendLogRecordOf is [AppendLogRecord] for an event of a run whose common
// attributes are encoded already, by [AppendRunFields]: those fields of e are not
// looked at. It decodes to the same event.
func AppendLogRecordOf(dst []byte, run []byte, e *timeline.Event) []byte {
	return appendRecord(dst, e, run, true)
}

func appendRecord(dst []byte, e *timeline.Event, run []byte, spliced bool) []byte {
	if !e.OccurredAt.IsZero() {
		dst = append(dst, tagTime)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.OccurredAt.UnixNano()))
	}
	dst = append(dst, severityBytes[e.Type.Severity()]...)
	dst = append(dst, run...)
	dst = appendFields(dst, e, spliced)
	if !spliced && len(e.Metadata) > 0 {
		dst = appendMap(dst, AttrMetadataPrefix, e.Metadata)
	}
	if len(e.Attributes) > 0 {
		dst = appendMap(dst, "", e.Attributes)
	}
	if !e.TraceID.IsZero() {
		dst = append(dst, tagTraceID, byte(len(e.TraceID)))
		dst = append(dst, e.TraceID[:]...)
	}
	if !e.SpanID.IsZero() {
		dst = append(dst, tagSpanID, byte(len(e.SpanID)))
		dst = append(dst, e.SpanID[:]...)
	}
	if !e.IngestedAt.IsZero() {
		dst = append(dst, tagObserved)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.IngestedAt.UnixNano()))
	}
	name := e.Type.String()
	dst = append(dst, tagEventName, byte(len(name)))
	return append(dst, name...)
}

// varintLen is how many bytes n takes as a varint.
func varintLen(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

func appendVarint(dst []byte, n uint64) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// appendAttrHead appends everything of an attribute up to its AnyValue, which has
// size bytes. head is the key as it stands in the KeyValue message.
func appendAttrHead(dst []byte, head string, size int) []byte {
	kv := len(head) + 1 + varintLen(uint64(size)) + size
	if kv < 0x80 {
		dst = append(dst, tagAttributes, byte(kv))
		dst = append(dst, head...)
		return append(dst, tagValue, byte(size))
	}
	dst = append(dst, tagAttributes)
	dst = appendVarint(dst, uint64(kv))
	dst = append(dst, head...)
	dst = append(dst, tagValue)
	return appendVarint(dst, uint64(size))
}

func appendText(dst []byte, head, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	dst = appendAttrHead(dst, head, 1+varintLen(uint64(len(s)))+len(s))
	dst = append(dst, tagString)
	dst = appendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBytes(dst []byte, head string, b []byte) []byte {
	return appendRaw(dst, head, tagBytes, b)
}

// appendPayload writes text as a string, which every backend can show, and
// anything else as bytes.
func appendPayload(dst []byte, head string, p []byte) []byte {
	if utf8.Valid(p) {
		return appendRaw(dst, head, tagString, p)
	}
	return appendRaw(dst, head, tagBytes, p)
}

func appendRaw(dst []byte, head string, tag byte, b []byte) []byte {
	dst = appendAttrHead(dst, head, 1+varintLen(uint64(len(b)))+len(b))
	dst = append(dst, tag)
	dst = appendVarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendInt(dst []byte, head string, n uint64) []byte {
	dst = appendAttrHead(dst, head, 1+varintLen(n))
	dst = append(dst, tagInt)
	return appendVarint(dst, n)
}

func appendDouble(dst []byte, head string, f float64) []byte {
	dst = appendAttrHead(dst, head, 9)
	dst = append(dst, tagDouble)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

func appendBool(dst []byte, head string, v bool) []byte {
	dst = appendAttrHead(dst, head, 2)
	n := byte(0)
	if v {
		n = 1
	}
	return append(dst, tagBool, n)
}

func appendID(dst []byte, head string, id *timeline.ID) []byte {
	if id.IsZero() {
		return appendText(dst, head, "")
	}
	dst = appendAttrHead(dst, head, 38)
	dst = append(dst, tagString, 36)
	at := len(dst)
	dst = append(dst, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"...)
	b := (*[36]byte)(dst[at:])
	// One store for each byte of the id, each to a place that is known: a loop over
	// the parts costs several times as much.
	putHex(b[0:], id[0])
	putHex(b[2:], id[1])
	putHex(b[4:], id[2])
	putHex(b[6:], id[3])
	putHex(b[9:], id[4])
	putHex(b[11:], id[5])
	putHex(b[14:], id[6])
	putHex(b[16:], id[7])
	putHex(b[19:], id[8])
	putHex(b[21:], id[9])
	putHex(b[24:], id[10])
	putHex(b[26:], id[11])
	putHex(b[28:], id[12])
	putHex(b[30:], id[13])
	putHex(b[32:], id[14])
	putHex(b[34:], id[15])
	return dst
}

const hexDigits = "0123456789abcdef"

func putHex(b []byte, c byte) {
	_ = b[1]
	b[0], b[1] = hexDigits[c>>4], hexDigits[c&15]
}

func appendTime(dst []byte, head string, t time.Time) []byte {
	var buf [len(time.RFC3339Nano) + 8]byte
	b := t.UTC().AppendFormat(buf[:0], time.RFC3339Nano)
	return appendRaw(dst, head, tagString, b)
}

// mapRoom is how many pairs of a map are sorted without an allocation.
const mapRoom = timeline.MaxAttributePairs

// appendMap appends the pairs of m as attributes, by rising key.
func appendMap(dst []byte, prefix string, m map[string]string) []byte {
	var room [mapRoom]string
	keys := room[:0]
	for k := range m {
		if prefix == "" && Reserved(k) {
			continue
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		dst = appendPair(dst, prefix, k, m[k])
	}
	return dst
}

func appendPair(dst []byte, prefix, key, s string) []byte {
	if !utf8.ValidString(key) {
		key = strings.ToValidUTF8(key, "\uFFFD")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	n := len(prefix) + len(key)
	size := 1 + varintLen(uint64(len(s))) + len(s)
	kv := 1 + varintLen(uint64(n)) + n + 1 + varintLen(uint64(size)) + size
	dst = append(dst, tagAttributes)
	dst = appendVarint(dst, uint64(kv))
	dst = append(dst, tagKey)
	dst = appendVarint(dst, uint64(n))
	dst = append(dst, prefix...)
	dst = append(dst, key...)
	dst = append(dst, tagValue)
	dst = appendVarint(dst, uint64(size))
	dst = append(dst, tagString)
	dst = appendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}
