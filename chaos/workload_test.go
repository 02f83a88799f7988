package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// kind is how a task is executed.
type kind string

const (
	byWorker  kind = "worker"  // an agent in the worker's process
	bySidecar kind = "sidecar" // a callback
	byRun     kind = "run"     // tasktrail run
	byOTLP    kind = "otlp"    // a foreign SDK
	byAsynq   kind = "asynq"   // an agent in a worker on asynq
	byRiver   kind = "river"   // an agent in a worker on River
)

// task is one of the workload, with what is known of it.
type task struct {
	id   string
	kind kind
	plan plan
	// retries counts the retries that were accepted, 202 or with the answer lost.
	retries int
}

// requeueable says whether a retry has somewhere to go.
func (t *task) requeueable() bool {
	return t.kind == byWorker || t.kind == bySidecar || t.kind == byAsynq || t.kind == byRiver
}

// run is the last run that was asked for.
func (t *task) run() int { return 1 + t.retries }

// state is what becomes of the task.
func (t *task) state() timeline.State {
	if t.plan.completes(t.run()) {
		return timeline.StateCompleted
	}
	return timeline.StateFailed
}

// plans that tasks are drawn from.
var plans = []plan{
	{{ok}},
	{{ok}},
	{{fails, ok}},
	{{loses, ok}},
	{{loses, fails, loses, ok}},
	{{permanent}, {ok}},
	{{permanent}, {loses, ok}},
	{{permanent}, {permanent}},
	{{fails}, {ok}},
	{{fails, permanent}, {fails, ok}},
}

// draw makes a round's tasks.
func draw(r *rand.Rand, round, scale int) []*task {
	var tasks []*task
	add := func(k kind, n int, of []plan) {
		for i := range n {
			tasks = append(tasks, &task{id: fmt.Sprintf("%s-%d-%d", k, round, i), kind: k, plan: of[r.IntN(len(of))]})
		}
	}
	add(byWorker, 40*scale, plans)
	add(bySidecar, 30*scale, plans)
	add(byRun, 2*scale, []plan{{{ok}}, {{fails}}})
	add(byAsynq, 20*scale, plans)
	add(byRiver, 20*scale, plans)
	add(byOTLP, 20*scale, []plan{{{ok}}, {{permanent}}})
	r.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	return tasks
}

// submit hands the tasks over, over about the time given, each again until it was
// taken, as their runners do.
func (s *system) submit(ctx context.Context, tasks []*task, over time.Duration) {
	queue, err := openQueue(s.workerArgs.Dir)
	if err != nil {
		s.t.Error(err)
		return
	}
	var busy sync.WaitGroup
	defer busy.Wait()
	slots := map[kind]chan struct{}{bySidecar: make(chan struct{}, 8), byOTLP: make(chan struct{}, 4), byRun: make(chan struct{}, 2), byAsynq: make(chan struct{}, 4), byRiver: make(chan struct{}, 4)}
	for _, t := range tasks {
		s.receiver.plan(t.id, t.plan)
		pause(over / time.Duration(len(tasks)))
		if t.kind == byWorker {
			if err := queue.put(&job{Task: s.record(t, workerQueue), Run: 1}); err != nil {
				s.t.Errorf("put %s: %v", t.id, err)
			}
			continue
		}
		slots[t.kind] <- struct{}{}
		busy.Go(func() {
			defer func() { <-slots[t.kind] }()
			switch t.kind {
			case bySidecar:
				s.submitSidecar(ctx, t)
			case byOTLP:
				s.submitOTLP(ctx, t)
			case byAsynq:
				s.submitWorker(ctx, t, s.asynq.args.Listen)
			case byRiver:
				s.submitWorker(ctx, t, s.river.args.Listen)
			case byRun:
				s.submitRun(ctx, t)
			}
		})
	}
}

func (s *system) record(t *task, queue string) timeline.Task {
	return timeline.Task{
		Namespace: timeline.DefaultNamespace, ID: t.id, Type: "payment", Queue: queue, Runner: string(t.kind), Provider: t.id, UserID: "user-7",
		Amount: "120.00", Currency: "USD", Input: timeline.Payload(`{"order":"` + t.id + `"}`),
	}
}

func (s *system) submitSidecar(ctx context.Context, t *task) {
	// A service that is never well gets fewer calls than open its breaker: the dead
	// letter is then for a person, not for the breaker's recovery.
	most := maxAttempts
	if !t.plan.completes(1) {
		most = 4
	}
	body := fmt.Sprintf(`{"task_id":%q,"type":"payment","queue":"money","max_attempts":%d,"provider":%q,"user_id":"user-7","amount":"120.00","currency":"USD",`+
		`"callback_url":%q,"input":{"order":%q},"mode":"async"}`, t.id, most, t.id, s.receiver.url()+"/"+t.id, t.id)
	s.until(ctx, "the sidecar takes "+t.id, func(ctx context.Context) bool {
		code, _ := s.askSidecar(ctx, http.MethodPost, "/v1/tasks", body)
		switch code {
		case http.StatusAccepted, http.StatusOK, http.StatusConflict, http.StatusBadGateway: // the last three: it was taken before
			return true
		}
		return false
	})
}

