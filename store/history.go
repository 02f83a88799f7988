package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// minuteRows is up to how many outcomes are rolled up by the minute in one
	// statement, which looks up the type of each task.
	minuteRows = 300_000
	// staleMinutesAtOnce bounds how many minutes without a rollup are looked for.
	staleMinutesAtOnce = 500
	// minuteSettle is how long after its end a minute is left to the rows that are on
	// their way.
	minuteSettle = 2 * time.Second
)

// sqlMinutes has a row for each minute and type of the outcomes that the condition
// selects, whose namespace is {ns:String}: an event's type is that of its task.
func sqlMinutes(where string) string {
	where = "o.namespace = {ns:String} AND " + where
	return lines("(SELECT toStartOfMinute(o.slot) AS minute, t.task_type AS task_type, sum(o.copies) AS n, sum(o.copies * cityHash64(o.event_id)) AS hashes,",
		"    uniqExactIf((o.task_id, o.run), o.type = 'task_completed') AS completed, uniqExactIf((o.task_id, o.run), o.type = 'task_failed') AS failed,",
		"    uniqExactIf((o.task_id, o.run), o.type = 'task_lost') AS lost, countIf(o.type IN ('attempt_success', 'attempt_failed')) AS attempts,",
		"    countIf(o.type = 'attempt_failed') AS failed_attempts, sumIf(o.duration, o.type IN ('attempt_success', 'attempt_failed')) AS duration_sum,",
		fmt.Sprintf("    sumMapIf(map(toUInt16(floor(%d * log2(o.duration + 1))), toUInt64(1)), o.type IN ('attempt_success', 'attempt_failed')) AS durations", readmodel.DurationBuckets),
		"  FROM "+sqlOutcomes(where)+" AS o",
		"  LEFT JOIN "+taskRows("s.task_id IN (SELECT task_id FROM outcomes AS o WHERE "+where+")", "task_type")+" AS t ON o.task_id = t.task_id",
		"  GROUP BY minute, task_type)")
}

// The minutes of a history, by the names of slots; and some of them, which lie
// between the first and the last.
const (
	sqlWithin = "slot >= {first:DateTime('UTC')} AND slot < {end:DateTime('UTC')}"
	sqlAmong  = "o." + sqlWithin + " AND toUnixTimestamp(toStartOfMinute(o.slot)) IN {minutes:Array(UInt32)}"
)

// sqlBucket is the step that a slot lies in.
const sqlBucket = "toInt64(intDiv(toUnixTimestamp(slot), {step:UInt32}) * {step:UInt32})"

// History tells how a namespace did over a time, or one user's tasks in it. It
// reads the rollups of minutes, and the rows of those minutes alone whose rollup
// does not stand for them.
func (s *Store) History(ctx context.Context, scope readmodel.Scope, q readmodel.HistoryQuery) (readmodel.History, error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	args := []any{
		clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("first", unixSeconds(q.From)), clickhouse.Named("end", unixSeconds(q.To)),
		clickhouse.Named("step", uint32(q.Step/time.Second)), clickhouse.Named("from", nanos(q.From)), clickhouse.Named("until", nanos(q.To)),
		clickhouse.Named("scope_user", scope.UserID),
	}
	among, outcomes := "1", func() ([]readmodel.HistoryRow, error) { return s.minutesOf(ctx, namespaceOf(scope), q, args) }
	if scope.UserID != "" {
		among = "task_id IN (" + sqlUserTasks + "{scope_user:String})"
		outcomes = func() ([]readmodel.HistoryRow, error) {
			return s.historyRows(ctx, sqlStale("o."+sqlWithin+" AND o.user_id = {scope_user:String}"), args)
		}
	}
	var parts [3][]readmodel.HistoryRow
	err := sideBySide(
		func() (err error) { parts[0], err = outcomes(); return err },
		func() (err error) {
			parts[1], err = s.historyCounts(ctx, func(r *readmodel.HistoryRow) *uint64 { return &r.DeadLetters }, lines(
				"SELECT toInt64(intDiv(toUnixTimestamp(d.created_at), {step:UInt32}) * {step:UInt32}) AS at, toString(d.task_type) AS task_type, uniqExact(d.task_id, d.run)",
				"FROM dead_letters AS d WHERE d.namespace = {ns:String} AND d.created_at >= "+sqlFrom+" AND d.created_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC') AND "+among,
				"GROUP BY at, task_type"), args)
			return err
		},
		func() (err error) {
			cancelled := "namespace = {ns:String} AND " + sqlWithin + " AND type = 'task_cancelled' AND " + among
			parts[2], err = s.historyCounts(ctx, func(r *readmodel.HistoryRow) *uint64 { return &r.Cancelled }, lines(
				"SELECT c.at, t.task_type, uniqExact(c.task_id, c.run) FROM (SELECT "+sqlBucket+" AS at, task_id, run FROM troubles WHERE "+cancelled+") AS c",
				"LEFT JOIN "+taskRows("s.task_id IN (SELECT task_id FROM troubles WHERE "+cancelled+")", "task_type")+" AS t ON c.task_id = t.task_id",
				"GROUP BY c.at, t.task_type"), args)
			return err
		})
	if err != nil {
		return readmodel.History{}, fmt.Errorf("read history: %w", err)
	}
	return readmodel.HistoryOf(q, slices.Concat(parts[:]...)), nil
}

