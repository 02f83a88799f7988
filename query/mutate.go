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
	"slices"
	"strings"
	"time"

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
	// Served says whether somebody is there to take a retry; where nobody is, it waits.
	// Nil where that is not known.
	Served   *bool `json:"served,omitempty"`
	location string
}

// reply is the answer of a mutating call that was accepted.
type reply struct {
	status   int
	location string
	// body is what is encoded; nil for an answer without one.
	body any
	// again is the body of the same answer asked for again, where the first shows what
	// is shown once.
	again any
}

// mutation makes the handler of a call about one task: it reads the body, honours
// the Idempotency-Key, and answers 202.
func (s *Server) mutation(fields []string, do func(*request, order) (accepted, error)) func(*request) error {
	return s.change(func(r *request, body []byte) (reply, error) {
		o, err := parseOrder(r.c.Get(fiber.HeaderContentType), body, fields)
		if err != nil {
			return reply{}, err
		}
		r.audit = append(r.audit, "reason", o.reason)
		a, err := do(r, o)
		return reply{status: fiber.StatusAccepted, location: a.location, body: a}, err
	})
}

// change makes the handler of a mutating call, which honours the Idempotency-Key.
func (s *Server) change(do func(r *request, body []byte) (reply, error)) func(*request) error {
	return func(r *request) error {
		if err := r.params.err(); err != nil {
			return err
		}
		// Never Body: it unpacks what is compressed, however much that comes to.
		if encoding := r.c.Get(fiber.HeaderContentEncoding); encoding != "" && encoding != "identity" {
			return &failure{code: codeUnsupportedMedia, detail: "send the body without a Content-Encoding"}
		}
		body := slices.Clone(r.c.BodyRaw())
		key := r.c.Get(headerIdempotencyKey)
		if key != "" {
			return s.once(r, key, body, func() (reply, error) { return do(r, body) })
		}
		a, err := do(r, body)
		if err != nil {
			return err
		}
		b, err := a.encode()
		if err != nil {
			return err
		}
		return r.reply(Answer{Status: a.status, Location: a.location, Body: b})
	}
}

func (a reply) encode() ([]byte, error) {
	if a.body == nil {
		return nil, nil
	}
	b, err := json.Marshal(a.body)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b, nil
}

func (r *request) reply(a Answer) error {
	if a.Location != "" {
		r.c.Set(fiber.HeaderLocation, a.Location)
	}
	if len(a.Body) == 0 {
		r.c.Set(fiber.HeaderCacheControl, "no-store")
		r.c.Status(a.Status)
		return nil
	}
	return r.send(a.Status, a.Body)
}

// once does the work of the first request with a key, and gives its answer to the
// others.
func (s *Server) once(r *request, key string, body []byte, do func() (reply, error)) error {
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
		return r.reply(*remembered)
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
	b, err := a.encode()
	if err != nil {
		return err
	}
	answer := Answer{Status: a.status, Location: a.location, Body: b}
	remember := answer
	if a.again != nil {
		if remember.Body, err = (reply{body: a.again}).encode(); err != nil {
			return err
		}
	}
	finished = true
	if err := s.deps.Idempotency.Finish(context.WithoutCancel(r.ctx), full, remember); err != nil {
		s.log.Warn("remember answer of idempotency key", "error", err, "request_id", r.id)
	}
	return r.reply(answer)
}

func parseOrder(contentType string, body []byte, allowed []string) (order, error) {
	var o order
	wrong := wrongBody
	fields, err := checkBody(contentType, body)
	if err != nil {
		return o, err
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
		if err := checkReason(o.reason); err != nil {
			return o, err
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
	var attributes map[string]string
	if r.bulk != "" {
		attributes = map[string]string{bulkAttribute: r.bulk}
	}
	return timeline.Event{
		Attributes: attributes,
		ID:         timeline.DerivedEventID(r.scope.Namespace, task.ID, run, 0, kind), Type: kind, Severity: kind.Severity(),
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
