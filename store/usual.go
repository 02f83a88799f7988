package store

import (
	"context"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Usual tells how long the attempts of a type usually take. It looks at the latest
// tasks of the namespace alone: of a type of which there is none among them it
// knows nothing, and says so by a count of zero.
func (s *Store) Usual(ctx context.Context, scope readmodel.Scope, taskType string) (readmodel.Usual, error) {
	u := readmodel.Usual{Type: taskType}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	q := taskConditions(scope, readmodel.TaskFilter{Types: []string{taskType}, States: []timeline.State{timeline.StateCompleted}})
	var found []taskTime
	for rows := recentFirst; rows <= recentLast && len(found) < readmodel.UsualTasks/2; rows *= recentGrowth {
		since, err := s.windowOf(ctx, namespaceOf(scope), rows)
		if err != nil {
			return u, fmt.Errorf("read the usual durations: %w", err)
		}
		found, err = s.tasksOf(ctx, scope, q, readmodel.Page{Limit: readmodel.UsualTasks}, "task_times", "s.created_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')", since)
		if err != nil {
			return u, fmt.Errorf("read the usual durations: %w", err)
		}
		if since.IsZero() {
			break
		}
	}
	ids := make([]string, min(len(found), readmodel.UsualTasks))
	for i := range ids {
		ids[i] = found[i].id
	}
	byTask, err := s.eventsOf(ctx, namespaceOf(scope), ids)
	if err != nil {
		return u, fmt.Errorf("read the usual durations: %w", err)
	}
	var durations []time.Duration
	for _, events := range byTask {
		durations = u.Add(events, durations)
	}
	u.Attempts = readmodel.ExecutionTimeOf(durations)
	return u, nil
}
