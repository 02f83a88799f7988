package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// taskColumns are what a task's row can be asked for; only what a query names is
// merged.
var taskColumns = []struct{ name, sql string }{
	{"created_at", "min(s.created_at)"},
	{"updated_at", "max(s.updated_at)"},
	{"decide", "max(s.decide)"},
	{"attempt", "bitAnd(max(s.run_attempt), 4294967295)"},
	{"completed_run", "max(s.completed_run)"},
	{"completed_at", "max(s.completed_at)"},
	{"dead_letter_run", "max(s.dead_letter_run)"},
	{"task_type", "argMaxMerge(s.task_type)"},
	{"queue", "argMaxMerge(s.queue)"},
	{"runner", "argMaxMerge(s.runner)"},
	{"agent", "argMaxMerge(s.agent)"},
	{"provider", "argMaxMerge(s.provider)"},
	{"user_id", "argMaxMerge(s.user_id)"},
	{"error_message", "argMaxMerge(s.error_message)"},
	{"duration", "argMaxMerge(s.duration)"},
	{"trace_ids", "groupUniqArrayArray(s.trace_ids)"},
}

// taskRows is a subquery with a row for each task of the namespace {ns:String},
// of the columns that the given SQL names.
func taskRows(where string, uses ...string) string {
	all := strings.Join(uses, " ")
	sel := "SELECT s.task_id AS task_id"
	for _, c := range taskColumns {
		if strings.Contains(all, c.name) {
			sel += ", " + c.sql + " AS " + c.name
		}
	}
	return "(" + lines(sel, "FROM task_state AS s WHERE s.namespace = {ns:String} AND "+where, "GROUP BY s.task_id") + ")"
}

// Tasks lists tasks, the last created first. Positions carry the time a task was
// created, which its later events leave alone, so that pages stay stable.
func (s *Store) Tasks(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error) {
	var none readmodel.List[timeline.Snapshot]
	q := taskConditions(scope, f)
	after, order, args := keyset(page, "created_at", "task_id")
	where := q.sql()
	sql := lines(
		"SELECT task_id FROM "+taskRows("1", where, "created_at"),
		"WHERE "+where+" AND "+after, order, "LIMIT {limit:UInt32}")
	args = append(append(args, q.args...),
		clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", limitOf(page)+1))
	ids, err := s.column(ctx, sql, args...)
	if err != nil {
		return none, fmt.Errorf("list tasks: %w", err)
	}
	byTask, err := s.eventsOf(ctx, namespaceOf(scope), ids)
	if err != nil {
		return none, fmt.Errorf("list tasks: %w", err)
	}
	found := make([]timeline.Snapshot, 0, len(ids))
	for _, id := range ids {
		if snap, ok := timeline.Fold(byTask[id]); ok {
			found = append(found, snap)
		}
	}
	return finish(page, found, func(t *timeline.Snapshot) readmodel.Position {
		return readmodel.Position{At: t.CreatedAt, ID: t.ID}
	}), nil
}

func taskConditions(scope readmodel.Scope, f readmodel.TaskFilter) *filter {
	q := &filter{}
	state := sqlState()
	states := textsOf(f.States)
	q.in(state, "states", states)
	if f.Active {
		q.where = append(q.where, state+" NOT IN ('completed', 'failed', 'cancelled')")
	}
	q.in("task_type", "types", f.Types)
	q.in("queue", "queues", f.Queues)
	q.in("agent", "agents", f.Agents)
	q.in("provider", "providers", f.Providers)
	q.in("runner", "runners", f.Runners)
	if f.UserID != "" {
		q.add("user_id = {user:String}", "user", f.UserID)
	}
	if scope.UserID != "" {
		q.add("user_id = {scope_user:String}", "scope_user", scope.UserID)
	}
	if !f.TraceID.IsZero() {
		q.add("has(trace_ids, CAST(unhex({trace:String}), 'FixedString(16)'))", "trace", f.TraceID.String())
	}
	if f.Text != "" {
		q.add("(positionCaseInsensitiveUTF8(task_id, {text:String}) > 0 OR positionCaseInsensitiveUTF8(task_type, {text:String}) > 0"+
			" OR (positionCaseInsensitiveUTF8(error_message, {text:String}) > 0 AND "+state+" != 'completed'))", "text", f.Text)
	}
	if f.MinAttempts > 0 {
		q.add("attempt >= {min_attempts:UInt32}", "min_attempts", f.MinAttempts)
	}
	if f.MinDuration > 0 {
		q.add("(duration >= {min_duration:UInt64} AND "+state+" IN ('completed', 'failed', 'cancelled'))", "min_duration", uint64(f.MinDuration))
	}
	q.within("updated_at", f.Updated)
	return q
}

// column reads one text column.
func (s *Store) column(ctx context.Context, sql string, args ...any) (out []string, err error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// now is cut to what the database holds.
func now() time.Time { return time.Now().UTC() }
