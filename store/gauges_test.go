package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The gauges count as Health does, and split what it counts.
func TestGaugesAgreeWithHealth(t *testing.T) {
	s := open(t)
	write(t, s, flatten(everyLife(t))...)
	for i := range 3 {
		e := timeline.Event{
			ID: timeline.DeriveID("waits", fmt.Sprint(i)), Type: timeline.TaskCreated, Run: 1, OccurredAt: start,
			Task: timeline.Task{Namespace: "default", ID: fmt.Sprint("waits-", i), Type: "payment", Queue: fmt.Sprint("q", i%2)},
		}
		write(t, s, e)
	}
	h, err := s.Health(t.Context(), readmodel.Scope{Namespace: "default"}, 24*365*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	all := []readmodel.Facet{readmodel.ByType, readmodel.ByQueue, readmodel.ByProvider, readmodel.ByAgent, readmodel.ByUser}
	for _, by := range [][]readmodel.Facet{nil, {readmodel.ByQueue}, all} {
		letters, err := s.PendingLetters(t.Context(), by...)
		if err != nil {
			t.Fatal(err)
		}
		pending, err := s.PendingTasks(t.Context(), by...)
		if err != nil {
			t.Fatal(err)
		}
		var nl, np int64
		for _, g := range letters {
			nl += g.Count
			if g.Oldest.Before(h.OldestDeadLetterAt) || len(by) > 0 && g.Queue == "" {
				t.Errorf("letters %+v", g)
			}
		}
		for _, g := range pending {
			np += g.Count
		}
		if nl != h.DeadLetters || np != h.Tasks[timeline.StatePending] || nl == 0 || np == 0 {
			t.Errorf("by %v: %d letters, %d pending; health says %d and %d", by, nl, np, h.DeadLetters, h.Tasks[timeline.StatePending])
		}
	}
	if _, err := s.PendingTasks(t.Context(), 99); err == nil {
		t.Error("an unknown facet was taken")
	}
}

func TestSettledRunsAndLastSeen(t *testing.T) {
	s := open(t)
	lives := everyLife(t)
	write(t, s, flatten(lives)...)
	var ids []string
	want := map[string]int{}
	var fingerprint string
	var seen time.Time
	for id, events := range lives {
		ids = append(ids, id)
		letter, done := 0, 0
		settled := map[timeline.ID]bool{}
		for _, e := range events {
			switch e.Type {
			case timeline.MovedToDLQ:
				letter = max(letter, e.Run)
			case timeline.TaskCompleted:
				done = max(done, e.Run)
			case timeline.DLQDiscarded, timeline.DLQResolved:
				settled[e.DeadLetter.ID] = true
			case timeline.AttemptFailed:
				if e.Error.Fingerprint != "" && (fingerprint == "" || fingerprint == e.Error.Fingerprint) {
					fingerprint = e.Error.Fingerprint
					if e.OccurredAt.After(seen) {
						seen = e.OccurredAt
					}
				}
			}
		}
		if done > 0 && done >= letter || letter > 0 && settled[timeline.DeadLetterID("default", id, letter)] {
			want[id] = max(done, letter)
		}
	}
	got, err := s.SettledRuns(t.Context(), "default", ids)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || len(got) == 0 || len(got) == len(ids) {
		t.Errorf("got %v\nwant %v, %v", got, want, err)
	}
	if fingerprint == "" {
		t.Fatal("no life has a fingerprint")
	}
	for before, want := range map[time.Time]time.Time{seen.Add(time.Second): seen, start.Add(-time.Hour): {}} {
		if got, err := s.ErrorLastSeen(t.Context(), "default", fingerprint, before); err != nil || !got.Equal(want) {
			t.Errorf("before %v: %v %v, want %v", before, got, err, want)
		}
	}
}

func TestReplayGivesTheEventsInTheirOrder(t *testing.T) {
	s := open(t)
	all := flatten(everyLife(t))
	write(t, s, all...)
	types := []timeline.Type{timeline.TaskFailed, timeline.TaskCompleted, timeline.MovedToDLQ}
	want := map[timeline.ID]bool{}
	for _, e := range all {
		for _, typ := range types {
			if e.Type == typ {
				want[e.ID] = true
			}
		}
	}
	var last int64
	n := 0
	err := s.Replay(t.Context(), start.Add(-48*time.Hour), start.Add(48*time.Hour), types, func(r *wire.Record) error {
		if !want[r.ID] || r.OccurredAt < last || string(r.Namespace) != "default" || len(r.TaskID) == 0 {
			t.Errorf("%v %s at %d", r.Type, r.TaskID, r.OccurredAt)
		}
		last = r.OccurredAt
		n++
		return nil
	})
	if err != nil || n != len(want) || n == 0 {
		t.Errorf("%d of %d events: %v", n, len(want), err)
	}
	n = 0
	if err := s.Replay(t.Context(), start.Add(-48*time.Hour), start.Add(-24*time.Hour), types, func(*wire.Record) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("%d events of another time: %v", n, err)
	}
}
