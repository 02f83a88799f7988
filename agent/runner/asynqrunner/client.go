package asynqrunner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// EnqueueContext enqueues a task and writes its task_created, so that it is
// pending on record before any worker has seen it. The trace context of ctx
// travels with it.
func (r *Runner) EnqueueContext(ctx context.Context, client *asynq.Client, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	created := time.Now().UTC()
	headers := maps.Clone(t.Headers())
	if headers == nil {
		headers = map[string]string{}
	}
	headers[headerCreated] = created.Format(time.RFC3339Nano)
	r.agent.InjectTrace(ctx, headers)
	info, err := client.EnqueueContext(ctx, asynq.NewTaskWithHeaders(t.Type(), t.Payload(), headers, opts...))
	if err != nil {
		return nil, err
	}
	task := r.cfg.Describe(t)
	if task.ID == "" {
		task.ID = info.ID
	}
	fillTask(&task, t, info.Queue)
	// The task is with asynq now: that its creation could not be recorded fails
	// nothing, and the agent counts it.
	_ = r.agent.Created(ctx, task, created)
	return info, nil
}

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
	t := asynq.NewTaskWithHeaders(c.Type, c.Input, headers)
	opts := []asynq.Option{
		asynq.Queue(c.Queue), asynq.TaskID(fmt.Sprintf("%s:r%d", c.Task.ID, c.Run)), asynq.Retention(r.cfg.Retention),
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

var _ agent.RetryHandler = (*Runner)(nil).requeue
