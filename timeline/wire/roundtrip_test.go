package wire_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Generators of events as an agent may write them: everything a record can say
// exactly.
var (
	genText  = rapid.StringN(0, 40, timeline.MaxNameBytes)
	genID    = rapid.Custom(func(t *rapid.T) timeline.ID { return timeline.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")) })
	genCount = rapid.IntRange(0, 1_000_000)
	genTime  = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(946_684_800, 4_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	genMillis = rapid.Custom(func(t *rapid.T) timeline.Millis {
		return timeline.Millis(rapid.Int64Range(0, int64(20*24*time.Hour)).Draw(t, "ns"))
	})
	genFloat   = rapid.Float64Range(-1e12, 1e12)
	genPayload = rapid.Custom(func(t *rapid.T) timeline.Payload {
		b := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "payload")
		if len(b) == 0 {
			return nil
		}
		return b
	})
	genMap = rapid.Custom(func(t *rapid.T) map[string]string {
		m := rapid.MapOfN(rapid.StringN(0, 20, 60), genText, 0, 8).Draw(t, "pairs")
		for k := range m {
			if wire.Reserved(k) {
				delete(m, k)
			}
		}
		if len(m) == 0 {
			return nil
		}
		return m
	})
)

func maybe[T any](t *rapid.T, label string, draw func() T) *T {
	if !rapid.Bool().Draw(t, label) {
		return nil
	}
	v := draw()
	return &v
}

var genEvent = rapid.Custom(func(t *rapid.T) timeline.Event {
	text := func(label string) string { return genText.Draw(t, label) }
	count := func(label string) int { return genCount.Draw(t, label) }
	e := timeline.Event{
		ID: genID.Draw(t, "id"), SourceID: text("source"), SourceSeq: uint64(count("source_seq")), Seq: uint64(count("seq")),
		Type: rapid.SampledFrom(append(timeline.Types(), timeline.TaskProgress, timeline.TaskHeartbeat)).Draw(t, "type"),
		Task: timeline.Task{
			Namespace: text("namespace"), ID: text("task"), Type: text("task_type"), Queue: text("queue"), Runner: text("runner"),
			Agent: text("agent"), Provider: text("provider"), UserID: text("user"), Amount: text("amount"), Currency: text("currency"),
			Input: genPayload.Draw(t, "input"), Output: genPayload.Draw(t, "output"), Metadata: genMap.Draw(t, "metadata"),
			MaxAttempts: count("max"),
		},
		Run: count("run"), Attempt: count("attempt"), Attempts: count("attempts"),
		OccurredAt: genTime.Draw(t, "occurred"), IngestedAt: genTime.Draw(t, "ingested"),
		Duration: genMillis.Draw(t, "duration"), Reason: timeline.FailureReason(text("reason")), StopProof: text("proof"),
		Attributes: genMap.Draw(t, "attributes"),
	}
	copy(e.TraceID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
	copy(e.SpanID[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
	e.Severity = e.Type.Severity()
	if e.Type != timeline.Tombstone {
		e.Run = max(e.Run, 1)
	}
	switch e.Type {
	case timeline.AttemptStarted, timeline.AttemptSuccess, timeline.AttemptFailed, timeline.AttemptAborted:
		e.Attempt = max(e.Attempt, 1)
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = e.IngestedAt
	}
	e.Error = maybe(t, "error", func() timeline.Error {
		return timeline.Error{Class: timeline.ErrorClass(text("class")), Kind: text("kind"), Message: text("message"), Code: text("code"),
			HTTPStatus: count("status"), Fingerprint: text("fingerprint"), Stack: text("stack")}
	})
	e.Policy = maybe(t, "policy", func() timeline.Policy {
		return timeline.Policy{MaxAttempts: count("m"), Base: genMillis.Draw(t, "b"), Cap: genMillis.Draw(t, "c"), Factor: genFloat.Draw(t, "f"),
			Jitter: genFloat.Draw(t, "j"), Timeout: genMillis.Draw(t, "t"), BreakerFailureRate: genFloat.Draw(t, "r"),
			BreakerMinCalls: count("mc"), BreakerConsecutive: count("cf"), BreakerOpenFor: genMillis.Draw(t, "o")}
	})
	e.Retry = maybe(t, "retry", func() timeline.Retry {
		return timeline.Retry{NextAttempt: count("n"), Delay: genMillis.Draw(t, "d"), Reason: timeline.RetryReason(text("r")), Base: genMillis.Draw(t, "b"),
			Factor: genFloat.Draw(t, "f"), Cap: genMillis.Draw(t, "c"), Jitter: genFloat.Draw(t, "j"), CommandID: genID.Draw(t, "cmd")}
	})
	e.Breaker = maybe(t, "breaker", func() timeline.Breaker {
		return timeline.Breaker{Provider: text("p"), State: timeline.BreakerState(text("s")), Why: text("w"), Calls: count("c"), Failures: count("f"),
			SlowCalls: count("sc"), Consecutive: count("cf"), OpenUntil: genTime.Draw(t, "u")}
	})
	e.DeadLetter = maybe(t, "dead_letter", func() timeline.DeadLetterRef {
		return timeline.DeadLetterRef{ID: genID.Draw(t, "i"), AlertSeverity: timeline.AlertSeverity(rapid.IntRange(0, 3).Draw(t, "a")),
			Requeueable: rapid.Bool().Draw(t, "q"), AutoRecover: rapid.Bool().Draw(t, "r"), NotReplayable: text("n"), KeptInput: rapid.Bool().Draw(t, "k"),
			Sealed: []byte(genPayload.Draw(t, "s")), SourceID: text("so")}
	})
	e.Operator = maybe(t, "operator", func() timeline.Operator {
		return timeline.Operator{Actor: text("a"), Reason: text("r"), CommandID: genID.Draw(t, "c"), InputBefore: text("b"), InputAfter: text("f"), InputPatch: []byte(genPayload.Draw(t, "patch")), InputEdits: rapid.IntRange(0, 9).Draw(t, "edits")}
	})
	e.Gap = maybe(t, "gap", func() timeline.Gap {
		return timeline.Gap{From: uint64(count("f")), To: uint64(count("t")), Reason: text("r")}
	})
	e.Setting = maybe(t, "setting", func() timeline.Setting {
		return timeline.Setting{Kind: text("k"), ID: text("i"), Version: uint64(count("v")), Deleted: rapid.Bool().Draw(t, "d"), Body: []byte(genPayload.Draw(t, "b"))}
	})
	e.Progress = maybe(t, "progress", func() timeline.Progress {
		return timeline.Progress{Done: genFloat.Draw(t, "d"), Total: genFloat.Draw(t, "t"), Fraction: genFloat.Draw(t, "f"), Message: text("m"), At: genTime.Draw(t, "at")}
	})
	return e
})

func TestRoundTrip(t *testing.T) {
	var rec wire.Record // one for all: what an earlier record left must not show
	rapid.Check(t, func(t *rapid.T) {
		want := genEvent.Draw(t, "event")
		b := wire.AppendLogRecord(nil, &want)
		if again := wire.AppendLogRecord(nil, &want); !bytes.Equal(b, again) {
			t.Fatal("two encodings of one event differ")
		}
		if err := wire.DecodeLogRecord(b, &rec); err != nil {
			t.Fatal(err)
		}
		var got timeline.Event
		rec.Event(&got)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %s\nwant %s", dump(got), dump(want))
		}
	})
}

// An event whose run was encoded once for all its events is the same event.
func TestRoundTripOfAnEventOfARun(t *testing.T) {
	var rec wire.Record
	rapid.Check(t, func(t *rapid.T) {
		want := genEvent.Draw(t, "event")
		run := wire.AppendRunFields(nil, &want)
		bare := want // what the run carries need not stand in the event
		bare.SourceID, bare.Run, bare.Task = "", 0, timeline.Task{Input: want.Input, Output: want.Output}
		for _, e := range []*timeline.Event{&want, &bare} {
			if err := wire.DecodeLogRecord(wire.AppendLogRecordOf(nil, run, e), &rec); err != nil {
				t.Fatal(err)
			}
			var got timeline.Event
			rec.Event(&got)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %s\nwant %s", dump(got), dump(want))
			}
		}
		if want.Policy != nil {
			bare.Policy = nil
			run = wire.AppendPolicy(run, want.Policy)
		}
		if err := wire.DecodeLogRecord(wire.AppendLogRecordOf(nil, run, &bare), &rec); err != nil {
			t.Fatal(err)
		}
		var got timeline.Event
		if rec.Event(&got); !reflect.DeepEqual(got, want) {
			t.Fatalf("with the policy apart: got  %s\nwant %s", dump(got), dump(want))
		}
		if n, all := len(wire.AppendLogRecordOf(nil, run, &bare)), len(wire.AppendLogRecord(nil, &want)); n != all {
			t.Fatalf("%d bytes, want the %d of the whole: nothing stands twice", n, all)
		}
	})
}

func dump(e timeline.Event) string {
	s := fmt.Sprintf("%+v", e)
	for _, g := range []any{e.Error, e.Policy, e.Retry, e.Breaker, e.DeadLetter, e.Operator, e.Gap, e.Setting, e.Progress} {
		if v := reflect.ValueOf(g); !v.IsNil() {
			s += fmt.Sprintf("\n  %+v", v.Elem().Interface())
		}
	}
	return s
}

// An event keeps nothing of the buffer it was read from.
func TestEventHoldsAfterTheBufferChanged(t *testing.T) {
	want := *typical()
	want.Error = &timeline.Error{Kind: "http_503", Message: "upstream"}
	want.Metadata = map[string]string{"k": "v"}
	b := wire.AppendLogRecord(nil, &want)
	var rec wire.Record
	if err := wire.DecodeLogRecord(b, &rec); err != nil {
		t.Fatal(err)
	}
	var got timeline.Event
	rec.Event(&got)
	clear(b)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %s\nwant %s", dump(got), dump(want))
	}
}

func TestAppendLogRecordDoesNotAllocate(t *testing.T) {
	e := typical()
	e.Error = &timeline.Error{Kind: "http_503", Message: "upstream", HTTPStatus: 503}
	e.Retry = &timeline.Retry{NextAttempt: 2, Delay: timeline.Millis(time.Second), Reason: timeline.RetryBackoff}
	e.Breaker = &timeline.Breaker{State: timeline.BreakerOpen, OpenUntil: e.OccurredAt}
	e.DeadLetter = &timeline.DeadLetterRef{ID: e.ID, AlertSeverity: timeline.AlertHigh, Sealed: []byte("sealed")}
	e.Metadata = map[string]string{"b": "1", "a": "2", "c": "3"}
	e.Attributes = map[string]string{"x": "1", "y": "2"}
	e.Input = timeline.Payload(`{"to":"a@b.example"}`)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = wire.AppendLogRecord(buf[:0], e) }); n != 0 {
		t.Errorf("AppendLogRecord: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		local := *e // must stay on the stack
		buf = wire.AppendLogRecord(buf[:0], &local)
	}); n != 0 {
		t.Errorf("AppendLogRecord of a local event: %v allocations", n)
	}
	var rec wire.Record
	if n := testing.AllocsPerRun(100, func() {
		if err := wire.DecodeLogRecord(buf, &rec); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("DecodeLogRecord: %v allocations", n)
	}
}

func TestTextThatIsNotUTF8IsReplaced(t *testing.T) {
	e := typical()
	e.Error = &timeline.Error{Kind: "_OTHER", Message: "bad \xff byte"}
	e.Metadata = map[string]string{"k": "\xfe"}
	e.Input = timeline.Payload("\xff\x00raw")
	req := wire.AppendExportRequest(nil, wire.Resource{}, [][]byte{wire.AppendLogRecord(nil, e)})
	report, err := wire.Check(req, wire.Limits{Now: e.OccurredAt})
	if err != nil || report.Rejected != 0 {
		t.Fatal(report.Message(), err)
	}
	var rec wire.Record
	if err := wire.DecodeLogRecord(wire.AppendLogRecord(nil, e), &rec); err != nil {
		t.Fatal(err)
	}
	if got := string(rec.Error.Message); got != "bad \uFFFD byte" {
		t.Errorf("message %q", got)
	}
	if got := string(rec.Input); got != "\xff\x00raw" {
		t.Errorf("input %q", got)
	}
}

func TestAttributesOfTheVocabularyCannotBeForged(t *testing.T) {
	e := typical()
	e.Attributes = map[string]string{"task.id": "other", "event.name": "task_failed", "task.metadata.k": "v", "exception.type": "x", "mine": "kept"}
	var rec wire.Record
	if err := wire.DecodeLogRecord(wire.AppendLogRecord(nil, e), &rec); err != nil {
		t.Fatal(err)
	}
	var got timeline.Event
	rec.Event(&got)
	if got.Task.ID != e.Task.ID || got.Type != e.Type || got.Metadata != nil || got.Error != nil || len(got.Attributes) != 1 || got.Attributes["mine"] != "kept" {
		t.Errorf("%s", dump(got))
	}
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	e := typical()
	e.Error = &timeline.Error{Kind: "x", Message: strings.Repeat("ä", timeline.MaxMessageBytes), Code: strings.Repeat("€", 100)}
	var rec wire.Record
	if err := wire.DecodeLogRecord(wire.AppendLogRecord(nil, e), &rec); err != nil {
		t.Fatal(err)
	}
	if n := len(rec.Error.Message); n != timeline.MaxMessageBytes {
		t.Errorf("message of %d bytes", n)
	}
	if n := len(rec.Error.Code); n != 255 { // 85 characters of three bytes
		t.Errorf("code of %d bytes", n)
	}
	if !utf8.Valid(rec.Error.Message) || !utf8.Valid(rec.Error.Code) {
		t.Error("a character was cut in two")
	}
}
