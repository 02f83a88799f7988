package store

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// letterDepth is how many dead letters are pending, and the oldest.
type letterDepth struct {
	n      uint64
	oldest time.Time
	tasks  uint64 // that have a row in letter_tasks
}

const (
	// lettersBrief is from how many tasks with a row in letter_tasks on the count is
	// good for a second, and lettersWorth from how many it is made anew beside the
	// reads.
	lettersBrief = 5_000
	lettersWorth = 50_000
	// lettersChecked is up to how many pending dead letters are checked in every
	// read, and lettersMended of how many at once it is noted that they are none.
	lettersChecked = 20
	lettersMended  = 2000
	// mendPause is the least time between two looks for such.
	mendPause = 10 * time.Second
)

// sqlNothingCameOfIt holds for a task whose current run leaves an earlier dead
// letter as it was: no attempt was made, or it was cancelled, or it has not begun.
const sqlNothingCameOfIt = "(" + sqlRank + " IN (10, 170) OR (" + sqlRank + " = 140 AND " + sqlAttempts + " = 0))"

// sqlLetterFolds is a subquery of the tasks of letter_tasks, and whether their last
// dead letter is pending: which no run completed, nobody settled, and no run is
// trying to save.
const sqlLetterFolds = "(SELECT task_id, max(t.dead_letter_run) AS letter_run, max(t.completed_run) AS done_run, max(t.decide) AS decide, max(t.letter) AS letter," +
	"     letter_run > done_run AND (" + sqlRun + " <= letter_run OR " + sqlNothingCameOfIt + ")" +
	"     AND toUUID(UUIDNumToString(toFixedString(substring(letter, 13, 16), 16))) NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String}) AS pending" +
	"   FROM letter_tasks AS t WHERE namespace = {ns:String} GROUP BY task_id)"

// healthLetters counts the pending dead letters. Where very many tasks ever had
// one, they are counted beside the reads.
func (s *Store) healthLetters(ctx context.Context, namespace string, at time.Time) (d letterDepth, stale string, err error) {
	if a, known, anew := s.letters.get(namespace, at); known && (at.Sub(a.of) <= agedAnew || a.value.tasks > lettersWorth) {
		if anew {
			s.beside(func(ctx context.Context) {
				if _, err := s.countLetters(ctx, namespace); err != nil {
					s.letters.forget(namespace)
				}
			})
		}
		return a.value, a.stale("dead letters", at), nil
	}
	d, err = s.countLetters(ctx, namespace)
	return d, "", err
}

func (s *Store) countLetters(ctx context.Context, namespace string) (d letterDepth, err error) {
	of := now()
	d, unsure, err := s.lettersWithout(ctx, namespace, nil)
	if err != nil {
		return d, err
	}
	switch {
	case len(unsure) == 0:
	case len(unsure) <= lettersChecked:
		saved, err := s.column(ctx, "SELECT task_id FROM "+taskRows("s.task_id IN {tasks:Array(String)}", "completed_run")+" WHERE completed_run > 0",
			clickhouse.Named("ns", namespace), clickhouse.Named("tasks", unsure))
		if err != nil {
			return d, err
		}
		if len(saved) > 0 {
			if d, _, err = s.lettersWithout(ctx, namespace, saved); err != nil {
				return d, err
			}
		}
	default:
		s.mendLettersSoon(namespace)
	}
	if d.tasks > lettersBrief {
		s.letters.set(namespace, d, of)
	} else {
		s.letters.forget(namespace)
	}
	return d, nil
}

