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

// letterConditions are what a moved_to_dlq event says of itself. What it leaves
// out, the run's earlier events may know: the fold decides.
func letterConditions(scope readmodel.Scope, f readmodel.DeadLetterFilter) *filter {
	q := &filter{}
	for _, c := range []struct {
		column, name string
		values       []string
	}{
		{"task_type", "types", f.Types}, {"queue", "queues", f.Queues}, {"agent", "agents", f.Agents}, {"provider", "providers", f.Providers},
		{"reason", "reasons", textsOf(f.Reasons)}, {"fingerprint", "fingerprints", f.Fingerprints},
	} {
		if len(c.values) > 0 {
			q.add("("+c.column+" IN {"+c.name+":Array(String)} OR "+c.column+" = '')", c.name, c.values)
		}
	}
	if f.UserID != "" {
		q.add("user_id IN ({user:String}, '')", "user", f.UserID)
	}
	if scope.UserID != "" {
		q.add("user_id IN ({scope_user:String}, '')", "scope_user", scope.UserID)
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
		q.in("toString(id)", "ids", ids)
	}
	if !f.TraceID.IsZero() {
		q.add("task_id IN ("+sqlTraceTasks+")", "trace", f.TraceID.String())
	}
	if f.Text != "" {
		q.add("(positionCaseInsensitiveUTF8(error_message, {text:String}) > 0 OR error_message = '')", "text", f.Text)
	}
	if len(f.Severities) > 0 {
		severities := make([]int, len(f.Severities))
		for i, v := range f.Severities {
			severities[i] = int(v)
		}
		q.add("severity IN {severities:Array(UInt8)}", "severities", severities)
	}
	q.within("created_at", "created", f.Created)
	return q
}

// onlyOpenLetters reports whether a filter excludes what is settled.
func onlyOpenLetters(f readmodel.DeadLetterFilter) bool {
	return len(f.Statuses) > 0 && !slices.ContainsFunc(f.Statuses, func(s timeline.DeadLetterStatus) bool {
		return s != timeline.DeadLetterPending && s != timeline.DeadLetterRetrying
	})
}

// sqlOpenLetters holds for what no later run completed or failed, as far as the
// tables of dead letters know, and nobody settled.
const sqlOpenLetters = "(task_id, run) IN (SELECT task_id, max(dead_letter_run) FROM letter_tasks WHERE namespace = {ns:String} GROUP BY task_id)" +
	" AND id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String})"

// candidate is a dead letter that may belong to the page.
type candidate struct {
	taskID    string
	run       uint32
	createdAt time.Time
	position  string
}

// lettersAtOnce is how many dead letters are folded at once where more than a
// page has to be looked through.
const lettersAtOnce = 200

// DeadLetters lists dead letters, the last created first. Their status follows
// from their task's whole timeline.
func (s *Store) DeadLetters(ctx context.Context, scope readmodel.Scope, f readmodel.DeadLetterFilter, page readmodel.Page) (readmodel.List[timeline.DeadLetter], error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	limit := limitOf(page)
	var found []timeline.DeadLetter
	q := letterConditions(scope, f)
	from, step := page, limit+1
	for {
		list, err := s.candidates(ctx, scope, q, from, step)
		if err != nil {
			return readmodel.List[timeline.DeadLetter]{}, fmt.Errorf("list dead letters: %w", err)
		}
		letters, err := s.foldLetters(ctx, namespaceOf(scope), list)
		if err != nil {
			return readmodel.List[timeline.DeadLetter]{}, fmt.Errorf("list dead letters: %w", err)
		}
		for i := range letters {
			if visible(scope, letters[i].UserID) && f.Matches(&letters[i]) {
				found = append(found, letters[i])
			}
		}
		if len(list) < step || len(found) > limit {
			break
		}
		last := list[len(list)-1]
		from.After = &readmodel.Position{At: last.createdAt, ID: last.position}
		if page.After == nil {
			from.Backwards = false
		}
		if step == limit+1 && onlyOpenLetters(f) {
			// Many are settled, or the page were full.
			q.where = append(q.where, sqlOpenLetters)
		}
		step = max(lettersAtOnce, limit+1)
	}
	return finish(page, found[:min(len(found), limit+1)], func(d *timeline.DeadLetter) readmodel.Position {
		return readmodel.Position{At: d.CreatedAt, ID: d.ID.String()}
	}), nil
}

// candidates reads the next dead letters in the order of the list.
func (s *Store) candidates(ctx context.Context, scope readmodel.Scope, q *filter, page readmodel.Page, limit int) (out []candidate, err error) {
	after, order, args := keyset(page, "created_at", "toString(id)")
	if page.After != nil {
		// What the key is good for.
		compare := "<="
		if page.Backwards {
			compare = ">="
		}
		after += " AND created_at " + compare + " fromUnixTimestamp64Nano({after_at:Int64}, 'UTC')"
	}
	args = append(append(args, q.args...), clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("limit", limit))
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT task_id, run, created_at, toString(id) FROM dead_letters WHERE namespace = {ns:String} AND "+q.sql()+" AND "+after,
		order, "LIMIT 1 BY created_at, id LIMIT {limit:UInt32}"), args...)
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
			// Of several moved_to_dlq events of a run the first is the letter.
			if d.Run == int(c.run) && d.CreatedAt.Equal(c.createdAt) {
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
	var tasks []string
	// In the order of ids it is found at once. Of a batch that is just being written
	// the list may show it sooner: the server orders the views of a table by random
	// identifiers of theirs.
	for _, table := range []string{"dead_letter_ids", "dead_letters"} {
		var err error
		tasks, err = s.column(ctx, "SELECT DISTINCT task_id FROM "+table+" WHERE id = {id:UUID} AND namespace = {ns:String} LIMIT 10",
			clickhouse.Named("id", id.String()), clickhouse.Named("ns", namespaceOf(scope)))
		if err != nil {
			return none, fmt.Errorf("read a dead letter: %w", err)
		}
		if len(tasks) > 0 {
			break
		}
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
