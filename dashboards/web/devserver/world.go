package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// world is a store whose tasks live: one makes progress, and what an operator asks
// for happens.
type world struct {
	*querytest.Store
	broker *querytest.Broker

	mu       sync.Mutex
	progress map[string]timeline.Progress
	lives    map[string]*querytest.Life
	answered int // how many of the store's events were looked at
}

var (
	err503 = &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "bank answered 503 Service Unavailable: maintenance until 04:00", Code: "503", HTTPStatus: 503, Fingerprint: "fp1:9b1c77aa20d4e6f1", Stack: "bank.Transfer (bank.go:88)\npayments.Settle (settle.go:41)\nworker.run (worker.go:117)"}
	err404 = &timeline.Error{Class: timeline.ClassPermanent, Kind: "http_404", Message: "no such account 7777", Code: "404", HTTPStatus: 404, Fingerprint: "fp1:0011223344556677"}
	slow   = &timeline.Error{Class: timeline.ClassRetryable, Kind: "timeout", Message: "smtp: no answer within 30 s", Fingerprint: "fp1:77de11093ab45c02"}
)

func (w *world) life(id, kind, queue string, at time.Time) *querytest.Life {
	t := timeline.Task{ID: id, Type: kind, Queue: queue, Runner: "asynq", Agent: "worker-1", UserID: "u-17", MaxAttempts: 5}
	if kind == "payment" {
		t.Provider, t.Amount, t.Currency = "bank", "120.00", "USD"
		t.Input = timeline.Payload(`{"order":4711,"account":"DE02…","card":"[redacted]","items":[{"sku":"A-1","n":2}]}`)
		t.Metadata = map[string]string{"region": "eu-west", "payment_reference": reference(id)}
	}
	l := querytest.NewLife(t, at)
	l.Source = timeline.DeriveID("source", id).String()
	w.lives[id] = l
	return l
}

// reference makes some of the payments one.
func reference(id string) string {
	if strings.HasPrefix(id, "asynq:default:pay-") {
		return "ord-4711"
	}
	return "ord-" + id[strings.LastIndexByte(id, ':')+1:]
}

func failedWith(e *timeline.Error, d time.Duration) func(*timeline.Event) {
	return func(ev *timeline.Event) {
		ev.Error, ev.Duration, ev.Breaker = e, timeline.Millis(d), &timeline.Breaker{Provider: ev.Provider, State: timeline.BreakerClosed}
	}
}

func waits(next int, d time.Duration, jitter float64) func(*timeline.Event) {
	return func(e *timeline.Event) {
		e.Retry = &timeline.Retry{NextAttempt: next, Delay: timeline.Millis(d), Reason: timeline.RetryBackoff, Base: timeline.Millis(time.Second), Factor: 2, Cap: timeline.Millis(30 * time.Second), Jitter: jitter}
	}
}

// exhausted adds a life that failed after n attempts.
func (w *world) exhausted(l *querytest.Life, e *timeline.Error, n int, sev timeline.AlertSeverity) {
	l.Started()
	for i := 1; i <= n; i++ {
		if i > 1 {
			l.Event(timeline.AttemptStarted, 1, i)
		}
		l.Event(timeline.AttemptFailed, 1, i, failedWith(e, time.Duration(i)*400*time.Millisecond))
		if i < n {
			d := time.Second << i
			l.Event(timeline.TaskRetried, 1, i, waits(i+1, d, 1.07))
			l.At = l.At.Add(d)
		}
	}
	why := timeline.FailExhausted
	if e.Class == timeline.ClassPermanent {
		why = timeline.FailPermanent
	}
	l.Event(timeline.TaskFailed, 1, 0, func(ev *timeline.Event) { ev.Error, ev.Reason, ev.Attempts = e, why, n })
	l.Event(timeline.MovedToDLQ, 1, 0, func(ev *timeline.Event) {
		ev.Error, ev.Reason, ev.Attempts = e, why, n
		ev.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", l.Task.ID, 1), AlertSeverity: sev, Requeueable: true}
	})
	w.Add(l.Events...)
}

