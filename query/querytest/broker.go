package querytest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/tasktrail/tasktrail/timeline"
)

// Broker is a live broker in memory; it implements query.Subscriber.
type Broker struct {
	mu   sync.Mutex
	subs map[*subscription]struct{}
	// Err is returned by the next calls of Subscribe.
	Err error
}

type subscription struct {
	topics []string
	c      chan []byte
	once   sync.Once
}

// NewBroker makes a broker without subscribers.
func NewBroker() *Broker { return &Broker{subs: map[*subscription]struct{}{}} }

// Subscribe implements query.Subscriber.
func (b *Broker) Subscribe(ctx context.Context, topics ...string) (<-chan []byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Err != nil {
		return nil, b.Err
	}
	s := &subscription{topics: slices.Clone(topics), c: make(chan []byte, 1024)}
	b.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() { b.remove(s) })
	return s.c, nil
}

func (b *Broker) remove(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
	s.once.Do(func() { close(s.c) })
}

// Subscribers is how many subscriptions are in force.
func (b *Broker) Subscribers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs)
}

// Break ends every subscription, as a broker that lost messages does.
func (b *Broker) Break() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		delete(b.subs, s)
		s.once.Do(func() { close(s.c) })
	}
}

// Publish sends a message on a channel.
func (b *Broker) Publish(channel string, message []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		if slices.Contains(s.topics, channel) {
			s.c <- message
		}
	}
}

// PublishEvent sends an event on a channel in the form of live messages.
func (b *Broker) PublishEvent(channel string, e timeline.Event) {
	m, err := json.Marshal(map[string]any{
		"v": 1, "topic": channel, "event": struct {
			timeline.Event
			TaskType string `json:"task_type,omitempty"`
		}{e, e.Task.Type},
		"task": map[string]any{"state": e.Type.StateAfter(), "run": e.Run, "attempt": e.Attempt},
	})
	if err != nil {
		panic(err) // an event always encodes
	}
	b.Publish(channel, m)
}
