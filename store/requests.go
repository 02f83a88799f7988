package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxUnanswered bounds how many unanswered requests are read at once: the oldest.
const maxUnanswered = 1000

// UnansweredRetries returns the dlq_retry_requested events of every namespace
// that were ingested longer ago than olderThan and that nothing followed: no
// event of the run they ask for, and no later run. What a task with a dead letter
// is at stands in letter_tasks too, which is a small part of all tasks: requests
// that were answered long ago are looked up each time.
func (s *Store) UnansweredRetries(ctx context.Context, olderThan time.Duration) ([]timeline.Event, error) {
	return s.unanswered(ctx, "dlq_retry_requested", "letter_tasks", "1", sqlRank+" = 20 AND "+sqlRun+" = r.run", olderThan)
}

// UnansweredCancels returns the cancel_requested events of every namespace that
// were ingested longer ago than olderThan and whose task is still in that run and
// has not ended. Few tasks have not, and open_tasks has those.
func (s *Store) UnansweredCancels(ctx context.Context, olderThan time.Duration) ([]timeline.Event, error) {
	return s.unanswered(ctx, "cancel_requested", "task_state", "(namespace, task_id) IN (SELECT namespace, task_id FROM open_tasks WHERE NOT bitTest(top, 31))",
		"NOT bitTest(toUInt64(bitShiftRight(decide, 192)), 31) AND "+sqlRun+" <= r.run", olderThan)
}

// unanswered reads the requests of a kind whose task, as the table has it, meets the
// condition; among says of which requests' tasks that can be.
func (s *Store) unanswered(ctx context.Context, kind, table, among, condition string, olderThan time.Duration) ([]timeline.Event, error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT r.event_id, r.ingested_at, r.record, toString(r.namespace) FROM requests AS r",
		"INNER JOIN (SELECT s.namespace AS namespace, s.task_id AS task_id, max(s.decide) AS decide FROM "+table+" AS s",
		"  WHERE (s.namespace, s.task_id) IN (SELECT namespace, task_id FROM requests WHERE type = {type:String} AND "+among+")",
		"  GROUP BY s.namespace, s.task_id) AS t",
		"ON r.namespace = t.namespace AND r.task_id = t.task_id",
		"WHERE r.type = {type:String} AND r.ingested_at < fromUnixTimestamp64Nano({before:Int64}, 'UTC') AND "+condition,
		"ORDER BY r.ingested_at, r.event_id LIMIT 1 BY r.event_id LIMIT {max:UInt32}"),
		clickhouse.Named("type", kind), clickhouse.Named("before", nanos(now().Add(-olderThan))), clickhouse.Named("max", maxUnanswered))
	if err != nil {
		return nil, fmt.Errorf("read unanswered requests: %w", err)
	}
	events, err := collectEvents(rows)
	if err != nil {
		return nil, fmt.Errorf("read unanswered requests: %w", err)
	}
	return events, nil
}

// Namespaces returns the namespaces that there are events of, in order.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	names, err := s.column(ctx, "SELECT DISTINCT toString(namespace) AS n FROM (SELECT namespace FROM open_tasks"+
		" UNION ALL SELECT namespace FROM outcome_marks UNION ALL SELECT namespace FROM troubles) ORDER BY n")
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return names, nil
}

// ActiveTasks returns the tasks of a namespace that have not ended, those with
// the latest events first, limit at most.
func (s *Store) ActiveTasks(ctx context.Context, namespace string, limit int) ([]timeline.Snapshot, error) {
	ids, err := s.column(ctx, lines(
		"SELECT task_id FROM "+taskRows("s.task_id IN ("+sqlOpen+")", "decide updated_at"),
		"WHERE NOT bitTest(toUInt64(bitShiftRight(decide, 192)), 31) ORDER BY updated_at DESC, task_id LIMIT {limit:UInt32}"),
		clickhouse.Named("ns", namespace), clickhouse.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, fmt.Errorf("list active tasks: %w", err)
	}
	byTask, err := s.eventsOf(ctx, namespace, ids)
	if err != nil {
		return nil, fmt.Errorf("list active tasks: %w", err)
	}
	out := make([]timeline.Snapshot, 0, len(ids))
	for _, id := range ids {
		if snap, ok := timeline.Fold(byTask[id]); ok && !snap.State.Terminal() {
			out = append(out, snap)
		}
	}
	return out, nil
}
