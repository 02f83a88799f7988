package query

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

// letters puts failed tasks b-0 … into the store, a minute apart.
func (h *harness) letters(n int, change ...func(i int, t *timeline.Task)) {
	for i := range n {
		task := timeline.Task{ID: fmt.Sprintf("b-%d", i), Type: "payment", Queue: "payments", Runner: "asynq", UserID: "u1", Input: timeline.Payload(`{"order":1}`)}
		for _, f := range change {
			f(i, &task)
		}
		h.store.Add(querytest.NewLife(task, at.Add(time.Duration(i)*time.Minute)).Failed().Events...)
	}
}

// finish ends the run that a retry asked for.
func (h *harness) finish(task string, ok bool) {
	for _, e := range h.store.All() {
		if e.Type == timeline.DLQRetryRequested && e.Task.ID == task {
			life := querytest.NewLife(e.Task, e.OccurredAt.Add(time.Millisecond))
			life.Event(timeline.TaskStarted, e.Run, 0).Event(timeline.AttemptStarted, e.Run, 1)
			if ok {
				life.Event(timeline.AttemptSuccess, e.Run, 1).Event(timeline.TaskCompleted, e.Run, 0)
			} else {
				life.Event(timeline.AttemptFailed, e.Run, 1).Event(timeline.TaskFailed, e.Run, 0).Event(timeline.MovedToDLQ, e.Run, 0, func(m *timeline.Event) {
					m.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", task, e.Run), Requeueable: true}
				})
			}
			h.store.Add(life.Events...)
			return
		}
	}
	h.t.Errorf("%s was not retried", task)
}

// retried counts the retry requests by task.
func (h *harness) retried() map[string]int {
	n := map[string]int{}
	for _, e := range h.store.All() {
		if e.Type == timeline.DLQRetryRequested {
			n[e.Task.ID]++
		}
	}
	return n
}

func (h *harness) bulk(target, token, body string) bulkView {
	h.t.Helper()
	var v bulkView
	h.post(target, token, body).want(202).json(&v)
	return v
}

// until waits for a bulk action to be what fits.
func (h *harness) until(id, what string, fits func(bulkView) bool) bulkView {
	h.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var v bulkView
		h.get("/bulk/"+id, "admin").want(200).json(&v)
		if fits(v) {
			return v
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: still %+v", what, v)
		}
		<-tick.C
	}
}

func (h *harness) items(id string) []bulkItemView {
	h.t.Helper()
	var v listBody[bulkItemView]
	h.get("/bulk/"+id+"/items?limit=200", "admin").want(200).json(&v)
	return v.Data
}

func TestBulkRetryFromEndToEnd(t *testing.T) {
	h := start(t)
	h.letters(5)
	h.fill()
	v := h.bulk("/failed-tasks/bulk-retry", "operator", `{"filter":{"type":"payment","user_id":"u1"},"reason":"the bank is back","rate_per_second":500,"stop":{"on_breaker_open":false}}`)
	if v.Progress.Total != 6 || v.CreatedBy != "key:operator" || v.Status != bulkRunning {
		t.Fatalf("%+v", v)
	}
	h.until(v.ID, "all are asked for", func(v bulkView) bool { return v.Progress.Running == 6 })
	for _, e := range h.store.All() {
		if e.Type == timeline.DLQRetryRequested && (e.Attributes[bulkAttribute] != v.ID || e.Operator.Actor != "key:operator" || e.Operator.Reason != "the bank is back") {
			t.Errorf("the event does not say who, why and what it was part of: %+v %v", e.Operator, e.Attributes)
		}
	}
	for i := range 5 {
		h.finish(fmt.Sprintf("b-%d", i), i != 2)
	}
	h.finish("failed", true)
	v = h.until(v.ID, "it is completed", func(v bulkView) bool { return v.Status == bulkCompleted })
	if p := v.Progress; p.Succeeded != 5 || p.Failed != 1 || p.Waiting+p.Running+p.Skipped != 0 || v.EndedAt.IsZero() {
		t.Errorf("%+v", v)
	}
	items := h.items(v.ID)
	if len(items) != 6 || items[0].TaskID != "b-0" || items[0].Status != itemOK || items[0].NextRun != 2 || items[1].Index != 1 {
		t.Errorf("%+v", items)
	}
	var list listBody[bulkView]
	h.get("/bulk?status=completed", "user").want(200).json(&list)
	if len(list.Data) != 0 {
		t.Errorf("one user's token sees everybody's bulk action: %+v", list.Data)
	}
	h.get("/bulk?status=completed", "reader").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].Progress.Succeeded != 5 {
		t.Errorf("%+v", list.Data)
	}
}

