package query

import (
	"container/list"
	"encoding/json"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxEventsPerUpdate bounds the events of one update; past it the oldest are
// dropped and counted as missed.
const maxEventsPerUpdate = 50

// inbox is what waits for one stream's reader: the updates of each task gathered
// into one, each given out when the task's interval has passed. It is bounded by
// tasks; past the bound the oldest task's update is dropped and counted, and the
// reader is told. It is safe for concurrent use.
type inbox struct {
	interval time.Duration
	max      int
	// ready is signalled when something was put in.
	ready chan struct{}

	mu      sync.Mutex
	byKey   map[updateKey]*list.Element
	waiting *list.List // of *update, oldest first
	sent    map[updateKey]time.Time
	alerts  []alertUpdate
	missed  int
}

type updateKey struct{ topic, task string }

// update is what an "update" of a stream carries.
type update struct {
	Topic  string `json:"topic"`
	TaskID string `json:"task_id"`
	// Events are new, in the order they came.
	Events []eventView `json:"events"`
	// Task is what the publisher knows of the task after them.
	Task json.RawMessage `json:"task,omitempty"`
	// Row is the task as the store has it, where a stream was resumed.
	Row *taskView `json:"row,omitempty"`
}

type alertUpdate struct {
	Topic string         `json:"topic"`
	Alert timeline.Alert `json:"alert"`
}

func newInbox(interval time.Duration, limit int) *inbox {
	return &inbox{
		interval: interval, max: limit, ready: make(chan struct{}, 1),
		byKey: map[updateKey]*list.Element{}, waiting: list.New(), sent: map[updateKey]time.Time{},
	}
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// put adds an event to its task's update.
func (b *inbox) put(topic string, e eventView, task json.RawMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := updateKey{topic, e.Task.ID}
	el, ok := b.byKey[k]
	if !ok {
		if b.waiting.Len() >= b.max {
			oldest := b.waiting.Front()
			u := oldest.Value.(*update)
			b.missed += len(u.Events)
			delete(b.byKey, updateKey{u.Topic, u.TaskID})
			b.waiting.Remove(oldest)
		}
		el = b.waiting.PushBack(&update{Topic: topic, TaskID: e.Task.ID})
		b.byKey[k] = el
	}
	u := el.Value.(*update)
	switch n := len(u.Events); {
	case n > 0 && e.Type.Live() && u.Events[n-1].Type == e.Type:
		// Of progress the last word counts.
		u.Events[n-1] = e
	case n >= maxEventsPerUpdate:
		copy(u.Events, u.Events[1:])
		u.Events[n-1] = e
		b.missed++
	default:
		u.Events = append(u.Events, e)
	}
	if len(task) > 0 {
		u.Task = task
	}
	b.signal()
}

func (b *inbox) putAlert(a alertUpdate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.alerts) >= b.max {
		copy(b.alerts, b.alerts[1:])
		b.alerts = b.alerts[:len(b.alerts)-1]
		b.missed++
	}
	b.alerts = append(b.alerts, a)
	b.signal()
}

// takeDue returns what may be sent, how many events were missed since the last
// call, and how long until more may be sent (an hour where nothing waits).
func (b *inbox) takeDue(now time.Time) (due []*update, alerts []alertUpdate, missed int, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next = time.Hour
	for el := b.waiting.Front(); el != nil; {
		following := el.Next()
		u := el.Value.(*update)
		k := updateKey{u.Topic, u.TaskID}
		if wait := b.interval - now.Sub(b.sent[k]); wait > 0 {
			next = min(next, wait)
		} else {
			b.waiting.Remove(el)
			delete(b.byKey, k)
			b.sent[k] = now
			due = append(due, u)
		}
		el = following
	}
	// What was sent longer ago than the interval holds nothing back.
	if len(b.sent) > b.max {
		for k, at := range b.sent {
			if now.Sub(at) >= b.interval {
				delete(b.sent, k)
			}
		}
	}
	alerts, b.alerts = b.alerts, nil
	missed, b.missed = b.missed, 0
	return due, alerts, missed, next
}

// clear forgets what waits: a snapshot follows that holds it.
func (b *inbox) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byKey, b.alerts, b.missed = map[updateKey]*list.Element{}, nil, 0
	b.waiting.Init()
}
