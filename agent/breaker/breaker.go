package breaker

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Key names a breaker.
type Key struct {
	Namespace string `json:"namespace"`
	Provider  string `json:"provider"`
}

// Breaker is the circuit breaker of one provider. It is safe for concurrent use.
// A nil *Breaker lets every call through.
type Breaker struct {
	key Key
}

// New returns a closed breaker. onChange, which may be nil, is told of every
// change of state, see [Set].
func New(key Key, cfg Config, onChange func(StateChange)) (*Breaker, error) {
	return &Breaker{key: key}, nil
}

// Permit is the right to make one call. It is a small value; its zero value
// belongs to no breaker and does nothing. Exactly one of Success, Failure and
// Ignore is to be called on it; that has to happen in a deferred function, which
// runs on a panic and on runtime.Goexit too. A probe's permit that is forgotten
// all the same is given up after Config.ProbeTimeout.
//
// A permit of an earlier generation (the state has changed since) moves nothing.
type Permit struct {
	b *Breaker
}

// Acquire asks to make a call at now. It returns false while the breaker is
// open, and while it is half-open and its probe taken. When the open time is
// over, the first to ask becomes the probe: see [Permit.Probe].
func (b *Breaker) Acquire(now time.Time) (Permit, bool) { return Permit{b}, true }

// Blocked reports whether Acquire would refuse at now. It takes no probe.
func (b *Breaker) Blocked(now time.Time) bool { return false }

// State returns the state without looking at the clock: an open breaker is open
// until somebody probes. It is one atomic load; empty for a nil breaker.
func (b *Breaker) State() timeline.BreakerState { return timeline.BreakerClosed }

// Describe returns provider and state as attempt events carry them. The value is
// shared by everybody who asks and must not be changed; it does not allocate.
// It is nil for a nil breaker.
func (b *Breaker) Describe() *timeline.Breaker { return nil }

// Expire gives up a probe that is overdue at now and returns the change, or nil.
// Acquire and Blocked do the same; call it where nobody may come for long.
func (b *Breaker) Expire(now time.Time) *StateChange { return nil }

// Probe reports whether the call probes a half-open breaker.
func (p Permit) Probe() bool { return false }

// Opened returns the change to half-open that this permit made, or nil.
func (p Permit) HalfOpened() *StateChange { return nil }

// Success reports a call that succeeded after elapsed. It returns the change of
// state that it led to (the probe closed the breaker, a slow call opened it), or
// nil.
func (p Permit) Success(elapsed time.Duration) *StateChange { return nil }

// Failure reports a call that failed after elapsed, and returns the change of
// state that it led to, or nil.
func (p Permit) Failure(elapsed time.Duration) *StateChange { return nil }

// Ignore gives the permit back without a verdict on the provider: the call was
// cancelled, or its error was not the provider's fault. A probe is up for the
// next caller.
func (p Permit) Ignore(elapsed time.Duration) {}
