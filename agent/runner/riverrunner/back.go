package riverrunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// back is the way back into River: retries and cancels.
type back struct {
	r      *Runner
	client Client
}

var (
	_ agent.RetryHandler  = (*back)(nil).requeue
	_ agent.CancelHandler = (*back)(nil).cancel
)

// rawArgs are the arguments of a later run, as they are on record.
type rawArgs struct {
	kind string
	args json.RawMessage
}

func (a rawArgs) Kind() string                 { return a.kind }
func (a rawArgs) MarshalJSON() ([]byte, error) { return a.args, nil }

// requeue carries out a retry command: the task's next run is inserted under a
// unique key of its own, so that a command that arrives twice inserts once.
func (b *back) requeue(ctx context.Context, c timeline.Command) error {
	m := meta{TaskID: c.Task.ID, Run: c.Run, Command: c.ID.String(), Edits: c.InputEdits}
	metadata, err := m.add(nil)
	if err != nil {
		return fmt.Errorf("insert run %d of %s: %w", c.Run, c.Task.ID, err)
	}
	args := rawArgs{c.Type, json.RawMessage(c.Input)}
	if kind := c.Metadata[kindKey]; kind != "" {
		args.kind = kind
	}
	if len(args.args) == 0 {
		args.args = json.RawMessage("{}")
	}
	_, err = b.client.Insert(ctx, args, &river.InsertOpts{Queue: c.Queue, MaxAttempts: c.MaxAttempts, Metadata: metadata})
	if err != nil {
		return fmt.Errorf("insert run %d of %s: %w", c.Run, c.Task.ID, err)
	}
	return nil
}

// original is the arguments of the run before a retry's, which River keeps with its
// job until it cleans it away.
func (b *back) original(ctx context.Context, c timeline.Command) ([]byte, bool, error) {
	for c.Run--; c.Run >= 1; c.Run-- {
		job, err := b.find(ctx, c)
		switch {
		case err == nil && job != nil:
			return job.EncodedArgs, true, nil
		case err != nil && !errors.Is(err, rivertype.ErrNotFound):
			return nil, false, err
		}
	}
	return nil, false, nil
}

// cancel takes a job that waits out of River. One that runs is left alone: its
// worker gets the same command.
func (b *back) cancel(ctx context.Context, c timeline.Command) (bool, error) {
	job, err := b.find(ctx, c)
	switch {
	case errors.Is(err, rivertype.ErrNotFound):
		// Of a first run: its insertion was rolled back, or the job was deleted. A
		// later one may yet be inserted.
		return c.Run <= 1, nil
	case err != nil:
		return false, fmt.Errorf("look for the job of %s: %w", c.Task.ID, err)
	case job == nil:
		return false, nil
	}
	switch job.State {
	case rivertype.JobStateRunning, rivertype.JobStateCompleted, rivertype.JobStateDiscarded:
		return false, nil
	case rivertype.JobStateCancelled:
		return askedToCancel(job), nil
	}
	job, err = b.client.JobCancel(ctx, job.ID)
	if err != nil {
		return false, fmt.Errorf("cancel the job of %s: %w", c.Task.ID, err)
	}
	return job.State == rivertype.JobStateCancelled, nil
}

// askedToCancel tells a job that was cancelled from outside from one whose run
// ended without success, which River calls cancelled too.
func askedToCancel(job *rivertype.JobRow) bool {
	var m struct {
		At *json.RawMessage `json:"cancel_attempted_at"`
	}
	return json.Unmarshal(job.Metadata, &m) == nil && m.At != nil
}

// find looks up the job of a run; nil where there may be one that does not say whose
// it is.
func (b *back) find(ctx context.Context, c timeline.Command) (*rivertype.JobRow, error) {
	id, rivers := b.r.jobID(c.Task.ID)
	if c.Run <= 1 && rivers {
		return b.client.JobGet(ctx, id)
	}
	own, err := json.Marshal(map[string]any{metaKey: meta{TaskID: c.Task.ID, Run: max(c.Run, 1)}})
	if err != nil {
		return nil, err
	}
	list, err := b.client.JobList(ctx, river.NewJobListParams().Metadata(string(own)).OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(1))
	switch {
	case err != nil:
		return nil, err
	case len(list.Jobs) > 0:
		return list.Jobs[0], nil
	case c.Run <= 1: // it may be there, inserted past us and not marked yet
		return nil, nil
	}
	return nil, rivertype.ErrNotFound
}
