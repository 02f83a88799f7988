package wire_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// typical is an event as an agent writes most of them.
func typical() *timeline.Event {
	return &timeline.Event{
		ID:       timeline.ID{1, 0x93, 0x2f, 0xa0, 0x11, 0x22, 0x70, 1, 0x80, 2, 3, 4, 5, 6, 7, 8},
		SourceID: "0f8b6f5e-1111-4222-8333-444455556666", SourceSeq: 123456, Seq: 3,
		Type: timeline.AttemptStarted, Severity: timeline.SeverityInfo,
		Task: timeline.Task{
			Namespace: "default", ID: "01HXYZ-payment-000123", Type: "payment", Queue: "critical", Runner: "asynq",
			Agent: "billing-worker", Provider: "stripe",
		},
		Run: 1, Attempt: 1, OccurredAt: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC),
		TraceID: timeline.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SpanID:  timeline.SpanID{1, 2, 3, 4, 5, 6, 7, 8},
	}
}

// typicalRequest carries n such events.
func typicalRequest(n int) []byte {
	e := typical()
	records := make([][]byte, n)
	for i := range records {
		e.SourceSeq++
		e.ID[15]++
		records[i] = wire.AppendLogRecord(nil, e)
	}
	return wire.AppendExportRequest(nil, wire.Resource{ServiceName: "billing"}, records)
}

func BenchmarkAppendLogRecord(b *testing.B) {
	e := typical()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendLogRecord(buf[:0], e)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeLogRecord(b *testing.B) {
	buf := wire.AppendLogRecord(nil, typical())
	var rec wire.Record
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.DecodeLogRecord(buf, &rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	const n = 1000
	req := typicalRequest(n)
	lim := wire.Limits{Now: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	b.SetBytes(int64(len(req)))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := wire.Check(req, lim); err != nil || r.Accepted != n {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
}

func BenchmarkScanFrame(b *testing.B) {
	const n = 1000
	frame := wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Unix(1, 0)}, typicalRequest(n))
	var rec wire.Record
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		seen := 0
		err := wire.ScanFrame(frame, &rec, func(*wire.Record) error { seen++; return nil })
		if err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
}
