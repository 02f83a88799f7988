package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// maxGauges bounds the groups of one question.
const maxGauges = 10_000

// facetColumns are the names of facets, the same in task_state and dead_letters.
var facetColumns = [...]string{
	readmodel.ByType: "task_type", readmodel.ByQueue: "queue", readmodel.ByProvider: "provider", readmodel.ByAgent: "agent", readmodel.ByUser: "user_id",
}

// PendingTasks counts the tasks that wait for their first attempt, of all
// namespaces, by the facets.
func (s *Store) PendingTasks(ctx context.Context, by ...readmodel.Facet) ([]readmodel.Gauge, error) {
	return s.gauges(ctx, "count pending tasks", by, func(ctx context.Context, args []any) (string, []any, error) {
		where, named, err := s.amongTasks(ctx, sqlOpen, args)
		if err != nil || where == "" {
			return "", nil, err
		}
		columns, uses := facets(by, "", "")
		return lines("SELECT "+columns+"count(), min(created_at) FROM "+taskRows(where, "decide created_at "+uses),
			"WHERE "+sqlState()+" = 'pending' GROUP BY ALL LIMIT {max:UInt32}"), named, nil
	})
}

// PendingLetters counts the pending dead letters of all namespaces, by the
// facets, as Health does.
func (s *Store) PendingLetters(ctx context.Context, by ...readmodel.Facet) ([]readmodel.Gauge, error) {
	return s.gauges(ctx, "count dead letters", by, func(ctx context.Context, args []any) (string, []any, error) {
		among, named, err := s.amongTasks(ctx, "SELECT task_id FROM letter_tasks WHERE namespace = {ns:String} AND dead_letter_run > 0", args)
		if err != nil || among == "" {
			return "", nil, err
		}
		first, _ := facets(by, "any(", ")")
		columns, _ := facets(by, "l.", "")
		return lines("SELECT "+columns+"count(), min(l.created_at) FROM",
			"(SELECT task_id, run, "+first+"any(id) AS id, min(s.created_at) AS created_at FROM dead_letters AS s WHERE namespace = {ns:String} AND "+among,
			"  GROUP BY task_id, run) AS l",
			"INNER JOIN (SELECT task_id, dead_letter_run, completed_run, decide FROM "+
				taskRows(among, "dead_letter_run completed_run decide")+" WHERE dead_letter_run > completed_run) AS t",
			"ON l.task_id = t.task_id AND l.run = t.dead_letter_run",
			"WHERE id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String}) AND ("+sqlRun+" <= l.run OR "+sqlNothingCameOfIt+")",
			"GROUP BY ALL LIMIT {max:UInt32}"), named, nil
	})
}

// facets names the columns, each between two texts, ready for more to follow.
func facets(by []readmodel.Facet, before, after string) (columns, uses string) {
	var b strings.Builder
	for _, f := range by {
		name := facetColumns[f]
		uses += name + " "
		b.WriteString("toString(" + before + name + after + ")")
		if after != "" {
			b.WriteString(" AS " + name)
		}
		b.WriteString(", ")
	}
	return b.String(), uses
}

func (s *Store) gauges(ctx context.Context, what string, by []readmodel.Facet, query func(context.Context, []any) (string, []any, error)) ([]readmodel.Gauge, error) {
	for _, f := range by {
		if int(f) >= len(facetColumns) {
			return nil, fmt.Errorf("%s: there is no facet %d", what, f)
		}
	}
	names, err := s.Namespaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var out []readmodel.Gauge
	for _, ns := range names {
		if out, err = s.gaugesOf(ctx, ns, by, query, out); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return out, nil
}

func (s *Store) gaugesOf(ctx context.Context, ns string, by []readmodel.Facet, query func(context.Context, []any) (string, []any, error), out []readmodel.Gauge) (_ []readmodel.Gauge, err error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	sql, args, err := query(ctx, []any{clickhouse.Named("ns", ns)})
	if err != nil || sql == "" {
		return out, err
	}
	rows, err := s.read.Query(ctx, sql, append(args, clickhouse.Named("max", maxGauges))...)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		g := readmodel.Gauge{Namespace: ns}
		var n uint64
		into := make([]any, 0, len(by)+2)
		for _, f := range by {
			into = append(into, [...]*string{
				readmodel.ByType: &g.Type, readmodel.ByQueue: &g.Queue, readmodel.ByProvider: &g.Provider,
				readmodel.ByAgent: &g.Agent, readmodel.ByUser: &g.UserID,
			}[f])
		}
		if err := rows.Scan(append(into, &n, &g.Oldest)...); err != nil {
			return out, err
		}
		g.Count, g.Oldest = int64(n), g.Oldest.UTC()
		out = append(out, g)
	}
	return out, rows.Err()
}

// ErrorLastSeen is when an attempt last failed with a fingerprint before a time;
// zero for never.
func (s *Store) ErrorLastSeen(ctx context.Context, namespace, fingerprint string, before time.Time) (time.Time, error) {
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	var n uint64
	var last time.Time
	err := s.read.QueryRow(ctx, lines(
		"SELECT count(), max(occurred_at) FROM failures WHERE namespace = {ns:String} AND fingerprint = {fp:String}",
		"AND kind = 0 AND occurred_at < fromUnixTimestamp64Nano({before:Int64}, 'UTC')"),
		clickhouse.Named("ns", namespaceOf(readmodel.Scope{Namespace: namespace})), clickhouse.Named("fp", fingerprint),
		clickhouse.Named("before", nanos(before))).Scan(&n, &last)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when an error was last seen: %w", err)
	}
	if n == 0 {
		return time.Time{}, nil
	}
	return last.UTC(), nil
}

// SettledRuns gives, of those tasks whose last dead letter is settled, its run or
// the later one that completed.
func (s *Store) SettledRuns(ctx context.Context, namespace string, taskIDs []string) (_ map[string]int, err error) {
	out := map[string]int{}
	if len(taskIDs) == 0 {
		return out, nil
	}
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT t.task_id, greatest(t.completed_run, t.dead_letter_run) FROM "+taskRows("s.task_id IN {tasks:Array(String)}", "dead_letter_run completed_run")+" AS t",
		"LEFT JOIN (SELECT task_id, run, any(id) AS id FROM dead_letters WHERE namespace = {ns:String} AND task_id IN {tasks:Array(String)} GROUP BY task_id, run) AS l ON l.task_id = t.task_id AND l.run = t.dead_letter_run",
		"WHERE t.completed_run > 0 AND t.completed_run >= t.dead_letter_run",
		"   OR l.id IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String})"),
		clickhouse.Named("ns", namespaceOf(readmodel.Scope{Namespace: namespace})), clickhouse.Named("tasks", taskIDs))
	if err != nil {
		return nil, fmt.Errorf("read what became of failed tasks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var run uint32
		if err := rows.Scan(&id, &run); err != nil {
			return nil, fmt.Errorf("read what became of failed tasks: %w", err)
		}
		out[id] = int(run)
	}
	return out, rows.Err()
}
