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
	among, args, err := s.amongTasks(ctx, sqlOpen, []any{clickhouse.Named("ns", namespace)})
	if err != nil || among == "" {
		return nil, nil, err
	}
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
