package main

import (
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// detailed adds tasks whose lives have what a task's page has to show: several runs,
// a breaker that opens, a gap, a handler that does not look at its context, and
// inputs that were redacted or cut.
func (w *world) detailed(now time.Time) {
	w.manyRuns(now)
	w.cut(now)
	l := w.life("asynq:default:deaf-1", "report", "reports", now.Add(-8*time.Minute)).Started()
	w.Add(l.Events...)
	w.Add(w.life("asynq:default:deaf-2", "report", "reports", now.Add(-3*time.Minute)).Started().Events...)
}

// manyRuns is a payment that failed, was retried by hand and failed again while the
// bank's breaker opened.
func (w *world) manyRuns(now time.Time) {
	l := w.life("asynq:default:pay-twice", "payment", "payments", now.Add(-26*time.Hour))
	l.Started()
	breaker := func(e *timeline.Event, state timeline.BreakerState) {
		e.Breaker = &timeline.Breaker{Provider: "bank", State: state}
	}
	failed := func(run, n int, e *timeline.Error, took time.Duration) {
		if run > 1 || n > 1 {
			l.Event(timeline.AttemptStarted, run, n, func(ev *timeline.Event) { breaker(ev, timeline.BreakerClosed) })
		}
		l.At = l.At.Add(took - time.Second)
		l.Event(timeline.AttemptFailed, run, n, failedWith(e, took))
	}
	refused := &timeline.Error{Class: timeline.ClassRetryable, Kind: "connection_refused", Message: "dial tcp 10.0.0.7:443: connect: connection refused", Fingerprint: "fp1:51be0c7712aa09d3", Stack: "bank.Transfer (bank.go:88)\nbank.dial (dial.go:31)\npayments.Settle (settle.go:41)\nworker.run (worker.go:117)"}
	pause := func(run, next int, d time.Duration) {
		l.At = l.At.Add(-time.Second)
		l.Event(timeline.TaskRetried, run, next-1, waits(next, d, 1.04))
		l.At = l.At.Add(d - time.Second)
	}
	dead := func(run, n int, e *timeline.Error) {
		why := timeline.FailExhausted
		l.Event(timeline.TaskFailed, run, 0, func(ev *timeline.Event) { ev.Error, ev.Reason, ev.Attempts = e, why, n })
		l.Event(timeline.MovedToDLQ, run, 0, func(ev *timeline.Event) {
			ev.Error, ev.Reason, ev.Attempts = e, why, n
			ev.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", l.Task.ID, run), AlertSeverity: timeline.AlertCritical, Requeueable: true}
		})
	}
	failed(1, 1, err503, 900*time.Millisecond)
	pause(1, 2, 2*time.Second)
	failed(1, 2, err503, 1400*time.Millisecond)
	pause(1, 3, 4100*time.Millisecond)
	failed(1, 3, refused, 700*time.Millisecond)
	dead(1, 3, refused)

	l.At = l.At.Add(25 * time.Hour)
	l.Event(timeline.DLQRetryRequested, 2, 0, func(ev *timeline.Event) {
		ev.Seq, ev.SourceID, ev.SourceSeq = 0, "", 0
		ev.Operator = &timeline.Operator{Actor: "key:ops", Reason: "the bank says it is back"}
	})
	l.At = l.At.Add(800 * time.Millisecond)
	l.Event(timeline.TaskRetried, 2, 0, func(ev *timeline.Event) {
		ev.Retry = &timeline.Retry{NextAttempt: 1, Reason: timeline.RetryManual}
	})
	l.At = l.At.Add(-time.Second)
	l.Event(timeline.TaskStarted, 2, 0)
	l.At = l.At.Add(-time.Second)
	gateway := &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_502", Message: "bank answered 502 Bad Gateway", Code: "502", HTTPStatus: 502, Fingerprint: "fp1:c4e0915d7b3aa216", Stack: err503.Stack}
	failed(2, 1, err503, 1200*time.Millisecond)
	pause(2, 2, 1900*time.Millisecond)
	failed(2, 2, gateway, 3100*time.Millisecond)
	l.At = l.At.Add(-time.Second)
	until := l.At.Add(30 * time.Second)
	l.Event(timeline.CircuitBreakerOpened, 2, 2, func(ev *timeline.Event) {
		ev.Breaker = &timeline.Breaker{Provider: "bank", State: timeline.BreakerOpen, Why: "failure_rate", Calls: 20, Failures: 14, OpenUntil: until}
	})
	dead(2, 2, gateway)
	// One of the first run's events never came. An operator's is not counted among the
	// agent's.
	kept := l.Events[:0:0]
	for _, e := range l.Events {
		if e.Run == 1 && e.Attempt == 2 && e.Type == timeline.AttemptStarted {
			continue
		}
		if e.Run == 2 && e.Seq > 0 {
			e.Seq--
		}
		kept = append(kept, e)
	}
	w.Add(kept...)
}

// cut is a task whose input was too long to record.
func (w *world) cut(now time.Time) {
	l := w.life("asynq:default:long-input", "import_orders", "imports", now.Add(-50*time.Minute))
	l.Task.Input = timeline.Payload(`{"_truncated":true,"_bytes":5242880,"preview":"{\"file\":\"orders.csv\",\"rows\":[` + strings.Repeat(`{\"order\":4711,\"sku\":\"A-1\"},`, 40) + `…"}`)
	l.Failed(func(r *timeline.DeadLetterRef) { r.Sealed = []byte("sealed") })
	w.Add(l.Events...)
}
