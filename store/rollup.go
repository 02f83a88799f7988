package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// slotLength is what outcomes are rolled up by; the schema names it too.
	slotLength = 10 * time.Second
	// rollupPause is the least time between two looks for slots to roll up: after
	// reads that would be faster for it, and after writes. A slot that still grows
	// would be rolled up again and again.
	rollupPause      = 5 * time.Second
	rollupWritePause = 30 * time.Second
	// rollupWorth is how many rows outside rollups a reader puts up with.
	rollupWorth = 5000
	// rollupSlots bounds how many slots are rolled up in one statement.
	rollupSlots = 500
	// rollupReach is how far back the writer keeps slots rolled up; beyond it they
	// are when somebody asks for them.
	rollupReach = 2 * time.Hour
	// bucketsPerDoubling is how finely durations are told apart in a rollup: a
	// quantile is off by half a bucket, which is 0.55 %.
	bucketsPerDoubling = 64
)

// sqlOutcomes is a subquery with a row for each event of some slots, its copies
// counted.
func sqlOutcomes(where string) string {
	return lines("(SELECT o.namespace AS namespace, o.slot AS slot, o.event_id AS event_id, count() AS copies, any(o.task_id) AS task_id,",
		"    any(o.run) AS run, any(o.type) AS type, any(o.duration) AS duration",
		"  FROM outcomes AS o WHERE "+where,
		"  GROUP BY namespace, slot, event_id)")
}

// sqlOutcomeSums are what is summed, of rows of sqlOutcomes.
const sqlOutcomeSums = `uniqExactIf((task_id, run), type = 'task_completed') AS completed_runs,
    uniqExactIf(task_id, type = 'task_completed' AND run = 1) AS completed_tasks,
    countIf(type IN ('attempt_success', 'attempt_failed')) AS attempts,
    sumIf(duration, type IN ('attempt_success', 'attempt_failed')) AS duration_sum,
    sumMapIf(map(toUInt16(floor(64 * log2(duration + 1))), toUInt64(1)), type IN ('attempt_success', 'attempt_failed')) AS durations`

// outcomes are sums over a window.
type outcomes struct {
	completedRuns, completedTasks, attempts, durationSum uint64
	durations                                            map[uint16]uint64

	rows uint64 // in all slots of the window, by their marks
}

func (o *outcomes) add(p *outcomes) {
	o.completedRuns += p.completedRuns
	o.completedTasks += p.completedTasks
	o.attempts += p.attempts
	o.durationSum += p.durationSum
	if o.durations == nil {
		o.durations = map[uint16]uint64{}
	}
	for k, v := range p.durations {
		o.durations[k] += v
	}
}

func (o *outcomes) quantile(q float64) timeline.Millis {
	return readmodel.BucketQuantile(o.durations, bucketsPerDoubling, o.attempts, q)
}

func (o *outcomes) execution() readmodel.ExecutionTime {
	if o.attempts == 0 {
		return readmodel.ExecutionTime{}
	}
	return readmodel.ExecutionTime{
		Count: int64(o.attempts), Average: timeline.Millis(float64(o.durationSum) / float64(o.attempts)),
		P50: o.quantile(0.5), P95: o.quantile(0.95), P99: o.quantile(0.99),
	}
}

