package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// sqlOpen selects the tasks that are not at their end, and few others.
const sqlOpen = "SELECT task_id FROM open_tasks WHERE namespace = {ns:String} AND NOT bitTest(top, 31)"

// sqlSeemOpen selects those of whose end open_tasks does not know.
const sqlSeemOpen = "SELECT task_id FROM open_tasks WHERE namespace = {ns:String} GROUP BY task_id HAVING NOT bitTest(max(top), 31)"

// manyTasks is how many tasks are looked up by their ids, sent with the query;
// of more the server makes the list itself.
const manyTasks = 2000

// amongTasks is the condition that a task is one of those that a query selects; it
// is empty where there are none.
func (s *Store) amongTasks(ctx context.Context, sql string, args []any) (where string, named []any, err error) {
	ids, err := s.column(ctx, "SELECT DISTINCT task_id FROM ("+sql+") LIMIT "+strconv.Itoa(manyTasks+1), args...)
	switch {
	case err != nil || len(ids) == 0:
		return "", nil, err
	case len(ids) > manyTasks:
		return "s.task_id IN (" + sql + ")", args, nil
	default:
		return "s.task_id IN {tasks:Array(String)}", append(slices.Clip(args), clickhouse.Named("tasks", ids)), nil
	}
}

const (
	// openMended is of how many tasks at once it is noted that they ended, which
	// open_tasks has forgotten.
	openMended = 10_000
	// openKept is how long such a note stays: long enough to meet, in a merge, the
	// rows that it is about.
	openKept = 7 * 24 * time.Hour
)

// openSettled is how long a task may be open before readers look for its end in
// task_state: open_tasks forgets ends an hour after they arrived, and may not have
// merged them with what came before.
const openSettled = 30 * time.Minute

// sqlOpenFolds is a subquery of the tasks that open_tasks knows no end of, among
// those of a condition.
func sqlOpenFolds(among string) string {
	return "(SELECT task_id, max(s.decide) AS decide, max(s.top) AS last, min(s.created_at) AS created_at, substring(max(s.queue), 17) AS queue" +
		" FROM open_tasks AS s WHERE namespace = {ns:String} AND " + among + " GROUP BY task_id HAVING NOT bitTest(last, 31))"
}

const sqlCut = "fromUnixTimestamp64Nano({cut:Int64}, 'UTC')"

// oldOpen is what became of the tasks whose last word, as far as open_tasks knows,
// is of before a time.
type oldOpen struct {
	before time.Time
	depths []depth
}

// healthOpen counts the tasks that are not at their end. Those that have been
// where they are for long are looked for by their ids; where they are many, the
// count of before is told, and as of when it is.
func (s *Store) healthOpen(ctx context.Context, h *readmodel.Health, namespace string) (stale string, err error) {
	a, known, anew := s.oldOpen.get(namespace, h.GeneratedAt)
	cut := h.GeneratedAt.Add(-openSettled)
	if known {
		cut = a.value.before
	}
	recent, old, err := s.openSince(ctx, namespace, cut)
	if err != nil {
		return "", err
	}
	addTo := recent
	switch {
	case len(old) == 0:
	case known && len(old) >= agedWorth:
		stale = a.stale("tasks open for long", h.GeneratedAt)
		addTo = append(addTo, a.value.depths...)
		if anew {
			s.beside(func(ctx context.Context) {
				before := now().Add(-openSettled)
				_, old, err := s.openSince(ctx, namespace, before)
				if err == nil {
					_, err = s.countOldOpen(ctx, namespace, before, old)
				}
				if err != nil {
					s.oldOpen.forget(namespace)
				}
			})
			s.mendOpenSoon(namespace)
		}
	default:
		depths, err := s.countOldOpen(ctx, namespace, cut, old)
		if err != nil {
			return "", err
		}
		addTo = append(addTo, depths...)
	}
	addDepths(h, addTo)
	return stale, nil
}