func TestBulkDryRun(t *testing.T) {
	h := start(t)
	h.letters(3, func(i int, task *timeline.Task) { task.Type = []string{"payment", "email", "payment"}[i] })
	var v bulkSummary
	h.post("/failed-tasks/bulk-retry", "operator", `{"filter":{"fingerprint":["fp1:0011223344556677"]},"dry_run":true}`).want(200).json(&v)
	if v.Total != 3 || v.ByType[0] != (bulkCount{"payment", 2, ""}) || v.ByFingerprint[0].Count != 3 || v.ByFingerprint[0].Sample == "" || len(v.ByAge) == 0 || !v.OldestAt.Equal(at.Add(5*time.Second)) {
		t.Errorf("%+v", v)
	}
	if h.store.Writes != 0 {
		t.Errorf("a dry run wrote %d times", h.store.Writes)
	}
	h.post("/failed-tasks/bulk-retry", "blindoperator", `{"filter":{"type":"email"},"dry_run":true}`).want(403, codeForbidden)
}

func TestBulkSelections(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.MaxBulkItems = 2 })
	h.letters(3)
	for body, field := range map[string]string{
		`{}`: "filter", `{"filter":{}}`: "filter", `{"filter":null}`: "filter", `{"filter":[]}`: "filter", `{"filter":{"status":"pending"}}`: "filter.status",
		`{"filter":{"nosuch":"x"}}`: "filter.nosuch", `{"filter":{"type":""}}`: "filter.type", `{"filter":{"type":[]}}`: "filter.type", `{"filter":{"type":{}}}`: "filter.type",
		`{"filter":{"type":["a",""]}}`: "filter.type", `{"filter":{"from":"soon"}}`: "filter.from", `{"filter":{"min_attempts":-1}}`: "filter.min_attempts",
		`{"filter":{"type":"payment"},"ids":["` + letterID("b-0", 1) + `"]}`: "filter", `{"ids":["x"]}`: "ids", `{"ids":"x"}`: "ids", `{"nosuch":1}`: "nosuch",
		`{"filter":{"type":"payment"},"rate_per_second":0.001}`: "rate_per_second", `{"filter":{"type":"payment"},"canary":-1}`: "canary",
		`{"filter":{"type":"payment"},"stop":{"failure_share":2}}`: "stop.failure_share", `{"filter":{"type":"payment"},"stop":{"nosuch":2}}`: "nosuch",
		`{"filter":{"type":"payment"},"reason":7}`: "reason", `{"filter":{"type":"\u0000"}}`: "filter",
	} {
		if a := h.post("/failed-tasks/bulk-retry", "admin", body).want(400); a.problem().Field != field {
			t.Errorf("%s: the answer names %q, want %q: %s", body, a.problem().Field, field, a.body)
		}
	}
	h.post("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"}}`).want(422, codeTooMany)
	h.post("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"nosuch"}}`).want(422, codeNothingSelected)
	h.post("/failed-tasks/bulk-discard", "admin", `{"filter":{"type":"payment"},"canary":1}`).want(400)
	if h.store.Writes != 0 {
		t.Errorf("%d writes of refused calls", h.store.Writes)
	}
	v := h.bulk("/failed-tasks/bulk-discard", "admin", `{"ids":["`+letterID("b-0", 1)+`","`+letterID("nosuch", 1)+`"]}`)
	if v.Progress.Total != 1 {
		t.Errorf("%+v", v)
	}
	v = h.until(v.ID, "it is completed", func(v bulkView) bool { return v.Status == bulkCompleted })
	if v.Progress.Discarded != 1 {
		t.Errorf("%+v", v)
	}
	var d deadLetterView
	h.get("/failed-tasks/"+letterID("b-0", 1), "admin").want(200).json(&d)
	if d.Status != timeline.DeadLetterDiscarded {
		t.Errorf("the dead letter is %s", d.Status)
	}
}

func TestBulkItemsAreLookedAtAnew(t *testing.T) {
	h := start(t)
	h.letters(3)
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":20}`)
	h.post("/failed-tasks/"+letterID("b-2", 1)+"/discard", "admin", "").want(202)
	v = h.until(v.ID, "all had their turn", func(v bulkView) bool { return v.Progress.Waiting == 0 })
	items := h.items(v.ID)
	if items[2].Status != itemSkipped || items[2].Code != string(codeNotPending) || h.retried()["b-2"] != 0 {
		t.Errorf("%+v", items[2])
	}
}

