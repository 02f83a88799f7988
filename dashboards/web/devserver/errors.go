package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// troubled adds tasks of the last day that failed now and then before they
// completed, so that errors have a history.
func (w *world) troubled(now time.Time) {
	for h := range 23 {
		for i := range (h*h/20 + h%4) % 9 {
			l := w.life(fmt.Sprintf("asynq:default:old-%02d-%d", h, i), "payment", "payments", now.Add(time.Duration(h-24)*time.Hour+time.Duration(i)*5*time.Minute))
			l.Started()
			l.Event(timeline.AttemptFailed, 1, 1, failedWith(err503, 500*time.Millisecond))
			l.Event(timeline.TaskRetried, 1, 1, waits(2, time.Second, 1))
			l.Event(timeline.AttemptStarted, 1, 2)
			l.Event(timeline.AttemptSuccess, 1, 2, func(e *timeline.Event) { e.Duration = timeline.Millis(time.Second) })
			l.Event(timeline.TaskCompleted, 1, 0, func(e *timeline.Event) { e.Duration = timeline.Millis(4 * time.Second) })
			w.Add(l.Events...)
		}
	}
}

// Errors implements query.Reader: groups with their counts over time, and only
// those that reach into the time asked for.
func (w *world) Errors(ctx context.Context, scope readmodel.Scope, filter readmodel.ErrorFilter, page readmodel.Page) (readmodel.List[readmodel.ErrorGroup], error) {
	list, err := w.Store.Errors(ctx, scope, filter, page)
	if err != nil {
		return list, err
	}
	within := filter.Seen
	to := within.To
	if to.IsZero() {
		to = time.Now()
	}
	from := within.From
	if from.IsZero() {
		from = to.Add(-time.Hour)
	}
	step := to.Sub(from) / readmodel.ErrorBuckets
	byPrint := map[string][]int64{}
	letters := map[string]int64{}
	for _, e := range w.All() {
		if e.Error == nil || e.Namespace != scope.Namespace {
			continue
		}
		if e.Type == timeline.MovedToDLQ {
			letters[e.Error.Fingerprint]++
		}
		i := int(e.OccurredAt.Sub(from) / max(step, 1))
		if e.Type != timeline.AttemptFailed || i < 0 || i >= readmodel.ErrorBuckets {
			continue
		}
		if byPrint[e.Error.Fingerprint] == nil {
			byPrint[e.Error.Fingerprint] = make([]int64, readmodel.ErrorBuckets)
		}
		byPrint[e.Error.Fingerprint][i]++
	}
	for i := range list.Rows {
		g := &list.Rows[i]
		g.Counts, g.CountsFrom, g.CountsStep = byPrint[g.Fingerprint], from, timeline.Millis(step)
		g.DeadLetters = letters[g.Fingerprint]
	}
	return list, nil
}
