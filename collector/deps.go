package collector

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Deps is what code passes. Nil fields leave out what needs them.
type Deps struct {
	// Auth knows the tokens. Without it only anonymous senders are taken, and
	// those only where the settings allow it.
	Auth Authenticator
	// Sinks follow the log.
	Sinks []SinkSpec
	// Commands is where agents' commands come from.
	Commands CommandSource
	// Live takes heartbeats and progress.
	Live LiveSink
	// Tasks confirms what a lost task's state is and gives its full context.
	Tasks TaskReader
	// Sources knows when other collectors have heard of a source.
	Sources SourceActivity
	// Registerer takes the metrics, Gatherer is what GET /metrics shows.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// CommandSource gives the commands for one connected agent.
type CommandSource interface {
	// Commands returns a channel of the commands for the queues of a namespace
	// that this source is to carry out. The channel is closed after ctx has ended
	// or when no more can be given; the agent then connects again. A command that
	// was not acknowledged by events is given again, to this agent or another. Of the
	// queues in cancels the source gets the cancels alone.
	Commands(ctx context.Context, source, namespace string, queues []string, cancels ...string) <-chan timeline.Command
}

// LiveSink takes what agents say of themselves. The namespace is filled in.
type LiveSink interface {
	AgentLive(ctx context.Context, live *timeline.AgentLive) error
}

// TaskReader reads a folded task; [readmodel.ErrNotFound] where there is none.
type TaskReader interface {
	Task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error)
}

// SourceActivity says when any collector last heard of a source: the zero time
// for never. An error means that it can't be known now.
type SourceActivity interface {
	LastSeen(ctx context.Context, sourceID string) (time.Time, error)
}
