package query

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Errors of the service's life.
var (
	// ErrStarted: Start was called before.
	ErrStarted = errors.New("the query service was started before")
	// ErrNotStarted: the service was not started.
	ErrNotStarted = errors.New("the query service was not started")

	errStopping = errors.New("the query service stops")
)

const (
	idempotencyTTL = 24 * time.Hour
	idempotencyMax = 10_000
	// readTimeout bounds how long a request may take to arrive.
	readTimeout = 15 * time.Second
	idleTimeout = 75 * time.Second
)

// Server is the REST service. Make one with [New].
type Server struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	now     func() time.Time
	app     *fiber.App
	routes  []route
	metrics *metrics

	cursors  cursors
	sessions *sessions
	limiters *limiters
	streams  *quota
	overlay  *overlay
	settings *settings
	health   *readCache[healthKey, readmodel.Health]
	history  *readCache[historyKey, readmodel.History]
	locks    *taskLocks
	packer   *packer
	working  chan struct{} // one token a request in work
	ids      timeline.IDGenerator

	// base is the parent of every request's context; Stop cancels it.
	base   context.Context
	cancel context.CancelCauseFunc
	// streamBase is the parent of every stream's context, which ends first.
	streamBase    context.Context
	cancelStreams context.CancelCauseFunc

	// bulkBase is the parent of the work on bulk actions, which ends first too.
	bulks       *bulks
	bulkBase    context.Context
	cancelBulks context.CancelCauseFunc
	bulksDone   chan struct{}

	stopping atomic.Bool

	mu       sync.Mutex
	listener net.Listener
	serving  chan error
	streamWG sync.WaitGroup
}

// New makes a service that does not listen yet.
func New(cfg Config, deps Deps) (*Server, error) {
	cfg = cfg.withDefaults()
	errs := []error{cfg.Validate()}
	if deps.Reader == nil {
		errs = append(errs, errors.New("deps: a Reader is needed"))
	}
	if deps.Auth == nil {
		errs = append(errs, errors.New("deps: an Authenticator is needed"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if deps.Logger == nil {
		deps.Logger = slog.Default()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Idempotency == nil {
		deps.Idempotency = NewMemoryIdempotency(idempotencyTTL, idempotencyMax, deps.Now)
	}
	cursorKey, err := cfg.subkey("cursor")
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	sessionKey, err := cfg.subkey("session")
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	seal, err := newSessions(sessionKey, cfg.SessionTTL, cfg.SecureCookies, deps.Now)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	s := &Server{
		cfg: cfg, deps: deps, log: deps.Logger, now: deps.Now, metrics: newMetrics(),
		cursors: cursors{cursorKey}, sessions: seal, limiters: newLimiters(cfg.RatePerSecond, cfg.RateBurst),
		streams: newQuota(cfg.MaxStreams, cfg.MaxStreamsPerToken), overlay: newOverlay(cfg.OverlayTTL, deps.Now),
		settings: newSettings(deps.Settings, cfg.OverlayTTL, deps.Now),
		locks:    newTaskLocks(), packer: newPacker(), working: make(chan struct{}, cfg.MaxConcurrent),
	}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	s.health = newReadCache(s.base, cfg.HealthTTL, cfg.QueryTimeout, deps.Now, func(ctx context.Context, k healthKey) (readmodel.Health, error) {
		return deps.Reader.Health(ctx, k.scope, k.window)
	})
	s.history = newReadCache(s.base, historyTTL, cfg.QueryTimeout, deps.Now, func(ctx context.Context, k historyKey) (readmodel.History, error) {
		return deps.Reader.History(ctx, k.scope, k.query)
	})
	s.streamBase, s.cancelStreams = context.WithCancelCause(s.base)
	s.bulkBase, s.cancelBulks = context.WithCancelCause(s.base)
	s.bulks, s.bulksDone = newBulks(s), make(chan struct{})
	s.app = fiber.New(fiber.Config{
		// Without Immutable every string of a request would point into a buffer that
		// the next request overwrites.
		Immutable:             true,
		CaseSensitive:         true,
		StrictRouting:         true,
		DisableStartupMessage: true,
		BodyLimit:             cfg.MaxBodyBytes,
		ReadBufferSize:        cfg.MaxHeaderBytes,
		Concurrency:           cfg.MaxConnections,
		ReadTimeout:           readTimeout,
		IdleTimeout:           idleTimeout,
		// No WriteTimeout: the answers are bounded, and streams set their own.
		ErrorHandler: s.answerError,
		// Without it every idle connection would hold a read buffer.
		ReduceMemoryUsage: true,
	})
	s.register()
	return s, nil
}

// register puts every route in its place. Their order matters: the first that
// matches answers.
func (s *Server) register() {
	s.app.Use(s.outermost)
	s.app.Get("/healthz", s.handleHealthz)
	s.app.Get("/readyz", s.handleReadyz)
	s.app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(s.metrics.gatherer(s.deps.Gatherer), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})))
	s.app.Get("/openapi.yaml", s.handleOpenAPI)
	s.routes = s.apiRoutes()
	for i := range s.routes {
		r := &s.routes[i]
		s.app.Add(r.method, base+r.path, s.serve(r))
	}
	s.app.Use(base, func(c *fiber.Ctx) error {
		if allow := s.allowed(c.Path()); allow != "" {
			return &failure{code: codeMethodNotAllowed, detail: "allowed: " + allow, allow: allow}
		}
		return &failure{code: codeNoRoute}
	})
	s.app.Get("/*", s.handleUI)
}

// Start listens and serves until Stop. It returns once the address is bound.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving != nil {
		return ErrStarted
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("query: listen: %w", err)
	}
	s.listener, s.serving = ln, make(chan error, 1)
	if s.cfg.TLS != nil {
		ln = tls.NewListener(ln, s.cfg.TLS)
	}
	go func() { s.serving <- s.app.Listener(ln) }()
	go func() {
		defer close(s.bulksDone)
		if s.deps.Settings != nil && s.deps.Writer != nil {
			s.bulks.run(s.bulkBase)
		}
	}()
	return nil
}

// Addr is where the service listens, empty before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop takes no more requests, ends the streams and the work on bulk actions, and waits for what is being
// worked on until ctx ends; then it gives that up. Stopping twice is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	serving, ln := s.serving, s.listener
	s.mu.Unlock()
	if serving == nil {
		return ErrNotStarted
	}
	if s.stopping.Swap(true) {
		return nil
	}
	// Streams end first: each holds a goroutine and a connection.
	s.cancelStreams(errStopping)
	s.cancelBulks(errStopping)
	err := s.app.ShutdownWithContext(ctx)
	<-s.bulksDone
	s.cancel(errStopping)
	// Where Stop came before the server had taken its listener, nobody closed it.
	_ = ln.Close()
	s.streamWG.Wait()
	if serr := <-serving; serr != nil && !errors.Is(serr, net.ErrClosed) {
		err = errors.Join(err, serr)
	}
	if err != nil {
		return fmt.Errorf("query: stop: %w", err)
	}
	return nil
}
