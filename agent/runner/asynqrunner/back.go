package asynqrunner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// requeue carries out a retry command: the task's next run goes into asynq under
// an id of its own, so that a command that arrives twice enqueues once.
func (r *Runner) requeue(ctx context.Context, c timeline.Command) error {
	headers := map[string]string{
		headerTaskID:  c.Task.ID,
		headerRun:     strconv.Itoa(c.Run),
		headerCommand: c.ID.String(),
	}
	if c.InputEdits > 0 {
		headers[headerEdits] = strconv.Itoa(c.InputEdits)
	}
	typ := c.Type
	if own := c.Metadata[metaType]; own != "" {
		typ = own
	}
	r.agent.InjectTrace(ctx, headers) // the span of the run before, which this one is linked to
	t := asynq.NewTaskWithHeaders(typ, c.Input, headers)
	opts := []asynq.Option{
		asynq.Queue(c.Queue), asynq.TaskID(runID(c.Task.ID, c.Run)), asynq.Retention(r.cfg.Retention),
	}
	if c.MaxAttempts > 0 {
		opts = append(opts, asynq.MaxRetry(c.MaxAttempts-1))
	}
	_, err := r.cfg.Client.EnqueueContext(ctx, t, opts...)
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // it was enqueued before
	}
	if err != nil {
		return fmt.Errorf("enqueue run %d of %s: %w", c.Run, c.Task.ID, err)
	}
	return nil
}

// runID is asynq's id of a later run.
func runID(taskID string, run int) string { return fmt.Sprintf("%s:r%d", taskID, run) }

// asynqID is asynq's id of a command's run.
func asynqID(c *timeline.Command) string {
	if c.Run > 1 {
		return runID(c.Task.ID, c.Run)
	}
	if own := c.Metadata[metaID]; own != "" {
		return own
	}
	return c.Task.ID
}

// original is the payload of the run before a retry's, which asynq keeps in its
// archive for a while.
func (r *Runner) original(_ context.Context, c timeline.Command) ([]byte, bool, error) {
	for c.Run--; c.Run >= 1; c.Run-- {
		info, err := r.cfg.Inspector.GetTaskInfo(c.Queue, asynqID(&c))
		switch {
		case err == nil:
			return info.Payload, true, nil
		case !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound):
			return nil, false, err
		}
	}
	return nil, false, nil
}

// cancel takes a task that waits out of its queue, into asynq's archive: deleted,
// its id would be free for a repeat of the command that enqueued it. One that runs
// is left alone: its worker gets the same command.
func (r *Runner) cancel(_ context.Context, c timeline.Command) (bool, error) {
	id := asynqID(&c)
	info, err := r.cfg.Inspector.GetTaskInfo(c.Queue, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		return false, nil // it ended, or comes yet
	case err != nil:
		return false, fmt.Errorf("look for the task of %s: %w", c.Task.ID, err)
	}
	switch info.State {
	case asynq.TaskStateActive, asynq.TaskStateCompleted:
		return false, nil
	case asynq.TaskStateArchived:
		// By a cancel that was not put on record, or else as failed.
		return info.LastErr == "", nil
	}
	if err := r.cfg.Inspector.ArchiveTask(c.Queue, id); err != nil {
		return false, fmt.Errorf("archive the task of %s: %w", c.Task.ID, err)
	}
	return true, nil
}

// depths counts what is ready to be worked and has not begun; a task that waits
// for its time or its next attempt is not ready. A queue that nobody has enqueued
// into yet is empty.
func (r *Runner) depths(ctx context.Context) ([]timeline.LiveQueueDepth, error) {
	known, err := r.cfg.Inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("list asynq's queues: %w", err)
	}
	depths := make([]timeline.LiveQueueDepth, 0, len(r.cfg.Queues))
	for _, q := range r.cfg.Queues {
		if err := ctx.Err(); err != nil {
			return depths, err
		}
		info := &asynq.QueueInfo{}
		if slices.Contains(known, q) {
			if info, err = r.cfg.Inspector.GetQueueInfo(q); err != nil {
				return depths, fmt.Errorf("count the tasks of queue %s: %w", q, err)
			}
		}
		d := timeline.LiveQueueDepth{Queue: q, Pending: int64(info.Pending + info.Aggregating)}
		if info.Pending > 0 && info.Latency > 0 {
			d.OldestAt = time.Now().Add(-info.Latency).UTC()
		}
		depths = append(depths, d)
	}
	return depths, nil
}

var (
	_ agent.RetryHandler  = (*Runner)(nil).requeue
	_ agent.CancelHandler = (*Runner)(nil).cancel
	_ agent.DepthFunc     = (*Runner)(nil).depths
)
