package timeline_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestSeverityFollowsFromTheType(t *testing.T) {
	want := map[string]string{
		"task_created": "info", "task_started": "info", "attempt_started": "info", "attempt_success": "info", "attempt_failed": "error",
		"task_retried": "info", "circuit_breaker_opened": "critical", "task_failed": "error", "moved_to_dlq": "warning", "task_completed": "info",
		"task_cancelled": "warning", "cancel_requested": "info", "cancel_ignored": "warning", "attempt_aborted": "warning", "circuit_breaker_half_opened": "info",
		"circuit_breaker_closed": "info", "dlq_retry_requested": "info", "dlq_resolved": "info", "dlq_discarded": "warning", "task_lost": "error",
		"tombstone": "warning", "setting_changed": "info",
	}
	for _, typ := range timeline.Types() {
		if got := typ.Severity().String(); got != want[typ.String()] {
			t.Errorf("%s: %s, want %q", typ, got, want[typ.String()])
		}
		delete(want, typ.String())
	}
	if len(want) != 0 {
		t.Errorf("missing types %v", want)
	}
}

func TestTypesAreReadAsTheyAreWritten(t *testing.T) {
	for _, typ := range append(timeline.Types(), timeline.TaskProgress, timeline.TaskHeartbeat) {
		b, err := typ.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got timeline.Type
		if err := got.UnmarshalText(b); err != nil || got != typ {
			t.Errorf("%s: %v, %v", typ, got, err)
		}
		if typ.Live() != slices.Contains([]string{"task_progress", "task_heartbeat"}, typ.String()) {
			t.Errorf("%s: live is %v", typ, typ.Live())
		}
	}
	for _, bad := range []string{"", "unknown", "Task_Created", "task_created "} {
		if _, ok := timeline.ParseType(bad); ok {
			t.Errorf("%q is a type", bad)
		}
	}
	if got := timeline.Type(200).String(); got != "unknown" {
		t.Errorf("a number beyond the vocabulary is %q", got)
	}
}

func TestClassify(t *testing.T) {
	f := func(taskType, amount, currency, want string) {
		t.Helper()
		if got := timeline.DefaultThresholds().Classify(taskType, amount, currency).String(); got != want {
			t.Errorf("%s %s %s: %s, want %s", taskType, amount, currency, got, want)
		}
	}
	f("send_email", "", "", "medium")
	f("send_email", "99.99", "USD", "medium")
	f("send_email", "100", "USD", "critical")
	f("send_email", "100.00", "usd", "critical")
	f("payment", "99.999", "USD", "high")
	f("withdrawal", "", "", "high")
	f("payment.card", "", "", "high")
	f("payment_capture", "", "", "high")
	f("card_payment", "", "", "high")
	f("bank_withdrawal", "", "", "high")
	f("withdrawal.sepa", "", "", "high")
	f("payments", "", "", "medium")
	f("repayment", "", "", "medium")
	f("payment-x", "", "", "medium")
	f("x", "100", "XXX", "critical") // an unknown currency counts like USD
	f("x", "99", "XXX", "medium")
	f("x", "100", "", "critical")
	f("x", "14999", "JPY", "medium")
	f("x", "15000", "JPY", "critical")
	f("x", "1e9", "USD", "medium") // not a decimal number: counts as none
	f("payment", "NaN", "USD", "high")
	f("x", strings.Repeat("9", 41), "USD", "medium")
	f("x", "-500", "USD", "medium")
	f("x", "100000000000000000000000.01", "USD", "critical")
}

func TestClassifyWithOtherThresholds(t *testing.T) {
	th := timeline.Thresholds{"EUR": "5", "BAD": "lots"}
	for _, c := range []struct{ amount, currency, want string }{
		{"5", "EUR", "critical"}, {"4.99", "EUR", "medium"}, {"100", "USD", "critical"}, {"99", "USD", "medium"}, {"1000", "BAD", "medium"},
	} {
		if got := th.Classify("x", c.amount, c.currency).String(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.amount, c.currency, got, c.want)
		}
	}
}

func TestIsDecimal(t *testing.T) {
	for s, want := range map[string]bool{
		"0": true, "12.50": true, "-1": true, "+1": true, ".5": true, "5.": true,
		"": false, ".": false, "-": false, "1.2.3": false, "1e3": false, "1,5": false, " 1": false, "0x1": false, "1-": false, "١": false,
		strings.Repeat("1", 40): true, strings.Repeat("1", 41): false,
	} {
		if got := timeline.IsDecimal(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
		if got := timeline.IsDecimal([]byte(s)); got != want {
			t.Errorf("%q as bytes: %v", s, got)
		}
	}
}

func TestIDsRiseWithinAGenerator(t *testing.T) {
	var g timeline.IDGenerator
	now := time.UnixMilli(1_770_000_000_000)
	last := g.Next(now)
	for i := range 20_000 {
		switch i % 3 {
		case 0:
			now = now.Add(-time.Second) // the clock goes back
		case 1:
			now = now.Add(time.Second)
		}
		id := g.Next(now)
		if slices.Compare(last[:], id[:]) >= 0 {
			t.Fatalf("%s does not rise above %s", id, last)
		}
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%s is not a version 7 UUID", id)
		}
		last = id
	}
	var fresh timeline.IDGenerator
	id := fresh.Next(now)
	if ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5]); ms != now.UnixMilli() {
		t.Errorf("%s carries %d ms, want %d", id, ms, now.UnixMilli())
	}
}

