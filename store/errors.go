package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Errors lists failures by fingerprint, the last seen first. Count is of failed
// attempts, DeadLetters of runs that ended with it; the sample is the latest.
func (s *Store) Errors(ctx context.Context, scope readmodel.Scope, within readmodel.Range, page readmodel.Page) (list readmodel.List[readmodel.ErrorGroup], err error) {
	q := &filter{}
	if scope.UserID != "" {
		q.add("user_id = {scope_user:String}", "scope_user", scope.UserID)
	}
	q.within("occurred_at", "occurred", within)
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
	return finish(page, found, func(g *readmodel.ErrorGroup) readmodel.Position {
		return readmodel.Position{At: g.LastSeen, ID: g.Fingerprint}
	}), nil
}
