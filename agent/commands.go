package agent

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/timeline"
)

// RetryHandler enqueues the next run of a task into its runner, with the run's
// number and the task's id on it. ctx carries the span of the run before, for
// [Agent.InjectTrace]: the new run's trace is linked to it. It may be called more than once for the same
// command; the runner's own uniqueness, by task id and run, makes that one run.
type RetryHandler func(ctx context.Context, c timeline.Command) error

// HandleQueue registers who carries out the retries of a queue. Dead letters of
// its tasks that name a runner are then requeueable. Safe at any time, also after Start.
func (a *Agent) HandleQueue(queue string, h RetryHandler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queues[queue] = h
	close(a.changed)
	a.changed = make(chan struct{})
}

// HandleKeptQueue is HandleQueue for a runner that keeps the original inputs: its
// commands come as the collector sent them, seals unbroken and patches not
// applied. See [Agent.Original] and [MergePatch].
func (a *Agent) HandleKeptQueue(queue string, h RetryHandler) {
	a.mu.Lock()
	a.kept[queue] = true
	a.mu.Unlock()
	a.HandleQueue(queue, h)
}

// OriginalFunc gives the original input of the run before a retry's, from a runner
// that still has it; false where it has not. It returns the input as it was, before
// the retry's edit.
type OriginalFunc func(ctx context.Context, c timeline.Command) ([]byte, bool, error)

// HandleOriginals registers who knows the original inputs of a queue's tasks. Where
// what is recorded of an input was redacted or cut, and no key seals the original
// (Config.SealKeys), a retry gets it from there, and is refused on record where it is
// gone. Safe at any time.
func (a *Agent) HandleOriginals(queue string, f OriginalFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inputs[queue] = f
}

func (a *Agent) original(queue string) OriginalFunc {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inputs[queue]
}

// errInputGone refuses a retry for good.
var errInputGone = errors.New("what is recorded of the input was redacted or cut, and the task's runner does not have the original any more")

// fetch puts the original input that its runner keeps into the command.
func (a *Agent) fetch(ctx context.Context, c *timeline.Command) error {
	if !c.KeptInput {
		return nil
	}
	f := a.original(c.Queue)
	if f == nil {
		return errInputGone
	}
	input, ok, err := f(ctx, *c)
	if err != nil {
		return fmt.Errorf("look for the original input: %w", err)
	}
	if !ok {
		return errInputGone
	}
	c.Input = input
	return nil
}

// refuseRun ends a run that cannot begin, which puts its dead letter back.
func (a *Agent) refuseRun(c *timeline.Command, at time.Time, err error) {
	a.stats.commands.Add(1)
	a.cfg.Logger.Warn("a retry is refused", "task_id", c.Task.ID, "run", c.Run, "error", err)
	e := timeline.Event{
		ID:   timeline.DerivedEventID(c.Namespace, c.Task.ID, c.Run, 0, timeline.TaskFailed),
		Type: timeline.TaskFailed, Task: c.Task, Run: c.Run, Seq: 1, OccurredAt: at.UTC(), Operator: c.Operator, Reason: timeline.FailPermanent,
		Error: &timeline.Error{Class: timeline.ClassPermanent, Kind: "not_replayable", Message: err.Error()},
	}
	e.Task.Input = nil
	if !c.DeadLetterID.IsZero() {
		e.DeadLetter = &timeline.DeadLetterRef{ID: c.DeadLetterID}
	}
	a.record(&e)
}

// Cancel stops a run as a cancel from an operator does: its attempt's context
// ends, and where none runs here, the next one is not made.
func (a *Agent) Cancel(namespace, taskID string, run int, op timeline.Operator) {
	a.live.stop(runKey{namespace, taskID, run}, &op)
}

// Original puts the original input of a retry into its command: the seal is
// opened, and an operator's edit applied.
func (a *Agent) Original(c *timeline.Command) error { return a.unseal(c) }

func (a *Agent) keepsInput(queue string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[queue]
}

func (a *Agent) serves(queue string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queues[queue] != nil
}

func (a *Agent) served() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.queues))
}

// stopped are the queues whose cancels come here, and whose retries do not.
func (a *Agent) stopped() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for q := range a.cancels {
		if a.queues[q] == nil {
			names = append(names, q)
		}
	}
	slices.Sort(names)
	return names
}

func (a *Agent) handler(queue string) RetryHandler {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queues[queue]
}

// silence is how long the collector may say nothing, not even a heartbeat, before
// the connection counts as dead.
const silence = 35 * time.Second

// maxCommand bounds one command: an input and what goes with it.
const maxCommand = 4 << 20

