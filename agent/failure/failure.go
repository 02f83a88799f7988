// Package failure says what an executor's error means: whether another attempt
// may help, what the provider's circuit breaker makes of it, how long the server
// asked to be left alone, and under which fingerprint it is counted. It neither
// waits nor retries, and it knows drivers and RPC libraries by the methods of
// their errors, never by importing them.
package failure

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// BreakerEffect is what an error is worth to the provider's circuit breaker.
type BreakerEffect uint8

// The effects on a breaker.
const (
	// BreakerIgnore: the error says nothing about the provider's health.
	BreakerIgnore BreakerEffect = iota
	// BreakerFailure: the provider failed.
	BreakerFailure
)

// Failure is the verdict on one error. The zero value stands for success: see
// [Failure.OK].
type Failure struct {
	// Class says what may be done; empty for success.
	Class timeline.ErrorClass
	// Kind is the low-cardinality name of the condition, one of the Kind
	// constants or http_NNN, grpc_CODE, sqlstate_XXXXX.
	Kind string
	// Code is the protocol's own code as text: 503, UNAVAILABLE, 40001, ECONNREFUSED.
	Code string
	// HTTPStatus is the response's status code, 0 where there was none.
	HTTPStatus int
	// RetryAfter is how long the server asked to wait, never negative, counted
	// from the moment of classification; it holds only where HasRetryAfter.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Breaker is what the provider's breaker is told.
	Breaker BreakerEffect
	// Pause: the provider asked everybody to slow down (HTTP 429); with
	// HasRetryAfter it is paused that long, for every task.
	Pause bool
	// Timeout: the attempt ran into a timeout, which costs more of the retry budget.
	Timeout bool
	// Reason is why the run ends, where the error alone decides it: deadline for
	// the task's own deadline, permanent for permanent errors, else empty.
	Reason timeline.FailureReason
	// Stack is where it happened, where the error knows it.
	Stack string
	// Err is the error itself, untouched.
	Err error
}

// OK reports whether there was no error.
func (f *Failure) OK() bool { return f.Class == "" }

// ToError returns the failure as events carry it: the message cut to
// [timeline.MaxMessageBytes] and the stack to [timeline.MaxStackBytes], both
// valid UTF-8, and the fingerprint of what was there before the cut. It returns
// nil for success. The message is not redacted.
func (f *Failure) ToError() *timeline.Error {
	if f.OK() {
		return nil
	}
	message := Message(f.Err)
	return &timeline.Error{
		Class: f.Class, Kind: f.Kind, Code: f.Code, HTTPStatus: f.HTTPStatus,
		Message:     cut(message, timeline.MaxMessageBytes),
		Stack:       cut(f.Stack, timeline.MaxStackBytes),
		Fingerprint: Fingerprint(f.Kind, message, f.Stack),
	}
}
