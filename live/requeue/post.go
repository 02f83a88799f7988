package requeue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/internal/netguard"
	"github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
)

// post is the JSON body of a call, in the form of Standard Webhooks.
type post struct {
	// Type is task.retry or task.cancel.
	Type string `json:"type"`
	// Timestamp is when it was asked for.
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// The types of posts.
const (
	typeRetry  = "task.retry"
	typeCancel = "task.cancel"
)

// postData is what is needed to put the task's next run into a queue.
type postData struct {
	CommandID timeline.ID `json:"command_id"`
	Namespace string      `json:"namespace"`
	TaskID    string      `json:"task_id"`
	Type      string      `json:"type,omitempty"`
	Queue     string      `json:"queue"`
	// Run is the number of the run to start; the events of the run carry it.
	Run int `json:"run"`
	// Input is the original as the operator edited it; null where it is not known
	// here and the receiver keeps it.
	Input       timeline.Payload  `json:"input"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	MaxAttempts int               `json:"max_attempts,omitempty"`
	UserID      string            `json:"user_id,omitempty"`
	Amount      string            `json:"amount,omitempty"`
	Currency    string            `json:"currency,omitempty"`
	Agent       string            `json:"agent,omitempty"`
	Provider    string            `json:"provider,omitempty"`
	// IdempotencyKey is the task's own, for its effect; that of the call is its
	// webhook-id.
	IdempotencyKey string               `json:"idempotency_key"`
	DeadLetterID   timeline.ID          `json:"dead_letter_id,omitzero"`
	Reason         timeline.RetryReason `json:"reason"`
	Actor          string               `json:"actor,omitempty"`
	Comment        string               `json:"comment,omitempty"`
}

func bodyOf(c *timeline.Command) ([]byte, error) {
	d := postData{
		CommandID: c.ID, Namespace: c.Namespace, TaskID: c.Task.ID, Type: c.Type, Queue: c.Queue, Run: c.Run, Input: c.Input,
		Metadata: c.Metadata, MaxAttempts: c.MaxAttempts, UserID: c.UserID, Amount: c.Amount, Currency: c.Currency,
		Agent: c.Agent, Provider: c.Provider, IdempotencyKey: timeline.IdempotencyKey(c.Namespace, c.Task.ID, c.InputEdits),
		DeadLetterID: c.DeadLetterID, Reason: c.Reason,
	}
	if c.Operator != nil {
		d.Actor, d.Comment = c.Operator.Actor, c.Operator.Reason
	}
	return json.Marshal(post{Type: typeRetry, Timestamp: c.RequestedAt, Data: d})
}

// cancelData is what is needed to find a run and stop it.
type cancelData struct {
	CommandID timeline.ID `json:"command_id"`
	Namespace string      `json:"namespace"`
	TaskID    string      `json:"task_id"`
	Type      string      `json:"type,omitempty"`
	Queue     string      `json:"queue"`
	// Run is the number of the run to stop.
	Run     int    `json:"run"`
	Actor   string `json:"actor,omitempty"`
	Comment string `json:"comment,omitempty"`
}

func cancelBodyOf(c *timeline.Command) ([]byte, error) {
	d := cancelData{CommandID: c.ID, Namespace: c.Namespace, TaskID: c.Task.ID, Type: c.Type, Queue: c.Queue, Run: c.Run}
	if c.Operator != nil {
		d.Actor, d.Comment = c.Operator.Actor, c.Operator.Reason
	}
	return json.Marshal(post{Type: typeCancel, Timestamp: c.RequestedAt, Data: d})
}

// refusal is why a retry was not taken.
type refusal struct {
	permanent bool
	// kind is the low-cardinality name of the condition.
	kind   string
	status int
	// after is the shortest wait that was asked for.
	after time.Duration
	err   error
}

func (f *refusal) Error() string { return f.err.Error() }
func (f *refusal) Unwrap() error { return f.err }

type caller struct{ client *http.Client }

func newCaller(cfg Config) *caller {
	dialer := &net.Dialer{Timeout: cfg.Timeout, Control: cfg.Allow.Control}
	return &caller{&http.Client{
		Timeout: cfg.Timeout,
		// No proxy: the guard has to see the address that is called.
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: cfg.Timeout, MaxIdleConns: 64,
			MaxIdleConnsPerHost: cfg.Parallel, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *caller) close() { c.client.CloseIdleConnections() }

// maxAnswerBytes is how much of an answer is read; its text is for the record.
const maxAnswerBytes = 2 << 10

// post makes one call; nil where the receiver has taken it.
func (c *caller) post(ctx context.Context, t *Target, id string, body []byte) *refusal {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return &refusal{permanent: true, kind: "malformed_url", err: errors.New("the re-enqueue URL is malformed")}
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tasktrail")
	// Of the call, not of the task: a receiver that remembers it takes each run once.
	req.Header.Set("Idempotency-Key", id)
	req.Header.Set(webhook.HeaderID, id)
	req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhook.HeaderSignature, webhook.Sign(t.Keys, id, now, body))
	resp, err := c.client.Do(req)
	if err != nil {
		f := &refusal{kind: "connection", err: fmt.Errorf("call the re-enqueue URL: %w", withoutURL(err))}
		var timeout interface{ Timeout() bool }
		if errors.Is(err, netguard.ErrForbidden) {
			f.permanent, f.kind = true, "forbidden_address"
		} else if errors.As(err, &timeout) && timeout.Timeout() {
			f.kind = "timeout"
		}
		return f
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	// 409: it has the run already, or it has ended, which a call that is made again may
	// find.
	if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusConflict {
		return nil
	}
	f := &refusal{
		kind: "http_" + strconv.Itoa(resp.StatusCode), status: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After"), now),
		err: fmt.Errorf("the re-enqueue URL answered %s: %.500s", resp.Status, plain(answer)),
	}
	switch s := resp.StatusCode; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
	default:
		f.permanent = true
	}
	return f
}

// plain is an answer as text that every store keeps.
func plain(b []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", ""))
}

// withoutURL drops the URL from a *url.Error: its path may be a secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads seconds or a date; 0 where it is neither.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 86400)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
