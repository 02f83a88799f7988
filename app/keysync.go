package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/query"
	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
)

// Every process keeps the keys it knows in a file, so that it can tell who sends
// while everything else is away. Processes that share a ClickHouse tell one
// another through settings: a key has two versions, made and revoked.
const (
	keySyncEvery   = 5 * time.Second
	versionMade    = 1
	versionRevoked = 2
)

// settingsReader reads what operators set. *store.Store implements it.
type settingsReader interface {
	Settings(ctx context.Context, namespace, kind string) ([]timeline.StoredSetting, error)
}

// keySync makes one file of keys and what the others know alike.
type keySync struct {
	keys   *auth.KeyFile
	reader settingsReader
	writer query.EventWriter
	told   map[string]uint64 // by id, the version that was written from here
}

// once takes over what is news here, and tells what is news to the others.
func (k *keySync) once(ctx context.Context) error {
	stored, err := k.reader.Settings(ctx, timeline.DefaultNamespace, timeline.SettingKey)
	if err != nil {
		return fmt.Errorf("read the keys of others: %w", err)
	}
	version := map[string]uint64{}
	theirs := make([]auth.Key, 0, len(stored))
	var errs []error
	for _, s := range stored {
		var key auth.Key
		if err := json.Unmarshal(s.Body, &key); err != nil || key.ID != s.ID || key.Hash == "" {
			errs = append(errs, fmt.Errorf("the setting of key %.40q holds none", s.ID))
			continue
		}
		version[s.ID] = s.Version
		theirs = append(theirs, key)
	}
	if _, err := k.keys.Merge(theirs); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, k.tell(ctx, version))...)
}

// tell writes the keys of which the others know less.
func (k *keySync) tell(ctx context.Context, version map[string]uint64) error {
	mine, err := k.keys.List(ctx)
	if err != nil {
		return err
	}
	var events []timeline.Event
	for _, key := range mine {
		want := uint64(versionMade)
		at := key.CreatedAt
		if !key.RevokedAt.IsZero() {
			want, at = versionRevoked, key.RevokedAt
		}
		if max(version[key.ID], k.told[key.ID]) >= want {
			continue
		}
		body, err := json.Marshal(key)
		if err != nil {
			return fmt.Errorf("encode key %s: %w", key.ID, err)
		}
		events = append(events, timeline.NewSettingEvent(timeline.DefaultNamespace,
			timeline.Setting{Kind: timeline.SettingKey, ID: key.ID, Version: want, Body: body}, timeline.Operator{Actor: "tasktrail"}, at))
	}
	if len(events) == 0 {
		return nil
	}
	if err := k.writer.WriteEvents(ctx, timeline.DefaultNamespace, events); err != nil {
		return fmt.Errorf("tell others of keys: %w", err)
	}
	for i := range events {
		k.told[events[i].Setting.ID] = events[i].Setting.Version
	}
	return nil
}

// startKeySync runs beside the other parts, where processes may share a
// ClickHouse.
func (a *App) startKeySync(ctx context.Context) error {
	if a.set.ClickHouseDSN == "" {
		return nil
	}
	sync := &keySync{keys: a.keys, reader: a.store, writer: a.events, told: map[string]uint64{}}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(keySyncEvery)
		defer tick.Stop()
		said := ""
		for {
			turn, cancel := context.WithTimeout(running, keySyncEvery)
			err := sync.once(turn)
			cancel()
			switch text := fmt.Sprint(err); {
			case err == nil:
				said = ""
			case text != said && running.Err() == nil:
				a.log.Warn("keys are not shared with other processes; it is tried again", "error", err)
				said = text
			}
			select {
			case <-tick.C:
			case <-running.Done():
				return
			}
		}
	}()
	a.undo.pushFunc("sharing of keys", func() { stop(); <-done })
	return nil
}