// sqlStale asks for the sums of outcomes that are not rolled up.
func sqlStale(where string) string {
	return lines("SELECT toInt64(intDiv(toUnixTimestamp(minute), {step:UInt32}) * {step:UInt32}) AS at, task_type, sum(completed), sum(failed), sum(lost),",
		"    sum(attempts), sum(failed_attempts), sum(duration_sum), sumMap(durations), emptyArrayUInt32()",
		"FROM "+sqlMinutes(where), "GROUP BY at, task_type")
}

// minutesOf sums a namespace's outcomes.
func (s *Store) minutesOf(ctx context.Context, namespace string, q readmodel.HistoryQuery, args []any) ([]readmodel.HistoryRow, error) {
	var marks map[uint32]mark
	var rows []readmodel.HistoryRow
	known := map[uint32]bool{}
	if err := sideBySide(
		func() (err error) { marks, err = s.minuteMarks(ctx, namespace, q); return err },
		func() (err error) {
			rows, err = s.historyRowsOf(ctx, known, lines(
				"SELECT "+sqlBucket+" AS at, x.1 AS task_type, sum(x.2), sum(x.3), sum(x.4), sum(x.5), sum(x.6), sum(x.7), sumMap(x.8), groupUniqArray(toUnixTimestamp(slot))",
				"FROM (SELECT r.slot AS slot, r.types AS types FROM outcome_minutes AS r WHERE r.namespace = {ns:String} AND r."+sqlWithin+" AND (r.slot, r.n, r.hashes) IN",
				"    (SELECT toStartOfMinute(m.slot) AS minute, sum(m.n), sum(m.hashes) FROM outcome_marks AS m WHERE m.namespace = {ns:String} AND m."+sqlWithin+" GROUP BY minute)",
				"  LIMIT 1 BY r.slot)",
				"ARRAY JOIN types AS x GROUP BY at, task_type"), args)
			return err
		}); err != nil {
		return nil, err
	}
	var stale []uint32
	var n uint64
	for minute, m := range marks {
		if !known[minute] {
			stale = append(stale, minute)
			n += m.n
		}
	}
	if len(stale) == 0 {
		return rows, nil
	}
	if n > rollupWorth {
		s.rollupSoon(q.From, rollupPause)
	}
	more, err := s.historyRows(ctx, sqlStale(sqlAmong), append(slices.Clip(args), clickhouse.Named("minutes", stale)))
	return append(rows, more...), err
}

// minuteMarks reads which rows stand in each minute.
func (s *Store) minuteMarks(ctx context.Context, namespace string, q readmodel.HistoryQuery) (map[uint32]mark, error) {
	slots, err := s.marksSince(ctx, namespace, q.From)
	if err != nil {
		return nil, err
	}
	end, marks := uint32(unixSeconds(q.To)), map[uint32]mark{}
	for slot, m := range slots {
		if slot < end {
			minute := slot - slot%60
			sum := marks[minute]
			marks[minute] = mark{sum.n + m.n, sum.hashes + m.hashes}
		}
	}
	return marks, nil
}

// historyRows reads the sums of steps and types.
func (s *Store) historyRows(ctx context.Context, sql string, args []any) ([]readmodel.HistoryRow, error) {
	return s.historyRowsOf(ctx, nil, sql, args)
}

// historyRowsOf notes in known of which minutes they are.
func (s *Store) historyRowsOf(ctx context.Context, known map[uint32]bool, sql string, args []any) (out []readmodel.HistoryRow, err error) {
	rows, err := s.read.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r readmodel.HistoryRow
		var at int64
		var minutes []uint32
		if err := rows.Scan(&at, &r.Type, &r.Completed, &r.Failed, &r.Lost, &r.Attempts, &r.FailedAttempts, &r.DurationSum, &r.Durations, &minutes); err != nil {
			return nil, err
		}
		for _, m := range minutes {
			known[m] = true
		}
		r.At = time.Unix(at, 0).UTC()
		out = append(out, r)
	}
	return out, rows.Err()
}

