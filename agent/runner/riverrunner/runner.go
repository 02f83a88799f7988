// Package riverrunner attaches Tasktrail to River: it executes each job through
// the agent, records jobs when they are inserted, and is the way back, on which a
// retried dead letter is inserted again as its task's next run and a cancelled
// job that waits is taken out.
//
//	r, err := riverrunner.New(a, riverrunner.Config{Queues: []string{"default"}, DB: pool})
//	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{…}))
//	r.Attach(client)
//
// River keeps the jobs and does the waiting, for as long as the agent says; this
// package never sleeps. It lives in a module of its own, so that River reaches
// only those who use it.
//
// # What River shows
//
// An attempt that is to be tried again is an error of the job, and River's count
// of attempts rises. A run that is over without success (permanent, exhausted,
// cancelled, its provider's breaker open) ends as river.JobCancel: River does not
// try it again, whatever attempts it had left. An attempt that a shutdown stopped
// is available again at once and not counted. A worker that overrides NextRetry
// keeps its own delays, whatever the agent says.
//
// # Transactions
//
// A job's task_created is written when it is inserted, which for InsertTx is
// before the commit: after a rollback the task stands as pending without ever
// running, until it is cancelled, which finds no job and closes it. Insert with
// the context of [Runner.Hold] where rollbacks are part of the plan: then it is
// written once the transaction is committed.
package riverrunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// Name is the runner's name in a task's timeline.
const Name = "river"

// Describe tells what a job is about: its agent.Task with whatever of provider,
// user, amount, metadata and the like its arguments hold. Fields that River knows
// (id, type, queue, input) are filled in afterwards where they are empty. It is asked
// before a job is inserted too, when River has given it no id yet: an id of the task's
// own is written into the job's metadata, by which a cancel and a retry find it. One
// that was inserted past Tasktrail is found once it was attempted; until then a cancel
// stops it when its turn comes.
type Describe func(job *rivertype.JobRow) agent.Task

// Client is what the way back needs of a *river.Client, whatever its driver.
type Client interface {
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobCancel(ctx context.Context, jobID int64) (*rivertype.JobRow, error)
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
}

// Config says how to attach.
type Config struct {
	// Instance tells this River from others in the ids of tasks, which are
	// river:{instance}:{id}. Set it where several databases or schemas report to one
	// namespace. Defaults to default.
	Instance string
	// Describe tells what a job is about. Defaults to what River knows.
	Describe Describe
	// Queues are those whose retries and cancels this worker takes, from Attach on.
	// Defaults to none.
	Queues []string
	// DB is asked how much waits in Queues: a *pgxpool.Pool, say. Defaults to none,
	// and no depth is reported.
	DB DB
	// Schema is where River's tables are, as in river.Config. Defaults to the
	// search path.
	Schema string
}

// Runner is the attachment of one program. It is safe for concurrent use.
type Runner struct {
	agent  *agent.Agent
	cfg    Config
	delays delays
}

// New attaches an agent to River.
func New(a *agent.Agent, cfg Config) (*Runner, error) {
	if a == nil {
		return nil, errors.New("riverrunner: an agent is needed")
	}
	if cfg.Instance == "" {
		cfg.Instance = "default"
	}
	if cfg.Describe == nil {
		cfg.Describe = func(*rivertype.JobRow) agent.Task { return agent.Task{} }
	}
	return &Runner{agent: a, cfg: cfg}, nil
}

// Configure returns cfg with what a client needs to execute through the agent, to
// wait as it decides and to record what is inserted: a plugin and a retry policy.
// The policy that cfg had is used where the agent has no say, for a job whose
// worker died, say. Clients that only insert need it too.
func (r *Runner) Configure(cfg *river.Config) *river.Config {
	c := *cfg
	c.Plugins = slices.Concat([]rivertype.Plugin{&plugin{r: r}}, c.Plugins)
	policy := c.RetryPolicy
	if policy == nil {
		policy = &river.DefaultClientRetryPolicy{}
	}
	c.RetryPolicy = &retryPolicy{&r.delays, policy}
	return &c
}

// Attach registers the queues whose retries and cancels this program takes, with
// the client that inserts them: one that Configure was used for, or a retry that
// is sent twice may run twice.
func (r *Runner) Attach(client Client) {
	b := &back{r, client}
	for _, q := range r.cfg.Queues {
		r.agent.HandleQueue(q, b.requeue)
		r.agent.HandleCancels(q, b.cancel)
		r.agent.HandleOriginals(q, b.original)
	}
	if r.cfg.DB != nil && len(r.cfg.Queues) > 0 {
		r.agent.ReportDepths(r.depths)
	}
}

// plugin is how River calls the Runner.
type plugin struct {
	river.PluginDefaults
	r *Runner
}

