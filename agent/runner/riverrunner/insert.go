package riverrunner

import (
	"context"
	"crypto/sha256"
	"strconv"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
)

// allStates is River's bit mask for uniqueness in every state: a run whose job is
// still there, ended or not, is not inserted again.
const allStates = 0xff

func (r *Runner) insertMany(ctx context.Context, params []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	trace := map[string]string{}
	r.agent.InjectTrace(ctx, trace)
	for _, p := range params {
		m := readMeta(p.Metadata)
		switch {
		case m.Run > 1:
			key := sha256.Sum256([]byte("tasktrail " + m.TaskID + ":r" + strconv.Itoa(m.Run)))
			p.UniqueKey, p.UniqueStates = key[:], allStates
			continue
		case len(trace) > 0:
			m.Trace = trace
		}
		r.own(&m, r.cfg.Describe(unborn(p)).ID)
		if m.TaskID == "" && len(m.Trace) == 0 {
			continue
		}
		// Metadata that are no JSON object are for River to refuse.
		if with, err := m.add(p.Metadata); err == nil {
			p.Metadata = with
		}
	}
	results, err := insert(ctx)
	if err != nil {
		return results, err
	}
	for _, res := range results {
		// InsertManyFast tells no ids; the worker records those jobs.
		if res == nil || res.Job == nil || res.UniqueSkippedAsDuplicate || readMeta(res.Job.Metadata).Run > 1 {
			continue
		}
		task := r.cfg.Describe(res.Job)
		r.fill(&task, res.Job)
		c := created{task, res.Job.CreatedAt}
		if h, ok := ctx.Value(holdKey{}).(*Held); ok {
			h.add(c)
		} else {
			r.record(ctx, c)
		}
	}
	return results, nil
}

// unborn is what is known of a job before River has inserted it.
func unborn(p *rivertype.JobInsertParams) *rivertype.JobRow {
	job := &rivertype.JobRow{
		EncodedArgs: p.EncodedArgs, Kind: p.Kind, MaxAttempts: p.MaxAttempts, Metadata: p.Metadata, Priority: p.Priority,
		Queue: p.Queue, State: p.State, Tags: p.Tags,
	}
	if p.ScheduledAt != nil {
		job.ScheduledAt = *p.ScheduledAt
	}
	return job
}

type created struct {
	task agent.Task
	at   time.Time
}

// record writes task_created. The worker writes it too when it takes the job, and
// readers show the earliest: that this one could not be written fails nothing, and
// the agent counts it.
func (r *Runner) record(ctx context.Context, c created) { _ = r.agent.Created(ctx, c.task, c.at) }

type holdKey struct{}

// Held are inserted jobs whose creation is not on record yet.
type Held struct {
	r   *Runner
	ctx context.Context

	mu   sync.Mutex
	jobs []created
}

// Hold returns a context for inserts in a transaction: what is inserted with it is
// put on record by Record, to be called after the commit. Where Record is not
// called the jobs are on record once a worker takes them, and after a rollback
// never.
func (r *Runner) Hold(ctx context.Context) (context.Context, *Held) {
	h := &Held{r: r, ctx: ctx}
	return context.WithValue(ctx, holdKey{}, h), h
}

func (h *Held) add(c created) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.jobs = append(h.jobs, c)
}

// Record puts the jobs on record that were inserted since Hold or the last Record.
func (h *Held) Record() {
	h.mu.Lock()
	jobs := h.jobs
	h.jobs = nil
	h.mu.Unlock()
	for _, c := range jobs {
		h.r.record(h.ctx, c)
	}
}
