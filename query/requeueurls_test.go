package query

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestRequeueURLsAreRegistered(t *testing.T) {
	now := at
	h := start(t, func(_ *Config, d *Deps) { d.Now = func() time.Time { return now } })
	put := func(body string, status int) requeueView {
		t.Helper()
		var v requeueView
		h.do("PUT", base+"/requeue-urls/mail%2Fbulk", "admin", body).want(status).json(&v)
		return v
	}
	first := put(`{"url":"https://a.example.com/x?y=1","reason":"the workers are in Node"}`, 201)
	if first.Queue != "mail/bulk" || !strings.HasPrefix(first.Secret, "whsec_default+mail/bulk+") || first.ChangedBy != "key:admin" || !first.FormerSecretUntil.IsZero() {
		t.Errorf("%+v", first)
	}
	// Another URL, the same secret, which is not shown again.
	if v := put(`{"url":"https://b.example.com/","keeps_input":true}`, 200); v.Secret != "" || !v.KeepsInput || v.URL != "https://b.example.com/" {
		t.Errorf("%+v", v)
	}
	now = now.Add(time.Hour)
	second := put(`{"url":"https://b.example.com/","rotate_secret":true}`, 200)
	if second.Secret == "" || second.Secret == first.Secret || !second.FormerSecretUntil.Equal(now.Add(24*time.Hour)) || second.KeepsInput {
		t.Errorf("%+v", second)
	}
	var stored timeline.RequeueURL
	rows, err := h.store.Settings(t.Context(), "default", timeline.SettingRequeueURL)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if stored, err = decodeSetting[timeline.RequeueURL](rows[0]); err != nil || !strings.HasSuffix(second.Secret, stored.Salt) || !strings.HasSuffix(first.Secret, stored.FormerSalt) {
		t.Errorf("%+v, %v", stored, err)
	}
	if strings.Contains(string(rows[0].Body), "whsec_") {
		t.Errorf("the secret is stored: %s", rows[0].Body)
	}
	var list struct{ Data []requeueView }
	h.get("/requeue-urls", "operator").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].Secret != "" || list.Data[0].Queue != "mail/bulk" {
		t.Errorf("%+v", list)
	}
	h.do("DELETE", base+"/requeue-urls/mail%2Fbulk", "admin", "").want(204)
	h.do("DELETE", base+"/requeue-urls/mail%2Fbulk", "admin", "").want(404, codeNotFound)
	h.get("/requeue-urls", "operator").want(200).json(&list)
	if len(list.Data) != 0 {
		t.Errorf("%+v", list)
	}
	// The answer asked for again does not show the secret again.
	a := h.do("PUT", base+"/requeue-urls/q", "admin", `{"url":"https://b.example.com/"}`, "Idempotency-Key", "k").want(201)
	b := h.do("PUT", base+"/requeue-urls/q", "admin", `{"url":"https://b.example.com/"}`, "Idempotency-Key", "k").want(201)
	if !strings.Contains(string(a.body), "whsec_") || strings.Contains(string(b.body), "whsec_") {
		t.Errorf("%s, again %s", a.body, b.body)
	}
}

func TestRequeueURLsAreChecked(t *testing.T) {
	h := start(t)
	for _, body := range []string{
		``, `{}`, `{"url":""}`, `{"url":"ftp://a.example.com/"}`, `{"url":"https:///x"}`, `{"url":"https://user:pw@a.example.com/"}`,
		`{"url":"https://a.example.com/#x"}`, `{"url":"https://a.example.com/` + strings.Repeat("x", 2048) + `"}`, `{"url":7}`, `{"url":"https://a.example.com/","secret":"mine"}`,
	} {
		h.do("PUT", base+"/requeue-urls/orders", "admin", body).want(400, codeInvalidBody)
	}
	h = start(t, func(_ *Config, d *Deps) { d.RequeueSecret = nil })
	h.do("PUT", base+"/requeue-urls/orders", "admin", `{"url":"https://a.example.com/"}`).want(503, codeUnavailable)
}

// servers knows one served queue.
type servers string

func (s servers) Served(_ context.Context, _, queue string) (bool, error) {
	if s == "" {
		return false, context.DeadlineExceeded
	}
	return queue == string(s), nil
}

