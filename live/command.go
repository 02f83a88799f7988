package live

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// group is the consumer group of every agent on the command streams.
const group = "agents"

// Fields of a stream entry.
const (
	fieldID      = "id"
	fieldCommand = "command"
	fieldMAC     = "mac"
)

// addScript puts a retry on its stream unless it is there or was answered.
// KEYS: stream, ids, done. ARGV: id, command, mac, most that may wait.
// It gives 1 for added, 0 for not needed, -1 for no room. It looks at the entry
// itself, since a Redis short of memory may have evicted the stream alone.
const addSource = `
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local e = redis.call('HGET', KEYS[2], ARGV[1])
if e and #redis.call('XRANGE', KEYS[1], e, e) > 0 then return 0 end
if not e and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then return -1 end
e = redis.call('XADD', KEYS[1], '*', 'id', ARGV[1], 'command', ARGV[2], 'mac', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], e)
return 1
`

// ackSource takes an answered retry off its stream and remembers that it was
// answered, so that a collector that is late does not put it back.
// KEYS: stream, ids, done. ARGV: id, seconds to remember, group.
const ackSource = `
redis.call('SET', KEYS[3], '1', 'EX', ARGV[2])
local e = redis.call('HGET', KEYS[2], ARGV[1])
if not e then return 0 end
redis.call('XACK', KEYS[1], ARGV[3], e)
redis.call('XDEL', KEYS[1], e)
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
`

// retryCommand is the command that a dlq_retry_requested event asks for.
func retryCommand(e *timeline.Event) timeline.Command {
	c := timeline.Command{
		ID: timeline.CommandID(orDefault(e.Namespace), e.Task.ID, e.Run), Kind: timeline.CommandRetry, Task: e.Task, Run: e.Run,
		Reason: timeline.RetryManual, Operator: e.Operator, RequestedAt: e.OccurredAt, TraceID: e.TraceID, SpanID: e.SpanID,
	}
	c.Output = nil
	if e.Retry != nil && e.Retry.Reason != "" {
		c.Reason = e.Retry.Reason
	}
	if e.DeadLetter != nil {
		c.DeadLetterID, c.Sealed, c.KeptInput = e.DeadLetter.ID, e.DeadLetter.Sealed, e.DeadLetter.KeptInput
		c.SourceID = e.DeadLetter.SourceID
	}
	if e.Operator != nil {
		c.InputPatch, c.InputEdits = e.Operator.InputPatch, e.Operator.InputEdits
	}
	return c
}

// cancelID is the id of the command that cancels a run.
func cancelID(namespace, taskID string, run int) timeline.ID {
	return timeline.DeriveID("cancel", orDefault(namespace), taskID, strconv.Itoa(run))
}

// cancelCommand is the command that a cancel_requested event asks for. It needs
// no payloads.
func cancelCommand(e *timeline.Event) timeline.Command {
	c := timeline.Command{
		ID: cancelID(e.Namespace, e.Task.ID, e.Run), Kind: timeline.CommandCancel, Task: e.Task, Run: e.Run,
		Operator: e.Operator, RequestedAt: e.OccurredAt,
	}
	if e.DeadLetter != nil && e.DeadLetter.SourceID == timeline.RequeueURLSource {
		c.SourceID = e.DeadLetter.SourceID
	}
	c.Input, c.Output = nil, nil
	return c
}

// sealed is a command as it stands in Redis.
type sealed struct {
	Command json.RawMessage `json:"command"`
	MAC     []byte          `json:"mac,omitempty"`
}

// seal encodes a command and authenticates it for one place, so that it can't
// be copied to another queue.
func (l *Live) seal(place string, c *timeline.Command) (sealed, error) {
	j, err := json.Marshal(c)
	if err != nil {
		return sealed{}, fmt.Errorf("encode command %s: %w", c.ID, err)
	}
	return sealed{j, l.mac(place, j)}, nil
}

