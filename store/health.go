package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// breakerExpiry is how long after it should have let a probe through an open
// breaker is believed in: its process is gone.
const breakerExpiry = 5 * time.Minute

// Health tells how a namespace does, or one user's tasks in it: then queues and
// breakers, which are everybody's, are left out. How far the readers lag behind
// is not for the store to know: IngestLag is left zero.
func (s *Store) Health(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error) {
	at := now()
	h := readmodel.Health{
		Window: timeline.Millis(window), GeneratedAt: at, Tasks: map[timeline.State]int64{},
		Queues: []readmodel.QueueDepth{}, ActiveBreakers: []readmodel.ActiveBreaker{},
	}
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	args := []any{clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("from", nanos(at.Add(-window)))}
	ended := map[timeline.State]int64{}
	var letters letterDepth
	var lettersOf, endedOf time.Time // where they are of before
	var steps []func() error
	if scope.UserID == "" {
		steps = []func() error{
			func() error { return s.healthOpen(ctx, &h, args[:1]) },
			func() (err error) {
				endedOf, err = s.healthEnded(ctx, &h, ended, namespaceOf(scope), window)
				return err
			},
			func() (err error) {
				letters, lettersOf, err = s.healthLetters(ctx, namespaceOf(scope), "", at)
				return err
			},
			func() error { return s.healthBreakers(ctx, &h, at, args[:1]) },
		}
	} else {
		const user = "user_id = {scope_user:String}"
		args = append(args, clickhouse.Named("scope_user", scope.UserID))
		steps = []func() error{
			func() error {
				return s.healthTasks(ctx, &h, taskRows("s.task_id IN ("+sqlUserTasks+"{scope_user:String})", "queue decide created_at user_id"),
					user+" AND (NOT "+sqlEnded+" OR "+sqlDecided+" >= "+sqlFrom+")", args)
			},
			func() error { return s.healthOutcomes(ctx, &h, user, args) },
			func() (err error) {
				letters, lettersOf, err = s.healthLetters(ctx, namespaceOf(scope), scope.UserID, at)
				return err
			},
		}
	}
	// Side by side: most of a small query's time is planning.
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() { errs[i] = step() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return readmodel.Health{}, fmt.Errorf("read health: %w", err)
	}
	maps.Copy(h.Tasks, ended)
	h.DeadLetters, h.OldestDeadLetterAt = int64(letters.n), letters.oldest
	var stale []string
	if !endedOf.IsZero() {
		stale = append(stale, "failed and cancelled tasks are of "+endedOf.Format(time.RFC3339))
	}
	if !lettersOf.IsZero() {
		stale = append(stale, "dead letters are of "+lettersOf.Format(time.RFC3339))
	}
	h.Stale = strings.Join(stale, "; ")
	if scope.UserID != "" {
		h.Queues = []readmodel.QueueDepth{}
	}
	if total := h.Completed + h.Failed; total > 0 {
		h.FailureRate = float64(h.Failed) / float64(total)
	}
	return h, nil
}

const sqlFrom = "fromUnixTimestamp64Nano({from:Int64}, 'UTC')"

const sqlEnded = "state IN ('completed', 'failed', 'cancelled')"

// sqlOpen selects the tasks that are not at their end, and few others.
const sqlOpen = "SELECT task_id FROM open_tasks WHERE namespace = {ns:String} AND NOT bitTest(top, 31)"

// manyTasks is how many tasks are looked up by their ids, sent with the query;
// of more the server makes the list itself.
const manyTasks = 2000

// amongTasks is the condition that a task is one of those that a query selects,
// and reports whether there are any.
func (s *Store) amongTasks(ctx context.Context, sql string, args []any) (where string, named []any, err error) {
	where, named, _, err = s.amongCounted(ctx, sql, args)
	return where, named, err
}

