package riverrunner

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// DB is where River's tables can be read.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var _ agent.DepthFunc = (*Runner)(nil).depths

// depths counts what is ready to be worked and has not begun; a job that waits for
// its time or its next attempt is not ready.
func (r *Runner) depths(ctx context.Context) ([]timeline.LiveQueueDepth, error) {
	table := pgx.Identifier{"river_job"}
	if r.cfg.Schema != "" {
		table = pgx.Identifier{r.cfg.Schema, "river_job"}
	}
	rows, err := r.cfg.DB.Query(ctx, `SELECT q.name, count(j.id), min(j.scheduled_at)
FROM unnest($1::text[]) AS q (name) LEFT JOIN `+table.Sanitize()+` j
ON j.queue = q.name AND j.state = 'available' AND j.scheduled_at <= now()
GROUP BY q.name`, r.cfg.Queues)
	if err != nil {
		return nil, fmt.Errorf("count River's jobs: %w", err)
	}
	defer rows.Close()
	var depths []timeline.LiveQueueDepth
	for rows.Next() {
		var d timeline.LiveQueueDepth
		var oldest *time.Time
		if err := rows.Scan(&d.Queue, &d.Pending, &oldest); err != nil {
			return nil, fmt.Errorf("count River's jobs: %w", err)
		}
		if oldest != nil {
			d.OldestAt = oldest.UTC()
		}
		depths = append(depths, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count River's jobs: %w", err)
	}
	return depths, nil
}
