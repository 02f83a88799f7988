package live

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	sweepEvery = 30 * time.Second
	// orphanAge: a heartbeat without a lifecycle entry counts for this long. It may
	// have come after the end of its task, over another collector.
	orphanAge = 2 * time.Minute
	// sourceTTL is how long a silent source is remembered.
	sourceTTL = 24 * time.Hour
	// chunk bounds the fields of one command.
	chunk = 500

	sourcesKey     = "tasktrail:sources"
	sourcesInfoKey = "tasktrail:sources:info"
)

// ActiveTask is one task that is running or waits for its next attempt.
type ActiveTask struct {
	Namespace string         `json:"namespace"`
	TaskID    string         `json:"task_id"`
	Type      string         `json:"type,omitempty"`
	Queue     string         `json:"queue,omitempty"`
	UserID    string         `json:"user_id,omitempty"`
	Agent     string         `json:"agent,omitempty"`
	SourceID  string         `json:"source_id,omitempty"`
	State     timeline.State `json:"state,omitempty"`
	Run       int            `json:"run"`
	Attempt   int            `json:"attempt"`
	StartedAt time.Time      `json:"started_at,omitzero"`
	// HeartbeatAt is the last sign of life: a heartbeat, progress or an event.
	HeartbeatAt time.Time          `json:"heartbeat_at,omitzero"`
	Progress    *timeline.Progress `json:"progress,omitempty"`
}

