package alerting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/timeline"
)

// ErrNotFound: there is no such alert, channel or delivery.
var ErrNotFound = errors.New("not found")

// Stats counts what was done since New.
type Stats struct {
	// Firing and Resolved are the alerts that are kept, Pending the rules that hold
	// and do not fire yet, Tasks the tasks that are followed.
	Firing, Resolved, Pending, Tasks int
	// Forgotten are alerts and tasks that the bounds pushed out before they were
	// over, Damaged lines of the journal that could not be read, Unreadable frames,
	// Uncounted events of rules with too many groups.
	Forgotten, Damaged, Unreadable, Uncounted uint64
	// The watchdog's signals: sent, not sent because they failed, and left out on
	// purpose.
	WatchdogSent, WatchdogFailed, WatchdogWithheld uint64
	Channels                                       []ChannelStats
}

// ChannelStats counts the deliveries of one channel since New.
type ChannelStats struct {
	Name string
	// Namespace is that of a channel which operators set; empty for the others, which
	// serve all.
	Namespace string
	Source    Source
	Type      channel.Type
	// Host is where it leads.
	Host        string
	MinSeverity timeline.AlertSeverity
	// Queued wait at the moment, the oldest since OldestAt.
	Queued   int
	OldestAt time.Time
	// Delivered arrived, Retried failed and were tried again, Refused will never be
	// taken, Expired were given up for their age, Overflowed gave way in a full
	// queue, Skipped came while the channel was disabled.
	Delivered, Retried, Refused, Expired, Overflowed, Skipped uint64
	// Breaker is closed, open, or half_open while a call probes.
	Breaker timeline.BreakerState
	// Disabled says why the channel takes nothing more, empty where it does.
	Disabled                     string
	FailingSince                 time.Time
	LastSuccessAt, LastFailureAt time.Time
	LastError                    string
}

// key names a channel among those of all namespaces.
func (c *ChannelStats) key() string {
	if c.Namespace == "" || c.Namespace == timeline.DefaultNamespace {
		return c.Name
	}
	return c.Namespace + "/" + c.Name
}

// Holder names this collector among those of the fleet.
func (a *Alerting) Holder() string { return a.holder }

// Revision changes when an alert does, or what holds one back.
func (a *Alerting) Revision() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inForce(time.Now())
	return a.state.revision
}

// Stats returns the counts so far.
func (a *Alerting) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stats
	s.Tasks, s.Uncounted = len(a.state.tasks), a.engine.Overflow()
	for _, al := range a.state.alerts {
		switch al.State {
		case timeline.AlertFiring:
			s.Firing++
		case timeline.AlertPending:
			s.Pending++
		default:
			s.Resolved++
		}
	}
	for _, c := range a.channels {
		cs := c.stats
		st := c.state()
		cs.Name, cs.Namespace, cs.Source = c.shown, c.namespace, c.source
		cs.Type, cs.Host, cs.MinSeverity = c.kind, c.host, c.min
		cs.Queued, cs.Disabled, cs.FailingSince = len(st.queue), st.mark.Disabled, st.mark.FailingSince
		if len(st.queue) > 0 {
			cs.OldestAt = st.queue[0].CreatedAt
		}
		switch {
		case c.failures == 0:
			cs.Breaker = timeline.BreakerClosed
		case c.probing:
			cs.Breaker = timeline.BreakerHalfOpen
		default:
			cs.Breaker = timeline.BreakerOpen
		}
		s.Channels = append(s.Channels, cs)
	}
	return s
}

// View is an alert with what holds its calls back.
type View struct {
	timeline.Alert
	Acknowledged *Acknowledgement
	// SilencedBy are the silences in force that match it.
	SilencedBy []string
}

// Acknowledgement says who took an alert on.
type Acknowledgement struct {
	By, Reason string
	At         time.Time
}

// Alerts returns the alerts of a namespace that are kept ("" for all), the
// firing ones alone where firing is set, those that changed last first.
func (a *Alerting) Alerts(namespace string, firing bool) []timeline.Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]timeline.Alert, 0, 16)
	for _, al := range a.state.alerts {
		if (namespace == "" || al.Namespace == namespace) && (!firing || al.State == timeline.AlertFiring) {
			out = append(out, *al)
		}
	}
	slices.SortFunc(out, func(x, y timeline.Alert) int {
		return cmp.Or(y.UpdatedAt.Compare(x.UpdatedAt), slices.Compare(x.ID[:], y.ID[:]))
	})
	return out
}

// Views returns the alerts of a namespace that keep takes, those that started
// last first.
func (a *Alerting) Views(namespace string, keep func(*View) bool) []View {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.inForce(time.Now())
	var out []View
	for _, al := range a.state.alerts {
		if al.Namespace != namespace {
			continue
		}
		v := View{Alert: *al}
		labels := labelsOf(al)
		if al.State != timeline.AlertResolved {
			v.SilencedBy = s.of(&labels)
			v.InhibitedBy = a.inhibitor(al)
		}
		if ack := a.acknowledged(al); ack != nil {
			v.Acknowledged, v.AcknowledgedBy = &Acknowledgement{By: ack.By, Reason: ack.Reason, At: ack.At}, ack.By
		}
		if keep(&v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(x, y View) int {
		return cmp.Or(y.StartsAt.Compare(x.StartsAt), -slices.Compare(x.ID[:], y.ID[:]))
	})
	return out
}

// DeliveryStatus is what became of a notification.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryWaiting   DeliveryStatus = "waiting"
	DeliveryDelivered DeliveryStatus = "delivered"
	// DeliveryFailed: a call was refused, and will not be tried again.
	DeliveryFailed DeliveryStatus = "failed"
	// DeliveryDropped: it grew too old, gave way to later ones, or its channel was
	// disabled.
	DeliveryDropped DeliveryStatus = "dropped"
)

