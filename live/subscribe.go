package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrTooManyTopics says that Config.MaxTopics is reached.
var ErrTooManyTopics = errors.New("live: too many topics")

// Message is one message of a topic.
type Message struct {
	// Topic is where it was published; empty where only Missed or Gap is told.
	Topic string
	// Payload is the JSON object as it was published. It is shared: do not write
	// to it.
	Payload []byte
	// Missed is how many earlier messages were dropped, since the last one that
	// told, because the subscription was not read in time.
	Missed int
	// Gap says that the connection to Redis was lost in between: an unknown number
	// of messages is missing, and the API should be asked for what is current.
	Gap bool
}

// Subscription receives the messages of its topics until it is closed.
type Subscription struct {
	hub    *hub
	topics []string
	c      chan Message

	mu     sync.Mutex
	closed bool
	missed int
	gap    bool
}

// C is where the messages come. It is closed by Close and when the Live is
// closed. It holds Config.SubscriberBuffer messages; when it is full the oldest
// gives way, and the next one says how many did.
func (s *Subscription) C() <-chan Message { return s.c }

// Topics are those subscribed to.
func (s *Subscription) Topics() []string { return s.topics }

// Close ends the subscription. A second Close does nothing.
func (s *Subscription) Close() {
	s.hub.remove(s)
	s.shut()
}

func (s *Subscription) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.c)
	}
}

// push hands over a message without ever waiting.
func (s *Subscription) push(m Message) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	for {
		m.Missed, m.Gap = m.Missed+s.missed, m.Gap || s.gap
		s.missed, s.gap = 0, false
		select {
		case s.c <- m:
			return dropped
		default:
		}
		// What the oldest told goes over to the next one in line, which is not to be
		// reached inside a channel: to this one, then. The count stays right.
		select {
		case old := <-s.c:
			s.missed, s.gap = old.Missed, old.Gap
			if old.Topic != "" {
				s.missed++
				dropped++
			}
		default:
		}
	}
}

// Subscribe listens to topics. It returns when Redis confirmed them, so that
// whatever is published from then on is received, or after Config.Timeout
// without an answer; a subscription that was not confirmed, or was lost in
// between, gets a Message with Gap when it is in force. ErrTooManyTopics where
// the process listens to too many already.
//
// All subscriptions of a process share one connection.
func (l *Live) Subscribe(ctx context.Context, topics ...string) (*Subscription, error) {
	if len(topics) == 0 {
		return nil, errors.New("live: subscribe to no topic")
	}
	s := &Subscription{hub: l.hub, topics: topics, c: make(chan Message, l.cfg.SubscriberBuffer)}
	confirmed, err := l.hub.add(s)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	timer := time.NewTimer(l.cfg.Timeout)
	defer timer.Stop()
	for i, c := range confirmed {
		select {
		case <-c:
		case <-timer.C:
			l.hub.expectGap(s, confirmed[i:])
			return s, nil
		case <-ctx.Done():
			s.Close()
			return nil, context.Cause(ctx)
		}
	}
	return s, nil
}
