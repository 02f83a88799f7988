package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/chaos/orders"
	"github.com/tasktrail/tasktrail/timeline"
)

// workerEnv makes the test's binary a worker until it is killed.
const workerEnv = "CHAOS_TEST_WORKER"

const (
	workerQueue   = "chaos-worker"
	workerThreads = 8
	// maxAttempts is more than the workers that may die on a task.
	maxAttempts = 8
)

type workerArgs struct {
	// Dir holds the queue (todo, done) and the spool.
	Dir       string
	Collector string
	Token     string
	// Receiver is what tasks call.
	Receiver string
}

// job is a run of a task as it lies in the worker's queue: a file a run, which is
// replaced as a whole, and moved to done when the run is over.
type job struct {
	Task  timeline.Task   `json:"task"`
	Run   int             `json:"run"`
	Carry json.RawMessage `json:"carry,omitempty"`
	Due   time.Time       `json:"due"`
}

func (j *job) name() string { return j.Task.ID + ".r" + strconv.Itoa(j.Run) + ".json" }

// fileQueue is the smallest runner that keeps its promises: a run that was put is
// there once, and stays until it is over.
type fileQueue struct{ todo, done string }

func openQueue(dir string) (fileQueue, error) {
	q := fileQueue{todo: filepath.Join(dir, "todo"), done: filepath.Join(dir, "done")}
	return q, errors.Join(os.MkdirAll(q.todo, 0o700), os.MkdirAll(q.done, 0o700))
}

// put adds a run, once: one that is known already changes nothing.
func (q fileQueue) put(j *job) error {
	for _, dir := range []string{q.todo, q.done} { // in this order: a run moves from the first to the second
		if _, err := os.Stat(filepath.Join(dir, j.name())); err == nil {
			return nil
		}
	}
	tmp, err := q.write(j)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, filepath.Join(q.todo, j.name())); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (q fileQueue) write(j *job) (string, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(q.todo, ".tmp-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	return f.Name(), errors.Join(err, f.Close())
}

func (q fileQueue) replace(j *job) error {
	tmp, err := q.write(j)
	if err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(q.todo, j.name()))
}

func (q fileQueue) finish(j *job) error {
	return os.Rename(filepath.Join(q.todo, j.name()), filepath.Join(q.done, j.name()))
}

func (q fileQueue) names() ([]string, error) {
	entries, err := os.ReadDir(q.todo)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (q fileQueue) read(name string) (*job, error) {
	b, err := os.ReadFile(filepath.Join(q.todo, name))
	if err != nil {
		return nil, err
	}
	var j job
	return &j, json.Unmarshal(b, &j)
}

// workerMain works through the queue until SIGTERM or worse.
func workerMain(settings string) {
	var args workerArgs
	err := json.Unmarshal([]byte(settings), &args)
	if err == nil {
		err = work(args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

type worker struct {
	args  workerArgs
	queue fileQueue
	agent *agent.Agent
	// fault is closed at the first error of the queue.
	fault chan error
}

func work(args workerArgs) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	q, err := openQueue(args.Dir)
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Config{
		Name: "chaos-worker", CollectorURL: args.Collector, Token: args.Token, SpoolDir: filepath.Join(args.Dir, "spool"),
		Retry:    retry.Policy{MaxAttempts: maxAttempts, Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond},
		Breaker:  breaker.Config{FailureRate: -1, ConsecutiveFailures: -1},
		KeepEnds: true, Timeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	w := &worker{args: args, queue: q, agent: a, fault: make(chan error, 1)}
	if err := w.resume(); err != nil {
		return err
	}
	a.HandleQueue(workerQueue, func(_ context.Context, c timeline.Command) error {
		return q.put(&job{Task: c.Task, Run: c.Run})
	})
	if err := a.Start(ctx); err != nil {
		return err
	}
	err = w.loop(ctx)
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, a.Close(closing))
}

// resume brings the queue up to what the agent has on record.
func (w *worker) resume() error {
	names, err := w.queue.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		j, err := w.queue.read(name)
		if err != nil {
			return err
		}
		if _, over := w.agent.Ended(timeline.DefaultNamespace, j.Task.ID, j.Run); over {
			if err := w.queue.finish(j); err != nil {
				return err
			}
			continue
		}
		if carry, changed := w.agent.Resume(timeline.DefaultNamespace, j.Task.ID, j.Run, func() []byte { return j.Carry }); changed {
			j.Carry = carry
			if err := w.queue.replace(j); err != nil {
				return err
			}
		}
	}
	return w.agent.ForgetAll()
}

func (w *worker) loop(ctx context.Context) error {
	var mu sync.Mutex
	busy := map[string]bool{}
	slots := make(chan struct{}, workerThreads)
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		names, err := w.queue.names()
		if err != nil {
			return err
		}
		for _, name := range names {
			mu.Lock()
			taken := busy[name]
			busy[name] = true
			mu.Unlock()
			if taken {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			running.Go(func() {
				defer func() { mu.Lock(); delete(busy, name); mu.Unlock(); <-slots }()
				if err := w.turn(ctx, name); err != nil {
					select {
					case w.fault <- err:
					default:
					}
				}
			})
		}
		select {
		case <-tick.C:
		case err := <-w.fault:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// turn makes one attempt of a run.
func (w *worker) turn(ctx context.Context, name string) error {
	j, err := w.queue.read(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && time.Now().Before(j.Due) {
		return nil
	}
	if err != nil {
		return err
	}
	step := w.agent.Step(ctx, agent.Task{Task: j.Task, Requeueable: true}, agent.Delivery{Run: j.Run, Attempt: 1, Carry: j.Carry}, w.call)
	switch step.Outcome {
	case agent.Retrying, agent.Aborted:
		j.Carry, j.Due = step.Carry, time.Now().Add(step.Delay)
		if err := w.queue.replace(j); err != nil {
			return err
		}
	case agent.Completed, agent.Failed, agent.Cancelled:
		if err := w.queue.finish(j); err != nil {
			return err
		}
	}
	w.agent.Forget(timeline.DefaultNamespace, j.Task.ID, j.Run)
	return nil
}

// call has the receiver do the task's work.
func (w *worker) call(ctx context.Context, t agent.Task) (agent.Result, error) {
	out, err := orders.Call(ctx, w.args.Receiver, t.ID, t.Input)
	return agent.Result{Output: out}, err
}
