package requeue

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/internal/netguard"
	"github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts stand in for Redis, the log and the settings.
type parts struct {
	mu       sync.Mutex
	commands chan timeline.Command
	serves   map[string]int // queue → open streams
	targets  []Target
	events   chan timeline.Event
	writeErr error
	states   map[string]readmodel.RequeueState
}

func (p *parts) URLCommands(ctx context.Context, _, namespace, queue string) <-chan timeline.Command {
	name := namespace + "/" + queue
	p.count(name, 1)
	out := make(chan timeline.Command)
	go func() {
		defer close(out)
		defer p.count(name, -1)
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-p.commands:
				select {
				case <-ctx.Done():
					return
				case out <- c:
				}
			}
		}
	}()
	return out
}

func (p *parts) count(name string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serves[name] += n
}

func (p *parts) serving(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serves[name]
}

func (p *parts) RequeueTargets(context.Context) ([]Target, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets), nil
}

func (p *parts) register(t ...Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = t
}

func (p *parts) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeErr = err
}

func (p *parts) WriteEvents(_ context.Context, _ string, events []timeline.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writeErr != nil {
		return p.writeErr
	}
	for _, e := range events {
		p.events <- e
	}
	return nil
}

func (p *parts) SetRequeueState(_ context.Context, namespace, queue string, s readmodel.RequeueState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[namespace+"/"+queue] = s
}

func (p *parts) state(name string) readmodel.RequeueState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[name]
}

// receiver is a service's endpoint: it answers with the given statuses in turn,
// the last one for ever.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	header   http.Header
	got      []*http.Request
	bodies   [][]byte
}

func receive(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses, header: http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.bodies = append(r.got, req), append(r.bodies, b)
		status := r.statuses[0]
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
		for k, v := range r.header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "because\x00\xff of this")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

var key = []byte("a key of twenty-four byte")

var loopback = netguard.Guard{netip.MustParsePrefix("127.0.0.0/8")}

func start(t *testing.T, cfg Config) (*parts, *Requeue) {
	t.Helper()
	p := &parts{commands: make(chan timeline.Command, 16), serves: map[string]int{}, states: map[string]readmodel.RequeueState{}, events: make(chan timeline.Event, 16)}
	cfg.Source, cfg.RefreshEvery, cfg.Logger = "collector-1", 5*time.Millisecond, slog.New(slog.NewTextHandler(io.Discard, nil))
	if cfg.Backoff == 0 {
		cfg.Backoff = time.Millisecond
	}
	r, err := New(cfg, Deps{p, p, p, p})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return p, r
}

func command(task string, run int) timeline.Command {
	return timeline.Command{
		ID: timeline.CommandID("shop", task, run), Kind: timeline.CommandRetry, Run: run, RequestedAt: time.Now().Add(-time.Second),
		Task: timeline.Task{Namespace: "shop", ID: task, Type: "payment", Queue: "orders", Runner: "bullmq", UserID: "ann", Amount: "12.50", Currency: "EUR",
			Input: timeline.Payload(`{"order":4711}`), Metadata: map[string]string{"region": "eu"}, MaxAttempts: 3},
		DeadLetterID: timeline.DeadLetterID("shop", task, run-1), Reason: timeline.RetryManual,
		Operator: &timeline.Operator{Actor: "key:ann", Reason: "the bank is back"}, InputEdits: 1, InputPatch: json.RawMessage(`{"order":4712}`),
	}
}

