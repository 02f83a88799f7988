package store_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestVerifyFindsWhatIsMissing(t *testing.T) {
	s := open(t)
	const n = 70_000 // more than one row of the ledger
	lost := func(seq uint64) bool {
		return seq == 5 || (seq >= 100 && seq <= 109) || (seq >= 65_500 && seq <= 65_600)
	}
	var all []timeline.Event
	for seq := uint64(1); seq <= n; seq++ {
		if !lost(seq) {
			all = append(all, timeline.Event{ID: ids.Next(start), Type: timeline.AttemptStarted, SourceID: "holes", SourceSeq: seq, Run: 1, Attempt: 1,
				OccurredAt: start, Task: timeline.Task{Namespace: "default", ID: fmt.Sprint(seq % 50)}})
		}
	}
	for seq := uint64(3); seq <= 12; seq++ {
		all = append(all, timeline.Event{ID: ids.Next(start), Type: timeline.AttemptStarted, SourceID: "whole", SourceSeq: seq, Run: 1, Attempt: 1,
			OccurredAt: start, Task: timeline.Task{Namespace: "other", ID: "x"}})
	}
	for i, gap := range []timeline.Gap{{From: 104, To: 106, Reason: "shed"}, {From: 105, To: 107, Reason: "refused"}, {From: 65_490, To: 65_599, Reason: "shed"}} {
		all = append(all, timeline.Event{ID: ids.Next(start), Type: timeline.Tombstone, SourceID: "holes", SourceSeq: n + 1 + uint64(i), OccurredAt: start, Gap: &gap})
	}
	for range 2 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		write(t, s, all[:len(all)/3]...)
		write(t, s, all[len(all)/3:]...)
	}
	want := []store.SourceLedger{
		{SourceID: "holes", Lowest: 1, Highest: n + 3, Events: n + 3 - 112, Excused: 4 + 100, MissingEvents: 8,
			Missing: []store.SeqRange{{From: 5, To: 5}, {From: 100, To: 103}, {From: 108, To: 109}, {From: 65_600, To: 65_600}}},
		{SourceID: "whole", Lowest: 3, Highest: 12, Events: 10},
	}
	got, err := s.Verify(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// writeAnywhere sends events of a writer that may name the namespace.
func writeAnywhere(t *testing.T, s *store.Store, events ...timeline.Event) {
	t.Helper()
	records := make([][]byte, len(events))
	for i := range events {
		records[i] = wire.AppendLogRecord(nil, &events[i])
	}
	f := wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Now(), Namespace: "default", AnyNamespace: true}, wire.AppendExportRequest(nil, wire.Resource{}, records))
	if err := s.WriteFrames(t.Context(), fmt.Sprint("anywhere-", batches.Add(1)), [][]byte{f}); err != nil {
		t.Fatal(err)
	}
}

func TestActiveTasksAndUnansweredRequests(t *testing.T) {
	s := open(t)
	script := lives(t)["cancelled_while_running"]
	asked := live(t, timeline.Task{Namespace: "a", ID: "asked"}, script[:4])
	gone := live(t, timeline.Task{Namespace: "a", ID: "gone"}, script)
	again := live(t, timeline.Task{Namespace: "b", ID: "again"}, lives(t)["manual_retry_succeeds"][:7])
	done := live(t, timeline.Task{Namespace: "c", ID: "done"}, lives(t)["success"])
	for range 2 {
		for _, events := range [][]timeline.Event{gone, asked, again, done} {
			rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			writeAnywhere(t, s, events[:len(events)/2]...)
			writeAnywhere(t, s, events[len(events)/2:]...)
		}
	}
	for range 2 {
		names, err := s.Namespaces(t.Context())
		if err != nil || fmt.Sprint(names) != "[a b c]" {
			t.Errorf("%v %v", names, err)
		}
		for ns, want := range map[string]string{"a": "asked", "b": "again", "c": ""} {
			active, err := s.ActiveTasks(t.Context(), ns, 10)
			var got string
			for i := range active {
				got += active[i].ID
			}
			if err != nil || got != want {
				t.Errorf("%s: %q %v, want %q", ns, got, err, want)
			}
		}
		cancels, err := s.UnansweredCancels(t.Context(), 0)
		if err != nil || len(cancels) != 1 || cancels[0].Task.ID != "asked" || cancels[0].Type != timeline.CancelRequested {
			t.Errorf("%v %v", cancels, err)
		}
		retries, err := s.UnansweredRetries(t.Context(), 0)
		if err != nil || len(retries) != 1 || retries[0].Task.ID != "again" {
			t.Errorf("%v %v", retries, err)
		}
		if cancels, err := s.UnansweredCancels(t.Context(), time.Hour); err != nil || len(cancels) != 0 {
			t.Errorf("%v %v", cancels, err)
		}
		s.Optimize(t)
	}
	if _, err := s.Task(t.Context(), readmodel.Scope{Namespace: "c"}, "done"); err != nil {
		t.Error(err)
	}
}
