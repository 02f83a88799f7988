package collector

import (
	"context"
	"errors"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// run is a run in progress, as its last event left it.
type run struct {
	Task     timeline.Task    `json:"task"`
	Source   string           `json:"source"`
	Attempt  int              `json:"attempt"`
	Seq      uint64           `json:"seq"`
	TraceID  timeline.TraceID `json:"trace_id"`
	Heard    time.Time        `json:"heard"`            // its last event, by the collector's clock
	Occurred time.Time        `json:"occurred"`         // the same by the agent's
	Lost     time.Time        `json:"lost_at,omitzero"` // when it was declared lost
}

// heardStep is how exactly the last sign of life of a source is known.
const heardStep = time.Second

// observe keeps the set of runs in progress. Runs of foreign SDKs are left out:
// they have no source and no heartbeat whose silence would mean anything.
// w.mu is held.
func (w *watch) observe(r *wire.Record) {
	heard := time.Unix(0, r.IngestedAt)
	// Looking up with strings made in place allocates nothing.
	if len(r.SourceID) > 0 && r.Type != timeline.Tombstone && heard.Sub(w.sources[string(r.SourceID)]) > heardStep {
		w.hear(string(r.SourceID), heard)
	}
	known := w.runs[runKey{string(r.Namespace), string(r.TaskID), r.Run}]
	if r.Type.Terminal() {
		if known != nil {
			w.forget(keyOf(r))
		}
		return
	}
	if r.Type == timeline.TaskLost {
		if known != nil && known.Lost.IsZero() && max(r.Attempt, r.Attempts) >= known.Attempt {
			known.Lost = heard
		}
		return
	}
	if len(r.SourceID) == 0 {
		return
	}
	if known != nil && (r.Attempt < known.Attempt || r.Seq < known.Seq) {
		return // late
	}
	switch r.Type.StateAfter() {
	case timeline.StateInProgress:
		if known == nil {
			if len(w.runs) >= w.c.cfg.MaxTracked {
				w.c.metrics.untracked.Inc()
				w.c.sayOnce("untracked", "too many tasks run to watch them all for being lost", "limit", w.c.cfg.MaxTracked)
				return
			}
			r.Complete()
			known = &run{Task: w.taskOf(r)}
			w.runs[runKey{known.Task.Namespace, known.Task.ID, r.Run}] = known
		}
		known.Source, known.Attempt, known.Seq, known.TraceID = w.name(r.SourceID), r.Attempt, r.Seq, r.TraceID
		known.Heard, known.Occurred, known.Lost = heard, time.Unix(0, r.OccurredAt).UTC(), time.Time{}
	case timeline.StateRetrying: // it waits: nobody has to be there
		if known != nil {
			w.forget(keyOf(r))
		}
	default:
		if known != nil {
			known.Seq, known.Heard = r.Seq, heard
		}
	}
}

func (w *watch) forget(key runKey) {
	delete(w.runs, key)
	delete(w.beats, key)
}

// hear notes that a source is there. w.mu is held.
func (w *watch) hear(source string, at time.Time) {
	last, known := w.sources[source]
	if !known && len(w.sources) >= maxSources {
		return
	}
	if at.After(last) {
		w.sources[source] = at
	}
}

// heard notes that a source is there.
func (w *watch) heard(source string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hear(source, at)
}

// alive takes the heartbeats of an agent's tasks.
func (w *watch) alive(live *timeline.AgentLive, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hear(live.SourceID, now)
	for i := range live.Tasks {
		t := &live.Tasks[i]
		key := runKey{t.Namespace, t.TaskID, t.Run}
		if key.Namespace == "" {
			key.Namespace = live.Namespace
		}
		if w.runs[key] != nil || len(w.beats) < w.c.cfg.MaxTracked {
			w.beats[key] = now
		}
	}
}

// check declares runs lost, and moves those that stay so to the dead letters. It
// says nothing while the log holds more than was read of it: the sign of life
// may be in there.
func (w *watch) check(ctx context.Context, now time.Time) {
	w.mu.Lock()
	if w.at < w.log.Durable() {
		w.mu.Unlock()
		return
	}
	type suspect struct {
		key runKey
		run run
	}
	var silent, gone []suspect
	for key, r := range w.runs {
		switch {
		case !r.Lost.IsZero():
			if now.Sub(r.Lost) >= w.c.cfg.LostLetterAfter {
				gone = append(gone, suspect{key, *r})
			}
		case now.Sub(later(r.Heard, w.beats[key], w.started)) >= w.c.cfg.LostAfter &&
			now.Sub(later(w.sources[r.Source], w.started)) >= w.c.cfg.LostAfter:
			silent = append(silent, suspect{key, *r})
		}
	}
	for source, at := range w.sources {
		if now.Sub(at) > 2*w.c.cfg.LostAfter && now.Sub(w.started) > 2*w.c.cfg.LostAfter {
			delete(w.sources, source) // never heard says the same
		}
	}
	for key, at := range w.beats {
		if now.Sub(at) > 2*w.c.cfg.LostAfter {
			delete(w.beats, key)
		}
	}
	w.mu.Unlock()

	for _, s := range silent {
		if w.silentElsewhere(ctx, s.run.Source, now) && w.confirm(ctx, s.key, &s.run) {
			w.declare(s.key, now, lostEvent(s.key, &s.run, now))
		}
	}
	for _, s := range gone {
		if w.confirm(ctx, s.key, &s.run) {
			w.declare(s.key, time.Time{}, w.letterEvents(s.key, &s.run, now)...)
		}
	}
}

func later(times ...time.Time) (latest time.Time) {
	for _, t := range times {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// declare enters the events and what they make of the run, where it is still the
// same: lost from a time on, or with the zero time a dead letter.
func (w *watch) declare(key runKey, lost time.Time, events ...timeline.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.runs[key]
	if r == nil || r.Seq > events[0].Seq || r.Attempt != events[0].Attempts {
		return
	}
	if lost.IsZero() {
		w.forget(key)
		w.remember(key, timeline.DeadLetterID(key.Namespace, key.TaskID, key.Run))
	} else {
		r.Lost = lost
	}
	w.pending = append(w.pending, events...)
	w.changed = true
}

// silentElsewhere reports whether no agent of the source is connected here, and
// no other collector has heard of it. What can't be known is not a death.
func (w *watch) silentElsewhere(ctx context.Context, source string, now time.Time) bool {
	if w.c.agents.connected(source) {
		return false
	}
	if w.c.deps.Sources == nil {
		return true
	}
	seen, err := w.c.deps.Sources.LastSeen(ctx, source)
	return err == nil && now.Sub(seen) >= w.c.cfg.LostAfter
}

// confirm asks the reader, where there is one, whether the run is still going
// on, and takes from it what is known of the task. A run that is over is
// forgotten; one that can't be read is looked at again.
func (w *watch) confirm(ctx context.Context, key runKey, r *run) bool {
	if w.c.deps.Tasks == nil {
		return true
	}
	snap, err := w.c.deps.Tasks.Task(ctx, readmodel.Scope{Namespace: key.Namespace}, key.TaskID)
	if err != nil && !errors.Is(err, readmodel.ErrNotFound) {
		return false
	}
	if err == nil && snap.Run == key.Run && (snap.State == timeline.StateInProgress || snap.State == timeline.StateLost) {
		r.Task = snap.Task
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.forget(key)
	}
	return false
}

// lostEvent is task_lost. It belongs to no attempt, and says how many had begun.
// Its seq is the last one seen, so that it stands after
// that event and before whatever the agent says if it comes back.
func lostEvent(key runKey, r *run, now time.Time) timeline.Event {
	task := r.Task
	task.Input, task.Output, task.Metadata = nil, nil, nil
	return timeline.Event{
		ID:   timeline.DerivedEventID(key.Namespace, key.TaskID, key.Run, r.Attempt, timeline.TaskLost),
		Type: timeline.TaskLost, Task: task, Run: key.Run, Attempts: r.Attempt, Seq: r.Seq,
		OccurredAt: later(now, r.Occurred).UTC(), TraceID: r.TraceID,
	}
}

// letterEvents are task_failed and moved_to_dlq of a run that stays lost.
func (w *watch) letterEvents(key runKey, r *run, now time.Time) []timeline.Event {
	at := later(now, r.Occurred).UTC()
	event := func(t timeline.Type, at time.Time) timeline.Event {
		return timeline.Event{
			ID:   timeline.DerivedEventID(key.Namespace, key.TaskID, key.Run, r.Attempt, t),
			Type: t, Task: r.Task, Run: key.Run, Seq: r.Seq, OccurredAt: at, TraceID: r.TraceID,
			Reason: timeline.FailLost, Attempts: r.Attempt,
		}
	}
	failed, moved := event(timeline.TaskFailed, at), event(timeline.MovedToDLQ, at.Add(time.Microsecond))
	failed.Input, failed.Output = nil, nil
	moved.DeadLetter = &timeline.DeadLetterRef{
		ID:            timeline.DeadLetterID(key.Namespace, key.TaskID, key.Run),
		AlertSeverity: w.c.cfg.Thresholds.Classify(r.Task.Type, r.Task.Amount, r.Task.Currency),
		Requeueable:   true,
	}
	if moved.Input.IsZero() {
		moved.DeadLetter.NotReplayable = "the input is not known to the collector that found the task lost"
	}
	return []timeline.Event{failed, moved}
}
