package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Agent wraps executors. It is safe for concurrent use. Tasks can be executed
// from New on; their events wait in the spool until Start has begun to ship them.
type Agent struct {
	cfg        Config
	policies   map[string]policy // by task type
	policy     policy            // of the other types
	classifier *failure.Classifier
	breakers   *breaker.Set
	providers  *retry.Providers
	redactor   *redact.Redactor
	sealer     *redact.Sealer

	log    *spool.Log // nil where it could not be opened: tasks go on without
	ids    timeline.IDGenerator
	source string
	shed   shed

	tel     *telemetry
	journal journal
	live    liveState
	recover recoveries
	depths  depths
	client  *http.Client
	nearby  bool // the collector is on this machine
	stats   counters

	mu      sync.Mutex
	queues  map[string]RetryHandler
	cancels map[string]CancelHandler
	kept    map[string]bool // queues whose runner keeps the original inputs
	inputs  map[string]OriginalFunc
	changed chan struct{} // closed and replaced when queues change
	started bool
	closed  bool
	cancel  context.CancelCauseFunc
	// wg is what Start began and what ends by itself; handlers is what calls
	// handlers of the program, who may not look at their context.
	wg, handlers sync.WaitGroup
	closing      chan struct{} // closed when Close begins
	gone         chan struct{} // closed when the agent closes and nobody takes its events
	goneOnce     sync.Once
}

// policy is the retry configuration of one task type.
type policy struct {
	retry.Policy
	timeout time.Duration
	// shown is the policy as task_started carries it, encoded: without a breaker and
	// with one.
	shown [2][]byte
}

// show encodes the policy once for all its tasks.
func (a *Agent) show(p policy) policy {
	t := p.Timeline()
	t.Timeout = timeline.Millis(p.timeout)
	p.shown[0] = wire.AppendPolicy(nil, &t)
	b := &a.cfg.Breaker
	t.BreakerFailureRate, t.BreakerMinCalls = max(b.FailureRate, 0), b.MinCalls
	t.BreakerConsecutive, t.BreakerOpenFor = max(b.ConsecutiveFailures, 0), timeline.Millis(b.OpenFor)
	p.shown[1] = wire.AppendPolicy(nil, &t)
	return p
}

// shownPolicy is the policy in force for a run, as task_started carries it.
func (a *Agent) shownPolicy(r *run) []byte {
	p := r.policy
	if p.shown[0] == nil { // the task has settings of its own
		p = a.show(p)
	}
	if r.breaker == nil {
		return p.shown[0]
	}
	return p.shown[1]
}

// New opens the spool and prepares everything else; it reaches no network and
// starts no goroutine of its own but those of the spool. That the spool cannot be
// opened is said in the log and in [Agent.Stats], and is no error: tasks go on,
// without a record.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	a := &Agent{
		cfg: cfg, policies: map[string]policy{}, queues: map[string]RetryHandler{}, cancels: map[string]CancelHandler{}, kept: map[string]bool{}, inputs: map[string]OriginalFunc{}, changed: make(chan struct{}),
		providers: retry.NewProviders(cfg.Budget, 0), client: &http.Client{Transport: ownTransport()},
		nearby: local(cfg.CollectorURL), closing: make(chan struct{}), gone: make(chan struct{}),
	}
	var err error
	if a.classifier, err = failure.New(cfg.Failure); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if a.breakers, err = breaker.NewSet(breaker.SetConfig{Config: cfg.Breaker}); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if a.redactor, err = redact.New(cfg.Redact); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if len(cfg.SealKeys) > 0 {
		if a.sealer, err = redact.NewSealer(cfg.SealKeys...); err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
	}
	a.policy = a.show(policy{Policy: cfg.Retry, timeout: cfg.Timeout})
	for name, p := range cfg.Types {
		timeout := cfg.Timeout
		if p.Timeout != 0 {
			timeout = max(p.Timeout, 0)
		}
		a.policies[name] = a.show(policy{Policy: merge(p.Retry, cfg.Retry), timeout: timeout})
	}
	if a.tel, err = newTelemetry(cfg, a.breakers); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	a.openSpool()
	a.journal.open(a)
	a.recover.open(a)
	return a, nil
}

// ownTransport is a transport with connections of its own: what the program does
// to its default one (tracing it, closing its connections) is not for our traffic,
// nor the other way round.
func ownTransport() *http.Transport {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
}

func (a *Agent) openSpool() {
	log, err := spool.OpenSlot(a.cfg.SpoolDir, spool.Options{MaxBytes: a.cfg.SpoolMaxBytes, Logger: a.cfg.Logger})
	if err != nil {
		a.stats.spoolDown.Store(true)
		a.cfg.Logger.Error("the spool cannot be opened: tasks run without a record", "dir", a.cfg.SpoolDir, "error", err)
		var ids timeline.IDGenerator
		a.source = ids.Next(time.Now()).String()
		return
	}
	a.log, a.source = log, log.ID()
}

// Start begins to ship events, to take commands and to send heartbeats, until
// Close. It returns at once; the collector may be away.
func (a *Agent) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return errors.New("agent: start after close")
	case a.started:
		return errors.New("agent: started twice")
	}
	a.started = true
	ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if a.log != nil {
		a.wg.Go(func() { a.ship(ctx) })
		a.wg.Go(func() { a.adopt(ctx) })
	}
	a.handlers.Go(func() { a.takeCommands(ctx) })
	a.handlers.Go(func() { a.recover.run(ctx, a) })
	a.wg.Go(func() { a.live.run(ctx, a) })
	a.handlers.Go(func() { a.depths.run(ctx, a) })
	a.wg.Go(func() { a.journal.run(ctx, a) })
	return nil
}

func (a *Agent) policyOf(t *Task) policy {
	p, ok := a.policies[t.Type]
	if !ok {
		p = a.policy
	}
	attempts, timeout := p.MaxAttempts, p.timeout
	if t.MaxAttempts > 0 {
		p.MaxAttempts = t.MaxAttempts
	}
	if t.RunnerMaxAttempts > 0 {
		p.MaxAttempts = min(p.MaxAttempts, t.RunnerMaxAttempts)
	}
	if t.Timeout > 0 {
		p.timeout = t.Timeout
	}
	if p.MaxAttempts != attempts || p.timeout != timeout {
		p.shown = [2][]byte{}
	}
	return p
}
