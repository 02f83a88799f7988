package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Where several processes share a Redis, each collector has the alerts that it
// decided on itself, and puts them where the others and query find them.
const (
	sharedAlertsName  = "alerts"
	sharedAlertsEvery = 2 * time.Second
	sharedAlertsFor   = 15 * time.Second
	// maxSharedAlerts bounds what one collector shares: the latest of each
	// namespace come first.
	maxSharedAlerts = 2000
)

// startAlertShare tells the other processes of this one's alerts and answers
// what they ask about its channels, where there can be others.
func (a *App) startAlertShare(ctx context.Context) {
	if a.embeddedRedis {
		return
	}
	sharing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { shareAlerts(sharing, a.alerting, a.live) })
	running.Go(func() {
		if err := answerAlertQuestions(sharing, alertBook{a.alerting}, a.live); err != nil && sharing.Err() == nil {
			a.log.Error("questions about channels are not answered", "error", err)
		}
	})
	a.undo.pushFunc("sharing of alerts", func() { stop(); running.Wait() })
}

// shareAlerts puts a collector's alerts where others find them, until ctx ends.
// What did not change is not sent again: that it still holds is.
func shareAlerts(ctx context.Context, a *alerting.Alerting, l *live.Live) {
	tick := time.NewTicker(sharedAlertsEvery)
	defer tick.Stop()
	var body []byte
	var told uint64
	for {
		if revision := a.Revision(); body == nil || revision != told {
			if b, err := json.Marshal(alertRows(a)); err == nil {
				body, told = b, revision
			}
		}
		// Redis that is away is noticed and told of elsewhere; the next turn is soon.
		_ = l.Share(ctx, sharedAlertsName, a.Holder(), body, sharedAlertsFor)
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

// sharedAlerts reads what the collectors share, and this process's own alerts
// where it has some.
type sharedAlerts struct {
	live *live.Live
	own  *alerting.Alerting
}

func (s sharedAlerts) rows(ctx context.Context, scope readmodel.Scope) ([]readmodel.AlertRow, error) {
	bodies, err := s.live.Shared(ctx, sharedAlertsName)
	if err != nil && s.own == nil {
		return nil, err // else what is known here is shown
	}
	// The alert of one task may stand at several collectors, which its events came
	// to; the latest word counts.
	latest := map[timeline.ID]readmodel.AlertRow{}
	if s.own != nil {
		s.own.Views(scope.Namespace, func(v *alerting.View) bool {
			if scope.UserID == "" || v.UserID == scope.UserID {
				latest[v.ID] = rowOf(v)
			}
			return false
		})
		delete(bodies, s.own.Holder())
	}
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
