package sidecar

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/httprunner"
	"github.com/tasktrail/tasktrail/internal/spool"
)

// errClosing is the cause of what the end of the sidecar stops.
var errClosing = errors.New("the sidecar is stopping")

// Sidecar is one running sidecar. It is safe for concurrent use.
type Sidecar struct {
	cfg    Config
	agent  *agent.Agent
	caller *httprunner.Caller
	queue  *queue
	key    []byte // of progress URLs

	listener net.Listener
	server   *http.Server
	base     string // of progress URLs
	failed   chan error

	running sync.Map // task id → *attempt
	callers atomic.Int64
	batches sync.Pool
	http    httpStats

	closing    atomic.Bool
	stopTurns  context.CancelFunc
	abort      context.CancelCauseFunc
	dispatched chan struct{} // closed when no turn begins any more
	turns, bg  sync.WaitGroup
}

// New checks the configuration, opens the queue and the spool and prepares the
// rest. It listens nowhere and starts no task.
func New(cfg Config) (*Sidecar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s := &Sidecar{cfg: cfg, failed: make(chan error, 1), base: cfg.PublicURL}
	s.batches.New = func() any { return new(spool.Batch) }
	var err error
	if s.key, err = secret(filepath.Join(cfg.DataDir, "progress.key")); err != nil {
		return nil, err
	}
	s.queue, err = openQueue(queueConfig{
		dir: filepath.Join(cfg.DataDir, "queue"), maxTasks: cfg.MaxTasks, maxEnded: cfg.MaxEnded, maxBytes: cfg.QueueMaxBytes,
		keepDone: cfg.KeepCompleted, keepFault: cfg.KeepFailed, logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	if s.agent, err = agent.New(cfg.Agent); err != nil {
		return nil, errors.Join(err, s.queue.log.Close())
	}
	propagator := cfg.Agent.Propagator
	if propagator == nil {
		propagator = propagation.TraceContext{}
	}
	s.caller = httprunner.New(httprunner.Config{
		Allow: cfg.CallbackAllow, ProgressURL: s.progressURL,
		Inject: func(ctx context.Context, carrier map[string]string) {
			propagator.Inject(ctx, propagation.MapCarrier(carrier))
		},
	})
	return s, nil
}

// secret reads a key of this sidecar's own, or makes it.
func secret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) >= 26 {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of progress URLs: %w", err)
	}
	b = []byte(rand.Text())
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, fmt.Errorf("write the key of progress URLs: %w", err)
	}
	return b, nil
}

// Start listens, goes on with what waited, and takes tasks and commands, until
// Close.
func (s *Sidecar) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("agent_addr: %w", err)
	}
	s.listener = listener
	if s.base == "" {
		s.base = "http://" + listener.Addr().String()
	}
	s.reconcile()
	s.serveQueues()
	if err := s.agent.Start(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.agent.ReportDepths(s.depths)
	ctx = context.WithoutCancel(ctx)
	turns, stopTurns := context.WithCancel(ctx)
	attempts, abort := context.WithCancelCause(ctx)
	s.stopTurns, s.abort, s.dispatched = stopTurns, abort, make(chan struct{})
	go s.dispatch(turns, attempts)
	s.bg.Go(func() { s.queue.keep(turns) })
	s.server = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: httpLog(s.cfg.Logger),
	}
	s.bg.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve the API: %w", err)
		}
	})
	return nil
}

// Addr is where the API listens, after Start.
func (s *Sidecar) Addr() string { return s.listener.Addr().String() }

// Failed delivers the error of a part that cannot go on.
func (s *Sidecar) Failed() <-chan error { return s.failed }

// Close takes no more tasks, lets what runs end for as long as Config.DrainTimeout
// and ctx allow, aborts the rest, which goes on after the next start, and ships
// what was recorded.
func (s *Sidecar) Close(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	var errs []error
	s.queue.stop() // callers that wait are answered: the task goes on after the next start
	if s.server != nil {
		s.stopTurns()
		<-s.dispatched
		s.drain(ctx)
		s.abort(errClosing)
		s.turns.Wait()
		end, stop := context.WithTimeout(ctx, time.Second)
		if err := s.server.Shutdown(end); err != nil {
			_ = s.server.Close() // who still holds a connection has had its time
		}
		stop()
		s.bg.Wait()
	} else if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	s.caller.Close()
	errs = append(errs, s.agent.Close(ctx), s.queue.log.Close())
	return errors.Join(errs...)
}

// drain waits for the attempts that run.
func (s *Sidecar) drain(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer stop()
	done := make(chan struct{})
	go func() {
		s.turns.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.abort(errClosing)
		<-done // an aborted attempt ends: callbacks hang up, commands are killed
	}
}
