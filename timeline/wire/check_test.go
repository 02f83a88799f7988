package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

var checkedAt = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)

// foreignRecord is a request with one record that pdata, and not our encoder,
// wrote.
func foreignRequest(t testing.TB, fill func(plog.LogRecord)) []byte {
	t.Helper()
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "billing-service")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("some/library")
	fill(sl.LogRecords().AppendEmpty())
	b, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func started(lr plog.LogRecord) {
	lr.SetEventName("attempt_started")
	lr.SetTimestamp(pcommon.NewTimestampFromTime(checkedAt.Add(-time.Minute)))
	lr.Attributes().PutStr("task.id", "t1")
}

func TestCheckRefuses(t *testing.T) {
	f := func(name, field, want string, change func(plog.LogRecord)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			req := foreignRequest(t, func(lr plog.LogRecord) { started(lr); change(lr) })
			report, err := wire.Check(req, wire.Limits{Now: checkedAt})
			if err != nil {
				t.Fatal(err)
			}
			if report.Rejected != 1 || report.Accepted != 0 || len(report.Reasons) != 1 {
				t.Fatalf("report %+v", report)
			}
			got := report.Reasons[0]
			if got.Field != field || !strings.Contains(got.Want, want) {
				t.Errorf("%s: %s; want %s: …%s…", got.Field, got.Want, field, want)
			}
			if !strings.Contains(report.Message(), field) {
				t.Errorf("message %q does not name the field", report.Message())
			}
		})
	}
	str := func(k, v string) func(plog.LogRecord) {
		return func(lr plog.LogRecord) { lr.Attributes().PutStr(k, v) }
	}
	num := func(k string, v int64) func(plog.LogRecord) {
		return func(lr plog.LogRecord) { lr.Attributes().PutInt(k, v) }
	}
	f("unknown event", "event_name", "user_logged_in", func(lr plog.LogRecord) { lr.SetEventName("user_logged_in") })
	f("no name", "event_name", "must name", func(lr plog.LogRecord) { lr.SetEventName("") })
	f("no task", "task.id", "empty", func(lr plog.LogRecord) { lr.Attributes().Remove("task.id") })
	f("long task", "task.id", "10000 bytes, the limit is 255", str("task.id", strings.Repeat("x", 10_000)))
	f("task not UTF-8", "task.id", "UTF-8", str("task.id", "a\xff"))
	f("task with NUL", "task.id", "NUL", str("task.id", "a\x00b"))
	f("task is a list", "task.id", "want a string, got a list", func(lr plog.LogRecord) { lr.Attributes().PutEmptySlice("task.id") })
	f("queue with NUL", "task.queue", "NUL", str("task.queue", "\x00"))
	f("long user", "task.user_id", "limit is 255", str("task.user_id", strings.Repeat("ä", 200)))
	f("amount", "task.amount", "decimal", str("task.amount", "12,50"))
	f("amount with exponent", "task.amount", "decimal", str("task.amount", "1e9"))
	f("amount not a number", "task.amount", "decimal", func(lr plog.LogRecord) { lr.Attributes().PutDouble("task.amount", 1e300) })
	f("run 0 is the default, -1 not", "task.run", "limits are 1", num("task.run", -1))
	f("run", "task.run", "1000000", num("task.run", 1_000_001))
	f("run text", "task.run", `want an integer, got the string "first"`, str("task.run", "first"))
	f("run half", "task.run", "want an integer, got the number 1.5", func(lr plog.LogRecord) { lr.Attributes().PutDouble("task.run", 1.5) })
	f("attempt", "task.attempt", "limits are 0", num("task.attempt", -3))
	f("event id", "event.id", "UUID", str("event.id", "42"))
	f("source seq", "source.seq", "not negative", num("source.seq", -1))
	f("message not UTF-8", "error.message", "UTF-8", str("error.message", "\xc3\x28"))
	f("input", "task.input", "the limit is 524288", str("task.input", strings.Repeat("x", 2*timeline.MaxPayloadBytes+1)))
	f("record", "log_record", "the limit is 1048576", str("blob", strings.Repeat("x", 1<<20)))
	f("too old", "time_unix_nano", "1970", func(lr plog.LogRecord) { lr.SetTimestamp(1) })
	f("too new", "time_unix_nano", "24h0m0s", func(lr plog.LogRecord) {
		lr.SetTimestamp(pcommon.NewTimestampFromTime(checkedAt.Add(25 * time.Hour)))
	})
	f("time beyond int64", "time_unix_nano", "", func(lr plog.LogRecord) { lr.SetTimestamp(1 << 63) })
	f("metadata value", "task.metadata.k", "limit is 4096", str("task.metadata.k", strings.Repeat("x", 4097)))
	f("metadata pairs", "task.metadata", "65 pairs, the limit is 64", func(lr plog.LogRecord) {
		m := lr.Attributes().PutEmptyMap("task.metadata")
		for i := range 65 {
			m.PutStr(strings.Repeat("k", i+1), "v")
		}
	})
	f("metadata no map", "task.metadata", "want a map", str("task.metadata", "v"))
	f("tombstone without a range", "gap.from_seq", "range", func(lr plog.LogRecord) { lr.SetEventName("tombstone") })
	f("key not UTF-8", "attributes", "UTF-8", str("a\xff", "v"))
	f("value not UTF-8", "free", "UTF-8", str("free", "\xff"))
	f("duration", "task.duration_ms", "292 years", num("task.duration_ms", 1<<62))
}

