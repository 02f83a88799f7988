package query

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestReadyz(t *testing.T) {
	var broken error
	var mu sync.Mutex
	h := start(t, func(_ *Config, d *Deps) {
		d.Ready = map[string]ReadyFunc{"store": func(context.Context) error { mu.Lock(); defer mu.Unlock(); return broken }}
	})
	h.do("GET", "/readyz", "", "").want(200)
	mu.Lock()
	broken = errors.New("the secret reason")
	mu.Unlock()
	if a := h.do("GET", "/readyz", "", "").want(503); strings.Contains(string(a.body), "secret") || !strings.Contains(string(a.body), `"store":"not ready"`) {
		t.Errorf("%s", a.body)
	}
}

func TestUI(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) {
		c.UI = fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}, "assets/app-1a2b.js": {Data: []byte("run()")}}
	})
	for path, kind := range map[string]string{"/": "text/html", "/tasks/river:1": "text/html", "/assets/app-1a2b.js": "javascript"} {
		a := h.do("GET", path, "", "").want(200)
		if !strings.Contains(a.header.Get("Content-Type"), kind) || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
	h.do("GET", "/tasks/a.b", "", "", "Accept", "text/html,*/*").want(200)
	h.do("GET", "/assets/gone.js", "", "", "Accept", "text/html").want(404)
	h.do("GET", "/failed/..%2F..%2Fetc", "", "").want(404)
	h.do("GET", "/..%2f..%2fetc%2fpasswd.txt", "", "").want(404)
	h.do("GET", "/api/v1/nosuch", "", "").want(404, codeNoRoute)
	start(t).do("GET", "/", "", "").want(404)
}

func TestUICompressed(t *testing.T) {
	script := strings.Repeat("run();", 1000)
	h := start(t, func(c *Config, _ *Deps) {
		c.UI = fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}, "assets/a.js": {Data: []byte(script)}, "assets/b.js": {Data: []byte(script + "b()")}, "assets/a.png": {Data: []byte(script)}}
	})
	for range 2 {
		for name, text := range map[string]string{"a": script, "b": script + "b()"} {
			a := h.do("GET", "/assets/"+name+".js", "", "", "Accept-Encoding", "gzip, br").want(200)
			if a.header.Get("Content-Encoding") != "gzip" || a.header.Get("Vary") != "Accept-Encoding" || len(a.body) > len(text)/10 {
				t.Fatalf("%d bytes, %v", len(a.body), a.header)
			}
			r, err := gzip.NewReader(bytes.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || string(b) != text {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
	}
	for target, accept := range map[string]string{"/assets/a.js": "identity", "/assets/b.js": "gzip;q=0", "/assets/a.png": "gzip", "/": "gzip"} {
		if a := h.do("GET", target, "", "", "Accept-Encoding", accept).want(200); a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s with %q: %v", target, accept, a.header)
		}
	}
}

func TestHeadersAndRequestIDs(t *testing.T) {
	h := start(t)
	a := h.do("GET", base+"/whoami", "reader", "", "X-Request-Id", "abc-1.2_3")
	if a.header.Get("X-Request-Id") != "abc-1.2_3" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.header)
	}
	for _, bad := range []string{"a b", strings.Repeat("a", 129), "<script>", "ä"} {
		a := h.do("GET", base+"/tasks/none", "reader", "", "X-Request-Id", bad).want(404)
		if id := a.header.Get("X-Request-Id"); id == bad || id == "" || a.problem().RequestID != id {
			t.Errorf("%q: header %q, body %q", bad, id, a.problem().RequestID)
		}
	}
	if a := h.get("/whoami", "").want(401); !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("%v", a.header)
	}
}

func TestRateLimit(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.RatePerSecond, c.RateBurst = 0.01, 2 })
	h.get("/whoami", "reader").want(200)
	h.get("/whoami", "reader").want(200)
	if a := h.get("/whoami", "reader").want(429, codeRateLimited); a.header.Get("Retry-After") == "" || a.header.Get("Retry-After") == "0" {
		t.Errorf("%v", a.header)
	}
	h.get("/whoami", "user").want(200)
}

// stuck is a reader that panics or never answers.
type stuck struct {
	Reader
	entered chan struct{}
}

func (s stuck) Task(ctx context.Context, _ readmodel.Scope, id string) (timeline.Snapshot, error) {
	if id == "panic" {
		panic("the secret reason")
	}
	s.entered <- struct{}{}
	<-ctx.Done()
	return timeline.Snapshot{}, context.Cause(ctx)
}

func TestPanicTimeoutAndConcurrency(t *testing.T) {
	entered := make(chan struct{}, 2)
	h := start(t, func(c *Config, d *Deps) {
		c.QueryTimeout, c.MaxConcurrent = 300*time.Millisecond, 1
		d.Reader = stuck{querytest.NewStore(), entered}
	})
	if a := h.get("/tasks/panic", "reader").want(500, codeInternal); strings.Contains(string(a.body), "secret") {
		t.Errorf("%s", a.body)
	}
	if !strings.Contains(h.log.String(), "the secret reason") {
		t.Error("the panic is not in the log")
	}
	done := make(chan answer)
	go func() {
		a, err := h.try("GET", base+"/tasks/slow", "reader", "")
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	<-entered
	h.get("/whoami", "reader").want(503, codeOverloaded)
	(<-done).want(504, codeTimeout)
}

func TestLife(t *testing.T) {
	s, err := New(Config{Addr: "127.0.0.1:0"}, Deps{Reader: querytest.NewStore(), Auth: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != "" || !errors.Is(s.Stop(t.Context()), ErrNotStarted) {
		t.Error("it was started by New")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, ErrStarted) {
		t.Errorf("started twice: %v", err)
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(Config{Addr: "nonsense", MaxHeaderBytes: 1, SessionKey: []byte("short")}, Deps{}); err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("not all faults at once: %v", err)
	}
}

// TestBuffersAreNotShared looks for text of one request in what was kept of
// another: fasthttp uses its buffers again.
func TestBuffersAreNotShared(t *testing.T) {
	h := start(t)
	h.fill()
	h.post("/tasks/failed/retry", "operator", `{"reason":"first reason","input_patch":{"first":1}}`, "Idempotency-Key", "first-key").want(202)
	for range 50 {
		h.post("/tasks/XXXXXX/retry", "nothing", `{"reason":"XXXXXXXXXXXX","input_patch":{"XXXXX":1}}`, "Idempotency-Key", "XXXXX-XXX").want(403)
	}
	e := h.events("failed", timeline.DLQRetryRequested)[0]
	if e.Operator.Reason != "first reason" || string(e.Operator.InputPatch) != `{"first":1}` || e.Task.ID != "failed" {
		t.Errorf("%+v", e.Operator)
	}
	h.post("/tasks/failed/retry", "operator", `{"reason":"first reason","input_patch":{"first":1}}`, "Idempotency-Key", "first-key").want(202)
}