var (
	_ rivertype.JobInsertMiddleware = (*plugin)(nil)
	_ rivertype.WorkerMiddleware    = (*plugin)(nil)
	_ rivertype.HookWorkEnd         = (*plugin)(nil)
)

// InsertMany records what is inserted.
func (p *plugin) InsertMany(ctx context.Context, params []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	return p.r.insertMany(ctx, params, insert)
}

// Work executes a job as one attempt of the agent.
func (p *plugin) Work(ctx context.Context, job *rivertype.JobRow, do func(context.Context) error) error {
	return p.r.work(ctx, job, do)
}

type workedKey struct{}

// WorkEnd notes that the worker was reached: an error before it is about the
// job's arguments.
func (p *plugin) WorkEnd(ctx context.Context, _ *rivertype.JobRow, err error) error {
	if worked, ok := ctx.Value(workedKey{}).(*bool); ok {
		*worked = true
	}
	return err
}

// errSnoozed ends an attempt whose worker wants to be called later. It is not
// counted, by River neither.
var errSnoozed = errors.New("the worker snoozed the job")

func (r *Runner) work(ctx context.Context, job *rivertype.JobRow, do func(context.Context) error) error {
	m := readMeta(job.Metadata)
	task, delivery := r.describe(job, &m)
	if r.own(&m, task.ID) { // it was inserted past us: River keeps this with the attempt's end
		_ = river.MetadataSet(ctx, metaKey, m)
	}
	own, stop := owned(ctx)
	defer stop(nil)
	var snooze *rivertype.JobSnoozeError
	step := r.agent.Step(own, task, delivery, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		worked := false
		err := do(context.WithValue(ctx, workedKey{}, &worked))
		var cancel *rivertype.JobCancelError
		switch {
		case errors.As(err, &snooze):
			stop(errSnoozed)
			return agent.Result{}, own.Err()
		case errors.As(err, &cancel), !worked && undecodable(err):
			return agent.Result{}, agent.Permanent(err)
		}
		return agent.Result{}, err
	})
	switch step.Outcome {
	case agent.Completed:
		return nil
	case agent.Retrying:
		r.delays.set(job.ID, step.Delay)
		return step.Err
	case agent.Aborted:
		// That River keeps it can fail no more than the rest of what it keeps of the
		// attempt.
		_ = river.MetadataSet(ctx, metaAborted, m.aborted+1)
		switch {
		case snooze != nil:
			return snooze
		case ctx.Err() != nil: // River stops: by this error it knows that it was why
			return fmt.Errorf("%w: %w", context.Canceled, step.Err)
		default:
			return river.JobSnooze(0)
		}
	default:
		return river.JobCancel(step.Err)
	}
}

// owned is ctx with a cancellation of its own, in whose cause a cancel that was
// asked of River reads like one that was asked of us.
func owned(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, rivertype.ErrJobCancelledRemotely) {
			cause = fmt.Errorf("%w, through River", agent.ErrCancelled)
		}
		cancel(cause)
	})
	return own, func(cause error) {
		unhook()
		cancel(cause)
	}
}

// undecodable reports whether err is what River returns of arguments that are not
// those of their worker.
func undecodable(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind)
}

// describe puts together what the arguments say, what River knows and what the
// metadata carries.
func (r *Runner) describe(job *rivertype.JobRow, m *meta) (agent.Task, agent.Delivery) {
	task := r.cfg.Describe(job)
	if m.TaskID != "" {
		task.ID = m.TaskID
	}
	r.fill(&task, job)
	task.TraceCarrier, task.Edits = m.Trace, max(m.Edits, 0)
	// River gives up after its own count, whatever we decide: the smaller one holds.
	if task.MaxAttempts == 0 || task.MaxAttempts > job.MaxAttempts {
		task.RunnerMaxAttempts = job.MaxAttempts
	}
	return task, agent.Delivery{Run: max(m.Run, 1), Attempt: max(job.Attempt, 1), Aborted: m.aborted, CreatedAt: job.CreatedAt}
}

func (r *Runner) fill(task *agent.Task, job *rivertype.JobRow) {
	if task.ID == "" {
		task.ID = r.taskID(job.ID)
	}
	if task.Type == "" {
		task.Type = job.Kind
	}
	if task.Type != job.Kind {
		if task.Metadata == nil {
			task.Metadata = map[string]string{}
		}
		task.Metadata[kindKey] = job.Kind
	}
	if task.Queue == "" {
		task.Queue = job.Queue
	}
	if task.Runner == "" {
		task.Runner = Name
	}
	if task.Input == nil {
		task.Input = timeline.Payload(job.EncodedArgs)
	}
}
