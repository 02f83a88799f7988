package collector

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotRunning: the collector was not started, or is stopping.
var ErrNotRunning = errors.New("collector is not running")

// OverloadError says that a request can't be taken now and when to come back.
// Nothing of it was kept.
type OverloadError struct {
	// RetryAfter is how long to wait.
	RetryAfter time.Duration
	// Unavailable: the log can't take it (full, or the disk failed), as against
	// too much at once.
	Unavailable bool
	Cause       error
}

func (e *OverloadError) Error() string {
	return fmt.Sprintf("overloaded, try again in %v: %v", e.RetryAfter, e.Cause)
}

func (e *OverloadError) Unwrap() error { return e.Cause }

// TooLargeError names the limit that a request passed.
type TooLargeError struct {
	Field string
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: more than the limit of %d bytes", e.Field, e.Limit)
}