// amongCounted is amongTasks that also tells how many there are, up to manyTasks+1.
func (s *Store) amongCounted(ctx context.Context, sql string, args []any) (where string, named []any, n int, err error) {
	ids, err := s.column(ctx, "SELECT DISTINCT task_id FROM ("+sql+") LIMIT "+strconv.Itoa(manyTasks+1), args...)
	switch {
	case err != nil || len(ids) == 0:
		return "", nil, 0, err
	case len(ids) > manyTasks:
		return "s.task_id IN (" + sql + ")", args, len(ids), nil
	default:
		return "s.task_id IN {tasks:Array(String)}", append(slices.Clip(args), clickhouse.Named("tasks", ids)), len(ids), nil
	}
}

// healthOpen counts the tasks that are not at their end.
func (s *Store) healthOpen(ctx context.Context, h *readmodel.Health, args []any) error {
	where, args, err := s.amongTasks(ctx, sqlOpen, args)
	if err != nil || where == "" {
		return err
	}
	return s.healthTasks(ctx, h, taskRows(where, "queue decide created_at"), "NOT "+sqlEnded, args)
}

// sqlTroubles are the rows of troubles within the window.
const sqlTroubles = "troubles WHERE namespace = {ns:String} AND slot >= toStartOfInterval(toDateTime(" + sqlFrom + ", 'UTC'), INTERVAL 10 SECOND) AND occurred_at >= " + sqlFrom

// healthEnded counts tasks and runs that ended within the window. Those whose
// first run completed are counted by slot; in troubles stand all others, and
// those that came to something else after all.
func (s *Store) healthEnded(ctx context.Context, h *readmodel.Health, ended map[timeline.State]int64, namespace string, window time.Duration) (of time.Time, err error) {
	from := h.GeneratedAt.Add(-window)
	sum, err := s.outcomesSince(ctx, namespace, from)
	if err != nil {
		return of, err
	}
	args := []any{clickhouse.Named("ns", namespace), clickhouse.Named("from", nanos(from))}
	var tasks, failedRuns, lost uint64
	err = s.read.QueryRow(ctx, "SELECT uniqExact(task_id), uniqExactIf((task_id, run), type = 'task_failed'), uniqExactIf(task_id, type = 'task_lost') FROM "+sqlTroubles, args...).
		Scan(&tasks, &failedRuns, &lost)
	if err != nil {
		return of, err
	}
	var e troubledEnds
	key := namespace + " " + window.String()
	a, known, anew := s.troubles.get(key, h.GeneratedAt)
	switch {
	case tasks == 0:
	case known && tasks >= agedWorth:
		e, of = a.value, a.of
		if anew {
			s.beside(func(ctx context.Context) {
				if _, err := s.countTroubled(ctx, namespace, window, int(tasks)); err != nil {
					s.troubles.forget(key)
				}
			})
		}
	default:
		if e, err = s.countTroubled(ctx, namespace, window, int(tasks)); err != nil {
			return of, err
		}
	}
	completed, failed, cancelled, counted := e.completed, e.failed, e.cancelled, e.counted
	for state, n := range map[timeline.State]int64{
		timeline.StateCompleted: int64(sum.completedTasks) - int64(counted) + int64(completed),
		timeline.StateFailed:    int64(failed), timeline.StateCancelled: int64(cancelled),
	} {
		if n > 0 {
			ended[state] = n
		}
	}
	h.Completed, h.Failed, h.Lost = int64(sum.completedRuns), int64(failedRuns), int64(lost)
	h.Execution = sum.execution()
	return of, nil
}

// countTroubled judges the tasks with troubles within a window that ends now.
func (s *Store) countTroubled(ctx context.Context, namespace string, window time.Duration, tasks int) (e troubledEnds, err error) {
	at := now()
	err = s.read.QueryRow(ctx, lines(
		"SELECT countIf(state = 'completed' AND within), countIf(state = 'failed' AND within), countIf(state = 'cancelled' AND within),",
		"    countIf(completed_at >= "+sqlFrom+")",
		"FROM (SELECT "+sqlState()+" AS state, "+sqlDecided+" >= "+sqlFrom+" AS within, completed_at",
		"  FROM "+taskRows("s.task_id IN (SELECT task_id FROM "+sqlTroubles+")", "decide completed_at")+")"),
		clickhouse.Named("ns", namespace), clickhouse.Named("from", nanos(at.Add(-window)))).
		Scan(&e.completed, &e.failed, &e.cancelled, &e.counted)
	if err == nil {
		s.troubles.set(namespace+" "+window.String(), e, at, tasks)
	}
	return e, err
}