func TestRetryOfWhatNoAgentRuns(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) { d.Servers = servers("payments") })
	life := func(id, queue string, change func(*timeline.DeadLetterRef)) {
		task := timeline.Task{ID: id, Queue: queue, Runner: "bullmq", Input: timeline.Payload(`{"order":4711}`)}
		h.store.Add(querytest.NewLife(task, at).Failed(change).Events...)
	}
	foreign := func(r *timeline.DeadLetterRef) { r.Requeueable = false }
	life("foreign", "orders", foreign)
	life("coarse", "orders", func(r *timeline.DeadLetterRef) {
		r.Requeueable, r.NotReplayable = false, "the input was not sent with the failure"
	})
	life("coarse2", "orders", func(r *timeline.DeadLetterRef) { r.Requeueable, r.NotReplayable = false, "the input was cut" })
	life("sealed", "orders", func(r *timeline.DeadLetterRef) { r.Requeueable, r.Sealed = false, []byte("s") })
	life("ours", "payments", func(*timeline.DeadLetterRef) {})
	life("waits", "nobody", func(*timeline.DeadLetterRef) {})
	served := func(id, body string) bool {
		t.Helper()
		var a accepted
		h.post("/tasks/"+id+"/retry", "operator", body).want(202).json(&a)
		if a.Served == nil {
			t.Fatalf("%s: nothing is said of who serves it", id)
		}
		return *a.Served
	}
	for _, id := range []string{"foreign", "coarse", "sealed"} {
		h.post("/tasks/"+id+"/retry", "operator", "").want(422, codeNotRequeueable)
	}
	if !served("ours", "") || served("waits", "") {
		t.Error("wrong about who serves what")
	}
	var task taskView
	h.get("/tasks/waits", "reader").want(200).json(&task)
	if task.State != timeline.StateRetrying || task.RetryRequestedAt.IsZero() {
		t.Errorf("the retry that waits is %s since %v", task.State, task.RetryRequestedAt)
	}

	h.do("PUT", base+"/requeue-urls/orders", "admin", `{"url":"https://shop.example.com/"}`).want(201)
	if !served("foreign", `{"input_patch":{"order":4712}}`) {
		t.Error("a queue with a URL is not served")
	}
	e := h.events("foreign", timeline.DLQRetryRequested)[0]
	if e.DeadLetter.SourceID != timeline.RequeueURLSource || string(e.Input) != `{"order":4711}` || e.Operator.InputEdits != 1 || e.Operator.InputAfter == "" {
		t.Errorf("%+v %+v %+v", e, e.DeadLetter, e.Operator)
	}
	h.post("/tasks/coarse/retry", "operator", "").want(422, codeNotReplayable)
	h.post("/tasks/sealed/retry", "operator", "").want(422, codeNotReplayable)
	h.do("PUT", base+"/requeue-urls/orders", "admin", `{"url":"https://shop.example.com/","keeps_input":true}`).want(200)
	h.post("/tasks/coarse/retry", "operator", `{"input_patch":{"order":4712}}`).want(422, codePatchNotApplicable)
	h.post("/tasks/sealed/retry", "operator", `{"input_patch":{"order":4712}}`).want(422, codePatchNotApplicable)
	for _, id := range []string{"coarse", "coarse2", "sealed"} {
		served(id, "")
	}
	if e := h.events("coarse2", timeline.DLQRetryRequested)[0]; len(e.Input) > 0 {
		t.Errorf("what was cut goes as the original: %s", e.Input)
	}
	h.do("DELETE", base+"/requeue-urls/orders", "admin", "").want(204)
	life("late", "orders", foreign)
	h.post("/tasks/late/retry", "operator", "").want(422, codeNotRequeueable)
}

func TestWhoServesIsNotAlwaysKnown(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) { d.Servers = servers("") })
	h.fill()
	if a := h.post("/tasks/failed/retry", "operator", "").want(202); strings.Contains(string(a.body), "served") {
		t.Errorf("%s", a.body)
	}
}

func TestEachEditHasItsOwnKey(t *testing.T) {
	task := timeline.Task{Namespace: "default", ID: "t1", Runner: "http"}
	letter := func(run int) timeline.DeadLetter { return timeline.DeadLetter{Task: task, Run: run} }
	asked := func(run, edits int) timeline.Event {
		return timeline.Event{Type: timeline.DLQRetryRequested, Task: task, Run: run, Operator: &timeline.Operator{InputEdits: edits}}
	}
	history := []timeline.Event{{Type: timeline.TaskStarted, Task: task, Run: 1, SourceID: "s1"}, asked(2, 1), {Type: timeline.TaskStarted, Task: task, Run: 2, SourceID: "s2"}}
	for _, c := range []struct {
		run    int
		edited bool
		want   int
	}{{1, false, 0}, {1, true, 2}, {2, false, 1}, {2, true, 2}} {
		if got := editsBefore(history, letter(c.run), c.edited); got != c.want {
			t.Errorf("%+v: %d edits", c, got)
		}
	}
	if s1, s2 := holderOf(history, letter(1)), holderOf(history, letter(2)); s1 != "s1" || s2 != "s2" {
		t.Errorf("held by %q and %q", s1, s2)
	}
	other := letter(2)
	other.Runner = "asynq"
	if s := holderOf(history, other); s != "" {
		t.Errorf("held by %q", s)
	}
}

// The process that ran a command is gone: an agent that serves its queue runs it
// again, and without one nobody does.
func TestACommandIsRetriedWhereAnAgentServesItsQueue(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) { d.Servers = servers("nightly") })
	for id, queue := range map[string]string{"backup": "nightly", "elsewhere": "hourly"} {
		task := timeline.Task{ID: id, Queue: queue, Runner: "exec", Input: timeline.Payload(`{"command":["backup"]}`)}
		h.store.Add(querytest.NewLife(task, at).Failed(func(r *timeline.DeadLetterRef) { r.Requeueable = false }).Events...)
	}
	h.post("/tasks/elsewhere/retry", "operator", "").want(422, codeNotRequeueable)
	h.post("/tasks/backup/retry", "operator", "").want(202)
	if e := h.events("backup", timeline.DLQRetryRequested)[0]; !e.DeadLetter.Requeueable || e.DeadLetter.SourceID != "" {
		t.Errorf("the request says %+v: want any agent of the queue", e.DeadLetter)
	}
}
