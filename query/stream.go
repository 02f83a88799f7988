package query

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// reconnectAfter is what a stream tells browsers to wait before they come back.
	reconnectAfter = 2 * time.Second
	// resubscribeTries is how often a stream that lost its subscription asks for a
	// new one before it ends, so that its reader comes back.
	resubscribeTries = 5
)

// stream is one reader's connection. Two goroutines share it: follow takes
// messages into the inbox and never waits for the reader; run writes.
type stream struct {
	s      *Server
	scope  readmodel.Scope
	topics []topic
	inbox  *inbox
	conn   net.Conn
	out    *bufio.Writer
	// wrote is when something was last written.
	wrote time.Time
}

// getStream opens a stream of server-sent events. Whatever can be refused is
// refused as a problem; from then on the connection belongs to the stream.
func (s *Server) getStream(r *request) error {
	topics, err := s.topics(r)
	if err != nil {
		return err
	}
	if s.deps.Subscriber == nil {
		return unavailable("what follows live topics", nil)
	}
	who := r.principal.ID
	if !s.streams.take(who) {
		s.metrics.refused.WithLabelValues("streams").Inc()
		return &failure{code: codeRateLimited, retryAfter: 5 * time.Second, detail: fmt.Sprintf("%d streams of one token, %d in all", s.cfg.MaxStreamsPerToken, s.cfg.MaxStreams)}
	}
	ctx, cancel := context.WithCancelCause(s.streamBase)
	if e := r.principal.ExpiresAt; !e.IsZero() {
		// A stream does not outlive its token.
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, e.Sub(s.now()), errors.New("the token expired"))
		context.AfterFunc(ctx, stop)
	}
	release := func() {
		cancel(errors.New("the stream ended"))
		s.streams.release(who)
	}
	st := &stream{s: s, scope: r.scope, topics: topics, inbox: newInbox(s.cfg.StreamInterval, s.cfg.StreamPending)}
	messages, err := s.subscribe(ctx, r.ctx, topics)
	if err != nil {
		release()
		return err
	}
	lastID, head := r.c.Get("Last-Event-ID"), streamHead(r.id)
	s.streamWG.Add(1)
	s.metrics.streams.Inc()
	end := func() {
		release()
		s.metrics.streams.Dec()
		s.streamWG.Done()
	}
	// The connection is handed over after this handler, or never, where it broke in
	// between: whoever is first, the stream or its context's end, has it.
	var taken atomic.Bool
	context.AfterFunc(ctx, func() {
		if taken.CompareAndSwap(false, true) {
			end()
		}
	})
	r.c.Context().HijackSetNoResponse(true)
	r.c.Context().Hijack(func(conn net.Conn) {
		if !taken.CompareAndSwap(false, true) {
			return
		}
		defer end()
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.log.Error("panic in a stream", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		st.conn, st.out = conn, bufio.NewWriterSize(conn, 4<<10)
		err := st.run(ctx, cancel, messages, head, lastID)
		if err != nil && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			s.log.Debug("stream ended", "error", err)
		}
	})
	return nil
}

func streamHead(requestID string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\nX-Accel-Buffering: no\r\n")
	fmt.Fprintf(&b, "X-Request-Id: %s\r\n", requestID)
	for _, h := range securityHeaders {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	fmt.Fprintf(&b, "\r\nretry: %d\n\n", reconnectAfter.Milliseconds())
	return b.String()
}

// subscribe asks for the topics' channels: for as long as ctx lives, but waiting
// no longer than wait.
func (s *Server) subscribe(ctx, wait context.Context, topics []topic) (<-chan []byte, error) {
	var channels []string
	seen := map[string]bool{}
	for _, t := range topics {
		for _, c := range t.channels {
			if !seen[c] {
				seen[c] = true
				channels = append(channels, c)
			}
		}
	}
	sub, give := context.WithCancelCause(ctx)
	undo := context.AfterFunc(wait, func() { give(context.Cause(wait)) })
	messages, err := s.deps.Subscriber.Subscribe(sub, channels...)
	if err == nil && !undo() {
		err = context.Cause(wait)
	}
	if err != nil {
		give(err)
		return nil, unavailable("what follows live topics", fmt.Errorf("subscribe: %w", err))
	}
	return messages, nil
}

// run serves the stream until its reader goes, its token ends or the service
// stops.
func (st *stream) run(ctx context.Context, cancel context.CancelCauseFunc, messages <-chan []byte, head, lastID string) error {
	ctx, stop := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		// The reader has nothing more to say: what ends here is the connection.
		defer close(gone)
		// A few bytes: io.Copy would hold a buffer of 8 KiB for every reader.
		var b [16]byte
		for {
			if _, err := st.conn.Read(b[:]); err != nil {
				break
			}
		}
		cancel(errors.New("the reader went away"))
	}()
	followed := make(chan struct{})
	lost := make(chan struct{}, 1)
	follow := func(messages <-chan []byte) {
		go func() {
			defer close(followed)
			st.follow(ctx, messages)
			lost <- struct{}{}
		}()
	}
	follow(messages)
	defer func() {
		stop()
		_ = st.conn.SetReadDeadline(time.Unix(1, 0))
		<-gone
		<-followed
	}()

	if err := st.raw(head); err != nil {
		return err
	}
	if err := st.begin(ctx, lastID); err != nil {
		return err
	}
	beat := time.NewTicker(st.s.cfg.StreamHeartbeat)
	defer beat.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		next, err := st.flush()
		if err != nil {
			return err
		}
		due.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-st.inbox.ready:
		case <-due.C:
		case <-beat.C:
			if time.Since(st.wrote) >= st.s.cfg.StreamHeartbeat/2 {
				if err := st.raw(": \n\n"); err != nil {
					return err
				}
			}
		case <-lost:
			<-followed
			messages, err := st.resubscribe(ctx)
			if err != nil {
				return err
			}
			followed = make(chan struct{})
			follow(messages)
			if err := st.reset(ctx, "live messages were missed"); err != nil {
				return err
			}
		}
	}
}

// follow takes messages until there are no more.
func (st *stream) follow(ctx context.Context, messages <-chan []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			if err := st.take(m); err != nil {
				st.s.metrics.filtered.Inc()
			}
		}
	}
}

func (st *stream) resubscribe(ctx context.Context) (<-chan []byte, error) {
	wait := 50 * time.Millisecond
	var err error
	for range resubscribeTries {
		var messages <-chan []byte
		bound, cancel := context.WithTimeout(ctx, st.s.cfg.QueryTimeout)
		messages, err = st.s.subscribe(ctx, bound, st.topics)
		cancel()
		if err == nil {
			return messages, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
			wait *= 4
		}
		if err := st.raw(": \n\n"); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// raw writes text at once.
func (st *stream) raw(text string) error {
	if err := st.conn.SetWriteDeadline(time.Now().Add(st.s.cfg.StreamWriteTimeout)); err != nil {
		return fmt.Errorf("write to stream: %w", err)
	}
	if _, err := st.out.WriteString(text); err != nil {
		return fmt.Errorf("write to stream: %w", err)
	}
	if err := st.out.Flush(); err != nil {
		return fmt.Errorf("write to stream: %w", err)
	}
	st.wrote = time.Now()
	return nil
}
