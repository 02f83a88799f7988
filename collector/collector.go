package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// Collector is one running collector. Its methods are safe for concurrent use,
// but for Start and Stop, which follow one another.
type Collector struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	budget  *budget
	buffers buffers
	agents  *agents
	watch   *watch
	door    *door
	counts  *frameCounts
	ids     timeline.IDGenerator

	log       atomic.Pointer[spool.Log]
	followers []*follower
	book      *book
	accepted  atomic.Uint64 // records in the log, ever
	frames    atomic.Uint64
	refused   atomic.Uint64
	repeated  atomic.Uint64

	grpc       *grpc.Server
	http       *http.Server
	grpcAddr   net.Addr
	httpAddr   net.Addr
	forwarder  *http.Client
	registered []prometheus.Collector

	stopping  atomic.Bool
	receivers sync.WaitGroup
	following sync.WaitGroup
	drained   chan struct{}
	endAll    context.CancelCauseFunc // of sinks, at the latest
	endWatch  context.CancelCauseFunc // of watch and ledger
	watching  sync.WaitGroup

	saidMu sync.Mutex
	said   map[string]time.Time
}

// New checks the settings and starts nothing.
func New(cfg Config, deps Deps) (*Collector, error) {
	errs := []error{cfg.Validate()}
	names := map[string]bool{watchName: true, ledgerName: true}
	for _, s := range deps.Sinks {
		if err := s.validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		if name := s.Sink.Name(); names[name] {
			errs = append(errs, fmt.Errorf("sink name %q is taken", name))
		} else {
			names[name] = true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if deps.Now == nil {
		deps.Now = time.Now
	}
	c := &Collector{
		cfg: cfg, deps: deps, metrics: newMetrics(),
		budget:    newBudget(cfg.MaxInFlightBytes, cfg.OverloadWait, cfg.RetryAfter),
		agents:    &agents{max: cfg.MaxAgents, open: map[string]*agentConn{}},
		forwarder: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}},
		said:      map[string]time.Time{},
	}
	c.watch, c.door, c.counts = newWatch(c), newDoor(), new(frameCounts)
	return c, nil
}

// Start opens the log, starts the followers and then the receivers. ctx bounds
// the start alone. After an error nothing runs.
func (c *Collector) Start(ctx context.Context) (err error) {
	if c.log.Load() != nil {
		return errors.New("start collector: it runs already")
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start collector: %w", errors.Join(err, c.shutdown(ctx)))
		}
	}()
	c.stopping.Store(false)
	c.drained = make(chan struct{})
	if err := c.openLog(); err != nil {
		return err
	}
	if err := c.register(); err != nil {
		return err
	}
	sinks, endAll := context.WithCancelCause(context.Background())
	watch, endWatch := context.WithCancelCause(context.Background())
	c.endAll, c.endWatch = endAll, endWatch
	for _, f := range c.followers {
		c.following.Go(func() { f.run(sinks) })
	}
	c.watching.Go(func() { c.watch.run(watch) })
	c.watching.Go(func() { c.book.run(watch) })
	return c.startReceivers(ctx)
}

