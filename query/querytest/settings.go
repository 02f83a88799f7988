package querytest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// latest returns the highest version of every setting that fits. Callers hold mu.
func (s *Store) latest(fits func(namespace string, set *timeline.Setting) bool) []timeline.StoredSetting {
	type key struct{ namespace, kind, id string }
	byKey := map[key]timeline.StoredSetting{}
	for i := range s.events {
		e := &s.events[i]
		if e.Type != timeline.SettingChanged || !fits(e.Namespace, e.Setting) {
			continue
		}
		k := key{e.Namespace, e.Setting.Kind, e.Setting.ID}
		if have, ok := byKey[k]; ok && have.Version > e.Setting.Version {
			continue
		}
		byKey[k] = timeline.StoredSetting{Namespace: e.Namespace, Setting: *e.Setting, Operator: *e.Operator, ChangedAt: e.OccurredAt}
	}
	var all []timeline.StoredSetting
	for _, v := range byKey {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b timeline.StoredSetting) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Settings implements query.SettingReader.
func (s *Store) Settings(ctx context.Context, namespace, kind string) ([]timeline.StoredSetting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	all := s.latest(func(ns string, set *timeline.Setting) bool {
		return set.Kind == kind && (namespace == "" || ns == namespace)
	})
	return slices.DeleteFunc(all, func(v timeline.StoredSetting) bool { return v.Deleted }), nil
}

// Setting implements query.SettingReader.
func (s *Store) Setting(ctx context.Context, namespace, kind, id string) (timeline.StoredSetting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return timeline.StoredSetting{}, err
	}
	all := s.latest(func(ns string, set *timeline.Setting) bool {
		return ns == namespace && set.Kind == kind && set.ID == id
	})
	if len(all) == 0 {
		return timeline.StoredSetting{}, readmodel.ErrNotFound
	}
	return all[0], nil
}

// Audit implements query.AuditReader.
func (s *Store) Audit(ctx context.Context, namespace string, f readmodel.AuditFilter, page readmodel.Page) (readmodel.List[readmodel.AuditRecord], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []readmodel.AuditRecord
	if err := s.read(ctx); err != nil {
		return readmodel.List[readmodel.AuditRecord]{}, err
	}
	for i := range s.events {
		e := &s.events[i]
		if e.Namespace != namespace || e.Setting == nil || e.Setting.Kind != timeline.SettingAudit {
			continue
		}
		var a readmodel.AuditRecord
		if err := json.Unmarshal(e.Setting.Body, &a); err != nil {
			return readmodel.List[readmodel.AuditRecord]{}, err
		}
		if f.Matches(&a) {
			rows = append(rows, a)
		}
	}
	return readmodel.PageOf(rows, page, func(a *readmodel.AuditRecord) readmodel.Position {
		return readmodel.Position{At: a.At, ID: a.ID.String()}
	}), nil
}
