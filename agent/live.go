package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Heartbeats go every heartbeatEvery; progress that changed at most every
// progressEvery.
const (
	heartbeatEvery = 15 * time.Second
	progressEvery  = 250 * time.Millisecond
	liveTimeout    = 5 * time.Second
)

// liveState is what runs at the moment: for heartbeats, progress and cancels. It
// is live data, never recorded, and dropped while the collector is away.
type liveState struct {
	dirty atomic.Bool

	mu   sync.Mutex
	runs *run // a list by run.next and run.prev: looked through for a command, changed by every task
	// cancels are tasks to be stopped that do not run here now: their next attempt
	// is not made.
	cancels map[runKey]*timeline.Operator
}

// maxCancels bounds the cancels that wait for a task's next attempt.
const maxCancels = 10_000

func (l *liveState) add(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next = l.runs; r.next != nil {
		r.next.prev = r
	}
	l.runs = r
}

func (l *liveState) remove(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next != nil {
		r.next.prev = r.prev
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.runs = r.next
	}
	r.next, r.prev = nil, nil
}

// stop cancels a run that is going on here, and reports whether it is; where it is
// not, its next attempt is stopped before it begins.
func (l *liveState) stop(key runKey, op *timeline.Operator) bool {
	l.mu.Lock()
	var running []*run // several, where a runner handed a run out twice
	for r := l.runs; r != nil; r = r.next {
		if r.is(key) {
			running = append(running, r)
		}
	}
	if running == nil {
		if l.cancels == nil {
			l.cancels = map[runKey]*timeline.Operator{}
		}
		for old := range l.cancels {
			if len(l.cancels) < maxCancels {
				break
			}
			delete(l.cancels, old)
		}
		l.cancels[key] = op
	}
	l.mu.Unlock()
	for _, r := range running {
		r.cancelBy(op)
	}
	return running != nil
}

// settled forgets a cancel that waited for a next attempt: there will be none.
func (l *liveState) settled(key runKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cancels, key)
}

func (l *liveState) cancelledBefore(r *run) *timeline.Operator {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cancels) == 0 {
		return nil
	}
	op := l.cancels[r.key()]
	delete(l.cancels, r.key())
	return op
}

// steps lists the runs whose runner hands out their attempts, for the journal.
func (l *liveState) steps() []*run {
	l.mu.Lock()
	defer l.mu.Unlock()
	var steps []*run
	for r := l.runs; r != nil; r = r.next {
		if r.step {
			steps = append(steps, r)
		}
	}
	return steps
}

// snapshot lists what runs.
func (l *liveState) snapshot(namespace string) []timeline.LiveTask {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := []timeline.LiveTask{}
	for r := l.runs; r != nil; r = r.next {
		n := int(r.running.Load())
		if n == 0 {
			continue
		}
		if len(tasks) == timeline.MaxLiveTasks {
			break
		}
		t := timeline.LiveTask{
			TaskID: r.task.ID, Run: r.number, Attempt: n, Type: r.task.Type, Queue: r.task.Queue, UserID: r.task.UserID,
			Progress: r.progress.Load(),
		}
		if r.task.Namespace != namespace {
			t.Namespace = r.task.Namespace
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// run sends heartbeats and progress until ctx ends.
func (l *liveState) run(ctx context.Context, a *Agent) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var sent time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !l.dirty.Swap(false) && now.Sub(sent) < heartbeatEvery {
				continue
			}
			sent = now
			if err := a.sendLive(ctx, l.snapshot(a.cfg.Namespace)); err != nil && ctx.Err() == nil {
				a.stats.liveDropped.Add(1)
				a.cfg.Logger.Debug("send heartbeats", "error", err)
			}
		}
	}
}

func (a *Agent) sendLive(ctx context.Context, tasks []timeline.LiveTask) error {
	ctx, stop := context.WithTimeout(ctx, liveTimeout)
	defer stop()
	body, err := json.Marshal(timeline.AgentLive{
		SourceID: a.source, Agent: a.cfg.Name, Namespace: a.cfg.Namespace, Queues: a.served(), Tasks: tasks,
		QueueDepths: a.depths.take(), At: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	req, err := a.request(ctx, http.MethodPost, "/v1/agent/live", "application/json", body)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = CheckResponse(resp)
	}
	return err
}

// maxAnswer bounds what is read of the collector's answers.
const maxAnswer = 64 << 10

func (a *Agent) request(ctx context.Context, method, path, contentType string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.cfg.CollectorURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if a.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.cfg.Token)
	}
	return req, nil
}