// healthTasks counts tasks by state, of the given rows.
func (s *Store) healthTasks(ctx context.Context, h *readmodel.Health, tasks, where string, args []any) (err error) {
	state := sqlState()
	rows, err := s.read.Query(ctx, lines(
		"SELECT queue, "+state+" AS state, count() AS n, min(created_at) AS oldest",
		"FROM "+tasks,
		"WHERE "+where,
		"GROUP BY queue, state"), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	queues := map[string]*readmodel.QueueDepth{}
	for rows.Next() {
		var queue, state string
		var n uint64
		var oldest time.Time
		if err := rows.Scan(&queue, &state, &n, &oldest); err != nil {
			return err
		}
		st := timeline.State(state)
		h.Tasks[st] += int64(n)
		if st.Terminal() || st == timeline.StateLost {
			continue
		}
		q := queues[queue]
		if q == nil {
			q = &readmodel.QueueDepth{Queue: queue}
			queues[queue] = q
		}
		h.QueueDepth += int64(n)
		switch st {
		case timeline.StatePending:
			q.Pending += int64(n)
			q.OldestPendingAt = oldest.UTC()
		case timeline.StateInProgress:
			q.InProgress += int64(n)
		case timeline.StateRetrying:
			q.Retrying += int64(n)
		}
	}
	for _, q := range queues {
		h.Queues = append(h.Queues, *q)
	}
	slices.SortFunc(h.Queues, func(a, b readmodel.QueueDepth) int { return compareText(a.Queue, b.Queue) })
	return rows.Err()
}

// healthOutcomes reads rates and durations. An event that stands there twice
// counts once.
func (s *Store) healthOutcomes(ctx context.Context, h *readmodel.Health, user string, args []any) error {
	var completed, failed, lost, attempts uint64
	var average float64
	var quantiles []float64
	err := s.read.QueryRow(ctx, lines(
		"SELECT uniqExactIf((task_id, run), type = 'task_completed'), uniqExactIf((task_id, run), type = 'task_failed'),",
		"    uniqExactIf(task_id, type = 'task_lost'), countIf(attempt), ifNotFinite(avgIf(duration, attempt), 0),",
		"    arrayMap(x -> ifNotFinite(toFloat64(x), 0), quantilesExactIf(0.5, 0.95, 0.99)(duration, attempt))",
		"FROM (SELECT event_id, any(o.task_id) AS task_id, any(o.run) AS run, any(o.type) AS type, any(o.duration) AS duration,",
		"    type IN ('attempt_success', 'attempt_failed') AS attempt",
		"  FROM outcomes AS o WHERE namespace = {ns:String} AND slot >= toStartOfInterval(toDateTime("+sqlFrom+", 'UTC'), INTERVAL 10 SECOND) AND occurred_at >= "+sqlFrom+" AND "+user,
		"  GROUP BY event_id)"), args...).Scan(&completed, &failed, &lost, &attempts, &average, &quantiles)
	if err != nil {
		return err
	}
	h.Completed, h.Failed, h.Lost = int64(completed), int64(failed), int64(lost)
	h.Execution = readmodel.ExecutionTime{Count: int64(attempts), Average: timeline.Millis(average)}
	if len(quantiles) == 3 {
		h.Execution.P50, h.Execution.P95, h.Execution.P99 =
			timeline.Millis(quantiles[0]), timeline.Millis(quantiles[1]), timeline.Millis(quantiles[2])
	}
	return nil
}

// sqlNothingCameOfIt holds for a task whose current run leaves an earlier dead
// letter as it was: no attempt was made, or it was cancelled, or it has not begun.
const sqlNothingCameOfIt = "(" + sqlRank + " IN (10, 170) OR (" + sqlRank + " = 140 AND " + sqlAttempts + " = 0))"

// healthLetters counts the pending dead letters: those of the last run that has
// one, which no run completed, nobody settled, and no run is trying to save.
// Where many tasks have any, they are counted beside the reads.
func (s *Store) healthLetters(ctx context.Context, namespace, user string, at time.Time) (d letterDepth, of time.Time, err error) {
	if a, known, anew := s.letters.get(namespace, at); known && user == "" {
		if anew {
			s.beside(func(ctx context.Context) {
				if _, err := s.countLetters(ctx, namespace, ""); err != nil {
					s.letters.forget(namespace)
				}
			})
		}
		return a.value, a.of, nil
	}
	d, err = s.countLetters(ctx, namespace, user)
	return d, time.Time{}, err
}

func (s *Store) countLetters(ctx context.Context, namespace, user string) (d letterDepth, err error) {
	at := now()
	args := []any{clickhouse.Named("ns", namespace), clickhouse.Named("scope_user", user)}
	candidates, tasks := "SELECT task_id FROM letter_tasks WHERE namespace = {ns:String} AND dead_letter_run > completed_run", "dead_letter_run > completed_run"
	if user != "" {
		candidates += " AND task_id IN (" + sqlUserTasks + "{scope_user:String})"
		tasks += " AND user_id = {scope_user:String}"
	}
	among, args, tasksFound, err := s.amongCounted(ctx, candidates, args)
	if err != nil {
		return d, err
	}
	if among == "" {
		s.letters.forget(namespace)
		return d, nil
	}
	var oldest time.Time
	err = s.read.QueryRow(ctx, lines(
		"SELECT count(), min(l.created_at) FROM",
		"(SELECT task_id, run, any(id) AS id, min(s.created_at) AS created_at FROM dead_letters AS s WHERE namespace = {ns:String} AND "+among,
		"  GROUP BY task_id, run) AS l",
		"INNER JOIN (SELECT task_id, dead_letter_run, completed_run, decide FROM "+
			taskRows(among, "dead_letter_run completed_run decide", tasks)+" WHERE "+tasks+") AS t",
		"ON l.task_id = t.task_id AND l.run = t.dead_letter_run",
		"WHERE id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String}) AND ("+sqlRun+" <= l.run OR "+sqlNothingCameOfIt+")"), args...).Scan(&d.n, &oldest)
	if err != nil {
		return d, err
	}
	if d.n > 0 {
		d.oldest = oldest.UTC()
	}
	if user == "" {
		s.letters.set(namespace, d, at, tasksFound)
	}
	return d, nil
}

// healthBreakers lists the breakers that are not closed.
func (s *Store) healthBreakers(ctx context.Context, h *readmodel.Health, at time.Time, args []any) (err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT provider, source_id, l.1, l.2, l.3, l.4, l.5, l.6 FROM",
		"(SELECT provider, source_id, argMaxMerge(b.last) AS l FROM breakers AS b WHERE namespace = {ns:String} GROUP BY provider, source_id)",
		"WHERE l.1 != 'closed' ORDER BY l.6 DESC LIMIT 1000"), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b readmodel.ActiveBreaker
		var state string
		var calls, failures uint32
		var until time.Time
		if err := rows.Scan(&b.Provider, &b.SourceID, &state, &b.Why, &calls, &failures, &until, &b.Since); err != nil {
			return err
		}
		b.State, b.Calls, b.Failures, b.Since = timeline.BreakerState(state), int(calls), int(failures), b.Since.UTC()
		last := b.Since
		if until.UnixNano() > 0 {
			b.OpenUntil = until.UTC()
			if b.OpenUntil.After(last) {
				last = b.OpenUntil
			}
		}
		if at.After(last.Add(breakerExpiry)) {
			continue
		}
		h.ActiveBreakers = append(h.ActiveBreakers, b)
	}
	return rows.Err()
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
