package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// past answers what alert rules ask, out of ClickHouse and the collector's log.
// It is made before the collector is.
type past struct {
	store     *store.Store
	collector atomic.Pointer[collector.Collector]
}

func facetsOf(by []match.Field) (out []readmodel.Facet) {
	for _, f := range by {
		switch f {
		case match.Type:
			out = append(out, readmodel.ByType)
		case match.Queue:
			out = append(out, readmodel.ByQueue)
		case match.Provider:
			out = append(out, readmodel.ByProvider)
		case match.Agent:
			out = append(out, readmodel.ByAgent)
		case match.User:
			out = append(out, readmodel.ByUser)
		}
	}
	return out
}

func gaugesOf(rows []readmodel.Gauge, err error) ([]rule.Gauge, error) {
	out := make([]rule.Gauge, len(rows))
	for i, g := range rows {
		out[i] = rule.Gauge{Count: g.Count, Oldest: g.Oldest, Labels: match.Labels{
			match.Namespace: g.Namespace, match.Type: g.Type, match.Queue: g.Queue, match.Provider: g.Provider, match.Agent: g.Agent, match.User: g.UserID,
		}}
	}
	return out, err
}

func (p *past) DeadLetters(ctx context.Context, by []match.Field) ([]rule.Gauge, error) {
	return gaugesOf(p.store.PendingLetters(ctx, facetsOf(by)...))
}

func (p *past) Pending(ctx context.Context, by []match.Field) ([]rule.Gauge, error) {
	return gaugesOf(p.store.PendingTasks(ctx, facetsOf(by)...))
}

func (p *past) LastSeen(ctx context.Context, namespace, fingerprint string, before time.Time) (time.Time, error) {
	return p.store.ErrorLastSeen(ctx, namespace, fingerprint, before)
}

func (p *past) IngestLag(context.Context) (time.Duration, error) {
	c := p.collector.Load()
	if c == nil {
		return 0, nil // it is starting
	}
	for _, s := range c.Sinks() {
		if s.Name == p.store.Name() {
			return time.Duration(s.LagSeconds * float64(time.Second)), nil
		}
	}
	return 0, errors.New("the collector has no sink for ClickHouse")
}

// Replay runs a file's rules over the stored past; see [rule.Replay].
func Replay(ctx context.Context, s *store.Store, rules []rule.Rule, from, to time.Time) (*rule.Result, error) {
	return rule.Replay(ctx, rules, history{s}, from, to)
}

type history struct{ *store.Store }

func (h history) LastSeen(ctx context.Context, namespace, fingerprint string, before time.Time) (time.Time, error) {
	return h.ErrorLastSeen(ctx, namespace, fingerprint, before)
}

// alertBook shows alerts and channels in the words of the API.
type alertBook struct{ alerting *alerting.Alerting }

func rowOf(v *alerting.View) readmodel.AlertRow {
	r := readmodel.AlertRow{Alert: v.Alert, SilencedBy: v.SilencedBy}
	if a := v.Acknowledged; a != nil {
		r.Acknowledged = &readmodel.Acknowledgement{By: a.By, At: a.At, Reason: a.Reason}
	}
	return r
}

func (b alertBook) Alerts(_ context.Context, scope readmodel.Scope, f readmodel.AlertFilter, page readmodel.Page) (readmodel.List[readmodel.AlertRow], error) {
	var rows []readmodel.AlertRow
	b.alerting.Views(scope.Namespace, func(v *alerting.View) bool {
		if scope.UserID != "" && v.UserID != scope.UserID {
			return false
		}
		if r := rowOf(v); f.Matches(&r) {
			rows = append(rows, r)
		}
		return false
	})
	return readmodel.PageOf(rows, page, func(r *readmodel.AlertRow) readmodel.Position {
		return readmodel.Position{At: r.StartsAt, ID: r.ID.String()}
	}), nil
}

func (b alertBook) Alert(_ context.Context, scope readmodel.Scope, id timeline.ID) (readmodel.AlertRow, error) {
	found := b.alerting.Views(scope.Namespace, func(v *alerting.View) bool {
		return v.ID == id && (scope.UserID == "" || v.UserID == scope.UserID)
	})
	if len(found) == 0 {
		return readmodel.AlertRow{}, fmt.Errorf("alert %s: %w", id, readmodel.ErrNotFound)
	}
	return rowOf(&found[0]), nil
}