func (w *world) fill(now time.Time) {
	w.progress, w.lives = map[string]timeline.Progress{}, map[string]*querytest.Life{}
	w.troubled(now)
	w.detailed(now)
	for i := range 12 {
		l := w.life(fmt.Sprintf("asynq:default:done-%02d", i), "send_email", "mail", now.Add(-time.Duration(40-i)*time.Minute))
		l.Completed()
		w.Add(l.Events...)
	}
	for i := range 6 {
		w.exhausted(w.life(fmt.Sprintf("asynq:default:pay-%02d", i), "payment", "payments", now.Add(-time.Duration(30-i)*time.Minute)), err503, 3, timeline.AlertCritical)
	}
	for i := range 3 {
		w.exhausted(w.life(fmt.Sprintf("river:main:%d", 4200+i), "withdrawal", "payments", now.Add(-time.Duration(20-i)*time.Minute)), err404, 1, timeline.AlertHigh)
	}
	w.exhausted(w.life("asynq:default:mail-77", "send_email", "mail", now.Add(-9*time.Minute)), slow, 4, timeline.AlertMedium)
	w.exhausted(w.life("evil:\u202e<script>alert(1)</script>/x", "send_email", "mail", now.Add(-8*time.Minute)), slow, 2, timeline.AlertMedium)
	w.Add(w.life("asynq:default:import-1", "import_orders", "imports", now.Add(-90*time.Second)).Started().Events...)
	w.Add(w.life("river:main:9001", "report", "reports", now.Add(-3*time.Minute)).Started().Events...)
	r := w.life("asynq:default:pay-live", "payment", "payments", now.Add(-20*time.Second)).Started()
	r.Event(timeline.AttemptFailed, 1, 1, failedWith(err503, 900*time.Millisecond))
	r.At = now
	r.Event(timeline.TaskRetried, 1, 1, waits(2, 10*time.Minute, 0.93))
	w.Add(r.Events...)
	for i := range 4 {
		l := w.life(fmt.Sprintf("asynq:default:wait-%d", i), "send_email", "mail", now.Add(-time.Duration(i)*7*time.Second))
		l.Event(timeline.TaskCreated, 1, 0)
		w.Add(l.Events...)
	}
	w.answered = len(w.All())
}

// publish says on every channel what happened.
func (w *world) publish(e timeline.Event, p *timeline.Progress) {
	topics := []string{"task:" + e.Task.ID, "user_dashboard:" + e.UserID}
	switch e.Type {
	case timeline.AttemptStarted, timeline.AttemptSuccess, timeline.AttemptFailed, timeline.TaskProgress:
		// The topic of all tasks carries what changes a task's state alone.
	default:
		topics = append(topics, "tasks")
	}
	state := e.Type.StateAfter()
	if p != nil {
		state = timeline.StateInProgress
	}
	for _, topic := range topics {
		w.say(topic, &e, p, state)
	}
}

// say publishes an event on one channel.
func (w *world) say(topic string, e *timeline.Event, p *timeline.Progress, state timeline.State) {
	m, err := json.Marshal(map[string]any{"v": 1, "topic": topic, "task": map[string]any{"run": e.Run, "attempt": e.Attempt, "progress": p, "state": state}, "event": struct {
		timeline.Event
		TaskType string `json:"task_type,omitempty"`
	}{*e, e.Task.Type}})
	if err == nil {
		w.broker.Publish(topic, m)
	}
}

// add lets something happen to a task.
func (w *world) add(l *querytest.Life, kind timeline.Type, run, attempt int, change ...func(*timeline.Event)) {
	l.At = time.Now()
	l.Event(kind, run, attempt, change...)
	e := l.Events[len(l.Events)-1]
	w.Add(e)
	w.publish(e, nil)
}

// live lets the world go on until ctx ends.
func (w *world) live(ctx context.Context) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.move("asynq:default:import-1", n%200, 200)
		if n%3 == 0 {
			w.move("river:main:9001", min(n/3, 90), 100)
		}
		if n%14 == 5 {
			l := w.life(fmt.Sprintf("asynq:default:mail-%d", 1000+n), "send_email", "mail", time.Now())
			w.add(l, timeline.TaskCreated, 1, 0)
			w.add(l, timeline.TaskStarted, 1, 0)
			w.add(l, timeline.AttemptStarted, 1, 1)
		}
		if n%14 == 12 && n > 14 {
			if l := w.lives[fmt.Sprintf("asynq:default:mail-%d", 1000+n-7)]; l != nil {
				w.add(l, timeline.AttemptSuccess, 1, 1, func(e *timeline.Event) { e.Duration = timeline.Millis(2100 * time.Millisecond) })
				w.add(l, timeline.TaskCompleted, 1, 0, func(e *timeline.Event) { e.Duration = timeline.Millis(2100 * time.Millisecond) })
			}
		}
		if l := w.lives[longID]; l != nil && n%4 == 0 {
			w.add(l, timeline.AttemptStarted, l.Events[len(l.Events)-1].Run+1, 1)
		}
		w.obey()
	}
}

func (w *world) move(id string, done, total int) {
	l := w.lives[id]
	if s, ok := timeline.Fold(l.Events); !ok || s.State != timeline.StateInProgress {
		return
	}
	p := timeline.Progress{Done: float64(done), Total: float64(total), Fraction: float64(done) / float64(total), Message: fmt.Sprintf("row %d of %d", done, total), At: time.Now()}
	w.mu.Lock()
	w.progress[id] = p
	w.mu.Unlock()
	e := timeline.Event{Type: timeline.TaskProgress, Severity: timeline.SeverityInfo, Task: l.Task, Run: 1, Attempt: 1, OccurredAt: time.Now(), Progress: &p}
	w.publish(e, &p)
}

