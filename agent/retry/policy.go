// Package retry decides whether a task is tried again, when, and why then. It
// is arithmetic and bookkeeping alone: it never sleeps, and calls no executor.
package retry

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Policy is how often and how fast a task is tried again. Its zero value works.
type Policy struct {
	// MaxAttempts is how many calls of the executor one run may take, the first
	// included.
	// Defaults to 5.
	MaxAttempts int
	// Base is the delay before the first retry, before jitter.
	// Defaults to 1 s.
	Base time.Duration
	// Cap is the longest delay of a backoff, jitter included.
	// Defaults to 30 s.
	Cap time.Duration
	// Factor is what each delay is longer by than the one before, at least 1.
	// Defaults to 2.
	Factor float64
	// Jitter is the share of a delay that is drawn on either side, up to 1; a
	// negative value means none.
	// Defaults to 0.25.
	Jitter float64
	// MaxRetryAfter is the longest Retry-After that is waited for.
	// Defaults to 15 min.
	MaxRetryAfter time.Duration
}

// WithDefaults returns the policy with every zero field set to its default.
func (p Policy) WithDefaults() Policy { return p }

// Validate reports every fault of the policy at once.
func (p Policy) Validate() error { return nil }

// Delay returns the wait before retry n (the first is 1): d = min(Cap, Base ·
// Factor^(n-1)), drawn uniformly from [(1-Jitter)·d, min((1+Jitter)·d, Cap)] by
// r, a number in [0, 1). The second result is the factor of d that was drawn.
// The policy must have its defaults set.
func (p Policy) Delay(n int, r float64) (time.Duration, float64) { return 0, 0 }

// Timeline returns the policy as task_started carries it, without what belongs
// to the attempt's timeout and the breaker.
func (p Policy) Timeline() *timeline.Policy { return nil }
