package query

import (
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

const maxOverlayEvents = 10_000

// overlay holds the events this process wrote and the store may not show yet, so
// that whoever was answered 202 reads the pending state at once. It is bounded in
// time and in number; past the number the oldest are forgotten, which shows them
// as late as the store does. It is safe for concurrent use.
type overlay struct {
	ttl time.Duration
	now func() time.Time

	mu    sync.Mutex
	tasks map[taskKey][]timeline.Event
	queue []overlayEntry // oldest first
}

type taskKey struct{ namespace, id string }

type overlayEntry struct {
	task  taskKey
	event timeline.ID
	until time.Time
}

func newOverlay(ttl time.Duration, now func() time.Time) *overlay {
	return &overlay{ttl: ttl, now: now, tasks: map[taskKey][]timeline.Event{}}
}

// add takes events that were accepted.
func (o *overlay) add(namespace string, events []timeline.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	o.expire(now, len(events))
	for i := range events {
		k := taskKey{namespace, events[i].Task.ID}
		o.tasks[k] = append(o.tasks[k], events[i])
		o.queue = append(o.queue, overlayEntry{k, events[i].ID, now.Add(o.ttl)})
	}
}

// expire forgets what is old, and what has to go to make room for more.
func (o *overlay) expire(now time.Time, room int) {
	gone := 0
	for _, e := range o.queue {
		if now.Before(e.until) && len(o.queue)-gone+room <= maxOverlayEvents {
			break
		}
		o.drop(e.task, e.event)
		gone++
	}
	o.queue = slices.Delete(o.queue, 0, gone)
}

func (o *overlay) drop(k taskKey, id timeline.ID) {
	left := slices.DeleteFunc(o.tasks[k], func(e timeline.Event) bool { return e.ID == id })
	if len(left) == 0 {
		delete(o.tasks, k)
		return
	}
	o.tasks[k] = left
}

// has reports whether the task may have events that the store does not show.
func (o *overlay) has(namespace, taskID string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(o.now(), 0)
	return len(o.tasks[taskKey{namespace, taskID}]) > 0
}

// taskOf finds the task of a dead letter that this process wrote.
func (o *overlay) taskOf(namespace string, deadLetter timeline.ID) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(o.now(), 0)
	for k, events := range o.tasks {
		for i := range events {
			if k.namespace == namespace && events[i].Type == timeline.MovedToDLQ && events[i].DeadLetter != nil && events[i].DeadLetter.ID == deadLetter {
				return k.id, true
			}
		}
	}
	return "", false
}

// merge returns the events of a task with those added that they lack, and
// forgets those they have.
func (o *overlay) merge(namespace, taskID string, stored []timeline.Event) []timeline.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(o.now(), 0)
	k := taskKey{namespace, taskID}
	mine := slices.Clone(o.tasks[k])
	if len(mine) == 0 {
		return stored
	}
	seen := make(map[timeline.ID]bool, len(stored))
	for i := range stored {
		seen[stored[i].ID] = true
	}
	missing := false
	for _, e := range mine {
		if seen[e.ID] {
			o.drop(k, e.ID)
			continue
		}
		missing = true
		stored = append(slices.Clip(stored), e)
	}
	if !missing {
		return stored
	}
	return timeline.Ordered(stored)
}
