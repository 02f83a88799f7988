package live

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// hub shares one Redis connection among all subscriptions of the process.
type hub struct {
	live *Live

	mu     sync.Mutex
	closed bool
	topics map[string]*topic
	subs   map[*Subscription]struct{}
	// wanted and unwanted are changes the connection has not been told of.
	wanted, unwanted map[string]struct{}
	changed          chan struct{}
	conn             *redis.PubSub
}

// topic is one topic and who listens. confirmed is closed once Redis said that
// it is subscribed, and made anew when the connection is lost.
type topic struct {
	subs      map[*Subscription]struct{}
	confirmed chan struct{}
	ok        bool
}

func newHub(l *Live) *hub {
	return &hub{
		live: l, topics: map[string]*topic{}, subs: map[*Subscription]struct{}{},
		wanted: map[string]struct{}{}, unwanted: map[string]struct{}{}, changed: make(chan struct{}, 1),
	}
}

func (h *hub) size() (subs, topics int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs), len(h.topics)
}

func (h *hub) add(s *Subscription) ([]<-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.New("live: closed")
	}
	fresh := 0
	for _, name := range s.topics {
		if h.topics[name] == nil {
			fresh++
		}
	}
	if len(h.topics)+fresh > h.live.cfg.MaxTopics {
		return nil, ErrTooManyTopics
	}
	h.subs[s] = struct{}{}
	confirmed := make([]<-chan struct{}, 0, len(s.topics))
	for _, name := range s.topics {
		t := h.topics[name]
		if t == nil {
			t = &topic{subs: map[*Subscription]struct{}{}, confirmed: make(chan struct{})}
			h.topics[name] = t
			h.wanted[name] = struct{}{}
			delete(h.unwanted, name)
		}
		t.subs[s] = struct{}{}
		confirmed = append(confirmed, t.confirmed)
	}
	h.poke()
	return confirmed, nil
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
	for _, name := range s.topics {
		t := h.topics[name]
		if t == nil {
			continue
		}
		delete(t.subs, s)
		if len(t.subs) == 0 {
			delete(h.topics, name)
			delete(h.wanted, name)
			if h.conn != nil {
				h.unwanted[name] = struct{}{}
			}
		}
	}
	h.poke()
}

// inForce gives what is closed when Redis has confirmed a topic.
func (h *hub) inForce(name string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil {
		return t.confirmed
	}
	return nil
}

// expectGap makes the subscription hear of the moment its topics are in force,
// where they are not by now.
func (h *hub) expectGap(s *Subscription, open []<-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range open {
		select {
		case <-c:
		default:
			s.mu.Lock()
			s.gap = true
			s.mu.Unlock()
			return
		}
	}
}

func (h *hub) poke() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	subs := h.subs
	h.subs, h.topics = map[*Subscription]struct{}{}, map[string]*topic{}
	if h.conn != nil {
		_ = h.conn.Close()
	}
	h.mu.Unlock()
	for s := range subs {
		s.shut()
	}
}

// run keeps a connection for as long as ctx lives. With nothing to listen to it
// holds none.
func (h *hub) run(ctx context.Context) {
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		if _, topics := h.size(); topics == 0 {
			select {
			case <-ctx.Done():
			case <-h.changed:
			}
			continue
		}
		began := time.Now()
		err := h.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			wait = 50 * time.Millisecond
			continue // nothing was left to listen to: there is nothing to wait for
		}
		_ = h.live.seen(err)
		h.live.cfg.Logger.Debug("receive from redis", "error", err)
		if time.Since(began) > 5*time.Second {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// serve is the life of one connection: it subscribes to everything there is,
// follows the changes and hands out messages. It returns when the connection
// breaks (an error) or nothing is left to listen to (nil).
func (h *hub) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	conn := h.live.client.Subscribe(ctx)
	h.conn = conn
	clear(h.unwanted)
	for name := range h.topics {
		h.wanted[name] = struct{}{}
	}
	h.mu.Unlock()
	defer h.lost(conn)

	// The reader waits in the kernel, so changes are written beside it.
	writing := make(chan error, 1)
	if err := h.write(ctx, conn); err != nil {
		return err
	}
	go func() { writing <- h.follow(ctx, conn) }()
	err := h.read(ctx, conn)
	cancel()
	// The writer closes the connection when there is nothing more to listen to.
	if werr := <-writing; errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) {
		err = werr
	}
	return err
}

// follow writes changes until there is nothing to listen to, then closes the
// connection, which ends the reader.
func (h *hub) follow(ctx context.Context, conn *redis.PubSub) error {
	defer conn.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.changed:
			if err := h.write(ctx, conn); err != nil {
				return err
			}
			if _, topics := h.size(); topics == 0 {
				return nil
			}
		}
	}
}

// write tells Redis what changed, a bounded number of topics at a time.
func (h *hub) write(ctx context.Context, conn *redis.PubSub) error {
	for {
		h.mu.Lock()
		add, drop := take(h.wanted, 1000), take(h.unwanted, 1000)
		h.mu.Unlock()
		if len(add) == 0 && len(drop) == 0 {
			return nil
		}
		if len(drop) > 0 {
			if err := conn.Unsubscribe(ctx, drop...); err != nil {
				return err
			}
		}
		if len(add) > 0 {
			if err := conn.Subscribe(ctx, add...); err != nil {
				return err
			}
		}
	}
}

func take(from map[string]struct{}, most int) []string {
	var out []string
	for name := range from {
		if len(out) == most {
			break
		}
		out = append(out, name)
		delete(from, name)
	}
	return out
}

// read hands out what comes. A connection that is silent is asked for a sign of
// life; one that gives none within a Timeout is given up.
func (h *hub) read(ctx context.Context, conn *redis.PubSub) error {
	pinged := false
	for {
		idle := 5 * h.live.cfg.PingEvery
		if pinged {
			idle = h.live.cfg.Timeout
		}
		got, err := conn.ReceiveTimeout(ctx, idle)
		if err != nil {
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() || pinged || ctx.Err() != nil {
				return err
			}
			pinged = true
			if err := conn.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		pinged = false
		switch m := got.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				h.confirm(m.Channel)
			}
		case *redis.Message:
			h.deliver(m.Channel, m.Payload)
		}
	}
}

func (h *hub) confirm(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil || t.ok {
		return
	}
	t.ok = true
	close(t.confirmed)
	for s := range t.subs {
		s.mu.Lock()
		gap := s.gap
		s.mu.Unlock()
		if gap {
			s.push(Message{})
		}
	}
}

func (h *hub) deliver(name, payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil {
		return
	}
	m := Message{Topic: name, Payload: []byte(payload)}
	for s := range t.subs {
		h.live.stats.received.Add(1)
		h.live.stats.dropped.Add(uint64(s.push(m)))
	}
}

// lost forgets the connection: every topic has to be confirmed again, and every
// subscription to hear that it missed something.
func (h *hub) lost(conn *redis.PubSub) {
	_ = conn.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = nil
	for _, t := range h.topics {
		if t.ok {
			t.ok, t.confirmed = false, make(chan struct{})
			for s := range t.subs {
				s.mu.Lock()
				s.gap = true
				s.mu.Unlock()
			}
		}
	}
}
