package live

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// AgentLive takes what an agent says of itself: it was seen, runs these tasks,
// is that far. Progress is published on the topics of the task and its user, at
// most once in Config.ProgressEvery for a task. A *timeline.FieldError where
// the data is not valid; ErrUnavailable where Redis did not take it.
func (l *Live) AgentLive(ctx context.Context, live timeline.AgentLive) error {
	if err := live.Validate(); err != nil {
		return fmt.Errorf("agent live: %w", err)
	}
	now := time.Now()
	live.Namespace = orDefault(live.Namespace)
	var c activeChanges
	c.reset()
	c.sources[live.SourceID] = now
	var messages []outgoing
	var ids timeline.IDGenerator
	for i := range live.Tasks {
		t := &live.Tasks[i]
		if t.Namespace == "" {
			t.Namespace = live.Namespace
		}
		state, current, throttled := l.active.known.report(t, t.Namespace, now, l.cfg.ProgressEvery)
		if !current {
			continue
		}
		c.beat(t.Namespace, live.SourceID, live.Agent, t, now)
		if throttled {
			l.stats.throttled.Add(1)
		}
		if t.Progress == nil || throttled {
			continue
		}
		e := timeline.Event{
			ID: ids.Next(now), SourceID: live.SourceID, Type: timeline.TaskProgress, Severity: timeline.TaskProgress.Severity(),
			Task: timeline.Task{Namespace: t.Namespace, ID: t.TaskID, Type: t.Type, Queue: t.Queue, Agent: live.Agent, UserID: t.UserID},
			Run:  t.Run, Attempt: t.Attempt, OccurredAt: now.UTC(), IngestedAt: now.UTC(), Progress: t.Progress,
		}
		if !t.Progress.At.IsZero() {
			e.OccurredAt = t.Progress.At.UTC()
		}
		topics := []string{TaskTopic(t.Namespace, t.TaskID)}
		if t.UserID != "" {
			topics = append(topics, UserTopic(t.Namespace, t.UserID))
		}
		b, err := eventBody(&e, state)
		if err != nil {
			l.stats.oversized.Add(uint64(len(topics)))
			continue
		}
		for _, topic := range topics {
			if m, err := b.on(topic); err == nil {
				messages = append(messages, outgoing{topic, m})
			}
		}
	}
	for part := range chunks(messages, pipelineLength) {
		if !l.publish(ctx, part) {
			break
		}
	}
	if err := l.active.write(ctx, &c); err != nil {
		return fmt.Errorf("agent live: %w", err)
	}
	return l.writeSource(ctx, &live, now)
}

func (l *Live) writeSource(ctx context.Context, live *timeline.AgentLive, now time.Time) error {
	info, err := json.Marshal(Source{
		SourceID: live.SourceID, Agent: live.Agent, Namespace: live.Namespace, Queues: live.Queues, Tasks: len(live.Tasks), SeenAt: now.UTC(),
	})
	if err != nil {
		return fmt.Errorf("encode source: %w", err)
	}
	var depths []any
	for _, d := range live.QueueDepths {
		j, err := json.Marshal(QueueDepth{LiveQueueDepth: d, At: now.UTC()})
		if err != nil {
			return fmt.Errorf("encode queue depth: %w", err)
		}
		depths = append(depths, d.Queue, j)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	_, err = l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, sourcesInfoKey, live.SourceID, info)
		if len(depths) > 0 {
			pipe.HSet(ctx, activeKeysOf(live.Namespace).depths, depths...)
		}
		return nil
	})
	if err := l.seen(err); err != nil {
		return fmt.Errorf("agent live: %w", err)
	}
	return nil
}
