// Package breaker is a circuit breaker a provider: it sees how calls end, stops
// them while the provider fails, and probes until it answers again. It calls
// nothing itself and runs no goroutine; time is what callers pass in.
package breaker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Config are the settings of a breaker. Its zero value works.
type Config struct {
	// Disabled turns breakers off: every call is let through and nothing counted.
	Disabled bool
	// FailureRate opens the breaker when this share of the calls of the window
	// failed, in (0, 1]; a negative value turns it off.
	// Defaults to 0.5.
	FailureRate float64
	// SlowCallRate opens the breaker when this share of the calls of the window
	// took SlowCallDuration or longer, in (0, 1].
	// Defaults to 0: off.
	SlowCallRate float64
	// SlowCallDuration is how long a slow call takes; needed with SlowCallRate.
	SlowCallDuration time.Duration
	// MinCalls is how many calls the window must hold before a rate counts.
	// Defaults to 10.
	MinCalls int
	// Buckets is how many buckets the window has, at most 60, and BucketWidth how
	// long each is.
	// Default to 10 of 1 s.
	Buckets     int
	BucketWidth time.Duration
	// ConsecutiveFailures opens the breaker after so many failures in a row; a
	// negative value turns it off.
	// Defaults to 5.
	ConsecutiveFailures int
	// OpenFor is how long an open breaker stays open the first time, before
	// jitter; it doubles with each time that a probe fails, up to MaxOpenFor,
	// jitter included.
	// Default to 30 s and 5 min (OpenFor, where that is longer).
	OpenFor    time.Duration
	MaxOpenFor time.Duration
	// OpenJitter is the share of the open time that is drawn on either side; a
	// negative value means none.
	// Defaults to 0.1.
	OpenJitter float64
	// ProbeTimeout is when a probe that has not answered is given up.
	// Defaults to 30 s.
	ProbeTimeout time.Duration
	// Rand returns numbers in [0, 1), concurrently; for tests.
	// Defaults to math/rand/v2.
	Rand func() float64
}

const maxBuckets = 60

// WithDefaults returns the configuration with every zero field set.
func (c Config) WithDefaults() Config {
	setDefault(&c.FailureRate, 0.5)
	setDefault(&c.MinCalls, 10)
	setDefault(&c.Buckets, 10)
	setDefault(&c.BucketWidth, time.Second)
	setDefault(&c.ConsecutiveFailures, 5)
	setDefault(&c.OpenFor, 30*time.Second)
	setDefault(&c.MaxOpenFor, max(5*time.Minute, c.OpenFor))
	setDefault(&c.OpenJitter, 0.1)
	setDefault(&c.ProbeTimeout, 30*time.Second)
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	want(c.FailureRate <= 1, "breaker failure rate %v: want at most 1", c.FailureRate)
	want(c.SlowCallRate >= 0 && c.SlowCallRate <= 1, "breaker slow-call rate %v: want 0 (off) to 1", c.SlowCallRate)
	want(c.SlowCallRate == 0 || c.SlowCallDuration > 0, "breaker slow-call duration %v: want more than 0 with a slow-call rate", c.SlowCallDuration)
	want(c.MinCalls > 0, "breaker minimum of calls %d: want more than 0", c.MinCalls)
	want(c.Buckets > 0 && c.Buckets <= maxBuckets, "breaker buckets %d: want 1 to %d", c.Buckets, maxBuckets)
	want(c.BucketWidth >= time.Millisecond, "breaker bucket width %v: want 1 ms or more", c.BucketWidth)
	want(c.OpenFor > 0, "breaker open time %v: want more than 0", c.OpenFor)
	want(c.MaxOpenFor >= c.OpenFor, "breaker maximum open time %v: want the open time %v or more", c.MaxOpenFor, c.OpenFor)
	want(c.OpenJitter <= 1, "breaker open jitter %v: want at most 1", c.OpenJitter)
	want(c.ProbeTimeout > 0, "breaker probe timeout %v: want more than 0", c.ProbeTimeout)
	return errors.Join(faults...)
}

// openTime draws how long the breaker stays open the nth time in a row, from 1.
// It never passes MaxOpenFor.
func (c *Config) openTime(n int) time.Duration {
	d := c.OpenFor
	for ; n > 1 && d < c.MaxOpenFor; n-- {
		d = min(2*d, c.MaxOpenFor)
		if d <= 0 { // twice the longest duration there is
			d = c.MaxOpenFor
		}
	}
	jitter := max(c.OpenJitter, 0)
	low := float64(d) * (1 - jitter)
	high := min(float64(d)*(1+jitter), float64(c.MaxOpenFor))
	return min(time.Duration(low+(high-low)*c.Rand()), c.MaxOpenFor)
}
