// Package embedded is a Redis-protocol broker inside the process, for one
// machine without a Redis. It speaks enough of the protocol for package live
// and for redis-cli.
//
// It keeps everything in memory and writes nothing to disk: what it holds is
// lost with the process and made again, as after any loss of Redis. It is not a
// cache or a database for anything else.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Config says where to listen.
type Config struct {
	// Addr is host:port; port 0 takes a free one. Defaults to 127.0.0.1:6380.
	Addr string
	// Password every client has to give. Defaults to a generated one.
	Password string
	// MaxClients bounds the connections; past it new ones are closed at once.
	// Defaults to 10 000.
	MaxClients int
	// ClientBuffer bounds the bytes that wait for a client that does not read; past
	// it the client is cut off, so that it stops nobody else. Defaults to 8 MiB.
	ClientBuffer int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:6380"
	}
	if c.Password == "" {
		c.Password = rand.Text()
	}
	if c.MaxClients == 0 {
		c.MaxClients = 10_000
	}
	if c.ClientBuffer == 0 {
		c.ClientBuffer = 8 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Addr != "" {
		if _, _, err := net.SplitHostPort(c.Addr); err != nil {
			errs = append(errs, fmt.Errorf("Addr: %q, want host:port", c.Addr))
		}
	}
	if c.MaxClients < 0 {
		errs = append(errs, fmt.Errorf("MaxClients: %d, must not be negative", c.MaxClients))
	}
	if c.ClientBuffer < 0 {
		errs = append(errs, fmt.Errorf("ClientBuffer: %d, must not be negative", c.ClientBuffer))
	}
	return errors.Join(errs...)
}

// Broker is the embedded broker. Its methods are safe for concurrent use.
type Broker struct {
	cfg    Config
	redis  *miniredis.Miniredis
	cutOff atomic.Uint64

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	stopped  bool
	wg       sync.WaitGroup
}

// New prepares a broker; it listens on nothing before Start.
func New(cfg Config) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	cfg = cfg.withDefaults()
	r := miniredis.NewMiniRedis()
	r.RequireAuth(cfg.Password)
	return &Broker{cfg: cfg, redis: r, conns: map[net.Conn]struct{}{}}, nil
}

// Start listens. It is an error to start twice or after Stop.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopped:
		return errors.New("embedded broker: start after stop")
	case b.listener != nil:
		return errors.New("embedded broker: started twice")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.cfg.Addr)
	if err != nil {
		return fmt.Errorf("embedded broker: %w", err)
	}
	b.redis.ClockTTL(true)
	b.listener = l
	b.wg.Go(func() { b.accept(l) })
	return nil
}

// Addr is the address it listens on, host:port; empty before Start.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener == nil {
		return ""
	}
	return b.listener.Addr().String()
}

// Password is what clients have to give.
func (b *Broker) Password() string { return b.cfg.Password }

// URL is the redis:// URL with the password; empty before Start.
func (b *Broker) URL() string {
	addr := b.Addr()
	if addr == "" {
		return ""
	}
	return (&url.URL{Scheme: "redis", User: url.UserPassword("", b.cfg.Password), Host: addr}).String()
}

// CutOff counts the clients that were cut off because they did not read.
func (b *Broker) CutOff() uint64 { return b.cutOff.Load() }

// Stop closes every connection and waits for its goroutines. A second Stop does
// nothing.
func (b *Broker) Stop() error {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return nil
	}
	b.stopped = true
	if b.listener != nil {
		_ = b.listener.Close()
	}
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.redis.Close()
	b.wg.Wait()
	return nil
}

func (b *Broker) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			b.cfg.Logger.Warn("embedded broker: accept", "error", err)
			<-time.After(50 * time.Millisecond) // out of descriptors, most likely: let some go
			continue
		}
		if !b.admit(c) {
			_ = c.Close()
			continue
		}
		b.wg.Go(func() { b.serve(c) })
	}
}

func (b *Broker) admit(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped || len(b.conns) >= b.cfg.MaxClients {
		return false
	}
	b.conns[c] = struct{}{}
	return true
}

// serve stands between a client and the broker, which hands a message to every
// subscriber while it holds its one lock: without the buffer in between, a
// client that stopped reading would stop everybody.
func (b *Broker) serve(client net.Conn) {
	defer func() {
		_ = client.Close()
		b.mu.Lock()
		delete(b.conns, client)
		b.mu.Unlock()
	}()
	inner, err := b.redis.Dial()
	if err != nil {
		return
	}
	out := newBuffer(b.cfg.ClientBuffer)
	var wg sync.WaitGroup
	wg.Go(func() { // broker → buffer, never waiting for the client
		if _, err := io.Copy(out, inner); errors.Is(err, errBufferFull) {
			b.cutOff.Add(1)
			b.cfg.Logger.Warn("embedded broker: cut off a client that does not read", "client", client.RemoteAddr())
			_ = client.Close()
		}
		// Whyever nothing is taken any more: what is still coming is thrown away, so that
		// the broker gets rid of it, and does not wait for a client that has gone.
		_ = inner.Close()
		out.close()
	})
	wg.Go(func() { // buffer → client
		out.drain(client)
		_ = client.Close()
	})
	_, _ = io.Copy(inner, client) // client → broker
	_ = inner.Close()
	wg.Wait()
}