func TestCheckKeepsTheGoodOnes(t *testing.T) {
	logs := plog.NewLogs()
	for r := range 3 {
		rl := logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt("r", int64(r))
		rl.SetSchemaUrl("https://example.com/schema")
		for range 2 {
			sl := rl.ScopeLogs().AppendEmpty()
			sl.Scope().SetName("lib")
			for i := range 4 {
				lr := sl.LogRecords().AppendEmpty()
				started(lr)
				if i%2 == 1 || r == 1 {
					lr.Attributes().PutStr("task.id", "")
				}
			}
		}
	}
	req, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(req)
	report, err := wire.Check(req, wire.Limits{Now: checkedAt, MaxReasons: 3})
	if err != nil {
		t.Fatal(err)
	}
	if report.Accepted != 8 || report.Rejected != 16 || len(report.Reasons) != 3 {
		t.Fatalf("accepted %d, rejected %d, reasons %v", report.Accepted, report.Rejected, report.Reasons)
	}
	if got := report.Reasons[0].Index; got != 1 {
		t.Errorf("first refused record is %d, want 1", got)
	}
	if !strings.HasSuffix(report.Message(), "and 13 more") {
		t.Errorf("message %q", report.Message())
	}
	if !bytes.Equal(req, before) {
		t.Error("the request was changed in place")
	}
	// Another implementation must be able to read what is left.
	clean := plogotlp.NewExportRequest()
	if err := clean.UnmarshalProto(report.Clean); err != nil {
		t.Fatal(err)
	}
	if n := clean.Logs().LogRecordCount(); n != 8 {
		t.Errorf("%d records left, want 8", n)
	}
	if got := clean.Logs().ResourceLogs().At(2).SchemaUrl(); got == "" {
		t.Error("the schema url was lost")
	}
	again, err := wire.Check(report.Clean, wire.Limits{Now: checkedAt})
	if err != nil || again.Rejected != 0 || again.Accepted != 8 {
		t.Fatalf("second check: %+v, %v", again, err)
	}
}

