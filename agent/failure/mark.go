package failure

import (
	"runtime/debug"
	"strconv"
	"time"

	"fmt"
)

// Sentinel is a condition with a fixed verdict. Wrap it with fmt.Errorf and %w
// to say more.
type Sentinel string

// The sentinels; the first three are permanent, the others deferred.
const (
	// ErrInvalidCallbackURL: a missing, empty or malformed callback URL.
	ErrInvalidCallbackURL = Sentinel("callback URL is missing or malformed")
	// ErrUnknownTaskType: no executor is registered for the type.
	ErrUnknownTaskType = Sentinel("task type is not known")
	// ErrUndecodableInput: the input does not fit what the executor takes.
	ErrUndecodableInput = Sentinel("input cannot be decoded")
	// ErrCircuitOpen: the provider's breaker let no attempt through.
	ErrCircuitOpen = Sentinel("circuit breaker is open")
	// ErrLimiterFull: a local limiter let no attempt through.
	ErrLimiterFull = Sentinel("limiter is full")
)

func (s Sentinel) Error() string { return string(s) }

// permanentError is the mark of [Permanent].
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks err: no further attempt can help. It returns nil for nil. The
// text, and what errors.Is and errors.As find, stay those of err.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// retryAfterError is the mark of [RetryAfter].
type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks err: another attempt may help, but not before d has passed; a
// negative d counts as 0. It returns nil for a nil err. The text, and what
// errors.Is and errors.As find, stay those of err.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(d, 0)}
}

// PanicError is a panic of the executor that was recovered: permanent, since the
// same input would run into the same defect.
type PanicError struct {
	// Value is what was panicked with.
	Value any
	// Stack is the goroutine's stack at the panic, as debug.Stack gives it.
	Stack []byte
}

// NewPanic returns the error for a recovered value. Call it in the deferred
// function that recovered, so that the stack is that of the panic.
func NewPanic(value any) *PanicError {
	return &PanicError{Value: value, Stack: debug.Stack()}
}

func (e *PanicError) Error() string { return "panic: " + printable(e.Value) }

// Unwrap returns the value where it is an error, for errors.Is and errors.As;
// classification does not look behind a panic.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// GoexitError stands for an executor that ended its goroutine by
// runtime.Goexit (as testing.T.FailNow does) instead of returning.
type GoexitError struct{ Stack []byte }

// NewGoexit returns the error for a goroutine that is ending. Call it in the
// deferred function that found neither a result nor a panic.
func NewGoexit() *GoexitError { return &GoexitError{Stack: debug.Stack()} }

func (e *GoexitError) Error() string { return "executor called runtime.Goexit" }

// printable formats a panic value and survives a String method that panics.
func printable(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T", v)
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error()
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	default:
		return fmt.Sprint(v)
	}
}
