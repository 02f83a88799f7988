package collector

import (
	"context"
	"net"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Collector is one running collector. Its methods are safe for concurrent use.
type Collector struct {
	cfg  Config
	deps Deps
}

// New checks the settings and starts nothing.
func New(cfg Config, deps Deps) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Collector{cfg: cfg.withDefaults(), deps: deps}, nil
}

// Start opens the log, starts the followers and then the receivers.
func (c *Collector) Start(ctx context.Context) error { return ErrNotRunning }

// Stop drains: receivers stop, the log is flushed, sinks are given what is left
// of ctx to finish, agents are let go.
func (c *Collector) Stop(ctx context.Context) error { return nil }

// Accept checks a protobuf ExportLogsServiceRequest, appends what is good of it
// to the log and returns after it is on the disk.
func (c *Collector) Accept(ctx context.Context, env wire.Envelope, request []byte) (wire.Report, error) {
	return wire.Report{}, ErrNotRunning
}

// WriteEvents writes events of this process into the log like any sender's, and
// returns after they are on the disk. Events without a namespace get the given
// one.
func (c *Collector) WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error {
	return ErrNotRunning
}

// GRPCAddr is where OTLP over gRPC is received, after Start; nil for nowhere.
func (c *Collector) GRPCAddr() net.Addr { return nil }

// HTTPAddr is where OTLP over HTTP is received, after Start; nil for nowhere.
func (c *Collector) HTTPAddr() net.Addr { return nil }

// Ready reports why requests can't be taken; nil when they can. A sink that is
// down does not count: the log stands in for it, see [Collector.Sinks].
func (c *Collector) Ready() error { return ErrNotRunning }

// Sinks returns how each sink does.
func (c *Collector) Sinks() []SinkState { return nil }

// Ledger accounts for what came in.
func (c *Collector) Ledger() Ledger { return Ledger{} }
