package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Limits bound what one request may carry, beyond the limits of the
// vocabulary itself (see the constants of package timeline).
type Limits struct {
	// MaxRecordBytes bounds one LogRecord message.
	// Defaults to 1 MiB.
	MaxRecordBytes int
	// MaxReasons bounds how many refused records are described.
	// Defaults to 10.
	MaxReasons int
	// Now is the receiver's clock, against which times in the future are refused.
	// Defaults to the time of the call.
	Now time.Time
	// Inspect, where set, is asked about each record that breaks no limit, but for
	// telemetry of Tasktrail's own agent: an error refuses the record. accepted is
	// how many records before it are kept, its place among them if it is. The
	// record holds until Inspect returns, and its namespace is what it says itself.
	Inspect func(accepted int, rec *Record) *timeline.FieldError
}

func (l Limits) withDefaults() Limits {
	if l.MaxRecordBytes <= 0 {
		l.MaxRecordBytes = 1 << 20
	}
	if l.MaxReasons <= 0 {
		l.MaxReasons = 10
	}
	if l.Now.IsZero() {
		l.Now = time.Now()
	}
	return l
}

// Bounds on the numbers and the time of a record.
const (
	maxNumber    = 1_000_000 // run, attempt, attempts, max_attempts
	maxAhead     = 24 * time.Hour
	earliestUnix = 946_684_800 // 2000-01-01
)

// Rejection says why one record was refused.
type Rejection struct {
	// Index is the record's place in the request, from 0.
	Index int
	// Field is the wire name of the field at fault, Want what is allowed there.
	Field string
	Want  string
}

// String gives the rejection in one line.
func (r Rejection) String() string { return fmt.Sprintf("record %d: %s: %s", r.Index, r.Field, r.Want) }

// Report is what became of a request.
type Report struct {
	// Accepted and Rejected count records; together they are all of the request.
	Accepted int
	Rejected int
	// Telemetry counts the accepted ones that are telemetry of Tasktrail's own
	// agent, which came as timeline events too and are not yielded by ScanFrame.
	Telemetry int
	// Live counts the accepted ones that are live data (see [ScanLive]).
	Live int
	// Excess counts the attributes beyond [timeline.MaxAttributePairs] of a record,
	// which are not kept.
	Excess int
	// Reasons describes the first refused records.
	Reasons []Rejection
	// Clean is the request without the refused records: the argument itself where
	// none was refused.
	Clean []byte
}

// Message says in one line why records were refused, for the answer's
// partial_success; empty where none was.
func (r *Report) Message() string {
	if r.Rejected == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d refused", r.Rejected)
	for i, reason := range r.Reasons {
		b.WriteString([...]string{": ", "; "}[min(i, 1)])
		b.WriteString(reason.String())
	}
	if left := r.Rejected - len(r.Reasons); left > 0 {
		fmt.Fprintf(&b, "; and %d more", left)
	}
	return b.String()
}

// records are used again by Check, which would otherwise allocate one a request.
var records = sync.Pool{New: func() any { return new(Record) }}

// maxScratch is how much memory a pooled Record may hold on to.
const maxScratch = 64 << 10

// Check reads an OTLP ExportLogsServiceRequest and sorts out the records that
// can't be stored. The error says that the request as a whole can't be read and
// wraps [ErrMalformed]. Where nothing is refused nothing is allocated.
func Check(request []byte, lim Limits) (Report, error) {
	lim = lim.withDefaults()
	latest := lim.Now.Add(maxAhead).UnixNano()
	rec := records.Get().(*Record)
	defer func() {
		if cap(rec.scratch) <= maxScratch {
			rec.reset(nil)
			records.Put(rec)
		}
	}()
	report := Report{Clean: request}
	var refused []int
	w := walker{request: request}
	for i := 0; ; i++ {
		record, ok := w.next()
		if !ok {
			break
		}
		err := rec.check(record, &lim, latest, w.own)
		if err == nil && lim.Inspect != nil && !(rec.Foreign && w.own) {
			err = lim.Inspect(report.Accepted, rec)
		}
		if err == nil {
			report.Accepted++
			report.Excess += rec.Excess
			switch {
			case rec.Foreign && w.own:
				report.Telemetry++
			case rec.Type.Live():
				report.Live++
			}
			continue
		}
		report.Rejected++
		refused = append(refused, i)
		if len(report.Reasons) < lim.MaxReasons {
			report.Reasons = append(report.Reasons, Rejection{Index: i, Field: err.Field, Want: err.Want})
		}
	}
	if w.malformed {
		return Report{}, fmt.Errorf("export request for logs: %w", ErrMalformed)
	}
	if len(refused) > 0 {
		report.Clean = Without(request, refused)
	}
	return report, nil
}

