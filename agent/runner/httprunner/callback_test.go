package httprunner_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/httprunner"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	quick    = agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: time.Millisecond, Cap: 2 * time.Millisecond}}
	loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
)

func newCaller(t *testing.T, cfg httprunner.Config) *httprunner.Caller {
	t.Helper()
	c := httprunner.New(cfg)
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func call(t *testing.T, rec *agenttest.Recorder, c *httprunner.Caller, id, callback string) (agent.Result, error) {
	t.Helper()
	return rec.Do(t.Context(), agent.Task{
		Task:    timeline.Task{ID: id, Type: "payment", Runner: httprunner.Name, Input: timeline.Payload(`{"n":1}`)},
		Timeout: 10 * time.Second,
	}, c.Func(callback))
}

func TestCallbackCarriesTheTask(t *testing.T) {
	rec := agenttest.New(t, quick)
	var n atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got struct {
			TaskID string `json:"task_id"`
			Type   string
			Run    int
			Input  struct{ N int }
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got.TaskID != "t1" || got.Type != "payment" || got.Run != 1 || got.Input.N != 1 {
			t.Errorf("body %+v, error %v", got, err)
		}
		attempt := n.Add(1)
		for name, want := range map[string]string{
			httprunner.HeaderIdempotencyKey: "default/t1", httprunner.HeaderRun: "1", httprunner.HeaderAttempt: strconv.Itoa(int(attempt)),
			"Traceparent": "trace", "Content-Type": "application/json", httprunner.HeaderProgressURL: "http://sidecar/t1",
		} {
			if v := r.Header.Get(name); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
		if d, err := time.Parse(time.RFC3339Nano, r.Header.Get(httprunner.HeaderDeadline)); err != nil || time.Until(d) > 10*time.Second {
			t.Errorf("deadline %v, error %v", d, err)
		}
		if attempt == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"paid":true}`)
	})
	c := newCaller(t, httprunner.Config{
		Allow: loopback, ProgressURL: func(at agent.Attempt) string { return "http://sidecar/" + at.TaskID },
		Inject: func(_ context.Context, carrier map[string]string) { carrier["traceparent"] = "trace" },
	})
	res, err := call(t, rec, c, "t1", url)
	if err != nil || string(res.Output) != `{"paid":true}` || n.Load() != 2 {
		t.Errorf("output %q, error %v, %d calls", res.Output, err, n.Load())
	}
}

// Each of these is a permanent error on record, after one attempt.
func TestBadCallbacksArePermanent(t *testing.T) {
	rec := agenttest.New(t, quick)
	c := newCaller(t, httprunner.Config{Allow: loopback})
	var gets atomic.Int32
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/private":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusPermanentRedirect)
		case "/get":
			http.Redirect(w, r, "/got", http.StatusFound)
		case "/got":
			gets.Add(1)
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 10<<20))
		case "/bad":
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	for name, f := range map[string]struct {
		url  string
		want error
	}{
		"missing": {"", httprunner.ErrCallback}, "blank": {"  ", httprunner.ErrCallback}, "malformed": {"http://[::1", httprunner.ErrCallback},
		"scheme": {"ftp://example.com/", httprunner.ErrCallback}, "no host": {"http:///path", httprunner.ErrCallback},
		"private": {"http://10.0.0.1/", httprunner.ErrForbiddenAddress}, "metadata": {"http://169.254.169.254/", httprunner.ErrForbiddenAddress},
		"ipv6 loopback": {"http://[::1]:9/", httprunner.ErrForbiddenAddress}, "mapped": {"http://[::ffff:10.0.0.1]/", httprunner.ErrForbiddenAddress},
		"zero": {"http://0.0.0.0/", httprunner.ErrForbiddenAddress}, "redirect to private": {target + "/private", httprunner.ErrForbiddenAddress},
		"redirect to file": {target + "/file", httprunner.ErrCallback}, "redirect loop": {target + "/loop", nil},
		"redirect as GET": {target + "/get", nil}, "large": {target + "/large", httprunner.ErrAnswerTooLarge}, "bad request": {target + "/bad", nil},
	} {
		_, err := call(t, rec, c, name, f.url)
		var te *agent.TaskError
		if !errors.As(err, &te) || te.Reason != timeline.FailPermanent || te.Attempts != 1 || te.DeadLetterID.IsZero() {
			t.Errorf("%s: %v, want a permanent failure after one attempt", name, err)
		}
		if f.want != nil && !errors.Is(err, f.want) {
			t.Errorf("%s: %v, want %v", name, err, f.want)
		}
		if !slices.Contains(rec.Types(name), timeline.MovedToDLQ) {
			t.Errorf("%s: no dead letter on record", name)
		}
	}
	if n := gets.Load(); n != 0 {
		t.Errorf("%d callbacks were followed as GET", n)
	}
}

// A name that leads to the loopback is refused like its address.
func TestGuardLooksBehindNames(t *testing.T) {
	rec := agenttest.New(t, quick)
	c := newCaller(t, httprunner.Config{})
	if _, err := call(t, rec, c, "name", "http://localhost:9/"); !errors.Is(err, httprunner.ErrForbiddenAddress) {
		t.Errorf("error %v", err)
	}
}

func FuzzParseCallback(f *testing.F) {
	f.Add("http://example.com/x")
	f.Add("http://[::1")
	f.Add(" http://")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := httprunner.ParseCallback(s)
		if (err == nil) == (u == nil) || u != nil && u.Hostname() == "" {
			t.Errorf("%q gave %v, %v", s, u, err)
		}
	})
}

// The error of a call goes into the timeline: what follows the host in a URL may be
// a secret.
func TestErrorsNameTheHostAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	c := httprunner.New(httprunner.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer c.Close()
	_, err = c.Func("http://user:hidden@"+host+"/hidden?token=hidden")(t.Context(), agent.Task{})
	var op *net.OpError
	if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), host) || !errors.As(err, &op) {
		t.Errorf("%v", err)
	}
}
