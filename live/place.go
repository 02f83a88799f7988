package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// place is where a retry waits: in the stream of its queue, from which one of the
// queue's agents takes it; in the stream of the queue's re-enqueue URL, from which
// one of the collectors takes it; or in the hash of the one source that can start
// the run.
type place struct {
	queue, source string
	url           bool
}

func placeOf(c *timeline.Command) place {
	if c.SourceID == timeline.RequeueURLSource {
		return place{queue: c.Queue, url: true}
	}
	return place{queue: c.Queue, source: c.SourceID}
}

// String is how Redis remembers the place: the queue, and what of it after a NUL,
// which no name has.
func (p place) String() string {
	switch {
	case p.url:
		return p.queue + "\x00u"
	case p.source != "":
		return p.queue + "\x00s" + p.source
	}
	return p.queue
}

func parsePlace(s string) place {
	queue, rest, _ := strings.Cut(s, "\x00")
	if source, ok := strings.CutPrefix(rest, "s"); ok {
		return place{queue: queue, source: source}
	}
	return place{queue: queue, url: rest == "u"}
}

// keys are those of the stream the place belongs to.
func (p place) keys(namespace string) queueKeys {
	k := keysOf(namespace, p.queue)
	if p.url {
		return k.forURL()
	}
	return k
}

// forURL are the keys of what waits for the queue's re-enqueue URL.
func (k queueKeys) forURL() queueKeys {
	stream := k.stream + ":url" // an encoded queue has no colon
	return queueKeys{stream: stream, ids: "{" + stream + "}:ids", cancels: k.cancels + ":url", wake: k.wake + ":url"}
}

// ownedKey holds what one source alone can carry out, by command, in the slot of
// the queue's stream.
func (k queueKeys) ownedKey(source string) string {
	return "{" + k.stream + "}:owned:" + timeline.KeyPart(source)
}

// addOwnedSource is addSource for a source's own hash.
// KEYS: owned, done. ARGV: id, sealed command, most that may wait, seconds to live.
const addOwnedSource = `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
`

// ackOwnedSource is ackSource for a source's own hash.
// KEYS: owned, done. ARGV: id, seconds to remember.
const ackOwnedSource = `
redis.call('SET', KEYS[2], '1', 'EX', ARGV[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
`

func (l *Live) addAt(ctx context.Context, pipe redis.Pipeliner, p place, c *timeline.Command) (*redis.Cmd, error) {
	keys, id := p.keys(c.Namespace), c.ID.String()
	if p.source == "" {
		s, err := l.seal(keys.stream, c)
		if err != nil {
			return nil, err
		}
		return pipe.Eval(ctx, addSource, []string{keys.stream, keys.ids, keys.doneKey(id)}, id, []byte(s.Command), s.MAC, l.cfg.MaxCommands), nil
	}
	owned := keys.ownedKey(p.source)
	s, err := l.seal(owned, c)
	if err != nil {
		return nil, err
	}
	j, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", id, err)
	}
	return pipe.Eval(ctx, addOwnedSource, []string{owned, keys.doneKey(id)}, id, j, l.cfg.MaxCommands, seconds(l.cfg.CommandTTL)), nil
}

func (l *Live) ackAt(ctx context.Context, pipe redis.Pipeliner, p place, namespace, id string) *redis.Cmd {
	keys := p.keys(namespace)
	if p.source == "" {
		return pipe.Eval(ctx, ackSource, []string{keys.stream, keys.ids, keys.doneKey(id)}, id, seconds(l.cfg.CommandTTL), group)
	}
	return pipe.Eval(ctx, ackOwnedSource, []string{keys.ownedKey(p.source), keys.doneKey(id)}, id, seconds(l.cfg.CommandTTL))
}

func seconds(d time.Duration) int { return int(d/time.Second) + 1 }

// free lets any agent of the queue have the commands whose own source is lost. What
// can't be known now stays as it is.
func (l *Live) free(ctx context.Context, commands []timeline.Command) error {
	gone := map[string]bool{}
	for i := range commands {
		c := &commands[i]
		if c.SourceID == "" || c.SourceID == timeline.RequeueURLSource {
			continue
		}
		lost, known := gone[c.SourceID]
		if !known {
			seen, err := l.LastSeen(ctx, c.SourceID)
			lost = err == nil && time.Since(seen) >= l.cfg.LostAfter
			gone[c.SourceID] = lost
		}
		if !lost {
			continue
		}
		owned := keysOf(c.Namespace, c.Queue).ownedKey(c.SourceID)
		asked, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		err := l.seen(l.client.HDel(asked, owned, c.ID.String()).Err())
		cancel()
		if err != nil {
			return fmt.Errorf("free a lost source's command: %w", err)
		}
		l.cfg.Logger.Info("the source of a retry is lost: any agent of its queue may take it", "source", c.SourceID, "task_id", c.Task.ID, "run", c.Run)
		c.SourceID = ""
	}
	return nil
}

// owned sends what waits for this source alone and was not sent within
// Config.RedeliverAfter.
func (d *delivery) owned(ctx context.Context) error {
	if d.url {
		return nil
	}
	now := time.Now()
	found := map[string]time.Time{}
	for _, q := range d.queues {
		key := q.ownedKey(d.source)
		for cursor := uint64(0); ; {
			asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
			fields, next, err := d.live.client.HScan(asked, key, cursor, "", deliverAtOnce).Result()
			cancel()
			if err := d.live.seen(err); err != nil && !errors.Is(err, redis.Nil) {
				return fmt.Errorf("read a source's commands: %w", err)
			}
			for i := 0; i+1 < len(fields); i += 2 {
				if err := d.sendOwned(ctx, key, fields[i], fields[i+1], now, found); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	d.ownedSent = found
	return nil
}

func (d *delivery) sendOwned(ctx context.Context, key, id, value string, now time.Time, found map[string]time.Time) error {
	if at, sent := d.ownedSent[id]; sent && now.Sub(at) < d.live.cfg.RedeliverAfter {
		found[id] = at
		return nil
	}
	if _, sent := found[id]; sent {
		return nil // a scan may give it twice
	}
	var s sealed
	err := json.Unmarshal([]byte(value), &s)
	var c timeline.Command
	if err == nil {
		c, err = d.live.open(key, s)
	}
	if err != nil {
		d.live.stats.forged.Add(1)
		d.live.cfg.Logger.Warn("drop a command from redis", "key", key, "error", err)
		asked, cancel := context.WithTimeout(ctx, d.live.cfg.Timeout)
		defer cancel()
		return d.live.seen(d.live.client.HDel(asked, key, id).Err())
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case d.out <- c:
	}
	d.live.stats.delivered.Add(1)
	if _, again := d.ownedSent[id]; again {
		d.live.stats.redelivered.Add(1)
	}
	found[id] = now
	return nil
}