// Without gives a request that passed [Check] without the records at these
// places, which rise from 0.
func Without(request []byte, places []int) []byte {
	next := 0
	return without(make([]byte, 0, len(request)), request, levelRequest, places, &next)
}

// check decodes one record and judges it.
func (rec *Record) check(record []byte, lim *Limits, latest int64, own bool) *timeline.FieldError {
	if len(record) > lim.MaxRecordBytes {
		return tooLarge("log_record", len(record), lim.MaxRecordBytes)
	}
	if err := DecodeLogRecord(record, rec); err != nil {
		if field, ok := errors.AsType[*timeline.FieldError](err); ok {
			return field
		}
		return &timeline.FieldError{Field: "log_record", Want: ErrMalformed.Error()}
	}
	if rec.Foreign && own {
		return nil // it is not stored
	}
	return rec.judge(latest)
}

func tooLarge(field string, n, limit int) *timeline.FieldError {
	return &timeline.FieldError{Field: field, Want: fmt.Sprintf("%d bytes, the limit is %d", n, limit)}
}

// judge gives the first field that breaks a limit.
func (rec *Record) judge(latest int64) *timeline.FieldError {
	if len(rec.TaskID) == 0 && rec.Type.OfTask() {
		return &timeline.FieldError{Field: AttrTaskID, Want: "must not be empty"}
	}
	if err := rec.checkText(); err != nil {
		return err
	}
	if t := rec.OccurredAt; t != 0 && (t < earliestUnix*int64(time.Second) || t > latest) {
		return &timeline.FieldError{Field: "time_unix_nano", Want: fmt.Sprintf(
			"%s, the limits are the year 2000 and %v ahead of the collector's clock", time.Unix(0, t).UTC().Format(time.RFC3339), maxAhead)}
	}
	if rec.Run < 1 && rec.Type.OfTask() || rec.Run < 0 || rec.Run > maxNumber {
		return outOfRange(AttrRun, rec.Run, 1)
	}
	if rec.Attempt < 0 || rec.Attempt > maxNumber {
		return outOfRange(AttrAttempt, rec.Attempt, 0)
	}
	if rec.Attempts < 0 || rec.Attempts > maxNumber {
		return outOfRange(AttrAttempts, rec.Attempts, 0)
	}
	if rec.MaxAttempts < 0 || rec.MaxAttempts > maxNumber {
		return outOfRange(AttrMaxAttempts, rec.MaxAttempts, 0)
	}
	if len(rec.Amount) > 0 && !timeline.IsDecimal(rec.Amount) {
		return &timeline.FieldError{Field: AttrAmount, Want: fmt.Sprintf(
			"want a decimal number such as 12.50, %d bytes at most", timeline.MaxAmountBytes)}
	}
	if len(rec.Input) > maxPayload {
		return tooLarge(AttrInput, len(rec.Input), maxPayload)
	}
	if len(rec.Output) > maxPayload {
		return tooLarge(AttrOutput, len(rec.Output), maxPayload)
	}
	if len(rec.Operator.InputPatch) > maxPayload {
		return tooLarge(AttrInputPatch, len(rec.Operator.InputPatch), maxPayload)
	}
	if rec.Type == timeline.Tombstone && (rec.Has&HasGap == 0 || rec.Gap.From == 0 || rec.Gap.From > rec.Gap.To) {
		return &timeline.FieldError{Field: AttrGapFrom, Want: "a tombstone needs a range, from 1, with both ends"}
	}
	if rec.Type == timeline.SettingChanged {
		if err := rec.checkSetting(); err != nil {
			return err
		}
	}
	if len(rec.Metadata) > 0 {
		if err := rec.checkMetadata(); err != nil {
			return err
		}
	}
	for _, a := range rec.Attributes {
		if !validUTF8(a.Key) {
			return &timeline.FieldError{Field: "attributes", Want: "every key must be valid UTF-8"}
		}
		if s, ok := a.Value.text(); ok && !validUTF8(s) {
			return notUTF8(fmt.Sprintf("%.64s", a.Key))
		}
	}
	return nil
}