func next(t *testing.T, p *parts) timeline.Event {
	t.Helper()
	select {
	case e := <-p.events:
		return e
	case <-time.After(15 * time.Second):
		t.Fatal("no event within 15 s")
	}
	panic("unreachable")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

func TestARetryIsPostedSignedAndAnswered(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	to := receive(t, 503, 429, 201)
	p.register(Target{"shop", "orders", 1, to.URL + "/requeue", [][]byte{key}, false})
	c := command("o1", 2)
	p.commands <- c
	e := next(t, p)
	if e.Type != timeline.TaskRetried || e.ID != timeline.DerivedEventID("shop", "o1", 2, 0, timeline.TaskRetried) || e.Run != 2 || e.Attempt != 0 ||
		e.Task.ID != "o1" || e.Namespace != "shop" || e.Queue != "orders" || len(e.Input) > 0 || e.Retry.Reason != timeline.RetryManual ||
		e.Retry.CommandID != c.ID || e.Operator.Actor != "key:ann" || e.DeadLetter.ID != c.DeadLetterID || !e.OccurredAt.After(c.RequestedAt) {
		t.Errorf("answered with %+v", e)
	}
	if n := to.calls(); n != 3 {
		t.Errorf("%d calls", n)
	}
	for i, req := range to.got {
		h := req.Header
		if err := webhook.Verify(key, h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), to.bodies[i], time.Now()); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		if h.Get("webhook-id") != c.ID.String() || h.Get("Idempotency-Key") != c.ID.String() || req.URL.Path != "/requeue" {
			t.Errorf("call %d: %s %v", i, req.URL, h)
		}
	}
	var got struct {
		Type string
		Data map[string]any
	}
	if err := json.Unmarshal(to.bodies[2], &got); err != nil {
		t.Fatal(err)
	}
	input, _ := json.Marshal(got.Data["input"])
	if got.Type != "task.retry" || got.Data["task_id"] != "o1" || got.Data["run"] != 2.0 || got.Data["idempotency_key"] != "shop/o1/e1" ||
		string(input) != `{"order":4712}` || got.Data["comment"] != "the bank is back" {
		t.Errorf("posted %s", to.bodies[2])
	}
	// The answer was lost on its way: it is given again, and nothing is posted twice.
	p.commands <- c
	if again := next(t, p); again.ID != e.ID || to.calls() != 3 {
		t.Errorf("%+v after %d calls", again, to.calls())
	}
	if s := r.Stats(); s.Taken != 1 || s.Failed != 2 || s.Refused != 0 || s.Targets != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsRefusedForGoodIsVisible(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	for name, c := range map[string]struct {
		target func() Target
		change func(*timeline.Command)
		kind   string
		calls  bool
	}{
		"404":               {target: func() Target { return Target{URL: receive(t, 404).URL} }, kind: "http_404"},
		"a redirect":        {target: func() Target { return Target{URL: receive(t, 302).URL} }, kind: "http_302"},
		"a private address": {target: func() Target { return Target{URL: "http://10.0.0.1:1/"} }, kind: "forbidden_address"},
		"sealed": {target: func() Target { return Target{URL: receive(t, 200).URL} }, kind: "not_replayable",
			change: func(c *timeline.Command) { c.Sealed = []byte("s") }},
		"sealed and edited": {target: func() Target { return Target{URL: receive(t, 200).URL, KeepsInput: true} }, kind: "not_replayable",
			change: func(c *timeline.Command) { c.Sealed = []byte("s") }},
		"an edit of no JSON": {target: func() Target { return Target{URL: receive(t, 200).URL} }, kind: "not_replayable",
			change: func(c *timeline.Command) { c.Input = timeline.Payload("no json") }},
		"too old": {target: func() Target { return Target{URL: receive(t, 500).URL} }, kind: "http_500",
			change: func(c *timeline.Command) { c.RequestedAt = time.Now().Add(-25 * time.Hour) }},
	} {
		target := c.target()
		target.Namespace, target.Queue, target.Version, target.Keys = "shop", name, uint64(time.Now().UnixNano()), [][]byte{key}
		p.register(target)
		eventually(t, name+" is served", func() bool { return p.serving("shop/"+name) == 1 && r.Stats().Targets == 1 })
		cmd := command("o-"+strings.ReplaceAll(name, " ", "-"), 3)
		if c.change != nil {
			c.change(&cmd)
		}
		p.commands <- cmd
		e := next(t, p)
		if e.Type != timeline.TaskFailed || e.Task.ID != cmd.Task.ID || e.Run != 3 || e.Attempts != 0 || e.Reason != timeline.FailPermanent || e.Error == nil || e.Error.Kind != c.kind ||
			strings.Contains(e.Error.Message, "127.0.0.1") {
			t.Errorf("%s: %+v %+v", name, e, e.Error)
		}
		// What the record makes of it: the dead letter is pending again.
		cmd.Namespace = "shop"
		moved := timeline.Event{ID: timeline.ID{1}, Type: timeline.MovedToDLQ, Task: cmd.Task, Run: 2, OccurredAt: cmd.RequestedAt.Add(-time.Hour)}
		asked := timeline.Event{ID: timeline.ID{2}, Type: timeline.DLQRetryRequested, Task: cmd.Task, Run: 3, OccurredAt: cmd.RequestedAt}
		if d := timeline.FoldDeadLetters([]timeline.Event{moved, asked, e}); len(d) != 1 || d[0].Status != timeline.DeadLetterPending {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestWhatIsNotTakenComesAgain(t *testing.T) {
	p, r := start(t, Config{Allow: loopback, Tries: 2})
	to := receive(t, 500, 500, 500, 200)
	p.register(Target{"shop", "orders", 1, to.URL, [][]byte{key}, true})
	c := command("o1", 2)
	c.InputPatch, c.Sealed = nil, []byte("sealed for agents") // the receiver keeps the input
	p.commands <- c
	eventually(t, "two calls", func() bool { return r.Stats().Failed == 2 })
	if len(p.events) > 0 {
		t.Errorf("answered with %+v", <-p.events)
	}
	p.fail(errors.New("the disk is full"))
	p.commands <- c
	eventually(t, "taken", func() bool { return r.Stats().Taken == 1 })
	p.fail(nil)
	p.commands <- c
	if e := next(t, p); e.Type != timeline.TaskRetried || to.calls() != 4 {
		t.Errorf("%+v after %d calls", e, to.calls())
	}
	var got struct {
		Data struct{ Input json.RawMessage }
	}
	if err := json.Unmarshal(to.bodies[3], &got); err != nil || string(got.Data.Input) != "null" {
		t.Errorf("posted %s, %v", to.bodies[3], err)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	to := receive(t, 429)
	to.header.Set("Retry-After", "3600")
	p.register(Target{"shop", "orders", 1, to.URL, [][]byte{key}, false})
	p.commands <- command("o1", 2)
	eventually(t, "refused", func() bool { return r.Stats().Failed == 1 })
	p.commands <- command("o2", 2)
	eventually(t, "taken up", func() bool { return len(p.commands) == 0 })
	if n := to.calls(); n != 1 {
		t.Errorf("%d calls within the hour", n)
	}
}

func TestRegistrationsAreFollowed(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	old, young := receive(t, 200), receive(t, 200)
	p.register(Target{"shop", "orders", 1, old.URL, [][]byte{key}, false}, Target{"shop", "mail", 1, old.URL, [][]byte{key}, false})
	eventually(t, "both served", func() bool { return p.serving("shop/orders") == 1 && p.serving("shop/mail") == 1 })
	p.register(Target{"shop", "orders", 2, young.URL, [][]byte{key}, false})
	eventually(t, "one served", func() bool { return p.serving("shop/mail") == 0 && r.Stats().Targets == 1 })
	p.commands <- command("o1", 2)
	next(t, p)
	if old.calls() != 0 || young.calls() != 1 {
		t.Errorf("%d calls of the old URL, %d of the new", old.calls(), young.calls())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if p.serving("shop/orders") != 0 {
		t.Error("served after Close")
	}
}

func TestConfigNamesAllItsFaults(t *testing.T) {
	_, err := New(Config{Timeout: -1, Tries: -1}, Deps{})
	for _, want := range []string{"Source", "Timeout", "Tries"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, err := New(Config{Source: "s"}, Deps{}); err == nil {
		t.Error("it starts without its parts")
	}
}
