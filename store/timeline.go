package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// maxTaskEvents bounds how much of one task is read: its first events in the
// order of runs.
const maxTaskEvents = 50_000

// Timeline returns every event of a task in timeline order, or
// readmodel.ErrNotFound.
func (s *Store) Timeline(ctx context.Context, scope readmodel.Scope, taskID string) ([]timeline.Event, error) {
	events, _, err := s.taskEvents(ctx, scope, taskID)
	return events, err
}

// Task returns one task folded from its events, or readmodel.ErrNotFound.
func (s *Store) Task(ctx context.Context, scope readmodel.Scope, taskID string) (timeline.Snapshot, error) {
	_, snap, err := s.taskEvents(ctx, scope, taskID)
	return snap, err
}

func (s *Store) taskEvents(ctx context.Context, scope readmodel.Scope, taskID string) ([]timeline.Event, timeline.Snapshot, error) {
	byTask, err := s.eventsOf(ctx, namespaceOf(scope), []string{taskID})
	if err != nil {
		return nil, timeline.Snapshot{}, fmt.Errorf("read the timeline of a task: %w", err)
	}
	events := timeline.Ordered(byTask[taskID])
	snap, ok := timeline.Fold(events)
	if !ok || !visible(scope, snap.UserID) {
		return nil, timeline.Snapshot{}, readmodel.ErrNotFound
	}
	return events, snap, nil
}

// visible reports whether a scope shows the tasks of a user.
func visible(scope readmodel.Scope, userID string) bool {
	return scope.UserID == "" || scope.UserID == userID
}

func namespaceOf(scope readmodel.Scope) string {
	if scope.Namespace == "" {
		return timeline.DefaultNamespace
	}
	return scope.Namespace
}

// eventsOf reads the events of some tasks of a namespace, in no order and with
// repeats.
func (s *Store) eventsOf(ctx context.Context, namespace string, taskIDs []string) (map[string][]timeline.Event, error) {
	if len(taskIDs) == 0 {
		return nil, nil
	}
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	where, arg := "task_id = {id:String}", clickhouse.Named("id", taskIDs[0])
	if len(taskIDs) > 1 {
		where, arg = "task_id IN {ids:Array(String)}", clickhouse.Named("ids", taskIDs)
	}
	rows, err := s.read.Query(ctx, lines(
		"SELECT event_id, ingested_at, record, {ns:String} FROM events",
		"WHERE namespace = {ns:String} AND "+where,
		"LIMIT {max:UInt32} BY task_id",
	), clickhouse.Named("ns", namespace), arg, clickhouse.Named("max", maxTaskEvents))
	if err != nil {
		return nil, fmt.Errorf("query events: %w", err)
	}
	events, err := collectEvents(rows)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]timeline.Event, len(taskIDs))
	for i := range events {
		id := events[i].Task.ID
		out[id] = append(out[id], events[i])
	}
	return out, nil
}

// collectEvents reads rows of event_id, ingested_at, record, namespace.
func collectEvents(rows driver.Rows) (events []timeline.Event, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	var (
		rec       wire.Record
		id        uuid.UUID
		ingested  time.Time
		record    []byte
		text      string
		namespace string
	)
	for rows.Next() {
		if err := rows.Scan(&id, &ingested, &text, &namespace); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		record = append(record[:0], text...)
		if err := wire.DecodeLogRecord(record, &rec); err != nil {
			var field *timeline.FieldError
			if !errors.As(err, &field) {
				return nil, fmt.Errorf("read event %s: %w", id, err)
			}
			// One field is not as it should be; the rest of the event is.
		}
		var e timeline.Event
		rec.Event(&e)
		// The server's word: the record may name no namespace, or another one.
		e.ID, e.Namespace, e.IngestedAt = timeline.ID(id), namespace, ingested.UTC()
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}
