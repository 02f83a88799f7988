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
	// maxWaiting bounds the questions that wait for an answer.
	maxWaiting = 1_000
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
	ID string `json:"id"`
	// Asker names the topic that the answer is published on.
	Asker string          `json:"asker"`
	Until time.Time       `json:"until"`
	Body  json.RawMessage `json:"body"`
}

// askReply is the message that comes back.
type askReply struct {
	ID   string          `json:"id"`
	Body json.RawMessage `json:"body,omitempty"`
	Busy bool            `json:"busy,omitempty"`
}

// asked is what this process asked and waits for; all answers come on one topic,
// which is listened to from the first question on.
type asked struct {
	mu      sync.Mutex
	asker   string
	waiting map[string]chan askReply
	ids     timeline.IDGenerator
}

// expect begins to wait for the answer to a question.
func (l *Live) expect(ctx context.Context) (q question, reply <-chan askReply, forget func(), err error) {
	a := &l.asked
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asker == "" {
		asker := a.ids.Next(time.Now()).String()
		sub, err := l.Subscribe(ctx, answerTopic(asker))
		if err != nil {
			return q, nil, nil, err
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			sub.Close()
			return q, nil, nil, errors.New("live: closed")
		}
		l.wg.Go(func() { l.hear(sub) })
		l.mu.Unlock()
		a.asker, a.waiting = asker, map[string]chan askReply{}
	}
	if len(a.waiting) >= maxWaiting {
		return q, nil, nil, fmt.Errorf("%d questions wait for an answer, the limit is %d", len(a.waiting), maxWaiting)
	}
	q = question{ID: a.ids.Next(time.Now()).String(), Asker: a.asker}
	c := make(chan askReply, 1)
	a.waiting[q.ID] = c
	return q, c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting, q.ID)
	}, nil
}

// hear hands answers to those who wait for them.
func (l *Live) hear(sub *Subscription) {
	for m := range sub.C() {
		var r askReply
		if m.Topic == "" || json.Unmarshal(m.Payload, &r) != nil {
			continue
		}
		l.asked.mu.Lock()
		c := l.asked.waiting[r.ID]
		delete(l.asked.waiting, r.ID)
		l.asked.mu.Unlock()
		if c != nil {
			c <- r
		}
	}
}

// Ask hands a question, a JSON value, to the process that answers as holder
// under a name, and waits for its answer until ctx ends. It is asked at most
// once: after [ErrNoAnswer] and [ErrUnavailable] nobody knows what came of it.
func (l *Live) Ask(ctx context.Context, name, holder string, body []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("ask %s of %s: %w", name, holder, err) }
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.cfg.Timeout)
		defer cancel()
	}
	q, reply, forget, err := l.expect(ctx)
	if err != nil {
		return fail(err)
	}
	defer forget()
	select {
	case <-l.hub.inForce(answerTopic(q.Asker)):
	case <-ctx.Done():
		return fail(fmt.Errorf("%w: %w", ErrNoAnswer, context.Cause(ctx)))
	}
	q.Until, _ = ctx.Deadline()
	q.Body = body
	b, err := json.Marshal(q)
	if err != nil {
		return fail(err)
	}
	if len(b) > maxAnswerBytes {
		return fail(fmt.Errorf("%d bytes, the limit is %d", len(b), maxAnswerBytes))
	}
	if err := l.seen(l.client.Publish(ctx, askTopic(name, holder), b).Err()); err != nil {
		return fail(err)
	}
	select {
	case <-ctx.Done():
		return fail(fmt.Errorf("%w: %w", ErrNoAnswer, context.Cause(ctx)))
	case <-l.life.Done():
		return fail(ErrNoAnswer)
	case r := <-reply:
		if r.Busy {
			return fail(fmt.Errorf("%w: it is asked too much", ErrNoAnswer))
		}
		return r.Body, nil
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
			if m.Topic == "" || len(m.Payload) > maxAnswerBytes || json.Unmarshal(m.Payload, &q) != nil || len(q.ID) > 64 || len(q.Asker) > 64 || !time.Now().Before(q.Until) {
				continue // a gap, not a question, or one that nobody waits for
			}
			select {
			case free <- struct{}{}:
				wg.Go(func() {
					defer func() { <-free }()
					l.handleAsked(ctx, &q, handle)
				})
			default:
				l.reply(ctx, q.Asker, askReply{ID: q.ID, Busy: true})
			}
		}
	}
}

func (l *Live) handleAsked(ctx context.Context, q *question, handle func(ctx context.Context, body []byte) []byte) {
	asked, cancel := context.WithDeadline(ctx, q.Until.Add(-answerMargin))
	defer cancel()
	l.reply(ctx, q.Asker, askReply{ID: q.ID, Body: handle(asked, q.Body)})
}

func (l *Live) reply(ctx context.Context, asker string, a askReply) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	b, err := json.Marshal(a)
	if err == nil && len(b) <= maxAnswerBytes {
		err = l.seen(l.client.Publish(ctx, answerTopic(asker), b).Err())
	}
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Debug("answer a question", "error", err)
	}
}

func askTopic(name, holder string) string {
	return "tasktrail:ask:" + timeline.KeyPart(name) + ":" + timeline.KeyPart(holder)
}

func answerTopic(asker string) string { return "tasktrail:answer:" + timeline.KeyPart(asker) }
