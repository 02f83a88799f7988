package wire_test

import (
	"bytes"
	"fmt"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func seedRequests(f *testing.F) [][]byte {
	f.Helper()
	full := wire.AppendLogRecord(nil, full())
	return [][]byte{
		nil,
		typicalRequest(3),
		wire.AppendExportRequest(nil, wire.Resource{ServiceName: "s"}, [][]byte{full, {0x32, 5}, full}),
		foreignRequest(f, started),
		[]byte("hello, world"),
	}
}

// FuzzCheck: what Check lets through is clean: it checks again without a fault,
// another implementation reads it, and a scan of it finds what was counted.
func FuzzCheck(f *testing.F) {
	for _, b := range seedRequests(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := wire.Limits{Now: checkedAt}
		report, err := wire.Check(b, lim)
		if err != nil {
			return
		}
		if report.Rejected > 0 != (len(report.Reasons) > 0) {
			t.Fatalf("%d refused, %d reasons", report.Rejected, len(report.Reasons))
		}
		if report.Rejected == 0 && !bytes.Equal(report.Clean, b) {
			t.Fatal("a request without a fault was rewritten")
		}
		again, err := wire.Check(report.Clean, lim)
		if err != nil || again.Rejected != 0 || again.Accepted != report.Accepted {
			t.Fatalf("first %+v, again %+v, %v", report, again, err)
		}
		var rec wire.Record
		seen := 0
		err = wire.ScanFrame(wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt}, report.Clean), &rec, func(r *wire.Record) error {
			if !r.Derived {
				seen++
			}
			if r.ID.IsZero() || len(r.TaskID) == 0 != (r.Type == timeline.Tombstone) && r.Type != timeline.Tombstone {
				t.Fatalf("a record without identity: %+v", r)
			}
			for _, text := range [][]byte{r.Namespace, r.TaskID, r.TaskType, r.Queue, r.Agent, r.Error.Message, r.Reason} {
				if !utf8.Valid(text) {
					t.Fatalf("text %q is not UTF-8", text)
				}
			}
			return nil
		})
		if err != nil || rec.Skipped != 0 || seen != report.Accepted-report.Telemetry-report.Live {
			t.Fatalf("scan: %v, %d seen, %d skipped of %+v", err, seen, rec.Skipped, report)
		}
		sameInBrief(t, wire.AppendFrame(nil, wire.Envelope{IngestedAt: checkedAt, Namespace: "acme", AnyNamespace: true}, report.Clean))
	})
}

// sameInBrief fails where ScanBrief says other things of a record than ScanFrame.
func sameInBrief(t *testing.T, frame []byte) {
	t.Helper()
	var rec wire.Record
	var want []string
	tell := func(r *wire.Record) string {
		return fmt.Sprintf("%v %v %q %d %q %q %d %d %d %d %d %v %x", r.Type, r.Severity, r.SourceID, r.Seq, r.Namespace, r.TaskID, r.Run, r.Attempt, r.Attempts,
			r.OccurredAt, r.IngestedAt, r.TraceID, r.Raw)
	}
	all := func(r *wire.Record) string {
		var e timeline.Event
		r.Event(&e)
		return string(wire.AppendLogRecord(nil, &e))
	}
	if err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error { want = append(want, tell(r), all(r)); return nil }); err != nil {
		t.Fatal(err)
	}
	i := 0
	every := wire.Types(1<<63 - 1)
	err := wire.ScanBrief(frame, every, every, &rec, func(r *wire.Record) error {
		if got := tell(r); i >= len(want) || got != want[i] {
			t.Fatalf("in brief %s, want %v", got, want[min(i, len(want)):])
		}
		r.Complete()
		if tell(r) != want[i] || all(r) != want[i+1] {
			t.Fatalf("completed %q, want %q", all(r), want[i:i+2])
		}
		i += 2
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("in brief %d of %d, %v", i/2, len(want)/2, err)
	}
}

// FuzzScanFrame: no frame makes it crash, and every record it yields can be kept.
func FuzzScanFrame(f *testing.F) {
	for _, b := range seedRequests(f) {
		f.Add(wire.AppendFrame(nil, wire.Envelope{Namespace: "acme", AnyNamespace: true}, b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec wire.Record
		keep := func(r *wire.Record) error {
			var e timeline.Event
			r.Event(&e)
			if e.Type == timeline.TypeUnknown || e.ID.IsZero() {
				t.Fatalf("%+v", e)
			}
			return nil
		}
		_ = wire.ScanFrame(b, &rec, keep)
		_ = wire.ScanLive(b, &rec, keep)
	})
}

// FuzzDecodeLogRecord: what was read is written and read again as the same event.
func FuzzDecodeLogRecord(f *testing.F) {
	f.Add(wire.AppendLogRecord(nil, typical()))
	f.Add(wire.AppendLogRecord(nil, full()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec wire.Record
		if wire.DecodeLogRecord(b, &rec) != nil || len(rec.Metadata) > 100 {
			return
		}
		var first, second timeline.Event
		rec.Event(&first)
		// A record that held another before says the same.
		var used wire.Record
		if wire.DecodeLogRecord(wire.AppendLogRecord(nil, full()), &used) != nil || wire.DecodeLogRecord(b, &used) != nil {
			t.Fatal("a used record can't be read into")
		}
		for range 2 {
			used.Event(&second)
			if dirty := wire.AppendLogRecord(nil, &second); !bytes.Equal(dirty, wire.AppendLogRecord(nil, &first)) {
				t.Fatalf("fresh %s\nused  %s", dump(first), dump(second))
			}
			if wire.DecodeLogRecord(b, &used) != nil {
				t.Fatal("it can't be read again")
			}
		}
		encoded := wire.AppendLogRecord(nil, &first)
		if err := wire.DecodeLogRecord(encoded, &rec); err != nil {
			t.Fatal(err)
		}
		rec.Event(&second)
		if again := wire.AppendLogRecord(nil, &second); !bytes.Equal(encoded, again) {
			t.Fatalf("first  %s\nsecond %s", dump(first), dump(second))
		}
	})
}

// FuzzAgainstPdata: what another implementation of OTLP accepts is never called
// malformed as a whole.
func FuzzAgainstPdata(f *testing.F) {
	for _, b := range seedRequests(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req := plogotlp.NewExportRequest()
		if req.UnmarshalProto(b) != nil {
			return
		}
		canonical, err := req.MarshalProto()
		if err != nil {
			return
		}
		report, err := wire.Check(canonical, wire.Limits{Now: checkedAt})
		if err != nil {
			t.Fatal(err)
		}
		if n := req.Logs().LogRecordCount(); report.Accepted+report.Rejected != n {
			t.Fatalf("%d records, %+v", n, report)
		}
	})
}
