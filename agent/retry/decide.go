package retry

import (
	"math"
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
	// Policy is the policy in force; its zero fields mean their defaults.
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

// Reserver is a retry budget; see [Budget].
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
//
// In order: an aborted attempt; an error that ends the run by itself; the count
// of attempts; the breaker; a Retry-After that is too long; then the wait, which
// is the server's where it named one and the backoff's elsewhere, made longer by
// a pause of the provider and by an empty budget, never shorter; and last the
// deadline, which a wait must not reach.
func Decide(in Input) Decision {
	in.Policy = in.Policy.WithDefaults()
	f := &in.Failure
	d := Decision{}
	after := f.HasRetryAfter && f.RetryAfter > 0
	if f.Pause && after {
		d.PauseUntil = in.Now.Add(min(f.RetryAfter, MaxPause))
	}
	switch {
	case f.Class == timeline.ClassAborted:
		d.Action = ActionAbort
		return d
	case f.Class == timeline.ClassPermanent:
		return d.fail(orReason(f.Reason, timeline.FailPermanent))
	case f.Reason != "":
		return d.fail(f.Reason)
	case f.Class != timeline.ClassDeferred && in.Attempts >= in.Policy.MaxAttempts:
		return d.fail(timeline.FailExhausted)
	case in.BreakerBlocked || f.Kind == failure.KindCircuitOpen:
		return d.fail(timeline.FailCircuitOpen)
	case after && f.RetryAfter > in.Policy.MaxRetryAfter:
		return d.fail(timeline.FailRetryAfterTooLong)
	}
	left := time.Duration(math.MaxInt64)
	if !in.Deadline.IsZero() {
		left = in.Deadline.Sub(in.Now)
		if after && f.RetryAfter >= left {
			return d.fail(timeline.FailRetryAfterTooLong)
		}
	}
	return d.wait(&in, after, left)
}

// wait chooses the delay; left is the time to the deadline.
func (d Decision) wait(in *Input, after bool, left time.Duration) Decision {
	p := &in.Policy
	r := timeline.Retry{Reason: timeline.RetryBackoff, NextAttempt: in.NextAttempt}
	if r.NextAttempt == 0 {
		r.NextAttempt = in.Attempts + 1
	}
	var delay time.Duration
	if after {
		delay = p.lengthen(in.Failure.RetryAfter, left, in.Rand)
		r.Reason = timeline.RetryAfter
		if in.Failure.Pause {
			r.Reason = timeline.RetryProviderPaused
		}
	} else {
		delay, r.Jitter = p.Delay(in.Attempts, in.Rand)
		r.Base, r.Factor, r.Cap = timeline.Millis(p.Base), p.Factor, timeline.Millis(p.Cap)
	}
	if pause := in.PausedUntil.Sub(in.Now); !in.PausedUntil.IsZero() && pause > delay {
		// Everybody who waits for the same pause would come at the same moment
		// without jitter.
		delay = p.lengthen(pause, left, in.Rand)
		r = timeline.Retry{Reason: timeline.RetryProviderPaused, NextAttempt: r.NextAttempt}
	}
	if delay >= left {
		return d.fail(timeline.FailDeadline)
	}
	if in.Budget != nil {
		longer, ok := in.Budget.Reserve(in.Now, in.Failure.Timeout, left-delay-1)
		if !ok {
			return d.fail(timeline.FailRetryBudget)
		}
		if longer > 0 {
			delay += longer
			r.Reason = timeline.RetryBudget
		}
	}
	r.Delay = timeline.Millis(delay)
	d.Action, d.Delay, d.Retry = ActionRetry, delay, r
	return d
}

// lengthen returns a wait of at least wait, longer by jitter: at most the
// policy's share of it, and never more than the policy's cap or than would reach
// the deadline where wait itself does not.
func (p *Policy) lengthen(wait, left time.Duration, r float64) time.Duration {
	room := min(time.Duration(float64(wait)*max(p.Jitter, 0)), p.Cap)
	if left > wait {
		room = min(room, left-wait-1)
	}
	return wait + time.Duration(float64(room)*clampUnit(r))
}

func (d Decision) fail(reason timeline.FailureReason) Decision {
	d.Action, d.Reason = ActionFail, reason
	return d
}

func orReason(reason, other timeline.FailureReason) timeline.FailureReason {
	if reason != "" {
		return reason
	}
	return other
}
