package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Errors lists failures by fingerprint, the last seen first. Count is of failed
// attempts, DeadLetters of runs that ended with it; the sample is the latest.
func (s *Store) Errors(ctx context.Context, scope readmodel.Scope, f readmodel.ErrorFilter, page readmodel.Page) (list readmodel.List[readmodel.ErrorGroup], err error) {
	if f.Among != nil && len(f.Among) == 0 {
		return list, nil
	}
	q := &filter{}
	if scope.UserID != "" {
		q.add("user_id = {scope_user:String}", "scope_user", scope.UserID)
	}
	q.within("occurred_at", "occurred", f.Seen)
	q.in("fingerprint", "among", f.Among)
	if len(f.Without) > 0 {
		q.add("fingerprint NOT IN {without:Array(String)}", "without", f.Without)
	}
	after, order, args := keyset(page, "last_seen", "fingerprint")
	args = append(append(args, q.args...),
		clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", limitOf(page)+1))
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT fingerprint, attempts, letters, first_seen, last_seen, types, queues, sample.1, sample.2, sample.3, sample.4, sample.5, sample.6 FROM (",
		"SELECT fingerprint, uniqExactIf(event_id, kind = 0) AS attempts, uniqExactIf(event_id, kind = 1) AS letters,",
		"    min(occurred_at) AS first_seen, max(occurred_at) AS last_seen,",
		"    arraySort(groupUniqArray(100)(toString(task_type))) AS types, arraySort(groupUniqArray(100)(toString(queue))) AS queues,",
		"    argMax(tuple(toString(error_class), toString(error_kind), error_message, toString(error_code), error_status, task_id), (occurred_at, event_id)) AS sample",
		"FROM failures WHERE namespace = {ns:String} AND kind < 2 AND "+q.sql(),
		"GROUP BY fingerprint) WHERE "+after, order, "LIMIT {limit:UInt32}"), args...)
	if err != nil {
		return list, fmt.Errorf("list errors: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var found []readmodel.ErrorGroup
	for rows.Next() {
		var g readmodel.ErrorGroup
		var attempts, letters uint64
		var status uint16
		var class string
		if err := rows.Scan(&g.Fingerprint, &attempts, &letters, &g.FirstSeen, &g.LastSeen, &g.Types, &g.Queues,
			&class, &g.Sample.Kind, &g.Sample.Message, &g.Sample.Code, &status, &g.SampleTask); err != nil {
			return list, fmt.Errorf("list errors: %w", err)
		}
		g.Count, g.DeadLetters = int64(attempts), int64(letters)
		g.FirstSeen, g.LastSeen = g.FirstSeen.UTC(), g.LastSeen.UTC()
		g.Sample.Class, g.Sample.HTTPStatus, g.Sample.Fingerprint = timeline.ErrorClass(class), int(status), g.Fingerprint
		found = append(found, g)
	}
	if err := rows.Err(); err != nil {
		return list, fmt.Errorf("list errors: %w", err)
	}
	if err := s.errorCounts(ctx, scope, f.Seen, found); err != nil {
		return list, fmt.Errorf("count errors over time: %w", err)
	}
	return finish(page, found, func(g *readmodel.ErrorGroup) readmodel.Position {
		return readmodel.Position{At: g.LastSeen, ID: g.Fingerprint}
	}), nil
}

// errorCounts fills in how the groups spread over time, types and queues.
func (s *Store) errorCounts(ctx context.Context, scope readmodel.Scope, within readmodel.Range, groups []readmodel.ErrorGroup) (err error) {
	if len(groups) == 0 {
		return nil
	}
	byPrint := map[string]*readmodel.ErrorGroup{}
	from, to := within.From, within.To
	for i := range groups {
		g := &groups[i]
		byPrint[g.Fingerprint] = g
		if within.From.IsZero() && (from.IsZero() || g.FirstSeen.Before(from)) {
			from = g.FirstSeen
		}
	}
	if to.IsZero() {
		to = now()
	}
	step := max(to.Sub(from)/readmodel.ErrorBuckets+1, 1)
	for i := range groups {
		groups[i].Counts = make([]int64, readmodel.ErrorBuckets)
		groups[i].CountsFrom, groups[i].CountsStep = from.UTC(), timeline.Millis(step)
	}
	q := &filter{}
	if scope.UserID != "" {
		q.add("user_id = {scope_user:String}", "scope_user", scope.UserID)
	}
	q.within("occurred_at", "occurred", within)
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT fingerprint, toString(task_type), toString(queue), intDiv(toUnixTimestamp64Nano(occurred_at) - {start:Int64}, {step:Int64}) AS part,",
		"    uniqExactIf(event_id, kind = 0), uniqExactIf(event_id, kind = 1)",
		"FROM failures WHERE namespace = {ns:String} AND kind < 2 AND fingerprint IN {prints:Array(String)} AND "+q.sql(),
		"GROUP BY fingerprint, task_type, queue, part"),
		append(q.args, clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("start", nanos(from)), clickhouse.Named("step", int64(step)),
			clickhouse.Named("prints", slices.Collect(maps.Keys(byPrint))))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var print, kind, queue string
		var part int64
		var attempts, letters uint64
		if err := rows.Scan(&print, &kind, &queue, &part, &attempts, &letters); err != nil {
			return err
		}
		g := byPrint[print]
		if g == nil {
			continue
		}
		g.Counts[min(max(part, 0), readmodel.ErrorBuckets-1)] += int64(attempts)
		i := slices.IndexFunc(g.ByType, func(c readmodel.ErrorCount) bool { return c.Type == kind && c.Queue == queue })
		if i < 0 {
			i = len(g.ByType)
			g.ByType = append(g.ByType, readmodel.ErrorCount{Type: kind, Queue: queue})
		}
		g.ByType[i].Count += int64(attempts)
		g.ByType[i].DeadLetters += int64(letters)
	}
	for i := range groups {
		slices.SortFunc(groups[i].ByType, func(a, b readmodel.ErrorCount) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Queue, b.Queue))
		})
	}
	return rows.Err()
}
