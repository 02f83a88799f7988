package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// MaxSettings bounds how many settings of one kind are read at once.
const MaxSettings = 10_000

// Settings returns what is in force of a kind: the highest version of each, in
// the order of namespace and id, without what was deleted. An empty namespace
// means those of all. More than [MaxSettings] are an error.
func (s *Store) Settings(ctx context.Context, namespace, kind string) ([]timeline.StoredSetting, error) {
	condition := "kind = {kind:String}"
	if namespace != "" {
		condition += " AND namespace = {ns:String}"
	}
	return s.settings(ctx, false, condition, clickhouse.Named("kind", kind), clickhouse.Named("ns", namespace))
}

// LatestSettings is [Store.Settings] with what was deleted: whoever follows
// settings has to hear of that too.
func (s *Store) LatestSettings(ctx context.Context, kind string) ([]timeline.StoredSetting, error) {
	return s.settings(ctx, true, "kind = {kind:String}", clickhouse.Named("kind", kind))
}

// Setting returns the highest version of one setting, deleted or not, so that its
// next version can be made; [readmodel.ErrNotFound] where there never was one.
func (s *Store) Setting(ctx context.Context, namespace, kind, id string) (timeline.StoredSetting, error) {
	found, err := s.settings(ctx, true, "kind = {kind:String} AND namespace = {ns:String} AND id = {id:String}",
		clickhouse.Named("kind", kind), clickhouse.Named("ns", namespaceOf(readmodel.Scope{Namespace: namespace})), clickhouse.Named("id", id))
	switch {
	case err != nil:
		return timeline.StoredSetting{}, err
	case len(found) == 0:
		return timeline.StoredSetting{}, fmt.Errorf("setting %s %s: %w", kind, id, readmodel.ErrNotFound)
	}
	return found[0], nil
}

func (s *Store) settings(ctx context.Context, deleted bool, condition string, args ...any) (found []timeline.StoredSetting, err error) {
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT event_id, occurred_at, record, namespace FROM settings WHERE "+condition,
		"ORDER BY namespace, id, version DESC, occurred_at DESC LIMIT 1 BY kind, namespace, id LIMIT {max:UInt32}"),
		append(args, clickhouse.Named("max", MaxSettings+1))...)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	events, err := collectEvents(rows)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if len(events) > MaxSettings {
		return nil, fmt.Errorf("read settings: %w", errTooManySettings)
	}
	for i := range events {
		e := &events[i]
		if e.Setting == nil || e.Setting.Deleted && !deleted {
			continue
		}
		st := timeline.StoredSetting{Namespace: e.Namespace, Setting: *e.Setting, ChangedAt: e.OccurredAt}
		if e.Operator != nil {
			st.Operator = *e.Operator
		}
		found = append(found, st)
	}
	return found, nil
}

var errTooManySettings = errors.New("there are more than 10000 of the kind: delete what is not needed")
