package query

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// SettingReader reads what operators set. Query writes settings as it writes every
// operator's event, and whoever they are for follows the log: a silence
// ([timeline.SettingSilence], its body a [readmodel.Silence]) and an
// acknowledgement ([timeline.SettingAlertState], its id the alert's, its body a
// [readmodel.Acknowledgement]) are written here and acted on by alerting.
type SettingReader interface {
	// Settings returns what is in force of a kind in a namespace, in the order of
	// ids. An empty namespace means those of all.
	Settings(ctx context.Context, namespace, kind string) ([]timeline.StoredSetting, error)
	// Setting returns the latest version of one, deleted or not;
	// [readmodel.ErrNotFound] where there never was one.
	Setting(ctx context.Context, namespace, kind, id string) (timeline.StoredSetting, error)
}

// QueueServers knows who takes the retries of queues.
type QueueServers interface {
	// Served reports whether an agent that takes the queue's retries is there, or was
	// within the last seconds. An error says that it can't be known.
	Served(ctx context.Context, namespace, queue string) (bool, error)
}

// RequeueStates knows how the calls of re-enqueue URLs went.
type RequeueStates interface {
	// RequeueStates returns what is known of a namespace's URLs, by queue.
	RequeueStates(ctx context.Context, namespace string) (map[string]readmodel.RequeueState, error)
}

// AlertReader reads alerts.
type AlertReader interface {
	// Alerts lists alerts, the latest started first. The scope's user sees the alerts
	// of that user's tasks alone.
	Alerts(ctx context.Context, scope readmodel.Scope, filter readmodel.AlertFilter, page readmodel.Page) (readmodel.List[readmodel.AlertRow], error)
	// Alert returns one, or [readmodel.ErrNotFound].
	Alert(ctx context.Context, scope readmodel.Scope, id timeline.ID) (readmodel.AlertRow, error)
}

// ChannelManager knows the channels of alerts. Channels serve every namespace;
// their deliveries are shown by namespace. What is not there is
// [readmodel.ErrNotFound].
type ChannelManager interface {
	// Channels lists the channels of all namespaces, by name.
	Channels(ctx context.Context) ([]readmodel.Channel, error)
	// Rules lists the rules of all namespaces, the file's first, and what decides how
	// loudly a failed task calls.
	Rules(ctx context.Context) (readmodel.AlertRules, error)
	// TestChannel sends a notification that says it is a test, once and at once, and
	// returns how that went. An error says that it could not be tried.
	TestChannel(ctx context.Context, namespace, channel string) (readmodel.Delivery, error)
	// Deliveries lists a channel's log, the latest queued first.
	Deliveries(ctx context.Context, scope readmodel.Scope, filter readmodel.DeliveryFilter, page readmodel.Page) (readmodel.List[readmodel.Delivery], error)
	// Resend queues a delivery again, under its id, and returns it.
	Resend(ctx context.Context, scope readmodel.Scope, channel, id string) (readmodel.Delivery, error)
}

// AlertSettings checks what operators set for alerting, and seals what is secret.
// Their errors say what is wrong by a *[timeline.FieldError].
type AlertSettings interface {
	// Channel makes the setting of a channel from its JSON in the words of the file of
	// rules. What is secret and not given stays as before, which may be nil. A webhook
	// without a secret, or with rotate, gets a new one, which is returned, and keeps
	// the one before beside it.
	Channel(namespace, name string, body json.RawMessage, before *timeline.ChannelSetting, rotate bool) (v timeline.ChannelSetting, secret string, err error)
	// Rule checks a rule in the words of the file of rules.
	Rule(namespace string, body json.RawMessage) error
	// TryRule says when a rule would have fired.
	TryRule(ctx context.Context, namespace string, body json.RawMessage, from, to time.Time) (readmodel.RuleTrial, error)
}

// ErrNoAlerting says that no process which raises alerts can be asked.
var ErrNoAlerting = errors.New("no collector is running that raises alerts")

// ProviderReader reads the state of providers' breakers.
type ProviderReader interface {
	// Providers lists the providers of which a breaker's event is known, the worst
	// first, then by name; Opened looks back over the window.
	Providers(ctx context.Context, scope readmodel.Scope, window time.Duration) ([]readmodel.Provider, error)
	// ProviderHistory lists the changes of a provider's breakers, the latest first.
	ProviderHistory(ctx context.Context, scope readmodel.Scope, provider string, page readmodel.Page) (readmodel.List[readmodel.BreakerChange], error)
}

// KeyManager keeps API keys. *auth.KeyFile implements it.
type KeyManager interface {
	// List returns every key, revoked ones included, by creation.
	List(ctx context.Context) ([]auth.Key, error)
	// Create makes a key and returns the token, which cannot be had again.
	Create(ctx context.Context, spec auth.KeySpec) (auth.Key, string, error)
	// Revoke ends a key; an unknown one is [auth.ErrUnknownKey].
	Revoke(ctx context.Context, id string) error
}

// Leaser makes one process at a time do what several could.
type Leaser interface {
	// Lease reports whether holder has the named lease until ttl from now: true for
	// the first who asks, and for the holder again, which renews it. An error says
	// that it could not be decided.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
}
