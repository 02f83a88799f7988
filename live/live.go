package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/timeline"
)

// ErrUnavailable says that Redis did not answer. What was asked for may or may
// not have happened.
var ErrUnavailable = errors.New("redis is not available")

// Live is the connection of one process to Redis. All methods are safe for
// concurrent use.
type Live struct {
	cfg    Config
	client redis.UniversalClient
	hub    *hub
	active *activeSet
	stats  counters
	shares shares
	asked  asked

	// marker is this process's own key in Redis: when it is gone, so is the rest.
	marker string
	// emptyAt is when the marker was last found missing, in nanoseconds since 1970.
	emptyAt    atomic.Int64
	restoring  atomic.Bool
	restoreDue atomic.Bool

	ready   atomic.Bool
	lastErr atomic.Pointer[string]

	// life ends with Close.
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	started bool
	closed  bool
	wg      sync.WaitGroup
}

// Open prepares the connection. It waits for nothing: Redis may be away, and
// come later. Nothing runs before [Live.Start].
func Open(cfg Config) (*Live, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	o, err := cfg.options()
	if err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	var ids timeline.IDGenerator
	l := &Live{cfg: cfg, client: redis.NewUniversalClient(o), marker: "tasktrail:process:" + ids.Next(time.Now()).String()}
	l.life, l.end = context.WithCancel(context.Background())
	l.hub = newHub(l)
	l.active = newActiveSet(l)
	return l, nil
}

// Start begins to look after Redis and to receive what is subscribed, until
// Close; ctx bounds the start alone. It returns at once. A second Start is an
// error, as is one after Close.
func (l *Live) Start(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errors.New("live: start after close")
	case l.started:
		return errors.New("live: started twice")
	}
	l.started = true
	for _, run := range []func(context.Context){l.watch, l.hub.run, l.active.run} {
		l.wg.Go(func() { run(l.life) })
	}
	return nil
}

// Close stops what Start began and closes the connections. It waits for its
// goroutines, each of which ends within one Timeout. A second Close does nothing.
func (l *Live) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.end()
	l.mu.Unlock()
	l.hub.close()
	l.wg.Wait()
	l.ready.Store(false)
	return l.client.Close()
}

// Ready reports whether Redis answered when it was last asked.
func (l *Live) Ready() bool { return l.ready.Load() }

// LastError is why Redis is not ready, empty where it is or was never asked.
func (l *Live) LastError() string {
	if s := l.lastErr.Load(); s != nil && !l.Ready() {
		return *s
	}
	return ""
}

// Ping asks Redis now.
func (l *Live) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	return l.seen(l.client.Ping(ctx).Err())
}

// watch looks after Redis until ctx ends, so that its loss and its return are
// noticed when nothing else is asked of it.
func (l *Live) watch(ctx context.Context) {
	tick := time.NewTicker(l.cfg.PingEvery)
	defer tick.Stop()
	for {
		if err := l.look(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Debug("look after redis", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look refreshes the marker. A Redis that answers and does not have it came
// back empty, or is new to us: what it should hold has to be restored. That one
// that went away was restarted in the meantime can't be told otherwise.
func (l *Live) look(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	was := l.Ready()
	err := l.client.SetArgs(asked, l.marker, 1, redis.SetArgs{Mode: "XX", TTL: time.Hour}).Err()
	if errors.Is(err, redis.Nil) {
		l.restoreDue.Store(true)
		l.emptyAt.Store(time.Now().UnixNano())
		err = l.client.Set(asked, l.marker, 1, time.Hour).Err()
	}
	err = l.seen(err)
	if err == nil && (!was || l.restoreDue.Load()) {
		l.restoreDue.Store(false)
		l.restore(ctx)
	}
	return err
}

// restore calls OnConnect, once at a time.
func (l *Live) restore(ctx context.Context) {
	if l.cfg.OnConnect == nil || !l.restoring.CompareAndSwap(false, true) {
		return
	}
	l.wg.Go(func() {
		defer l.restoring.Store(false)
		l.cfg.OnConnect(ctx)
	})
}

// seen notes what an exchange with Redis says of its health and wraps a failure
// to reach it in ErrUnavailable. An answer, even an error, means it is there.
func (l *Live) seen(err error) error {
	if err == nil || errors.Is(err, redis.Nil) || answered(err) {
		if !l.ready.Swap(true) {
			l.cfg.Logger.Info("redis is available")
		}
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	l.lastErr.Store(&text)
	if l.ready.Swap(false) {
		l.cfg.Logger.Warn("redis is not available: live updates are left out and commands wait until it is", "error", err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// answered reports whether the error is Redis's own answer to one command, and
// not one that says it can't serve at all.
func answered(err error) bool {
	var re redis.Error
	if !errors.As(err, &re) {
		return false
	}
	for _, unable := range []func(error) bool{
		redis.IsLoadingError, redis.IsReadOnlyError, redis.IsClusterDownError, redis.IsTryAgainError,
		redis.IsMasterDownError, redis.IsMaxClientsError, redis.IsAuthError,
	} {
		if unable(err) {
			return false
		}
	}
	return true
}