// takeCommands holds a connection to the collector, on which retries and cancels
// come down, until ctx ends.
func (a *Agent) takeCommands(ctx context.Context) {
	for n := 0; ctx.Err() == nil; {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		conn, stop := context.WithCancel(ctx)
		go func() { // a new queue needs a new connection
			select {
			case <-changed:
				stop()
			case <-conn.Done():
			}
		}()
		heard, err := a.listen(conn, stop)
		stop()
		if ctx.Err() != nil {
			return
		}
		select {
		case <-changed:
			n = 0
			continue
		default:
		}
		if heard {
			n = 0
		}
		a.cfg.Logger.Debug("the connection for commands ended", "error", err)
		timer := time.NewTimer(backoff(n))
		n++
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// listen reads commands from one connection. heard says that it was accepted.
func (a *Agent) listen(ctx context.Context, stop context.CancelFunc) (heard bool, err error) {
	q := url.Values{
		"source": {a.source}, "queues": {strings.Join(a.served(), ",")}, "cancels": {strings.Join(a.stopped(), ",")}, "namespace": {a.cfg.Namespace}, "agent": {a.cfg.Name}, "proto": {"1"},
	}
	req, err := a.request(ctx, http.MethodGet, "/v1/agent/commands?"+q.Encode(), "", nil)
	if err != nil {
		return false, err
	}
	watchdog := time.AfterFunc(silence, stop)
	defer watchdog.Stop()
	resp, err := a.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := CheckResponse(resp); err != nil {
		return false, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxCommand)
	for lines.Scan() {
		watchdog.Reset(silence)
		if len(lines.Bytes()) == 0 {
			continue
		}
		var c timeline.Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return true, fmt.Errorf("decode a command: %w", err)
		}
		a.carryOut(ctx, c)
	}
	return true, lines.Err()
}

// carryOut does what a command says. What fails is not acknowledged, and comes
// again.
func (a *Agent) carryOut(ctx context.Context, c timeline.Command) {
	switch c.Kind {
	case timeline.CommandCancel:
		if !a.live.stop(runKey{c.Namespace, c.Task.ID, c.Run}, c.Operator) {
			a.cancelWaiting(ctx, c)
		}
		a.stats.commands.Add(1)
	case timeline.CommandRetry:
		if err := a.startRun(ctx, c); err != nil && ctx.Err() == nil {
			a.cfg.Logger.Error("a retry could not be started; it will be sent again", "task_id", c.Task.ID, "run", c.Run, "error", err)
		}
	default:
		a.cfg.Logger.Warn("a command of a kind that is not known is left alone", "kind", c.Kind)
	}
}

// startRun hands the next run of a task to its runner and records that, which is
// the acknowledgement.
func (a *Agent) startRun(ctx context.Context, c timeline.Command) error {
	h := a.handler(c.Queue)
	if h == nil {
		return fmt.Errorf("no handler for queue %q", c.Queue)
	}
	if c.Reason == "" {
		c.Reason = timeline.RetryManual
	}
	// The same whenever the command comes: an event that is written again under its id
	// is the one that is stored only at the same time. The run's events, which a worker
	// may write at once, come after.
	at := c.RequestedAt.Add(1)
	if !a.keepsInput(c.Queue) {
		err := a.fetch(ctx, &c)
		if errors.Is(err, errInputGone) {
			a.refuseRun(&c, at, err)
			return nil
		}
		if err = errors.Join(err, a.unseal(&c)); err != nil {
			return err
		}
	}
	if a.recover.taken(c.ID) {
		// The runner has it; what did not arrive is the acknowledgement, which is
		// given again under the same id.
		a.stats.repeated.Add(1)
	} else {
		a.journal.expect(runKey{c.Namespace, c.Task.ID, c.Run}, at)
		earlier := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(c.TraceID), SpanID: trace.SpanID(c.SpanID), TraceFlags: trace.FlagsSampled, Remote: true,
		})
		if err := h(trace.ContextWithSpanContext(ctx, earlier), c); err != nil {
			return err
		}
		a.recover.take(c.ID)
		a.stats.commands.Add(1)
	}
	e := timeline.Event{
		ID:   timeline.DerivedEventID(c.Namespace, c.Task.ID, c.Run, 0, timeline.TaskRetried),
		Type: timeline.TaskRetried, Task: c.Task, Run: c.Run, Seq: 1, OccurredAt: at.UTC(), Operator: c.Operator,
		Retry: &timeline.Retry{NextAttempt: 1, Reason: c.Reason, CommandID: c.ID},
	}
	e.Task.Input = nil
	if !c.DeadLetterID.IsZero() {
		e.DeadLetter = &timeline.DeadLetterRef{ID: c.DeadLetterID}
	}
	a.record(&e)
	return nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// unseal puts the original input, as the operator edited it, into the command.
func (a *Agent) unseal(c *timeline.Command) error {
	if len(c.Sealed) > 0 {
		if a.sealer == nil {
			return fmt.Errorf("the input is sealed, and this agent holds no key")
		}
		for run := c.Run - 1; ; run-- {
			if run < 1 {
				return fmt.Errorf("the sealed input belongs to no earlier run")
			}
			if timeline.DeadLetterID(c.Namespace, c.Task.ID, run) != c.DeadLetterID {
				continue
			}
			original, err := a.sealer.Open(c.Namespace, c.Task.ID, run, c.Sealed)
			if err != nil {
				return fmt.Errorf("open the sealed input: %w", err)
			}
			c.Input = original
			break
		}
	}
	if len(c.InputPatch) > 0 {
		patched, err := MergePatch(c.Input, c.InputPatch)
		if err != nil {
			return fmt.Errorf("edit the input: %w", err)
		}
		if c.Operator != nil { // what was before and after may be known here alone
			op := *c.Operator
			op.InputBefore, op.InputAfter = hashOf(c.Input), hashOf(patched)
			c.Operator = &op
		}
		c.Input = patched
	}
	return nil
}
