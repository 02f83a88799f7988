package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

// load is a busy system: many active tasks of which so many updates are published a
// second. Only what is published changes; the store keeps what it was filled with, so
// that a read costs the same after an hour.
type load struct {
	tasks, rate, events int
	lives               []*querytest.Life
}

// publishEvery is how often the updates that are due are published.
const publishEvery = 20 * time.Millisecond

// fill adds the tasks, and one with a long history that goes on.
func (l *load) fill(w *world, now time.Time) {
	for i := range l.tasks {
		life := w.life(fmt.Sprintf("asynq:load:%05d", i), "import_orders", "imports", now.Add(-time.Duration(i)*100*time.Millisecond-time.Minute)).Started()
		w.Add(life.Events...)
		l.lives = append(l.lives, life)
	}
	if l.events == 0 {
		return
	}
	long := w.life(longID, "poll_bank", "polls", now.Add(-24*time.Hour))
	long.Event(timeline.TaskCreated, 1, 0).Event(timeline.TaskStarted, 1, 0)
	for run := 1; len(long.Events) < l.events; run++ {
		if run > 1 {
			long.Event(timeline.TaskStarted, run, 0)
		}
		for attempt := 1; attempt <= 3; attempt++ {
			long.Event(timeline.AttemptStarted, run, attempt)
			long.Event(timeline.AttemptFailed, run, attempt, failedWith(err503, 400*time.Millisecond))
			long.Event(timeline.TaskRetried, run, attempt, waits(attempt+1, time.Second, 1.02))
		}
	}
	w.Add(long.Events...)
}

// longID is the task with the long history.
const longID = "asynq:load:long"

// run publishes until ctx ends: in turn a task begins to wait and goes on, which
// everybody hears who follows all tasks, and it makes progress, which they hear who
// look at it.
func (l *load) run(ctx context.Context, w *world) {
	if l.rate == 0 || len(l.lives) == 0 {
		return
	}
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(l.rate)); sent < due; sent++ {
			l.update(w, l.lives[sent%len(l.lives)], sent/len(l.lives))
		}
	}
}

// update publishes the n-th change of a task.
func (l *load) update(w *world, life *querytest.Life, n int) {
	life.At = time.Now()
	attempt := n/2 + 1
	if n%2 == 0 {
		life.Event(timeline.TaskRetried, 1, attempt, waits(attempt+1, time.Second, 1))
	} else {
		life.Event(timeline.TaskStarted, 1, attempt)
	}
	e := life.Events[len(life.Events)-1]
	life.Events = life.Events[:3]
	p := &timeline.Progress{Done: float64(n % 100), Total: 100, Fraction: float64(n%100) / 100, Message: fmt.Sprintf("row %d of 100", n%100), At: life.At}
	state := timeline.StateRetrying
	if n%2 == 1 {
		state = timeline.StateInProgress
	}
	w.say("tasks", &e, nil, state)
	e.Type, e.Progress = timeline.TaskProgress, p
	w.say("task:"+e.Task.ID, &e, p, state)
}
