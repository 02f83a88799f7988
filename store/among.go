package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// byTime is a query of rows of the tasks that a filter selects, and maybe few
// others, with a time at which the task was there; it falls by the time. Empty
// where nothing stands in such an order.
func byTime(scope readmodel.Scope, f readmodel.TaskFilter) string {
	printed := len(f.Fingerprints) > 0 && !slices.Contains(f.Fingerprints, "")
	onlyFailed := len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s timeline.State) bool {
		return s != timeline.StateFailed && s != timeline.StateCancelled
	})
	switch {
	case f.PaymentReference != "":
		return "SELECT created_at AS at, task_id FROM reference_tasks WHERE namespace = {ns:String} AND reference = {reference:String} ORDER BY created_at DESC"
	case scope.UserID != "" || f.UserID != "":
		name := "user"
		if scope.UserID != "" {
			name = "scope_user"
		}
		return "SELECT created_at AS at, task_id FROM user_tasks WHERE namespace = {ns:String} AND user = {" + name + ":String} ORDER BY created_at DESC"
	case printed && onlyFailed:
		// They are few among those of its failures. What decides that a task failed, or
		// came to something after all, is among its troubles, but for a first run that
		// completed as well: the fold knows.
		return "SELECT min(t.occurred_at) AS at, task_id FROM (SELECT task_id, occurred_at, decide FROM troubles WHERE namespace = {ns:String}" +
			" AND task_id IN (" + sqlFailedTasks + ")) AS t GROUP BY task_id HAVING " + strings.ReplaceAll(sqlRank, "decide", "max(t.decide)") + " IN (140, 150, 170) ORDER BY at DESC"
	case printed:
		return "SELECT occurred_at AS at, task_id FROM fingerprint_tasks WHERE namespace = {ns:String} AND fingerprint IN {fingerprints:Array(String)} ORDER BY occurred_at DESC"
	}
	return ""
}

// byTimeGrowth is by how much more is looked at each time where the first rows do
// not fill the page.
const byTimeGrowth = 4

// latestOf returns the tasks of the first rows of a query of byTime, and the time
// before which every task without a row among them was created: zero where there
// are no others.
func (s *Store) latestOf(ctx context.Context, scope readmodel.Scope, q *filter, sql string, tasks int) (of []taskTime, rest time.Time, err error) {
	rows, err := s.rowsByTime(ctx, scope, q, sql, byTimeGrowth*tasks)
	if err != nil {
		return nil, rest, err
	}
	seen := make(map[string]bool, tasks)
	for i, r := range rows {
		if len(of) == tasks {
			return of, rows[i-1].at, nil
		}
		if !seen[r.id] {
			seen[r.id] = true
			of = append(of, r)
		}
	}
	if len(rows) == byTimeGrowth*tasks {
		rest = rows[len(rows)-1].at
	}
	return of, rest, nil
}

// foldLatest looks for the first page among the folds of the latest tasks of a query
// of byTime: most of those who ask such want no more. It reports whether they fill
// the page.
func (s *Store) foldLatest(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page, sql string) (found []timeline.Snapshot, full bool, err error) {
	want := limitOf(page) + 1
	of, rest, err := s.latestOf(ctx, scope, taskConditions(scope, f), sql, want+want/4)
	if err != nil {
		return nil, false, err
	}
	ids := make([]string, len(of))
	for i := range of {
		ids[i] = of[i].id
	}
	byTask, err := s.eventsOf(ctx, namespaceOf(scope), ids)
	if err != nil {
		return nil, false, err
	}
	for _, id := range ids {
		snap, ok := timeline.Fold(byTask[id])
		if ok && (rest.IsZero() || snap.CreatedAt.After(rest)) && visible(scope, snap.UserID) && f.Matches(&snap, byTask[id]) {
			found = append(found, snap)
		}
	}
	slices.SortFunc(found, func(a, b timeline.Snapshot) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	return found[:min(len(found), want)], rest.IsZero() || len(found) >= want, nil
}

// latestAmong is foldLatest for a filter that lets few pass: it looks at the states
// of more and more tasks. A task is never later than a row of it, so tasks without a
// row so far come after the time of the last row. It returns nil where the way is
// too long.
func (s *Store) latestAmong(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page, sql string) ([]taskTime, error) {
	want := limitOf(page) + 1
	for tasks := byTimeGrowth * want; tasks <= manyTasks; tasks *= byTimeGrowth {
		of, rest, err := s.latestOf(ctx, scope, q, sql, tasks)
		if err != nil {
			return nil, err
		}
		passed, err := s.passing(ctx, scope, q, of)
		if err != nil {
			return nil, err
		}
		found := []taskTime{}
		for id, at := range passed {
			if rest.IsZero() || at.After(rest) {
				found = append(found, taskTime{id, at})
			}
		}
		if rest.IsZero() || len(found) >= want {
			slices.SortFunc(found, func(a, b taskTime) int {
				return cmp.Or(b.at.Compare(a.at), strings.Compare(b.id, a.id))
			})
			return found[:min(len(found), want)], nil
		}
	}
	return nil, nil
}

func (s *Store) rowsByTime(ctx context.Context, scope readmodel.Scope, q *filter, sql string, n int) (out []taskTime, err error) {
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	rows, err := s.read.Query(ctx, sql+" LIMIT {rows:UInt32}", append(slices.Clip(q.args),
		clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("since", 0), clickhouse.Named("rows", n))...)
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
