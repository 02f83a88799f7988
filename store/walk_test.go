package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Pages are the same whether the filter lets everything through, a few or next to
// nothing, with late first events and copies of all.
func TestPagesOfManyTasks(t *testing.T) {
	s := open(t)
	const n = 2600
	created := make([]timeline.Event, n)
	var started []timeline.Event
	for i := range created {
		task := timeline.Task{Namespace: "default", ID: fmt.Sprintf("task-%04d", i), Type: "mail", Queue: "q" + fmt.Sprint(i%100), UserID: "u"}
		if i == 3 || i == 7 {
			task.Queue = "rare"
		}
		at := start.Add(-time.Duration(i/2) * time.Second)
		created[i] = timeline.Event{ID: ids.Next(at), Type: timeline.TaskCreated, Task: task, SourceID: "enqueuer", SourceSeq: uint64(i + 1), Run: 1, OccurredAt: at}
		if i%3 == 0 {
			e := created[i]
			e.ID, e.Type, e.SourceID, e.OccurredAt = ids.Next(at), timeline.TaskStarted, "worker", at.Add(20*time.Minute)
			started = append(started, e)
		}
	}
	// What came later arrives first, and everything twice.
	write(t, s, started...)
	for range 2 {
		rand.Shuffle(n, func(i, j int) { created[i], created[j] = created[j], created[i] })
		write(t, s, created[:n/2]...)
		write(t, s, created[n/2:]...)
	}
	slices.SortFunc(created, func(a, b timeline.Event) int {
		if c := b.OccurredAt.Compare(a.OccurredAt); c != 0 {
			return c
		}
		if a.Task.ID > b.Task.ID {
			return -1
		}
		return 1
	})
	for _, c := range []struct {
		name string
		f    readmodel.TaskFilter
		pass func(timeline.Task) bool
	}{
		{"all", readmodel.TaskFilter{}, func(timeline.Task) bool { return true }},
		{"a hundredth", readmodel.TaskFilter{Queues: []string{"q42"}}, func(x timeline.Task) bool { return x.Queue == "q42" }},
		{"two", readmodel.TaskFilter{Queues: []string{"rare"}}, func(x timeline.Task) bool { return x.Queue == "rare" }},
		{"two that are active", readmodel.TaskFilter{Queues: []string{"rare"}, Active: true}, func(x timeline.Task) bool { return x.Queue == "rare" }},
		{"none", readmodel.TaskFilter{Queues: []string{"nowhere"}}, func(timeline.Task) bool { return false }},
	} {
		var want, got []string
		for _, e := range created {
			if c.pass(e.Task) && len(want) < 120 {
				want = append(want, e.Task.ID)
			}
		}
		page := readmodel.Page{Limit: 20}
		for len(got) < 120 {
			list, err := s.Tasks(t.Context(), everything, c.f, page)
			if err != nil {
				t.Fatal(err)
			}
			for i := range list.Rows {
				got = append(got, list.Rows[i].ID)
			}
			if page.After = list.Next; page.After == nil {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, want)
		}
	}
}