func (l *Live) mac(place string, command []byte) []byte {
	if len(l.cfg.CommandKey) == 0 {
		return nil
	}
	h := hmac.New(sha256.New, l.cfg.CommandKey)
	h.Write([]byte(place))
	h.Write([]byte{0})
	h.Write(command)
	return h.Sum(nil)
}

var errForged = errors.New("command is not authentic")

// open checks and decodes a command.
func (l *Live) open(place string, s sealed) (timeline.Command, error) {
	var c timeline.Command
	if len(l.cfg.CommandKey) > 0 && !hmac.Equal(s.MAC, l.mac(place, s.Command)) {
		return c, errForged
	}
	if err := json.Unmarshal(s.Command, &c); err != nil {
		return c, fmt.Errorf("decode command: %w", err)
	}
	return c, nil
}

// addRetries puts retries on their streams and wakes the agents of their queues.
func (l *Live) addRetries(ctx context.Context, commands []timeline.Command) error {
	for len(commands) > 0 {
		n := exchange(commands)
		if err := l.addRetryPart(ctx, commands[:n]); err != nil {
			return err
		}
		commands = commands[n:]
	}
	return nil
}

// exchange is how many of the commands, at least one, go to Redis together: few
// enough that their payloads pass within a Timeout.
func exchange(commands []timeline.Command) int {
	bytes := 0
	for i := range commands {
		bytes += len(commands[i].Input) + len(commands[i].Sealed) + len(commands[i].InputPatch)
		if i > 0 && (bytes > 2<<20 || i == 200) {
			return i
		}
	}
	return len(commands)
}

func (l *Live) addRetryPart(ctx context.Context, commands []timeline.Command) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	wake := map[string]struct{}{}
	var added []*redis.Cmd
	_, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range commands {
			c := &commands[i]
			p := placeOf(c)
			cmd, err := l.addAt(ctx, pipe, p, c)
			if err != nil {
				return err
			}
			pipe.Set(ctx, placeKey(c.ID.String()), p.String(), 30*24*time.Hour)
			added = append(added, cmd)
			wake[p.keys(c.Namespace).wake] = struct{}{}
		}
		for channel := range wake {
			pipe.Publish(ctx, channel, "1")
		}
		return nil
	})
	if err := l.seen(err); err != nil {
		return fmt.Errorf("add commands: %w", err)
	}
	for i, cmd := range added {
		switch n, _ := cmd.Int(); n {
		case 1:
			l.stats.added.Add(1)
		case -1:
			l.stats.parked.Add(1)
			l.cfg.Logger.Warn("the queue's commands are full: the retry waits for room",
				"namespace", commands[i].Namespace, "queue", commands[i].Queue, "task_id", commands[i].Task.ID)
		}
	}
	return nil
}

// placeKey is where the place of a waiting command is remembered.
func placeKey(id string) string { return "tasktrail:command:" + id }

// answer is an event of an agent that shows that a command arrived.
type answer struct {
	namespace, queue, task string
	run                    int
	// foreign: no agent wrote it, so that a cancel was posted to the queue's URL.
	foreign bool
}

// ackRetries takes answered retries off their streams. An answer may name
// another queue than the request did, or none.
func (l *Live) ackRetries(ctx context.Context, answers []answer) error {
	for part := range chunks(answers, 200) {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		err := l.ackRetryPart(ctx, part)
		cancel()
		if err != nil {
			return fmt.Errorf("acknowledge commands: %w", err)
		}
	}
	return nil
}

