package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	maxReasonBytes         = 1 << 10
	maxIdempotencyKeyBytes = 255
	headerIdempotencyKey   = "Idempotency-Key"
	headerReplayed         = "Idempotency-Replayed"
)

// The fields a mutating call's body may have.
var (
	reasonFields = []string{"reason"}
	retryFields  = []string{"reason", "input_patch"}
)

// order is the body of a mutating call.
type order struct {
	reason     string
	inputPatch json.RawMessage
}

// accepted is the answer of a mutating call that was accepted.
type accepted struct {
	TaskID       string      `json:"task_id"`
	Run          int         `json:"run"`
	CommandID    timeline.ID `json:"command_id,omitzero"`
	DeadLetterID timeline.ID `json:"dead_letter_id,omitzero"`
	Status       string      `json:"status"`
	// State is the task's from here on.
	State            timeline.State            `json:"state"`
	DeadLetterStatus timeline.DeadLetterStatus `json:"dead_letter_status,omitempty"`
	location         string
}

// mutation makes the handler of a mutating call: it reads the body, honours the
// Idempotency-Key, and answers 202.
func (s *Server) mutation(fields []string, do func(*request, order) (accepted, error)) func(*request) error {
	return func(r *request) error {
		if err := r.params.err(); err != nil {
			return err
		}
		body := slices.Clone(r.c.Body())
		o, err := parseOrder(r.c.Get(fiber.HeaderContentType), body, fields)
		if err != nil {
			return err
		}
		r.audit = append(r.audit, "reason", o.reason)
		key := r.c.Get(headerIdempotencyKey)
		if key == "" {
			a, err := do(r, o)
			if err != nil {
				return err
			}
			return r.accept(a)
		}
		return s.once(r, key, body, func() (accepted, error) { return do(r, o) })
	}
}

func (r *request) accept(a accepted) error {
	r.c.Set(fiber.HeaderLocation, a.location)
	return r.answer(fiber.StatusAccepted, a)
}

// once does the work of the first request with a key, and gives its answer to the
// others.
func (s *Server) once(r *request, key string, body []byte, do func() (accepted, error)) error {
	if len(key) > maxIdempotencyKeyBytes || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return invalid(headerIdempotencyKey, "want 1 to %d printable ASCII characters", maxIdempotencyKeyBytes)
	}
	// The key is the token's own: nobody can take or read another's answer.
	full := strings.Join([]string{r.principal.ID, r.scope.Namespace, key}, "\x00")
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", r.route.method, r.c.Path())
	h.Write(body)
	remembered, err := s.deps.Idempotency.Begin(r.ctx, full, hex.EncodeToString(h.Sum(nil)))
	switch {
	case errors.Is(err, ErrKeyReused):
		return &failure{code: codeIdempotencyMismatch, field: headerIdempotencyKey, detail: "use a new key for a new request"}
	case errors.Is(err, ErrKeyInUse):
		return &failure{code: codeIdempotencyInUse, field: headerIdempotencyKey, retryAfter: time.Second}
	case err != nil:
		return unavailable("the memory of idempotency keys", err)
	case remembered != nil:
		r.audit = append(r.audit, "replayed", true)
		r.c.Set(headerReplayed, "true")
		r.c.Set(fiber.HeaderLocation, remembered.Location)
		return r.send(remembered.Status, remembered.Body)
	}
	finished := false
	defer func() {
		// Whatever went wrong did nothing that the same request may not try again.
		if !finished {
			if err := s.deps.Idempotency.Abandon(context.WithoutCancel(r.ctx), full); err != nil {
				s.log.Warn("forget idempotency key", "error", err, "request_id", r.id)
			}
		}
	}()
	a, err := do()
	if err != nil {
		return err
	}
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	finished = true
	if err := s.deps.Idempotency.Finish(context.WithoutCancel(r.ctx), full, Answer{Status: fiber.StatusAccepted, Location: a.location, Body: b}); err != nil {
		s.log.Warn("remember answer of idempotency key", "error", err, "request_id", r.id)
	}
	r.c.Set(fiber.HeaderLocation, a.location)
	return r.send(fiber.StatusAccepted, b)
}

func parseOrder(contentType string, body []byte, allowed []string) (order, error) {
	var o order
	wrong := func(field, format string, args ...any) error {
		return &failure{code: codeInvalidBody, field: field, detail: fmt.Sprintf(format, args...)}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return o, nil
	}
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != fiber.MIMEApplicationJSON {
		return o, &failure{code: codeUnsupportedMedia, detail: "send Content-Type: application/json"}
	}
	if !utf8.Valid(body) {
		return o, wrong("", "must be valid UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return o, wrong("", "want one JSON object")
	}
	for name := range fields {
		if !slices.Contains(allowed, name) {
			return o, wrong(printable(name), "there is no such field here; there are: %s", strings.Join(allowed, ", "))
		}
	}
	if raw, ok := fields["reason"]; ok {
		if err := json.Unmarshal(raw, &o.reason); err != nil {
			return o, wrong("reason", "want a string")
		}
		if len(o.reason) > maxReasonBytes || strings.IndexByte(o.reason, 0) >= 0 {
			return o, wrong("reason", "want at most %d bytes without NUL", maxReasonBytes)
		}
	}
	if raw, ok := fields["input_patch"]; ok {
		if trimmed := bytes.TrimSpace(raw); trimmed[0] != '{' {
			return o, wrong("input_patch", "want a JSON object, an RFC 7386 merge patch")
		}
		if len(raw) > timeline.MaxPayloadBytes {
			return o, wrong("input_patch", "%d bytes, the limit is %d", len(raw), timeline.MaxPayloadBytes)
		}
		o.inputPatch = raw
	}
	return o, nil
}

// write hands operators' events over and remembers them until the store shows
// them.
func (s *Server) write(ctx context.Context, scope readmodel.Scope, events ...timeline.Event) error {
	if s.deps.Writer == nil {
		return unavailable("what takes operators' events", nil)
	}
	if err := s.deps.Writer.WriteEvents(ctx, scope.Namespace, events); err != nil {
		return unavailable("what takes operators' events", fmt.Errorf("write events: %w", err))
	}
	s.overlay.add(scope.Namespace, events)
	return nil
}

// operatorEvent is an event of an operator about a task, which no agent wrote: its
// sequence is 0, and its id follows from what it says, so that saying it twice is
// saying it once.
func (s *Server) operatorEvent(r *request, task timeline.Task, kind timeline.Type, run int, op timeline.Operator) timeline.Event {
	task.Output = nil
	return timeline.Event{
		ID: timeline.DerivedEventID(r.scope.Namespace, task.ID, run, 0, kind), Type: kind, Severity: kind.Severity(),
		Task: task, Run: run, OccurredAt: s.now().UTC(), Operator: &op,
	}
}

// taskLocks makes what is decided about one task in this process happen one after
// the other: look, decide, write. Between processes a claim does that.
type taskLocks struct {
	seed    maphash.Seed
	stripes [256]chan struct{}
}

func newTaskLocks() *taskLocks {
	l := &taskLocks{seed: maphash.MakeSeed()}
	for i := range l.stripes {
		l.stripes[i] = make(chan struct{}, 1)
	}
	return l
}

// lock waits for the task until ctx ends.
func (l *taskLocks) lock(ctx context.Context, namespace, taskID string) (unlock func(), err error) {
	stripe := l.stripes[maphash.Comparable(l.seed, taskKey{namespace, taskID})%uint64(len(l.stripes))]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the task: %w", context.Cause(ctx))
	}
}
