package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// writeTaken is write for events that a collector took at a time.
func writeTaken(t *testing.T, s *store.Store, at time.Time, events ...timeline.Event) {
	t.Helper()
	var records [][]byte
	for i := range events {
		records = append(records, wire.AppendLogRecord(nil, &events[i]))
	}
	f := wire.AppendFrame(nil, wire.Envelope{IngestedAt: at, Namespace: events[0].Namespace}, wire.AppendExportRequest(nil, wire.Resource{}, records))
	if err := s.WriteFrames(t.Context(), fmt.Sprint("batch-", batches.Add(1)), [][]byte{f}); err != nil {
		t.Fatal(err)
	}
}

func TestHealthCountsTheRetriesThatWait(t *testing.T) {
	s := open(t)
	script := lives(t)["manual_retry_succeeds"]
	of := func(namespace, id, user string, script []string) []timeline.Event {
		return live(t, timeline.Task{Namespace: namespace, ID: id, UserID: user}, script)
	}
	first, second := of("default", "first", "ada", script[:7]), of("default", "second", "bob", script[:7])
	for i := range second { // asked for a minute earlier
		second[i].OccurredAt = second[i].OccurredAt.Add(-time.Minute)
	}
	writeTaken(t, s, start, append(append(of("default", "answered", "ada", script), first...), second...)...)
	writeTaken(t, s, start, of("other", "third", "ada", script[:7])...)
	count := func(scope readmodel.Scope, want int64, oldest time.Time) {
		t.Helper()
		for range 2 { // the second time with what the first one remembers
			h, err := s.Health(t.Context(), scope, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if h.WaitingRetries != want || !h.OldestWaitingRetryAt.Equal(oldest) {
				t.Errorf("%+v: %d since %s, want %d since %s", scope, h.WaitingRetries, h.OldestWaitingRetryAt, want, oldest)
			}
		}
	}
	count(everything, 2, second[6].OccurredAt)
	count(readmodel.Scope{Namespace: "default", UserID: "ada"}, 1, first[6].OccurredAt)
	count(readmodel.Scope{Namespace: "default", UserID: "eve"}, 0, time.Time{})
	count(readmodel.Scope{Namespace: "other"}, 1, first[6].OccurredAt)
	count(readmodel.Scope{Namespace: "none"}, 0, time.Time{})
	// It is taken: what begins its run follows the request.
	writeTaken(t, s, start, of("default", "second", "bob", script)[7:]...)
	count(everything, 1, first[6].OccurredAt)
	// One that was asked for just now is on its way.
	writeTaken(t, s, time.Now().Add(time.Minute), of("default", "fresh", "ada", script[:7])...)
	count(everything, 1, first[6].OccurredAt)
}
