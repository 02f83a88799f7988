package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// troublesMargin is how far apart the clocks of those who write of one task may
// be: what decides its state may have happened so much earlier than another of its
// troubles.
const troublesMargin = 5 * time.Minute

// The slots of a window, and those of the window and the margin before it.
const (
	sqlSlots       = "slot >= toStartOfInterval(toDateTime(" + sqlFrom + ", 'UTC'), INTERVAL 10 SECOND)"
	sqlSlotsMargin = "slot >= toStartOfInterval(toDateTime({margin:Int64}, 'UTC'), INTERVAL 10 SECOND)"
)

// sqlTroubledEnds counts by what decides their state what became of the tasks with
// troubles, as far as their troubles tell: a run after the first, and an end other
// than completion, are troubles all.
func sqlTroubledEnds(among string) string {
	return lines("SELECT rank, countIf(within), sum(failed_runs), countIf(lost), countIf(suspect)",
		"FROM (SELECT max(t.decide) AS decide, "+sqlRank+" AS rank, toInt64(bitAnd(decide, 18446744073709551615)) >= {from:Int64} AS within,",
		"    length(groupUniqArrayIf(run, type = 'task_failed' AND occurred_at >= "+sqlFrom+")) AS failed_runs,",
		"    max(type = 'task_lost' AND occurred_at >= "+sqlFrom+") AS lost, max("+sqlSuspect+") AS suspect",
		"  FROM troubles AS t WHERE namespace = {ns:String} AND "+sqlSlotsMargin+" AND "+among+" GROUP BY task_id)",
		"GROUP BY rank")
}

// sqlSuspect holds for a trouble of a task that is not counted among those whose
// first run completed, unless it is contested. A first run that was lost and
// completed is not at its end for its troubles.
const sqlSuspect = "run != 1 OR type != 'task_lost'"

// sqlContested are tasks that have troubles and a first run that completed: two
// workers had the run, or it was given up too early.
const sqlContested = "SELECT DISTINCT task_id FROM outcomes WHERE namespace = {ns:String} AND " + sqlSlotsMargin + " AND type = 'task_completed' AND run = 1" +
	" AND task_id IN (SELECT task_id FROM troubles WHERE namespace = {ns:String} AND " + sqlSlotsMargin + " AND (" + sqlSuspect + ")) LIMIT {most:UInt32}"

// troubledEnds is how tasks with troubles ended within a window.
type troubledEnds struct{ completed, failed, cancelled, failedRuns, lost, suspect uint64 }

// troubledEnds asks sqlTroubledEnds.
func (s *Store) troubledEnds(ctx context.Context, among string, args []any) (e troubledEnds, err error) {
	rows, err := s.read.Query(ctx, sqlTroubledEnds(among), args...)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var rank uint8
		var within, failedRuns, lost, suspect uint64
		if err := rows.Scan(&rank, &within, &failedRuns, &lost, &suspect); err != nil {
			return e, err
		}
		e.failedRuns, e.lost, e.suspect = e.failedRuns+failedRuns, e.lost+lost, e.suspect+suspect
		switch stateOf(rank) {
		case timeline.StateCompleted:
			e.completed += within
		case timeline.StateFailed:
			e.failed += within
		case timeline.StateCancelled:
			e.cancelled += within
		}
	}
	return e, rows.Err()
}

// windowArgs are what the queries of a window name.
func windowArgs(namespace string, from time.Time) []any {
	return []any{
		clickhouse.Named("ns", namespace), clickhouse.Named("from", nanos(from)),
		clickhouse.Named("margin", unixSeconds(from.Add(-troublesMargin))), clickhouse.Named("most", manyTasks),
	}
}

