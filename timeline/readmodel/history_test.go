package readmodel_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestHistoryOf(t *testing.T) {
	from := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	q := readmodel.HistoryQuery{From: from, To: from.Add(13 * time.Minute), Step: 5 * time.Minute}
	attempt := func(at time.Duration, kind string, took time.Duration) readmodel.HistoryRow {
		return readmodel.HistoryRow{At: from.Add(at), Type: kind, HistorySums: readmodel.HistorySums{
			Completed: 1, Attempts: 1, DurationSum: uint64(took), Durations: map[uint16]uint64{readmodel.DurationBucket(took): 1},
		}}
	}
	rows := []readmodel.HistoryRow{
		attempt(0, "mail", time.Second), attempt(4*time.Minute, "mail", 3*time.Second), attempt(4*time.Minute, "pay", time.Minute),
		{At: from.Add(12 * time.Minute), Type: "mail", HistorySums: readmodel.HistorySums{Failed: 2, DeadLetters: 1, Cancelled: 1, Lost: 1}},
	}
	h := readmodel.HistoryOf(q, rows)
	if len(h.Points) != 3 || !h.Points[2].At.Equal(from.Add(10*time.Minute)) {
		t.Fatalf("points %+v", h.Points)
	}
	if p := h.Points[0]; p.Completed != 3 || p.Execution.Count != 3 || p.FailureRate != 0 {
		t.Errorf("first point %+v", p)
	}
	if p := h.Points[1]; p.Outcomes != (readmodel.Outcomes{}) {
		t.Errorf("a step in which nothing happened: %+v", p)
	}
	if p := h.Points[2]; p.Failed != 2 || p.FailureRate != 1 || p.DeadLetters != 1 || p.Cancelled != 1 || p.Lost != 1 {
		t.Errorf("last point %+v", p)
	}
	if len(h.Types) != 2 || h.Types[0].Type != "mail" || h.Types[0].FailureRate != 0.5 || h.Types[1].Completed != 1 || h.Total.Completed != 3 {
		t.Errorf("types %+v, total %+v", h.Types, h.Total)
	}
	q.Type = "pay"
	h = readmodel.HistoryOf(q, rows)
	if h.Total.Completed != 1 || h.Points[0].Completed != 1 || h.Points[2].Failed != 0 || len(h.Types) != 2 {
		t.Errorf("of one type: %+v", h)
	}
}

// A quantile is off by half a bucket at most.
func TestBucketQuantile(t *testing.T) {
	buckets := map[uint16]uint64{}
	const n = 1000
	for i := range n {
		buckets[readmodel.DurationBucket(time.Duration(i+1)*time.Millisecond)]++
	}
	for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
		want := q * n * float64(time.Millisecond)
		if got := float64(readmodel.BucketQuantile(buckets, readmodel.DurationBuckets, n, q)); got < want*0.97 || got > want*1.03 {
			t.Errorf("quantile %v: %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
	if got := readmodel.BucketQuantile(nil, readmodel.DurationBuckets, 0, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestTaskHistory(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var ids timeline.IDGenerator
	event := func(kind timeline.Type, run int, after time.Duration) timeline.Event {
		e := timeline.Event{Type: kind, Run: run, Attempt: 1, OccurredAt: at.Add(after), Duration: timeline.Millis(time.Second)}
		e.Task = timeline.Task{Namespace: "default", ID: "t", Type: "mail"}
		e.ID = ids.Next(e.OccurredAt)
		return e
	}
	twice := event(timeline.AttemptFailed, 1, 10*time.Second)
	events := []timeline.Event{
		event(timeline.TaskCreated, 1, 0), twice, twice, event(timeline.TaskFailed, 1, 11*time.Second), event(timeline.TaskFailed, 1, 12*time.Second),
		event(timeline.MovedToDLQ, 1, 13*time.Second), event(timeline.AttemptSuccess, 2, 70*time.Second), event(timeline.TaskCompleted, 2, 71*time.Second),
		event(timeline.TaskCompleted, 3, 3*time.Minute),
	}
	q := readmodel.HistoryQuery{From: at, To: at.Add(2 * time.Minute), Step: time.Minute}
	h := readmodel.HistoryOf(q, readmodel.TaskHistory(q, events))
	if p := h.Points[0]; p.Failed != 1 || p.FailedAttempts != 1 || p.DeadLetters != 1 || p.Completed != 0 {
		t.Errorf("first minute %+v", p)
	}
	if p := h.Points[1]; p.Completed != 1 || p.Execution.Count != 1 || h.Total.Completed != 1 {
		t.Errorf("second minute %+v", p)
	}
}
