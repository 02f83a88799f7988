package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// operators is what alerting, breakers and keys are in a real process. What is set
// over the API (silences, acknowledgements) shows on its alerts, and a test or a
// repeated notification stands in its channel's log.
type operators struct {
	*querytest.Operations
	store *querytest.Store
}

func newOperators(store *querytest.Store, now time.Time) *operators {
	o := &operators{querytest.NewOperations(), store}
	o.alerts(now)
	o.channels(now)
	o.rules()
	o.providers(now)
	o.keys(now)
	return o
}

func (o *operators) alerts(now time.Time) {
	add := func(title string, a timeline.Alert, ago time.Duration) {
		a.ID, a.Title, a.Namespace = timeline.DeriveID("alert", title), title, "default"
		a.StartsAt, a.UpdatedAt = now.Add(-ago), now.Add(-ago)
		if a.State == "" {
			a.State = timeline.AlertFiring
		}
		if a.State == timeline.AlertResolved {
			a.EndsAt, a.UpdatedAt = now.Add(-ago/2), now.Add(-ago/2)
		}
		o.AddAlert(readmodel.AlertRow{Alert: a})
	}
	for i := range 6 {
		id := fmt.Sprintf("asynq:default:pay-%02d", i)
		add("payment failed: 120.00 USD ("+id+")", timeline.Alert{Rule: "task_failed", Severity: timeline.AlertCritical, TaskID: id, TaskType: "payment", Queue: "payments", Agent: "worker-1", Provider: "bank", UserID: "u-17", Amount: "120.00", Currency: "USD", Run: 1, Runs: 1, Reason: timeline.FailExhausted, Error: err503}, time.Duration(30-i)*time.Minute)
	}
	add("the breaker of bank opened", timeline.Alert{Rule: "breaker_opened", Severity: timeline.AlertCritical, Provider: "bank", Agent: "worker-1", Text: "14 of 20 calls failed. Tasks that call bank wait until it closes.", Runbook: "https://example.com/runbooks/bank"}, 70*time.Second)
	add("withdrawal failed: river:main:4201", timeline.Alert{Rule: "task_failed", Severity: timeline.AlertHigh, TaskID: "river:main:4201", TaskType: "withdrawal", Queue: "payments", UserID: "u-18", Reason: timeline.FailPermanent, Error: err404, Run: 1, Runs: 1}, 19*time.Minute)
	add("11 dead letters wait", timeline.Alert{Rule: "dead_letters", Severity: timeline.AlertMedium, Condition: "growing", Value: 11, Text: "More than 10 dead letters are pending for 5 minutes."}, 12*time.Minute)
	add("send_email failed: evil:\u202e<script>alert(1)</script>/x", timeline.Alert{Rule: "task_failed", Severity: timeline.AlertMedium, TaskID: "evil:\u202e<script>alert(1)</script>/x", TaskType: "send_email", Queue: "mail", UserID: "u-17", Runbook: "javascript:alert(1)", Error: slow}, 8*time.Minute)
	add("nightly_report did not start", timeline.Alert{Rule: "missed_run", Severity: timeline.AlertMedium, State: timeline.AlertResolved, Condition: "never_started", TaskType: "nightly_report", Queue: "reports"}, 5*time.Hour)
}

// rules are what the alerting file has; those set over the API are in the store.
func (o *operators) rules() {
	o.AddRule(readmodel.AlertRule{Name: "payments are failing", Kind: "failure_rate", Severity: timeline.AlertCritical, Source: readmodel.FromFile, Rule: json.RawMessage(`{"name":"payments are failing","kind":"failure_rate","match":{"type":"payment*"},"above":"20%","severity":"critical"}`)})
	o.AddRule(readmodel.AlertRule{Name: "workers die", Kind: "lost_tasks", Severity: timeline.AlertHigh, Source: readmodel.FromFile, Rule: json.RawMessage(`{"name":"workers die","kind":"lost_tasks","above":3}`)})
	o.SetSeverity(readmodel.Severities{Thresholds: timeline.DefaultThresholds(), Types: []readmodel.TypeSeverity{
		{Match: json.RawMessage(`{"type":["invoice_*"]}`), Severity: timeline.AlertHigh, Thresholds: timeline.Thresholds{"USD": "10", "EUR": "10"}},
		{Match: json.RawMessage(`{"type":["report","nightly_*"],"queue":["!payments"]}`), Severity: timeline.AlertMedium},
	}})
}