// lettersWithout counts pending dead letters, but for some tasks' which are none.
// Of the tasks those are unsure whose first run has the letter: that it completed
// nevertheless may stand in a block that letter_tasks did not take. Of them it
// returns one more than lettersChecked at most.
func (s *Store) lettersWithout(ctx context.Context, namespace string, saved []string) (d letterDepth, unsure []string, err error) {
	var first string // see tasks_in
	args := []any{clickhouse.Named("ns", namespace), clickhouse.Named("checked", lettersChecked+1)}
	pending := "pending"
	if len(saved) > 0 {
		pending += " AND task_id NOT IN {saved:Array(String)}"
		args = append(args, clickhouse.Named("saved", saved))
	}
	err = s.read.QueryRow(ctx, lines(
		"SELECT countIf(open), maxIf(substring(letter, 5, 8), open), count(), groupArrayIf({checked:UInt32})(task_id, open AND letter_run = 1)",
		"FROM (SELECT *, "+pending+" AS open FROM "+sqlLetterFolds+")"), args...).Scan(&d.n, &first, &d.tasks, &unsure)
	if len(first) == 8 {
		d.oldest = time.Unix(0, int64(math.MaxUint64-binary.BigEndian.Uint64([]byte(first)))).UTC()
	}
	return d, unsure, err
}

// userLetters counts one user's pending dead letters, by the states of the tasks.
func (s *Store) userLetters(ctx context.Context, namespace, user string) (d letterDepth, err error) {
	args := []any{clickhouse.Named("ns", namespace), clickhouse.Named("scope_user", user)}
	among, args, err := s.amongTasks(ctx, "SELECT task_id FROM letter_tasks WHERE namespace = {ns:String} AND dead_letter_run > 0 AND task_id IN ("+
		sqlUserTasks+"{scope_user:String})", args)
	if err != nil || among == "" {
		return d, err
	}
	const tasks = "dead_letter_run > completed_run AND user_id = {scope_user:String}"
	var oldest time.Time
	err = s.read.QueryRow(ctx, lines(
		"SELECT count(), min(l.created_at) FROM",
		"(SELECT task_id, run, any(id) AS id, min(s.created_at) AS created_at FROM dead_letters AS s WHERE namespace = {ns:String} AND "+among,
		"  GROUP BY task_id, run) AS l",
		"INNER JOIN (SELECT task_id, dead_letter_run, completed_run, decide FROM "+
			taskRows(among, "dead_letter_run completed_run decide", tasks)+" WHERE "+tasks+") AS t",
		"ON l.task_id = t.task_id AND l.run = t.dead_letter_run",
		"WHERE id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String}) AND ("+sqlRun+" <= l.run OR "+sqlNothingCameOfIt+")"), args...).Scan(&d.n, &oldest)
	if d.n > 0 {
		d.oldest = oldest.UTC()
	}
	return d, err
}

// mendLettersSoon has it noted, beside what goes on and now and then, where the
// first run of a task completed although it has a dead letter.
func (s *Store) mendLettersSoon(namespace string) {
	last := s.mended.Load()
	if at := time.Now().UnixNano(); at-last < int64(mendPause) || !s.mended.CompareAndSwap(last, at) {
		return
	}
	s.beside(func(ctx context.Context) {
		if err := s.MendLetters(ctx, namespace); err != nil && s.closing.Err() == nil {
			s.cfg.Logger.Warn("dead letters of tasks that completed nevertheless may be counted as pending", "error", err)
		}
	})
}

// MendLetters adds to letter_tasks what task_state knows of the latest pending dead
// letters. Any number of processes may do it at once.
func (s *Store) MendLetters(ctx context.Context, namespace string) error {
	ids, err := s.column(ctx, "SELECT task_id FROM "+sqlLetterFolds+" WHERE pending AND letter_run = 1 ORDER BY letter LIMIT {most:UInt32}",
		clickhouse.Named("ns", namespace), clickhouse.Named("most", lettersMended))
	if err != nil || len(ids) == 0 {
		return err
	}
	return s.write.Exec(s.writing(ctx), lines("INSERT INTO letter_tasks (namespace, task_id, completed_run, ingested_at)",
		"SELECT {ns:String}, task_id, completed_run, now('UTC') FROM "+taskRows("s.task_id IN {tasks:Array(String)}", "completed_run")+" WHERE completed_run > 0"),
		clickhouse.Named("ns", namespace), clickhouse.Named("tasks", ids))
}