// Delivery is one notification and how sending it went.
type Delivery struct {
	channel.Notification
	Channel  string
	Seq      uint64
	Status   DeliveryStatus
	Attempts int
	// HTTPStatus, Error and LastTryAt are of the last attempt.
	HTTPStatus int
	Error      string
	LastTryAt  time.Time
	NextTryAt  time.Time
	DoneAt     time.Time
}

func (c *deliverer) view(q *queued) Delivery {
	d := Delivery{Notification: q.Notification, Channel: c.shown, Seq: q.Seq, Status: q.status, Attempts: q.Count, NextTryAt: q.next, DoneAt: q.doneAt}
	if d.Status == "" {
		d.Status = DeliveryWaiting
	} else {
		d.NextTryAt = time.Time{}
	}
	if n := len(q.Tries); n > 0 {
		t := q.Tries[n-1]
		d.HTTPStatus, d.Error, d.LastTryAt = t.Status, t.Error, t.At
	}
	return d
}

// find gives the channel of a name that serves a namespace, or any where that is
// empty.
func (a *Alerting) find(namespace, name string) (*deliverer, error) {
	for _, c := range a.channels {
		if c.shown == name && (c.namespace == "" || namespace == "" || c.namespace == namespace) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("channel %.64q: %w", name, ErrNotFound)
}

// Deliveries lists a channel's log, what waits included, the latest first.
func (a *Alerting) Deliveries(namespace, name string) ([]Delivery, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.find(namespace, name)
	if err != nil {
		return nil, err
	}
	st := c.state()
	out := make([]Delivery, 0, len(st.queue)+len(st.log))
	for _, q := range append(slices.Clone(st.queue), st.log...) {
		out = append(out, c.view(q))
	}
	slices.SortFunc(out, func(x, y Delivery) int { return cmp.Compare(y.Seq, x.Seq) })
	return out, nil
}

// Resend queues a notification that is over again, under its id.
func (a *Alerting) Resend(namespace, name string, id timeline.ID) (Delivery, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.find(namespace, name)
	if err != nil {
		return Delivery{}, err
	}
	st := c.state()
	for i := len(st.log) - 1; i >= 0; i-- {
		q := st.log[i]
		if q.ID != id || namespace != "" && q.Alert.Namespace != namespace {
			continue
		}
		n := q.Notification
		n.CreatedAt = time.Now().UTC()
		if st.mark.Disabled != "" {
			return Delivery{}, fmt.Errorf("channel %.64q is disabled: %s", name, st.mark.Disabled)
		}
		a.queue(c, n)
		if err := a.commit(time.Now()); err != nil {
			return Delivery{}, err
		}
		return c.view(st.queue[len(st.queue)-1]), nil
	}
	return Delivery{}, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
}

// Test sends a test notification over a channel now, past its queue, and returns
// how the delivery went; an error says that it could not be tried. A disabled
// channel that takes it is in use again.
func (a *Alerting) Test(ctx context.Context, namespace, name string) (Delivery, error) {
	a.mu.Lock()
	c, err := a.find(namespace, name)
	a.mu.Unlock()
	if err != nil {
		return Delivery{}, err
	}
	now := time.Now().UTC()
	al := timeline.Alert{
		ID: timeline.DeriveID("alert", channel.TestRule, name, now.String()), Rule: channel.TestRule, Severity: timeline.AlertMedium, State: timeline.AlertFiring,
		Title: "test of channel " + name, Text: "nothing is wrong: somebody tries whether calls arrive", Namespace: cmp.Or(namespace, timeline.DefaultNamespace),
		StartsAt: now, UpdatedAt: now,
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	n := channel.NewNotification(&al, 0, now)
	err = c.notifier.Notify(ctx, n)
	d := Delivery{Notification: n, Channel: c.shown, Status: DeliveryDelivered, Attempts: 1, LastTryAt: now, DoneAt: time.Now().UTC()}
	if err != nil {
		d.Status, d.Error, d.HTTPStatus = DeliveryFailed, short(err.Error()), channel.AsDelivery(err).Status
		return d, nil
	}
	if c.kind == channel.PagerDuty || c.kind == channel.Alertmanager {
		// It opened something there, which is closed again.
		al.State, al.EndsAt, al.UpdatedAt = timeline.AlertResolved, now.Add(time.Second), now.Add(time.Second)
		if err := c.notifier.Notify(ctx, channel.NewNotification(&al, 0, now)); err != nil {
			a.cfg.Logger.Warn("a test's alert could not be resolved", "channel", name, "error", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.state().mark.Disabled != "" {
		c.enable(time.Now())
	}
	return d, a.commit(time.Now())
}
