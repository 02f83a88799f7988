package httprunner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// MaxAnswerBytes bounds the body of an answer. A longer one is a permanent error:
// the callback had its effect, and to ask again would bring the same answer.
const MaxAnswerBytes = 1 << 20

// ErrAnswerTooLarge is the error of a callback whose answer passes MaxAnswerBytes.
var ErrAnswerTooLarge = errors.New("the callback's answer is larger than 1 MiB")

// Config says how to call.
type Config struct {
	// Allow lists the ranges of addresses that are not public and may be called all
	// the same. Defaults to none.
	Allow []netip.Prefix
	// ProgressURL gives the URL that a callback may report progress to; "" for none.
	// Defaults to none.
	ProgressURL func(at agent.Attempt) string
	// Inject puts the trace context into a carrier. Defaults to none.
	Inject func(ctx context.Context, carrier map[string]string)
}

// Caller calls callbacks. It is safe for concurrent use.
type Caller struct {
	cfg    Config
	client *http.Client
}

// New returns a caller; Close frees its connections.
func New(cfg Config) *Caller {
	return &Caller{cfg: cfg, client: guarded(cfg.Allow)}
}

// Close closes connections that are not in use.
func (c *Caller) Close() { c.client.CloseIdleConnections() }

// body is what a callback is sent.
type body struct {
	TaskID   string            `json:"task_id"`
	Type     string            `json:"type"`
	Run      int               `json:"run"`
	Attempt  int               `json:"attempt"`
	Input    timeline.Payload  `json:"input"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Func is the executor that calls a URL. A missing or malformed one is an error
// of the attempt, so that it stands on record.
func (c *Caller) Func(callback string) agent.Func {
	return func(ctx context.Context, t agent.Task) (agent.Result, error) {
		output, err := c.call(ctx, callback, &t)
		return agent.Result{Output: output}, err
	}
}

func (c *Caller) call(ctx context.Context, callback string, t *agent.Task) ([]byte, error) {
	u, err := ParseCallback(callback)
	if err != nil {
		return nil, err
	}
	at, _ := agent.AttemptFrom(ctx)
	b, err := json.Marshal(body{t.ID, t.Type, at.Run, at.Number, t.Input, t.Metadata})
	if err != nil {
		return nil, agent.Permanent(fmt.Errorf("encode the callback: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(b))
	if err != nil {
		return nil, agent.Permanent(fmt.Errorf("%w: callback_url is malformed", ErrCallback))
	}
	c.setHeaders(ctx, req.Header, at)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, &callError{host: u.Host, err: err}
	}
	defer resp.Body.Close()
	if err := agent.CheckResponse(resp); err != nil {
		return nil, err
	}
	output, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the callback's answer: %w", err)
	}
	if len(output) > MaxAnswerBytes {
		return nil, agent.Permanent(ErrAnswerTooLarge)
	}
	return output, nil
}

// callError is the error of a call that brought no answer. It names the host
// alone: what follows in a callback's URL may be a secret, and the message goes into
// the timeline and to whoever is alerted.
type callError struct {
	host string
	err  error
}

func (e *callError) Error() string {
	var inner *url.Error
	if errors.As(e.err, &inner) {
		return "call back " + e.host + ": " + inner.Err.Error()
	}
	return "call back " + e.host + ": " + e.err.Error()
}

// Unwrap keeps the whole tree for the classification.
func (e *callError) Unwrap() error { return e.err }

func (c *Caller) setHeaders(ctx context.Context, h http.Header, at agent.Attempt) {
	if c.cfg.Inject != nil {
		carrier := map[string]string{}
		c.cfg.Inject(ctx, carrier)
		for k, v := range carrier {
			h.Set(k, v)
		}
	}
	h.Set("Content-Type", "application/json")
	h.Set(HeaderIdempotencyKey, at.IdempotencyKey)
	h.Set(HeaderRun, strconv.Itoa(at.Run))
	h.Set(HeaderAttempt, strconv.Itoa(at.Number))
	if deadline, ok := ctx.Deadline(); ok {
		h.Set(HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
	}
	if c.cfg.ProgressURL != nil {
		if u := c.cfg.ProgressURL(at); u != "" {
			h.Set(HeaderProgressURL, u)
		}
	}
}
