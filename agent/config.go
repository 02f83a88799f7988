package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// FullPolicy says what becomes of events when the spool is full. Dead letters
// have a reserve of their own either way, and the task itself always goes on.
type FullPolicy string

const (
	// ShedInfo drops events of severity info, counts them, and marks their range
	// with a tombstone when there is room again.
	ShedInfo FullPolicy = "shed_info"
	// Block waits up to Config.BlockFor for room before it sheds.
	Block FullPolicy = "block"
)

// Config is what a program sets. Its zero value works: it ships to a collector
// on this machine.
type Config struct {
	// Name is who executes: a worker, a service. Defaults to the program's name.
	Name string
	// Namespace of tasks that name none. Defaults to default.
	Namespace string
	// CollectorURL is the collector's OTLP/HTTP address. What goes to another machine
	// is compressed. Defaults to TASKTRAIL_COLLECTOR_URL, or http://127.0.0.1:4318.
	CollectorURL string
	// Token is shown to the collector: scope ingest to send, agent to take
	// commands. Defaults to TASKTRAIL_TOKEN.
	Token string

	// SpoolDir holds the events that were not shipped. Several processes share
	// nothing: each takes a slot below the directory. Defaults to tasktrail/spool
	// in the user's cache directory.
	SpoolDir string
	// SpoolMaxBytes bounds the spool on disk. Defaults to 1 GiB.
	SpoolMaxBytes int64
	// FullPolicy is what happens when it is full. Defaults to ShedInfo.
	FullPolicy FullPolicy
	// BlockFor bounds the wait of the policy Block. Defaults to 1 s.
	BlockFor time.Duration
	// DeadLetterSyncWait is how long the answer of a failed task waits at most for
	// the fsync of its dead letter. Defaults to 100 ms.
	DeadLetterSyncWait time.Duration

	// Retry is the retry policy; its zero fields have their own defaults.
	Retry retry.Policy
	// Breaker configures the circuit breaker of each provider.
	Breaker breaker.Config
	// Budget bounds the retries against each provider.
	Budget retry.BudgetConfig
	// Timeout bounds one attempt; 0 for none. Defaults to none.
	Timeout time.Duration
	// Types overrides Retry and Timeout for single task types.
	Types map[string]TypePolicy
	// Failure adjusts the classification of errors.
	Failure failure.Settings

	// Redact says what must not leave the process.
	Redact redact.Config
	// SealKeys encrypt the original of an input that was redacted or cut, so that
	// it can be retried. Only agents hold them. Defaults to none: such a dead letter
	// can be retried only where the runner keeps the original.
	SealKeys []redact.Key
	// Thresholds say from which amount on a failure is critical. Defaults to
	// timeline.DefaultThresholds.
	Thresholds timeline.Thresholds
	// CancelGrace is how long a handler may go on after an operator cancelled its
	// task, before the timeline says that it does not look at its context. Defaults
	// to 30 s.
	CancelGrace time.Duration
	// KeepEnds is for a runner on this machine with a journal of its own. It writes
	// down what each [Agent.Step] came to, Step.Carry and how a run ended, and then
	// has the agent [Agent.Forget] the run, so that nothing of a run that waits is in
	// memory here. A process that is killed between the two learns it at its next
	// start, from [Agent.Ended] and [Agent.Resume], and runs nothing twice.
	KeepEnds bool
	// NoAutoRecover leaves dead letters of an open breaker where they are when it
	// closes.
	NoAutoRecover bool

	// TelemetryNamespace begins the names of the four telemetry events. Defaults to
	// agent_marketplace.
	TelemetryNamespace string
	// TracerProvider, MeterProvider and LoggerProvider default to OpenTelemetry's
	// global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	LoggerProvider log.LoggerProvider
	// Propagator carries trace contexts with tasks. Defaults to W3C Trace Context.
	Propagator propagation.TextMapPropagator

	// Logger takes what operators should know. Defaults to slog.Default.
	Logger *slog.Logger
}

// TypePolicy is what one task type does differently.
type TypePolicy struct {
	// Retry's zero fields mean those of Config.Retry.
	Retry retry.Policy
	// Timeout bounds one attempt. Defaults to Config.Timeout; negative for none.
	Timeout time.Duration
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	setDefault(&c.Name, filepath.Base(os.Args[0]))
	setDefault(&c.Namespace, timeline.DefaultNamespace)
	setDefault(&c.CollectorURL, os.Getenv("TASKTRAIL_COLLECTOR_URL"))
	setDefault(&c.CollectorURL, "http://127.0.0.1:4318")
	c.CollectorURL = strings.TrimRight(c.CollectorURL, "/")
	setDefault(&c.Token, os.Getenv("TASKTRAIL_TOKEN"))
	if c.SpoolDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		c.SpoolDir = filepath.Join(cache, "tasktrail", "spool")
	}
	setDefault(&c.SpoolMaxBytes, 1<<30)
	setDefault(&c.FullPolicy, ShedInfo)
	setDefault(&c.BlockFor, time.Second)
	setDefault(&c.DeadLetterSyncWait, 100*time.Millisecond)
	c.Retry = c.Retry.WithDefaults()
	c.Breaker = c.Breaker.WithDefaults()
	if c.Thresholds == nil {
		c.Thresholds = timeline.DefaultThresholds()
	}
	setDefault(&c.CancelGrace, 30*time.Second)
	setDefault(&c.TelemetryNamespace, "agent_marketplace")
	if c.Propagator == nil {
		c.Propagator = propagation.TraceContext{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports every fault of the configuration, defaults set, at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := []error{c.Retry.Validate(), c.Breaker.Validate(), c.Budget.Validate(), c.Failure.Validate(), c.Redact.Validate()}
	if u, err := url.Parse(c.CollectorURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, fmt.Errorf("CollectorURL %q: want an http or https URL", c.CollectorURL))
	}
	if c.FullPolicy != ShedInfo && c.FullPolicy != Block {
		errs = append(errs, fmt.Errorf("FullPolicy %q: want shed_info or block", c.FullPolicy))
	}
	if c.SpoolMaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("SpoolMaxBytes %d: want at least 1 MiB", c.SpoolMaxBytes))
	}
	if c.Timeout < 0 || c.BlockFor < 0 || c.DeadLetterSyncWait < 0 || c.CancelGrace < 0 {
		errs = append(errs, errors.New("Timeout, BlockFor, DeadLetterSyncWait, CancelGrace: must not be negative"))
	}
	for name, p := range c.Types {
		if err := merge(p.Retry, c.Retry).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("type %q: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// merge fills the zero fields of p from base.
func merge(p, base retry.Policy) retry.Policy {
	setDefault(&p.MaxAttempts, base.MaxAttempts)
	setDefault(&p.Base, base.Base)
	setDefault(&p.Cap, base.Cap)
	setDefault(&p.Factor, base.Factor)
	setDefault(&p.Jitter, base.Jitter)
	setDefault(&p.MaxRetryAfter, base.MaxRetryAfter)
	return p
}
