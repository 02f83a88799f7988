package wire_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// scan gives the events of a frame.
func scan(t testing.TB, env wire.Envelope, request []byte) []timeline.Event {
	t.Helper()
	var rec wire.Record
	var out []timeline.Event
	err := wire.ScanFrame(wire.AppendFrame(nil, env, request), &rec, func(r *wire.Record) error {
		var e timeline.Event
		r.Event(&e)
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Skipped != 0 {
		t.Fatalf("%d records were passed over", rec.Skipped)
	}
	return out
}

// one gives the first event of a request that pdata wrote.
func one(t testing.TB, env wire.Envelope, fill func(plog.LogRecord)) timeline.Event {
	t.Helper()
	req := foreignRequest(t, fill)
	if report, err := wire.Check(req, wire.Limits{Now: checkedAt}); err != nil || report.Rejected != 0 {
		t.Fatal(report.Message(), err)
	}
	events := scan(t, env, req)
	if len(events) == 0 {
		t.Fatal("no event")
	}
	return events[0]
}

func TestFrameRoundTrip(t *testing.T) {
	for _, env := range []wire.Envelope{
		{IngestedAt: checkedAt, Namespace: "acme", AnyNamespace: true},
		{IngestedAt: checkedAt, Namespace: timeline.DefaultNamespace},
		{Namespace: string(make([]byte, 200))},
	} {
		got, req, err := wire.DecodeFrame(wire.AppendFrame([]byte(nil), env, []byte("request")))
		if err != nil || got != env || string(req) != "request" {
			t.Errorf("%+v: got %+v, %q, %v", env, got, req, err)
		}
	}
}

func TestNamespaceComesFromTheEnvelope(t *testing.T) {
	f := func(env wire.Envelope, named, want string) {
		t.Helper()
		got := one(t, env, func(lr plog.LogRecord) {
			started(lr)
			if named != "" {
				lr.Attributes().PutStr("task.namespace", named)
			}
		})
		if got.Namespace != want {
			t.Errorf("%+v, record names %q: namespace %q, want %q", env, named, got.Namespace, want)
		}
	}
	f(wire.Envelope{}, "", "default")
	f(wire.Envelope{}, "other", "default")
	f(wire.Envelope{Namespace: "acme"}, "other", "acme")
	f(wire.Envelope{Namespace: "acme", AnyNamespace: true}, "other", "other")
	f(wire.Envelope{Namespace: "acme", AnyNamespace: true}, "", "acme")
}

func TestDefaultsOfForeignRecords(t *testing.T) {
	env := wire.Envelope{IngestedAt: checkedAt}
	e := one(t, env, started)
	if e.Run != 1 || e.Attempt != 1 || e.Agent != "billing-service" || e.ID.IsZero() || !e.IngestedAt.Equal(checkedAt) {
		t.Errorf("%s", dump(e))
	}
	e = one(t, env, func(lr plog.LogRecord) {
		started(lr)
		lr.SetEventName("")
		lr.Attributes().PutStr("event.name", "task_completed")
		lr.Attributes().PutStr("task.agent", "mine")
		lr.SetTimestamp(0)
		lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(checkedAt.Add(-time.Second)))
	})
	if e.Type != timeline.TaskCompleted || e.Attempt != 0 || e.Agent != "mine" || !e.OccurredAt.Equal(checkedAt.Add(-time.Second)) || len(e.Attributes) != 0 {
		t.Errorf("%s", dump(e))
	}
	e = one(t, env, func(lr plog.LogRecord) { started(lr); lr.SetTimestamp(0) })
	if !e.OccurredAt.Equal(checkedAt) {
		t.Errorf("without any time: %v", e.OccurredAt)
	}
}

func TestValuesOfOtherTypes(t *testing.T) {
	e := one(t, wire.Envelope{IngestedAt: checkedAt}, func(lr plog.LogRecord) {
		started(lr)
		lr.SetEventName("attempt_failed")
		a := lr.Attributes()
		a.PutInt("task.id", 42)
		a.PutDouble("task.amount", 0.1)
		a.PutStr("task.run", "2")
		a.PutDouble("task.attempt", 3)
		a.PutInt("task.duration_ms", 1500)
		a.PutStr("http.response.status_code", "503")
		m := a.PutEmptyMap("task.input")
		m.PutStr("to", "a@b.example")
		m.PutEmptySlice("list").AppendEmpty().SetInt(1)
		a.PutEmptyMap("task.metadata").PutInt("n", 7)
		a.PutStr("task.metadata.k", "v")
		a.PutEmptySlice("free.list").AppendEmpty().SetBool(true)
		a.PutInt("free.int", -5)
		a.PutStr("exception.message", "boom")
		a.PutStr("exception.stacktrace", "main.go:1")
	})
	switch {
	case e.Task.ID != "42", e.Amount != "0.1", e.Run != 2, e.Attempt != 3, e.Duration.Duration() != 1500*time.Millisecond:
		t.Errorf("%s", dump(e))
	case e.Error == nil || e.Error.HTTPStatus != 503 || e.Error.Message != "boom" || e.Error.Stack != "main.go:1":
		t.Errorf("error %+v", e.Error)
	case string(e.Input) != `{"to":"a@b.example","list":[1]}`:
		t.Errorf("input %s", e.Input)
	case fmt.Sprint(e.Metadata) != "map[k:v n:7]", fmt.Sprint(e.Attributes) != "map[free.int:-5 free.list:[true]]":
		t.Errorf("metadata %v, attributes %v", e.Metadata, e.Attributes)
	}
}

// The status of a successful response does not make an error of a success.
func TestStatusOfASuccess(t *testing.T) {
	e := one(t, wire.Envelope{}, func(lr plog.LogRecord) {
		started(lr)
		lr.SetEventName("attempt_success")
		lr.Attributes().PutInt("http.response.status_code", 204)
	})
	if e.Error != nil || e.Attributes["http.response.status_code"] != "204" {
		t.Errorf("error %+v, attributes %v", e.Error, e.Attributes)
	}
}

func TestDerivedIDs(t *testing.T) {
	base := func(lr plog.LogRecord) {
		started(lr)
		lr.Attributes().PutStr("a", "1")
		lr.Attributes().PutStr("b", "2")
	}
	id := func(env wire.Envelope, fill func(plog.LogRecord)) timeline.ID { return one(t, env, fill).ID }
	first := id(wire.Envelope{IngestedAt: checkedAt}, base)
	if first.IsZero() {
		t.Fatal("no id")
	}
	if got := id(wire.Envelope{IngestedAt: checkedAt.Add(time.Hour)}, base); got != first {
		t.Error("sent twice, the id is another one")
	}
	if got := id(wire.Envelope{}, func(lr plog.LogRecord) {
		started(lr)
		lr.Attributes().PutStr("b", "2")
		lr.Attributes().PutStr("a", "1")
		lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(checkedAt))
		lr.Body().SetStr("a body")
	}); got != first {
		t.Error("the order of attributes, the observed time or the body changed the id")
	}
	seen := map[timeline.ID]string{first: "base"}
	for name, change := range map[string]func(plog.LogRecord){
		"attribute": func(lr plog.LogRecord) { lr.Attributes().PutStr("a", "2") },
		"time":      func(lr plog.LogRecord) { lr.SetTimestamp(lr.Timestamp() + 1) },
		"type":      func(lr plog.LogRecord) { lr.SetEventName("attempt_success") },
		"attempt":   func(lr plog.LogRecord) { lr.Attributes().PutInt("task.attempt", 2) },
		"span":      func(lr plog.LogRecord) { lr.SetSpanID([8]byte{1}) },
	} {
		got := id(wire.Envelope{}, func(lr plog.LogRecord) { base(lr); change(lr) })
		if other, dup := seen[got]; dup {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[got] = name
	}
	if got := id(wire.Envelope{Namespace: "acme"}, base); got == first {
		t.Error("two namespaces share an id")
	}
}

func TestTelemetryEventsOfAForeignSDK(t *testing.T) {
	logs := func(fill func(plog.LogRecord)) []timeline.Event {
		t.Helper()
		req := foreignRequest(t, func(lr plog.LogRecord) {
			lr.SetTimestamp(pcommon.NewTimestampFromTime(checkedAt.Add(-time.Minute)))
			lr.Attributes().PutStr("task_id", "t9")
			fill(lr)
		})
		if r, err := wire.Check(req, wire.Limits{Now: checkedAt}); err != nil || r.Rejected != 0 || r.Accepted != 1 {
			t.Fatal(r.Message(), err)
		}
		return scan(t, wire.Envelope{IngestedAt: checkedAt, Namespace: "acme"}, req)
	}

	got := logs(func(lr plog.LogRecord) { lr.SetEventName("agent_marketplace.task.started") })
	if len(got) != 1 || got[0].Type != timeline.TaskStarted || got[0].Task.ID != "t9" || got[0].Run != 1 || len(got[0].Attributes) != 0 {
		t.Errorf("started: %+v", got)
	}

	got = logs(func(lr plog.LogRecord) {
		lr.SetEventName("shop.task.completed")
		lr.Attributes().PutInt("duration_ms", 250)
		lr.Attributes().PutInt("attempts", 2)
		lr.Attributes().PutStr("task.output", "{}")
	})
	if len(got) != 1 || got[0].Type != timeline.TaskCompleted || got[0].Duration.Duration() != 250*time.Millisecond || got[0].Attempts != 2 || string(got[0].Output) != "{}" {
		t.Errorf("completed: %+v", got)
	}

	got = logs(func(lr plog.LogRecord) {
		lr.SetEventName("agent_marketplace.task.failed")
		lr.Attributes().PutStr("reason", "deadline")
		lr.Attributes().PutInt("retry_count", 4)
		lr.Attributes().PutStr("type", "payment")
		lr.Attributes().PutDouble("amount", 250.5)
		lr.Attributes().PutStr("currency", "usd")
		lr.Attributes().PutStr("extra", "kept")
	})
	if len(got) != 2 {
		t.Fatalf("failed gives %d events, want 2", len(got))
	}
	failed, dead := got[0], got[1]
	if failed.Type != timeline.TaskFailed || failed.Reason != timeline.FailDeadline || failed.Attempts != 5 || failed.Amount != "250.5" ||
		failed.Attributes["extra"] != "kept" || failed.Severity != timeline.SeverityError {
		t.Errorf("failed: %s", dump(failed))
	}
	if dead.Type != timeline.MovedToDLQ || dead.Severity != timeline.SeverityWarning || dead.DeadLetter == nil ||
		dead.DeadLetter.AlertSeverity != timeline.AlertCritical || dead.DeadLetter.ID != timeline.DeadLetterID("acme", "t9", 1) ||
		dead.ID != timeline.DerivedEventID("acme", "t9", 1, 0, timeline.MovedToDLQ) || dead.Reason != timeline.FailDeadline {
		t.Errorf("moved_to_dlq: %s", dump(dead))
	}
	if letters := timeline.FoldDeadLetters(got); len(letters) != 1 || letters[0].Replayable {
		t.Errorf("dead letters %+v", letters)
	}

	got = logs(func(lr plog.LogRecord) {
		lr.SetEventName("x.task.failed")
		lr.Attributes().PutStr("reason", "card was declined")
	})
	if got[0].Reason != timeline.FailExhausted || got[0].Error == nil || got[0].Error.Message != "card was declined" {
		t.Errorf("failed for a reason of its own: %s", dump(got[0]))
	}

	got = logs(func(lr plog.LogRecord) {
		lr.SetEventName("agent_marketplace.task.retry")
		lr.Attributes().PutInt("attempt", 2)
		lr.Attributes().PutStr("error", "503 from upstream")
	})
	if len(got) != 1 || got[0].Type != timeline.TaskRetried || got[0].Attempt != 2 || got[0].Retry == nil || got[0].Retry.NextAttempt != 3 ||
		got[0].Error == nil || got[0].Error.Message != "503 from upstream" {
		t.Errorf("retry: %s", dump(got[0]))
	}

	// A name that only looks like one is unknown.
	req := foreignRequest(t, func(lr plog.LogRecord) { started(lr); lr.SetEventName(".task.started") })
	if r, err := wire.Check(req, wire.Limits{Now: checkedAt}); err != nil || r.Rejected != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A foreign moved_to_dlq need not know how dead letters are named and graded.
func TestForeignDeadLetter(t *testing.T) {
	f := func(reason string, want timeline.AlertSeverity) {
		t.Helper()
		e := one(t, wire.Envelope{Namespace: "acme"}, func(lr plog.LogRecord) {
			started(lr)
			lr.SetEventName("moved_to_dlq")
			lr.Attributes().PutStr("task.type", "payment")
			if reason != "" {
				lr.Attributes().PutStr("task.failure.reason", reason)
			}
		})
		if e.DeadLetter == nil || e.DeadLetter.ID != timeline.DeadLetterID("acme", "t1", 1) || e.DeadLetter.AlertSeverity != want || e.Reason == "" {
			t.Errorf("%s: %s", reason, dump(e))
		}
	}
	f("", timeline.AlertHigh)
	f("permanent", timeline.AlertHigh)
	f("cancelled", timeline.AlertNone)
}

func TestScanFrameStopsAtTheErrorOfYield(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	var rec wire.Record
	err := wire.ScanFrame(wire.AppendFrame(nil, wire.Envelope{}, typicalRequest(5)), &rec, func(*wire.Record) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || errors.Is(err, wire.ErrCorruptFrame) || n != 2 {
		t.Errorf("error %v after %d records", err, n)
	}
}

func TestScanFramePassesOverOddRecords(t *testing.T) {
	good := wire.AppendLogRecord(nil, typical())
	nameless := wire.AppendLogRecord(nil, &timeline.Event{Type: timeline.TaskStarted})
	req := wire.AppendExportRequest(nil, wire.Resource{}, [][]byte{good, {0x32, 5}, nameless, good})
	var rec wire.Record
	n := 0
	if err := wire.ScanFrame(wire.AppendFrame(nil, wire.Envelope{}, req), &rec, func(*wire.Record) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if n != 2 || rec.Skipped != 2 {
		t.Errorf("%d records, %d skipped", n, rec.Skipped)
	}
}

func TestScanFrameRefusesCorruptFrames(t *testing.T) {
	frame := wire.AppendFrame(nil, wire.Envelope{Namespace: "acme"}, typicalRequest(1))
	bad := map[string][]byte{"empty": nil, "short": frame[:9], "version": append([]byte{9}, frame[1:]...), "flags": append([]byte{1, 0x80}, frame[2:]...)}
	for i, cut := range []int{11, 13, len(frame) - 1} {
		bad["cut "+strconv.Itoa(i)] = frame[:cut]
	}
	for name, b := range bad {
		var rec wire.Record
		if err := wire.ScanFrame(b, &rec, func(*wire.Record) error { return nil }); !errors.Is(err, wire.ErrCorruptFrame) {
			t.Errorf("%s: error %v, want ErrCorruptFrame", name, err)
		}
	}
}

func TestScanFrameDoesNotAllocate(t *testing.T) {
	frame := wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt}, typicalRequest(20))
	foreign := wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt}, foreignRequest(t, started))
	var rec wire.Record
	seen := 0
	yield := func(*wire.Record) error { seen++; return nil }
	if n := testing.AllocsPerRun(100, func() {
		if wire.ScanFrame(frame, &rec, yield) != nil || wire.ScanFrame(foreign, &rec, yield) != nil {
			t.Fatal("scan failed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
