package breaker

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Why a breaker changed its state; they stand on the events as text.
const (
	WhyFailureRate         = "failure_rate"
	WhySlowCallRate        = "slow_call_rate"
	WhyConsecutiveFailures = "consecutive_failures"
	WhyProbeFailed         = "probe_failed"
	WhyProbeTimeout        = "probe_timeout"
	WhyOpenTimeOver        = "open_time_over"
	WhyProbeSucceeded      = "probe_succeeded"
)

// StateChange is one change of a breaker's state, with the counts that led to it.
type StateChange struct {
	Key
	From timeline.BreakerState `json:"from"`
	To   timeline.BreakerState `json:"to"`
	// Why is one of the Why constants.
	Why string    `json:"why"`
	At  time.Time `json:"at"`
	// Calls, Failures and SlowCalls are those of the window, Consecutive the
	// failures in a row.
	Calls       int `json:"calls"`
	Failures    int `json:"failures"`
	SlowCalls   int `json:"slow_calls"`
	Consecutive int `json:"consecutive_failures"`
	// OpenUntil is when the first probe may go; set where To is open.
	OpenUntil time.Time `json:"open_until,omitzero"`
	// Generation rises with every change of this breaker.
	Generation uint64 `json:"generation"`
}

// Timeline returns the change as circuit_breaker_* events carry it.
func (c StateChange) Timeline() *timeline.Breaker {
	return &timeline.Breaker{
		Provider: c.Provider, State: c.To, Why: c.Why, Calls: c.Calls, Failures: c.Failures,
		SlowCalls: c.SlowCalls, Consecutive: c.Consecutive, OpenUntil: c.OpenUntil,
	}
}

// Snapshot is a breaker at one moment, for whoever keeps or shows it.
type Snapshot struct {
	Key
	State       timeline.BreakerState `json:"state"`
	Why         string                `json:"why,omitempty"`
	ChangedAt   time.Time             `json:"changed_at,omitzero"`
	Calls       int                   `json:"calls"`
	Failures    int                   `json:"failures"`
	SlowCalls   int                   `json:"slow_calls"`
	Consecutive int                   `json:"consecutive_failures"`
	OpenUntil   time.Time             `json:"open_until,omitzero"`
	// Openings counts how often it opened since it was last closed.
	Openings   int    `json:"openings,omitempty"`
	Generation uint64 `json:"generation"`
	// Untold counts the changes that the listener was not told of, because it was
	// busy with an earlier one for too long.
	Untold uint64 `json:"untold_changes,omitempty"`
}

// Snapshot returns the breaker at now; a probe that is overdue is given up first.
// The zero Snapshot is that of a nil breaker.
func (b *Breaker) Snapshot(now time.Time) Snapshot {
	if b == nil {
		return Snapshot{}
	}
	b.mu.Lock()
	defer b.unlock()
	at := now.Sub(b.base)
	b.expire(at)
	s := Snapshot{
		Key: b.key, State: b.cur.name(), Why: b.last.Why, ChangedAt: b.last.At, Openings: b.openings, Generation: b.gen,
		Calls: b.last.Calls, Failures: b.last.Failures, SlowCalls: b.last.SlowCalls, Consecutive: b.last.Consecutive,
		OpenUntil: b.last.OpenUntil, Untold: b.untold,
	}
	if c, ok := b.cur.(*closed); ok {
		n := c.window.counts(at)
		s.Calls, s.Failures, s.SlowCalls, s.Consecutive = n.calls, n.failures, n.slow, int(c.consecutive.Load())
	}
	return s
}
