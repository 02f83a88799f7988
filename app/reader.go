package app

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// reader is the store, with what only other parts know laid over its answers:
// progress from Redis, and how far ClickHouse is behind the collector's log.
type reader struct {
	*store.Store
	live *live.Live
	// collector is nil where it runs in another process.
	collector *collector.Collector
}

// Task adds the progress of a running task. Redis that is away leaves it out: it
// is live data, and unknown until the next heartbeat.
func (r reader) Task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error) {
	s, err := r.Store.Task(ctx, scope, taskID)
	if err != nil || s.State.Terminal() {
		return s, err
	}
	if p, found := r.progress(ctx, scope, taskID)[taskID]; found {
		s.Progress = &p
	}
	return s, nil
}

// Tasks adds the progress of the running ones.
func (r reader) Tasks(ctx context.Context, scope readmodel.Scope, filter readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error) {
	list, err := r.Store.Tasks(ctx, scope, filter, page)
	if err != nil {
		return list, err
	}
	var running []string
	for i := range list.Rows {
		if s := &list.Rows[i]; s.State == timeline.StateInProgress {
			running = append(running, s.Task.ID)
		}
	}
	if len(running) == 0 {
		return list, nil
	}
	known := r.progress(ctx, scope, running...)
	for i := range list.Rows {
		if p, found := known[list.Rows[i].Task.ID]; found {
			list.Rows[i].Progress = &p
		}
	}
	return list, nil
}

func (r reader) progress(ctx context.Context, scope readmodel.Scope, ids ...string) map[string]timeline.Progress {
	if !r.live.Ready() {
		return nil
	}
	known, err := r.live.Progress(ctx, scope.Namespace, ids)
	if err != nil {
		return nil // counted by live, which knows that Redis is away
	}
	return known
}

// Health adds how old what is accepted and not yet readable is.
func (r reader) Health(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error) {
	h, err := r.Store.Health(ctx, scope, window)
	if err != nil {
		return h, err
	}
	say := func(what string) { // beside what the store says of its own counts
		if h.Stale != "" {
			what = h.Stale + "; " + what
		}
		h.Stale = what
	}
	r.addDepths(ctx, scope, &h)
	if r.collector == nil {
		say("the ingest lag is the collectors' to tell: see their /metrics")
		return h, nil
	}
	for _, s := range r.collector.Sinks() {
		if s.Name != r.Store.Name() {
			continue
		}
		h.IngestLag = timeline.Millis(s.LagSeconds * float64(time.Second))
		if !s.Up() {
			say("ClickHouse does not take events: what was accepted waits in the log")
		}
	}
	return h, nil
}

// depthFresh is how long what a runner said of its queues is believed.
const depthFresh = time.Minute

// addDepths lays what runners say of their own queues over what the timeline
// knows: a task that was enqueued past Tasktrail has no event before a worker
// takes it, and waits all the same. The larger of the two counts holds.
func (r reader) addDepths(ctx context.Context, scope readmodel.Scope, h *readmodel.Health) {
	if scope.UserID != "" || !r.live.Ready() {
		return
	}
	said, err := r.live.QueueDepths(ctx, scope.Namespace)
	if err != nil {
		return // counted by live, which knows that Redis is away
	}
	for _, d := range said {
		if h.GeneratedAt.Sub(d.At) > depthFresh || d.Pending == 0 {
			continue
		}
		i := slices.IndexFunc(h.Queues, func(q readmodel.QueueDepth) bool { return q.Queue == d.Queue })
		if i < 0 {
			i = len(h.Queues)
			h.Queues = append(h.Queues, readmodel.QueueDepth{Queue: d.Queue})
		}
		q := &h.Queues[i]
		if more := d.Pending - q.Pending; more > 0 {
			q.Pending += more
			h.QueueDepth += more
		}
		if q.OldestPendingAt.IsZero() || !d.OldestAt.IsZero() && d.OldestAt.Before(q.OldestPendingAt) {
			q.OldestPendingAt = d.OldestAt
		}
	}
	slices.SortFunc(h.Queues, func(a, b readmodel.QueueDepth) int { return cmp.Compare(a.Queue, b.Queue) })
}
