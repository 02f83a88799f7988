package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Where query runs apart, the alerts are in the collectors: each puts those it
// decided on into Redis, and query shows what it finds there.
const (
	sharedAlertsName  = "alerts"
	sharedAlertsEvery = 2 * time.Second
	sharedAlertsFor   = 15 * time.Second
	// maxSharedAlerts bounds what one collector shares: the latest of each
	// namespace come first.
	maxSharedAlerts = 2000
)

// shareAlerts puts a collector's alerts where query finds them, until ctx ends.
func shareAlerts(ctx context.Context, a *alerting.Alerting, l *live.Live, holder string) {
	tick := time.NewTicker(sharedAlertsEvery)
	defer tick.Stop()
	for {
		body, err := json.Marshal(alertRows(a))
		if err == nil {
			// Redis that is away is noticed and told of elsewhere; the next turn is soon.
			_ = l.Share(ctx, sharedAlertsName, holder, body, sharedAlertsFor)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// alertRows are the alerts of every namespace, bounded.
func alertRows(a *alerting.Alerting) []readmodel.AlertRow {
	var namespaces []string
	for _, al := range a.Alerts("", false) {
		if !slices.Contains(namespaces, al.Namespace) {
			namespaces = append(namespaces, al.Namespace)
		}
	}
	rows := []readmodel.AlertRow{}
	for _, ns := range namespaces {
		views := a.Views(ns, func(*alerting.View) bool { return true })
		for i := range views[:min(len(views), maxSharedAlerts-len(rows))] {
			rows = append(rows, rowOf(&views[i]))
		}
	}
	return rows
}

// sharedAlerts reads what the collectors share.
type sharedAlerts struct{ live *live.Live }

func (s sharedAlerts) rows(ctx context.Context, scope readmodel.Scope) ([]readmodel.AlertRow, error) {
	bodies, err := s.live.Shared(ctx, sharedAlertsName)
	if err != nil {
		return nil, err
	}
	// The alert of one task may stand at several collectors, which its events came
	// to; the latest word counts.
	latest := map[timeline.ID]readmodel.AlertRow{}
	for holder, body := range bodies {
		var rows []readmodel.AlertRow
		if err := json.Unmarshal(body, &rows); err != nil {
			return nil, fmt.Errorf("read the alerts of collector %s: %w", holder, err)
		}
		for _, r := range rows {
			if r.Namespace == scope.Namespace && (scope.UserID == "" || r.UserID == scope.UserID) {
				if old, twice := latest[r.ID]; !twice || r.UpdatedAt.After(old.UpdatedAt) {
					latest[r.ID] = r
				}
			}
		}
	}
	out := make([]readmodel.AlertRow, 0, len(latest))
	for _, r := range latest {
		out = append(out, r)
	}
	return out, nil
}

// Alerts lists alerts, the latest started first.
func (s sharedAlerts) Alerts(ctx context.Context, scope readmodel.Scope, f readmodel.AlertFilter, page readmodel.Page) (readmodel.List[readmodel.AlertRow], error) {
	rows, err := s.rows(ctx, scope)
	if err != nil {
		return readmodel.List[readmodel.AlertRow]{}, err
	}
	rows = slices.DeleteFunc(rows, func(r readmodel.AlertRow) bool { return !f.Matches(&r) })
	return readmodel.PageOf(rows, page, func(r *readmodel.AlertRow) readmodel.Position {
		return readmodel.Position{At: r.StartsAt, ID: r.ID.String()}
	}), nil
}

// Alert returns one, or [readmodel.ErrNotFound].
func (s sharedAlerts) Alert(ctx context.Context, scope readmodel.Scope, id timeline.ID) (readmodel.AlertRow, error) {
	rows, err := s.rows(ctx, scope)
	if err != nil {
		return readmodel.AlertRow{}, err
	}
	if i := slices.IndexFunc(rows, func(r readmodel.AlertRow) bool { return r.ID == id }); i >= 0 {
		return rows[i], nil
	}
	return readmodel.AlertRow{}, fmt.Errorf("alert %s: %w", id, readmodel.ErrNotFound)
}
