package sidecar

import (
	"context"
	"fmt"

	"github.com/tasktrail/tasktrail/timeline"
)

// cancelNote is a cancel that was asked for here and has not had its effect.
type cancelNote struct {
	at place
	by timeline.Operator
}

// cancel writes down that a run is to stop. It is on the disk when it returns, so
// that a kill after the answer does not let the task go on. Asking again is the same
// request, and the first to ask is who asked. A run that has ended stays as it is.
func (q *queue) cancel(ctx context.Context, id string, run int, by timeline.Operator) error {
	q.mu.Lock()
	e := q.tasks[id]
	if e == nil || int(e.run) != run || e.state.ended() {
		q.mu.Unlock()
		return nil
	}
	if q.cancels[id] == nil {
		at, err := q.append(&record{Op: opCancel, ID: id, Run: run, By: &by}, true)
		if err != nil {
			q.mu.Unlock()
			return err
		}
		q.cancels[id] = &cancelNote{at, by}
		q.live += int64(at.size)
	}
	upTo := q.log.End()
	q.mu.Unlock()
	if err := q.log.Sync(ctx, upTo); err != nil {
		return fmt.Errorf("have the cancel on the disk: %w", err)
	}
	return nil
}

// cancelOf is who asked for the entry's run to stop.
func (q *queue) cancelOf(e *entry) (timeline.Operator, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.cancels[e.id]; c != nil {
		return c.by, true
	}
	return timeline.Operator{}, false
}

// uncancel forgets a cancel: its run is over. It runs under mu.
func (q *queue) uncancel(id string) {
	if c := q.cancels[id]; c != nil {
		q.live -= int64(c.at.size)
		delete(q.cancels, id)
	}
}
