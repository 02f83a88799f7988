package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	var stale [3]string // of what is of before, and when
	var steps []func() error
	if scope.UserID == "" {
		ns := namespaceOf(scope)
		steps = []func() error{
			func() (err error) { stale[0], err = s.healthOpen(ctx, &h, ns); return err },
			func() (err error) { stale[1], err = s.healthEnded(ctx, &h, ended, ns, window); return err },
			func() (err error) { letters, stale[2], err = s.healthLetters(ctx, ns, at); return err },
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
				letters, err = s.userLetters(ctx, namespaceOf(scope), scope.UserID)
				return err
			},
		}
	}
	steps = append(steps, func() error { return s.healthWaiting(ctx, &h, scope, at) })
	if err := sideBySide(steps...); err != nil {
		return readmodel.Health{}, fmt.Errorf("read health: %w", err)
	}
	maps.Copy(h.Tasks, ended)
	h.DeadLetters, h.OldestDeadLetterAt = int64(letters.n), letters.oldest
	h.Stale = strings.Join(slices.DeleteFunc(stale[:], func(s string) bool { return s == "" }), "; ")
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

// sideBySide does the steps of a read at once: most of a small query's time is
// planning.
func sideBySide(steps ...func() error) error {
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() { errs[i] = step() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// healthTasks counts tasks by state, of the given rows.
func (s *Store) healthTasks(ctx context.Context, h *readmodel.Health, tasks, where string, args []any) error {
	counts, err := s.countByQueue(ctx, tasks, where, args)
	addDepths(h, counts)
	return err
}

// depth is how many tasks of a queue are in a state, and when the oldest of them
// was created.
type depth struct {
	queue  string
	state  timeline.State
	n      int64
	oldest time.Time
}

func (s *Store) countByQueue(ctx context.Context, tasks, where string, args []any) (out []depth, err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT queue, "+sqlState()+" AS state, count(), min(created_at)",
		"FROM "+tasks,
		"WHERE "+where,
		"GROUP BY queue, state"), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d depth
		var state string
		var n uint64
		if err := rows.Scan(&d.queue, &state, &n, &d.oldest); err != nil {
			return nil, err
		}
		d.state, d.n = timeline.State(state), int64(n)
		out = append(out, d)
	}
	return out, rows.Err()
}

// addDepths adds counts to the states and the queues.
func addDepths(h *readmodel.Health, counts []depth) {
	queues := map[string]*readmodel.QueueDepth{}
	for _, d := range counts {
		h.Tasks[d.state] += d.n
		if d.state.Terminal() || d.state == timeline.StateLost {
			continue
		}
		q := queues[d.queue]
		if q == nil {
			q = &readmodel.QueueDepth{Queue: d.queue}
			queues[d.queue] = q
		}
		h.QueueDepth += d.n
		switch d.state {
		case timeline.StatePending:
			q.Pending += d.n
			if oldest := d.oldest.UTC(); q.OldestPendingAt.IsZero() || oldest.Before(q.OldestPendingAt) {
				q.OldestPendingAt = oldest
			}
		case timeline.StateInProgress:
			q.InProgress += d.n
		case timeline.StateRetrying:
			q.Retrying += d.n
		}
	}
	for _, q := range queues {
		h.Queues = append(h.Queues, *q)
	}
	slices.SortFunc(h.Queues, func(a, b readmodel.QueueDepth) int { return strings.Compare(a.Queue, b.Queue) })
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