// healthEnded counts tasks and runs that ended within the window. Those whose
// first run completed are counted by slot; in troubles stand all others. The few
// that stand in both are judged by their state.
func (s *Store) healthEnded(ctx context.Context, h *readmodel.Health, ended map[timeline.State]int64, namespace string, window time.Duration) (stale string, err error) {
	from := h.GeneratedAt.Add(-window)
	var sum outcomes
	var e troubledEnds
	args := windowArgs(namespace, from)
	if err := sideBySide(
		func() (err error) { sum, err = s.outcomesSince(ctx, namespace, from); return err },
		func() (err error) { e, err = s.troubledEnds(ctx, "1", args); return err },
	); err != nil {
		return "", err
	}
	completed := int64(sum.completedTasks) + int64(e.completed)
	failed, cancelled := int64(e.failed), int64(e.cancelled)
	if e.suspect > 0 {
		contested, stale2, err := s.contestedTasks(ctx, namespace, window, h.GeneratedAt, sum.rows)
		if err != nil {
			return "", err
		}
		stale = stale2
		if len(contested) > 0 {
			was, is, counted, err := s.judge(ctx, contested, args)
			if err != nil {
				return "", err
			}
			completed += int64(is.completed) - int64(was.completed) - int64(counted)
			failed += int64(is.failed) - int64(was.failed)
			cancelled += int64(is.cancelled) - int64(was.cancelled)
		}
	}
	for state, n := range map[timeline.State]int64{
		timeline.StateCompleted: completed, timeline.StateFailed: failed, timeline.StateCancelled: cancelled,
	} {
		if n > 0 {
			ended[state] = n
		}
	}
	h.Completed, h.Failed, h.Lost = int64(sum.completedRuns), int64(e.failedRuns), int64(e.lost)
	h.Execution = sum.execution()
	return stale, nil
}

// judge tells of contested tasks what their troubles make of them, what they are,
// and how many of them are counted among those whose first run completed.
func (s *Store) judge(ctx context.Context, ids []string, args []any) (was, is troubledEnds, counted uint64, err error) {
	args = append(slices.Clip(args), clickhouse.Named("tasks", ids))
	err = sideBySide(
		func() (err error) {
			was, err = s.troubledEnds(ctx, "task_id IN {tasks:Array(String)}", args)
			return err
		},
		func() error {
			return s.read.QueryRow(ctx, lines(
				"SELECT countIf(state = 'completed' AND within), countIf(state = 'failed' AND within), countIf(state = 'cancelled' AND within),",
				"    countIf(completed_at >= "+sqlFrom+")",
				"FROM (SELECT "+sqlState()+" AS state, "+sqlDecided+" >= "+sqlFrom+" AS within, completed_at",
				"  FROM "+taskRows("s.task_id IN {tasks:Array(String)}", "decide completed_at")+")"), args...).
				Scan(&is.completed, &is.failed, &is.cancelled, &counted)
		})
	return was, is, counted, err
}

// contestedRows is up to how many outcomes of a window contested tasks are looked
// for in every read.
const contestedRows = 20_000

// contestedTasks returns the contested tasks of a window that ends now, manyTasks
// at most. In a window of many outcomes they are looked for beside the reads.
func (s *Store) contestedTasks(ctx context.Context, namespace string, window time.Duration, at time.Time, rows uint64) (ids []string, stale string, err error) {
	find := func(ctx context.Context) ([]string, error) {
		return s.column(ctx, sqlContested, windowArgs(namespace, now().Add(-window))...)
	}
	if rows <= contestedRows {
		ids, err = find(ctx)
		return ids, "", err
	}
	key := namespace + " " + window.String()
	a, known, anew := s.contested.get(key, at)
	findAnew := func(ctx context.Context) ([]string, error) {
		of := now()
		ids, err := find(ctx)
		if err != nil {
			s.contested.forget(key)
		} else {
			s.contested.set(key, ids, of)
		}
		return ids, err
	}
	if !known {
		ids, err = findAnew(ctx)
		return ids, "", err
	}
	if anew {
		s.beside(func(ctx context.Context) { _, _ = findAnew(ctx) })
	}
	if len(a.value) > 0 {
		stale = a.stale("tasks that ended in two ways", at)
	}
	return a.value, stale, nil
}
