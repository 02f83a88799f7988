package live

import (
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// taskKey names a task.
type taskKey struct{ namespace, id string }

// known is what the publisher remembers of a task.
type known struct {
	// decides holds, of the event that decides the state, what CompareState reads.
	decides  timeline.Event
	taskType string
	attempt  int
	progress *timeline.Progress
	// published is when progress was last published.
	published time.Time
}

func (k *known) state() TaskState {
	return TaskState{
		Type: k.taskType, State: k.decides.Type.StateAfter(), Run: k.decides.Run, Attempt: max(k.attempt, k.decides.Attempt), Progress: k.progress,
	}
}

// snapshots remembers the tasks that were last heard of. It holds two
// generations: what is touched moves to the young one, and when that is full the
// old one is forgotten, so that it never holds more than its bound and costs one
// or two lookups.
type snapshots struct {
	mu         sync.Mutex
	half       int
	young, old map[taskKey]*known
}

func newSnapshots(most int) *snapshots {
	return &snapshots{half: max(most/2, 1), young: map[taskKey]*known{}}
}

// get returns the task's entry, made where there is none. The lock is held by
// the caller for as long as the entry is used.
func (s *snapshots) get(k taskKey) *known {
	if e := s.young[k]; e != nil {
		return e
	}
	e := s.old[k]
	if e == nil {
		e = &known{}
	}
	if len(s.young) >= s.half {
		s.old, s.young = s.young, make(map[taskKey]*known, s.half)
	}
	s.young[k] = e
	return e
}

// fold takes an event and returns the state after it.
func (s *snapshots) fold(e *timeline.Event) TaskState {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.get(taskKey{e.Namespace, e.Task.ID})
	if e.Task.Type != "" {
		k.taskType = e.Task.Type
	}
	if e.Type.StateAfter() != "" {
		light := timeline.Event{Type: e.Type, Run: e.Run, Attempt: e.Attempt, Seq: e.Seq}
		if k.decides.Type == timeline.TypeUnknown || timeline.CompareState(&light, &k.decides) > 0 {
			if light.Run != k.decides.Run {
				k.attempt, k.progress = 0, nil
			}
			k.decides = light
		}
		if e.Run == k.decides.Run && e.Attempt > k.attempt {
			k.attempt, k.progress = e.Attempt, nil
		}
	}
	if k.decides.Type == timeline.TypeUnknown {
		return TaskState{Type: k.taskType, Run: e.Run, Attempt: e.Attempt, Progress: k.progress}
	}
	return k.state()
}

// report takes a task's progress and says whether it may be published now. A
// report of an earlier run or attempt, or of a run that ended, is not.
func (s *snapshots) report(t *timeline.LiveTask, namespace string, now time.Time, every time.Duration) (TaskState, bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.get(taskKey{namespace, t.TaskID})
	if d := &k.decides; d.Type != timeline.TypeUnknown {
		if t.Run < d.Run || t.Run == d.Run && (d.Type.StateAfter().Terminal() || t.Attempt < k.attempt) {
			return TaskState{}, false, false
		}
	}
	k.progress = t.Progress
	if t.Type != "" {
		k.taskType = t.Type
	}
	st := TaskState{Type: k.taskType, State: timeline.StateInProgress, Run: t.Run, Attempt: t.Attempt, Progress: t.Progress}
	if t.Progress == nil {
		return st, true, false
	}
	if now.Sub(k.published) < every {
		return st, true, true
	}
	k.published = now
	return st, true, false
}