// historyCounts reads one count of steps and types.
func (s *Store) historyCounts(ctx context.Context, count func(*readmodel.HistoryRow) *uint64, sql string, args []any) (out []readmodel.HistoryRow, err error) {
	rows, err := s.read.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r readmodel.HistoryRow
		var at int64
		if err := rows.Scan(&at, &r.Type, count(&r)); err != nil {
			return nil, err
		}
		r.At = time.Unix(at, 0).UTC()
		out = append(out, r)
	}
	return out, rows.Err()
}

// RollupMinutes rolls up the whole minutes of every namespace from a time on whose
// rollup is missing or out of date, as Rollup does with slots.
func (s *Store) RollupMinutes(ctx context.Context, from time.Time) error {
	ctx = s.writing(ctx)
	for from = from.Truncate(readmodel.HistoryMinute); ; {
		batches, last, err := s.staleMinutes(ctx, from)
		if err != nil {
			return fmt.Errorf("roll up minutes: %w", err)
		}
		for _, b := range batches {
			err := s.write.Exec(ctx, lines(
				"INSERT INTO outcome_minutes (namespace, slot, n, hashes, types)",
				"SELECT {ns:String}, minute, sum(m.n), sum(m.hashes), groupArray((toString(task_type), completed, failed, lost, attempts, failed_attempts, duration_sum, durations))",
				"FROM "+sqlMinutes(sqlAmong)+" AS m GROUP BY minute"),
				clickhouse.Named("ns", b.namespace), clickhouse.Named("minutes", b.minutes),
				clickhouse.Named("first", int64(b.minutes[0])), clickhouse.Named("end", int64(b.minutes[len(b.minutes)-1])+60))
			if err != nil {
				return fmt.Errorf("roll up minutes: %w", err)
			}
		}
		if last.IsZero() {
			return nil
		}
		// What is before it is done; what changed meanwhile waits for the next time.
		from = last.Add(readmodel.HistoryMinute)
	}
}

// minuteBatch is some minutes of a namespace in their order.
type minuteBatch struct {
	namespace string
	minutes   []uint32
	rows      uint64
}

// staleMinutes returns the oldest minutes without a rollup of their rows, and where
// there may be more the last of them.
func (s *Store) staleMinutes(ctx context.Context, from time.Time) (batches []minuteBatch, last time.Time, err error) {
	rows, err := s.write.Query(ctx, lines(
		"SELECT toString(m.namespace), toUnixTimestamp(m.slot), m.n",
		"FROM (SELECT m.namespace AS namespace, toStartOfMinute(m.slot) AS slot, sum(m.n) AS n, sum(m.hashes) AS hashes FROM outcome_marks AS m",
		"  WHERE m."+sqlWithin+" GROUP BY namespace, slot) AS m",
		"LEFT ANTI JOIN (SELECT namespace, slot, n, hashes FROM outcome_minutes WHERE "+sqlWithin+") AS r",
		"ON m.namespace = r.namespace AND m.slot = r.slot AND m.n = r.n AND m.hashes = r.hashes",
		"ORDER BY m.slot, m.namespace LIMIT {max:UInt32}",
	), clickhouse.Named("first", unixSeconds(from)), clickhouse.Named("end", unixSeconds(now().Add(-minuteSettle).Truncate(readmodel.HistoryMinute))),
		clickhouse.Named("max", staleMinutesAtOnce))
	if err != nil {
		return nil, last, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	current := map[string]*minuteBatch{}
	found := 0
	for rows.Next() {
		var namespace string
		var minute uint32
		var n uint64
		if err := rows.Scan(&namespace, &minute, &n); err != nil {
			return nil, last, err
		}
		b := current[namespace]
		if b == nil {
			b = &minuteBatch{namespace: namespace}
			current[namespace] = b
		} else if b.rows+n > minuteRows {
			batches = append(batches, *b)
			*b = minuteBatch{namespace: namespace}
		}
		b.minutes, b.rows = append(b.minutes, minute), b.rows+n
		last = time.Unix(int64(minute), 0)
		found++
	}
	for _, b := range current {
		batches = append(batches, *b)
	}
	if found < staleMinutesAtOnce {
		last = time.Time{}
	}
	return batches, last, rows.Err()
}
