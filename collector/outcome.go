package collector

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// outcome writes dlq_resolved when a run completes whose earlier run is a dead
// letter: the one its retry named, else that of the run before. A run that was
// given up as lost and completes after all resolves its own. Only task_completed
// leads to anything, so what is written here leads to nothing further.
// w.mu is held.
func (w *watch) outcome(r *wire.Record) {
	switch r.Type {
	case timeline.TaskRetried, timeline.DLQRetryRequested:
		if r.Run > 1 && r.Attempt == 0 && r.Has&wire.HasDeadLetter != 0 {
			w.remember(keyOf(r), r.DeadLetter.ID)
		}
	case timeline.MovedToDLQ:
		if string(r.Reason) == string(timeline.FailLost) {
			w.remember(keyOf(r), timeline.DeadLetterID(string(r.Namespace), string(r.TaskID), r.Run))
		} else if len(w.letters) > 0 {
			delete(w.letters, keyOf(r))
		}
	case timeline.TaskCancelled:
		if len(w.letters) > 0 {
			delete(w.letters, keyOf(r))
		}
	case timeline.TaskCompleted:
		if r.Run <= 1 && len(w.letters) == 0 {
			return
		}
		key := keyOf(r)
		letter, known := w.letters[key]
		delete(w.letters, key)
		if !known && r.Run > 1 {
			letter = timeline.DeadLetterID(key.Namespace, key.TaskID, r.Run-1)
		}
		if letter.IsZero() {
			return
		}
		r.Complete()
		var e timeline.Event
		e.ID = timeline.DerivedEventID(key.Namespace, key.TaskID, r.Run, 0, timeline.DLQResolved)
		e.Type = timeline.DLQResolved
		e.Task = w.taskOf(r)
		e.Run = r.Run
		// After the completion, by the smallest step that every store keeps.
		e.OccurredAt = time.Unix(0, r.OccurredAt).UTC().Add(time.Microsecond)
		e.TraceID = r.TraceID
		e.DeadLetter = &timeline.DeadLetterRef{ID: letter}
		w.pending = append(w.pending, e)
	}
}

// remember notes the dead letter of a run where it is not the one that is
// assumed. Past the bound the assumption stands.
func (w *watch) remember(key runKey, letter timeline.ID) {
	if letter.IsZero() || len(w.letters) >= maxLetters {
		return
	}
	if letter != timeline.DeadLetterID(key.Namespace, key.TaskID, key.Run-1) {
		w.letters[key] = letter
	}
}

func keyOf(r *wire.Record) runKey {
	return runKey{string(r.Namespace), string(r.TaskID), r.Run}
}

// taskOf is the task as an event names it, without payloads.
func (w *watch) taskOf(r *wire.Record) timeline.Task {
	return timeline.Task{
		Namespace: w.name(r.Namespace), ID: string(r.TaskID), Type: w.name(r.TaskType), Queue: w.name(r.Queue),
		Runner: w.name(r.Runner), Agent: w.name(r.Agent), Provider: w.name(r.Provider), UserID: string(r.UserID),
		Amount: string(r.Amount), Currency: w.name(r.Currency), MaxAttempts: r.MaxAttempts,
	}
}

// maxNames bounds the names kept once for all tasks that have them.
const maxNames = 4096

// name returns the one copy of a name that many tasks share.
func (w *watch) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := w.names[string(b)]; ok {
		return s
	}
	if len(w.names) >= maxNames {
		clear(w.names) // copies that are held stay; new ones are shared anew
	}
	s := string(b)
	w.names[s] = s
	return s
}
