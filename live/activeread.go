package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// Active returns up to limit active tasks of a namespace, those with the latest
// sign of life first. After Redis was lost it is empty until it is restored,
// and progress is unknown until the next heartbeat.
func (l *Live) Active(ctx context.Context, namespace string, limit int) ([]ActiveTask, error) {
	if limit <= 0 || limit > l.cfg.MaxActive {
		limit = l.cfg.MaxActive
	}
	keys := activeKeysOf(namespace)
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	beats, err := l.client.ZRevRangeWithScores(ctx, keys.beats, 0, int64(limit-1)).Result()
	if err := l.seen(err); err != nil {
		return nil, fmt.Errorf("active tasks: %w", err)
	}
	now := time.Now()
	out := make([]ActiveTask, 0, len(beats))
	for part := range chunks(beats, chunk) {
		ids := make([]string, len(part))
		for i, z := range part {
			ids[i], _ = z.Member.(string)
		}
		tasks, progress, err := l.activeFields(ctx, keys, ids)
		if err != nil {
			return nil, fmt.Errorf("active tasks: %w", err)
		}
		for i, id := range ids {
			at := time.UnixMilli(int64(part[i].Score)).UTC()
			if t, ok := mergeActive(orDefault(namespace), id, at, now, tasks[i], progress[i]); ok {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func (l *Live) activeFields(ctx context.Context, keys activeKeys, ids []string) (tasks, progress []any, err error) {
	var t, p *redis.SliceCmd
	_, err = l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		t, p = pipe.HMGet(ctx, keys.tasks, ids...), pipe.HMGet(ctx, keys.progress, ids...)
		return nil
	})
	if err := l.seen(err); err != nil {
		return nil, nil, err
	}
	return t.Val(), p.Val(), nil
}

// mergeActive puts the lifecycle and the heartbeat of a task together.
func mergeActive(namespace, id string, at, now time.Time, lifecycle, heartbeat any) (ActiveTask, bool) {
	t := ActiveTask{Namespace: namespace, TaskID: id}
	found := decodeField(lifecycle, &t)
	t.HeartbeatAt = at
	var b beat
	if !decodeField(heartbeat, &b) {
		return t, found
	}
	if !found {
		if now.Sub(b.At) > orphanAge {
			return t, false
		}
		t.State, t.Run, t.Attempt = timeline.StateInProgress, b.Run, b.Attempt
	}
	if b.Run < t.Run || b.Run == t.Run && b.Attempt < t.Attempt {
		return t, true
	}
	t.Run, t.Attempt, t.Progress = b.Run, b.Attempt, b.Progress
	for _, f := range [...]struct {
		dst *string
		src string
	}{{&t.Type, b.Type}, {&t.Queue, b.Queue}, {&t.UserID, b.UserID}, {&t.Agent, b.Agent}, {&t.SourceID, b.SourceID}} {
		*f.dst = cmp.Or(*f.dst, f.src)
	}
	return t, true
}

func decodeField(v, into any) bool {
	s, ok := v.(string)
	return ok && json.Unmarshal([]byte(s), into) == nil
}

// Progress returns the progress of those of the tasks that reported some. A
// bounded number of ids is asked for: at most 10 000.
func (l *Live) Progress(ctx context.Context, namespace string, ids []string) (map[string]timeline.Progress, error) {
	beats, err := l.heartbeats(ctx, namespace, ids)
	if err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	out := make(map[string]timeline.Progress, len(beats))
	for id, b := range beats {
		if b.Progress != nil {
			out[id] = *b.Progress
		}
	}
	return out, nil
}

// Heartbeats returns when the agents of the tasks last said that they run them;
// tasks nobody spoke of are left out. ErrUnavailable is not silence of an agent.
func (l *Live) Heartbeats(ctx context.Context, namespace string, ids []string) (map[string]time.Time, error) {
	beats, err := l.heartbeats(ctx, namespace, ids)
	if err != nil {
		return nil, fmt.Errorf("heartbeats: %w", err)
	}
	out := make(map[string]time.Time, len(beats))
	for id, b := range beats {
		out[id] = b.At
	}
	return out, nil
}

func (l *Live) heartbeats(ctx context.Context, namespace string, ids []string) (map[string]beat, error) {
	if len(ids) > 10_000 {
		return nil, fmt.Errorf("%d tasks, the limit is 10000", len(ids))
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	out := make(map[string]beat, len(ids))
	for part := range chunks(ids, chunk) {
		values, err := l.client.HMGet(ctx, activeKeysOf(namespace).progress, part...).Result()
		if err := l.seen(err); err != nil {
			return nil, err
		}
		for i, v := range values {
			var b beat
			if decodeField(v, &b) {
				out[part[i]] = b
			}
		}
	}
	return out, nil
}

// Sources returns the agents that were seen since, by source id, those that only
// wrote events among them.
func (l *Live) Sources(ctx context.Context, since time.Time) ([]Source, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	seen, err := l.client.ZRangeByScoreWithScores(ctx, sourcesKey, &redis.ZRangeBy{
		Min: fmt.Sprint(since.UnixMilli()), Max: "+inf", Count: 100_000,
	}).Result()
	if err := l.seen(err); err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	out := make([]Source, 0, len(seen))
	for part := range chunks(seen, chunk) {
		ids := make([]string, len(part))
		for i, z := range part {
			ids[i], _ = z.Member.(string)
		}
		infos, err := l.client.HMGet(ctx, sourcesInfoKey, ids...).Result()
		if err := l.seen(err); err != nil {
			return nil, fmt.Errorf("sources: %w", err)
		}
		for i, id := range ids {
			s := Source{SourceID: id}
			_ = decodeField(infos[i], &s)
			s.SeenAt = time.UnixMilli(int64(part[i].Score)).UTC()
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Source) int { return cmp.Compare(a.SourceID, b.SourceID) })
	return out, nil
}

// quarantine is how long after Redis came back empty a source that is missing
// there may just not have spoken again: four heartbeats.
const quarantine = time.Minute

// LastSeen returns when any collector last heard of a source, by its events or
// its heartbeats; the zero time where none did within a day. ErrUnavailable where
// that can't be known: Redis is away, or came back empty less than a minute ago.
func (l *Live) LastSeen(ctx context.Context, sourceID string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	ms, err := l.client.ZScore(ctx, sourcesKey, sourceID).Result()
	switch err := l.seen(err); {
	case errors.Is(err, redis.Nil):
		if e := l.emptyAt.Load(); e == 0 || time.Since(time.Unix(0, e)) < quarantine {
			return time.Time{}, fmt.Errorf("last seen: %w: its memory is too young", ErrUnavailable)
		}
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("last seen: %w", err)
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

// QueueDepths returns what runners said of their queues, by name. What was said
// longer than ten minutes ago is left out.
func (l *Live) QueueDepths(ctx context.Context, namespace string) ([]QueueDepth, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	all, err := l.client.HGetAll(ctx, activeKeysOf(namespace).depths).Result()
	if err := l.seen(err); err != nil {
		return nil, fmt.Errorf("queue depths: %w", err)
	}
	oldest := time.Now().Add(-10 * time.Minute)
	out := make([]QueueDepth, 0, len(all))
	for _, v := range all {
		var d QueueDepth
		if decodeField(v, &d) && d.At.After(oldest) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b QueueDepth) int { return cmp.Compare(a.Queue, b.Queue) })
	return out, nil
}

// RestoreActive puts tasks back that Redis lost. What stands there is newer and
// is left as it is; terminal tasks are passed over.
func (l *Live) RestoreActive(ctx context.Context, namespace string, tasks []timeline.Snapshot) error {
	keys := activeKeysOf(namespace)
	l.active.remember(orDefault(namespace))
	for part := range chunks(tasks, chunk) {
		asked, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		_, err := l.client.Pipelined(asked, func(pipe redis.Pipeliner) error {
			for i := range part {
				s := &part[i]
				if s.State != timeline.StateInProgress && s.State != timeline.StateRetrying && s.State != timeline.StateLost {
					continue
				}
				j, err := json.Marshal(ActiveTask{
					Namespace: orDefault(namespace), TaskID: s.Task.ID, Type: s.Task.Type, Queue: s.Queue, UserID: s.UserID, Agent: s.Agent,
					State: s.State, Run: s.Run, Attempt: s.Attempt, StartedAt: s.StartedAt, HeartbeatAt: s.UpdatedAt,
				})
				if err != nil {
					return fmt.Errorf("encode task: %w", err)
				}
				pipe.HSetNX(asked, keys.tasks, s.Task.ID, j)
				pipe.ZAddNX(asked, keys.beats, redis.Z{Score: float64(s.UpdatedAt.UnixMilli()), Member: s.Task.ID})
			}
			return nil
		})
		cancel()
		if err := l.seen(err); err != nil {
			return fmt.Errorf("restore the active set: %w", err)
		}
	}
	return nil
}