// obey does what operators asked for since the last look.
func (w *world) obey() {
	all := w.All()
	for _, e := range all[w.answered:] {
		l := w.lives[e.Task.ID]
		if l == nil || e.Seq != 0 {
			continue
		}
		switch e.Type {
		case timeline.CancelRequested:
			l.Events = append(l.Events, e)
			w.publish(e, nil)
			if strings.HasPrefix(l.Task.ID, "asynq:default:deaf-") {
				w.add(l, timeline.CancelIgnored, e.Run, 1, func(ev *timeline.Event) { ev.Operator, ev.StopProof = e.Operator, "ignored" })
				break
			}
			w.add(l, timeline.AttemptAborted, e.Run, 1, func(ev *timeline.Event) { ev.StopProof = "cancelled by an operator" })
			w.add(l, timeline.TaskCancelled, e.Run, 0, func(ev *timeline.Event) { ev.Operator, ev.StopProof = e.Operator, "stopped" })
		case timeline.DLQRetryRequested:
			l.Events = append(l.Events, e)
			w.publish(e, nil)
			w.add(l, timeline.TaskRetried, e.Run, 0, func(ev *timeline.Event) {
				ev.Retry, ev.Operator = &timeline.Retry{NextAttempt: 1, Reason: timeline.RetryManual}, e.Operator
			})
			w.add(l, timeline.TaskStarted, e.Run, 0)
			w.add(l, timeline.AttemptStarted, e.Run, 1)
			w.add(l, timeline.AttemptSuccess, e.Run, 1, func(ev *timeline.Event) { ev.Duration = timeline.Millis(180 * time.Millisecond) })
			w.add(l, timeline.TaskCompleted, e.Run, 0, func(ev *timeline.Event) {
				ev.Duration, ev.Output = timeline.Millis(180*time.Millisecond), timeline.Payload(`{"settled":true}`)
			})
		default:
			w.publish(e, nil)
		}
	}
	w.answered = len(all)
}

// Task implements query.Reader: a task with its live progress.
func (w *world) Task(ctx context.Context, scope readmodel.Scope, id string) (timeline.Snapshot, error) {
	s, err := w.Store.Task(ctx, scope, id)
	w.withProgress(&s)
	return s, err
}

// Tasks implements query.Reader.
func (w *world) Tasks(ctx context.Context, scope readmodel.Scope, f readmodel.TaskFilter, page readmodel.Page) (readmodel.List[timeline.Snapshot], error) {
	list, err := w.Store.Tasks(ctx, scope, f, page)
	for i := range list.Rows {
		w.withProgress(&list.Rows[i])
	}
	return list, err
}

func (w *world) withProgress(s *timeline.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.progress[s.ID]; ok && s.State == timeline.StateInProgress {
		s.Progress = &p
	}
}

// Health implements query.Reader.
func (w *world) Health(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error) {
	h, err := w.Store.Health(ctx, scope, window)
	if err != nil {
		return h, err
	}
	now := time.Now().UTC()
	h.GeneratedAt = now
	h.Queues = []readmodel.QueueDepth{{Queue: "payments", Pending: 2, InProgress: 1, Retrying: 1, OldestPendingAt: now.Add(-40 * time.Second)}, {Queue: "mail", Pending: 4, InProgress: 1}, {Queue: "imports", InProgress: 1}, {Queue: "reports", InProgress: 1}}
	h.ActiveBreakers = []readmodel.ActiveBreaker{{Provider: "bank", State: timeline.BreakerOpen, Since: now.Add(-70 * time.Second), OpenUntil: now.Add(20 * time.Second), Why: "failure_rate", Calls: 20, Failures: 14}}
	h.Completed, h.Failed = h.Tasks[timeline.StateCompleted], h.Tasks[timeline.StateFailed]
	if n := h.Completed + h.Failed; n > 0 {
		h.FailureRate = float64(h.Failed) / float64(n)
	}
	h.DeadLetters, h.OldestDeadLetterAt = h.Failed, now.Add(-30*time.Minute)
	h.Execution = readmodel.ExecutionTime{Count: h.Completed + h.Failed, Average: timeline.Millis(840 * time.Millisecond), P50: timeline.Millis(600 * time.Millisecond), P95: timeline.Millis(2100 * time.Millisecond), P99: timeline.Millis(4800 * time.Millisecond)}
	h.IngestLag = timeline.Millis(120 * time.Millisecond)
	return h, nil
}