// openSince counts the open tasks whose last word is of a time or later, and
// returns those of before, one more than manyTasks at most.
func (s *Store) openSince(ctx context.Context, namespace string, cut time.Time) (recent []depth, old []string, err error) {
	args := []any{clickhouse.Named("ns", namespace)}
	among, named, err := s.amongTasks(ctx, sqlOpen, args)
	if err == nil && len(named) == len(args) && among != "" {
		// Most of so many ended, in another part of the table: two columns tell, and the
		// others are read of those that are left.
		among, named, err = s.amongTasks(ctx, sqlSeemOpen, args)
	}
	if err != nil || among == "" {
		return nil, nil, err
	}
	args = named
	rows, err := s.read.Query(ctx, lines(
		"SELECT queue, "+sqlState()+" AS state, countIf(NOT old), minIf(created_at, NOT old), groupArrayIf("+strconv.Itoa(manyTasks+1)+")(task_id, old)",
		"FROM (SELECT *, "+sqlDecided+" < "+sqlCut+" AS old FROM "+sqlOpenFolds(among)+")",
		"GROUP BY queue, state"), append(args, clickhouse.Named("cut", nanos(cut)))...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d depth
		var state string
		var n uint64
		var ids []string
		if err := rows.Scan(&d.queue, &state, &n, &d.oldest, &ids); err != nil {
			return nil, nil, err
		}
		if d.state, d.n = timeline.State(state), int64(n); n > 0 {
			recent = append(recent, d)
		}
		if room := manyTasks + 1 - len(old); room > 0 {
			old = append(old, ids[:min(len(ids), room)]...)
		}
	}
	return recent, old, rows.Err()
}

// countOldOpen judges by their state the tasks that seem open since before a time.
func (s *Store) countOldOpen(ctx context.Context, namespace string, before time.Time, ids []string) ([]depth, error) {
	of := now()
	where, arg := "s.task_id IN {tasks:Array(String)}", clickhouse.Named("tasks", ids)
	if len(ids) > manyTasks {
		where, arg = "s.task_id IN (SELECT task_id FROM "+sqlOpenFolds("task_id IN ("+sqlOpen+")")+" WHERE "+sqlDecided+" < "+sqlCut+")", clickhouse.Named("cut", nanos(before))
	}
	depths, err := s.countByQueue(ctx, taskRows(where, "queue decide created_at"), "NOT "+sqlEnded, []any{clickhouse.Named("ns", namespace), arg})
	if err != nil {
		return nil, err
	}
	if len(ids) >= agedWorth {
		s.oldOpen.set(namespace, oldOpen{before, depths}, of)
	} else {
		s.oldOpen.forget(namespace)
	}
	return depths, nil
}

// mendOpenSoon has it noted, beside what goes on and now and then, which of the
// tasks that seem open for long ended.
func (s *Store) mendOpenSoon(namespace string) {
	last := s.mendedOpen.Load()
	if at := time.Now().UnixNano(); at-last < int64(mendPause) || !s.mendedOpen.CompareAndSwap(last, at) {
		return
	}
	s.beside(func(ctx context.Context) {
		if err := s.MendOpen(ctx, namespace); err != nil && s.closing.Err() == nil {
			s.cfg.Logger.Warn("tasks that ended are looked for among those that are open; reading health is slower", "error", err)
		}
	})
}

// MendOpen notes in open_tasks what task_state knows of tasks that seem open since
// before a time: where a task's end came so late, or after so long, that it was
// dropped before a merge brought it together with what came before, the task would
// be looked for by its id in every read. Any number of processes may do it at once.
func (s *Store) MendOpen(ctx context.Context, namespace string) error {
	before := now().Add(-openSettled)
	old := "SELECT task_id FROM " + sqlOpenFolds("1") + " WHERE " + sqlDecided + " < " + sqlCut + " ORDER BY task_id LIMIT {most:UInt32}"
	return s.write.Exec(s.writing(ctx), lines("INSERT INTO open_tasks (namespace, task_id, top, decide, created_at, queue, ingested_at)",
		"SELECT {ns:String}, s.task_id, toUInt64(bitShiftRight(max(s.decide), 192)) AS last, max(s.decide), min(s.created_at), max(s.queue),",
		"    toDateTime({until:Int64}, 'UTC')",
		"FROM task_state AS s WHERE s.namespace = {ns:String} AND s.task_id IN ("+old+") GROUP BY s.task_id HAVING bitTest(last, 31)"),
		clickhouse.Named("ns", namespace), clickhouse.Named("cut", nanos(before)), clickhouse.Named("most", openMended),
		clickhouse.Named("until", unixSeconds(now().Add(openKept))))
}
