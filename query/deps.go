package query

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// TimelineReader reads the events of one task.
type TimelineReader interface {
	// Timeline returns every event of the task in timeline order, or
	// [readmodel.ErrNotFound].
	Timeline(ctx context.Context, scope readmodel.Scope, taskID string) ([]timeline.Event, error)
}

// TaskReader reads folded tasks.
type TaskReader interface {
	// Task returns one task with its payloads, or [readmodel.ErrNotFound].
	Task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error)
	// Tasks lists tasks, newest first.
	Tasks(ctx context.Context, scope readmodel.Scope, filter readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error)
	// Usual tells how long the attempts of a type usually take; of a type that is
	// not known its counts are zero.
	Usual(ctx context.Context, scope readmodel.Scope, taskType string) (readmodel.Usual, error)
}

// DeadLetterReader reads dead letters.
type DeadLetterReader interface {
	// DeadLetter returns one dead letter in full, or [readmodel.ErrNotFound].
	DeadLetter(ctx context.Context, scope readmodel.Scope, id timeline.ID) (timeline.DeadLetter, error)
	// DeadLetters lists dead letters, newest first.
	DeadLetters(ctx context.Context, scope readmodel.Scope, filter readmodel.DeadLetterFilter, page readmodel.Page) (readmodel.List[timeline.DeadLetter], error)
}

// HealthReader reads how a namespace does.
type HealthReader interface {
	// Health looks back over the window for what is a rate or a distribution.
	Health(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error)
	// History tells what came to its end over a time, step by step.
	History(ctx context.Context, scope readmodel.Scope, q readmodel.HistoryQuery) (readmodel.History, error)
	// Errors lists failures by fingerprint, last seen first.
	Errors(ctx context.Context, scope readmodel.Scope, filter readmodel.ErrorFilter, page readmodel.Page) (readmodel.List[readmodel.ErrorGroup], error)
}

// Reader is everything that is read; a store implements it. All methods are safe
// for concurrent use, end with their context, and return copies the caller may
// change.
type Reader interface {
	TimelineReader
	TaskReader
	DeadLetterReader
	HealthReader
}

// EventWriter takes operators' events.
type EventWriter interface {
	// WriteEvents returns nil once the events are on disk, from where they are
	// never lost. Writing an event of the same id again is no error and changes
	// nothing. After an error the events may or may not have been written.
	WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error
}

// Claimer decides which of several requests starts a run.
type Claimer interface {
	// ClaimRun reports whether the holder has the run: true for the first who asks
	// and for the same holder again, false for others. An error says that it could
	// not be decided.
	ClaimRun(ctx context.Context, namespace, taskID string, run int, holder string) (bool, error)
}

// RunReleaser is what a [Claimer] may implement to take back a claim whose event
// could not be written, so that the next try does not wait for the claim's end.
type RunReleaser interface {
	ReleaseRun(ctx context.Context, namespace, taskID string, run int, holder string) error
}

// Subscriber follows live topics. Their names are those of the published
// channels: task:{id}, user_dashboard:{user}, tasks and alerts:{severity}, with
// {namespace}: before them outside the default namespace.
type Subscriber interface {
	// Subscribe returns once the subscription is in force, so that what is published
	// afterwards arrives. Each message is one JSON object whose bytes the receiver
	// may keep. The channel is closed when ctx ends, or earlier where messages were
	// missed: the receiver reads anew what it needs.
	Subscribe(ctx context.Context, topics ...string) (<-chan []byte, error)
}

// Authenticator tells whose a token is. Its errors are [auth.ErrUnauthenticated]
// and [auth.ErrUnavailable]. *auth.Authenticator implements it.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (auth.Principal, error)
}

// ReadyFunc reports why a part the service needs is not ready, nil where it is.
type ReadyFunc func(ctx context.Context) error

// Deps are the parts the service stands on.
type Deps struct {
	// Reader answers what is asked. Needed.
	Reader Reader
	// Auth tells whose a token is. Needed.
	Auth Authenticator
	// Writer takes operators' events. Without it mutating routes answer 503.
	Writer EventWriter
	// Claimer decides who starts a run. Without it retries answer 503.
	Claimer Claimer
	// Subscriber follows live topics. Without it /stream answers 503.
	Subscriber Subscriber
	// Idempotency remembers the answers of mutating calls. Defaults to
	// [NewMemoryIdempotency], which only this process knows.
	Idempotency IdempotencyStore
	// Settings reads what operators set. Without it the routes of bulk actions and
	// silences answer 503.
	Settings SettingReader
	// Alerts, Channels, Providers and Keys answer the routes of their name, which
	// without them answer 503.
	Alerts    AlertReader
	Channels  ChannelManager
	Providers ProviderReader
	Keys      KeyManager
	// AlertSettings checks channels and rules that operators set. Without it none can
	// be.
	AlertSettings AlertSettings
	// Audit reads who changed what. Without it /audit answers 503; what is written for
	// it goes to Writer.
	Audit AuditReader
	// Servers knows which queues are served. Without it answers do not say so.
	Servers QueueServers
	// RequeueSecret derives the secret that calls to a queue's re-enqueue URL are
	// signed with; the caller keeps the salt. Without it none can be registered.
	RequeueSecret func(namespace, queue, salt string) (string, error)
	// RequeueStates knows how re-enqueue URLs answer. Without it nothing is said of it.
	RequeueStates RequeueStates
	// Leases makes one of several processes work on bulk actions. Without it this
	// process takes itself to be the only one.
	Leases Leaser
	// Ready are the checks of /readyz by name.
	Ready map[string]ReadyFunc
	// Gatherer is what /metrics shows beside the service's own metrics.
	Gatherer prometheus.Gatherer
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}
