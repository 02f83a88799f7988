package collector

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(killDirEnv) != "" {
		serveUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// deadline is how long tests wait for what has to happen.
const deadline = 20 * time.Second

// tokens is an Authenticator of a few tokens.
type tokens map[string]Principal

func (t tokens) Authenticate(_ context.Context, token string) (Principal, error) {
	p, ok := t[token]
	if !ok {
		return Principal{}, fmt.Errorf("look up token: %w", ErrUnauthenticated)
	}
	return p, nil
}

var testTokens = tokens{
	"ingest-a": {Namespace: "a", Scopes: []string{ScopeIngest}},
	"agent-a":  {Namespace: "a", Scopes: []string{ScopeAgent}},
	"agent-q":  {Namespace: "a", Scopes: []string{ScopeAgent}, Queues: []string{"q1"}},
	"operator": {Namespace: "a", Scopes: []string{ScopeOperate}},
	"reader":   {Namespace: "a", Scopes: []string{"read"}},
	"any":      {Namespace: "default", AnyNamespace: true, Scopes: []string{ScopeAgent}},
}

// delivery is a batch as a sink got it.
type delivery struct {
	token  string
	frames [][]byte
}

// recorder is a sink that keeps what it gets. fail, where set, is asked first.
type recorder struct {
	name string
	fail func(b *spool.Batch) error

	mu      sync.Mutex
	got     []delivery
	tried   []delivery
	changed chan struct{}
}

func newRecorder(name string) *recorder {
	return &recorder{name: name, changed: make(chan struct{}, 1)}
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Write(_ context.Context, b *spool.Batch) error {
	d := delivery{token: b.Token()}
	for _, f := range b.Frames {
		d.frames = append(d.frames, bytes.Clone(f))
	}
	r.mu.Lock()
	r.tried = append(r.tried, d)
	r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(b); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.got = append(r.got, d)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *recorder) tries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tried)
}

// events are all events delivered so far, in order.
func (r *recorder) events(t *testing.T) []timeline.Event {
	t.Helper()
	var out []timeline.Event
	for _, d := range r.deliveries() {
		for _, f := range d.frames {
			out = append(out, frameEvents(t, f)...)
		}
	}
	return out
}

func frameEvents(t *testing.T, frame []byte) (out []timeline.Event) {
	t.Helper()
	var rec wire.Record
	err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
		var e timeline.Event
		r.Event(&e)
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Errorf("scan frame: %v", err)
	}
	return out
}

// await waits until the delivered events satisfy enough.
func (r *recorder) await(t *testing.T, what string, enough func([]timeline.Event) bool) []timeline.Event {
	t.Helper()
	timeout := time.After(deadline)
	for {
		if events := r.events(t); enough(events) {
			return events
		}
		select {
		case <-r.changed:
		case <-timeout:
			t.Fatalf("sink %s has %d events after %v, want %s", r.name, len(r.events(t)), deadline, what)
		}
	}
}

func (r *recorder) awaitCount(t *testing.T, n int) []timeline.Event {
	t.Helper()
	return r.await(t, fmt.Sprintf("%d events", n), func(e []timeline.Event) bool { return len(e) >= n })
}

// eventually polls for what gives no signal.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(deadline)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// testConfig is a small collector on free ports.
func testConfig(dir string) Config {
	return Config{
		GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: dir, LogMaxBytes: 64 << 20, LogSegmentBytes: 4 << 20,
		StopTimeout: 5 * time.Second, LostCheckEvery: 10 * time.Millisecond,
	}
}

// start runs a collector until the test ends.
func start(t testing.TB, cfg Config, deps Deps) *Collector {
	t.Helper()
	if deps.Auth == nil {
		deps.Auth = testTokens
	}
	c, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t testing.TB, c *Collector) {
	t.Helper()
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var testIDs timeline.IDGenerator

// event is one event of a run, as an agent writes it.
func event(task string, run, attempt int, seq uint64, typ timeline.Type) timeline.Event {
	now := time.Now()
	return timeline.Event{
		ID: testIDs.Next(now), SourceID: "source-1", SourceSeq: seq, Type: typ, Severity: typ.Severity(),
		Task: timeline.Task{Namespace: "a", ID: task, Type: "payment", Queue: "q1", Amount: "250", Currency: "USD"},
		Run:  run, Attempt: attempt, Seq: seq, OccurredAt: now.UTC(),
	}
}

// request encodes events as an ExportLogsServiceRequest.
func request(events ...timeline.Event) []byte {
	records := make([][]byte, len(events))
	for i := range events {
		records[i] = wire.AppendLogRecord(nil, &events[i])
	}
	return wire.AppendExportRequest(nil, wire.Resource{ServiceName: "test"}, records)
}

func accept(t testing.TB, c *Collector, events ...timeline.Event) {
	t.Helper()
	report, err := c.Accept(context.Background(), wire.Envelope{Namespace: "a", AnyNamespace: true}, request(events...))
	if err != nil {
		t.Fatal(err)
	}
	if report.Rejected != 0 {
		t.Fatal(report.Message())
	}
}

func taskIDs(events []timeline.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.Task.ID)
	}
	return ids
}