// openLog opens the log and everything that has a place in it.
func (c *Collector) openLog() error {
	for _, dir := range [...]string{"log", "state", "setaside"} {
		if err := os.MkdirAll(filepath.Join(c.cfg.Dir, dir), 0o700); err != nil {
			return fmt.Errorf("make directories: %w", err)
		}
	}
	log, err := spool.Open(spool.Options{
		Dir: filepath.Join(c.cfg.Dir, "log"), MaxBytes: c.cfg.LogMaxBytes, SegmentBytes: c.cfg.LogSegmentBytes,
		DurableOnly: true, Logger: c.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	c.counts = new(frameCounts) // of this log, as it is opened
	if c.book, err = openBook(c, log, filepath.Join(c.cfg.Dir, "state", ledgerName+".counts")); err != nil {
		return errors.Join(err, log.Close())
	}
	c.log.Store(log)
	if err := c.door.relearn(log); err != nil {
		return err
	}
	c.watch = newWatch(c)
	if err := c.watch.open(log, filepath.Join(c.cfg.Dir, "state", watchName+".json"), c.deps.Now()); err != nil {
		return err
	}
	c.followers = nil
	for _, spec := range c.deps.Sinks {
		f, err := c.openFollower(log, spec.withDefaults())
		if err != nil {
			return fmt.Errorf("open sink %s: %w", spec.Sink.Name(), err)
		}
		c.followers = append(c.followers, f)
	}
	return c.dropCursors(log)
}

func (c *Collector) openFollower(log *spool.Log, spec SinkSpec) (*follower, error) {
	name := spec.Sink.Name()
	f := &follower{c: c, log: log, spec: spec, name: name, frames: spec.MaxBatchFrames, drained: c.drained}
	var err error
	if f.cursor, err = log.Cursor(name); err != nil {
		return nil, fmt.Errorf("open cursor: %w", err)
	}
	if f.aside, err = openAside(filepath.Join(c.cfg.Dir, "setaside", name), c.cfg.SetAsideMaxBytes); err != nil {
		return nil, err
	}
	if f.lost, err = openSpoiled(filepath.Join(c.cfg.Dir, "state", name+".spoiled"), log.ID(), c.cfg.Logger); err != nil {
		return nil, err
	}
	counts := filepath.Join(c.cfg.Dir, "state", name+".counts")
	_, missing := os.Stat(counts)
	if f.tally, err = openTally(counts, f.cursor.Position()); err != nil {
		return nil, err
	}
	if missing != nil {
		return f, f.beginCounts()
	}
	return f, nil
}

// dropCursors forgets sinks that are no longer there: their cursors would keep
// the log for ever.
func (c *Collector) dropCursors(log *spool.Log) error {
	keep := map[string]bool{watchName: true, ledgerName: true}
	for _, f := range c.followers {
		keep[f.name] = true
	}
	for _, name := range log.Cursors() {
		if keep[name] {
			continue
		}
		c.cfg.Logger.Warn("a sink is gone; its place in the log is given up", "sink", name)
		if err := log.RemoveCursor(name); err != nil {
			return fmt.Errorf("remove cursor %s: %w", name, err)
		}
		for _, kept := range [...]string{".counts", ".spoiled"} {
			if err := os.Remove(filepath.Join(c.cfg.Dir, "state", name+kept)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove counts of %s: %w", name, err)
			}
		}
	}
	return nil
}

func (c *Collector) startReceivers(ctx context.Context) error {
	var listen net.ListenConfig
	open := func(addr string) (net.Listener, error) {
		l, err := listen.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return netutil.LimitListener(l, c.cfg.MaxConnections), nil
	}
	if c.cfg.GRPCAddr != noAddr {
		s, err := c.grpcServer()
		if err != nil {
			return err
		}
		l, err := open(c.cfg.GRPCAddr)
		if err != nil {
			return err
		}
		c.grpc, c.grpcAddr = s, l.Addr()
		c.receivers.Go(func() { c.sayIf("gRPC receiver ended", c.serveGRPC(s, l)) })
	}
	if c.cfg.HTTPAddr != noAddr {
		s, err := c.httpServer()
		if err != nil {
			return err
		}
		l, err := open(c.cfg.HTTPAddr)
		if err != nil {
			return err
		}
		c.http, c.httpAddr = s, l.Addr()
		c.receivers.Go(func() { c.sayIf("HTTP receiver ended", c.serveHTTP(s, l)) })
	}
	return nil
}

// Stop drains: agents are let go and receivers finish what they are at, then
// each sink gets what the log still holds, in what is left of ctx and at most
// StopTimeout. What a sink could not take stays in the log. A collector that was
// not started, or was stopped, has nothing to stop.
func (c *Collector) Stop(ctx context.Context) error {
	if c.log.Load() == nil {
		return nil
	}
	if err := c.shutdown(ctx); err != nil {
		return fmt.Errorf("stop collector: %w", err)
	}
	return nil
}

func (c *Collector) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StopTimeout)
	defer cancel()
	c.stopping.Store(true)
	c.agents.closeAll(ErrNotRunning)
	c.stopReceivers(ctx)
	if c.endAll != nil {
		c.endWatch(ErrNotRunning) // before the sinks, which take what it still writes
		c.watching.Wait()
		close(c.drained)
		ended := context.AfterFunc(ctx, func() { c.endAll(ErrNotRunning) })
		c.following.Wait()
		ended()
		c.endAll(ErrNotRunning)
		c.endAll, c.endWatch = nil, nil
	}
	c.unregister()
	c.forwarder.CloseIdleConnections()
	var errs []error
	if log := c.log.Swap(nil); log != nil {
		errs = append(errs, log.Close(), c.book.tally.close())
	}
	for _, f := range c.followers {
		errs = append(errs, f.tally.close())
	}
	c.followers = nil
	return errors.Join(errs...)
}

// stopReceivers lets requests finish for at most half of the time there is.
func (c *Collector) stopReceivers(ctx context.Context) {
	if until, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(until)/2)
		defer cancel()
	}
	var both sync.WaitGroup
	if s := c.grpc; s != nil {
		both.Go(func() {
			hard := context.AfterFunc(ctx, s.Stop)
			s.GracefulStop()
			hard()
		})
	}
	if s := c.http; s != nil {
		both.Go(func() {
			if s.Shutdown(ctx) != nil {
				_ = s.Close() // what it could not end in time
			}
		})
	}
	both.Wait()
	c.receivers.Wait()
	c.grpc, c.http = nil, nil
}

// GRPCAddr is where OTLP over gRPC is received, after Start; nil for nowhere.
func (c *Collector) GRPCAddr() net.Addr { return c.grpcAddr }

// HTTPAddr is where OTLP over HTTP is received, after Start; nil for nowhere.
func (c *Collector) HTTPAddr() net.Addr { return c.httpAddr }

// readyRoom is how much the log has to have room for to call itself ready.
const readyRoom = 1 << 20

// Ready reports why requests can't be taken; nil when they can. A sink that is
// down does not count: the log stands in for it, see [Collector.Sinks].
func (c *Collector) Ready() error {
	log := c.log.Load()
	if log == nil || c.stopping.Load() {
		return ErrNotRunning
	}
	st := log.Stats()
	if st.SyncFailed != nil {
		return fmt.Errorf("log: %w", st.SyncFailed)
	}
	if st.FreeBytes < int64(min(readyRoom, c.cfg.MaxRequestBytes)) {
		return fmt.Errorf("log: %w", spool.ErrFull)
	}
	return nil
}

// Sinks returns how each sink does.
func (c *Collector) Sinks() []SinkState {
	if c.log.Load() == nil {
		return nil
	}
	out := make([]SinkState, 0, len(c.followers))
	for _, f := range c.followers {
		out = append(out, f.state())
	}
	return out
}

// sayEvery is how often the same trouble is logged.
const sayEvery = time.Minute

// sayOnce logs a warning, the same one once a minute at most. Keys are few.
func (c *Collector) sayOnce(key, message string, args ...any) {
	c.saidMu.Lock()
	defer c.saidMu.Unlock()
	now := time.Now()
	if last, ok := c.said[key]; ok && now.Sub(last) < sayEvery {
		return
	}
	c.said[key] = now
	c.cfg.Logger.Warn(message, args...)
}

func (c *Collector) sayIf(message string, err error) {
	if err != nil {
		c.cfg.Logger.Error(message, "error", err)
	}
}