// Source is an agent as it last described itself.
type Source struct {
	SourceID  string    `json:"source_id"`
	Agent     string    `json:"agent,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Queues    []string  `json:"queues,omitempty"`
	Tasks     int       `json:"tasks"`
	SeenAt    time.Time `json:"seen_at"`
}

// QueueDepth is how much a runner said waits in a queue, and when it said so.
type QueueDepth struct {
	timeline.LiveQueueDepth
	At time.Time `json:"at"`
}

// activeSet keeps the active tasks of each namespace in Redis: lifecycle by
// events, progress by heartbeats, and the time of the last sign of life.
type activeSet struct {
	live  *Live
	known *snapshots

	mu         sync.Mutex
	namespaces map[string]struct{}
}

func newActiveSet(l *Live) *activeSet {
	return &activeSet{live: l, known: newSnapshots(l.cfg.MaxSnapshots), namespaces: map[string]struct{}{}}
}

type activeKeys struct{ tasks, progress, beats, depths string }

func activeKeysOf(namespace string) activeKeys {
	ns := timeline.KeyPart(orDefault(namespace))
	return activeKeys{
		tasks: "tasktrail:active:" + ns, progress: "tasktrail:progress:" + ns,
		beats: "tasktrail:beats:" + ns, depths: "tasktrail:depths:" + ns,
	}
}

// activeChanges is what a batch of events comes to: the last word on each task.
type activeChanges struct {
	tasks   map[taskKey]*ActiveTask // nil: gone
	beats   map[taskKey]*beat
	sources map[string]time.Time
}

type beat struct {
	Run      int                `json:"run"`
	Attempt  int                `json:"attempt"`
	Type     string             `json:"type,omitempty"`
	Queue    string             `json:"queue,omitempty"`
	UserID   string             `json:"user_id,omitempty"`
	Agent    string             `json:"agent,omitempty"`
	SourceID string             `json:"source_id,omitempty"`
	Progress *timeline.Progress `json:"progress,omitempty"`
	At       time.Time          `json:"at"`
}

func (c *activeChanges) reset() {
	c.tasks, c.beats, c.sources = map[taskKey]*ActiveTask{}, map[taskKey]*beat{}, map[string]time.Time{}
}

// event takes an event and the state of its task after it.
func (c *activeChanges) event(e *timeline.Event, s TaskState) {
	if e.SourceID != "" && e.IngestedAt.After(c.sources[e.SourceID]) {
		c.sources[e.SourceID] = e.IngestedAt
	}
	k := taskKey{e.Namespace, e.Task.ID}
	switch {
	case s.State.Terminal():
		c.tasks[k] = nil
		delete(c.beats, k)
	case e.Run < s.Run:
	case e.Type == timeline.TaskStarted, e.Type == timeline.AttemptStarted, e.Type == timeline.TaskRetried:
		started := e.OccurredAt
		if before := c.tasks[k]; before != nil && before.Run == e.Run && !before.StartedAt.IsZero() {
			started = before.StartedAt
		}
		c.tasks[k] = &ActiveTask{
			Namespace: e.Namespace, TaskID: e.Task.ID, Type: e.Task.Type, Queue: e.Queue, UserID: e.UserID, Agent: e.Agent,
			SourceID: e.SourceID, State: s.State, Run: s.Run, Attempt: s.Attempt, StartedAt: started, HeartbeatAt: e.OccurredAt,
		}
	}
}

func (c *activeChanges) beat(namespace, source, agent string, t *timeline.LiveTask, at time.Time) {
	c.beats[taskKey{namespace, t.TaskID}] = &beat{
		Run: t.Run, Attempt: t.Attempt, Type: t.Type, Queue: t.Queue, UserID: t.UserID, Agent: agent, SourceID: source,
		Progress: t.Progress, At: at,
	}
}

// apply writes the changes in one exchange. A failure is counted and no more:
// what is missing comes back with the next event, heartbeat or restore.
func (a *activeSet) apply(ctx context.Context, c *activeChanges) {
	if len(c.tasks)+len(c.beats)+len(c.sources) == 0 || ctx.Err() != nil {
		return
	}
	if err := a.write(ctx, c); err != nil {
		a.live.stats.activeFailed.Add(uint64(len(c.tasks) + len(c.beats)))
	}
}

// nsChanges are the fields of one namespace's keys.
type nsChanges struct {
	set, progress []any
	beats         []redis.Z
	gone          []string
}

func (a *activeSet) write(ctx context.Context, c *activeChanges) error {
	l := a.live
	if !l.Ready() && l.LastError() != "" {
		return ErrUnavailable
	}
	by := map[string]*nsChanges{}
	of := func(namespace string) *nsChanges {
		n := by[namespace]
		if n == nil {
			n = &nsChanges{}
			by[namespace] = n
		}
		return n
	}
	for k, t := range c.tasks {
		n := of(k.namespace)
		if t == nil {
			n.gone = append(n.gone, k.id)
			continue
		}
		j, err := json.Marshal(t)
		if err != nil {
			continue
		}
		n.set = append(n.set, k.id, j)
		n.beats = append(n.beats, redis.Z{Score: float64(t.HeartbeatAt.UnixMilli()), Member: k.id})
	}
	for k, b := range c.beats {
		n := of(k.namespace)
		j, err := json.Marshal(b)
		if err != nil {
			continue
		}
		n.progress = append(n.progress, k.id, j)
		n.beats = append(n.beats, redis.Z{Score: float64(b.At.UnixMilli()), Member: k.id})
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	_, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for namespace, n := range by {
			a.remember(namespace)
			keys := activeKeysOf(namespace)
			for part := range chunks(n.gone, chunk) {
				pipe.HDel(ctx, keys.tasks, part...)
				pipe.HDel(ctx, keys.progress, part...)
				pipe.ZRem(ctx, keys.beats, anys(part)...)
			}
			for part := range chunks(n.set, 2*chunk) {
				pipe.HSet(ctx, keys.tasks, part...)
			}
			for part := range chunks(n.progress, 2*chunk) {
				pipe.HSet(ctx, keys.progress, part...)
			}
			for part := range chunks(n.beats, chunk) {
				pipe.ZAdd(ctx, keys.beats, part...)
			}
		}
		for source, at := range c.sources {
			pipe.ZAdd(ctx, sourcesKey, redis.Z{Score: float64(at.UnixMilli()), Member: source})
		}
		return nil
	})
	return l.seen(err)
}

func chunks[T any](s []T, n int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(s) > 0 {
			m := min(n, len(s))
			if !yield(s[:m]) {
				return
			}
			s = s[m:]
		}
	}
}

func anys(s []string) []any {
	out := make([]any, len(s))
	for i, v := range s {
		out[i] = v
	}
	return out
}

// remember notes that a namespace has to be swept.
func (a *activeSet) remember(namespace string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.namespaces) < 10_000 {
		a.namespaces[namespace] = struct{}{}
	}
}

// run sweeps until ctx ends.
func (a *activeSet) run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !a.live.Ready() {
				continue
			}
			if err := a.sweep(ctx, now); err != nil && ctx.Err() == nil {
				a.live.cfg.Logger.Debug("sweep the active set", "error", err)
			}
		}
	}
}

// sweep takes out what gave no sign of life and what is beyond the bounds.
func (a *activeSet) sweep(ctx context.Context, now time.Time) error {
	a.mu.Lock()
	namespaces := make([]string, 0, len(a.namespaces))
	for n := range a.namespaces {
		namespaces = append(namespaces, n)
	}
	a.mu.Unlock()
	l := a.live
	for _, namespace := range namespaces {
		keys := activeKeysOf(namespace)
		dead, err := l.client.ZRangeByScore(ctx, keys.beats, &redis.ZRangeBy{
			Min: "-inf", Max: "(" + strconv.FormatInt(now.Add(-l.cfg.ActiveTTL).UnixMilli(), 10), Count: 10_000,
		}).Result()
		if err != nil {
			return l.seen(err)
		}
		// ZREMRANGEBYRANK would leave the hashes behind: ask who, then remove.
		over, err := l.client.ZRange(ctx, keys.beats, 0, int64(-l.cfg.MaxActive-1)).Result()
		if err != nil {
			return l.seen(err)
		}
		for part := range chunks(append(dead, over...), chunk) {
			if _, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.HDel(ctx, keys.tasks, part...)
				pipe.HDel(ctx, keys.progress, part...)
				pipe.ZRem(ctx, keys.beats, anys(part)...)
				return nil
			}); err != nil {
				return l.seen(err)
			}
		}
	}
	return a.sweepSources(ctx, now)
}

func (a *activeSet) sweepSources(ctx context.Context, now time.Time) error {
	l := a.live
	silent, err := l.client.ZRangeByScore(ctx, sourcesKey, &redis.ZRangeBy{
		Min: "-inf", Max: "(" + strconv.FormatInt(now.Add(-sourceTTL).UnixMilli(), 10), Count: 10_000,
	}).Result()
	if err != nil || len(silent) == 0 {
		return l.seen(err)
	}
	for part := range chunks(silent, chunk) {
		if _, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.HDel(ctx, sourcesInfoKey, part...)
			pipe.ZRem(ctx, sourcesKey, anys(part)...)
			return nil
		}); err != nil {
			return l.seen(err)
		}
	}
	return nil
}