// outcomesSince sums what happened from a time on. Slots are taken from their
// rollups where those were made of the rows that are there, and from the rows
// where not: a rollup that is missing or of before makes the answer slower and
// never another one. So is one that this process remembers.
func (s *Store) outcomesSince(ctx context.Context, namespace string, from time.Time) (outcomes, error) {
	first := from.Truncate(slotLength)
	var marks map[uint32]mark
	// The slot in which the window begins has to be read in part.
	begin := uint32(unixSeconds(first))
	part := s.edges.get(namespace, begin)
	readPart := func() (err error) {
		if part, err = s.edgeAt(ctx, namespace, first); err == nil && part != nil {
			s.edges.keep(namespace, part)
		}
		return err
	}
	steps := []func() error{func() (err error) { marks, err = s.marksSince(ctx, namespace, first); return err }}
	remembered := part != nil
	if !remembered {
		steps = append(steps, readPart)
	}
	if err := sideBySide(steps...); err != nil {
		return outcomes{}, fmt.Errorf("read rollups: %w", err)
	}
	if remembered && part.mark != marks[begin] {
		if err := readPart(); err != nil {
			return outcomes{}, fmt.Errorf("read rollups: %w", err)
		}
	}
	sum := outcomes{durations: map[uint16]uint64{}}
	if part != nil {
		sum.add(part.sums(nanos(from)))
	}
	var ask []uint32
	for slot, m := range marks {
		sum.rows += m.n
		switch {
		case slot == begin:
			if part == nil {
				ask = append(ask, slot)
			}
		case !s.slots.add(namespace, slot, m, &sum):
			ask = append(ask, slot)
		}
	}
	if len(ask) == 0 {
		return sum, nil
	}
	known, err := s.rolledUp(ctx, namespace, ask, marks)
	if err != nil {
		return sum, fmt.Errorf("read rollups: %w", err)
	}
	var rest []uint32
	var restRows uint64
	for _, slot := range ask {
		o := known[slot]
		if o == nil || slot == begin {
			rest = append(rest, slot)
			restRows += marks[slot].n
			continue
		}
		s.slots.keep(namespace, slot, marks[slot], o)
		sum.add(o)
	}
	if len(rest) == 0 {
		return sum, nil
	}
	var raw outcomes
	err = s.read.QueryRow(ctx, "SELECT "+sqlOutcomeSums+" FROM "+sqlOutcomes(
		"o.namespace = {ns:String} AND o.occurred_at >= "+sqlFrom+" AND o.slot IN {stale:Array(UInt32)}"),
		clickhouse.Named("ns", namespace), clickhouse.Named("from", nanos(from)), clickhouse.Named("stale", rest),
	).Scan(&raw.completedRuns, &raw.completedTasks, &raw.attempts, &raw.durationSum, &raw.durations)
	if err != nil {
		return sum, fmt.Errorf("read outcomes: %w", err)
	}
	sum.add(&raw)
	if restRows > rollupWorth {
		s.rollupSoon(from, rollupPause)
	}
	return sum, nil
}

// marksSince reads which rows stand in each slot.
func (s *Store) marksSince(ctx context.Context, namespace string, first time.Time) (marks map[uint32]mark, err error) {
	rows, err := s.read.Query(ctx, "SELECT toUnixTimestamp(m.slot) AS at, sum(m.n), sum(m.hashes) FROM outcome_marks AS m"+
		" WHERE m.namespace = {ns:String} AND m.slot >= {first:DateTime('UTC')} GROUP BY at",
		clickhouse.Named("ns", namespace), clickhouse.Named("first", unixSeconds(first)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	marks = map[uint32]mark{}
	for rows.Next() {
		var slot uint32
		var m mark
		if err := rows.Scan(&slot, &m.n, &m.hashes); err != nil {
			return nil, err
		}
		marks[slot] = m
	}
	return marks, rows.Err()
}

// rolledUp reads the rollups of slots that were made of the rows of their marks.
func (s *Store) rolledUp(ctx context.Context, namespace string, slots []uint32, marks map[uint32]mark) (known map[uint32]*outcomes, err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT toUnixTimestamp(r.slot), n, hashes, completed_runs, completed_tasks, attempts, duration_sum, durations FROM outcome_rollups AS r",
		"WHERE namespace = {ns:String} AND slot >= {first:DateTime('UTC')} AND slot IN {slots:Array(UInt32)}"),
		clickhouse.Named("ns", namespace), clickhouse.Named("first", int64(slices.Min(slots))), clickhouse.Named("slots", slots))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	known = map[uint32]*outcomes{}
	for rows.Next() {
		var slot uint32
		var m mark
		var o outcomes
		if err := rows.Scan(&slot, &m.n, &m.hashes, &o.completedRuns, &o.completedTasks, &o.attempts, &o.durationSum, &o.durations); err != nil {
			return nil, err
		}
		if marks[slot] == m {
			known[slot] = &o
		}
	}
	return known, rows.Err()
}

