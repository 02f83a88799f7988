package wire_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// full is an event with every field set.
func full() *timeline.Event {
	e := typical()
	e.Type = timeline.MovedToDLQ
	e.Severity = e.Type.Severity()
	e.UserID, e.Amount, e.Currency, e.MaxAttempts = "u-1", "129.99", "EUR", 5
	e.Input, e.Output = timeline.Payload(`{"to":"a@b.example"}`), timeline.Payload("\xff\xfe")
	e.Metadata = map[string]string{"tenant": "acme", "region": "eu"}
	e.Attributes = map[string]string{"my.own": "kept"}
	e.IngestedAt = e.OccurredAt.Add(time.Second)
	e.Duration, e.Attempts = timeline.Millis(1500*time.Microsecond), 2
	e.Error = &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "upstream is away", Code: "503", HTTPStatus: 503, Fingerprint: "fp1:abc", Stack: "main.go:1"}
	e.Policy = &timeline.Policy{MaxAttempts: 5, Base: timeline.Millis(time.Second), Cap: timeline.Millis(30 * time.Second), Factor: 2, Jitter: 0.25,
		Timeout: timeline.Millis(30 * time.Second), BreakerFailureRate: 0.5, BreakerMinCalls: 10, BreakerConsecutive: 5, BreakerOpenFor: timeline.Millis(30 * time.Second)}
	e.Retry = &timeline.Retry{NextAttempt: 2, Delay: timeline.Millis(900 * time.Millisecond), Reason: timeline.RetryBackoff, Base: timeline.Millis(time.Second),
		Factor: 2, Cap: timeline.Millis(30 * time.Second), Jitter: 0.9, CommandID: timeline.ID{1}}
	e.Breaker = &timeline.Breaker{Provider: "stripe", State: timeline.BreakerOpen, Why: "failure_rate", Calls: 10, Failures: 6, SlowCalls: 1, Consecutive: 4, OpenUntil: e.OccurredAt.Add(30 * time.Second)}
	e.Reason = timeline.FailExhausted
	e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.ID{2}, AlertSeverity: timeline.AlertCritical, Requeueable: true, AutoRecover: true, NotReplayable: "sealed elsewhere", KeptInput: true, Sealed: []byte{1, 2, 3}, SourceID: "sidecar-1"}
	e.Operator = &timeline.Operator{Actor: "ops@example.com", Reason: "the provider is back", CommandID: timeline.ID{3}, InputBefore: "aa", InputAfter: "bb", InputPatch: []byte(`{"n":1}`), InputEdits: 2}
	e.StopProof = "handler returned"
	e.Gap = &timeline.Gap{From: 5, To: 9, Reason: "shed"}
	e.Setting = &timeline.Setting{Kind: "silence", ID: "s-1", Version: 7, Deleted: true, Body: []byte(`{"for":"2h"}`)}
	e.Progress = &timeline.Progress{Done: 5, Total: 10, Fraction: 0.5, Message: "half way", At: e.OccurredAt}
	return e
}

// golden compares bytes, in hexadecimal, with a file.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	var text strings.Builder
	for chunk := range (len(b) + 31) / 32 {
		text.WriteString(hex.EncodeToString(b[chunk*32 : min(chunk*32+32, len(b))]))
		text.WriteByte('\n')
	}
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text.String() {
		t.Errorf("%s: the bytes changed; whoever stored or sends the old ones must still be understood. Got\n%s", file, &text)
	}
}

func TestGoldenBytes(t *testing.T) {
	typicalRecord := wire.AppendLogRecord(nil, typical())
	fullRecord := wire.AppendLogRecord(nil, full())
	request := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "billing", ServiceVersion: "1.2.3", ServiceInstanceID: "i-1", HostName: "h"},
		[][]byte{typicalRecord, fullRecord})
	golden(t, "record_typical", typicalRecord)
	golden(t, "record_full", fullRecord)
	golden(t, "request", request)
	golden(t, "frame", wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt, Namespace: "acme", AnyNamespace: true}, request))
}

// A full event sets every field there is, so that the golden file and the test
// below speak of all of them.
func TestFullSetsEveryField(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
			return
		}
		if !v.IsValid() || v.IsZero() {
			t.Errorf("%s is not set", path)
		}
	}
	walk("Event", reflect.ValueOf(*full()))

	var rec wire.Record
	if err := wire.DecodeLogRecord(wire.AppendLogRecord(nil, full()), &rec); err != nil {
		t.Fatal(err)
	}
	var got timeline.Event
	rec.Event(&got)
	if want := *full(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", dump(got), dump(want))
	}
}

// Another implementation of OTLP reads what is written here as it is meant.
func TestAnotherImplementationReadsIt(t *testing.T) {
	e := full()
	b := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "billing"}, [][]byte{wire.AppendLogRecord(nil, e)})
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(b); err != nil {
		t.Fatal(err)
	}
	rl := req.Logs().ResourceLogs().At(0)
	if v, _ := rl.Resource().Attributes().Get("service.name"); v.Str() != "billing" {
		t.Errorf("service.name %q", v.Str())
	}
	sl := rl.ScopeLogs().At(0)
	lr := sl.LogRecords().At(0)
	if sl.Scope().Name() != wire.AgentScope || lr.EventName() != "moved_to_dlq" || lr.SeverityNumber() != 13 || lr.SeverityText() != "warning" ||
		!lr.Timestamp().AsTime().Equal(e.OccurredAt) || !lr.ObservedTimestamp().AsTime().Equal(e.IngestedAt) ||
		timeline.TraceID(lr.TraceID()) != e.TraceID || timeline.SpanID(lr.SpanID()) != e.SpanID {
		t.Errorf("record %+v", lr)
	}
	for key, want := range map[string]any{
		wire.AttrEventID: e.ID.String(), wire.AttrTaskID: e.Task.ID, wire.AttrRun: int64(1), wire.AttrDuration: 1.5, wire.AttrHTTPStatus: int64(503),
		wire.AttrInput: `{"to":"a@b.example"}`, wire.AttrOutput: []byte("\xff\xfe"), wire.AttrRequeueable: true,
		wire.AttrBreakerOpenUntil: "2026-03-01T12:00:30.123456789Z", wire.AttrMetadataPrefix + "tenant": "acme", "my.own": "kept",
	} {
		v, ok := lr.Attributes().Get(key)
		if got := v.AsRaw(); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, want %#v", key, got, want)
		}
	}
}
