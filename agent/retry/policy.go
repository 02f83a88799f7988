// Package retry decides whether a task is tried again, when, and why then. It
// is arithmetic and bookkeeping alone: it never sleeps, and calls no executor.
package retry

import (
	"errors"
	"fmt"
	"math"
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
func (p Policy) WithDefaults() Policy {
	setDefault(&p.MaxAttempts, 5)
	setDefault(&p.Base, time.Second)
	setDefault(&p.Cap, 30*time.Second)
	setDefault(&p.Factor, 2)
	setDefault(&p.Jitter, 0.25)
	setDefault(&p.MaxRetryAfter, 15*time.Minute)
	return p
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault of the policy, its defaults set, at once.
func (p Policy) Validate() error {
	p = p.WithDefaults()
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	want(p.MaxAttempts > 0, "retry attempts %d: want more than 0", p.MaxAttempts)
	want(p.Base > 0, "retry base %v: want more than 0", p.Base)
	want(p.Cap > 0, "retry cap %v: want more than 0", p.Cap)
	// Written so that NaN is a fault too.
	want(p.Factor >= 1 && !math.IsInf(p.Factor, 0), "retry factor %v: want 1 or more", p.Factor)
	want(p.Jitter <= 1, "retry jitter %v: want at most 1", p.Jitter)
	want(p.MaxRetryAfter > 0, "longest Retry-After %v: want more than 0", p.MaxRetryAfter)
	return errors.Join(faults...)
}

// Delay returns the wait before retry n (the first is 1): d = min(Cap, Base ·
// Factor^(n-1)), drawn uniformly from [(1-Jitter)·d, min((1+Jitter)·d, Cap)] by
// r, a number in [0, 1). The second result is the factor of d that was drawn.
func (p Policy) Delay(n int, r float64) (time.Duration, float64) {
	p = p.WithDefaults()
	d := p.exponential(n)
	jitter := max(p.Jitter, 0)
	// The bounds are whole nanoseconds inside the interval, and the result is held
	// to them: no rounding of a float carries it over the edge.
	high := p.atMostCap(float64(d) * (1 + jitter))
	low := min(p.atMostCap(math.Ceil(float64(d)*(1-jitter))), high)
	delay := low + time.Duration(float64(high-low)*clampUnit(r))
	delay = min(max(delay, low), high)
	return delay, float64(delay) / float64(d)
}

// exponential returns min(Cap, Base · Factor^(n-1)) for any n; a power past all
// floats is infinite, which is past the cap.
func (p Policy) exponential(n int) time.Duration {
	d := float64(p.Base) * math.Pow(p.Factor, float64(max(n, 1)-1))
	return max(p.atMostCap(d), 1)
}

// atMostCap returns d nanoseconds as a duration, the cap where that is longer. A
// float past the cap may be past every duration too, so that it is compared
// before it is converted.
func (p Policy) atMostCap(d float64) time.Duration {
	if d < float64(p.Cap) {
		return time.Duration(d)
	}
	return p.Cap
}

// clampUnit returns r as a number in [0, 1].
func clampUnit(r float64) float64 {
	if !(r > 0) { // NaN too
		return 0
	}
	return min(r, 1)
}

// Timeline returns the policy as task_started carries it, without what belongs
// to the attempt's timeout and the breaker.
func (p Policy) Timeline() timeline.Policy {
	p = p.WithDefaults()
	return timeline.Policy{
		MaxAttempts: p.MaxAttempts, Base: timeline.Millis(p.Base), Cap: timeline.Millis(p.Cap),
		Factor: p.Factor, Jitter: max(p.Jitter, 0),
	}
}