func (b alertBook) Channels(context.Context) ([]readmodel.Channel, error) {
	var out []readmodel.Channel
	for _, c := range append(b.alerting.Stats().Channels, b.alerting.UnfitChannels()...) {
		out = append(out, readmodel.Channel{
			Name: c.Name, Namespace: c.Namespace, Source: readmodel.AlertSource(c.Source), Type: string(c.Type), Target: c.Host, MinSeverity: c.MinSeverity, Disabled: c.Disabled,
			Waiting: c.Queued, OldestWaitingAt: c.OldestAt, Delivered: int64(c.Delivered), Failed: int64(c.Refused),
			Dropped: int64(c.Expired + c.Overflowed + c.Skipped), LastSuccessAt: c.LastSuccessAt, LastFailureAt: c.LastFailureAt, LastError: c.LastError,
		})
	}
	slices.SortFunc(out, func(x, y readmodel.Channel) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// Rules lists the rules of all namespaces, the file's first.
func (b alertBook) Rules(context.Context) (out readmodel.AlertRules, err error) {
	for _, r := range b.alerting.Rules() {
		out.Rules = append(out.Rules, readmodel.AlertRule{
			Name: r.Name, Kind: string(r.Kind), Severity: r.Severity, Namespace: r.Scope, Source: readmodel.AlertSource(r.Source), Rule: r.JSON, Disabled: r.Unfit,
		})
	}
	s := b.alerting.Severities()
	out.Severity = readmodel.Severities{Thresholds: s.Thresholds, Types: make([]readmodel.TypeSeverity, len(s.Types))}
	for i, t := range s.Types {
		match, err := json.Marshal(t.Match)
		if err != nil {
			return out, fmt.Errorf("write what a severity matches: %w", err)
		}
		out.Severity.Types[i] = readmodel.TypeSeverity{Match: match, Severity: t.Severity, Thresholds: t.Thresholds}
	}
	return out, nil
}

func deliveryOf(d *alerting.Delivery) readmodel.Delivery {
	out := readmodel.Delivery{
		ID: d.ID.String(), Channel: d.Channel, AlertID: d.Alert.ID, Title: d.Alert.Title, Severity: d.Alert.Severity, State: d.Alert.State,
		Status: readmodel.DeliveryStatus(d.Status), Attempts: d.Attempts, HTTPStatus: d.HTTPStatus, Error: d.Error,
		QueuedAt: d.CreatedAt, LastTryAt: d.LastTryAt, NextTryAt: d.NextTryAt,
	}
	if len(d.More) > 0 {
		out.Title = fmt.Sprintf("%s (and %d more)", out.Title, len(d.More))
	}
	return out
}

func (b alertBook) TestChannel(ctx context.Context, namespace, name string) (readmodel.Delivery, error) {
	d, err := b.alerting.Test(ctx, namespace, name)
	if err != nil {
		return readmodel.Delivery{}, asReadmodel(err)
	}
	out := deliveryOf(&d)
	out.AlertID = timeline.ID{}
	return out, nil
}

func (b alertBook) Deliveries(_ context.Context, scope readmodel.Scope, f readmodel.DeliveryFilter, page readmodel.Page) (readmodel.List[readmodel.Delivery], error) {
	all, err := b.alerting.Deliveries(scope.Namespace, f.Channel)
	if err != nil {
		return readmodel.List[readmodel.Delivery]{}, asReadmodel(err)
	}
	var rows []readmodel.Delivery
	for i := range all {
		d := deliveryOf(&all[i])
		if all[i].Alert.Namespace == scope.Namespace && (scope.UserID == "" || all[i].Alert.UserID == scope.UserID) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, d.Status)) && (f.AlertID.IsZero() || f.AlertID == d.AlertID) {
			rows = append(rows, d)
		}
	}
	return readmodel.PageOf(rows, page, deliveryPosition), nil
}

func deliveryPosition(d *readmodel.Delivery) readmodel.Position {
	return readmodel.Position{At: d.QueuedAt, ID: d.ID}
}

func (b alertBook) Resend(_ context.Context, scope readmodel.Scope, name, id string) (readmodel.Delivery, error) {
	n, err := timeline.ParseID(id)
	if err != nil {
		return readmodel.Delivery{}, fmt.Errorf("delivery %.64q: %w", id, readmodel.ErrNotFound)
	}
	d, err := b.alerting.Resend(scope.Namespace, name, n)
	if err != nil {
		return readmodel.Delivery{}, asReadmodel(err)
	}
	return deliveryOf(&d), nil
}

func asReadmodel(err error) error {
	if errors.Is(err, alerting.ErrNotFound) {
		return fmt.Errorf("%w: %w", readmodel.ErrNotFound, err)
	}
	return err
}
