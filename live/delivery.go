package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// deliverAtOnce bounds the commands taken from one stream at a time. What an
// agent takes and can't hand on waits for RedeliverAfter, so it is small.
const deliverAtOnce = 16

// Commands returns the commands for an agent that serves queues: each retry
// goes to one of the agents of its queue, each cancel to all of them. The
// channel is closed when ctx ends. It waits for the receiver: what has not been
// received is not lost, but offered again after Config.RedeliverAfter, to this
// agent or another, until the log shows an answer. While Redis is away nothing
// comes.
//
// A source that connects again gets at once what it took and did not answer. Of the
// queues in cancels it gets the cancels alone: it runs tasks of theirs, and starts
// none.
func (l *Live) Commands(ctx context.Context, source, namespace string, queues []string, cancels ...string) <-chan timeline.Command {
	return l.deliver(ctx, source, namespace, queues, cancels, false)
}

// URLCommands is [Live.Commands] for the commands that no agent can carry out and that
// go to the URL registered for their queue.
func (l *Live) URLCommands(ctx context.Context, source, namespace, queue string) <-chan timeline.Command {
	return l.deliver(ctx, source, namespace, []string{queue}, nil, true)
}

func (l *Live) deliver(ctx context.Context, source, namespace string, queues, cancels []string, url bool) <-chan timeline.Command {
	out := make(chan timeline.Command)
	d := &delivery{
		live: l, source: source, url: url, out: out, fresh: true, sent: map[string]time.Time{},
		claim: time.Now().Add(l.claimEvery()),
	}
	var wake []string
	for _, q := range queues {
		k := place{queue: q, url: url}.keys(namespace)
		d.queues, d.stops = append(d.queues, k), append(d.stops, k)
		wake = append(wake, k.wake)
	}
	for _, q := range cancels {
		if !slices.Contains(queues, q) {
			k := place{queue: q}.keys(namespace)
			d.stops, wake = append(d.stops, k), append(wake, k.wake)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(d.stops) == 0 {
		close(out)
		return out
	}
	l.wg.Go(func() { d.run(ctx, wake) })
	return out
}

// delivery is the command side of one agent's connection.
type delivery struct {
	live   *Live
	source string
	// url: what goes to re-enqueue URLs, which no source owns.
	url    bool
	queues []queueKeys
	// stops are the queues whose cancels it gets.
	stops []queueKeys
	out   chan<- timeline.Command
	// fresh: what the source took in an earlier connection is still to be sent.
	fresh bool
	// sent is when this connection sent the cancels that it still finds.
	sent map[string]time.Time
	// ownedSent is when this connection sent what waits for the source alone.
	ownedSent map[string]time.Time
	// announced is when the queues were last said to be served.
	announced time.Time
	// claim is when to look next for what other agents left unanswered.
	claim time.Time
}

func (l *Live) claimEvery() time.Duration { return max(l.cfg.RedeliverAfter/4, 10*time.Millisecond) }

func (d *delivery) run(ctx context.Context, wake []string) {
	defer close(d.out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.live.life, cancel)()
	sub, err := d.live.Subscribe(ctx, wake...)
	var woken <-chan Message
	if err == nil {
		defer sub.Close()
		woken = sub.C()
	}
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-woken:
			if !open {
				woken = nil
			}
		case <-poll.C:
		}
		more, err := d.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.live.cfg.Logger.Debug("read commands", "source", d.source, "error", err)
		}
		wait := d.live.cfg.PollEvery
		if more {
			wait = 0
		}
		poll.Reset(min(wait, max(time.Until(d.claim), 0)))
		if err != nil {
			poll.Reset(d.live.cfg.PollEvery)
		}
	}
}

// round looks at every queue once and says whether there may be more at once.
func (d *delivery) round(ctx context.Context) (more bool, err error) {
	for _, step := range []func(context.Context) error{d.announce, d.cancels, d.owned} {
		if err := step(ctx); err != nil {
			return false, err
		}
	}
	if d.fresh {
		for _, q := range d.queues {
			if err := d.own(ctx, q); err != nil {
				return false, err
			}
		}
		d.fresh = false
	}
	claim := !time.Now().Before(d.claim)
	if claim {
		d.claim = time.Now().Add(d.live.claimEvery())
	}
	for _, q := range d.queues {
		n, err := d.read(ctx, q, ">")
		if err != nil {
			return false, err
		}
		more = more || n == deliverAtOnce
		if claim {
			if err := d.claimIdle(ctx, q); err != nil {
				return false, err
			}
		}
	}
	return more, nil
}

// own sends what this source took before and was not answered.
func (d *delivery) own(ctx context.Context, q queueKeys) error {
	after := "0"
	for {
		entries, err := d.readGroup(ctx, q, after)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := d.send(ctx, q, entries, true); err != nil {
			return err
		}
		after = entries[len(entries)-1].ID
	}
}

func (d *delivery) read(ctx context.Context, q queueKeys, after string) (int, error) {
	entries, err := d.readGroup(ctx, q, after)
	if err != nil {
		return 0, err
	}
	return len(entries), d.send(ctx, q, entries, false)
}