// submitOTLP sends a whole timeline, in one request, until it was acknowledged, and
// then once more.
func (s *system) submitOTLP(ctx context.Context, t *task) {
	names := []string{"task_created", "task_started", "attempt_started", "attempt_success", "task_completed"}
	if !t.plan.completes(1) {
		names = []string{"task_created", "task_started", "attempt_started", "attempt_failed", "task_failed", "moved_to_dlq"}
	}
	at := time.Now()
	records := make([]string, len(names))
	for i, name := range names {
		more := ""
		if strings.HasPrefix(name, "attempt_") {
			more = `,{"key":"task.attempt","value":{"intValue":"1"}}`
		}
		if name == "task_failed" || name == "moved_to_dlq" {
			more = `,{"key":"task.failure.reason","value":{"stringValue":"permanent"}}`
		}
		records[i] = fmt.Sprintf(`{"timeUnixNano":"%d","eventName":%q,"attributes":[{"key":"task.id","value":{"stringValue":%q}},`+
			`{"key":"task.type","value":{"stringValue":"report"}},{"key":"task.queue","value":{"stringValue":"foreign"}}%s]}`,
			at.Add(time.Duration(i)*time.Millisecond).UnixNano(), name, t.id, more)
	}
	body := []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`)
	for range 2 {
		s.until(ctx, "the collector takes "+t.id, func(ctx context.Context) bool {
			return s.postOTLP(ctx, body) == http.StatusOK
		})
	}
}

// submitWorker hands a task to a worker that takes tasks over HTTP, again until it
// was taken: each takes an id once.
func (s *system) submitWorker(ctx context.Context, t *task, listen string) {
	s.until(ctx, "the worker takes "+t.id, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+listen+"/tasks/"+t.id, nil)
		if err != nil {
			return false
		}
		code, _ := answer(req, s.up.Token)
		return code == http.StatusOK
	})
}

func (s *system) submitRun(ctx context.Context, t *task) {
	status := "0"
	if !t.plan.completes(1) {
		status = "3"
	}
	cmd := exec.CommandContext(ctx, s.clocks.tasktrail(s.t), "run", "--collector-url", s.proxy.url(), "--spool-dir", s.runSpool,
		"--task-id", t.id, "--type", "payment", "--queue", "exec", "--max-attempts", "2", "--retry-base", "50ms", "--", "sh", "-c", "exit "+status)
	cmd.Env = append(append(cmd.Environ(), s.clocks.sidecar.Env()...), "TASKTRAIL_TOKEN="+s.up.Token)
	out, err := cmd.CombinedOutput()
	if want := "exit status " + status; ctx.Err() == nil && fmt.Sprint(err) != want && (status != "0" || err != nil) {
		s.t.Errorf("%s ended with %v, want %s: the command's own status\n%s", t.id, err, want, out)
	}
}

// until asks again and again; false where its time was over.
func (s *system) until(ctx context.Context, what string, asked func(context.Context) bool) bool {
	ctx, stop := within(ctx, 90*time.Second)
	defer stop()
	for {
		one, end := within(ctx, 5*time.Second)
		done := asked(one)
		end()
		if done {
			return true
		}
		select {
		case <-ctx.Done():
			s.t.Errorf("not within its time: %s", what)
			return false
		default:
			pause(50 * time.Millisecond)
		}
	}
}

// retry asks for the next run of a dead task. An answer that was lost is asked for
// again: the conflict is then its own.
func (s *system) retry(ctx context.Context, t *task) {
	want := timeline.DeadLetterID(timeline.DefaultNamespace, t.id, t.run())
	asked := false
	var last string
	accepted := s.until(ctx, "the retry of "+t.id+" is accepted", func(ctx context.Context) bool {
		code, fields := s.api(ctx, http.MethodPost, "/failed-tasks/"+want.String()+"/retry", `{"reason":"the service is well again"}`, "")
		last = fmt.Sprint(code, fields)
		if code == http.StatusAccepted || code == http.StatusConflict && asked {
			t.retries++
			return true
		}
		asked = asked || code == 0 || code >= http.StatusInternalServerError
		return false
	})
	if !accepted {
		s.t.Logf("%s (%v): the last answer: %s", t.id, t.plan, last)
	}
}

// pending lists the runs that the worker has in its queue.
func (s *system) pending() []string {
	names, err := fileQueue{todo: filepath.Join(s.workerArgs.Dir, "todo")}.names()
	if err != nil {
		s.t.Error(err)
	}
	return names
}

func str(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
