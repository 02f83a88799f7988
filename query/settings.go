package query

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const maxSettingOverlay = 10_000

// settings reads and writes what operators set. What this process wrote is merged
// into what it reads until the store shows it, or the overlay's time is over. It
// is safe for concurrent use.
type settings struct {
	reader SettingReader
	ttl    time.Duration
	now    func() time.Time

	mu    sync.Mutex
	wrote map[settingKey]wroteSetting
}

type settingKey struct{ namespace, kind, id string }

type wroteSetting struct {
	timeline.StoredSetting
	until time.Time
}

func newSettings(reader SettingReader, ttl time.Duration, now func() time.Time) *settings {
	return &settings{reader: reader, ttl: ttl, now: now, wrote: map[settingKey]wroteSetting{}}
}

// remember keeps a version that was written. Past the bound the one that would
// be forgotten first goes.
func (b *settings) remember(v timeline.StoredSetting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if len(b.wrote) >= maxSettingOverlay {
		var oldest settingKey
		var until time.Time
		for k, w := range b.wrote {
			if !now.Before(w.until) {
				delete(b.wrote, k)
			} else if until.IsZero() || w.until.Before(until) {
				oldest, until = k, w.until
			}
		}
		if len(b.wrote) >= maxSettingOverlay {
			delete(b.wrote, oldest)
		}
	}
	b.wrote[settingKey{v.Namespace, v.Kind, v.ID}] = wroteSetting{v, now.Add(b.ttl)}
}

// newer returns what this process wrote of a setting where it is newer than the
// version.
func (b *settings) newer(k settingKey, version uint64) (timeline.StoredSetting, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.wrote[k]
	if !ok {
		return timeline.StoredSetting{}, false
	}
	if !b.now().Before(w.until) || w.Version <= version {
		delete(b.wrote, k)
		return timeline.StoredSetting{}, false
	}
	return w.StoredSetting, true
}

// all returns what is in force of a kind, by namespace and id.
func (b *settings) all(ctx context.Context, namespace, kind string) ([]timeline.StoredSetting, error) {
	if b.reader == nil {
		return nil, unavailable("what operators set", nil)
	}
	rows, err := b.reader.Settings(ctx, namespace, kind)
	if err != nil {
		return nil, readFailure("read settings", err)
	}
	stored := make(map[settingKey]bool, len(rows))
	for i := range rows {
		k := settingKey{rows[i].Namespace, kind, rows[i].ID}
		stored[k] = true
		if w, ok := b.newer(k, rows[i].Version); ok {
			rows[i] = w
		}
	}
	b.mu.Lock()
	now := b.now()
	for k, w := range b.wrote {
		if k.kind == kind && (namespace == "" || k.namespace == namespace) && !stored[k] && now.Before(w.until) {
			rows = append(rows, w.StoredSetting)
		}
	}
	b.mu.Unlock()
	rows = slices.DeleteFunc(rows, func(v timeline.StoredSetting) bool { return v.Deleted })
	slices.SortFunc(rows, func(x, y timeline.StoredSetting) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.ID, y.ID))
	})
	return rows, nil
}

// one returns the latest version of a setting, or [readmodel.ErrNotFound] where it
// is deleted or never was.
func (b *settings) one(ctx context.Context, namespace, kind, id string) (timeline.StoredSetting, error) {
	v, err := b.latest(ctx, namespace, kind, id)
	if err == nil && (v.Deleted || v.Version == 0) {
		return v, readmodel.ErrNotFound
	}
	return v, err
}

// latest returns the latest version of a setting, deleted or not; version 0 where
// there never was one.
func (b *settings) latest(ctx context.Context, namespace, kind, id string) (timeline.StoredSetting, error) {
	if b.reader == nil {
		return timeline.StoredSetting{}, unavailable("what operators set", nil)
	}
	v, err := b.reader.Setting(ctx, namespace, kind, id)
	if err != nil && !errors.Is(err, readmodel.ErrNotFound) {
		return v, readFailure("read setting", err)
	}
	if w, ok := b.newer(settingKey{namespace, kind, id}, v.Version); ok {
		v = w
	}
	return v, nil
}

// set writes the next version of a setting; a nil body deletes it.
func (s *Server) set(ctx context.Context, namespace, kind, id string, body any, by timeline.Operator) (timeline.StoredSetting, error) {
	before, err := s.settings.latest(ctx, namespace, kind, id)
	if err != nil {
		return before, err
	}
	return s.setAfter(ctx, namespace, kind, id, before.Version, body, by)
}

// setAfter writes the version of a setting that follows one that is known.
func (s *Server) setAfter(ctx context.Context, namespace, kind, id string, version uint64, body any, by timeline.Operator) (timeline.StoredSetting, error) {
	if s.deps.Writer == nil {
		return timeline.StoredSetting{}, unavailable("what takes operators' events", nil)
	}
	now := s.now().UTC()
	v := timeline.Setting{Kind: kind, ID: id, Version: timeline.NextVersion(version, now), Deleted: body == nil}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return timeline.StoredSetting{}, fmt.Errorf("encode setting: %w", err)
		}
		if len(b) > timeline.MaxSettingBytes {
			return timeline.StoredSetting{}, wrongBody("", "%d bytes, the limit is %d", len(b), timeline.MaxSettingBytes)
		}
		v.Body = b
	}
	e := timeline.NewSettingEvent(namespace, v, by, now)
	if err := s.deps.Writer.WriteEvents(ctx, namespace, []timeline.Event{e}); err != nil {
		return timeline.StoredSetting{}, unavailable("what takes operators' events", fmt.Errorf("write setting: %w", err))
	}
	stored := timeline.StoredSetting{Namespace: namespace, Setting: v, Operator: by, ChangedAt: now}
	s.settings.remember(stored)
	return stored, nil
}