func (l *Live) ackRetryPart(ctx context.Context, answers []answer) error {
	places := make([]*redis.StringCmd, len(answers))
	ids := make([]string, len(answers))
	_, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, a := range answers {
			ids[i] = timeline.CommandID(orDefault(a.namespace), a.task, a.run).String()
			places[i] = pipe.Get(ctx, placeKey(ids[i]))
		}
		return nil
	})
	if err := l.seen(err); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	var acks []*redis.Cmd
	_, err = l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, a := range answers {
			p := place{queue: a.queue}
			if s, err := places[i].Result(); err == nil {
				p = parsePlace(s)
			}
			acks = append(acks, l.ackAt(ctx, pipe, p, a.namespace, ids[i]))
			pipe.Del(ctx, placeKey(ids[i]))
		}
		return nil
	})
	if err := l.seen(err); err != nil {
		return err
	}
	for _, c := range acks {
		if n, _ := c.Int(); n == 1 {
			l.stats.answered.Add(1)
		}
	}
	return nil
}

// addCancels puts cancels where every agent of their queue finds them, or whoever
// posts to the queue's URL.
func (l *Live) addCancels(ctx context.Context, commands []timeline.Command) error {
	for part := range chunks(commands, 200) {
		asked, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		_, err := l.client.Pipelined(asked, func(pipe redis.Pipeliner) error {
			for i := range part {
				c := &part[i]
				keys := place{queue: c.Queue, url: c.SourceID == timeline.RequeueURLSource}.keys(c.Namespace)
				s, err := l.seal(keys.cancels, c)
				if err != nil {
					return err
				}
				j, err := json.Marshal(s)
				if err != nil {
					return fmt.Errorf("encode command %s: %w", c.ID, err)
				}
				pipe.HSet(asked, keys.cancels, c.ID.String(), j)
				// Whole hash, renewed by each cancel: the last one of a quiet queue goes too.
				pipe.Expire(asked, keys.cancels, l.cfg.CommandTTL)
				pipe.Publish(asked, keys.wake, "1")
			}
			return nil
		})
		cancel()
		if err := l.seen(err); err != nil {
			return fmt.Errorf("add cancels: %w", err)
		}
		l.stats.added.Add(uint64(len(part)))
	}
	return nil
}

// ackCancels takes the cancels of ended runs away. Nearly every run ends without
// one, so the removal is one command for all runs of a queue.
func (l *Live) ackCancels(ctx context.Context, ended []answer) error {
	if len(ended) == 0 {
		return nil
	}
	byKey := map[string][]string{}
	for _, a := range ended {
		keys, id := keysOf(a.namespace, a.queue), cancelID(a.namespace, a.task, a.run).String()
		byKey[keys.cancels] = append(byKey[keys.cancels], id)
		if a.foreign {
			own := keys.forURL().cancels
			byKey[own] = append(byKey[own], id)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	var removed []*redis.IntCmd
	_, err := l.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for key, ids := range byKey {
			for part := range chunks(ids, chunk) {
				removed = append(removed, pipe.HDel(ctx, key, part...))
			}
		}
		return nil
	})
	if err := l.seen(err); err != nil {
		return fmt.Errorf("acknowledge cancels: %w", err)
	}
	for _, c := range removed {
		l.stats.answered.Add(uint64(c.Val()))
	}
	return nil
}

// Redeliver offers again what the store shows as asked for and not answered: the
// retries and cancels that Redis lost or had no room for. What waits there, or
// was answered in the meantime, is left alone; what waits for a source that is lost
// is given to the other agents of its queue. Events of other types are passed
// over.
func (l *Live) Redeliver(ctx context.Context, unanswered []timeline.Event) error {
	var retries, cancels []timeline.Command
	for i := range unanswered {
		e := &unanswered[i]
		if e.Task.ID == "" || e.Run <= 0 {
			continue
		}
		switch e.Type {
		case timeline.DLQRetryRequested:
			retries = append(retries, retryCommand(e))
		case timeline.CancelRequested:
			cancels = append(cancels, cancelCommand(e))
		}
	}
	if err := errors.Join(l.free(ctx, retries), l.addRetries(ctx, retries), l.addCancels(ctx, cancels)); err != nil {
		return fmt.Errorf("redeliver: %w", err)
	}
	return nil
}
