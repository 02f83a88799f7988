// Package channeltest is the other end of a webhook for tests: it verifies each
// call with the reference library of Standard Webhooks and keeps what it was
// told. It is imported by tests alone.
package channeltest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tasktrail/tasktrail/timeline"
)

// Two secrets of Standard Webhooks.
const (
	SecretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	SecretB = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQIDBAU="
)

// Call is one call as it came.
type Call struct {
	ID     string
	Type   string           `json:"type"`
	Data   timeline.Alert   `json:"data"`
	Alerts []timeline.Alert `json:"alerts"`
	Link   string           `json:"link"`
	At     time.Time        `json:"-"`
}

// Receiver is a webhook's other end.
type Receiver struct {
	*httptest.Server
	// Status is what it answers.
	Status atomic.Int32
	// Keeps: it takes a call whatever it answers, as one that fails after the fact.
	Keeps atomic.Bool
	// RetryAfter goes with every answer where it is set.
	RetryAfter atomic.Pointer[string]

	mu      sync.Mutex
	got     []Call
	calls   int
	invalid []error
}

// New starts a receiver that believes one secret; it ends with the test.
func New(tb testing.TB, secret string) *Receiver {
	tb.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		tb.Fatal(err)
	}
	r := &Receiver{}
	r.Status.Store(http.StatusNoContent)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		at := time.Now()
		body, err := io.ReadAll(req.Body)
		if err == nil {
			err = wh.Verify(body, req.Header)
		}
		c := Call{ID: req.Header.Get("webhook-id"), At: at}
		if err == nil {
			err = json.Unmarshal(body, &c)
		}
		status := int(r.Status.Load())
		r.mu.Lock()
		r.calls++
		if err != nil {
			r.invalid = append(r.invalid, err)
		}
		if status < 300 || r.Keeps.Load() {
			r.got = append(r.got, c)
		}
		r.mu.Unlock()
		if v := r.RetryAfter.Load(); v != nil {
			w.Header().Set("Retry-After", *v)
		}
		w.WriteHeader(status)
	}))
	tb.Cleanup(r.Close)
	return r
}

// Got are the calls that were taken.
func (r *Receiver) Got() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Call(nil), r.got...)
}

// Alerts are the alerts of the calls that were taken.
func (r *Receiver) Alerts() (out []timeline.Alert) {
	for _, c := range r.Got() {
		out = append(out, c.Data)
	}
	return out
}

// Calls is how often it was called.
func (r *Receiver) Calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// Check fails the test where a call could not be verified.
func (r *Receiver) Check(tb testing.TB) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.invalid {
		tb.Errorf("the receiver could not verify a call: %v", err)
	}
}
