package uptest

import (
	"cmp"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// Scripts is a runner whose programs are not written in Go and have no agent: an
// operator's retries and cancels reach them by the URL of their queue.
type Scripts struct {
	Up *Up
	// Redis is the URL of the runner's own Redis.
	Redis string
	// Queue is the runner's, and the one whose URL is registered.
	Queue string
	// Env are further variables of every command.
	Env []string
	// Enqueuer is the command that enqueues one task; its id and its input follow.
	Enqueuer []string
	// Worker is the command of a worker that serves the URL too, at REQUEUE_PORT of the
	// loopback and with REQUEUE_SECRET, and Ready what it prints once it works.
	Worker []string
	Ready  string
	// Type is what the runner calls ShapeType. Defaults to that.
	Type string
	// Differ is what Differences returns.
	Differ Differences

	enqueued     int
	port, secret string
}

// Register registers the URL at which the workers from then on take retries and
// cancels; more are further members of the request.
func (s *Scripts) Register(t testing.TB, more string) {
	t.Helper()
	if s.port == "" {
		_, s.port, _ = strings.Cut(proctest.FreeAddrs(t, 1)[0], ":")
	}
	var got struct{ Secret string }
	if _, err := s.Up.Call("PUT", "/requeue-urls/"+url.PathEscape(s.Queue), `{"url":"`+s.URL()+`"`+more+`}`, &got); err != nil {
		t.Fatal(err)
	}
	if got.Secret != "" { // it is shown once
		s.secret = got.Secret
	}
}

// URL is where the workers take retries and cancels.
func (s *Scripts) URL() string { return "http://127.0.0.1:" + s.port + "/requeue" }

// Put enqueues a task of the input; env are variables of the command.
func (s *Scripts) Put(t testing.TB, id, input string, env []string, args ...string) {
	t.Helper()
	command := slices.Concat(s.Enqueuer, []string{id, input}, args)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = slices.Concat(os.Environ(), s.env(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("enqueue %s: %v\n%s", id, err, out)
	}
}

func (s *Scripts) env() []string {
	return append([]string{
		"REDIS_URL=" + s.Redis, "QUEUE=" + s.Queue, "OTEL_SERVICE_NAME=" + s.Queue + "-worker",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.Up.Collector(), "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20" + s.Up.Token,
	}, s.Env...)
}

// Work starts a worker and waits until it works.
func (s *Scripts) Work(t testing.TB) *proctest.Process { return s.WorkAs(t) }

// WorkAs is Work with further arguments of the command.
func (s *Scripts) WorkAs(t testing.TB, args ...string) *proctest.Process {
	t.Helper()
	env := s.env()
	if s.secret != "" {
		env = append(env, "REQUEUE_SECRET="+s.secret, "REQUEUE_PORT="+s.port)
	}
	command := append(slices.Clone(s.Worker), args...)
	p := proctest.Start(t, env, command[0], command[1:]...)
	proctest.Eventually(t, time.Minute, "the worker is ready", func() (bool, string) {
		return strings.Contains(p.Output(), s.Ready), p.Output()
	})
	return p
}

// Differences makes Scripts a Different.
func (s *Scripts) Differences() Differences { return s.Differ }

// Enqueue puts a task of the shape into the queue.
func (s *Scripts) Enqueue(t testing.TB, shape Shape) string {
	t.Helper()
	input, err := json.Marshal(shape.Input)
	if err != nil {
		t.Fatal(err)
	}
	s.enqueued++
	id := "shape-" + strconv.Itoa(s.enqueued)
	attempts := 5
	if shape.Input.MaxAttempts > 0 {
		attempts = shape.Input.MaxAttempts
	}
	s.Put(t, id, string(input), []string{
		"TYPE=" + cmp.Or(s.Type, ShapeType), "ATTEMPTS=" + strconv.Itoa(attempts), "DELAY_MS=" + strconv.FormatInt(shape.Delay.Milliseconds(), 10),
		"AMOUNT=120.00", "CURRENCY=USD", "USER_ID=user-7",
	})
	return id
}
