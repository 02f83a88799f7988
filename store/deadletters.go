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

// letterRows is a subquery with a row for each dead letter of the namespace.
const letterRows = `(
SELECT d.task_id AS task_id, d.run AS run, any(d.id) AS id, toString(id) AS position, min(d.created_at) AS created_at,
    argMinMerge(d.facts) AS facts, argMinMerge(d.severity) AS severity
FROM dead_letters AS d WHERE d.namespace = {ns:String}
GROUP BY d.task_id, d.run)`

// letterConditions are those that a moved_to_dlq event alone decides.
func letterConditions(scope readmodel.Scope, f readmodel.DeadLetterFilter) *filter {
	q := &filter{}
	q.in("facts.1", "types", f.Types)
	q.in("facts.2", "queues", f.Queues)
	q.in("facts.3", "agents", f.Agents)
	q.in("facts.4", "providers", f.Providers)
	q.in("facts.6", "reasons", textsOf(f.Reasons))
	q.in("facts.7", "fingerprints", f.Fingerprints)
	if f.UserID != "" {
		q.add("facts.5 = {user:String}", "user", f.UserID)
	}
	if scope.UserID != "" {
		q.add("facts.5 = {scope_user:String}", "scope_user", scope.UserID)
	}
	if f.TaskID != "" {
		q.add("task_id = {task:String}", "task", f.TaskID)
	}
	q.in("task_id", "task_ids", f.TaskIDs)
	if len(f.IDs) > 0 {
		ids := make([]string, len(f.IDs))
		for i, id := range f.IDs {
			ids[i] = id.String()
		}
		q.in("position", "ids", ids)
	}
	if f.Text != "" {
		q.add("positionCaseInsensitiveUTF8(facts.8, {text:String}) > 0", "text", f.Text)
	}
	if len(f.Severities) > 0 {
		severities := make([]int, len(f.Severities))
		for i, v := range f.Severities {
			severities[i] = int(v)
		}
		q.add("severity IN {severities:Array(UInt8)}", "severities", severities)
	}
	q.within("created_at", "created", f.Created)
	if open := []timeline.DeadLetterStatus{timeline.DeadLetterPending, timeline.DeadLetterRetrying}; len(f.Statuses) > 0 &&
		!slices.ContainsFunc(f.Statuses, func(s timeline.DeadLetterStatus) bool { return !slices.Contains(open, s) }) {
		// What a later run completed or failed is neither; this leaves the fold little
		// to look through in vain.
		q.where = append(q.where, "(task_id, run) IN (SELECT task_id, dead_letter_run FROM "+
			taskRows("1", "dead_letter_run completed_run")+" WHERE completed_run < dead_letter_run)",
			"id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String})")
	}
	return q
}

// candidate is a dead letter that may belong to the page.
type candidate struct {
	taskID    string
	run       uint32
	createdAt time.Time
	position  string
}

// DeadLetters lists dead letters, the last created first. Their status follows
// from their task's whole timeline.
func (s *Store) DeadLetters(ctx context.Context, scope readmodel.Scope, f readmodel.DeadLetterFilter, page readmodel.Page) (readmodel.List[timeline.DeadLetter], error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	limit := limitOf(page)
	var found []timeline.DeadLetter
	from := page
	for len(found) <= limit {
		list, err := s.candidates(ctx, scope, f, from, limit+1)
		if err != nil {
			return readmodel.List[timeline.DeadLetter]{}, fmt.Errorf("list dead letters: %w", err)
		}
		letters, err := s.foldLetters(ctx, namespaceOf(scope), list)
		if err != nil {
			return readmodel.List[timeline.DeadLetter]{}, fmt.Errorf("list dead letters: %w", err)
		}
		for _, d := range letters {
			if f.Matches(&d) {
				found = append(found, d)
			}
		}
		if len(list) <= limit {
			break
		}
		last := list[len(list)-1]
		from.After = &readmodel.Position{At: last.createdAt, ID: last.position}
		if page.After == nil {
			from.Backwards = false
		}
	}
	return finish(page, found[:min(len(found), limit+1)], func(d *timeline.DeadLetter) readmodel.Position {
		return readmodel.Position{At: d.CreatedAt, ID: d.ID.String()}
	}), nil
}

func (s *Store) candidates(ctx context.Context, scope readmodel.Scope, f readmodel.DeadLetterFilter, page readmodel.Page, limit int) (out []candidate, err error) {
	q := letterConditions(scope, f)
	after, order, args := keyset(page, "created_at", "position")
	args = append(append(args, q.args...), clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", limit))
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT task_id, run, created_at, position FROM "+letterRows,
		"WHERE "+q.sql()+" AND "+after, order, "LIMIT {limit:UInt32}"), args...)
	if err != nil {
		return nil, fmt.Errorf("query dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.taskID, &c.run, &c.createdAt, &c.position); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// foldLetters folds the candidates, in their order.
func (s *Store) foldLetters(ctx context.Context, namespace string, list []candidate) ([]timeline.DeadLetter, error) {
	ids := make([]string, 0, len(list))
	for _, c := range list {
		if !slices.Contains(ids, c.taskID) {
			ids = append(ids, c.taskID)
		}
	}
	byTask, err := s.eventsOf(ctx, namespace, ids)
	if err != nil {
		return nil, err
	}
	folded := make(map[string][]timeline.DeadLetter, len(ids))
	for id, events := range byTask {
		folded[id] = lettersOf(events)
	}
	out := make([]timeline.DeadLetter, 0, len(list))
	for _, c := range list {
		for _, d := range folded[c.taskID] {
			if d.Run == int(c.run) {
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// lettersOf folds the dead letters of one task and gives each the whole task: a
// moved_to_dlq event need not repeat what earlier ones said.
func lettersOf(events []timeline.Event) []timeline.DeadLetter {
	letters := timeline.FoldDeadLetters(events)
	for i := range letters {
		d := &letters[i]
		var upTo []timeline.Event
		for j := range events {
			if events[j].Run <= d.Run {
				upTo = append(upTo, events[j])
			}
		}
		snap, ok := timeline.Fold(upTo)
		if !ok {
			continue
		}
		d.Task = snap.Task
		if d.Error == nil {
			d.Error = snap.Error
		}
	}
	return letters
}

// DeadLetter returns one dead letter in full, or readmodel.ErrNotFound.
func (s *Store) DeadLetter(ctx context.Context, scope readmodel.Scope, id timeline.ID) (timeline.DeadLetter, error) {
	var none timeline.DeadLetter
	tasks, err := s.column(ctx, "SELECT DISTINCT task_id FROM dead_letter_ids WHERE id = {id:UUID} AND namespace = {ns:String} LIMIT 10",
		clickhouse.Named("id", id.String()), clickhouse.Named("ns", namespaceOf(scope)))
	if err != nil {
		return none, fmt.Errorf("read a dead letter: %w", err)
	}
	byTask, err := s.eventsOf(ctx, namespaceOf(scope), tasks)
	if err != nil {
		return none, fmt.Errorf("read a dead letter: %w", err)
	}
	for _, events := range byTask {
		for _, d := range lettersOf(events) {
			if d.ID == id && visible(scope, d.UserID) {
				return d, nil
			}
		}
	}
	return none, readmodel.ErrNotFound
}
