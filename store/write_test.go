package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestACorruptFrameHoldsUpNobody(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	good := frame(flatten(want)...)
	for _, bad := range [][]byte{nil, {9}, good[:len(good)-3], []byte("no frame at all")} {
		if err := s.WriteFrames(t.Context(), fmt.Sprintf("bad-%d", len(bad)), [][]byte{bad, good}); err != nil {
			t.Fatal(err)
		}
	}
	checkFolds(t, s, want)
	if st := s.WriteStats(); st.Unreadable != 4 || st.Written == 0 {
		t.Errorf("%+v", st)
	}
}

// A server that is away, or whose tables are not there yet, may come back; what
// it says of the data it says for good.
func TestErrorsThatMayHealAreNotPermanent(t *testing.T) {
	events := flatten(everyLife(t))
	isPermanent := func(err error) bool {
		var p interface{ Permanent() bool }
		return errors.As(err, &p) && p.Permanent()
	}
	missing := openUnmigrated(t)
	if err := missing.WriteFrames(t.Context(), "x", [][]byte{frame(events...)}); err == nil || isPermanent(err) {
		t.Errorf("without tables: %v", err)
	}
	away, err := store.Open(t.Context(), store.Config{DSN: "http://u:p@127.0.0.1:1/d"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = away.Close() }()
	if err := away.WriteFrames(t.Context(), "x", [][]byte{frame(events...)}); err == nil || isPermanent(err) {
		t.Errorf("without a server: %v", err)
	}
	if err := away.Ping(t.Context()); err == nil {
		t.Error("a server that is away answers")
	}
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WriteFrames(ctx, "x", [][]byte{frame(events...)}); !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("cancelled: %v", err)
	}
}

// Tombstones belong to no task, and foreign SDKs' records have neither id nor
// source: both are stored once.
func TestWhatIsNoAgentsEvent(t *testing.T) {
	s := open(t)
	gap := timeline.Event{ID: ids.Next(start), Type: timeline.Tombstone, SourceID: "source-1", SourceSeq: 9, OccurredAt: start,
		Gap: &timeline.Gap{From: 3, To: 8, Reason: "shed"}}
	foreign := timeline.Event{Type: timeline.TaskStarted, OccurredAt: start, Run: 1, Task: timeline.Task{ID: "foreign", Type: "mail"}}
	for range 2 {
		write(t, s, gap, foreign)
	}
	events, err := s.Timeline(t.Context(), everything, "foreign")
	if err != nil || len(events) != 1 || events[0].ID.IsZero() || events[0].Namespace != "default" || events[0].IngestedAt.IsZero() {
		t.Errorf("foreign: %s, %v", asJSON(t, events), err)
	}
	if _, err := s.Timeline(t.Context(), everything, ""); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("a tombstone became a task: %v", err)
	}
	if n := s.CountRows(t)["gaps"]; n == 0 {
		t.Error("the tombstone is nowhere")
	}
}

func TestEventsOfManyNamespacesStayApart(t *testing.T) {
	s := open(t)
	a := live(t, timeline.Task{Namespace: "a", ID: "same"}, lives(t)["success"])
	b := live(t, timeline.Task{Namespace: "b", ID: "same"}, lives(t)["permanent"])
	var records [][]byte
	for _, e := range append(a, b...) {
		records = append(records, wire.AppendLogRecord(nil, &e))
	}
	f := wire.AppendFrame(nil, wire.Envelope{IngestedAt: start, Namespace: "default", AnyNamespace: true}, wire.AppendExportRequest(nil, wire.Resource{}, records))
	if err := s.WriteFrames(t.Context(), "many", [][]byte{f}); err != nil {
		t.Fatal(err)
	}
	for ns, want := range map[string]timeline.State{"a": timeline.StateCompleted, "b": timeline.StateFailed} {
		snap, err := s.Task(t.Context(), readmodel.Scope{Namespace: ns}, "same")
		if err != nil || snap.State != want || snap.Namespace != ns {
			t.Errorf("%s: %s %v", ns, snap.State, err)
		}
	}
	if _, err := s.Task(t.Context(), everything, "same"); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("default: %v", err)
	}
}