func unixSeconds(t time.Time) int64 { return max(t.Unix(), 0) }

// rollupSoon rolls up beside what goes on, now and then.
func (s *Store) rollupSoon(from time.Time, pause time.Duration) {
	last := s.rolled.Load()
	if at := time.Now().UnixNano(); at-last < int64(pause) || !s.rolled.CompareAndSwap(last, at) {
		return
	}
	s.beside(func(ctx context.Context) {
		if err := errors.Join(s.Rollup(ctx, from), s.RollupMinutes(ctx, from)); err != nil && s.closing.Err() == nil {
			s.cfg.Logger.Warn("outcomes are not rolled up; reading health and its history is slower until they are", "error", err)
		}
	})
}

// beside does something beside what goes on; Close waits for it.
func (s *Store) beside(do func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return
	}
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(s.closing, s.cfg.WriteTimeout)
		defer cancel()
		do(ctx)
	})
}

// Rollup rolls up the slots of every namespace from a time on whose rollup is
// missing or out of date. Any number of processes may do it at once.
func (s *Store) Rollup(ctx context.Context, from time.Time) error {
	ctx = s.writing(ctx)
	for {
		stale, err := s.staleSlots(ctx, from)
		if err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
		for namespace, slots := range stale {
			err := s.write.Exec(ctx, lines(
				"INSERT INTO outcome_rollups (namespace, slot, n, hashes, completed_runs, completed_tasks, attempts, duration_sum, durations)",
				"SELECT namespace, slot, sum(copies) AS n, sum(copies * cityHash64(event_id)) AS hashes,", sqlOutcomeSums,
				"FROM "+sqlOutcomes("o.namespace = {ns:String} AND o.slot IN {slots:Array(UInt32)}"),
				"GROUP BY namespace, slot"), clickhouse.Named("ns", namespace), clickhouse.Named("slots", slots))
			if err != nil {
				return fmt.Errorf("roll up: %w", err)
			}
		}
		n := 0
		for _, slots := range stale {
			n += len(slots)
		}
		if n < rollupSlots {
			return nil
		}
		// The slots before the last one are done; those that changed meanwhile wait
		// for the next time.
		for _, slots := range stale {
			from = latest(from, time.Unix(int64(slices.Max(slots)), 0).Add(time.Second))
		}
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// staleSlots returns the oldest slots without a rollup of their rows, by
// namespace.
func (s *Store) staleSlots(ctx context.Context, from time.Time) (stale map[string][]uint32, err error) {
	rows, err := s.write.Query(ctx, lines(
		"SELECT toString(m.namespace), toUnixTimestamp(m.slot)",
		"FROM (SELECT m.namespace AS namespace, m.slot AS slot, sum(m.n) AS n, sum(m.hashes) AS hashes FROM outcome_marks AS m",
		"  WHERE m.slot >= {first:DateTime('UTC')} GROUP BY namespace, slot) AS m",
		"LEFT ANTI JOIN (SELECT namespace, slot, n, hashes FROM outcome_rollups WHERE slot >= {first:DateTime('UTC')}) AS r",
		"ON m.namespace = r.namespace AND m.slot = r.slot AND m.n = r.n AND m.hashes = r.hashes",
		"ORDER BY m.slot LIMIT {max:UInt32}",
	), clickhouse.Named("first", unixSeconds(from.Truncate(slotLength))), clickhouse.Named("max", rollupSlots))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	stale = map[string][]uint32{}
	for rows.Next() {
		var namespace string
		var slot uint32
		if err := rows.Scan(&namespace, &slot); err != nil {
			return nil, err
		}
		stale[namespace] = append(stale[namespace], slot)
	}
	return stale, rows.Err()
}
