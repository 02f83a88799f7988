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
		} else {
			delete(w.letters, keyOf(r))
		}
	case timeline.TaskCancelled:
		delete(w.letters, keyOf(r))
	case timeline.TaskCompleted:
		key := keyOf(r)
		letter, known := w.letters[key]
		delete(w.letters, key)
		if !known && r.Run > 1 {
			letter = timeline.DeadLetterID(key.Namespace, key.TaskID, r.Run-1)
		}
		if letter.IsZero() {
			return
		}
		var e timeline.Event
		e.ID = timeline.DerivedEventID(key.Namespace, key.TaskID, r.Run, 0, timeline.DLQResolved)
		e.Type = timeline.DLQResolved
		e.Task = taskOf(r)
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
func taskOf(r *wire.Record) timeline.Task {
	return timeline.Task{
		Namespace: string(r.Namespace), ID: string(r.TaskID), Type: string(r.TaskType), Queue: string(r.Queue),
		Runner: string(r.Runner), Agent: string(r.Agent), Provider: string(r.Provider), UserID: string(r.UserID),
		Amount: string(r.Amount), Currency: string(r.Currency), MaxAttempts: r.MaxAttempts,
	}
}
