package asynqrunner

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/agent"
)

const (
	// numberFor is how long the number of a run's latest attempt is kept: longer than
	// a task waits for its next one.
	numberFor = 7 * 24 * time.Hour
	// numberWithin bounds how long a task waits for its number; without one asynq's
	// count holds.
	numberWithin = 500 * time.Millisecond
)

// number is where the attempts of a run are counted, whoever makes them. The zero
// value counts nothing.
type number struct {
	redis redis.UniversalClient
	key   string
}

// number gives a delivery the attempts that asynq leaves out of its count. It is
// taken before the attempt begins: asynq puts a task that a shutdown stops back
// before its handler is told, so that another worker may have it at once.
func (r *Runner) number(ctx context.Context, d *agent.Delivery) number {
	id, ok := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	if r.cfg.Redis == nil || !ok {
		return number{}
	}
	n := number{r.cfg.Redis, "tasktrail:asynq:{" + queue + "}:attempt:" + id}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), numberWithin)
	defer stop()
	var latest *redis.IntCmd
	_, err := n.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		latest = pipe.Incr(ctx, n.key)
		pipe.Expire(ctx, n.key, numberFor)
		return nil
	})
	if err == nil {
		d.Aborted = max(int(latest.Val())-d.Attempt, 0)
	}
	return n
}

// forget drops the count of a run that is over. What cannot be dropped expires.
func (n number) forget(ctx context.Context) {
	if n.redis == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), numberWithin)
	defer stop()
	n.redis.Unlink(ctx, n.key)
}
