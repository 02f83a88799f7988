package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// lastHours asks for what happened in the tests' time, in steps.
func lastHours(hours int, step time.Duration) readmodel.HistoryQuery {
	to := start.Add(2 * time.Minute).Truncate(time.Minute)
	return readmodel.HistoryQuery{From: readmodel.HistoryStep(to.Add(-time.Duration(hours)*time.Hour), step), To: to, Step: step}
}

// checkHistory holds what the store says against what the events say.
func checkHistory(t *testing.T, s *store.Store, want map[string][]timeline.Event) {
	t.Helper()
	for _, scope := range []readmodel.Scope{everything, {UserID: "user-1"}} {
		for _, kind := range []string{"", "mail"} {
			for _, step := range []time.Duration{time.Minute, 7 * time.Minute} {
				q := lastHours(2, step)
				q.Type = kind
				var rows []readmodel.HistoryRow
				for _, events := range want {
					if scope.UserID == "" || events[0].Task.UserID == scope.UserID {
						rows = append(rows, readmodel.TaskHistory(q, events)...)
					}
				}
				got, err := s.History(t.Context(), scope, q)
				if err != nil {
					t.Fatal(err)
				}
				if g, w := asJSON(t, got), asJSON(t, readmodel.HistoryOf(q, rows)); g != w {
					t.Fatalf("user %q, type %q, step %v:\n got %s\nwant %s", scope.UserID, kind, step, g, w)
				}
			}
		}
	}
}

func TestHistoryStaysExact(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	spread(want)
	i := 0
	for _, events := range want {
		for j := range events {
			events[j].Task.Type = []string{"payment", "mail"}[i%2]
		}
		i++
	}
	all := flatten(want)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	since := start.Add(-24 * time.Hour)
	rollUp := func() {
		t.Helper()
		if err := s.RollupMinutes(t.Context(), since); err != nil {
			t.Fatal(err)
		}
		if n := s.StaleMinutes(t, since); n != 0 {
			t.Fatalf("%d minutes are not rolled up", n)
		}
	}
	// What comes late falls into minutes that were rolled up.
	write(t, s, all[:len(all)/2]...)
	rollUp()
	write(t, s, all[len(all)/2:]...)
	checkHistory(t, s, want)
	rollUp()
	checkHistory(t, s, want)
	// Two send the same events, while others roll up.
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if err := s.WriteFrames(t.Context(), fmt.Sprint("again-", i), [][]byte{frame(all...)}); err != nil {
				t.Error(err)
			}
			if err := s.RollupMinutes(t.Context(), since); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkHistory(t, s, want)
	rollUp()
	checkHistory(t, s, want)
	s.Optimize(t)
	checkHistory(t, s, want)
}

// A task's type may stand in another of its events than in those that count.
func TestAHistoryKnowsATaskByItsType(t *testing.T) {
	s := open(t)
	events := live(t, timeline.Task{Namespace: "default", ID: "t", Type: "mail"}, lives(t)["success"])
	for i := range events[1:] {
		events[i+1].Task.Type = ""
	}
	write(t, s, events...)
	for range 2 {
		h, err := s.History(t.Context(), everything, lastHours(1, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(h.Types, []string{"mail"}, func(ty readmodel.HistoryType, name string) bool { return ty.Type == name && ty.Completed == 1 }) {
			t.Errorf("types %+v", h.Types)
		}
		if err := s.RollupMinutes(t.Context(), start.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}
