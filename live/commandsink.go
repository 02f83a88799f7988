package live

import (
	"context"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// CommandSink follows a collector's log and makes commands of what operators
// ask for; what agents then write acknowledges them. Its Write fails when Redis
// is away, and is to be retried until it succeeds: doing a batch twice is doing
// it once. It is not safe for concurrent use.
type CommandSink struct {
	live *Live
	rec  wire.Record
}

// CommandSink returns the sink of commands. One process needs one.
func (l *Live) CommandSink() *CommandSink { return &CommandSink{live: l} }

// Name is the name of the sink and its cursor.
func (s *CommandSink) Name() string { return "commands" }

// runKey names one run of a task.
type runKey struct {
	namespace, task string
	run             int
}

// commandBatch is what a batch of events comes to. What was asked for and
// answered within it never reaches Redis, so that a log that is read again from
// its beginning does not ask for everything again.
type commandBatch struct {
	retries, cancels map[runKey]timeline.Command
	answered, ended  map[runKey]answer
}

// Write brings the commands up to date with a batch.
func (s *CommandSink) Write(ctx context.Context, b *spool.Batch) error {
	batch := commandBatch{
		retries: map[runKey]timeline.Command{}, cancels: map[runKey]timeline.Command{},
		answered: map[runKey]answer{}, ended: map[runKey]answer{},
	}
	for _, frame := range b.Frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := wire.ScanTypes(frame, commandTypes, &s.rec, func(r *wire.Record) error { batch.record(r); return nil }); err != nil {
			s.live.stats.unreadable.Add(1)
		}
	}
	retries := make([]timeline.Command, 0, len(batch.retries))
	for k, c := range batch.retries {
		if _, done := batch.answered[k]; !done {
			retries = append(retries, c)
		}
	}
	cancels := make([]timeline.Command, 0, len(batch.cancels))
	for k, c := range batch.cancels {
		if _, done := batch.ended[k]; !done {
			cancels = append(cancels, c)
		}
	}
	if err := s.live.ackRetries(ctx, values(batch.answered)); err != nil {
		return err
	}
	if err := s.live.ackCancels(ctx, values(batch.ended)); err != nil {
		return err
	}
	if err := s.live.addRetries(ctx, retries); err != nil {
		return err
	}
	return s.live.addCancels(ctx, cancels)
}

func values(m map[runKey]answer) []answer {
	out := make([]answer, 0, len(m))
	for _, a := range m {
		out = append(out, a)
	}
	return out
}

// commandTypes are the types that record looks at.
const commandTypes = wire.Types(1<<timeline.DLQRetryRequested | 1<<timeline.CancelRequested | 1<<timeline.TaskRetried |
	1<<timeline.TaskStarted | 1<<timeline.AttemptStarted | 1<<timeline.TaskCompleted | 1<<timeline.TaskFailed |
	1<<timeline.TaskCancelled | 1<<timeline.MovedToDLQ)

// record takes one record; it looks at few of them, and copies fewer.
func (b *commandBatch) record(r *wire.Record) {
	if len(r.TaskID) == 0 {
		return
	}
	switch r.Type {
	case timeline.DLQRetryRequested:
		var e timeline.Event
		r.Event(&e)
		b.retries[keyOf(r)] = retryCommand(&e)
	case timeline.CancelRequested:
		var e timeline.Event
		r.Event(&e)
		b.cancels[keyOf(r)] = cancelCommand(&e)
	case timeline.TaskRetried, timeline.TaskStarted, timeline.AttemptStarted:
		// Run 1 is started by the runner, never by a retry.
		if r.Run > 1 {
			b.answered[keyOf(r)] = answerOf(r)
		}
	case timeline.TaskCompleted, timeline.TaskFailed, timeline.TaskCancelled, timeline.MovedToDLQ:
		a := answerOf(r)
		b.ended[keyOf(r)] = a
		if r.Run > 1 {
			b.answered[keyOf(r)] = a
		}
	}
}

func keyOf(r *wire.Record) runKey {
	return runKey{orDefault(string(r.Namespace)), string(r.TaskID), r.Run}
}

func answerOf(r *wire.Record) answer {
	return answer{orDefault(string(r.Namespace)), string(r.Queue), string(r.TaskID), r.Run, len(r.SourceID) == 0}
}