func TestBulkCanaryStopsAndCanBeResumed(t *testing.T) {
	h := start(t)
	h.letters(6)
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":500,"canary":2}`)
	h.until(v.ID, "the canary is asked for", func(v bulkView) bool { return v.Progress.Running == 2 && strings.Contains(v.Progress.Note, "first 2") })
	h.finish("b-0", false)
	h.until(v.ID, "one has failed", func(v bulkView) bool { return v.Progress.Failed == 1 })
	if n := len(h.retried()); n != 2 {
		t.Fatalf("%d retries before the canary's outcome", n)
	}
	h.finish("b-1", false)
	v = h.until(v.ID, "it is stopped", func(v bulkView) bool { return v.Status == bulkStopped })
	if !strings.Contains(v.StatusReason, "2 of 2") || len(h.retried()) != 2 {
		t.Errorf("%+v, %d retries", v, len(h.retried()))
	}
	h.post("/bulk/"+v.ID+"/resume", "admin", `{"reason":"they are known"}`).want(200)
	h.until(v.ID, "the others are asked for", func(v bulkView) bool { return v.Progress.Running == 4 })
	h.post("/bulk/"+v.ID+"/abort", "admin", "").want(200)
	v = h.until(v.ID, "it is aborted", func(v bulkView) bool { return v.Status == bulkAborted })
	h.post("/bulk/"+v.ID+"/resume", "admin", "").want(409, codeBulkEnded)
}

func TestBulkStopsBeforeAnOpenBreaker(t *testing.T) {
	h := start(t)
	// The store of the tests says that the breaker of bank is open.
	h.letters(2, func(i int, task *timeline.Task) { task.Provider = []string{"post", "bank"}[i] })
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":500}`)
	v = h.until(v.ID, "it is stopped", func(v bulkView) bool { return v.Status == bulkStopped })
	if v.StatusReason != "the breaker of bank is open" || h.retried()["b-0"] != 1 || h.retried()["b-1"] != 0 {
		t.Errorf("%+v, %v", v, h.retried())
	}
}

func TestBulkPauses(t *testing.T) {
	h := start(t)
	h.letters(40)
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":100}`)
	h.until(v.ID, "it began", func(v bulkView) bool { return v.Progress.Running > 0 })
	h.post("/bulk/"+v.ID+"/pause", "operator", "").want(200)
	h.until(v.ID, "its progress is kept", func(v bulkView) bool { return v.Status == bulkPaused && len(h.retried()) == v.Progress.Running })
	n := len(h.retried())
	if n == 40 {
		t.Fatal("nothing was left to pause")
	}
	h.post("/bulk/"+v.ID+"/pause", "operator", "").want(200)
	began := time.Now()
	h.post("/bulk/"+v.ID+"/resume", "operator", "").want(200)
	h.until(v.ID, "it goes on to the end", func(v bulkView) bool { return v.Progress.Running == 40 })
	if took := time.Since(began); took < time.Duration(40-n-2)*10*time.Millisecond {
		t.Errorf("%d items at 100/s took %v", 40-n, took)
	}
}