func (rec *Record) checkSetting() *timeline.FieldError {
	s := &rec.Setting
	switch {
	case len(s.Kind) == 0:
		return &timeline.FieldError{Field: AttrSettingKind, Want: "must not be empty"}
	case len(s.ID) == 0:
		return &timeline.FieldError{Field: AttrSettingID, Want: "must not be empty"}
	case s.Version == 0:
		return &timeline.FieldError{Field: AttrSettingVersion, Want: "0, versions begin at 1"}
	case len(s.Body) > timeline.MaxSettingBytes:
		return tooLarge(AttrSettingBody, len(s.Body), timeline.MaxSettingBytes)
	case len(s.Body) > 0 && !json.Valid(s.Body):
		return &timeline.FieldError{Field: AttrSettingBody, Want: "must be JSON"}
	case len(s.Body) == 0 && !s.Deleted:
		return &timeline.FieldError{Field: AttrSettingBody, Want: "must not be empty"}
	}
	return nil
}

// maxPayload is what a payload may have here; agents cut at half of it.
const maxPayload = 2 * timeline.MaxPayloadBytes

func outOfRange(field string, n, least int) *timeline.FieldError {
	return &timeline.FieldError{Field: field, Want: fmt.Sprintf("%d, the limits are %d and %d", n, least, maxNumber)}
}

func (rec *Record) checkMetadata() *timeline.FieldError {
	if n := len(rec.Metadata); n > timeline.MaxMetadataPairs {
		return &timeline.FieldError{Field: "task.metadata", Want: fmt.Sprintf("%d pairs, the limit is %d", n, timeline.MaxMetadataPairs)}
	}
	for _, a := range rec.Metadata {
		if !plain(a.Key) {
			if err := checkName(AttrMetadataPrefix+"*", a.Key); err != nil {
				return err
			}
		}
		s, ok := a.Value.text()
		if !ok {
			s = a.Value
		}
		field := AttrMetadataPrefix + string(a.Key)
		if len(s) > timeline.MaxMetadataBytes {
			return tooLarge(field, len(s), timeline.MaxMetadataBytes)
		}
		if ok && !validUTF8(s) {
			return notUTF8(field)
		}
	}
	return nil
}

// The levels of an export request down to its records.
const (
	levelRequest = iota
	levelResource
	levelScope
)

// without appends message without the records whose places stand in refused,
// which rises. next counts the records that were passed.
func without(dst, message []byte, level int, refused []int, next *int) []byte {
	down := uint32(fieldScopeLogs)
	switch level {
	case levelRequest:
		down = fieldResourceLogs
	case levelScope:
		down = fieldLogRecords
	}
	for b := message; len(b) > 0; {
		f, rest, ok := nextField(b)
		if !ok { // not reached: the walk over the same bytes succeeded
			return dst
		}
		whole := b[:len(b)-len(rest)]
		b = rest
		switch {
		case f.num != down:
			dst = append(dst, whole...)
		case level == levelScope:
			if i := *next; !contains(refused, i) {
				dst = append(dst, whole...)
			}
			*next++
		default:
			inner := without(make([]byte, 0, len(f.b)), f.b, level+1, refused, next)
			dst = appendHead(dst, byte(f.num), len(inner))
			dst = append(dst, inner...)
		}
	}
	return dst
}

func contains(rising []int, i int) bool {
	_, found := slices.BinarySearch(rising, i)
	return found
}
