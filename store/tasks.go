package store

import (
	"context"
	"database/sql"
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
	{"shortest", "min(s.shortest)"},
	{"longest", "max(s.longest)"},
	// Behind 16 bytes of order, see tasks_in.
	{"task_type", "substring(max(s.task_type), 17)"},
	{"queue", "substring(max(s.queue), 17)"},
	{"runner", "substring(max(s.runner), 17)"},
	{"agent", "substring(max(s.agent), 17)"},
	{"provider", "substring(max(s.provider), 17)"},
	{"user_id", "substring(max(s.user_id), 17)"},
	{"error_message", "substring(max(s.error_message), 17)"},
}

// taskRows is a subquery with a row for each task of the namespace {ns:String},
// of the columns that the given SQL names.
func taskRows(where string, uses ...string) string {
	return taskRowsOf("task_state", where, uses...)
}

// taskRowsOf reads them from task_state or from task_times.
func taskRowsOf(table, where string, uses ...string) string {
	all := strings.Join(uses, " ")
	sel := "SELECT s.task_id AS task_id"
	for _, c := range taskColumns {
		if strings.Contains(all, c.name) {
			sel += ", " + c.sql + " AS " + c.name
		}
	}
	return "(" + lines(sel, "FROM "+table+" AS s WHERE s.namespace = {ns:String} AND "+where, "GROUP BY s.task_id") + ")"
}

// Tasks lists tasks, the last created first. Positions carry the time a task was
// created, which its later events leave alone, so that pages stay stable.
func (s *Store) Tasks(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error) {
	var none readmodel.List[timeline.Snapshot]
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	placed := func(t *timeline.Snapshot) readmodel.Position { return readmodel.Position{At: t.CreatedAt, ID: t.ID} }
	var found []timeline.Snapshot
	limit := limitOf(page)
	if sql := byTime(scope, f); sql != "" && page.After == nil {
		found, full, err := s.foldLatest(ctx, scope, f, page, sql)
		switch {
		case err != nil:
			return none, fmt.Errorf("list tasks: %w", err)
		case full:
			return finish(page, found, placed), nil
		}
	}
	for from := page; ; {
		rows, err := s.taskCandidates(ctx, scope, f, from)
		if err != nil {
			return none, fmt.Errorf("list tasks: %w", err)
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].id
		}
		byTask, err := s.eventsOf(ctx, namespaceOf(scope), ids)
		if err != nil {
			return none, fmt.Errorf("list tasks: %w", err)
		}
		for _, r := range rows {
			snap, ok := timeline.Fold(byTask[r.id])
			// Another time is that of a row of the task's later events.
			if ok && snap.CreatedAt.Equal(r.at) && visible(scope, snap.UserID) && f.Matches(&snap, byTask[r.id]) {
				found = append(found, snap)
			}
		}
		if len(rows) <= limit || len(found) > limit {
			break
		}
		from.Backwards = from.Backwards && from.After != nil
		from.After = &readmodel.Position{At: rows[len(rows)-1].at, ID: rows[len(rows)-1].id}
	}
	return finish(page, found[:min(len(found), limit+1)], placed), nil
}

// taskCandidates returns the next tasks in the order of the list that may belong
// to it: one more than the page holds where there are more.
func (s *Store) taskCandidates(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) ([]taskTime, error) {
	q := taskConditions(scope, f)
	if sql := byTime(scope, f); sql != "" && page.After == nil {
		found, err := s.latestAmong(ctx, scope, q, page, sql)
		if err != nil || found != nil {
			return found, err
		}
	}
	for _, sql := range narrowings(scope, f) {
		ids, err := s.column(ctx, lines("SELECT DISTINCT task_id FROM ("+sql+") LIMIT {many:UInt32}"), append(slices.Clip(q.args),
			clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("since", 0), clickhouse.Named("many", manyTasks+1))...)
		switch {
		case err != nil:
			return nil, err
		case len(ids) == 0:
			return nil, nil
		case len(ids) <= manyTasks:
			return s.scanTasks(ctx, scope, q, page, "s.task_id IN {tasks:Array(String)}", clickhouse.Named("tasks", ids))
		}
	}
	var found []taskTime
	var err error
	if page.After == nil {
		found, err = s.recentTasks(ctx, scope, q, page)
	} else {
		found, err = s.walkTasks(ctx, scope, q, page)
	}
	if err == nil && found == nil {
		found, err = s.scanTasks(ctx, scope, q, page, "1")
	}
	return found, err
}

// recentTasks looks for the first page among the rows of task_times from a time
// on, which hold all that the tasks created since came to. Tasks from before that
// time stand there with a time that is not theirs: their fold shows it. It returns
// nil where the page is not full and there are older ones.
func (s *Store) recentTasks(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page) ([]taskTime, error) {
	for rows := recentFirst; rows <= recentLast; rows *= recentGrowth {
		since, err := s.windowOf(ctx, namespaceOf(scope), rows)
		if err != nil {
			return nil, err
		}
		found, err := s.tasksOf(ctx, scope, q, page, "task_times", "s.created_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')", since)
		if err != nil || len(found) > limitOf(page) || since.IsZero() {
			return found, err
		}
	}
	return nil, nil
}

// windowOf returns since when there are so many rows of task_times, zero where
// there are fewer.
func (s *Store) windowOf(ctx context.Context, namespace string, rows int) (since time.Time, err error) {
	at := now()
	if since, ok := s.windows.get(namespace, rows, at); ok {
		return since, nil
	}
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	err = s.read.QueryRow(ctx, "SELECT created_at FROM task_times WHERE namespace = {ns:String} ORDER BY created_at DESC LIMIT 1 OFFSET {rows:UInt32}",
		clickhouse.Named("ns", namespace), clickhouse.Named("rows", rows)).Scan(&since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return since, err
	}
	s.windows.set(namespace, rows, since, at)
	return since, nil
}

// The rows that the first page is looked for in: from the latest recentFirst to
// recentLast.
const (
	recentFirst  = 4_000
	recentGrowth = 16
	recentLast   = 4_000 * 16 * 16
)

// A walk along a list looks at firstStep tasks, and then at as many as it should
// take to fill the page, up to lastStep, before all tasks are looked at.
const (
	firstStep = 500
	lastStep  = 4000
)

// walkTasks looks for the page along the order of the list. It returns nil where
// the filter lets so few pass that the way is too long.
func (s *Store) walkTasks(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page) ([]taskTime, error) {
	found := []taskTime{}
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
				found = append(found, r)
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
		append(slices.Clip(q.args), clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("since", 0), clickhouse.Named("tasks", ids))...)
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

// scanTasks looks for the page among the tasks of a condition.
func (s *Store) scanTasks(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page, among string, args ...any) ([]taskTime, error) {
	return s.tasksOf(ctx, scope, q, page, "task_state", among, time.Time{}, args...)
}

// tasksOf looks for the page in a table. Side tables are read from a time on.
func (s *Store) tasksOf(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page, table, among string, since time.Time, args ...any) (out []taskTime, err error) {
	after, order, position := keyset(page, "created_at", "task_id")
	where := q.sql()
	args = append(append(slices.Clip(args), position...), q.args...)
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT created_at, task_id FROM "+taskRowsOf(table, among, where, "created_at"),
		"WHERE "+where+" AND "+after, order, "LIMIT {limit:UInt32}"),
		append(args, clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("since", nanos(since)), clickhouse.Named("limit", limitOf(page)+1))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out = []taskTime{}
	for rows.Next() {
		var r taskTime
		if err := rows.Scan(&r.at, &r.id); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
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
