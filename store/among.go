package store

import (
	"context"
	"errors"
	"slices"
	"strings"

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
	case scope.UserID != "" || f.UserID != "":
		name := "user"
		if scope.UserID != "" {
			name = "scope_user"
		}
		return "SELECT created_at AS at, task_id FROM user_tasks WHERE namespace = {ns:String} AND user = {" + name + ":String} ORDER BY created_at DESC"
	case printed && onlyFailed:
		// Their ends are few among their failures.
		return "SELECT occurred_at AS at, task_id FROM troubles WHERE namespace = {ns:String} AND type IN ('task_failed', 'moved_to_dlq', 'task_cancelled')" +
			" AND task_id IN (" + sqlFailedTasks + ") ORDER BY slot DESC, occurred_at DESC"
	case printed:
		return "SELECT occurred_at AS at, task_id FROM fingerprint_tasks WHERE namespace = {ns:String} AND fingerprint IN {fingerprints:Array(String)} ORDER BY occurred_at DESC"
	}
	return ""
}

// byTimeGrowth is by how much more is looked at each time where the first rows do
// not fill the page.
const byTimeGrowth = 4

// latestAmong looks for the first page along a query of byTime. A task is never
// later than a row of it, so tasks without a row so far come after the time of the
// last row. It returns nil where the filter lets so few pass that the way is too
// long.
func (s *Store) latestAmong(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page, sql string) ([]taskTime, error) {
	want := limitOf(page) + 1
	for tasks := want + want/4; tasks <= manyTasks; tasks *= byTimeGrowth {
		rows, err := s.rowsByTime(ctx, scope, q, sql, byTimeGrowth*tasks)
		if err != nil {
			return nil, err
		}
		all := len(rows) < byTimeGrowth*tasks
		seen := make(map[string]bool, tasks)
		var of []taskTime
		for i := range rows {
			if len(of) == tasks {
				rows, all = rows[:i], false
				break
			}
			if !seen[rows[i].id] {
				seen[rows[i].id] = true
				of = append(of, rows[i])
			}
		}
		passed, err := s.passing(ctx, scope, q, of)
		if err != nil {
			return nil, err
		}
		found := []taskTime{}
		for id, at := range passed {
			if all || at.After(rows[len(rows)-1].at) {
				found = append(found, taskTime{id, at})
			}
		}
		if all || len(found) >= want {
			slices.SortFunc(found, func(a, b taskTime) int {
				if c := b.at.Compare(a.at); c != 0 {
					return c
				}
				return strings.Compare(b.id, a.id)
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