// readGroup reads without blocking: a connection that waits in Redis for each
// agent and queue would use the pool up.
func (d *delivery) readGroup(ctx context.Context, q queueKeys, after string) ([]redis.XMessage, error) {
	asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
	defer cancel()
	for range 2 {
		streams, err := d.live.client.XReadGroup(asked, &redis.XReadGroupArgs{
			Group: group, Consumer: d.source, Streams: []string{q.stream, after}, Count: deliverAtOnce, Block: -1,
		}).Result()
		if err == nil {
			return streams[0].Messages, d.live.seen(nil)
		}
		if noGroup(err) {
			if err := d.makeGroup(asked, q); err != nil {
				return nil, err
			}
			continue
		}
		if err := d.live.seen(err); !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read commands: %w", err)
		}
		return nil, nil
	}
	return nil, nil
}

func noGroup(err error) bool { return strings.HasPrefix(err.Error(), "NOGROUP") }

// makeGroup makes the group from the beginning of the stream: what was put there
// before any agent came is for agents too.
func (d *delivery) makeGroup(ctx context.Context, q queueKeys) error {
	err := d.live.client.XGroupCreateMkStream(ctx, q.stream, group, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return nil
	}
	if err := d.live.seen(err); err != nil {
		return fmt.Errorf("make the command group: %w", err)
	}
	return nil
}

// claimIdle takes over what an agent, this one or another, took and left
// unanswered.
func (d *delivery) claimIdle(ctx context.Context, q queueKeys) error {
	start := "0-0"
	for {
		asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
		entries, next, err := d.live.client.XAutoClaim(asked, &redis.XAutoClaimArgs{
			Stream: q.stream, Group: group, Consumer: d.source, MinIdle: d.live.cfg.RedeliverAfter, Start: start, Count: deliverAtOnce,
		}).Result()
		cancel()
		if err != nil && noGroup(err) {
			return nil
		}
		if err := d.live.seen(err); err != nil {
			return fmt.Errorf("claim idle commands: %w", err)
		}
		if err := d.send(ctx, q, entries, true); err != nil {
			return err
		}
		if start = next; start == "0-0" || start == "" {
			return nil
		}
	}
}

// send hands entries on. What is not authentic or can't be read is dropped: no
// agent could ever answer it.
func (d *delivery) send(ctx context.Context, q queueKeys, entries []redis.XMessage, again bool) error {
	for _, e := range entries {
		id, _ := e.Values[fieldID].(string)
		command, _ := e.Values[fieldCommand].(string)
		mac, _ := e.Values[fieldMAC].(string)
		c, err := d.live.open(q.stream, sealed{json.RawMessage(command), []byte(mac)})
		if err != nil {
			if err := d.drop(ctx, q, e.ID, id, err); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d.out <- c:
		}
		d.live.stats.delivered.Add(1)
		if again {
			d.live.stats.redelivered.Add(1)
		}
	}
	return nil
}

func (d *delivery) drop(ctx context.Context, q queueKeys, entry, id string, why error) error {
	d.live.stats.forged.Add(1)
	d.live.cfg.Logger.Warn("drop a command from redis", "stream", q.stream, "entry", entry, "error", why)
	ctx, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
	defer cancel()
	// The id belongs to the true command where that stands in another entry.
	own, err := d.live.client.HGet(ctx, q.ids, id).Result()
	if err := d.live.seen(err); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("drop a command: %w", err)
	}
	_, err = d.live.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.XAck(ctx, q.stream, group, entry)
		pipe.XDel(ctx, q.stream, entry)
		if own == entry {
			pipe.HDel(ctx, q.ids, id)
		}
		return nil
	})
	if err := d.live.seen(err); err != nil {
		return fmt.Errorf("drop a command: %w", err)
	}
	return nil
}

// cancels sends the cancels that this connection has not sent yet. Those for a URL
// come again, for it may not have answered.
func (d *delivery) cancels(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
	defer cancel()
	all := make([]*redis.MapStringStringCmd, len(d.stops))
	_, err := d.live.client.Pipelined(asked, func(pipe redis.Pipeliner) error {
		for i, q := range d.stops {
			all[i] = pipe.HGetAll(asked, q.cancels)
		}
		return nil
	})
	if err := d.live.seen(err); err != nil {
		return fmt.Errorf("read cancels: %w", err)
	}
	oldest := time.Now().Add(-d.live.cfg.CommandTTL)
	now, found := time.Now(), map[string]time.Time{}
	for i, q := range d.stops {
		var gone []string
		for id, v := range all[i].Val() {
			var s sealed
			err := json.Unmarshal([]byte(v), &s)
			var c timeline.Command
			if err == nil {
				c, err = d.live.open(q.cancels, s)
			}
			if err != nil || c.RequestedAt.Before(oldest) {
				if err != nil {
					d.live.stats.forged.Add(1)
					d.live.cfg.Logger.Warn("drop a cancel from redis", "key", q.cancels, "error", err)
				}
				gone = append(gone, id)
				continue
			}
			if at, sent := d.sent[id]; sent && (!d.url || now.Sub(at) < d.live.cfg.RedeliverAfter) {
				found[id] = at
				continue
			}
			found[id] = now
			select {
			case <-ctx.Done():
				return ctx.Err()
			case d.out <- c:
				d.live.stats.delivered.Add(1)
			}
		}
		if len(gone) > 0 {
			if err := d.dropCancels(ctx, q, gone); err != nil {
				return err
			}
		}
	}
	d.sent = found
	return nil
}

func (d *delivery) dropCancels(ctx context.Context, q queueKeys, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
	defer cancel()
	if err := d.live.seen(d.live.client.HDel(ctx, q.cancels, ids...).Err()); err != nil {
		return fmt.Errorf("drop cancels: %w", err)
	}
	return nil
}