func TestCheckRefusesWholeRequests(t *testing.T) {
	good := typicalRequest(2)
	for name, b := range map[string][]byte{
		"text":      []byte("hello, world"),
		"truncated": good[:len(good)-3],
		"json":      []byte(`{"resourceLogs":[]}`),
		"wire type": {0x08, 0x01},
		"length":    {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
	} {
		if _, err := wire.Check(b, wire.Limits{}); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
	if r, err := wire.Check(nil, wire.Limits{}); err != nil || r.Accepted != 0 {
		t.Errorf("an empty request: %+v, %v", r, err)
	}
}

func TestCheckRefusesOneMalformedRecord(t *testing.T) {
	good := wire.AppendLogRecord(nil, typical())
	req := wire.AppendExportRequest(nil, wire.Resource{}, [][]byte{good, {0x32, 0x05, 1}, good})
	report, err := wire.Check(req, wire.Limits{Now: checkedAt})
	if err != nil || report.Accepted != 2 || report.Rejected != 1 || report.Reasons[0].Index != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	req := typicalRequest(20)
	if n := testing.AllocsPerRun(100, func() {
		r, err := wire.Check(req, wire.Limits{Now: checkedAt})
		if err != nil || r.Accepted != 20 || &r.Clean[0] != &req[0] {
			t.Fatal(r, err)
		}
	}); n >= 1 { // the pool may be emptied once in between
		t.Errorf("%v allocations", n)
	}
}

func TestCheckCounts(t *testing.T) {
	logs := plog.NewLogs()
	own := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	own.Scope().SetName(wire.AgentScope)
	own.LogRecords().AppendEmpty().SetEventName("agent_marketplace.task.started")
	started(own.LogRecords().AppendEmpty())
	live := own.LogRecords().AppendEmpty()
	started(live)
	live.SetEventName("task_progress")
	live.Attributes().PutDouble("task.progress", 0.5)
	many := own.LogRecords().AppendEmpty()
	started(many)
	for i := range timeline.MaxAttributePairs + 7 {
		many.Attributes().PutStr(strings.Repeat("a", i+1), "v")
	}
	req, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	report, err := wire.Check(req, wire.Limits{Now: checkedAt})
	if err != nil || report.Accepted != 4 || report.Telemetry != 1 || report.Live != 1 || report.Excess != 7 {
		t.Fatalf("%+v, %v", report, err)
	}
	frame := wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt}, report.Clean)
	var stored, published []timeline.Type
	var rec wire.Record
	if err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error { stored = append(stored, r.Type); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := wire.ScanLive(frame, &rec, func(r *wire.Record) error { published = append(published, r.Type); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(stored, []timeline.Type{timeline.AttemptStarted, timeline.AttemptStarted}) || !slices.Equal(published, []timeline.Type{timeline.TaskProgress}) {
		t.Errorf("stored %v, published %v", stored, published)
	}
}

// A setting names no task, but what it sets.
func TestCheckSettings(t *testing.T) {
	set := func(change func(*timeline.Setting)) []byte {
		s := timeline.Setting{Kind: "silence", ID: "a", Version: 1, Body: []byte(`{}`)}
		change(&s)
		e := timeline.NewSettingEvent("", s, timeline.Operator{Actor: "ada"}, time.Now())
		return wire.AppendExportRequest(nil, wire.Resource{}, [][]byte{wire.AppendLogRecord(nil, &e)})
	}
	for field, change := range map[string]func(*timeline.Setting){
		"":                      func(*timeline.Setting) {},
		wire.AttrSettingKind:    func(s *timeline.Setting) { s.Kind = "" },
		wire.AttrSettingID:      func(s *timeline.Setting) { s.ID = "" },
		wire.AttrSettingVersion: func(s *timeline.Setting) { s.Version = 0 },
		wire.AttrSettingBody:    func(s *timeline.Setting) { s.Body = []byte(`{`) },
	} {
		report, err := wire.Check(set(change), wire.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if field == "" {
			if report.Accepted != 1 {
				t.Errorf("a good setting: %s", report.Message())
			}
			continue
		}
		if report.Rejected != 1 || report.Reasons[0].Field != field {
			t.Errorf("%s: %+v", field, report)
		}
	}
	var rec wire.Record
	frame := wire.AppendFrame(nil, wire.Envelope{Namespace: "acme"}, set(func(*timeline.Setting) {}))
	n := 0
	if err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
		n++
		if r.Type != timeline.SettingChanged || string(r.Setting.ID) != "a" || string(r.Namespace) != "acme" {
			t.Errorf("%s %s %s", r.Type, r.Setting.ID, r.Namespace)
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d settings in the frame, %v", n, err)
	}
}
