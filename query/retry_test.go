package query

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

func (h *harness) events(task string, kind timeline.Type) []timeline.Event {
	var out []timeline.Event
	for _, e := range h.store.All() {
		if e.Task.ID == task && e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

func TestRetryWritesTheRequest(t *testing.T) {
	h := start(t)
	h.fill()
	a := h.post("/tasks/failed/retry", "operator", `{"reason":"the bank is back"}`).want(202)
	var got accepted
	a.json(&got)
	want := accepted{TaskID: "failed", Run: 2, CommandID: timeline.CommandID("default", "failed", 2), DeadLetterID: timeline.DeadLetterID("default", "failed", 1),
		Status: "accepted", State: timeline.StateRetrying, DeadLetterStatus: timeline.DeadLetterRetrying}
	if got != want {
		t.Errorf("answered %+v, want %+v", got, want)
	}
	if l := a.header.Get("Location"); l != "/api/v1/tasks/failed" {
		t.Errorf("Location %q", l)
	}
	events := h.events("failed", timeline.DLQRetryRequested)
	if len(events) != 1 {
		t.Fatalf("%d requests", len(events))
	}
	e := events[0]
	if e.ID != timeline.DerivedEventID("default", "failed", 2, 0, timeline.DLQRetryRequested) || e.Run != 2 || e.Attempt != 0 || e.Seq != 0 ||
		e.TraceID != (timeline.TraceID{1}) || e.SpanID != (timeline.SpanID{1}) || e.Namespace != "default" || e.Queue != "payments" || e.Runner != "asynq" || string(e.Input) != `{"order":4711}` || e.UserID != "u1" ||
		e.DeadLetter == nil || e.DeadLetter.ID != want.DeadLetterID || e.Operator.Actor != "key:operator" || e.Operator.Reason != "the bank is back" || e.Operator.CommandID != want.CommandID {
		t.Errorf("the event is %+v", e)
	}
	if !strings.Contains(h.log.String(), `"msg":"audit","actor":"key:operator"`) {
		t.Errorf("no audit line in %s", h.log.String())
	}
}

func TestRetryIsShownAtOnce(t *testing.T) {
	h := start(t)
	h.fill()
	h.store.Set(func(s *querytest.Store) { s.Lag = true })
	h.post("/tasks/failed/retry", "operator", "").want(202)
	h.post("/tasks/cancelled/retry", "operator", "").want(202)
	h.post("/tasks/running/cancel", "operator", "").want(202)
	h.post("/failed-tasks/"+letterID("theirs", 1)+"/discard", "operator", "").want(202)
	for range 2 { // before and after the store shows them
		var task taskView
		for _, id := range []string{"failed", "cancelled"} {
			h.get("/tasks/"+id, "reader").want(200).json(&task)
			if task.State != timeline.StateRetrying || task.Run != 2 {
				t.Errorf("%s is %s in run %d", id, task.State, task.Run)
			}
		}
		task = taskView{}
		h.get("/tasks/running", "reader").want(200).json(&task)
		if task.CancelRequestedAt.IsZero() {
			t.Error("the request to cancel is not shown")
		}
		for id, want := range map[string]timeline.DeadLetterStatus{letterID("failed", 1): "retrying", letterID("cancelled", 1): "retrying", letterID("theirs", 1): "discarded"} {
			var d deadLetterView
			h.get("/failed-tasks/"+id, "reader").want(200).json(&d)
			if d.Status != want {
				t.Errorf("the dead letter of %s is %s, want %s", d.Task.ID, d.Status, want)
			}
		}
		var page struct{ Data []taskView }
		h.get("/tasks?state=failed", "reader").want(200).json(&page)
		if len(page.Data) != 1 || page.Data[0].Task.ID != "theirs" {
			t.Errorf("failed are %+v", page.Data)
		}
		h.store.Reveal()
	}
	if n := len(h.events("failed", timeline.DLQRetryRequested)); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestRetryRefusals(t *testing.T) {
	h := start(t)
	h.fill()
	life := func(id string, f func(*querytest.Life) *querytest.Life) {
		h.store.Add(f(querytest.NewLife(timeline.Task{ID: id, Runner: "asynq", Input: timeline.Payload(`not json`)}, at)).Events...)
	}
	life("superseded", func(l *querytest.Life) *querytest.Life {
		l.Failed().Event(timeline.TaskRetried, 2, 0, func(e *timeline.Event) { e.Retry = &timeline.Retry{Reason: timeline.RetryManual, NextAttempt: 1} })
		return l.Event(timeline.TaskStarted, 2, 0).Event(timeline.TaskFailed, 2, 0, func(e *timeline.Event) { e.Attempts = 1 }).
			Event(timeline.MovedToDLQ, 2, 0, func(e *timeline.Event) {
				e.DeadLetter = &timeline.DeadLetterRef{Requeueable: true}
				e.Reason = timeline.FailExhausted
			})
	})
	life("sealedaway", func(l *querytest.Life) *querytest.Life {
		return l.Failed(func(r *timeline.DeadLetterRef) { r.NotReplayable = "the input was cut and there is no key" })
	})
	life("foreign", func(l *querytest.Life) *querytest.Life {
		return l.Failed(func(r *timeline.DeadLetterRef) { r.Requeueable = false })
	})
	life("plain", func(l *querytest.Life) *querytest.Life { return l.Failed() })
	life("noletter", func(l *querytest.Life) *querytest.Life { return l.Started().Event(timeline.TaskFailed, 1, 0) })
	life("lost", func(l *querytest.Life) *querytest.Life { return l.Started().Event(timeline.TaskLost, 1, 1) })
	for _, c := range []struct {
		target, body string
		status       int
		code         code
	}{
		{"/tasks/none/retry", "", 404, codeNotFound},
		{"/tasks/done/retry", "", 409, codeTaskCompleted},
		{"/tasks/running/retry", "", 409, codeTaskRunning},
		{"/tasks/lost/retry", "", 409, codeTaskRunning},
		{"/tasks/noletter/retry", "", 409, codeNoDeadLetter},
		{"/tasks/sealedaway/retry", "", 422, codeNotReplayable},
		{"/tasks/foreign/retry", "", 422, codeNotRequeueable},
		{"/tasks/plain/retry", `{"input_patch":{"a":1}}`, 422, codePatchNotApplicable},
		{"/failed-tasks/" + letterID("none", 1) + "/retry", "", 404, codeNotFound},
		{"/failed-tasks/" + letterID("superseded", 1) + "/retry", "", 409, codeNotPending},
		{"/failed-tasks/" + letterID("superseded", 1) + "/discard", "", 409, codeNotPending},
		{"/tasks/done/cancel", "", 409, codeTaskCompleted},
		{"/tasks/failed/cancel", "", 409, codeTaskEnded},
	} {
		a := h.post(c.target, "operator", c.body).want(c.status, c.code)
		if c.code == codeNotPending && a.problem().Link != "/api/v1/failed-tasks/"+letterID("superseded", 2) {
			t.Errorf("%s does not link to the pending one: %s", c.target, a.body)
		}
	}
	if h.store.Writes != 0 {
		t.Errorf("%d writes", h.store.Writes)
	}
	h.post("/failed-tasks/"+letterID("failed", 1)+"/retry", "operator", "").want(202)
	h.post("/failed-tasks/"+letterID("failed", 1)+"/retry", "operator", "").want(409, codeNotPending)
	h.post("/failed-tasks/"+letterID("failed", 1)+"/discard", "operator", "").want(409, codeNotPending)
	h.post("/tasks/failed/retry", "operator", "").want(409, codeAlreadyRetrying)
	h.post("/failed-tasks/"+letterID("theirs", 1)+"/discard", "operator", "").want(202)
	h.post("/failed-tasks/"+letterID("theirs", 1)+"/retry", "operator", "").want(409, codeNotPending)
}

func TestRetryWithoutItsParts(t *testing.T) {
	h := start(t)
	h.fill()
	boom := errors.New("boom")
	h.store.Set(func(s *querytest.Store) { s.ClaimErr = boom })
	if a := h.post("/tasks/failed/retry", "operator", "").want(503, codeUnavailable); a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "boom") {
		t.Errorf("%v %s", a.header, a.body)
	}
	h.store.Set(func(s *querytest.Store) { s.ClaimErr, s.WriteErr = nil, boom })
	h.post("/tasks/failed/retry", "operator", "", "Idempotency-Key", "k").want(503, codeUnavailable)
	if h.store.Releases != 1 {
		t.Errorf("%d releases of the claim", h.store.Releases)
	}
	h.store.Set(func(s *querytest.Store) { s.WriteErr = nil })
	h.post("/tasks/failed/retry", "operator", "", "Idempotency-Key", "k").want(202)
	// Another process has the claim of the next run, whose event is on its way.
	if ok, err := h.store.ClaimRun(t.Context(), "default", "theirs", 2, "another"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	h.post("/tasks/theirs/retry", "operator", "").want(409, codeRunClaimed)
	h.store.Set(func(s *querytest.Store) { s.ReadErr = boom })
	h.get("/tasks/failed", "reader").want(503, codeUnavailable)
	if a := h.get("/tasks", "reader"); strings.Contains(string(a.body), "boom") {
		t.Errorf("the answer shows the cause: %s", a.body)
	}
}

func TestCancelledGetsItsDeadLetterFirst(t *testing.T) {
	h := start(t)
	h.fill()
	h.post("/tasks/cancelled/retry", "operator", "").want(202)
	moved, asked := h.events("cancelled", timeline.MovedToDLQ), h.events("cancelled", timeline.DLQRetryRequested)
	if len(moved) != 1 || len(asked) != 1 {
		t.Fatalf("%d moved, %d asked", len(moved), len(asked))
	}
	if m := moved[0]; m.Reason != timeline.FailCancelled || m.Run != 1 || !m.DeadLetter.AlertSeverity.IsZero() || m.DeadLetter.ID != asked[0].DeadLetter.ID {
		t.Errorf("moved %+v", m)
	}
}

func TestRetryRaces(t *testing.T) {
	h := start(t)
	h.fill()
	h.store.Set(func(s *querytest.Store) { s.Lag = true })
	const n = 20
	statuses := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := h.try("POST", base+"/tasks/failed/retry", "operator", "")
			if err != nil {
				t.Error(err)
			}
			statuses[i] = a.status
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	if count[202] != 1 || count[409] != n-1 || len(h.events("failed", timeline.DLQRetryRequested)) != 1 {
		t.Errorf("statuses %v, %d requests", count, len(h.events("failed", timeline.DLQRetryRequested)))
	}
}

func TestIdempotencyKey(t *testing.T) {
	h := start(t)
	h.fill()
	first := h.post("/tasks/failed/retry", "operator", `{"reason":"a"}`, "Idempotency-Key", "k1").want(202)
	again := h.post("/tasks/failed/retry", "operator", `{"reason":"a"}`, "Idempotency-Key", "k1").want(202)
	if string(first.body) != string(again.body) || again.header.Get(headerReplayed) != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("first %s, again %s %v", first.body, again.body, again.header)
	}
	h.post("/tasks/failed/retry", "operator", `{"reason":"b"}`, "Idempotency-Key", "k1").want(422, codeIdempotencyMismatch)
	h.post("/tasks/theirs/retry", "operator", `{"reason":"a"}`, "Idempotency-Key", "k1").want(422, codeIdempotencyMismatch)
	// Another token's key of the same name is another key.
	h.post("/tasks/failed/retry", "blindoperator", `{"reason":"a"}`, "Idempotency-Key", "k1").want(409, codeAlreadyRetrying)
	h.post("/tasks/failed/retry", "operator", "", "Idempotency-Key", strings.Repeat("k", 256)).want(400, codeInvalidParameter)
	const n = 10
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a, err := h.try("POST", base+"/tasks/theirs/retry", "operator", "", "Idempotency-Key", "k2")
			if err != nil || (a.status != 202 && a.problem().Code != string(codeIdempotencyInUse)) {
				t.Errorf("%v %s", err, a.body)
			}
		})
	}
	wg.Wait()
	if got := len(h.events("theirs", timeline.DLQRetryRequested)); got != 1 {
		t.Errorf("%d requests", got)
	}
}

func TestMemoryIdempotencyIsBounded(t *testing.T) {
	now := at
	m := NewMemoryIdempotency(time.Hour, 3, func() time.Time { return now })
	for i := range 5 {
		if a, err := m.Begin(t.Context(), fmt.Sprint(i), "f"); a != nil || err != nil {
			t.Fatal(a, err)
		}
		if err := m.Finish(t.Context(), fmt.Sprint(i), Answer{Status: 200 + i}); err != nil {
			t.Fatal(err)
		}
	}
	if m.order.Len() != 3 || len(m.byKey) != 3 {
		t.Errorf("%d remembered", m.order.Len())
	}
	now = now.Add(time.Hour)
	if a, err := m.Begin(t.Context(), "4", "other"); a != nil || err != nil || m.order.Len() != 1 {
		t.Errorf("%v, %v, %d remembered", a, err, m.order.Len())
	}
}
