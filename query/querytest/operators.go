package querytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Operations is what alerting and the keys are in a process, in memory; it
// implements query.AlertReader, ChannelManager, AlertSettings, ProviderReader and
// KeyManager, and is safe for concurrent use.
type Operations struct {
	mu         sync.Mutex
	alerts     []readmodel.AlertRow
	channels   []readmodel.Channel
	rules      []readmodel.AlertRule
	severity   readmodel.Severities
	deliveries []readmodel.Delivery
	providers  []readmodel.Provider
	history    map[string][]readmodel.BreakerChange
	keys       []auth.Key

	// Err is returned by the next calls.
	Err error
}

// NewOperations makes one that holds nothing.
func NewOperations() *Operations {
	return &Operations{history: map[string][]readmodel.BreakerChange{}}
}

// AddAlert adds an alert.
func (o *Operations) AddAlert(a readmodel.AlertRow) {
	o.change(func() { o.alerts = append(o.alerts, a) })
}

// AddChannel adds a channel.
func (o *Operations) AddChannel(c readmodel.Channel) {
	o.change(func() { o.channels = append(o.channels, c) })
}

// AddDelivery adds a delivery to its channel's log.
func (o *Operations) AddDelivery(d readmodel.Delivery) {
	o.change(func() { o.deliveries = append(o.deliveries, d) })
}

// AddProvider adds a provider with its history.
func (o *Operations) AddProvider(p readmodel.Provider, history ...readmodel.BreakerChange) {
	o.change(func() { o.providers, o.history[p.Provider] = append(o.providers, p), history })
}

// AddKey adds a key.
func (o *Operations) AddKey(k auth.Key) { o.change(func() { o.keys = append(o.keys, k) }) }

func (o *Operations) change(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
}

// Alerts implements query.AlertReader.
func (o *Operations) Alerts(_ context.Context, scope readmodel.Scope, f readmodel.AlertFilter, page readmodel.Page) (readmodel.List[readmodel.AlertRow], error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rows []readmodel.AlertRow
	for _, a := range o.alerts {
		if a.Namespace == scope.Namespace && (scope.UserID == "" || scope.UserID == a.UserID) && f.Matches(&a) {
			rows = append(rows, a)
		}
	}
	return readmodel.PageOf(rows, page, func(a *readmodel.AlertRow) readmodel.Position {
		return readmodel.Position{At: a.StartsAt, ID: a.ID.String()}
	}), o.Err
}

// Alert implements query.AlertReader.
func (o *Operations) Alert(_ context.Context, scope readmodel.Scope, id timeline.ID) (readmodel.AlertRow, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.alerts {
		if a.ID == id && a.Namespace == scope.Namespace && (scope.UserID == "" || scope.UserID == a.UserID) {
			return a, o.Err
		}
	}
	return readmodel.AlertRow{}, readmodel.ErrNotFound
}

// Channels implements query.ChannelManager.
func (o *Operations) Channels(context.Context) ([]readmodel.Channel, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.channels), o.Err
}

// AddRule adds a rule.
func (o *Operations) AddRule(r readmodel.AlertRule) {
	o.change(func() { o.rules = append(o.rules, r) })
}

// Rules implements query.ChannelManager.
func (o *Operations) Rules(context.Context) (readmodel.AlertRules, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return readmodel.AlertRules{Rules: slices.Clone(o.rules), Severity: o.severity}, o.Err
}

// SetSeverity says what decides how loudly a failed task calls.
func (o *Operations) SetSeverity(s readmodel.Severities) { o.change(func() { o.severity = s }) }

// TestChannel implements query.ChannelManager.
func (o *Operations) TestChannel(_ context.Context, _, channel string) (readmodel.Delivery, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.channels {
		if c.Name == channel {
			return readmodel.Delivery{ID: "test", Channel: channel, Title: "This is a test", Status: readmodel.DeliveryDelivered, Attempts: 1, QueuedAt: time.Unix(1_800_000_000, 0).UTC()}, o.Err
		}
	}
	return readmodel.Delivery{}, readmodel.ErrNotFound
}

// Deliveries implements query.ChannelManager.
func (o *Operations) Deliveries(_ context.Context, _ readmodel.Scope, f readmodel.DeliveryFilter, page readmodel.Page) (readmodel.List[readmodel.Delivery], error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rows []readmodel.Delivery
	for _, d := range o.deliveries {
		if d.Channel == f.Channel && (len(f.Statuses) == 0 || slices.Contains(f.Statuses, d.Status)) && (f.AlertID.IsZero() || f.AlertID == d.AlertID) {
			rows = append(rows, d)
		}
	}
	return readmodel.PageOf(rows, page, func(d *readmodel.Delivery) readmodel.Position {
		return readmodel.Position{At: d.QueuedAt, ID: d.ID}
	}), o.Err
}

// Resend implements query.ChannelManager.
func (o *Operations) Resend(_ context.Context, _ readmodel.Scope, channel, id string) (readmodel.Delivery, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.deliveries {
		if d := &o.deliveries[i]; d.Channel == channel && d.ID == id {
			d.Status = readmodel.DeliveryWaiting
			return *d, o.Err
		}
	}
	return readmodel.Delivery{}, readmodel.ErrNotFound
}

// Providers implements query.ProviderReader.
func (o *Operations) Providers(context.Context, readmodel.Scope, time.Duration) ([]readmodel.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.providers), o.Err
}

// ProviderHistory implements query.ProviderReader.
func (o *Operations) ProviderHistory(_ context.Context, _ readmodel.Scope, provider string, page readmodel.Page) (readmodel.List[readmodel.BreakerChange], error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	history, ok := o.history[provider]
	if !ok {
		return readmodel.List[readmodel.BreakerChange]{}, readmodel.ErrNotFound
	}
	return readmodel.PageOf(slices.Clone(history), page, func(c *readmodel.BreakerChange) readmodel.Position {
		return readmodel.Position{At: c.At, ID: c.SourceID}
	}), o.Err
}

// List implements query.KeyManager.
func (o *Operations) List(context.Context) ([]auth.Key, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.keys), o.Err
}

// Create implements query.KeyManager.
func (o *Operations) Create(_ context.Context, spec auth.KeySpec) (auth.Key, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Err != nil {
		return auth.Key{}, "", o.Err
	}
	k, token, err := auth.NewKey(spec, time.Unix(1_800_000_000, 0))
	if err == nil {
		o.keys = append(o.keys, k)
	}
	return k, token, err
}

// Revoke implements query.KeyManager.
func (o *Operations) Revoke(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.keys {
		if o.keys[i].ID == id {
			o.keys[i].RevokedAt = time.Unix(1_800_000_000, 0).UTC()
			return o.Err
		}
	}
	return fmt.Errorf("revoke: %w", auth.ErrUnknownKey)
}
