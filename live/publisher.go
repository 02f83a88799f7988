package live

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// pipelineLength is how many messages go to Redis in one exchange.
const pipelineLength = 2_000

// Publisher follows a collector's log and publishes what it reads. Its Write
// fails only with its context: a message that could not be published is left
// out and counted, since a live update that comes late is worth nothing. It is
// not safe for concurrent use.
type Publisher struct {
	live   *Live
	rec    wire.Record
	now    time.Time
	queued []outgoing
	bytes  int
	active activeChanges
	// away: Redis failed within this batch; what is left of it is left out.
	away bool
}

type outgoing struct {
	topic   string
	payload []byte
}

// Publisher returns the sink that publishes. One process needs one.
func (l *Live) Publisher() *Publisher { return &Publisher{live: l} }

// Name is the name of the sink and its cursor.
func (p *Publisher) Name() string { return "live" }

// Write publishes the events of a batch and brings the active set up to date.
func (p *Publisher) Write(ctx context.Context, b *spool.Batch) error {
	p.now, p.away = time.Now(), false
	p.active.reset()
	for _, frame := range b.Frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := wire.ScanFrame(frame, &p.rec, func(r *wire.Record) error { p.event(ctx, r); return nil })
		if err == nil {
			err = wire.ScanLive(frame, &p.rec, func(r *wire.Record) error { p.liveRecord(ctx, r); return nil })
		}
		if err != nil {
			p.live.stats.unreadable.Add(1)
		}
	}
	p.flush(ctx)
	p.live.active.apply(ctx, &p.active)
	return ctx.Err()
}

func (p *Publisher) event(ctx context.Context, r *wire.Record) {
	if !r.Type.OfTask() || len(r.TaskID) == 0 {
		return
	}
	// Payloads are left out of messages anyway: do not copy them.
	r.Input, r.Output, r.DeadLetter.Sealed = nil, nil, nil
	var e timeline.Event
	r.Event(&e)
	state := p.live.active.known.fold(&e)
	p.active.event(&e, state)
	if p.now.Sub(e.IngestedAt) > p.live.cfg.MaxEventAge {
		p.live.stats.publishOld.Add(1)
		return
	}
	p.publish(ctx, &e, state)
}

// liveRecord takes progress and heartbeats that came as records of the log.
func (p *Publisher) liveRecord(ctx context.Context, r *wire.Record) {
	if len(r.TaskID) == 0 {
		return
	}
	var e timeline.Event
	r.Event(&e)
	if p.now.Sub(e.IngestedAt) > p.live.cfg.MaxEventAge {
		p.live.stats.publishOld.Add(1)
		return
	}
	t := timeline.LiveTask{
		Namespace: e.Namespace, TaskID: e.Task.ID, Run: e.Run, Attempt: e.Attempt, Type: e.Task.Type, Queue: e.Queue,
		UserID: e.UserID, Progress: e.Progress,
	}
	state, current, throttled := p.live.active.known.report(&t, e.Namespace, p.now, p.live.cfg.ProgressEvery)
	if !current {
		return
	}
	p.active.beat(e.Namespace, e.SourceID, e.Agent, &t, e.OccurredAt)
	switch {
	case e.Progress == nil:
	case throttled:
		p.live.stats.throttled.Add(1)
	default:
		p.publish(ctx, &e, state)
	}
}

// publish queues the event for each of its topics.
func (p *Publisher) publish(ctx context.Context, e *timeline.Event, state TaskState) {
	topics := make([]string, 0, 3)
	topics = append(topics, TaskTopic(e.Namespace, e.Task.ID))
	if e.UserID != "" && forUser(e.Type) {
		topics = append(topics, UserTopic(e.Namespace, e.UserID))
	}
	if forOperators(e.Type) {
		topics = append(topics, TasksTopic(e.Namespace))
	}
	if p.away {
		p.live.stats.publishSkipped.Add(uint64(len(topics)))
		return
	}
	b, err := eventBody(e, state)
	if err != nil || len(b) > maxMessageBytes {
		p.live.stats.oversized.Add(uint64(len(topics)))
		return
	}
	for _, topic := range topics {
		m, err := b.on(topic)
		if err != nil {
			p.live.stats.oversized.Add(1)
			continue
		}
		p.queued = append(p.queued, outgoing{topic, m})
		p.bytes += len(m)
	}
	if len(p.queued) >= pipelineLength || p.bytes >= 4<<20 {
		p.flush(ctx)
	}
}

// flush sends what is queued in one exchange.
func (p *Publisher) flush(ctx context.Context) {
	if len(p.queued) == 0 {
		return
	}
	if !p.live.publish(ctx, p.queued) {
		p.away = true
	}
	clear(p.queued)
	p.queued, p.bytes = p.queued[:0], 0
}

// publish sends messages in one exchange and reports whether Redis was there.
// A Redis that is known to be away is not waited for: the watch sees it return.
func (l *Live) publish(ctx context.Context, messages []outgoing) bool {
	if !l.Ready() && l.LastError() != "" {
		l.stats.publishSkipped.Add(uint64(len(messages)))
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	cmds, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, m := range messages {
			pipe.Publish(ctx, m.topic, m.payload)
		}
		return nil
	})
	failed := 0
	for _, c := range cmds {
		if c.Err() != nil {
			failed++
		}
	}
	if err != nil && len(cmds) == 0 {
		failed = len(messages)
	}
	l.stats.published.Add(uint64(len(messages) - failed))
	l.stats.publishSkipped.Add(uint64(failed))
	return l.seen(err) == nil || failed < len(messages)
}
