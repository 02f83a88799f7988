package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	var found []timeline.Snapshot
	limit := limitOf(page)
	for from := page; ; {
		ids, more, err := s.taskCandidates(ctx, scope, f, from)
		if err != nil {
			return none, fmt.Errorf("list tasks: %w", err)
		}
		byTask, err := s.eventsOf(ctx, namespaceOf(scope), ids)
		if err != nil {
			return none, fmt.Errorf("list tasks: %w", err)
		}
		var last *timeline.Snapshot
		for _, id := range ids {
			snap, ok := timeline.Fold(byTask[id])
			if !ok {
				continue
			}
			last = &snap
			if visible(scope, snap.UserID) && f.Matches(&snap, byTask[id]) {
				found = append(found, snap)
			}
		}
		if !more || len(found) > limit || last == nil {
			break
		}
		from.Backwards = from.Backwards && from.After != nil
		from.After = &readmodel.Position{At: last.CreatedAt, ID: last.ID}
	}
	return finish(page, found[:min(len(found), limit+1)], func(t *timeline.Snapshot) readmodel.Position {
		return readmodel.Position{At: t.CreatedAt, ID: t.ID}
	}), nil
}

// taskCandidates returns the next tasks in the order of the list that may belong
// to it, one more than the page holds at most, and whether there are more.
func (s *Store) taskCandidates(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) (ids []string, more bool, err error) {
	q := taskConditions(scope, f)
	ids, err = s.walkTasks(ctx, scope, q, page)
	if err == nil && ids == nil {
		ids, err = s.scanTasks(ctx, scope, f, q, page)
	}
	return ids, len(ids) > limitOf(page), err
}

// A walk along a list looks at firstStep tasks, and then at as many as it should
// take to fill the page, up to lastStep, before all tasks are looked at.
const (
	firstStep = 500
	lastStep  = 4000
)

// walkTasks looks for the page along the order of the list. It returns nil where
// the filter lets so few pass that the way is too long.
func (s *Store) walkTasks(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page) ([]string, error) {
	found := []string{}
	step := firstStep
	for range 2 {
		rows, err := s.nextTimes(ctx, scope, page, step)
		if err != nil {
			return nil, err
		}
		passed, err := s.passing(ctx, scope, q, rows)
		if err != nil {
			return nil, err
		}
		var last string
		for _, r := range rows {
			// A row of later events than the task's first, or a copy of one before.
			if at, ok := passed[r.id]; ok && at.Equal(r.at) && r.id != last && len(found) <= limitOf(page) {
				found = append(found, r.id)
				last = r.id
			}
		}
		if len(rows) < step || len(found) > limitOf(page) {
			return found, nil
		}
		missing := limitOf(page) + 1 - len(found)
		if len(found) == 0 || missing*step > lastStep*len(found) {
			return nil, nil
		}
		// Half as many again as the first ones promise.
		step = max(missing*step*3/(2*len(found)), firstStep)
		page.Backwards = page.Backwards && page.After != nil
		page.After = &readmodel.Position{At: rows[len(rows)-1].at, ID: rows[len(rows)-1].id}
	}
	return nil, nil
}

// taskTime is a row of task_times.
type taskTime struct {
	id string
	at time.Time
}

// nextTimes reads the next rows in the order of the list.
func (s *Store) nextTimes(ctx context.Context, scope readmodel.Scope, page readmodel.Page, n int) (out []taskTime, err error) {
	after, order, args := keyset(page, "created_at", "task_id")
	if page.After != nil {
		// What the key is good for.
		compare := "<="
		if page.Backwards {
			compare = ">="
		}
		after += " AND created_at " + compare + " fromUnixTimestamp64Nano({after_at:Int64}, 'UTC')"
	}
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines("SELECT created_at, task_id FROM task_times WHERE namespace = {ns:String} AND "+after, order, "LIMIT {limit:UInt32}"),
		append(args, clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", n))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r taskTime
		if err := rows.Scan(&r.at, &r.id); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// passing returns the tasks of the rows that the filter lets through, and when
// they were created.
func (s *Store) passing(ctx context.Context, scope readmodel.Scope, q *filter, of []taskTime) (passed map[string]time.Time, err error) {
	if len(of) == 0 {
		return nil, nil
	}
	ids := make([]string, len(of))
	for i := range of {
		ids[i] = of[i].id
	}
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	where := q.sql()
	rows, err := s.read.Query(ctx, "SELECT task_id, created_at FROM "+taskRows("s.task_id IN {tasks:Array(String)}", where, "created_at")+" WHERE "+where,
		append(slices.Clip(q.args), clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("tasks", ids))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	passed = map[string]time.Time{}
	for rows.Next() {
		var id string
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return nil, err
		}
		passed[id] = at
	}
	return passed, rows.Err()
}

// scanTasks looks for the page among all tasks, or among the open ones.
func (s *Store) scanTasks(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, q *filter, page readmodel.Page) ([]string, error) {
	among := "1"
	if onlyOpen(f) {
		among = "s.task_id IN (" + sqlOpen + ")"
	}
	after, order, args := keyset(page, "created_at", "task_id")
	where := q.sql()
	sql := lines(
		"SELECT task_id FROM "+taskRows(among, where, "created_at"),
		"WHERE "+where+" AND "+after, order, "LIMIT {limit:UInt32}")
	return s.column(ctx, sql, append(append(args, q.args...),
		clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", limitOf(page)+1))...)
}

// onlyOpen reports whether a filter excludes every task that ended.
func onlyOpen(f readmodel.TaskFilter) bool {
	return f.Active || (len(f.States) > 0 && !slices.ContainsFunc(f.States, timeline.State.Terminal))
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
	if f.ErrorText != "" {
		q.add("(positionCaseInsensitiveUTF8(error_message, {error_text:String}) > 0 AND "+state+" != 'completed')", "error_text", f.ErrorText)
	}
	if f.MaxDuration > 0 {
		q.add("(duration <= {max_duration:UInt64} AND "+state+" IN ('completed', 'failed', 'cancelled'))", "max_duration", uint64(f.MaxDuration))
	}
	if f.MinDuration > 0 {
		q.add("(duration >= {min_duration:UInt64} AND "+state+" IN ('completed', 'failed', 'cancelled'))", "min_duration", uint64(f.MinDuration))
	}
	q.within("updated_at", "updated", f.Updated)
	q.within("created_at", "created", f.Created)
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
