package sidecar

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func ok(w http.ResponseWriter, _ *http.Request, _ called) { _, _ = w.Write([]byte(`{"charged":true}`)) }

func TestATaskIsExecutedAndItsOutcomeRemembered(t *testing.T) {
	r := newRig(t, nil)
	url, calls := callback(t, ok)
	task := func() fields {
		return fields{"task_id": "order 17/x", "callback_url": url, "input": fields{"n": 1}, "queue": "money"}
	}
	a := r.post(task(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if a.status != http.StatusOK || a.State != "completed" || string(a.Output) != `{"charged":true}` {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	c := <-calls
	if got := c.header.Get("Idempotency-Key"); got != "default/order 17/x" {
		t.Errorf("Idempotency-Key %q", got)
	}
	if got := c.header.Get("Traceparent"); !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("traceparent %q is not of the caller's trace", got)
	}
	for _, h := range []string{"Tasktrail-Run", "Tasktrail-Attempt"} {
		if c.header.Get(h) != "1" {
			t.Errorf("%s is %q, want 1", h, c.header.Get(h))
		}
	}
	if c.header.Get("Tasktrail-Deadline") == "" || string(c.body.Input) != `{"n":1}` {
		t.Errorf("deadline %q, input %s", c.header.Get("Tasktrail-Deadline"), c.body.Input)
	}
	again := r.post(task())
	if again.status != http.StatusOK || string(again.Output) != `{"charged":true}` || len(calls) != 0 {
		t.Errorf("asked again: %d %s, %d more calls; want the same outcome and none", again.status, again.body, len(calls))
	}
	r.wantLife("order 17/x", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_success", "r1 task_completed")
	if got := r.collector.Events("order 17/x")[0].TraceID.String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the timeline's trace is %s", got)
	}
}

func TestAnAsyncTaskFailsThenSucceeds(t *testing.T) {
	r := newRig(t, nil)
	url, calls := callback(t, func(w http.ResponseWriter, r *http.Request, c called) {
		if c.body.Attempt == 1 {
			http.Error(w, "not yet", http.StatusBadGateway)
			return
		}
		ok(w, r, c)
	})
	a := r.post(fields{"task_id": "a", "callback_url": url, "mode": "async"})
	if a.status != http.StatusAccepted || a.header.Get("Location") != "/v1/tasks/a" {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if a := r.settled("a"); a.State != "completed" || len(calls) != 2 {
		t.Errorf("%s after %d calls", a.body, len(calls))
	}
	r.wantLife("a", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried",
		"r1 a2 attempt_started", "r1 a2 attempt_success", "r1 task_completed")
}

func TestAMissingOrMalformedCallbackIsRecordedAsTheErrorItIs(t *testing.T) {
	r := newRig(t, nil)
	for id, f := range map[string]fields{"none": {}, "bad": {"callback_url": "ftp://x"}, "worse": {"callback_url": "http://%zz"}} {
		f["task_id"] = id
		a := r.post(f)
		if a.status != http.StatusBadGateway || a.Code != "task_failed" || a.Reason != "permanent" || a.Attempts != 1 {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
		if want := timeline.DeadLetterID("default", id, 1).String(); a.DeadLetterID != want {
			t.Errorf("%s: dead letter %q, want %s", id, a.DeadLetterID, want)
		}
		r.wantLife(id, "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 task_failed", "r1 moved_to_dlq")
		if again := r.post(f); again.status != http.StatusBadGateway || again.DeadLetterID != a.DeadLetterID {
			t.Errorf("%s again: %d %s", id, again.status, again.body)
		}
	}
}

func TestCallbacksCannotReachWhatIsNotPublic(t *testing.T) {
	r := newRig(t, nil)
	redirect, _ := callback(t, func(w http.ResponseWriter, _ *http.Request, _ called) {
		w.Header().Set("Location", "http://10.0.0.1/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	large, _ := callback(t, func(w http.ResponseWriter, _ *http.Request, _ called) {
		_, _ = w.Write(make([]byte, 10<<20))
	})
	for id, c := range map[string]struct{ url, want string }{
		"direct":   {"http://192.168.0.1/", "is not public"},
		"metadata": {"http://169.254.169.254/latest", "is not public"},
		"redirect": {redirect, "is not public"},
		"large":    {large, "larger than"},
	} {
		a := r.post(fields{"task_id": id, "callback_url": c.url})
		if a.status != http.StatusBadGateway || a.Reason != "permanent" || !strings.Contains(a.Detail, c.want) || a.DeadLetterID == "" {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
}

func TestWhatIsNoTaskIsRefusedByName(t *testing.T) {
	r := newRig(t, nil)
	good := `"task_id":"x","type":"t","callback_url":"http://127.0.0.1:1/"`
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"type":"t"}`:    {422, "task_id"},
		`{"task_id":"x"}`: {422, "type"},
		`{"task_id":"` + strings.Repeat("x", 256) + `","type":"t"}`: {422, "task_id"},
		`{` + good + `,"amount":12.5}`:                              {422, "amount"},
		`{` + good + `,"amount":"much"}`:                            {422, "amount"},
		`{` + good + `,"mode":"later"}`:                             {422, "mode"},
		`{` + good + `,"timeout":"soon"}`:                           {422, "timeout"},
		`{` + good + `,"timeout":-1}`:                               {422, "timeout"},
		`{` + good + `,"timeout":1e300}`:                            {422, "timeout"},
		`{` + good + `,"deadline":"tomorrow"}`:                      {422, "deadline"},
		`{` + good + `,"max_attempts":-1}`:                          {422, "max_attempts"},
		`{` + good + `,"queue":"a,b"}`:                              {422, "queue"},
		`{` + good + `,"callbak_url":"http://x"}`:                   {422, "callbak_url"},
		`{` + good + `,"metadata":{"a":1}}`:                         {422, "metadata"},
		`{` + good + `}{}`:                                          {400, ""},
		`{`:                                                         {400, ""},
		`[]`:                                                        {400, ""},
		`{` + good + `,"input":"` + strings.Repeat("x", 1<<20) + `"}`: {413, ""},
	} {
		a := r.call("POST", "/v1/tasks", body)
		if a.status != want.status || a.Field != want.field || !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%.80s: %d %s, want %d and field %q", body, a.status, a.body, want.status, want.field)
		}
	}
	if a := r.call("POST", "/v1/tasks", `{}`, "Content-Type", "text/plain"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d", a.status)
	}
	if a := r.call("PUT", "/v1/tasks", `{}`); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("PUT: %d", a.status)
	}
	if a := r.call("GET", "/v1/tasks/nobody", nil); a.status != http.StatusNotFound {
		t.Errorf("unknown: %d", a.status)
	}
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	if len(r.queue.tasks) != 0 {
		t.Errorf("%d tasks were taken", len(r.queue.tasks))
	}
}

func TestTheTokenIsAskedFor(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Token = "secret" })
	for _, h := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "secret"}, {"Authorization", "Bearer "}} {
		if a := r.post(fields{"task_id": "x"}, h...); a.status != http.StatusUnauthorized {
			t.Errorf("%v: %d", h, a.status)
		}
	}
	if a := r.post(fields{"task_id": "x"}, "Authorization", "Bearer secret"); a.status != http.StatusBadGateway {
		t.Errorf("with the token: %d %s", a.status, a.body)
	}
	open := newRig(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+open.Addr()+"/v1/tasks/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example:7070"
	resp, err := open.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a name that is not the loopback's: %d", resp.StatusCode)
	}
	cfg := open.cfg
	cfg.Addr = "0.0.0.0:0"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "set token") {
		t.Errorf("a public address without a token: %v", err)
	}
}

func TestATaskThatGoesOnAnswersConflictAndIsCancelled(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Agent.CancelGrace = time.Minute })
	started := make(chan struct{}, 1)
	url, _ := callback(t, func(_ http.ResponseWriter, req *http.Request, _ called) {
		started <- struct{}{}
		<-req.Context().Done()
	})
	f := func() fields { return fields{"task_id": "c", "callback_url": url, "mode": "async", "type": "t"} }
	r.post(f())
	<-started
	if a := r.post(f()); a.status != http.StatusConflict || a.Code != "task_running" || a.Link != "/v1/tasks/c" {
		t.Errorf("while it runs: %d %s", a.status, a.body)
	}
	if a := r.call("DELETE", "/v1/tasks/c", nil); a.status != http.StatusOK || a.State != "cancelled" {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
	r.wantLife("c", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted", "r1 task_cancelled")
	events := r.collector.Events("c")
	if e := events[len(events)-1]; e.StopProof != "stopped" || e.Operator == nil {
		t.Errorf("the proof is %q by %v", e.StopProof, e.Operator)
	}
	if a := r.post(f()); a.status != http.StatusConflict || a.Code != "task_cancelled" {
		t.Errorf("after the cancel: %d %s", a.status, a.body)
	}
}

func TestATaskThatWaitsIsCancelledAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Agent.Retry.Base, c.Agent.Retry.Cap = 20*time.Second, 30*time.Second })
	url, _ := callback(t, func(w http.ResponseWriter, _ *http.Request, _ called) { w.WriteHeader(http.StatusBadGateway) })
	r.post(fields{"task_id": "w", "callback_url": url, "mode": "async"})
	until(t, "the wait", func() bool { return r.call("GET", "/v1/tasks/w", nil).State == "retrying" })
	if a := r.call("DELETE", "/v1/tasks/w", nil); a.State != "cancelled" {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
}

func TestACallerThatHangsUpCancelsNothing(t *testing.T) {
	r := newRig(t, nil)
	started, release := make(chan struct{}, 1), make(chan struct{})
	url, calls := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		started <- struct{}{}
		<-release
		ok(w, req, c)
	})
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.Addr()+"/v1/tasks", strings.NewReader(`{"task_id":"h","type":"t","callback_url":"`+url+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	go func() {
		<-started
		hangUp()
	}()
	if resp, err := r.client.Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("answered %d", resp.StatusCode)
	}
	until(t, "the sidecar to notice", func() bool { return r.http.hungUp.Load() == 1 })
	close(release)
	if a := r.settled("h"); a.State != "completed" || len(calls) != 1 {
		t.Errorf("%s after %d calls", a.body, len(calls))
	}
	if a := r.post(fields{"task_id": "h", "callback_url": url}); a.status != http.StatusOK || len(calls) != 1 {
		t.Errorf("asked again: %d, %d calls", a.status, len(calls))
	}
}

func TestProgressIsTakenFromTheAttemptsOwnURL(t *testing.T) {
	r := newRig(t, nil)
	urls, release := make(chan string, 1), make(chan struct{})
	url, _ := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		urls <- c.header.Get("Tasktrail-Progress-Url")
		<-release
		ok(w, req, c)
	})
	r.post(fields{"task_id": "p/1", "callback_url": url, "mode": "async"})
	at := <-urls
	if a := r.call("POST", at, `{"done":3,"total":4,"message":"three-of-four"}`); a.status != http.StatusNoContent {
		t.Errorf("%s: %d %s", at, a.status, a.body)
	}
	until(t, "the progress", func() bool { return strings.Contains(string(r.collector.Live()), "three-of-four") })
	for bad, want := range map[string]int{
		strings.Replace(at, "attempt=1", "attempt=2", 1): 403, strings.Replace(at, "p%2F1", "p%2F2", 1): 403,
	} {
		if a := r.call("POST", bad, `{"fraction":0.1}`); a.status != want {
			t.Errorf("%s: %d, want %d", bad, a.status, want)
		}
	}
	if a := r.call("POST", at, `{"done":-1}`); a.status != 422 {
		t.Errorf("a negative report: %d", a.status)
	}
	close(release)
	r.settled("p/1")
	if a := r.call("POST", at, `{"fraction":1}`); a.status != http.StatusConflict {
		t.Errorf("after the end: %d", a.status)
	}
}
