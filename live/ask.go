package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// maxAsked bounds the questions a process works on at a time; what comes beyond
	// is left out, and whoever asked is told so.
	maxAsked = 16
	// maxAnswerBytes bounds a question and an answer.
	maxAnswerBytes = 4 << 20
	// answerMargin is what the way back is given of an asker's time.
	answerMargin = 200 * time.Millisecond
)

// ErrNoAnswer says that whoever was asked did not answer in time. What was asked
// for may or may not have happened.
var ErrNoAnswer = errors.New("no answer came")

// question is the message on a process's own topic. Whoever may write to Redis
// may ask: a question is no more trusted than Redis's password.
type question struct {
	ID    string          `json:"id"`
	Until time.Time       `json:"until"`
	Body  json.RawMessage `json:"body"`
}

// askReply is the message that comes back.
type askReply struct {
	Body json.RawMessage `json:"body,omitempty"`
	Busy bool            `json:"busy,omitempty"`
}

// Ask hands a question, a JSON value, to the process that answers as holder
// under a name, and waits for its answer until ctx ends. It is asked at most
// once: after [ErrNoAnswer] and [ErrUnavailable] nobody knows what came of it.
func (l *Live) Ask(ctx context.Context, name, holder string, body []byte) ([]byte, error) {
	var ids timeline.IDGenerator
	id := ids.Next(time.Now()).String()
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("ask %s of %s: %w", name, holder, err) }
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(l.cfg.Timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	sub, err := l.Subscribe(ctx, answerTopic(id))
	if err != nil {
		return fail(err)
	}
	defer sub.Close()
	q, err := json.Marshal(question{id, until, body})
	if err != nil {
		return fail(err)
	}
	if len(q) > maxAnswerBytes {
		return fail(fmt.Errorf("%d bytes, the limit is %d", len(q), maxAnswerBytes))
	}
	if err := l.seen(l.client.Publish(ctx, askTopic(name, holder), q).Err()); err != nil {
		return fail(err)
	}
	for {
		select {
		case <-ctx.Done():
			return fail(fmt.Errorf("%w: %w", ErrNoAnswer, context.Cause(ctx)))
		case m, open := <-sub.C():
			if !open {
				return fail(ErrNoAnswer)
			}
			if m.Topic == "" {
				continue // a gap: the answer may come yet
			}
			var a askReply
			if err := json.Unmarshal(m.Payload, &a); err != nil {
				return fail(err)
			}
			if a.Busy {
				return fail(fmt.Errorf("%w: it is asked too much", ErrNoAnswer))
			}
			return a.Body, nil
		}
	}
}

// Answer answers what is asked of holder under a name until ctx or the Live
// ends. handle gives a JSON value; its ctx ends when nobody waits any more. It
// returns when no handle is under way.
func (l *Live) Answer(ctx context.Context, name, holder string, handle func(ctx context.Context, body []byte) []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	sub, err := l.Subscribe(ctx, askTopic(name, holder))
	if err != nil {
		return fmt.Errorf("answer %s: %w", name, err)
	}
	defer sub.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, maxAsked)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m, open := <-sub.C():
			if !open {
				return nil
			}
			var q question
			if m.Topic == "" || len(m.Payload) > maxAnswerBytes || json.Unmarshal(m.Payload, &q) != nil || len(q.ID) > 64 || !time.Now().Before(q.Until) {
				continue // a gap, not a question, or one that nobody waits for
			}
			select {
			case free <- struct{}{}:
				wg.Go(func() {
					defer func() { <-free }()
					l.handleAsked(ctx, &q, handle)
				})
			default:
				l.reply(ctx, q.ID, askReply{Busy: true})
			}
		}
	}
}

func (l *Live) handleAsked(ctx context.Context, q *question, handle func(ctx context.Context, body []byte) []byte) {
	asked, cancel := context.WithDeadline(ctx, q.Until.Add(-answerMargin))
	defer cancel()
	l.reply(ctx, q.ID, askReply{Body: handle(asked, q.Body)})
}

func (l *Live) reply(ctx context.Context, id string, a askReply) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	b, err := json.Marshal(a)
	if err == nil && len(b) <= maxAnswerBytes {
		err = l.seen(l.client.Publish(ctx, answerTopic(id), b).Err())
	}
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Debug("answer a question", "error", err)
	}
}

func askTopic(name, holder string) string {
	return "tasktrail:ask:" + timeline.KeyPart(name) + ":" + timeline.KeyPart(holder)
}

func answerTopic(id string) string { return "tasktrail:answer:" + timeline.KeyPart(id) }
