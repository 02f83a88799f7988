package store

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// waiting is how many accepted retries nobody has taken, and since when the oldest
// of them waits.
type waiting struct {
	n      uint64
	oldest time.Time
	// since is from when on requests are looked at, by their ingestion: what is older
	// was answered, which it stays. All was looked at last at full.
	since, full time.Time
}

const (
	// waitsAfter is how long a retry may be on its way before it counts as waiting.
	waitsAfter = 2 * time.Second
	// waitingReach is how far back requests are looked at in any case, and waitingAnew
	// how often all of them are: what a collector kept while ClickHouse was away
	// arrives with the time at which it was taken.
	waitingReach = 10 * time.Minute
	waitingAnew  = time.Minute
)

// healthWaiting counts the retries that wait. What the task's current run is, and
// whether more than the request is known of it, stands in letter_tasks, which has
// every event of a run after the first.
func (s *Store) healthWaiting(ctx context.Context, h *readmodel.Health, scope readmodel.Scope, at time.Time) error {
	ns := namespaceOf(scope)
	user, args := "1", []any{clickhouse.Named("ns", ns), clickhouse.Named("before", nanos(at.Add(-waitsAfter)))}
	var seen waiting
	if scope.UserID != "" {
		user = "task_id IN (" + sqlUserTasks + "{scope_user:String})"
		args = append(args, clickhouse.Named("scope_user", scope.UserID))
	} else if last, known, _ := s.waiting.get(ns, at); known && at.Sub(last.value.full) < waitingAnew {
		seen = last.value
	}
	asked := "namespace = {ns:String} AND type = 'dlq_retry_requested' AND ingested_at < fromUnixTimestamp64Nano({before:Int64}, 'UTC')" +
		" AND ingested_at >= fromUnixTimestamp64Nano({seen:Int64}, 'UTC') AND " + user
	var oldest, ingested time.Time
	var w waiting
	err := s.read.QueryRow(ctx, lines(
		"SELECT count(), min(asked), min(arrived) FROM",
		"(SELECT task_id, run, min(r.occurred_at) AS asked, min(r.ingested_at) AS arrived FROM requests AS r WHERE "+asked+" GROUP BY task_id, run) AS q",
		"INNER JOIN (SELECT task_id, max(t.decide) AS decide FROM letter_tasks AS t WHERE namespace = {ns:String} AND task_id IN (SELECT task_id FROM requests WHERE "+asked+")",
		"  GROUP BY task_id) AS l ON q.task_id = l.task_id",
		"WHERE "+sqlRank+" = 20 AND "+sqlRun+" = q.run"), append(args, clickhouse.Named("seen", nanos(seen.since)))...).Scan(&w.n, &oldest, &ingested)
	if err != nil {
		return err
	}
	w.since, w.full = at.Add(-waitingReach), seen.full
	if w.n > 0 {
		w.oldest = oldest.UTC()
		if ingested.Before(w.since) {
			w.since = ingested
		}
	}
	if seen.since.IsZero() {
		w.full = at
	}
	if scope.UserID == "" {
		s.waiting.set(ns, w, at)
	}
	h.WaitingRetries, h.OldestWaitingRetryAt = int64(w.n), w.oldest
	return nil
}
