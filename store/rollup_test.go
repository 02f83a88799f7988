package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// rollUp rolls up everything and holds that nothing is left.
func rollUp(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Rollup(t.Context(), start.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := s.StaleSlots(t, start.Add(-24*time.Hour)); n != 0 {
		t.Fatalf("%d slots are not rolled up", n)
	}
}

// spread moves each task's events to a time of its own within the hour.
func spread(byTask map[string][]timeline.Event) {
	i := 0
	for _, events := range byTask {
		i++
		for j := range events {
			events[j].OccurredAt = events[j].OccurredAt.Add(-time.Duration(i) * 73 * time.Second)
		}
	}
}

func TestRollupsStayExact(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	spread(want)
	all := flatten(want)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	// What comes late falls into slots that were rolled up; two collectors send the
	// same events, and one of them a part of it in other batches.
	write(t, s, all[:len(all)/2]...)
	rollUp(t, s)
	write(t, s, all[len(all)/2:]...)
	checkFolds(t, s, want)
	rollUp(t, s)
	checkFolds(t, s, want)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if err := s.WriteFrames(t.Context(), fmt.Sprint("collector-", i), [][]byte{frame(all...)}); err != nil {
				t.Error(err)
			}
			if err := s.Rollup(t.Context(), start.Add(-24*time.Hour)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkFolds(t, s, want)
	rollUp(t, s)
	checkFolds(t, s, want)
	for chunk := range 4 {
		write(t, s, all[chunk*len(all)/4:(chunk+1)*len(all)/4]...)
		checkFolds(t, s, want)
	}
	s.Optimize(t)
	rollUp(t, s)
	checkFolds(t, s, want)
}

// A window begins within a slot, and the rows of that slot before it are left out.
func TestTheWindowBeginsWhereItWasAskedTo(t *testing.T) {
	s := open(t)
	script := lives(t)["success"]
	var events []timeline.Event
	const tasks = 40
	for i := range tasks {
		task := live(t, timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail", Queue: "q"}, script)
		for j := range task {
			task[j].OccurredAt = start.Add(-time.Duration(i) * time.Second)
		}
		events = append(events, task...)
	}
	write(t, s, events...)
	for range 2 {
		for _, secs := range []int{0, 7, 15, 33} {
			// Half a second earlier than the task, so that the time of the call does not matter.
			from := start.Add(-time.Duration(secs)*time.Second - 500*time.Millisecond)
			before := time.Since(from)
			h, err := s.Health(t.Context(), everything, before)
			if err != nil {
				t.Fatal(err)
			}
			if h.Completed != int64(secs+1) || h.Tasks[timeline.StateCompleted] != int64(secs+1) || h.Execution.Count != int64(secs+1) {
				t.Errorf("%d s: %d runs, %d tasks, %d attempts, want %d", secs, h.Completed, h.Tasks[timeline.StateCompleted], h.Execution.Count, secs+1)
			}
		}
		rollUp(t, s)
	}
}

// A rolled-up quantile is off by half a bucket at most, and the average by nothing.
func TestQuantilesOfRollups(t *testing.T) {
	s := open(t)
	script := lives(t)["success"]
	var events []timeline.Event
	const tasks = 1000
	for i := range tasks {
		task := live(t, timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail"}, script)
		for j := range task {
			if task[j].Type == timeline.AttemptSuccess {
				task[j].Duration = timeline.Millis(time.Duration(i+1) * time.Millisecond)
			}
		}
		events = append(events, task...)
	}
	write(t, s, events...)
	rollUp(t, s)
	h, err := s.Health(t.Context(), readmodel.Scope{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	e := h.Execution
	if e.Count != tasks || time.Duration(e.Average) != 500500*time.Microsecond {
		t.Errorf("%d attempts of %v", e.Count, time.Duration(e.Average))
	}
	for q, got := range map[float64]timeline.Millis{0.5: e.P50, 0.95: e.P95, 0.99: e.P99} {
		if want := q * tasks * float64(time.Millisecond); float64(got) < want*0.994 || float64(got) > want*1.006 {
			t.Errorf("quantile %v: %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
}

// However many tasks failed, health is of now.
func TestHealthOfManyFailuresIsFresh(t *testing.T) {
	s := open(t)
	script := lives(t)["permanent"]
	var events []timeline.Event
	const tasks = 300
	for i := range tasks {
		events = append(events, live(t, timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail", Queue: "q"}, script)...)
	}
	write(t, s, events...)
	check := func(want int64) {
		t.Helper()
		h, err := s.Health(t.Context(), everything, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if h.Stale != "" || h.DeadLetters != want || h.Tasks[timeline.StateFailed] != want || !h.OldestDeadLetterAt.Equal(start.Add(5*time.Millisecond)) {
			t.Errorf("%d dead letters since %v, %d failed, stale %q; want %d", h.DeadLetters, h.OldestDeadLetterAt, h.Tasks[timeline.StateFailed], h.Stale, want)
		}
	}
	for i := range 3 {
		check(tasks + int64(i))
		write(t, s, live(t, timeline.Task{Namespace: "default", ID: fmt.Sprint("more", i), Type: "mail", Queue: "q"}, script)...)
	}
}

// Two workers had the same run: one failed it, the other completed it.
func TestRunsThatEndInTwoWaysCountOnce(t *testing.T) {
	s := open(t)
	want := map[string][]timeline.Event{}
	var fails, completes []timeline.Event
	for i := range 30 {
		task := timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail", Queue: "q"}
		a, b := live(t, task, lives(t)["permanent"]), live(t, task, lives(t)["success"])
		if i%3 == 0 {
			// A retry that is on its way when the first run completes.
			a = live(t, task, lives(t)["manual_retry_succeeds"][:10])
		}
		for j := range b {
			b[j].SourceID = "source-2"
			b[j].OccurredAt = b[j].OccurredAt.Add(time.Duration(i) * time.Second / 2)
		}
		want[task.ID] = append(a, b[1:]...)
		fails, completes = append(fails, a...), append(completes, b[1:]...)
	}
	write(t, s, fails...)
	write(t, s, completes...)
	if err := s.MendLetters(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	checkFolds(t, s, want)
	rollUp(t, s)
	checkFolds(t, s, want)
	s.Optimize(t)
	checkFolds(t, s, want)
}

// Tasks that have been open for long are told from those whose end was forgotten.
func TestTasksOpenForLong(t *testing.T) {
	s := open(t)
	want := map[string][]timeline.Event{}
	for i := range 250 {
		script := lives(t)["success"][:1+i%4]
		task := timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail", Queue: []string{"a", "b"}[i%2]}
		events := live(t, task, script)
		if i%10 != 0 {
			for j := range events {
				events[j].OccurredAt = events[j].OccurredAt.Add(-2 * time.Hour)
			}
		}
		want[task.ID] = events
	}
	write(t, s, flatten(want)...)
	for _, ended := range []int{0, 100, 200} {
		var more []timeline.Event
		for i := range ended {
			id := fmt.Sprint("t", i)
			if events := want[id]; events[len(events)-1].Type != timeline.TaskCompleted {
				all := live(t, events[0].Task, lives(t)["success"])
				for j := range all {
					all[j].OccurredAt = all[j].OccurredAt.Add(events[0].OccurredAt.Sub(all[0].OccurredAt))
				}
				want[id] = append(events, all[len(events):]...)
				more = append(more, all[len(events):]...)
			}
		}
		if len(more) > 0 {
			write(t, s, more...)
		}
		s.ForgetEnds(t)
		states := map[timeline.State]int64{}
		depth := map[string]int64{}
		for _, events := range want {
			snap, _ := timeline.Fold(events)
			states[snap.State]++
			if !snap.State.Terminal() {
				depth[snap.Queue]++
			}
		}
		// What is remembered is counted anew beside the reads.
		for deadline := time.Now().Add(30 * time.Second); ; {
			h, err := s.Health(t.Context(), everything, 10*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			good := h.Tasks[timeline.StatePending] == states[timeline.StatePending] && h.Tasks[timeline.StateInProgress] == states[timeline.StateInProgress]
			for _, q := range h.Queues {
				good = good && q.Pending+q.InProgress+q.Retrying == depth[q.Queue]
			}
			if good {
				break
			}
			if time.Now().After(deadline) || ended == 0 {
				t.Fatalf("%d ended: %v %v, want %v %v", ended, h.Tasks, h.Queues, states, depth)
			}
		}
	}
}

// What was found out of a task that seems open is noted, so that nobody has to look
// again.
func TestTheEndsOfTasksThatSeemOpenAreNoted(t *testing.T) {
	s := open(t)
	begin := func(i, n int) []timeline.Event {
		events := live(t, timeline.Task{Namespace: "default", ID: fmt.Sprint("t", i), Type: "mail", Queue: "a"}, lives(t)["success"])
		for j := range events {
			events[j].OccurredAt = events[j].OccurredAt.Add(-2 * time.Hour)
		}
		return events[:n]
	}
	var began, ended []timeline.Event
	for i := range 20 {
		began = append(began, begin(i, 3)...)
		if i < 12 {
			ended = append(ended, begin(i, 5)[3:]...)
		}
	}
	write(t, s, began...)
	// As if the ends had been dropped for their age.
	if err := s.Change(t.Context(), "DROP VIEW open_tasks_mv"); err != nil {
		t.Fatal(err)
	}
	write(t, s, ended...)
	if n := s.SeemOpen(t); n != 20 {
		t.Fatalf("%d seem open, want all", n)
	}
	for range 2 { // the second time nothing is left to note
		if err := s.MendOpen(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
		if n := s.SeemOpen(t); n != 8 {
			t.Errorf("%d seem open, want 8", n)
		}
	}
	h, err := s.Health(t.Context(), everything, 10*time.Minute)
	if err != nil || h.QueueDepth != 8 || h.Tasks[timeline.StateInProgress] != 8 {
		t.Errorf("health tells of %d in the queues, %v, %v", h.QueueDepth, h.Tasks, err)
	}
}