func TestIDsAreUniqueAmongGoroutines(t *testing.T) {
	var g timeline.IDGenerator
	const n, each = 8, 2000
	ids := make([][]timeline.ID, n)
	var wg sync.WaitGroup
	now := time.UnixMilli(1)
	for i := range n {
		wg.Go(func() {
			for range each {
				ids[i] = append(ids[i], g.Next(now))
			}
		})
	}
	wg.Wait()
	seen := make(map[timeline.ID]bool, n*each)
	for _, part := range ids {
		for _, id := range part {
			if seen[id] {
				t.Fatalf("%s twice", id)
			}
			seen[id] = true
		}
	}
}

func TestDerivedIDsAreStable(t *testing.T) {
	// Other programs and stored rows hold these: they must never change.
	for got, want := range map[timeline.ID]string{
		timeline.DeadLetterID("default", "t1", 1):                           "508696af-925d-8523-8876-17330125b997",
		timeline.CommandID("default", "t1", 2):                              "dc8e774d-9aa8-8cb3-becb-1ad404974002",
		timeline.TaskAlertID("default", "t1"):                               "33b928cd-8d76-80a6-92c1-b613684ca52f",
		timeline.DerivedEventID("default", "t1", 1, 0, timeline.MovedToDLQ): "910d7c67-ec11-83ab-9e63-0003b1335742",
		timeline.DeriveID():                                                 "e3b0c442-98fc-8c14-9afb-f4c8996fb924",
		timeline.DeriveID(strings.Repeat("long ", 200), "word"):             "d688a0e6-0436-84a5-8a7b-89caab371c2d",
	} {
		if got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got[6]>>4 != 8 || got[8]>>6 != 2 {
			t.Errorf("%s is not a version 8 UUID", got)
		}
	}
	if timeline.DeriveID("ab", "c") == timeline.DeriveID("a", "bc") {
		t.Error("the border between words does not count")
	}
	if n := testing.AllocsPerRun(100, func() { timeline.DeriveID("event", "default", "task") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := timeline.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for _, s := range []string{id.String(), strings.ToUpper(id.String())} {
			if got, err := timeline.ParseID(s); err != nil || got != id {
				t.Fatalf("%s: %s, %v", s, got, err)
			}
		}
	})
	for _, bad := range []string{"", "x", "0193-2fa0", strings.Repeat("-", 36), "01932fa0+1122-7001-8002-030405060708", "g1932fa0-1122-7001-8002-030405060708"} {
		if _, err := timeline.ParseID(bad); err == nil {
			t.Errorf("%q is an id", bad)
		}
	}
}

func TestMillis(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := timeline.Millis(rapid.Int64Range(0, 1<<40).Draw(t, "us")) * timeline.Millis(time.Microsecond)
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got timeline.Millis
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Fatalf("%d: %s, %d, %v", want, b, got, err)
		}
	})
	var m timeline.Millis
	for _, bad := range []string{`"5"`, `1e300`, `-1e300`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &m); err == nil {
			t.Errorf("%s was read as %v", bad, m)
		}
	}
}

func TestEventJSON(t *testing.T) {
	events := life(t, time.Second, "r1 task_started", "r1 a1 attempt_failed", "r1 a1 task_retried", "r1 moved_to_dlq")
	events[0].Policy = &timeline.Policy{MaxAttempts: 5, Base: timeline.Millis(time.Second), Jitter: 0.25}
	events[1].Input = timeline.Payload(`{"a":[1,2]}`)
	events[1].TraceID, events[1].SpanID = timeline.TraceID{1}, timeline.SpanID{2}
	for _, want := range events {
		want.Task.Type = "" // see the comment of Event
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got timeline.Event
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", b, got, want)
		}
	}
}

func TestPayloadJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, `7`: `7`, `plain text`: `"plain text"`, "\xff": `"` + "\uFFFD" + `"`, "": `null`,
	} {
		if b, err := json.Marshal(timeline.Payload(in)); err != nil || string(b) != want {
			t.Errorf("%q: %s, %v; want %s", in, b, err, want)
		}
	}
}

func TestTaskValidate(t *testing.T) {
	ok := timeline.Task{ID: "t", Namespace: "n", Amount: "1.5", Metadata: map[string]string{"k": "v"}}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	f := func(field string, change func(*timeline.Task)) {
		t.Helper()
		task := ok
		change(&task)
		err := task.Validate()
		fieldError, is := errors.AsType[*timeline.FieldError](err)
		if !is || fieldError.Field != field || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: error %v", field, err)
		}
	}
	f("task_id", func(t *timeline.Task) { t.ID = "" })
	f("task_id", func(t *timeline.Task) { t.ID = strings.Repeat("x", 10_000) })
	f("task_id", func(t *timeline.Task) { t.ID = "\xff" })
	f("task_id", func(t *timeline.Task) { t.ID = "a\x00" })
	f("queue", func(t *timeline.Task) { t.Queue = strings.Repeat("x", 256) })
	f("user_id", func(t *timeline.Task) { t.UserID = "\xff" })
	f("amount", func(t *timeline.Task) { t.Amount = "12,50" })
	f("amount", func(t *timeline.Task) { t.Amount = strings.Repeat("1", 41) })
	f("metadata", func(t *timeline.Task) {
		t.Metadata = map[string]string{"k": strings.Repeat("x", timeline.MaxMetadataBytes+1)}
	})
	f("metadata", func(t *timeline.Task) {
		t.Metadata = map[string]string{}
		for i := range timeline.MaxMetadataPairs + 1 {
			t.Metadata[strings.Repeat("k", i+1)] = ""
		}
	})
}