// TestBulkSurvivesARestart stops the process in the middle; the next one carries
// on, and nothing is asked for twice.
func TestBulkSurvivesARestart(t *testing.T) {
	h := start(t)
	h.letters(30)
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":200}`)
	h.until(v.ID, "it began", func(v bulkView) bool { return v.Progress.Running > 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(h.retried()); n == 30 {
		t.Fatal("nothing was left to carry on with")
	}
	second := start(t, func(_ *Config, d *Deps) {
		d.Reader, d.Writer, d.Claimer, d.Settings = h.store, h.store, h.store, h.store
	})
	second.until(v.ID, "the next process carries on", func(v bulkView) bool { return v.Progress.Running == 30 })
	for task, n := range h.retried() {
		if n != 1 {
			t.Errorf("%s was retried %d times", task, n)
		}
	}
}

// TestBulkFindsWhatItDid has a process die after it acted on an item, and before
// it kept that.
func TestBulkFindsWhatItDid(t *testing.T) {
	store := querytest.NewStore()
	first := start(t, func(c *Config, d *Deps) {
		c.BulkInterval = time.Hour
		d.Reader, d.Writer, d.Claimer, d.Settings = store, store, store, store
	})
	first.store = store
	first.letters(2)
	v := first.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":500}`)
	first.until(v.ID, "it is asked for", func(v bulkView) bool { return v.Progress.Running == 2 })
	// The other process sees nothing of the results: the first has kept none.
	second := start(t, func(_ *Config, d *Deps) {
		d.Reader, d.Writer, d.Claimer, d.Settings = store, store, store, store
	})
	second.store = store
	second.until(v.ID, "the other knows what was done", func(v bulkView) bool { return v.Progress.Running == 2 })
	for _, item := range second.items(v.ID) {
		if item.Status != itemRunning || item.NextRun != 2 {
			t.Errorf("%+v", item)
		}
	}
	if n := first.retried(); n["b-0"] != 1 || n["b-1"] != 1 {
		t.Errorf("retries %v", n)
	}
}

// noLease gives the lease to nobody.
type noLease struct{}

func (noLease) Lease(context.Context, string, string, time.Duration) (bool, error) { return false, nil }

func TestBulkNeedsTheLease(t *testing.T) {
	store := querytest.NewStore()
	idle := start(t, func(_ *Config, d *Deps) {
		d.Reader, d.Writer, d.Claimer, d.Settings, d.Leases = store, store, store, store, noLease{}
	})
	idle.store = store
	idle.letters(2)
	v := idle.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":500}`)
	for range 5 {
		if err := idle.server.bulks.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(idle.retried()); n != 0 {
		t.Fatalf("%d retries without the lease", n)
	}
	holder := start(t, func(_ *Config, d *Deps) {
		d.Reader, d.Writer, d.Claimer, d.Settings = store, store, store, store
	})
	holder.until(v.ID, "the holder does it", func(v bulkView) bool { return v.Progress.Running == 2 })
}

func TestBulkWaitsForPartsThatAreAway(t *testing.T) {
	h := start(t)
	h.letters(2)
	h.store.Set(func(s *querytest.Store) { s.ClaimErr = fmt.Errorf("redis is away") })
	v := h.bulk("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"},"rate_per_second":500}`)
	h.until(v.ID, "it says what it waits for", func(v bulkView) bool { return strings.HasPrefix(v.Progress.Note, "waits: ") })
	h.store.Set(func(s *querytest.Store) { s.ClaimErr = nil })
	h.until(v.ID, "it goes on", func(v bulkView) bool { return v.Progress.Running == 2 && v.Progress.Skipped == 0 })
}

func TestBulkOfOneUser(t *testing.T) {
	h := start(t)
	h.fill()
	v := h.bulk("/failed-tasks/bulk-retry", "useroperator", `{"filter":{"type":"payment"},"stop":{"on_breaker_open":false}}`)
	if v.Progress.Total != 1 {
		t.Errorf("a token of u1 selected %d", v.Progress.Total)
	}
	h.until(v.ID, "it is asked for", func(v bulkView) bool { return v.Progress.Running == 1 })
	h.get("/bulk/"+v.ID, "user").want(200)
	h.get("/bulk/"+v.ID, "otheruser").want(404)
	h.get("/bulk/"+v.ID+"/items", "otheruser").want(404)
	h.post("/bulk/"+v.ID+"/abort", "otheruser", "").want(404)
	if n := h.retried(); n["failed"] != 1 || n["theirs"] != 0 {
		t.Errorf("retries %v", n)
	}
}

func TestBulkIdempotency(t *testing.T) {
	h := start(t)
	h.letters(1)
	body := `{"filter":{"type":"payment"}}`
	var one, two bulkView
	h.post("/failed-tasks/bulk-retry", "admin", body, headerIdempotencyKey, "k").want(202).json(&one)
	h.post("/failed-tasks/bulk-retry", "admin", body, headerIdempotencyKey, "k").want(202).json(&two)
	if one.ID != two.ID {
		t.Errorf("%s, then %s", one.ID, two.ID)
	}
	h.post("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"other"}}`, headerIdempotencyKey, "k").want(422, codeIdempotencyMismatch)
}

func TestBulkItemsPage(t *testing.T) {
	h := start(t)
	h.letters(25)
	v := h.bulk("/failed-tasks/bulk-discard", "admin", `{"filter":{"type":"payment"},"rate_per_second":1000}`)
	h.until(v.ID, "it is completed", func(v bulkView) bool { return v.Status == bulkCompleted })
	seen, cursor := 0, ""
	var back *string
	for range 5 {
		var page listBody[bulkItemView]
		h.get("/bulk/"+v.ID+"/items?limit=10"+cursor, "admin").want(200).json(&page)
		for _, item := range page.Data {
			if item.Index != seen {
				t.Fatalf("item %d after %d", item.Index, seen)
			}
			seen++
		}
		back = page.PrevCursor
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if seen != 25 || back == nil {
		t.Fatalf("%d items, previous %v", seen, back)
	}
	var page listBody[bulkItemView]
	h.get("/bulk/"+v.ID+"/items?limit=10&cursor="+*back, "admin").want(200).json(&page)
	if len(page.Data) != 10 || page.Data[0].Index != 10 {
		t.Errorf("%+v", page.Data)
	}
	h.get("/bulk/"+testBulk+"/items?limit=10&cursor="+*back, "admin").want(400, codeCursorMismatch)
}
