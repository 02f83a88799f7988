package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
)

// loopback lets callbacks go to servers of the test.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// rig is a sidecar, its collector and a client.
type rig struct {
	*Sidecar
	t         *testing.T
	collector *agenttest.Collector
	cfg       Config
	client    *http.Client
	stopped   bool
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	c := agenttest.NewCollector(t)
	cfg := Config{
		Addr: "127.0.0.1:0", DataDir: t.TempDir(), CallbackAllow: loopback, DrainTimeout: 100 * time.Millisecond,
		Agent: agent.Config{
			CollectorURL: c.URL(), Retry: retry.Policy{Base: time.Millisecond, Cap: 2 * time.Millisecond, MaxAttempts: 3},
			Breaker: breaker.Config{OpenFor: 50 * time.Millisecond, MaxOpenFor: 50 * time.Millisecond},
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	r := &rig{t: t, collector: c, cfg: cfg, client: &http.Client{}}
	r.start()
	t.Cleanup(func() { r.stop(); r.client.CloseIdleConnections() })
	return r
}

func (r *rig) start() {
	r.t.Helper()
	s, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Sidecar, r.stopped = s, false
	if err := s.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop() {
	r.t.Helper()
	if r.stopped {
		return
	}
	r.stopped = true
	r.client.CloseIdleConnections()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := r.Close(ctx); err != nil {
		r.t.Errorf("close the sidecar: %v", err)
	}
}

// answer is what a test looks at of any answer.
type reading struct {
	status int
	header http.Header
	body   string

	TaskID       string          `json:"task_id"`
	Run          int             `json:"run"`
	State        string          `json:"state"`
	Output       json.RawMessage `json:"output"`
	Reason       string          `json:"reason"`
	Code         string          `json:"code"`
	Field        string          `json:"field"`
	Detail       string          `json:"detail"`
	DeadLetterID string          `json:"dead_letter_id"`
	Attempts     int             `json:"attempts"`
	Link         string          `json:"link"`
}

func (r *rig) call(method, path string, body any, headers ...string) reading {
	r.t.Helper()
	var b []byte
	switch v := body.(type) {
	case nil:
	case string:
		b = []byte(v)
	default:
		var err error
		if b, err = json.Marshal(v); err != nil {
			r.t.Fatal(err)
		}
	}
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + r.Addr() + path
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := reading{status: resp.StatusCode, header: resp.Header, body: string(text)}
	_ = json.Unmarshal(text, &a) // not every answer is JSON
	return a
}

type fields map[string]any

func (r *rig) post(f fields, headers ...string) reading {
	r.t.Helper()
	if f["type"] == nil {
		f["type"] = "payment"
	}
	return r.call("POST", "/v1/tasks", f, headers...)
}

// settled waits until a task has ended.
func (r *rig) settled(id string) reading {
	r.t.Helper()
	var a reading
	until(r.t, "the end of "+id, func() bool {
		a = r.call("GET", link(id), nil)
		return a.State == "completed" || a.State == "failed" || a.State == "cancelled"
	})
	return a
}

func (r *rig) wantLife(id string, want ...string) {
	r.t.Helper()
	var got []string
	deadline := time.Now().Add(5 * time.Second)
	for !slices.Equal(got, want) && time.Now().Before(deadline) {
		ctx, stop := context.WithTimeout(r.t.Context(), 5*time.Second)
		err := r.agent.Flush(ctx)
		stop()
		if err != nil {
			r.t.Fatal(err)
		}
		got = agenttest.Life(r.collector.Events(id))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("%s\n got %q\nwant %q", id, got, want)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// called is one call of a callback.
type called struct {
	header http.Header
	body   struct {
		TaskID  string          `json:"task_id"`
		Run     int             `json:"run"`
		Attempt int             `json:"attempt"`
		Input   json.RawMessage `json:"input"`
	}
}

// callback serves callbacks; it remembers them.
func callback(t *testing.T, h func(w http.ResponseWriter, r *http.Request, c called)) (url string, calls chan called) {
	t.Helper()
	calls = make(chan called, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c called
		c.header = r.Header
		if err := json.NewDecoder(r.Body).Decode(&c.body); err != nil {
			t.Errorf("the callback's body: %v", err)
		}
		select {
		case calls <- c:
		default:
		}
		h(w, r, c)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, calls
}
