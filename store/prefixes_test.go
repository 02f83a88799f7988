package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// told is a namespace in which the same life is told in several orders.
type told struct {
	life  string
	tasks [][]timeline.Event
}

// check holds what health says against the folds of what was told up to a step.
func (n *told) check(t *testing.T, step int, got readmodel.Health) {
	t.Helper()
	states := map[timeline.State]int64{}
	var letters, completed, failed, lost int64
	for _, events := range n.tasks {
		events = events[:min(step, len(events))]
		// What decides no state is an open task only once more of it arrived.
		if !slices.ContainsFunc(events, func(e timeline.Event) bool { return e.Type.StateAfter() != "" }) {
			continue
		}
		snap, _ := timeline.Fold(events)
		states[snap.State]++
		for _, d := range timeline.FoldDeadLetters(events) {
			// That a later run is under way shows also where its beginning is still on its
			// way here: the fold waits for it, health does not.
			if d.Status == timeline.DeadLetterPending && (snap.Run <= d.Run || nothingCameOfIt(events, snap.Run)) {
				letters++
			}
		}
		for _, e := range timeline.Ordered(events) {
			switch e.Type {
			case timeline.TaskCompleted:
				completed++
			case timeline.TaskFailed:
				failed++
			case timeline.TaskLost:
				lost++
			}
		}
	}
	if !maps.Equal(got.Tasks, states) || got.DeadLetters != letters || got.Completed != completed || got.Failed != failed || got.Lost != lost || got.Stale != "" {
		t.Errorf("%s after %d events: %v, %d letters, %d %d %d, stale %q; want %v, %d letters, %d %d %d", n.life, step,
			got.Tasks, got.DeadLetters, got.Completed, got.Failed, got.Lost, got.Stale, states, letters, completed, failed, lost)
	}
}

// nothingCameOfIt reports whether a run leaves an earlier dead letter as it was.
func nothingCameOfIt(events []timeline.Event, run int) bool {
	var decides *timeline.Event
	for i := range events {
		e := &events[i]
		if e.Run == run && e.Type.StateAfter() != "" && (decides == nil || timeline.CompareState(e, decides) > 0) {
			decides = e
		}
	}
	return decides == nil || decides.Type == timeline.TaskCancelled || decides.Type == timeline.TaskFailed && decides.Attempts == 0
}

// Health after every prefix of every life, in its own order and in others, is
// what the folds say; so it is when all of it arrives a second time.
func TestHealthAfterEveryPrefix(t *testing.T) {
	s := open(t)
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	all := lives(t)
	all["ends_in_two_ways"] = []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 task_failed", "r1 moved_to_dlq", "r1 a1 attempt_success", "r1 task_completed"}
	all["lost_and_retried_but_alive"] = []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 task_lost", "r1 moved_to_dlq", "r2 dlq_retry_requested", "r2 task_started",
		"r1 a1 attempt_success", "r1 task_completed", "r2 a1 attempt_started", "r2 task_cancelled",
	}
	var names []*told
	steps := 0
	for _, life := range slices.Sorted(maps.Keys(all)) {
		n := &told{life: life}
		for i := range 6 {
			events := live(t, timeline.Task{Namespace: life, ID: fmt.Sprint(life, i), Type: "mail", Queue: "q", UserID: "ada"}, all[life])
			if i > 0 {
				rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			}
			n.tasks = append(n.tasks, events)
			steps = max(steps, len(events))
		}
		names = append(names, n)
	}
	send := func(of func(events []timeline.Event) []timeline.Event) {
		var frames [][]byte
		for _, n := range names {
			var records [][]byte
			for _, events := range n.tasks {
				for _, e := range of(events) {
					records = append(records, wire.AppendLogRecord(nil, &e))
				}
			}
			if len(records) > 0 {
				frames = append(frames, wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Now(), Namespace: n.life},
					wire.AppendExportRequest(nil, wire.Resource{}, records)))
			}
		}
		if err := s.WriteFrames(t.Context(), fmt.Sprint("batch-", batches.Add(1)), frames); err != nil {
			t.Fatal(err)
		}
	}
	check := func(step int) {
		t.Helper()
		for _, n := range names {
			h, err := s.Health(t.Context(), readmodel.Scope{Namespace: n.life}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			n.check(t, step, h)
		}
	}
	for step := 1; step <= steps && !t.Failed(); step++ {
		send(func(events []timeline.Event) []timeline.Event {
			return events[min(step-1, len(events)):min(step, len(events))]
		})
		check(step)
	}
	send(func(events []timeline.Event) []timeline.Event { return events[len(events)/2:] })
	send(func(events []timeline.Event) []timeline.Event { return events[:len(events)/2] })
	check(steps)
	s.Optimize(t)
	check(steps)
}
