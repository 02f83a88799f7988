package otlpjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
	"github.com/tasktrail/tasktrail/timeline/wire/otlpjson"
)

const request = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]},
"scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"1772366400000000001","eventName":"attempt_failed",
"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","attributes":[
{"key":"task.id","value":{"stringValue":"t1"}},{"key":"task.attempt","value":{"intValue":"2"}},
{"key":"task.duration_ms","value":{"doubleValue":1.5}},{"key":"error.type","value":{"stringValue":"timeout"}}]}]}]}]}`

func TestToProtobuf(t *testing.T) {
	pb, err := otlpjson.ToProtobuf([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	report, err := wire.Check(pb, wire.Limits{Now: time.Unix(1772366401, 0)})
	if err != nil || report.Accepted != 1 {
		t.Fatal(report.Message(), err)
	}
	var rec wire.Record
	var e timeline.Event
	if err := wire.ScanFrame(wire.AppendFrame(nil, wire.Envelope{}, pb), &rec, func(r *wire.Record) error { r.Event(&e); return nil }); err != nil {
		t.Fatal(err)
	}
	if e.Type != timeline.AttemptFailed || e.Task.ID != "t1" || e.Attempt != 2 || e.Duration.Duration() != 1500*time.Microsecond ||
		e.Error == nil || e.Error.Kind != "timeout" || e.OccurredAt.UnixNano() != 1772366400000000001 || e.SpanID[0] != 1 || e.Agent != "web" {
		t.Errorf("%+v", e)
	}
}

func TestBothWays(t *testing.T) {
	e := timeline.Event{ID: timeline.ID{7}, Type: timeline.TaskStarted, Task: timeline.Task{ID: "t1"}, Run: 1, OccurredAt: time.Unix(1772366400, 5)}
	pb := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "web"}, [][]byte{wire.AppendLogRecord(nil, &e)})
	js, err := otlpjson.FromProtobuf(pb)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(js) || !strings.Contains(string(js), `"eventName":"task_started"`) {
		t.Errorf("json %s", js)
	}
	back, err := otlpjson.ToProtobuf(js)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := wire.Check(back, wire.Limits{Now: e.OccurredAt}); err != nil || r.Accepted != 1 {
		t.Error(r.Message(), err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := otlpjson.ToProtobuf([]byte(`{"resourceLogs":[`)); err == nil {
		t.Error("broken JSON was accepted")
	}
	if _, err := otlpjson.FromProtobuf([]byte("hello")); err == nil {
		t.Error("broken protobuf was accepted")
	}
}

func FuzzToProtobuf(f *testing.F) {
	f.Add([]byte(request))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":"a","value":{"kvlistValue":{"values":[]}}}]}]}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		pb, err := otlpjson.ToProtobuf(b)
		if err != nil {
			return
		}
		if _, err := wire.Check(pb, wire.Limits{}); err != nil {
			t.Fatalf("what came out is not readable: %v", err)
		}
	})
}
