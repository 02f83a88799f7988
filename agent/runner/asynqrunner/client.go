package asynqrunner

import (
	"context"
	"maps"
	"time"

	"github.com/hibiken/asynq"
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
	fillTask(&task, t, info.Queue, info.ID)
	// The task is with asynq now: that its creation could not be recorded fails
	// nothing, and the agent counts it.
	_ = r.agent.Created(ctx, task, created)
	return info, nil
}