func (o *operators) channels(now time.Time) {
	o.AddChannel(readmodel.Channel{Source: readmodel.FromFile, Name: "oncall", Type: "pagerduty", Target: "events.pagerduty.com", MinSeverity: timeline.AlertCritical, Delivered: 17, LastSuccessAt: now.Add(-70 * time.Second)})
	o.AddChannel(readmodel.Channel{Source: readmodel.FromFile, Name: "shop-webhook", Type: "webhook", Target: "shop.example.com", Delivered: 41, Failed: 1, Waiting: 2, OldestWaitingAt: now.Add(-40 * time.Second), LastFailureAt: now.Add(-4 * time.Minute), LastError: "shop.example.com answered 410 Gone: the hook was removed"})
	o.AddChannel(readmodel.Channel{Source: readmodel.FromFile, Name: "team-chat", Type: "slack", Target: "hooks.slack.com", Disabled: "its URL is not set (TASKTRAIL_SLACK_URL)"})
	add := func(n int, channel, title string, sev timeline.AlertSeverity, status readmodel.DeliveryStatus, code int, why string, ago time.Duration) {
		d := readmodel.Delivery{ID: fmt.Sprintf("msg_%s_%d", channel, n), Channel: channel, AlertID: timeline.DeriveID("alert", title), Title: title, Severity: sev, State: timeline.AlertFiring, Status: status, Attempts: 1, HTTPStatus: code, Error: why, QueuedAt: now.Add(-ago), LastTryAt: now.Add(-ago + time.Second)}
		if status == readmodel.DeliveryWaiting {
			d.Attempts, d.NextTryAt = 3, now.Add(30*time.Second)
		}
		o.AddDelivery(d)
	}
	add(1, "oncall", "the breaker of bank opened", timeline.AlertCritical, readmodel.DeliveryDelivered, 202, "", 70*time.Second)
	add(2, "oncall", "payment failed: 120.00 USD (asynq:default:pay-05)", timeline.AlertCritical, readmodel.DeliveryDelivered, 202, "", 25*time.Minute)
	add(1, "shop-webhook", "withdrawal failed: river:main:4201", timeline.AlertHigh, readmodel.DeliveryFailed, 410, "shop.example.com answered 410 Gone: the hook was removed", 19*time.Minute)
	add(2, "shop-webhook", "11 dead letters wait", timeline.AlertMedium, readmodel.DeliveryWaiting, 503, "shop.example.com answered 503", 40*time.Second)
}

func (o *operators) providers(now time.Time) {
	one, two := timeline.DeriveID("source", "bank-1").String(), timeline.DeriveID("source", "bank-2").String()
	var history []readmodel.BreakerChange
	add := func(source, agent string, state timeline.BreakerState, ago time.Duration) {
		c := readmodel.BreakerChange{At: now.Add(-ago), SourceID: source, Agent: agent, State: state, TaskID: "asynq:default:pay-01"}
		switch state {
		case timeline.BreakerOpen:
			c.Why, c.Calls, c.Failures, c.OpenUntil = "failure_rate", 20, 14, c.At.Add(90*time.Second)
		case timeline.BreakerHalfOpen:
			c.Why = "probe"
		case timeline.BreakerClosed:
			c.Why = "probes_succeeded"
		}
		history = append(history, c)
	}
	for _, h := range []time.Duration{50 * time.Minute, 5 * time.Hour, 21 * time.Hour} {
		add(one, "worker-1", timeline.BreakerOpen, h)
		add(one, "worker-1", timeline.BreakerHalfOpen, h*9/10)
		add(one, "worker-1", timeline.BreakerClosed, h*8/10)
	}
	add(one, "worker-1", timeline.BreakerOpen, 70*time.Second)
	add(two, "worker-2", timeline.BreakerOpen, 15*time.Hour)
	add(two, "worker-2", timeline.BreakerHalfOpen, 13*time.Hour)
	add(two, "worker-2", timeline.BreakerClosed, 12*time.Hour)
	o.AddProvider(readmodel.Provider{Provider: "bank", State: timeline.BreakerOpen, Since: now.Add(-70 * time.Second), Opened: 5, DeadLetters: 3, Breakers: []readmodel.ProviderBreaker{
		{SourceID: one, Agent: "worker-1", State: timeline.BreakerOpen, Since: now.Add(-70 * time.Second), OpenUntil: now.Add(20 * time.Second), Why: "failure_rate"},
		{SourceID: two, Agent: "worker-2", State: timeline.BreakerClosed, Since: now.Add(-12 * time.Hour)},
	}}, history...)
	history = nil
	add(two, "worker-2", timeline.BreakerOpen, 3*time.Hour)
	add(two, "worker-2", timeline.BreakerHalfOpen, 2*time.Hour)
	add(two, "worker-2", timeline.BreakerClosed, 110*time.Minute)
	o.AddProvider(readmodel.Provider{Provider: "smtp.example.com", State: timeline.BreakerClosed, Since: now.Add(-110 * time.Minute), Opened: 1, Breakers: []readmodel.ProviderBreaker{
		{SourceID: two, Agent: "worker-2", State: timeline.BreakerClosed, Since: now.Add(-110 * time.Minute)},
	}}, history...)
}

