package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/internal/netguard"
	"github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/live/requeue"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// startRequeue begins to post the retries of queues that no agent serves to the URLs
// that operators registered.
func (a *App) startRequeue(ctx context.Context) error {
	allow, err := netguard.Parse(a.set.RequeueAllow)
	if err != nil {
		return fmt.Errorf("requeue_allow: %w", err)
	}
	source, _, err := secretFile(a.set.DataDir, "requeue-source", "requeue-")
	if err != nil {
		return err
	}
	r, err := requeue.New(requeue.Config{Source: source, Allow: allow, Logger: a.log}, requeue.Deps{
		Commands: a.live, Writer: a.collector, Registry: requeueRegistry{a}, States: requeueStates{a},
	})
	if err != nil {
		return err
	}
	a.undo.push("re-enqueue URLs", func(context.Context) error { return r.Close() })
	return r.Start(ctx)
}

// requeueSecret derives the secret that calls to a queue's URL are signed with. It
// is stored nowhere: whoever reads the settings cannot sign.
func (a *App) requeueSecret(namespace, queue, salt string) (string, error) {
	key, err := a.requeueKey(namespace, queue, salt)
	return webhook.Secret(key), err
}

func (a *App) requeueKey(namespace, queue, salt string) ([]byte, error) {
	if salt == "" {
		return nil, errors.New("the registration has no salt")
	}
	key, err := hkdf.Key(sha256.New, []byte(a.commandKey), []byte(salt), "re-enqueue\x00"+namespace+"\x00"+queue, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the secret of a re-enqueue URL: %w", err)
	}
	return key, nil
}

// requeueRegistry reads the registered URLs from the settings.
type requeueRegistry struct{ app *App }

func (r requeueRegistry) RequeueTargets(ctx context.Context) ([]requeue.Target, error) {
	rows, err := r.app.store.Settings(ctx, "", timeline.SettingRequeueURL)
	if err != nil {
		return nil, err
	}
	targets := make([]requeue.Target, 0, len(rows))
	for _, v := range rows {
		var u timeline.RequeueURL
		if err := json.Unmarshal(v.Body, &u); err != nil {
			r.app.log.Warn("a re-enqueue URL cannot be read", "namespace", v.Namespace, "queue", v.ID, "error", err)
			continue
		}
		t := requeue.Target{Namespace: v.Namespace, Queue: v.ID, Version: v.Version, URL: u.URL, KeepsInput: u.KeepsInput}
		salts := []string{u.Salt}
		if u.FormerSalt != "" && time.Now().Before(u.FormerUntil) {
			salts = append(salts, u.FormerSalt)
		}
		for _, salt := range salts {
			key, err := r.app.requeueKey(v.Namespace, v.ID, salt)
			if err != nil {
				return nil, err
			}
			t.Keys = append(t.Keys, key)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// queueServers tells the API who takes the retries of a queue.
type queueServers struct{ live *live.Live }

func (s queueServers) Served(ctx context.Context, namespace, queue string) (bool, error) {
	return s.live.Served(ctx, namespace, queue, false)
}

// requeueStates keeps in Redis how the URLs answer, where every query process finds
// it.
type requeueStates struct{ app *App }

const (
	sharedRequeueName = "requeue "
	sharedRequeueFor  = 30 * 24 * time.Hour
)

// SetRequeueState implements requeue.States.
func (s requeueStates) SetRequeueState(ctx context.Context, namespace, queue string, state readmodel.RequeueState) {
	if state.DeliveredAt.IsZero() || state.ErrorAt.IsZero() {
		// What another collector saw, or this one before its restart.
		if before, err := s.RequeueStates(ctx, namespace); err == nil {
			b := before[queue]
			if state.DeliveredAt.IsZero() {
				state.DeliveredAt = b.DeliveredAt
			}
			if state.ErrorAt.IsZero() {
				state.Error, state.ErrorAt = b.Error, b.ErrorAt
			}
		}
	}
	body, err := json.Marshal(state)
	if err == nil {
		err = s.app.live.Share(ctx, sharedRequeueName+namespace, queue, body, sharedRequeueFor)
	}
	if err != nil && ctx.Err() == nil {
		s.app.log.Debug("keep how a re-enqueue URL answers", "queue", queue, "error", err)
	}
}

// RequeueStates is what is known of a namespace's URLs, by queue.
func (s requeueStates) RequeueStates(ctx context.Context, namespace string) (map[string]readmodel.RequeueState, error) {
	all, err := s.app.live.Shared(ctx, sharedRequeueName+namespace)
	if err != nil {
		return nil, err
	}
	out := make(map[string]readmodel.RequeueState, len(all))
	for queue, body := range all {
		var state readmodel.RequeueState
		if json.Unmarshal(body, &state) == nil {
			out[queue] = state
		}
	}
	return out, nil
}
