package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"crypto/rand"

	"github.com/tasktrail/tasktrail/timeline"
)

// taskRequest is the body of POST /v1/tasks.
type taskRequest struct {
	TaskID      string            `json:"task_id"`
	Type        string            `json:"type"`
	Queue       string            `json:"queue"`
	Agent       string            `json:"agent"`
	Provider    string            `json:"provider"`
	UserID      string            `json:"user_id"`
	Amount      string            `json:"amount"`
	Currency    string            `json:"currency"`
	CallbackURL string            `json:"callback_url"`
	Input       json.RawMessage   `json:"input"`
	Metadata    map[string]string `json:"metadata"`
	MaxAttempts int               `json:"max_attempts"`
	// Timeout of one attempt: a duration such as "30s", or a number of seconds.
	Timeout json.RawMessage `json:"timeout"`
	// Deadline of the task: RFC 3339.
	Deadline string `json:"deadline"`
	Mode     string `json:"mode"`
	// AutoRecover lets a closing breaker start the next run. Defaults to true for
	// async tasks; a caller that waits keeps the decision.
	AutoRecover *bool `json:"auto_recover"`
}

const (
	modeSync  = "sync"
	modeAsync = "async"
	// maxTimeout bounds one attempt, and maxTries their number.
	maxTimeout = 24 * time.Hour
	maxTries   = 1000
)

// bodyTimeout bounds how long a caller may take to send its body.
const bodyTimeout = 30 * time.Second

// readBody reads a JSON body of at most so many bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	// A page in a browser may send anything but this without being asked first.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, problemOf(codeMediaType, "send Content-Type: application/json")
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // a server that cannot has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = control.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, problemOf(codeTooLarge, "the limit is %d bytes: send a reference to what is larger", most)
	}
	if err != nil {
		return nil, problemOf(codeMalformed, "the body could not be read")
	}
	return body, nil
}

// malformed says what is wrong with a body that is not what it should be.
func malformed(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return invalid(kind.Field, "%s: want a %s, not a %s", kind.Field, kind.Type, kind.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return invalid(name, "%s: there is no such field", name)
	}
	return problemOf(codeMalformed, "the body is no JSON object of a task: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// parseTask reads a task; the error names the field that is wrong. A callback that
// is missing or malformed is none: it is recorded as the task's failure.
func parseTask(body []byte, now time.Time) (string, *spec, error) {
	var t taskRequest
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return "", nil, malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", nil, problemOf(codeMalformed, "something follows the task")
	}
	s := &spec{
		Type: t.Type, Queue: t.Queue, Agent: t.Agent, Provider: t.Provider, UserID: t.UserID, Amount: t.Amount, Currency: t.Currency,
		CallbackURL: t.CallbackURL, Input: timeline.Payload(t.Input), Metadata: t.Metadata, MaxAttempts: t.MaxAttempts,
		Sync: t.Mode != modeAsync, CreatedAt: now.UTC(),
	}
	if string(t.Input) == "null" {
		s.Input = nil
	}
	if s.Queue == "" {
		s.Queue = defaultQueue
	}
	s.AutoRecover = !s.Sync
	if t.AutoRecover != nil {
		s.AutoRecover = *t.AutoRecover
	}
	task := timeline.Task{
		ID: t.TaskID, Type: s.Type, Queue: s.Queue, Agent: s.Agent, Provider: s.Provider, UserID: s.UserID, Amount: s.Amount,
		Currency: s.Currency, Metadata: s.Metadata,
	}
	if err := task.Validate(); err != nil {
		return "", nil, err
	}
	if err := checkQueue("queue", s.Queue); err != nil {
		return "", nil, err
	}
	switch {
	case t.Type == "":
		return "", nil, invalid("type", "type: must not be empty")
	case len(t.CallbackURL) > maxURL:
		return "", nil, invalid("callback_url", "callback_url: %d bytes, the limit is %d", len(t.CallbackURL), maxURL)
	case t.MaxAttempts < 0 || t.MaxAttempts > maxTries:
		return "", nil, invalid("max_attempts", "max_attempts: %d is not between 0 and %d", t.MaxAttempts, maxTries)
	case t.Mode != "" && t.Mode != modeSync && t.Mode != modeAsync:
		return "", nil, invalid("mode", "mode: %q is not %s or %s", t.Mode, modeSync, modeAsync)
	}
	var err error
	if s.Timeout, err = parseTimeout(t.Timeout); err != nil {
		return "", nil, err
	}
	if t.Deadline != "" {
		if s.Deadline, err = time.Parse(time.RFC3339Nano, t.Deadline); err != nil {
			return "", nil, invalid("deadline", "deadline: %q is not a time such as 2026-01-31T12:00:00Z", t.Deadline)
		}
	}
	return t.TaskID, s, nil
}

const maxURL = 8 << 10

func parseTimeout(raw json.RawMessage) (time.Duration, error) {
	text := string(raw)
	if text == "" || text == "null" {
		return 0, nil
	}
	var seconds float64
	var d time.Duration
	err := json.Unmarshal(raw, &seconds)
	if err == nil {
		if seconds > 0 && seconds <= maxTimeout.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		}
	} else if err = json.Unmarshal(raw, &text); err == nil {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, invalid("timeout", "timeout: want a duration such as \"30s\" or a number of seconds, above 0 and at most %s", maxTimeout)
	}
	return d, nil
}

// traceParent is the trace context of a caller, or a new one: the callback and the
// timeline name the same trace either way.
func traceParent(h http.Header) string {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(h))
	if trace.SpanContextFromContext(ctx).IsValid() {
		return h.Get("traceparent")
	}
	return newTraceParent()
}

// withTrace puts a trace context into ctx.
func withTrace(ctx context.Context, parent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

func newTraceParent() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("00-%x-%x-01", b[:16], b[16:])
}