func (o *operators) keys(now time.Time) {
	for _, k := range []auth.Key{
		{ID: "agentworker1abcd", Name: "worker fleet", Namespace: "default", Scopes: []auth.Scope{auth.ScopeAgent}, Queues: []string{"payments", "mail"}, CreatedAt: now.Add(-30 * 24 * time.Hour), ExpiresAt: now.Add(60 * 24 * time.Hour)},
		{ID: "grafanareadabcde", Name: "dashboards", Namespace: "default", Scopes: []auth.Scope{auth.ScopeReadAll}, CreatedAt: now.Add(-9 * 24 * time.Hour)},
		{ID: "oldcikeyabcdefgh", Name: "old ci", Namespace: "default", Scopes: []auth.Scope{auth.ScopeIngest}, CreatedAt: now.Add(-90 * 24 * time.Hour), RevokedAt: now.Add(-24 * time.Hour)},
	} {
		o.AddKey(k)
	}
}

// Create implements query.KeyManager, with the time it is.
func (o *operators) Create(_ context.Context, spec auth.KeySpec) (auth.Key, string, error) {
	k, token, err := auth.NewKey(spec, time.Now())
	if err == nil {
		o.AddKey(k)
	}
	return k, token, err
}

// Alerts implements query.AlertReader.
func (o *operators) Alerts(ctx context.Context, scope readmodel.Scope, f readmodel.AlertFilter, page readmodel.Page) (readmodel.List[readmodel.AlertRow], error) {
	// What the filter asks of acknowledgements and silences is looked at once the
	// rows carry them; the lists here are short, so that a page is never cut by it.
	acknowledged, silenced := f.Acknowledged, f.Silenced
	f.Acknowledged, f.Silenced = nil, nil
	list, err := o.Operations.Alerts(ctx, scope, f, page)
	if err != nil {
		return list, err
	}
	rows := list.Rows[:0]
	for _, a := range list.Rows {
		if err := o.mark(ctx, scope, &a); err != nil {
			return list, err
		}
		if (acknowledged == nil || *acknowledged == (a.Acknowledged != nil)) && (silenced == nil || *silenced == (len(a.SilencedBy) > 0)) {
			rows = append(rows, a)
		}
	}
	list.Rows = rows
	return list, nil
}

// Alert implements query.AlertReader.
func (o *operators) Alert(ctx context.Context, scope readmodel.Scope, id timeline.ID) (readmodel.AlertRow, error) {
	a, err := o.Operations.Alert(ctx, scope, id)
	if err == nil {
		err = o.mark(ctx, scope, &a)
	}
	return a, err
}

// mark puts on an alert what was set over the API.
func (o *operators) mark(ctx context.Context, scope readmodel.Scope, a *readmodel.AlertRow) error {
	acks, err := o.store.Settings(ctx, scope.Namespace, timeline.SettingAlertState)
	if err != nil {
		return fmt.Errorf("read acknowledgements: %w", err)
	}
	for _, s := range acks {
		var ack readmodel.Acknowledgement
		if s.ID == a.ID.String() && json.Unmarshal(s.Body, &ack) == nil && ack.Holds(&a.Alert) {
			a.Acknowledged = &ack
		}
	}
	silences, err := o.store.Settings(ctx, scope.Namespace, timeline.SettingSilence)
	if err != nil {
		return fmt.Errorf("read silences: %w", err)
	}
	for _, s := range silences {
		var v readmodel.Silence
		if json.Unmarshal(s.Body, &v) == nil && v.In(time.Now()) && v.Match.Matches(&a.Alert) {
			a.SilencedBy = append(a.SilencedBy, v.ID)
		}
	}
	return nil
}

// TestChannel implements query.ChannelManager.
func (o *operators) TestChannel(ctx context.Context, namespace, channel string) (readmodel.Delivery, error) {
	d, err := o.Operations.TestChannel(ctx, namespace, channel)
	if err != nil {
		return d, err
	}
	now := time.Now().UTC()
	d.ID, d.HTTPStatus, d.QueuedAt, d.LastTryAt = fmt.Sprintf("msg_test_%d", now.UnixNano()), 204, now, now
	o.AddDelivery(d)
	return d, nil
}
