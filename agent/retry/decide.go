package retry

import (
	"time"

	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/timeline"
)

// Action is what follows a failed attempt.
type Action uint8

// The actions.
const (
	// ActionFail ends the run: Decision.Reason says why.
	ActionFail Action = iota
	// ActionRetry starts another attempt after Decision.Delay.
	ActionRetry
	// ActionAbort: the caller cancelled; nothing follows, and the attempt does
	// not count.
	ActionAbort
)

// Input is everything a decision depends on.
type Input struct {
	// Policy must have its defaults set.
	Policy Policy
	// Attempts is how many attempts of the run count so far, the one that just
	// failed included.
	Attempts int
	// NextAttempt is the number the next attempt would get; Attempts+1 where 0.
	// It differs where aborted attempts used up numbers.
	NextAttempt int
	// Failure is the verdict on the attempt that just failed.
	Failure failure.Failure
	// Now is the present, Deadline the task's own; zero for none.
	Now, Deadline time.Time
	// BreakerBlocked: the provider's breaker is open, or half-open with its probe
	// taken.
	BreakerBlocked bool
	// PausedUntil is when the provider's pause is over; zero for none.
	PausedUntil time.Time
	// Budget is the provider's retry budget; nil for none. It is asked last, so
	// that only a retry that happens is paid for.
	Budget Reserver
	// Rand is a number in [0, 1) that draws the jitter.
	Rand float64
}

// Reserver is a retry budget: *Budget, or nil.
type Reserver interface {
	// Reserve takes the price of one retry and returns how much longer it has to
	// wait, 0 where a token was there. It takes nothing and returns false where
	// that would be longer than limit.
	Reserve(now time.Time, timeout bool, limit time.Duration) (time.Duration, bool)
}

// Decision is what follows, and why.
type Decision struct {
	Action Action
	// Reason is why the run ends (ActionFail).
	Reason timeline.FailureReason
	// Delay is the wait before the next attempt (ActionRetry).
	Delay time.Duration
	// Retry is the wait as task_retried carries it (ActionRetry).
	Retry timeline.Retry
	// PauseUntil is until when the provider is to be paused for everybody; zero
	// for not at all. It is set whatever the action is.
	PauseUntil time.Time
}

// Decide returns what follows a failed attempt. It depends on its input alone;
// the only effect is the reservation at Input.Budget.
func Decide(in Input) Decision { return Decision{} }
