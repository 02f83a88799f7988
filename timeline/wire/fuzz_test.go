package wire_test

import (
	"bytes"
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
	})
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
